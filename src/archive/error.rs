//! What can go wrong when a camera is asked for what it kept.

use crate::model::Fault;

/// Why a camera gave nothing of what it kept. Each says what a person can do; none holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It does not accept the user or the password. To be asked again soon is to be locked out.
    #[error("{0}")]
    Unauthorised(String),
    /// It does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// It answers, and has nothing of that time.
    #[error("{0}")]
    NoFootage(String),
    /// It has no hand free, for one replay too many for instance; later it may.
    #[error("{0}")]
    Busy(String),
    /// Its answer cannot be understood or believed.
    #[error("{0}")]
    Broken(String),
    /// It cannot do this at all.
    #[error("{0}")]
    Unsupported(String),
}

impl ArchiveError {
    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unauthorised(_) => Fault::Forbidden,
            Self::Unreachable(_) | Self::Busy(_) => Fault::Unavailable,
            Self::NoFootage(_) => Fault::NotFound,
            Self::Broken(_) => Fault::Corrupt,
            Self::Unsupported(_) => Fault::Invalid,
        }
    }
}

/// Why a camera has no archive that we could ask, and what would give it one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoArchive(pub String);
