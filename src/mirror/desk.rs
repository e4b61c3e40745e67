//! What the mirror's task knows, and what it hears and sees.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use super::driver::{Setting, Shared};
use super::errand::Errand;
use super::keeper::Keeper;
use super::plan::{Limits, Room};
use super::state::{Standing, Tell};
use super::status::Tour;
use super::tours::Walk;
use super::work::{Means, Volumes};
use crate::index::Holding;
use crate::model::{Copy, CopyState, Event, EventKind, Fault, News, Segment, SegmentId, Timestamp, VolumeId};
use crate::runtime::Instant;
use crate::storage::{MirrorTold, Space, StorageError};

/// How long a copy that was told of may take to be in the index.
pub(super) const SETTLE: Duration = Duration::from_secs(30);
/// How long a segment is left alone that could not be copied.
const REST: Duration = Duration::from_secs(600);
/// Most segments that are left alone; more than that are tried again sooner.
const MOST_RESTING: usize = 10_000;

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
    /// What retention leaves; nothing is copied before that is known.
    pub(super) limits: Option<Limits>,
    pub(super) volume_id: Option<VolumeId>,
    pub(super) is_replacing: bool,
    pub(super) space: Space,
    pub(super) owed: Holding,
    pub(super) held: Holding,
    pub(super) count_at: Instant,
    pub(super) recount_at: Instant,
    /// What begins here or earlier is not copied any more.
    pub(super) horizon: Timestamp,
    /// The oldest that may be copied now.
    pub(super) due: VecDeque<Segment>,
    /// What was told of and may not be in the index yet.
    pub(super) settling: HashMap<SegmentId, Instant>,
    /// What could not be copied.
    pub(super) resting: HashMap<SegmentId, Instant>,
    pub(super) full_until: Option<Instant>,
    /// What a walk found and is to be put right at once.
    pub(super) urgent: VecDeque<Errand>,
    pub(super) verify: Option<Walk>,
    pub(super) restore: Option<Walk>,
    overflowed: u64,
    pub(super) left_behind: u64,
    pub(super) is_copy_hung: bool,
    pub(super) rates: VecDeque<(Instant, u64)>,
}

impl Desk {
    pub(super) fn new(setting: Setting, shared: Arc<Shared>) -> Self {
        let (wall, instant) = (setting.clock.now(), setting.clock.instant());
        Self {
            means: Means {
                clock: Arc::clone(&setting.clock),
                bytes_per_second: setting.bytes_per_second,
                is_busy: Arc::clone(&setting.is_busy),
                stop: Arc::new(AtomicBool::new(false)),
                moved_bytes: Arc::new(AtomicU64::new(0)),
                asked_since: Arc::new(AtomicU64::new(0)),
            },
            keeper: Keeper::new(&setting.root),
            standing: Standing::new(wall),
            limits: None,
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
            urgent: VecDeque::new(),
            verify: None,
            restore: None,
            overflowed: 0,
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

    /// What ends here or earlier is too old for the mirror.
    pub(super) fn cutoff(&self) -> Timestamp {
        self.limits.as_ref().map_or(Timestamp::MIN, |limits| limits.cutoff)
    }

    pub(super) fn volumes(&self) -> Option<Volumes> {
        Some(Volumes {
            primary: Arc::clone(&self.setting.primary),
            mirror: Arc::clone(self.keeper.volume()?),
        })
    }

    /// Takes what people ordered.
    pub(super) fn take_wishes(&mut self) {
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
            self.restore = Some(Walk::begin(Tour::begin(now, self.held.segments)));
        }
    }

    /// What became of a second copy.
    pub(super) fn hear(&mut self, told: MirrorTold) {
        match told {
            MirrorTold::Kept { segment, copy } => self.tell_copy(segment, copy),
            // Without a mirror every file is missed, and one that was begun before it was there is no loss of it.
            MirrorTold::Missed { .. } => {
                let overflowed = self.setting.writer.overflowed_files();
                let more = overflowed.saturating_sub(std::mem::replace(&mut self.overflowed, overflowed));
                if more > 0 && self.keeper.volume().is_some() {
                    let reason = "its disk does not keep up with what is recorded, so that copies are made afterwards";
                    let told = self.standing.miss(self.now(), reason);
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
        (self.setting.make_room)(None);
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
    pub(super) fn is_settling(&self, segment: &Segment) -> bool {
        let mut paths = segment.copies.iter().map(|copy| copy.path.as_str());
        self.settling.contains_key(&segment.id) || paths.any(|path| self.setting.writer.is_writing(path))
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
                let word = if segments == 1 { "segment was" } else { "segments were" };
                let message = format!(
                    "the mirror has everything again: {segments} {word} copied ({megabytes:.1} MB), {seconds:.0} s \
                     after the trouble began"
                );
                (EventKind::MirrorCaughtUp, message)
            }
        };
        tracing::info!("{message}");
        let event = Event {
            at: self.now(),
            kind,
            camera: None,
            message,
        };
        // The ingest task lives until all is told.
        let _ = self.setting.news.send(News::Happened(event));
    }
}
