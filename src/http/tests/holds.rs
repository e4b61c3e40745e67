//! Holds and incidents, asked for as a client does.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::desk::Desk;
use crate::timeline::fixture::{at, segment};

fn evidence(desk: &Desk) -> Vec<(Value, Value)> {
    let rows = desk.get("/api/v1/cameras/door/segments").json();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (row["evidence_locked"].clone(), row["incident_id"].clone()))
        .collect()
}

#[test]
fn a_time_is_held_shown_and_let_go_and_a_camera_with_holds_cannot_be_removed() {
    let desk = Desk::new();
    desk.add_segments(vec![segment(0, 60, 1, 0), segment(60, 120, 1, 1)]);
    let body =
        json!({"cameras": ["door", "door"], "from": at(10), "to": at(20), "reason": "theft", "incident_id": "2026-17"});
    let made = desk.send("POST", "/api/v1/holds", &body.to_string());
    assert_eq!(made.status, 201);
    let hold = made.json();
    let place = made.header("location").unwrap().to_owned();
    assert_eq!(
        (&hold["cameras"], &hold["reason"], &hold["expires_at"]),
        (&json!(["door"]), &json!("theft"), &Value::Null)
    );
    assert!(
        hold["owner"].as_str().unwrap().starts_with("administrator at "),
        "{hold}"
    );
    assert_eq!(desk.get(&place).json(), hold);
    assert_eq!(desk.get("/api/v1/holds").json(), json!([hold]));
    assert_eq!(
        evidence(&desk),
        [(json!(true), json!("2026-17")), (json!(false), Value::Null)]
    );
    let refused = desk.send("DELETE", "/api/v1/cameras/door", "");
    assert_eq!(refused.status, 409);
    assert!(refused.problem().contains("hold"), "{}", refused.problem());
    let incidents = desk.get("/api/v1/incidents").json();
    assert_eq!(
        (&incidents[0]["incident_id"], &incidents[0]["segment_count"]),
        (&json!("2026-17"), &json!(1))
    );
    let of_it = desk.get("/api/v1/incidents/2026-17/segments").json();
    assert_eq!(
        (of_it.as_array().unwrap().len(), &of_it[0]["evidence_locked"]),
        (1, &json!(true))
    );
    assert_eq!(desk.send("DELETE", &place, "").status, 204);
    assert_eq!(desk.send("DELETE", &place, "").status, 404);
    assert_eq!(evidence(&desk)[0], (json!(false), Value::Null));
    assert_eq!(desk.send("DELETE", "/api/v1/cameras/door", "").status, 200);
}

#[test]
fn a_segment_is_held_by_itself_and_belongs_to_an_incident() {
    let desk = Desk::new();
    desk.add_segments(vec![segment(0, 60, 1, 0), segment(60, 120, 1, 1)]);
    let id = desk.get("/api/v1/cameras/door/segments").json()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let lock = format!("/api/v1/segments/{id}/evidence-lock");
    for incident in ["a", "b"] {
        let held = desk.send("POST", &lock, &json!({"incident_id": incident}).to_string());
        assert_eq!((held.status, &held.json()["incident_id"]), (200, &json!(incident)));
    }
    assert_eq!(
        evidence(&desk),
        [(json!(true), json!("b")), (json!(false), Value::Null)]
    );
    assert_eq!(
        desk.get("/api/v1/holds").json().as_array().unwrap().len(),
        1,
        "twice is once"
    );
    let named = format!("/api/v1/segments/{id}/incident");
    let none = desk.send("PATCH", &named, r#"{"incident_id": null}"#);
    assert_eq!((none.status, &none.json()["incident_id"]), (200, &Value::Null));
    assert_eq!(desk.send("DELETE", &lock, "").status, 200);
    assert_eq!(evidence(&desk)[0], (json!(false), Value::Null));
    let unknown = "/api/v1/segments/00000000-0000-0000-0000-000000000000/evidence-lock";
    assert_eq!(desk.send("POST", unknown, "{}").status, 404);
    assert_eq!(desk.send("DELETE", unknown, "").status, 404);
}

#[test]
fn what_a_hold_lacks_or_has_wrong_is_named() {
    let desk = Desk::new();
    let whole = json!({"cameras": ["door"], "from": at(10), "to": at(20), "reason": "theft"});
    for (field, value, status, words) in [
        ("cameras", json!([]), 400, "cameras: name them"),
        ("cameras", json!(["nobody"]), 404, "camera nobody not found"),
        ("to", json!(at(10)), 400, "`to` must be after `from`"),
        ("reason", json!(" "), 400, "reason: a text of 1 to 500 characters"),
        ("reason", Value::Null, 400, "reason: say why it is held"),
        (
            "expires_at",
            json!(at(-100_000_000)),
            400,
            "expires_at: it is over already",
        ),
        ("who", json!("me"), 400, "who"),
    ] {
        let mut body = whole.clone();
        body[field] = value;
        let refused = desk.send("POST", "/api/v1/holds", &body.to_string());
        assert_eq!(refused.status, status, "{body}: {}", refused.problem());
        assert!(refused.problem().contains(words), "{body}: {}", refused.problem());
    }
    assert_eq!(desk.get("/api/v1/holds").json(), json!([]));
    assert_eq!(desk.get("/api/v1/holds/nothing").status, 404);
}
