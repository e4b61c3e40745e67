//! How one run hands over to another at a frame.
//!
//! ```text
//!   giving run   ... 96 97 98 99 | 100 101 102          kept back for a moment, so that it can be taken back
//!   taking run               97 98 99 | 100 101 102     held in memory; 100 is a keyframe, and offered
//!   written      ... 96 97 98 99 | 100 101 102 ...
//! ```
//!
//! The taking run offers each of its keyframes. The giving run looks for the same frame among what it keeps back: by its
//! bytes, for many cameras encode once for all who look, and else by the time at which it came. Then it ends before that
//! frame, and the other begins with it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::model::{Timestamp, Unit};
use crate::storage::{TailLane, TakesOver};

use super::clockmap::ClockMap;

/// For so long the run that gives keeps back what it has received, in ns of its running time.
pub(super) const KEPT_BACK: i64 = 1_000_000_000;
/// So much later than its time the same frame may come in the other session, in ns.
const LATE: i64 = 400_000_000;
/// Frames further apart than this are not the same, whatever their bytes, in ns.
const APART: i64 = 2_000_000_000;
/// So much of the end of a frame is compared: what stands before it may be written differently for each session.
const COMPARED: usize = 4096;

/// A keyframe with which the taking run could begin.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    /// On the scale of the taking run.
    pub(super) pts: i64,
    /// When it came, without what the network delayed it.
    pub(super) came: Timestamp,
    /// Whether enough was received to know that well.
    pub(super) is_certain: bool,
    /// Its bytes.
    pub(super) payload: Bytes,
}

/// Whose journal still has what the taking run has too.
#[derive(Debug, Clone)]
pub(super) struct Doubled {
    /// How it is told apart, and from where on.
    pub(super) from: TakesOver,
    /// The way to it.
    pub(super) lane: TailLane,
}

/// How the taking run may begin.
#[derive(Debug, Clone)]
pub(super) enum Go {
    /// With the keyframe of this time, where the other has ended.
    After {
        /// On the scale of the taking run.
        pts: i64,
        /// The end of the other's last frame.
        end: Timestamp,
        /// The other's journal.
        doubled: Option<Doubled>,
    },
    /// With what it has; the other has ended by itself, here.
    Alone(Option<Timestamp>),
}

#[derive(Debug)]
enum Stage {
    /// Nothing is offered.
    Open,
    Offered(Offer),
    Go(Go),
    CalledOff,
}

/// What the two runs and their driver share of a hand-over.
#[derive(Debug)]
pub(super) struct Relay(Mutex<(Stage, bool)>);

impl Relay {
    pub(super) fn new() -> Self {
        Self(Mutex::new((Stage::Open, false)))
    }

    /// The taking run could begin here.
    pub(super) fn offer(&self, offer: impl FnOnce() -> Offer) {
        let (stage, _) = &mut *self.lock();
        if matches!(stage, Stage::Open) {
            *stage = Stage::Offered(offer());
        }
    }

    /// How the taking run may begin, once it may.
    pub(super) fn go(&self) -> Option<Go> {
        match &self.lock().0 {
            Stage::Go(go) => Some(go.clone()),
            _ => None,
        }
    }

    /// The giving run answers what is offered. Where it ends, if it does; `journal` says who has what was given from there on.
    pub(super) fn answer(
        &self,
        line: &Line,
        map: &ClockMap,
        unit: &Unit,
        journal: impl FnOnce(i64) -> Option<Doubled>,
    ) -> Option<End> {
        let (stage, is_held) = &mut *self.lock();
        let Stage::Offered(offer) = stage else { return None };
        if *is_held {
            return None;
        }
        match judge(offer, line, map, unit) {
            Verdict::Wait => None,
            Verdict::Refuse => {
                *stage = Stage::Open;
                None
            }
            Verdict::Take(end) => {
                let pts = offer.pts;
                *stage = Stage::Go(Go::After {
                    pts,
                    end: end.wall,
                    doubled: journal(end.at),
                });
                Some(end)
            }
        }
    }

