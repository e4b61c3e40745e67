//! Clips and export jobs as they are shown.

use serde::Serialize;
use uuid::Uuid;

use crate::model::{CameraId, Clip, Fingerprint, Job, Span, Timestamp};

/// A hole in a clip.
#[derive(Debug, Serialize)]
struct HoleShown {
    from: Timestamp,
    to: Timestamp,
}

impl From<Span> for HoleShown {
    fn from(span: Span) -> Self {
        Self {
            from: span.start,
            to: span.end,
        }
    }
}

/// A stored clip.
#[derive(Debug, Serialize)]
pub(in crate::http) struct ClipShown {
    id: Uuid,
    camera_id: CameraId,
    filename: String,
    url: String,
    manifest_url: String,
    from: Timestamp,
    to: Timestamp,
    /// The end that was asked for, where it lay in the future and `to` is the moment at which the clip was made.
    requested_to: Option<Timestamp>,
    requested_seconds: f64,
    covered_seconds: f64,
    /// When its first frame was taken: in mode `keyframe` that may be before `from`.
    shown_from: Timestamp,
    shown_to: Timestamp,
    gaps: Vec<HoleShown>,
    frames: u64,
    size_bytes: u64,
    segment_count: u64,
    sha256: Fingerprint,
    mode: &'static str,
    asked_by: String,
    job_id: Option<Uuid>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

impl From<Clip> for ClipShown {
    fn from(clip: Clip) -> Self {
        let requested_seconds = clip.requested().seconds();
        Self {
            id: clip.id.0,
            camera_id: clip.camera,
            url: format!("/media/clips/{}", clip.file),
            manifest_url: format!("/api/v1/clips/{}/manifest", clip.id),
            filename: clip.file,
            from: clip.window.start,
            to: clip.window.end,
            requested_to: clip.requested_to,
            requested_seconds,
            covered_seconds: clip.covered.as_secs_f64(),
            shown_from: clip.shown.start,
            shown_to: clip.shown.end,
            gaps: clip.holes.into_iter().map(HoleShown::from).collect(),
            frames: clip.frames,
            size_bytes: clip.size_bytes,
            segment_count: clip.segment_count,
            sha256: Fingerprint(clip.sha256),
            mode: clip.mode.as_str(),
            asked_by: clip.asked_by,
            job_id: clip.job.map(|job| job.0),
            created_at: clip.created_at,
            expires_at: clip.expires_at,
        }
    }
}

/// An export job, with what it made so far.
#[derive(Debug, Serialize)]
pub(in crate::http) struct JobShown {
    id: Uuid,
    cameras: Vec<CameraId>,
    from: Timestamp,
    to: Timestamp,
    mode: &'static str,
    name: Option<String>,
    burn_in: bool,
    captions: bool,
    asked_by: String,
    state: &'static str,
    progress: f64,
    error: Option<String>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    clips: Vec<ClipShown>,
}

impl From<(Job, Vec<Clip>)> for JobShown {
    fn from((job, clips): (Job, Vec<Clip>)) -> Self {
        Self {
            id: job.id.0,
            cameras: job.order.cameras,
            from: job.order.window.start,
            to: job.order.window.end,
            mode: job.order.mode.as_str(),
            name: job.order.name,
            burn_in: job.order.burn_in,
            captions: job.order.captions,
            asked_by: job.order.asked_by,
            state: job.state.as_str(),
            progress: (job.progress * 1000.0).round() / 1000.0,
            error: job.error,
            created_at: job.created_at,
            started_at: job.started_at,
            ended_at: job.ended_at,
            clips: clips.into_iter().map(ClipShown::from).collect(),
        }
    }
}
