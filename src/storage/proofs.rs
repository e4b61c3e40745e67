//! Whether a file is the one that was closed: hashed once, and again only when anything of it changed.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::durable::measure;
use super::error::StorageError;
use crate::model::{Copy, CopyState};

/// So many hashes are remembered: a week of minutes of one camera, and less than 3 MB.
const MOST: usize = 10_080;

/// What of a file changes when its bytes do: nobody writes to a file without its change time moving, and nobody can set
/// that back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Print {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Print {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size_bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// What a file turned out to be.
#[derive(Debug)]
pub(super) enum Proof {
    /// The one that was closed.
    Same,
    /// Not that one: how far the copy can be believed from now on, and why.
    Other(CopyState, String),
    /// Nobody can say: this process or the disk could not read it now.
    Unread(StorageError),
}

/// Hashes of files that were looked at.
#[derive(Debug, Default)]
pub(super) struct Proofs(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    hashes: HashMap<Print, [u8; 32]>,
    order: VecDeque<Print>,
}

impl Proofs {
    /// Holds a file against what is known of the copy. Reads all of it, unless it was read before and is untouched.
    pub(super) fn hold_against(&self, path: &Path, copy: &Copy) -> Proof {
        match self.hash(path, copy.size_bytes) {
            Ok(Some(sha256)) if copy.sha256 == Some(sha256) => Proof::Same,
            Ok(Some(_)) => Proof::Other(
                CopyState::Suspect,
                "its bytes are not those that were recorded".to_owned(),
            ),
            Ok(None) => Proof::Other(
                CopyState::Suspect,
                format!("it is not {} bytes long any more", copy.size_bytes),
            ),
            Err(StorageError::Missing { .. }) => Proof::Other(CopyState::Missing, "it is gone".to_owned()),
            Err(error @ StorageError::Io { .. }) => Proof::Other(CopyState::Suspect, error.to_string()),
            Err(error) => Proof::Unread(error),
        }
    }

    /// The hash of a file; nothing when it is not as long as it should be.
    fn hash(&self, path: &Path, size_bytes: u64) -> Result<Option<[u8; 32]>, StorageError> {
        let look = || {
            let found = fs::metadata(path).map_err(|error| StorageError::io("look at", path, error))?;
            Ok::<Print, StorageError>(Print::of(&found))
        };
        let before = look()?;
        if before.size_bytes != size_bytes {
            return Ok(None);
        }
        if let Some(sha256) = self.known().hashes.get(&before) {
            return Ok(Some(*sha256));
        }
        let found = measure(path)?;
        // Somebody may have written to it meanwhile; then the next one to ask hashes it again.
        if look()? == before {
            self.known().remember(before, found.sha256);
        }
        Ok(Some(found.sha256))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn remember(&mut self, print: Print, sha256: [u8; 32]) {
        if self.hashes.insert(print, sha256).is_none() {
            self.order.push_back(print);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Fingerprint, VolumeId};
    use uuid::Uuid;

    fn copy(bytes: &[u8]) -> Copy {
        Copy {
            volume: VolumeId(Uuid::from_u128(1)),
            path: "x.mp4".to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: Some(Fingerprint::of(bytes).0),
            state: CopyState::Whole,
        }
    }

    #[test]
    fn a_file_is_hashed_once_and_a_flipped_byte_is_noticed_all_the_same() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("x.mp4");
        fs::write(&path, b"footage").unwrap();
        let (proofs, copy) = (Proofs::default(), copy(b"footage"));
        assert!(matches!(proofs.hold_against(&path, &copy), Proof::Same));
        // A hash that was remembered wrongly shows that the file is not read again.
        let print = Print::of(&fs::metadata(&path).unwrap());
        proofs.known().hashes.insert(print, [0; 32]);
        assert!(matches!(
            proofs.hold_against(&path, &copy),
            Proof::Other(CopyState::Suspect, _)
        ));
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let earlier = fs::metadata(&path).unwrap();
        // The kernel's clock for this ticks every few milliseconds.
        while Print::of(&fs::metadata(&path).unwrap()) == print {
            std::os::unix::fs::FileExt::write_all_at(&file, b"F", 0).unwrap();
            file.set_modified(earlier.modified().unwrap()).unwrap();
        }
        let told = proofs.hold_against(&path, &copy);
        assert!(
            matches!(&told, Proof::Other(CopyState::Suspect, why) if why.contains("bytes")),
            "{told:?}"
        );
    }

    #[test]
    fn a_short_file_and_one_that_is_gone_are_told_apart() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("x.mp4");
        let (proofs, copy) = (Proofs::default(), copy(b"footage"));
        assert!(matches!(
            proofs.hold_against(&path, &copy),
            Proof::Other(CopyState::Missing, _)
        ));
        fs::write(&path, b"foot").unwrap();
        let told = proofs.hold_against(&path, &copy);
        assert!(
            matches!(&told, Proof::Other(CopyState::Suspect, why) if why.contains("7 bytes")),
            "{told:?}"
        );
    }

    #[test]
    fn no_more_is_remembered_than_fits() {
        let mut remembered = Remembered::default();
        let print = |inode| Print {
            device: 1,
            inode,
            size_bytes: 1,
            modified: (0, 0),
            changed: (0, 0),
        };
        for inode in 0..MOST as u64 + 10 {
            remembered.remember(print(inode), [1; 32]);
            remembered.remember(print(inode), [1; 32]);
        }
        assert_eq!((remembered.hashes.len(), remembered.order.len()), (MOST, MOST));
        assert!(!remembered.hashes.contains_key(&print(0)));
    }
}
