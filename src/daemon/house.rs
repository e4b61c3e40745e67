//! What lies on disks, and what is made of it at the start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::archive::Surroundings;
use crate::check::{self, Recovered, Survey};
use crate::config::Config;
use crate::export::{Means, Turns};
use crate::index::{Index, KnownKey, KnownVolume};
use crate::model::{CameraId, Edges, Event, EventKind, Fault, News, Seal, Segment, VolumeId, VolumeRole};
use crate::pipeline::Catalog;
use crate::record::{Recorder, Suspects};
use crate::refill::Needs;
use crate::retain::{Overrides, Retention, Rules};
use crate::runtime::{Clock, Instant, local_zone};
use crate::storage::{BoxKey, Complain, DaemonLock, Finding, SealKey, Shelf, StorageError, Volume, Volumes};

use super::error::DaemonError;

/// What lies on disks.
pub(super) struct House {
    pub(super) index: Index,
    pub(super) volume: Arc<Volume>,
    /// Where copies are read.
    pub(super) volumes: Volumes,
    /// Signs clips.
    pub(super) key: Arc<BoxKey>,
    survey: Mutex<Option<Survey>>,
    /// What became of an index that was damaged or gone.
    pub(super) mended: Option<String>,
    /// What is to be told when another key signs clips than before, or cameras wait for what was lost.
    pub(super) warnings: Vec<String>,
    /// Seals stored secrets.
    pub(super) seal: Arc<dyn Seal>,
    /// The newest segments that lie on the disk, while an index that took the place of a lost one does not know all yet.
    newest: Option<BTreeMap<CameraId, Segment>>,
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
        let key = Arc::new(BoxKey::load_or_make(&data.join("box.key"), clock.now())?);
        if key.is_new() {
            tracing::info!(key = %key.public().id(), "made the key that clips are signed with");
        }
        let (index, replaced) = check::open_index(&data.join("index.db"), &seal, clock.as_ref())?;
        let mut warnings: Vec<String> = remember_key(&index, &key, clock.as_ref())?.into_iter().collect();
        let volume = Arc::new(open_volume(&index, &data.join("recordings"), clock.as_ref())?);
        let box_key = Some(key.public().id());
        let recovered = check::recover_cameras(&index, &volume, seal.as_ref(), box_key, clock.now())?;
        if recovered.needs_somebody() {
            tracing::error!("cameras after the loss of the index: {recovered}");
            warnings.push(recovered.to_string());
        }
        let newest = find_newest(&index, &volume, clock.as_ref())?;
        let volumes = Volumes::new(volume.id(), volume.root().to_owned());
        volumes.use_mirror(known_mirror(&index, config)?);
        let survey = Mutex::new(Some(Survey::take(&index, data, clock.as_ref())?));
        Ok(Self {
            index,
            volume,
            volumes,
            key,
            survey,
            mended: told_of(replaced.map(|replaced| replaced.to_string()), &recovered),
            warnings,
            seal,
            newest,
            lock,
        })
    }
}

/// What is told of an index that was replaced, and of what came back.
fn told_of(replaced: Option<String>, recovered: &Recovered) -> Option<String> {
    if recovered.is_nothing() {
        return replaced;
    }
    let replaced = replaced.unwrap_or_else(|| "the index was gone; a new one is filled from the recordings".to_owned());
    Some(format!("{replaced}. Cameras: {recovered}"))
}

/// While the index is made whole after a loss, the newest footage of each camera is what lies on the disk.
fn find_newest(
    index: &Index,
    volume: &Volume,
    clock: &dyn Clock,
) -> Result<Option<BTreeMap<CameraId, Segment>>, DaemonError> {
    let cameras = index.read_blocking(|reader| Ok(reader.is_recovering()?.then_some(reader.cameras()?)))?;
    Ok(cameras.map(|cameras| {
        let newest = cameras
            .iter()
            .filter_map(|camera| check::newest_on(volume, &camera.id, clock.now()));
        newest.map(|segment| (segment.camera.clone(), segment)).collect()
    }))
}

/// Remembers the key that signs from now on; when it is another than before, somebody should know.
fn remember_key(index: &Index, key: &BoxKey, clock: &dyn Clock) -> Result<Option<String>, DaemonError> {
    let public = key.public();
    let known = KnownKey {
        id: public.id(),
        public_key: public.to_pem(),
        made_at: public.made_at(),
        first_used_at: clock.now(),
    };
    let before = index.read_blocking(|reader| reader.box_keys())?;
    let is_new = index.write_blocking(move |writer| writer.add_box_key(&known))?;
    Ok((is_new && !before.is_empty()).then(|| {
        format!(
            "clips are signed with another key from now on, {}; put the former box.key back if that was not meant",
            public.id()
        )
    }))
}

