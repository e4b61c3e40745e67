//! Disks that are smaller than what is recorded, for minutes: they are never full, what is held and what is young stays, no frame
//! is lost, and a mirror keeps what fits.
//!
//! They mount file systems and need root; `./tests/run` runs them where it is root.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::{Value, json};

use crate::daemon_site::{Row, SOON, Site, assert_none_lost};
use crate::kit::disk::Disk;
use crate::kit::wait::{pause, wait_for, wait_until};

/// How often a disk is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Free room is looked at once a second, and made in that pass: so long it may lack. The rest is for a busy machine.
const PASS: Duration = Duration::from_millis(2_500);
const MEGABYTE: u64 = 1_000_000;
/// A hold is told in whole milliseconds, and is to cover one segment alone.
const WITHIN: i64 = 2_000_000;

/// About 4 Mbit/s: every frame is a keyframe.
fn busy() -> StreamOptions {
    StreamOptions {
        bitrate_kbps: 4_000,
        gop_frames: 1,
        ..StreamOptions::default()
    }
}

/// 100 kbit/s.
fn quiet() -> StreamOptions {
    StreamOptions {
        bitrate_kbps: 100,
        ..StreamOptions::small()
    }
}

fn free(mounted: &Path) -> u64 {
    let space = rustix::fs::statvfs(mounted).unwrap();
    space.f_bavail * space.f_frsize
}

/// Somebody else takes so many bytes of a disk.
fn take(path: &Path, bytes: u64) {
    let file = fs::File::create(path).unwrap();
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes).unwrap();
}

/// The bytes of all recordings below a directory.
fn recorded(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => recorded(&entry.path()),
        Ok(found) if entry.path().extension().is_some_and(|end| end == "mp4") => found.len(),
        _ => 0,
    });
    sizes.sum()
}

/// What a look at a disk gave, ten times a second.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    free: u64,
    recorded: u64,
}

struct Watch {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Seen>>,
}

impl Watch {
    fn start(mounted: PathBuf) -> Self {
        let ends = Arc::<AtomicBool>::default();
        let end = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !end.load(Ordering::Relaxed) {
                let (free, recorded) = (free(&mounted), recorded(&mounted));
                let at = Instant::now();
                seen.push(Seen { at, free, recorded });
                pause(LOOK);
            }
            seen
        });
        Self { ends, thread }
    }

    fn end(self) -> Vec<Seen> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The longest time for which all looks in a row were like this.
fn longest(seen: &[Seen], is_so: impl Fn(&Seen) -> bool) -> Duration {
    let runs = seen.split(|look| !is_so(look)).filter(|run| !run.is_empty());
    runs.map(|run| run[run.len() - 1].at - run[0].at)
        .max()
        .unwrap_or_default()
}

