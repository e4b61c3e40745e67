//! Stills: the frame that is shown at a moment, and no other, judged by the stamp in the picture.

use std::path::{Path, PathBuf};
use std::time::Duration;

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{FakeCamera, StreamOptions, VideoCodec};

use crate::daemon_site::{Row, SOON, Site, now_ns};
use crate::kit::referee::{self, Stamp};
use crate::kit::wait::{wait_for, wait_until};

/// A still as it came over HTTP.
#[derive(Debug)]
struct Got {
    status: u16,
    frame_ns: i64,
    file: PathBuf,
    /// What the problem says, when it is one.
    text: String,
}

/// Asks for a still and keeps it in a file.
fn ask(site: &Site, camera: &str, query: &str) -> Got {
    let url = format!("{}/api/v1/cameras/{camera}/snapshot?{query}", site.daemon().address());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(40)))
        .build()
        .into();
    let mut answer = agent.get(&url).call().unwrap();
    let told = answer
        .headers()
        .get("x-camkeep-frame-time")
        .map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let bytes = answer.body_mut().read_to_vec().unwrap();
    let number = fastrand::u64(..);
    let file = site.data().with_file_name(format!("still-{number:016x}"));
    std::fs::write(&file, &bytes).unwrap();
    Got {
        status,
        frame_ns: told.map_or(0, |told| Timestamp::parse(&told).unwrap().as_nanos()),
        file,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// The stamp in a still.
#[track_caller]
fn stamp(file: &Path) -> Stamp {
    let stamps = referee::read_stamps(file);
    assert_eq!(stamps.len(), 1, "a still is one picture");
    stamps[0]
}

fn at(ns: i64) -> String {
    let utc = Timestamp::from_nanos(ns).to_utc();
    format!("at={}", utc.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true))
}

/// Every frame of some segments, with the time at which the recording shows it.
fn shown(site: &Site, camera: &str, rows: &[Row]) -> Vec<(i64, u32)> {
    let of = |row: &Row| {
        let stamps = referee::read_stamps(&site.path(camera, row));
        let first = stamps.iter().map(|stamp| stamp.pts).fold(f64::INFINITY, f64::min);
        let start = row.start_ns;
        let mut shown: Vec<(i64, u32)> = stamps
            .iter()
            .map(|stamp| (start + ((stamp.pts - first) * 1e9) as i64, stamp.counter))
            .collect();
        shown.sort_unstable();
        shown
    };
    rows.iter().flat_map(of).collect()
}

/// Asks for many moments and holds each answer against what the recording shows then.
fn hold_against(site: &Site, camera: &str, shown: &[(i64, u32)], step: usize) -> usize {
    // A row's start is told in whole milliseconds, so the truth is known as well as that: moments are taken in the middle
    // of frames, and at their very beginning as the answer itself tells it.
    let mut asked = 0;
    let last = shown.len() - 1;
    for (n, pair) in shown.windows(2).enumerate() {
        if n % step != 0 && n != 0 && n + 1 != last {
            continue;
        }
        let ((from, counter), (to, _)) = (pair[0], pair[1]);
        let middle = ask(site, camera, &at((from + to) / 2));
        assert_eq!(middle.status, 200, "{}", middle.text);
        assert_eq!(stamp(&middle.file).counter, counter, "frame {n} of {last}");
        assert!((middle.frame_ns - from).abs() < 2_000_000, "{} {from}", middle.frame_ns);
        let itself = ask(site, camera, &at(middle.frame_ns));
        assert_eq!(stamp(&itself.file).counter, counter, "at the very time of frame {n}");
        assert_eq!(itself.frame_ns, middle.frame_ns);
        asked += 1;
    }
    asked
}

fn closed_of(options: StreamOptions) -> (FakeCamera, Site, Vec<Row>) {
    let camera = FakeCamera::start(options).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, 3);
    let rows = site.wait_closed("door", 2, Duration::from_secs(40));
    (camera, site, rows[..2].to_vec())
}

#[test]
fn a_still_is_the_frame_that_is_shown_at_that_moment_whichever_it_is() {
    let (_camera, site, rows) = closed_of(StreamOptions::small());
    let shown = shown(&site, "door", &rows);
    assert!(shown.len() > 100);
    assert!(hold_against(&site, "door", &shown, 9) > 15);
    // The last frame is shown to the end of its segment, and the first from the start as the row tells it.
    let (start, end) = (rows[0].start_ns, rows[1].end_ns);
    assert_eq!(stamp(&ask(&site, "door", &at(start)).file).counter, shown[0].1);
    let last = ask(&site, "door", &at(end - 10_000_000));
    assert_eq!(stamp(&last.file).counter, shown[shown.len() - 1].1);
}

#[test]
fn frames_that_are_decoded_out_of_order_are_found_by_when_they_are_shown() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let (_camera, site, rows) = closed_of(StreamOptions {
            codec,
            bframes: 2,
            ..StreamOptions::small()
        });
        let shown = shown(&site, "door", &rows);
        assert!(hold_against(&site, "door", &shown, 13) > 10, "{codec:?}");
    }
}

