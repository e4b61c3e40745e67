//! What lacks inside a run, seen from outside: a camera that pauses for less than a stall, a daemon that is stopped for a moment,
//! and recordings that are cut or removed. Timeline, gaps, coverage, clips and their manifests say the same.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::{Value, json};

use crate::daemon_site::{Row, SOON, Site};
use crate::kit::wait::{pause, wait_for};

fn camera(fps: u32, gop: Duration) -> FakeCamera {
    let options = StreamOptions {
        width: 160,
        height: 96,
        bitrate_kbps: 128,
        fps,
        ..StreamOptions::small()
    };
    FakeCamera::start(options.with_gop(gop)).unwrap()
}

fn seconds(value: &Value) -> f64 {
    Timestamp::parse(value.as_str().expect("a time")).unwrap().as_nanos() as f64 / 1e9
}

/// What every view says of a window.
#[derive(Debug)]
struct Views {
    /// Gaps: from, to, cause.
    gaps: Vec<(f64, f64, String)>,
    recorded: f64,
    clip: Value,
    manifest: Value,
}

fn look(site: &Site, id: &str, from: f64, to: f64) -> Views {
    let moment = |seconds: f64| Timestamp::from_nanos((seconds * 1e9) as i64).to_string();
    let window = format!("from={}&to={}", moment(from), moment(to));
    let get = |path: &str| site.daemon().get(&format!("/api/v1/cameras/{id}/{path}?{window}")).ok();
    let gaps = get("gaps");
    let gap = |gap: &Value| {
        (
            seconds(&gap["start"]),
            seconds(&gap["end"]),
            gap["cause"].as_str().unwrap().to_owned(),
        )
    };
    let body = json!({"from": moment(from), "to": moment(to)});
    let clip = site.daemon().post(&format!("/api/v1/cameras/{id}/clip"), &body).ok();
    let manifest = site
        .daemon()
        .get(clip["manifest_url"].as_str().expect("a manifest"))
        .ok();
    Views {
        gaps: gaps.as_array().unwrap().iter().map(gap).collect(),
        recorded: get("timeline")["recorded_seconds"].as_f64().unwrap(),
        clip,
        manifest,
    }
}

fn site() -> Site {
    let mut site = Site::empty();
    site.boot_with(|command| {
        command.env("CAMKEEP_RECORD_STALL_SECONDS", "12");
    });
    site
}

/// All views tell of this gap and of no other; where it lies is known to two frames.
#[track_caller]
fn assert_told(views: &Views, window: (f64, f64), gap: (f64, f64), cause: &str, slack: f64) {
    let [(from, to, said)] = &views.gaps[..] else {
        panic!("one gap, not {:?}", views.gaps)
    };
    assert_eq!(said, cause, "{views:?}");
    assert!(
        (from - gap.0).abs() < slack && (to - gap.1).abs() < slack,
        "{gap:?} is told as {from} to {to}"
    );
    let length = window.1 - window.0;
    assert!(
        (views.recorded + to - from - length).abs() < 0.01,
        "{} s and {:?} in {length} s",
        views.recorded,
        views.gaps
    );
    let told = views.clip["gaps"].as_array().unwrap();
    assert_eq!(told.len(), 1, "{}", views.clip);
    assert!(
        (seconds(&told[0]["from"]) - from).abs() < slack && (seconds(&told[0]["to"]) - to).abs() < slack,
        "{}",
        views.clip
    );
    let covered = views.clip["covered_seconds"].as_f64().unwrap();
    assert!(
        (covered - views.recorded).abs() < 2.0 * slack,
        "{covered} s in the clip, {} recorded",
        views.recorded
    );
    let signed = views.manifest["shown"]["gaps"]
        .as_array()
        .expect("gaps in the manifest");
    assert_eq!(signed.len(), 1, "{}", views.manifest);
}

