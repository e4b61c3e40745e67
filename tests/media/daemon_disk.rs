//! Disks that refuse, an index that is locked, and no more files to be had: what was recorded is told truly, and recording
//! goes on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use camkeep::pipeline::demo::{FakeCamera, StreamOptions};

use crate::daemon_site::{Row, SOON, Site, Strace, assert_none_lost, tiny};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_for, wait_until};

/// Whether there is time for the whole length of a fault.
fn long() -> bool {
    std::env::var_os("CAMKEEP_LONG").is_some()
}

/// The row of the segment that is open and has a file now.
#[track_caller]
fn open_row(site: &Site, id: &str) -> Row {
    wait_until(SOON, "an open segment with a file", || {
        let rows = site.rows(id);
        rows.into_iter().find(|row| row.open && row.url.is_some())
    })
}

#[test]
fn a_segment_that_the_disk_did_not_take_is_suspect_and_the_next_is_not() {
    let camera = FakeCamera::start(tiny()).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, 4);
    for call in ["fsync", "fdatasync"] {
        site.wait_closed("door", site.closed("door").len() + 1, SOON);
        let row = open_row(&site, "door");
        let path = site.path("door", &row);
        let log = site.data().with_file_name(format!("strace-{call}.log"));
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error=EIO"));
        let strace = Strace::attach_to_file(site.daemon().pid(), &log, &path, &[&trace, &inject]);
        let judged = wait_for(SOON, "the segment to be closed", || {
            let rows = site.rows("door");
            let own = rows.into_iter().find(|it| it.id == row.id).unwrap();
            if own.open { Err(own) } else { Ok(own) }
        });
        let seen = strace.end();
        assert!(
            seen.contains("EIO") && seen.contains("INJECTED"),
            "{call} never failed:\n{seen}"
        );
        assert_eq!(judged.state, "suspect", "{call}: {judged:?}\n{seen}");
        let told = site.events("recorder_error");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            told.iter().any(|message| message.contains(name)),
            "{call} {name}: {told:?}"
        );
        let later = wait_for(SOON, "the segment after it", || {
            let rows = site.closed("door");
            let next = rows.into_iter().find(|it| it.start_ns >= judged.end_ns);
            next.ok_or("none yet")
        });
        assert_eq!(later.state, "whole", "{later:?}");
    }
    assert_none_lost(&site, "door");
}

#[test]
fn a_locked_index_delays_rows_and_costs_no_frame() {
    let camera = FakeCamera::start(tiny()).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, 2);
    let before = site.wait_closed("door", 2, SOON).len();
    let lock = rusqlite::Connection::open(site.data().join("index.db")).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let files = site.files("door").len();
    pause(Duration::from_secs(if long() { 30 } else { 8 }));
    let grown = site.files("door").len() - files;
    assert!(
        grown >= if long() { 13 } else { 3 },
        "only {grown} files were begun while the index was locked"
    );
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    let rows = site.wait_closed("door", before + grown, Duration::from_secs(15));
    assert!(rows.iter().all(|row| row.state == "whole"), "{rows:?}");
    for pair in rows.windows(2) {
        assert_eq!(pair[0].end_ns, pair[1].start_ns, "no segment between is missing");
    }
    assert_none_lost(&site, "door");
}

/// How many files a process may have open.
#[track_caller]
fn limit_files(pid: u32, soft: u64) {
    let done = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")])
        .status()
        .expect("prlimit is part of util-linux");
    assert!(done.success());
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn without_files_to_be_had_new_cameras_are_refused_with_that_word_and_all_is_well_afterwards() {
    let camera = FakeCamera::start(StreamOptions { ..tiny() }).unwrap();
    let mut site = Site::start();
    site.add_camera("first", &camera, 2);
    site.wait_closed("first", 1, SOON);
    let pid = site.daemon().pid();
    // As `ulimit -n 64` would leave it, wherever this machine's libraries stand already.
    limit_files(pid, (open_files(pid) + 8).max(64) as u64);
    let cameras: Vec<FakeCamera> = (0..6).map(|_| FakeCamera::start(tiny()).unwrap()).collect();
    for (n, camera) in cameras.iter().enumerate() {
        site.add_camera(&format!("more{n}"), camera, 2);
    }
    let told = wait_until(
        Duration::from_secs(30),
        "somebody to be refused for want of files",
        || {
            let health = site.daemon().get("/api/v1/health/cameras").ok();
            let words: Vec<String> = health
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|camera| camera["message"].as_str().map(str::to_owned))
                .collect();
            let clear = |message: &&String| message.contains("LimitNOFILE") || message.contains("Too many open files");
            words.iter().find(clear).cloned()
        },
    );
    eprintln!("refused: {told}");
    assert_eq!(site.daemon().get("/healthz").status, 200);
    limit_files(pid, 1024);
    for n in 0..cameras.len() {
        let id = format!("more{n}");
        wait_for(
            Duration::from_secs(60),
            &format!("{id} to be recorded after all"),
            || {
                let health = site.daemon().get(&format!("/api/v1/cameras/{id}/health")).ok();
                if health["state"] == "recording" {
                    Ok(())
                } else {
                    Err(health)
                }
            },
        );
    }
    site.stop();
    site.boot();
    let ids = (0..cameras.len())
        .map(|n| format!("more{n}"))
        .chain(["first".to_owned()]);
    for id in ids {
        let rows = site.closed(&id);
        assert!(!rows.is_empty(), "{id}");
        let stamps = site.stamps(&id, &rows);
        assert!(referee::missing_or_doubled(&stamps).doubled.is_empty(), "{id}");
    }
}

