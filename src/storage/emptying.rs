//! What is left on a volume of a camera whose footage was removed.

use std::fs;
use std::io::ErrorKind;

use super::error::StorageError;
use super::layout::QUARANTINE;
use super::volume::Volume;
use crate::model::CameraId;

impl Volume {
    /// Removes what of a camera is in the quarantine, and its directory when nothing is left in it.
    pub fn remove_remains(&self, camera: &CameraId) -> Result<(), StorageError> {
        self.check_present()?;
        let quarantine = self.root().join(QUARANTINE).join(camera.as_str());
        let own = self.root().join(camera.as_str());
        for (path, removed) in [
            (&quarantine, fs::remove_dir_all(&quarantine)),
            (&own, fs::remove_dir(&own)),
        ] {
            match removed {
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                    return Err(StorageError::io("remove", path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Timestamp, VolumeRole};

    #[test]
    fn the_quarantine_of_one_camera_goes_and_its_directory_when_it_is_empty() {
        let room = tempfile::tempdir().unwrap();
        let volume = Volume::open(room.path(), VolumeRole::Primary, Timestamp::EPOCH).unwrap();
        for file in ["door/a/1.mp4", "door/a/2.mp4", "yard/a/3.mp4"] {
            volume.create_new(file).unwrap();
        }
        for file in ["door/a/2.mp4", "yard/a/3.mp4"] {
            volume.quarantine(file, "torn").unwrap();
        }
        let is_there = |path: &str| room.path().join(path).exists();
        let door = CameraId::parse("door").unwrap();
        volume.remove_remains(&door).unwrap();
        assert!(is_there("door/a/1.mp4"), "footage goes by its rows");
        assert!(!is_there(".quarantine/door") && is_there(".quarantine/yard"));
        volume.remove("door/a/1.mp4").unwrap();
        volume.remove_empty_directory("door/a/1.mp4").unwrap();
        volume.remove_remains(&door).unwrap();
        assert!(!is_there("door"));
        volume.remove_remains(&door).unwrap();
    }
}
