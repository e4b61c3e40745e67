//! The tail: the encoded units of a camera's last while, in memory, with one writer and many readers.
//!
//! It begins with a keyframe, so that whoever takes it can show it. The writer never waits for a reader: a snapshot shares
//! the bytes, and a reader that follows and falls behind is told how much it missed and goes on at a keyframe.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::model::{Timestamp, Track, TrackCaps, Unit, VideoFormat};

/// No camera's tail holds more bytes than this: fifteen seconds of 100 Mbit/s.
const MOST_BYTES: usize = 192 * 1024 * 1024;
/// A file lags by the group of pictures that is not whole yet, because groups are written whole, and before it by the
/// half second that a fragment holds and what sound is waited for: so much is held before the last keyframe, in ns.
const BEHIND: i64 = 2_000_000_000;

/// What the units of a stretch are like.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks {
    /// The pictures.
    pub format: VideoFormat,
    /// How they are to be read.
    pub caps: TrackCaps,
}

/// One unit of the tail.
#[derive(Debug, Clone)]
pub struct Part {
    /// Counts up by one from unit to unit, over all sessions.
    pub number: u64,
    /// Which session it is of: times of different sessions cannot be compared.
    pub session: u64,
    /// When it was taken, as far as was known when it came.
    pub wall: Timestamp,
    /// What it is like.
    pub looks: Arc<Looks>,
    /// The unit itself.
    pub unit: Unit,
}

/// What a follower gets.
#[derive(Debug, Clone)]
pub enum Followed {
    /// The next unit.
    Part(Part),
    /// It was too slow: so many units are not in memory any more. The next part is a keyframe.
    Missed(u64),
}

/// A camera's tail. Clones share it.
#[derive(Debug, Clone)]
pub struct Tail(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// The number of the next unit, for those who wait for it.
    next: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    /// What each session has in memory; while one hands over to another there are two.
    lanes: Vec<Lane>,
    /// The session that readers see.
    on_air: u64,
    /// The session that began last.
    last: u64,
    keep: Duration,
}

#[derive(Debug)]
struct Lane {
    session: u64,
    /// The number of its oldest unit, or of the next.
    front: u64,
    units: VecDeque<Held>,
    bytes: usize,
    looks: Option<Arc<Looks>>,
}

#[derive(Debug)]
struct Held {
    wall: Timestamp,
    looks: Arc<Looks>,
    unit: Unit,
}

/// One session's way into the tail. What it has stays in memory for as long as this lives, and for readers until another
/// session is on.
#[derive(Debug)]
pub(super) struct Strand {
    tail: Tail,
    session: u64,
}

impl Tail {
    /// An empty tail that keeps this much.
    pub(super) fn new(keep: Duration) -> Self {
        let inner = Inner {
            lanes: Vec::new(),
            on_air: 0,
            last: 0,
            keep,
        };
        Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            next: watch::Sender::new(0),
        }))
    }

    /// From here on it keeps this much.
    pub(super) fn set_keep(&self, keep: Duration) {
        self.lock().keep = keep;
    }

    /// Another session begins. Readers do not see it yet.
    pub(super) fn begin_session(&self) -> Strand {
        let mut inner = self.lock();
        inner.last += 1;
        let session = inner.last;
        inner.lanes.push(Lane {
            session,
            front: 0,
            units: VecDeque::new(),
            bytes: 0,
            looks: None,
        });
        drop(inner);
        let tail = self.clone();
        Strand { tail, session }
    }

    /// Everything that is in memory, the oldest first; the first is a keyframe.
    pub fn snapshot(&self) -> Vec<Part> {
        let inner = self.lock();
        inner.lane(inner.on_air).map(Lane::parts).unwrap_or_default()
    }

    /// Follows the tail, from what is oldest in memory on.
    pub fn follow(&self) -> Follower {
        let inner = self.lock();
        let at = inner.lane(inner.on_air).map_or(0, |lane| lane.front);
        drop(inner);
        Follower {
            tail: self.clone(),
            next: self.0.next.subscribe(),
            at,
        }
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.lock().lanes.iter().map(|lane| lane.bytes).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Strand {
    /// What comes next is like this.
    pub(super) fn announce(&self, looks: Looks) {
        if let Some(lane) = self.tail.lock().lane_mut(self.session) {
            lane.looks = Some(Arc::new(looks));
        }
    }

    /// A unit came.
    pub(super) fn push(&self, unit: &Unit, wall: Timestamp) {
        let mut inner = self.tail.lock();
        let (keep, is_on) = (inner.keep, inner.on_air == self.session);
        let Some(lane) = inner.lane_mut(self.session) else {
            return;
        };
        lane.push(unit, wall, keep);
        let next = lane.end();
        drop(inner);
        if is_on {
            self.tail.0.next.send_replace(next);
        }
    }

    /// From here on readers see this session; what the one before left in memory goes when that is over.
    pub(super) fn put_on(&self) {
        let mut inner = self.tail.lock();
        let before = inner.on_air;
        if before == self.session {
            return;
        }
        // Numbers go on, so that whoever follows knows how much of the session before it has not seen.
        let next = inner.lane(before).map_or(0, Lane::end);
        let Some(lane) = inner.lane_mut(self.session) else {
            return;
        };
        lane.front = next;
        let next = lane.end();
        inner.on_air = self.session;
        // Its run is gone, and it was only left for readers.
        inner.lanes.retain(|lane| lane.session != before || lane.is_written());
        drop(inner);
        self.tail.0.next.send_replace(next);
    }

    /// What this session has in memory, the oldest first; the first is a keyframe.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.tail.lock().lane(self.session).map(Lane::parts).unwrap_or_default()
    }
}

