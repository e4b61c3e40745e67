//! How a command fails: one line on standard error, and a code that scripts can tell apart.

use std::fmt::Display;

/// Why a command ends without success.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) code: i32,
}

impl Failure {
    /// What was asked cannot be understood.
    pub(super) fn usage(message: impl Display) -> Self {
        Self {
            message: message.to_string(),
            code: 2,
        }
    }

    /// The configuration, or a file a person wrote, is wrong (`EX_CONFIG`).
    pub(super) fn configuration(message: impl Display) -> Self {
        Self {
            message: message.to_string(),
            code: 78,
        }
    }

    /// Anything else.
    pub(super) fn other(message: impl Display) -> Self {
        Self {
            message: message.to_string(),
            code: 1,
        }
    }
}
