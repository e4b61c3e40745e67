//! The disks and their rules, as a client sees them.

use std::sync::Arc;

use serde_json::json;

use super::desk::Desk;
use crate::http::Keeping;
use crate::model::VolumeRole;
use crate::retain::{Retention, Rules};

fn desk() -> (Desk, Retention) {
    let configured = Rules {
        max_bytes: Some(500_000_000_000),
        ..Rules::default()
    };
    let primary = Retention::new(VolumeRole::Primary, configured);
    let keeping = Keeping {
        primary: primary.clone(),
        mirror: None,
        configured,
    };
    (Desk::changed(|app, _, _: Arc<_>| app.with_keeping(keeping)), primary)
}

#[test]
fn rules_that_are_set_hold_in_place_of_the_configurations_until_they_are_cleared() {
    let (desk, retention) = desk();
    const RULES: &str = "/api/v1/system/retention";
    let shown = desk.get(RULES).json();
    assert_eq!(
        (&shown["max_recordings_gb"], &shown["max_recordings_from"]),
        (&json!(500.0), &json!("configuration"))
    );
    assert_eq!(shown["min_free_disk_from"], "default");
    let set = desk
        .send("PUT", RULES, r#"{"max_recordings_gb": 0.25, "min_free_disk_gb": 12}"#)
        .json();
    assert_eq!(
        (&set["max_recordings_gb"], &set["max_recordings_from"]),
        (&json!(0.25), &json!("set"))
    );
    let rules = retention.status().rules;
    assert_eq!(
        (rules.max_bytes, rules.min_free_bytes),
        (Some(250_000_000), Some(12_000_000_000))
    );
    assert_eq!(desk.get(RULES).json(), set, "it is kept");
    let back = desk.send("PUT", RULES, r#"{"max_recordings_gb": null}"#).json();
    assert_eq!(
        (&back["max_recordings_gb"], &back["min_free_disk_from"]),
        (&json!(500.0), &json!("set"))
    );
    for (body, field) in [
        (r#"{"max_recordings_gb": -1}"#, "max_recordings_gb"),
        (r#"{"min_free_disk_gb": "much"}"#, "min_free_disk_gb"),
        (r#"{"most": 1}"#, "most"),
    ] {
        let refused = desk.send("PUT", RULES, body);
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.problem().contains(field), "{body}");
    }
}

#[test]
fn the_box_says_how_its_disks_are() {
    let (desk, _) = desk();
    let shown = desk.get("/api/v1/system").json();
    assert_eq!(
        (&shown["mirror"], &shown["primary"]["problem"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(shown["primary"]["max_recordings_bytes"], 500_000_000_000u64);
    assert_eq!(
        shown["primary"]["projected_days_remaining"],
        json!(null),
        "nothing is recorded"
    );
    assert!(
        String::from_utf8(desk.get("/metrics").body)
            .unwrap()
            .contains("camkeep_recordings_bytes 0")
    );
}
