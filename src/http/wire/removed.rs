//! Removed cameras as they are shown, and what becomes of their footage.

use serde::Serialize;

use super::camera::CameraShown;
use crate::index::Footage;
use crate::model::{Camera, CameraId, Timestamp};

/// How much footage there is.
#[derive(Debug, Serialize)]
pub(in crate::http) struct FootageShown {
    segments: u64,
    size_bytes: u64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl FootageShown {
    fn new(footage: Footage) -> Option<Self> {
        (footage.segments > 0).then(|| Self {
            segments: footage.segments,
            size_bytes: footage.bytes,
            from: footage.span.map(|span| span.start),
            to: footage.span.map(|span| span.end),
        })
    }
}

/// A camera that was removed and of which there is footage.
#[derive(Debug, Serialize)]
pub(in crate::http) struct RemovedCameraShown {
    #[serde(flatten)]
    camera: CameraShown,
    footage: Option<FootageShown>,
}

impl RemovedCameraShown {
    pub(in crate::http) fn new(camera: Camera, footage: Footage) -> Self {
        Self {
            camera: camera.into(),
            footage: FootageShown::new(footage),
        }
    }
}

/// What became of a camera that was removed.
#[derive(Debug, Serialize)]
pub(in crate::http) struct RemovedShown {
    camera_id: CameraId,
    /// Whether its footage is to go too.
    purge: bool,
    /// What of it is gone.
    purged_segments: u64,
    purged_bytes: u64,
    /// What stays; nothing when there is none.
    footage: Option<FootageShown>,
    /// Why some of what is to go is still there.
    waits_for: Option<String>,
}

impl RemovedShown {
    pub(in crate::http) fn new(
        camera: &CameraId,
        purge: bool,
        before: Footage,
        stays: Footage,
        waits_for: Option<String>,
    ) -> Self {
        let is_read = purge && stays.segments > 0;
        let waits_for = waits_for.or_else(|| {
            is_read
                .then(|| "a clip is being made of it, or it is held as evidence; it goes when that is over".to_owned())
        });
        Self {
            camera_id: camera.clone(),
            purge,
            purged_segments: before.segments.saturating_sub(stays.segments),
            purged_bytes: before.bytes.saturating_sub(stays.bytes),
            footage: FootageShown::new(stays),
            waits_for,
        }
    }
}
