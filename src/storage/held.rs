//! A hold as it lies beside the recordings.

use serde::{Deserialize, Serialize};

use crate::model::{CameraId, Hold, HoldId, SegmentId, Span, Timestamp};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HoldLine {
    id: HoldId,
    cameras: Vec<CameraId>,
    start_ns: i64,
    end_ns: i64,
    segment: Option<SegmentId>,
    reason: String,
    owner: String,
    incident: Option<String>,
    created_at_ns: i64,
    expires_at_ns: Option<i64>,
}

impl From<&Hold> for HoldLine {
    fn from(hold: &Hold) -> Self {
        Self {
            id: hold.id,
            cameras: hold.cameras.clone(),
            start_ns: hold.span.start.as_nanos(),
            end_ns: hold.span.end.as_nanos(),
            segment: hold.segment,
            reason: hold.reason.clone(),
            owner: hold.owner.clone(),
            incident: hold.incident.clone(),
            created_at_ns: hold.created_at.as_nanos(),
            expires_at_ns: hold.expires_at.map(Timestamp::as_nanos),
        }
    }
}

impl From<HoldLine> for Hold {
    fn from(line: HoldLine) -> Self {
        Self {
            id: line.id,
            cameras: line.cameras,
            span: Span::new(Timestamp::from_nanos(line.start_ns), Timestamp::from_nanos(line.end_ns)),
            segment: line.segment,
            reason: line.reason,
            owner: line.owner,
            incident: line.incident,
            created_at: Timestamp::from_nanos(line.created_at_ns),
            expires_at: line.expires_at_ns.map(Timestamp::from_nanos),
        }
    }
}
