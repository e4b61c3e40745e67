//! Trying cameras: what a person sees who has just typed an address and a password.

use std::process::Command;

use camkeep::pipeline::demo::{CameraOptions, FakeCamera, Login, StreamOptions, VideoCodec};
use serde_json::{Value, json};

use crate::daemon_site::Site;

fn add(site: &Site, id: &str, url: &str) {
    let camera = json!({"id": id, "name": id, "main_stream_url": url, "record_enabled": false});
    site.daemon().post("/api/v1/cameras", &camera).ok();
}

fn test(site: &Site, id: &str) -> Value {
    site.daemon()
        .post(&format!("/api/v1/cameras/{id}/test"), &Value::Null)
        .ok()
}

#[test]
fn a_trial_says_what_a_camera_sends_or_why_it_sends_nothing_and_writes_nothing() {
    let site = Site::start();
    let small = FakeCamera::start(StreamOptions {
        codec: VideoCodec::H265,
        ..StreamOptions::small()
    })
    .unwrap();
    add(&site, "works", &small.url());
    let done = test(&site, "works");
    assert_eq!(
        (&done["ok"], &done["codec"], &done["width"]),
        (&json!(true), &json!("h265"), &json!(320)),
        "{done}"
    );

    let locked = FakeCamera::start(CameraOptions::from(StreamOptions::small()).with_login("viewer", "right")).unwrap();
    add(&site, "locked", &locked.url());
    let done = test(&site, "locked");
    assert_eq!(
        (&done["ok"], &done["loss"]),
        (&json!(false), &json!("unauthorised")),
        "{done}"
    );
    site.daemon()
        .patch(
            "/api/v1/cameras/locked",
            &json!({"username": "viewer", "password": "right"}),
        )
        .ok();
    assert_eq!(test(&site, "locked")["ok"], true);
    locked
        .set_password(Some(&Login {
            user: "viewer".into(),
            password: "another".into(),
        }))
        .unwrap();
    assert_eq!(test(&site, "locked")["loss"], "unauthorised");

    let port = small.port();
    drop(small);
    add(&site, "gone", &format!("rtsp://127.0.0.1:{port}/main"));
    let done = test(&site, "gone");
    assert_eq!(
        (&done["ok"], &done["loss"]),
        (&json!(false), &json!("refused")),
        "{done}"
    );
    assert!(
        done["message"].as_str().is_some_and(|message| !message.is_empty()),
        "{done}"
    );

    for id in ["works", "locked", "gone"] {
        assert!(
            site.rows(id).is_empty() && site.files(id).is_empty(),
            "{id}: nothing is written"
        );
    }
    let unknown = site.daemon().post("/api/v1/cameras/nobody/test", &Value::Null);
    assert_eq!(unknown.status, 404);

    let said = |id: &str| {
        let command = ["camera", "test", id, "--server", site.daemon().address()];
        Command::new(env!("CARGO_BIN_EXE_camkeep"))
            .args(command)
            .output()
            .unwrap()
    };
    assert_eq!(said("gone").status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said("gone").stderr).contains("gone: "));
}
