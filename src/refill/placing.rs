//! When frames that came were taken, on this box's clock. Pure.
//!
//! The camera tells by its own clock, whose distance from this box's was measured. Better than any measurement is a frame that
//! is here already: the camera is asked for a little more than what lacks, and a frame that has the same bytes as one at the
//! edge of the gap is that one. What the two say of its time is the distance of the clocks, to the frame.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::model::{Span, Timestamp};
use crate::pipeline::TakenBy;

/// What is known of a frame that came, but for its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// When it came in the stream, on the stream's own scale, in nanoseconds.
    pub(super) pts: i64,
    /// When it was taken by the camera's clock, where that was told.
    pub(super) taken: Option<(Timestamp, TakenBy)>,
    /// Whether decoding can start here.
    pub(super) keyframe: bool,
    /// Packets that are missing before it.
    pub(super) lost: u64,
    /// Which of the kinds of pictures it is.
    pub(super) look: usize,
    /// How many bytes it has, and where they are.
    pub(super) size: u32,
    pub(super) offset: u64,
    /// What tells its bytes from others.
    pub(super) crc: u32,
}

/// A frame that is here already, at the edge of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// When it was taken, by this box's clock.
    pub(super) wall: Timestamp,
    pub(super) keyframe: bool,
    pub(super) size: u32,
    pub(super) crc: u32,
}

/// What lies at the two edges of what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Edges {
    /// The last frames before it.
    pub(super) before: Vec<Known>,
    /// The first frames after it.
    pub(super) after: Vec<Known>,
}

/// How frames found their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Some of them are here already.
    Neighbours,
    /// By the camera's clock as it was measured.
    Clock,
    /// Nobody told when they were taken: counted from the moment that was asked for.
    Request,
}

/// Frames in their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// When each was taken, by this box's clock.
    pub(super) walls: Vec<Timestamp>,
    /// How that is known.
    pub(super) by: By,
    /// How far the camera's clock is ahead, in nanoseconds.
    pub(super) ahead_ns: i64,
    /// Which of them are here already, in the order in which they came.
    pub(super) here: Vec<bool>,
}

/// Reports that say another time than that of a replay are those of now: some cameras send them so.
const NEAR: Duration = Duration::from_secs(120);
/// From one report to the next the camera's clock moves less than this.
const STEP: i64 = 500_000_000;
/// Frames at one edge that agree within this are the same ones, each.
const AGREE: i64 = 100_000_000;
/// A frame of fewer bytes may be like another one by chance.
const TELLING: u32 = 64;
/// So many frames that are too small to tell anything tell something together.
const ENOUGH: i64 = 3;
/// What lies between two frames when nothing says it.
const USUAL: i64 = 40_000_000;
/// A longer pause than this, or than three frames, is a hole in what came.
pub(super) const PAUSE: i64 = 1_000_000_000;
/// Clocks that move so far from each other over a gap were set in it, and nobody knows when.
const DRIFT: i64 = 2_000_000_000;

/// Places frames that were asked for by `asked`, on a camera's clock that is `ahead_ns` ahead. `edges` are those of each hole
/// that is to be filled, in order of time.
pub(super) fn place(frames: &[Frame], asked: Span, ahead_ns: i64, edges: &[Edges]) -> Placed {
    let (camera, is_told) = camera_times(frames, asked);
    let stream = Stream::new(frames, &camera);
    let mut ties: Vec<Tie> = Vec::new();
    let mut here = vec![false; frames.len()];
    for (known, is_before) in edges
        .iter()
        .flat_map(|edge| [(&edge.before, true), (&edge.after, false)])
    {
        let again = stream.find(known, ahead_ns, ties.last());
        let nearest = match is_before {
            true => again.iter().max_by_key(|found| found.wall),
            false => again.iter().min_by_key(|found| found.wall),
        };
        let Some(tie) = nearest.and_then(|found| Some(Tie::new(*camera.get(found.number)?, found.wall))) else {
            continue;
        };
        if ties.last().is_some_and(|last| tie.taken < last.taken) {
            continue;
        }
        for found in &again {
            if let Some(is_here) = here.get_mut(found.number) {
                *is_here = true;
            }
        }
        ties.push(tie);
    }
    Placed {
        walls: camera.iter().map(|taken| wall_at(&ties, *taken, ahead_ns)).collect(),
        by: match ties.is_empty() {
            false => By::Neighbours,
            true if is_told => By::Clock,
            true => By::Request,
        },
        ahead_ns: ties.first().filter(|_| is_told).map_or(ahead_ns, |tie| -tie.apart),
        here,
    }
}

