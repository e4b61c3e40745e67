//! Everything that the storage can be told to do wrong, done as told.

use std::time::Duration;

use camkeep::model::{Span, Timestamp};
use camkeep::pipeline::demo::{CameraOptions, FakeCamera, Login, Misbehaviour, StorageOptions, StreamOptions};
use tempfile::TempDir;

use super::times::replay_onvif;
use super::{SOON, two_seconds_of};
use crate::kit::referee;
use crate::kit::replay::{End, Replay, replay};
use crate::kit::storage::{assert_plays, camera, numbers_of, storage, wait_kept};
use crate::kit::viewer::Viewer;
use crate::kit::wait::wait_until;

/// A camera with footage, and two seconds of it to ask for.
fn camera_and_span() -> (FakeCamera, Span) {
    let camera = camera();
    let extent = wait_kept(&camera, Duration::from_secs(6));
    let start = extent.start.plus(Duration::from_millis(2000));
    let start = Timestamp::from_millis(start.as_millis());
    (camera, Span::new(start, start.plus(Duration::from_secs(2))))
}

fn numbers(replay: &Replay, room: &TempDir) -> Vec<u32> {
    let stamps = referee::read_stamps(&replay.write(&room.path().join("replay.h264")));
    stamps.iter().map(|stamp| stamp.counter).collect()
}

#[test]
fn halves_too_much_and_other_times_are_played_as_told() {
    let (camera, span) = camera_and_span();
    let room = TempDir::new().unwrap();
    let second = Duration::from_secs(1);
    let middle = span.start.plus(second);
    for (wrong, truth) in [
        (Misbehaviour::FirstHalf, Span::new(span.start, middle)),
        (Misbehaviour::SecondHalf, Span::new(middle, span.end)),
        (
            Misbehaviour::TooMuch(second),
            Span::new(span.start.minus(second), span.end.plus(second)),
        ),
        (
            Misbehaviour::OtherTime(-1000),
            Span::new(span.start.minus(second), span.end.minus(second)),
        ),
    ] {
        storage(&camera).misbehave(&[wrong]);
        let onvif = replay_onvif(&camera, span);
        assert_eq!(numbers(&onvif, &room), numbers_of(&camera, truth), "{wrong:?}");
        let last = onvif.units.last().unwrap().extension.unwrap();
        assert_eq!(
            (last.end, last.terminal),
            (wrong == Misbehaviour::FirstHalf, true),
            "{wrong:?}"
        );
        let plain = replay(&storage(&camera).template_url(span), &[]).unwrap();
        assert_eq!(numbers(&plain, &room), numbers_of(&camera, truth), "{wrong:?}");
    }
    storage(&camera).behave();
    assert_eq!(numbers(&replay_onvif(&camera, span), &room), numbers_of(&camera, span));
}

#[test]
fn without_footage_a_plain_address_is_not_found_and_onvif_ends_at_once() {
    let (camera, span) = camera_and_span();
    let long_ago = Span::new(
        span.start.minus(Duration::from_secs(900)),
        span.start.minus(Duration::from_secs(800)),
    );
    storage(&camera).misbehave(&[]);
    for (wrongs, span) in [(vec![], long_ago), (vec![Misbehaviour::Nothing], span)] {
        storage(&camera).misbehave(&wrongs);
        let refused = replay(&storage(&camera).hikvision_url(span), &[]).unwrap_err();
        assert!(refused.contains("404"), "{refused}");
        let onvif = replay_onvif(&camera, span);
        assert_eq!((onvif.units.len(), onvif.end), (1, End::Farewell));
        let only = &onvif.units[0];
        assert!(only.bytes.is_empty() && only.extension.unwrap().end && only.extension.unwrap().terminal);
    }
    storage(&camera).misbehave(&[Misbehaviour::EndsAtOnce]);
    let ended = replay(&storage(&camera).hikvision_url(span), &[]).unwrap();
    assert_eq!((ended.units.len(), ended.end), (0, End::Farewell));
}

#[test]
fn garbage_comes_in_whole_packets_that_nobody_can_decode() {
    let (camera, span) = camera_and_span();
    storage(&camera).misbehave(&[Misbehaviour::Garbage]);
    let room = TempDir::new().unwrap();
    let replay = replay_onvif(&camera, span);
    assert_eq!(replay.end, End::Farewell);
    assert_eq!(replay.units.len(), numbers_of(&camera, span).len());
    let before = storage(&camera).count_bytes();
    let url = storage(&camera).template_url(span);
    let file = room.path().join("garbage.mkv");
    let viewer = Viewer::start(&url, &file, &[]).wait(SOON);
    let seen = if viewer.success() {
        referee::look(&file).stamps
    } else {
        Vec::new()
    };
    assert_eq!(seen, [], "a stamp was read out of noise");
    assert!(storage(&camera).count_bytes() > before);
}

