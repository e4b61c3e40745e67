//! Hours of cameras whose connections are cut again and again: what the daemon holds stays as it was, and nothing is lost
//! but what was on its way when a connection was cut.
//!
//! `CAMKEEP_SOAK_MINUTES` says for how long (60), `CAMKEEP_SOAK_CAMERAS` how many cameras there are (16).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use camkeep::pipeline::demo::FakeCamera;

use crate::daemon_site::{Row, SOON, Site, lost_frames, tiny};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_for};

/// How often each camera's connection is cut: after it has been well for so long that it is tried again after a second.
/// Cut sooner, it would be tried after ever longer, and hardly be recorded.
const CUT_EVERY: Duration = Duration::from_secs(35);
/// What the allocator and the index's cache come to need in the first minutes is no growth.
const WARM: Duration = Duration::from_secs(600);
/// Memory is not judged when there is less time than this; threads and descriptors are.
const LONG: Duration = Duration::from_secs(1800);

/// What the kernel says that the daemon holds.
#[derive(Debug, Clone, Copy)]
struct Sample {
    hours: f64,
    resident_mb: f64,
    threads: f64,
    files: f64,
}

fn sample(pid: u32, since: Instant) -> Sample {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let number = |label: &str| -> f64 {
        let line = status.lines().find(|line| line.starts_with(label)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    Sample {
        hours: since.elapsed().as_secs_f64() / 3600.0,
        resident_mb: number("VmRSS:") / 1024.0,
        threads: number("Threads:"),
        files: std::fs::read_dir(process.join("fd")).unwrap().count() as f64,
    }
}

fn is_all_recorded(site: &Site) -> bool {
    let health = site.daemon().get("/api/v1/health/cameras").ok();
    health
        .as_array()
        .unwrap()
        .iter()
        .all(|camera| camera["state"] == "recording")
}

/// Growth an hour: the slope of the line that fits best.
fn slope(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let count = samples.len() as f64;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|it| it.hours), mean(&|it| of(it)));
    let above: f64 = samples.iter().map(|it| (it.hours - x) * (of(it) - y)).sum();
    let below: f64 = samples.iter().map(|it| (it.hours - x).powi(2)).sum();
    above / below
}

fn mean(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    samples.iter().map(of).sum::<f64>() / samples.len() as f64
}

fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

