//! Stopping in order, and what happens when nobody can wait.

use std::time::Duration;

use camkeep::pipeline::demo::{CameraOptions, FakeCamera, SentFrame, StreamOptions};
use rustix::process::Signal;

use crate::daemon_site::{Row, SOON, Site, lost_frames, tiny};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_for, wait_until};

const CAMERAS: usize = 16;

fn id(number: usize) -> String {
    format!("cam{number:02}")
}

/// One camera's box with so many pictures in it: each stream is a camera to the daemon.
fn sixteen() -> FakeCamera {
    let streams = (0..CAMERAS).map(|number| StreamOptions {
        path: format!("/{}", id(number)),
        ..tiny()
    });
    FakeCamera::start(CameraOptions {
        streams: streams.collect(),
        ..CameraOptions::default()
    })
    .unwrap()
}

fn record_all(site: &Site, camera: &FakeCamera) {
    for number in 0..CAMERAS {
        site.add(&id(number), &camera.url_of(&format!("/{}", id(number))), 60);
    }
    wait_for(Duration::from_secs(60), "all cameras to be recorded", || {
        let health = site.daemon().get("/api/v1/health/cameras").ok();
        let list = health.as_array().unwrap().clone();
        let idle: Vec<_> = list
            .iter()
            .filter(|camera| camera["state"] != "recording" || camera["frames_per_second"].as_f64().unwrap() < 5.0)
            .map(|camera| {
                (
                    camera["camera_id"].clone(),
                    camera["state"].clone(),
                    camera["message"].clone(),
                )
            })
            .collect();
        if idle.is_empty() { Ok(()) } else { Err(idle) }
    });
}

#[test]
fn an_orderly_stop_of_sixteen_cameras_loses_nothing_that_was_sent() {
    let camera = sixteen();
    let mut site = Site::start();
    record_all(&site, &camera);
    let stream = |number: usize| camera.stream(&format!("/{}", id(number))).unwrap();
    let sent: Vec<Vec<SentFrame>> = (0..CAMERAS).map(|number| stream(number).sent_frames()).collect();
    // What left a camera needs a moment to arrive, beside fifteen others that encode on the same processors.
    pause(Duration::from_millis(200));
    let (asked, ended) = site.terminate();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.after < Duration::from_secs(5), "{ended:?}");
    // Looked at from outside: whatever the daemon says later, these files are whole now.
    for number in 0..CAMERAS {
        for file in site.files(&id(number)) {
            assert_eq!(
                referee::decode_errors(&file),
                Vec::<String>::new(),
                "{}",
                file.display()
            );
        }
    }
    site.boot();
    let mut late = Vec::new();
    for (number, sent) in sent.iter().enumerate() {
        let rows: Vec<Row> = site
            .rows(&id(number))
            .into_iter()
            .filter(|row| row.start_ns < asked)
            .collect();
        assert!(rows.iter().all(|row| !row.open && row.state == "whole"), "{rows:?}");
        let stamps = site.stamps(&id(number), &rows);
        let wrong = referee::missing_or_doubled(&stamps);
        assert!(wrong.is_nothing(), "{wrong:?}");
        let lost = lost_frames(sent, &stamps, stamps[0].time_ns, asked);
        if !lost.is_empty() {
            late.push((id(number), lost));
        }
    }
    assert!(
        late.is_empty(),
        "frames that were sent before the signal are not there: {late:?}"
    );
    assert_eq!(
        site.events("index_mended"),
        Vec::<String>::new(),
        "there was nothing to mend"
    );
}

#[test]
fn a_second_signal_forces_and_the_next_start_mends() {
    let camera = FakeCamera::start(tiny()).unwrap();
    let mut site = Site::start();
    site.add_camera("door", &camera, 60);
    site.wait_recording("door");
    // A writer that cannot write holds up an orderly stop: the index is locked by another program.
    let lock = rusqlite::Connection::open(site.data().join("index.db")).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    site.daemon().signal(Signal::TERM);
    wait_until(SOON, "the daemon to say that it stops", || {
        site.daemon().log().contains("a second signal forces").then_some(())
    });
    let (_, ended) = site.terminate();
    assert!(ended.after < Duration::from_secs(2), "{ended:?}");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    lock.execute_batch("ROLLBACK").unwrap();
    drop(lock);
    let before = crate::daemon_site::now_ns();
    site.boot();
    let rows = site.wait_mended("door", before, Duration::from_secs(5));
    let old: Vec<Row> = rows.into_iter().filter(|row| row.start_ns < before).collect();
    assert!(!old.is_empty());
    assert!(referee::missing_or_doubled(&site.stamps("door", &old)).is_nothing());
}
