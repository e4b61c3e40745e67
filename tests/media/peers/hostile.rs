//! Peers that misbehave on order.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use camkeep::model::{CameraState, Loss};
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};

use super::crowd::Crowd;
use crate::kit::peer::{self, Mode};
use crate::kit::referee;
use crate::kit::wait::pause;

/// What is to be made of a peer: which loss, and a word that the message has.
struct Expected {
    mode: Mode,
    loss: Loss,
    word: &'static str,
}

fn expect(mode: Mode, loss: Loss, word: &'static str) -> Expected {
    Expected { mode, loss, word }
}

/// A port that nobody may come to.
fn forbidden() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("rtsp://{}/secret", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn every_misbehaving_peer_is_lost_in_plain_words_and_costs_the_others_no_frame() {
    let (target, elsewhere) = forbidden();
    let table = [
        expect(Mode::NeverAnswers, Loss::Unreachable, "sent nothing for 8 s"),
        expect(Mode::OneByteEachHalfSecond, Loss::Unreachable, "sent nothing for 8 s"),
        expect(Mode::EndlessHeaders, Loss::Broken, "a header of more than 64 kB"),
        expect(Mode::RedirectLoop, Loss::Refused, "redirects in a circle"),
        expect(Mode::RedirectTo(elsewhere), Loss::Refused, "which is not followed"),
        expect(Mode::GarbageAfter(150), Loss::Broken, "not RTSP"),
        expect(Mode::RandomSequence, Loss::Broken, "at random"),
        expect(Mode::FrozenAfter(50), Loss::Stalled, "no frame for 5 s"),
        expect(Mode::ClosesAfter(150), Loss::Ended, "ended the stream"),
        expect(Mode::ManyMedia, Loss::Broken, "256 kB are read at most"),
        expect(Mode::ManyAttributes, Loss::Broken, "256 kB are read at most"),
        expect(Mode::ManyParameters(5_000), Loss::Broken, "by 5002 parameters"),
        expect(Mode::ManyParameters(500_000), Loss::Broken, "256 kB are read at most"),
        expect(Mode::EndlessBody, Loss::Broken, "a description of 2097152 kB"),
        expect(Mode::EndlessPicture(25), Loss::Broken, "picture of more than 16 MB"),
        expect(Mode::EmptySdp, Loss::Broken, "describes no stream"),
        expect(Mode::MissingRtpmap, Loss::Broken, "H.264 or H.265"),
        expect(
            Mode::Payload(26),
            Loss::Broken,
            "sends MJPEG, which camkeep does not record: switch it to H.264",
        ),
        expect(Mode::Payload(33), Loss::Broken, "sends an MPEG transport stream"),
        expect(Mode::UnauthorizedForEver, Loss::Unauthorised, "user name"),
    ];
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut crowd = Crowd::new();
    let good = crowd.record("good", &camera.url());
    let plain = peer::start(Mode::WrongSprop);
    let forgiven = crowd.record("wrong parameter sets", &plain.url("/main"));
    crowd.wait_for(&good, Duration::from_secs(10), "records", |health| {
        health.state == CameraState::Recording
    });

    let begun = Instant::now();
    let peers: Vec<_> = table.iter().map(|row| peer::start(row.mode.clone())).collect();
    let named = |mode: &Mode| {
        format!("{mode:?}")
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(30)
            .collect::<String>()
    };
    let ids: Vec<_> = table
        .iter()
        .zip(&peers)
        .map(|(row, peer)| crowd.record(&named(&row.mode), &peer.url("/main")))
        .collect();
    // Ten seconds of patience from the fault, which some of them commit after some seconds of good behaviour. Those come
    // back for a while, so all are watched at once.
    let mut first = vec![None; ids.len()];
    while first.iter().any(Option::is_none) {
        for (first, id) in first.iter_mut().zip(&ids) {
            let health = crowd.health(id);
            if let (None, Some(loss)) = (&first, health.loss) {
                *first = Some((loss, health.message.unwrap(), begun.elapsed()));
            }
        }
        let missing = || {
            ids.iter()
                .zip(&first)
                .filter(|(_, loss)| loss.is_none())
                .collect::<Vec<_>>()
        };
        assert!(begun.elapsed() < Duration::from_secs(16), "not lost: {:?}", missing());
        pause(Duration::from_millis(20));
    }
    for ((row, id), lost) in table.iter().zip(&ids).zip(first) {
        let (loss, message, after) = lost.unwrap();
        assert_eq!(loss, row.loss, "{id}: {message}");
        assert!(
            loss != Loss::Unreachable || after <= Duration::from_secs(10),
            "{id}: noticed after {after:?}"
        );
        assert!(message.contains(row.word), "{id}: {message}");
        for riddle in ["GStreamer", "Could not", "gst", "resource", "element"] {
            assert!(!message.contains(riddle), "{id}: {message}");
        }
    }
    assert_eq!(crowd.health(&forgiven).state, CameraState::Recording);
    assert!(target.accept().is_err(), "somebody went where the camera pointed");

    // What had come before the garbage is whole.
    let spoilt = &ids[5];
    let before = crowd.wait_for_closed(spoilt, 1, Duration::from_secs(5));
    assert_eq!(referee::decode_errors(&crowd.path(&before[0])), Vec::<String>::new());
    assert!(before[0].frames >= 75, "{} frames", before[0].frames);

    // Each is let go at once, also those that are in the middle of a sentence.
    for id in &ids {
        let begun = Instant::now();
        assert_eq!(crowd.health(id).abandoned, 0, "{id}");
        crowd.remove(id);
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{id} took {:?}",
            begun.elapsed()
        );
    }
    crowd.wait_for_closed(&good, 3, Duration::from_secs(20));
    crowd.stop();
    let segments = crowd.closed(&good);
    let stamps: Vec<_> = segments
        .iter()
        .flat_map(|segment| referee::read_stamps(&crowd.path(segment)))
        .collect();
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    assert!(stamps.len() > 25 * 12, "{} frames", stamps.len());
    assert_eq!(crowd.losses(&good), []);
}

