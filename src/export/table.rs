//! Frames of a file or of memory as one kind of thing: where their bytes are, and when they were taken.

use crate::model::{Edge, Timestamp, Track};
use crate::storage::{Sample, TrackTable};

/// Ticks a second of a clip's pictures.
pub(super) const PICTURE_SCALE: u32 = 90_000;

const SECOND: i128 = 1_000_000_000;

/// Where the bytes of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the file, from this byte on.
    File(u64),
    /// In memory: the number of the unit.
    Memory(usize),
}

/// One encoded picture, or packet of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// When it was taken.
    pub(super) wall: Timestamp,
    /// The same in ticks since the epoch, rounded once.
    pub(super) tick: i64,
    /// How long it lasts by its own account, in ticks.
    pub(super) lasts: i64,
    pub(super) size: u32,
    pub(super) keyframe: bool,
    pub(super) place: Place,
}

impl Frame {
    /// A picture that was encoded anew.
    pub(super) fn anew(wall: Timestamp, size: u32, keyframe: bool, place: Place) -> Self {
        Self {
            wall,
            tick: ticks(wall, PICTURE_SCALE),
            lasts: 0,
            size,
            keyframe,
            place,
        }
    }
}

/// A moment in ticks since the epoch.
pub(super) fn ticks(at: Timestamp, scale: u32) -> i64 {
    scaled(i128::from(at.as_nanos()), SECOND, scale)
}

/// So many parts of which `from` make a second, in ticks, to the nearest.
fn scaled(value: i128, from: i128, scale: u32) -> i64 {
    let ticks = (value * i128::from(scale) * 2 + from).div_euclid(from * 2);
    i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}

/// Ticks of one scale in those of another, to the nearest.
pub(super) fn rescale(ticks: i64, from: u32, to: u32) -> i64 {
    scaled(i128::from(ticks), i128::from(from.max(1)), to)
}

/// Ticks in nanoseconds, rounded down.
pub(super) fn nanos(ticks: i64, scale: u32) -> i64 {
    let nanos = (i128::from(ticks) * SECOND).div_euclid(i128::from(scale.max(1)));
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

fn shown(sample: &Sample) -> i64 {
    sample.dts.saturating_add(sample.shown_after)
}

/// The frames of a track of a file whose first frame shown was taken at `start`, in ticks of `scale`; those that are hidden
/// in front of it were taken before.
///
/// Times within a file are taken from the file's own ticks, so that they are as even as they were recorded.
pub(super) fn of_file(table: &TrackTable, start: Timestamp, scale: u32) -> Vec<Frame> {
    let Some(first) = table.first_shown() else {
        return Vec::new();
    };
    let (zero, base) = (shown(first), ticks(start, scale));
    let frame = |sample: &Sample| {
        let after = shown(sample).saturating_sub(zero);
        Frame {
            wall: start.offset(nanos(after, table.timescale)),
            tick: base.saturating_add(rescale(after, table.timescale, scale)),
            lasts: rescale(i64::from(sample.duration), table.timescale, scale),
            size: sample.size,
            keyframe: sample.keyframe,
            place: Place::File(sample.offset),
        }
    };
    table.samples.iter().map(frame).collect()
}

/// The units of a track in memory that are not among the `have` last ones of its file.
///
/// File and memory hold the same frames and round their times differently, so what was taken within a moment of the file's
/// last frame is that frame.
pub(super) fn of_memory(edge: &Edge, track: Track, after: Option<Timestamp>, scale: u32) -> Vec<Frame> {
    let wall = |nanos: i64| edge.start.offset(nanos.saturating_sub(edge.first_pts));
    let units = edge.units.iter().enumerate().filter(|(_, unit)| unit.track == track);
    // Told apart by when they are decoded: that goes forward, also where pictures are shown in another order.
    let units = units.filter(|(_, unit)| after.is_none_or(|after| wall(unit.dts) > after));
    let frame = |(number, unit): (usize, &crate::model::Unit)| {
        let taken = wall(unit.pts);
        let lasts = unit.duration.and_then(|nanos| i64::try_from(nanos).ok()).unwrap_or(0);
        Frame {
            wall: taken,
            tick: ticks(taken, scale),
            lasts: scaled(i128::from(lasts), SECOND, scale),
            size: u32::try_from(unit.payload.len()).unwrap_or(u32::MAX),
            keyframe: unit.keyframe || track == Track::Audio,
            place: Place::Memory(number),
        }
    };
    units.map(frame).collect()
}

/// When the last picture of a file ends, on the clock on which its first was taken at `start`.
pub(super) fn last_shown(table: &TrackTable, start: Timestamp) -> Option<Timestamp> {
    let first = shown(table.first_shown()?);
    let ends = table
        .samples
        .iter()
        .map(|sample| shown(sample).saturating_add(i64::from(sample.duration)));
    Some(start.offset(nanos(ends.max()?.saturating_sub(first), table.timescale)))
}

/// When the last sample of a file was decoded, on the clock on which its first was taken at `start`.
pub(super) fn last_decoded(table: &TrackTable, start: Timestamp) -> Option<Timestamp> {
    let (first, last) = (table.first_shown()?, table.samples.last()?);
    Some(start.offset(nanos(last.dts.saturating_sub(shown(first)), table.timescale)))
}
