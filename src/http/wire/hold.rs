//! Holds and incidents as they are shown.

use serde::Serialize;

use crate::model::{CameraId, Hold, HoldId, Incident, SegmentId, Timestamp};

/// A hold.
#[derive(Debug, Serialize)]
pub(in crate::http) struct HoldShown {
    id: HoldId,
    cameras: Vec<CameraId>,
    from: Timestamp,
    to: Timestamp,
    segment_id: Option<SegmentId>,
    reason: String,
    owner: String,
    incident_id: Option<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl From<Hold> for HoldShown {
    fn from(hold: Hold) -> Self {
        Self {
            id: hold.id,
            cameras: hold.cameras,
            from: hold.span.start,
            to: hold.span.end,
            segment_id: hold.segment,
            reason: hold.reason,
            owner: hold.owner,
            incident_id: hold.incident,
            created_at: hold.created_at,
            expires_at: hold.expires_at,
        }
    }
}

/// An incident, with how much footage there is of it.
#[derive(Debug, Serialize)]
pub(in crate::http) struct IncidentShown {
    incident_id: String,
    segment_count: u64,
    size_bytes: u64,
    cameras: Vec<CameraId>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    hold_count: u64,
}

impl From<Incident> for IncidentShown {
    fn from(incident: Incident) -> Self {
        Self {
            incident_id: incident.id,
            segment_count: incident.segments,
            size_bytes: incident.bytes,
            cameras: incident.cameras,
            from: incident.span.map(|span| span.start),
            to: incident.span.map(|span| span.end),
            hold_count: incident.holds,
        }
    }
}
