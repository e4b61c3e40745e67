//! A recorder by itself, without index and doors, on a directory of its own, and all it has said.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use camkeep::model::{Camera, CameraId, News, Segment, Timestamp, VolumeRole};
use camkeep::pipeline::{self, Catalog};
use camkeep::record::{Recorder, Setting};
use camkeep::runtime::{Clock, SystemClock};
use camkeep::storage::{Complain, MirrorWriter, Syncer, TailWriter, Volume};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::referee::{self, Stamp};
use super::wait::wait_until;

/// What a recorder may have that is not as usual.
pub(crate) struct Equipment {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) catalog: Catalog,
    /// How much of each camera is held in memory.
    pub(crate) remember: Duration,
    /// Writes second copies.
    pub(crate) mirror: Option<Arc<MirrorWriter>>,
}

impl Default for Equipment {
    fn default() -> Self {
        Self {
            clock: SystemClock::shared(),
            catalog: Catalog::built_in().unwrap(),
            remember: Duration::from_secs(15),
            mirror: None,
        }
    }
}

pub(crate) struct Desk {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) recorder: Recorder,
    hears: UnboundedReceiver<News>,
    pub(crate) news: Vec<News>,
    pub(crate) volume: Arc<Volume>,
    pub(crate) room: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(Equipment::default())
    }

    pub(crate) fn with(equipment: Equipment) -> Self {
        pipeline::init().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let room = TempDir::new().unwrap();
        let made_at = Timestamp::from_seconds(1_763_000_000);
        let volume = Arc::new(Volume::open(room.path(), VolumeRole::Primary, made_at).unwrap());
        let (news, hears) = unbounded_channel();
        let complain: Complain = Arc::new(|error| panic!("a disk refuses: {error}"));
        let tail = TailWriter::start(room.path(), TailWriter::LIMIT_BYTES, complain.clone()).unwrap();
        let recorder = Recorder::new(Setting {
            clock: equipment.clock,
            catalog: Arc::new(equipment.catalog),
            volume: volume.clone(),
            tail: Some(Arc::new(tail)),
            mirror: equipment.mirror,
            syncer: Arc::new(Syncer::start("sync", Syncer::PERIOD, complain).unwrap()),
            suspects: Arc::default(),
            timings: Default::default(),
            news,
            remember: equipment.remember,
            stall: Duration::from_secs(5),
            connect: Duration::from_secs(8),
            latency: Duration::from_millis(200),
        });
        Self {
            runtime,
            recorder,
            hears,
            news: Vec::new(),
            volume,
            room,
        }
    }

    pub(crate) fn record(&self, url: &str, segment_seconds: u32) -> CameraId {
        self.record_with(url, segment_seconds, |_| {})
    }

    /// Takes up the camera `door`, or its settings as they are now.
    pub(crate) fn record_with(&self, url: &str, segment_seconds: u32, set: impl FnOnce(&mut Camera)) -> CameraId {
        let id = CameraId::parse("door").unwrap();
        let mut camera = Camera::new(id.clone(), "Door".into(), Timestamp::EPOCH);
        camera.main_stream_url = Some(url.into());
        camera.segment_seconds = segment_seconds;
        set(&mut camera);
        let _inside = self.runtime.enter();
        self.recorder.apply(camera);
        id
    }

    pub(crate) fn listen(&mut self) {
        while let Ok(news) = self.hears.try_recv() {
            self.news.push(news);
        }
    }

    #[track_caller]
    pub(crate) fn wait_for(&mut self, within: u64, what: &str, mut is_there: impl FnMut(&[News]) -> bool) {
        wait_until(Duration::from_secs(within), what, || {
            self.listen();
            is_there(&self.news).then_some(())
        });
    }

    pub(crate) fn count(&self, which: impl Fn(&News) -> bool) -> usize {
        self.news.iter().filter(|news| which(news)).count()
    }

    /// The segments that are closed, in order.
    pub(crate) fn closed(&self) -> Vec<Segment> {
        let closed = self.news.iter().filter_map(|news| match news {
            News::Closed(segment) => Some(segment.clone()),
            _ => None,
        });
        let mut closed: Vec<Segment> = closed.collect();
        closed.sort_by_key(|segment| segment.span.start);
        closed
    }

    #[track_caller]
    pub(crate) fn wait_for_closed(&mut self, count: usize, within: u64) -> Vec<Segment> {
        self.wait_for(within, "segments are closed", |news| {
            news.iter().filter(|news| matches!(news, News::Closed(_))).count() >= count
        });
        self.closed()
    }

    pub(crate) fn path(&self, segment: &Segment) -> PathBuf {
        self.volume.absolute(&segment.copies[0].path)
    }

    #[track_caller]
    pub(crate) fn stop(&mut self) {
        assert!(self.runtime.block_on(self.recorder.stop(Duration::from_secs(10))));
        self.listen();
    }

    /// What the referee reads in the files, in order.
    #[track_caller]
    pub(crate) fn stamps(&self, segments: &[Segment]) -> Vec<Stamp> {
        segments
            .iter()
            .flat_map(|segment| referee::read_stamps(&self.path(segment)))
            .collect()
    }
}