/// A moment by both clocks.
#[derive(Debug, Clone, Copy)]
struct Tie {
    /// By the camera's.
    taken: Timestamp,
    /// How far this box's is ahead, in nanoseconds.
    apart: i64,
}

impl Tie {
    fn new(taken: Timestamp, wall: Timestamp) -> Self {
        let apart = wall.nanos_since(taken);
        Self { taken, apart }
    }
}

/// A moment of the camera by this box's clock: exact at each tie, and even between two of them.
fn wall_at(ties: &[Tie], taken: Timestamp, ahead_ns: i64) -> Timestamp {
    let next = ties.partition_point(|tie| tie.taken <= taken);
    let (before, after) = (next.checked_sub(1).and_then(|last| ties.get(last)), ties.get(next));
    let apart = match (before, after) {
        (Some(before), Some(after)) => {
            let between = i128::from(after.taken.nanos_since(before.taken).max(1));
            let share = i128::from(taken.nanos_since(before.taken));
            let drift = i128::from(after.apart - before.apart) * share / between;
            before.apart + i64::try_from(drift).unwrap_or(0)
        }
        (Some(only), None) | (None, Some(only)) => only.apart,
        (None, None) => -ahead_ns,
    };
    taken.offset(apart)
}

/// When each frame was taken by the camera's clock, and whether the camera told.
fn camera_times(frames: &[Frame], asked: Span) -> (Vec<Timestamp>, bool) {
    let near = Span::new(asked.start.minus(NEAR), asked.end.plus(NEAR));
    let believed = |frame: &Frame| {
        frame
            .taken
            .filter(|(taken, by)| *by == TakenBy::Extension || near.contains(*taken))
    };
    let Some(told) = frames.iter().find_map(|frame| Some((frame.pts, believed(frame)?.0))) else {
        return (count_from(frames, asked.start), false);
    };
    if are_of_sending(frames, told, &believed) {
        return (count_from(frames, asked.start), false);
    }
    let mut tie = told;
    let times = frames.iter().map(|frame| {
        let counted = tie.1.offset(frame.pts.saturating_sub(tie.0));
        match believed(frame) {
            Some((taken, TakenBy::Extension)) => {
                tie = (frame.pts, taken);
                taken
            }
            // Frames keep their true distances: what a report says anew is taken only where it says that something is missing.
            Some((taken, TakenBy::Reports)) if taken.nanos_since(counted).abs() > STEP => {
                tie = (frame.pts, taken);
                taken
            }
            _ => counted,
        }
    });
    (times.collect(), true)
}

/// Frames dated by their distances from the first.
fn count_from(frames: &[Frame], start: Timestamp) -> Vec<Timestamp> {
    let first = frames.first().map_or(0, |frame| frame.pts);
    let counted = |frame: &Frame| start.offset(frame.pts.saturating_sub(first));
    frames.iter().map(counted).collect()
}

/// Whether reports tell when frames are sent: then they fall behind frames that come faster than they were taken. Footage that
/// lacks makes them run ahead.
fn are_of_sending(
    frames: &[Frame],
    told: (i64, Timestamp),
    believed: &dyn Fn(&Frame) -> Option<(Timestamp, TakenBy)>,
) -> bool {
    let falls_behind = |frame: &Frame| match believed(frame) {
        Some((taken, TakenBy::Reports)) => {
            let counted = told.1.offset(frame.pts.saturating_sub(told.0));
            taken.nanos_since(counted) < -STEP
        }
        _ => false,
    };
    frames.iter().any(falls_behind)
}