impl Drop for Strand {
    fn drop(&mut self) {
        let mut inner = self.tail.lock();
        let on_air = inner.on_air;
        inner
            .lanes
            .retain(|lane| lane.session != self.session || lane.session == on_air);
        if let Some(lane) = inner.lane_mut(self.session) {
            lane.looks = None;
        }
    }
}

impl Inner {
    fn lane(&self, session: u64) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.session == session)
    }

    fn lane_mut(&mut self, session: u64) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.session == session)
    }
}

impl Lane {
    /// The number of the unit that comes next.
    fn end(&self) -> u64 {
        self.front + self.units.len() as u64
    }

    /// Whether a run still has a hand on it.
    fn is_written(&self) -> bool {
        self.looks.is_some()
    }

    fn part(&self, at: usize) -> Option<Part> {
        let held = self.units.get(at)?;
        Some(Part {
            number: self.front + at as u64,
            session: self.session,
            wall: held.wall,
            looks: held.looks.clone(),
            unit: held.unit.clone(),
        })
    }

    fn parts(&self) -> Vec<Part> {
        (0..self.units.len()).filter_map(|at| self.part(at)).collect()
    }

    fn push(&mut self, unit: &Unit, wall: Timestamp, keep: Duration) {
        let Some(looks) = self.looks.clone() else { return };
        if self.units.is_empty() && !begins(unit) {
            self.front += 1;
            return;
        }
        self.bytes += unit.payload.len();
        let unit = unit.clone();
        self.units.push_back(Held { wall, looks, unit });
        self.trim(keep);
    }

    /// Lets whole groups of pictures go: those that are not needed to show the last while, and more if they are too many
    /// bytes. What is left begins with a keyframe.
    fn trim(&mut self, keep: Duration) {
        let Some(newest) = self.units.back().map(|held| held.unit.pts) else {
            return;
        };
        let last_group = self.units.iter().rev().find(|held| begins(&held.unit));
        let before_it = last_group.map_or(newest, |held| held.unit.pts.saturating_sub(BEHIND));
        let since = newest.saturating_sub(i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX));
        let since = since.min(before_it);
        loop {
            let mut groups = self.units.iter().enumerate().skip(1);
            let second = groups
                .find(|(_, held)| begins(&held.unit))
                .map(|(at, held)| (at, held.unit.pts));
            let gone = match second {
                Some((at, starts)) if starts <= since || self.bytes > MOST_BYTES => at,
                None if self.bytes > MOST_BYTES => self.units.len(),
                _ => return,
            };
            self.front += gone as u64;
            for held in self.units.drain(..gone) {
                self.bytes -= held.unit.payload.len();
            }
        }
    }
}

pub(super) fn begins(unit: &Unit) -> bool {
    unit.track == Track::Video && unit.keyframe
}

