//! On the disk for certain: sync, hash, and writes that happen wholly or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::StorageError;
use crate::model::Hasher;

/// So much of a file is read at once.
const PIECE: usize = 256 * 1024;

/// A file that is on the disk for certain, as it was then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    /// How long it is.
    pub size_bytes: u64,
    /// SHA-256 of all of it.
    pub sha256: [u8; 32],
}

/// Brings a finished file to the disk, its name too, and hashes it.
///
/// A sync that fails is reported and never tried again: after the first failure the kernel may have thrown the pages
/// away and would report success for bytes that are gone.
pub fn make_durable(path: &Path) -> Result<Durable, StorageError> {
    sync_whole(path)?;
    measure(path)
}

/// Brings a finished file to the disk, its name too.
pub fn sync_whole(path: &Path) -> Result<(), StorageError> {
    sync(&open(path)?, path)?;
    sync_directory(parent(path))
}

/// The same for a file that has the bytes of another, whose hash is known: comparing them costs a small part of a hash, which
/// on a box without instructions for it is most of what a second copy costs.
///
/// Everything that asks the disk of this file is done in `at_the_disk`, and nothing that asks the other's: whoever looks how long
/// that takes shall not blame the wrong one.
pub(super) fn make_durable_like(
    path: &Path,
    other: &Path,
    known: Durable,
    at_the_disk: &dyn Fn(&mut dyn FnMut()),
) -> Result<Durable, StorageError> {
    let mut synced = Err(StorageError::io("read", path, io::ErrorKind::Other.into()));
    at_the_disk(&mut || {
        synced = open(path).and_then(|file| {
            sync(&file, path)?;
            sync_directory(parent(path))?;
            Ok(file)
        });
    });
    let mut file = synced?;
    // Whatever stands against it, the other's disk gone among that: the hash tells.
    if open(other).is_ok_and(|other| is_same(&file, &other, known.size_bytes, at_the_disk)) {
        return Ok(known);
    }
    let mut hashed = file.rewind().map_err(|error| StorageError::io("read", path, error));
    let mut durable = known;
    at_the_disk(&mut || {
        if hashed.is_ok() {
            hashed = hash(&mut file, path).map(|found| durable = found);
        }
    });
    hashed.map(|()| durable)
}

/// Whether two files are read to their ends, and hold the same so many bytes.
fn is_same(one: &File, other: &File, size_bytes: u64, at_the_disk: &dyn Fn(&mut dyn FnMut())) -> bool {
    let (mut one, mut other) = (Pieces::of(one), Pieces::of(other));
    let (mut read, mut is_read) = (0, false);
    loop {
        at_the_disk(&mut || is_read = one.next());
        if !is_read || !other.next() || one.buffer != other.buffer {
            return false;
        }
        if one.buffer.is_empty() {
            return read == size_bytes;
        }
        read += one.buffer.len() as u64;
    }
}

/// A file in pieces of one length, but for the last.
struct Pieces<'a> {
    file: &'a File,
    buffer: Vec<u8>,
}

impl<'a> Pieces<'a> {
    fn of(file: &'a File) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(PIECE),
        }
    }

    /// Reads the next one, which is empty at the end; `false` where it cannot be read.
    fn next(&mut self) -> bool {
        self.buffer.clear();
        self.file.take(PIECE as u64).read_to_end(&mut self.buffer).is_ok()
    }
}

/// Size and hash of a file as it reads now, without a sync.
pub fn measure(path: &Path) -> Result<Durable, StorageError> {
    hash(&mut open(path)?, path)
}

/// All of a file of which more than `limit` bytes cannot be meant; longer ones are cut there.
pub fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::new();
    open(path)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| StorageError::io("read", path, error))?;
    Ok(bytes)
}

fn open(path: &Path) -> Result<File, StorageError> {
    File::open(path).map_err(|error| StorageError::io("open", path, error))
}

fn hash(file: &mut File, path: &Path) -> Result<Durable, StorageError> {
    let mut hasher = Hasher::new();
    let mut size_bytes = 0u64;
    let mut buffer = vec![0u8; PIECE];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                size_bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StorageError::io("read", path, error)),
        }
    }
    Ok(Durable {
        size_bytes,
        sha256: hasher.finish().0,
    })
}