    /// The giving run has ended by itself.
    pub(super) fn go_alone(&self, end: Option<Timestamp>) {
        let (stage, _) = &mut *self.lock();
        if !matches!(stage, Stage::Go(_)) {
            *stage = Stage::Go(Go::Alone(end));
        }
    }

    /// Nothing comes of it.
    pub(super) fn call_off(&self) {
        self.lock().0 = Stage::CalledOff;
    }

    /// Nothing is decided for as long as this says so; whether it is decided already.
    pub(super) fn hold(&self, is_held: bool) -> bool {
        let mut inner = self.lock();
        inner.1 = is_held;
        matches!(inner.0, Stage::Go(_))
    }

    fn lock(&self) -> MutexGuard<'_, (Stage, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A unit that is kept back.
#[derive(Debug, Clone)]
struct Late {
    pts: i64,
    bytes: u64,
    /// Its bytes, when it is a keyframe.
    key: Option<Bytes>,
}

/// What the giving run knows of the units that the gate keeps back; the gate's line is the same, unit by unit.
#[derive(Debug, Default)]
pub(super) struct Line(VecDeque<Late>);

impl Line {
    pub(super) fn push(&mut self, unit: &Unit) {
        self.0.push_back(Late {
            pts: unit.pts,
            bytes: unit.payload.len() as u64,
            key: unit.keyframe.then(|| unit.payload.clone()),
        });
        let behind = unit.pts.saturating_sub(KEPT_BACK);
        while self.0.front().is_some_and(|late| late.pts < behind) {
            self.0.pop_front();
        }
    }

    /// Everything goes to the writer.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes back what is shown at `at` or later, from the end: how many units, how many bytes, and the time of the last
    /// that is left.
    pub(super) fn take_back(&mut self, at: i64) -> (u64, u64, Option<i64>) {
        let (mut frames, mut bytes) = (0, 0);
        while let Some(late) = self.0.pop_back_if(|late| late.pts >= at) {
            frames += 1;
            bytes += late.bytes;
        }
        (frames, bytes, self.0.iter().map(|late| late.pts).max())
    }
}

/// Where the giving run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Units that are shown at this time of its own or later are not written.
    pub(super) at: i64,
    /// The end of what is.
    pub(super) wall: Timestamp,
}

enum Verdict {
    Wait,
    Refuse,
    Take(End),
}

/// What becomes of an offer when this unit has come after those of the line.
fn judge(offer: &Offer, line: &Line, map: &ClockMap, unit: &Unit) -> Verdict {
    let near = |pts: i64| map.came_at(pts).nanos_since(offer.came).abs() <= APART;
    let newest = Late {
        pts: unit.pts,
        bytes: 0,
        key: unit.keyframe.then(|| unit.payload.clone()),
    };
    let all = || line.0.iter().chain([&newest]);
    let same = all().enumerate().filter(|(at, late)| {
        // Something has to be left of the segment.
        *at > 0 && near(late.pts) && late.key.as_ref().is_some_and(|key| reads_alike(key, &offer.payload))
    });
    let same = same.min_by_key(|(_, late)| map.came_at(late.pts).nanos_since(offer.came).abs());
    let take = |at: i64| {
        let end = End {
            at,
            wall: map.wall_at(at),
        };
        Verdict::Take(end)
    };
    if let Some((_, late)) = same {
        return take(late.pts);
    }
    // The same frame may still come.
    if map.came_at(unit.pts).nanos_since(offer.came) < LATE {
        return Verdict::Wait;
    }
    let frame = all()
        .zip(all().skip(1))
        .map(|(one, next)| next.pts - one.pts)
        .filter(|step| *step > 0)
        .min();
    let half = frame.unwrap_or(0) / 2;
    let after = all().position(|late| map.came_at(late.pts).nanos_since(offer.came) >= -half);
    match after.and_then(|at| all().nth(at).map(|late| (at, late.pts))) {
        Some((at, pts)) if at > 0 && offer.is_certain => take(pts),
        _ => Verdict::Refuse,
    }
}

