//! Clips and exports with the real program: the same bytes by every door, jobs that outlive a kill, clients that leave,
//! recordings that are not deleted while they are read, and recording that does not notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use camkeep::index::Index;
use camkeep::model::{SegmentId, Timestamp};
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use camkeep::storage::SealKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::daemon_site::{Row, SOON, Site, assert_none_lost, tiny};
use crate::kit::referee;
use crate::kit::wait::wait_until;

/// An answer with its headers and its body as it came.
struct Fetched {
    status: u16,
    head: String,
    body: Vec<u8>,
    first_byte: Duration,
}

impl Fetched {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

fn connect(site: &Site) -> TcpStream {
    let stream = TcpStream::connect(site.daemon().address().trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream
}

fn ask(site: &Site, method: &str, target: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = connect(site);
    let length = body.len();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    stream
}

fn fetch(site: &Site, method: &str, target: &str, headers: &str, body: &str) -> Fetched {
    let begun = Instant::now();
    let mut stream = ask(site, method, target, headers, body);
    let mut bytes = vec![0];
    stream.read_exact(&mut bytes).unwrap();
    let first_byte = begun.elapsed();
    stream.read_to_end(&mut bytes).unwrap();
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    Fetched {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: bytes[split + 4..].to_vec(),
        head,
        first_byte,
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// From the middle of the first of these rows to the middle of the last.
fn inside(rows: &[Row]) -> (Timestamp, Timestamp) {
    let middle = |row: &Row| Timestamp::from_millis((row.start_ns / 2 + row.end_ns / 2) / 1_000_000);
    (middle(&rows[0]), middle(&rows[rows.len() - 1]))
}

fn order(site: &Site, camera: &str, rows: &[Row]) -> String {
    let (from, to) = inside(rows);
    let body = json!({"cameras": [camera], "from": from, "to": to});
    let job = site.daemon().post("/api/v1/exports", &body).ok();
    job["id"].as_str().unwrap().to_owned()
}

fn job(site: &Site, id: &str) -> Value {
    site.daemon().get(&format!("/api/v1/exports/{id}")).ok()
}

#[track_caller]
fn wait_over(site: &Site, id: &str) -> Value {
    wait_until(Duration::from_secs(60), "the end of an export", || {
        Some(job(site, id)).filter(|job| job["ended_at"].is_string())
    })
}

fn unfinished(site: &Site) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(site.data().join("clips")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "part"))
        .collect()
}

/// What retention does: deletes a row, unless somebody reads it. From another process, as hard as that can be.
fn remove_row(site: &Site, row: &Row) -> bool {
    let key = SealKey::load_or_make(&site.data().join("secret.key")).unwrap();
    let index = Index::open(site.data().join("index.db"), Arc::new(key)).unwrap();
    let id = SegmentId(row.id.parse().unwrap());
    index.write_blocking(move |writer| writer.remove_segment(id)).unwrap()
}

/// A file that nobody can read to its end before the test lets him: whoever opens it waits.
struct Stuck {
    path: PathBuf,
    aside: PathBuf,
}

impl Stuck {
    fn at(path: PathBuf) -> Self {
        let aside = path.with_extension("aside");
        std::fs::rename(&path, &aside).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        Self { path, aside }
    }

    /// Puts the file back; who waits sees an empty one.
    fn free(self) {
        let fifo = self.path.with_extension("fifo");
        std::fs::rename(&self.path, &fifo).unwrap();
        std::fs::rename(&self.aside, &self.path).unwrap();
        // Without a reader this does not wait; a process that was killed reads no more.
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        for _ in 0..8 {
            drop(rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()));
            thread::yield_now();
        }
        std::fs::remove_file(&fifo).unwrap();
    }
}

fn recorded(options: StreamOptions, segments: usize) -> (FakeCamera, Site, Vec<Row>) {
    let camera = FakeCamera::start(options).unwrap();
    let site = Site::start();
    site.add_camera("door", &camera, 2);
    let rows = site.wait_closed("door", segments, Duration::from_secs(60));
    (camera, site, rows)
}

#[test]
fn a_clip_is_the_same_to_the_byte_whether_waited_for_streamed_in_pieces_or_ordered() {
    let (_camera, site, rows) = recorded(StreamOptions::small(), 4);
    let (from, to) = inside(&rows[..4]);
    let target = format!("/api/v1/cameras/door/clip.mp4?from={from}&to={to}");
    let body = json!({"from": from, "to": to}).to_string();
    let made = fetch(&site, "POST", "/api/v1/cameras/door/clip", "", &body);
    assert_eq!(made.status, 200, "{}", made.head);
    let clip = made.json();
    let (sum, size) = (clip["sha256"].as_str().unwrap(), clip["size_bytes"].as_u64().unwrap());
    assert_eq!((&clip["gaps"], &clip["segment_count"]), (&json!([]), &json!(4)));

    let whole = fetch(&site, "GET", &target, "", "");
    assert_eq!((whole.status, sha256(&whole.body).as_str()), (200, sum));
    let tag = whole.header("etag").unwrap().to_owned();
    let mut pieces = Vec::new();
    for start in (0..size).step_by(20_000) {
        let range = format!("Range: bytes={start}-{}\r\nIf-Range: {tag}\r\n", start + 19_999);
        let piece = fetch(&site, "GET", &target, &range, "");
        let end = (start + 19_999).min(size - 1);
        let told = format!("bytes {start}-{end}/{size}");
        assert_eq!(
            (piece.status, piece.header("content-range")),
            (206, Some(told.as_str()))
        );
        pieces.extend(piece.body);
    }
    assert_eq!(sha256(&pieces), sum);
    let head = fetch(&site, "HEAD", &target, "", "");
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, Some(size.to_string().as_str()), 0)
    );
    let known = fetch(&site, "GET", &target, &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!((known.status, known.body.len()), (304, 0));
    let beyond = fetch(&site, "GET", &target, &format!("Range: bytes={size}-\r\n"), "");
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some(format!("bytes */{size}").as_str()))
    );
    let quickest = (0..5)
        .map(|_| fetch(&site, "GET", &target, "", "").first_byte)
        .min()
        .unwrap();
    assert!(
        quickest < Duration::from_millis(100),
        "the first byte took {quickest:?}"
    );

    let id = order(&site, "door", &rows[..4]);
    let done = wait_over(&site, &id);
    assert_eq!(
        (&done["state"], &done["progress"], &done["error"]),
        (&json!("done"), &json!(1.0), &Value::Null)
    );
    assert_eq!(done["clips"][0]["sha256"], sum);
    assert_ne!(
        done["clips"][0]["filename"], clip["filename"],
        "a name that is taken is not written over"
    );
    let stored = fetch(&site, "GET", clip["url"].as_str().unwrap(), "", "");
    assert_eq!(sha256(&stored.body), sum);
    let file = site.data().join("clips").join(clip["filename"].as_str().unwrap());
    assert_eq!(sha256(&std::fs::read(&file).unwrap()), sum);
    let stamps = referee::read_stamps(&file);
    assert_eq!(stamps.len() as u64, clip["frames"].as_u64().unwrap());
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    assert_eq!(site.events("clip_ready").len(), 2);
    assert_eq!(unfinished(&site), Vec::<PathBuf>::new());
}

