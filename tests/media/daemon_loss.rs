//! Cameras that freeze, go away or never answer, and a daemon that is stopped in its tracks: what is missing is said to
//! the frame, and the camera beside them loses nothing.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use rustix::process::Signal;

use crate::daemon_site::{KeptGap, Row, SOON, Site, assert_none_lost, now_ns};
use crate::kit::proxy::Proxy;
use crate::kit::referee;
use crate::kit::wait::{pause, wait_for, wait_until};

const FRAME_NS: i64 = 40_000_000;
/// How soon silence is noticed.
const NOTICED: Duration = Duration::from_secs(6);
/// How soon a camera that is back is recorded again.
const BACK: Duration = Duration::from_secs(3);

fn camera() -> FakeCamera {
    FakeCamera::start(StreamOptions {
        width: 160,
        height: 96,
        bitrate_kbps: 128,
        ..StreamOptions::small()
    })
    .unwrap()
}

fn state(site: &Site, id: &str) -> (String, String) {
    let health = site.daemon().get(&format!("/api/v1/cameras/{id}/health")).ok();
    let text = |key: &str| health[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("loss"))
}

/// Waits until the camera is not recorded any more and says why not, and after how long.
#[track_caller]
fn wait_lost(site: &Site, id: &str, since: Instant, within: Duration) -> (String, Duration) {
    wait_for(
        within.saturating_sub(since.elapsed()) + Duration::from_secs(1),
        "the loss",
        || match state(site, id) {
            (state, loss) if state == "offline" || state == "error" || !loss.is_empty() => Ok((loss, since.elapsed())),
            other => Err(other),
        },
    )
}

/// Waits until footage from after a moment is there.
#[track_caller]
fn wait_footage_after(site: &Site, id: &str, moment_ns: i64, within: Duration) -> Row {
    wait_for(within, &format!("{id} to be recorded again"), || {
        let rows = site.rows(id);
        let found = rows.iter().find(|row| row.start_ns > moment_ns).cloned();
        found.ok_or_else(|| (state(site, id), rows.last().cloned()))
    })
}

/// While the camera is away its gap is there already: it lasts, has its cause, and began where the last frame ended.
#[track_caller]
fn assert_gap_lasts(site: &Site, id: &str, cause: &str) {
    let gap = wait_for(SOON, "the gap that lasts", || match &site.gaps(id)[..] {
        [gap] if gap.open => Ok(gap.clone()),
        gaps => Err(gaps.to_vec()),
    });
    let last = site
        .rows(id)
        .iter()
        .map(|row| row.end_ns)
        .max()
        .expect("footage before");
    assert_eq!(gap.cause, cause, "{id}: {gap:?}");
    let begins = gap.start_ns - last;
    assert!(
        begins.abs() <= FRAME_NS,
        "{id}: the gap begins {} ms after the footage's end",
        begins / 1_000_000
    );
    let computed = site.daemon().get(&format!("/api/v1/cameras/{id}/gaps")).ok();
    let newest = computed.as_array().and_then(|gaps| gaps.last()).expect("a gap");
    assert_eq!(newest["cause"], cause, "{id}: the timeline says it too: {computed}");
}

/// The kept gap tells exactly which frames are missing, and fills what is between the footage before and behind it.
#[track_caller]
fn assert_gap_is_exact(site: &Site, id: &str, cause: &str) {
    let gaps: Vec<KeptGap> = site.gaps(id);
    let [gap] = &gaps[..] else {
        panic!("{id}: one gap, not {gaps:?}")
    };
    assert_eq!((gap.cause.as_str(), gap.open), (cause, false), "{id}: {gap:?}");
    let rows = site.rows(id);
    let ends = rows
        .iter()
        .map(|row| row.end_ns - gap.start_ns)
        .min_by_key(|away| away.abs());
    let starts = rows
        .iter()
        .map(|row| row.start_ns - gap.end_ns)
        .min_by_key(|away| away.abs());
    for away in [ends, starts] {
        let away = away.expect("footage");
        assert!(
            away.abs() < FRAME_NS,
            "{id}: {gap:?} is {away} ns off the footage: {rows:?}"
        );
    }
    let stamps = site.stamps(id, &site.closed(id));
    let before = stamps
        .iter()
        .rfind(|stamp| stamp.time_ns < gap.start_ns)
        .expect("footage before");
    let after = stamps
        .iter()
        .find(|stamp| stamp.time_ns > before.time_ns)
        .expect("footage behind");
    let (begins, ends) = (gap.start_ns - before.time_ns - FRAME_NS, gap.end_ns - after.time_ns);
    assert!(
        begins.abs() <= FRAME_NS,
        "{id}: the gap begins {} ms after the last frame's end",
        begins / 1_000_000
    );
    assert!(
        ends.abs() <= 50_000_000,
        "{id}: the gap ends {} ms after the first frame",
        ends / 1_000_000
    );
}

