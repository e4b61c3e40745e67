//! A pass: what the volume holds is read, what goes is planned, and it goes a batch at a time, the rows first.

use std::collections::HashMap;
use std::time::Duration;

use super::ages::AT_ONCE;
use super::desk::{Desk, on_the_disk, waited_key};
use super::plan::{Going, Lane, Plan, Want, Why, plan};
use crate::index::{Gone, Index, IndexError, LetGo, Lettable, Reader, Recorded};
use crate::model::{Camera, CameraId, Fault, SegmentId, Timestamp, VolumeId, VolumeRole};

/// Copies of a camera that are looked at in one go.
const PAGE: u32 = 128;
/// Rows that go in one transaction, so that whoever else writes waits only a moment.
const BATCH: usize = 64;
/// The same when the index has no room but the reserve.
const SMALL_BATCH: usize = 8;
/// How much longer old footage has waited when that is remembered.
const KEEP: Duration = Duration::from_secs(300);
/// How often a pass plans again, before others have their turn.
const ROUNDS: u32 = 64;
/// What is recorded a day is told as of so long.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The directory of a day is removed when it is empty and so old that nobody writes there.
const DAY_IS_OVER: Duration = Duration::from_secs(48 * 3600);

/// Whose footage a lane is.
#[derive(Debug, Clone)]
enum Owner {
    Camera(CameraId),
    Mirror,
}

/// What went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Went {
    pub(super) segments: u64,
    pub(super) bytes: u64,
    pub(super) by_age: u64,
    pub(super) last_copies: u64,
}

/// What is known at the beginning of a pass.
struct Known {
    recorded: Vec<Recorded>,
    cameras: HashMap<CameraId, Camera>,
    on_mirror: crate::index::Holding,
    bytes_per_day: u64,
}

impl Desk {
    /// Applies every rule once.
    pub(super) async fn pass(&mut self, is_full: bool) -> Result<(), IndexError> {
        let Some(volume) = self.volume.as_ref().map(|volume| volume.id()) else {
            return Ok(());
        };
        let now = self.setting.clock.now();
        let known = self
            .setting
            .index
            .read(move |reader| know(reader, is_full.then_some(now)))
            .await?;
        if is_full && self.setting.role == VolumeRole::Primary {
            let newest = known.recorded.iter().filter_map(|one| one.newest).max();
            self.end_expired_holds(newest).await?;
        }
        let (owners, mut lanes) = self.lanes(&known);
        self.held_bytes = Some(lanes.iter().map(|lane| lane.held_bytes).sum());
        self.take_measure();
        let mut went = Went::default();
        let mut is_stuck = false;
        for _ in 0..ROUNDS {
            if self.shutdown.is_asked() {
                break;
            }
            let cutoff = self.cutoff;
            lanes = read_pages(&self.setting.index, owners.clone(), lanes, cutoff).await?;
            let Plan {
                going,
                is_cut_short,
                lacking_bytes,
            } = plan(&lanes, &self.wants());
            let gone = self.let_go_all(volume, &going, &mut lanes, &mut went).await?;
            if !is_cut_short || gone == 0 {
                is_stuck = lacking_bytes > 0;
                break;
            }
        }
        self.is_stuck = is_stuck;
        self.is_changed |= went.segments > 0;
        self.held_bytes = Some(lanes.iter().map(|lane| lane.held_bytes).sum());
        self.take_measure();
        self.note(&known, &lanes, went, is_full);
        self.tell_pass(went).await;
        Ok(())
    }

    fn wants(&self) -> Vec<Want> {
        let all = Want {
            cap_bytes: self.setting.rules.max_bytes,
            short_bytes: self.short(),
            before: None,
        };
        let newcomer = self.newcomer.map(|new| Want {
            cap_bytes: all.cap_bytes.map(|cap| cap.saturating_sub(new.size_bytes)),
            short_bytes: self
                .measure
                .floor_bytes
                .saturating_add(new.size_bytes)
                .saturating_sub(self.space.available_bytes),
            before: Some(new.start),
        });
        std::iter::once(all).chain(newcomer).collect()
    }

