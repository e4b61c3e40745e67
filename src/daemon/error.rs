//! Why the daemon does not start, or stopped.

use std::net::SocketAddr;

use crate::check::CheckError;
use crate::export::ExportError;
use crate::index::IndexError;
use crate::model::Fault;
use crate::pipeline::PipelineError;
use crate::storage::StorageError;

/// Why the daemon does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Something in the configuration that only shows when it is used.
    #[error("{0}")]
    Configuration(String),
    /// Files or volumes.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The disk of the recordings is not there, and the mirror may have what was on it.
    #[error(
        "{source}; if that disk is lost for good, mount an empty one in its place and bring the recordings back with \
         `camkeep mirror restore --offline`"
    )]
    PrimaryLost {
        /// What was found in its place.
        source: StorageError,
    },
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Looking at what was left.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// GStreamer.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// What a process before this one left of its exports.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The address to listen on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not, and what to do.
        reason: String,
    },
    /// Something of the operating system.
    #[error("{0}")]
    System(String),
    /// Somebody could not wait for the end.
    #[error("forced to stop; the next start mends what was open")]
    Forced,
}

impl DaemonError {
    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Configuration(_) => Fault::Invalid,
            Self::Storage(error) | Self::PrimaryLost { source: error } => error.fault(),
            Self::Index(error) => error.fault(),
            Self::Check(error) => error.fault(),
            Self::Pipeline(error) => error.fault(),
            Self::Export(error) => error.fault(),
            Self::Listen { .. } | Self::System(_) | Self::Forced => Fault::Unavailable,
        }
    }
}
