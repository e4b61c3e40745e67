//! Volumes: places for copies, known by what is written on them.
//!
//! The danger is a disk that is not mounted: its mount point is an ordinary, empty, writable directory, and a recorder
//! that trusts paths fills the system disk. So a volume is opened against the id that is expected on it, its directory
//! is held open, and before each new file the path is compared with what is held.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::durable::{parent, sync_directory, write_atomic};
use super::error::StorageError;
use super::layout::{is_inside, quarantine_path, reason_path};
use crate::model::{Timestamp, VolumeId, VolumeRole};

/// Name of the file that says which volume this is.
const ID_FILE: &str = ".camkeep-volume";
/// Name of the file that is made and removed to see whether a volume takes files.
const TRIAL_FILE: &str = ".camkeep-trial";
/// An id file is far shorter; a longer one is none of ours.
const ID_FILE_LIMIT: u64 = 4096;

/// What stands in the id file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    id: VolumeId,
    role: VolumeRole,
    made_at: Timestamp,
    /// Whether the volume had a file system of its own when it was made. If it has none later, then the disk is not
    /// mounted and what lies here is a copy of its files on the disk beneath.
    own_file_system: bool,
}

/// A place for copies. Clones share it.
#[derive(Debug, Clone)]
pub struct Volume {
    root: PathBuf,
    directory: Arc<File>,
    device: u64,
    inode: u64,
    marker: Marker,
    /// Whether somebody was told that it takes no files.
    is_told_lost: Arc<AtomicBool>,
}

