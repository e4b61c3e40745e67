//! Gaps that come back from the camera's own storage: the real program, a camera with storage, and a referee that decodes
//! every stamp of what was kept.

mod site;
mod wrong;

use std::time::Duration;

use camkeep::pipeline::demo::{Misbehaviour, ReportTimes, Speed, StorageOptions};
use serde_json::{Value, json};

use crate::daemon_site::{SOON, now_ns};
use crate::kit::wait::{pause, wait_for, wait_until};

use site::{Form, GATE, LONG, RefillSite};

/// So long the live view is cut.
const CUT: Duration = Duration::from_secs(12);

/// The live view is cut for twelve seconds and comes back; what lacks is there again, to the frame.
#[track_caller]
fn is_filled(form: Form, options: StorageOptions) -> RefillSite {
    let site = RefillSite::new(form, options);
    site.cut_for(CUT);
    let gaps = site.wait_filled(1);
    let gap = &gaps[0];
    assert!((gap.recovered - gap.seconds).abs() <= 1.0, "{gap:?}");
    assert!(gap.seconds >= CUT.as_secs_f64() - 1.0, "{gap:?}");
    assert_eq!(gap.attempts, 1, "{gap:?}");
    site.assert_whole();
    site.assert_told_truly();
    site.assert_a_clip_is_exact(gap);
    site.assert_nothing_is_left();
    site.assert_live_was_left_alone();
    assert_eq!(site.site.events("gap_filled").len(), 1);
    site
}

/// Where the camera can go faster than real time, a gap is back in less than half of its length.
#[track_caller]
fn assert_fast(site: &RefillSite) {
    let (took, gap) = (site.last_try_seconds(), site.gaps().remove(0));
    assert!(took < gap.seconds / 2.0, "{took} s for {gap:?}");
}

#[test]
fn a_gap_comes_back_by_profile_g() {
    assert_fast(&is_filled(Form::Onvif, StorageOptions::default()));
}

#[test]
fn a_gap_comes_back_by_hikvision_s_addresses() {
    let site = is_filled(
        Form::Hikvision,
        StorageOptions {
            speed: Speed::Unlimited,
            ..StorageOptions::default()
        },
    );
    assert_fast(&site);
}

#[test]
fn a_gap_comes_back_by_dahua_s_addresses_in_the_camera_s_own_zone() {
    is_filled(
        Form::Dahua,
        StorageOptions {
            speed: Speed::Times(4),
            zone_minutes: 120,
            ..StorageOptions::default()
        },
    );
}

#[test]
fn a_gap_comes_back_by_a_template_in_real_time() {
    is_filled(Form::Template, StorageOptions::default());
}

#[test]
fn a_camera_whose_clock_is_37_seconds_ahead_gives_the_right_footage() {
    is_filled(
        Form::Onvif,
        StorageOptions {
            clock_ahead_ms: 37_000,
            ..StorageOptions::default()
        },
    );
}

#[test]
fn a_camera_whose_clock_is_an_hour_behind_gives_the_right_footage() {
    is_filled(
        Form::Hikvision,
        StorageOptions {
            clock_ahead_ms: -3_600_000,
            speed: Speed::Unlimited,
            ..StorageOptions::default()
        },
    );
}

#[test]
fn reports_that_tell_the_time_of_sending_mislead_nobody() {
    is_filled(
        Form::Template,
        StorageOptions {
            reports: ReportTimes::Sent,
            speed: Speed::Unlimited,
            ..StorageOptions::default()
        },
    );
}

#[test]
fn a_latency_that_is_another_after_the_gap_doubles_no_frame() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let [before, after] = if random.bool() { [0, 900] } else { [900, 0] };
    println!("seed {seed}: frames come {before} ms late before the gap and {after} ms late after it");
    let options = StorageOptions {
        speed: Speed::Unlimited,
        ..StorageOptions::default()
    };
    let (site, proxy) = RefillSite::behind_a_proxy(Form::Hikvision, options);
    // As if the camera had been recorded with another latency from the beginning: a new session.
    for (pause_ms, late) in [(3500, before), (random.u64(5000..7000), after)] {
        site.camera.cut_live(true).unwrap();
        proxy.delay(Duration::from_millis(late));
        pause(Duration::from_millis(pause_ms));
        site.camera.cut_live(false).unwrap();
        let back = now_ns();
        wait_for(LONG, "the camera to be recorded again", || {
            let rows = site.site.rows(GATE);
            match rows.iter().any(|row| row.open && row.end_ns > back + 3_000_000_000) {
                true => Ok(()),
                false => Err(rows.last().cloned()),
            }
        });
    }
    site.wait_filled(2);
    site.assert_each_once_until(i64::MAX);
    site.assert_told_truly();
}

