//! Events: what a person or a program may want to be told.

use serde::{Deserialize, Serialize};

use super::camera::CameraId;
use super::time::Timestamp;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A camera was lost.
    CameraOffline,
    /// A camera came back.
    CameraOnline,
    /// Recording had trouble that cost nothing, or that a person should know of.
    RecorderError,
    /// A gap is kept.
    RecordingGap,
    /// The wall clock of this box was set.
    ClockStep,
    /// The index was mended or rebuilt, or a file was.
    IndexMended,
    /// A volume is missing, read-only or failing.
    VolumeLost,
    /// A volume is nearly or wholly full.
    DiskPressure,
    /// Footage was let go by the rules of retention, or will be.
    RetentionDelete,
    /// Something was said to happen at a camera that waits for events.
    Triggered,
    /// A clip can be fetched.
    ClipReady,
    /// A clip that was asked for could not be made.
    ClipFailed,
    /// The mirror takes no copies, or missed some.
    MirrorLost,
    /// The mirror has all that it should have again.
    MirrorCaughtUp,
    /// A gap, or a part of it, came back from the camera's own storage.
    GapFilled,
    /// Nothing more of a gap will be fetched from the camera by itself.
    GapFailed,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::CameraOffline,
        Self::CameraOnline,
        Self::RecorderError,
        Self::RecordingGap,
        Self::ClockStep,
        Self::IndexMended,
        Self::VolumeLost,
        Self::DiskPressure,
        Self::RetentionDelete,
        Self::Triggered,
        Self::ClipReady,
        Self::ClipFailed,
        Self::MirrorLost,
        Self::MirrorCaughtUp,
        Self::GapFilled,
        Self::GapFailed,
    ];

    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CameraOffline => "camera_offline",
            Self::CameraOnline => "camera_online",
            Self::RecorderError => "recorder_error",
            Self::RecordingGap => "recording_gap",
            Self::ClockStep => "clock_step",
            Self::IndexMended => "index_mended",
            Self::VolumeLost => "volume_lost",
            Self::DiskPressure => "disk_pressure",
            Self::RetentionDelete => "retention_delete",
            Self::Triggered => "triggered",
            Self::ClipReady => "clip_ready",
            Self::ClipFailed => "clip_failed",
            Self::MirrorLost => "mirror_lost",
            Self::MirrorCaughtUp => "mirror_caught_up",
            Self::GapFilled => "gap_filled",
            Self::GapFailed => "gap_failed",
        }
    }

    /// The kind a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Something that happened at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// To which camera, when it was one.
    pub camera: Option<CameraId>,
    /// The same for a person, in one sentence.
    pub message: String,
}
