//! The mirror in the real daemon: it comes late, is killed in the middle, is changed behind its back, and gives back what
//! the primary lost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use camkeep::pipeline::demo::FakeCamera;
use serde_json::{Value, json};

use crate::daemon_site::{Row, SOON, Site, assert_none_lost, tiny};
use crate::kit::wait::wait_for;

/// Catching up, on a machine that does much else.
const LATER: Duration = Duration::from_secs(60);

const MIRROR: &str = "/api/v1/system/mirror";

/// A site with a place for a mirror beside the data.
struct Mirrored {
    site: Site,
    root: PathBuf,
}

impl Mirrored {
    fn new() -> Self {
        let site = Site::empty();
        let root = site.data().with_file_name("disk").join("mirror");
        Self { site, root }
    }

    #[track_caller]
    fn boot(&mut self, more: &[(&str, &str)]) {
        let root = self.root.clone();
        self.site.boot_with(|command| {
            command.arg("--mirror").arg(root).envs(more.iter().copied());
        });
    }

    /// The mirror's disk is there from now on.
    fn plug_in(&self) {
        std::fs::create_dir(self.root.parent().unwrap()).unwrap();
    }

    #[track_caller]
    fn add_mirrored(&self, id: &str, camera: &FakeCamera) {
        let body = json!({"id": id, "name": id, "main_stream_url": camera.url(), "segment_seconds": 2, "mirror_enabled": true});
        self.site.daemon().post("/api/v1/cameras", &body).ok();
    }

    #[track_caller]
    fn status(&self) -> Value {
        self.site.daemon().get(MIRROR).ok()
    }

    #[track_caller]
    fn wait_for_status(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(LATER, what, || {
            let status = self.status();
            if is_so(&status) { Ok(status) } else { Err(status) }
        })
    }

    /// Ids of the closed segments of a camera, with the states and hashes of their copies.
    #[track_caller]
    fn copies(&self, id: &str) -> BTreeMap<String, Vec<(String, String)>> {
        let rows = self
            .site
            .daemon()
            .get(&format!("/api/v1/cameras/{id}/segments?limit=5000"))
            .ok();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let closed = rows.as_array().unwrap().iter().filter(|row| row["open"] == false);
        closed
            .map(|row| {
                let copies = row["copies"].as_array().unwrap().iter();
                let copies = copies
                    .map(|copy| (text(&copy["state"]), text(&copy["sha256"])))
                    .collect();
                (text(&row["id"]), copies)
            })
            .collect()
    }

    /// Waits until each of some segments has two whole copies, and sees for itself that the files are the same.
    #[track_caller]
    fn wait_until_mirrored(&self, camera: &str, rows: &[Row]) {
        wait_for(LATER, "two whole copies of each segment", || {
            let copies = self.copies(camera);
            let lacking: Vec<_> = rows
                .iter()
                .filter(|row| {
                    let of = &copies[&row.id];
                    !(of.len() == 2
                        && of
                            .iter()
                            .all(|copy| copy.0 == "whole" && copy.1 == of[0].1 && !copy.1.is_empty()))
                })
                .map(|row| (&row.id, copies[&row.id].clone()))
                .collect();
            if lacking.is_empty() {
                Ok(())
            } else {
                Err(format!("{lacking:?} {}", self.status()))
            }
        });
        for row in rows {
            let path = self.site.path(camera, row);
            let (ours, theirs) = (
                std::fs::read(&path).unwrap(),
                std::fs::read(self.second(&path)).unwrap(),
            );
            assert!(ours == theirs, "{} differs on the mirror", path.display());
        }
    }

    /// Where the second copy of a file lies.
    fn second(&self, path: &Path) -> PathBuf {
        let below = path.strip_prefix(self.site.data().join("recordings")).unwrap();
        self.root.join(below)
    }

    /// `camkeep mirror`, as a person calls it.
    fn call(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_camkeep"));
        command.arg("mirror").args(arguments);
        command.args(["--server", self.site.daemon().address()]);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }
}

#[test]
fn a_mirror_that_is_absent_at_the_start_catches_up_when_it_comes_and_costs_no_frame() {
    let camera = FakeCamera::start(tiny()).unwrap();
    let mut here = Mirrored::new();
    here.boot(&[]);
    here.add_mirrored("door", &camera);
    here.site.wait_closed("door", 3, SOON);
    let absent = here.wait_for_status("the mirror to be missed", |status| {
        status["state"] == "absent" && status["owed_segments"].as_u64() >= Some(3)
    });
    assert!(absent["reason"].as_str().unwrap().contains("is not there"), "{absent}");
    assert_eq!(here.site.events("mirror_lost").len(), 1);
    let (code, said, _) = here.call(&["status"]);
    assert!(code == Some(0) && said.contains("is not there"), "{said}");
    here.plug_in();
    let caught_up = here.wait_for_status("it to catch up", |status| status["state"] == "caught_up");
    assert!(caught_up["copied_segments"].as_u64() >= Some(3), "{caught_up}");
    let copied = here.site.closed("door");
    here.wait_until_mirrored("door", &copied);
    // From now on second copies are written beside the first ones, and nothing is copied afterwards.
    let later = here.site.wait_closed("door", copied.len() + 4, SOON);
    here.wait_until_mirrored("door", &later);
    let status = here.wait_for_status("nothing to be owed", |status| status["state"] == "caught_up");
    let at_once = status["held_segments"].as_u64().unwrap() - status["copied_segments"].as_u64().unwrap();
    assert!(at_once >= 2, "{status}");
    assert_eq!(here.site.events("mirror_lost").len(), 1);
    let told = here.site.events("mirror_caught_up");
    assert!(told.len() == 1 && told[0].contains("everything again"), "{told:?}");
    assert_none_lost(&here.site, "door");
    assert_eq!(
        camera.count_sessions().total,
        1,
        "the mirror needs no session of its own"
    );
}

