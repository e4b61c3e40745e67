//! What is still to be made anew after the index was lost, kept in it so that a restart goes on with it. A new index is born
//! with it (migrations/0012_recovery.sql), and so is a backup, which is older than what lies on disks.

use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;

/// Cameras and kept gaps.
const FOOTAGE: &str = "footage";
/// The rows of stored clips.
const CLIPS: &str = "clips";
const IS_PENDING: &str = "SELECT 1 FROM recovery WHERE what = ?1";
const END: &str = "DELETE FROM recovery WHERE what = ?1";
pub(super) const BEGIN: &str = "INSERT INTO recovery VALUES ('footage'), ('clips') ON CONFLICT DO NOTHING";

impl Reader<'_> {
    /// Whether this index took the place of a lost one, and cameras and gaps are still being made from what lies on disks.
    pub fn is_recovering(&self) -> Result<bool, IndexError> {
        Ok(self.row(IS_PENDING, [FOOTAGE], |_| Ok(()))?.is_some())
    }

    /// The same for rows of stored clips.
    pub fn is_recovering_clips(&self) -> Result<bool, IndexError> {
        Ok(self.row(IS_PENDING, [CLIPS], |_| Ok(()))?.is_some())
    }
}

impl Writer<'_> {
    /// Cameras and gaps are as they were, as far as disks tell.
    pub fn end_recovery(&self) -> Result<(), IndexError> {
        self.execute(END, [FOOTAGE])?;
        self.forget_empty_cameras().map(|_| ())
    }

    /// Clips are as they were.
    pub fn end_recovery_of_clips(&self) -> Result<(), IndexError> {
        self.execute(END, [CLIPS])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Index;
    use super::super::backup::backup_path;
    use super::super::fixture::{at, camera_id, seal, volume};
    use super::*;
    use crate::model::{Camera, VolumeRole};

    fn pending(index: &Index) -> (bool, bool) {
        let look = |reader: &Reader<'_>| Ok((reader.is_recovering()?, reader.is_recovering_clips()?));
        index.read_blocking(look).unwrap()
    }

    #[test]
    fn a_new_index_and_a_backup_have_to_be_made_whole_and_an_index_that_was_there_has_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index.db");
        let index = Index::open(&path, seal()).unwrap();
        assert_eq!(pending(&index), (true, true));
        let made = index.write_blocking(|w| {
            w.put_volume(&volume(1, VolumeRole::Primary))?;
            w.recover_camera(&camera_id("yard"), at(1))
        });
        assert!(made.unwrap());
        index
            .write_blocking(|w| {
                w.end_recovery()?;
                w.end_recovery_of_clips()
            })
            .unwrap();
        let refused = index.write_blocking(|w| w.recover_camera(&camera_id("attic"), at(1)));
        assert!(!refused.unwrap(), "nothing is guessed of an index that was not lost");
        index.back_up().unwrap();
        index.close();
        assert_eq!(pending(&Index::open(&path, seal()).unwrap()), (false, false));
        std::fs::rename(backup_path(&path), &path).unwrap();
        let backup = Index::open(&path, seal()).unwrap();
        assert_eq!(pending(&backup), (true, true));
        // A camera that waits for its address may be added as if it were not there.
        let yard = Camera::new(camera_id("yard"), "Yard".into(), at(2));
        let added = yard.clone();
        backup.write_blocking(move |w| w.insert_camera(&added)).unwrap();
        let known = backup.read_blocking(|r| r.camera(&camera_id("yard"))).unwrap();
        assert_eq!(known, Some(yard.clone()));
        assert!(backup.write_blocking(move |w| w.insert_camera(&yard)).is_err());
    }
}
