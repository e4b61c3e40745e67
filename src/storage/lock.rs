//! One daemon a data directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::error::StorageError;
use crate::runtime::pause;

/// How often is looked whether one that was killed has gone.
const DYING: Duration = Duration::from_millis(50);

/// The right to work with a data directory. It ends when this is dropped, and with the process however it ends: the
/// kernel holds the lock, not the file.
#[derive(Debug)]
pub struct DaemonLock {
    _file: File,
    path: PathBuf,
}

impl DaemonLock {
    /// Name of the lock file.
    pub const FILE: &'static str = ".camkeep-lock";

    /// Takes the lock of a data directory, or says who has it. One that was killed and cannot go yet is waited for: it does
    /// nothing any more.
    pub fn take(data: &Path) -> Result<Self, StorageError> {
        let path = data.join(Self::FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(|error| StorageError::io("open the lock", &path, error))?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let pid = read_pid(&mut file);
                    if !pid.is_some_and(is_dying) {
                        return Err(StorageError::AlreadyRunning { pid, path });
                    }
                    pause(DYING);
                }
                Err(errno) => return Err(StorageError::errno("lock", &path, errno)),
            }
        }
        // The process id is for people; the lock is what counts.
        let note = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(note.as_bytes()))
            .map_err(|error| StorageError::io("write the lock", &path, error))?;
        Ok(Self { _file: file, path })
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a process was killed and is only not gone yet, because a disk holds one of its threads in the kernel.
fn is_dying(pid: u32) -> bool {
    // Signal 9 is the ninth bit of what is pending for a thread.
    const KILL: u64 = 1 << 8;
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().any(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let value = |label: &str| status.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
        let pending = |label| {
            value(label)
                .and_then(|bits| u64::from_str_radix(bits, 16).ok())
                .unwrap_or(0)
        };
        let is_gone = value("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
        is_gone || (pending("SigPnd:") | pending("ShdPnd:")) & KILL != 0
    })
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    // It is read again while somebody is waited for.
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Fault;

    const CHILD: &str = "CAMKEEP_LOCK_TEST";

    #[test]
    fn a_second_daemon_on_the_same_data_is_refused_and_told_by_whom() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DaemonLock::take(directory.path()).unwrap();
        let error = DaemonLock::take(directory.path()).unwrap_err();
        assert_eq!(error.fault(), Fault::Conflict);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        // Another process meets the same: this test, run by itself as a child.
        let run = || {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "storage::lock::tests::the_child_of_the_test_above",
                    "--nocapture",
                ])
                .env(CHILD, directory.path())
                .output()
                .unwrap()
        };
        let said = String::from_utf8(run().stdout).unwrap();
        assert!(
            said.contains(&format!("held by {:?}", Some(std::process::id()))),
            "{said}"
        );
        drop(lock);
        let said = String::from_utf8(run().stdout).unwrap();
        assert!(said.contains("free"), "{said}");
        assert!(
            DaemonLock::take(directory.path()).is_ok(),
            "a lock ends with its process"
        );
    }

    #[test]
    fn the_child_of_the_test_above() {
        let Some(directory) = std::env::var_os(CHILD) else {
            return;
        };
        match DaemonLock::take(Path::new(&directory)) {
            Ok(lock) => println!("free: {}", lock.path().display()),
            Err(StorageError::AlreadyRunning { pid, .. }) => println!("held by {pid:?}"),
            Err(error) => panic!("{error}"),
        }
    }
}