    /// The lanes without their pages, and the age of each.
    fn lanes(&mut self, known: &Known) -> (Vec<Owner>, Vec<Lane>) {
        let newest = known
            .recorded
            .iter()
            .filter_map(|one| one.newest)
            .max()
            .max(known.on_mirror.newest);
        let reference = self.ages.reference(newest);
        let cutoff = |keep: Option<Duration>| reference.zip(keep).map(|(reference, keep)| reference.minus(keep));
        let hours = |hours: u32| Duration::from_secs(u64::from(hours) * 3600);
        let (owners, mut lanes, oldest): (Vec<_>, Vec<_>, Vec<_>) = match self.setting.role {
            VolumeRole::Mirror => {
                let own = Lane {
                    held_bytes: known.on_mirror.bytes,
                    cutoff: cutoff(self.setting.rules.keep),
                    ..Lane::default()
                };
                (vec![Owner::Mirror], vec![own], vec![known.on_mirror.oldest])
            }
            VolumeRole::Primary => {
                let of_camera = known.recorded.iter().map(|recorded| {
                    let camera = known.cameras.get(&recorded.camera);
                    let minimum = hours(camera.map_or(0, |camera| camera.minimum_hours));
                    let keep = camera.and_then(|camera| camera.retention_hours).map(hours);
                    let until = reference.or(newest);
                    let lane = Lane {
                        held_bytes: recorded.bytes,
                        cutoff: cutoff(keep.map(|keep| keep.max(minimum))),
                        young_after: until.filter(|_| !minimum.is_zero()).map(|until| until.minus(minimum)),
                        quota_bytes: camera.and_then(|camera| camera.storage_quota_bytes),
                        ..Lane::default()
                    };
                    (Owner::Camera(recorded.camera.clone()), lane, recorded.oldest)
                });
                let mut parts = (Vec::new(), Vec::new(), Vec::new());
                for (owner, lane, oldest) in of_camera {
                    parts.0.push(owner);
                    parts.1.push(lane);
                    parts.2.push(oldest);
                }
                parts
            }
        };
        let too_old = |lane: &Lane, oldest: &Option<Timestamp>| {
            let span = lane.cutoff.zip(*oldest).map(|(cutoff, oldest)| cutoff.since(oldest));
            span.unwrap_or_default()
        };
        let spans: Vec<Duration> = lanes
            .iter()
            .zip(&oldest)
            .map(|(lane, oldest)| too_old(lane, oldest))
            .collect();
        let longest = spans.iter().copied().max().unwrap_or_default();
        self.shared.status().lag = longest;
        if !self.ages.may_go(longest) {
            let much = lanes.iter_mut().zip(&spans).filter(|(_, span)| **span > AT_ONCE);
            much.for_each(|(lane, _)| lane.cutoff = None);
        }
        self.keep_waited();
        if self.setting.role == VolumeRole::Mirror {
            self.cutoff = lanes.first().and_then(|lane| lane.cutoff).unwrap_or(Timestamp::MIN);
        }
        (owners, lanes)
    }

    /// Remembers over restarts how long old footage waits.
    fn keep_waited(&mut self) {
        let waited = self.ages.waited();
        let (now, kept) = (waited.unwrap_or_default(), self.kept_waited);
        if now.abs_diff(kept) >= KEEP || (now.is_zero() && !kept.is_zero()) {
            self.kept_waited = now;
            let (key, seconds) = (waited_key(self.setting.role), now.as_secs().to_string());
            self.setting
                .index
                .write_later("how long old footage waits", move |writer| {
                    writer.set_meta(key, &seconds)
                });
        }
        self.tell_waiting(waited);
    }

