#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::desk::Desk;
use crate::model::{Event, EventKind, Gap, GapCause, GapFate, GapId, Loss, Origin, Segment, SegmentState, Span};
use crate::timeline::fixture::{at, door, segment};

fn time(seconds: i64) -> String {
    at(seconds).to_string()
}

fn window(from: i64, to: i64) -> String {
    format!("from={}&to={}", time(from), time(to))
}

/// Three segments of one run, a hole from 30 to 60, and another run to 90.
fn two_runs(desk: &Desk) {
    desk.add_segments(vec![
        segment(0, 10, 1, 0),
        segment(10, 20, 1, 1),
        segment(20, 30, 1, 2),
        segment(60, 90, 2, 0),
    ]);
}

fn keep_gap(desk: &Desk, start: i64, end: i64, open: bool) {
    let gap = Gap {
        id: GapId(0),
        camera: door(),
        span: Span::new(at(start), at(end)),
        open,
        cause: GapCause::Lost(Loss::Stalled),
        fate: GapFate::Pending,
        attempts: 0,
        last_attempt_at: None,
        filled_at: None,
        recovered_seconds: 0.0,
    };
    desk.app
        .index
        .write_blocking(move |writer| writer.insert_gap(&gap))
        .unwrap();
}

#[test]
fn a_segment_shows_everything_but_where_it_lies() {
    let desk = Desk::new();
    two_runs(&desk);
    let rows = desk.get("/api/v1/cameras/door/segments?limit=1").json();
    let row = &rows[0];
    assert_eq!(row["start_time"], "2026-11-20T10:00:00.000Z");
    assert_eq!(row["duration_s"], 10.0);
    assert_eq!(
        row["url"],
        "/media/recordings/door/20261120_100000.000Z_00000001_000000.mp4"
    );
    assert_eq!(
        (&row["codec"], &row["width"], &row["open"]),
        (&json!("h264"), &json!(640), &json!(false))
    );
    assert_eq!(row["copies"][0]["state"], "whole");
    assert_eq!(row["copies"][0].as_object().unwrap().get("path"), None);
    for field in [
        "id",
        "camera_id",
        "end_time",
        "height",
        "fps",
        "size_bytes",
        "container",
        "origin",
        "locked",
        "evidence_locked",
        "incident_id",
        "created_at",
    ] {
        assert!(row.as_object().unwrap().contains_key(field), "{field}");
    }
}

#[test]
fn spans_that_touch_a_window_are_not_in_it_and_those_that_reach_into_it_are() {
    let desk = Desk::new();
    two_runs(&desk);
    let starts = |query: &str| -> Vec<Value> {
        let rows = desk.get(&format!("/api/v1/cameras/door/segments?{query}")).json();
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["start_time"].clone())
            .collect()
    };
    assert_eq!(starts(&window(10, 20)), [json!(time(10))]);
    assert_eq!(
        starts(&window(9, 21)),
        [json!(time(0)), json!(time(10)), json!(time(20))]
    );
    assert_eq!(starts(&window(30, 60)), Vec::<Value>::new());
    assert_eq!(starts(&format!("from={}", time(89))), [json!(time(60))]);
    assert_eq!(starts(&format!("to={}", time(1))), [json!(time(0))]);
}

#[test]
fn a_thousand_rows_come_page_by_page_each_once() {
    let desk = Desk::new();
    let all = (0..1000)
        .map(|n| segment(i64::from(n), i64::from(n) + 1, 1, n))
        .collect();
    desk.add_segments(all);
    let mut next = Some(format!("/api/v1/cameras/door/segments?limit=7&{}", window(0, 1000)));
    let (mut seen, mut pages) = (Vec::new(), 0);
    while let Some(target) = next {
        let page = desk.get(&target);
        assert_eq!(page.status, 200, "{target}");
        seen.extend(
            page.json()
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["sequence"].as_u64().unwrap()),
        );
        pages += 1;
        next = page.header("link").map(|link| {
            let (target, rel) = link.split_once("; ").unwrap();
            assert_eq!(rel, "rel=\"next\"");
            target.trim_matches(['<', '>']).to_owned()
        });
    }
    assert_eq!((seen, pages), ((0..1000).collect::<Vec<u64>>(), 143));
    assert_eq!(
        desk.get("/api/v1/cameras/door/segments?limit=1000").header("link"),
        None
    );
    assert_eq!(
        desk.get("/api/v1/cameras/door/segments?limit=5001").json()["field"],
        "limit"
    );
    assert_eq!(
        desk.get("/api/v1/cameras/door/segments?cursor=x").json()["field"],
        "cursor"
    );
}