#[test]
fn a_pause_shorter_than_a_stall_is_a_gap_in_every_view_at_any_frame_rate() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    eprintln!("seed {seed}");
    let site = site();
    let cameras: Vec<(u32, FakeCamera)> = [1, 5, 10, 25]
        .into_iter()
        .map(|fps| (fps, camera(fps, Duration::from_millis(random.u64(1_000..4_000)))))
        .collect();
    for (fps, camera) in &cameras {
        site.add_camera(&format!("at-{fps}"), camera, 4);
    }
    for (fps, _) in &cameras {
        site.wait_closed(&format!("at-{fps}"), 2, Duration::from_secs(40));
    }
    // Not a pause for any of them.
    cameras.iter().for_each(|(_, camera)| camera.stall());
    pause(Duration::from_millis(1_400));
    cameras.iter().for_each(|(_, camera)| camera.resume());
    pause(Duration::from_millis(random.u64(2_000..5_000)));
    cameras.iter().for_each(|(_, camera)| camera.stall());
    pause(Duration::from_millis(random.u64(5_500..8_000)));
    cameras.iter().for_each(|(_, camera)| camera.resume());
    for (fps, _) in &cameras {
        let (id, before) = (format!("at-{fps}"), site.closed(&format!("at-{fps}")).len());
        site.wait_closed(&id, before + 2, Duration::from_secs(40));
    }
    for (fps, _) in &cameras {
        let id = format!("at-{fps}");
        let rows = site.closed(&id);
        assert!(rows.iter().all(|row| row.run == rows[0].run), "one session: {rows:?}");
        let stamps = site.stamps(&id, &rows);
        let pair = stamps
            .windows(2)
            .max_by_key(|pair| pair[1].time_ns - pair[0].time_ns)
            .unwrap();
        let frame = 1.0 / f64::from(*fps);
        let (from, to) = (pair[0].time_ns as f64 / 1e9 + frame, pair[1].time_ns as f64 / 1e9);
        let window = (rows[0].start_ns as f64 / 1e9, rows[rows.len() - 1].end_ns as f64 / 1e9);
        let views = look(&site, &id, window.0, window.1);
        assert_told(&views, window, (from, to), "silent", 0.06 + frame);
        let kept = site.gaps(&id);
        assert_eq!(
            kept.iter().map(|gap| gap.cause.as_str()).collect::<Vec<_>>(),
            ["silent"],
            "{id}: {kept:?}"
        );
        // Nothing can be cut from inside it.
        let moment = |seconds: f64| Timestamp::from_nanos((seconds * 1e9) as i64).to_string();
        let inside = json!({"from": moment(from + 1.0), "to": moment(to - 0.5)});
        let answer = site.daemon().post(&format!("/api/v1/cameras/{id}/clip"), &inside);
        assert_eq!(answer.status, 404, "{id}: {}", answer.body);
    }
}

fn cut_file(path: &PathBuf) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length * 3 / 10).unwrap();
}

fn bounds(row: &Row) -> (f64, f64) {
    (row.start_ns as f64 / 1e9, row.end_ns as f64 / 1e9)
}

#[test]
fn a_file_that_is_cut_or_removed_is_a_gap_in_every_view_at_once_and_after_a_start() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    eprintln!("seed {seed}");
    let mut site = site();
    let camera = camera(10, Duration::from_millis(random.u64(500..2_000)));
    site.add_camera("door", &camera, 8);
    let rows = site.wait_closed("door", 4, Duration::from_secs(80));
    drop(camera);
    // Under a running daemon: whoever reads it finds out, and tells everybody.
    let neighbours = |number: usize| (bounds(&rows[number]).0 - 2.0, bounds(&rows[number]).1 + 1.0);
    cut_file(&site.path("door", &rows[1]));
    let window = neighbours(1);
    look(&site, "door", window.0, window.1);
    let (from, to) = wait_for(SOON, "the gap", || {
        let gaps = site.gaps("door");
        let found = gaps.iter().find(|gap| gap.cause == "damaged").cloned();
        found
            .map(|gap| (gap.start_ns as f64 / 1e9, gap.end_ns as f64 / 1e9))
            .ok_or(gaps)
    });
    assert!(
        from > bounds(&rows[1]).0 && (to - bounds(&rows[1]).1).abs() < 0.01,
        "{from} to {to}"
    );
    assert_told(
        &look(&site, "door", window.0, window.1),
        window,
        (from, to),
        "damaged",
        0.3,
    );
    std::fs::remove_file(site.path("door", &rows[2])).unwrap();
    // A little inside: bounds are told in milliseconds.
    let window = (bounds(&rows[2]).0 + 0.005, bounds(&rows[3]).1);
    look(&site, "door", window.0, window.1);
    wait_for(SOON, "the gap", || {
        let gaps = site.gaps("door");
        if gaps.iter().any(|gap| gap.cause == "missing") {
            Ok(())
        } else {
            Err(gaps)
        }
    });
    let gone = (window.0, bounds(&rows[2]).1);
    assert_told(&look(&site, "door", window.0, window.1), window, gone, "missing", 0.3);
    // Between two starts: the start finds it.
    site.stop();
    cut_file(&site.path("door", &rows[0]));
    site.boot();
    wait_for(SOON, "the gaps", || {
        let gaps = site.gaps("door");
        let damaged = gaps.iter().filter(|gap| gap.cause == "damaged").count();
        if damaged == 2 { Ok(()) } else { Err(gaps) }
    });
    let gap = site
        .gaps("door")
        .into_iter()
        .map(|gap| (gap.start_ns as f64 / 1e9, gap.end_ns as f64 / 1e9));
    let gap = gap.min_by(|one, other| one.0.total_cmp(&other.0)).unwrap();
    let window = (bounds(&rows[0]).0, bounds(&rows[1]).0 + 1.0);
    assert_told(&look(&site, "door", window.0, window.1), window, gap, "damaged", 0.3);
    site.stop();
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_camkeep"))
        .args(["check", "--data"])
        .arg(site.data())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    for row in &rows[..2] {
        let path = site.path("door", row);
        let name = path.file_name().unwrap().to_str().unwrap();
        let told = said.lines().skip_while(|line| !line.contains(name)).nth(1);
        assert!(
            told.is_some_and(|told| told.contains("lost")),
            "{name} is not named: {said}"
        );
    }
}
