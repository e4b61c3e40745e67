//! The second leg behind the muxer: the mirror gets the primary's very bytes, from the same session, and costs it nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use camkeep::model::{CopyState, Segment, SegmentId, Timestamp, VolumeRole};
use camkeep::pipeline::demo::{AudioCodec, CameraOptions, FakeCamera, StreamOptions, VideoCodec};
use camkeep::runtime::SystemClock;
use camkeep::storage::{MirrorTold, MirrorWriter, Volume, measure};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::kit::desk::{Desk, Equipment};
use crate::kit::referee;
use crate::kit::wait::wait_until;
use crate::recorder::assert_exact;

const SOON: Duration = Duration::from_secs(40);

/// A recorder with a mirror.
struct Bench {
    desk: Desk,
    writer: Arc<MirrorWriter>,
    volume: Arc<Volume>,
    hears: UnboundedReceiver<MirrorTold>,
    told: Vec<MirrorTold>,
    _room: TempDir,
}

impl Bench {
    fn new(limit_bytes: usize) -> Self {
        let room = TempDir::new().unwrap();
        let made_at = Timestamp::from_seconds(1_763_000_000);
        let volume = Arc::new(Volume::open(room.path(), VolumeRole::Mirror, made_at).unwrap());
        let (tell, hears) = unbounded_channel();
        let writer = Arc::new(MirrorWriter::start(limit_bytes, SystemClock::shared(), tell).unwrap());
        writer.use_volume(Some(volume.clone()));
        let desk = Desk::with(Equipment {
            mirror: Some(writer.clone()),
            ..Equipment::default()
        });
        Self {
            desk,
            writer,
            volume,
            hears,
            told: Vec::new(),
            _room: room,
        }
    }

    fn record(&self, camera: &FakeCamera, mirrored: bool) {
        self.desk.record_with(&camera.url(), 2, |camera| {
            camera.mirror_enabled = mirrored;
            camera.record_audio = true;
        });
    }

    fn listen(&mut self) {
        while let Ok(told) = self.hears.try_recv() {
            self.told.push(told);
        }
    }

    fn kept(&self) -> Vec<SegmentId> {
        let kept = self.told.iter().filter_map(|told| match told {
            MirrorTold::Kept { segment, .. } => Some(*segment),
            _ => None,
        });
        kept.collect()
    }

    fn missed(&self) -> Vec<SegmentId> {
        let missed = self.told.iter().filter_map(|told| match told {
            MirrorTold::Missed { segment } => Some(*segment),
            _ => None,
        });
        missed.collect()
    }

    #[track_caller]
    fn wait_kept(&mut self, count: usize) {
        wait_until(SOON, "second copies are kept", || {
            self.listen();
            (self.kept().len() >= count).then_some(())
        });
    }

    /// Stops recording, and everything that was told of the mirror is heard.
    #[track_caller]
    fn stop(&mut self) -> Vec<Segment> {
        self.desk.stop();
        assert!(self.writer.close(SOON));
        self.listen();
        self.desk.closed()
    }

    fn second(&self, segment: &Segment) -> PathBuf {
        self.volume.absolute(&segment.copies[0].path)
    }

    /// Every segment that is said to be kept is the same on both volumes, byte by byte, and what is said of it is true.
    #[track_caller]
    fn assert_same(&self, segments: &[Segment]) {
        for told in &self.told {
            let MirrorTold::Kept { segment, copy } = told else {
                continue;
            };
            let segment = segments
                .iter()
                .find(|it| it.id == *segment)
                .expect("a segment that is known");
            let (first, second) = (self.desk.path(segment), self.second(segment));
            assert!(
                std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(),
                "{}",
                second.display()
            );
            let measured = measure(&second).unwrap();
            assert_eq!(
                (copy.sha256, copy.size_bytes),
                (Some(measured.sha256), measured.size_bytes)
            );
            assert_eq!((copy.state, copy.volume), (CopyState::Whole, self.volume.id()));
            assert_eq!(copy.path, segment.copies[0].path);
        }
    }
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mp4") {
                found.push(path);
            }
        }
    }
    found
}

/// Records a while with a mirror; all of it is on both volumes, and the camera was asked once.
#[track_caller]
fn all_is_mirrored(options: impl Into<CameraOptions>) {
    let camera = FakeCamera::start(options).unwrap();
    let mut bench = Bench::new(MirrorWriter::LIMIT_BYTES);
    bench.record(&camera, true);
    bench.wait_kept(3);
    let segments = bench.stop();
    assert_exact(&bench.desk, &segments, &camera.sent_frames());
    assert_eq!((bench.kept().len(), bench.missed()), (segments.len(), vec![]));
    bench.assert_same(&segments);
    let seconds: Vec<PathBuf> = segments.iter().map(|segment| bench.second(segment)).collect();
    let first = bench.desk.stamps(&segments);
    assert_eq!(referee::read_all(&seconds).len(), first.len());
    assert_eq!(camera.count_sessions().total, 1);
    assert_eq!(
        files(bench.volume.root()).len(),
        segments.len(),
        "nothing else lies there"
    );
}

