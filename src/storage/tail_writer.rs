//! The thread that writes all cameras' journals.
//!
//! ```text
//! streaming threads --unit--> [queue, bounded by bytes] --> tail-journal --write--> <data>/tail/…   (tail-sync: fdatasync)
//! ```
//!
//! A streaming thread never waits here. When the disk does not keep up, what no longer fits is counted, and the journal
//! says where: mend then knows that the journal alone is not all that came.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::ending::Ending;
use super::error::StorageError;
use super::growing::{Counts, Open};
use super::journal::{Anchor, JournalHeader, JournalWriter};
use super::layout::TailPlace;
use super::syncer::{Complain, Syncer};
use crate::model::{CameraId, SegmentId, TrackCaps, Unit};
use crate::runtime::{Timing, pause};

/// What a unit costs in the queue beside its bytes, so that many small ones are bounded too.
const UNIT_COST: usize = 128;

/// So long units are gathered before the thread looks again: it costs a fifth of waking up for each, and a kill as much more.
const MOMENT: Duration = Duration::from_millis(20);

/// Writes the journals of all cameras of this box.
pub struct TailWriter {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    lanes: AtomicU64,
    ending: Ending,
    syncer: Arc<Syncer>,
    timing: Timing,
}

impl std::fmt::Debug for TailWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TailWriter").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    /// Bytes that wait to be written, of all cameras.
    queued_bytes: AtomicUsize,
    limit_bytes: usize,
}

/// One camera's way to its journals. Clones share it; none of its methods waits.
#[derive(Debug, Clone)]
pub struct TailLane {
    number: u64,
    camera: CameraId,
    shared: Arc<Shared>,
    counts: Arc<Counts>,
    orders: mpsc::Sender<Order>,
}

#[derive(Debug)]
struct Order {
    lane: u64,
    /// Units of the lane that did not fit since the order before.
    missed: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Begin(Box<JournalHeader>, Arc<Counts>),
    Unit(Unit),
    Anchor(Anchor),
    Caps(TrackCaps),
    Lost(u64),
    TakeBack(i64),
    Finish(SegmentId),
    Stop,
}

impl TailWriter {
    /// How much may wait in memory for a disk that does not keep up, on this box as a whole.
    pub const LIMIT_BYTES: usize = 64 * 1024 * 1024;

    /// Starts the thread that writes below `<data>/tail`, and the one that syncs. What a disk refuses is told to
    /// `complain`, once a journal.
    pub fn start(data: &Path, limit_bytes: usize, complain: Complain) -> Result<Self, StorageError> {
        let syncer = Arc::new(Syncer::start("tail-sync", Syncer::PERIOD, Arc::clone(&complain))?);
        let shared = Arc::new(Shared {
            queued_bytes: AtomicUsize::new(0),
            limit_bytes,
        });
        let (orders, received) = mpsc::channel();
        let mut journals = Journals {
            data: data.to_owned(),
            shared: Arc::clone(&shared),
            syncer: Arc::clone(&syncer),
            complain,
            open: HashMap::new(),
            past: HashMap::new(),
            timing: Timing::default(),
        };
        let timing = journals.timing.clone();
        let ending = Ending::start("tail-journal", move || journals.obey_all(&received))?;
        Ok(Self {
            shared,
            orders,
            lanes: AtomicU64::new(0),
            ending,
            syncer,
            timing,
        })
    }

    /// A camera's lane.
    pub fn lane(&self, camera: CameraId) -> TailLane {
        TailLane {
            number: self.lanes.fetch_add(1, Ordering::Relaxed),
            camera,
            shared: Arc::clone(&self.shared),
            counts: Arc::default(),
            orders: self.orders.clone(),
        }
    }

    /// Bytes that wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// How long writes take of what came in a moment.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Writes and syncs what was sent until now and ends both threads; `false` when a disk held one beyond the
    /// deadline. Journals of segments that were not finished stay for the next start.
    pub fn close(mut self, deadline: Duration) -> bool {
        // Fails only when the thread is gone, which waiting for it finds out.
        let _ = self.orders.send(Order {
            lane: u64::MAX,
            missed: 0,
            what: What::Stop,
        });
        if !self.ending.wait(deadline) {
            return false;
        }
        // The thread's own share of it is gone, so that it can be taken.
        Arc::into_inner(self.syncer).is_none_or(|syncer| syncer.close(deadline))
    }
}

