//! What the camera has kept: its encoded pictures in memory, those of the latest minutes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer as gst;

use crate::model::{Span, Timestamp};

use super::super::stream::SentFrame;

/// One encoded picture.
#[derive(Debug)]
pub(in super::super) struct Unit {
    pub(in super::super) frame: SentFrame,
    /// When it was taken, by the clock that all pipelines share.
    pub(in super::super) clock: gst::ClockTime,
    /// The access unit, as a byte stream.
    pub(in super::super) buffer: gst::Buffer,
}

impl Unit {
    /// When it was taken, in truth.
    pub(super) fn taken(&self) -> Timestamp {
        Timestamp::from_nanos(
            i64::try_from(self.frame.time_us)
                .unwrap_or(i64::MAX)
                .saturating_mul(1000),
        )
    }
}

/// The kept pictures of one stream, in the order in which they are decoded.
#[derive(Debug)]
pub(in super::super) struct Shelf {
    units: Mutex<VecDeque<Arc<Unit>>>,
    keep: Duration,
}

impl Shelf {
    /// Keeps so much.
    pub(super) fn new(keep: Duration) -> Self {
        Self {
            units: Mutex::default(),
            keep,
        }
    }

    /// Puts one more on it; what is too old goes, a whole group of pictures at a time.
    pub(in super::super) fn put(&self, unit: Arc<Unit>) {
        let mut units = self.lock();
        if units.is_empty() && !unit.frame.keyframe {
            return;
        }
        let oldest = unit.taken().minus(self.keep);
        units.push_back(unit);
        let second_key = |units: &VecDeque<Arc<Unit>>| units.iter().skip(1).position(|unit| unit.frame.keyframe);
        while let Some(until) = second_key(&units)
            && units.get(until + 1).is_some_and(|key| key.taken() <= oldest)
        {
            units.drain(..=until);
        }
    }

    /// All that it holds.
    pub(super) fn all(&self) -> Vec<Arc<Unit>> {
        self.lock().iter().cloned().collect()
    }

    /// The oldest, which is a keyframe.
    pub(super) fn first(&self) -> Option<Arc<Unit>> {
        self.lock().front().cloned()
    }

    /// From its first picture to its latest, in truth.
    pub(super) fn extent(&self) -> Option<Span> {
        let units = self.lock();
        let (first, last) = (units.front()?, units.back()?);
        Some(Span::new(first.taken(), last.taken()))
    }

    /// What it has of a span: from the keyframe at or before its start to the last picture taken before its end.
    /// Nothing when no picture was taken within the span itself.
    pub(super) fn find(&self, span: Span) -> Vec<Arc<Unit>> {
        let units = self.lock();
        let inside = |unit: &Arc<Unit>| span.contains(unit.taken());
        let Some(first) = units.iter().position(inside) else {
            return Vec::new();
        };
        let exact = units[first].frame.keyframe && units[first].taken() == span.start;
        let from = if exact {
            first
        } else {
            units
                .range(..=first)
                .rposition(|unit| unit.frame.keyframe)
                .unwrap_or(first)
        };
        let wanted = units.range(from..).take_while(|unit| unit.taken() < span.end);
        wanted.cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Unit>>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A picture for each tenth of a second, a keyframe for each second.
    pub(in super::super) fn fill(shelf: &Shelf, tenths: impl IntoIterator<Item = u64>) {
        for tenth in tenths {
            shelf.put(Arc::new(Unit {
                frame: SentFrame {
                    counter: tenth as u32,
                    time_us: tenth * 100_000,
                    keyframe: tenth.is_multiple_of(10),
                },
                clock: gst::ClockTime::from_mseconds(tenth * 100),
                buffer: gst::Buffer::new(),
            }));
        }
    }

    pub(in super::super) fn tenths(from: i64, to: i64) -> Span {
        Span::new(Timestamp::from_millis(from * 100), Timestamp::from_millis(to * 100))
    }

    fn counters(units: &[Arc<Unit>]) -> Vec<u32> {
        units.iter().map(|unit| unit.frame.counter).collect()
    }

    #[test]
    fn a_span_begins_with_the_keyframe_at_or_before_it_and_ends_before_its_end() {
        gst::init().unwrap();
        let shelf = Shelf::new(Duration::from_secs(600));
        fill(&shelf, 5..100);
        assert_eq!(
            shelf.extent(),
            Some(tenths(10, 99)),
            "what no keyframe precedes is of no use"
        );
        assert_eq!(counters(&shelf.find(tenths(34, 37))), [30, 31, 32, 33, 34, 35, 36]);
        assert_eq!(counters(&shelf.find(tenths(30, 32))), [30, 31]);
        assert_eq!(
            shelf.find(tenths(95, 200)).last().map(|unit| unit.frame.counter),
            Some(99)
        );
        assert_eq!(counters(&shelf.find(tenths(0, 12))), [10, 11]);
        assert!(shelf.find(tenths(100, 200)).is_empty());
        assert!(shelf.find(tenths(0, 10)).is_empty());
    }

    #[test]
    fn a_span_that_begins_in_a_hole_begins_behind_it() {
        gst::init().unwrap();
        let shelf = Shelf::new(Duration::from_secs(600));
        fill(&shelf, (0..20).chain(50..70));
        assert_eq!(counters(&shelf.find(tenths(30, 52))), [50, 51]);
        assert!(shelf.find(tenths(25, 45)).is_empty());
    }

    #[test]
    fn the_oldest_go_by_whole_groups_of_pictures() {
        gst::init().unwrap();
        let shelf = Shelf::new(Duration::from_secs(5));
        fill(&shelf, 0..100);
        assert_eq!(shelf.extent(), Some(tenths(40, 99)));
        assert!(shelf.all()[0].frame.keyframe);
    }
}
