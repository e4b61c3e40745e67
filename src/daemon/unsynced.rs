//! Footage of a time at which this box did not know the time: how far its clock was behind. Pure.
//!
//! A box without a battery for its clock starts in 1970. What it records gets its true dates once the clock is set, also when
//! camkeep ended in between, for as long as the box was not restarted: the clock that nobody can set goes on meanwhile, and ties
//! what was said before to what is said now. How long a box was off nobody knows, so footage of an earlier start of the box
//! stays as it is.

use serde::{Deserialize, Serialize};

use crate::model::{Span, Timestamp};
use crate::runtime::Instant;

/// Less than this, in nanoseconds, is what keeping time by network does all day.
pub(super) const CLOCK_STEP: u64 = 500_000_000;

/// A time during which this box's clock was wrong by one amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Era {
    /// By that clock.
    pub(super) span: Span,
    /// How far it was behind the true time, in nanoseconds.
    pub(super) behind: i64,
}

/// How the wall clock stands, kept while it is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClockTie {
    /// This start of the box.
    boot: String,
    /// What the wall clock shows when the one that nobody can set shows nothing.
    zero_ns: i64,
    /// Since when it has shown that, by itself.
    since_ns: i64,
    /// Rows of segments up to this one are of an earlier start of the box.
    pub(super) rows: i64,
}

impl ClockTie {
    /// What is known when camkeep starts, and which footage has to get its true dates because the clock was set while
    /// camkeep did not run. `before` was kept when it last ran, and `rows` is the newest row there is.
    pub(super) fn begin(
        before: Option<Self>,
        boot: &str,
        (wall, instant): (Timestamp, Instant),
        rows: i64,
    ) -> (Self, Option<Era>) {
        let new = |rows| Self {
            boot: boot.to_owned(),
            zero_ns: zero(wall, instant),
            since_ns: wall.as_nanos(),
            rows,
        };
        let Some(before) = before.filter(|before| before.boot == boot && !boot.is_empty()) else {
            return (new(rows), None);
        };
        let behind = zero(wall, instant).saturating_sub(before.zero_ns);
        if behind.unsigned_abs() < CLOCK_STEP {
            return (before, None);
        }
        let shown = wall.offset(behind.saturating_neg());
        let is_known = shown < Timestamp::BUILT && wall >= Timestamp::BUILT;
        let era = is_known.then(|| Era {
            span: Span::new(before.since(), shown),
            behind,
        });
        (new(before.rows), era)
    }

    /// The clock was set.
    pub(super) fn step(&mut self, (wall, instant): (Timestamp, Instant)) {
        (self.zero_ns, self.since_ns) = (zero(wall, instant), wall.as_nanos());
    }

    /// Since when the clock has been as it is, by itself.
    pub(super) fn since(&self) -> Timestamp {
        Timestamp::from_nanos(self.since_ns)
    }
}

fn zero(wall: Timestamp, instant: Instant) -> i64 {
    wall.offset(i64::try_from(instant.0).map_or(i64::MIN, std::ops::Neg::neg))
        .as_nanos()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TRUE: i64 = 2_000_000_000;

    fn at(wall: i64, passed: u64) -> (Timestamp, Instant) {
        (Timestamp::from_seconds(wall), Instant(passed * 1_000_000_000))
    }

    #[test]
    fn what_a_killed_process_recorded_in_1970_is_dated_whenever_the_time_becomes_known() {
        let (first, era) = ClockTie::begin(None, "boot", at(100, 70), 5);
        assert_eq!(
            (era, first.rows, first.since()),
            (None, 5, Timestamp::from_seconds(100))
        );
        // Started again before: nothing is new, and footage since the first start is of this box's start.
        let (second, era) = ClockTie::begin(Some(first.clone()), "boot", at(160, 130), 9);
        assert_eq!((era, &second), (None, &first));
        // Or started again when it is known.
        let (third, era) = ClockTie::begin(Some(first), "boot", at(TRUE, 170), 9);
        let era = era.unwrap();
        assert_eq!(era.behind, (TRUE - 200) * 1_000_000_000);
        assert_eq!(
            era.span,
            Span::new(Timestamp::from_seconds(100), Timestamp::from_seconds(200))
        );
        assert_eq!(third.rows, 5);
    }

    #[test]
    fn what_was_recorded_before_the_box_was_restarted_stays_as_it_is() {
        let (first, _) = ClockTie::begin(None, "boot", at(100, 70), 5);
        let (second, era) = ClockTie::begin(Some(first.clone()), "another", at(100, 70), 9);
        assert_eq!((era, second.rows), (None, 9));
        let (_, era) = ClockTie::begin(Some(first.clone()), "another", at(TRUE, 70), 9);
        assert_eq!(era, None);
        let nameless = ClockTie {
            boot: String::new(),
            ..first
        };
        let (_, era) = ClockTie::begin(Some(nameless), "", at(TRUE, 170), 9);
        assert_eq!(era, None, "whether it was restarted is not known");
    }

    #[test]
    fn a_clock_that_is_right_or_set_to_another_wrong_time_dates_nothing() {
        let (right, _) = ClockTie::begin(None, "boot", at(TRUE, 70), 5);
        let (_, era) = ClockTie::begin(Some(right.clone()), "boot", at(TRUE + 100, 70), 5);
        assert_eq!(era, None);
        let (_, era) = ClockTie::begin(Some(right), "boot", at(100, 70), 5);
        assert_eq!(era, None);
        let (mut wrong, _) = ClockTie::begin(None, "boot", at(100, 70), 5);
        let (other, era) = ClockTie::begin(Some(wrong.clone()), "boot", at(90_000, 80), 5);
        assert_eq!((era, other.since()), (None, Timestamp::from_seconds(90_000)));
        wrong.step(at(90_000, 80));
        assert_eq!(wrong, other);
    }
}