#[test]
fn a_kill_in_the_middle_of_catching_up_costs_nothing_but_time() {
    let camera = FakeCamera::start(tiny()).unwrap();
    let mut here = Mirrored::new();
    here.boot(&[]);
    here.add_mirrored("door", &camera);
    here.site.wait_closed("door", 6, LATER);
    here.plug_in();
    here.wait_for_status("some to be copied", |status| {
        status["copied_segments"].as_u64() > Some(0)
    });
    let at = here.site.kill_9();
    // Whatever it was at: half a copy under its name, half a copy under a hidden one.
    let files = here.site.files("door");
    let torn = std::fs::read(&files[1]).unwrap();
    std::fs::write(here.second(&files[1]), &torn[..torn.len() / 2]).unwrap();
    std::fs::write(here.root.join(".camkeep-copy/left"), b"half").unwrap();
    here.boot(&[]);
    let rows = here.site.wait_mended("door", at, LATER);
    let closed: Vec<Row> = rows.into_iter().filter(|row| !row.open).collect();
    assert!(closed.len() >= 6, "{closed:?}");
    here.wait_for_status("it to catch up", |status| status["state"] == "caught_up");
    let (code, said, complaint) = here.call(&["verify"]);
    assert_eq!(code, Some(0), "{said}{complaint}");
    here.wait_until_mirrored("door", &closed);
    assert!(!here.root.join(".camkeep-copy/left").exists());
}

#[test]
fn what_changed_on_the_mirror_is_found_and_healed_and_what_the_primary_lost_comes_back() {
    let camera = FakeCamera::start(tiny()).unwrap();
    let mut here = Mirrored::new();
    here.plug_in();
    here.boot(&[]);
    here.add_mirrored("door", &camera);
    let rows = here.site.wait_closed("door", 4, SOON);
    here.wait_until_mirrored("door", &rows);
    let path = |row: &Row| here.site.path("door", row);
    // A bit turned over on the mirror, and another on the primary.
    let turn = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    turn(&here.second(&path(&rows[0])));
    turn(&path(&rows[1]));
    let (code, said, complaint) = here.call(&["verify"]);
    assert_eq!(code, Some(0), "{said}{complaint}");
    for words in [
        "1 differed on the mirror",
        "1 differed on the primary",
        "2 are whole again",
    ] {
        assert!(said.contains(words), "{said}");
    }
    here.wait_until_mirrored("door", &rows);
    let lost = [path(&rows[2]), path(&rows[3])];
    lost.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let (code, said, complaint) = here.call(&["restore"]);
    assert_eq!(code, Some(0), "{said}{complaint}");
    assert!(said.contains("2 are whole again"), "{said}");
    here.wait_until_mirrored("door", &rows);
    // And one that is whole nowhere is said to be.
    turn(&here.second(&path(&rows[0])));
    turn(&path(&rows[0]));
    let (code, said, complaint) = here.call(&["verify", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["lost"]), (Some(1), &json!(1)), "{said}");
    assert!(complaint.contains("1 recordings are not whole"), "{complaint}");
    assert_none_lost_but(&here, &rows[1..]);
}

/// What was healed shows what was sent.
#[track_caller]
fn assert_none_lost_but(here: &Mirrored, rows: &[Row]) {
    let stamps = here.site.stamps("door", rows);
    let wrong = crate::kit::referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing() && !stamps.is_empty(), "{wrong:?}");
}

#[test]
fn cameras_that_want_a_mirror_where_there_is_none_are_told_of() {
    let camera = FakeCamera::start(tiny()).unwrap();
    let mut site = Site::start();
    let body = json!({"id": "door", "name": "door", "main_stream_url": camera.url(), "segment_seconds": 2, "mirror_enabled": true});
    site.daemon().post("/api/v1/cameras", &body).ok();
    site.stop();
    site.boot();
    let told = wait_for(SOON, "somebody to say so", || {
        let told = site.events("mirror_lost");
        if told.is_empty() { Err(told) } else { Ok(told) }
    });
    assert!(told[0].contains("door") && told[0].contains("--mirror DIR"), "{told:?}");
    let status = site.daemon().get(MIRROR).ok();
    assert_eq!((&status["state"], &status["cameras"]), (&json!("off"), &json!(1)));
    assert_eq!(site.daemon().post(&format!("{MIRROR}/verify"), &json!({})).status, 409);
}