impl House {
    /// What lay there before this start; once.
    pub(super) fn take_survey(&self) -> Option<Survey> {
        self.survey.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The newest segment of a camera on the disk, after a loss of the index.
    pub(super) fn newest(&self, camera: &CameraId) -> Option<Segment> {
        self.newest.as_ref()?.get(camera).cloned()
    }

    /// What clips are made with.
    pub(super) fn exporting(
        &self,
        config: &Config,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        edges: Arc<dyn Edges>,
        turns: Turns,
    ) -> Result<Means, DaemonError> {
        Ok(Means {
            index: self.index.clone(),
            volumes: self.volumes.clone(),
            shelf: Shelf::open(&config.storage.data.join("clips"))?,
            catalog,
            clock,
            edges,
            key: self.key.clone(),
            turns,
            longest: config.clips.longest,
            retention: config.clips.retention,
        })
    }
}

impl House {
    /// What gaps are filled with.
    pub(super) fn refilling(
        &self,
        config: &Config,
        catalog: &Arc<Catalog>,
        clock: &Arc<dyn Clock>,
        recorder: &Recorder,
        news: &mpsc::UnboundedSender<News>,
    ) -> Needs {
        // A camera that does not say its zone is taken to be set like the box that stands beside it.
        let zone = local_zone();
        Needs {
            clock: clock.clone(),
            catalog: catalog.clone(),
            index: self.index.clone(),
            volume: self.volume.clone(),
            data: config.storage.data.clone(),
            edges: Arc::new(recorder.clone()),
            news: news.clone(),
            surroundings: Surroundings {
                clock: clock.clone(),
                zone: zone.unwrap_or(chrono_tz::Tz::UTC),
            },
            connect: config.record.connect,
            latency: config.record.latency,
            config: config.refill.clone(),
        }
    }
}

/// Opens the primary volume. Once one is known, no other is taken for it: an empty mount point is not a new disk.
fn open_volume(index: &Index, root: &Path, clock: &dyn Clock) -> Result<Volume, DaemonError> {
    let before = index.read_blocking(|reader| reader.volumes())?;
    let primary = before.iter().rev().find(|volume| volume.role == VolumeRole::Primary);
    let volume = match primary {
        Some(known) => {
            let has_mirror = before.iter().any(|volume| volume.role == VolumeRole::Mirror);
            Volume::open_expected(root, VolumeRole::Primary, known.id).map_err(|error| match error {
                StorageError::VolumeLost { .. } | StorageError::OtherVolume { .. } if has_mirror => {
                    DaemonError::PrimaryLost { source: error }
                }
                error => error.into(),
            })?
        }
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

/// The mirror that was seen last, where the configuration says that it is. Its disk is not asked: it may hang.
fn known_mirror(index: &Index, config: &Config) -> Result<Option<(VolumeId, PathBuf)>, DaemonError> {
    let Some(root) = &config.storage.mirror else {
        return Ok(None);
    };
    let known = index.read_blocking(|reader| reader.volumes())?;
    let mirror = known.into_iter().rev().find(|volume| volume.role == VolumeRole::Mirror);
    Ok(mirror.map(|mirror| (mirror.id, root.clone())))
}

/// Segments and copies that turn out to be others than the index says are told by whoever reads them.
pub(super) fn tell_of_copies(volumes: &Volumes, news: &mpsc::UnboundedSender<News>) {
    let news = news.downgrade();
    volumes.tell(move |segment, finding| {
        if let Some(news) = news.upgrade() {
            // The ingest task lives until the last sender is gone.
            let _ = news.send(match finding {
                Finding::Copy(copy) => News::Copied { segment, copy },
                Finding::Holes(holes) => News::Holed { segment, holes },
            });
        }
    });
}

/// That a disk is full is told again after so long.
const FULL_AGAIN: Duration = Duration::from_secs(600);

/// What a disk refuses while footage is written becomes an event; the file itself is judged when it is closed.
pub(super) fn complain(
    news: &mpsc::UnboundedSender<News>,
    clock: &Arc<dyn Clock>,
    suspects: &Arc<Suspects>,
    retention: &Retention,
) -> Complain {
    let (news, clock, suspects) = (news.downgrade(), clock.clone(), suspects.clone());
    let retention = retention.clone();
    let told_full = Mutex::new(None::<Instant>);
    Arc::new(move |error: StorageError| {
        tracing::error!(%error, "a disk refuses");
        if let StorageError::SyncFailed { path, .. } = &error {
            // The kernel tells a failed sync once; the sync at the close of the file would look well.
            suspects.add(path);
        }
        let kind = if error.fault() == Fault::Full {
            retention.make_room();
            // Every file that is open finds out by itself.
            let now = clock.instant();
            let mut told = told_full.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_some_and(|then| now.since(then) < FULL_AGAIN) {
                return;
            }
            *told = Some(now);
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

/// Who keeps the primary within its rules: those of the configuration, and what a person set since in place of them.
pub(super) async fn keep_primary(config: &Config, house: &House) -> Result<(Retention, Rules), DaemonError> {
    let storage = &config.storage;
    let configured = Rules {
        max_bytes: storage.max_recordings,
        min_free_bytes: storage.min_free_disk,
        keep: None,
    };
    let set = Overrides::load(&house.index).await?;
    if set != Overrides::default() {
        tracing::info!(
            ?set,
            "rules of retention that were set over HTTP hold in place of the configuration's"
        );
    }
    let retention = Retention::new(VolumeRole::Primary, set.over(configured));
    retention.use_volume(Some(house.volume.clone()));
    Ok((retention, configured))
}

pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(DaemonError::System(format!("a task died: {error}"))),
    }
}
