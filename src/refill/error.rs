//! Why nothing came, or not all.

use crate::archive::{ArchiveError, NoArchive};
use crate::index::IndexError;
use crate::model::Fault;
use crate::pipeline::PipelineError;
use crate::storage::StorageError;

/// Why a try to fill a gap came to nothing, or an order is refused. Each says what a person can do.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// The camera has no archive that we know.
    #[error(transparent)]
    NoArchive(#[from] NoArchive),
    /// The camera was asked, and gave nothing.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nobody has time for more, or the whole house stops.
    #[error("camkeep is stopping")]
    Stopping,
    /// It was given up because it is not wanted any more.
    #[error("nobody wants it any more")]
    Unwanted,
    /// An order that cannot be.
    #[error("{0}")]
    Refused(String),
    /// The volume or the data directory does not take it.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The same where it is not the volume's.
    #[error("what comes from the camera cannot be kept: {0}")]
    Disk(String),
    /// The index did not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The pipeline could not be begun.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

impl RefillError {
    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoArchive(_) | Self::Refused(_) => Fault::Conflict,
            Self::Archive(error) => error.fault(),
            Self::Stopping | Self::Unwanted => Fault::Unavailable,
            Self::Storage(error) => error.fault(),
            Self::Disk(_) => Fault::Full,
            Self::Index(error) => error.fault(),
            Self::Pipeline(error) => error.fault(),
        }
    }

    /// Whether it says something of the camera's footage, so that the try is one of those that may be in vain. What this box
    /// could not do, and a camera that is not there, are no fault of the gap's.
    pub(super) fn counts(&self) -> bool {
        match self {
            Self::NoArchive(_) => true,
            Self::Archive(error) => !matches!(error, ArchiveError::Unreachable(_)),
            _ => false,
        }
    }
}
