//! Segments, ranges, gaps and events as they are shown.

use serde::Serialize;
use uuid::Uuid;

use crate::index::Standing;
use crate::model::{
    CameraClock, CameraId, CopyState, Event, Gap, GapFate, Hole, Segment, SegmentState, Span, Timestamp,
};
use crate::storage::reading_order;
use crate::timeline::{Calendar, Coverage, Lane, Missing, Row, Timeline};

/// A segment. Where its files lie on this machine is nobody's business.
#[derive(Debug, Serialize)]
pub(in crate::http) struct SegmentShown {
    id: Uuid,
    camera_id: String,
    start_time: Timestamp,
    end_time: Timestamp,
    duration_s: f64,
    codec: &'static str,
    width: u32,
    height: u32,
    fps: Option<f64>,
    has_audio: bool,
    size_bytes: u64,
    container: &'static str,
    open: bool,
    origin: &'static str,
    clock: &'static str,
    camera_clock: Option<CameraClock>,
    run: String,
    sequence: u32,
    frames: u64,
    gaps: Vec<HoleShown>,
    damaged: bool,
    lost_packets: u64,
    locked: bool,
    evidence_locked: bool,
    incident_id: Option<String>,
    created_at: Timestamp,
    url: Option<String>,
    copies: Vec<CopyShown>,
}

/// Where a segment is played that is being written and has no file yet: from memory.
fn clip_of(segment: &Segment) -> Option<String> {
    let Span { start, end } = segment.span;
    let is_in_memory = segment.state == SegmentState::Open && segment.copies.is_empty();
    is_in_memory.then(|| format!("/api/v1/cameras/{}/clip.mp4?from={start}&to={end}", segment.camera))
}

/// A span inside a segment without footage.
#[derive(Debug, Serialize)]
struct HoleShown {
    start: Timestamp,
    end: Timestamp,
    cause: &'static str,
}

impl HoleShown {
    fn new(hole: &Hole) -> Self {
        Self {
            start: hole.span.start,
            end: hole.span.end,
            cause: hole.cause.as_str(),
        }
    }
}

/// One file that holds a segment.
#[derive(Debug, Serialize)]
struct CopyShown {
    volume_id: Uuid,
    state: CopyState,
    size_bytes: u64,
    sha256: Option<String>,
}

