//! The only place that reads a clock.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::model::Timestamp;

/// A moment on a clock that only goes forward and that nobody can set: nanoseconds since some start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// How long after `earlier` this is; nothing when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved forward.
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// Tells the time. Given to whoever needs it, so that tests can tell another.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// What the wall clock says; it may jump.
    fn now(&self) -> Timestamp;
    /// A moment that only goes forward.
    fn instant(&self) -> Instant;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clocks, ready to be shared.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    // Through the C library and not by a system call of our own, so that a tool that fakes the time reaches us too.
    #[allow(clippy::disallowed_methods, reason = "the one place that may")]
    fn now(&self) -> Timestamp {
        let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, std::ops::Neg::neg),
        };
        Timestamp::from_nanos(nanos)
    }

    fn instant(&self) -> Instant {
        let time = clock_gettime(ClockId::Monotonic);
        let nanos = time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec);
        Instant(u64::try_from(nanos).unwrap_or(0))
    }
}

/// A clock for tests: it stands until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<(i64, u64)>);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new((now.as_nanos(), 1_000_000_000)))
    }

    fn with<T>(&self, read: impl FnOnce(&mut (i64, u64)) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Time passes: both clocks go forward.
    pub fn advance(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.with(|clock| {
            clock.0 = clock.0.saturating_add(i64::try_from(nanos).unwrap_or(i64::MAX));
            clock.1 = clock.1.saturating_add(nanos);
        });
    }

    /// Somebody sets the wall clock: only it jumps.
    pub fn step(&self, nanos: i64) {
        self.with(|clock| clock.0 = clock.0.saturating_add(nanos));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.with(|clock| Timestamp::from_nanos(clock.0))
    }

    fn instant(&self) -> Instant {
        self.with(|clock| Instant(clock.1))
    }
}

/// Holds the current thread for a while. For threads that have nothing to wait on; a task waits on tokio's timers.
#[allow(clippy::disallowed_methods, reason = "the one place that may")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_moves_the_wall_clock_and_not_the_other() {
        let clock = ManualClock::at(Timestamp::from_seconds(100));
        let before = clock.instant();
        clock.step(-3_600_000_000_000);
        assert_eq!(clock.now(), Timestamp::from_seconds(-3500));
        assert_eq!(clock.instant(), before);
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.instant().since(before), Duration::from_secs(2));
    }

    #[test]
    fn the_machines_clocks_tell_a_time() {
        assert!(SystemClock.now() > Timestamp::from_seconds(1_700_000_000));
        assert!(SystemClock.instant() > Instant(0));
    }
}