#[test]
#[ignore = "takes an hour, or CAMKEEP_SOAK_MINUTES: ./tests/run --long"]
fn hours_of_reconnects_leave_the_daemon_as_it_was_and_lose_nothing_but_what_was_on_its_way() {
    let length = Duration::from_secs(60 * asked("CAMKEEP_SOAK_MINUTES", 60));
    let count = asked("CAMKEEP_SOAK_CAMERAS", 16) as u32;
    let cameras: Vec<FakeCamera> = (0..count).map(|_| FakeCamera::start(tiny()).unwrap()).collect();
    let ids: Vec<String> = (0..count).map(|n| format!("cam{n:02}")).collect();
    let site = Site::start();
    for (id, camera) in ids.iter().zip(&cameras) {
        site.add_camera(id, camera, 20);
    }
    ids.iter().for_each(|id| site.wait_recording(id));

    let (begun, pid) = (Instant::now(), site.daemon().pid());
    let (mut samples, mut cuts) = (Vec::new(), 0u32);
    while begun.elapsed() < length {
        // One after the other, so that there is always one that connects.
        let next = begun + CUT_EVERY / count * (cuts + 1);
        pause(next.saturating_duration_since(Instant::now()));
        // Only what is held for as many cameras as before can be compared.
        if is_all_recorded(&site) {
            samples.push(sample(pid, begun));
        }
        let camera = &cameras[(cuts % count) as usize];
        camera.drop_clients().unwrap();
        cuts += 1;
    }
    for id in &ids {
        wait_for(SOON, &format!("{id} is recorded in the end"), || {
            let health = site.daemon().get(&format!("/api/v1/cameras/{id}/health")).ok();
            if health["state"] == "recording" {
                Ok(())
            } else {
                Err(health)
            }
        });
    }
    let abandoned: u64 = ids
        .iter()
        .map(|id| {
            site.daemon().get(&format!("/api/v1/cameras/{id}/health")).ok()["abandoned"]
                .as_u64()
                .unwrap()
        })
        .sum();
    for id in &ids {
        let body = serde_json::json!({"enabled": false});
        site.daemon().patch(&format!("/api/v1/cameras/{id}"), &body).ok();
    }
    for id in &ids {
        wait_for(SOON, &format!("every segment of {id} is closed"), || {
            let open = site.rows(id).iter().filter(|row| row.open).count();
            if open == 0 { Ok(()) } else { Err(open) }
        });
    }

    assert!(
        samples.len() as u32 * 10 > cuts,
        "all cameras were recorded at {} of {cuts} looks",
        samples.len()
    );
    let warm_after = WARM.min(length / 2).as_secs_f64() / 3600.0;
    let cold = samples.iter().filter(|it| it.hours < warm_after).count();
    let warm = &samples[cold..];
    let half = warm.len() / 2;
    let (mut sent, mut kept) = (0, 0);
    for (id, camera) in ids.iter().zip(&cameras) {
        sent += camera.sent_frames().len() as u64;
        // An answer has 5000 rows at the most, which is more than eight hours have.
        kept += site.rows(id).iter().map(|row| row.frames).sum::<u64>();
    }
    let lost = sent.saturating_sub(kept);
    let (memory, threads, files) = (
        slope(warm, |it| it.resident_mb),
        slope(warm, |it| it.threads),
        slope(warm, |it| it.files),
    );
    eprintln!(
        "{} minutes, {count} cameras, {cuts} cuts: RSS {:.1} MB then {:.1} MB ({memory:+.2} MB an hour), threads {:.1} then \
         {:.1} ({threads:+.2} an hour), descriptors {:.1} then {:.1} ({files:+.2} an hour), {lost} of {sent} frames lost, \
         {abandoned} pipelines abandoned",
        length.as_secs() / 60,
        mean(&warm[..half], |it| it.resident_mb),
        mean(&warm[half..], |it| it.resident_mb),
        mean(&warm[..half], |it| it.threads),
        mean(&warm[half..], |it| it.threads),
        mean(&warm[..half], |it| it.files),
        mean(&warm[half..], |it| it.files),
    );
    let growth = |of: fn(&Sample) -> f64| mean(&warm[half..], of) - mean(&warm[..half], of);
    // One MB an hour, and what a sample is off by.
    let most_mb = length.as_secs_f64() / 3600.0 / 2.0 + 2.0;
    assert!(
        length < LONG || growth(|it| it.resident_mb) < most_mb,
        "memory grows: {samples:?}"
    );
    assert!(growth(|it| it.threads) < 4.0, "threads grow: {samples:?}");
    assert!(growth(|it| it.files) < 4.0, "descriptors grow: {samples:?}");
    // What has left the camera and not arrived when the connection is cut; the referee says that nothing else is missing.
    assert!(
        lost <= u64::from(cuts + count) * 2,
        "{lost} frames are lost in {cuts} cuts"
    );
    assert_runs_are_whole(&site, &ids[0], &cameras[0]);
}

/// Within a run no frame is missing: the referee decodes the last minutes of a camera.
#[track_caller]
fn assert_runs_are_whole(site: &Site, id: &str, camera: &FakeCamera) {
    let rows = site.closed(id);
    let last: Vec<_> = rows[rows.len().saturating_sub(12)..].to_vec();
    let mut runs: Vec<Vec<Row>> = Vec::new();
    for row in last {
        match runs.last_mut() {
            Some(run) if run[0].run == row.run => run.push(row),
            _ => runs.push(vec![row]),
        }
    }
    for run in runs {
        let stamps = site.stamps(id, &run);
        assert!(referee::missing_or_doubled(&stamps).is_nothing(), "{run:?}");
        let (first, last) = (stamps[0].time_ns, stamps.last().unwrap().time_ns);
        let lost = lost_frames(&camera.sent_frames(), &stamps, first, last);
        assert!(lost.is_empty(), "{lost:?} in {run:?}");
    }
}
