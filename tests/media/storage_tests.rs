//! The camera's storage judged before it judges others: it keeps every frame, plays exactly what it is asked for, says
//! the truth about time, and misbehaves as it is told. The clients are not ours: ffmpeg, GStreamer's and curl.

mod manners;
mod service;
mod times;

use std::time::Duration;

use camkeep::model::{Span, Timestamp, Vendor};
use camkeep::pipeline::demo::{AudioCodec, CameraOptions, FakeCamera, StorageOptions, StreamOptions, VideoCodec};
use tempfile::TempDir;

use crate::kit::referee;
use crate::kit::storage::{assert_plays, camera, camera_of, numbers_of, receive, receive_onvif, storage, wait_kept};
use crate::kit::viewer::{self, Viewer};
use crate::kit::wait::{pause, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// Two seconds that begin in the middle of a group of pictures.
fn two_seconds_of(extent: Span) -> Span {
    let start = extent.start.plus(Duration::from_millis(1500));
    Span::new(start, start.plus(Duration::from_secs(2)))
}

#[test]
fn a_camera_keeps_from_the_beginning_what_nobody_watches() {
    let camera = camera();
    wait_kept(&camera, Duration::from_secs(2));
    let kept = storage(&camera).kept_frames();
    assert!(kept[0].keyframe && kept[0].counter == 0, "{:?}", kept[0]);
    assert!(kept.windows(2).all(|pair| pair[1].counter == pair[0].counter + 1));
    assert!(camera.sent_frames().is_empty());
    assert_eq!(camera.count_sessions().total, 0);
}

#[test]
fn the_live_view_shows_the_frames_that_are_kept() {
    let camera = camera();
    let room = TempDir::new().unwrap();
    let file = viewer::watch(&camera.url(), &room.path().join("live.mp4"), Duration::from_secs(3));
    let stamps = referee::read_stamps(&file);
    assert!(stamps.len() > 60, "only {} frames in three seconds", stamps.len());
    assert_eq!(referee::decode_errors(&file), Vec::<String>::new());
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    let numbers: Vec<_> = stamps.iter().map(|stamp| stamp.counter).collect();
    assert_plays(&camera, &stamps, &numbers);
    let [_, first, rest @ ..] = &stamps[..] else {
        panic!("too few frames")
    };
    for stamp in rest {
        let off = (stamp.pts - first.pts) - (stamp.time_ns - first.time_ns) as f64 / 1e9;
        assert!(off.abs() < 0.001, "frame {} is {off} s off", stamp.counter);
    }
    assert_eq!(
        (camera.count_sessions().total, storage(&camera).count_sessions().total),
        (1, 0)
    );
}

#[test]
fn ffmpeg_gets_exactly_the_frames_of_a_span_by_each_plain_address() {
    let camera = camera();
    let span = two_seconds_of(wait_kept(&camera, Duration::from_secs(6)));
    let outwards = Span::new(
        Timestamp::from_seconds(span.start.as_millis().div_euclid(1000)),
        Timestamp::from_seconds((span.end.as_millis() + 999).div_euclid(1000)),
    );
    let room = TempDir::new().unwrap();
    let storage = storage(&camera);
    for (name, url, truth) in [
        ("hikvision", storage.hikvision_url(span), outwards),
        ("dahua", storage.dahua_url(span), outwards),
        ("template", storage.template_url(span), span),
    ] {
        // What lies in the future of a span that is rounded outwards has to be there.
        wait_kept(
            &camera,
            truth.end.since(storage.extent().unwrap().start) + Duration::from_millis(200),
        );
        let file = room.path().join(name).with_extension("mkv");
        let file = Viewer::start(&url, &file, &[]).finish(SOON);
        assert_plays(&camera, &referee::read_stamps(&file), &numbers_of(&camera, truth));
        assert_eq!(referee::decode_errors(&file), Vec::<String>::new(), "{name}");
    }
    assert_eq!((storage.count_sessions().total, camera.count_sessions().total), (3, 0));
    assert!(storage.count_bytes() > 50_000);
}

#[test]
fn gstreamer_gets_exactly_the_frames_of_a_span_by_a_plain_address() {
    let camera = camera();
    let span = two_seconds_of(wait_kept(&camera, Duration::from_secs(5)));
    let room = TempDir::new().unwrap();
    let file = room.path().join("replay.mkv");
    let output = receive(&storage(&camera).template_url(span), &file, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_plays(&camera, &referee::read_stamps(&file), &numbers_of(&camera, span));
}

#[test]
fn a_vendors_live_view_and_its_archive_share_a_port() {
    let room = TempDir::new().unwrap();
    for (vendor, live) in [
        (Vendor::Hikvision, "/Streaming/Channels/101"),
        (Vendor::Dahua, "/cam/realmonitor?channel=1&subtype=0"),
    ] {
        let camera = camera_of(vendor);
        let file = room.path().join(vendor.as_str()).with_extension("mp4");
        let seen = viewer::watch(&camera.url_of(live), &file, Duration::from_secs(2));
        assert!(referee::missing_or_doubled(&referee::read_stamps(&seen)).is_nothing());
        let extent = wait_kept(&camera, Duration::from_secs(4));
        let span = Span::new(
            extent.start.plus(Duration::from_secs(1)),
            extent.end.minus(Duration::from_secs(1)),
        );
        let url = match vendor {
            Vendor::Dahua => storage(&camera).dahua_url(span),
            _ => storage(&camera).hikvision_url(span),
        };
        assert!(
            url.starts_with(&format!("rtsp://127.0.0.1:{}/", camera.port())),
            "{url}"
        );
        let replayed = Viewer::start(&url, &file, &[]).finish(SOON);
        assert!(referee::read_stamps(&replayed).len() > 25);
        assert_eq!(camera.count_sessions().total, 1);
    }
}

#[test]
fn pictures_in_h265_are_kept_and_played_too() {
    let options = StreamOptions {
        codec: VideoCodec::H265,
        fps: 15,
        gop_frames: 15,
        ..StreamOptions::small()
    };
    let camera = FakeCamera::start(CameraOptions::from(options).with_storage(StorageOptions::default())).unwrap();
    let span = two_seconds_of(wait_kept(&camera, Duration::from_secs(5)));
    let room = TempDir::new().unwrap();
    let url = storage(&camera).template_url(span);
    let file = Viewer::start(&url, &room.path().join("replay.mkv"), &[]).finish(SOON);
    assert_eq!(referee::probe(&file).video().codec, "hevc");
    assert_plays(&camera, &referee::read_stamps(&file), &numbers_of(&camera, span));
    let live = viewer::watch(&camera.url(), &room.path().join("live.mp4"), Duration::from_secs(2));
    assert!(referee::missing_or_doubled(&referee::read_stamps(&live)).is_nothing());
}

#[test]
fn a_camera_with_storage_refuses_what_it_could_not_keep() {
    for wrong in [
        StreamOptions {
            audio: AudioCodec::Aac,
            ..StreamOptions::small()
        },
        StreamOptions {
            bframes: 2,
            ..StreamOptions::small()
        },
    ] {
        assert!(FakeCamera::start(CameraOptions::from(wrong).with_storage(StorageOptions::default())).is_err());
    }
    let plain = FakeCamera::start(StreamOptions::small()).unwrap();
    assert!(plain.storage().is_err() && plain.cut_live(true).is_err());
}

#[test]
fn an_onvif_client_without_rate_control_gets_everything_faster_than_real_time() {
    let camera = camera();
    wait_kept(&camera, Duration::from_secs(15));
    camera.stall();
    pause(Duration::from_millis(300));
    let room = TempDir::new().unwrap();
    let file = room.path().join("replay.mkv");
    let kept: Vec<_> = storage(&camera)
        .kept_frames()
        .iter()
        .map(|frame| frame.counter)
        .collect();
    let started = std::time::Instant::now();
    let output = receive_onvif(&storage(&camera).replay_url(), &file);
    let took = started.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_plays(&camera, &referee::read_stamps(&file), &kept);
    // GStreamer leaves some seconds between the farewell and its own end.
    assert!(took < Duration::from_secs(12), "fifteen seconds took {took:?}");
    let requests = storage(&camera).requests();
    let play = requests.iter().find(|request| request.starts_with("PLAY"));
    let play = play.expect("a PLAY");
    assert!(play.contains(" clock=") && play.ends_with(" no"), "{play}");
}

#[test]
fn a_cut_live_view_is_kept_and_comes_back() {
    let camera = camera();
    let room = TempDir::new().unwrap();
    let mut live = Viewer::start(&camera.url(), &room.path().join("before.mkv"), &[]);
    wait_until(SOON, "live frames", || (camera.sent_frames().len() > 25).then_some(()));
    camera.cut_live(true).unwrap();
    live.wait(SOON);
    let cut_from = wait_kept(&camera, Duration::from_secs(1)).end;
    wait_until(SOON, "two seconds that nobody saw", || {
        let extent = storage(&camera).extent()?;
        (extent.end.since(cut_from) > Duration::from_secs(2)).then_some(())
    });
    let refused = Viewer::start(&camera.url(), &room.path().join("cut.mkv"), &[]).wait(SOON);
    assert!(!refused.success(), "the live view is cut");
    let unseen = Span::new(cut_from, cut_from.plus(Duration::from_secs(2)));
    let url = storage(&camera).template_url(unseen);
    let file = Viewer::start(&url, &room.path().join("replay.mkv"), &[]).finish(SOON);
    assert!(referee::read_stamps(&file).len() >= 45, "the storage is served");
    camera.cut_live(false).unwrap();
    let file = viewer::watch(&camera.url(), &room.path().join("after.mp4"), Duration::from_secs(1));
    assert!(!referee::read_stamps(&file).is_empty());
}

#[test]
fn a_camera_cut_off_from_its_network_answers_nobody_and_keeps_all() {
    let camera = camera();
    let room = TempDir::new().unwrap();
    wait_kept(&camera, Duration::from_secs(1));
    let (rtsp, onvif) = (camera.port(), storage(&camera).onvif_port());
    camera.cut_network(true).unwrap();
    for port in [rtsp, onvif] {
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }
    wait_kept(&camera, Duration::from_secs(4));
    camera.cut_network(false).unwrap();
    assert_eq!((camera.port(), storage(&camera).onvif_port()), (rtsp, onvif));
    assert!(std::net::TcpStream::connect(("127.0.0.1", onvif)).is_ok());
    let extent = storage(&camera).extent().unwrap();
    let span = Span::new(extent.start, extent.start.plus(Duration::from_secs(3)));
    let file = Viewer::start(&storage(&camera).template_url(span), &room.path().join("a.mkv"), &[]).finish(SOON);
    let stamps = referee::read_stamps(&file);
    assert!(referee::missing_or_doubled(&stamps).is_nothing() && stamps.len() >= 74);
    viewer::watch(&camera.url(), &room.path().join("b.mp4"), Duration::from_secs(1));
}

#[test]
fn a_frozen_live_view_keeps_its_connection_and_goes_on_with_a_keyframe() {
    let camera = camera();
    let room = TempDir::new().unwrap();
    let mut live = Viewer::start(&camera.url(), &room.path().join("live.mkv"), &[]);
    wait_until(SOON, "live frames", || (camera.sent_frames().len() > 25).then_some(()));
    camera.freeze_live(true).unwrap();
    pause(Duration::from_millis(300));
    let (sent, kept) = (camera.sent_frames().len(), storage(&camera).kept_frames().len());
    wait_until(SOON, "a second of footage", || {
        (storage(&camera).kept_frames().len() > kept + 25).then_some(())
    });
    assert_eq!(camera.sent_frames().len(), sent, "frames left a frozen camera");
    assert!(live.is_running());
    camera.freeze_live(false).unwrap();
    wait_until(SOON, "live frames again", || {
        (camera.sent_frames().len() > sent + 25).then_some(())
    });
    assert!(camera.sent_frames()[sent].keyframe);
    let stamps = referee::read_stamps(&live.stop());
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.missing.len() >= 25 && wrong.doubled.is_empty(), "{wrong:?}");
    assert_eq!(camera.count_sessions().total, 1);
}
