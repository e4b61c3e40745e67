//! What is made whole after a start: what the last process left behind, and what went with an index that was lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use super::error::DaemonError;
use super::house::House;
use crate::check::{self, Check, Mode, Recovered};
use crate::config::Config;
use crate::index::{Index, IndexError};
use crate::model::{Event, EventKind, Fingerprint, GapCause, News, Seal, SegmentId, Timestamp, counted};
use crate::pipeline::Catalog;
use crate::record::{Left, Recorder, divide_absence, explain_absence};
use crate::runtime::{Clock, Shutdown, pause, spawn_thread};
use crate::storage::Volume;
use crate::timeline::recover_gaps;

/// How often it is looked whether cameras have come back, or were told to be lost, since the index was lost.
const LOOK: Duration = Duration::from_secs(1);

/// Who mends, and what it needs.
pub(super) struct Mending {
    pub(super) catalog: Arc<Catalog>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) recorder: Recorder,
    pub(super) news: mpsc::WeakUnboundedSender<News>,
    /// Notified when cameras have changed.
    pub(super) changed: Arc<Notify>,
    pub(super) shutdown: Shutdown,
}

/// Mends what the last process left behind, on a thread of its own; then looks through the mirror, if there is one. A
/// mirror that hangs holds up nothing but that thread. What went with an index that was lost is made again last.
pub(super) fn mend(house: &House, config: &Config, with: Mending) -> Result<Option<JoinHandle<()>>, DaemonError> {
    let Some(survey) = house.take_survey() else {
        return Ok(None);
    };
    let before = survey.taken_at;
    let last_told: Arc<Mutex<Option<SegmentId>>> = Arc::default();
    let check_of = {
        let (index, clock, shutdown) = (house.index.clone(), with.clock.clone(), with.shutdown.clone());
        let (news, last_told, catalog) = (with.news.clone(), last_told.clone(), with.catalog.clone());
        move |volume: Arc<Volume>| {
            let (news, last_told) = (news.clone(), last_told.clone());
            Check {
                index: index.clone(),
                volume,
                catalog: catalog.clone(),
                clock: clock.clone(),
                shutdown: shutdown.clone(),
                mode: Mode::Mend,
                tell: Box::new(move |item| {
                    if let News::Closed(segment) = &item {
                        *last_told.lock().unwrap_or_else(PoisonError::into_inner) = Some(segment.id);
                    }
                    if let Some(news) = news.upgrade() {
                        // The ingest task lives until the last sender is gone.
                        let _ = news.send(item);
                    }
                }),
            }
        }
    };
    let first = check_of(house.volume.clone()).start(survey)?;
    let recovery = Recovery {
        index: house.index.clone(),
        seal: house.seal.clone(),
        box_key: house.key.public().id(),
        with,
        runtime: Handle::current(),
    };
    let (root, volumes) = (config.storage.mirror.clone(), house.volumes.clone());
    let work = move || {
        let (index, shutdown) = (&recovery.index, &recovery.with.shutdown);
        let is_written = || {
            let told = *last_told.lock().unwrap_or_else(PoisonError::into_inner);
            told.is_none_or(|told| check::wait_until_written(index, told, shutdown)) && !shutdown.is_asked()
        };
        // What was mended on the primary has to be known before a file on the mirror is judged by it.
        if first.join().is_err() || !is_written() {
            return;
        }
        let mut is_all = true;
        if let Some(root) = root {
            let opening = {
                let (index, root, clock) = (index.clone(), root.clone(), recovery.with.clock.clone());
                volumes.beside_the_mirror(move || check::open_mirror(&index, &root, clock.as_ref(), true))
            };
            match opening {
                Some(Ok(Some(mirror))) => {
                    volumes.use_mirror(Some((mirror.id(), root)));
                    let mirror = Arc::new(mirror);
                    recovery.cameras_from(&mirror);
                    check_of(mirror).run_on_mirror(before);
                    if !is_written() {
                        return;
                    }
                }
                // A first mirror, which holds nothing yet.
                Some(Ok(None)) => {}
                Some(Err(error)) => {
                    is_all = false;
                    tracing::warn!(%error, "the mirror is not checked");
                }
                None => {
                    is_all = false;
                    tracing::warn!(root = %root.display(), "the mirror does not answer; it is not checked");
                }
            }
        }
        if let Err(error) = recovery.gaps(is_all) {
            tracing::error!(%error, "gaps could not be made again after the loss of the index; the next start tries again");
        }
    };
    spawn_thread("check-mirror", work)
        .map(Some)
        .map_err(|error| DaemonError::System(format!("no thread for checking: {error}")))
}

/// What is made again after the index was lost.
struct Recovery {
    index: Index,
    seal: Arc<dyn Seal>,
    box_key: Fingerprint,
    with: Mending,
    runtime: Handle,
}

