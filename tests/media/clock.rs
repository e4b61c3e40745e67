//! A box whose clock is wrong, or is set while it records.

use std::path::Path;
use std::time::Duration;

use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::daemon::Daemon;
use crate::kit::referee;
use crate::kit::wait::wait_for;

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A daemon whose wall clock is off by what a file says; the clock that nobody can set is true.
struct OffClock {
    daemon: Daemon,
    room: TempDir,
    library: &'static str,
}

impl OffClock {
    fn start(off: &str) -> Self {
        let library = if Path::new(FAKETIME).exists() {
            FAKETIME
        } else {
            "libfaketime.so.1"
        };
        let room = TempDir::new().unwrap();
        set(room.path(), off);
        let daemon = Self::boot(room.path(), library);
        Self { daemon, room, library }
    }

    fn boot(room: &Path, library: &str) -> Daemon {
        Daemon::start_with(&room.join("data"), |command| {
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME_TIMESTAMP_FILE", room.join("off"))
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        })
    }

    /// Kills the daemon; it is started again once the clock is off by this.
    fn kill_and_start(self, off: &str) -> Self {
        let Self { daemon, room, library } = self;
        daemon.kill_9();
        set(room.path(), off);
        let daemon = Self::boot(room.path(), library);
        Self { daemon, room, library }
    }

    fn set(&self, off: &str) {
        set(self.room.path(), off);
    }

    fn segments(&self) -> Vec<Value> {
        let rows = self.daemon.get("/api/v1/cameras/door/segments").ok();
        rows.as_array().unwrap().clone()
    }

    fn wait_for_closed(&self, count: usize, what: &str, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        wait_for(Duration::from_secs(40), what, || {
            let rows = self.segments();
            let closed: Vec<Value> = rows
                .iter()
                .filter(|row| row["open"] == false && fits(row))
                .cloned()
                .collect();
            if closed.len() >= count { Ok(closed) } else { Err(rows) }
        })
    }