#[test]
fn who_cannot_be_reached_is_told_apart_by_what_a_person_can_mend() {
    let mut crowd = Crowd::new();
    let (closed, _) = forbidden();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for (name, url, loss, word) in [
        (
            "closed",
            format!("rtsp://127.0.0.1:{port}/x"),
            Loss::Refused,
            format!("refuses the connection at 127.0.0.1:{port}"),
        ),
        (
            "unknown",
            "rtsp://no-such-camera.invalid/x".to_owned(),
            Loss::Unreachable,
            "name no-such-camera.invalid is not known".to_owned(),
        ),
    ] {
        let id = crowd.record(name, &url);
        let health = crowd.wait_for(&id, Duration::from_secs(10), "is lost", |health| health.loss.is_some());
        assert_eq!((health.loss, health.state), (Some(loss), CameraState::Offline));
        assert!(health.message.as_ref().unwrap().contains(&word), "{:?}", health.message);
    }
    crowd.stop();
}

#[test]
fn a_wrong_password_is_tried_three_times_and_a_right_one_at_once() {
    use camkeep::pipeline::demo::Login;
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let login = Login {
        user: "keeper".into(),
        password: "right".into(),
    };
    camera.set_password(Some(&login)).unwrap();
    let asks = |camera: &FakeCamera| camera.count_connections().total;
    let mut crowd = Crowd::new();
    let set = |camera: &mut camkeep::model::Camera, password: &str| {
        camera.username = Some("keeper".into());
        camera.password = Some(password.into());
    };
    let id = crowd.record_as("locked", &camera.url(), |it| set(it, "wrong"));
    crowd.wait_for(&id, Duration::from_secs(12), "has been refused three times", |health| {
        health.loss == Some(Loss::Unauthorised) && health.reconnects == 2
    });
    crowd.wait_for(&id, Duration::from_secs(5), "is refused for the third time", |_| {
        asks(&camera) >= 3
    });
    let health = crowd.health(&id);
    assert_eq!(health.state, CameraState::Error);
    assert!(
        health
            .message
            .as_ref()
            .unwrap()
            .contains("does not accept this user name and password"),
        "{:?}",
        health.message
    );
    // The fourth try would come after four seconds with jitter if it were a loss like others.
    pause(Duration::from_secs(7));
    assert_eq!((asks(&camera), crowd.health(&id).reconnects), (3, 2));

    crowd.record_as("locked", &camera.url(), |it| set(it, "right"));
    crowd.wait_for(&id, Duration::from_secs(5), "records", |health| {
        health.state == CameraState::Recording && health.loss.is_none()
    });
    crowd.stop();
    assert!(crowd.closed(&id).iter().map(|segment| segment.frames).sum::<u64>() > 0);
}