/// Brings the bytes of a file that still grows to the disk, without everything a finished one needs.
pub fn sync_data(path: &Path) -> Result<(), StorageError> {
    open(path)?.sync_data().map_err(|error| failed(path, error))
}

/// Brings the names in a directory to the disk.
pub fn sync_directory(path: &Path) -> Result<(), StorageError> {
    sync(&open(path)?, path)
}

fn sync(file: &File, path: &Path) -> Result<(), StorageError> {
    file.sync_all().map_err(|error| failed(path, error))
}

fn failed(path: &Path, source: io::Error) -> StorageError {
    StorageError::SyncFailed {
        path: path.to_owned(),
        source,
    }
}

/// The directory a file lies in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a small file wholly or not at all: whoever reads it sees the old bytes or the new, also after a power cut.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    write_atomic_as(path, bytes, 0o640)
}

/// The same with a mode of its own.
pub(super) fn write_atomic_as(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StorageError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    // One that a power cut left behind may have another mode; it is nobody's.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StorageError::io("replace", &temporary, error));
        }
        _ => {}
    }
    let written = write_new(&temporary, bytes, mode).and_then(|()| {
        fs::rename(&temporary, path).map_err(|error| StorageError::io("write", path, error))?;
        sync_directory(parent(path))
    });
    if written.is_err() {
        // It would only be in the way; the error that counts is the first one.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StorageError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|error| StorageError::io("create", path, error))?;
    file.write_all(bytes)
        .map_err(|error| StorageError::io("write", path, error))?;
    sync(&file, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_durable_file_says_its_size_and_hash() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.mp4");
        fs::write(&path, b"abc").unwrap();
        let durable = make_durable(&path).unwrap();
        assert_eq!(durable.size_bytes, 3);
        // From FIPS 180-2, appendix B.1.
        assert_eq!(durable.sha256[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(measure(&path).unwrap(), durable);
        sync_data(&path).unwrap();
    }

    #[test]
    fn a_large_file_is_hashed_piece_by_piece_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        let bytes: Vec<u8> = (0..1_000_003u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let expected: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
        assert_eq!(make_durable(&path).unwrap().sha256, expected);
    }

    #[test]
    fn a_second_file_is_taken_for_the_same_only_if_every_byte_is() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let bytes = vec![7u8; PIECE * 2 + 5];
        fs::write(at("first"), &bytes).unwrap();
        let known = make_durable(&at("first")).unwrap();
        // What is known stands for the hash where nothing differs, and nowhere else.
        let made_up = Durable {
            sha256: [1; 32],
            ..known
        };
        let like = |bytes: &[u8], other: &str| {
            fs::write(at("second"), bytes).unwrap();
            make_durable_like(&at("second"), &at(other), made_up, &|work| work()).unwrap()
        };
        assert_eq!(like(&bytes, "first"), made_up);
        assert_eq!(like(&bytes, "nowhere"), known);
        let mut other = bytes.clone();
        other[PIECE + 3] = 8;
        for other in [&other[..], &bytes[1..], &[&bytes[..], &[7]].concat()[..], &[]] {
            fs::write(at("other"), other).unwrap();
            assert_eq!(like(other, "first"), measure(&at("other")).unwrap());
        }
        // Two that are the same and both too short.
        fs::write(at("first"), &bytes[1..]).unwrap();
        assert_eq!(like(&bytes[1..], "first"), measure(&at("first")).unwrap());
    }

    #[test]
    fn a_sync_that_fails_is_told_from_a_file_that_cannot_be_opened() {
        // The kernel refuses to sync what has no storage behind it: a real failure without a broken disk.
        let error = sync_data(Path::new("/proc/self/status")).unwrap_err();
        assert!(matches!(error, StorageError::SyncFailed { .. }), "{error}");
        assert!(error.to_string().contains("suspect"));
        let error = make_durable(Path::new("/proc/self/status")).unwrap_err();
        assert!(matches!(error, StorageError::SyncFailed { .. }), "{error}");
        let error = make_durable(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(matches!(error, StorageError::Missing { .. }), "{error}");
    }

    #[test]
    fn an_atomic_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("id");
        fs::write(directory.path().join(".id.tmp"), b"left by a power cut").unwrap();
        write_atomic(&path, b"a long first text").unwrap();
        write_atomic_as(&path, b"short", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(write_atomic(&directory.path().join("no/such"), b"x").is_err());
    }
}