#[test]
fn a_timeline_joins_runs_and_cuts_them_to_the_window() {
    let desk = Desk::new();
    two_runs(&desk);
    let timeline = desk
        .get(&format!("/api/v1/cameras/door/timeline?{}", window(5, 70)))
        .json();
    assert_eq!(
        timeline["ranges"],
        json!([
            {"start": time(5), "end": time(30), "seconds": 25.0},
            {"start": time(60), "end": time(70), "seconds": 10.0},
        ])
    );
    assert_eq!(
        (&timeline["recorded_seconds"], &timeline["segment_count"]),
        (&json!(35.0), &json!(4))
    );
    let backwards = desk.get(&format!("/api/v1/cameras/door/timeline?{}", window(70, 5)));
    assert_eq!(
        (backwards.status, backwards.problem().as_str()),
        (400, "`to` must be after `from`")
    );
}

/// It is known how the camera is asked for what it kept.
fn with_archive(desk: &Desk) {
    let template = r#"{"anr_replay_url_template": "rtsp://cam/{start}/{end}"}"#;
    assert_eq!(desk.send("PATCH", "/api/v1/cameras/door", template).status, 200);
}

#[test]
fn a_gap_of_a_camera_that_cannot_be_asked_waits_for_nothing_and_is_not_tried_again() {
    let desk = Desk::new();
    two_runs(&desk);
    keep_gap(&desk, 30, 60, false);
    let rows = |query: &str| desk.get(&format!("/api/v1/cameras/door/recording-gaps{query}")).json();
    let count = |query: &str| rows(query).as_array().unwrap().len();
    assert_eq!(rows("")[0]["fill_state"], "none");
    assert_eq!((count("?state=pending"), count("?state=none")), (0, 1));
    let gaps = desk.get(&format!("/api/v1/cameras/door/gaps?{}", window(0, 80)));
    assert_eq!(gaps.json()[0]["fill_state"], "none");
    let retry = format!("/api/v1/cameras/door/recording-gaps/{}/retry", rows("")[0]["id"]);
    let refused = desk.with_headers("POST", &retry, "", "");
    assert_eq!(refused.status, 409);
    assert!(refused.problem().contains("set `vendor`"), "{}", refused.problem());
    with_archive(&desk);
    assert_eq!(rows("")[0]["fill_state"], "pending");
    assert_eq!((count("?state=pending"), count("?state=none")), (1, 0));
    assert_eq!(desk.with_headers("POST", &retry, "", "").status, 200);
}

