//! Cameras whose ticks do not keep time, and cameras that begin with what they kept: a frame is dated within half a second of
//! when it came, or was taken.

use std::time::Duration;

use camkeep::model::{CameraId, EventKind, News, Segment};
use camkeep::runtime::{Clock, SystemClock};
use serde_json::{Value, json};

use super::bench::Bench;
use super::crowd::Crowd;
use crate::kit::daemon::Daemon;
use crate::kit::footage::{FPS, TICKS};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_for};

const BAR_MS: i64 = 500;
const FRAME_MS: f64 = 1000.0 / FPS as f64;

/// Rows of a camera that sent frames without a break until `ended`: each begins when its first frame came, and they join.
fn assert_dated(id: &CameraId, segments: &[Segment], ended_ms: i64) {
    let frames: u64 = segments.iter().map(|segment| segment.frames).sum();
    let mut left = frames;
    for pair in segments.windows(2) {
        assert_eq!(
            (pair[0].span.end, pair[0].run),
            (pair[1].span.start, pair[1].run),
            "{id}"
        );
    }
    for segment in segments {
        let came = ended_ms - (left as f64 * FRAME_MS) as i64;
        let off = segment.span.start.as_millis() - came;
        assert!(off.abs() <= BAR_MS, "{id}: a row begins {off} ms off: {segment:?}");
        left -= segment.frames;
        let frames = segment.frames as f64 * FRAME_MS / 1000.0;
        assert!(
            (segment.span.seconds() - frames).abs() < 0.55,
            "{id}: {frames} s of frames in {segment:?}"
        );
    }
    let off = segments.last().map_or(0, |last| last.span.end.as_millis() - ended_ms);
    assert!(off.abs() <= BAR_MS, "{id}: the last row ends {off} ms off");
}

#[test]
fn ticks_that_do_not_keep_time_are_not_believed_and_frames_are_dated_when_they_come() {
    type Off = fn(u32) -> i64;
    const STEP: i64 = TICKS as i64;
    // By how much ticks are off at a frame, and whether it can be told in so short a time.
    let table: [(&str, Off, bool); 8] = [
        ("true", |_| 0, false),
        ("slow", |frame| -i64::from(frame) * STEP / 10, true),
        ("fast", |frame| i64::from(frame) * STEP / 10, true),
        ("a little fast", |frame| i64::from(frame) * STEP / 500, false),
        ("half", |frame| -i64::from(frame) * STEP / 2, true),
        ("constant", |frame| -i64::from(frame) * STEP, true),
        ("backwards", |frame| -2 * i64::from(frame) * STEP, true),
        ("steps", |frame| i64::from(frame / 125) * STEP * 20, false),
    ];
    let mut crowd = Crowd::new();
    let cameras: Vec<_> = table
        .into_iter()
        .map(|(name, off, is_told)| {
            let mock = Bench {
                off,
                ..Bench::default()
            }
            .start();
            (crowd.record(name, &mock.url("/main")), mock, is_told)
        })
        .collect();
    for (id, _, is_told) in &cameras {
        crowd.wait_for(id, Duration::from_secs(20), "says what its ticks are worth", |health| {
            health.frames_per_second > 20.0 && health.ticks_believed != *is_told
        });
    }
    // Over four of its own segments, and more of the fast ones.
    pause(Duration::from_secs(13));
    let ended = SystemClock.now().as_millis();
    crowd.stop();
    for (id, mock, is_told) in &cameras {
        assert_eq!((mock.connections(), crowd.losses(id)), (1, vec![]), "{id}");
        let segments = crowd.closed(id);
        assert_dated(id, &segments, ended);
        let told = crowd.news.iter().filter(|news| {
            matches!(news, News::Happened(event) if event.camera.as_ref() == Some(id)
                && event.kind == EventKind::RecorderError && event.message.contains("timestamps"))
        });
        // What steps again and again ceases to be believed sooner or later.
        if *id != CameraId::from_name("steps").unwrap() {
            assert_eq!(told.count(), usize::from(*is_told), "{id}");
        }
        for segment in &segments {
            let path = crowd.path(segment);
            assert_eq!(referee::decode_errors(&path), Vec::<String>::new(), "{id}");
            let plays = referee::probe(&path).seconds;
            let lasts = segment.span.seconds();
            assert!((plays - lasts).abs() < 0.3, "{id}: {plays} s of a row of {lasts} s");
        }
    }
}