#[test]
fn a_job_that_was_being_made_when_camkeep_was_killed_is_made_after_the_next_start() {
    let (_camera, mut site, rows) = recorded(tiny(), 3);
    let stuck = Stuck::at(site.path("door", &rows[1]));
    let id = order(&site, "door", &rows[..3]);
    wait_until(SOON, "the job to run", || {
        (job(&site, &id)["state"] == "running").then_some(())
    });
    wait_until(SOON, "its segments to be locked", || {
        (!remove_row(&site, &rows[1])).then_some(())
    });
    site.kill_9();
    stuck.free();
    site.boot();
    let done = wait_over(&site, &id);
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(done["clips"].as_array().unwrap().len(), 1);
    assert_eq!(done["clips"][0]["gaps"], json!([]));
    assert_eq!(unfinished(&site), Vec::<PathBuf>::new());
    // Row 39: as long as it was read it could not go; now it can.
    assert!(wait_until(SOON, "the lock to be let go", || remove_row(
        &site, &rows[1]
    )
    .then_some(true)));
}

#[test]
fn a_job_that_is_called_off_leaves_nothing_and_holds_nothing() {
    let (_camera, site, rows) = recorded(tiny(), 3);
    let stuck = Stuck::at(site.path("door", &rows[1]));
    let id = order(&site, "door", &rows[..3]);
    // It runs a moment before it holds what it reads.
    wait_until(SOON, "the job to hold what it reads", || {
        let rows = site.daemon().get("/api/v1/cameras/door/segments").ok();
        rows.as_array()?.iter().any(|row| row["locked"] == true).then_some(())
    });
    assert_eq!(job(&site, &id)["state"], "running");
    assert_eq!(site.daemon().delete(&format!("/api/v1/exports/{id}")).status, 204);
    assert_eq!(job(&site, &id)["state"], "cancelled");
    assert!(!remove_row(&site, &rows[0]), "what is still being read is not deleted");
    stuck.free();
    wait_until(Duration::from_secs(5), "the lock to be let go", || {
        remove_row(&site, &rows[0]).then_some(())
    });
    assert_eq!(unfinished(&site), Vec::<PathBuf>::new());
    let ended = job(&site, &id);
    assert_eq!(
        (&ended["state"], &ended["clips"]),
        (&json!("cancelled"), &json!([])),
        "it stays called off"
    );
    assert_eq!(site.events("clip_failed"), Vec::<String>::new());
}

