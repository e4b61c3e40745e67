//! The settings of all cameras written beside their recordings, on each volume, whenever one changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::index::{Index, IndexError, Reader};
use crate::model::{Camera, Event, EventKind, Fingerprint, News, Seal, VolumeId, VolumeRole};
use crate::runtime::{Clock, Shutdown};
use crate::storage::{SavedCamera, Settings, Volume, Volumes};

use super::house::on_a_thread;

/// How often it is looked whether something changed that nobody told, or a volume is back that was away.
const LOOK: Duration = Duration::from_secs(30);
/// How soon a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Writes settings.
#[derive(Debug)]
pub(super) struct SettingsKeeper {
    pub(super) index: Index,
    pub(super) volume: Arc<Volume>,
    pub(super) volumes: Volumes,
    /// Where the mirror is, if one is configured.
    pub(super) mirror: Option<PathBuf>,
    pub(super) seal: Arc<dyn Seal>,
    pub(super) box_key: Fingerprint,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Notified when a camera or a schedule was changed.
    pub(super) changed: Arc<Notify>,
    pub(super) shutdown: Shutdown,
}

/// What lies on a volume.
#[derive(Debug, Default)]
struct Written {
    on: Option<(VolumeId, Settings)>,
    /// Whether somebody was told that it could not be written.
    is_told: bool,
}

impl SettingsKeeper {
    /// Works until the end is asked for.
    pub(super) async fn run(self) {
        let keeper = Arc::new(self);
        let mut written = [Written::default(), Written::default()];
        loop {
            let done = {
                let (keeper, before) = (keeper.clone(), written);
                on_a_thread(move || Ok(keeper.write_all(before))).await
            };
            let is_all = match done {
                Ok((after, is_all)) => {
                    written = after;
                    is_all
                }
                Err(error) => {
                    tracing::error!(%error, "the settings of the cameras could not be written beside their recordings");
                    written = Default::default();
                    false
                }
            };
            tokio::select! {
                () = keeper.shutdown.asked() => return,
                () = keeper.changed.notified() => {}
                () = tokio::time::sleep(if is_all { LOOK } else { AGAIN }) => {}
            }
        }
    }

    /// Writes what is not as it is in the index; `false` when a volume did not take it.
    fn write_all(&self, mut written: [Written; 2]) -> ([Written; 2], bool) {
        let look = |reader: &Reader<'_>| Ok((read(reader, self.box_key)?, reader.is_recovering()?));
        let (settings, is_recovering) = match self.index.read_blocking(look) {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!(%error, "the settings of the cameras cannot be read");
                return (written, false);
            }
        };
        let [primary, mirror] = &mut written;
        let mut is_all = self.keep(primary, self.volume.id(), &settings, "the primary volume", || {
            let written = self
                .volume
                .write_settings(&settings, self.seal.as_ref(), self.clock.now());
            written.map_err(|error| error.to_string())
        });
        // While an index that was lost is made whole, what the mirror tells is still to be read.
        if let Some((id, root)) = self.known_mirror().filter(|_| !is_recovering) {
            let (of, seal, now) = (settings.clone(), self.seal.clone(), self.clock.now());
            is_all &= self.keep(mirror, id, &settings, "the mirror", || {
                let write = move || {
                    Volume::open_expected(&root, VolumeRole::Mirror, id)?.write_settings(&of, seal.as_ref(), now)
                };
                self.volumes.beside_the_mirror(write).map_or_else(
                    || Err("its disk does not answer".to_owned()),
                    |done| done.map_err(|error| error.to_string()),
                )
            });
        }
        (written, is_all)
    }

    fn known_mirror(&self) -> Option<(VolumeId, PathBuf)> {
        let root = self.mirror.clone()?;
        let known = self.index.read_blocking(|reader| reader.volumes()).unwrap_or_default();
        let mirror = known.into_iter().rev().find(|known| known.role == VolumeRole::Mirror);
        mirror.map(|mirror| (mirror.id, root))
    }

    fn keep(
        &self,
        written: &mut Written,
        id: VolumeId,
        settings: &Settings,
        name: &str,
        write: impl FnOnce() -> Result<(), String>,
    ) -> bool {
        let is_there = |(on, there): &(VolumeId, Settings)| *on == id && there == settings;
        if written.on.as_ref().is_some_and(is_there) {
            return true;
        }
        match write() {
            Ok(()) => {
                tracing::debug!(volume = name, cameras = settings.cameras.len(), "settings were written");
                *written = Written {
                    on: Some((id, settings.clone())),
                    is_told: false,
                };
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut written.is_told, true) {
                    self.tell(format!(
                        "the settings of the cameras could not be written beside the recordings on {name}: {error}; they are \
                         safe in the index, and it is tried again"
                    ));
                }
                false
            }
        }
    }

    fn tell(&self, message: String) {
        tracing::warn!("{message}");
        // The ingest task lives until the last sender is gone.
        let _ = self.news.send(News::Happened(Event {
            at: self.clock.now(),
            kind: EventKind::RecorderError,
            camera: None,
            message,
        }));
    }
}

fn read(reader: &Reader<'_>, box_key: Fingerprint) -> Result<Settings, IndexError> {
    let mut cameras: Vec<Camera> = reader.cameras()?;
    cameras.extend(reader.deleted_cameras()?);
    let cameras = cameras.into_iter().map(|camera| {
        Ok(SavedCamera {
            schedules: reader.schedules(&camera.id)?,
            has_lost_secrets: false,
            camera,
        })
    });
    Ok(Settings {
        box_key: Some(box_key),
        cameras: cameras.collect::<Result<_, IndexError>>()?,
        holds: reader.holds()?,
    })
}
