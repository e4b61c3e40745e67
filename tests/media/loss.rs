//! After a loss: index and backup are gone, and cameras, gaps and clips come back from what lies beside the recordings.

use std::fs;
use std::path::Path;

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::FakeCamera;
use serde_json::{Value, json};

use crate::daemon_site::{Row, SOON, Site, now_ns, tiny};
use crate::kit::mirror::open_index;
use crate::kit::wait::{wait_for, wait_until};

/// Everything that knows of footage but the footage.
#[track_caller]
fn lose_index(data: &Path, with_backup: bool) {
    for entry in fs::read_dir(data).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("index.db") && (with_backup || !name.contains("backup")) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// What a person knows of the box.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    cameras: Value,
    schedules: Value,
    /// Closed segments of `door`: id, start, end, frames.
    rows: Vec<(String, i64, i64, u64)>,
    /// Kept gaps of it that are over.
    gaps: Vec<(i64, i64)>,
    clips: Vec<Value>,
}

impl Known {
    #[track_caller]
    fn of(site: &Site) -> Self {
        let mut schedules = site.daemon().get("/api/v1/cameras/door/schedules").ok();
        let mut clips = site.daemon().get("/api/v1/clips").ok().as_array().unwrap().clone();
        // A row is numbered anew, and a clip that came back is kept for as long as a new one.
        schedules[0]["id"] = Value::Null;
        clips.iter_mut().for_each(|clip| clip["expires_at"] = Value::Null);
        let row = |row: &Row| (row.id.clone(), row.start_ns, row.end_ns, row.frames);
        let gaps = site.gaps("door").into_iter().filter(|gap| !gap.open);
        Self {
            cameras: site.daemon().get("/api/v1/cameras").ok(),
            schedules,
            rows: site.closed("door").iter().map(row).collect(),
            gaps: gaps.map(|gap| (gap.start_ns, gap.end_ns)).collect(),
            clips,
        }
    }

    /// Everything of it is known again, and what is missing since as one more gap.
    fn is_back_in(&self, now: &Self) -> bool {
        let near = |one: i64, other: i64| (one - other).abs() < 150_000_000;
        let has_gap = |gap: &(i64, i64)| {
            now.gaps
                .iter()
                .any(|found| near(found.0, gap.0) && near(found.1, gap.1))
        };
        self.cameras == now.cameras
            && self.schedules == now.schedules
            && self.clips == now.clips
            && self.rows.iter().all(|row| now.rows.contains(row))
            && self.gaps.iter().all(has_gap)
            && now.gaps.len() == self.gaps.len() + 1
    }
}

/// Waits until what is missing since the last footage is long enough to be kept.
fn wait_for_a_gap(last_ns: i64) {
    wait_until(SOON, "a gap that is kept", || {
        (now_ns() - last_ns > 4_000_000_000).then_some(())
    });
}

#[track_caller]
fn make_clip(site: &Site, rows: &[Row]) {
    let text = |ns| Timestamp::from_nanos(ns).to_string();
    let body = json!({"from": text(rows[0].start_ns), "to": text(rows[rows.len() - 1].end_ns)});
    site.daemon().post("/api/v1/cameras/door/clip", &body).ok();
}

/// No footage of a camera lies in what is said to be missing.
#[track_caller]
fn assert_no_footage_in_gaps(site: &Site) {
    let rows = site.rows("door");
    for gap in site.gaps("door").iter().filter(|gap| !gap.open) {
        let inside: Vec<&Row> = rows
            .iter()
            .filter(|row| row.start_ns < gap.end_ns && row.end_ns > gap.start_ns)
            .collect();
        assert!(inside.is_empty(), "footage in a gap: {gap:?} {inside:?}");
    }
}