#[test]
fn a_camera_that_freezes_is_noticed_within_six_seconds_and_is_back_within_three() {
    let (frozen, good) = (camera(), camera());
    let site = Site::start();
    site.add_camera("frozen", &frozen, 4);
    site.add_camera("good", &good, 4);
    site.wait_closed("frozen", 1, SOON);
    frozen.stall();
    let (loss, after) = wait_lost(&site, "frozen", Instant::now(), NOTICED);
    assert!(loss == "stalled" && after <= NOTICED, "{loss} after {after:?}");
    assert_gap_lasts(&site, "frozen", "stalled");
    let back = now_ns();
    frozen.resume();
    let row = wait_footage_after(&site, "frozen", back - FRAME_NS, BACK + Duration::from_secs(2));
    assert!(
        row.start_ns - back <= BACK.as_nanos() as i64,
        "back after {} ms",
        (row.start_ns - back) / 1_000_000
    );
    site.wait_closed("frozen", 3, SOON);
    assert_gap_is_exact(&site, "frozen", "stalled");
    assert_none_lost(&site, "good");
}

#[test]
fn a_connection_that_is_half_open_is_noticed_as_soon() {
    let (far, good) = (camera(), camera());
    let proxy = Proxy::start(far.port());
    let site = Site::start();
    site.add("far", &proxy.url("/main"), 4);
    site.add_camera("good", &good, 4);
    site.wait_closed("far", 1, SOON);
    proxy.stall();
    let (loss, after) = wait_lost(&site, "far", Instant::now(), NOTICED);
    assert!(loss == "stalled" && after <= NOTICED, "{loss} after {after:?}");
    assert_gap_lasts(&site, "far", "stalled");
    let back = now_ns();
    proxy.resume();
    let row = wait_footage_after(&site, "far", back - FRAME_NS, BACK + Duration::from_secs(2));
    assert!(
        row.start_ns - back <= BACK.as_nanos() as i64,
        "back after {} ms",
        (row.start_ns - back) / 1_000_000
    );
    site.wait_closed("far", 3, SOON);
    assert_gap_is_exact(&site, "far", "stalled");
    assert_none_lost(&site, "good");
}

#[test]
fn a_camera_that_reboots_is_recorded_again_as_soon_as_it_answers() {
    let (gone, good) = (camera(), camera());
    let site = Site::start();
    site.add_camera("gone", &gone, 4);
    site.add_camera("good", &good, 4);
    site.wait_closed("gone", 1, SOON);
    gone.refuse(true).unwrap();
    gone.drop_clients().unwrap();
    let went = Instant::now();
    let (loss, after) = wait_lost(&site, "gone", went, NOTICED);
    assert!(after <= NOTICED, "{loss} after {after:?}");
    // GStreamer does not always say whether a port was closed or a host away.
    wait_until(SOON, "a try in vain", || {
        matches!(state(&site, "gone").1.as_str(), "refused" | "unreachable").then_some(())
    });
    assert_gap_lasts(&site, "gone", "ended");
    // Tries come after 1, 2, 4, 8 … s, a fifth more or less: by now the next one is some seconds away.
    pause(Duration::from_millis(9500).saturating_sub(went.elapsed()));
    let back = now_ns();
    gone.refuse(false).unwrap();
    let row = wait_footage_after(&site, "gone", back - FRAME_NS, BACK + Duration::from_secs(2));
    let took = Duration::from_nanos((row.start_ns - back) as u64);
    assert!(took <= BACK, "back after {took:?}");
    site.wait_closed("gone", 3, SOON);
    assert_gap_is_exact(&site, "gone", "ended");
    assert_none_lost(&site, "good");
    let figure = |series: &str| site.daemon().figure(&format!("camkeep_{series}"));
    assert_eq!(figure("camera_losses_total{camera=\"gone\",loss=\"ended\"}"), 1.0);
    assert_eq!(
        figure("camera_losses_total{camera=\"gone\",loss=\"refused\"}"),
        0.0,
        "the same loss"
    );
    assert_eq!(figure("camera_losses_total{camera=\"good\",loss=\"ended\"}"), 0.0);
    assert!(figure("camera_reconnects_total{camera=\"gone\"}") >= 1.0);
    assert!(figure("camera_frames_total{camera=\"good\"}") > figure("camera_frames_total{camera=\"gone\"}"));
    assert!(figure("camera_frames_total{camera=\"gone\"}") > 250.0, "of both runs");
    assert!(figure("camera_last_frame_age_seconds{camera=\"good\"}") < 5.0);
    for timing in [
        "index_delay",
        "segment_close",
        "segment_sync",
        "growing_sync",
        "journal_write",
    ] {
        let (count, seconds) = (
            figure(&format!("{timing}_seconds_count")),
            figure(&format!("{timing}_seconds_sum")),
        );
        assert!(
            count >= 5.0 && seconds > 0.0 && seconds < count * 5.0,
            "{timing}: {count}, {seconds} s"
        );
    }
}

