//! One run: what comes in at the tap is counted, dated, and cut into segments.
//!
//! Everything here is called on GStreamer's threads and does arithmetic under a short lock; only `place`, called on the
//! thread that writes files, touches a disk.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::model::{Codec, Loss, Pace, RunId, Segment, SegmentId, Timestamp, TrackCaps, Unit, VideoFormat};
use crate::runtime::{Clock, Instant};
use crate::storage::{Anchor, JournalHeader, MirrorLane, Syncer, TailLane, Volume};

use super::clockmap::ClockMap;
use super::counts::Pulse;
use super::damage::Damage;
use super::door::{Door, Terms};
use super::group::{Group, Overrun};
use super::piece::{Origins, Piece};
use super::relay::{Doubled, Line, Relay};
use super::setting::Setting;
use super::tail::Strand;
use super::ticks::Ticks;

/// What a run tells its driver.
#[derive(Debug)]
pub(super) enum RunNews {
    /// The run's first frame came, whether it is written or held.
    Began,
    /// A segment's first frame goes to the writer.
    Opened(Segment),
    /// It is the first after a while in which nothing was written.
    Resumed,
    /// What was written is at its end, at this moment; from here on frames are only held.
    Held(Timestamp),
    /// Its file is open.
    Placed(Segment),
    /// A file is closed; the segment is as it will be, but for hash and size.
    Closed(Segment, PathBuf),
    /// The run is no good any more.
    Lost(Loss, String),
    /// The camera's timestamps jumped by so many seconds, so that this run cannot go on.
    Jumped(i64),
    /// Whether the camera's timestamps are believed from here on; frames are dated by their arrival where they are not.
    Ticks(bool),
    /// The camera sends no keyframe at which a segment could be cut.
    Overrun(Overrun),
    /// The camera sends another codec than was believed; nothing if it is none that can be recorded.
    OtherCodec(Option<Codec>),
    /// Sound is not recorded, for this reason.
    SoundTrouble(String),
    /// The camera gives nothing when it is asked for sound, for this reason.
    SoundRefused(String),
    /// Something a person should know, which cost nothing.
    Odd(String),
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    /// What it is called by its camera's task. Its first segments carry it too, until the clock is set.
    id: RunId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) volume: Arc<Volume>,
    /// Where each unit goes at once, so that a kill loses next to nothing.
    pub(super) lane: Option<TailLane>,
    /// Where the bytes of its files go as well; nothing on a box without a mirror.
    pub(super) mirror: Option<MirrorLane>,
    /// Whether they are wanted there, from the next file on.
    is_mirrored: AtomicBool,
    pub(super) syncer: Arc<Syncer>,
    /// Where each unit goes as well, written or not.
    pub(super) tail: Strand,
    tell: UnboundedSender<(RunId, RunNews)>,
    pub(super) pulse: Pulse,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) origins: Arc<Origins>,
    pub(super) map: ClockMap,
    pub(super) ticks: Ticks,
    /// By how much the ticks of the unit that comes have jumped, in nanoseconds, so that this run cannot go on.
    pub(super) jumped: Option<i64>,
    /// Another run is to take over from this one, and what it may still take back.
    pub(super) gives: Option<(Arc<Relay>, Line)>,
    /// This run is to take over from another.
    pub(super) takes: Option<Arc<Relay>>,
    /// The journal of the run that this one took over from, until it is shortened by what this one's has.
    pub(super) doubled: Option<Doubled>,
    /// Footage before this is there already.
    pub(super) floor: Option<Timestamp>,
    /// The wall clock was set: the next keyframe that comes begins a run with a map of its own.
    pub(super) redate: bool,
    /// Running time of that keyframe, until it is written.
    pub(super) redated: Option<i64>,
    /// The wall clock at running time 0 as the journal knows it.
    pub(super) told_zero: Option<Timestamp>,
    pub(super) format: Option<VideoFormat>,
    pub(super) caps: TrackCaps,
    /// The next unit goes into a new branch, and so into a new file.
    pub(super) is_new_branch: bool,
    pub(super) segment: Duration,
    pub(super) pieces: VecDeque<Piece>,
    /// What usually lies between two frames that are written.
    pub(super) pace: Pace,
    pub(super) sequence: u32,
    /// A run that jumped or ended takes nothing more.
    pub(super) over: bool,
    /// Whether it was said what comes.
    pub(super) is_announced: bool,
    /// Whether a unit has come.
    pub(super) has_begun: bool,
    pub(super) door: Door,
    /// How much of the past the gate has to hold.
    pub(super) memory: Duration,
    /// The next unit that is written is the first after a while, or ever.
    pub(super) is_fresh: bool,
    /// Running time at which writing last ended, and its wall clock.
    pub(super) shut: Option<(i64, Timestamp)>,
    /// Running time of the first unit since, and its wall clock once that segment is closed.
    pub(super) began: Option<(i64, Option<Timestamp>)>,
    /// End of the last frame of the run so far.
    pub(super) last_end: Option<Timestamp>,
    pub(super) damage: Damage,
    pub(super) group: Group,
}

