//! A row of a segment for tests of every room above, so that a new field is written down once.
#![allow(clippy::unwrap_used)]

use uuid::Uuid;

use super::{
    CameraId, ClockSource, Codec, Container, Origin, RunId, Segment, SegmentId, SegmentState, Span, VideoFormat,
};

/// A closed segment of the camera `door` without copies; whoever needs another changes what differs.
pub(crate) fn segment(number: u128, span: Span) -> Segment {
    Segment {
        id: SegmentId(Uuid::from_u128(number)),
        camera: CameraId::parse("door").unwrap(),
        run: RunId(7),
        sequence: 0,
        span,
        holes: Vec::new(),
        format: VideoFormat {
            codec: Codec::H264,
            width: 640,
            height: 360,
            fps: Some(25.0),
        },
        has_audio: false,
        container: Container::Mp4,
        state: SegmentState::Closed,
        origin: Origin::Live,
        clock: ClockSource::Arrival,
        camera_clock: None,
        lost_packets: 0,
        frames: 1,
        created_at: span.start,
        copies: Vec::new(),
    }
}
