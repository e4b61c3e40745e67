//! A run's door: whether what comes is written or only held, and where one passes into the other.
//!
//! A stretch is what is written between two times in which nothing was. It begins with the group of pictures in which the
//! wanted moment lies and ends before a keyframe, so each stretch is whole and none overlaps another.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{RunId, TimeSource, Timestamp, Unit, VideoFormat};
use crate::pipeline::Fate;
use crate::runtime::Instant;

use super::clockmap::Observation;
use super::piece::{Origins, source_at};
use super::run::{Inner, Run, RunNews};
use super::tail::Tail;

/// Whether units are written or only held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// They are written.
    Open,
    /// They are only held.
    Shut,
    /// From the next unit on they are written, and before it what is held from this moment on.
    Opening(Instant),
    /// They are written up to the first keyframe that is not before this moment.
    Closing(Instant),
}

/// On what terms a run begins.
#[derive(Debug)]
pub(super) struct Terms {
    /// Segments are this long.
    pub(super) segment: Duration,
    /// Whose clock places footage.
    pub(super) source: TimeSource,
    /// Footage before this is there already.
    pub(super) floor: Option<Timestamp>,
    /// Whether it writes from its first frame on.
    pub(super) writes: bool,
    /// How much of the past it has to hold while it does not write.
    pub(super) memory: Duration,
    /// Where each unit goes as well.
    pub(super) tail: Tail,
}

impl Run {
    /// From here on units are written, and of those that are held the ones from `from` on.
    pub(super) fn write(&self, from: Instant) {
        let mut inner = self.lock();
        inner.door = match inner.door {
            Door::Shut => Door::Opening(from),
            // Its file is not ended yet, so it simply goes on.
            Door::Closing(_) => Door::Open,
            same => same,
        };
    }

    /// Up to `until` units are written, and then only held. `false` says that nothing is being written anyway; else
    /// [`RunNews::Held`] comes when it is so.
    pub(super) fn hold(&self, until: Instant) -> bool {
        let mut inner = self.lock();
        let is_writing = match inner.door {
            Door::Open => inner.has_begun,
            Door::Closing(_) => true,
            Door::Opening(_) | Door::Shut => false,
        };
        inner.door = if is_writing { Door::Closing(until) } else { Door::Shut };
        is_writing
    }

    /// From here on so much of the past is held.
    pub(super) fn set_memory(&self, memory: Duration) {
        self.lock().memory = memory;
    }

    /// Whoever set the wall clock wants footage dated by it.
    pub(super) fn redate(&self) {
        self.lock().redate = true;
    }

    /// Tells the map when a unit came. By how much the camera's ticks jumped, if they did.
    pub(super) fn date(&self, inner: &mut Inner, unit: &Unit, arrival: Instant) -> Option<i64> {
        if inner.redate && unit.keyframe {
            inner.redate = false;
            if matches!(inner.door, Door::Open | Door::Closing(_)) && !inner.is_fresh {
                // The segment that is being written ends by the old map first.
                inner.redated = Some(unit.pts);
                return None;
            }
            self.begin_map(inner, inner.origins.run);
            // What is written next follows on nothing: its times are of another clock.
            inner.shut = inner.shut.map(|(_, end)| (i64::MIN, end));
        }
        match inner.map.observe(unit.pts, arrival) {
            Observation::Fits => None,
            Observation::Jumped(nanos) => Some(nanos),
        }
    }

    /// What becomes of a unit that has come.
    pub(super) fn pass(&self, inner: &mut Inner, unit: &Unit) -> Fate {
        let write = Fate::Write { from: unit.pts };
        match inner.door {
            Door::Open => return write,
            Door::Opening(from) => {
                inner.door = Door::Open;
                let from = inner.map.pts_at(from);
                return Fate::Write { from };
            }
            Door::Closing(until) if !(unit.keyframe && unit.pts >= inner.map.pts_at(until)) => return write,
            Door::Closing(_) => self.shut(inner, unit),
            Door::Shut => {}
        }
        let memory = i64::try_from(inner.memory.as_nanos()).unwrap_or(i64::MAX);
        Fate::Hold {
            since: unit.pts.saturating_sub(memory),
        }
    }

    /// The last segment ends where this unit, a keyframe, begins.
    fn shut(&self, inner: &mut Inner, unit: &Unit) {
        let end = inner.map.wall_at(unit.pts);
        let Inner { map, pieces, .. } = &mut *inner;
        let end = match pieces.back_mut().filter(|piece| !piece.is_finished()) {
            Some(piece) => {
                piece.finish(map, Some(end));
                piece.span(map).end
            }
            None => end,
        };
        inner.last_end = Some(end);
        inner.shut = Some((unit.pts, end));
        inner.redated = None;
        (inner.door, inner.is_fresh) = (Door::Shut, true);
        self.tell(RunNews::Held(end));
    }

    /// The first unit of a stretch goes to the writer.
    pub(super) fn begin_stretch(&self, inner: &mut Inner, format: VideoFormat, unit: &Unit, now: Instant) {
        // While nothing was written the map stood still.
        inner.map.follow(now);
        let mut start = None;
        match inner.shut.take() {
            // Not one unit lies between the two stretches: they are one.
            Some((pts, end)) if pts == unit.pts => start = Some(end),
            Some((_, end)) => {
                // Segments of a run join, and between these two lies what nobody wanted: another run.
                inner.floor = Some(end);
                inner.sequence = 0;
                inner.origins = self.origins(inner, RunId(fastrand::u32(..)));
            }
            None => {}
        }
        inner.began = Some((unit.pts, None));
        self.begin_piece(inner, format, unit, start, now);
        self.tell(RunNews::Resumed);
    }

    /// The camera's ticks go on, but the wall clock was set: another run begins here, whose map knows only the new time.
    pub(super) fn begin_redated(&self, inner: &mut Inner, format: VideoFormat, unit: &Unit, now: Instant) {
        inner.redated = None;
        let end = inner.map.wall_at(unit.pts);
        let Inner { map, pieces, .. } = &mut *inner;
        if let Some(last) = pieces.back_mut().filter(|piece| !piece.is_finished()) {
            last.finish(map, Some(end));
        }
        inner.sequence = 0;
        self.begin_map(inner, RunId(fastrand::u32(..)));
        inner.map.observe(unit.pts, now);
        self.begin_piece(inner, format, unit, None, now);
    }

    fn begin_map(&self, inner: &mut Inner, run: RunId) {
        inner.origins = self.origins(inner, run);
        inner.map = inner.map.followed_by(inner.origins.began, self.clock.instant());
    }

    fn origins(&self, inner: &Inner, run: RunId) -> Arc<Origins> {
        let began: Timestamp = self.clock.now();
        Arc::new(Origins {
            run,
            began,
            clock: source_at(began),
            ..(*inner.origins).clone()
        })
    }
}