fn reads_alike(one: &Bytes, other: &Bytes) -> bool {
    let compared = one.len().min(other.len()).min(COMPARED);
    // A short end alone says little.
    let is_telling = compared >= 64 || one.len() == other.len();
    is_telling && one.iter().rev().take(compared).eq(other.iter().rev().take(compared))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Track;
    use crate::runtime::Instant;

    const MS: i64 = 1_000_000;

    fn unit(frame: i64, keyframe: bool, seed: u8) -> Unit {
        let pts = frame * 40 * MS;
        let payload: Vec<u8> = (0..200u8).map(|n| n.wrapping_mul(7).wrapping_add(seed)).collect();
        Unit {
            track: Track::Video,
            pts,
            dts: pts,
            duration: None,
            keyframe,
            payload: payload.into(),
        }
    }

    /// A giving run that received frames 0 to `last`, a keyframe each 10; frame 0 came at 1000 s.
    fn giving(last: i64) -> (Line, ClockMap) {
        let mut map = ClockMap::new(Timestamp::from_seconds(1000), Instant(10_000_000_000));
        let mut line = Line::default();
        for frame in 0..=last {
            map.observe(frame * 40 * MS, Instant((10_000 + frame as u64 * 40) * 1_000_000));
            line.push(&unit(frame, frame % 10 == 0, frame as u8));
        }
        (line, map)
    }

    fn offer(frame: i64, off_ms: i64, seed: u8, is_certain: bool) -> Offer {
        Offer {
            pts: 77,
            came: Timestamp::from_seconds(1000).offset((frame * 40 + off_ms) * MS),
            is_certain,
            payload: unit(0, true, seed).payload,
        }
    }

    fn answer(offer: Offer, last: i64) -> (Option<i64>, bool) {
        let (line, map) = giving(last);
        let relay = Relay::new();
        relay.offer(|| offer);
        let next = unit(last + 1, (last + 1) % 10 == 0, (last + 1) as u8);
        let end = relay.answer(&line, &map, &next, |_| None);
        (
            end.map(|end| end.at / 40 / MS),
            matches!(relay.lock().0, Stage::Offered(_)),
        )
    }

    #[test]
    fn the_same_frame_is_found_by_its_bytes_however_uncertain_its_time() {
        assert_eq!(answer(offer(90, 180, 90, false), 95), (Some(90), false));
        // Also when it is the one that has just come, or when it came first here.
        assert_eq!(answer(offer(100, -30, 100, false), 99), (Some(100), false));
    }

    #[test]
    fn another_stream_is_cut_by_time_once_the_same_moment_has_passed_here() {
        assert_eq!(
            answer(offer(93, 5, 201, true), 95),
            (None, true),
            "the same frame may still come"
        );
        assert_eq!(answer(offer(83, 5, 201, true), 95), (Some(83), false));
        assert_eq!(answer(offer(83, 25, 201, true), 95), (Some(84), false));
        assert_eq!(
            answer(offer(83, 5, 201, false), 95),
            (None, false),
            "its time is not known well"
        );
    }

    #[test]
    fn what_is_written_already_is_not_taken_back() {
        assert_eq!(answer(offer(50, 0, 50, true), 95), (None, false));
        assert_eq!(answer(offer(60, 0, 201, true), 95), (None, false));
    }

    #[test]
    fn while_the_driver_decides_nothing_is_decided_here() {
        let (line, map) = giving(95);
        let relay = Relay::new();
        relay.offer(|| offer(90, 0, 90, true));
        assert!(!relay.hold(true));
        assert_eq!(relay.answer(&line, &map, &unit(96, false, 0), |_| None), None);
        assert!(!relay.hold(false));
        let given = relay.answer(&line, &map, &unit(96, false, 0), |_| None).unwrap();
        assert!(relay.hold(true));
        assert!(matches!(relay.go(), Some(Go::After { pts: 77, end, .. }) if end == given.wall));
    }

    #[test]
    fn what_is_taken_back_is_counted_and_begins_where_it_is_told() {
        let (mut line, _) = giving(95);
        assert_eq!(line.take_back(90 * 40 * MS), (6, 1200, Some(89 * 40 * MS)));
        assert_eq!(line.take_back(90 * 40 * MS), (0, 0, Some(89 * 40 * MS)));
    }
}
