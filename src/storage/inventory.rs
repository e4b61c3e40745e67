//! What really lies there: the files of a volume and the journals of a data directory, found by looking.
//!
//! Only for comparing and mending at the start: what was recorded is never learnt by looking into directories.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::vec;

use super::error::StorageError;
use super::layout::{Place, TailPlace};
use super::volume::Volume;
use crate::model::Timestamp;

/// A file on a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it lies, relative to the volume's root. A name that is not UTF-8 is foreign and shown as well as it can be.
    pub relative: String,
    /// What its path says, when it is one of ours.
    pub place: Option<Place>,
    /// How long it is.
    pub size_bytes: u64,
    /// When it was last written to.
    pub modified: Timestamp,
}

/// The files of a volume, camera by camera and day by day, each day in the order of its names. Holds the names of one
/// directory a level, so that a million files cost no more than a day of them.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    levels: Vec<vec::IntoIter<PathBuf>>,
}

impl Volume {
    /// Looks through the volume. The quarantine and other hidden names at its root are passed over; links are not
    /// followed. A directory that cannot be read gives an error, and the next one follows.
    pub fn files(&self) -> Result<Files, StorageError> {
        self.check_present()?;
        let mut names = list(self.root())?;
        names.retain(|path| !is_hidden(path));
        Ok(Files {
            root: self.root().to_owned(),
            levels: vec![names.into_iter()],
        })
    }
}

impl Iterator for Files {
    type Item = Result<FoundFile, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(path) = self.levels.last_mut()?.next() else {
                self.levels.pop();
                continue;
            };
            match self.look(&path) {
                Ok(Some(found)) => return Some(Ok(found)),
                Ok(None) => {}
                // It was there a moment ago: retention may work at the same time.
                Err(StorageError::Missing { .. }) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Files {
    fn look(&mut self, path: &Path) -> Result<Option<FoundFile>, StorageError> {
        let metadata = fs::symlink_metadata(path).map_err(|error| StorageError::io("look at", path, error))?;
        if metadata.is_dir() {
            self.levels.push(list(path)?.into_iter());
            return Ok(None);
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let nanos = metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec());
        Ok(Some(FoundFile {
            place: relative.to_str().and_then(Place::parse),
            relative: relative.to_string_lossy().into_owned(),
            size_bytes: metadata.len(),
            modified: Timestamp::from_nanos(nanos),
        }))
    }
}

/// The journals that were left below a data directory, oldest name first. Other files are nobody's and passed over.
pub fn find_tails(data: &Path) -> Result<Vec<(TailPlace, PathBuf)>, StorageError> {
    let root = data.join(TailPlace::DIRECTORY);
    let cameras = match list(&root) {
        Err(StorageError::Missing { .. }) => return Ok(Vec::new()),
        cameras => cameras?,
    };
    let mut found = Vec::new();
    for camera in cameras.into_iter().filter(|path| path.is_dir()) {
        found.extend(list(&camera)?.into_iter().filter_map(|path| {
            let relative = path.strip_prefix(&root).ok()?.to_str()?;
            TailPlace::parse(relative).map(|place| (place, path))
        }));
    }
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".") || name == "lost+found"
}

fn list(path: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let failed = |error| StorageError::io("list", path, error);
    let mut names = fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, std::io::Error>>()
        .map_err(failed)?;
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{CameraId, RunId, VolumeRole};

    fn put(path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn every_file_of_a_volume_is_found_in_order_and_ours_are_known() {
        let directory = tempfile::tempdir().unwrap();
        let volume = Volume::open(directory.path(), VolumeRole::Primary, Timestamp::EPOCH).unwrap();
        let ours = [
            "door/2026-11-20/20261120_103000.125Z_00c0ffee_000001.mp4",
            "door/2026-11-20/20261120_103100.125Z_00c0ffee_000002.mp4",
            "door/2026-11-21/20261121_003000.125Z_00c0ffee_000003.mp4",
            "yard/2026-11-20/20261120_103000.125Z_00c0ffee_000001.mp4",
        ];
        for path in ours.into_iter().rev() {
            put(&volume.absolute(path), b"film");
        }
        put(&volume.absolute("yard/holiday.mp4"), b"a film of somebody");
        put(&volume.absolute(".quarantine/yard/x.mp4"), b"noise");
        put(&volume.absolute("lost+found/1"), b"");
        std::os::unix::fs::symlink("/etc", directory.path().join("link")).unwrap();
        let found: Vec<FoundFile> = volume.files().unwrap().map(Result::unwrap).collect();
        let paths: Vec<&str> = found.iter().map(|file| file.relative.as_str()).collect();
        assert_eq!(paths, [&ours[..], &["yard/holiday.mp4"]].concat());
        for file in &found[..4] {
            assert_eq!(file.place.as_ref().unwrap().relative_path(), file.relative);
            assert_eq!(file.size_bytes, 4);
            assert!(file.modified > Timestamp::from_seconds(1_700_000_000));
        }
        assert_eq!((&found[4].place, found[4].size_bytes), (&None, 18));
    }

    #[test]
    fn journals_that_were_left_are_found_and_strangers_are_not() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(find_tails(directory.path()).unwrap(), []);
        let place = |camera, sequence| TailPlace {
            camera: CameraId::parse(camera).unwrap(),
            run: RunId(7),
            sequence,
        };
        let expected: Vec<_> = [("door", 2), ("yard", 0), ("yard", 1)]
            .map(|(camera, sequence)| (place(camera, sequence), place(camera, sequence).path(directory.path())))
            .into();
        for (_, path) in &expected {
            put(path, b"x");
        }
        put(&directory.path().join("tail/yard/notes.txt"), b"");
        put(&directory.path().join("tail/README"), b"");
        assert_eq!(find_tails(directory.path()).unwrap(), expected);
    }
}
