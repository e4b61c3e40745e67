//! Copying a file from one volume to another, so that it is there wholly or not at all.
//!
//! What is being copied lies under a hidden name on the volume that it goes to; it gets its own name only when it is synced,
//! was read back from the disk, and is what it should be. What a kill leaves under a hidden name is nobody's and is removed
//! when the volume is used again.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Advice, AtFlags, Mode, OFlags, RenameFlags, fadvise, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::durable::{Durable, parent, sync_directory};
use super::error::StorageError;
use super::volume::Volume;
use crate::model::Hasher;

/// The directory on each volume for files that are being copied to it.
const UNFINISHED: &str = ".camkeep-copy";

/// A copy that is read piece by piece, and measured on the way.
#[derive(Debug)]
pub struct CopyReader {
    file: File,
    path: PathBuf,
    hasher: Hasher,
    size_bytes: u64,
}

/// A copy that is being written under a hidden name; gone when it is dropped before it is settled.
#[derive(Debug)]
pub struct NewCopy {
    volume: Volume,
    file: File,
    hidden: String,
    is_settled: bool,
}

/// What becomes of a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// The new one takes its place: it is what a kill left of a copy, or a copy that differs.
    Anything,
    /// It stays, and the new one is refused.
    Nothing,
}

impl Volume {
    /// Opens a copy for reading. What the system holds of it in memory is let go first, so that the disk is asked.
    pub fn open_copy(&self, relative: &str) -> Result<CopyReader, StorageError> {
        let path = self.inside(relative)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(self.directory(), relative, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| StorageError::errno("open", &path, errno))?;
        forget_cached(&file);
        Ok(CopyReader {
            file,
            path,
            hasher: Hasher::new(),
            size_bytes: 0,
        })
    }

    /// How long a copy is; nothing when there is none.
    pub fn size_of_copy(&self, relative: &str) -> Result<Option<u64>, StorageError> {
        let path = self.inside(relative)?;
        match statat(self.directory(), relative, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(u64::try_from(found.st_size).unwrap_or_default())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(StorageError::errno("look at", &path, errno)),
        }
    }

    /// Begins a copy of what lies elsewhere, under a hidden name.
    pub fn begin_copy(&self, relative: &str) -> Result<NewCopy, StorageError> {
        self.inside(relative)?;
        let hidden = format!("{UNFINISHED}/{}", relative.replace('/', "_"));
        let path = self.prepare(&hidden)?;
        // One that a kill left is nobody's, and only one is written at a time.
        match unlinkat(self.directory(), &hidden, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(StorageError::errno("replace", &path, errno)),
        }
        let file = self.create_open(&hidden)?;
        Ok(NewCopy {
            volume: self.clone(),
            file,
            hidden,
            is_settled: false,
        })
    }

    /// Removes what a kill left of copies; says how many there were.
    pub fn clear_unfinished(&self) -> Result<usize, StorageError> {
        self.check_present()?;
        let path = self.absolute(UNFINISHED);
        let names = match fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            names => names.map_err(|error| StorageError::io("list", &path, error))?,
        };
        let mut removed = 0;
        for name in names {
            let name = name
                .map_err(|error| StorageError::io("list", &path, error))?
                .file_name();
            let relative = Path::new(UNFINISHED).join(name);
            unlinkat(self.directory(), &relative, AtFlags::empty())
                .map_err(|errno| StorageError::errno("remove", &self.root().join(&relative), errno))?;
            removed += 1;
        }
        Ok(removed)
    }
}

impl CopyReader {
    /// The next piece; 0 at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StorageError> {
        loop {
            match self.file.read(buffer) {
                Ok(count) => {
                    self.hasher.update(buffer.get(..count).unwrap_or_default());
                    self.size_bytes += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StorageError::io("read", &self.path, error)),
            }
        }
    }

    /// Size and hash of what was read.
    pub fn measured(self) -> Durable {
        // What was read once is not read again soon, and others need the memory.
        forget_cached(&self.file);
        Durable {
            size_bytes: self.size_bytes,
            sha256: self.hasher.finish().0,
        }
    }
}

impl NewCopy {
    /// Adds a piece.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file
            .write_all(bytes)
            .map_err(|error| StorageError::io("write to", &self.volume.absolute(&self.hidden), error))
    }

    /// Brings it to the disk. A sync that fails makes nothing of it.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_all().map_err(|source| StorageError::SyncFailed {
            path: self.volume.absolute(&self.hidden),
            source,
        })
    }

    /// Opens what was written, to be read back and measured.
    pub fn read_back(&self) -> Result<CopyReader, StorageError> {
        self.volume.open_copy(&self.hidden)
    }

    /// Gives it its name, which is on the disk when this returns. Only for one that was synced and read back.
    pub fn settle(mut self, relative: &str, onto: Onto) -> Result<(), StorageError> {
        let path = self.volume.prepare(relative)?;
        let directory = self.volume.directory();
        let renamed = match onto {
            Onto::Anything => renameat(directory, &self.hidden, directory, relative),
            Onto::Nothing => renameat_with(directory, &self.hidden, directory, relative, RenameFlags::NOREPLACE),
        };
        renamed.map_err(|errno| StorageError::errno("give its name to", &path, errno))?;
        self.is_settled = true;
        sync_directory(parent(&path))?;
        sync_directory(&self.volume.absolute(UNFINISHED))
    }
}

