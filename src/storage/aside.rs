//! Work on a disk that may never answer, on a thread of its own: who asked waits for a while and goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::runtime::spawn_thread;

/// Does work aside. While a thread is held up by the disk, no other is sent after it.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Threads that nobody waits for any more and that have not come back.
    held_up: Arc<AtomicUsize>,
}

/// Takes a thread that was given up out of the count when it comes back, also by a panic.
struct Back {
    /// Set by whoever comes first: the thread at its end, or who gives it up.
    is_settled: Arc<AtomicBool>,
    held_up: Arc<AtomicUsize>,
}

impl Drop for Back {
    fn drop(&mut self) {
        if self.is_settled.swap(true, Ordering::SeqCst) {
            self.held_up.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Aside {
    /// The work's outcome; nothing when it does not come within `patience`, or when earlier work is held up still.
    pub(super) fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_held_up() {
            return None;
        }
        let (give, take) = mpsc::channel();
        let is_settled = Arc::new(AtomicBool::new(false));
        let back = Back {
            is_settled: Arc::clone(&is_settled),
            held_up: Arc::clone(&self.held_up),
        };
        let thread = spawn_thread("mirror-read", move || {
            let back = back;
            // Nobody may be waiting any more.
            let _ = give.send(work());
            drop(back);
        });
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for reading from the mirror");
            return None;
        }
        match take.recv_timeout(patience) {
            Ok(done) => Some(done),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                self.held_up.fetch_add(1, Ordering::SeqCst);
                if is_settled.swap(true, Ordering::SeqCst) {
                    // It came back at the last moment.
                    self.held_up.fetch_sub(1, Ordering::SeqCst);
                }
                take.try_recv().ok()
            }
        }
    }

    /// Whether the disk holds a thread up.
    pub(super) fn is_held_up(&self) -> bool {
        self.held_up.load(Ordering::SeqCst) > 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn who_asks_a_disk_that_hangs_waits_once_and_nobody_else_does_until_it_answers() {
        let aside = Aside::default();
        assert_eq!(aside.run(LONG, || 7), Some(7));
        let (release, held) = mpsc::channel::<()>();
        let hanging = move || {
            let _ = held.recv();
        };
        assert_eq!(aside.run(Duration::from_millis(20), hanging), None);
        assert!(aside.is_held_up());
        assert_eq!(aside.run(LONG, || 7), None, "no second thread is sent after it");
        drop(release);
        while aside.is_held_up() {
            std::thread::yield_now();
        }
        assert_eq!(aside.run(LONG, || 7), Some(7));
    }

    #[test]
    fn work_that_dies_is_no_outcome_and_holds_nobody_up() {
        let aside = Aside::default();
        assert_eq!(aside.run(LONG, || -> u8 { panic!("on purpose") }), None);
        assert!(!aside.is_held_up());
    }
}