#[test]
fn clients_that_leave_free_what_they_held_and_recording_never_notices() {
    let (_camera, site, rows) = recorded(
        StreamOptions {
            bitrate_kbps: 6000,
            ..StreamOptions::small()
        },
        4,
    );
    let (from, to) = inside(&rows[..4]);
    // One that reads a little of a stream and goes.
    let target = format!("/api/v1/cameras/door/clip.mp4?from={from}&to={to}");
    let mut stream = ask(&site, "GET", &target, "", "");
    stream.read_exact(&mut [0; 64]).unwrap();
    drop(stream);
    wait_until(Duration::from_secs(5), "a stream that nobody reads to let go", || {
        remove_row(&site, &rows[0]).then_some(())
    });
    // One that waits for a clip and goes.
    let stuck = Stuck::at(site.path("door", &rows[2]));
    let waiting = ask(
        &site,
        "POST",
        "/api/v1/cameras/door/clip",
        "",
        &json!({"from": from, "to": to}).to_string(),
    );
    wait_until(SOON, "its segments to be locked", || {
        is_locked(&site, &rows[1]).then_some(())
    });
    drop(waiting);
    stuck.free();
    wait_until(Duration::from_secs(5), "a clip that nobody waits for to let go", || {
        (!is_locked(&site, &rows[1])).then_some(())
    });
    assert_eq!(unfinished(&site), Vec::<PathBuf>::new());
    assert_eq!(
        site.daemon().get("/api/v1/clips").ok(),
        json!([]),
        "what nobody waits for is not kept"
    );
    let rows = site.closed("door");
    let wrong = referee::missing_or_doubled(&site.stamps("door", &rows));
    assert!(wrong.is_nothing(), "{wrong:?}");
}

fn is_locked(site: &Site, row: &Row) -> bool {
    let key = SealKey::load_or_make(&site.data().join("secret.key")).unwrap();
    let index = Index::open(site.data().join("index.db"), Arc::new(key)).unwrap();
    let id = SegmentId(row.id.parse().unwrap());
    index
        .read_blocking(|reader| reader.locked_segments())
        .unwrap()
        .contains(&id)
}

#[test]
fn three_clips_are_made_at_once_and_the_fourth_is_told_when_to_come_back() {
    let (_camera, site, rows) = recorded(tiny(), 3);
    let (from, to) = inside(&rows[..3]);
    let body = json!({"from": from, "to": to}).to_string();
    let stuck = Stuck::at(site.path("door", &rows[1]));
    let mut waiting: Vec<TcpStream> = (0..3)
        .map(|_| ask(&site, "POST", "/api/v1/cameras/door/clip", "", &body))
        .collect();
    wait_until(SOON, "the first to begin", || is_locked(&site, &rows[1]).then_some(()));
    let refused = fetch(&site, "POST", "/api/v1/cameras/door/clip", "", &body);
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("10")),
        "{}",
        refused.head
    );
    assert!(refused.first_byte >= Duration::from_secs(9), "{:?}", refused.first_byte);
    assert_eq!(refused.json()["type"], "/problems/unavailable");
    // A stream that was begun needs no place any more, and what is asked of the API is answered.
    site.daemon().get("/api/v1/clips").ok();
    stuck.free();
    for stream in &mut waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_none_lost(&site, "door");
}