impl SegmentShown {
    /// A segment, and whether it is read or held, so that it cannot be deleted.
    pub(in crate::http) fn new(segment: Segment, locked: bool, standing: Standing) -> Self {
        let readable = reading_order(&segment.copies).next();
        let size_bytes = readable.or(segment.copies.first()).map_or(0, |copy| copy.size_bytes);
        let url = readable
            .and_then(|copy| copy.path.rsplit('/').next())
            .map(|file| format!("/media/recordings/{}/{file}", segment.camera))
            .or_else(|| clip_of(&segment));
        Self {
            id: segment.id.0,
            camera_id: segment.camera.to_string(),
            start_time: segment.span.start,
            end_time: segment.span.end,
            duration_s: segment.span.seconds(),
            codec: segment.format.codec.as_str(),
            width: segment.format.width,
            height: segment.format.height,
            fps: segment.format.fps,
            has_audio: segment.has_audio,
            size_bytes,
            container: segment.container.as_str(),
            open: segment.state == SegmentState::Open,
            origin: segment.origin.as_str(),
            clock: segment.clock.as_str(),
            camera_clock: segment.camera_clock,
            run: segment.run.to_string(),
            sequence: segment.sequence,
            frames: segment.frames,
            gaps: segment.holes.iter().map(HoleShown::new).collect(),
            damaged: segment.is_damaged(),
            lost_packets: segment.lost_packets,
            locked,
            evidence_locked: standing.is_held,
            incident_id: standing.incident,
            created_at: segment.created_at,
            url,
            copies: segment
                .copies
                .into_iter()
                .map(|copy| CopyShown {
                    volume_id: copy.volume.0,
                    state: copy.state,
                    size_bytes: copy.size_bytes,
                    sha256: copy.sha256.map(hex),
                })
                .collect(),
        }
    }
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A recorded range.
#[derive(Debug, Serialize)]
pub(in crate::http) struct RangeShown {
    start: Timestamp,
    end: Timestamp,
    seconds: f64,
}

impl From<Span> for RangeShown {
    fn from(span: Span) -> Self {
        Self {
            start: span.start,
            end: span.end,
            seconds: span.seconds(),
        }
    }
}

/// What is recorded of a camera in a window.
#[derive(Debug, Serialize)]
pub(in crate::http) struct TimelineShown {
    camera_id: String,
    from: Timestamp,
    to: Timestamp,
    ranges: Vec<RangeShown>,
    refilled: Vec<RangeShown>,
    recorded_seconds: f64,
    segment_count: u64,
    damaged_count: u64,
    lost_packets: u64,
}

impl TimelineShown {
    pub(in crate::http) fn new(camera: &CameraId, window: Span, timeline: Timeline) -> Self {
        Self {
            camera_id: camera.to_string(),
            from: window.start,
            to: window.end,
            ranges: timeline.ranges.into_iter().map(RangeShown::from).collect(),
            refilled: timeline.refilled.into_iter().map(RangeShown::from).collect(),
            recorded_seconds: timeline.recorded.as_secs_f64(),
            segment_count: timeline.segments,
            damaged_count: timeline.damaged,
            lost_packets: timeline.lost_packets,
        }
    }
}

/// What became of a kept gap. One of a camera that kept nothing itself, as far as is known, waits for nothing.
fn fill_state(gap: &Gap, has_archive: bool) -> &'static str {
    match gap.fate {
        GapFate::Pending if !has_archive => "none",
        fate => fate.as_str(),
    }
}

/// A computed gap.
#[derive(Debug, Serialize)]
pub(in crate::http) struct GapShown {
    start: Timestamp,
    end: Timestamp,
    seconds: f64,
    cause: &'static str,
    /// Of the kept gap that it is, if it is one: whether it may still come back from the camera.
    fill_state: Option<&'static str>,
}

impl GapShown {
    /// One of these may be kept.
    pub(in crate::http) fn new(gap: Missing, kept: &[Gap], has_archive: bool) -> Self {
        // One that lasts ends later than its row says.
        let until = |kept: &Gap| if kept.open { Timestamp::MAX } else { kept.span.end };
        let shared = |kept: &&Gap| {
            let (start, end) = (gap.span.start.max(kept.span.start), gap.span.end.min(until(kept)));
            end.nanos_since(start).max(0)
        };
        let of_it = kept
            .iter()
            .filter(|kept| kept.fate != GapFate::Filled && shared(kept) > 0);
        let kept = of_it.max_by_key(shared);
        Self {
            start: gap.span.start,
            end: gap.span.end,
            seconds: gap.span.seconds(),
            cause: gap.why.as_str(),
            fill_state: kept.map(|kept| fill_state(kept, has_archive)),
        }
    }
}

/// Gaps of a lane that are drawn as one.
#[derive(Debug, Serialize)]
pub(in crate::http) struct LaneGapShown {
    start: Timestamp,
    end: Timestamp,
    count: usize,
    cause: &'static str,
}

impl From<Row> for LaneGapShown {
    fn from(row: Row) -> Self {
        Self {
            start: row.span.start,
            end: row.span.end,
            count: row.count,
            cause: row.why.as_str(),
        }
    }
}

/// One camera's row on a timeline of many.
#[derive(Debug, Serialize)]
pub(in crate::http) struct LaneShown {
    camera_id: String,
    name: String,
    ranges: Vec<RangeShown>,
    refilled: Vec<RangeShown>,
    gaps: Vec<LaneGapShown>,
}