/// What usually lies between two frames that follow one another.
pub(super) fn usual_interval(walls: &[Timestamp]) -> i64 {
    let mut sorted = walls.to_vec();
    sorted.sort_unstable();
    let steps = sorted.windows(2).map(|pair| pair[1].nanos_since(pair[0]));
    let mut steps: Vec<i64> = steps.filter(|step| *step > 0 && *step <= PAUSE).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(USUAL)
}

/// A frame that came and is here already.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Which of those that came.
    number: usize,
    /// When it was taken, by this box's clock.
    wall: Timestamp,
}

/// What came, to be looked through for frames that are here already.
struct Stream<'a> {
    frames: &'a [Frame],
    camera: &'a [Timestamp],
    /// By their bytes.
    alike: HashMap<(u32, u32), Vec<usize>>,
    interval: i64,
}

impl<'a> Stream<'a> {
    fn new(frames: &'a [Frame], camera: &'a [Timestamp]) -> Self {
        let mut alike: HashMap<(u32, u32), Vec<usize>> = HashMap::new();
        for (number, frame) in frames.iter().enumerate() {
            alike.entry((frame.size, frame.crc)).or_default().push(number);
        }
        let interval = usual_interval(camera);
        Self {
            frames,
            camera,
            alike,
            interval,
        }
    }

    /// Those of `known` that came again. Bytes that are there more than once are told apart by their times.
    fn find(&self, known: &[Known], ahead_ns: i64, tie: Option<&Tie>) -> Vec<Found> {
        let expected = tie.map_or(-ahead_ns, |tie| tie.apart);
        let drifts = |apart: &i64| tie.is_none_or(|tie| (apart - tie.apart).abs() <= DRIFT);
        let near = self.apart_by_order(known, expected);
        let single = self.apart_by_bytes(known).filter(drifts);
        let apart = match (near, single) {
            // Pictures that come again and again, group by group, fit in many places: they are where they are expected.
            (Some((0, apart)), _) | (None | Some(_), Some(apart)) | (Some((_, apart)), None) => apart,
            (None, None) => return Vec::new(),
        };
        let mut taken = HashSet::new();
        let found = known.iter().filter_map(|frame| {
            let alike = self.alike.get(&(frame.size, frame.crc))?;
            let agree = if alike.len() == 1 { AGREE } else { self.interval / 2 };
            let off = |number: &usize| {
                let camera = self.camera.get(*number)?;
                Some((frame.wall.nanos_since(*camera) - apart).abs()).filter(|off| *off <= agree)
            };
            let free = alike.iter().filter(|number| !taken.contains(*number));
            let (_, number) = free.filter_map(|number| Some((off(number)?, *number))).min()?;
            taken.insert(number);
            Some(Found {
                number,
                wall: frame.wall,
            })
        });
        found.collect()
    }

    /// How far this box's clock is ahead of the camera's, by frames whose bytes are there once only.
    fn apart_by_bytes(&self, known: &[Known]) -> Option<i64> {
        let mut times: HashMap<(u32, u32), usize> = HashMap::new();
        for frame in known {
            *times.entry((frame.size, frame.crc)).or_default() += 1;
        }
        let single = known.iter().filter_map(|frame| {
            let bytes = (frame.size, frame.crc);
            let [number] = self.alike.get(&bytes)?.as_slice() else {
                return None;
            };
            let is_telling = frame.size >= TELLING && times.get(&bytes) == Some(&1);
            let camera = self.camera.get(*number).filter(|_| is_telling)?;
            Some(frame.wall.nanos_since(*camera))
        });
        let mut aparts: Vec<i64> = single.collect();
        aparts.sort_unstable();
        let middle = *aparts.get(aparts.len() / 2)?;
        let agreed = aparts.iter().filter(|apart| (*apart - middle).abs() <= AGREE).count();
        // One that disagrees with most was like another by chance.
        (agreed * 2 > aparts.len()).then_some(middle)
    }

