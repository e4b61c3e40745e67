//! Segments: spans of one camera's video, and what is known of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::camera::CameraId;
use super::hole::{Hole, covered_pieces};
use super::time::{Span, Timestamp};
use super::volume::Copy;

/// Identifies a segment; made by the recorder, so that a row and its file agree before either exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SegmentId(pub Uuid);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One unbroken RTSP session. Segments of one run join.
///
/// Eight hexadecimal digits in file names: a camera would need tens of thousands of runs in one millisecond's file
/// names before two met, and files are created exclusively even then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(pub u32);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl RunId {
    /// Reads the eight digits back.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        u32::from_str_radix(text, 16).ok().map(Self)
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a run has eight hexadecimal digits"))
    }
}

/// Video codecs that are recorded as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264, stored as avc1, or as avc3 where parameter sets change.
    H264,
    /// H.265, stored as hvc1, or as hev1 where parameter sets change.
    H265,
}

impl Codec {
    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
        }
    }

    /// The codec a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::H264, Self::H265]
            .into_iter()
            .find(|codec| codec.as_str() == word)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the pictures of a segment look like, read from its parameter sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoFormat {
    /// The codec.
    pub codec: Codec,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second as the camera declares them, when it does.
    pub fps: Option<f64>,
}

/// How a file holds its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// MP4: fragmented while open, plain once closed.
    Mp4,
}

impl Container {
    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        "mp4"
    }
}

/// Where a segment came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Recorded as it happened.
    Live,
    /// Fetched later from what the camera kept.
    Refill,
}

impl Origin {
    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Refill => "refill",
        }
    }

    /// The origin a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Live, Self::Refill]
            .into_iter()
            .find(|origin| origin.as_str() == word)
    }
}

/// Whose clock placed a segment in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSource {
    /// Arrival at this box, with the latency of receiving taken out.
    Arrival,
    /// The camera's own clock, from RTCP sender reports.
    Camera,
    /// Arrival, while this box did not know the time (a clock before its own software was built).
    Unsynced,
}

impl ClockSource {
    /// Every source.
    pub const ALL: [Self; 3] = [Self::Arrival, Self::Camera, Self::Unsynced];

    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Camera => "camera",
            Self::Unsynced => "unsynced",
        }
    }

    /// The source a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }
}

/// How a camera's own clock stood to this box's while a segment was recorded, from RTCP sender reports.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CameraClock {
    /// How far it was ahead, in nanoseconds; negative when it was behind.
    pub offset_ns: i64,
    /// How much faster it ran, in parts per million.
    pub drift_ppm: f64,
}

/// Whether a segment still grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentState {
    /// It grows: its end moves at least each second.
    Open,
    /// It is what it is.
    Closed,
}

/// A span of one camera's video: a fact about time.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Its identity.
    pub id: SegmentId,
    /// Whose video it is.
    pub camera: CameraId,
    /// The run it belongs to.
    pub run: RunId,
    /// Its place in the run, from 0.
    pub sequence: u32,
    /// From the first frame to the end of the last.
    pub span: Span,
    /// Where inside it there is no footage: sorted, apart from one another.
    pub holes: Vec<Hole>,
    /// What its pictures look like.
    pub format: VideoFormat,
    /// Whether a sound track is inside.
    pub has_audio: bool,
    /// How the file holds it.
    pub container: Container,
    /// Open while it grows.
    pub state: SegmentState,
    /// Live or refilled.
    pub origin: Origin,
    /// Whose clock placed it.
    pub clock: ClockSource,
    /// How the camera's own clock stood, when the camera told.
    pub camera_clock: Option<CameraClock>,
    /// Video frames in it.
    pub frames: u64,
    /// Packets of its pictures that were lost on the way to this box, as far as their numbers tell.
    pub lost_packets: u64,
    /// When its row was made.
    pub created_at: Timestamp,
    /// The files that hold it.
    pub copies: Vec<Copy>,
}

impl Segment {
    /// Whether packets are missing in it, so that some of its pictures are torn or not there.
    pub fn is_damaged(&self) -> bool {
        self.lost_packets > 0
    }

    /// Gives it other dates: it began so many nanoseconds later.
    pub fn shift(&mut self, nanos: i64) {
        let shifted = |span: Span| Span::new(span.start.offset(nanos), span.end.offset(nanos));
        self.span = shifted(self.span);
        for hole in &mut self.holes {
            hole.span = shifted(hole.span);
        }
    }

    /// What it is footage of: its span without its holes, in order.
    pub fn covered(&self) -> Vec<Span> {
        covered_pieces(self.span, &self.holes)
    }
}
