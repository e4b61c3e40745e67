//! What can go wrong with a pipeline.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::Fault;
use crate::runtime::{TooFewFiles, TooLittle};

use super::template::TemplateError;

/// Why a pipeline cannot be built or played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// GStreamer itself does not start.
    #[error("GStreamer does not start: {0}")]
    Init(String),
    /// There are too few descriptors left.
    #[error("the pipeline {name} is not begun, because what runs needs the files that are left: {files}")]
    Files {
        /// The pipeline.
        name: String,
        /// How many there are.
        files: TooFewFiles,
    },
    /// There are too few threads or too little memory left.
    #[error("the pipeline {name} is not begun, because what runs needs what is left: {left}")]
    Room {
        /// The pipeline.
        name: String,
        /// What there is.
        left: TooLittle,
    },
    /// An element is not installed.
    #[error("GStreamer's element `{element}` is missing; install Debian's package {package}")]
    MissingElement {
        /// The factory.
        element: String,
        /// The package that has it.
        package: String,
    },
    /// The text is not as it should be.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// No such pipeline.
    #[error("there is no pipeline `{name}`; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A file of the directory that overrides the built-in ones cannot be read.
    #[error("{}: {reason}", path.display())]
    Override {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// GStreamer does not accept the text.
    #[error("pipelines/{name}.gst does not parse: {reason}")]
    Parse {
        /// The pipeline.
        name: String,
        /// GStreamer's words.
        reason: String,
    },
    /// The header promises an element that the text does not have.
    #[error("pipelines/{name}.gst has no {factory} named `{element}`, which its binder needs")]
    Contract {
        /// The pipeline.
        name: String,
        /// The promised name.
        element: String,
        /// The promised factory.
        factory: String,
    },
    /// A state change failed or took too long.
    #[error("the pipeline {name} did not reach {state}: {reason}")]
    State {
        /// The pipeline.
        name: String,
        /// The state that was asked for.
        state: String,
        /// Why not.
        reason: String,
    },
    /// Something took longer than it may.
    #[error("the pipeline {name} was not done after {} s", after.as_secs())]
    Deadline {
        /// The pipeline.
        name: String,
        /// How long it had.
        after: Duration,
    },
    /// No room is left for what it writes.
    #[error("no room is left for {}", path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// What it was to write cannot be read.
    #[error("what was to be written cannot be read: {reason}")]
    Unreadable {
        /// Which file, and why.
        reason: String,
    },
    /// Somebody asked it to stop before it was done.
    #[error("the pipeline {name} was stopped before it was done")]
    Cancelled {
        /// The pipeline.
        name: String,
    },
    /// The media could not be worked on.
    #[error("the pipeline {name} failed: {reason}")]
    Failed {
        /// The pipeline.
        name: String,
        /// What GStreamer said, scrubbed of credentials.
        reason: String,
    },
}

impl PipelineError {
    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unknown { .. } => Fault::NotFound,
            Self::Override { .. } | Self::Template(_) | Self::Parse { .. } | Self::Contract { .. } => Fault::Invalid,
            Self::Full { .. } => Fault::Full,
            Self::Unreadable { .. } => Fault::Corrupt,
            Self::Cancelled { .. } => Fault::Conflict,
            Self::Init(_) | Self::MissingElement { .. } | Self::Files { .. } | Self::Room { .. } => Fault::Unavailable,
            Self::State { .. } | Self::Deadline { .. } | Self::Failed { .. } => Fault::Internal,
        }
    }
}
