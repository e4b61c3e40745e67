//! A camera is added over HTTP to the real daemon: what becomes of its frames, and how soon people can see it.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::json;

use crate::daemon_site::{Row, Site, Strace, assert_none_lost, lost_frames, now_ns};
use crate::kit::machine::{self, SyncProbe};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_until};

/// How soon a closed segment's row has to be there.
const ROW: Duration = Duration::from_millis(100);
/// How exactly a segment knows when it began.
const START_MS: i64 = 50;

#[test]
fn three_segments_of_ten_seconds_miss_nothing_and_are_rows_at_once() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, 10);
    site.wait_recording("door");
    let probe = SyncProbe::start(site.data());
    let delays: Vec<Delay> = (0..3)
        .map(|number| watch_close(&site, &probe, "door", number))
        .collect();
    let rows = site.wait_closed("door", 3, Duration::from_secs(5));
    let rows = &rows[..3];
    for row in rows {
        let path = site.path("door", row);
        assert_eq!(
            referee::decode_errors(&path),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
        let stamps = referee::read_stamps(&path);
        assert_eq!(stamps.len() as u64, row.frames);
        let off_ms = (row.start_ns - stamps[0].time_ns) / 1_000_000;
        assert!(off_ms.abs() <= START_MS, "a start is off by {off_ms} ms: {row:?}");
        let seconds = (row.end_ns - row.start_ns) as f64 / 1e9;
        // A camera that could not keep its pace spreads its keyframes, and the cut falls on one of them.
        assert!((9.95..11.05).contains(&seconds), "a segment of {seconds} s");
        assert_eq!(row.state, "whole");
    }
    for pair in rows.windows(2) {
        assert_eq!(pair[0].end_ns, pair[1].start_ns, "segments of a run join");
    }
    let stamps = site.stamps("door", rows);
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    let (first, last) = (stamps[0].time_ns, stamps[stamps.len() - 1].time_ns);
    assert_eq!(
        lost_frames(&camera.sent_frames(), &stamps, first, last),
        Vec::<u32>::new()
    );
    assert_eq!(camera.count_sessions().total, 1);
    eprintln!("rows after the close: {delays:?}");
    for delay in delays {
        assert!(
            delay.row <= ROW + delay.machine,
            "a row came late: {delay:?} (machine: how long it kept this test, the daemon and a sync waiting meanwhile)"
        );
    }
}

/// From the close of a file to its row.
#[derive(Debug)]
struct Delay {
    row: Duration,
    /// What the machine took: how long this loop waited for a processor at most, how long the daemon did, and how long the
    /// disk takes for a sync.
    machine: Duration,
}

/// Waits for the close of the open file and measures how long its row takes. The close begins when the muxer takes the
/// name `moov` from the index at the file's head: what is measured from there is a little more than is promised.
fn watch_close(site: &Site, probe: &SyncProbe, camera: &str, already: usize) -> Delay {
    let open = wait_until(Duration::from_secs(15), "an open segment with a file", || {
        let rows = site.rows(camera);
        let open = rows.iter().find(|row| row.open && row.url.is_some())?.clone();
        let closed = rows.iter().filter(|row| !row.open).count();
        (closed == already && is_growing(&site.path(camera, &open))).then_some(open)
    });
    let path = site.path(camera, &open);
    wait_for_close(&path);
    let closed_at = Instant::now();
    let (waited, _) = (waited_by(site), probe.longest());
    let mut machine = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let row = row_of(site, camera, &open);
        if !row.open {
            return Delay {
                row: closed_at.elapsed(),
                machine: machine + waited_by(site).saturating_sub(waited) + probe.longest(),
            };
        }
        assert!(
            closed_at.elapsed() < Duration::from_secs(5),
            "no row within 5 s: {row:?}"
        );
        let napping = Instant::now();
        pause(Duration::from_millis(2));
        machine = machine.max(napping.elapsed().saturating_sub(Duration::from_millis(2)));
        // An answer that takes longer than this one does on an idle machine was waiting for a processor.
        machine = machine.max((napping - asked).saturating_sub(Duration::from_millis(20)));
    }
}

