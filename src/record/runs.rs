//! The runs of a camera of which something is still awaited: they answer for their files, and for what is newer than those.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Camera, RunId, Schedule, Segment};

use super::counts::Counts;
use super::run::Run;
use super::tail::Tail;

/// A camera's runs, the oldest first. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs(Arc<Mutex<Vec<Arc<Run>>>>);

impl Runs {
    pub(super) fn add(&self, run: Arc<Run>) {
        self.lock().push(run);
    }

    pub(super) fn get(&self, id: RunId) -> Option<Arc<Run>> {
        self.lock().iter().find(|run| run.id() == id).cloned()
    }

    pub(super) fn remove(&self, id: RunId) -> Option<Arc<Run>> {
        let mut runs = self.lock();
        let at = runs.iter().position(|run| run.id() == id)?;
        Some(runs.remove(at))
    }

    pub(super) fn all(&self) -> Vec<Arc<Run>> {
        self.lock().clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A camera that is taken up.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) camera: Camera,
    /// The last segment there is of it.
    pub(super) last: Option<Segment>,
    pub(super) schedules: Vec<Schedule>,
    pub(super) tail: Tail,
    pub(super) runs: Runs,
    pub(super) counts: Arc<Counts>,
}