/// A reader that follows a tail.
#[derive(Debug)]
pub struct Follower {
    tail: Tail,
    next: watch::Receiver<u64>,
    at: u64,
}

impl Follower {
    /// The next unit, as soon as there is one.
    pub async fn next(&mut self) -> Followed {
        loop {
            // Marked before looking, so that what comes while it looks wakes it.
            self.next.borrow_and_update();
            if let Some(followed) = self.take() {
                return followed;
            }
            // The tail lives as long as this, so it cannot end.
            let _ = self.next.changed().await;
        }
    }

    fn take(&mut self) -> Option<Followed> {
        let inner = self.tail.lock();
        let lane = inner.lane(inner.on_air)?;
        let missed = lane
            .front
            .checked_sub(self.at)
            .filter(|missed| *missed > 0 && !lane.units.is_empty());
        if let Some(missed) = missed {
            self.at = lane.front;
            return Some(Followed::Missed(missed));
        }
        let part = lane.part(usize::try_from(self.at.checked_sub(lane.front)?).ok()?)?;
        self.at += 1;
        Some(Followed::Part(part))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Codec;
    use proptest::prelude::*;

    fn unit(pts_ms: i64, keyframe: bool, bytes: usize) -> Unit {
        let pts = pts_ms * 1_000_000;
        Unit {
            track: Track::Video,
            pts,
            dts: pts,
            duration: None,
            keyframe,
            payload: vec![0; bytes].into(),
        }
    }

    fn tail(keep_ms: u64) -> (Tail, Strand) {
        let tail = Tail::new(Duration::from_millis(keep_ms));
        let strand = session(&tail);
        strand.put_on();
        (tail, strand)
    }

    fn session(tail: &Tail) -> Strand {
        let format = VideoFormat {
            codec: Codec::H264,
            width: 320,
            height: 180,
            fps: None,
        };
        let caps = TrackCaps::default();
        let strand = tail.begin_session();
        strand.announce(Looks { format, caps });
        strand
    }

    fn push(strand: &Strand, frame: i64, gop: i64) {
        strand.push(
            &unit(frame * 40, frame % gop == 0, 100),
            Timestamp::from_millis(frame * 40),
        );
    }

    #[test]
    fn a_tail_begins_with_a_keyframe_and_holds_the_last_while() {
        let (tail, strand) = tail(4000);
        for frame in 7..500 {
            push(&strand, frame, 25);
        }
        let parts = tail.snapshot();
        assert!(parts[0].unit.keyframe);
        let (first, last) = (parts[0].unit.pts, parts.last().unwrap().unit.pts);
        assert!(
            (4_000_000_000..5_000_000_000).contains(&(last - first)),
            "{}",
            last - first
        );
        assert!(parts.windows(2).all(|pair| pair[1].number == pair[0].number + 1));
        assert_eq!(tail.bytes(), parts.len() * 100);
    }

    #[test]
    fn a_group_of_pictures_longer_than_the_while_is_held_whole() {
        let (tail, strand) = tail(1000);
        for frame in 0..240 {
            push(&strand, frame, 250);
        }
        assert_eq!(tail.snapshot().len(), 240);
    }

    #[test]
    fn the_group_before_a_long_one_is_held_for_as_long_as_it_may_be_missing_in_the_file() {
        let (tail, strand) = tail(1000);
        for frame in 0..740 {
            push(&strand, frame, 250);
        }
        assert_eq!(tail.snapshot()[0].unit.pts, 250 * 40_000_000);
    }

    #[test]
    fn more_bytes_than_may_be_are_not_held() {
        let (tail, strand) = tail(1_000_000);
        for frame in 0..7 {
            strand.push(&unit(frame, true, MOST_BYTES / 4), Timestamp::EPOCH);
            assert!(tail.bytes() <= MOST_BYTES);
        }
        assert_eq!(tail.snapshot().len(), 4);
        strand.push(&unit(8, false, MOST_BYTES + 1), Timestamp::EPOCH);
        strand.push(&unit(9, false, 1), Timestamp::EPOCH);
        assert_eq!(tail.snapshot().len(), 0, "what is left cannot be shown");
        strand.push(&unit(10, true, 1), Timestamp::EPOCH);
        assert_eq!(tail.snapshot().len(), 1);
    }

    #[test]
    fn a_snapshot_stays_as_it_was_and_shares_the_bytes() {
        let (tail, strand) = tail(1000);
        push(&strand, 0, 25);
        let before = tail.snapshot();
        let address = before[0].unit.payload.as_ptr();
        assert_eq!(tail.snapshot()[0].unit.payload.as_ptr(), address);
        let next = session(&tail);
        next.put_on();
        push(&next, 25, 25);
        let after = tail.snapshot();
        assert_eq!((before.len(), after.len()), (1, 1));
        assert_eq!((before[0].session, after[0].session), (1, 2));
    }

    #[tokio::test]
    async fn a_follower_gets_every_unit_in_order_although_it_waits_for_them() {
        let (tail, strand) = tail(1000);
        let mut follower = tail.follow();
        let thread = crate::runtime::spawn_thread("writer", move || {
            for frame in 0..200 {
                push(&strand, frame, 25);
                std::thread::yield_now();
            }
        });
        let mut expected = 0;
        while expected < 200 {
            match follower.next().await {
                Followed::Part(part) => {
                    assert_eq!(part.number, expected);
                    expected += 1;
                }
                // A machine that is busy elsewhere may make even this reader slow.
                Followed::Missed(missed) => expected += missed,
            }
        }
        thread.unwrap().join().unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_slows_nobody_and_is_told_what_it_missed() {
        let (tail, strand) = tail(1000);
        let mut asleep = tail.follow();
        let taken = tail.follow();
        let begun = std::time::Instant::now();
        for frame in 0..100_000 {
            push(&strand, frame, 25);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(tail.bytes() < 100 * 100, "nothing is held for those who do not read");
        let front = tail.snapshot()[0].number;
        assert!(matches!(asleep.next().await, Followed::Missed(missed) if missed == front));
        assert!(matches!(asleep.next().await, Followed::Part(part) if part.number == front && part.unit.keyframe));
        drop(taken);
    }

    #[tokio::test]
    async fn a_follower_goes_on_with_the_session_that_takes_over() {
        let (tail, old) = tail(1000);
        let (mut prompt, mut slow) = (tail.follow(), tail.follow());
        (0..50).for_each(|frame| push(&old, frame, 25));
        for _ in 0..50 {
            assert!(matches!(prompt.next().await, Followed::Part(part) if part.session == 1));
        }
        let new = session(&tail);
        (25..60).for_each(|frame| push(&new, frame, 25));
        (50..60).for_each(|frame| push(&old, frame, 25));
        assert_eq!((tail.snapshot()[0].session, new.parts().len()), (1, 35));
        for _ in 0..9 {
            assert!(matches!(prompt.next().await, Followed::Part(part) if part.session == 1));
        }
        new.put_on();
        assert!(matches!(prompt.next().await, Followed::Missed(1)));
        assert!(matches!(prompt.next().await, Followed::Part(part) if part.session == 2 && part.unit.keyframe));
        assert!(matches!(slow.next().await, Followed::Missed(60)));
        assert_eq!(old.parts().len(), 60, "its last file may still be open");
        drop(old);
        assert_eq!((tail.snapshot().len(), tail.bytes()), (35, 3500));
        drop(new);
        assert_eq!(
            tail.snapshot().len(),
            35,
            "what is left is there until another session is on"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_the_tail_begins_with_a_keyframe_and_reaches_back_far_enough(
            keep in 0u64..3000, units in proptest::collection::vec((1i64..200, prop::bool::weighted(0.1)), 1..300)
        ) {
            let (tail, strand) = tail(keep);
            let (mut pts, mut keyframes) = (0, Vec::new());
            for (step, keyframe) in units {
                pts += step;
                if keyframe { keyframes.push(pts); }
                strand.push(&unit(pts, keyframe, 10), Timestamp::EPOCH);
                let parts = tail.snapshot();
                let behind = keyframes.last().map_or(pts, |last| last - BEHIND / 1_000_000);
                let since = (pts - keep as i64).min(behind);
                let first = keyframes.iter().copied().filter(|at| *at <= since).max().or(keyframes.first().copied());
                prop_assert_eq!(parts.first().map(|part| part.unit.pts / 1_000_000), first);
                prop_assert_eq!(tail.bytes(), parts.len() * 10);
            }
        }
    }
}
