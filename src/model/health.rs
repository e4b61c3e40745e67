//! How a camera is: its state, and the loss that keeps it from being well.

use serde::{Deserialize, Serialize};

use super::camera::CameraId;
use super::time::Timestamp;

/// Why recording stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The camera closed the door: connection refused, or it answered with an error.
    Refused,
    /// It wants a user and password, or others.
    Unauthorised,
    /// No answer from its address.
    Unreachable,
    /// It ended the stream.
    Ended,
    /// It kept the connection and sent nothing.
    Stalled,
    /// What it sent could not be used.
    Broken,
    /// No room on the volume.
    VolumeFull,
    /// The volume is missing, read-only or failing.
    VolumeLost,
}

impl Loss {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Unauthorised,
        Self::Unreachable,
        Self::Ended,
        Self::Stalled,
        Self::Broken,
        Self::VolumeFull,
        Self::VolumeLost,
    ];

    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unauthorised => "unauthorised",
            Self::Unreachable => "unreachable",
            Self::Ended => "ended",
            Self::Stalled => "stalled",
            Self::Broken => "broken",
            Self::VolumeFull => "volume_full",
            Self::VolumeLost => "volume_lost",
        }
    }

    /// Whether the volume is to blame and not the camera.
    pub const fn is_of_the_volume(self) -> bool {
        matches!(self, Self::VolumeFull | Self::VolumeLost)
    }

    /// The loss a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|loss| loss.as_str() == word)
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a camera is doing. `Recording` means that a frame was kept in the last few seconds, never that something was
/// started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraState {
    /// Switched off by a person.
    Disabled,
    /// Being reached; no frame yet.
    Connecting,
    /// Frames are being written.
    Recording,
    /// Lost; it is tried again after a pause.
    Offline,
    /// Lost for a reason that a person has to mend.
    Error,
    /// Receiving into memory, writing nothing until it is time or something happens.
    Idle,
}

impl CameraState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Disabled,
        Self::Connecting,
        Self::Recording,
        Self::Offline,
        Self::Error,
        Self::Idle,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Connecting => "connecting",
            Self::Recording => "recording",
            Self::Offline => "offline",
            Self::Error => "error",
            Self::Idle => "idle",
        }
    }
}

/// How a camera is right now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CameraHealth {
    /// Which camera.
    pub camera_id: CameraId,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: CameraState,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not recording, when it is not.
    pub loss: Option<Loss>,
    /// The same for a person: what happened, and what to do.
    pub message: Option<String>,
    /// When the last frame was captured.
    pub last_frame_at: Option<Timestamp>,
    /// Video frames a second over the last seconds.
    pub frames_per_second: f64,
    /// Bytes a second over the last seconds.
    pub bytes_per_second: f64,
    /// Sessions begun after the first, since the daemon started.
    pub reconnects: u64,
    /// Pipelines that did not come down in time and were left behind, since the daemon started.
    pub abandoned: u64,
    /// Whether frames are dated by the camera's own timestamps. Those of a camera that do not keep time with the arrival of
    /// its frames are not believed, and frames are dated by their arrival.
    pub ticks_believed: bool,
}
