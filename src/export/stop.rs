//! Stopping: whoever does not want a clip any more says so here, and how far a clip is stands here too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pipeline::Progress;

/// A wish that work on clips ends, and how far the work is. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// What of all the work is done for certain.
    done: f64,
    /// What is being written, how many bytes it will have, and which share of all the work that is.
    writing: Option<(Progress, u64, f64)>,
}

impl Stop {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody wants it any more.
    pub(super) fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        if let Some((progress, ..)) = &self.state().writing {
            progress.cancel();
        }
    }

    /// Whether nobody wants it any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// So much is done, from 0 to 1, and nothing is being written.
    pub(super) fn reach(&self, done: f64) {
        *self.state() = State {
            done: done.clamp(0.0, 1.0),
            writing: None,
        };
    }

    /// From now on bytes are written, which are this share of all the work. The writing is stopped when this is.
    pub(super) fn begin_writing(&self, bytes: u64, share: f64) -> Progress {
        let progress = Progress::default();
        self.state().writing = Some((progress.clone(), bytes, share));
        // Whoever stopped before could not know of it.
        if self.is_stopped() {
            progress.cancel();
        }
        progress
    }

    /// How much is done, from 0 to 1.
    pub(super) fn progress(&self) -> f64 {
        let state = self.state().clone();
        let writing = state.writing.map_or(0.0, |(progress, bytes, share)| {
            share * (progress.bytes() as f64 / bytes.max(1) as f64).min(1.0)
        });
        (state.done + writing).clamp(0.0, 1.0)
    }

    /// Stops the work when whoever waits for it has gone: a request that is given up drops what it waits with.
    pub(super) fn when_dropped(&self) -> Waiting {
        Waiting(self.clone())
    }
}

/// Somebody waits for the work.
#[derive(Debug)]
pub(super) struct Waiting(Stop);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_stops_what_is_being_written_and_what_would_be() {
        let stop = Stop::default();
        let waiting = stop.when_dropped();
        let first = stop.begin_writing(100, 1.0);
        assert!(!stop.is_stopped() && !first.is_cancelled());
        drop(waiting);
        assert!(stop.is_stopped() && first.is_cancelled());
        assert!(stop.begin_writing(100, 1.0).is_cancelled());
    }

    #[test]
    fn progress_is_what_is_done_and_stays_within_its_bounds() {
        let near = |stop: &Stop, expected: f64| (stop.progress() - expected).abs() < 1e-9;
        let stop = Stop::default();
        assert!(near(&stop, 0.0));
        stop.reach(0.25);
        stop.begin_writing(0, 0.5);
        assert!(near(&stop, 0.25));
        stop.reach(7.0);
        assert!(near(&stop.clone(), 1.0));
    }
}
