//! The mirror's volume: opened, looked at each second, and given up when its disk does not answer.
//!
//! Every call to the disk is made on a thread of its own, because a disk or a network share that died holds whoever asks it,
//! for minutes or for ever. A thread that is held is left behind and counted, and no other is begun before it is back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::model::{Timestamp, VolumeId, VolumeRole};
use crate::runtime::{Backoff, Instant, spawn_thread};
use crate::storage::{Space, StorageError, Volume};

/// How often a mirror that is there is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A call that takes longer is taken for a disk that died.
pub(super) const HANG: Duration = Duration::from_secs(10);

/// Which volume is to be opened.
#[derive(Debug, Clone)]
pub(super) enum Which {
    /// The one that was there before.
    Known(VolumeId),
    /// Whatever lies there, or a new one.
    Any(Timestamp),
}

/// What became known of the volume.
#[derive(Debug)]
pub(super) enum Sight {
    /// It was opened.
    Opened(Arc<Volume>, Space),
    /// It is still there.
    Seen(Space),
    /// It is not there, and why.
    Gone(String),
}

type Looked = Result<(Option<Volume>, Space), StorageError>;

/// A thread that asks the disk.
#[derive(Debug)]
struct Asking {
    begun: Instant,
    is_left: bool,
    answer: oneshot::Receiver<Looked>,
    thread: JoinHandle<()>,
}

/// Keeps the mirror's volume.
#[derive(Debug)]
pub(super) struct Keeper {
    root: PathBuf,
    volume: Option<Arc<Volume>>,
    asking: Option<Asking>,
    next: Instant,
    patience: Backoff,
    left_behind: u64,
}

impl Keeper {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            volume: None,
            asking: None,
            next: Instant::default(),
            patience: Backoff::new(Duration::from_secs(1), Duration::from_secs(10)),
            left_behind: 0,
        }
    }

    /// The volume, while it is there.
    pub(super) fn volume(&self) -> Option<&Arc<Volume>> {
        self.volume.as_ref()
    }

    /// Threads that a disk held for too long, since the start.
    pub(super) fn left_behind(&self) -> u64 {
        self.left_behind
    }

    /// Whether the volume is not there and nobody is asking for it.
    pub(super) fn may_open(&self, now: Instant) -> bool {
        self.volume.is_none() && self.asking.is_none() && now >= self.next
    }

    /// The volume is no good any more; it is opened again after a while.
    pub(super) fn lose(&mut self, now: Instant) {
        self.volume = None;
        self.next = now.plus(self.patience.next_wait(fastrand::f64()));
    }

    /// Asks for the volume.
    pub(super) fn open(&mut self, now: Instant, which: Which) -> Option<Sight> {
        let root = self.root.clone();
        self.ask(now, move || {
            let volume = match which {
                Which::Known(id) => Volume::open_expected(&root, VolumeRole::Mirror, id)?,
                Which::Any(made_at) => Volume::open(&root, VolumeRole::Mirror, made_at)?,
            };
            let left = volume.clear_unfinished()?;
            if left > 0 {
                tracing::info!(left, "copies to the mirror that were cut off are made anew");
            }
            let space = look_at(&volume)?;
            Ok((Some(volume), space))
        })
    }

    /// Looks whether the thread that asks is back, and asks again when it is time.
    pub(super) fn look(&mut self, now: Instant) -> Option<Sight> {
        let Some(asking) = &mut self.asking else {
            let volume = self.volume.clone().filter(|_| now >= self.next)?;
            return self.ask(now, move || Ok((None, look_at(&volume)?)));
        };
        match asking.answer.try_recv() {
            Err(TryRecvError::Empty) if asking.is_left || now.since(asking.begun) < HANG => None,
            Err(TryRecvError::Empty) => {
                asking.is_left = true;
                self.left_behind += 1;
                self.lose(now);
                Some(Sight::Gone(does_not_answer(HANG)))
            }
            Ok(looked) => self.hear(now, looked),
            Err(TryRecvError::Closed) => {
                self.asking = None;
                self.lose(now);
                Some(Sight::Gone("looking at it failed; the log says why".to_owned()))
            }
        }
    }

    fn hear(&mut self, now: Instant, looked: Looked) -> Option<Sight> {
        let asking = self.asking.take()?;
        // It has sent its last word, so this takes no time.
        let _ = asking.thread.join();
        match looked {
            // What a thread says that was given up is old.
            Ok(_) if asking.is_left => {
                self.next = now;
                None
            }
            Ok((Some(volume), space)) => {
                let volume = Arc::new(volume);
                self.volume = Some(Arc::clone(&volume));
                self.patience.reset();
                self.next = now.plus(LOOK);
                Some(Sight::Opened(volume, space))
            }
            Ok((None, space)) => {
                self.next = now.plus(LOOK);
                // Meanwhile somebody else may have found out that it is no good.
                self.volume.is_some().then_some(Sight::Seen(space))
            }
            Err(error) => {
                self.lose(now);
                Some(Sight::Gone(error.to_string()))
            }
        }
    }

    fn ask(&mut self, now: Instant, work: impl FnOnce() -> Looked + Send + 'static) -> Option<Sight> {
        let (tell, answer) = oneshot::channel();
        let begun = spawn_thread("mirror-look", move || {
            // Whoever asked may have ended.
            let _ = tell.send(work());
        });
        match begun {
            Ok(thread) => {
                self.asking = Some(Asking {
                    begun: now,
                    is_left: false,
                    answer,
                    thread,
                });
                None
            }
            Err(error) => {
                self.lose(now);
                Some(Sight::Gone(format!(
                    "no thread can be started to look at it ({error}); raise the limit of tasks (TasksMax, ulimit -u)"
                )))
            }
        }
    }
}

