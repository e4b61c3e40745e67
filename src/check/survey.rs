//! What lay there before this start: taken before recording begins, so that nothing of the new process is mistaken for
//! something that the old one left.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::index::{Index, IndexError, backup_path};
use crate::model::{Seal, Segment, Timestamp};
use crate::runtime::Clock;
use crate::storage::{TailPlace, find_tails};

use super::error::CheckError;

/// Rows that were open and journals that lay there at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// When it was taken: files younger than this belong to whoever runs now.
    pub taken_at: Timestamp,
    /// Rows that were open.
    pub open: Vec<Segment>,
    /// Journals, with their places.
    pub journals: Vec<(TailPlace, PathBuf)>,
}

impl Survey {
    /// Takes it. To be called before the first camera is started.
    pub fn take(index: &Index, data: &Path, clock: &dyn Clock) -> Result<Self, CheckError> {
        Ok(Self {
            taken_at: clock.now(),
            open: index.read_blocking(|reader| reader.open_segments())?,
            journals: find_tails(data)?,
        })
    }
}

/// Opens the index; one that is damaged is set aside, and a backup or a new one takes its place, which the next check
/// fills from the recordings. Gives where the damaged one lies now, and whether a backup was taken.
pub fn open_index(
    path: &Path,
    seal: &Arc<dyn Seal>,
    clock: &dyn Clock,
) -> Result<(Index, Option<(PathBuf, bool)>), CheckError> {
    match Index::open(path, Arc::clone(seal)) {
        Err(IndexError::Damaged { reason, .. }) => {
            let aside = Index::set_aside(path, clock.now())?;
            tracing::error!(path = %path.display(), aside = %aside.display(), reason, "the index is damaged and was set aside");
            let backup = backup_path(path);
            if let Ok(index) = restore(&backup, path, seal, clock) {
                tracing::warn!(backup = %backup.display(), "the index was restored from its backup; what is newer follows from the recordings");
                return Ok((index, Some((aside, true))));
            }
            tracing::warn!(path = %path.display(), "a new index is filled from the recordings; cameras have to be added again");
            Ok((Index::open(path, Arc::clone(seal))?, Some((aside, false))))
        }
        other => Ok((other?, None)),
    }
}

fn restore(backup: &Path, path: &Path, seal: &Arc<dyn Seal>, clock: &dyn Clock) -> Result<Index, CheckError> {
    fs::copy(backup, path).map_err(|error| CheckError::reading(backup, error))?;
    match Index::open(path, Arc::clone(seal)) {
        Ok(index) => Ok(index),
        Err(error) => {
            // A backup that is no good either may not stand in the way of a new index.
            Index::set_aside(path, clock.now())?;
            Err(error.into())
        }
    }
}