fn waited_by(site: &Site) -> Duration {
    machine::waited(site.daemon().pid())
}

fn row_of(site: &Site, camera: &str, which: &Row) -> Row {
    let rows = site.rows(camera);
    rows.into_iter().find(|row| row.id == which.id).expect("the row stays")
}

/// The names of a file's first boxes.
fn boxes(path: &Path) -> Vec<[u8; 4]> {
    let mut boxes = Vec::new();
    let Ok(file) = std::fs::File::open(path) else {
        return boxes;
    };
    let (mut at, mut head) = (0, [0; 16]);
    while boxes.len() < 6 && file.read_exact_at(&mut head, at).is_ok() {
        let short = u64::from(u32::from_be_bytes(head[..4].try_into().unwrap()));
        let length = if short == 1 {
            u64::from_be_bytes(head[8..].try_into().unwrap())
        } else {
            short
        };
        boxes.push(head[4..8].try_into().unwrap());
        if length < 8 {
            break;
        }
        at += length;
    }
    boxes
}

/// Whether a file has its provisional index, with footage behind it.
pub(crate) fn is_growing(path: &Path) -> bool {
    let boxes = boxes(path);
    let index = boxes.iter().position(|name| name == b"moov");
    index.is_some_and(|index| matches!(boxes.get(index + 1), Some(b"free" | b"mdat" | b"moof")))
}

/// Waits until the muxer begins to close a file that grows.
#[track_caller]
pub(crate) fn wait_for_close(path: &Path) {
    let end = Instant::now() + Duration::from_secs(30);
    while is_growing(path) {
        assert!(Instant::now() < end, "{} is never closed", path.display());
        pause(Duration::from_millis(1));
    }
}

#[test]
fn the_recordings_are_never_listed_while_they_grow() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, 2);
    site.wait_closed("door", 1, Duration::from_secs(15));
    let log = site.data().with_file_name("strace.log");
    let strace = Strace::attach(
        site.daemon().pid(),
        &log,
        &["trace=getdents64,getdents,openat,renameat,rename"],
    );
    let before = site.closed("door").len();
    site.wait_closed("door", before + 3, Duration::from_secs(30));
    let seen = strace.end();
    let recordings = site.data().join("recordings");
    let recordings = recordings.to_str().unwrap();
    assert!(
        seen.lines()
            .any(|line| line.contains("openat") && line.contains(recordings)),
        "strace saw no file being opened, so it would have seen no listing:\n{seen}"
    );
    let listed: Vec<&str> = seen.lines().filter(|line| line.contains("getdents")).collect();
    assert_eq!(listed, Vec::<&str>::new(), "a directory was listed while recording");
    assert_none_lost(&site, "door");
}

#[test]
fn a_camera_that_is_renamed_keeps_its_session_and_its_open_segment_grows_each_second() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, 4);
    site.wait_recording("door");
    let mut oldest = 0;
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        let body = json!({"name": format!("Door {}", fastrand::u32(..)), "retention_hours": fastrand::u32(1..100)});
        site.daemon().patch("/api/v1/cameras/door", &body).ok();
        let asked = now_ns();
        let newest = site.rows("door").iter().map(|row| row.end_ns).max().unwrap();
        // A second to grow, and what an answer takes on a machine that does much else.
        oldest = oldest.max(asked - newest);
        pause(Duration::from_millis(100));
    }
    assert!(
        oldest <= 1_500_000_000,
        "the newest row ended {} ms ago",
        oldest / 1_000_000
    );
    site.wait_closed("door", 2, Duration::from_secs(10));
    assert_none_lost(&site, "door");
    assert_eq!(camera.count_sessions().total, 1);
}
