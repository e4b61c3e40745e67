//! What may happen to a mirror's disk: full, read-only, pulled, absent at the start, hanging, and back again. In each the primary
//! loses no frame and goes on in one session, and afterwards the mirror catches up, equal to the byte. And what may happen to the
//! primary's, which costs what could not be written and nothing else.
//!
//! They mount file systems and need root; `./tests/run` runs them where it is root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::{Value, json};

use crate::daemon_site::{KeptGap, Row, SOON, Site, assert_none_lost, lost_frames, now_ns, tiny};
use crate::kit::disk::Disk;
use crate::kit::referee;
use crate::kit::wait::{pause, wait_for, wait_until};

/// How long catching up may take on a machine that does much else.
const CATCH_UP: Duration = Duration::from_secs(60);

/// From one frame to the next.
const FRAME_NS: i64 = 40_000_000;

/// A box whose mirror is on a disk of its own, and a camera that is mirrored.
struct Rig {
    // The daemon goes before what it writes to.
    site: Site,
    disk: Disk,
    camera: FakeCamera,
}

/// More bytes a second than a small disk takes for long.
fn busy() -> StreamOptions {
    StreamOptions {
        bitrate_kbps: 800,
        ..StreamOptions::small()
    }
}

impl Rig {
    #[track_caller]
    fn begin() -> Self {
        Self::begin_on(Disk::make(), tiny())
    }

    #[track_caller]
    fn begin_on(disk: Disk, options: StreamOptions) -> Self {
        let site = Site::empty();
        let camera = FakeCamera::start(options).unwrap();
        let mut own = Self { site, disk, camera };
        own.boot();
        let body = json!({
            "id": "door", "name": "door", "main_stream_url": own.camera.url(), "segment_seconds": 2, "mirror_enabled": true,
        });
        own.site.daemon().post("/api/v1/cameras", &body).ok();
        own
    }

    fn mirror(&self) -> PathBuf {
        self.disk.mounted.join("mirror")
    }

    #[track_caller]
    fn boot(&mut self) {
        let mirror = self.mirror();
        let with_mirror = |command: &mut Command| {
            command.arg("--mirror").arg(mirror);
            command.env("CAMKEEP_MIRROR_MIN_FREE_GB", "0");
        };
        self.site.boot_with(with_mirror);
    }

    fn status(&self) -> Value {
        self.site.daemon().get("/api/v1/system/mirror").ok()
    }

    #[track_caller]
    fn wait_state(&self, states: &[&str], within: Duration) {
        wait_for(within, &format!("the mirror to be {states:?}"), || {
            let status = self.status();
            match status["state"].as_str() {
                Some(state) if states.contains(&state) => Ok(()),
                _ => Err(status),
            }
        });
    }

    /// Waits until so many more segments are closed on the primary.
    #[track_caller]
    fn record_more(&self, count: usize) {
        let before = self.site.closed("door").len();
        self.site.wait_closed("door", before + count, SOON);
    }

    #[track_caller]
    fn set_mirrored(&self, mirrored: bool) {
        let change = json!({"mirror_enabled": mirrored});
        self.site.daemon().patch("/api/v1/cameras/door", &change).ok();
    }

    /// Where the second copy of a row lies.
    fn second(&self, row: &Row) -> PathBuf {
        let first = self.site.path("door", row);
        let below = first.strip_prefix(self.site.data().join("recordings")).unwrap();
        self.mirror().join(below)
    }

    /// Waits until all that is closed now is on the mirror as well, and holds it against the primary.
    #[track_caller]
    fn assert_caught_up(&self) {
        let rows = self.site.closed("door");
        wait_for(CATCH_UP, "the mirror to have all that the primary has", || {
            let lacks: Vec<&Row> = rows.iter().filter(|row| !self.second(row).exists()).collect();
            let status = self.status();
            match lacks.is_empty() && status["state"] == "caught_up" && status["owed_segments"] == 0 {
                true => Ok(()),
                false => Err((lacks.len(), status)),
            }
        });
        for row in &rows {
            let (first, second) = (self.site.path("door", row), self.second(row));
            assert!(same(&first, &second), "{} differs", second.display());
        }
        let hidden = self.mirror().join(".camkeep-copy");
        assert!(
            std::fs::read_dir(hidden).map_or(0, Iterator::count) == 0,
            "what was copied under another name is gone"
        );
    }

