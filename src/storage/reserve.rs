//! A file that takes room so that there is some when the disk is full: for the index, which has to write to let footage go.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::error::StorageError;

/// Its name.
const NAME: &str = "reserve";
/// How large it is: this, or a share of the disk when that is less.
const SIZE: u64 = 32 << 20;
const SHARE: u64 = 50;

/// The reserve of a data directory.
#[derive(Debug, Clone)]
pub struct Reserve(PathBuf);

impl Reserve {
    /// The reserve in a directory; nothing is made yet.
    pub fn new(directory: &Path) -> Self {
        Self(directory.join(NAME))
    }

    /// Makes it, on a disk of this size, unless it is there.
    pub fn fill(&self, total_bytes: u64) -> Result<(), StorageError> {
        let size = SIZE.min(total_bytes / SHARE);
        if fs::metadata(&self.0).is_ok_and(|found| found.len() == size) {
            return Ok(());
        }
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.0);
        let file = opened.map_err(|error| StorageError::io("make the reserve", &self.0, error))?;
        match fallocate(&file, FallocateFlags::empty(), 0, size) {
            Ok(()) => Ok(()),
            // A file system that cannot promise room has none to promise.
            Err(Errno::OPNOTSUPP) => Ok(()),
            Err(errno) => {
                self.spend();
                Err(StorageError::errno("make the reserve", &self.0, errno))
            }
        }
    }

    /// Gives its room away; `false` when there was none.
    pub fn spend(&self) -> bool {
        fs::remove_file(&self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reserve_is_made_once_and_spent_once() {
        let directory = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(directory.path());
        reserve.fill(1 << 20).unwrap();
        reserve.fill(1 << 20).unwrap();
        let found = fs::metadata(directory.path().join(NAME)).unwrap();
        assert_eq!(found.len(), (1 << 20) / SHARE);
        assert!(reserve.spend() && !reserve.spend());
    }
}
