//! The live edge: what of a segment is in memory before it is in the segment's file.

use std::fmt;

use super::camera::CameraId;
use super::segment::{RunId, Segment, SegmentId, VideoFormat};
use super::time::Timestamp;
use super::unit::{TrackCaps, Unit};

/// The newest units of a segment whose file is still open. What the file has and what is here overlap; together they miss
/// nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Which segment.
    pub segment: SegmentId,
    /// The run it belongs to.
    pub run: RunId,
    /// Wall clock of the segment's first frame, by the same clock map as its row.
    pub start: Timestamp,
    /// That frame's time on the scale of the units: a unit was taken at `start + (pts - first_pts)`.
    pub first_pts: i64,
    /// What its pictures look like.
    pub format: VideoFormat,
    /// How its units are to be read.
    pub caps: TrackCaps,
    /// The units in order of arrival, a keyframe of the pictures first. When that is the unit of `first_pts`, the whole
    /// segment is here. None when memory holds nothing of it (any more).
    pub units: Vec<Unit>,
    /// The segment as the recorder knows it at this moment. Its row in the index follows, and may lag behind or not be there
    /// yet.
    pub row: Segment,
    /// Whether more of it may come. Otherwise its frames are all here or in the file, which is about to be closed.
    pub grows: bool,
}

/// Who knows the live edges of cameras. Ask before the file is read, not after: what is written meanwhile is in both, and
/// a segment that is closed meanwhile is whole in its file.
pub trait Edges: fmt::Debug + Send + Sync {
    /// The edge of the segment that is growing.
    fn edge(&self, camera: &CameraId) -> Option<Edge> {
        self.edges(camera).pop()
    }

    /// The edges of all segments whose files are open, the oldest first: for a moment after a cut the file before it is
    /// still being written, and on a slow disk that may be a long moment.
    fn edges(&self, camera: &CameraId) -> Vec<Edge>;
}
