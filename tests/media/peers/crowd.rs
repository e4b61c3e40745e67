//! A recorder of many cameras, and all it has said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use camkeep::model::{Camera, CameraHealth, CameraId, GapCause, Loss, News, Segment, Timestamp, VolumeRole};
use camkeep::pipeline::{self, Catalog};
use camkeep::record::{Recorder, Setting};
use camkeep::runtime::SystemClock;
use camkeep::storage::{Complain, Syncer, TailWriter, Volume};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::kit::wait::wait_for;

pub(super) struct Crowd {
    runtime: tokio::runtime::Runtime,
    pub(super) recorder: Recorder,
    hears: UnboundedReceiver<News>,
    pub(super) news: Vec<News>,
    volume: Arc<Volume>,
    _room: TempDir,
}

impl Crowd {
    pub(super) fn new() -> Self {
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
            clock: SystemClock::shared(),
            catalog: Arc::new(Catalog::built_in().unwrap()),
            volume: volume.clone(),
            tail: Some(Arc::new(tail)),
            syncer: Arc::new(Syncer::start("sync", Syncer::PERIOD, complain).unwrap()),
            suspects: Arc::default(),
            news,
            stall: Duration::from_secs(5),
            connect: Duration::from_secs(8),
            latency: Duration::from_millis(200),
            remember: Duration::from_secs(15),
        });
        Self {
            runtime,
            recorder,
            hears,
            news: Vec::new(),
            volume,
            _room: room,
        }
    }

    pub(super) fn record(&self, name: &str, url: &str) -> CameraId {
        self.record_as(name, url, |_| {})
    }

    pub(super) fn record_as(&self, name: &str, url: &str, change: impl FnOnce(&mut Camera)) -> CameraId {
        let id = CameraId::from_name(name).unwrap();
        let mut camera = Camera::new(id.clone(), name.into(), Timestamp::EPOCH);
        camera.main_stream_url = Some(url.into());
        camera.segment_seconds = 4;
        change(&mut camera);
        let _inside = self.runtime.enter();
        self.recorder.apply(camera);
        id
    }

    pub(super) fn listen(&mut self) {
        while let Ok(news) = self.hears.try_recv() {
            self.news.push(news);
        }
    }

    pub(super) fn health(&self, id: &CameraId) -> CameraHealth {
        self.recorder.camera_health(id).unwrap()
    }

    /// Waits until a camera is as it should be, and says how it was when it never is.
    #[track_caller]
    pub(super) fn wait_for(
        &mut self,
        id: &CameraId,
        within: Duration,
        what: &str,
        is_so: impl Fn(&CameraHealth) -> bool,
    ) -> CameraHealth {
        wait_for(within, &format!("{id} {what}"), || {
            self.listen();
            let health = self.health(id);
            if is_so(&health) { Ok(health) } else { Err(health) }
        })
    }

    pub(super) fn closed(&mut self, id: &CameraId) -> Vec<Segment> {
        self.listen();
        let closed = self.news.iter().filter_map(|news| match news {
            News::Closed(segment) if segment.camera == *id => Some(segment.clone()),
            _ => None,
        });
        let mut closed: Vec<Segment> = closed.collect();
        closed.sort_by_key(|segment| segment.span.start);
        closed
    }

    #[track_caller]
    pub(super) fn wait_for_closed(&mut self, id: &CameraId, count: usize, within: Duration) -> Vec<Segment> {
        wait_for(within, &format!("{count} segments of {id} are closed"), || {
            let closed = self.closed(id);
            if closed.len() >= count {
                Ok(closed)
            } else {
                Err((closed.len(), self.health(id)))
            }
        })
    }

    /// How many frames of the segments that are open or were.
    pub(super) fn frames(&self, id: &CameraId) -> u64 {
        let opened = self.news.iter().filter_map(|news| match news {
            News::Opened(segment) if segment.camera == *id => Some(segment.id),
            _ => None,
        });
        let own: BTreeSet<_> = opened.collect();
        let mut frames = BTreeMap::new();
        for news in &self.news {
            match news {
                News::Grew { id, frames: now, .. } if own.contains(id) => frames.insert(*id, *now),
                News::Closed(segment) if own.contains(&segment.id) => frames.insert(segment.id, segment.frames),
                _ => None,
            };
        }
        frames.values().sum()
    }

    /// How often a camera was lost, and why.
    pub(super) fn losses(&self, id: &CameraId) -> Vec<Loss> {
        let losses = self.news.iter().filter_map(|news| match news {
            News::Lost {
                camera,
                cause: GapCause::Lost(loss),
                ..
            } if camera == id => Some(*loss),
            _ => None,
        });
        losses.collect()
    }

    pub(super) fn path(&self, segment: &Segment) -> PathBuf {
        self.volume.absolute(&segment.copies[0].path)
    }

    pub(super) fn remove(&mut self, id: &CameraId) {
        self.runtime.block_on(self.recorder.remove(id));
        self.listen();
    }

    pub(super) fn stop(&mut self) {
        assert!(self.runtime.block_on(self.recorder.stop(Duration::from_secs(10))));
        self.listen();
    }
}
