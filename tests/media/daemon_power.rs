//! Power cuts and disks that hang, on a file system of their own: an ext4 image on a loop device over memory. They mount,
//! so they need root, and they take their time: `./tests/run --long` runs them.

use std::path::Path;
use std::time::{Duration, Instant};

use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::daemon_site::{Row, SOON, Site, lost_frames, now_ns};
use crate::kit::daemon::Daemon;
use crate::kit::disk::Disk;
use crate::kit::referee;
use crate::kit::wait::{pause, wait_for};

const FRAME_NS: i64 = 40_000_000;
/// What a power cut may cost at the most.
const BAR_NS: i64 = 1_500_000_000;
const CONSISTENT: Duration = Duration::from_secs(5);

fn camera(gop: u64) -> FakeCamera {
    let options = StreamOptions::small().with_gop(Duration::from_secs(gop));
    FakeCamera::start(options).unwrap()
}

/// A site on it, log and all: what hangs hangs altogether.
fn site_on(disk: &Disk) -> Site {
    Site::at(&disk.data())
}

#[track_caller]
fn assert_all_play(site: &Site, id: &str, rows: &[Row]) {
    for row in rows {
        let path: &Path = &site.path(id, row);
        assert_eq!(referee::decode_errors(path), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
#[ignore = "mounts file systems: ./tests/run --long as root"]
fn a_power_cut_costs_a_second_and_a_half_and_no_closed_segment() {
    let cameras = [("gop1", camera(1)), ("gop10", camera(10))];
    let disk = Disk::make();
    let mut site = site_on(&disk);
    site.boot();
    for (id, camera) in &cameras {
        site.add_camera(id, camera, 5);
    }
    site.wait_closed("gop1", 2, SOON);
    let mut losses = Vec::new();
    for round in 0..10 {
        pause(Duration::from_millis(fastrand::u64(500..6000)));
        // What the API has said is there has to be there afterwards. Asked before the moment, so that it was known by then.
        let known: Vec<Vec<Row>> = cameras.iter().map(|(id, _)| site.closed(id)).collect();
        // A commit that was answered a moment ago is the one that a cut would take first.
        let newest = format!("cut{round}");
        let body = json!({"id": newest, "name": newest, "main_stream_url": "rtsp://127.0.0.1:1/", "enabled": false});
        site.daemon().post("/api/v1/cameras", &body).ok();
        // Held for the moment of the copy, so that it is one moment.
        site.daemon().signal(Signal::STOP);
        let cut = now_ns();
        let found = disk.cut();
        site.daemon().signal(Signal::CONT);
        let mut other = site_on(&found);
        other.boot();
        let up = Instant::now();
        other.daemon().get(&format!("/api/v1/cameras/{newest}")).ok();
        for (n, (id, camera)) in cameras.iter().enumerate() {
            let rows = other.wait_mended(id, cut, CONSISTENT.saturating_sub(up.elapsed()));
            let rows: Vec<Row> = rows.into_iter().filter(|row| row.start_ns < cut && !row.open).collect();
            for before in &known[n] {
                let after = rows.iter().find(|row| row.id == before.id);
                let after = after.unwrap_or_else(|| panic!("{id}: a closed segment is gone: {before:?}"));
                assert_eq!(
                    (after.start_ns, after.end_ns, after.frames, after.state.as_str()),
                    (before.start_ns, before.end_ns, before.frames, "whole")
                );
            }
            assert_all_play(&other, id, &rows);
            let run = &rows.last().unwrap().run;
            let of_run: Vec<Row> = rows.iter().filter(|row| row.run == *run).cloned().collect();
            let stamps = other.stamps(id, &of_run);
            assert!(referee::missing_or_doubled(&stamps).is_nothing());
            let lost = lost_frames(&camera.sent_frames(), &stamps, stamps[0].time_ns, cut);
            losses.push(lost.len() as i64 * FRAME_NS);
        }
        other.kill_9();
    }
    losses.sort_unstable();
    let worst = losses.last().unwrap();
    eprintln!(
        "power cuts: 10 cuts, {} measurements, lost ms: worst {}, median {}",
        losses.len(),
        worst / 1_000_000,
        losses[losses.len() / 2] / 1_000_000
    );
    assert!(*worst <= BAR_NS, "{losses:?}");
}

#[test]
#[ignore = "mounts file systems: ./tests/run --long as root"]
fn a_disk_that_hangs_for_eleven_seconds_costs_no_frame() {
    let camera = camera(1);
    let disk = Disk::make();
    let mut site = site_on(&disk);
    site.boot();
    site.add_camera("door", &camera, 4);
    site.wait_closed("door", 1, SOON);
    disk.freeze();
    pause(Duration::from_secs(11));
    disk.thaw();
    let thawed = now_ns();
    wait_for(Duration::from_secs(30), "footage from after the thaw", || {
        let rows = site.closed("door");
        if rows.iter().any(|row| row.start_ns > thawed) {
            Ok(())
        } else {
            Err(rows.last().cloned())
        }
    });
    site.stop();
    site.boot();
    let until = now_ns();
    let rows: Vec<Row> = site
        .closed("door")
        .into_iter()
        .filter(|row| row.start_ns < until)
        .collect();
    let before: Vec<Row> = rows
        .into_iter()
        .filter(|row| row.start_ns < thawed + 4_000_000_000)
        .collect();
    let wrong = referee::missing_or_doubled(&site.stamps("door", &before));
    assert!(wrong.is_nothing(), "{wrong:?}");
    site.stop();
}

#[test]
#[ignore = "mounts file systems: ./tests/run --long as root"]
fn a_kill_while_the_disk_hangs_costs_what_could_not_be_written_and_nothing_else() {
    let camera = camera(1);
    let disk = Disk::make();
    let mut site = site_on(&disk);
    site.boot();
    site.add_camera("door", &camera, 4);
    site.wait_closed("door", 2, SOON);
    pause(Duration::from_millis(fastrand::u64(500..3500)));
    let closed = site.closed("door");
    let frozen = now_ns();
    disk.freeze();
    pause(Duration::from_secs(4));
    site.daemon().signal(Signal::KILL);
    let killed = now_ns();
    // The process is gone only when the disk lets go of its threads.
    disk.thaw();
    site.kill_9();
    site.boot();
    let rows = site.wait_mended("door", killed, CONSISTENT);
    let old: Vec<Row> = rows.into_iter().filter(|row| row.start_ns < killed).collect();
    for before in &closed {
        assert!(
            old.iter().any(|row| row.id == before.id && row.state == "whole"),
            "a closed segment is gone: {before:?}"
        );
    }
    assert_all_play(&site, "door", &old);
    let stamps = site.stamps("door", &old);
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    let lost = lost_frames(&camera.sent_frames(), &stamps, stamps[0].time_ns, frozen);
    eprintln!(
        "killed while frozen: {} frames from before the freeze are lost",
        lost.len()
    );
    assert!(lost.len() as i64 * FRAME_NS <= 250_000_000, "{lost:?}");
    site.stop();
}

#[test]
#[ignore = "mounts file systems: ./tests/run --long as root"]
fn a_start_while_the_disk_still_hangs_says_so_and_records_as_soon_as_it_answers() {
    let camera = camera(1);
    let disk = Disk::make();
    // The log lies beside this link: only what is the daemon's own hangs.
    let room = TempDir::new().unwrap();
    let data = room.path().join("data");
    std::fs::create_dir(disk.data()).unwrap();
    std::os::unix::fs::symlink(disk.data(), &data).unwrap();
    let mut site = Site::at(&data);
    site.boot();
    site.add_camera("door", &camera, 4);
    site.wait_closed("door", 2, SOON);
    let closed = site.closed("door");
    let _thaws = disk.thaws();
    disk.freeze();
    pause(Duration::from_secs(2));
    site.daemon().signal(Signal::KILL);
    let killed = now_ns();
    // The first is not gone yet, and cannot go.
    let second = Daemon::start(&data);
    for path in ["/readyz", "/api/v1/cameras", "/api/v1/health/cameras", "/"] {
        let answer = second.get(path);
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert!(
            answer.body["error"].as_str().unwrap().contains("waits for the disk"),
            "{answer:?}"
        );
    }
    assert!(second.log().contains("does not answer"), "{}", second.log());
    pause(Duration::from_secs(3));
    assert_eq!(second.get("/healthz").status, 200);
    disk.thaw();
    let thawed = Instant::now();
    wait_for(Duration::from_secs(15), "the camera is recorded again", || {
        let health = second.get("/api/v1/cameras/door/health");
        if health.body["state"] == "recording" {
            Ok(())
        } else {
            Err(health)
        }
    });
    eprintln!("recorded {:?} after the disk answered again", thawed.elapsed());
    site.kill_9();
    assert_eq!(second.terminate().code, Some(0));
    site.boot();
    let rows = site.wait_mended("door", killed, CONSISTENT);
    for before in &closed {
        assert!(
            rows.iter().any(|row| row.id == before.id && row.state == "whole"),
            "a closed segment is gone: {before:?}"
        );
    }
    let whole: Vec<Row> = rows.into_iter().filter(|row| !row.open).collect();
    assert_all_play(&site, "door", &whole);
    assert!(
        whole.last().unwrap().start_ns > killed,
        "the second daemon's footage is there"
    );
    site.stop();
}
