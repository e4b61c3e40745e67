//! How long things take, counted in classes of duration, for whoever watches many boxes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::clock::{Clock, Instant, SystemClock};
use crate::model::SegmentId;

/// Upper ends of the classes, in seconds.
const CLASSES: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// How long one kind of work takes. Clones share the figures.
#[derive(Debug, Clone)]
pub struct Timing(Histogram);

impl Default for Timing {
    fn default() -> Self {
        Self(Histogram::new(CLASSES))
    }
}

impl Timing {
    /// It took so long.
    pub fn observe(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }

    /// Does the work and counts how long it takes, whatever comes of it.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = SystemClock.instant();
        let done = work();
        self.observe(SystemClock.instant().since(begun));
        done
    }

    /// The figures, to be shown.
    pub fn histogram(&self) -> Histogram {
        self.0.clone()
    }
}

/// How long a segment takes from the close of its file to its row. Clones share the figures.
#[derive(Debug, Clone, Default)]
pub struct SegmentTimings {
    /// From the close of the file by the muxer until the file is labelled, synced and hashed.
    pub close: Timing,
    /// The syncs in it.
    pub sync: Timing,
    /// From the close of the file by the muxer until the commit of the row.
    pub index_delay: Timing,
    closing: Arc<Mutex<HashMap<SegmentId, Instant>>>,
}

impl SegmentTimings {
    /// The muxer has closed a segment's file.
    pub fn begin(&self, id: SegmentId) {
        self.lock().insert(id, SystemClock.instant());
    }

    /// The segment's row was committed, or is given up. What nobody said the beginning of is not counted: what was mended or
    /// fetched.
    pub fn end(&self, id: SegmentId) {
        let begun = self.lock().remove(&id);
        if let Some(begun) = begun {
            self.index_delay.observe(SystemClock.instant().since(begun));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SegmentId, Instant>> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
