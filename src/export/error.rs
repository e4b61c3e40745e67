//! What can go wrong with a clip: each says what, and what to do.

use std::path::PathBuf;

use crate::index::IndexError;
use crate::model::{CameraId, Fault, SegmentId, Timestamp};
use crate::pipeline::PipelineError;
use crate::storage::StorageError;

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The span has no length.
    #[error("`to` must be after `from`")]
    BackToFront,
    /// The span is longer than is allowed.
    #[error("clip too long ({seconds}s); max {most}s")]
    TooLong {
        /// How long it is, in whole seconds.
        seconds: u64,
        /// How long it may be.
        most: u64,
    },
    /// There is no such camera.
    #[error("camera {0} not found")]
    NoCamera(CameraId),
    /// No frame lies in the span.
    #[error("no recorded footage in the requested range")]
    NothingThere,
    /// It was recorded and cannot be read at this moment, or is still on its way.
    #[error("not readable yet: {why}; ask again in {seconds} s")]
    NotYet {
        /// What is the matter.
        why: String,
        /// When to ask again.
        seconds: u64,
    },
    /// What one file would need two decoders for.
    #[error(
        "the pictures change at {at} (another codec, size or encoder setting), and one file holds only one kind; ask for a \
         clip that ends there and one that begins there, or order an export, which makes a file of each"
    )]
    Mixed {
        /// Where the other kind begins.
        at: Timestamp,
    },
    /// A file of footage cannot be read.
    #[error("{}, which holds the segment {segment}, cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which segment.
        segment: SegmentId,
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No room is left for the clip.
    #[error("no room is left for the clip at {}; remove clips or lower the retention, then ask again", path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// Somebody did not want it any more.
    #[error("the clip was cancelled")]
    Cancelled,
    /// Too many clips are being made.
    #[error("all {jobs} places for making clips are taken; try again in {seconds} s")]
    Busy {
        /// How many are made at once.
        jobs: usize,
        /// When to try again.
        seconds: u64,
    },
    /// What was asked cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The pipeline failed.
    #[error(transparent)]
    Pipeline(PipelineError),
    /// A task of ours died.
    #[error("the clip was not finished: {0}")]
    Broken(String),
}

impl From<PipelineError> for ExportError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Full { path } => Self::Full { path },
            PipelineError::Cancelled { .. } => Self::Cancelled,
            other => Self::Pipeline(other),
        }
    }
}

impl ExportError {
    /// What kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::BackToFront | Self::TooLong { .. } | Self::Invalid(_) => Fault::Invalid,
            Self::NoCamera(_) | Self::NothingThere => Fault::NotFound,
            Self::Mixed { .. } | Self::Cancelled => Fault::Conflict,
            Self::Unreadable { .. } => Fault::Corrupt,
            Self::Full { .. } => Fault::Full,
            Self::Busy { .. } | Self::NotYet { .. } => Fault::Unavailable,
            Self::Storage(error) => error.fault(),
            Self::Index(error) => error.fault(),
            Self::Pipeline(error) => error.fault(),
            Self::Broken(_) => Fault::Internal,
        }
    }
}