fn look_at(volume: &Volume) -> Result<Space, StorageError> {
    volume.check_present()?;
    volume.check_writable()?;
    volume.free_space()
}

/// How a disk is called that holds whoever asks it.
pub(super) fn does_not_answer(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("its disk does not answer: it has been held up for {seconds} s; check the disk, its cable or the network")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::pause;
    use std::sync::mpsc;

    const MADE: Timestamp = Timestamp::from_seconds(1_790_000_000);

    /// Looks until something is seen, second after second of a clock that only counts.
    fn wait_until_seen(keeper: &mut Keeper, from: Instant) -> Sight {
        (0..2000)
            .find_map(|_| {
                pause(Duration::from_millis(5));
                keeper.look(from)
            })
            .expect("nothing was seen")
    }

    fn later(seconds: u64) -> Instant {
        Instant::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_mirror_is_opened_seen_and_missed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("mirror");
        let mut keeper = Keeper::new(&root);
        assert!(keeper.may_open(later(0)));
        assert!(keeper.open(later(0), Which::Any(MADE)).is_none());
        assert!(!keeper.may_open(later(0)));
        let Sight::Opened(volume, space) = wait_until_seen(&mut keeper, later(0)) else {
            panic!("it was not opened");
        };
        assert!(space.total_bytes > 0);
        assert!(keeper.look(later(0)).is_none() && keeper.look(later(2)).is_none());
        assert!(matches!(wait_until_seen(&mut keeper, later(2)), Sight::Seen(_)));

        std::fs::rename(&root, directory.path().join("unplugged")).unwrap();
        std::fs::create_dir(&root).unwrap();
        assert!(keeper.look(later(4)).is_none());
        let Sight::Gone(reason) = wait_until_seen(&mut keeper, later(4)) else {
            panic!("nobody misses it");
        };
        assert!(reason.contains("another directory lies there now"), "{reason}");
        assert!(keeper.volume().is_none() && !keeper.may_open(later(4)));

        let known = Which::Known(volume.id());
        assert!(keeper.may_open(later(30)) && keeper.open(later(30), known.clone()).is_none());
        let Sight::Gone(reason) = wait_until_seen(&mut keeper, later(30)) else {
            panic!("an empty mount point was taken for it");
        };
        assert!(reason.contains("empty mount point"), "{reason}");
        assert!(std::fs::read_dir(&root).unwrap().next().is_none());
        std::fs::remove_dir(&root).unwrap();
        std::fs::rename(directory.path().join("unplugged"), &root).unwrap();
        assert!(keeper.open(later(60), known).is_none());
        assert!(matches!(wait_until_seen(&mut keeper, later(60)), Sight::Opened(..)));
        assert_eq!(keeper.left_behind(), 0);
    }

    #[test]
    fn a_disk_that_does_not_answer_is_lost_after_ten_seconds_and_holds_one_thread_only() {
        let directory = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(directory.path());
        let (release, held) = mpsc::channel::<()>();
        let hangs = move || {
            let _ = held.recv();
            let volume = Volume::open(Path::new("/nowhere/at/all"), VolumeRole::Mirror, MADE)?;
            let space = volume.free_space()?;
            Ok((Some(volume), space))
        };
        assert!(keeper.ask(later(0), hangs).is_none());
        assert!(keeper.look(later(9)).is_none());
        let Some(Sight::Gone(reason)) = keeper.look(later(10)) else {
            panic!("it is waited for without end");
        };
        assert!(reason.contains("does not answer"), "{reason}");
        for second in 11..60 {
            assert!(keeper.look(later(second)).is_none() && !keeper.may_open(later(second)));
        }
        assert_eq!(keeper.left_behind(), 1);
        drop(release);
        assert!(matches!(wait_until_seen(&mut keeper, later(60)), Sight::Gone(_)));
        assert!(keeper.may_open(later(90)));
    }
}
