//! What the mirror's task knows, and what it hears and sees.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::driver::{Setting, Shared};
use super::errand::{Errand, size_of};
use super::keeper::{HANG, Keeper, Sight, Which, does_not_answer};
use super::plan::{Ages, Room};
use super::state::{Standing, Tell};
use super::status::Tour;
use super::tours::Walk;
use super::work::{Means, Volumes};
use crate::index::{Holding, IndexError, KnownVolume};
use crate::model::{Copy, CopyState, Event, EventKind, Fault, News, Segment, SegmentId, Timestamp, VolumeId, VolumeRole};
use crate::runtime::Instant;
use crate::storage::{MirrorTold, Space, StorageError, Volume};

/// A call to the mirror that takes longer while copying is taken for a disk that died: a sync of a large file takes its time.
const COPY_HANG: Duration = Duration::from_secs(30);
/// How long a copy that was told of may take to be in the index.
const SETTLE: Duration = Duration::from_secs(30);
/// How long a segment is left alone that could not be copied.
const REST: Duration = Duration::from_secs(600);
/// Most segments that are left alone; more than that are tried again sooner.
const MOST_RESTING: usize = 10_000;
/// What is owed is counted this often, and never for more than a fiftieth of the time.
const COUNT: Duration = Duration::from_millis(500);
/// What is held is known from what is done; it is counted anew this often all the same.
const RECOUNT: Duration = Duration::from_secs(60);
/// Rows forgotten of a replaced mirror at a time.
const FORGET: u32 = 500;
/// The seconds over which the rate is told.
const RATE: Duration = Duration::from_secs(10);

/// What of the mirror is never copied because room was wanted for what is newer: kept over restarts.
const HORIZON: &str = "mirror_horizon_ns";

/// What people ordered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes {
    pub(super) verify: bool,
    pub(super) restore: bool,
    pub(super) replace: bool,
}

/// What the mirror's task knows.
pub(super) struct Desk {
    pub(super) setting: Setting,
    pub(super) shared: Arc<Shared>,
    pub(super) means: Means,
    pub(super) keeper: Keeper,
    pub(super) standing: Standing,
    pub(super) ages: Ages,
    pub(super) are_ages_known: bool,
    volume_id: Option<VolumeId>,
    is_replacing: bool,
    pub(super) space: Space,
    pub(super) owed: Holding,
    pub(super) held: Holding,
    count_at: Instant,
    recount_at: Instant,
    /// What begins here or earlier is not copied any more.
    pub(super) horizon: Timestamp,
    /// The oldest that may be copied now.
    pub(super) due: VecDeque<Segment>,
    /// What was told of and may not be in the index yet.
    settling: HashMap<SegmentId, Instant>,
    /// What could not be copied.
    resting: HashMap<SegmentId, Instant>,
    pub(super) full_until: Option<Instant>,
    pub(super) retain_at: Instant,
    /// What a walk found and is to be put right at once.
    pub(super) urgent: VecDeque<Errand>,
    pub(super) verify: Option<Walk>,
    pub(super) restore: Option<Walk>,
    dropped_bytes: u64,
    left_behind: u64,
    is_copy_hung: bool,
    rates: VecDeque<(Instant, u64)>,
}