#[test]
fn cameras_gaps_and_clips_come_back_though_index_and_backup_are_gone_and_again_after_more_recording() {
    let source = FakeCamera::start(tiny()).unwrap();
    let mut site = Site::start();
    site.add_camera("door", &source, 2);
    site.add_camera("yard", &source, 2);
    let schedule = json!({"days": [0, 6], "time_start": "22:00", "time_end": "06:00", "zone": "Europe/Berlin"});
    site.daemon().post("/api/v1/cameras/door/schedules", &schedule).ok();
    let change = json!({"name": "Front door", "retention_hours": 99, "site_id": "hunter2"});
    site.daemon().patch("/api/v1/cameras/door", &change).ok();
    site.wait_closed("door", 2, SOON);
    site.wait_closed("yard", 1, SOON);
    site.daemon().delete("/api/v1/cameras/yard").ok();
    for round in [
        "everything is gone",
        "everything again",
        "an old backup takes its place",
    ] {
        let is_all_gone = !round.contains("backup");
        // A true gap, of which no backup knows.
        let last = site.rows("door").last().unwrap().end_ns;
        site.stop();
        if !is_all_gone {
            let index = open_index(site.data());
            index.back_up().unwrap();
            index.close();
        }
        wait_for_a_gap(last);
        site.boot();
        let rows = wait_for(SOON, "more of it", || {
            let rows = site.closed("door");
            let is_new = rows.last().is_some_and(|row| row.start_ns > last);
            if is_new { Ok(rows) } else { Err(rows.len()) }
        });
        make_clip(&site, &rows[rows.len() - 2..]);
        let before = Known::of(&site);
        let last = site.rows("door").last().unwrap().end_ns;
        site.kill_9();
        lose_index(site.data(), is_all_gone);
        wait_for_a_gap(last);

        site.boot();
        site.wait_recording("door");
        wait_for(SOON, round, || {
            let now = Known::of(&site);
            if before.is_back_in(&now) {
                Ok(())
            } else {
                Err((now, before.clone()))
            }
        });
        assert_no_footage_in_gaps(&site);
        let told = site.events("index_mended").join("\n");
        assert!(told.contains("the index was gone"), "{told}");
    }
}

#[test]
fn without_its_key_or_its_settings_a_camera_is_there_says_what_it_lacks_and_records_once_it_has_it() {
    let source = FakeCamera::start(tiny()).unwrap();
    let mut site = Site::start();
    site.add_camera("door", &source, 2);
    let rows = site.wait_closed("door", 1, SOON);
    let settings = site.data().join("recordings/.camkeep/settings.jsonl");
    assert!(settings.exists());
    site.stop();
    let key = site.data().join("secret.key");
    let former = site.data().with_file_name("former.key");
    fs::rename(&key, &former).unwrap();
    fs::remove_file(site.data().join("box.key")).unwrap();
    lose_index(site.data(), true);

    let look = |site: &Site| {
        let camera = site.daemon().get("/api/v1/cameras/door").ok();
        let health = site.daemon().get("/api/v1/cameras/door/health").ok();
        (
            camera["recovered"].clone(),
            camera["main_stream_url"].clone(),
            health["state"].clone(),
            health["message"].to_string(),
        )
    };
    let assert_waits = |site: &Site| {
        let (recovered, url, state, message) = look(site);
        assert_eq!((recovered, url, state), (json!(true), Value::Null, json!("error")));
        assert!(message.contains("main_stream_url"), "{message}");
        wait_for(SOON, "its footage", || {
            let now = site.closed("door");
            if now.iter().any(|row| row.id == rows[0].id) {
                Ok(())
            } else {
                Err(now)
            }
        });
    };
    // Another key: told in every way there is.
    site.boot();
    assert_waits(&site);
    let told = site.events("recorder_error").join("\n");
    assert!(told.contains("secret.key") && told.contains("door"), "{told}");
    assert!(told.contains("box.key"), "{told}");
    assert!(site.daemon().log().contains("ERROR"), "{}", site.daemon().log());
    site.stop();
    // The former key is back: so is the camera, though its settings were written anew meanwhile.
    fs::rename(&former, &key).unwrap();
    site.boot();
    site.wait_recording("door");
    assert_eq!(look(&site).0, json!(false));
    site.stop();
    // No settings at all.
    lose_index(site.data(), true);
    fs::remove_dir_all(settings.parent().unwrap()).unwrap();
    site.boot();
    assert_waits(&site);
    let url = json!({"main_stream_url": source.url()});
    site.daemon()
        .patch("/api/v1/cameras/door", &json!({"name": "Door"}))
        .ok();
    assert_eq!(look(&site).0, json!(true), "a name is no address");
    site.daemon().patch("/api/v1/cameras/door", &url).ok();
    site.wait_recording("door");
    assert_eq!(look(&site).0, json!(false));
    assert!(settings.exists());
}
