//! The task of a volume: it looks at the disk each second, and lets footage go each minute, or as soon as room is wanted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::desk::Desk;
use super::rules::Rules;
use super::status::Status;
use crate::index::Index;
use crate::model::{News, Timestamp, VolumeRole};
use crate::runtime::{Clock, Shutdown};
use crate::storage::{Reserve, Volume};

/// How often the disk is looked at.
const TICK: Duration = Duration::from_secs(1);

/// What the task works with.
pub struct Setting {
    /// What is known.
    pub index: Index,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where news go.
    pub news: UnboundedSender<News>,
    /// Which of the volumes it is.
    pub role: VolumeRole,
    /// What a person set.
    pub rules: Rules,
    /// What is spent when the index has no room to write.
    pub reserve: Option<Reserve>,
    /// Told after each look.
    pub hears: Hears,
}

/// Whoever writes to the volume and should know what goes.
pub type Hears = Arc<dyn Fn(Word) + Send + Sync>;

/// What whoever writes to the volume should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// So much stays free.
    pub floor_bytes: u64,
    /// Most that may be held.
    pub max_bytes: Option<u64>,
    /// What ends here or earlier is too old to be kept.
    pub cutoff: Timestamp,
    /// When the newest began that was let go for room since the last word.
    pub let_go: Option<Timestamp>,
    /// Whether anything went since the last word.
    pub is_changed: bool,
    /// Why the disk cannot keep its rules.
    pub problem: Option<String>,
    /// Whether room is wanted and nothing may go for it.
    pub is_stuck: bool,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting")
            .field("role", &self.role)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Something that is to be written and does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newcomer {
    pub(super) start: Timestamp,
    pub(super) size_bytes: u64,
}

/// What is ordered.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// Where the volume is from now on.
    pub(super) volume: Option<Option<Arc<Volume>>>,
    /// What a person set.
    pub(super) rules: Option<Rules>,
    /// A disk refused for want of room.
    pub(super) is_full: bool,
    /// Room is wanted for this.
    pub(super) newcomer: Option<Newcomer>,
}

#[derive(Debug)]
pub(super) struct Shared {
    status: Mutex<Status>,
    orders: Mutex<Orders>,
    bell: Notify,
}

impl Shared {
    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_orders(&self) -> Orders {
        std::mem::take(&mut *self.orders())
    }
}

/// A volume's retention as others see it. Clones share it.
#[derive(Debug, Clone)]
pub struct Retention(Arc<Shared>);

impl Retention {
    /// One whose task does not run yet.
    pub fn new(role: VolumeRole, rules: Rules) -> Self {
        Self(Arc::new(Shared {
            status: Mutex::new(Status::new(role, rules)),
            orders: Mutex::default(),
            bell: Notify::new(),
        }))
    }

    /// How the volume stands to its rules.
    pub fn status(&self) -> Status {
        self.0.status().clone()
    }

    /// Where the volume is from now on; nothing while it is not there.
    pub fn use_volume(&self, volume: Option<Arc<Volume>>) {
        self.order(|orders| orders.volume = Some(volume));
    }

    /// What a person set from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.0.status().rules = rules;
        self.order(|orders| orders.rules = Some(rules));
    }

    /// A disk refused for want of room: room is made at once.
    pub fn make_room(&self) {
        self.order(|orders| orders.is_full = true);
    }

    /// Room is wanted for footage of this start and size; what is older gives way to it.
    pub fn make_room_for(&self, start: Timestamp, size_bytes: u64) {
        self.order(|orders| orders.newcomer = Some(Newcomer { start, size_bytes }));
    }

    fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.0.orders());
        self.0.bell.notify_one();
    }

    pub(super) async fn desk(&self, setting: Setting, shutdown: Shutdown) -> Desk {
        Desk::new(setting, Arc::clone(&self.0), shutdown).await
    }

    /// Looks after the volume until the end is asked for.
    pub async fn run(self, setting: Setting, shutdown: Shutdown) {
        let mut desk = self.desk(setting, shutdown.clone()).await;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.asked() => return,
                () = self.0.bell.notified() => {}
                _ = tick.tick() => {}
            }
            desk.turn().await;
        }
    }
}