#[test]
fn the_mirror_has_the_same_bytes_from_the_same_session() {
    all_is_mirrored(StreamOptions::small());
}

#[test]
fn the_mirror_has_the_same_bytes_with_sound_too() {
    all_is_mirrored(StreamOptions {
        audio: AudioCodec::Aac,
        ..StreamOptions::small()
    });
}

#[test]
fn the_mirror_has_the_same_bytes_of_h265_with_sound_that_is_made_fit() {
    all_is_mirrored(StreamOptions {
        codec: VideoCodec::H265,
        audio: AudioCodec::Pcma,
        ..StreamOptions::small()
    });
}

#[test]
fn a_mirror_is_taken_up_and_dropped_while_the_camera_records_and_no_frame_is_lost() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut bench = Bench::new(MirrorWriter::LIMIT_BYTES);
    bench.record(&camera, false);
    let before = bench.desk.wait_for_closed(1, 40).len();
    assert_eq!(files(bench.volume.root()).len(), 0);
    bench.record(&camera, true);
    bench.wait_kept(2);
    bench.record(&camera, false);
    bench.desk.listen();
    let until = bench.desk.closed().len();
    bench.desk.wait_for_closed(until + 3, 40);
    let segments = bench.stop();
    assert_exact(&bench.desk, &segments, &camera.sent_frames());
    bench.assert_same(&segments);
    let kept = bench.kept();
    let first = segments.iter().position(|it| kept.contains(&it.id)).unwrap();
    let is_kept = |segment: &Segment| kept.contains(&segment.id);
    assert!(first >= before, "what was open before is not begun in the middle");
    assert!(
        segments[first..first + kept.len()].iter().all(is_kept),
        "and then one after another"
    );
    assert!(!is_kept(segments.last().unwrap()));
    assert_eq!(bench.missed(), vec![], "nothing was begun that was not wanted");
    assert_eq!(camera.count_sessions().total, 1);
}

/// A USB disk that is pulled: what was written to it is lost to it, the primary goes on, and the next whole file after its
/// return is there again.
#[test]
fn a_mirror_that_goes_away_and_comes_back_costs_the_primary_nothing_and_misses_are_told() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut bench = Bench::new(MirrorWriter::LIMIT_BYTES);
    bench.record(&camera, true);
    bench.wait_kept(1);
    // As an unmount looks from here: the path leads to another, empty directory.
    let root = bench.volume.root().to_owned();
    let unplugged = root.with_extension("unplugged");
    std::fs::rename(&root, &unplugged).unwrap();
    std::fs::create_dir(&root).unwrap();
    wait_until(SOON, "somebody is told", || {
        bench.listen();
        bench
            .told
            .iter()
            .any(|told| matches!(told, MirrorTold::Refused(_)))
            .then_some(())
    });
    wait_until(SOON, "two are missed", || {
        bench.listen();
        (bench.missed().len() >= 2).then_some(())
    });
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing is written there");
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&unplugged, &root).unwrap();
    let kept = bench.kept().len();
    bench.wait_kept(kept + 2);
    let segments = bench.stop();
    assert_exact(&bench.desk, &segments, &camera.sent_frames());
    bench.assert_same(&segments);
    assert_eq!(
        bench.kept().len() + bench.missed().len(),
        segments.len(),
        "one word for each"
    );
    assert_eq!(camera.count_sessions().total, 1);
}

#[test]
fn a_mirror_that_cannot_keep_up_misses_whole_files_and_says_which() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    // Less than a keyframe fits.
    let mut bench = Bench::new(1000);
    bench.record(&camera, true);
    bench.desk.wait_for_closed(2, 40);
    let segments = bench.stop();
    assert_exact(&bench.desk, &segments, &camera.sent_frames());
    assert_eq!((bench.kept(), bench.missed().len()), (vec![], segments.len()));
    assert!(bench.writer.dropped_bytes() > 0);
    assert_eq!(bench.writer.queued_bytes(), 0);
    assert_eq!(files(bench.volume.root()).len(), 0, "half a copy is none");
}

#[test]
fn without_a_volume_everything_is_a_miss_and_nothing_is_queued() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut bench = Bench::new(MirrorWriter::LIMIT_BYTES);
    bench.writer.use_volume(None);
    bench.record(&camera, true);
    bench.desk.wait_for_closed(2, 40);
    let segments = bench.stop();
    assert_exact(&bench.desk, &segments, &camera.sent_frames());
    assert_eq!((bench.kept(), bench.missed().len()), (vec![], segments.len()));
    assert_eq!(bench.writer.queued_bytes(), 0);
}
