//! The camera's own clock, which may be wrong: what it says about time is its own time, what it shows is the truth.

use std::sync::atomic::{AtomicI64, Ordering};

use gstreamer::glib;

use crate::model::{Span, Timestamp};

/// A clock that is ahead of the true time by so many nanoseconds, or behind by less than nothing.
#[derive(Debug, Default)]
pub(super) struct CameraClock {
    ahead_ns: AtomicI64,
}

impl CameraClock {
    /// Sets it wrong by so many milliseconds.
    pub(super) fn set_ahead_ms(&self, ms: i64) {
        self.ahead_ns.store(ms.saturating_mul(1_000_000), Ordering::SeqCst);
    }

    /// What it shows now.
    pub(super) fn now(&self) -> Timestamp {
        self.tell(Timestamp::from_nanos(glib::real_time().saturating_mul(1000)))
    }

    /// What it showed at a true moment.
    pub(super) fn tell(&self, truth: Timestamp) -> Timestamp {
        truth.offset(self.ahead_ns.load(Ordering::SeqCst))
    }

    /// The true moment at which it showed this.
    pub(super) fn mean(&self, told: Timestamp) -> Timestamp {
        told.offset(-self.ahead_ns.load(Ordering::SeqCst))
    }

    /// The true span that somebody means who names it in the camera's time.
    pub(super) fn mean_span(&self, told: Span) -> Span {
        Span::new(self.mean(told.start), self.mean(told.end))
    }
}