impl LaneShown {
    pub(in crate::http) fn new(camera: &CameraId, name: String, lane: Lane) -> Self {
        Self {
            camera_id: camera.to_string(),
            name,
            ranges: lane.ranges.into_iter().map(RangeShown::from).collect(),
            refilled: lane.refilled.into_iter().map(RangeShown::from).collect(),
            gaps: lane.gaps.into_iter().map(LaneGapShown::from).collect(),
        }
    }
}

/// A kept gap.
#[derive(Debug, Serialize)]
pub(in crate::http) struct KeptGapShown {
    id: i64,
    camera_id: String,
    gap_start: Timestamp,
    gap_end: Timestamp,
    gap_seconds: f64,
    open: bool,
    cause: &'static str,
    fill_state: &'static str,
    fill_attempts: u32,
    last_attempt_at: Option<Timestamp>,
    filled_at: Option<Timestamp>,
    recovered_seconds: f64,
}

impl KeptGapShown {
    /// A gap that lasts reaches to now.
    pub(in crate::http) fn new(gap: Gap, now: Timestamp, has_archive: bool) -> Self {
        let end = if gap.open { gap.span.end.max(now) } else { gap.span.end };
        let span = Span::new(gap.span.start, end);
        Self {
            id: gap.id.0,
            camera_id: gap.camera.to_string(),
            gap_start: span.start,
            gap_end: span.end,
            gap_seconds: span.seconds(),
            open: gap.open,
            cause: gap.cause.as_str(),
            fill_state: fill_state(&gap, has_archive),
            fill_attempts: gap.attempts,
            last_attempt_at: gap.last_attempt_at,
            filled_at: gap.filled_at,
            recovered_seconds: gap.recovered_seconds,
        }
    }
}

/// How much of a day is recorded.
#[derive(Debug, Serialize)]
pub(in crate::http) struct CoverageShown {
    camera_id: String,
    day: String,
    from: Timestamp,
    to: Timestamp,
    expected_seconds: f64,
    recorded_seconds: f64,
    /// Nothing when nothing was expected.
    percent: Option<f64>,
    missing: Vec<MissingShown>,
    refilled_seconds: f64,
}

#[derive(Debug, Serialize)]
struct MissingShown {
    cause: &'static str,
    seconds: f64,
}

impl CoverageShown {
    pub(in crate::http) fn new(camera: &CameraId, day: String, coverage: &Coverage) -> Self {
        Self {
            camera_id: camera.to_string(),
            day,
            from: coverage.day.start,
            to: coverage.day.end,
            expected_seconds: coverage.expected.as_secs_f64(),
            recorded_seconds: coverage.recorded.as_secs_f64(),
            percent: coverage.percent(),
            missing: coverage
                .missing
                .iter()
                .map(|(why, length)| MissingShown {
                    cause: why.as_str(),
                    seconds: length.as_secs_f64(),
                })
                .collect(),
            refilled_seconds: coverage.refilled.as_secs_f64(),
        }
    }
}

/// A day with footage, and from when to when it lasts.
#[derive(Debug, Serialize)]
pub(in crate::http) struct DayShown {
    day: String,
    from: Timestamp,
    to: Timestamp,
}

impl From<Calendar> for DayShown {
    fn from(entry: Calendar) -> Self {
        Self {
            day: entry.day.to_string(),
            from: entry.span.start,
            to: entry.span.end,
        }
    }
}

/// An event.
#[derive(Debug, Serialize)]
pub(in crate::http) struct EventShown {
    id: i64,
    at: Timestamp,
    r#type: &'static str,
    camera_id: Option<String>,
    message: String,
}

impl From<(i64, Event)> for EventShown {
    fn from((id, event): (i64, Event)) -> Self {
        Self {
            id,
            at: event.at,
            r#type: event.kind.as_str(),
            camera_id: event.camera.map(|camera| camera.to_string()),
            message: event.message,
        }
    }
}