#[test]
fn a_camera_that_accepts_and_never_answers_is_an_error_within_ten_seconds() {
    let good = camera();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::start();
    site.add_camera("good", &good, 4);
    site.wait_recording("good");
    let asked = Instant::now();
    site.add("mute", &format!("rtsp://{}/main", mute.local_addr().unwrap()), 4);
    let (loss, after) = wait_lost(&site, "mute", asked, Duration::from_secs(10));
    assert_eq!(loss, "unreachable");
    assert!(after <= Duration::from_secs(10), "{after:?}");
    assert!(site.rows("mute").is_empty());
    site.wait_closed("good", 2, SOON);
    assert_none_lost(&site, "good");
}

#[test]
fn a_daemon_that_was_stopped_in_its_tracks_tells_what_it_missed() {
    let camera = camera();
    let mut site = Site::start();
    site.add_camera("door", &camera, 4);
    site.wait_closed("door", 1, SOON);
    let seconds = if std::env::var_os("CAMKEEP_LONG").is_some() {
        20
    } else {
        8
    };
    site.daemon().signal(Signal::STOP);
    pause(Duration::from_secs(seconds));
    site.daemon().signal(Signal::CONT);
    let woken = now_ns();
    wait_for(SOON, "footage from after it was woken", || {
        let rows = site.rows("door");
        let newest = rows.iter().map(|row| row.end_ns).max().unwrap_or(0);
        if newest > woken + 3_000_000_000 {
            Ok(())
        } else {
            Err(rows)
        }
    });
    let until = now_ns();
    site.stop();
    site.boot();
    let rows: Vec<Row> = site
        .closed("door")
        .into_iter()
        .filter(|row| row.start_ns < until)
        .collect();
    let stamps = site.stamps("door", &rows);
    assert!(referee::missing_or_doubled(&stamps).doubled.is_empty());
    let last = stamps.last().unwrap().time_ns;
    let missing: Vec<i64> = camera
        .sent_frames()
        .iter()
        .filter(|frame| !stamps.iter().any(|stamp| stamp.counter == frame.counter))
        .map(|frame| frame.time_us as i64 * 1000)
        .filter(|time| (stamps[0].time_ns..last).contains(time))
        .collect();
    let answer = site
        .daemon()
        .get("/api/v1/cameras/door/gaps?from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z")
        .ok();
    let gaps: Vec<(i64, i64)> = answer
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| {
            let time = |key: &str| Timestamp::parse(gap[key].as_str().unwrap()).unwrap().as_nanos();
            (time("start"), time("end"))
        })
        .collect();
    eprintln!("{seconds} s asleep: {} frames missing, gaps {gaps:?}", missing.len());
    for time in &missing {
        let slack = 50_000_000;
        assert!(
            gaps.iter().any(|(from, to)| (from - slack..to + slack).contains(time)),
            "a frame of {time} is missing and no gap says so: {gaps:?}"
        );
    }
}
