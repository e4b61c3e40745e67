//! What the real program signs and chains, checked by openssl and by `camkeep verify`, and what they say when it was altered.

use std::path::Path;
use std::process::Command;

use camkeep::pipeline::demo::FakeCamera;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon_site::{SOON, Site, tiny};
use crate::kit::wait::wait_for;

/// How `camkeep verify` ended, and what it printed.
#[derive(Debug)]
struct Said {
    code: i32,
    json: Value,
}

impl Said {
    /// What is wrong, as `about: said`.
    fn wrong(&self) -> Vec<String> {
        let checks = self.json["checks"].as_array().into_iter().flatten();
        checks
            .filter(|check| check["outcome"] == "altered")
            .map(|check| {
                format!(
                    "{}: {}",
                    check["about"].as_str().unwrap(),
                    check["said"].as_str().unwrap()
                )
            })
            .collect()
    }

    fn findings(&self) -> Vec<String> {
        let findings = self.json["findings"].as_array().into_iter().flatten();
        findings
            .map(|found| {
                format!(
                    "{}: {}",
                    found["what"].as_str().unwrap(),
                    found["said"].as_str().unwrap()
                )
            })
            .collect()
    }
}

fn verify(arguments: &[&str]) -> Said {
    let done = Command::new(env!("CARGO_BIN_EXE_camkeep"))
        .args(["verify", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    Said {
        code: done.status.code().unwrap(),
        json: serde_json::from_slice(&done.stdout).unwrap_or(Value::Null),
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn every_segment_is_chained_also_the_one_that_a_kill_left_and_what_is_done_to_one_is_named() {
    let camera = FakeCamera::start(tiny()).unwrap();
    let mut site = Site::start();
    site.add_camera("door", &camera, 2);
    site.wait_closed("door", 3, SOON);
    site.wait_recording("door");
    site.kill_9();
    site.boot();
    let data = site.data().to_str().unwrap().to_owned();
    let chain = || verify(&["--chain=door", "--data", &data]);
    // Beside the running daemon, which mends what the kill left and goes on.
    let said = wait_for(SOON, "two runs that are chained", || {
        let said = chain();
        let report = &said.json;
        let settled = report["runs"] == 2 && report["open"] == 1 && report["unchained"] == 0;
        if settled && report["sound"].as_u64() >= Some(5) {
            Ok(said)
        } else {
            Err(said)
        }
    });
    assert_eq!((said.code, said.findings()), (0, vec![]));

    let rows = site.wait_closed("door", 5, SOON);
    site.stop();
    let (changed, gone) = (&rows[1], &rows[2]);
    flip(&site.path("door", changed), 2000);
    std::fs::remove_file(site.path("door", gone)).unwrap();
    let said = chain();
    let findings = said.findings();
    assert_eq!((said.code, findings.len()), (1, 2), "{findings:?}");
    for (found, row, word) in [(&findings[0], changed, "changed: "), (&findings[1], gone, "missing: ")] {
        let file = row.url.as_ref().unwrap().rsplit('/').next().unwrap();
        assert!(found.starts_with(word) && found.contains(file), "{found}");
    }
}

/// A clip with what lies beside it, fetched as somebody fetches it who takes it away.
struct Fetched {
    room: TempDir,
    site: Site,
    _camera: FakeCamera,
}

impl Fetched {
    fn new() -> Self {
        let camera = FakeCamera::start(tiny()).unwrap();
        let site = Site::start();
        site.add_camera("door", &camera, 2);
        let rows = site.wait_closed("door", 3, SOON);
        let (from, to) = (rows[0].start_ns + 500_000_000, rows[2].end_ns - 500_000_000);
        let text = |ns| camkeep::model::Timestamp::from_nanos(ns).to_string();
        let body = json!({"from": text(from), "to": text(to)});
        let clip = site.daemon().post("/api/v1/cameras/door/clip", &body).ok();
        let room = TempDir::new().unwrap();
        let fetch = |path: &str, name: &str| {
            let mut answer = ureq::get(format!("{}{path}", site.daemon().address())).call().unwrap();
            let bytes = answer.body_mut().read_to_vec().unwrap();
            std::fs::write(room.path().join(name), &bytes).unwrap();
            (answer, bytes)
        };
        let id = clip["id"].as_str().unwrap();
        fetch(clip["url"].as_str().unwrap(), "gate.mp4");
        let (told, _) = fetch(&format!("/api/v1/clips/{id}/manifest"), "gate.mp4.manifest.json");
        let (_, signature) = fetch(&format!("/api/v1/clips/{id}/manifest.sig"), "gate.mp4.manifest.sig");
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(signature.len(), 64);
        assert_eq!(told.headers()["x-camkeep-signature"], hex.as_str());
        assert_eq!(told.headers()["content-type"], "application/json");
        fetch("/api/v1/system/public-key?format=pem", "box.pem");
        Self {
            room,
            site,
            _camera: camera,
        }
    }

    fn verify(&self, more: &[&str]) -> Said {
        let clip = self.room.path().join("gate.mp4");
        let key = self.room.path().join("box.pem");
        let mut arguments = vec![clip.to_str().unwrap(), "--key", key.to_str().unwrap()];
        arguments.extend(more);
        verify(&arguments)
    }

    fn openssl_says_yes(&self) -> bool {
        let line = "openssl pkeyutl -verify -pubin -inkey box.pem -rawin -in gate.mp4.manifest.json \
                    -sigfile gate.mp4.manifest.sig";
        let done = Command::new("sh")
            .args(["-ec", line])
            .current_dir(self.room.path())
            .output();
        done.unwrap().status.success()
    }

    /// Flips a byte, asks, and flips it back.
    fn altered(&self, path: &Path, at: usize, more: &[&str]) -> (i32, Vec<String>) {
        flip(path, at);
        let said = self.verify(more);
        flip(path, at);
        (said.code, said.wrong())
    }
}

#[test]
fn a_clip_that_was_fetched_is_checked_by_openssl_and_by_us_and_each_flipped_byte_is_named() {
    let fetched = Fetched::new();
    let recordings = fetched.site.data().join("recordings");
    let recordings = recordings.to_str().unwrap();
    assert!(fetched.openssl_says_yes());
    let said = fetched.verify(&["--recordings", recordings]);
    assert_eq!((said.code, said.wrong()), (0, vec![]), "{said:?}");
    let manifest = &said.json["manifest"];
    assert_eq!(manifest["camera"]["id"], "door");
    let sources = manifest["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 3);
    assert!(
        sources.iter().all(|source| source["chain"]["value"].is_string()),
        "{sources:?}"
    );
    let address = fetched.site.daemon().address().to_owned();
    let clip = fetched.room.path().join("gate.mp4");
    let asked = verify(&[clip.to_str().unwrap(), "--from", &address]);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert_eq!(verify(&[clip.to_str().unwrap()]).code, 3, "nobody said whose key it is");

    let at = fetched.room.path();
    let (code, wrong) = fetched.altered(&clip, 4321, &[]);
    assert_eq!((code, wrong.len()), (1, 1), "{wrong:?}");
    assert!(wrong[0].starts_with("clip: its bytes were changed"), "{wrong:?}");
    let source = Path::new(recordings).join(sources[1]["file"].as_str().unwrap());
    let (code, wrong) = fetched.altered(&source, 999, &["--recordings", recordings]);
    assert_eq!((code, wrong.len()), (1, 1), "{wrong:?}");
    assert!(
        wrong[0].starts_with("segment: ") && wrong[0].contains(sources[1]["file"].as_str().unwrap()),
        "{wrong:?}"
    );
    let json = std::fs::read_to_string(at.join("gate.mp4.manifest.json")).unwrap();
    let place = json.find("\"asked_by\": \"").unwrap() + 14;
    let (code, wrong) = fetched.altered(&at.join("gate.mp4.manifest.json"), place, &[]);
    assert_eq!(code, 1);
    assert!(wrong.iter().any(|said| said.starts_with("manifest: ")), "{wrong:?}");
    let (code, wrong) = fetched.altered(&at.join("gate.mp4.manifest.sig"), 20, &[]);
    assert_eq!((code, wrong.len()), (1, 1), "{wrong:?}");
    assert!(wrong[0].starts_with("signature: "), "{wrong:?}");

    let made = Command::new("sh")
        .args([
            "-ec",
            "openssl genpkey -algorithm ed25519 | openssl pkey -pubout >other.pem",
        ])
        .current_dir(at)
        .status();
    assert!(made.unwrap().success());
    let other = at.join("other.pem");
    let said = verify(&[clip.to_str().unwrap(), "--key", other.to_str().unwrap()]);
    assert_eq!((said.code, said.wrong().len()), (1, 1), "{said:?}");
    assert!(said.wrong()[0].starts_with("key: another one signed"), "{said:?}");
    assert_eq!(
        fetched.verify(&["--recordings", recordings]).code,
        0,
        "all was flipped back"
    );
}