impl TailLane {
    /// Whose lane it is.
    pub fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// A segment begins: the units from here on are its own, until the next begins.
    pub fn begin(&self, header: JournalHeader) {
        self.order(What::Begin(Box::new(header), Arc::clone(&self.counts)));
    }

    /// A unit came; `false` when it did not fit and was counted instead.
    pub fn unit(&self, unit: Unit) -> bool {
        let cost = cost(&unit);
        let before = self.shared.queued_bytes.fetch_add(cost, Ordering::Relaxed);
        if before.saturating_add(cost) > self.shared.limit_bytes {
            self.shared.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
            self.miss();
            return false;
        }
        let sent = self.order(What::Unit(unit));
        if !sent {
            self.shared.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
            self.miss();
        }
        sent
    }

    /// The wall clock of the running time is known better.
    pub fn anchor(&self, anchor: Anchor) {
        self.order(What::Anchor(anchor));
    }

    /// The units from here on are to be read in another way.
    pub fn caps(&self, caps: TrackCaps) {
        self.order(What::Caps(caps));
    }

    /// So many packets never came before the next unit.
    pub fn lost(&self, packets: u64) {
        self.order(What::Lost(packets));
    }

    /// The last units that are shown at this time or later are in another run's journal.
    pub fn take_back(&self, at: i64) {
        self.order(What::TakeBack(at));
    }

    /// A segment is durable, or came to nothing: its journal is removed.
    pub fn finish(&self, segment: SegmentId) {
        self.order(What::Finish(segment));
    }

    /// How many units no journal holds, because the disk did not keep up or refused them.
    pub fn missed_units(&self) -> u64 {
        self.counts.missed.load(Ordering::Relaxed)
    }

    fn miss(&self) {
        self.counts.pending.fetch_add(1, Ordering::Relaxed);
        self.counts.missed.fetch_add(1, Ordering::Relaxed);
    }

    fn order(&self, what: What) -> bool {
        let missed = self.counts.pending.swap(0, Ordering::Relaxed);
        let order = Order {
            lane: self.number,
            missed,
            what,
        };
        let sent = self.orders.send(order).is_ok();
        if !sent {
            self.counts.pending.fetch_add(missed, Ordering::Relaxed);
        }
        sent
    }
}

fn cost(unit: &Unit) -> usize {
    unit.payload.len().saturating_add(UNIT_COST)
}

/// What the thread owns.
struct Journals {
    data: PathBuf,
    shared: Arc<Shared>,
    syncer: Arc<Syncer>,
    complain: Complain,
    /// By lane.
    open: HashMap<u64, Open>,
    /// Journals of segments that grow no more and are not durable yet.
    past: HashMap<SegmentId, PathBuf>,
    timing: Timing,
}

impl Journals {
    fn obey_all(&mut self, orders: &mpsc::Receiver<Order>) {
        // It ends by order, or when the last lane and the writer are gone.
        while let Ok(first) = orders.recv() {
            // What all cameras bring in a moment is written with one awakening.
            let timing = self.timing.clone();
            let stops = timing.time(|| {
                std::iter::once(first).chain(orders.try_iter()).any(|order| {
                    let stops = matches!(order.what, What::Stop);
                    self.obey(order);
                    stops
                })
            });
            if stops {
                break;
            }
            pause(MOMENT);
        }
        self.sync_all();
    }

    fn sync_all(&mut self) {
        for open in self.open.values_mut() {
            if let Some(Err(error)) = open.writer.as_mut().map(JournalWriter::sync) {
                (self.complain)(error);
            }
        }
    }

    fn obey(&mut self, order: Order) {
        if let Some(open) = self.open.get_mut(&order.lane) {
            open.hole = open.hole.saturating_add(order.missed);
        }
        match order.what {
            What::Begin(header, counts) => self.begin(order.lane, &header, counts),
            What::Unit(unit) => {
                let cost = cost(&unit);
                if let Some(open) = self.open.get_mut(&order.lane)
                    && !open.put(&self.complain, |writer| writer.append(&unit))
                {
                    open.hole = open.hole.saturating_add(1);
                    open.counts.missed.fetch_add(1, Ordering::Relaxed);
                }
                self.shared.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
            }
            What::Anchor(anchor) => self.put(order.lane, |writer| writer.append_anchor(anchor)),
            What::Caps(caps) => self.put(order.lane, |writer| writer.append_caps(&caps)),
            What::Lost(packets) => self.put(order.lane, |writer| writer.append_lost(packets)),
            What::TakeBack(at) => self.put(order.lane, |writer| writer.take_back(at)),
            What::Finish(segment) => self.finish(order.lane, segment),
            What::Stop => {}
        }
    }

