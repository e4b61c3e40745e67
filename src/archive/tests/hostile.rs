//! Cameras that mean no good, or were taken over, and those that are not there.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::time::Duration;

use super::camera::{FakeCamera, PASSWORD, Reply, now};
use crate::archive::{Archive, ArchiveError, ClockOffset, LocalTime};
use crate::model::{Span, Vendor};

fn asked(archive: &dyn Archive) -> ArchiveError {
    let span = Span::new(now(-60), now(-30));
    let clock = ClockOffset::assumed(LocalTime::East(0));
    let error = archive.replay(span, &clock).unwrap_err();
    let said = format!("{error} {error:?} {archive:?}");
    assert!(!said.contains(PASSWORD), "{said}");
    error
}

fn answered(reply: Reply) -> ArchiveError {
    let camera = FakeCamera::start(move |_, _| reply.clone());
    asked(&*camera.archive(Vendor::Onvif, |_| {}))
}

#[test]
fn garbage_is_named_for_what_it_is() {
    for (reply, word) in [
        (Reply::ok("<html>hello</html>"), "is no SOAP"),
        (Reply::ok(""), "is no SOAP"),
        (
            Reply::ok("<!DOCTYPE a [<!ENTITY b \"c\">]><Envelope>&b;</Envelope>"),
            "is no SOAP",
        ),
        (Reply::ok("<a>".repeat(200_000)), "is no SOAP"),
        (Reply::ok(" ".repeat((1 << 20) + 1)), "more than a camera would"),
        (Reply::status(500), "fails at it (500)"),
        (Reply::Raw("SSH-2.0-OpenSSH_9.2\r\n"), "does not speak HTTP"),
    ] {
        let error = answered(reply);
        assert!(matches!(error, ArchiveError::Broken(_)), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let error = answered(Reply::Endless);
    assert!(
        matches!(&error, ArchiveError::Broken(text) if text.contains("more than a camera would")),
        "{error:?}"
    );
}

#[test]
fn a_camera_that_sends_elsewhere_is_not_followed() {
    let other = FakeCamera::start(|_, _| Reply::status(404));
    let to = format!("http://127.0.0.1:{}/latest/meta-data", other.port);
    let error = answered(Reply::Whole(302, vec![("Location", to)], String::new()));
    assert!(
        matches!(&error, ArchiveError::Unsupported(text) if text.contains("not followed")),
        "{error:?}"
    );
    assert!(other.asked().is_empty());
}

#[test]
fn a_password_that_is_refused_is_tried_once_in_each_way_and_never_shown() {
    let camera = FakeCamera::start(|_, _| Reply::challenge());
    let archive = camera.archive(Vendor::Onvif, |_| {});
    let error = asked(&*archive);
    assert!(
        matches!(&error, ArchiveError::Unauthorised(text) if text.contains("check them")),
        "{error:?}"
    );
    let asked = camera.asked();
    // A token, the same without anything to hear what is wanted, and the digest.
    assert!(asked.len() <= 3, "{} requests", asked.len());
    assert!(asked.iter().all(|asked| !format!("{asked:?}").contains(PASSWORD)));
}

#[test]
fn a_password_is_never_sent_so_that_others_could_read_it() {
    let basic = vec![("WWW-Authenticate", "Basic realm=\"cam\"".to_owned())];
    let camera = FakeCamera::start(move |_, _| Reply::Whole(401, basic.clone(), String::new()));
    let error = asked(&*camera.archive(Vendor::Onvif, |_| {}));
    assert!(
        matches!(&error, ArchiveError::Unauthorised(text) if text.contains("digest")),
        "{error:?}"
    );
    assert!(
        camera
            .asked()
            .iter()
            .all(|asked| asked.header("authorization").is_none())
    );
}

#[test]
fn a_camera_that_wants_a_user_is_told_from_one_that_refuses_it() {
    let camera = FakeCamera::start(|_, _| Reply::challenge());
    let archive = camera.archive(Vendor::Onvif, |camera| {
        (camera.username, camera.password) = (None, None)
    });
    let error = asked(&*archive);
    assert!(
        matches!(&error, ArchiveError::Unauthorised(text) if text.contains("wants a user name")),
        "{error:?}"
    );
}

#[test]
fn a_camera_that_is_not_there_is_unreachable_and_says_where() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let camera = FakeCamera::start(|_, _| Reply::status(500));
    let archive = camera.archive(Vendor::Onvif, |camera| camera.http_port = closed);
    let error = asked(&*archive);
    assert!(
        matches!(&error, ArchiveError::Unreachable(text) if text.contains("`http_port`")),
        "{error:?}"
    );
}

#[test]
fn a_camera_that_is_silent_is_given_up_in_time() {
    // It listens, and nobody takes the call.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let camera = FakeCamera::start(|_, _| Reply::status(500));
    let port = listener.local_addr().unwrap().port();
    let archive = camera.archive(Vendor::Onvif, |camera| camera.http_port = port);
    let begun = now(0);
    let error = asked(&*archive);
    assert!(
        matches!(&error, ArchiveError::Unreachable(text) if text.contains("in time")),
        "{error:?}"
    );
    assert!(now(0).since(begun) < Duration::from_secs(60));
}

#[test]
fn an_answer_that_drips_is_given_up_in_time() {
    let begun = now(0);
    let error = answered(Reply::Dripping);
    assert!(
        matches!(&error, ArchiveError::Unreachable(text) if text.contains("in time")),
        "{error:?}"
    );
    assert!(now(0).since(begun) < Duration::from_secs(60));
}
