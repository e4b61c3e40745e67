//! Archives whose replay is a URL.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::camera::surroundings;
use crate::archive::{ClockOffset, Holdings, LocalTime, ToldBy, archive_of};
use crate::model::{Camera, CameraClock, CameraId, Span, Timestamp, Vendor};

fn camera(vendor: Vendor) -> Camera {
    let mut camera = Camera::new(CameraId::parse("door").unwrap(), "Door".into(), Timestamp::EPOCH);
    camera.vendor = vendor;
    camera.address = Some("10.0.0.9".into());
    camera.channel = 2;
    (camera.username, camera.password) = (Some("admin".into()), Some("hunter2".into()));
    camera
}

fn clock() -> ClockOffset {
    ClockOffset {
        // Half a minute ahead, and a little not known.
        ahead_ns: 30_000_000_000,
        within: Duration::from_millis(40),
        told_by: ToldBy::Http,
        local: LocalTime::Zone(chrono_tz::Europe::Berlin),
    }
}

fn span() -> Span {
    Span::new(
        Timestamp::parse("2026-07-01T10:00:00.500Z").unwrap(),
        Timestamp::parse("2026-07-01T10:00:12Z").unwrap(),
    )
}

#[test]
fn each_form_asks_by_the_cameras_clock_and_outward_to_what_it_can_say() {
    let template = |text: &str| {
        let mut camera = camera(Vendor::Generic);
        camera.anr_replay_url_template = Some(text.into());
        camera
    };
    let mut elsewhere = camera(Vendor::Hikvision);
    elsewhere.main_stream_url = Some("rtsp://10.0.0.9:8554/own".into());
    let mut six = camera(Vendor::Hikvision);
    six.address = Some("fe80::1".into());
    let mut sealed = camera(Vendor::Dahua);
    sealed.main_stream_url = Some("rtsps://10.0.0.9:322/own".into());
    for (camera, url) in [
        (
            camera(Vendor::Hikvision),
            "rtsp://10.0.0.9:554/Streaming/tracks/201?starttime=20260701T100030Z&endtime=20260701T100043Z",
        ),
        (
            elsewhere,
            "rtsp://10.0.0.9:8554/Streaming/tracks/201?starttime=20260701T100030Z&endtime=20260701T100043Z",
        ),
        (
            six,
            "rtsp://[fe80::1]:554/Streaming/tracks/201?starttime=20260701T100030Z&endtime=20260701T100043Z",
        ),
        (
            camera(Vendor::Dahua),
            "rtsp://10.0.0.9:554/cam/playback?channel=2&starttime=2026_07_01_12_00_30&endtime=2026_07_01_12_00_43",
        ),
        (
            sealed,
            "rtsps://10.0.0.9:322/cam/playback?channel=2&starttime=2026_07_01_12_00_30&endtime=2026_07_01_12_00_43",
        ),
        (
            template("rtsp://nvr:8554/{channel}/{start:unix}-{end:unix}"),
            "rtsp://nvr:8554/2/1782900030-1782900043",
        ),
        (
            template("rtsp://nvr/{start:unix_ms}-{end:unix_ms}"),
            "rtsp://nvr/1782900030460-1782900042040",
        ),
    ] {
        let archive = archive_of(&camera, &surroundings()).unwrap();
        assert_eq!(archive.find(span(), &clock()), Ok(Holdings::Unknown));
        let replay = archive.replay(span(), &clock()).unwrap();
        assert_eq!(replay.address.location(), url);
        assert_eq!(replay.address.username(), Some("admin"));
        let wanted = Span::new(
            span()
                .start
                .plus(Duration::from_secs(30))
                .minus(Duration::from_millis(40)),
            span().end.plus(Duration::from_secs(30)).plus(Duration::from_millis(40)),
        );
        assert!(replay.asked.start <= wanted.start && wanted.end <= replay.asked.end);
        assert!(!replay.range && !replay.onvif && !replay.faster);
        let printed = format!("{archive:?} {replay:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn a_camera_without_an_archive_says_what_would_give_it_one() {
    let mut generic = camera(Vendor::Generic);
    generic.main_stream_url = Some("rtsp://10.0.0.9/1".into());
    let reason = |camera: &Camera| archive_of(camera, &surroundings()).unwrap_err().to_string();
    assert!(reason(&generic).contains("set `vendor`"), "{}", reason(&generic));
    generic.anr_replay_url_template = Some("rtsp://u:hunter2@10.0.0.9/{start}".into());
    let template = reason(&generic);
    assert!(
        template.contains("{end} is missing") && !template.contains("hunter2"),
        "{template}"
    );
    let mut nowhere = camera(Vendor::Hikvision);
    nowhere.address = None;
    assert!(reason(&nowhere).contains("address is missing"));
    nowhere.address = Some("10.0.0.9/x?".into());
    nowhere.main_stream_url = Some("rtsp://cam/1".into());
    assert!(reason(&nowhere).starts_with("address: "), "{}", reason(&nowhere));
}

#[test]
fn credentials_of_a_streams_url_go_to_its_host_only() {
    let mut camera = camera(Vendor::Hikvision);
    (camera.username, camera.password) = (None, None);
    camera.main_stream_url = Some("rtsp://viewer:hunter3@10.0.0.9/1".into());
    let user = |camera: &Camera| {
        let archive = archive_of(camera, &surroundings()).unwrap();
        let replay = archive.replay(span(), &clock()).unwrap();
        replay.address.username().map(str::to_owned)
    };
    assert_eq!(user(&camera).as_deref(), Some("viewer"));
    camera.address = Some("10.0.0.10".into());
    assert_eq!(user(&camera), None);
    camera.anr_replay_url_template = Some("rtsp://10.0.0.9/{start}/{end}".into());
    assert_eq!(user(&camera).as_deref(), Some("viewer"));
    camera.anr_replay_url_template = Some("rtsp://10.0.0.11/{start}/{end}".into());
    assert_eq!(user(&camera), None);
}

#[test]
fn sender_reports_make_a_clock_better_only_where_they_agree_with_it() {
    let rough = ClockOffset {
        within: Duration::from_millis(500),
        ..clock()
    };
    let reports = |offset_ns| CameraClock {
        offset_ns,
        drift_ppm: 0.0,
    };
    let better = rough.refined_by(reports(30_300_000_000));
    assert_eq!((better.ahead_ns, better.told_by), (30_300_000_000, ToldBy::Reports));
    assert!(better.within < rough.within);
    // A camera whose reports count from when it was switched on.
    assert_eq!(rough.refined_by(reports(-1_700_000_000_000_000_000)), rough);
    assert_eq!(rough.refined_by(reports(32_000_000_000)), rough);
}