#[test]
fn a_try_that_a_kill_interrupted_is_made_again_and_leaves_nothing() {
    let mut site = RefillSite::new(Form::Template, StorageOptions::default());
    site.cut_for(CUT);
    wait_until(LONG, "a replay to be received", || {
        (site.storage().count_bytes() > 50_000).then_some(())
    });
    let part = site.site.data().join("refill");
    assert_eq!(std::fs::read_dir(&part).unwrap().count(), 1, "a file that fills");
    let killed = site.site.kill_9();
    site.site.boot();
    site.site.wait_recording(GATE);
    let gaps = wait_for(LONG, "both gaps to be filled", || {
        let gaps = site.gaps();
        let is_filled = !gaps.is_empty() && gaps.iter().all(|gap| gap.state == "filled");
        if is_filled { Ok(gaps) } else { Err(gaps) }
    });
    assert!(gaps[0].end_ns < killed, "{gaps:?}");
    // What the kill itself cost is so short that it is no gap.
    site.assert_whole_until(killed);
    site.assert_told_truly();
    site.assert_nothing_is_left();
}

#[test]
fn a_person_has_a_gap_fetched_of_a_camera_that_is_not_asked_by_itself() {
    let site = RefillSite::with(Form::Onvif, StorageOptions::default(), 3, false);
    site.cut_for(Duration::from_secs(6));
    let gap = wait_for(SOON, "the gap to be over", || {
        let gaps = site.gaps();
        let found = gaps.iter().find(|gap| gap.end_ns < now_ns() - 2_000_000_000).cloned();
        found.ok_or(gaps)
    });
    let order = |from_ns: i64, to_ns: i64| {
        let [from, to] = [from_ns, to_ns].map(|ns| camkeep::model::Timestamp::from_nanos(ns).to_string());
        let place = format!("/api/v1/cameras/{GATE}/refill");
        site.site.daemon().post(&place, &json!({ "from": from, "to": to }))
    };
    let hour = 3_600_000_000_000;
    for (from, to, status, why) in [
        (gap.start_ns, now_ns() + hour, 400, "has not come yet"),
        (gap.start_ns - 5 * hour, gap.end_ns, 400, "at most 4 hours"),
        (gap.end_ns, gap.start_ns, 400, "after"),
        (
            gap.start_ns - 1_500_000_000,
            gap.start_ns - 1_000_000_000,
            409,
            "nothing is missing",
        ),
    ] {
        let answer = order(from, to);
        let detail = answer.body["detail"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, status, "{detail}");
        assert!(detail.contains(why), "{detail}");
    }
    let strange = site.site.daemon().post(
        "/api/v1/cameras/beside/refill",
        &json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z" }),
    );
    assert_eq!(strange.status, 409, "{}", strange.body);
    assert_eq!(site.storage().count_sessions().total, 0, "nothing is fetched by itself");
    let answer = order(gap.start_ns, gap.end_ns);
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.body["gaps"][0]["id"], gap.id);
    site.wait_filled(1);
    site.assert_whole();
    site.assert_told_truly();
}

#[test]
fn three_tries_in_vain_are_failed_and_a_retry_fills_the_gap() {
    let site = RefillSite::new(Form::Onvif, StorageOptions::default());
    site.storage().misbehave(&[Misbehaviour::Nothing]);
    site.cut_for(Duration::from_secs(5));
    let failed = wait_for(LONG + LONG, "three tries in vain", || {
        let gaps = site.gaps();
        let is_failed = gaps.iter().any(|gap| gap.state == "failed");
        if is_failed { Ok(gaps) } else { Err(gaps) }
    });
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (failed[0].attempts, failed[0].recovered, failed[0].filled_ns),
        (3, 0.0, None)
    );
    assert_eq!(site.site.events("gap_failed").len(), 1);
    assert_eq!(site.site.events("gap_filled"), Vec::<String>::new());
    site.assert_told_truly();
    site.storage().behave();
    let place = format!("/api/v1/cameras/{GATE}/recording-gaps/{}/retry", failed[0].id);
    site.site.daemon().post(&place, &Value::Null).ok();
    site.wait_filled(1);
    site.assert_whole();
    site.assert_nothing_is_left();
    site.assert_live_was_left_alone();
}