#[test]
fn gaps_have_causes_and_end_at_now() {
    let desk = Desk::new();
    with_archive(&desk);
    two_runs(&desk);
    keep_gap(&desk, 30, 60, false);
    let gaps = |query: String| desk.get(&format!("/api/v1/cameras/door/gaps?{query}")).json();
    assert_eq!(
        gaps(window(-100, 2000)),
        json!([
            {"start": time(30), "end": time(60), "seconds": 30.0, "cause": "stalled", "fill_state": "pending"},
            {"start": time(90), "end": time(900), "seconds": 810.0, "cause": "unknown", "fill_state": null},
        ])
    );
    keep_gap(&desk, 90, 90, true);
    assert_eq!(gaps(window(0, 2000))[1]["cause"], "stalled");
    assert_eq!(gaps(window(0, 2000))[1]["fill_state"], "pending");
    let kept = desk.get("/api/v1/cameras/door/recording-gaps").json();
    assert_eq!(
        (&kept[0]["gap_start"], &kept[0]["gap_end"], &kept[0]["open"]),
        (&json!(time(90)), &json!(time(900)), &json!(true))
    );
    assert_eq!(
        (&kept[1]["gap_seconds"], &kept[1]["fill_state"]),
        (&json!(30.0), &json!("pending"))
    );
    assert_eq!(
        desk.get("/api/v1/cameras/door/recording-gaps?state=filled").json(),
        json!([])
    );
    assert_eq!(
        desk.get("/api/v1/cameras/door/recording-gaps?state=lost").json()["field"],
        "state"
    );
    let first = desk.get("/api/v1/cameras/door/recording-gaps?limit=1");
    assert_eq!(first.json().as_array().unwrap().len(), 1);
    assert!(first.header("link").unwrap().contains("cursor="));
}

#[test]
fn a_gap_that_failed_is_tried_again_when_a_person_says_so() {
    let desk = Desk::new();
    with_archive(&desk);
    keep_gap(&desk, 30, 60, false);
    let id = desk.get("/api/v1/cameras/door/recording-gaps").json()[0]["id"].clone();
    let set = |fate, attempts| {
        let id = GapId(id.as_i64().unwrap());
        desk.app
            .index
            .write_blocking(move |writer| {
                let gap = writer.gap(id)?.unwrap();
                writer.update_gap(&Gap { fate, attempts, ..gap })
            })
            .unwrap();
    };
    let retry = |camera: &str, gap: &str| {
        let place = format!("/api/v1/cameras/{camera}/recording-gaps/{gap}/retry");
        desk.with_headers("POST", &place, "", "")
    };
    set(GapFate::Failed, 3);
    let again = retry("door", &id.to_string());
    assert_eq!(again.status, 200);
    let row = again.json();
    assert_eq!(
        (&row["fill_state"], &row["fill_attempts"]),
        (&json!("pending"), &json!(0))
    );
    assert_eq!(desk.get("/api/v1/cameras/door/recording-gaps").json()[0], row);
    for (camera, gap, told) in [
        ("nobody", "1", "camera nobody not found"),
        ("door", "77", "gap 77 of camera door not found"),
        ("door", "x", "gap x not found"),
    ] {
        let refused = retry(camera, gap);
        assert_eq!((refused.status, refused.problem().as_str()), (404, told));
    }
    set(GapFate::Filled, 1);
    let refused = retry("door", &id.to_string());
    assert_eq!(refused.status, 409);
    assert_eq!(
        refused.problem(),
        format!("gap {id} is filled already; nothing of it is left to fetch")
    );
}

#[test]
fn lanes_of_many_are_thinned_and_lose_no_gap() {
    let desk = Desk::new();
    // Ten minutes with a hole of 3 s each minute.
    desk.add_segments(
        (0..10)
            .map(|n| segment(i64::from(n) * 60, i64::from(n) * 60 + 57, n + 1, 0))
            .collect(),
    );
    let lanes = desk
        .get(&format!(
            "/api/v1/timeline?cameras=door&resolution=120&{}",
            window(0, 600)
        ))
        .json();
    assert_eq!(lanes[0]["ranges"].as_array().unwrap().len(), 1);
    let gaps = lanes[0]["gaps"].as_array().unwrap();
    assert_eq!((gaps.len(), &gaps[0]["count"]), (1, &json!(10)));
    let fine = desk.get(&format!("/api/v1/timeline?{}", window(0, 600))).json();
    assert_eq!(fine[0]["ranges"].as_array().unwrap().len(), 10);
    assert_eq!(fine[0]["gaps"].as_array().unwrap().len(), 10);
}