    /// The same near what is expected, frame by frame in the order in which they came: frames may all look like others, as those
    /// of a still picture do. With it comes how many frames do not fit; of what fits as well it is the nearest.
    fn apart_by_order(&self, known: &[Known], expected: i64) -> Option<(i64, i64)> {
        let mut fits: BTreeMap<i64, (i64, bool)> = BTreeMap::new();
        for (place, frame) in (0i64..).zip(known) {
            for number in self.alike.get(&(frame.size, frame.crc)).into_iter().flatten() {
                let apart = frame.wall.nanos_since(*self.camera.get(*number)?);
                if (apart - expected).abs() <= DRIFT {
                    let (fit, is_telling) = fits.entry(i64::try_from(*number).ok()? - place).or_default();
                    *fit += 1;
                    *is_telling |= frame.size >= TELLING;
                }
            }
        }
        let (came, count) = (i64::try_from(self.frames.len()).ok()?, i64::try_from(known.len()).ok()?);
        let judged = fits.into_iter().filter_map(|(shift, (fit, is_telling))| {
            let (from, until) = ((-shift).max(0), (came - shift).min(count));
            let odd = until - from - fit;
            let middle = from + (until - from) / 2;
            let frame = known.get(usize::try_from(middle).ok()?)?;
            let taken = self.camera.get(usize::try_from(middle + shift).ok()?)?;
            let apart = frame.wall.nanos_since(*taken);
            let is_enough = is_telling || fit >= ENOUGH;
            (is_enough && odd * 10 <= fit).then_some((odd, (apart - expected).abs(), apart))
        });
        judged.min().map(|(odd, _, apart)| (odd, apart))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const FRAME: i64 = 40_000_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + millis)
    }

    /// Frame `n` of a camera, taken at `n` frames from zero by this box's clock.
    fn frame(n: i64, ahead_ns: i64, by: Option<TakenBy>) -> Frame {
        Frame {
            pts: 5_000_000 + n * FRAME,
            taken: by.map(|by| (at(n * 40).offset(ahead_ns), by)),
            keyframe: n % 25 == 0,
            lost: 0,
            look: 0,
            size: (100 + n) as u32,
            offset: 0,
            crc: n as u32,
        }
    }

    fn known(n: i64, late_ns: i64) -> Known {
        Known {
            wall: at(n * 40).offset(late_ns),
            keyframe: n % 25 == 0,
            size: (100 + n) as u32,
            crc: n as u32,
        }
    }

    fn asked() -> Span {
        Span::new(at(0), at(8000))
    }

    #[test]
    fn a_camera_s_own_times_are_taken_back_by_what_its_clock_is_ahead() {
        let ahead = 37_000_000_000;
        let frames: Vec<Frame> = (0..50).map(|n| frame(n, ahead, Some(TakenBy::Extension))).collect();
        let placed = place(&frames, asked(), ahead, &[]);
        assert_eq!(placed.by, By::Clock);
        assert_eq!(placed.walls, (0..50).map(|n| at(n * 40)).collect::<Vec<_>>());
    }

    #[test]
    fn frames_that_are_here_already_know_better_than_any_clock() {
        // The measurement was 300 ms off, an hour off, or nothing was told at all.
        for (ahead, by) in [
            (300_000_000, Some(TakenBy::Extension)),
            (3_600_000_000_000, Some(TakenBy::Extension)),
            (-70_000_000, Some(TakenBy::Reports)),
            (0, None),
        ] {
            let frames: Vec<Frame> = (10..60).map(|n| frame(n, ahead, by)).collect();
            let edges = Edges {
                before: (0..20).map(|n| known(n, 0)).collect(),
                after: (50..80).map(|n| known(n, 0)).collect(),
            };
            let placed = place(&frames, asked(), 0, std::slice::from_ref(&edges));
            assert_eq!(placed.by, By::Neighbours, "{ahead}");
            assert_eq!(
                placed.walls,
                (10..60).map(|n| at(n * 40)).collect::<Vec<_>>(),
                "{ahead}"
            );
            if by.is_some() {
                assert_eq!(placed.ahead_ns, ahead);
            }
        }
    }

    #[test]
    fn reports_that_begin_late_hold_for_what_came_before_them() {
        let mut frames: Vec<Frame> = (0..50).map(|n| frame(n, 0, Some(TakenBy::Reports))).collect();
        frames.iter_mut().take(30).for_each(|frame| frame.taken = None);
        let placed = place(&frames, asked(), 0, &[]);
        assert_eq!(
            (placed.walls[0], placed.walls[49], placed.by),
            (at(0), at(49 * 40), By::Clock)
        );
    }

    #[test]
    fn reports_that_tell_the_time_of_now_are_not_believed() {
        let later = 86_400_000_000_000;
        let frames: Vec<Frame> = (0..50).map(|n| frame(n, later, Some(TakenBy::Reports))).collect();
        let placed = place(&frames, asked(), 0, &[]);
        assert_eq!((placed.walls[0], placed.by), (asked().start, By::Request));
    }

    #[test]
    fn reports_that_fall_behind_the_frames_are_those_of_sending() {
        // Four times as fast as it was taken, and a report a second.
        let mut frames: Vec<Frame> = (0..200).map(|n| frame(n, 0, None)).collect();
        for (n, frame) in frames.iter_mut().enumerate() {
            let sent = (n as i64 / 25) * 250;
            frame.taken = Some((at(9000 + sent + (n as i64 % 25) * 40), TakenBy::Reports));
        }
        let edges = Edges {
            before: (0..20).map(|n| known(n, 0)).collect(),
            after: (180..200).map(|n| known(n, 0)).collect(),
        };
        let placed = place(&frames, asked(), 0, std::slice::from_ref(&edges));
        assert_eq!(placed.by, By::Neighbours);
        assert_eq!(placed.walls, (0..200).map(|n| at(n * 40)).collect::<Vec<_>>());
        assert_eq!(place(&frames, asked(), 0, &[]).by, By::Request);
    }

    #[test]
    fn a_clock_that_drifts_is_followed_from_edge_to_edge() {
        let frames: Vec<Frame> = (0..=100).map(|n| frame(n, 0, Some(TakenBy::Extension))).collect();
        let edges = Edges {
            before: vec![known(0, 0)],
            after: vec![known(100, 1_000_000)],
        };
        let placed = place(&frames, asked(), 0, std::slice::from_ref(&edges));
        assert_eq!(placed.walls[50], at(2000).offset(500_000));
        assert_eq!(placed.walls[100], at(4000).offset(1_000_000));
    }

    #[test]
    fn frames_that_look_alike_say_nothing() {
        let mut frames: Vec<Frame> = (0..50).map(|n| frame(n, 0, Some(TakenBy::Extension))).collect();
        for frame in &mut frames {
            (frame.size, frame.crc) = (200, 9);
        }
        let alike = Known {
            wall: at(99_000),
            keyframe: false,
            size: 200,
            crc: 9,
        };
        let edges = Edges {
            before: vec![alike],
            after: vec![alike],
        };
        assert_eq!(place(&frames, asked(), 0, std::slice::from_ref(&edges)).by, By::Clock);
    }

    proptest! {
        #[test]
        fn frames_keep_their_order_and_their_distances(
            ahead in -3_700_000_000_000i64..3_700_000_000_000, error in -900_000_000i64..900_000_000,
            first in 0i64..30, count in 1i64..90, by in 0usize..3, overlap in 0i64..12,
        ) {
            let by = [None, Some(TakenBy::Extension), Some(TakenBy::Reports)][by];
            let frames: Vec<Frame> = (first..first + count).map(|n| frame(n, ahead, by)).collect();
            let edges = Edges { before: (first - 5..first + overlap).map(|n| known(n, 0)).collect(), after: vec![] };
            let asked = Span::new(at(first * 40).offset(ahead), at((first + count) * 40).offset(ahead));
            let placed = place(&frames, asked, ahead + error, &[edges]);
            prop_assert!(placed.walls.windows(2).all(|pair| pair[1].nanos_since(pair[0]) == FRAME));
            let off = placed.walls[0].nanos_since(at(first * 40));
            if overlap > 0 {
                prop_assert_eq!((placed.by, off), (By::Neighbours, 0));
            } else {
                prop_assert_eq!(off, -error);
            }
        }
    }
}
