//! A stretch of footage without a seam: what one file has, or what memory has beyond it, in order of decoding.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::{Hole, Pauses, RunId, Segment, SegmentId, SegmentState, Span, Timestamp, Track, Unit};
use crate::storage::Piece;

use super::footage::Footage;
use super::live::{SAME, is_overlapping};
use super::look::{Look, Sound, look_of, look_of_memory, sound_of, sound_of_memory};
use super::table::{Frame, PICTURE_SCALE, Place, last_decoded, of_file, of_memory, ticks};

/// Footage of one run may have so long a pause where a file ends and the next begins, or a file and what memory has.
pub(super) const SEAM: Duration = Duration::from_secs(1);

/// Pictures without a seam, and their sound.
#[derive(Debug, Clone)]
pub(super) struct Strip {
    pub(super) segment: SegmentId,
    pub(super) run: RunId,
    sequence: u32,
    pub(super) retaken: bool,
    /// The clock was set back before it: it begins at a time that what was before has as well.
    pub(super) begins_again: bool,
    pub(super) look: Look,
    pub(super) entry: Bytes,
    /// Pictures in order of decoding, a keyframe first; never none.
    pub(super) frames: Vec<Frame>,
    /// From here on its pictures are footage, where it begins with some that are only decoded.
    pub(super) shown_from: Option<Timestamp>,
    /// Before its first picture lie some of its footage that cannot be decoded.
    pub(super) torn: Option<Span>,
    /// Where the last picture shown ends.
    pub(super) end: Timestamp,
    pub(super) sound: Option<Sound>,
    /// The file of pictures that were encoded anew. What there is of sound lies where it was.
    anew: Option<Arc<Path>>,
    /// What stands in front of its keyframes, when the track's own description does not say how they are decoded.
    pub(super) sets: Option<Bytes>,
    /// What stands in front of the keyframes of strips that follow, when a decoder may know them no more.
    pub(super) sets_after: Option<Bytes>,
    path: Arc<Path>,
    units: Arc<[Unit]>,
}

impl Strip {
    /// What a footage has, in parts between its holes; nothing when there is no frame that could be shown.
    pub(super) fn of(footage: Footage) -> Vec<Self> {
        let (mut known, is_open) = (
            footage.segment.holes.clone(),
            footage.segment.state == SegmentState::Open,
        );
        let begins_again = footage.begins_again;
        let strips = Self::whole(footage).into_iter().flat_map(|strip| {
            // The row of a segment that grows may not tell of its last pause yet.
            if is_open {
                known = strip.holes_beside(&known);
            }
            strip.split(&known)
        });
        let mut strips: Vec<Self> = strips.collect();
        if let Some(first) = strips.first_mut() {
            first.begins_again = begins_again;
        }
        strips
    }

