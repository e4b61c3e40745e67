//! What recording with a mirror costs, beside two ffmpegs a camera that copy the same streams into segments on the same two
//! directories: that is how the reference mirrors.
//!
//! `cargo bench --bench mirror --features demo-camera` records eight made-up cameras (1920x1080, 4 Mbit/s) for twenty seconds each
//! way, in turn, seven times, and prints processor time and proportional memory (PSS) of all processes that record. It ends with 1
//! when a goal of `docs/benchmarks.md` is missed. `MIRROR_BENCH_SECONDS`, `MIRROR_BENCH_CAMERAS` and `MIRROR_BENCH_ROUNDS` make
//! it shorter or longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod busy_cameras;
#[path = "../media/kit/wait.rs"]
#[allow(dead_code, clippy::panic)]
mod wait;

use wait::{pause, wait_until};

/// What is promised: so much of what two ffmpegs a camera cost.
const OF_PROCESSOR: f64 = 0.9;
const OF_MEMORY: f64 = 0.25;
/// In whose presence this is no benchmark, but so many cameras for one.
const SERVE: &str = "MIRROR_BENCH_SERVE";
/// Whoever does not record by then never will.
const SOON: Duration = Duration::from_secs(30);
/// Both sides record for so long before they are measured.
const SETTLE: Duration = Duration::from_secs(8);

fn number(name: &str, usual: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Processes that end with this.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let pid = rustix::process::Pid::from_child(child);
            // One that has ended already needs no signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        for child in &mut self.0 {
            child.wait().unwrap();
        }
    }
}