#[test]
fn a_backlog_longer_than_a_segment_makes_no_short_rows_and_is_dated_when_it_was_taken() {
    let bench = Bench {
        kept: |_| 6 * FPS,
        ..Bench::default()
    };
    let mut crowd = Crowd::new();
    let cameras = [2, 3, 4].map(|seconds| {
        let mock = bench.start();
        let name = format!("keeps {seconds}");
        let id = crowd.record_as(&name, &mock.url("/main"), |it| it.segment_seconds = seconds);
        (id, mock, seconds)
    });
    for (id, _, _) in &cameras {
        crowd.wait_for_closed(id, 3, Duration::from_secs(30));
    }
    let ended = SystemClock.now().as_millis();
    crowd.stop();
    for (id, _, seconds) in &cameras {
        let segments = crowd.closed(id);
        assert_dated(id, &segments, ended);
        let all_but_the_last = &segments[..segments.len() - 1];
        for segment in all_but_the_last {
            assert!(segment.span.seconds() > f64::from(*seconds) - 0.2, "{id}: {segment:?}");
        }
        assert!(segments.iter().all(|segment| segment.span.seconds() >= 0.04), "{id}");
        for segment in &segments {
            let path = crowd.path(segment);
            assert_eq!(referee::decode_errors(&path), Vec::<String>::new(), "{id}");
        }
    }
}

fn rows(daemon: &Daemon) -> Vec<Value> {
    daemon
        .get("/api/v1/cameras/door/segments")
        .ok()
        .as_array()
        .unwrap()
        .clone()
}

fn ms(row: &Value, key: &str) -> i64 {
    camkeep::model::Timestamp::parse(row[key].as_str().unwrap())
        .unwrap()
        .as_millis()
}

#[test]
fn a_kill_while_a_backlog_comes_in_leaves_rows_that_are_dated_right_and_do_not_overlap() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..3 {
        let mock = Bench {
            kept: |session| if session == 0 { 6 * FPS } else { 0 },
            // The second session is of no interest.
            frames: |session| if session == 0 { u32::MAX } else { 50 },
            ..Bench::default()
        }
        .start();
        let room = tempfile::TempDir::new().unwrap();
        let data = room.path().join("data");
        let daemon = Daemon::start(&data);
        let url = mock.url("/main");
        let door = json!({"id": "door", "name": "Door", "main_stream_url": url, "segment_seconds": 2});
        daemon.post("/api/v1/cameras", &door).ok();
        wait_for(Duration::from_secs(20), "a row", || {
            let rows = rows(&daemon);
            if rows.is_empty() { Err(rows) } else { Ok(()) }
        });
        pause(Duration::from_millis(random.u64(200..4000)));
        let killed = SystemClock.now().as_millis();
        daemon.kill_9();
        let daemon = Daemon::start(&data);
        let old = wait_for(
            Duration::from_secs(20),
            "the rows of before the kill are closed",
            || {
                let rows = rows(&daemon);
                let old: Vec<Value> = rows
                    .iter()
                    .filter(|row| ms(row, "start_time") < killed)
                    .cloned()
                    .collect();
                match !old.is_empty() && old.iter().all(|row| row["open"] == false) {
                    true => Ok(old),
                    false => Err(rows),
                }
            },
        );
        let frames: i64 = old.iter().map(|row| row["frames"].as_i64().unwrap()).sum();
        assert!(frames > 6 * i64::from(FPS), "{old:?}");
        let (from, to) = (ms(&old[0], "start_time"), ms(&old[old.len() - 1], "end_time"));
        assert!((to - killed).abs() <= BAR_MS, "ends {} ms off: {old:?}", to - killed);
        let off = to - from - (frames as f64 * FRAME_MS) as i64;
        assert!(off.abs() <= BAR_MS, "{frames} frames from {from} to {to}: {old:?}");
        for pair in old.windows(2) {
            assert_eq!(pair[0]["end_time"], pair[1]["start_time"], "{old:?}");
        }
    }
}