impl Volume {
    /// Opens the volume at `root`, and makes one there if there is none; `root` itself is made when only it is missing.
    ///
    /// For the first time only. As soon as an id is known, [`Volume::open_expected`] is what notices a disk that is
    /// not mounted.
    pub fn open(root: &Path, role: VolumeRole, made_at: Timestamp) -> Result<Self, StorageError> {
        match fs::create_dir(root) {
            Ok(()) => sync_directory(parent(root))?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StorageError::Missing {
                    doing: "make a volume in",
                    path: parent(root).to_owned(),
                });
            }
            Err(error) => return Err(StorageError::io("make the volume", root, error)),
        }
        let directory = hold(root)?;
        let marker = match read_marker(&directory, root)? {
            Some(marker) => marker,
            None => {
                try_writing(&directory, root)?;
                let marker = Marker {
                    id: VolumeId(Uuid::new_v4()),
                    role,
                    made_at,
                    own_file_system: has_own_file_system(&directory, root)?,
                };
                let path = root.join(ID_FILE);
                let text = serde_json::to_vec_pretty(&marker).map_err(|error| StorageError::Damaged {
                    path: path.clone(),
                    reason: format!("could not be written: {error}"),
                })?;
                write_atomic(&path, &text)?;
                marker
            }
        };
        Self::accept(root, directory, marker, role)
    }

    /// It takes no files. `true` for whoever finds out first since it last did: many write here, and people want to be
    /// told once.
    pub fn notice_lost(&self) -> bool {
        !self.is_told_lost.swap(true, Ordering::Relaxed)
    }

    /// Whether it took none when that was last tried.
    pub fn is_lost(&self) -> bool {
        self.is_told_lost.load(Ordering::Relaxed)
    }

    /// It takes files. `true` for whoever finds out first.
    pub fn notice_back(&self) -> bool {
        self.is_told_lost.swap(false, Ordering::Relaxed)
    }

    /// Opens a volume that was there before. Nothing is written, nor made, before it is certain that it is the one.
    pub fn open_expected(root: &Path, role: VolumeRole, expected: VolumeId) -> Result<Self, StorageError> {
        let directory = match hold(root) {
            Err(StorageError::Missing { .. }) => return Err(lost(root, "the directory does not exist")),
            other => other?,
        };
        let marker = read_marker(&directory, root)?.ok_or_else(|| {
            lost(
                root,
                &format!("it holds no {ID_FILE}, so it is most likely an empty mount point"),
            )
        })?;
        if marker.id != expected {
            return Err(StorageError::OtherVolume {
                root: root.to_owned(),
                found: marker.id,
                expected,
            });
        }
        Self::accept(root, directory, marker, role)
    }

    /// Opens the volume at `root` for reading alone, whatever its id: its disk may take no writes.
    pub fn open_to_read(root: &Path, role: VolumeRole) -> Result<Self, StorageError> {
        let directory = hold(root)?;
        let marker = read_marker(&directory, root)?.ok_or_else(|| {
            lost(
                root,
                &format!("it holds no {ID_FILE}, so it is no volume of camkeep, or not mounted"),
            )
        })?;
        Self::take(root, directory, marker, role)
    }

    /// The id of the volume at `root`, when one lies there. Writes nothing, so it also knows a disk that takes no writes.
    pub fn id_at(root: &Path) -> Result<Option<VolumeId>, StorageError> {
        Ok(read_marker(hold(root)?, root)?.map(|marker| marker.id))
    }

    fn accept(root: &Path, directory: File, marker: Marker, role: VolumeRole) -> Result<Self, StorageError> {
        let volume = Self::take(root, directory, marker, role)?;
        try_writing(&volume.directory, root)?;
        Ok(volume)
    }

    fn take(root: &Path, directory: File, marker: Marker, role: VolumeRole) -> Result<Self, StorageError> {
        if marker.role != role {
            return Err(StorageError::OtherRole {
                root: root.to_owned(),
                found: marker.role.as_str(),
                wanted: role.as_str(),
            });
        }
        if marker.own_file_system && !has_own_file_system(&directory, root)? {
            return Err(lost(
                root,
                &format!(
                    "its disk is not mounted there (if you moved the files to this disk for good, set own_file_system \
                     to false in {})",
                    root.join(ID_FILE).display()
                ),
            ));
        }
        let metadata = directory
            .metadata()
            .map_err(|error| StorageError::io("look at", root, error))?;
        Ok(Self {
            root: root.to_owned(),
            directory: Arc::new(directory),
            device: metadata.dev(),
            inode: metadata.ino(),
            marker,
            is_told_lost: Arc::default(),
        })
    }

    /// Its id.
    pub fn id(&self) -> VolumeId {
        self.marker.id
    }

    /// What it is for.
    pub fn role(&self) -> VolumeRole {
        self.marker.role
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a copy lies in the file system.
    pub fn absolute(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Whether the volume is still what its path leads to.
    pub fn is_present(&self) -> bool {
        self.check_present().is_ok()
    }

    /// The same, and how it is known when it is not.
    ///
    /// Cheap (a stat and a short read that the kernel has cached), but a failing disk or a dead network share can hold
    /// it for long: never call it on a thread that moves media.
    pub fn check_present(&self) -> Result<(), StorageError> {
        let found = match fs::metadata(&self.root) {
            Ok(found) => found,
            Err(error) => return Err(lost(&self.root, &error.to_string())),
        };
        if (found.dev(), found.ino()) != (self.device, self.inode) {
            return Err(lost(
                &self.root,
                "another directory lies there now: it was unmounted or moved",
            ));
        }
        match read_marker(&self.directory, &self.root)? {
            Some(marker) if marker.id == self.marker.id => Ok(()),
            Some(marker) => Err(StorageError::OtherVolume {
                root: self.root.clone(),
                found: marker.id,
                expected: self.marker.id,
            }),
            None => Err(lost(&self.root, &format!("its {ID_FILE} is gone"))),
        }
    }

    /// Makes a new, empty file for a copy, and the directories it needs; they are on the disk when this returns.
    ///
    /// A file that exists already is an error: whoever asked takes the next millisecond. Everything is made below the
    /// directory that is held, so that nothing can land beneath a mount point between the check and the making.
    pub fn create_new(&self, relative: &str) -> Result<PathBuf, StorageError> {
        self.create_open(relative)?;
        Ok(self.absolute(relative))
    }

    /// The same, and the file to write to: for whoever must not find it by its path again.
    pub fn create_open(&self, relative: &str) -> Result<File, StorageError> {
        let path = self.prepare(relative)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        openat(&*self.directory, relative, flags, Mode::from_raw_mode(0o640))
            .map(File::from)
            .map_err(|errno| StorageError::errno("create", &path, errno))
    }

    /// Removes a copy; `false` when it was gone already.
    pub fn remove(&self, relative: &str) -> Result<bool, StorageError> {
        let path = self.inside(relative)?;
        self.check_present()?;
        match unlinkat(&*self.directory, relative, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(StorageError::errno("remove", &path, errno)),
        }
    }

    /// Moves a file that cannot be used to the quarantine and writes the reason beside it. Gives its new path, relative
    /// to the root.
    pub fn quarantine(&self, relative: &str, reason: &str) -> Result<String, StorageError> {
        let from = self.inside(relative)?;
        let wanted = quarantine_path(relative);
        self.prepare(&wanted)?;
        for attempt in 1..1000 {
            let target = if attempt == 1 {
                wanted.clone()
            } else {
                format!("{wanted}.{attempt}")
            };
            match renameat_with(
                &*self.directory,
                relative,
                &*self.directory,
                &target,
                RenameFlags::NOREPLACE,
            ) {
                Ok(()) => {
                    let path = self.absolute(&target);
                    sync_directory(parent(&path))?;
                    sync_directory(parent(&from))?;
                    write_atomic(&reason_path(&path), format!("{reason}\n").as_bytes())?;
                    return Ok(target);
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(StorageError::errno("move to the quarantine", &from, errno)),
            }
        }
        Err(StorageError::Exists {
            path: self.absolute(&wanted),
        })
    }

    pub(super) fn inside(&self, relative: &str) -> Result<PathBuf, StorageError> {
        if is_inside(Path::new(relative)) {
            Ok(self.absolute(relative))
        } else {
            Err(StorageError::Outside { path: relative.into() })
        }
    }

    /// The directory that is held, below which everything is done.
    pub(super) fn directory(&self) -> &File {
        &self.directory
    }

    /// Checks the path and the volume, and makes the directories above the path.
    pub(super) fn prepare(&self, relative: &str) -> Result<PathBuf, StorageError> {
        let path = self.inside(relative)?;
        self.check_present()?;
        let mut above = PathBuf::new();
        for part in parent(Path::new(relative)).components() {
            let holder = self.root.join(&above);
            above.push(part);
            match mkdirat(&*self.directory, &above, Mode::from_raw_mode(0o750)) {
                // A new name is in its directory for certain only once that directory is synced.
                Ok(()) => sync_directory(&holder)?,
                Err(Errno::EXIST) => {}
                Err(errno) => {
                    return Err(StorageError::errno(
                        "make the directory",
                        &self.root.join(&above),
                        errno,
                    ));
                }
            }
        }
        Ok(path)
    }
}

fn lost(root: &Path, reason: &str) -> StorageError {
    StorageError::VolumeLost {
        root: root.to_owned(),
        reason: reason.to_owned(),
    }
}

fn hold(root: &Path) -> Result<File, StorageError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root, flags, Mode::empty())
        .map(File::from)
        .map_err(|errno| StorageError::errno("open the volume", root, errno))
}