#[test]
fn a_volume_that_goes_away_is_told_once_and_recording_goes_on_when_it_is_back() {
    let cameras = [FakeCamera::start(tiny()).unwrap(), FakeCamera::start(tiny()).unwrap()];
    let site = Site::start();
    for (id, camera) in ["one", "two"].into_iter().zip(&cameras) {
        site.add_camera(id, camera, 2);
    }
    let volume = site.data().join("recordings");
    let unplugged = site.data().join("unplugged");
    for times in 1..=2 {
        for id in ["one", "two"] {
            site.wait_closed(id, site.closed(id).len() + 1, SOON);
        }
        // As an unmount looks from here: the path leads to another, empty directory.
        std::fs::rename(&volume, &unplugged).unwrap();
        std::fs::create_dir(&volume).unwrap();
        for id in ["one", "two"] {
            wait_for(SOON, &format!("{id} to have nowhere to write"), || {
                let health = site.daemon().get(&format!("/api/v1/cameras/{id}/health")).ok();
                if health["loss"] == "volume_lost" {
                    Ok(())
                } else {
                    Err(health)
                }
            });
        }
        let told = site.events("volume_lost");
        assert_eq!(told.len(), times, "two cameras, one volume: {told:?}");
        assert!(told[times - 1].contains("nothing can be recorded"), "{told:?}");
        assert!(
            std::fs::read_dir(&volume).unwrap().next().is_none(),
            "nothing is written there"
        );
        std::fs::remove_dir(&volume).unwrap();
        std::fs::rename(&unplugged, &volume).unwrap();
        let back = crate::daemon_site::now_ns();
        for id in ["one", "two"] {
            wait_for(SOON, &format!("{id} to be recorded again"), || {
                let rows = site.rows(id);
                let found = rows.iter().any(|row| row.start_ns > back && row.url.is_some());
                if found { Ok(()) } else { Err(rows.last().cloned()) }
            });
        }
    }
    assert_eq!(site.events("volume_lost").len(), 2);
    assert!(
        site.events("camera_offline").is_empty(),
        "the cameras were there all the time"
    );
    for id in ["one", "two"] {
        let gaps = site.gaps(id);
        assert!(gaps.iter().all(|gap| gap.cause == "volume_lost"), "{gaps:?}");
    }
}

/// A control group of its own for a process, with so many tasks; gone when this is.
struct Group(PathBuf);

impl Group {
    /// The first version of control groups has a tree for each limit, the second one tree.
    fn of(pid: u32, tasks: u64) -> Self {
        let tree = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
            .iter()
            .find(|tree| Path::new(tree).join("cgroup.procs").exists())
            .expect("control groups are mounted");
        let own = Path::new(tree).join(format!("camkeep-test-{pid}"));
        std::fs::create_dir(&own).expect("this needs root");
        std::fs::write(own.join("cgroup.procs"), pid.to_string()).unwrap();
        std::fs::write(own.join("pids.max"), tasks.to_string()).unwrap();
        Self(own)
    }

    fn allow(&self, tasks: &str) {
        std::fs::write(self.0.join("pids.max"), tasks).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only an empty one can go, and what is left of it harms nobody.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "makes a control group: ./tests/run --long as root"]
fn without_threads_to_be_had_new_cameras_are_refused_with_that_word_and_all_is_well_afterwards() {
    let (first, second) = (FakeCamera::start(tiny()).unwrap(), FakeCamera::start(tiny()).unwrap());
    let site = Site::start();
    site.add_camera("first", &first, 2);
    site.wait_closed("first", 1, SOON);
    let pid = site.daemon().pid();
    let running = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count() as u64;
    let group = Group::of(pid, running + 24);
    site.add_camera("second", &second, 2);
    let health = |id: &str| site.daemon().get(&format!("/api/v1/cameras/{id}/health")).ok();
    wait_until(
        Duration::from_secs(30),
        "the second to be refused for want of threads",
        || {
            let message = health("second")["message"].as_str()?.to_owned();
            message.contains("TasksMax").then_some(message)
        },
    );
    let before = site.closed("first").len();
    site.wait_closed("first", before + 2, SOON);
    assert_none_lost(&site, "first");
    group.allow("max");
    wait_for(Duration::from_secs(60), "the second to be recorded after all", || {
        let health = health("second");
        if health["state"] == "recording" {
            Ok(())
        } else {
            Err(health)
        }
    });
}
