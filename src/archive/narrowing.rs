//! How a clock that shows whole seconds is read to a fraction of one.
//!
//! One answer says that the camera's clock showed a second at some moment between question and answer, so how far it is ahead lies
//! in a range a little wider than a second. The next question is asked when the second turns if the truth lies in the middle of
//! that range: whichever second is shown then, half of the range is gone. Five questions leave what their way through the network
//! takes.

use std::time::Duration;

use crate::model::Timestamp;

const SECOND: i64 = 1_000_000_000;
/// Narrow enough.
const ENOUGH: i64 = 60_000_000;

/// What one answer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// The second that the camera's clock showed.
    pub(super) shown: Timestamp,
    /// When it was asked, by this box.
    pub(super) asked: Timestamp,
    /// When it had answered.
    pub(super) answered: Timestamp,
}

/// The range in which the truth lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Narrowing {
    low: i64,
    high: i64,
    quickest: i64,
}

impl Narrowing {
    /// What a first answer leaves.
    pub(super) fn begin(reading: Reading) -> Self {
        Self {
            low: reading.shown.nanos_since(reading.answered),
            high: reading.shown.nanos_since(reading.asked).saturating_add(SECOND),
            quickest: reading.answered.nanos_since(reading.asked).max(0),
        }
    }

    /// Hears another answer. One that contradicts what is known tells of a clock that was set: it counts alone.
    pub(super) fn hear(&mut self, reading: Reading) {
        let new = Self::begin(reading);
        let (low, high) = (self.low.max(new.low), self.high.min(new.high));
        *self = if low <= high {
            Self {
                low,
                high,
                quickest: self.quickest.min(new.quickest),
            }
        } else {
            new
        };
    }

    /// How long to wait before the next question; nothing when another would not help.
    pub(super) fn next_wait(&self, now: Timestamp) -> Option<Duration> {
        let width = self.high.saturating_sub(self.low);
        if width <= ENOUGH.max(self.quickest.saturating_add(self.quickest / 5)) {
            return None;
        }
        // The camera's clock when the question would reach it, if the truth lay in the middle.
        let there = now.offset(self.ahead_ns()).offset(self.quickest / 2);
        let wait = (SECOND - there.as_nanos().rem_euclid(SECOND)) % SECOND;
        Some(Duration::from_nanos(wait.unsigned_abs()))
    }

    /// How far the camera is ahead.
    pub(super) fn ahead_ns(&self) -> i64 {
        self.low.saturating_add(self.high.saturating_sub(self.low) / 2)
    }

    /// The truth is at most so far from that.
    pub(super) fn within(&self) -> Duration {
        Duration::from_nanos(self.high.abs_diff(self.low).div_ceil(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A camera so far ahead answers, after so long a way there and back.
    fn read(ahead: i64, asked: Timestamp, there: i64, back: i64) -> Reading {
        let camera = asked.offset(there).offset(ahead);
        Reading {
            shown: Timestamp::from_seconds(camera.as_nanos().div_euclid(SECOND)),
            asked,
            answered: asked.offset(there + back),
        }
    }

    proptest! {
        #[test]
        fn the_truth_is_never_left_out_and_few_questions_find_it(
            ahead in -90_000_000_000_000i64..90_000_000_000_000,
            begun in 0..10 * SECOND,
            ways in proptest::collection::vec((100_000..8_000_000i64, 100_000..8_000_000i64), 9),
        ) {
            let mut now = Timestamp::BUILT.offset(begun);
            let mut narrowing = None::<Narrowing>;
            let mut asked = 0;
            for (there, back) in ways {
                let wait = match &narrowing {
                    Some(narrowing) => match narrowing.next_wait(now) {
                        Some(wait) => wait,
                        None => break,
                    },
                    None => Duration::ZERO,
                };
                prop_assert!(wait < Duration::from_secs(1));
                let reading = read(ahead, now.plus(wait), there, back);
                now = reading.answered;
                asked += 1;
                match &mut narrowing {
                    Some(narrowing) => narrowing.hear(reading),
                    None => narrowing = Some(Narrowing::begin(reading)),
                }
                let known = narrowing.unwrap();
                prop_assert!(known.ahead_ns().abs_diff(ahead) <= known.within().as_nanos() as u64);
            }
            let known = narrowing.unwrap();
            prop_assert!(asked <= 8, "{asked} questions");
            prop_assert!(known.within() <= Duration::from_millis(30), "{:?}", known.within());
        }

        #[test]
        fn any_answers_at_all_are_heard_without_a_panic(moments in proptest::collection::vec(any::<[i64; 3]>(), 1..6)) {
            let reading = |[a, b, c]: [i64; 3]| Reading {
                shown: Timestamp::from_nanos(a), asked: Timestamp::from_nanos(b), answered: Timestamp::from_nanos(c),
            };
            let mut narrowing = Narrowing::begin(reading(moments[0]));
            for moment in moments {
                narrowing.hear(reading(moment));
                let _ = (narrowing.next_wait(Timestamp::from_nanos(moment[1])), narrowing.within());
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_meanwhile_is_read_anew() {
        let now = Timestamp::BUILT;
        let mut narrowing = Narrowing::begin(read(37 * SECOND, now, 1_000_000, 1_000_000));
        narrowing.hear(read(-5 * SECOND, now.offset(SECOND), 1_000_000, 1_000_000));
        assert!((narrowing.ahead_ns() + 5 * SECOND).abs() < SECOND);
    }

    #[test]
    fn what_the_network_blurs_is_not_asked_for_again() {
        let far = 900_000_000;
        let mut now = Timestamp::BUILT.offset(SECOND / 2);
        let mut narrowing = Narrowing::begin(read(0, now, far, far));
        let mut questions = 1;
        while let Some(wait) = narrowing.next_wait(now) {
            let reading = read(0, now.plus(wait), far, far);
            now = reading.answered;
            narrowing.hear(reading);
            questions += 1;
            assert!(questions < 8);
        }
        assert!(
            narrowing.within() < Duration::from_millis(1200),
            "{:?}",
            narrowing.within()
        );
    }
}
