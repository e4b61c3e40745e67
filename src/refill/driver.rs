//! Begins tries when gaps are due, each camera's one after another, and hears how they end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::error::RefillError;
use super::filling::{Ended, fill};
use super::means::{Means, Needs};
use super::plan::choose;
use super::spool;
use crate::archive::ArchiveError;
use crate::index::{GapFilter, IndexError, Reader};
use crate::model::{Camera, CameraId, Gap, GapFate, GapId, Span, Timestamp};
use crate::runtime::{Instant, Shutdown, Tasks};

/// How often it is looked whether a wait is over. What ends a gap is heard at once.
const LOOK: Duration = Duration::from_secs(5);
/// Pending gaps of a camera that are looked at; the newest, so that what is behind them has its turn when they are dealt with.
const PENDING: u32 = 100;
/// A camera that accepts neither user nor password is not asked for so long: it may lock us out, of its live view too.
const LOCKED_OUT: Duration = Duration::from_secs(600);
/// One that is not there, or a box that cannot.
const LATER: Duration = Duration::from_secs(60);
/// How long tries may take to end when they are not wanted any more.
const END: Duration = Duration::from_millis(800);

/// A try that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Which gap.
    pub gap: GapId,
    /// Since when.
    pub since: Timestamp,
}

/// Who fetches gaps from cameras. Clones share everything.
#[derive(Debug, Clone)]
pub struct Refiller(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) means: Arc<Means>,
    /// What a person wants of which camera, whatever its age and the camera's settings. It is forgotten when we end.
    wishes: Mutex<Vec<Wish>>,
    /// Told when there may be something to do.
    pub(super) stir: Arc<Notify>,
    jobs: Mutex<BTreeMap<CameraId, Job>>,
    held: Mutex<BTreeMap<CameraId, Hold>>,
}

#[derive(Debug)]
struct Job {
    running: Running,
    stop: Shutdown,
}

/// What lacks in a span, whichever gaps it is kept as by then.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    camera: CameraId,
    span: Span,
}

/// A camera that is not asked before a moment, unless its settings change.
#[derive(Debug, Clone, Copy)]
struct Hold {
    until: Instant,
    updated_at: Timestamp,
}

struct Over {
    camera: Camera,
    gap: GapId,
    result: Result<Ended, RefillError>,
}

impl Refiller {
    /// Puts together what gaps are filled with. `stir` is notified when gaps may have changed.
    pub fn new(needs: Needs, stir: Arc<Notify>) -> Self {
        Self(Arc::new(Shared {
            means: Arc::new(Means::new(needs)),
            wishes: Mutex::default(),
            stir,
            jobs: Mutex::default(),
            held: Mutex::default(),
        }))
    }

    /// What is being fetched of a camera at this moment.
    pub fn running(&self, camera: &CameraId) -> Option<Running> {
        lock(&self.0.jobs).get(camera).map(|job| job.running)
    }

    /// How many cameras are fetched from at this moment.
    pub fn count_running(&self) -> usize {
        lock(&self.0.jobs).len()
    }

    /// A person wants what lacks in a span, at once and whatever its age.
    pub fn wish(&self, camera: &CameraId, span: Span) {
        let wish = Wish {
            camera: camera.clone(),
            span,
        };
        let mut wishes = lock(&self.0.wishes);
        if !wishes.contains(&wish) {
            wishes.push(wish);
        }
        drop(wishes);
        lock(&self.0.held).remove(camera);
        self.stir();
    }

    /// Something changed: it is looked now whether there is anything to do.
    pub fn stir(&self) {
        self.0.stir.notify_one();
    }

