//! The mirror's one task: it keeps the volume, hears what became of second copies, and has done what the plan says.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::desk::{Desk, Wishes};
use super::error::MirrorError;
use super::plan::Limits;
use super::state::Stand;
use super::status::{Status, Tour};
use super::work::Busy;
use crate::index::{Holding, Index};
use crate::model::{News, Timestamp};
use crate::runtime::{Clock, Shutdown};
use crate::storage::{MirrorTold, MirrorWriter, Volume};

/// How often it is looked at what hangs, what is owed, and what there is to do.
const TICK: Duration = Duration::from_millis(250);
/// How long what is being copied may take to stop at the end.
const STOP: Duration = Duration::from_millis(500);
/// How long the last second copies may take to be closed.
const CLOSE: Duration = Duration::from_millis(600);

/// What the engine works with.
pub struct Setting {
    /// Where the mirror is.
    pub root: PathBuf,
    /// What is known.
    pub index: Index,
    /// Where recordings lie first.
    pub primary: Arc<Volume>,
    /// Who writes second copies beside the first ones.
    pub writer: Arc<MirrorWriter>,
    /// Where news go.
    pub news: UnboundedSender<News>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How fast is copied and verified; zero is as fast as the disks are.
    pub bytes_per_second: u64,
    /// Whether clips are being made, which want the disks for themselves.
    pub is_busy: Busy,
    /// Told which volume the mirror is, each time that it is opened, and when it is gone.
    pub opened: Opened,
    /// Asked for room: for something of a start and a size, or because the disk is full.
    pub make_room: MakeRoom,
}

/// Told which volume the mirror is.
pub type Opened = Arc<dyn Fn(Option<&Arc<Volume>>) + Send + Sync>;

/// Asked for room: for something that begins then and is so large, or because the disk is full.
pub type MakeRoom = Arc<dyn Fn(Option<(Timestamp, u64)>) + Send + Sync>;

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// The mirror as others see it. Clones share it.
#[derive(Debug, Clone)]
pub struct Mirror(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    clock: Arc<dyn Clock>,
    status: Mutex<Status>,
    wishes: Mutex<Wishes>,
    limits: Mutex<Option<Limits>>,
    bell: Notify,
}

impl Shared {
    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What retention said since this was asked last.
    pub(super) fn take_limits(&self) -> Option<Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn take_wishes(&self) -> Wishes {
        std::mem::take(&mut *self.wishes())
    }
}

impl Mirror {
    /// How it is.
    pub fn status(&self) -> Status {
        self.0.status().clone()
    }

    /// What retention leaves the mirror from now on.
    pub fn follow(&self, mut limits: Limits) {
        let mut place = self.0.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unheard) = place.take() {
            limits.let_go = limits.let_go.max(unheard.let_go);
            limits.is_changed |= unheard.is_changed;
        }
        *place = Some(limits);
        drop(place);
        self.0.bell.notify_one();
    }

    /// Orders that every copy be read and compared, and what can be healed be healed.
    pub fn verify(&self) -> Result<Status, MirrorError> {
        self.wish("verified", |status| &mut status.verify, |wishes| &mut wishes.verify)
    }

    /// Orders that every copy on the primary that is missing or not trusted be written anew from the mirror.
    pub fn restore(&self) -> Result<Status, MirrorError> {
        self.wish(
            "restored from",
            |status| &mut status.restore,
            |wishes| &mut wishes.restore,
        )
    }

    /// Orders that whatever lies at its root be the mirror from now on: a disk that replaces one that died.
    pub fn replace(&self) -> Result<Status, MirrorError> {
        let status = self.0.status().clone();
        if status.stand != Stand::Absent {
            return Err(MirrorError::There { root: status.root });
        }
        self.0.wishes().replace = true;
        self.0.bell.notify_one();
        Ok(status)
    }

    fn wish(
        &self,
        what: &'static str,
        tour: impl Fn(&mut Status) -> &mut Option<Tour>,
        wish: impl Fn(&mut Wishes) -> &mut bool,
    ) -> Result<Status, MirrorError> {
        let mut status = self.0.status();
        if status.stand == Stand::Absent {
            return Err(MirrorError::Absent {
                root: status.root.clone(),
                reason: status.reason.clone().unwrap_or_default(),
            });
        }
        if tour(&mut status).is_some_and(|tour| tour.is_running()) {
            return Err(MirrorError::Running { what });
        }
        // Whoever looks at once sees it begun; how much there is to do follows.
        let begun = Tour::begin(self.0.clock.now(), status.held.segments);
        *tour(&mut status) = Some(begun);
        *wish(&mut self.0.wishes()) = true;
        self.0.bell.notify_one();
        Ok(status.clone())
    }
}

/// The engine, until it runs.
pub struct Engine {
    desk: Desk,
    told: UnboundedReceiver<MirrorTold>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Puts it together; nothing is asked of any disk before it runs. `told` is what the writer tells.
    pub fn new(setting: Setting, told: UnboundedReceiver<MirrorTold>) -> (Self, Mirror) {
        let now = setting.clock.now();
        let status = Status {
            stand: Stand::Absent,
            since: now,
            reason: None,
            root: setting.root.clone(),
            volume: None,
            total_bytes: 0,
            available_bytes: 0,
            owed: Holding::default(),
            held: Holding::default(),
            copied_segments: 0,
            copied_bytes: 0,
            bytes_per_second: 0.0,
            is_paused: false,
            dropped_bytes: 0,
            left_behind: 0,
            verify: None,
            restore: None,
        };
        let shared = Arc::new(Shared {
            clock: Arc::clone(&setting.clock),
            status: Mutex::new(status),
            wishes: Mutex::default(),
            limits: Mutex::default(),
            bell: Notify::new(),
        });
        let desk = Desk::new(setting, Arc::clone(&shared));
        (Self { desk, told }, Mirror(shared))
    }

    /// Runs until the end is asked for. Afterwards it still hears what becomes of the last second copies, until recording
    /// has ended and they are closed.
    pub async fn run(self, shutdown: Shutdown, recorded: Shutdown) {
        let Self { mut desk, mut told } = self;
        let mut running = None;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = async {
                match running.as_mut() {
                    Some(errand) => super::errand::end_of(errand).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.asked() => break,
                done = done => {
                    running = None;
                    desk.hear_of_errand(done);
                }
                Some(one) = told.recv() => desk.hear(one),
                () = desk.shared.bell.notified() => {
                    desk.take_wishes();
                    desk.follow();
                }
                _ = tick.tick() => desk.look().await,
            }
            if running.is_none() {
                running = desk.next_errand().await;
            }
            desk.show();
        }
        desk.means.stop.store(true, Ordering::Relaxed);
        if let Some(mut errand) = running {
            // A copy that is cut off is made anew; one that was just finished should be known.
            if let Ok(done) = tokio::time::timeout(STOP, super::errand::end_of(&mut errand)).await {
                desk.hear_of_errand(done);
            }
        }
        loop {
            tokio::select! {
                () = recorded.asked() => break,
                Some(one) = told.recv() => desk.hear(one),
            }
        }
        let writer = Arc::clone(&desk.setting.writer);
        let closed = tokio::task::spawn_blocking(move || writer.close(CLOSE)).await;
        if !matches!(closed, Ok(true)) {
            tracing::warn!("the last second copies could not be closed in time; they are made anew at the next start");
        }
        while let Ok(one) = told.try_recv() {
            desk.hear(one);
        }
    }
}
