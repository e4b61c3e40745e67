//! What can go wrong while a volume is checked.

use std::path::{Path, PathBuf};

use crate::index::IndexError;
use crate::model::Fault;
use crate::pipeline::PipelineError;
use crate::storage::StorageError;

/// Why something could not be checked or mended. What it is about is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The index did not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A file or volume did not do what it should.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The mending pipeline failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A file could not be read.
    #[error("cannot read {}: {reason}; check the disk and who owns the file", path.display())]
    Reading {
        /// The file.
        path: PathBuf,
        /// What was said.
        reason: String,
    },
    /// What was written is not what went in.
    #[error("what was mended of {} does not hold what it should ({reason}); nothing was changed", path.display())]
    Wrong {
        /// The file that was to be mended.
        path: PathBuf,
        /// How it differs.
        reason: String,
    },
    /// A copy is not what was recorded.
    #[error("{} is not what was recorded, so it was not restored", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
    },
    /// Nothing may be restored to that place.
    #[error("{} {reason}; nothing was changed", root.display())]
    NotRestored {
        /// Where the primary volume should lie.
        root: PathBuf,
        /// What lies there instead, and what to do.
        reason: String,
    },
    /// No thread.
    #[error("no thread for checking: {0}")]
    Thread(String),
}

impl CheckError {
    pub(super) fn reading(path: &Path, reason: impl ToString) -> Self {
        Self::Reading {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Index(error) => error.fault(),
            Self::Storage(error) => error.fault(),
            Self::Pipeline(error) => error.fault(),
            Self::Reading { .. } => Fault::Unavailable,
            Self::Wrong { .. } | Self::Differs { .. } => Fault::Corrupt,
            Self::NotRestored { .. } => Fault::Conflict,
            Self::Thread(_) => Fault::Internal,
        }
    }
}
