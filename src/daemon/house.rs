//! What lies on disks, and what is made of it at the start.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use crate::check::{self, Check, Mode, Survey};
use crate::config::Config;
use crate::index::{Index, IndexError, KnownVolume};
use crate::model::{Event, EventKind, Fault, GapCause, News, Seal, VolumeRole};
use crate::pipeline::Catalog;
use crate::record::{Recorder, Suspects};
use crate::runtime::{Clock, Shutdown};
use crate::storage::{Complain, DaemonLock, SealKey, StorageError, Volume};

use super::error::DaemonError;

/// What lies on disks.
pub(super) struct House {
    pub(super) index: Index,
    pub(super) volume: Arc<Volume>,
    survey: Mutex<Option<Survey>>,
    /// What became of an index that was damaged.
    pub(super) mended: Option<String>,
    /// Held for as long as we run.
    pub(super) lock: DaemonLock,
}

impl House {
    pub(super) fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, DaemonError> {
        let data = &config.storage.data;
        std::fs::create_dir_all(data).map_err(|error| {
            let path = data.display();
            DaemonError::System(format!(
                "cannot make the data directory {path}: {error}; make it, or give another with --data"
            ))
        })?;
        let lock = DaemonLock::take(data)?;
        let seal: Arc<dyn Seal> = Arc::new(SealKey::load_or_make(&data.join("secret.key"))?);
        let (index, aside) = check::open_index(&data.join("index.db"), &seal, clock.as_ref())?;
        let volume = Arc::new(open_volume(&index, &data.join("recordings"), clock.as_ref())?);
        let survey = Mutex::new(Some(Survey::take(&index, data, clock.as_ref())?));
        Ok(Self {
            index,
            volume,
            survey,
            mended: aside.map(|(aside, restored)| tell_of(&aside, restored)),
            lock,
        })
    }
}

fn tell_of(aside: &Path, restored: bool) -> String {
    let aside = aside.display();
    if restored {
        format!(
            "the index was damaged and is kept as {aside}; it was restored from its backup, and what is newer follows"
        )
    } else {
        format!(
            "the index was damaged and is kept as {aside}; recordings are indexed anew, cameras have to be added again"
        )
    }
}

/// Opens the primary volume. Once one is known, no other is taken for it: an empty mount point is not a new disk.
fn open_volume(index: &Index, root: &Path, clock: &dyn Clock) -> Result<Volume, DaemonError> {
    let known = index.read_blocking(|reader| reader.volumes())?;
    let primary = known.iter().find(|volume| volume.role == VolumeRole::Primary);
    let volume = match primary {
        Some(known) => Volume::open_expected(root, VolumeRole::Primary, known.id)?,
        None => Volume::open(root, VolumeRole::Primary, clock.now())?,
    };
    let row = KnownVolume {
        id: volume.id(),
        role: VolumeRole::Primary,
        root: root.display().to_string(),
        created_at: primary.map_or_else(|| clock.now(), |known| known.created_at),
    };
    index.write_blocking(move |writer| writer.put_volume(&row))?;
    Ok(volume)
}

/// What a disk refuses while footage is written becomes an event; the file itself is judged when it is closed.
pub(super) fn complain(
    news: &mpsc::UnboundedSender<News>,
    clock: &Arc<dyn Clock>,
    suspects: &Arc<Suspects>,
) -> Complain {
    let (news, clock, suspects) = (news.downgrade(), clock.clone(), suspects.clone());
    Arc::new(move |error: StorageError| {
        tracing::error!(%error, "a disk refuses");
        if let StorageError::SyncFailed { path, .. } = &error {
            // The kernel tells a failed sync once; the sync at the close of the file would look well.
            suspects.add(path);
        }
        let kind = if error.fault() == Fault::Full {
            EventKind::DiskPressure
        } else {
            EventKind::RecorderError
        };
        let event = Event {
            at: clock.now(),
            kind,
            camera: None,
            message: error.to_string(),
        };
        if let Some(news) = news.upgrade() {
            // The ingest task lives until the last sender is gone.
            let _ = news.send(News::Happened(event));
        }
    })
}

/// Mends what the last process left behind, on a thread of its own.
pub(super) fn mend(
    house: &House,
    catalog: Arc<Catalog>,
    clock: &Arc<dyn Clock>,
    shutdown: &Shutdown,
    news: &mpsc::UnboundedSender<News>,
) -> Result<Option<JoinHandle<check::Report>>, DaemonError> {
    let Some(survey) = house.survey.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return Ok(None);
    };
    let news = news.clone();
    let check = Check {
        index: house.index.clone(),
        volume: house.volume.clone(),
        catalog,
        clock: clock.clone(),
        shutdown: shutdown.clone(),
        mode: Mode::Mend,
        // The ingest task lives until the last sender is gone.
        tell: Box::new(move |item| drop(news.send(item))),
    };
    Ok(Some(check.start(survey)?))
}

/// Begins recording every camera. What is missing since its last frame is a gap from the start: an orderly stop has
/// opened one already, so what is opened here says that the daemon was killed.
pub(super) async fn adopt(
    index: &Index,
    recorder: &Recorder,
    news: &mpsc::UnboundedSender<News>,
) -> Result<(), DaemonError> {
    let cameras = index
        .read(|reader| {
            let cameras = reader.cameras()?.into_iter();
            cameras
                .map(|camera| Ok((reader.last_segment(&camera.id)?, camera)))
                .collect::<Result<Vec<_>, IndexError>>()
        })
        .await?;
    for (last, camera) in cameras {
        if let Some(last) = last.as_ref().filter(|_| camera.enabled && camera.record_enabled) {
            let lost = News::Lost {
                camera: camera.id.clone(),
                at: last.span.end,
                cause: GapCause::Killed,
            };
            // The ingest task lives until the last sender is gone.
            let _ = news.send(lost);
        }
        recorder.adopt(camera, last.as_ref());
    }
    Ok(())
}

pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(DaemonError::System(format!("a task died: {error}"))),
    }
}
