//! Cameras that say as much as they can, in the real program: memory while they do and after, beside a camera that loses nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::daemon::Daemon;
use crate::kit::mock::Mock;
use crate::kit::peer::{self, Mode};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_for};

/// So long they have for it.
const FLOOD: Duration = Duration::from_secs(20);

/// Memory that a process has (kB), and processor time that it took so far.
fn costs(pid: u32) -> (u64, Duration) {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
    let stat = std::fs::read_to_string(process.join("stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = |at: usize| fields.split_whitespace().nth(at).unwrap().parse::<u64>().unwrap();
    (resident, Duration::from_millis((ticks(11) + ticks(12)) * 10))
}

/// The share of a core that it takes over two seconds.
fn load(pid: u32) -> f64 {
    let (begun, before) = (Instant::now(), costs(pid).1);
    pause(Duration::from_secs(2));
    (costs(pid).1 - before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

fn segments(daemon: &Daemon) -> Vec<Value> {
    let listed =
        daemon.get("/api/v1/cameras/good/segments?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&limit=1000");
    listed.ok().as_array().unwrap().clone()
}

#[test]
fn cameras_that_say_as_much_as_they_can_cost_bounded_memory_and_nothing_once_they_are_gone() {
    let room = TempDir::new().unwrap();
    let data = room.path().join("data");
    let daemon = Daemon::start(&data);
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let add = |id: &str, url: &str| {
        let camera = json!({"id": id, "name": id, "main_stream_url": url, "segment_seconds": 4});
        daemon.post("/api/v1/cameras", &camera).ok();
    };
    let health = |id: &str| daemon.get(&format!("/api/v1/cameras/{id}/health")).ok();
    add("good", &camera.url());
    wait_for(Duration::from_secs(20), "a camera records", || {
        let segments = segments(&daemon);
        (segments.len() >= 2).then_some(()).ok_or(segments)
    });
    let (before, _) = costs(daemon.pid());
    let load_before = load(daemon.pid());

    let modes = [
        Mode::ManyAttributes,
        Mode::ManyParameters(500_000),
        Mode::ManyParameters(20_000),
        Mode::ManyMedia,
        Mode::EndlessHeaders,
        Mode::EndlessBody,
        Mode::EndlessPicture(25),
        Mode::TurnsBad(50),
    ];
    // Three of each, at once.
    let peers: Vec<(String, Mock)> = (0..3)
        .flat_map(|_| modes.clone())
        .enumerate()
        .map(|(number, mode)| (format!("peer{number}"), peer::start(mode)))
        .collect();
    peers.iter().for_each(|(id, peer)| add(id, &peer.url("/main")));
    let (begun, mut most) = (Instant::now(), before);
    while begun.elapsed() < FLOOD {
        most = most.max(costs(daemon.pid()).0);
        pause(Duration::from_millis(20));
    }
    for (id, peer) in &peers {
        let health = health(id);
        assert!(peer.connections() >= 2, "{id} was tried once: {health}");
        assert_eq!(health["abandoned"], 0, "{health}");
    }

    for (id, _) in &peers {
        daemon.delete(&format!("/api/v1/cameras/{id}")).ok();
    }
    let (after, load_after) = wait_for(Duration::from_secs(30), "what they cost is given back", || {
        let (after, load) = (costs(daemon.pid()).0, load(daemon.pid()));
        let is_back = after < before + 32 * 1024 && load < load_before + 0.1;
        is_back
            .then_some((after, load))
            .ok_or((before, after, load_before, load))
    });
    eprintln!(
        "{} peers: {} MB before, {} MB at most, {} MB after; {load_before:.2} of a core before, {load_after:.2} after",
        peers.len(),
        before >> 10,
        most >> 10,
        after >> 10
    );
    // Three pictures of 16 MB, each in its packets and as they are put together.
    assert!(most < before + 128 * 1024, "{before} kB before, {most} kB at most");

    let health = health("good");
    assert_eq!(
        (&health["state"], &health["reconnects"]),
        (&json!("recording"), &json!(0)),
        "{health}"
    );
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{end:?}");
    let inside = |directory: PathBuf| std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = inside(data.join("recordings/good")).flat_map(inside).collect();
    // Their names begin with when they begin.
    files.sort();
    let stamps = referee::read_all(files);
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    assert!(stamps.len() > 25 * 20, "{} frames", stamps.len());
}
