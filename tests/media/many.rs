//! A box that has recorded for months: a hundred thousand segments on its disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use camkeep::index::{Index, KnownVolume};
use camkeep::model::{
    Camera, CameraId, ClockSource, Codec, Container, Copy, CopyState, Origin, RunId, Seal, Segment, SegmentId,
    SegmentState, Span, VideoFormat, VolumeRole,
};
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use camkeep::runtime::{Clock, SystemClock};
use camkeep::storage::{Place, SealKey, Volume};
use tempfile::TempDir;
use uuid::Uuid;

use crate::kit::daemon::Daemon;
use crate::kit::machine;
use crate::kit::wait::wait_for;

const MANY: u32 = 100_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Rows and files as a camera leaves them in 70 days, each file with the size its row says, all made of one.
fn fill(data: &std::path::Path, camera: &FakeCamera) {
    std::fs::create_dir_all(data).unwrap();
    let seal: Arc<dyn Seal> = Arc::new(SealKey::load_or_make(&data.join("secret.key")).unwrap());
    let index = Index::open(data.join("index.db"), seal).unwrap();
    let now = SystemClock.now();
    let volume = Volume::open(&data.join("recordings"), VolumeRole::Primary, now).unwrap();
    let known = KnownVolume {
        id: volume.id(),
        role: VolumeRole::Primary,
        root: volume.root().display().to_string(),
        created_at: now,
    };
    let id = CameraId::parse("door").unwrap();
    let mut settings = Camera::new(id.clone(), "Door".into(), now);
    settings.main_stream_url = Some(camera.url().as_str().into());
    index
        .write_blocking(move |w| {
            w.put_volume(&known)?;
            w.insert_camera(&settings)
        })
        .unwrap();
    let bytes = vec![0u8; 64];
    std::fs::write(data.join("one"), &bytes).unwrap();
    let first = now.minus(MINUTE * (MANY + 10));
    let segments: Vec<Segment> = (0..MANY)
        .map(|number| {
            let start = first.plus(MINUTE * number);
            let path = Place::new(id.clone(), start, RunId(7), number).relative_path();
            Segment {
                id: SegmentId(Uuid::new_v4()),
                camera: id.clone(),
                run: RunId(7),
                sequence: number,
                span: Span::new(start, start.plus(MINUTE)),
                holes: Vec::new(),
                format: VideoFormat {
                    codec: Codec::H264,
                    width: 640,
                    height: 360,
                    fps: Some(25.0),
                },
                has_audio: false,
                container: Container::Mp4,
                state: SegmentState::Closed,
                origin: Origin::Live,
                clock: ClockSource::Arrival,
                camera_clock: None,
                lost_packets: 0,
                frames: 1500,
                created_at: start,
                copies: vec![Copy {
                    volume: volume.id(),
                    path,
                    size_bytes: bytes.len() as u64,
                    sha256: Some([7; 32]),
                    state: CopyState::Whole,
                }],
            }
        })
        .collect();
    let mut day = std::path::PathBuf::new();
    for segment in &segments {
        let file = volume.absolute(&segment.copies[0].path);
        if file.parent() != Some(&day) {
            day = file.parent().unwrap().to_owned();
            std::fs::create_dir_all(&day).unwrap();
        }
        // A file system gives one file only so many names.
        std::fs::hard_link(data.join("one"), &file)
            .or_else(|_| std::fs::write(&file, &bytes))
            .unwrap();
    }
    for some in segments.chunks(250).map(<[Segment]>::to_vec) {
        index
            .write_blocking(move |w| some.iter().try_for_each(|segment| w.close_segment(segment)))
            .unwrap();
    }
    index.close();
}

#[test]
fn a_box_with_a_hundred_thousand_segments_records_within_three_seconds_of_its_start() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let room = TempDir::new().unwrap();
    let data = room.path().join("data");
    fill(&data, &camera);
    let began = Instant::now();
    let daemon = Daemon::start(&data);
    let answered = began.elapsed();
    wait_for(Duration::from_secs(20), "the camera is recorded", || {
        let health = daemon.get("/api/v1/cameras/door/health").ok();
        if health["state"] == "recording" {
            Ok(())
        } else {
            Err(health)
        }
    });
    let (recorded, waited) = (began.elapsed(), machine::waited(daemon.pid()));
    let told =
        format!("answered after {answered:?}, recorded after {recorded:?}, of which {waited:?} without a processor");
    eprintln!("{told}");
    assert!(recorded.saturating_sub(waited) < Duration::from_secs(3), "{told}");
    let page = daemon.get("/api/v1/cameras/door/segments?limit=5000").ok();
    assert_eq!(page.as_array().unwrap().len(), 5000);
}