fn add(site: &Site, id: &str, camera: &FakeCamera, more: Value) {
    let mut body = json!({"id": id, "name": id, "main_stream_url": camera.url(), "segment_seconds": 2});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    site.daemon().post("/api/v1/cameras", &body).ok();
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_small_primary_is_filled_again_and_again_and_is_never_full() {
    let disk = Disk::of(96);
    // So that it is filled in a minute.
    take(&disk.mounted.join("others"), free(&disk.mounted) - 26 * MEGABYTE);
    let mut site = Site::at(&disk.data());
    site.boot();
    let floor = wait_until(SOON, "the floor of the primary", || {
        let said = site.daemon().get("/api/v1/system").ok()["primary"]["min_free_bytes"].as_u64()?;
        (said > 0).then_some(said)
    });
    assert!(
        (3 * MEGABYTE..6 * MEGABYTE).contains(&floor),
        "a twentieth of the disk: {floor}"
    );
    let (large, small) = (FakeCamera::start(busy()).unwrap(), FakeCamera::start(quiet()).unwrap());
    add(&site, "large", &large, json!({}));
    add(&site, "small", &small, json!({"minimum_hours": 1}));
    let watch = Watch::start(disk.mounted.clone());
    let first: Row = site.wait_closed("large", 2, SOON)[1].clone();
    let oldest = site.wait_closed("small", 1, SOON)[0].clone();
    let held = json!({
        "cameras": ["large"], "from": Timestamp::from_nanos(first.start_ns + WITHIN), "to": Timestamp::from_nanos(first.end_ns - WITHIN), "reason": "theft",
    });
    site.daemon().post("/api/v1/holds", &held).ok();
    let is_gone = |site: &Site, row: &Row| site.rows("large").iter().all(|one| one.id != row.id);
    let begun = site.wait_closed("large", 3, SOON)[2].clone();
    wait_for(Duration::from_secs(120), "the disk to be filled once", || {
        if is_gone(&site, &begun) {
            Ok(())
        } else {
            Err(free(&disk.mounted))
        }
    });
    // Somebody else fills what is left, but for what two seconds of files and journals need.
    let foreign = disk.mounted.join("foreign");
    let newest = site.closed("large").last().unwrap().clone();
    take(&foreign, free(&disk.mounted) - 5 * MEGABYTE / 2);
    wait_for(PASS * 4, "room to be made beside a foreign file", || {
        let left = free(&disk.mounted);
        if left >= floor { Ok(()) } else { Err(left) }
    });
    wait_until(Duration::from_secs(60), "what was newest then to be gone", || {
        is_gone(&site, &newest).then_some(())
    });
    fs::remove_file(&foreign).unwrap();
    let after = site.closed("large").last().unwrap().clone();
    wait_until(Duration::from_secs(120), "the room to be filled again", || {
        is_gone(&site, &after).then_some(())
    });
    let seen = watch.end();
    let (full, under) = (
        longest(&seen, |look| look.free < 65_536),
        longest(&seen, |look| look.free < floor),
    );
    eprintln!("{} looks, full for {full:?}, under the floor for {under:?}", seen.len());
    assert_eq!(full, Duration::ZERO, "it was full");
    assert!(under < PASS * 2, "it was under its floor for {under:?}");
    // The first of the quiet camera is still there, and so is what is held.
    assert_eq!(site.rows("small")[0].id, oldest.id, "what is young goes last of all");
    assert!(!is_gone(&site, &first), "what is held stays");
    assert!(site.path("large", &first).exists());
    for (id, camera) in [("small", &small), ("large", &large)] {
        assert_eq!(camera.count_sessions().total, 1, "{id} was asked once");
    }
    assert_none_lost(&site, "small");
    let rows: Vec<Row> = site
        .closed("large")
        .into_iter()
        .filter(|row| row.id != first.id)
        .collect();
    let wrong = crate::kit::referee::missing_or_doubled(&site.stamps("large", &rows));
    assert!(wrong.is_nothing(), "{wrong:?}");
    assert_eq!(site.gaps("small").len() + site.gaps("large").len(), 0);
    site.stop();
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_small_mirror_that_is_filled_again_and_again_keeps_what_fits() {
    let disk = Disk::of(32);
    let mirror = disk.mounted.join("mirror");
    let mut site = Site::empty();
    site.boot_with(|command| {
        command.arg("--mirror").arg(&mirror);
    });
    let camera = FakeCamera::start(busy()).unwrap();
    add(&site, "large", &camera, json!({"mirror_enabled": true}));
    let status = || site.daemon().get("/api/v1/system/mirror").ok();
    let copies = || status()["held_segments"].as_u64().unwrap_or(0);
    wait_for(Duration::from_secs(120), "the first copy to be let go", || {
        let closed = site.closed("large").len() as u64;
        let copies = copies();
        if closed > copies + 4 {
            Ok(())
        } else {
            Err((closed, copies))
        }
    });
    let fits = recorded(&mirror);
    let watch = Watch::start(disk.mounted.clone());
    let full = site.closed("large").len();
    // Three fillings more.
    let end = full + 3 * usize::try_from(copies()).unwrap();
    wait_for(Duration::from_secs(240), "three fillings", || {
        let closed = site.closed("large").len();
        if closed >= end { Ok(()) } else { Err(closed) }
    });
    let seen = watch.end();
    let least = seen.iter().map(|look| look.recorded).min().unwrap();
    eprintln!("{fits} bytes fit, {least} at least were there in {} looks", seen.len());
    assert!(
        least * 10 >= fits * 9,
        "of {fits} bytes that fit only {least} were there"
    );
    assert_none_lost(&site, "large");
    assert_eq!(camera.count_sessions().total, 1);
}