fn read_marker(directory: impl AsFd, root: &Path) -> Result<Option<Marker>, StorageError> {
    let path = root.join(ID_FILE);
    let file = match openat(directory, ID_FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(StorageError::errno("read", &path, errno)),
    };
    let mut text = Vec::new();
    file.take(ID_FILE_LIMIT)
        .read_to_end(&mut text)
        .map_err(|error| StorageError::io("read", &path, error))?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| StorageError::Damaged {
            reason: format!(
                "this is no volume id of camkeep ({error}); restore the file, or remove it to make this a new volume"
            ),
            path,
        })
}

fn has_own_file_system(directory: &File, root: &Path) -> Result<bool, StorageError> {
    let look = |found: std::io::Result<fs::Metadata>| {
        found
            .map(|found| found.dev())
            .map_err(|error| StorageError::io("look at", root, error))
    };
    Ok(look(directory.metadata())? != look(fs::metadata(root.join("..")))?)
}

/// Makes a file and removes it again: permissions, read-only mounts and failing disks are found at the start, not with
/// the first frame. A full disk passes: making room is somebody else's work.
fn try_writing(directory: &File, root: &Path) -> Result<(), StorageError> {
    let path = root.join(TRIAL_FILE);
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let tried = openat(directory, TRIAL_FILE, flags, Mode::from_raw_mode(0o640))
        .and_then(|_| unlinkat(directory, TRIAL_FILE, AtFlags::empty()));
    match tried {
        Ok(()) | Err(Errno::NOSPC | Errno::DQUOT) => Ok(()),
        Err(errno) => Err(StorageError::errno("write to the volume, trying", &path, errno)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Fault;

    const MADE: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const FILE: &str = "yard/2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4";

    fn primary(root: &Path) -> Volume {
        Volume::open(root, VolumeRole::Primary, MADE).unwrap()
    }

    fn everything_below(root: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }

    #[test]
    fn a_volume_is_made_once_and_known_again() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("media");
        let made = primary(&root);
        assert_eq!(everything_below(&root), [root.join(ID_FILE)]);
        let again = primary(&root);
        assert_eq!((again.id(), again.role()), (made.id(), VolumeRole::Primary));
        let expected = Volume::open_expected(&root, VolumeRole::Primary, made.id()).unwrap();
        assert!(expected.is_present());
        let text = fs::read_to_string(root.join(ID_FILE)).unwrap();
        assert!(
            text.contains(&made.id().0.to_string()) && text.contains("2026-"),
            "{text}"
        );
    }

    #[test]
    fn only_the_last_directory_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let error = Volume::open(&directory.path().join("no/media"), VolumeRole::Primary, MADE).unwrap_err();
        assert_eq!(error.fault(), Fault::NotFound);
        assert!(error.to_string().contains("/no"), "{error}");
        assert!(everything_below(directory.path()).is_empty());
    }

    #[test]
    fn an_empty_mount_point_is_noticed_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let id = primary(&directory.path().join("disk")).id();
        let empty = directory.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let error = Volume::open_expected(&empty, VolumeRole::Primary, id).unwrap_err();
        assert!(matches!(error, StorageError::VolumeLost { .. }), "{error}");
        assert!(error.to_string().contains("mount point"), "{error}");
        assert!(everything_below(&empty).is_empty());
        let none = directory.path().join("none");
        assert!(Volume::open_expected(&none, VolumeRole::Primary, id).is_err());
        assert!(!none.exists());
    }

    #[test]
    fn another_disk_in_its_place_is_refused_by_both_names() {
        let directory = tempfile::tempdir().unwrap();
        let ours = primary(&directory.path().join("a")).id();
        let theirs = primary(&directory.path().join("b")).id();
        let error = Volume::open_expected(&directory.path().join("b"), VolumeRole::Primary, ours).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&ours.0.to_string()) && text.contains(&theirs.0.to_string()),
            "{text}"
        );
    }

    #[test]
    fn the_files_of_a_disk_that_is_not_mounted_are_not_mistaken_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let volume = primary(directory.path());
        let path = directory.path().join(ID_FILE);
        // What a copy of a mounted disk's files looks like on the disk beneath.
        let marker = Marker {
            own_file_system: true,
            ..volume.marker.clone()
        };
        fs::write(&path, serde_json::to_vec(&marker).unwrap()).unwrap();
        let error = Volume::open_expected(directory.path(), VolumeRole::Primary, volume.id()).unwrap_err();
        assert!(error.to_string().contains("not mounted"), "{error}");
    }

    #[test]
    fn a_mirror_cannot_be_the_primary() {
        let directory = tempfile::tempdir().unwrap();
        primary(directory.path());
        let error = Volume::open(directory.path(), VolumeRole::Mirror, MADE).unwrap_err();
        assert_eq!(error.fault(), Fault::Conflict);
        assert!(error.to_string().contains("primary volume"), "{error}");
    }

    #[test]
    fn a_file_in_the_place_of_a_volume_and_a_damaged_id_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"x").unwrap();
        assert!(Volume::open(&file, VolumeRole::Primary, MADE).is_err());
        let root = directory.path().join("media");
        primary(&root);
        fs::write(root.join(ID_FILE), b"{\"id\":").unwrap();
        let error = Volume::open(&root, VolumeRole::Primary, MADE).unwrap_err();
        assert_eq!(error.fault(), Fault::Corrupt);
    }

    #[test]
    fn a_directory_that_takes_no_files_is_refused() {
        // sysfs takes no files even from root.
        let error = Volume::open(Path::new("/sys/kernel"), VolumeRole::Primary, MADE).unwrap_err();
        assert!(
            matches!(error.fault(), Fault::Forbidden | Fault::Unavailable),
            "{error:?}"
        );
    }

    #[test]
    fn a_new_file_gets_its_directories_and_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let volume = primary(directory.path());
        let path = volume.create_new(FILE).unwrap();
        assert_eq!(path, directory.path().join(FILE));
        fs::write(&path, b"footage").unwrap();
        let error = volume.create_new(FILE).unwrap_err();
        assert!(matches!(error, StorageError::Exists { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"footage");
        assert!(volume.remove(FILE).unwrap());
        assert!(!volume.remove(FILE).unwrap());
    }

    #[test]
    fn nothing_leads_out_of_a_volume() {
        let directory = tempfile::tempdir().unwrap();
        let volume = primary(&directory.path().join("media"));
        for path in ["../escape.mp4", "/tmp/escape.mp4", "a/../../escape.mp4", ""] {
            assert_eq!(volume.create_new(path).unwrap_err().fault(), Fault::Invalid, "{path}");
            assert_eq!(volume.remove(path).unwrap_err().fault(), Fault::Invalid, "{path}");
            assert!(volume.quarantine(path, "x").is_err());
        }
    }

    #[test]
    fn its_loss_and_its_return_are_noticed_once_by_all_who_write_there() {
        let directory = tempfile::tempdir().unwrap();
        let volume = primary(&directory.path().join("media"));
        let other = volume.clone();
        assert!(!volume.notice_back(), "it was never lost");
        for _ in 0..2 {
            assert!((volume.notice_lost(), other.notice_lost()) == (true, false));
            assert!((other.notice_back(), volume.notice_back()) == (true, false));
        }
    }

    #[test]
    fn a_volume_that_took_nothing_is_looked_at_before_it_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("media");
        let volume = primary(&root);
        fs::rename(&root, directory.path().join("unplugged")).unwrap();
        assert!(
            volume.check_back().is_ok(),
            "it is only asked when it is known to be lost"
        );
        volume.notice_lost();
        assert!(volume.check_back().is_err());
        fs::rename(directory.path().join("unplugged"), &root).unwrap();
        assert!(
            volume.check_back().is_ok() && volume.is_lost(),
            "a file has to be made first"
        );
        volume.notice_back();
        assert!(!volume.is_lost());
    }

    #[test]
    fn a_volume_that_went_away_is_noticed_and_gets_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("media");
        let volume = primary(&root);
        // As an unmount looks from here: the path leads to another directory.
        fs::rename(&root, directory.path().join("unplugged")).unwrap();
        assert!(!volume.is_present());
        assert!(volume.create_new(FILE).is_err());
        fs::create_dir(&root).unwrap();
        assert!(!volume.is_present());
        let error = volume.create_new(FILE).unwrap_err();
        assert!(matches!(error, StorageError::VolumeLost { .. }), "{error}");
        assert!(everything_below(&root).is_empty());
        assert_eq!(everything_below(&directory.path().join("unplugged")).len(), 1);
        fs::remove_dir(&root).unwrap();
        fs::rename(directory.path().join("unplugged"), &root).unwrap();
        assert!(volume.is_present(), "and it may come back");
    }

    #[test]
    fn what_cannot_be_used_is_kept_with_the_reason_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let volume = primary(directory.path());
        for name in [format!(".quarantine/{FILE}"), format!(".quarantine/{FILE}.2")] {
            fs::write(volume.create_new(FILE).unwrap(), b"noise").unwrap();
            assert_eq!(volume.quarantine(FILE, "no moov").unwrap(), name);
            let path = volume.absolute(&name);
            assert_eq!(fs::read(&path).unwrap(), b"noise");
            assert_eq!(fs::read_to_string(reason_path(&path)).unwrap(), "no moov\n");
        }
        assert!(volume.quarantine(FILE, "gone").is_err());
    }

    #[test]
    fn room_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let space = primary(directory.path()).free_space().unwrap();
        assert!(space.available_bytes > 0 && space.available_bytes <= space.total_bytes);
    }
}
