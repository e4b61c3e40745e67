//! What a busy machine takes from a process, so that promises about time are held to what the process itself does.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wait::pause;

/// How long the threads of a process were ready to run and got no processor, all together, as the kernel counts it.
pub(crate) fn waited(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let waits = tasks.filter_map(|task| {
        let counted = fs::read_to_string(task.path().join("schedstat")).ok()?;
        counted.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waits.sum())
}

/// Syncs a small file again and again and remembers how long that took at most: what a disk that others use too makes
/// everybody wait.
#[derive(Debug)]
pub(crate) struct SyncProbe {
    longest_ns: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SyncProbe {
    pub(crate) fn start(directory: &Path) -> Self {
        let mut file = File::create(directory.join("sync-probe")).unwrap();
        let (longest_ns, ends) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (longest, end) = (Arc::clone(&longest_ns), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let began = Instant::now();
                file.write_all(b"probe").and_then(|()| file.sync_all()).unwrap();
                longest.fetch_max(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
                pause(Duration::from_millis(50));
            }
        });
        Self {
            longest_ns,
            ends,
            thread: Some(thread),
        }
    }

    /// The longest since this was asked last.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_ns.swap(0, Ordering::Relaxed))
    }
}

impl Drop for SyncProbe {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
