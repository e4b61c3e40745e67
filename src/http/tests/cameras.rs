#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::desk::Desk;
use crate::model::{SegmentId, Span};
use crate::timeline::fixture::{self, at, segment};

const CAMERAS: &str = "/api/v1/cameras";

/// Switched off, so that no test waits for a camera that is not there.
fn yard() -> Value {
    json!({"name": "Yard", "enabled": false, "main_stream_url": "rtsp://admin:hunter2@127.0.0.1:1/1?pwd=hunter3", "password": "hunter4"})
}

#[test]
fn a_camera_is_added_shown_changed_and_removed() {
    let desk = Desk::new();
    let added = desk.send("POST", CAMERAS, &yard().to_string());
    assert_eq!(
        (added.status, added.header("location")),
        (201, Some("/api/v1/cameras/yard"))
    );
    let shown = desk.get("/api/v1/cameras/yard");
    assert_eq!((shown.status, shown.json()), (200, added.json()));
    assert_eq!(shown.json()["main_stream_url"], "rtsp://***@127.0.0.1:1/1?pwd=***");
    assert_eq!(shown.json()["segment_seconds"], 60);

    let changed = desk.send(
        "PATCH",
        "/api/v1/cameras/yard",
        r#"{"name": "Back yard", "segment_seconds": 10}"#,
    );
    assert_eq!(changed.status, 200);
    assert_eq!(
        (&changed.json()["name"], &changed.json()["segment_seconds"]),
        (&json!("Back yard"), &json!(10))
    );
    let ids: Vec<Value> = desk
        .get(CAMERAS)
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].clone())
        .collect();
    assert_eq!(ids, [json!("door"), json!("yard")]);
    assert_eq!(desk.get("/api/v1/health/cameras").json()[1]["camera_id"], "yard");
    assert_eq!(desk.get("/api/v1/cameras/yard/health").json()["state"], "disabled");

    assert_eq!(desk.with_headers("DELETE", "/api/v1/cameras/yard", "", "").status, 200);
    let gone = desk.get("/api/v1/cameras/yard");
    assert_eq!((gone.status, gone.problem()), (404, "camera yard not found".to_owned()));
}