impl Recovery {
    /// Cameras of which the mirror tells more than the primary did.
    fn cameras_from(&self, mirror: &Volume) {
        let now = self.with.clock.now();
        let outcome = check::recover_cameras(&self.index, mirror, self.seal.as_ref(), Some(self.box_key), now);
        let adopted = outcome.map_err(DaemonError::from).and_then(|recovered| {
            if !recovered.is_nothing() {
                self.tell(&recovered);
                self.adopt(&recovered, now)?;
                self.with.changed.notify_one();
            }
            Ok(())
        });
        if let Err(error) = adopted {
            tracing::error!(%error, "cameras could not be made again from what the mirror tells");
        }
    }

    fn adopt(&self, recovered: &Recovered, now: Timestamp) -> Result<(), DaemonError> {
        let _inside = self.runtime.enter();
        for id in &recovered.whole {
            let asked = id.clone();
            let known = self.index.read_blocking(move |reader| {
                let schedules = reader.schedules(&asked)?;
                Ok(reader.camera(&asked)?.map(|camera| (camera, schedules)))
            })?;
            if let Some((camera, schedules)) = known {
                tracing::info!(camera = %id, %now, "recorded again, by the settings that lie on the mirror");
                self.with.recorder.adopt(camera, None, schedules);
            }
        }
        Ok(())
    }

    /// Kept gaps, once all footage is known. `is_all` says whether every volume was asked.
    fn gaps(&self, is_all: bool) -> Result<(), IndexError> {
        if !self.index.read_blocking(|reader| reader.is_recovering())? {
            return Ok(());
        }
        let mut count = 0;
        loop {
            let found = recover_gaps(&self.index, self.with.clock.now(), divide_absence)?;
            count += found.gaps;
            if found.is_all || self.with.shutdown.is_asked() {
                break;
            }
            pause(LOOK);
        }
        if self.with.shutdown.is_asked() {
            return Ok(());
        }
        if is_all {
            self.index.write_blocking(|writer| writer.end_recovery())?;
            self.with.changed.notify_one();
        }
        if count > 0 {
            tracing::info!(gaps = count, "gaps were made again from what lies on the disk");
            self.happened(EventKind::IndexMended, {
                let kept = counted(count, "gap is", "gaps are");
                format!("{kept} kept again, as far as the recordings show; why nobody knows")
            });
        }
        Ok(())
    }

    fn tell(&self, recovered: &Recovered) {
        let message = format!("Cameras, from the mirror: {recovered}");
        if recovered.needs_somebody() {
            tracing::error!("cameras after the loss of the index: {recovered}");
            self.happened(EventKind::RecorderError, message);
        } else {
            self.happened(EventKind::IndexMended, message);
        }
    }

    fn happened(&self, kind: EventKind, message: String) {
        if let Some(news) = self.with.news.upgrade() {
            // The ingest task lives until the last sender is gone.
            let _ = news.send(News::Happened(Event {
                at: self.with.clock.now(),
                kind,
                camera: None,
                message,
            }));
        }
    }
}

/// Begins recording every camera, and tells what is missing since its last frame.
pub(super) async fn adopt(
    house: &House,
    recorder: &Recorder,
    news: &mpsc::UnboundedSender<News>,
    clock: &dyn Clock,
) -> Result<(), DaemonError> {
    let known = house
        .index
        .read(|reader| {
            let cameras = reader.cameras()?.into_iter();
            cameras
                .map(|camera| {
                    let id = &camera.id;
                    let left = Left {
                        covered_until: reader.covered_until(id)?,
                        resting_since: reader.resting_since(id)?,
                    };
                    Ok((left, reader.last_segment(id)?, reader.schedules(id)?, camera))
                })
                .collect::<Result<Vec<_>, IndexError>>()
        })
        .await?;
    for (mut left, mut last, schedules, camera) in known {
        let newest = house.newest(&camera.id);
        // After a loss of the index nobody knows why camkeep ended.
        let cause = newest.as_ref().map_or(GapCause::Killed, |_| GapCause::Unknown);
        if let Some(newest) = newest.filter(|newest| left.covered_until.is_none_or(|until| until < newest.span.end)) {
            left.covered_until = Some(newest.span.end);
            // What an old index says of its time says nothing of what came after.
            left.resting_since = left.resting_since.filter(|since| *since >= newest.span.end);
            last = Some(newest);
        }
        for item in explain_absence(&camera, &schedules, left, cause, clock.now()) {
            // The ingest task lives until the last sender is gone.
            let _ = news.send(item);
        }
        if camera.recovered {
            tracing::error!(camera = %camera.id, "not recorded: it was made again from its recordings, and its URL is not known");
        } else {
            recorder.adopt(camera, last, schedules);
        }
    }
    Ok(())
}
