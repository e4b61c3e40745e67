//! Why an order to the mirror is refused.

use std::path::PathBuf;

use crate::model::Fault;

/// Why an order to the mirror is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// The mirror is not there.
    #[error("the mirror {} is not there: {reason}", root.display())]
    Absent {
        /// Where it should be.
        root: PathBuf,
        /// Why it is not.
        reason: String,
    },
    /// The same is being done.
    #[error("the mirror is being {what} already; `camkeep mirror status` says how far it is")]
    Running {
        /// What is being done with it.
        what: &'static str,
    },
    /// A mirror that is there needs no replacement.
    #[error("the mirror {} is there; only one that is not can be replaced", root.display())]
    There {
        /// Where it is.
        root: PathBuf,
    },
}

impl MirrorError {
    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Absent { .. } => Fault::Unavailable,
            Self::Running { .. } | Self::There { .. } => Fault::Conflict,
        }
    }
}
