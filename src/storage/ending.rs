//! A thread whose end can be waited for with a deadline.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::StorageError;
use crate::runtime::spawn_thread;

/// A thread that is joined when it ends, or left behind when a disk holds it in the kernel for longer than anybody may
/// wait: no thread can be taken out of there.
#[derive(Debug)]
pub(super) struct Ending {
    thread: Option<JoinHandle<()>>,
    /// Only ever reached by the owner; the lock is there because a receiver alone cannot be shared.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Ending {
    pub(super) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<Self, StorageError> {
        let (sender, ended) = mpsc::channel::<()>();
        let thread = spawn_thread(name, move || {
            work();
            // Dropping it is the message, also when the work panicked.
            drop(sender);
        })
        .map_err(|source| StorageError::NoThread {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            thread: Some(thread),
            ended: Mutex::new(ended),
        })
    }

    /// Waits for the end; `false` when it did not come.
    pub(super) fn wait(&mut self, deadline: Duration) -> bool {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            return false;
        }
        let joined = self.thread.take().is_none_or(|thread| thread.join().is_ok());
        if !joined {
            tracing::error!("a thread of the storage died of a panic");
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_end_that_does_not_come_is_waited_for_no_longer_than_the_deadline() {
        let (release, held) = mpsc::channel::<()>();
        let mut ending = Ending::start("held", move || {
            let _ = held.recv();
        })
        .unwrap();
        assert!(!ending.wait(Duration::from_millis(20)));
        drop(release);
        assert!(ending.wait(Duration::from_secs(20)));
    }

    #[test]
    fn a_panic_is_an_end_and_is_noticed() {
        let mut ending = Ending::start("dies", || panic!("on purpose")).unwrap();
        assert!(!ending.wait(Duration::from_secs(20)));
    }
}