impl Drop for NewCopy {
    fn drop(&mut self) {
        if !self.is_settled {
            // It stays when the disk is gone; the next use of the volume removes it.
            let _ = unlinkat(self.volume.directory(), &self.hidden, AtFlags::empty());
        }
    }
}

/// Asks the system to let go of what it holds of a file. Pages that are not on the disk yet stay, and so they should.
fn forget_cached(file: &File) {
    // A file system that knows no such wish serves from memory, which is no worse than before.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Fault, Timestamp, VolumeRole};

    const FILE: &str = "yard/2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4";

    fn mirror(root: &Path) -> Volume {
        Volume::open(root, VolumeRole::Mirror, Timestamp::EPOCH).unwrap()
    }

    fn measure(mut reader: CopyReader) -> Durable {
        let mut buffer = [0; 7];
        while reader.read(&mut buffer).unwrap() > 0 {}
        reader.measured()
    }

    fn written(volume: &Volume, bytes: &[u8]) -> NewCopy {
        let mut copy = volume.begin_copy(FILE).unwrap();
        copy.write(bytes).unwrap();
        copy.sync().unwrap();
        copy
    }

    #[test]
    fn a_copy_is_there_wholly_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let volume = mirror(directory.path());
        let copy = written(&volume, b"footage of a yard");
        assert_eq!(volume.size_of_copy(FILE).unwrap(), None);
        let read = measure(copy.read_back().unwrap());
        assert_eq!(
            read.sha256,
            <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(b"footage of a yard"))
        );
        copy.settle(FILE, Onto::Nothing).unwrap();
        assert_eq!(volume.size_of_copy(FILE).unwrap(), Some(17));
        assert_eq!(measure(volume.open_copy(FILE).unwrap()), read);
        drop(written(&volume, b"given up"));
        assert_eq!(fs::read_dir(volume.absolute(UNFINISHED)).unwrap().count(), 0);
        assert_eq!(fs::read(volume.absolute(FILE)).unwrap(), b"footage of a yard");
    }

    #[test]
    fn what_has_the_name_already_is_replaced_only_where_that_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let volume = mirror(directory.path());
        written(&volume, b"torn").settle(FILE, Onto::Nothing).unwrap();
        let refused = written(&volume, b"whole").settle(FILE, Onto::Nothing).unwrap_err();
        assert!(matches!(refused, StorageError::Exists { .. }), "{refused}");
        assert_eq!(fs::read(volume.absolute(FILE)).unwrap(), b"torn");
        written(&volume, b"whole").settle(FILE, Onto::Anything).unwrap();
        assert_eq!(fs::read(volume.absolute(FILE)).unwrap(), b"whole");
    }

    #[test]
    fn what_a_kill_left_of_a_copy_is_nobodys() {
        let directory = tempfile::tempdir().unwrap();
        let volume = mirror(directory.path());
        volume.check_writable().unwrap();
        assert!(volume.shares_disk_with(&volume.clone()));
        assert_eq!(volume.clear_unfinished().unwrap(), 0);
        std::mem::forget(written(&volume, b"half"));
        assert_eq!(volume.files().unwrap().count(), 0, "it is no recording");
        drop(written(&volume, b"again"));
        std::mem::forget(written(&volume, b"half"));
        assert_eq!(volume.clear_unfinished().unwrap(), 1);
        assert_eq!(volume.clear_unfinished().unwrap(), 0);
    }

    #[test]
    fn nothing_is_copied_beneath_a_mount_point_nor_out_of_a_volume() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("mirror");
        let volume = mirror(&root);
        let copy = written(&volume, b"footage");
        for path in ["../x.mp4", "/x.mp4", ""] {
            assert_eq!(volume.begin_copy(path).unwrap_err().fault(), Fault::Invalid, "{path}");
            assert_eq!(volume.open_copy(path).unwrap_err().fault(), Fault::Invalid, "{path}");
        }
        // As an unmount looks from here.
        fs::rename(&root, directory.path().join("unplugged")).unwrap();
        fs::create_dir(&root).unwrap();
        assert!(matches!(
            copy.settle(FILE, Onto::Anything),
            Err(StorageError::VolumeLost { .. })
        ));
        assert!(volume.begin_copy(FILE).is_err());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }
}