#[test]
fn no_answer_shows_a_secret() {
    let desk = Desk::new();
    let mut seen = Vec::new();
    seen.push(desk.send("POST", CAMERAS, &yard().to_string()));
    seen.push(desk.get(CAMERAS));
    seen.push(desk.get("/api/v1/cameras/yard"));
    seen.push(desk.send("PATCH", "/api/v1/cameras/yard", r#"{"password": "hunter5"}"#));
    seen.push(desk.send(
        "PATCH",
        "/api/v1/cameras/yard",
        r#"{"main_stream_url": "http://a:hunter6@h/"}"#,
    ));
    seen.push(desk.send("PATCH", "/api/v1/cameras/yard", r#"{"password": ["hunter7"]}"#));
    seen.push(desk.send("POST", CAMERAS, r#"{"name": "A", "password": "hunter8"#));
    for answer in seen {
        let text = String::from_utf8(answer.body).unwrap();
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[test]
fn an_answer_sent_back_whole_changes_nothing() {
    let desk = Desk::new();
    let before = desk.send("POST", CAMERAS, &yard().to_string()).json();
    desk.clock.advance(std::time::Duration::from_secs(5));
    let after = desk.send("PATCH", "/api/v1/cameras/yard", &before.to_string());
    assert_eq!((after.status, after.json()), (200, before));
    let stored = desk.app.index.read_blocking(|r| r.cameras()).unwrap().pop().unwrap();
    assert_eq!(
        stored.main_stream_url.unwrap().reveal(),
        "rtsp://admin:hunter2@127.0.0.1:1/1?pwd=hunter3"
    );
    let changed = desk
        .send("PATCH", "/api/v1/cameras/yard", r#"{"password": "other"}"#)
        .json();
    assert_eq!(
        changed["updated_at"], "2026-11-20T10:15:05.000Z",
        "a secret changed, and that shows"
    );
}

#[test]
fn every_mistake_is_told_with_its_field() {
    let desk = Desk::new();
    for (body, status, field, start) in [
        (
            r#"{"main_stream_url": "rtsp://h/1"}"#,
            400,
            "name",
            "name: a camera needs a name",
        ),
        (
            r#"{"name": "大门", "main_stream_url": "rtsp://h/1"}"#,
            400,
            "id",
            "id: no id can be made",
        ),
        (
            r#"{"name": "A", "id": "../b", "main_stream_url": "rtsp://h/1"}"#,
            400,
            "id",
            "id: a camera id has",
        ),
        (
            r#"{"name": "A"}"#,
            400,
            "main_stream_url",
            "main_stream_url: this vendor",
        ),
        (r#"{"name": "A", "vendor": "axis"}"#, 400, "address", "address: "),
        (
            r#"{"name": "A", "vendor": "acme"}"#,
            400,
            "vendor",
            "vendor: `acme` is none of",
        ),
        (
            r#"{"name": "A", "segment_seconds": "60"}"#,
            400,
            "segment_seconds",
            "segment_seconds: expected a whole",
        ),
        (
            r#"{"name": "A", "retention": 5}"#,
            400,
            "retention",
            "retention: unknown field; known are id, name",
        ),
    ] {
        let answer = desk.send("POST", CAMERAS, body);
        let detail = answer.problem();
        assert_eq!(answer.status, status, "{detail}");
        assert_eq!(answer.json()["field"], field, "{detail}");
        assert!(detail.starts_with(start), "{detail}");
    }
    let same = json!({"name": "Door", "main_stream_url": "rtsp://h/1", "enabled": false});
    let conflict = desk.send("POST", CAMERAS, &same.to_string());
    assert_eq!(
        (conflict.status, conflict.json()["type"].clone()),
        (409, json!("/problems/conflict"))
    );
    assert!(conflict.problem().contains("camera door exists already"));
    let renamed = desk.send("PATCH", "/api/v1/cameras/door", r#"{"id": "gate"}"#);
    assert_eq!((renamed.status, renamed.json()["field"].clone()), (400, json!("id")));
}

#[test]
fn a_body_that_is_no_json_object_or_too_long_is_refused() {
    let desk = Desk::new();
    let no_json = desk.with_headers("POST", CAMERAS, "Content-Type: text/plain\r\n", r#"{"name": "A"}"#);
    assert_eq!(
        (no_json.status, no_json.json()["type"].clone()),
        (415, json!("/problems/media-type"))
    );
    assert_eq!(desk.send("POST", CAMERAS, "[1]").status, 400);
    assert_eq!(desk.send("POST", CAMERAS, "").status, 400);
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(70_000));
    let too_long = desk.send("POST", CAMERAS, &long);
    assert_eq!(
        (too_long.status, too_long.json()["type"].clone()),
        (413, json!("/problems/too-large"))
    );
    // Without a length it is counted as it comes.
    let chunk = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let head = "POST /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let streamed = desk.raw(format!("{head}{chunk}").as_bytes());
    assert_eq!(streamed.status, 413);
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    let desk = Desk::new();
    for target in [
        "/api/v1/cameras/nobody",
        "/api/v1/cameras/nobody/health",
        "/api/v1/cameras/nobody/segments",
        "/api/v1/cameras/nobody/timeline",
        "/api/v1/cameras/nobody/gaps",
        "/api/v1/cameras/nobody/recording-gaps",
        "/api/v1/cameras/nobody/coverage",
        "/api/v1/cameras/nobody/days",
        "/api/v1/timeline?cameras=door,nobody",
    ] {
        let answer = desk.get(target);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (404, "camera nobody not found"),
            "{target}"
        );
    }
    assert_eq!(
        desk.get("/api/v1/cameras/No%20Body").problem(),
        "camera No Body not found"
    );
    assert_eq!(desk.get("/api/v1/cameras/%FF").status, 404);
    assert_eq!(
        desk.get("/api/v1/nowhere").problem(),
        "there is nothing at this address"
    );
    let method = desk.send("PUT", CAMERAS, "{}");
    assert_eq!(method.status, 405);
    assert!(method.problem().starts_with("PUT is not possible"));
    assert_eq!(method.header("allow"), Some("GET,HEAD,POST"));
    assert_eq!(desk.get("/api/v1/cameras?page=2").json()["field"], "page");
}

#[test]
fn the_box_says_how_it_is() {
    let desk = Desk::new();
    desk.clock.advance(std::time::Duration::from_secs(60));
    let alive = desk.get("/healthz").json();
    assert_eq!(
        (&alive["status"], &alive["uptime_seconds"]),
        (&json!("ok"), &json!(60.0))
    );
    assert_eq!(alive["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        desk.get("/readyz").json(),
        json!({"status": "ready", "cameras": 1, "recording": 0})
    );
    desk.app.index.close();
    let not_ready = desk.get("/readyz");
    assert_eq!((not_ready.status, not_ready.header("retry-after")), (503, Some("2")));
    assert!(!not_ready.problem().contains(desk.place.root.path().to_str().unwrap()));
}

#[test]
fn footage_of_a_removed_camera_is_named_can_be_seen_and_goes_when_somebody_wants_it_but_for_what_is_read() {
    let desk = Desk::new();
    let index = &desk.place.index;
    index
        .write_blocking(|writer| {
            for (sequence, start) in (0..).zip([0, 60, 120]) {
                writer.close_segment(&segment(start, start + 60, 1, sequence))?;
            }
            Ok(())
        })
        .unwrap();
    let door = "/api/v1/cameras/door";
    let removed = desk.with_headers("DELETE", door, "", "").json();
    assert_eq!(
        (&removed["purge"], &removed["purged_segments"], &removed["waits_for"]),
        (&false.into(), &0.into(), &Value::Null)
    );
    let footage = &removed["footage"];
    assert_eq!(
        (&footage["segments"], &footage["size_bytes"]),
        (&3.into(), &3000.into())
    );
    assert_eq!(
        (&footage["from"], &footage["to"]),
        (&"2026-11-20T10:00:00.000Z".into(), &"2026-11-20T10:03:00.000Z".into())
    );
    assert_eq!(desk.get(CAMERAS).json(), Value::Array(vec![]));
    let listed = desk.get("/api/v1/cameras?removed=true").json();
    assert_eq!((&listed[0]["id"], &listed[0]["footage"]), (&"door".into(), footage));
    assert!(listed[0]["removed_at"].is_string());
    for (what, query) in [
        ("", ""),
        ("/segments", ""),
        ("/timeline", ""),
        ("/gaps", ""),
        ("/recording-gaps", ""),
        ("/coverage", ""),
        ("/days", ""),
    ] {
        let place = format!("{door}{what}?{query}");
        assert_eq!(desk.get(&place).status, 404, "{place}");
        assert_eq!(desk.get(&format!("{place}removed=true")).status, 200, "{place}");
    }
    let lanes = desk.get("/api/v1/timeline?cameras=door&removed=true").json();
    assert_eq!(lanes[0]["ranges"].as_array().unwrap().len(), 1);
    let rows = desk.get(&format!("{door}/segments?removed=true")).json();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    let window = r#"{"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T10:01:00Z"}"#;
    let refused = desk.send("POST", &format!("{door}/clip"), window);
    assert_eq!(
        (refused.status, refused.problem()),
        (404, "camera door not found".to_owned())
    );
    let tried = desk.send("POST", &format!("{door}/clip?removed=true"), window);
    assert_ne!(
        tried.problem(),
        "camera door not found",
        "there is no file here to cut it from"
    );

    // A clip is being made of the middle one.
    let window = Span::new(at(70), at(80));
    let read = index
        .write_blocking(move |writer| writer.lock_segments(&fixture::door(), window))
        .unwrap();
    let read: Vec<SegmentId> = read.iter().map(|segment| segment.id).collect();
    let purged = desk
        .with_headers("DELETE", &format!("{door}?purge=true"), "", "")
        .json();
    assert_eq!(
        (&purged["purged_segments"], &purged["footage"]["segments"]),
        (&2.into(), &1.into())
    );
    assert!(purged["waits_for"].as_str().unwrap().contains("clip"), "{purged}");
    index
        .write_blocking(move |writer| writer.unlock_segments(&read))
        .unwrap();
    let purged = desk
        .with_headers("DELETE", &format!("{door}?purge=true"), "", "")
        .json();
    assert_eq!(
        (&purged["purged_segments"], &purged["footage"], &purged["waits_for"]),
        (&1.into(), &Value::Null, &Value::Null)
    );
    assert_eq!(desk.get("/api/v1/cameras?removed=true").json(), Value::Array(vec![]));
    let unknown = desk.with_headers("DELETE", &format!("{door}?purge=true"), "", "");
    assert_eq!(unknown.status, 404);
    let odd = desk.with_headers("DELETE", "/api/v1/cameras/yard?purge=yes", "", "");
    assert_eq!((odd.status, odd.problem()), (400, "purge: true or false".to_owned()));
}
