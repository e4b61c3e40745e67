//! News: what engines send down the one channel to the timeline. Every segment enters by this door.

use super::camera::CameraId;
use super::event::Event;
use super::gap::{Gap, GapCause};
use super::hole::Hole;
use super::segment::{Segment, SegmentId};
use super::time::{Span, Timestamp};
use super::volume::Copy;

/// One change of what is known. The order of sending is the order of writing.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A segment's first frame was received.
    Opened(Segment),
    /// An open segment grew. Its start may move a little too, while a run's clock map settles.
    Grew {
        /// Which segment.
        id: SegmentId,
        /// From its first frame to the end of its last.
        span: Span,
        /// Where it has no footage so far.
        holes: Vec<Hole>,
        /// Video frames so far.
        frames: u64,
        /// Bytes received for it so far.
        size_bytes: u64,
        /// Packets lost in it so far.
        lost_packets: u64,
    },
    /// A segment's file is closed, synced and hashed. Also how a refilled or mended segment enters.
    Closed(Segment),
    /// A segment has another copy, or what is known of one has changed: one on the mirror, or one that was restored.
    Copied {
        /// Which segment.
        segment: SegmentId,
        /// The copy as it is now.
        copy: Copy,
    },
    /// A closed segment has footage no more everywhere it had: no copy gives it.
    Holed {
        /// Which segment.
        segment: SegmentId,
        /// Where it has none, all of it.
        holes: Vec<Hole>,
    },
    /// A try to fill a gap is over: what came of it, and what is left.
    Refilled {
        /// The gap as it was when it was tried. When it is another one by now, only the segments count.
        before: Box<Gap>,
        /// What takes its place: the first is its own row, others are new.
        after: Vec<Gap>,
        /// What came; durable and hashed.
        segments: Vec<Segment>,
    },
    /// An open segment came to nothing: no frame of it reached a file.
    Vanished(SegmentId),
    /// From this moment on the camera's footage is missing.
    Lost {
        /// Which camera.
        camera: CameraId,
        /// The end of its last frame.
        at: Timestamp,
        /// Why.
        cause: GapCause,
    },
    /// Footage is there again from this moment on.
    Regained {
        /// Which camera.
        camera: CameraId,
        /// Its first frame.
        at: Timestamp,
    },
    /// Footage is wanted again from this moment on, and none is there yet.
    Wanted {
        /// Which camera.
        camera: CameraId,
        /// When its schedule began, or something happened.
        at: Timestamp,
    },
    /// No footage is wanted any more from this moment on: a gap that is open ends here, and what is not there until
    /// footage is wanted again is not missing.
    Unwanted {
        /// Which camera.
        camera: CameraId,
        /// When it was switched off, its schedule ended or nothing happened any more.
        at: Timestamp,
    },
    /// Something a person or a program may want to be told.
    Happened(Event),
}