    /// Lets go what is planned, and says how much of it went: what somebody reads or holds by now stays.
    async fn let_go_all(
        &mut self,
        volume: VolumeId,
        going: &[Going],
        lanes: &mut [Lane],
        went: &mut Went,
    ) -> Result<u64, IndexError> {
        let mut count = 0;
        let mut rest = going;
        let mut batch = BATCH;
        while !rest.is_empty() && !self.shutdown.is_asked() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            let what: Vec<LetGo> = now.iter().map(|going| self.way(going, volume)).collect();
            let written = self
                .setting
                .index
                .write(move |writer| {
                    let gone = what.into_iter().map(|one| writer.let_go(one));
                    Ok(gone
                        .collect::<Result<Vec<_>, _>>()?
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>())
                })
                .await;
            let gone = match written {
                Ok(gone) => gone,
                Err(error) if error.fault() == Fault::Full && batch == BATCH && self.spend_reserve().await => {
                    batch = SMALL_BATCH;
                    continue;
                }
                Err(error) => return Err(error),
            };
            rest = later;
            count += gone.len() as u64;
            self.account(now, &gone, lanes, went).await;
            self.remove_files(volume, now, gone).await;
        }
        Ok(count)
    }

    fn way(&self, going: &Going, volume: VolumeId) -> LetGo {
        match self.setting.role {
            VolumeRole::Primary => LetGo::OfPrimary(going.what.segment),
            VolumeRole::Mirror => LetGo::OfMirror(going.what.segment, volume, going.why == Why::Age),
        }
    }

    async fn spend_reserve(&self) -> bool {
        let Some(reserve) = self.setting.reserve.clone() else {
            return false;
        };
        on_the_disk(move || Ok(reserve.spend())).await.unwrap_or(false)
    }

    async fn account(&mut self, batch: &[Going], gone: &[Gone], lanes: &mut [Lane], went: &mut Went) {
        for going in batch {
            let Some(one) = gone.iter().find(|gone| gone.segment == going.what.segment) else {
                continue;
            };
            let Lettable { start, size_bytes, .. } = going.what;
            if let Some(lane) = lanes.get_mut(going.lane) {
                lane.held_bytes = lane.held_bytes.saturating_sub(size_bytes);
            }
            went.segments += 1;
            went.bytes += size_bytes;
            went.by_age += u64::from(going.why == Why::Age);
            went.last_copies += u64::from(one.was_last);
            if going.why != Why::Age {
                self.let_go = self.let_go.max(Some(start));
            }
        }
    }

    /// Removes the files of rows that went, and looks what that freed.
    async fn remove_files(&mut self, volume: VolumeId, batch: &[Going], gone: Vec<Gone>) {
        let Some(disk) = self.volume.clone() else { return };
        let is_over = self.setting.clock.now().minus(DAY_IS_OVER);
        let ends: HashMap<SegmentId, Lettable> = batch.iter().map(|going| (going.what.segment, going.what)).collect();
        let freed: u64 = gone
            .iter()
            .filter_map(|gone| ends.get(&gone.segment))
            .map(|what| what.size_bytes)
            .sum();
        let before = self.space.available_bytes;
        let removed = on_the_disk(move || {
            for one in gone.iter().filter(|one| one.volume == volume) {
                match disk.remove(&one.path) {
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, "the file of a recording that was let go stays; the next start finds it");
                        continue;
                    }
                }
                if ends.get(&one.segment).is_some_and(|what| what.end < is_over)
                    && let Err(error) = disk.remove_empty_directory(&one.path)
                {
                    tracing::debug!(%error, "an empty directory stays");
                }
            }
            disk.free_space()
        })
        .await;
        match removed {
            Ok(space) => {
                let seen = space.available_bytes.saturating_sub(before);
                // What does not show was written meanwhile, or the file system or a reader has it still.
                let hidden = freed.saturating_sub(seen);
                let much = if hidden > freed / 4 { hidden } else { 0 };
                self.unseen = (much, self.setting.clock.instant());
                self.space = space;
            }
            Err(error) => self.tell_unseen(&error),
        }
    }

    fn note(&mut self, known: &Known, lanes: &[Lane], went: Went, is_full: bool) {
        let is_mirror = self.setting.role == VolumeRole::Mirror;
        let held = known.on_mirror.segments;
        let mut status = self.shared.status();
        status.deleted_segments += went.segments;
        status.deleted_bytes += went.bytes;
        status.held_bytes = lanes.iter().map(|lane| lane.held_bytes).sum();
        let segments = known.recorded.iter().map(|one| one.segments).sum::<u64>();
        status.held_segments = (if is_mirror { held } else { segments }).saturating_sub(went.segments);
        let newest = known.recorded.iter().filter_map(|one| one.newest).max();
        let oldest = known.recorded.iter().filter_map(|one| one.oldest).min();
        status.newest = if is_mirror { known.on_mirror.newest } else { newest };
        status.oldest = if is_mirror { known.on_mirror.oldest } else { oldest };
        if is_full {
            status.bytes_per_day = known.bytes_per_day;
        }
        if !is_mirror {
            let cameras = known.recorded.iter().map(|one| one.camera.clone()).zip(lanes);
            status.cameras = cameras.map(|(camera, lane)| (camera, lane.held_bytes)).collect();
        }
        status.passed_at = Some(self.setting.clock.now());
    }
}

/// Reads what a pass goes by; with a moment, also what was recorded in the day before it.
fn know(reader: &Reader<'_>, now: Option<Timestamp>) -> Result<Known, IndexError> {
    let recorded = reader.recorded()?;
    let cameras = reader.cameras()?.into_iter().chain(reader.deleted_cameras()?);
    let mut bytes_per_day = 0;
    if let Some(now) = now {
        let (mut bytes, mut first) = (0u64, None::<Timestamp>);
        for one in &recorded {
            let (own, begins) = reader.recorded_since(&one.camera, now.minus(DAY))?;
            bytes += own;
            first = [first, begins].into_iter().flatten().min();
        }
        let span = first.map_or(Duration::ZERO, |first| now.since(first)).min(DAY);
        if span > Duration::ZERO {
            bytes_per_day = (bytes as f64 * (DAY.as_secs_f64() / span.as_secs_f64())) as u64;
        }
    }
    Ok(Known {
        recorded,
        cameras: cameras.map(|camera| (camera.id.clone(), camera)).collect(),
        on_mirror: reader.held_on_mirrors()?,
        bytes_per_day,
    })
}

/// Fills the lanes with the oldest that each may give.
async fn read_pages(
    index: &Index,
    owners: Vec<Owner>,
    mut lanes: Vec<Lane>,
    cutoff: Timestamp,
) -> Result<Vec<Lane>, IndexError> {
    index
        .read(move |reader| {
            for (owner, lane) in owners.iter().zip(&mut lanes) {
                lane.oldest = match owner {
                    Owner::Camera(camera) => reader.lettable_on_primary(camera, None, PAGE)?,
                    Owner::Mirror => reader.lettable_on_mirror(cutoff, None, PAGE)?,
                };
                lane.is_all = lane.oldest.len() < PAGE as usize;
            }
            Ok(lanes)
        })
        .await
}