#[test]
fn the_newest_frame_is_less_than_a_second_old_however_far_apart_keyframes_are() {
    let camera = FakeCamera::start(StreamOptions::small().with_gop(Duration::from_secs(6))).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, 30);
    site.wait_recording("door");
    // Into the second group of pictures, of which nothing is in the file yet.
    let begun = site.rows("door")[0].start_ns;
    wait_until(Duration::from_secs(20), "nine seconds of footage", || {
        (site.rows("door")[0].end_ns - begun > 9_000_000_000).then_some(())
    });
    for _ in 0..5 {
        let asked = now_ns();
        let newest = ask(&site, "door", "");
        assert_eq!(newest.status, 200, "{}", newest.text);
        let seen = stamp(&newest.file);
        let age = (asked - seen.time_ns) / 1_000_000;
        assert!(age < 1000, "the newest frame is {age} ms old");
        assert!((newest.frame_ns - seen.time_ns).abs() < 50_000_000);
        // And what lies behind it in the open segment, in the file and not.
        for back in [500_000_000, 2_000_000_000, 8_000_000_000] {
            let moment = newest.frame_ns - back;
            let earlier = ask(&site, "door", &at(moment));
            let shown = stamp(&earlier.file);
            assert!(
                (earlier.frame_ns - shown.time_ns).abs() < 50_000_000,
                "{back} ns before it"
            );
            assert!(earlier.frame_ns < moment + 1_000_000);
            // By the camera's own count the next frame was not there yet; arrival wavers by some milliseconds.
            let sent = camera.sent_frames();
            let next = sent.iter().find(|frame| frame.counter == shown.counter + 1).unwrap();
            assert!(next.time_us as i64 * 1000 > moment - 20_000_000, "{back} ns before it");
        }
    }
    assert_eq!(camera.count_sessions().total, 1);
}

#[test]
fn what_cannot_be_shown_is_told_with_what_there_is() {
    let (camera, mut site, _) = closed_of(StreamOptions::small());
    let rows = site.rows("door");
    let first = Timestamp::from_nanos(rows[0].start_ns);
    let early = ask(&site, "door", &at(rows[0].start_ns - 60_000_000_000));
    assert_eq!(early.status, 404);
    assert!(
        early.text.contains(&format!("the first footage begins at {first}")),
        "{}",
        early.text
    );
    let later = ask(&site, "door", &at(now_ns() + 60_000_000_000));
    assert_eq!(later.status, 400);
    assert!(later.text.contains("has not come yet"), "{}", later.text);
    for (query, complaint) in [
        ("at=yesterday", "at: `yesterday` is not a time"),
        ("width=8", "width: `8` is no number from 16"),
        ("format=gif", "format: one of jpeg, png"),
        ("when=now", "unknown parameter"),
    ] {
        let refused = ask(&site, "door", query);
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.text.contains(complaint), "{}", refused.text);
    }
    assert_eq!(ask(&site, "gate", "").status, 404);

    drop(camera);
    let health = "/api/v1/cameras/door/health";
    wait_for(SOON, "the camera to be missed", || {
        let state = site.daemon().get(health).ok()["state"].clone();
        if state == "recording" { Err(state) } else { Ok(()) }
    });
    let end = wait_for(SOON, "the last segment to be closed", || {
        let rows = site.rows("door");
        let last = rows.last().unwrap();
        if last.open { Err(last.clone()) } else { Ok(last.end_ns) }
    });
    wait_until(SOON, "the newest frame to be old", || {
        (now_ns() - end > 11_000_000_000).then_some(())
    });
    let gone = ask(&site, "door", "");
    assert_eq!(gone.status, 404);
    let end_told = Timestamp::from_nanos(end);
    assert!(
        gone.text.contains(&format!("the last footage ends at {end_told}")),
        "{}",
        gone.text
    );
    let hole = ask(&site, "door", &at(end + 5_000_000_000));
    assert_eq!(hole.status, 404);
    assert!(
        hole.text.contains(&format!("the last footage ends at {end_told}")),
        "{}",
        hole.text
    );
    // Within what timelines draw as no hole.
    assert_eq!(ask(&site, "door", &at(end + 1_000_000_000)).status, 200);
    // A file that somebody took away.
    let row = site.closed("door")[0].clone();
    std::fs::remove_file(site.path("door", &row)).unwrap();
    let taken = ask(&site, "door", &at(row.start_ns + 1_000_000_000));
    assert_eq!(taken.status, 500);
    assert!(taken.text.contains("no longer on the disk"), "{}", taken.text);
    site.stop();
}

#[test]
fn a_still_can_be_made_smaller_and_without_loss() {
    let (_camera, site, rows) = closed_of(StreamOptions::small());
    let moment = at(rows[0].start_ns + 1_000_000_000);
    let full = ask(&site, "door", &moment);
    let png = ask(&site, "door", &format!("{moment}&format=png"));
    let small = ask(&site, "door", &format!("{moment}&width=160"));
    let large = ask(&site, "door", &format!("{moment}&width=4000"));
    let looks = |got: &Got| {
        let probe = referee::probe(&got.file);
        let video = probe.video();
        (video.codec.clone(), video.width, video.height)
    };
    assert_eq!(looks(&full), ("mjpeg".into(), 320, 180));
    assert_eq!(looks(&png), ("png".into(), 320, 180));
    assert_eq!(looks(&small), ("mjpeg".into(), 160, 90));
    assert_eq!(looks(&large), ("mjpeg".into(), 320, 180));
    assert_eq!(stamp(&full.file).counter, stamp(&png.file).counter);
    assert_eq!(stamp(&full.file).counter, stamp(&large.file).counter);
}
