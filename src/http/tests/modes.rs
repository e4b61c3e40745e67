#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::desk::Desk;

const OF_YARD: &str = "/api/v1/cameras/yard/schedules";

/// A camera that nobody can reach, so that nothing is ever received of it.
fn with_yard(mode: &str) -> Desk {
    let desk = Desk::new();
    let yard = json!({"name": "Yard", "main_stream_url": "rtsp://127.0.0.1:1/1", "record_mode": mode, "pre_roll_seconds": 5,
        "post_roll_seconds": 20});
    assert_eq!(desk.send("POST", "/api/v1/cameras", &yard.to_string()).status, 201);
    desk
}

#[test]
fn a_schedule_is_added_shown_changed_and_removed() {
    let desk = with_yard("scheduled");
    assert_eq!(desk.get(OF_YARD).json(), json!([]));
    let body = json!({"days": [0, 1], "time_start": "22:00", "time_end": "06:00", "zone": "Europe/Berlin"});
    let added = desk.send("POST", OF_YARD, &body.to_string());
    assert_eq!(added.status, 201);
    let place = added.header("location").unwrap().to_owned();
    assert_eq!(place, format!("/api/v1/schedules/{}", added.json()["id"]));
    assert_eq!(desk.get(&place).json(), added.json());
    assert_eq!(desk.get(OF_YARD).json(), json!([added.json()]));
    let changed = desk.send("PATCH", &place, r#"{"time_end": "07:30", "enabled": false}"#);
    assert_eq!((changed.status, &changed.json()["time_end"]), (200, &json!("07:30")));
    assert_eq!(changed.json()["days"], json!([0, 1]));
    assert_eq!(desk.send("PATCH", &place, r#"{"days": []}"#).json()["field"], "days");
    assert_eq!(desk.with_headers("DELETE", &place, "", "").status, 204);
    let id = place.rsplit('/').next().unwrap();
    for answer in [desk.get(&place), desk.with_headers("DELETE", &place, "", "")] {
        assert_eq!(
            (answer.status, answer.problem()),
            (404, format!("schedule {id} not found"))
        );
    }
    assert_eq!(desk.get("/api/v1/schedules/x").problem(), "schedule x not found");
    let nobody = desk.send("POST", "/api/v1/cameras/nobody/schedules", &body.to_string());
    assert_eq!(
        (nobody.status, nobody.problem()),
        (404, "camera nobody not found".to_owned())
    );
}

#[test]
fn a_schedule_takes_effect_at_once() {
    let desk = with_yard("scheduled");
    let state = || desk.get("/api/v1/cameras/yard/health").json()["state"].clone();
    let wait_for = |wanted: &[&str]| {
        let begun = std::time::Instant::now();
        while !wanted.iter().any(|word| state() == *word) {
            assert!(
                begun.elapsed() < std::time::Duration::from_secs(10),
                "{} and not {wanted:?}",
                state()
            );
            std::thread::yield_now();
        }
    };
    wait_for(&["idle"]);
    let always = json!({"days": [0, 1, 2, 3, 4, 5, 6], "time_start": "00:00", "time_end": "24:00"});
    let place = desk
        .send("POST", OF_YARD, &always.to_string())
        .header("location")
        .unwrap()
        .to_owned();
    wait_for(&["connecting", "offline"]);
    assert_eq!(desk.with_headers("DELETE", &place, "", "").status, 204);
    wait_for(&["idle"]);
}

#[test]
fn a_trigger_says_what_it_does_and_why_it_cannot() {
    let desk = with_yard("event");
    let trigger = "/api/v1/cameras/yard/record-trigger";
    desk.clock.advance(std::time::Duration::from_secs(60));
    let first = desk.with_headers("POST", trigger, "", "");
    assert_eq!(
        (first.status, first.json()),
        (
            200,
            json!({"camera_id": "yard", "from": "2026-11-20T10:15:55.000Z", "until": "2026-11-20T10:16:20.000Z", "extended": false})
        )
    );
    let second = desk
        .send("POST", trigger, r#"{"reason": "door contact", "seconds": 60}"#)
        .json();
    assert_eq!(
        (&second["until"], &second["extended"]),
        (&json!("2026-11-20T10:17:20.000Z"), &json!(true))
    );
    for (body, field) in [
        (r#"{"seconds": 3601}"#, "seconds"),
        (r#"{"seconds": -1}"#, "seconds"),
        (r#"{"reason": 5}"#, "reason"),
        (r#"{"why": "x"}"#, "why"),
    ] {
        let answer = desk.send("POST", trigger, body);
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{body}");
    }
    assert_eq!(
        desk.send("POST", "/api/v1/cameras/nobody/record-trigger", "{}").status,
        404
    );
    desk.send("PATCH", "/api/v1/cameras/yard", r#"{"record_mode": "continuous"}"#);
    let refused = desk.send("POST", trigger, "{}");
    assert_eq!(refused.status, 409);
    assert_eq!(
        refused.problem(),
        "camera yard takes no trigger: the camera records in the mode continuous, which has no events; set record_mode to \
         event or scheduled_event"
    );
    desk.send("PATCH", "/api/v1/cameras/yard", r#"{"record_mode": "scheduled_event"}"#);
    assert!(desk.send("POST", trigger, "{}").problem().ends_with("add a schedule"));
}
