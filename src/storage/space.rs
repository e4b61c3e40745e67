//! Room on a volume, and whether it takes files at all.

use std::path::Path;

use rustix::fs::{AtFlags, StatVfsMountFlags, fstat, fstatvfs, unlinkat};
use rustix::io::Errno;

use super::durable::parent;
use super::error::StorageError;
use super::volume::Volume;

/// A volume that was full is written to again when it has so much room, or this share of all of it when that is less. Less
/// would be full again in no time.
const WORTH_A_TRY: u64 = 64 << 20;
const SHARE: u64 = 50;

/// How much a volume's file system holds and still takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total_bytes: u64,
    /// What this process may still write.
    pub available_bytes: u64,
}

impl Volume {
    /// How much room there is.
    pub fn free_space(&self) -> Result<Space, StorageError> {
        let space =
            fstatvfs(self.directory()).map_err(|errno| StorageError::errno("ask for room on", self.root(), errno))?;
        Ok(Space {
            total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
            available_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }

    /// Whether it takes files as far as can be told without making one; a file system that was mounted anew for reading, or
    /// that the kernel made so after an error, does not.
    pub fn check_writable(&self) -> Result<(), StorageError> {
        let root = self.root();
        let found = fstatvfs(self.directory()).map_err(|errno| StorageError::errno("look at", root, errno))?;
        if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(StorageError::errno("write to the volume", root, Errno::ROFS));
        }
        Ok(())
    }

    /// Whether it is worth trying to write to it again, when it was [lost](Self::notice_lost). May wait for the disk.
    pub fn check_back(&self) -> Result<(), StorageError> {
        if !self.is_lost() {
            return Ok(());
        }
        self.check_present()?;
        self.check_writable()?;
        let space = self.free_space()?;
        if space.available_bytes < WORTH_A_TRY.min(space.total_bytes / SHARE) {
            return Err(StorageError::errno("write to the volume", self.root(), Errno::NOSPC));
        }
        Ok(())
    }

    /// Removes the directory of a copy that was removed, when nothing is left in it; `false` when there is.
    pub fn remove_empty_directory(&self, relative: &str) -> Result<bool, StorageError> {
        self.inside(relative)?;
        let directory = parent(Path::new(relative));
        if directory.components().count() < 2 {
            return Ok(false);
        }
        match unlinkat(self.directory(), directory, AtFlags::REMOVEDIR) {
            Ok(()) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(false),
            Err(errno) => Err(StorageError::errno("remove", &self.root().join(directory), errno)),
        }
    }

    /// Whether another volume is on the same file system: then the two are lost together.
    pub fn shares_disk_with(&self, other: &Self) -> bool {
        let device = |volume: &Self| fstat(volume.directory()).map(|found| found.st_dev).ok();
        device(self).is_some() && device(self) == device(other)
    }
}