impl Desk {
    pub(super) fn new(setting: Setting, shared: Arc<Shared>) -> Self {
        let (wall, instant) = (setting.clock.now(), setting.clock.instant());
        Self {
            means: Means {
                clock: Arc::clone(&setting.clock),
                bytes_per_second: setting.rules.bytes_per_second,
                is_busy: Arc::clone(&setting.is_busy),
                stop: Arc::new(AtomicBool::new(false)),
                moved_bytes: Arc::new(AtomicU64::new(0)),
                asked_since: Arc::new(AtomicU64::new(0)),
            },
            keeper: Keeper::new(&setting.root),
            standing: Standing::new(wall),
            ages: Ages::new(wall, instant),
            are_ages_known: false,
            volume_id: None,
            is_replacing: false,
            space: Space {
                total_bytes: 0,
                available_bytes: 0,
            },
            owed: Holding::default(),
            held: Holding::default(),
            count_at: instant,
            recount_at: instant,
            horizon: Timestamp::MIN,
            due: VecDeque::new(),
            settling: HashMap::new(),
            resting: HashMap::new(),
            full_until: None,
            retain_at: instant,
            urgent: VecDeque::new(),
            verify: None,
            restore: None,
            dropped_bytes: 0,
            left_behind: 0,
            is_copy_hung: false,
            rates: VecDeque::new(),
            setting,
            shared,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.setting.clock.now()
    }

    pub(super) fn instant(&self) -> Instant {
        self.setting.clock.instant()
    }

    pub(super) fn room(&self) -> Room {
        Room {
            held_bytes: self.held.bytes,
            available_bytes: self.space.available_bytes,
        }
    }

    /// What begins here or earlier is too old for the mirror, as far as ages are known.
    pub(super) fn cutoff(&self) -> Timestamp {
        if self.are_ages_known {
            self.setting.rules.cutoff(self.now())
        } else {
            Timestamp::MIN
        }
    }

    pub(super) fn volumes(&self) -> Option<Volumes> {
        Some(Volumes {
            primary: Arc::clone(&self.setting.primary),
            mirror: Arc::clone(self.keeper.volume()?),
        })
    }

    /// Takes what people ordered.
    pub(super) async fn take_wishes(&mut self) {
        let wishes = self.shared.take_wishes();
        if wishes.replace {
            tracing::info!(root = %self.setting.root.display(), "whatever lies there is the mirror from now on");
            self.is_replacing = true;
        }
        let now = self.now();
        if wishes.verify {
            self.verify = Some(Walk::begin(Tour::begin(now, self.held.segments)));
        }
        if wishes.restore {
            let ailing = self.setting.index.read(|reader| reader.count_ailing()).await;
            self.restore = Some(Walk::begin(Tour::begin(now, ailing.unwrap_or_default())));
        }
    }

    /// What became of a second copy.
    pub(super) fn hear(&mut self, told: MirrorTold) {
        match told {
            MirrorTold::Kept { segment, copy } => self.tell_copy(segment, copy),
            MirrorTold::Missed { .. } => {
                let dropped = self.setting.writer.dropped_bytes();
                let more = dropped.saturating_sub(std::mem::replace(&mut self.dropped_bytes, dropped));
                // Without a mirror every file is missed, and one that was begun before it was there is no loss of it.
                if more > 0 && self.keeper.volume().is_some() {
                    let reason = format!(
                        "its disk does not keep up with what is recorded: {more} bytes did not get there at once and are \
                         copied afterwards"
                    );
                    let told = self.standing.miss(self.now(), &reason);
                    self.tell(told);
                }
            }
            MirrorTold::Refused(error) => self.refused(&error),
        }
    }

    /// The mirror's disk refused something. One that is full is there all the same.
    pub(super) fn refused(&mut self, error: &StorageError) {
        if error.fault() != Fault::Full {
            return self.lose(&error.to_string());
        }
        self.retain_at = self.instant();
        let told = self.standing.miss(self.now(), &error.to_string());
        self.tell(told);
    }

    /// A copy was made, or what is known of one has changed.
    pub(super) fn tell_copy(&mut self, segment: SegmentId, copy: Copy) {
        let is_whole = copy.state == CopyState::Whole;
        let is_on_mirror = Some(copy.volume) == self.volume_id;
        if is_whole && is_on_mirror {
            self.held.segments += 1;
            self.held.bytes += copy.size_bytes;
        }
        if is_whole == is_on_mirror {
            // It is owed no more as soon as the index knows.
            self.settle(segment);
        }
        // The ingest task lives until all is told.
        let _ = self.setting.news.send(News::Copied { segment, copy });
    }

    /// A segment could not be copied: the next ones are tried before it is tried again.
    pub(super) fn rest(&mut self, segment: SegmentId) {
        if self.resting.len() < MOST_RESTING {
            self.resting.insert(segment, self.instant().plus(REST));
        }
    }

    /// It was told of, whatever became of it: the index knows it in a moment.
    pub(super) fn settle(&mut self, segment: SegmentId) {
        self.settling.insert(segment, self.instant().plus(SETTLE));
    }

    /// Whether a segment may be copied now.
    pub(super) fn is_due(&self, segment: &Segment) -> bool {
        !self.is_settling(segment) && !self.resting.contains_key(&segment.id)
    }

    /// Whether it is known in a moment whether a segment is owed at all.
    fn is_settling(&self, segment: &Segment) -> bool {
        let mut paths = segment.copies.iter().map(|copy| copy.path.as_str());
        self.settling.contains_key(&segment.id) || paths.any(|path| self.setting.writer.is_writing(path))
    }

    /// Looks at the disk, at what is owed, and at the clock.
    pub(super) async fn look(&mut self) {
        let (now, instant) = (self.now(), self.instant());
        self.are_ages_known = self.ages.are_known(now, instant);
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
        self.rates.push_back((instant, self.means.moved_bytes.load(Ordering::Relaxed)));
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
                let mirrors = known.iter().filter(|volume| volume.role == VolumeRole::Mirror);
                match mirrors.last().filter(|_| !self.is_replacing) {
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
        let left = self.setting.rules.left(self.room());
        // With a tenth of it free, what was passed over for want of room has room.
        let is_roomy = left > self.held.bytes.saturating_add(left) / 10;
        let kept = horizon.and_then(|text| text.parse().ok()).map(Timestamp::from_nanos);
        self.horizon = kept.filter(|_| !is_roomy).unwrap_or(Timestamp::MIN);
        self.setting.writer.use_volume(Some(Arc::clone(volume)));
        self.standing.open(now);
        self.count_at = self.instant();
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
        if self.standing.reason() != Some(reason) {
            tracing::warn!(root = %self.setting.root.display(), reason, "the mirror takes no copies");
        }
        let told = self.standing.lose(self.now(), reason);
        self.tell(told);
    }

    /// Counts what is owed, and finds the oldest of it.
    async fn count(&mut self, instant: Instant) {
        let since = self.horizon.max(self.cutoff());
        let recount = instant >= self.recount_at;
        let counted = self.setting.index.read(move |reader| {
            let held = recount.then(|| reader.held_on_mirrors()).transpose()?;
            Ok((reader.owed(since)?, reader.owed_segments(since, None, PAGE)?, held))
        });
        let (owed, page, held) = match counted.await {
            Ok(counted) => counted,
            Err(error) => {
                tracing::warn!(%error, "it cannot be told what the mirror lacks; it is asked again");
                self.count_at = instant.plus(SETTLE);
                return;
            }
        };
        let done = self.instant();
        self.count_at = done.plus(COUNT.max(done.since(instant) * 50));
        if let Some(held) = held {
            (self.held, self.recount_at) = (held, done.plus(RECOUNT));
        }
        self.owed = owed;
        let settling: Vec<u64> = page
            .iter()
            .filter(|segment| self.is_settling(segment))
            .map(size_of)
            .collect();
        self.owed.segments = owed.segments.saturating_sub(settling.len() as u64);
        self.owed.bytes = owed.bytes.saturating_sub(settling.iter().sum());
        if self.owed.segments == 0 {
            self.owed = Holding::default();
        }
        self.due = page.into_iter().filter(|segment| self.is_due(segment)).collect();
        if self.due.is_empty() && self.owed.segments > u64::from(PAGE) {
            self.look_behind_those_that_rest(since).await;
        }
        let told = self.standing.owe(self.now(), self.owed.segments);
        self.tell(told);
    }

    /// A page of what cannot be copied now must not hide what can.
    async fn look_behind_those_that_rest(&mut self, since: Timestamp) {
        let mut after = None;
        for _ in 0..PAGES {
            let page = self.setting.index.read(move |reader| reader.owed_segments(since, after, PAGE));
            let Ok(page) = page.await else { return };
            let Some(last) = page.last() else { return };
            after = Some((last.span.start, last.id));
            self.due = page.into_iter().filter(|segment| self.is_due(segment)).collect();
            if !self.due.is_empty() {
                return;
            }
        }
    }

    /// Tells people.
    pub(super) fn tell(&mut self, told: Option<Tell>) {
        let Some(told) = told else { return };
        let (kind, message) = match told {
            Tell::Lost(reason) => {
                let root = self.setting.root.display();
                let rest = "recording goes on; what the mirror misses is copied to it when it can take it";
                (EventKind::MirrorLost, format!("the mirror {root}: {reason}; {rest}"))
            }
            Tell::CaughtUp { segments, bytes, took } => {
                let (megabytes, seconds) = (bytes as f64 / 1e6, took.as_secs_f64());
                let message = format!(
                    "the mirror has everything again: {segments} segments ({megabytes:.1} MB) were copied, {seconds:.0} s \
                     after the trouble began"
                );
                (EventKind::MirrorCaughtUp, message)
            }
        };
        tracing::info!(message, "the mirror");
        let event = Event {
            at: self.now(),
            kind,
            camera: None,
            message,
        };
        // The ingest task lives until all is told.
        let _ = self.setting.news.send(News::Happened(event));
    }

    /// Puts what is known where everybody can see it.
    pub(super) fn show(&self) {
        let rate = match (self.rates.front(), self.rates.back()) {
            (Some((from, before)), Some((to, after))) if to > from => {
                after.saturating_sub(*before) as f64 / to.since(*from).as_secs_f64()
            }
            _ => 0.0,
        };
        let mut status = self.shared.status();
        status.stand = self.standing.stand();
        status.since = self.standing.since();
        status.reason = self.standing.reason().map(str::to_owned);
        status.volume = self.volume_id;
        status.total_bytes = self.space.total_bytes;
        status.available_bytes = self.space.available_bytes;
        status.owed = self.owed;
        status.held = self.held;
        status.bytes_per_second = rate;
        status.is_paused = self.owed.segments > 0 && (self.setting.is_busy)();
        status.dropped_bytes = self.setting.writer.dropped_bytes();
        status.left_behind = self.left_behind + self.keeper.left_behind();
        // One that was ordered a moment ago is shown as begun, and not as the one before it that is over.
        let ordered = self.shared.wishes();
        if let Some(walk) = self.verify.as_ref().filter(|_| !ordered.verify) {
            status.verify = Some(walk.tour);
        }
        if let Some(walk) = self.restore.as_ref().filter(|_| !ordered.restore) {
            status.restore = Some(walk.tour);
        }
    }
}

/// Segments that are looked at in one go.
const PAGE: u32 = 128;
/// How many such pages are looked through when all of one has to wait.
const PAGES: u32 = 32;
