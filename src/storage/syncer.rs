//! The thread that brings growing files to the disk once a second.
//!
//! A power cut takes what the kernel has not written yet; this bounds it. Give each volume a thread of its own: a disk
//! that hangs holds its thread in the kernel, and would keep the files of the others from the disk with its own.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::durable::{parent, sync_directory};
use super::ending::Ending;
use super::error::StorageError;
use crate::runtime::Timing;

/// Hears of a sync that failed. Called on the syncing thread.
pub type Complain = Arc<dyn Fn(StorageError) + Send + Sync>;

/// How far the syncing of a file is.
#[derive(Clone)]
enum Stage {
    /// Nobody opened it yet; its name may not be on the disk.
    New,
    /// Held open, so that no failure between two syncs is missed.
    Held(Arc<File>),
    /// To be synced once more and then let go.
    Last(Option<Arc<File>>),
}

#[derive(Default)]
struct Files {
    stages: HashMap<PathBuf, Stage>,
    stop: bool,
    rounds: u64,
}

#[derive(Default)]
struct Shared {
    files: Mutex<Files>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that syncs the files it was told of. None of its methods waits for a disk.
pub struct Syncer {
    shared: Arc<Shared>,
    ending: Ending,
    timing: Timing,
}

impl std::fmt::Debug for Syncer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Syncer").finish_non_exhaustive()
    }
}

impl Syncer {
    /// How often files are synced, unless somebody has a reason for another period.
    pub const PERIOD: Duration = Duration::from_secs(1);

    /// Starts the thread. The name is what the system shows; 15 bytes of it count.
    pub fn start(name: &str, period: Duration, complain: Complain) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let timing = Timing::default();
        let counted = timing.clone();
        let ending = Ending::start(name, move || run(&theirs, period, &complain, &counted))?;
        Ok(Self { shared, ending, timing })
    }

    /// Syncs a file from now on, first of all its name.
    ///
    /// A sync that fails is told once and the file is let go: it is suspect, and no later success would mend that.
    pub fn register(&self, path: &Path) {
        self.shared.lock().stages.insert(path.to_owned(), Stage::New);
    }

    /// Lets go of a file at once: somebody else makes it durable, or it is gone.
    pub fn unregister(&self, path: &Path) {
        self.shared.lock().stages.remove(path);
    }

    /// Syncs a file that grows no more one last time, and lets it go.
    pub fn retire(&self, path: &Path) {
        if let Some(stage) = self.shared.lock().stages.get_mut(path) {
            *stage = match std::mem::replace(stage, Stage::New) {
                Stage::New => Stage::Last(None),
                Stage::Held(file) => Stage::Last(Some(file)),
                last @ Stage::Last(_) => last,
            };
        }
    }

    /// How long syncs take.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Syncs everything once more and ends the thread; `false` when a disk held it beyond the deadline.
    pub fn close(mut self, deadline: Duration) -> bool {
        self.ask_to_stop();
        self.ending.wait(deadline)
    }

    fn ask_to_stop(&self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_all();
    }

    /// Waits until two more rounds have begun and ended, so that everything registered before is through one.
    #[cfg(test)]
    fn wait_for_a_round(&self) {
        let files = self.shared.lock();
        let wanted = files.rounds + 2;
        let _files = self
            .shared
            .changed
            .wait_timeout_while(files, Duration::from_secs(20), |files| files.rounds < wanted)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // The thread ends after its round; the owner who wants to see it end calls `close`.
        self.ask_to_stop();
    }
}

fn run(shared: &Shared, period: Duration, complain: &Complain, timing: &Timing) {
    loop {
        let files = shared.lock();
        let (files, _) = shared
            .changed
            .wait_timeout_while(files, period, |files| !files.stop)
            .unwrap_or_else(PoisonError::into_inner);
        let stop = files.stop;
        let round: Vec<(PathBuf, Stage)> = files
            .stages
            .iter()
            .map(|(path, stage)| (path.clone(), stage.clone()))
            .collect();
        // Nobody waits for the disk while it is synced.
        drop(files);
        for (path, stage) in round {
            sync_one(shared, path, stage, complain, timing);
        }
        shared.lock().rounds += 1;
        shared.changed.notify_all();
        if stop {
            return;
        }
    }
}

