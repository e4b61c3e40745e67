//! Clips: files made for people, and the jobs that make them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::camera::CameraId;
use super::time::{Span, Timestamp};

/// Identifies a stored clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClipId(pub Uuid);

impl fmt::Display for ClipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies an export job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a clip begins where no keyframe lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipMode {
    /// To the frame, without re-encoding: what decoding needs before it is in the file and not shown.
    #[default]
    Exact,
    /// At the keyframe before, which is shown too.
    Keyframe,
    /// To the frame, with the first group of pictures encoded anew, for players that pass over edit lists.
    ReencodeHead,
}

impl ClipMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Keyframe, Self::ReencodeHead];

    /// The word in the index and on the wire; the command line writes it with a hyphen.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Keyframe => "keyframe",
            Self::ReencodeHead => "reencode_head",
        }
    }

    /// The mode a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

impl fmt::Display for ClipMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored clip: one file with what there was of one camera in a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Its identity.
    pub id: ClipId,
    /// Whose footage it shows.
    pub camera: CameraId,
    /// The name of its file in the directory of clips.
    pub file: String,
    /// What was asked for, as far as it had come.
    pub window: Span,
    /// The end that was asked for, when it lay in the future: the window was cut to the moment at which the clip was made.
    pub requested_to: Option<Timestamp>,
    /// From its first frame to the end of its last.
    pub shown: Span,
    /// How much it really holds.
    pub covered: Duration,
    /// How long the file is.
    pub size_bytes: u64,
    /// SHA-256 of all of the file.
    pub sha256: [u8; 32],
    /// Frames it shows.
    pub frames: u64,
    /// How many segments it was cut from.
    pub segment_count: u64,
    /// Where in the window nothing was recorded.
    pub holes: Vec<Span>,
    /// How it begins.
    pub mode: ClipMode,
    /// Who asked for it.
    pub asked_by: String,
    /// The job that made it; nothing when it was made while somebody waited.
    pub job: Option<JobId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it goes; nothing when it stays until somebody removes it.
    pub expires_at: Option<Timestamp>,
}

impl Clip {
    /// The window that was asked for, also what of it had not come.
    pub fn requested(&self) -> Span {
        Span::new(self.window.start, self.requested_to.unwrap_or(self.window.end))
    }
}

/// What a job is to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Of which cameras: at least one file each.
    pub cameras: Vec<CameraId>,
    /// Of which time.
    pub window: Span,
    /// How each clip begins.
    pub mode: ClipMode,
    /// How the files are named, with words in braces for camera and times.
    pub name: Option<String>,
    /// Whether the time is drawn into the pictures.
    pub burn_in: bool,
    /// Whether a text track tells the time.
    pub captions: bool,
    /// Who asked.
    pub asked_by: String,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// It is being made.
    Running,
    /// At least one clip was made, and there is nothing more to do.
    Done,
    /// It came to nothing.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing will change any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// An export job: an order, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its identity.
    pub id: JobId,
    /// What it is to make.
    pub order: Order,
    /// How far it is.
    pub state: JobState,
    /// How much of it is done, from 0 to 1.
    pub progress: f64,
    /// What could not be made, a sentence for each camera; nothing when all was.
    pub error: Option<String>,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_modes_and_states_are_read_as_they_are_written() {
        for mode in ClipMode::ALL {
            assert_eq!(ClipMode::parse(mode.as_str()), Some(mode));
        }
        for state in JobState::ALL {
            assert_eq!(JobState::parse(state.as_str()), Some(state));
            assert_eq!(state.is_over(), !matches!(state, JobState::Queued | JobState::Running));
        }
        assert_eq!((ClipMode::parse("fast"), JobState::parse("")), (None, None));
    }
}
