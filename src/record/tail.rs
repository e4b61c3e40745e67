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
    parts: VecDeque<Part>,
    bytes: usize,
    next: u64,
    session: u64,
    looks: Option<Arc<Looks>>,
    keep: Duration,
}

impl Tail {
    /// An empty tail that keeps this much.
    pub(super) fn new(keep: Duration) -> Self {
        let inner = Inner {
            parts: VecDeque::new(),
            bytes: 0,
            next: 0,
            session: 0,
            looks: None,
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

    /// Another session begins; what the one before left goes.
    pub(super) fn begin_session(&self) {
        let mut inner = self.lock();
        inner.session += 1;
        inner.bytes = 0;
        inner.parts.clear();
        inner.looks = None;
    }

    /// What comes next is like this.
    pub(super) fn announce(&self, looks: Looks) {
        self.lock().looks = Some(Arc::new(looks));
    }

    /// A unit came.
    pub(super) fn push(&self, unit: &Unit, wall: Timestamp) {
        let mut inner = self.lock();
        let Some(looks) = inner.looks.clone() else { return };
        let number = inner.next;
        inner.next += 1;
        if !inner.parts.is_empty() || begins(unit) {
            inner.bytes += unit.payload.len();
            let (session, unit) = (inner.session, unit.clone());
            inner.parts.push_back(Part {
                number,
                session,
                wall,
                looks,
                unit,
            });
            inner.trim();
        }
        let next = inner.next;
        drop(inner);
        self.0.next.send_replace(next);
    }

    /// Everything that is in memory, the oldest first; the first is a keyframe.
    pub fn snapshot(&self) -> Vec<Part> {
        self.lock().parts.iter().cloned().collect()
    }

    /// Follows the tail, from what is oldest in memory on.
    pub fn follow(&self) -> Follower {
        let inner = self.lock();
        let at = inner.parts.front().map_or(inner.next, |part| part.number);
        drop(inner);
        Follower {
            tail: self.clone(),
            next: self.0.next.subscribe(),
            at,
        }
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Lets whole groups of pictures go: those that are not needed to show the last while, and more if they are too many
    /// bytes. What is left begins with a keyframe.
    fn trim(&mut self) {
        let Some(newest) = self.parts.back().map(|part| part.unit.pts) else {
            return;
        };
        let last_group = self.parts.iter().rev().find(|part| begins(&part.unit));
        let before_it = last_group.map_or(newest, |part| part.unit.pts.saturating_sub(BEHIND));
        let since = newest.saturating_sub(i64::try_from(self.keep.as_nanos()).unwrap_or(i64::MAX));
        let since = since.min(before_it);
        loop {
            let mut keyframes = self
                .parts
                .iter()
                .skip(1)
                .enumerate()
                .filter(|(_, part)| begins(&part.unit));
            let second = keyframes.next().map(|(at, part)| (at + 1, part.unit.pts));
            let gone = match second {
                Some((at, starts)) if starts <= since || self.bytes > MOST_BYTES => at,
                None if self.bytes > MOST_BYTES => self.parts.len(),
                _ => return,
            };
            for part in self.parts.drain(..gone) {
                self.bytes -= part.unit.payload.len();
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
        let front = inner.parts.front()?.number;
        if self.at < front {
            let missed = front - self.at;
            self.at = front;
            return Some(Followed::Missed(missed));
        }
        let place = usize::try_from(self.at - front).ok()?;
        let part = inner.parts.get(place)?.clone();
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

    fn tail(keep_ms: u64) -> Tail {
        let tail = Tail::new(Duration::from_millis(keep_ms));
        tail.begin_session();
        announce(&tail);
        tail
    }

    fn announce(tail: &Tail) {
        let format = VideoFormat {
            codec: Codec::H264,
            width: 320,
            height: 180,
            fps: None,
        };
        let caps = TrackCaps::default();
        tail.announce(Looks { format, caps });
    }

    fn push(tail: &Tail, frame: i64, gop: i64) {
        tail.push(
            &unit(frame * 40, frame % gop == 0, 100),
            Timestamp::from_millis(frame * 40),
        );
    }

    #[test]
    fn a_tail_begins_with_a_keyframe_and_holds_the_last_while() {
        let tail = tail(4000);
        for frame in 7..500 {
            push(&tail, frame, 25);
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
        let tail = tail(1000);
        for frame in 0..240 {
            push(&tail, frame, 250);
        }
        assert_eq!(tail.snapshot().len(), 240);
    }

    #[test]
    fn the_group_before_a_long_one_is_held_for_as_long_as_it_may_be_missing_in_the_file() {
        let tail = tail(1000);
        for frame in 0..740 {
            push(&tail, frame, 250);
        }
        assert_eq!(tail.snapshot()[0].unit.pts, 250 * 40_000_000);
    }

    #[test]
    fn more_bytes_than_may_be_are_not_held() {
        let tail = tail(1_000_000);
        for frame in 0..7 {
            tail.push(&unit(frame, true, MOST_BYTES / 4), Timestamp::EPOCH);
            assert!(tail.bytes() <= MOST_BYTES);
        }
        assert_eq!(tail.snapshot().len(), 4);
        tail.push(&unit(8, false, MOST_BYTES + 1), Timestamp::EPOCH);
        tail.push(&unit(9, false, 1), Timestamp::EPOCH);
        assert_eq!(tail.snapshot().len(), 0, "what is left cannot be shown");
        tail.push(&unit(10, true, 1), Timestamp::EPOCH);
        assert_eq!(tail.snapshot().len(), 1);
    }

    #[test]
    fn a_snapshot_stays_as_it_was_and_shares_the_bytes() {
        let tail = tail(1000);
        push(&tail, 0, 25);
        let before = tail.snapshot();
        let address = before[0].unit.payload.as_ptr();
        assert_eq!(tail.snapshot()[0].unit.payload.as_ptr(), address);
        tail.begin_session();
        announce(&tail);
        push(&tail, 25, 25);
        let after = tail.snapshot();
        assert_eq!((before.len(), after.len()), (1, 1));
        assert_eq!((before[0].session, after[0].session), (1, 2));
    }

    #[tokio::test]
    async fn a_follower_gets_every_unit_in_order_although_it_waits_for_them() {
        let tail = tail(1000);
        let mut follower = tail.follow();
        let writer = tail.clone();
        let thread = crate::runtime::spawn_thread("writer", move || {
            for frame in 0..200 {
                push(&writer, frame, 25);
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
        let tail = tail(1000);
        let mut asleep = tail.follow();
        let taken = tail.follow();
        let begun = std::time::Instant::now();
        for frame in 0..100_000 {
            push(&tail, frame, 25);
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(tail.bytes() < 100 * 100, "nothing is held for those who do not read");
        let front = tail.snapshot()[0].number;
        assert!(matches!(asleep.next().await, Followed::Missed(missed) if missed == front));
        assert!(matches!(asleep.next().await, Followed::Part(part) if part.number == front && part.unit.keyframe));
        drop(taken);
    }

    proptest! {
        #[test]
        fn whatever_comes_the_tail_begins_with_a_keyframe_and_reaches_back_far_enough(
            keep in 0u64..3000, units in proptest::collection::vec((1i64..200, prop::bool::weighted(0.1)), 1..300)
        ) {
            let tail = tail(keep);
            let (mut pts, mut keyframes) = (0, Vec::new());
            for (step, keyframe) in units {
                pts += step;
                if keyframe { keyframes.push(pts); }
                tail.push(&unit(pts, keyframe, 10), Timestamp::EPOCH);
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