#[test]
fn hanging_and_breaking_off_are_told_apart_by_the_connection() {
    let (camera, span) = camera_and_span();
    let room = TempDir::new().unwrap();
    let whole = numbers_of(&camera, span);
    let half = whole[..whole.len() / 2].to_vec();
    for (wrong, wanted, end) in [
        (Misbehaviour::HangsAfterPlay, vec![], End::Silence),
        (Misbehaviour::HangsHalfway, half.clone(), End::Silence),
        (Misbehaviour::BreaksOff, half, End::Closed),
        (Misbehaviour::HangsUp, whole.clone(), End::Closed),
        (Misbehaviour::NoFarewell, whole, End::Silence),
    ] {
        storage(&camera).misbehave(&[wrong]);
        let replay = replay_onvif(&camera, span);
        assert_eq!(replay.end, end, "{wrong:?}");
        assert!(
            replay.units.iter().all(|unit| !unit.extension.unwrap().end),
            "{wrong:?}"
        );
        if !wanted.is_empty() {
            assert_eq!(numbers(&replay, &room), wanted, "{wrong:?}");
        } else {
            assert!(replay.units.is_empty());
        }
    }
}

#[test]
fn a_camera_of_one_session_replays_only_when_nobody_watches() {
    let (camera, span) = camera_and_span();
    let room = TempDir::new().unwrap();
    storage(&camera).misbehave(&[Misbehaviour::OneSessionOnly]);
    let url = storage(&camera).template_url(span);
    let live = Viewer::start(&camera.url(), &room.path().join("live.mkv"), &[]);
    wait_until(SOON, "live frames", || (camera.sent_frames().len() > 10).then_some(()));
    let refused = replay(&url, &[]).unwrap_err();
    assert!(refused.contains("453"), "{refused}");
    live.stop();
    wait_until(SOON, "nobody watching", || {
        (camera.count_sessions().current == 0).then_some(())
    });
    assert_eq!(numbers(&replay(&url, &[]).unwrap(), &room), numbers_of(&camera, span));
    storage(&camera).misbehave(&[Misbehaviour::Busy]);
    let refused = replay(&url, &[]).unwrap_err();
    assert!(refused.contains("503"), "{refused}");
    let sessions = storage(&camera).count_sessions();
    assert_eq!((sessions.total, camera.count_sessions().total), (1, 1));
    wait_until(SOON, "the session to end with its client", || {
        (storage(&camera).count_sessions().current == 0).then_some(())
    });
}

#[test]
fn a_camera_that_knows_real_time_only_plays_so_whatever_is_asked() {
    let (camera, span) = camera_and_span();
    storage(&camera).misbehave(&[Misbehaviour::RealTimeOnly]);
    let replay = replay_onvif(&camera, span);
    assert!(replay.took > Duration::from_millis(1900), "{:?}", replay.took);
    assert_eq!(replay.units.len(), numbers_of(&camera, span).len());
}

#[test]
fn a_login_is_asked_for_at_the_storage_too_and_can_be_changed() {
    let options = CameraOptions::from(StreamOptions::small())
        .with_storage(StorageOptions::default())
        .with_login("guard", "first");
    let camera = FakeCamera::start(options).unwrap();
    let room = TempDir::new().unwrap();
    let span = two_seconds_of(wait_kept(&camera, Duration::from_secs(5)));
    let plain = storage(&camera).template_url(span);
    let refused = replay(&plain, &[]).unwrap_err();
    assert!(refused.contains("401"), "{refused}");
    let url = |login: &str| plain.replacen("rtsp://", &format!("rtsp://{login}"), 1);
    let file = Viewer::start(&url("guard:first@"), &room.path().join("a.mkv"), &[]).finish(SOON);
    assert_plays(&camera, &referee::read_stamps(&file), &numbers_of(&camera, span));
    let second = Login {
        user: "guard".into(),
        password: "second".into(),
    };
    camera.set_password(Some(&second)).unwrap();
    let mut wrong = Viewer::start(&url("guard:first@"), &room.path().join("b.mkv"), &[]);
    assert!(
        !wrong.wait(SOON).success() && wrong.said().contains("401"),
        "{}",
        wrong.said()
    );
    Viewer::start(&url("guard:second@"), &room.path().join("c.mkv"), &[]).finish(SOON);
    let said = storage(&camera).requests().join("\n");
    assert!(!said.contains("second") && !said.contains("guard"), "{said}");
}