    /// The primary has every frame, in one run, and the camera was asked once.
    #[track_caller]
    fn assert_unhurt(&self) {
        assert_none_lost(&self.site, "door");
        assert_eq!(
            self.camera.count_sessions().total,
            1,
            "one session, whatever the mirror did"
        );
        let health = self.site.daemon().get("/api/v1/cameras/door/health").ok();
        assert_eq!(health["state"], "recording");
    }

    /// Somebody was told so often that the mirror was lost, with these words, and that it has all again.
    #[track_caller]
    fn assert_told(&self, times: usize, words: &str) {
        let lost = self.site.events("mirror_lost");
        assert_eq!(lost.len(), times, "{lost:?}");
        assert!(lost.iter().any(|message| message.contains(words)), "{lost:?}");
        let back = wait_for(SOON, "somebody to be told that it caught up", || {
            let back = self.site.events("mirror_caught_up");
            if back.len() >= times { Ok(back) } else { Err(back) }
        });
        assert_eq!(back.len(), times, "{back:?}");
    }
}

fn same(first: &Path, second: &Path) -> bool {
    std::fs::read(first).unwrap() == std::fs::read(second).unwrap()
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_mirror_that_is_full_costs_the_primary_no_frame_and_catches_up() {
    let own = Rig::begin_on(Disk::make(), busy());
    own.record_more(2);
    // Everything that is left, to the last block.
    let ballast = own.disk.mounted.join("ballast");
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", &format!("of={}", ballast.display())])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&filled.stderr).contains("No space left"));
    wait_until(SOON, "somebody is told that the mirror is full", || {
        let told = own.site.events("mirror_lost");
        (!told.is_empty()).then_some(())
    });
    own.record_more(3);
    std::fs::remove_file(&ballast).unwrap();
    own.record_more(1);
    own.assert_unhurt();
    wait_for(CATCH_UP, "the mirror to catch up", || {
        let status = own.status();
        if status["state"] == "caught_up" {
            Ok(())
        } else {
            Err(status)
        }
    });
    // Room was made by letting the oldest go, so not all of them need be there; what is there is the same.
    let rows = own.site.closed("door");
    let there: Vec<&Row> = rows.iter().filter(|row| own.second(row).exists()).collect();
    assert!(there.len() >= 3, "{there:?}");
    for row in there {
        assert!(same(&own.site.path("door", row), &own.second(row)));
    }
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_mirror_that_becomes_read_only_costs_the_primary_no_frame_and_catches_up() {
    let own = Rig::begin();
    own.record_more(2);
    own.assert_caught_up();
    // A file that is open for writing keeps a file system from it.
    own.set_mirrored(false);
    wait_until(SOON, "the file system becomes read-only", || {
        let asked = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&own.disk.mounted)
            .output();
        asked.unwrap().status.success().then_some(())
    });
    own.set_mirrored(true);
    own.wait_state(&["absent"], SOON);
    own.record_more(3);
    own.disk.make_writable();
    own.record_more(1);
    own.assert_unhurt();
    own.assert_caught_up();
    own.assert_told(1, "Read-only");
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_mirror_that_is_pulled_gets_nothing_under_its_mount_point_and_catches_up_when_it_is_back() {
    let own = Rig::begin();
    own.record_more(2);
    own.disk.unmount();
    own.wait_state(&["absent"], Duration::from_secs(10));
    own.record_more(3);
    assert_eq!(
        std::fs::read_dir(&own.disk.mounted).unwrap().count(),
        0,
        "nothing is written under an empty mount point"
    );
    own.disk.mount_again();
    own.record_more(1);
    own.assert_unhurt();
    own.assert_caught_up();
    own.assert_told(1, "");
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_mirror_that_is_not_there_at_the_start_delays_nothing_and_catches_up_when_it_comes() {
    let mut own = Rig::begin();
    own.record_more(2);
    own.assert_caught_up();
    own.site.stop();
    own.disk.unmount();
    own.boot();
    own.wait_state(&["absent"], SOON);
    own.record_more(3);
    assert_eq!(std::fs::read_dir(&own.disk.mounted).unwrap().count(), 0);
    own.disk.mount_again();
    own.record_more(1);
    own.assert_caught_up();
    own.assert_told(1, "");
    assert_eq!(own.camera.count_sessions().total, 2, "one a start");
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_mirror_that_hangs_for_a_minute_costs_the_primary_no_frame_and_catches_up() {
    let own = Rig::begin();
    own.record_more(2);
    {
        let _thaws = own.disk.thaws();
        own.disk.freeze();
        own.wait_state(&["absent"], Duration::from_secs(30));
        // People who look at footage do not wait for it either.
        let rows = own.site.closed("door");
        let url = rows[0].url.clone().unwrap();
        assert_eq!(own.site.daemon().get(&url).status, 200);
        pause(Duration::from_secs(60));
        own.assert_unhurt();
        own.disk.thaw();
    }
    own.record_more(1);
    own.assert_unhurt();
    own.assert_caught_up();
    own.assert_told(1, "does not answer");
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_start_while_the_mirror_hangs_records_at_once_and_a_stop_does_not_wait_for_it() {
    let mut own = Rig::begin();
    own.record_more(1);
    own.site.stop();
    {
        let _thaws = own.disk.thaws();
        own.disk.freeze();
        own.boot();
        own.record_more(2);
        // The process is gone from the list only when the kernel gives the thread back that is inside the disk, so its own
        // last word counts.
        own.site.daemon().signal(rustix::process::Signal::TERM);
        wait_for(Duration::from_secs(6), "camkeep to end", || {
            let log = own.site.daemon().log();
            let last = log.lines().last().unwrap_or_default().to_owned();
            if last.contains("stopped") || last.contains("not everything ended in time") {
                Ok(())
            } else {
                Err(last)
            }
        });
        own.disk.thaw();
        own.site.terminate();
    }
    own.boot();
    own.record_more(1);
    own.assert_caught_up();
}

/// Row 25, on a volume as small as the table wants it: the disk is full from the first minute on.
#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_mirror_of_a_few_megabytes_keeps_what_is_newest_and_costs_no_frame() {
    let own = Rig::begin_on(Disk::of(6), busy());
    own.site.wait_closed("door", 20, Duration::from_secs(90));
    own.assert_unhurt();
    wait_for(CATCH_UP, "the newest to be on the mirror", || {
        let rows = own.site.closed("door");
        let newest = rows.iter().rev().take(4).filter(|row| own.second(row).exists()).count();
        if newest >= 2 {
            Ok(())
        } else {
            Err((newest, own.status()))
        }
    });
}

/// A box whose primary is on a disk of its own.
fn on_a_disk_of_its_own(disk: &Disk, mirror: &Path) -> Site {
    let mut site = Site::at(&disk.data());
    site.boot_with(|command| {
        command.arg("--mirror").arg(mirror);
    });
    site
}

/// Writes to a file until nothing is left of its disk, to the last block.
#[track_caller]
fn fill(ballast: &Path) {
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=4k", "oflag=append", "conv=notrunc"])
        .arg(format!("of={}", ballast.display()))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&filled.stderr).contains("No space left"));
}

/// All that rows tell of is in their files, and what is missing is in none of them. Gives what is missing, frame by frame.
#[track_caller]
fn assert_rows_are_true(site: &Site, camera: &FakeCamera) -> Vec<i64> {
    let rows = site.closed("door");
    for row in &rows {
        let (path, there) = (site.path("door", row), site.stamps("door", std::slice::from_ref(row)));
        assert_eq!(there.len() as u64, row.frames, "{row:?}");
        assert_eq!(referee::decode_errors(&path), Vec::<String>::new(), "{row:?}");
    }
    let stamps = site.stamps("door", &rows);
    let (first, last) = (stamps.first().unwrap().time_ns, stamps.last().unwrap().time_ns);
    let sent = camera.sent_frames();
    let lost = lost_frames(&sent, &stamps, first, last);
    let times = sent.iter().filter(|frame| lost.contains(&frame.counter));
    let lost: Vec<i64> = times.map(|frame| frame.time_us as i64 * 1000).collect();
    let half = FRAME_NS / 2;
    for at in &lost {
        // Where a run went on within half a second a mended row reaches to the next one, whatever its frames.
        let holds = |row: &Row| row.start_ns + half..row.start_ns + row.frames as i64 * FRAME_NS - half;
        let told = rows.iter().find(|row| holds(row).contains(at));
        assert!(told.is_none(), "the frame of {at} is in no file, and in {told:?}");
    }
    lost
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_primary_that_is_full_keeps_what_it_has_says_so_and_records_again_once_there_is_room() {
    let (disk, room) = (Disk::make(), tempfile::TempDir::new().unwrap());
    let mirror = room.path().join("mirror");
    let mut site = on_a_disk_of_its_own(&disk, &mirror);
    let camera = FakeCamera::start(busy()).unwrap();
    let body = json!({
        "id": "door", "name": "door", "main_stream_url": camera.url(), "segment_seconds": 2, "mirror_enabled": true,
    });
    site.daemon().post("/api/v1/cameras", &body).ok();
    let before = site.wait_closed("door", 3, SOON);
    let ballast = disk.mounted.join("ballast");
    let health = || site.daemon().get("/api/v1/cameras/door/health").ok();
    wait_for(SOON, "recording to end for want of room", || {
        // Whoever deletes a file, or closes one, makes a little room again.
        fill(&ballast);
        let health = health();
        if health["state"] == "error" {
            Ok(())
        } else {
            Err(health)
        }
    });
    pause(Duration::from_secs(8));
    // Nobody has to wait for room to look at what is there.
    for row in &before {
        assert_eq!(referee::decode_errors(&site.path("door", row)), Vec::<String>::new());
        assert!(
            site.rows("door")
                .iter()
                .any(|now| now.id == row.id && now.state == "whole")
        );
    }
    // Nor to take a clip of it along that is written nowhere.
    let clip = room.path().join("clip.mp4");
    let time = |ns: i64| Timestamp::from_nanos(ns).to_string();
    let window = format!("from={}&to={}", time(before[0].start_ns), time(before[2].end_ns));
    for look in 0..5 {
        fill(&ballast);
        let status = site
            .daemon()
            .fetch(&format!("/api/v1/cameras/door/clip.mp4?{window}"), &clip);
        let said = std::fs::read(&clip).unwrap();
        assert_eq!(
            status,
            200,
            "look {look}: {}",
            String::from_utf8_lossy(&said[..said.len().min(500)])
        );
        assert_eq!(referee::decode_errors(&clip), Vec::<String>::new());
    }
    fill(&ballast);
    assert_eq!(health()["state"], "error");
    let closed = site.closed("door").len();
    std::fs::remove_file(&ballast).unwrap();
    let freed = Instant::now();
    site.wait_recording("door");
    let again = freed.elapsed();
    assert!(again <= Duration::from_secs(5), "recorded again after {again:?}");
    site.wait_closed("door", closed + 3, SOON);
    let stopped = now_ns();
    // Told where there was no room for the telling.
    let told = site.events("disk_pressure");
    let of_recording = told.iter().filter(|told| told.contains("nothing can be recorded"));
    assert_eq!(of_recording.count(), 1, "{told:?}");
    assert!(told.len() <= 2, "and of the journal, if that found out: {told:?}");
    assert_rows_are_true(&site, &camera);
    // What the disk did not take to its end is mended, and then the mirror has all that the primary has.
    site.stop();
    site.boot_with(|command| {
        command.arg("--mirror").arg(&mirror);
    });
    let rows = wait_for(SOON, "everything to be mended", || {
        let rows = site.closed("door");
        let is_well = rows.iter().all(|row| row.open || row.state == "whole");
        if is_well { Ok(rows) } else { Err(rows) }
    });
    let lost = assert_rows_are_true(&site, &camera);
    let gaps = site.gaps("door");
    let full: Vec<&KeptGap> = gaps.iter().filter(|gap| gap.cause == "volume_full").collect();
    let [gap] = &full[..] else { panic!("one gap: {gaps:?}") };
    let before = lost.iter().filter(|at| **at < gap.start_ns).count() as i64 * FRAME_NS;
    let after = lost
        .iter()
        .filter(|at| (gap.end_ns + FRAME_NS..stopped).contains(*at))
        .count();
    assert!(before <= 1_500_000_000, "{before} ns were lost before {gap:?}");
    assert_eq!(after, 0, "nothing is missing after {gap:?}");
    wait_for(CATCH_UP, "the mirror to have all of it", || {
        let below = |row: &Row| {
            let first = site.path("door", row);
            let name = first.strip_prefix(site.data().join("recordings")).unwrap().to_owned();
            (first, mirror.join(name))
        };
        let pairs = rows.iter().map(below);
        let lacks: Vec<PathBuf> = pairs
            .filter(|(first, second)| !second.exists() || !same(first, second))
            .map(|(_, second)| second)
            .collect();
        if lacks.is_empty() { Ok(()) } else { Err(lacks) }
    });
    site.stop();
}

#[test]
#[ignore = "mounts file systems: ./tests/run as root"]
fn a_primary_that_becomes_read_only_is_told_once_and_written_to_again_as_soon_as_it_can_be() {
    let disk = Disk::make();
    let mut site = Site::empty();
    std::fs::create_dir_all(site.data()).unwrap();
    std::fs::create_dir(disk.data()).unwrap();
    std::os::unix::fs::symlink(disk.data(), site.data().join("recordings")).unwrap();
    site.boot();
    let camera = FakeCamera::start(tiny()).unwrap();
    site.add_camera("door", &camera, 2);
    let before = site.wait_closed("door", 2, SOON);
    // A file that is open for writing keeps a file system from it.
    let enable = |site: &Site, enabled: bool| {
        let change = json!({"enabled": enabled});
        site.daemon().patch("/api/v1/cameras/door", &change).ok();
    };
    enable(&site, false);
    wait_until(SOON, "the file system becomes read-only", || {
        let asked = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&disk.mounted)
            .output();
        asked.unwrap().status.success().then_some(())
    });
    enable(&site, true);
    let health = || site.daemon().get("/api/v1/cameras/door/health").ok();
    wait_for(SOON, "somebody to be told", || {
        let (health, told) = (health(), site.events("volume_lost"));
        let is_told = health["state"] == "error" && told.iter().any(|told| told.contains("Read-only"));
        if is_told { Ok(()) } else { Err((health, told)) }
    });
    let asked = camera.count_sessions().total;
    pause(Duration::from_secs(8));
    assert_eq!(health()["state"], "error");
    assert!(
        camera.count_sessions().total <= asked + 1,
        "no camera is asked for what cannot be written"
    );
    let closed = site.closed("door").len();
    disk.make_writable();
    let writable = Instant::now();
    site.wait_recording("door");
    let again = writable.elapsed();
    assert!(again <= Duration::from_secs(5), "recorded again after {again:?}");
    site.wait_closed("door", closed + 2, SOON);
    assert_eq!(site.events("volume_lost").len(), 1, "told once");
    assert_rows_are_true(&site, &camera);
    for row in &before {
        assert_eq!(referee::decode_errors(&site.path("door", row)), Vec::<String>::new());
    }
    site.stop();
}