    fn put(&mut self, lane: u64, append: impl FnOnce(&mut JournalWriter) -> Result<(), StorageError>) {
        if let Some(open) = self.open.get_mut(&lane) {
            open.put(&self.complain, append);
        }
    }

    fn begin(&mut self, lane: u64, header: &JournalHeader, counts: Arc<Counts>) {
        if let Some(before) = self.open.remove(&lane)
            && before.writer.is_some()
        {
            self.syncer.retire(&before.path);
            self.past.insert(before.segment, before.path);
        }
        let place = TailPlace {
            camera: header.camera.clone(),
            run: header.run,
            sequence: header.sequence,
        };
        let path = place.path(&self.data);
        let writer = match JournalWriter::create(&path, header) {
            Ok(writer) => {
                self.syncer.register(&path);
                Some(writer)
            }
            Err(error) => {
                (self.complain)(error);
                None
            }
        };
        let open = Open {
            segment: header.segment,
            path,
            writer,
            counts,
            hole: 0,
            has_complained: false,
        };
        self.open.insert(lane, open);
    }

    fn finish(&mut self, lane: u64, segment: SegmentId) {
        let path = match self.past.remove(&segment) {
            Some(path) => Some(path),
            None if self.open.get(&lane).is_some_and(|open| open.segment == segment) => self
                .open
                .remove(&lane)
                .filter(|open| open.writer.is_some())
                .map(|open| open.path),
            None => None,
        };
        let Some(path) = path else {
            return;
        };
        self.syncer.unregister(&path);
        if let Err(error) = std::fs::remove_file(&path) {
            (self.complain)(StorageError::io("remove", &path, error));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{ClockSource, Codec, RunId, Timestamp, Track, VideoFormat};
    use crate::storage::{JournalContents, read_journal};
    use std::sync::Mutex;
    use uuid::Uuid;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn header(camera: &str, sequence: u32) -> JournalHeader {
        JournalHeader {
            camera: CameraId::parse(camera).unwrap(),
            segment: SegmentId(Uuid::from_u128(u128::from(sequence))),
            run: RunId(0x00c0_ffee),
            sequence,
            format: VideoFormat {
                codec: Codec::H264,
                width: 640,
                height: 360,
                fps: None,
            },
            caps: TrackCaps::default(),
            anchor: Anchor {
                wall: Timestamp::from_seconds(1_790_000_000),
                clock: ClockSource::Arrival,
            },
            takes_over: None,
        }
    }

    fn unit(number: i64, size: usize) -> Unit {
        Unit {
            track: Track::Video,
            pts: number,
            dts: number,
            duration: Some(1),
            keyframe: number == 0,
            payload: vec![1; size].into(),
        }
    }

    struct Bench {
        directory: tempfile::TempDir,
        complaints: Arc<Mutex<Vec<String>>>,
        writer: TailWriter,
    }

    fn bench(limit_bytes: usize) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&complaints);
        let complain: Complain = Arc::new(move |error| heard.lock().unwrap().push(error.to_string()));
        let writer = TailWriter::start(directory.path(), limit_bytes, complain).unwrap();
        Bench {
            directory,
            complaints,
            writer,
        }
    }

    impl Bench {
        fn lane(&self, camera: &str) -> TailLane {
            self.writer.lane(CameraId::parse(camera).unwrap())
        }

        /// Closes the writer, so that everything is written, and reads one journal.
        fn read(self, camera: &str, sequence: u32) -> (JournalContents, Vec<String>) {
            assert!(self.writer.close(PATIENCE));
            let name = format!("tail/{camera}/00c0ffee_{sequence:06}.tail");
            let contents = read_journal(&self.directory.path().join(name)).unwrap();
            let complaints = self.complaints.lock().unwrap().clone();
            (contents, complaints)
        }
    }

