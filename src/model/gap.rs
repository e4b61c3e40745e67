//! Gaps: spans that should be covered and are not. Each has a cause and a fate.

use serde::{Deserialize, Serialize};

use super::camera::CameraId;
use super::health::Loss;
use super::time::{Span, Timestamp};

/// Identifies a kept gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GapId(pub i64);

/// Why a span is not covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The camera was lost in this way.
    Lost(Loss),
    /// camkeep was not running.
    Stopped,
    /// camkeep was killed, or the power was cut.
    Killed,
    /// A change of settings began a new session, and the camera allowed no second one beside it.
    Changed,
    /// Nothing is known of it.
    Unknown,
}

impl GapCause {
    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost(loss) => loss.as_str(),
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
        }
    }

    /// The cause a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Stopped, Self::Killed, Self::Changed, Self::Unknown]
            .into_iter()
            .find(|cause| cause.as_str() == word)
            .or_else(|| Loss::parse(word).map(Self::Lost))
    }
}

/// What became of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapFate {
    /// It may still be filled.
    Pending,
    /// Footage came back.
    Filled,
    /// Nothing more will be tried.
    Failed,
}

impl GapFate {
    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Filled => "filled",
            Self::Failed => "failed",
        }
    }

    /// The fate a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Filled, Self::Failed]
            .into_iter()
            .find(|fate| fate.as_str() == word)
    }
}

/// A span of a camera that should be covered and is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// Its identity.
    pub id: GapId,
    /// Whose gap it is.
    pub camera: CameraId,
    /// What is missing; while the loss lasts, its end is the last moment known to be missing.
    pub span: Span,
    /// Whether the loss still lasts.
    pub open: bool,
    /// Why.
    pub cause: GapCause,
    /// What became of it.
    pub fate: GapFate,
    /// How often filling it was tried.
    pub attempts: u32,
    /// When it was last tried.
    pub last_attempt_at: Option<Timestamp>,
    /// When it was filled.
    pub filled_at: Option<Timestamp>,
    /// How much of it came back.
    pub recovered_seconds: f64,
}
