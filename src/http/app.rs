//! What every request may speak to.

use std::sync::Arc;

use tokio::sync::{Mutex, Notify};

use super::problem::Problem;
use super::storage::Keeping;
use crate::export::{Exporter, Snapshots};
use crate::index::{Index, IndexError, Reader};
use crate::mirror::Mirror;
use crate::model::{Camera, CameraId, Timestamp};
use crate::record::Recorder;
use crate::refill::Refiller;
use crate::retain::Purger;
use crate::runtime::Clock;
use crate::storage::{PublicKey, Volumes};

/// The daemon as requests see it. Clones share it.
#[derive(Debug, Clone)]
pub struct App {
    /// What is known.
    pub index: Index,
    /// Who records.
    pub recorder: Recorder,
    /// Who makes stills.
    pub snapshots: Snapshots,
    /// Who makes clips.
    pub exporter: Exporter,
    /// Who fetches what lacks from cameras.
    pub refiller: Refiller,
    /// Who removes the footage of removed cameras.
    pub purger: Purger,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where copies of recordings are read.
    pub volumes: Volumes,
    /// What checks the signatures of clips.
    pub public_key: PublicKey,
    /// The second volume, where one is configured.
    pub mirror: Option<Mirror>,
    /// What keeps the disks within their rules.
    pub keeping: Option<Keeping>,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// Which camkeep this is.
    pub version: &'static str,
    /// Held while a camera changes, so that the recorder hears of changes in the order of the index.
    pub(super) changing: Arc<Mutex<()>>,
    /// Notified when a camera or a schedule was changed.
    changed: Arc<Notify>,
}

/// Who does things for people.
#[derive(Debug)]
pub struct Engines {
    /// Records.
    pub recorder: Recorder,
    /// Makes stills.
    pub snapshots: Snapshots,
    /// Makes clips.
    pub exporter: Exporter,
    /// Fetches what lacks from cameras.
    pub refiller: Refiller,
    /// Removes the footage of removed cameras.
    pub purger: Purger,
}

impl App {
    /// Puts together what requests may speak to.
    pub fn new(index: Index, engines: Engines, clock: Arc<dyn Clock>, volumes: Volumes, public_key: PublicKey) -> Self {
        let Engines {
            recorder,
            snapshots,
            exporter,
            refiller,
            purger,
        } = engines;
        Self {
            index,
            recorder,
            snapshots,
            exporter,
            refiller,
            purger,
            started_at: clock.now(),
            clock,
            volumes,
            public_key,
            mirror: None,
            keeping: None,
            version: env!("CARGO_PKG_VERSION"),
            changing: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// The same with what keeps the disks within their rules.
    pub fn with_keeping(self, keeping: Keeping) -> Self {
        Self {
            keeping: Some(keeping),
            ..self
        }
    }

    /// The same with a mirror.
    pub fn with_mirror(self, mirror: Option<Mirror>) -> Self {
        Self { mirror, ..self }
    }

    /// The same, and whoever waits for changes of cameras and schedules is notified of them.
    pub fn with_changes(self, changed: Arc<Notify>) -> Self {
        Self { changed, ..self }
    }

    /// A camera or a schedule was changed.
    pub(super) fn has_changed(&self) {
        self.changed.notify_one();
    }

    /// Reads about one camera; the problem when there is none of this id.
    pub(super) async fn about<T: Send + 'static>(
        &self,
        id: &CameraId,
        look: impl FnOnce(&Reader<'_>, Camera) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.about_any(id, false, look).await
    }

    /// The same, also about one that was `removed` and of which there is footage, if that is asked for.
    pub(super) async fn about_any<T: Send + 'static>(
        &self,
        id: &CameraId,
        removed: bool,
        look: impl FnOnce(&Reader<'_>, Camera) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, Problem> {
        let asked = id.clone();
        let found = self
            .index
            .read(move |reader| {
                let camera = reader.camera_or_deleted(&asked)?;
                let camera = camera.filter(|camera| removed || camera.removed_at.is_none());
                camera.map(|camera| look(reader, camera)).transpose()
            })
            .await?;
        Problem::unless_found(found, id)
    }

    /// The problem when a camera was removed and removed ones are not asked for. Whether there is one at all is not asked here.
    pub(super) async fn refuse_removed(&self, id: &CameraId, removed: bool) -> Result<(), Problem> {
        let asked = id.clone();
        let known = self.index.read(move |reader| reader.camera_or_deleted(&asked)).await?;
        match known {
            Some(camera) if camera.removed_at.is_some() && !removed => Err(Problem::no_camera(id.as_str())),
            _ => Ok(()),
        }
    }
}