    #[test]
    fn each_segment_of_each_camera_has_its_units_in_a_journal_of_its_own() {
        let bench = bench(TailWriter::LIMIT_BYTES);
        let (yard, door) = (bench.lane("yard"), bench.lane("door"));
        for sequence in 1..=2 {
            yard.begin(header("yard", sequence));
            door.begin(header("door", sequence + 10));
            for number in 0..5 {
                assert!(yard.unit(unit(number, 100)) && door.unit(unit(number, 10)));
            }
        }
        let better = Anchor {
            wall: Timestamp::from_seconds(5),
            clock: ClockSource::Camera,
        };
        yard.anchor(better);
        yard.caps(TrackCaps {
            video: "new".to_owned(),
            audio: None,
        });
        // Units of no segment are nobody's.
        bench.lane("third").unit(unit(0, 10));
        let root = bench.directory.path().to_owned();
        assert!(bench.writer.close(PATIENCE));
        for (path, units) in [
            ("yard/00c0ffee_000001", 5),
            ("door/00c0ffee_000011", 5),
            ("yard/00c0ffee_000002", 5),
        ] {
            let contents = read_journal(&root.join(format!("tail/{path}.tail"))).unwrap();
            assert_eq!((contents.units, contents.left_bytes), (units, 0), "{path}");
            assert!(contents.is_complete());
        }
        let contents = read_journal(&root.join("tail/yard/00c0ffee_000002.tail")).unwrap();
        assert_eq!((contents.anchor, contents.caps.video.as_str()), (better, "new"));
        assert!(bench.complaints.lock().unwrap().is_empty());
    }

    #[test]
    fn the_journal_of_a_durable_segment_goes_and_the_others_stay() {
        let bench = bench(TailWriter::LIMIT_BYTES);
        let yard = bench.lane("yard");
        for sequence in 1..=3 {
            yard.begin(header("yard", sequence));
            yard.unit(unit(0, 100));
        }
        yard.finish(header("yard", 1).segment);
        yard.finish(header("yard", 3).segment);
        yard.finish(header("yard", 77).segment);
        let root = bench.directory.path().join("tail/yard");
        assert!(bench.writer.close(PATIENCE));
        let left: Vec<_> = std::fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["00c0ffee_000002.tail"]);
        assert!(bench.complaints.lock().unwrap().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_is_missing() {
        let bench = bench(1000);
        let yard = bench.lane("yard");
        yard.begin(header("yard", 1));
        assert!(!yard.unit(unit(0, 1001)) && !yard.unit(unit(1, 5000)));
        assert_eq!(yard.missed_units(), 2);
        assert!(yard.unit(unit(2, 100)));
        let (contents, complaints) = bench.read("yard", 1);
        assert_eq!((contents.missed_units, contents.units), (2, 1));
        assert!(!contents.is_complete() && complaints.is_empty());
    }

    #[test]
    fn a_disk_that_hangs_holds_no_sender_and_costs_bounded_memory() {
        let directory = tempfile::tempdir().unwrap();
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        // Whoever hears complaints sits on the writing thread: holding it there is what a frozen disk does.
        let complain: Complain = Arc::new(move |_| {
            let _ = held.lock().unwrap().recv();
        });
        let writer = TailWriter::start(directory.path(), 100_000, complain).unwrap();
        let lane = writer.lane(CameraId::parse("yard").unwrap());
        lane.begin(header("yard", 1));
        lane.begin(header("yard", 1));
        let sent = (0..1000).filter(|number| lane.unit(unit(*number, 900))).count();
        assert!(writer.queued_bytes() <= 100_000);
        assert_eq!(lane.missed_units(), 1000 - sent as u64);
        assert!(lane.missed_units() > 0);
        drop(release);
        assert!(writer.close(PATIENCE));
        assert_eq!(
            lane.missed_units(),
            1000,
            "and the second journal could not be made at all"
        );
    }

    #[test]
    fn units_that_are_taken_back_are_not_in_the_journal_and_what_comes_after_is() {
        let bench = bench(TailWriter::LIMIT_BYTES);
        let yard = bench.lane("yard");
        yard.begin(header("yard", 1));
        (0..20).for_each(|number| assert!(yard.unit(unit(number, 50))));
        yard.take_back(12);
        yard.unit(unit(30, 50));
        let (contents, complaints) = bench.read("yard", 1);
        assert_eq!(
            (contents.frames, contents.end_pts, contents.left_bytes),
            (13, Some(31), 0)
        );
        assert_eq!(complaints, Vec::<String>::new());
    }

    #[test]
    fn a_thread_that_is_gone_is_no_reason_to_fail() {
        let bench = bench(TailWriter::LIMIT_BYTES);
        let yard = bench.lane("yard");
        assert!(bench.writer.close(PATIENCE));
        yard.begin(header("yard", 1));
        assert!(!yard.unit(unit(0, 1)));
        assert_eq!(yard.missed_units(), 1);
    }
}
