//! Access units: what a camera sent, one frame of video or one packet of sound at a time, still encoded.

use bytes::Bytes;

/// Which track of a camera a unit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// One encoded access unit. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its track.
    pub track: Track,
    /// When it is shown: nanoseconds of the run's running time.
    pub pts: i64,
    /// When it is decoded, on the same scale; equal to `pts` without B-frames.
    pub dts: i64,
    /// How long it lasts in nanoseconds, when that is known.
    pub duration: Option<u64>,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// The bytes as MP4 holds them: length-prefixed NAL units for video, raw frames for AAC.
    pub payload: Bytes,
}

/// How the units of a run are to be read: GStreamer's caps as text, opaque to everybody but the pipeline room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackCaps {
    /// Caps of the pictures, with the parameter sets.
    pub video: String,
    /// Caps of the sound, if there is any.
    pub audio: Option<String>,
}
