//! A camera with storage, and what has to come out of it when it is asked for a span.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use camkeep::model::{Span, Timestamp, Vendor};
use camkeep::pipeline::demo::{CameraOptions, FakeCamera, SentFrame, Storage, StorageOptions, StreamOptions};

use super::referee::Stamp;
use super::wait::{pause, wait_until};

/// How long anything may take that a loaded machine does slowly.
const PATIENCE: Duration = Duration::from_secs(30);

/// A small camera, a keyframe each second, with storage.
pub(crate) fn camera() -> FakeCamera {
    camera_with(StorageOptions::default())
}

/// The same with other storage.
pub(crate) fn camera_with(storage: StorageOptions) -> FakeCamera {
    FakeCamera::start(CameraOptions::from(StreamOptions::small()).with_storage(storage)).expect("a camera")
}

/// A camera with storage whose live view is where this vendor has it.
pub(crate) fn camera_of(vendor: Vendor) -> FakeCamera {
    let path = match vendor {
        Vendor::Hikvision => "/Streaming/Channels/101",
        Vendor::Dahua => "/cam/realmonitor",
        Vendor::Axis => "/axis-media/media.amp",
        Vendor::Generic | Vendor::Onvif => "/main",
    };
    let stream = StreamOptions {
        path: path.into(),
        ..StreamOptions::small()
    };
    FakeCamera::start(CameraOptions::from(stream).with_storage(StorageOptions::default())).expect("a camera")
}

/// The storage of a camera that has one.
pub(crate) fn storage(camera: &FakeCamera) -> &Storage {
    camera.storage().expect("storage")
}

/// Waits until so much is kept, and gives all of it, in truth.
#[track_caller]
pub(crate) fn wait_kept(camera: &FakeCamera, time: Duration) -> Span {
    wait_until(time + PATIENCE, "enough footage in the camera", || {
        let extent = storage(camera).extent()?;
        (extent.duration() >= time).then_some(extent)
    })
}

/// The moment at which a frame was taken.
pub(crate) fn taken(frame: &SentFrame) -> Timestamp {
    Timestamp::from_nanos(frame.time_us as i64 * 1000)
}

/// The numbers of the frames that a well-behaved camera plays of a true span: from the keyframe at or before its start to
/// the last before its end.
pub(crate) fn numbers_of(camera: &FakeCamera, span: Span) -> Vec<u32> {
    let kept = storage(camera).kept_frames();
    let first = kept.iter().position(|frame| taken(frame) >= span.start);
    let first = first.expect("footage behind the start");
    let first = if kept[first].keyframe && taken(&kept[first]) == span.start {
        first
    } else {
        kept[..=first]
            .iter()
            .rposition(|frame| frame.keyframe)
            .expect("a keyframe before it")
    };
    let wanted = kept[first..].iter().take_while(|frame| taken(frame) < span.end);
    wanted.map(|frame| frame.counter).collect()
}

/// Checks that these stamps are the frames of these numbers, each once and in order, and that each is dated as the camera
/// dated it.
#[track_caller]
pub(crate) fn assert_plays(camera: &FakeCamera, stamps: &[Stamp], numbers: &[u32]) {
    let seen: Vec<_> = stamps.iter().map(|stamp| stamp.counter).collect();
    assert_eq!(seen, numbers);
    let kept = storage(camera).kept_frames();
    for stamp in stamps {
        let frame = kept.iter().find(|frame| frame.counter == stamp.counter);
        assert_eq!(frame.map(|frame| frame.time_us as i64 * 1000), Some(stamp.time_ns));
    }
}

/// Has GStreamer's own client receive a replay into a Matroska file, as an ONVIF client without rate control.
#[track_caller]
pub(crate) fn receive_onvif(url: &str, file: &Path) -> Output {
    // By the clock of arrival, footage that comes faster than it was taken would all be dated alike.
    receive(
        url,
        file,
        &["onvif-mode=true", "onvif-rate-control=false", "buffer-mode=none"],
    )
}

/// Has GStreamer's own client receive a replay into a Matroska file, with more properties of `rtspsrc`.
#[track_caller]
pub(crate) fn receive(url: &str, file: &Path, properties: &[&str]) -> Output {
    let mut child = Command::new("gst-launch-1.0")
        .args(["-q", "rtspsrc", "protocols=tcp"])
        .args(properties)
        .arg(format!("location={url}"))
        .args([
            "!",
            "rtph264depay",
            "!",
            "h264parse",
            "!",
            "matroskamux",
            "!",
            "filesink",
        ])
        .arg(format!("location={}", file.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gst-launch-1.0 has to be installed");
    let end = Instant::now() + PATIENCE;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() >= end {
            child.kill().ok();
            let output = child.wait_with_output().expect("its words");
            panic!("gst-launch did not end: {}", String::from_utf8_lossy(&output.stderr));
        }
        pause(Duration::from_millis(10));
    }
    child.wait_with_output().expect("its words")
}
