//! A second copy of the index, beside it: what the files of recordings cannot tell again are cameras and schedules.

use std::path::{Path, PathBuf};

use super::error::IndexError;
use super::handle::Index;
use super::recovery::BEGIN;

/// SQLite copies one moment of itself, without free pages, while others read and write.
const COPY: &str = "VACUUM INTO ?1";

/// Where the backup of an index lies.
pub fn backup_path(index: &Path) -> PathBuf {
    let mut name = index.as_os_str().to_owned();
    name.push(".backup");
    PathBuf::from(name)
}

impl Index {
    /// Writes the backup anew, beside the one that is there, which it replaces when it is whole and on the disk. Waits
    /// for the disk: call it where a thread may wait.
    pub fn back_up(&self) -> Result<(), IndexError> {
        let path = backup_path(self.path());
        let failed = |error: std::io::Error| IndexError::Unwritable {
            path: path.clone(),
            reason: error.to_string(),
        };
        let fresh = path.with_extension("backup-new");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        self.copy_to(&fresh)?;
        // Whoever takes it as the index, by whatever way, has lost what came after it.
        mark_as_old(&fresh)?;
        let sync = |path: &Path| std::fs::File::open(path).and_then(|file| file.sync_all());
        sync(&fresh).map_err(failed)?;
        std::fs::rename(&fresh, &path).map_err(failed)?;
        path.parent().map_or(Ok(()), sync).map_err(failed)
    }

    fn copy_to(&self, target: &Path) -> Result<(), IndexError> {
        self.read_outside(|connection| {
            let target = target.to_string_lossy();
            connection.execute(COPY, [target.as_ref()])?;
            Ok(())
        })
    }
}

fn mark_as_old(copy: &Path) -> Result<(), IndexError> {
    let connection = rusqlite::Connection::open(copy)?;
    connection.execute(BEGIN, [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{camera_id, index, segment};
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_backup_opens_as_an_index_and_is_replaced_by_the_next() {
        let (directory, index) = index();
        index.write_blocking(|w| w.open_segment(&segment(1, 100, 101))).unwrap();
        index.back_up().unwrap();
        index.write_blocking(|w| w.open_segment(&segment(2, 101, 102))).unwrap();
        index.back_up().unwrap();
        let backup = backup_path(index.path());
        let copy = Index::open(&backup, Arc::new(super::super::fixture::Turn::default())).unwrap();
        assert_eq!(
            copy.read_blocking(|r| r.count_segments(Some(&camera_id("door"))))
                .unwrap(),
            2
        );
        let names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(
            !names.iter().any(|name| name.to_string_lossy().contains("new")),
            "{names:?}"
        );
    }
}