    fn whole(footage: Footage) -> Vec<Self> {
        let Footage {
            segment,
            path,
            movie,
            edge,
            begins_again: _,
        } = footage;
        // The row of an open segment may be older than what memory says of the same start.
        let start = edge.as_ref().map_or(segment.span.start, |edge| edge.start);
        let whole = !movie.cut && movie.frames() == segment.frames && segment.state == SegmentState::Closed;
        let video = movie.video.filter(|table| !table.samples.is_empty());
        let audio = movie.audio.as_ref();
        let units: Arc<[Unit]> = edge.as_ref().map(|edge| edge.units.clone().into()).unwrap_or_default();
        let make = |frames: Vec<Frame>, look: Look, entry: Bytes, sound: Option<Sound>| {
            Self::new(&segment, start, &path, &units, whole, frames, look, entry, sound)
        };
        let of_file = video.as_ref().and_then(|table| {
            let (look, entry) = look_of(table)?;
            let sound = audio.map(|audio| sound_of(audio, table, start));
            make(of_file(table, start, PICTURE_SCALE), look, entry, sound)
        });
        let Some(edge) = edge else {
            return of_file.into_iter().collect();
        };
        let known = video.as_ref().and_then(|table| last_decoded(table, start));
        let newer = of_memory(&edge, Track::Video, known.map(|at| at.offset(SAME)), PICTURE_SCALE);
        let track = of_file.as_ref().and_then(|strip| strip.sound.as_ref());
        let heard = track.and_then(|sound| sound.frames.last().map(|last| last.wall));
        let track = track.map(|sound| Sound {
            entry: sound.entry.clone(),
            config: sound.config.clone(),
            scale: sound.scale,
            frames: Vec::new(),
        });
        let sound = track.or_else(|| sound_of_memory(&edge)).map(|track| Sound {
            frames: of_memory(&edge, Track::Audio, heard.map(|at| at.offset(SAME)), track.scale),
            ..track
        });
        match of_file {
            Some(mut strip) if is_overlapping(&edge, known) || strip.goes_on_with(&newer) => {
                strip.frames.extend(newer);
                strip.drop_early();
                strip.end = strip.natural_end(None);
                match (&mut strip.sound, sound) {
                    (Some(own), Some(newer)) => own.frames.extend(newer.frames),
                    (own, newer) => *own = own.take().or(newer.filter(|sound| !sound.frames.is_empty())),
                }
                vec![strip]
            }
            of_file => {
                let look = of_file
                    .as_ref()
                    .map(|strip| (strip.look.clone(), strip.entry.clone()))
                    .or_else(|| look_of_memory(&edge.format, &edge.caps.video));
                let in_memory = look.and_then(|(look, entry)| make(newer, look, entry, sound));
                of_file.into_iter().chain(in_memory).collect()
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the one place where all of it comes together")]
    fn new(
        segment: &Segment,
        start: Timestamp,
        path: &Arc<Path>,
        units: &Arc<[Unit]>,
        whole: bool,
        mut frames: Vec<Frame>,
        look: Look,
        entry: Bytes,
        sound: Option<Sound>,
    ) -> Option<Self> {
        let first = frames.iter().position(|frame| frame.keyframe)?;
        frames.drain(..first);
        let begins = frames.first().map_or(start, |first| first.wall);
        let mut strip = Self {
            segment: segment.id,
            run: segment.run,
            sequence: segment.sequence,
            retaken: false,
            begins_again: false,
            look,
            entry,
            shown_from: (begins < start).then_some(start),
            frames,
            torn: None,
            end: segment.span.end,
            sound: sound.filter(|sound| !sound.frames.is_empty()),
            anew: None,
            sets: None,
            sets_after: None,
            path: path.clone(),
            units: units.clone(),
        };
        strip.end = strip.natural_end(whole.then_some(segment.span.end));
        Some(strip)
    }

    /// The holes that are known, and the pauses between its pictures of which nobody has told.
    fn holes_beside(&self, known: &[Hole]) -> Vec<Hole> {
        let mut walls: Vec<i64> = self.frames.iter().map(|frame| frame.wall.as_nanos()).collect();
        walls.sort_unstable();
        let whole = Span::new(self.start(), self.end);
        let pauses = Pauses::between(walls.into_iter().map(|wall| (wall, wall)));
        let mut found = pauses.holes(whole, Timestamp::from_nanos);
        found.retain(|pause| known.iter().all(|hole| !hole.span.overlaps(&pause.span)));
        found.extend(known);
        found.sort_by_key(|hole| hole.span);
        found
    }

    /// Its parts between holes. A part behind a hole that goes on inside a group of pictures has that group from its keyframe on,
    /// to be decoded and hidden.
    fn split(mut self, holes: &[Hole]) -> Vec<Self> {
        let mut parts = Vec::new();
        for hole in holes {
            // No frame lies near the middle of a hole, however its edges are rounded.
            let middle = hole.span.start.plus(hole.span.duration() / 2);
            let is_behind = |frame: &Frame| frame.wall >= middle;
            if self.frames.iter().all(is_behind) {
                continue;
            }
            let behind = self.frames.iter().position(is_behind).map(|at| {
                let before = self.frames.get(..=at).unwrap_or_default();
                let keyframe = before.iter().rposition(|frame| frame.keyframe).unwrap_or(at);
                let mut behind = self.clone();
                behind.frames.drain(..keyframe);
                if keyframe < at {
                    behind.shown_from = behind
                        .frames
                        .iter()
                        .filter(|frame| is_behind(frame))
                        .map(|frame| frame.wall)
                        .min();
                }
                if let Some(sound) = &mut behind.sound {
                    sound.frames.retain(is_behind);
                }
                behind
            });
            self.frames.retain(|frame| !is_behind(frame));
            if let Some(sound) = &mut self.sound {
                sound.frames.retain(|frame| !is_behind(frame));
            }
            self.end = self.end.min(hole.span.start);
            let Some(behind) = behind else { break };
            parts.push(std::mem::replace(&mut self, behind));
        }
        parts.push(self);
        parts
    }

    /// Where the last picture ends: where the index says, when nothing lacks; else as long after it as pictures lie apart.
    fn natural_end(&self, told: Option<Timestamp>) -> Timestamp {
        let (mut last, mut before) = (Timestamp::MIN, Timestamp::MIN);
        for frame in &self.frames {
            if frame.wall > last {
                (before, last) = (last, frame.wall);
            } else if frame.wall > before && frame.wall < last {
                before = frame.wall;
            }
        }
        let apart = last.since(before);
        let apart = if before > Timestamp::MIN && apart <= SEAM {
            apart
        } else {
            USUAL
        };
        told.filter(|told| *told > last).unwrap_or_else(|| last.plus(apart))
    }

    /// Whether what memory has follows what the file has without a frame missing.
    fn goes_on_with(&self, newer: &[Frame]) -> bool {
        newer
            .first()
            .is_none_or(|first| !first.keyframe || first.wall <= self.end.plus(SEAM))
    }

    /// Whether a picture of it is footage, and not only decoded.
    pub(super) fn is_shown(&self, frame: &Frame) -> bool {
        self.shown_from.is_none_or(|from| frame.wall >= from)
    }

    /// When its first picture was taken.
    pub(super) fn start(&self) -> Timestamp {
        match self.shown_from {
            None => self.frames.first().map_or(self.end, |first| first.wall),
            Some(_) => self.earliest(),
        }
    }

    /// The earliest picture of it, also one that is shown before its first keyframe and needs what was before that.
    pub(super) fn earliest(&self) -> Timestamp {
        let shown = self.frames.iter().filter(|frame| self.is_shown(frame));
        shown.map(|frame| frame.wall).min().unwrap_or(self.end)
    }

    /// Leaves out pictures that are shown before the first: without the footage before they cannot be decoded.
    pub(super) fn drop_early(&mut self) {
        let start = self.frames.first().map_or(self.end, |first| first.wall);
        self.frames.retain(|frame| frame.wall >= start);
    }

    /// Leaves out pictures that are decoded after that of this time and shown before it.
    pub(super) fn leave_out_early(&mut self, first: Timestamp) {
        let mut is_behind = false;
        self.frames.retain(|frame| {
            is_behind |= frame.wall == first;
            !is_behind || frame.wall >= first
        });
    }

    /// Goes on with the keyframe of this time, without what is shown before it.
    pub(super) fn leave_out_before(&mut self, keyframe: Timestamp) {
        let at = self
            .frames
            .iter()
            .position(|frame| frame.keyframe && frame.wall >= keyframe);
        self.frames.drain(..at.unwrap_or(0));
        self.frames.retain(|frame| frame.wall >= keyframe);
        self.shown_from = None;
    }

    /// The same with other pictures, encoded anew, which lie in a file of their own.
    pub(super) fn retaken(
        &self,
        frames: Vec<Frame>,
        look: Look,
        entry: Bytes,
        anew: Arc<Path>,
        end: Timestamp,
    ) -> Self {
        Self {
            retaken: true,
            frames,
            look,
            entry,
            anew: Some(anew),
            shown_from: None,
            end,
            ..self.clone()
        }
    }

    /// Whether another strip goes on where this one ends, with nothing lost between them.
    pub(super) fn joins(&self, next: &Self) -> bool {
        if self.segment == next.segment {
            return next.start() <= self.end.plus(SEAM);
        }
        let follows = self.run == next.run && self.sequence.checked_add(1) == Some(next.sequence);
        follows && next.start() <= self.end.plus(SEAM)
    }

    /// Whether one file can hold both.
    pub(super) fn fits(&self, next: &Self) -> bool {
        self.look == next.look
    }

    /// The bytes of a picture.
    pub(super) fn piece(&self, frame: &Frame) -> Piece {
        self.piece_in(self.anew.as_ref().unwrap_or(&self.path), frame)
    }

    /// The bytes of a packet of sound.
    pub(super) fn sound_piece(&self, frame: &Frame) -> Piece {
        self.piece_in(&self.path, frame)
    }

    fn piece_in(&self, path: &Arc<Path>, frame: &Frame) -> Piece {
        match frame.place {
            Place::File(offset) => Piece::File {
                path: path.clone(),
                offset,
                length: u64::from(frame.size),
            },
            Place::Memory(number) => Piece::Bytes(
                self.units
                    .get(number)
                    .map(|unit| unit.payload.clone())
                    .unwrap_or_default(),
            ),
        }
    }
}

/// How long a single picture lasts when nothing says it: one of 25 a second.
const USUAL: Duration = Duration::from_millis(40);

/// A moment in ticks of the pictures.
pub(super) fn picture_ticks(at: Timestamp) -> i64 {
    ticks(at, PICTURE_SCALE)
}
