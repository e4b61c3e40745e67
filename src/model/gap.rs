//! Gaps: spans that should be covered and are not. Each has a cause and a fate.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::camera::CameraId;
use super::health::Loss;
use super::time::{Span, Timestamp};

/// A gap this short is not kept; the timeline computes it from the footage all the same.
pub const KEPT_FROM: Duration = Duration::from_secs(3);

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
    /// The camera sent no frame for a while, and its session went on.
    Silent,
    /// Frames were recorded, and their file does not give them any more.
    Damaged,
    /// Frames were recorded, and their file is gone.
    Missing,
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
            Self::Silent => "silent",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }

    /// The cause a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Stopped,
            Self::Killed,
            Self::Changed,
            Self::Silent,
            Self::Damaged,
            Self::Missing,
            Self::Unknown,
        ]
        .into_iter()
        .find(|cause| cause.as_str() == word)
        .or_else(|| Loss::parse(word).map(Self::Lost))
    }

    /// The rest of a sentence that says why something is missing.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Lost(Loss::Refused) => "the camera refused the connection",
            Self::Lost(Loss::Unauthorised) => "the camera wanted another user or password",
            Self::Lost(Loss::Unreachable) => "the camera did not answer",
            Self::Lost(Loss::Ended) => "the camera ended the stream",
            Self::Lost(Loss::Stalled) => "the camera sent nothing",
            Self::Lost(Loss::Broken) => "what the camera sent could not be used",
            Self::Lost(Loss::VolumeFull) => "no room was left on the volume",
            Self::Lost(Loss::VolumeLost) => "the volume was missing or failing",
            Self::Stopped => "camkeep was not running",
            Self::Killed => "camkeep was killed, or the power was cut",
            Self::Changed => "new settings began a new session",
            Self::Silent => "the camera sent no frame, and its session went on",
            Self::Damaged => "the file they were recorded in is damaged",
            Self::Missing => "the file they were recorded in is gone",
            Self::Unknown => "nobody knows why",
        }
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
    /// Every fate.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Filled, Self::Failed];

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
        Self::ALL.into_iter().find(|fate| fate.as_str() == word)
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

impl Gap {
    /// A gap that is over, and of which nothing was fetched yet. It gets its id from the index.
    pub fn pending(camera: &CameraId, span: Span, cause: GapCause) -> Self {
        Self {
            id: GapId(0),
            camera: camera.clone(),
            span,
            open: false,
            cause,
            fate: GapFate::Pending,
            attempts: 0,
            last_attempt_at: None,
            filled_at: None,
            recovered_seconds: 0.0,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, why) = (self.span.seconds(), self.cause.explanation());
        write!(f, "{seconds:.1} s are missing, {}: {why}", self.span)
    }
}
