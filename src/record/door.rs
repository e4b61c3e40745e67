//! A run's door: whether what comes is written or only held, and where one passes into the other.
//!
//! A stretch is what is written between two times in which nothing was. It begins with the group of pictures in which the
//! wanted moment lies and ends before a keyframe, so each stretch is whole and none overlaps another.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Pace, RunId, TimeSource, Timestamp, Unit, VideoFormat};
use crate::pipeline::Fate;
use crate::runtime::Instant;
use crate::storage::TakesOver;

use super::counts::Counts;
use super::piece::{Origins, source_at};
use super::relay::{Doubled, Go, KEPT_BACK, Line, Offer, Relay};
use super::run::{Inner, Run, RunNews};
use super::tail::Strand;

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

/// After so long it is well known when frames come.
const CERTAIN: Duration = Duration::from_secs(1);
/// Maps that are further apart than this go by different clocks.
const ANOTHER_CLOCK: Duration = Duration::from_secs(1);

/// On what terms a run begins.
#[derive(Debug)]
pub(super) struct Terms {
    /// Segments are this long.
    pub(super) segment: Duration,
    /// Whose clock places footage.
    pub(super) source: TimeSource,
    /// Whether the camera's ticks are believed to begin with.
    pub(super) ticks_are_believed: bool,
    /// Footage before this is there already.
    pub(super) floor: Option<Timestamp>,
    /// Whether it writes from its first frame on.
    pub(super) writes: bool,
    /// How much of the past it has to hold while it does not write.
    pub(super) memory: Duration,
    /// Whether its files are written to the mirror too.
    pub(super) mirrored: bool,
    /// Where each unit goes as well.
    pub(super) tail: Strand,
    /// The run from which it takes over is to say where it begins.
    pub(super) takes: Option<Arc<Relay>>,
    /// What came of the camera so far.
    pub(super) counts: Arc<Counts>,
}

impl Run {
    /// From here on units are written, and of those that are held the ones from `from` on.
    pub(super) fn write(&self, from: Instant) {
        let mut inner = self.lock();
        inner.takes = None;
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
        inner.takes = None;
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

    /// Tells the map when a unit came.
    pub(super) fn date(&self, inner: &mut Inner, unit: &Unit, arrival: Instant) {
        // What may be taken back is of one segment, which does not end before it is decided.
        if inner.redate && unit.keyframe && inner.gives.is_none() {
            inner.redate = false;
            if matches!(inner.door, Door::Open | Door::Closing(_)) && !inner.is_fresh {
                // The segment that is being written ends by the old map first.
                inner.redated = Some(unit.pts);
                return;
            }
            self.begin_map(inner, inner.origins.run);
            // What is written next follows on nothing: its times are of another clock.
            inner.shut = inner.shut.map(|(_, end)| (i64::MIN, end));
        }
        inner.map.observe(unit.pts, arrival);
    }

    /// What becomes of a unit that has come.
    pub(super) fn pass(&self, inner: &mut Inner, unit: &Unit) -> Fate {
        // Everything up to the unit before this one is in this run's journal by now.
        if let Some(doubled) = inner.doubled.take() {
            doubled.lane.take_back(doubled.from.at);
        }
        if let Some(fate) = self.take_over(inner, unit) {
            return fate;
        }
        let write = Fate::Write { from: unit.pts };
        match inner.door {
            Door::Open => return self.give(inner, unit).unwrap_or(write),
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

    /// Another run shall take over from this one, which keeps back a little of what it writes until that is done.
    pub(super) fn give_to(&self, relay: Arc<Relay>) {
        self.lock().gives = Some((relay, Line::default()));
    }

    /// Nothing comes of that.
    pub(super) fn keep_on(&self) {
        self.lock().gives = None;
    }

    /// What becomes of a unit of a run that may have to give it to another.
    fn give(&self, inner: &mut Inner, unit: &Unit) -> Option<Fate> {
        let Inner {
            gives: Some((relay, line)),
            map,
            pieces,
            is_fresh: false,
            ..
        } = inner
        else {
            return None;
        };
        let journal = |at| {
            let segment = pieces.back()?.id;
            let lane = self.lane.clone()?;
            let from = TakesOver { segment, at };
            Some(Doubled { from, lane })
        };
        let Some(end) = relay.answer(line, map, unit, journal) else {
            let behind = unit.pts.saturating_sub(KEPT_BACK);
            return Some(Fate::WriteLate { behind });
        };
        if let Some(piece) = pieces.back_mut().filter(|piece| !piece.is_finished()) {
            piece.hand_over(map, &end, line);
        }
        inner.last_end = Some(end.wall);
        inner.over = true;
        Some(Fate::End { at: end.at })
    }

    /// What becomes of a unit of a run that waits to take over, if it need not wait any longer.
    fn take_over(&self, inner: &mut Inner, unit: &Unit) -> Option<Fate> {
        let relay = inner.takes.clone()?;
        let Some(go) = relay.go() else {
            if unit.keyframe {
                let (pts, map) = (unit.pts, &inner.map);
                relay.offer(|| Offer {
                    pts,
                    came: map.came_at(pts),
                    is_certain: map.observed() >= CERTAIN,
                    payload: unit.payload.clone(),
                });
            }
            return None;
        };
        (inner.takes, inner.door) = (None, Door::Open);
        Some(match go {
            Go::After { pts, end, doubled } => {
                inner.doubled = doubled;
                // The two maps know the same moment to some milliseconds. When they do not, another clock was chosen.
                match inner.map.wall_at(pts).nanos_since(end).unsigned_abs() < ANOTHER_CLOCK.as_nanos() as u64 {
                    true => inner.shut = Some((pts, end)),
                    false => inner.floor = Some(end),
                }
                Fate::Write { from: pts }
            }
            Go::Alone(end) => {
                inner.floor = end.or(inner.floor);
                let from = end.map_or(i64::MIN, |end| inner.map.pts_of(end));
                Fate::Write { from }
            }
        })
    }

    /// The last segment ends where this unit, a keyframe, begins.
    fn shut(&self, inner: &mut Inner, unit: &Unit) {
        Self::tell_pauses(inner, unit);
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
        inner.map.follow(now, inner.ticks.are_believed());
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
        // Between two stretches nothing was wanted: that is no pause.
        inner.pace = Pace::default();
        inner.pace.came(unit.pts, unit.dts);
        self.begin_piece(inner, format, unit, start, now);
        self.tell(RunNews::Resumed);
    }

    /// The camera's ticks go on, but the wall clock was set: another run begins here, whose map knows only the new time.
    pub(super) fn begin_redated(&self, inner: &mut Inner, format: VideoFormat, unit: &Unit, now: Instant) {
        inner.redated = None;
        Self::tell_pauses(inner, unit);
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
