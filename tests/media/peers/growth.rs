//! What hostile peers leave behind in the real program, round after round: nothing.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::daemon::Daemon;
use crate::kit::mock::Mock;
use crate::kit::peer::{self, Mode};
use crate::kit::wait::wait_for;

/// What the kernel says that a process holds.
#[derive(Debug, Clone, Copy)]
struct Holds {
    threads: u64,
    files: usize,
    resident_kb: u64,
    peak_kb: u64,
}

fn holds(pid: u32) -> Holds {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let number = |label: &str| {
        let line = status.lines().find(|line| line.starts_with(label)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    Holds {
        threads: number("Threads:"),
        files: std::fs::read_dir(process.join("fd")).unwrap().count(),
        resident_kb: number("VmRSS:"),
        peak_kb: number("VmHWM:"),
    }
}

fn health(daemon: &Daemon, id: &str) -> Value {
    daemon.get(&format!("/api/v1/cameras/{id}/health")).ok()
}

/// Has every peer tried once more, and waits until each of them is lost again.
fn round(daemon: &Daemon, peers: &[(String, Mock)], number: u64) {
    for (id, peer) in peers {
        let url = json!({"main_stream_url": peer.url(&format!("/round{number}"))});
        daemon.patch(&format!("/api/v1/cameras/{id}"), &url).ok();
    }
    for (id, peer) in peers {
        let path = format!("/round{number}");
        wait_for(
            Duration::from_secs(15),
            &format!("{id} is lost in round {number}"),
            || {
                let health = health(daemon, id);
                let has_come = peer.requests().iter().any(|request| request.url.contains(&path));
                if has_come && health["state"] == "offline" {
                    Ok(())
                } else {
                    Err((has_come, health))
                }
            },
        );
    }
}

#[test]
fn rounds_of_hostile_peers_leave_no_thread_no_descriptor_and_no_memory_behind() {
    // The allocator keeps what it once needed, so growth is what comes after a while.
    let (warm, rounds, most_kb) = match std::env::var_os("CAMKEEP_LONG") {
        Some(_) => (50, 50, 48 * 1024),
        None => (2, 5, 64 * 1024),
    };
    let room = TempDir::new().unwrap();
    let daemon = Daemon::start_with(&room.path().join("data"), |command| {
        command.env("CAMKEEP_RECORD_CONNECT_SECONDS", "2");
    });
    let modes = [
        Mode::NeverAnswers,
        Mode::OneByteEachHalfSecond,
        Mode::EndlessHeaders,
        Mode::RedirectLoop,
        Mode::ManyMedia,
        Mode::EmptySdp,
        Mode::GarbageAfter(5),
    ];
    let peers: Vec<_> = modes
        .into_iter()
        .enumerate()
        .map(|(number, mode)| {
            let (id, peer) = (format!("peer{number}"), peer::start(mode));
            let camera = json!({"id": id, "name": id, "main_stream_url": peer.url("/first")});
            daemon.post("/api/v1/cameras", &camera).ok();
            (id, peer)
        })
        .collect();
    for number in 0..warm {
        round(&daemon, &peers, number);
    }
    let before = holds(daemon.pid());
    for number in warm..warm + rounds {
        round(&daemon, &peers, number);
    }
    // Each camera may be in the middle of a try of its own.
    let after = wait_for(
        Duration::from_secs(20),
        "threads and descriptors are those of before",
        || {
            let after = holds(daemon.pid());
            let is_flat = after.threads <= before.threads + 4 && after.files <= before.files + 6;
            if is_flat { Ok(after) } else { Err((before, after)) }
        },
    );
    eprintln!("{rounds} rounds of {} peers: {before:?}, then {after:?}", peers.len());
    let grown = after.peak_kb.saturating_sub(before.resident_kb);
    assert!(grown < most_kb, "grown by {grown} kB: {before:?}, {after:?}");
    let end = daemon.terminate();
    assert_eq!(end.code, Some(0), "{end:?}");
}
