//! What may happen to a mirror's disk: full, read-only, pulled, absent at the start, hanging, and back again. In each the primary
//! loses no frame and goes on in one session, and afterwards the mirror catches up, equal to the byte.
//!
//! They mount file systems and need root; `./tests/run` runs them where it is root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::{Value, json};

use crate::daemon_site::{Row, SOON, Site, assert_none_lost, tiny};
use crate::kit::disk::Disk;
use crate::kit::wait::{pause, wait_for, wait_until};

/// How long catching up may take on a machine that does much else.
const CATCH_UP: Duration = Duration::from_secs(60);

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
