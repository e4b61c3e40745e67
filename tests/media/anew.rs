//! Clips with pictures encoded anew, as somebody orders them of the daemon; and what is left when nobody wants them any more.

use std::path::PathBuf;
use std::time::Duration;

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::{Value, json};

use crate::daemon_site::{SOON, Site};
use crate::kit::referee;
use crate::kit::wait::wait_for;

/// Two segments of a camera, and a window that begins and ends in the middle of their groups of pictures.
fn recorded(options: StreamOptions, segment_seconds: u32) -> (FakeCamera, Site, i64, i64) {
    let camera = FakeCamera::start(options).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, segment_seconds);
    let rows = site.wait_closed("door", 2, Duration::from_secs(60));
    let (from, to) = (rows[0].start_ns + 1_310_000_000, rows[1].end_ns - 730_000_000);
    (camera, site, from, to)
}

fn text(ns: i64) -> String {
    Timestamp::from_nanos(ns).to_string()
}

fn clips(site: &Site) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(site.data().join("clips"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn file(site: &Site, clip: &Value) -> PathBuf {
    let name = clip["filename"].as_str().unwrap_or_else(|| panic!("{clip}"));
    site.data().join("clips").join(name)
}

#[track_caller]
fn job(site: &Site, order: &Value) -> String {
    let answer = site.daemon().post("/api/v1/exports", order);
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_clip_with_its_head_encoded_anew_holds_no_frame_of_before() {
    let options = StreamOptions::small().with_gop(Duration::from_secs(2));
    let (_camera, site, from, to) = recorded(options, 4);
    let body = json!({"from": text(from), "to": text(to), "mode": "reencode_head"});
    let clip = site.daemon().post("/api/v1/cameras/door/clip", &body).ok();
    let path = file(&site, &clip);
    let stamps = referee::read_stamps(&path);
    assert_eq!(referee::decode_errors(&path), Vec::<String>::new());
    assert_eq!(clip["frames"], stamps.len());
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    // Nothing of before the window is in the file at all.
    let probe = std::process::Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_packets",
            "-select_streams",
            "v",
            "-of",
            "csv=p=0",
        ])
        .args(["-ignore_editlist", "1", "-show_entries", "stream=nb_read_packets"])
        .arg(&path)
        .output()
        .unwrap();
    let packets: usize = String::from_utf8_lossy(&probe.stdout).trim().parse().unwrap();
    assert_eq!(packets, stamps.len());
    assert!(stamps[0].time_ns >= from - 50_000_000);
    // The manifest says which pictures are not the camera's: no more than a group of fifty.
    let path = format!("/api/v1/clips/{}/manifest", clip["id"].as_str().unwrap());
    let manifest = site.daemon().get(&path).ok();
    let (anew, shown) = (&manifest["clip"]["encoded_anew"], &manifest["shown"]["shown"]);
    assert_eq!(anew["start"], shown["start"], "{manifest}");
    assert!((1..50).contains(&anew["frames"].as_u64().unwrap()), "{manifest}");
    let left: Vec<String> = clips(&site)
        .into_iter()
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn an_export_with_the_time_in_its_pictures_is_made_by_a_job_and_leaves_nothing_else() {
    let options = StreamOptions::small().with_gop(Duration::from_secs(2));
    let (_camera, site, from, to) = recorded(options, 4);
    let order = json!({
        "cameras": ["door"], "from": text(from), "to": text(to), "burn_in": true, "captions": true, "name": "burnt"
    });
    let id = job(&site, &order);
    let done = wait_for(SOON, "the job to be done", || {
        let job = site.daemon().get(&format!("/api/v1/exports/{id}")).ok();
        if job["state"] == "done" { Ok(job) } else { Err(job) }
    });
    let clip = &done["clips"][0];
    let path = file(&site, clip);
    let stamps = referee::read_stamps(&path);
    assert_eq!(clip["frames"], stamps.len());
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    let kinds: Vec<String> = referee::probe(&path)
        .tracks
        .iter()
        .map(|track| track.kind.clone())
        .collect();
    assert_eq!(kinds, ["video", "subtitle"]);
    let manifest = std::fs::read(path.with_file_name("burnt.mp4.manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["clip"]["burnt_in_time"], true, "{manifest}");
    assert_eq!(manifest["clip"]["captions"], true);
    assert_eq!(
        clips(&site),
        ["burnt.mp4", "burnt.mp4.manifest.json", "burnt.mp4.manifest.sig"]
    );
}

#[test]
fn a_job_that_is_called_off_or_killed_in_the_middle_of_encoding_leaves_no_file() {
    // Large enough that encoding takes a while.
    let options = StreamOptions {
        width: 1280,
        height: 720,
        bitrate_kbps: 4000,
        ..StreamOptions::default()
    };
    let (camera, mut site, from, to) = recorded(options, 10);
    let order = json!({"cameras": ["door"], "from": text(from), "to": text(to), "burn_in": true, "name": "burnt"});
    let spooling = |site: &Site| {
        wait_for(SOON, "something to be encoded", || {
            let spool = site.data().join("clips/spool.mp4.part");
            let length = std::fs::metadata(&spool).map_or(0, |facts| facts.len());
            if length > 0 { Ok(()) } else { Err(clips(site)) }
        });
    };
    let id = job(&site, &order);
    spooling(&site);
    assert_eq!(site.daemon().delete(&format!("/api/v1/exports/{id}")).status / 100, 2);
    wait_for(SOON, "what was encoded to be thrown away", || {
        let left = clips(&site);
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert_eq!(
        site.daemon().get(&format!("/api/v1/exports/{id}")).ok()["state"],
        "cancelled"
    );

    let id = job(&site, &order);
    spooling(&site);
    drop(camera);
    site.kill_9();
    assert_eq!(clips(&site), ["spool.mp4.part"]);
    site.boot();
    wait_for(Duration::from_secs(60), "the job to be done after all", || {
        let job = site.daemon().get(&format!("/api/v1/exports/{id}")).ok();
        if job["state"] == "done" { Ok(()) } else { Err(job) }
    });
    assert_eq!(
        clips(&site),
        ["burnt.mp4", "burnt.mp4.manifest.json", "burnt.mp4.manifest.sig"]
    );
}