    /// Fills gaps until the end is asked for.
    pub async fn run(self, shutdown: Shutdown) {
        let data = self.0.means.data.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || spool::sweep(&data)).await {
            tracing::warn!(%error, "what was left of tries could not be removed");
        }
        let mut tasks = Tasks::new();
        let (over, mut ended) = mpsc::unbounded_channel();
        loop {
            if let Err(error) = self.begin_due(&mut tasks, &over).await {
                tracing::warn!(%error, "it cannot be seen which gaps are due");
            }
            tokio::select! {
                () = shutdown.asked() => break,
                Some(end) = ended.recv() => self.hear(end),
                () = self.0.stir.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        for job in lock(&self.0.jobs).values() {
            job.stop.ask();
        }
        if !tasks.join_all(END).await {
            tracing::warn!("a try to fill a gap did not end in time; the next start begins it anew");
        }
    }

    async fn begin_due(&self, tasks: &mut Tasks, over: &mpsc::UnboundedSender<Over>) -> Result<(), IndexError> {
        let wishes = lock(&self.0.wishes).clone();
        let asked = wishes.clone();
        let seen = self.0.means.index.read(move |reader| look(reader, &asked)).await?;
        let Seen {
            cameras,
            pending,
            by_hand,
        } = seen;
        // What nothing is pending of any more is fetched, or given up.
        let is_left = |wish: &Wish| {
            let mut of_it = pending.iter().filter(|gap| gap.camera == wish.camera);
            of_it.any(|gap| gap.span.overlaps(&wish.span))
        };
        lock(&self.0.wishes).retain(|wish| !wishes.contains(wish) || is_left(wish));
        self.drop_unwanted(&cameras, &by_hand);
        let now = self.0.means.clock.now();
        let busy = self.busy(&cameras);
        let running = lock(&self.0.jobs).len();
        let due = choose(&pending, self.0.means.rules, now, running, &busy, &by_hand);
        for gap in due {
            if let Some(camera) = cameras.iter().find(|camera| camera.id == gap.camera) {
                self.begin(tasks, over, camera.clone(), gap.id, now);
            }
        }
        Ok(())
    }

    /// Ends tries of cameras that are gone or switched off meanwhile.
    fn drop_unwanted(&self, cameras: &[Camera], by_hand: &BTreeSet<GapId>) {
        for (id, job) in lock(&self.0.jobs).iter() {
            let camera = cameras.iter().find(|camera| camera.id == *id);
            let is_wanted = camera
                .is_some_and(|camera| camera.is_in_use() && (camera.anr_enabled || by_hand.contains(&job.running.gap)));
            if !is_wanted && !job.stop.is_asked() {
                tracing::info!(camera = %id, gap = job.running.gap.0, "nothing is fetched from this camera any more");
                job.stop.ask();
            }
        }
    }

    /// Cameras that are being asked, or not to be asked yet.
    fn busy(&self, cameras: &[Camera]) -> BTreeSet<CameraId> {
        let now = self.0.means.clock.instant();
        let mut held = lock(&self.0.held);
        held.retain(|id, hold| {
            let camera = cameras.iter().find(|camera| camera.id == *id);
            hold.until > now && camera.is_some_and(|camera| camera.updated_at == hold.updated_at)
        });
        held.keys().chain(lock(&self.0.jobs).keys()).cloned().collect()
    }

    fn begin(
        &self,
        tasks: &mut Tasks,
        over: &mpsc::UnboundedSender<Over>,
        camera: Camera,
        gap: GapId,
        since: Timestamp,
    ) {
        let (stop, over, means) = (Shutdown::new(), over.clone(), Arc::clone(&self.0.means));
        let job = Job {
            running: Running { gap, since },
            stop: stop.clone(),
        };
        lock(&self.0.jobs).insert(camera.id.clone(), job);
        tasks.spawn("refill", async move {
            let work = tokio::task::spawn_blocking(move || fill(&means, gap, &stop));
            let result = work
                .await
                .unwrap_or_else(|error| Err(RefillError::Disk(format!("the try died: {error}"))));
            // Nobody hears it any more when the whole house stops.
            let _ = over.send(Over { camera, gap, result });
        });
    }

    fn hear(&self, over: Over) {
        let Over { camera, gap, result } = over;
        lock(&self.0.jobs).remove(&camera.id);
        let error = match result {
            Ok(Ended::Told(error)) => error,
            Ok(Ended::Nothing) => None,
            Err(error) => Some(error),
        };
        let wait = match &error {
            None | Some(RefillError::Unwanted) => return,
            Some(RefillError::Archive(ArchiveError::Unauthorised(message))) => {
                tracing::warn!(camera = %camera.id, message, minutes = LOCKED_OUT.as_secs() / 60, "the camera is not asked for a while");
                LOCKED_OUT
            }
            Some(error) if !error.counts() => {
                tracing::warn!(camera = %camera.id, gap = gap.0, %error, "a gap could not be tried");
                LATER
            }
            Some(_) => return,
        };
        let hold = Hold {
            until: self.0.means.clock.instant().plus(wait),
            updated_at: camera.updated_at,
        };
        lock(&self.0.held).insert(camera.id, hold);
    }
}

/// What there is to be done.
struct Seen {
    /// The cameras that may be asked.
    cameras: Vec<Camera>,
    /// Their gaps that may be filled.
    pending: Vec<Gap>,
    /// Those of them that a person wants.
    by_hand: BTreeSet<GapId>,
}

fn look(reader: &Reader<'_>, wishes: &[Wish]) -> Result<Seen, IndexError> {
    let mut cameras = reader.cameras()?;
    cameras.retain(Camera::is_in_use);
    let mut pending = Vec::new();
    for camera in cameras.iter().filter(|camera| camera.anr_enabled) {
        let filter = GapFilter {
            camera: Some(camera.id.clone()),
            fate: Some(GapFate::Pending),
            after: None,
        };
        pending.extend(reader.gaps(&filter, PENDING)?);
    }
    let mut by_hand = BTreeSet::new();
    for wish in wishes
        .iter()
        .filter(|wish| cameras.iter().any(|camera| camera.id == wish.camera))
    {
        let mut wanted = reader.gaps_within(&wish.camera, wish.span)?;
        wanted.retain(|gap| gap.fate == GapFate::Pending && !gap.open);
        by_hand.extend(wanted.iter().map(|gap| gap.id));
        pending.extend(wanted);
    }
    Ok(Seen {
        cameras,
        pending,
        by_hand,
    })
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