/// How much memory a process has in use, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn exports_beside_recording_cost_no_frame_and_no_memory() {
    let count = if std::env::var_os("CAMKEEP_LONG").is_some() {
        200
    } else {
        40
    };
    let (_camera, site, rows) = recorded(StreamOptions::small(), 4);
    let (from, to) = inside(&rows[..4]);
    let target = format!("/api/v1/cameras/door/clip.mp4?from={from}&to={to}");
    // What the first ones leave in caches and pools is not counted.
    wait_over(&site, &order(&site, "door", &rows[..4]));
    fetch(&site, "GET", &target, "", "");
    let before = resident(site.daemon().pid());
    let jobs: Vec<String> = (0..count).map(|_| order(&site, "door", &rows[..4])).collect();
    let mut most = 0;
    for _ in 0..count {
        assert_eq!(fetch(&site, "GET", &target, "", "").status, 200);
        most = most.max(resident(site.daemon().pid()));
    }
    let mut sums = std::collections::BTreeSet::new();
    for id in &jobs {
        let done = wait_over(&site, id);
        assert_eq!(done["state"], "done", "{done}");
        sums.insert(done["clips"][0]["sha256"].as_str().unwrap().to_owned());
        most = most.max(resident(site.daemon().pid()));
    }
    assert_eq!(sums.len(), 1, "all of them are the same clip");
    let grown = most.saturating_sub(before) / 1_000_000;
    eprintln!(
        "{count} exports and {count} streams: {} MB before, {grown} MB more at the most",
        before / 1_000_000
    );
    assert!(grown < 48, "{grown} MB more");
    assert_none_lost(&site, "door");
    assert_eq!(
        site.daemon()
            .get("/api/v1/clips?limit=5000")
            .ok()
            .as_array()
            .unwrap()
            .len(),
        count + 1
    );
}

/// The command line as a person uses it.
fn camkeep(site: &Site, room: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_camkeep"))
        .args(arguments)
        .env("CAMKEEP_SERVER", site.daemon().address())
        .env("TZ", "UTC")
        .current_dir(room)
        .output()
        .unwrap()
}

#[test]
fn a_person_saves_a_clip_by_the_command_line_with_what_proves_it() {
    let (_camera, site, rows) = recorded(tiny(), 3);
    let room = tempfile::tempdir().unwrap();
    let (from, to) = inside(&rows[..3]);
    let (from, to) = (from.to_string(), to.to_string());
    let saved = camkeep(&site, room.path(), &["export", "door", &from, &to, "-o", "night.mp4"]);
    assert!(saved.status.success(), "{saved:?}");
    let said = String::from_utf8(saved.stdout).unwrap();
    assert!(
        said.starts_with("night.mp4: ") && said.trim_end().ends_with("no gap"),
        "{said}"
    );
    assert_eq!(String::from_utf8(saved.stderr).unwrap(), "", "quiet in a pipe");
    let mut names: Vec<String> = std::fs::read_dir(room.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["night.mp4", "night.mp4.manifest.json", "night.mp4.manifest.sig"]
    );
    assert!(referee::missing_or_doubled(&referee::read_stamps(&room.path().join("night.mp4"))).is_nothing());
    let again = camkeep(&site, room.path(), &["export", "door", &from, &to, "-o", "night.mp4"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("night.mp4 exists"));
    let piped = camkeep(
        &site,
        room.path(),
        &["export", "door", &from, &to, "-o", "-", "--progress"],
    );
    assert_eq!(piped.stdout, std::fs::read(room.path().join("night.mp4")).unwrap());
    assert!(String::from_utf8_lossy(&piped.stderr).contains("fetching 100 %"));
    let nothing = camkeep(&site, room.path(), &["export", "door", "-3h", "-2h"]);
    assert_eq!(
        (nothing.status.code(), String::from_utf8_lossy(&nothing.stderr).trim()),
        (Some(1), "camkeep: no recorded footage in the requested range")
    );
    let wrong = camkeep(&site, room.path(), &["export", "door", "-2h", "-3h"]);
    assert_eq!(wrong.status.code(), Some(2));
    let listed = camkeep(&site, room.path(), &["clips", "list"]);
    assert_eq!(
        String::from_utf8(listed.stdout).unwrap().lines().count(),
        3,
        "two clips under their heads"
    );
    let jobs = camkeep(&site, room.path(), &["exports", "--json"]);
    assert_eq!(String::from_utf8(jobs.stdout).unwrap().lines().count(), 3);
}
