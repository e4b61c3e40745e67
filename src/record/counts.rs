//! What came of a camera and how often it was lost, since the daemon began: figures that only grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Loss;
use crate::runtime::Instant;

/// The figures of one camera.
#[derive(Debug, Default)]
pub struct Counts {
    frames: AtomicU64,
    bytes: AtomicU64,
    losses: [AtomicU64; Loss::ALL.len()],
}

impl Counts {
    fn add_frame(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.add_bytes(bytes);
    }

    fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn add_loss(&self, loss: Loss) {
        for (kind, count) in Loss::ALL.iter().zip(&self.losses) {
            count.fetch_add(u64::from(*kind == loss), Ordering::Relaxed);
        }
    }

    /// Video frames that were received.
    pub fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Bytes of pictures and sound that were received.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How often recording ended for each reason. A camera that stays away is lost once, for the first of them.
    pub fn losses(&self) -> impl Iterator<Item = (Loss, u64)> {
        let counts = self.losses.iter().map(|count| count.load(Ordering::Relaxed));
        Loss::ALL.into_iter().zip(counts)
    }
}

/// What a driver reads of a run without asking it to stop: signs of life.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// When anything last came, as nanoseconds of the clock that only goes forward; 0 is never.
    pub(super) heard: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    /// Those of the camera, of this run and all before it.
    counts: Arc<Counts>,
}

impl Pulse {
    pub(super) fn of(counts: Arc<Counts>) -> Self {
        Self {
            counts,
            ..Self::default()
        }
    }

    /// A picture came, at this moment.
    pub(super) fn frame(&self, at: Instant, bytes: usize) {
        self.heard.store(at.0, Ordering::Relaxed);
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.counts.add_frame(bytes);
    }

    /// Sound came.
    pub(super) fn sound(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.counts.add_bytes(bytes);
    }

    pub(super) fn heard(&self) -> Option<Instant> {
        Some(self.heard.load(Ordering::Relaxed))
            .filter(|nanos| *nanos > 0)
            .map(Instant)
    }

    /// Frames and bytes since the run began.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}