    fn file(&self, row: &Value) -> std::path::PathBuf {
        let name = row["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        let day = format!("{}-{}-{}", &name[..4], &name[4..6], &name[6..8]);
        self.room.path().join("data/recordings/door").join(day).join(name)
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let events = self.daemon.get(&format!("/api/v1/events?type={kind}")).ok();
        events.as_array().unwrap().clone()
    }
}

/// In one step, so that no half of it is ever read.
fn set(room: &Path, off: &str) {
    std::fs::write(room.join("off.new"), format!("{off}\n")).unwrap();
    std::fs::rename(room.join("off.new"), room.join("off")).unwrap();
}

fn begin(off: &str) -> (FakeCamera, OffClock) {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let clock = OffClock::start(off);
    let door = json!({"id": "door", "name": "Door", "main_stream_url": camera.url(), "segment_seconds": 2});
    clock.daemon.post("/api/v1/cameras", &door).ok();
    (camera, clock)
}

fn start_ms(row: &Value) -> i64 {
    let start = camkeep::model::Timestamp::parse(row["start_time"].as_str().unwrap()).unwrap();
    start.as_millis()
}

#[test]
fn a_box_that_starts_without_the_time_records_and_dates_that_footage_when_it_knows_it() {
    let (_camera, clock) = begin("-20700d");
    let early = clock.wait_for_closed(2, "segments of a box in 1970", |row| row["clock"] == "unsynced");
    assert!(
        early
            .iter()
            .all(|row| row["start_time"].as_str().unwrap().starts_with("1970-")),
        "{early:?}"
    );
    clock.set("+0");
    let known = clock.wait_for_closed(4, "segments with true dates", |row| row["clock"] == "arrival");
    wait_for(Duration::from_secs(30), "no footage is left in 1970", || {
        let rows = clock.segments();
        if rows.iter().all(|row| row["clock"] == "arrival") {
            Ok(())
        } else {
            Err(rows)
        }
    });
    for row in &known {
        let stamps = referee::read_stamps(&clock.file(row));
        let off = start_ms(row) - stamps[0].time_ns / 1_000_000;
        assert!(off.abs() <= 100, "{} is off by {off} ms", row["url"]);
    }
    for row in &early {
        let now = clock
            .segments()
            .into_iter()
            .find(|other| other["id"] == row["id"])
            .unwrap();
        let stamps = referee::read_stamps(&clock.file(&now));
        let off = start_ms(&now) - stamps[0].time_ns / 1_000_000;
        assert!(off.abs() <= 100, "what was recorded in 1970 is off by {off} ms");
    }
    assert!(!clock.events("clock_step").is_empty());
}

#[test]
fn what_was_recorded_in_1970_before_a_kill_is_dated_too_whenever_the_time_becomes_known() {
    for is_known_first in [true, false] {
        let (_camera, clock) = begin("-20700d");
        let early = clock.wait_for_closed(1, "a segment of a box in 1970", |row| row["clock"] == "unsynced");
        let clock = clock.kill_and_start(if is_known_first { "+0" } else { "-20700d" });
        if !is_known_first {
            clock.wait_for_closed(early.len() + 2, "more of 1970", |row| row["clock"] == "unsynced");
            clock.set("+0");
        }
        clock.wait_for_closed(early.len() + 2, "segments with true dates", |row| {
            row["clock"] == "arrival"
        });
        let rows = wait_for(Duration::from_secs(30), "no footage is left in 1970", || {
            let rows = clock.segments();
            let closed: Vec<Value> = rows.iter().filter(|row| row["open"] == false).cloned().collect();
            match rows.iter().all(|row| row["clock"] == "arrival") {
                true => Ok(closed),
                false => Err(rows),
            }
        });
        for row in &rows {
            let stamps = referee::read_stamps(&clock.file(row));
            let off = start_ms(row) - stamps[0].time_ns / 1_000_000;
            assert!(off.abs() <= 100, "{} is off by {off} ms", row["url"]);
        }
    }
}

#[test]
fn a_clock_that_is_set_back_an_hour_overwrites_nothing_and_is_told() {
    let (_camera, clock) = begin("+0");
    let before = clock.wait_for_closed(2, "segments before the step", |_| true);
    let hashes = |rows: &[Value]| -> Vec<(Value, Vec<u8>)> {
        rows.iter()
            .map(|row| (row["id"].clone(), std::fs::read(clock.file(row)).unwrap()))
            .collect()
    };
    let bytes = hashes(&before);
    let last = before.iter().map(start_ms).max().unwrap();
    clock.set("-1h");
    let is_after = |row: &Value| start_ms(row) < last - 3_000_000;
    let after = clock.wait_for_closed(2, "segments after the step", is_after);
    assert_eq!(hashes(&before), bytes, "what was there is untouched");
    assert_ne!(after[0]["run"], before[0]["run"], "another clock is another run");
    let steps = clock.events("clock_step");
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert!(steps[0]["message"].as_str().unwrap().contains("-3600."), "{steps:?}");
    let health = clock.daemon.get("/api/v1/cameras/door/health").ok();
    assert_eq!(
        (&health["state"], &health["reconnects"]),
        (&json!("recording"), &json!(0))
    );
    // An hour on again, and a day more: nothing is deleted, nothing is lost.
    clock.set("+1d");
    clock.wait_for_closed(1, "segments of tomorrow", |row| start_ms(row) > last + 80_000_000);
    assert_eq!(hashes(&before), bytes, "what was there is untouched");
}

#[test]
fn footage_of_after_2038_is_dated_and_found() {
    let (_camera, clock) = begin("+4300d");
    let rows = clock.wait_for_closed(2, "segments of 2038", |row| row["clock"] == "arrival");
    for row in &rows {
        assert!(row["start_time"].as_str().unwrap().starts_with("2038-"), "{row}");
        let off = start_ms(row) - referee::read_stamps(&clock.file(row))[0].time_ns / 1_000_000 - 4300 * 86_400_000;
        assert!(off.abs() <= 100, "off by {off} ms");
    }
    let from = rows[0]["start_time"].as_str().unwrap();
    let to = rows[1]["end_time"].as_str().unwrap();
    let timeline = clock
        .daemon
        .get(&format!("/api/v1/cameras/door/timeline?from={from}&to={to}"))
        .ok();
    assert_eq!(timeline["ranges"].as_array().map(Vec::len), Some(1), "{timeline}");
}

#[test]
fn a_clip_over_a_time_that_comes_twice_shows_one_recording_after_the_other() {
    let (camera, clock) = begin("+0");
    let before = clock.wait_for_closed(3, "segments before the step", |_| true);
    clock.set("-6s");
    let run = before[0]["run"].clone();
    let after = clock.wait_for_closed(4, "segments after the step", |row| row["run"] != run);
    let rows = clock.segments();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let from = text(&before[0], "start_time");
    let to = after.iter().map(|row| text(row, "end_time")).max().unwrap();
    let last = rows
        .iter()
        .filter(|row| row["run"] == run)
        .map(|row| text(row, "end_time"))
        .max()
        .unwrap();
    assert!(to > last, "the second recording goes on beyond the first");
    let window = json!({"from": from, "to": to});
    let clip = clock.daemon.post("/api/v1/cameras/door/clip", &window).ok();
    let file = clip["url"].as_str().unwrap().rsplit('/').next().unwrap();
    let stamps = referee::read_stamps(&clock.room.path().join("data/clips").join(file));
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    let sent = camera.sent_frames().len();
    assert!(stamps.len() <= sent);
    // Both recordings from the first frame to the last, though some of the time came twice.
    let lasts = (stamps[stamps.len() - 1].time_ns - stamps[0].time_ns) as f64 / 1e9;
    assert!(lasts > 13.0, "{lasts} s");
    assert_eq!(clip["gaps"], json!([]), "{clip}");
}
