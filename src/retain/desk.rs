//! What a volume's task knows, and its look at the disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::ages::Ages;
use super::driver::{Newcomer, Setting, Shared, Word};
use super::rules::Measure;
use super::telling::Told;
use crate::model::{Timestamp, VolumeRole};
use crate::runtime::{Instant, Shutdown, spawn_thread};
use crate::storage::{Space, StorageError, Volume};

/// How often every rule is applied.
const EVERY: Duration = Duration::from_secs(60);
/// How long nothing is tried again when nothing could go.
const REST: Duration = Duration::from_secs(10);
/// What was freed and does not show yet is taken for freed so long: some file systems take their time.
const UNSEEN: Duration = Duration::from_secs(30);

pub(super) struct Desk {
    pub(super) setting: Setting,
    pub(super) shared: Arc<Shared>,
    pub(super) shutdown: Shutdown,
    pub(super) volume: Option<Arc<Volume>>,
    pub(super) ages: Ages,
    pub(super) told: Told,
    pub(super) space: Space,
    pub(super) measure: Measure,
    /// What was freed and does not show in the free space yet.
    pub(super) unseen: (u64, Instant),
    pub(super) newcomer: Option<Newcomer>,
    pub(super) cutoff: Timestamp,
    pub(super) let_go: Option<Timestamp>,
    pub(super) is_changed: bool,
    /// Whether room is wanted and nothing may go.
    pub(super) is_stuck: bool,
    /// What is remembered of how long old footage has waited.
    pub(super) kept_waited: Duration,
    /// What recordings take; nothing before that was read.
    pub(super) held_bytes: Option<u64>,
    pass_at: Instant,
    rest_until: Instant,
}

impl Desk {
    pub(super) async fn new(setting: Setting, shared: Arc<Shared>, shutdown: Shutdown) -> Self {
        let (wall, instant) = (setting.clock.now(), setting.clock.instant());
        let key = waited_key(setting.role);
        let waited = setting.index.read(move |reader| reader.meta(key)).await.ok().flatten();
        let waited = waited.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let space = Space {
            total_bytes: 0,
            available_bytes: 0,
        };
        Self {
            ages: Ages::new(wall, instant, waited.unwrap_or_default()),
            measure: Measure::new(&setting.rules, space, None),
            setting,
            shared,
            shutdown,
            volume: None,
            told: Told::default(),
            space,
            unseen: (0, instant),
            newcomer: None,
            cutoff: Timestamp::MIN,
            let_go: None,
            is_changed: false,
            is_stuck: false,
            kept_waited: waited.unwrap_or_default(),
            held_bytes: None,
            pass_at: instant,
            rest_until: instant,
        }
    }

    /// One look at orders and at the disk, and a pass when it is time.
    pub(super) async fn turn(&mut self) {
        let instant = self.setting.clock.instant();
        let orders = self.shared.take_orders();
        if let Some(volume) = orders.volume {
            self.volume = volume;
            self.pass_at = instant;
        }
        if let Some(rules) = orders.rules {
            self.setting.rules = rules;
            self.pass_at = instant;
        }
        self.newcomer = orders.newcomer.or(self.newcomer);
        if orders.is_full {
            (self.unseen.0, self.rest_until) = (0, instant);
        }
        let Some(volume) = self.volume.clone() else { return };
        match on_the_disk(move || look(&volume)).await {
            Ok(space) => self.space = space,
            Err(error) => return self.tell_unseen(&error),
        }
        self.take_measure();
        if self.measure.is_lowered() {
            // What was written since the last pass may be what others seem to take.
            self.count_held().await;
            self.take_measure();
        }
        self.ages.hear(self.setting.clock.now(), instant);
        let is_short = self.short() > 0 && instant >= self.rest_until;
        if instant >= self.pass_at || is_short || self.newcomer.is_some() {
            let is_full_pass = instant >= self.pass_at;
            match self.pass(is_full_pass).await {
                Ok(()) if self.is_stuck => self.rest_until = instant.plus(REST),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, role = self.setting.role.as_str(), "nothing could be let go; it is tried again");
                    self.rest_until = instant.plus(Duration::from_secs(1));
                }
            }
            if is_full_pass {
                self.pass_at = instant.plus(EVERY);
                self.keep_reserve().await;
            }
            self.newcomer = None;
        }
        self.show();
        (self.setting.hears)(Word {
            floor_bytes: self.measure.floor_bytes,
            max_bytes: self.setting.rules.max_bytes,
            cutoff: self.cutoff,
            let_go: self.let_go.take(),
            is_changed: std::mem::take(&mut self.is_changed),
            problem: self.measure.problem.as_ref().map(|problem| problem.text.clone()),
            is_stuck: self.is_stuck,
        });
    }

    /// How much room recordings take now; as before where the index does not answer.
    async fn count_held(&mut self) {
        let role = self.setting.role;
        let counted = self.setting.index.read(move |reader| match role {
            VolumeRole::Primary => Ok(reader.recorded()?.iter().map(|one| one.bytes).sum()),
            VolumeRole::Mirror => Ok(reader.held_on_mirrors()?.bytes),
        });
        if let Ok(bytes) = counted.await {
            self.held_bytes = Some(bytes);
        }
    }

    /// What the rules mean on the disk as it is now.
    pub(super) fn take_measure(&mut self) {
        self.measure = Measure::new(&self.setting.rules, self.space, self.held_bytes);
    }

    /// How much more should be free than is, as far as can be seen and was not freed a moment ago.
    pub(super) fn short(&self) -> u64 {
        let (unseen, since) = self.unseen;
        let is_recent = self.setting.clock.instant().since(since) < UNSEEN;
        self.measure
            .short(self.space)
            .saturating_sub(if is_recent { unseen } else { 0 })
    }

    /// Room for the index, once there is room.
    async fn keep_reserve(&self) {
        let Some(reserve) = self.setting.reserve.clone() else {
            return;
        };
        let total = self.space.total_bytes;
        if self.space.available_bytes >= self.measure.floor_bytes {
            let filled = on_the_disk(move || reserve.fill(total)).await;
            if let Err(error) = filled {
                tracing::debug!(%error, "there is no reserve for the index");
            }
        }
    }
}

fn look(volume: &Volume) -> Result<Space, StorageError> {
    volume.check_present()?;
    volume.free_space()
}

pub(super) fn waited_key(role: VolumeRole) -> &'static str {
    match role {
        VolumeRole::Primary => "retention_waited_s",
        VolumeRole::Mirror => "mirror_retention_waited_s",
    }
}

/// Does work on a disk, which may hang, on a thread of its own.
pub(super) async fn on_the_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let (tell, told) = oneshot::channel();
    let no_thread = |error| StorageError::io("begin a thread for", std::path::Path::new("retention"), error);
    let thread = spawn_thread("retain", move || {
        // Whoever ordered it may have ended.
        let _ = tell.send(work());
    })
    .map_err(no_thread)?;
    let done = told.await;
    // It has sent its last word, so this takes no time.
    let _ = thread.join();
    done.unwrap_or_else(|_| Err(no_thread(std::io::Error::other("it died"))))
}
