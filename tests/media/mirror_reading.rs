//! What the primary lost, cut or changed comes from the mirror: timeline, playback, stills and clips, judged by ffmpeg.

use std::fs;
use std::process::Command;

use camkeep::model::{Fingerprint, Timestamp};
use serde_json::Value;

use crate::daemon_site::SOON;
use crate::kit::mirror::{Mirrored, flip};
use crate::kit::referee::{self, Stamp};
use crate::kit::wait::wait_for;

/// Everything that people see of the recorded rows.
#[derive(Debug, PartialEq)]
struct Shown {
    recorded_seconds: f64,
    /// Files whole, and a part of each with what is said of it: as hashes, because a difference is printed.
    files: Vec<Fingerprint>,
    parts: Vec<(String, Fingerprint)>,
    stills: Vec<u32>,
    clip: Vec<Stamp>,
}

fn timeline(mirrored: &Mirrored) -> Value {
    let rows = &mirrored.rows;
    let text = |ns| Timestamp::from_nanos(ns).to_string();
    let window = format!(
        "from={}&to={}",
        text(rows[0].start_ns),
        text(rows[rows.len() - 1].end_ns)
    );
    mirrored
        .site
        .daemon()
        .get(&format!("/api/v1/cameras/door/timeline?{window}"))
        .ok()
}

fn look(mirrored: &Mirrored) -> Shown {
    let mut shown = Shown {
        recorded_seconds: timeline(mirrored)["recorded_seconds"].as_f64().unwrap(),
        files: Vec::new(),
        parts: Vec::new(),
        stills: Vec::new(),
        clip: mirrored.clip(),
    };
    for row in &mirrored.rows {
        let url = row.url.as_deref().unwrap();
        shown.files.push(Fingerprint::of(&mirrored.fetch(url)));
        let address = mirrored.site.daemon().address();
        let mut part = ureq::get(format!("{address}{url}"))
            .header("Range", "bytes=1000-1999")
            .call()
            .unwrap();
        assert_eq!(part.status().as_u16(), 206);
        let range = part.headers()["content-range"].to_str().unwrap().to_owned();
        let part = Fingerprint::of(&part.body_mut().read_to_vec().unwrap());
        shown.parts.push((range, part));
        let at = Timestamp::from_nanos(row.start_ns / 2 + row.end_ns / 2);
        let still = mirrored.site.data().with_file_name("still.jpg");
        fs::write(
            &still,
            mirrored.fetch(&format!("/api/v1/cameras/door/snapshot?at={at}")),
        )
        .unwrap();
        shown.stills.push(referee::read_stamps(&still)[0].counter);
    }
    shown
}

#[test]
fn what_the_primary_lost_cut_or_changed_is_played_shown_and_clipped_from_the_mirror() {
    let mut mirrored = Mirrored::record(4);
    mirrored.boot();
    let before = look(&mirrored);
    assert!(before.clip.len() > 50 && referee::missing_or_doubled(&before.clip).is_nothing());
    for row in &mirrored.rows {
        assert_eq!(mirrored.states(row), ["whole", "whole"]);
    }

    let [gone, cut, changed, sound] = &mirrored.rows[..] else {
        panic!("{:?}", mirrored.rows);
    };
    fs::remove_file(mirrored.primary_file(gone)).unwrap();
    let length = fs::metadata(mirrored.primary_file(cut)).unwrap().len();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(mirrored.primary_file(cut))
        .unwrap();
    file.set_len(length / 2).unwrap();
    flip(&mirrored.primary_file(changed));
    assert_eq!(look(&mirrored), before);
    // It is told, and everything goes on as before when the index knows it.
    for (row, state) in [
        (gone, "missing"),
        (cut, "suspect"),
        (changed, "suspect"),
        (sound, "whole"),
    ] {
        wait_for(SOON, "the index to know of the primary's copy", || {
            let states = mirrored.states(row);
            if states == [state, "whole"] {
                Ok(())
            } else {
                Err(states)
            }
        });
    }
    assert_eq!(look(&mirrored), before);

    // A start looks at the primary's files, and finds nothing to take away.
    mirrored.site.stop();
    mirrored.boot();
    assert_eq!(look(&mirrored), before);
}

#[test]
fn the_manifest_of_a_clip_that_came_from_the_mirror_is_right_and_signed() {
    let mut mirrored = Mirrored::record(3);
    mirrored.boot();
    fs::remove_file(mirrored.primary_file(&mirrored.rows[0])).unwrap();
    flip(&mirrored.primary_file(&mirrored.rows[1]));
    let text = |ns| Timestamp::from_nanos(ns).to_string();
    let body = serde_json::json!({
        "from": text(mirrored.rows[0].start_ns), "to": text(mirrored.rows[2].end_ns),
    });
    let clip = mirrored.site.daemon().post("/api/v1/cameras/door/clip", &body).ok();
    assert_eq!(clip["gaps"], serde_json::json!([]));
    let file = mirrored
        .site
        .data()
        .join("clips")
        .join(clip["filename"].as_str().unwrap());
    let key = mirrored.site.data().with_file_name("box.pem");
    fs::write(&key, mirrored.fetch("/api/v1/system/public-key?format=pem")).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_camkeep"))
        .args(["verify", "--json", "--recordings"])
        .arg(&mirrored.mirror)
        .arg("--key")
        .arg(&key)
        .arg(&file)
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{said}");
    let chained = |more: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_camkeep"))
            .args(["verify", "--json", "--chain=door", "--data"])
            .arg(mirrored.site.data())
            .args(more)
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        (
            done.status.code(),
            report["broken"].as_u64(),
            report["from_mirror"].as_u64(),
        )
    };
    assert_eq!(chained(&[]), (Some(1), Some(2), Some(0)));
    let mirror = mirrored.mirror.to_str().unwrap();
    assert_eq!(chained(&["--mirror", mirror]), (Some(0), Some(0), Some(2)));
    let sources = said["manifest"]["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 3);
    for source in sources {
        assert_eq!(source["state"], "whole");
        let path = mirrored.mirror.join(source["file"].as_str().unwrap());
        let durable = camkeep::storage::measure(&path).unwrap();
        let hex: String = durable.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(source["sha256"], hex);
    }
}

#[test]
fn a_mirror_that_is_not_there_takes_nothing_from_what_the_primary_has() {
    let mut mirrored = Mirrored::record(2);
    let away = mirrored.mirror.with_file_name("away");
    fs::rename(&mirrored.mirror, &away).unwrap();
    mirrored.boot();
    let before = look(&mirrored);
    fs::remove_file(mirrored.primary_file(&mirrored.rows[0])).unwrap();
    let gone = mirrored.site.daemon().get(mirrored.rows[0].url.as_deref().unwrap());
    assert_eq!(gone.status, 503, "{}", gone.body);
    assert!(
        gone.body["detail"].as_str().unwrap().contains("mirror"),
        "{}",
        gone.body
    );
    // It is back without a start.
    fs::rename(&away, &mirrored.mirror).unwrap();
    assert_eq!(look(&mirrored), before);
}