#[test]
fn a_day_says_how_much_of_it_is_there() {
    let desk = Desk::new();
    two_runs(&desk);
    keep_gap(&desk, 30, 60, false);
    let day = desk.get("/api/v1/cameras/door/coverage?day=2026-11-20").json();
    assert_eq!(
        (&day["from"], &day["to"]),
        (&json!("2026-11-20T00:00:00.000Z"), &json!("2026-11-21T00:00:00.000Z"))
    );
    // From the first frame to now is a quarter of an hour.
    assert_eq!(
        (&day["expected_seconds"], &day["recorded_seconds"]),
        (&json!(900.0), &json!(60.0))
    );
    assert_eq!(day["percent"], 6.66);
    assert_eq!(
        day["missing"],
        json!([{"cause": "unknown", "seconds": 810.0}, {"cause": "stalled", "seconds": 30.0}])
    );
    let before = desk.get("/api/v1/cameras/door/coverage?day=2026-11-19").json();
    assert_eq!(
        (&before["percent"], &before["expected_seconds"]),
        (&json!(null), &json!(0.0))
    );
    assert_eq!(
        desk.get("/api/v1/cameras/door/coverage?day=20.11.2026").json()["field"],
        "day"
    );
    assert_eq!(
        desk.get("/api/v1/cameras/door/coverage?zone=Mars").json()["field"],
        "zone"
    );
}

#[test]
fn a_day_lasts_as_long_as_the_clocks_on_the_wall_say() {
    let desk = Desk::new();
    two_runs(&desk);
    for (day, from, to) in [
        ("2026-03-29", "2026-03-28T23:00:00.000Z", "2026-03-29T22:00:00.000Z"),
        ("2026-10-25", "2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z"),
        ("2026-11-20", "2026-11-19T23:00:00.000Z", "2026-11-20T23:00:00.000Z"),
    ] {
        let place = format!("/api/v1/cameras/door/coverage?day={day}&zone=Europe/Berlin");
        let day = desk.get(&place).json();
        assert_eq!((&day["from"], &day["to"]), (&json!(from), &json!(to)));
    }
}

#[test]
fn what_came_back_from_the_camera_is_told_apart_wherever_it_is_counted() {
    let desk = Desk::new();
    two_runs(&desk);
    desk.add_segments(vec![Segment {
        origin: Origin::Refill,
        ..segment(40, 50, 3, 0)
    }]);
    let refilled = json!([{"start": time(40), "end": time(50), "seconds": 10.0}]);
    let timeline = desk
        .get(&format!("/api/v1/cameras/door/timeline?{}", window(0, 90)))
        .json();
    assert_eq!(timeline["refilled"], refilled);
    assert_eq!(timeline["ranges"].as_array().unwrap().len(), 3);
    assert_eq!(timeline["recorded_seconds"], 70.0);
    let lanes = desk.get(&format!("/api/v1/timeline?{}", window(0, 90))).json();
    assert_eq!(lanes[0]["refilled"], refilled);
    let day = desk.get("/api/v1/cameras/door/coverage?day=2026-11-20").json();
    assert_eq!(
        (&day["recorded_seconds"], &day["refilled_seconds"]),
        (&json!(70.0), &json!(10.0))
    );
    let rows = desk
        .get(&format!("/api/v1/cameras/door/segments?{}", window(40, 50)))
        .json();
    assert_eq!(rows[0]["origin"], "refill");
}

#[test]
fn a_segment_that_grows_is_on_the_timeline_as_far_as_it_reaches() {
    let desk = Desk::new();
    two_runs(&desk);
    desk.app
        .index
        .write_blocking(|writer| {
            let open = Segment {
                state: SegmentState::Open,
                ..segment(890, 891, 4, 0)
            };
            writer.open_segment(&open)?;
            writer.grow_segment(open.id, Span::new(at(890), at(899)), &[], (225, 0), 9000)
        })
        .unwrap();
    let timeline = desk
        .get(&format!("/api/v1/cameras/door/timeline?{}", window(800, 1000)))
        .json();
    assert_eq!(
        timeline["ranges"],
        json!([{"start": time(890), "end": time(899), "seconds": 9.0}])
    );
    let rows = desk
        .get(&format!("/api/v1/cameras/door/segments?{}", window(895, 896)))
        .json();
    assert_eq!(
        (&rows[0]["open"], &rows[0]["end_time"]),
        (&json!(true), &json!(time(899)))
    );
}