fn sync_one(shared: &Shared, path: PathBuf, stage: Stage, complain: &Complain, timing: &Timing) {
    let is_last = matches!(stage, Stage::Last(_));
    let synced = timing.time(|| match stage {
        Stage::Held(file) | Stage::Last(Some(file)) => sync_again(&file, &path).map(|()| file),
        Stage::New | Stage::Last(None) => sync_first(&path).map(Arc::new),
    });
    let mut files = shared.lock();
    // Somebody may have let go of it meanwhile: then it may be gone, and that is no failure.
    let Some(stage) = files.stages.get_mut(&path) else {
        return;
    };
    match synced {
        Ok(_) if is_last => {
            files.stages.remove(&path);
        }
        Ok(file) => match stage {
            Stage::New => *stage = Stage::Held(file),
            Stage::Last(held) => *held = Some(file),
            Stage::Held(_) => {}
        },
        Err(error) => {
            files.stages.remove(&path);
            drop(files);
            complain(error);
        }
    }
}

fn sync_first(path: &Path) -> Result<File, StorageError> {
    let file = File::open(path).map_err(|error| StorageError::io("open", path, error))?;
    sync_again(&file, path)?;
    sync_directory(parent(path))?;
    Ok(file)
}

fn sync_again(file: &File, path: &Path) -> Result<(), StorageError> {
    file.sync_data().map_err(|source| StorageError::SyncFailed {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::mpsc;

    const SOON: Duration = Duration::from_millis(5);
    const PATIENCE: Duration = Duration::from_secs(20);

    fn syncer() -> (Syncer, mpsc::Receiver<StorageError>) {
        let (sender, receiver) = mpsc::channel();
        let complain: Complain = Arc::new(move |error| sender.send(error).unwrap());
        (Syncer::start("test-sync", SOON, complain).unwrap(), receiver)
    }

    fn is_held(syncer: &Syncer, path: &Path) -> bool {
        matches!(syncer.shared.lock().stages.get(path), Some(Stage::Held(_)))
    }

    #[test]
    fn a_registered_file_is_synced_and_let_go_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| directory.path().join(name));
        let (syncer, complaints) = syncer();
        for path in &paths {
            std::fs::write(path, b"x").unwrap();
            syncer.register(path);
        }
        syncer.wait_for_a_round();
        assert!(is_held(&syncer, &paths[0]) && is_held(&syncer, &paths[1]));
        syncer.unregister(&paths[0]);
        syncer.retire(&paths[1]);
        syncer.wait_for_a_round();
        assert!(syncer.shared.lock().stages.is_empty());
        assert!(syncer.close(PATIENCE));
        assert!(complaints.try_recv().is_err());
    }

    #[test]
    fn a_failure_is_told_once_and_never_tried_again() {
        let (syncer, complaints) = syncer();
        // What has no storage behind it cannot be synced: a real failure without a broken disk.
        let path = Path::new("/proc/self/status");
        syncer.register(path);
        let error = complaints.recv_timeout(PATIENCE).unwrap();
        assert!(
            matches!(&error, StorageError::SyncFailed { path: failed, .. } if failed == path),
            "{error}"
        );
        syncer.wait_for_a_round();
        assert!(complaints.try_recv().is_err());
        assert!(syncer.close(PATIENCE));
    }

    #[test]
    fn a_file_that_was_let_go_and_removed_is_no_failure() {
        let directory = tempfile::tempdir().unwrap();
        let (syncer, complaints) = syncer();
        for number in 0..50 {
            let path = directory.path().join(number.to_string());
            std::fs::write(&path, b"x").unwrap();
            syncer.register(&path);
            syncer.unregister(&path);
            std::fs::remove_file(&path).unwrap();
        }
        syncer.wait_for_a_round();
        assert!(complaints.try_recv().is_err());
        syncer.register(&directory.path().join("never there"));
        let error = complaints.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(error, StorageError::Missing { .. }), "{error}");
        assert!(syncer.close(PATIENCE));
    }
}
