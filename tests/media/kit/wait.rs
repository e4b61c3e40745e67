//! Waiting for something with a deadline, and saying what was seen when it did not come.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until there is something; fails with `what` when the deadline passes.
#[track_caller]
pub(crate) fn wait_until<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    wait_for(within, what, || look().ok_or("nothing yet"))
}

/// Looks until it is `Ok`; fails with `what` and the last state seen when the deadline passes.
#[track_caller]
pub(crate) fn wait_for<T, S: Debug>(within: Duration, what: &str, mut look: impl FnMut() -> Result<T, S>) -> T {
    let end = Instant::now() + within;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= end => panic!("not within {within:?}: {what}; last seen: {seen:?}"),
            Err(_) => pause(LOOK_EVERY),
        }
    }
}

/// Lets time pass where time itself is what the test is about.
pub(crate) fn pause(time: Duration) {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
