//! The door to recording for everybody else: which cameras, and how they are.

use crate::model::{Camera, CameraHealth, CameraId};

/// A handle on the recording of all cameras. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Recorder {}

impl Recorder {
    /// Takes up a new camera, or the new settings of one.
    pub fn apply(&self, camera: Camera) {
        tracing::debug!(camera = %camera.id, "applied");
    }

    /// Lets a camera go; returns when its last segment is closed.
    pub async fn remove(&self, id: &CameraId) {
        tracing::debug!(camera = %id, "removed");
    }

    /// How every camera is, in the order of their ids.
    pub fn health(&self) -> Vec<CameraHealth> {
        Vec::new()
    }

    /// How one camera is.
    pub fn camera_health(&self, id: &CameraId) -> Option<CameraHealth> {
        self.health().into_iter().find(|health| health.camera_id == *id)
    }
}
