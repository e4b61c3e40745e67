//! How old footage is, for a clock that may be wrong. Pure.
//!
//! Age counts against what is recorded, and only where the clock can be believed: one that was set forward by mistake, or a
//! box that does not know the time, shall not empty a disk. When the rules of age ask for more than a day's worth at once,
//! that waits a day and is told: it is a clock that was set, or a rule that was changed, and both deserve a look.

use std::time::Duration;

use crate::model::Timestamp;
use crate::runtime::Instant;

/// A wall clock that went this much farther than time did was set, and what it says of ages is not believed yet.
const LEAP: Duration = Duration::from_secs(600);
/// How long it is not believed.
const DOUBT: Duration = Duration::from_secs(3600);
/// So much footage of a camera goes by age at once without a question.
pub(super) const AT_ONCE: Duration = Duration::from_secs(24 * 3600);
/// How long more than that waits.
pub(super) const WAIT: Duration = Duration::from_secs(24 * 3600);

/// What is known of ages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    wall: Timestamp,
    instant: Instant,
    doubt_until: Option<Instant>,
    /// How long much footage has waited to go.
    waited: Duration,
    /// Whether it waits, as of the last look.
    is_waiting: bool,
}

impl Ages {
    /// `waited` is how long much footage waited in former starts.
    pub(super) fn new(wall: Timestamp, instant: Instant, waited: Duration) -> Self {
        Self {
            wall,
            instant,
            doubt_until: None,
            waited,
            is_waiting: !waited.is_zero(),
        }
    }

    /// Hears what the clocks say now.
    pub(super) fn hear(&mut self, wall: Timestamp, instant: Instant) {
        let passed = instant.since(self.instant);
        if wall.since(self.wall.plus(passed)) > LEAP {
            self.doubt_until = Some(instant.plus(DOUBT));
        }
        if self.is_waiting {
            self.waited = self.waited.saturating_add(passed);
        }
        (self.wall, self.instant) = (wall, instant);
    }

    /// From when on ages count: what is recorded reaches so far. Nothing while the clock is not believed.
    pub(super) fn reference(&self, newest: Option<Timestamp>) -> Option<Timestamp> {
        let is_doubted = self.doubt_until.is_some_and(|until| self.instant < until);
        (self.wall >= Timestamp::BUILT && !is_doubted).then_some(())?;
        Some(self.wall.min(newest?))
    }

    /// Given the longest span that is too old of any camera: whether it may go now.
    pub(super) fn may_go(&mut self, longest: Duration) -> bool {
        if longest <= AT_ONCE {
            (self.is_waiting, self.waited) = (false, Duration::ZERO);
            return true;
        }
        self.is_waiting = true;
        self.waited >= WAIT
    }

    /// How long it has waited; nothing when it does not wait.
    pub(super) fn waited(&self) -> Option<Duration> {
        self.is_waiting.then_some(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn later(minutes: u32) -> (Timestamp, Instant) {
        let passed = MINUTE * minutes;
        (Timestamp::BUILT.plus(passed), Instant(1).plus(passed))
    }

    fn ages() -> Ages {
        let (wall, instant) = later(0);
        Ages::new(wall, instant, Duration::ZERO)
    }

    #[test]
    fn a_clock_that_is_set_forward_is_not_believed_for_an_hour() {
        let mut ages = ages();
        let newest = Some(Timestamp::MAX);
        let (wall, instant) = later(1);
        ages.hear(wall, instant);
        assert_eq!(ages.reference(newest), Some(wall));
        for minutes in 2..62 {
            let (wall, instant) = later(minutes);
            ages.hear(wall.plus(AT_ONCE), instant);
            assert_eq!(ages.reference(newest), None, "{minutes}");
        }
        let (wall, instant) = later(62);
        ages.hear(wall.plus(AT_ONCE), instant);
        assert_eq!(ages.reference(newest), Some(wall.plus(AT_ONCE)));
        let before_it_was_built = Timestamp::EPOCH;
        ages.hear(before_it_was_built, later(63).1);
        assert_eq!(
            ages.reference(newest),
            None,
            "a box that does not know the time knows no ages"
        );
    }

    #[test]
    fn ages_count_against_what_is_recorded() {
        let mut ages = ages();
        let (wall, instant) = later(5);
        ages.hear(wall, instant);
        assert_eq!(ages.reference(Some(later(3).0)), Some(later(3).0));
        assert_eq!(ages.reference(None), None);
    }

    #[test]
    fn more_than_a_day_at_once_waits_a_day_also_over_restarts() {
        let mut ages = ages();
        assert!(ages.may_go(AT_ONCE), "a day's worth goes");
        assert_eq!(ages.waited(), None);
        for minutes in 1..=1440 {
            assert!(!ages.may_go(AT_ONCE * 2), "{minutes}");
            let (wall, instant) = later(minutes);
            ages.hear(wall, instant);
            if minutes == 700 {
                let waited = ages.waited().unwrap_or_default();
                ages = Ages::new(wall, instant, waited);
            }
        }
        assert!(ages.may_go(AT_ONCE * 2));
        assert!(ages.may_go(MINUTE));
        assert_eq!(ages.waited(), None);
        assert!(!ages.may_go(AT_ONCE * 2), "the next waits again");
    }
}
