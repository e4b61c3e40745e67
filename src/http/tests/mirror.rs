//! The mirror over HTTP.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use serde_json::json;

use super::desk::Desk;
use crate::http::App;
use crate::mirror::{Engine, Setting};
use crate::model::VolumeRole;
use crate::runtime::ManualClock;
use crate::storage::{MirrorWriter, Volume};
use crate::timeline::fixture::IndexBox;

const MIRROR: &str = "/api/v1/system/mirror";

#[test]
fn a_box_without_a_mirror_says_how_to_get_one() {
    let desk = Desk::new();
    let shown = desk.get(MIRROR);
    assert_eq!((shown.status, &shown.json()["state"]), (200, &json!("off")));
    assert_eq!(shown.json()["reason"], json!(null), "nobody wants one");
    for order in ["verify", "restore", "replace"] {
        let refused = desk.send("POST", &format!("{MIRROR}/{order}"), "{}");
        assert_eq!(refused.status, 409, "{order}");
        assert!(refused.problem().contains("--mirror DIR"), "{order}");
    }
    let wish = r#"{"mirror_enabled": true, "enabled": false}"#;
    assert_eq!(desk.send("PATCH", "/api/v1/cameras/door", wish).status, 200);
    let shown = desk.get(MIRROR).json();
    assert_eq!(shown["cameras"], 1);
    assert!(shown["reason"].as_str().unwrap().contains("--mirror DIR"), "{shown}");
    let figures = desk.get("/metrics");
    let text = String::from_utf8(figures.body).unwrap();
    assert_eq!((figures.status, text.contains("mirror")), (200, false), "{text}");
}

/// The same box with a mirror whose disk is not there.
pub(super) fn with_absent_mirror(app: App, place: &IndexBox, clock: Arc<ManualClock>) -> App {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let (news, _) = tokio::sync::mpsc::unbounded_channel();
    let other = place.root.path().join("other");
    let setting = Setting {
        root: place.root.path().join("mirror"),
        index: place.index.clone(),
        primary: Arc::new(Volume::open(&other, VolumeRole::Primary, app.clock.now()).unwrap()),
        writer: Arc::new(MirrorWriter::start(1 << 20, clock.clone(), tell).unwrap()),
        news,
        clock,
        bytes_per_second: 0,
        make_room: Arc::new(|_| {}),
        is_busy: Arc::new(|| false),
        opened: Arc::new(|_| {}),
    };
    let (_never_run, mirror) = Engine::new(setting, told);
    app.with_mirror(Some(mirror))
}

#[test]
fn a_mirror_that_is_not_there_says_why_and_what_it_lacks_and_takes_no_orders_but_one() {
    let desk = Desk::changed(with_absent_mirror);
    let shown = desk.get(MIRROR).json();
    assert_eq!(
        (&shown["state"], &shown["since"]),
        (&json!("absent"), &json!("2026-11-20T10:15:00.000Z"))
    );
    assert!(shown["root"].as_str().unwrap().ends_with("/mirror"));
    assert_eq!((&shown["owed_segments"], &shown["verify"]), (&json!(0), &json!(null)));
    for order in ["verify", "restore"] {
        let refused = desk.send("POST", &format!("{MIRROR}/{order}"), "");
        assert_eq!(refused.status, 503, "{order}");
        assert!(refused.problem().contains("is not there"), "{order}");
    }
    assert_eq!(
        desk.send("POST", &format!("{MIRROR}/verify"), r#"{"fast": true}"#)
            .json()["field"],
        "fast"
    );
    assert_eq!(desk.send("POST", &format!("{MIRROR}/replace"), "").status, 202);
    let figures = desk.get("/metrics");
    assert!(
        figures
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let text = String::from_utf8(figures.body).unwrap();
    for figure in [
        "camkeep_mirror_present 0",
        "camkeep_mirror_owed_segments 0",
        "camkeep_mirror_owed_bytes 0",
        "camkeep_mirror_copied_bytes_total 0",
        "camkeep_mirror_dropped_bytes_total 0",
    ] {
        assert!(text.lines().any(|line| line == figure), "{figure} is not in\n{text}");
    }
}