impl Running {
    /// Seconds of a processor that they have cost, and the bytes that are theirs alone and their share of the rest.
    fn costs(&self) -> (f64, u64) {
        let each = self.0.iter().map(|child| (seconds(child.id()), pss(child.id())));
        each.fold((0.0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

fn seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is running");
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    // Linux counts hundredths of seconds here on every machine.
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn pss(pid: u32) -> u64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Cameras in a process of their own, their addresses, and how many megabytes a second each sends.
fn cameras(count: u64) -> (Running, Vec<String>, f64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(SERVE, count.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let urls = lines.by_ref().take(count as usize).collect();
    let kilobits: f64 = lines.next().expect("the cameras begin").parse().unwrap();
    println!("each camera sends {kilobits} kbit/s");
    (Running(vec![child]), urls, kilobits / 8000.0)
}

fn camkeep(urls: &[String], room: &Path) -> Running {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let log = std::fs::File::create(room.join("camkeep.log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_camkeep"))
        .arg("run")
        .arg("--data")
        .arg(room.join("data"))
        .arg("--mirror")
        .arg(room.join("mirror"))
        .args(["--listen", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let running = Running(vec![child]);
    let api = format!("http://{address}/api/v1/cameras");
    wait_until(SOON, "camkeep answers", || ureq::get(&api).call().ok());
    for (n, url) in urls.iter().enumerate() {
        let camera =
            json!({"name": format!("cam{n}"), "main_stream_url": url, "segment_seconds": 10, "mirror_enabled": true});
        ureq::post(&api).send_json(&camera).unwrap();
    }
    let health = format!("http://{address}/api/v1/health/cameras");
    wait_until(SOON, "the cameras are recorded", || is_recording(&health).then_some(()));
    running
}

fn is_recording(health: &str) -> bool {
    let cameras: Value = ureq::get(health).call().unwrap().body_mut().read_json().unwrap();
    cameras
        .as_array()
        .unwrap()
        .iter()
        .all(|camera| camera["state"] == "recording")
}

/// As the reference starts them: one for the recording, one for its mirror, each with a session of its own.
fn ffmpegs(urls: &[String], room: &Path) -> Running {
    let mut children = Vec::new();
    for (n, url) in urls.iter().enumerate() {
        for volume in ["primary", "second"] {
            let directory = room.join(volume).join(format!("cam{n}"));
            std::fs::create_dir_all(&directory).unwrap();
            let child = Command::new("ffmpeg")
                .args(["-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i", url])
                .args([
                    "-map",
                    "0:v",
                    "-c",
                    "copy",
                    "-f",
                    "segment",
                    "-segment_time",
                    "10",
                    "-segment_atclocktime",
                    "1",
                ])
                .args(["-reset_timestamps", "1", "-strftime", "1", "-segment_format", "mp4"])
                .args([
                    "-segment_format_options",
                    "movflags=+frag_keyframe+empty_moov+default_base_moof",
                ])
                .arg(directory.join("%Y%m%d_%H%M%S.mp4"))
                .stdin(Stdio::null())
                .spawn()
                .expect("ffmpeg has to be installed");
            children.push(child);
        }
    }
    Running(children)
}

/// What is written there.
fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let sizes = entries.map(|entry| {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => bytes_in(&entry.path()),
            false => entry.metadata().unwrap().len(),
        }
    });
    sizes.sum()
}

/// What one side cost: percent of one processor a camera, and bytes.
#[derive(Clone, Copy)]
struct Cost {
    processor: f64,
    memory: f64,
}

/// What one side costs while it records, and how many megabytes it writes to each of its volumes.
fn measure(side: &Running, volumes: [&Path; 2], cameras: u64, lasts: Duration) -> (Cost, [f64; 2]) {
    pause(SETTLE);
    let written = || volumes.map(|volume| bytes_in(volume) as f64 / 1e6);
    let (there, before, begun) = (written(), side.costs().0, Instant::now());
    pause(lasts);
    let ((after, memory), elapsed, now) = (side.costs(), begun.elapsed().as_secs_f64(), written());
    let cost = Cost {
        processor: 100.0 * (after - before) / elapsed / cameras as f64,
        memory: memory as f64,
    };
    (cost, [now[0] - there[0], now[1] - there[1]])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One turn of one side.
fn turn(name: &str, urls: &[String], rate: f64, lasts: Duration) -> Cost {
    let room = tempfile::tempdir().unwrap();
    let (running, volumes) = match name {
        "camkeep" => (camkeep(urls, room.path()), ["data/recordings", "mirror"]),
        _ => (ffmpegs(urls, room.path()), ["primary", "second"]),
    };
    let [primary, mirror] = volumes.map(|volume| room.path().join(volume));
    let (cost, [first, second]) = measure(&running, [&primary, &mirror], urls.len() as u64, lasts);
    println!(
        "{name:<8} {:>6.2} % of a processor a camera, {:>6.1} MB; wrote {first:.0} and {second:.0} MB",
        cost.processor,
        cost.memory / 1e6
    );
    // But for a group of pictures that is not whole yet, and files that come and go.
    let sent = rate * urls.len() as f64 * lasts.as_secs_f64();
    assert!(
        first > 0.75 * sent && second > 0.75 * sent,
        "all is recorded, twice: {sent:.0} MB were sent"
    );
    cost
}

fn main() {
    if std::env::var_os(SERVE).is_some() {
        return busy_cameras::serve(number(SERVE, 0));
    }
    let count = number("MIRROR_BENCH_CAMERAS", 8);
    let lasts = Duration::from_secs(number("MIRROR_BENCH_SECONDS", 20));
    let rounds = number("MIRROR_BENCH_ROUNDS", 7);
    let (cameras, urls, rate) = cameras(count);
    println!("{count} cameras, {} s, {rounds} rounds", lasts.as_secs());
    // In turn, and in short turns, so that whatever else the machine does strikes both.
    let all: Vec<[Cost; 2]> = (0..rounds)
        .map(|_| ["camkeep", "ffmpeg"].map(|name| turn(name, &urls, rate, lasts)))
        .collect();
    // It ends here with what it holds: leaving does not end it.
    drop(cameras);
    let ratio = |of: fn(&Cost) -> f64| {
        let [ours, theirs] = [0, 1].map(|side| median(all.iter().map(|costs| of(&costs[side])).collect()));
        ours / theirs
    };
    let (processor, memory) = (ratio(|cost| cost.processor), ratio(|cost| cost.memory));
    println!(
        "of their processor time {processor:.2} (at most {OF_PROCESSOR}), of their memory {memory:.2} (at most {OF_MEMORY})"
    );
    if processor > OF_PROCESSOR || memory > OF_MEMORY {
        std::process::exit(1);
    }
}