#[test]
fn a_loss_between_two_rests_is_not_thinned_into_rest() {
    let desk = Desk::new();
    desk.app
        .index
        .write_blocking(|writer| {
            for (start, end) in [(0, 100), (105, 300)] {
                writer.begin_rest(&door(), at(start))?;
                writer.end_rest(&door(), at(end))?;
            }
            Ok(())
        })
        .unwrap();
    keep_gap(&desk, 100, 105, false);
    let lanes = desk
        .get(&format!("/api/v1/timeline?resolution=600&{}", window(0, 300)))
        .json();
    let causes: Vec<&Value> = lanes[0]["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["cause"])
        .collect();
    assert_eq!(causes, [&json!("not_wanted"), &json!("stalled")], "{lanes}");
}

#[test]
fn days_with_footage_are_counted_where_the_person_is() {
    let desk = Desk::new();
    // 23:00 to 01:00 in UTC lies within one day in Tokyo.
    desk.add_segments(vec![segment(46_800, 54_000, 1, 0)]);
    let days = |query: &str| -> Vec<Value> {
        let rows = desk.get(&format!("/api/v1/cameras/door/days{query}")).json();
        rows.as_array().unwrap().iter().map(|row| row["day"].clone()).collect()
    };
    assert_eq!(days(""), [json!("2026-11-20"), json!("2026-11-21")]);
    assert_eq!(days("?zone=Asia/Tokyo"), [json!("2026-11-21")]);
}

#[test]
fn events_are_told_in_order_and_by_kind() {
    let desk = Desk::new();
    desk.app
        .index
        .write_blocking(|writer| {
            for (n, kind) in [EventKind::CameraOffline, EventKind::CameraOnline, EventKind::ClockStep]
                .into_iter()
                .enumerate()
            {
                let camera = (kind != EventKind::ClockStep).then(door);
                let at = at(i64::try_from(n).unwrap());
                writer.add_event(&Event {
                    at,
                    kind,
                    camera,
                    message: format!("event {n}"),
                })?;
            }
            Ok(())
        })
        .unwrap();
    let said = |query: &str| -> Vec<Value> {
        let rows = desk.get(&format!("/api/v1/events{query}")).json();
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["message"].clone())
            .collect()
    };
    assert_eq!(said(""), ["event 0", "event 1", "event 2"]);
    assert_eq!(said("?type=camera_online"), ["event 1"]);
    assert_eq!(said("?camera=door"), ["event 0", "event 1"]);
    assert_eq!(said(&format!("?from={}", time(1))), ["event 1", "event 2"]);
    let page = desk.get("/api/v1/events?limit=2");
    let link = page.header("link").unwrap();
    let next = link.split_once('>').unwrap().0.trim_start_matches('<');
    assert_eq!(desk.get(next).json()[0]["message"], "event 2");
    assert!(
        desk.get("/api/v1/events?type=nothing")
            .problem()
            .contains("camera_offline")
    );
}

#[test]
fn a_segment_that_somebody_reads_says_so_until_he_is_done() {
    let desk = Desk::new();
    desk.add_segments(vec![segment(0, 10, 1, 0), segment(10, 20, 1, 1)]);
    let locked = || {
        let rows = desk.get("/api/v1/cameras/door/segments").json();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["locked"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    let index = &desk.app.index;
    let held = index
        .write_blocking(|writer| writer.lock_segments(&door(), Span::new(at(12), at(15))))
        .unwrap();
    assert_eq!(locked(), [false, true]);
    index
        .write_blocking(move |writer| writer.unlock_segments(&[held[0].id]))
        .unwrap();
    assert_eq!(locked(), [false, false]);
}
