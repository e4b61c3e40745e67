//! What the mirror's task sees of the disk: it opens the volume, and gives it up when something hangs or refuses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::desk::Desk;
use super::keeper::{HANG, Sight, Which, does_not_answer};
use crate::index::{IndexError, KnownVolume};
use crate::model::{Timestamp, VolumeRole};
use crate::runtime::Instant;
use crate::storage::{Space, Volume};

/// A call to the mirror that takes longer while copying is taken for a disk that died: a sync of a large file takes its time.
const COPY_HANG: Duration = Duration::from_secs(30);
/// Rows forgotten of a replaced mirror at a time.
const FORGET: u32 = 500;
/// The seconds over which the rate is told.
const RATE: Duration = Duration::from_secs(10);

/// What of the mirror is never copied because room was wanted for what is newer: kept over restarts.
const HORIZON: &str = "mirror_horizon_ns";

impl Desk {
    /// Looks at the disk, at what is owed, and at the clock.
    pub(super) async fn look(&mut self) {
        let instant = self.instant();
        self.settling.retain(|_, until| instant < *until);
        self.resting.retain(|_, until| instant < *until);
        self.look_for_hangs(instant);
        let writer_is_free = self.setting.writer.busy_for().is_none_or(|time| time < HANG);
        if self.keeper.may_open(instant) && writer_is_free {
            self.open(instant).await;
        }
        match self.keeper.look(instant) {
            None => {}
            Some(Sight::Seen(space)) => self.space = space,
            Some(Sight::Gone(reason)) => self.gone(&reason),
            Some(Sight::Opened(volume, space)) => {
                if let Err(error) = self.opened(&volume, space).await {
                    self.lose(&format!("it is there, but the index does not take that: {error}"));
                }
            }
        }
        if instant >= self.count_at {
            self.count(instant).await;
        }
        self.rates
            .push_back((instant, self.means.moved_bytes.load(Ordering::Relaxed)));
        while self.rates.front().is_some_and(|(at, _)| instant.since(*at) > RATE) {
            self.rates.pop_front();
        }
    }

    /// A call to the disk that does not come back is a disk that is gone, whoever made it.
    fn look_for_hangs(&mut self, instant: Instant) {
        if self.keeper.volume().is_none() {
            return;
        }
        if let Some(time) = self.setting.writer.busy_for().filter(|time| *time >= HANG) {
            return self.lose(&does_not_answer(time));
        }
        let since = self.means.asked_since.load(Ordering::Relaxed);
        let time = instant.since(Instant(since));
        let is_hung = since > 0 && time >= COPY_HANG;
        if is_hung && !self.is_copy_hung {
            self.left_behind += 1;
            self.lose(&does_not_answer(time));
        }
        self.is_copy_hung = is_hung;
    }

    async fn open(&mut self, instant: Instant) {
        let known = self.setting.index.read(|reader| reader.volumes()).await;
        let which = match known {
            Err(error) => return self.lose(&format!("the index does not say which volume it is: {error}")),
            Ok(known) => {
                let mut newest = known.iter().rev().filter(|volume| volume.role == VolumeRole::Mirror);
                match newest.next().filter(|_| !self.is_replacing) {
                    Some(mirror) => Which::Known(mirror.id),
                    None => Which::Any(self.now()),
                }
            }
        };
        if let Some(Sight::Gone(reason)) = self.keeper.open(instant, which) {
            self.gone(&reason);
        }
    }

    async fn opened(&mut self, volume: &Arc<Volume>, space: Space) -> Result<(), IndexError> {
        let (id, now) = (volume.id(), self.now());
        let row = KnownVolume {
            id,
            role: VolumeRole::Mirror,
            root: self.setting.root.display().to_string(),
            created_at: now,
        };
        let index = &self.setting.index;
        let (former, horizon) = index
            .write(move |writer| {
                let known = writer.volumes()?;
                writer.put_volume(&row)?;
                let mirrors = known.into_iter().filter(|known| known.role == VolumeRole::Mirror);
                let former: Vec<_> = mirrors.map(|known| known.id).filter(|known| *known != id).collect();
                Ok((former, writer.meta(HORIZON)?))
            })
            .await?;
        for former in former {
            let mut after = None;
            loop {
                let page = index.write(move |writer| writer.forget_mirror(former, after.as_deref(), FORGET));
                after = page.await?;
                if after.is_none() {
                    break;
                }
            }
        }
        self.held = index.read(|reader| reader.held_on_mirrors()).await?;
        (self.space, self.volume_id, self.is_replacing) = (space, Some(id), false);
        self.full_until = None;
        let kept = horizon.and_then(|text| text.parse().ok()).map(Timestamp::from_nanos);
        self.horizon = kept.unwrap_or(Timestamp::MIN);
        if volume.shares_disk_with(&self.setting.primary) {
            let root = self.setting.root.display();
            tracing::warn!(%root, "the mirror is on the same disk as the recordings: both are lost together; give it its own");
        }
        self.setting.writer.use_volume(Some(Arc::clone(volume)));
        (self.setting.opened)(Some(volume));
        self.standing.open(now);
        // What it lacks is known before anybody hears that it is there.
        self.count_at = Instant::default();
        tracing::info!(root = %self.setting.root.display(), id = %id.0, "the mirror is there");
        Ok(())
    }

    /// Remembers over restarts from when on copies are made.
    pub(super) fn keep_horizon(&self) {
        let horizon = self.horizon.as_nanos().to_string();
        self.setting
            .index
            .write_later("what the mirror has no room for", move |writer| {
                writer.set_meta(HORIZON, &horizon)
            });
    }

    /// The mirror is no good any more, as somebody who used it found out.
    pub(super) fn lose(&mut self, reason: &str) {
        let instant = self.instant();
        self.keeper.lose(instant);
        self.gone(reason);
    }

    fn gone(&mut self, reason: &str) {
        self.setting.writer.use_volume(None);
        (self.setting.opened)(None);
        if self.standing.reason() != Some(reason) {
            tracing::warn!(root = %self.setting.root.display(), reason, "the mirror takes no copies");
        }
        let told = self.standing.lose(self.now(), reason);
        self.tell(told);
    }
}