impl Run {
    pub(super) fn new(
        origins: Origins,
        setting: &Setting,
        lane: Option<TailLane>,
        terms: Terms,
        tell: UnboundedSender<(RunId, RunNews)>,
    ) -> Self {
        let (clock, volume, syncer) = (setting.clock.clone(), setting.volume.clone(), setting.syncer.clone());
        let id = origins.run;
        let inner = Inner {
            origins: Arc::new(origins),
            gives: None,
            takes: terms.takes,
            doubled: None,
            floor: terms.floor,
            redate: false,
            redated: None,
            map: ClockMap::new(clock.now(), clock.instant()).by(terms.source),
            ticks: Ticks::new(terms.ticks_are_believed),
            jumped: None,
            told_zero: None,
            format: None,
            caps: TrackCaps::default(),
            is_new_branch: false,
            segment: terms.segment,
            pieces: VecDeque::new(),
            pace: Pace::default(),
            sequence: 0,
            over: false,
            is_announced: false,
            has_begun: false,
            door: if terms.writes { Door::Open } else { Door::Shut },
            memory: terms.memory,
            is_fresh: true,
            shut: None,
            began: None,
            last_end: None,
            damage: Damage::default(),
            group: Group::default(),
        };
        Self {
            id,
            clock,
            volume,
            lane,
            mirror: setting.mirror.as_ref().map(|mirror| mirror.lane()),
            is_mirrored: AtomicBool::new(terms.mirrored),
            syncer,
            tail: terms.tail,
            tell,
            pulse: Pulse::of(terms.counts),
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn id(&self) -> RunId {
        self.id
    }

    /// The run cannot go on, or not even begin.
    pub(super) fn is_broken(&self, why: String) {
        self.tell(RunNews::Lost(Loss::Broken, why));
    }

    /// From here on segments are this long.
    pub(super) fn set_segment(&self, segment: Duration) {
        self.lock().segment = segment;
    }

    /// Whether the next file is written to the mirror too.
    pub(super) fn is_mirrored(&self) -> bool {
        self.is_mirrored.load(Ordering::Relaxed)
    }

    /// From the next file on this is so.
    pub(super) fn set_mirrored(&self, mirrored: bool) {
        self.is_mirrored.store(mirrored, Ordering::Relaxed);
    }

    /// Nothing more is taken; the last segment ends with its last frame.
    pub(super) fn finish(&self) {
        let mut inner = self.lock();
        inner.over = true;
        let Inner {
            map,
            pieces,
            last_end,
            damage,
            ..
        } = &mut *inner;
        if let Some(piece) = pieces.back_mut().filter(|piece| !piece.is_finished()) {
            // The pictures of which they were never came either.
            piece.lost_packets += damage.take_all();
            piece.finish(map, None);
            *last_end = Some(piece.span(map).end);
        }
    }

    /// Segments that have no file and never will, once the pipeline is down: not even the journal has them.
    pub(super) fn unwritten(&self) -> Vec<SegmentId> {
        let inner = self.lock();
        let nowhere = inner
            .pieces
            .iter()
            .filter(|piece| piece.file.is_none() && self.lane.is_none());
        nowhere.map(|piece| piece.id).collect()
    }

    /// Whether every segment's file is closed.
    pub(super) fn is_settled(&self) -> bool {
        self.lock().pieces.is_empty()
    }

    /// The first frame that was written since nothing was.
    pub(super) fn began_at(&self) -> Option<Timestamp> {
        let inner = self.lock();
        let (pts, at) = inner.began?;
        let growing = || {
            let piece = inner.pieces.iter().find(|piece| piece.first_pts == pts)?;
            Some(piece.start(&inner.map))
        };
        at.or_else(growing)
    }

    /// Whether the clock map has settled, so that the run's first frame does not move any more.
    pub(super) fn has_settled_clock(&self) -> bool {
        self.lock().map.is_settled()
    }

    /// Whether frames are dated by the camera's timestamps.
    pub(super) fn believes_ticks(&self) -> bool {
        self.lock().ticks.are_believed()
    }

    /// The end of the last frame so far.
    pub(super) fn covered_until(&self) -> Option<Timestamp> {
        let inner = self.lock();
        inner
            .pieces
            .back()
            .map(|piece| piece.span(&inner.map).end)
            .or(inner.last_end)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic on another thread left numbers behind, not broken promises.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, news: RunNews) {
        // Fails when the driver is gone, and then nobody cares.
        let _ = self.tell.send((self.id, news));
    }

    /// A unit comes that goes on with what is written: the segment that grows is told of the pause in front of it, also when
    /// it ends there, and of pauses in front of earlier units that are known only now.
    pub(super) fn tell_pauses(inner: &mut Inner, unit: &Unit) {
        let found = inner.pace.came(unit.pts, unit.dts);
        if let Some(piece) = inner.pieces.back_mut().filter(|piece| !piece.is_finished()) {
            found.into_iter().for_each(|pause| piece.add_pause(pause));
        }
    }

    /// A segment begins with a unit, and the one before ends there. `start` is its wall clock where that is known already.
    pub(super) fn begin_piece(
        &self,
        inner: &mut Inner,
        format: VideoFormat,
        unit: &Unit,
        mut start: Option<Timestamp>,
        now: Instant,
    ) {
        if let Some(last) = inner.pieces.back_mut().filter(|piece| !piece.is_finished()) {
            // The end of one is the start of the next, so the map may move here and segments of a run still join.
            last.fix_start(&inner.map);
            inner.map.fix();
            inner.map.follow(now, inner.ticks.are_believed());
            let cut = inner.map.wall_at(unit.pts);
            last.finish(&inner.map, Some(cut));
            start = Some(last.span(&inner.map).end);
        }
        let piece = Piece::new(
            inner.origins.clone(),
            inner.sequence,
            format,
            unit,
            start,
            inner.floor.take(),
        );
        inner.sequence += 1;
        self.tell(RunNews::Opened(piece.segment(&inner.map)));
        if let Some(lane) = &self.lane {
            let wall = piece.start(&inner.map).offset(-unit.pts);
            inner.told_zero = Some(wall);
            lane.begin(JournalHeader {
                camera: inner.origins.camera.clone(),
                segment: piece.id,
                run: inner.origins.run,
                sequence: piece.sequence,
                format,
                caps: inner.caps.clone(),
                anchor: Anchor {
                    wall,
                    clock: inner.origins.clock,
                },
                takes_over: inner.doubled.as_ref().map(|doubled| doubled.from),
            });
        }
        inner.pieces.push_back(piece);
    }

    /// Gives a unit to the journal, and what the clock map has learnt since; its segment is told what was lost before it.
    pub(super) fn keep(&self, inner: &mut Inner, unit: Unit) {
        let lost = inner.tell_lost(&unit);
        let Some(lane) = &self.lane else { return };
        if lost > 0 {
            lane.lost(lost);
        }
        // Only the first segment of a run moves, while the map settles.
        let is_placed = inner.pieces.back().is_some_and(Piece::is_placed);
        if let (1, false, Some(zero)) = (inner.sequence, is_placed, inner.map.zero())
            && inner
                .told_zero
                .is_none_or(|told| told.nanos_since(zero).abs() > 1_000_000)
        {
            inner.told_zero = Some(zero);
            lane.anchor(Anchor {
                wall: zero,
                clock: inner.origins.clock,
            });
        }
        lane.unit(unit);
    }
}
