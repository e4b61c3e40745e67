//! What a replay says about time: to the microsecond what the pictures say, or off by as much as the camera's clock.

use std::time::Duration;

use camkeep::model::{Span, Timestamp};
use camkeep::pipeline::demo::{FakeCamera, ReportTimes, Speed, StorageOptions};
use tempfile::TempDir;

use super::two_seconds_of;
use crate::kit::referee;
use crate::kit::replay::{End, Replay, replay, watch_until_report};
use crate::kit::storage::{assert_plays, camera, camera_with, numbers_of, storage, wait_kept};
use crate::kit::wait::pause;

/// A time as `Range: clock=` writes it.
fn clock(time: Timestamp) -> String {
    time.to_string().replace(['-', ':'], "")
}

/// Asks for a span as an ONVIF client without rate control, in the camera's time.
pub(super) fn replay_onvif(camera: &FakeCamera, truth: Span) -> Replay {
    let [start, end] = [truth.start, truth.end].map(|time| clock(storage(camera).tell(time)));
    let range = format!("Range: clock={start}-{end}");
    let headers = ["Require: onvif-replay", "Rate-Control: no", &range];
    replay(&storage(camera).replay_url(), &headers).expect("a replay")
}

/// A span to the millisecond, as `Range: clock=` has it.
fn in_milliseconds(span: Span) -> Span {
    let [start, end] = [span.start, span.end].map(|time| Timestamp::from_millis(time.as_millis()));
    Span::new(start, end)
}

/// Checks every extension and every report of a replay against the stamps in its pictures.
#[track_caller]
fn assert_told(replay: &Replay, room: &TempDir, ahead_ms: i64) -> Vec<referee::Stamp> {
    let stamps = referee::read_stamps(&replay.write(&room.path().join("replay.h264")));
    assert_eq!(stamps.len(), replay.units.len());
    let told = |stamp: &referee::Stamp| Timestamp::from_nanos(stamp.time_ns).offset(ahead_ms * 1_000_000);
    for (stamp, unit) in stamps.iter().zip(&replay.units) {
        let extension = unit.extension.expect("the ONVIF extension");
        assert_eq!(extension.time, told(stamp));
        assert_eq!(extension.clean, stamp.keyframe);
    }
    for pair in stamps.windows(2).zip(replay.units.windows(2)) {
        let ticks = pair.1[1].rtp_time.wrapping_sub(pair.1[0].rtp_time);
        let nanos = pair.0[1].time_ns - pair.0[0].time_ns;
        assert!(
            (i64::from(ticks) * 100_000 / 9 - nanos).abs() < 20_000,
            "{ticks} ticks, {nanos} ns"
        );
    }
    assert!(!replay.reports.is_empty());
    for (time, rtp_time) in &replay.reports {
        // The farewell stands for the last picture, as do those between for the next.
        let at = replay.units.iter().position(|unit| unit.rtp_time == *rtp_time);
        assert_eq!(*time, told(&stamps[at.expect("a report for a picture that came")]));
    }
    stamps
}

#[test]
fn an_onvif_replay_is_exact_to_the_frame_and_to_the_microsecond() {
    let camera = camera();
    let span = in_milliseconds(two_seconds_of(wait_kept(&camera, Duration::from_secs(5))));
    let room = TempDir::new().unwrap();
    let replay = replay_onvif(&camera, span);
    let stamps = assert_told(&replay, &room, 0);
    assert_plays(&camera, &stamps, &numbers_of(&camera, span));
    assert_eq!(replay.end, End::Farewell);
    assert!(
        replay.took < Duration::from_secs(1),
        "two seconds took {:?}",
        replay.took
    );
    let bits: Vec<_> = replay.units.iter().map(|unit| unit.extension.unwrap()).collect();
    let last = bits.len() - 1;
    for (n, bits) in bits.iter().enumerate() {
        assert_eq!(
            (bits.discontinuity, bits.terminal, bits.end),
            (n == 0, n == last, false)
        );
        assert_eq!(bits.cseq, 4, "PLAY was the fourth request");
    }
    assert!(replay.answer.contains("Rate-Control: no"), "{}", replay.answer);
}

#[test]
fn the_end_bit_tells_where_the_footage_ends_and_where_it_begins_again() {
    let camera = camera();
    wait_kept(&camera, Duration::from_secs(2));
    camera.stall();
    pause(Duration::from_millis(2500));
    camera.resume();
    let extent = wait_kept(&camera, Duration::from_secs(6));
    let replay = replay_onvif(
        &camera,
        Span::new(extent.start, extent.end.plus(Duration::from_secs(60))),
    );
    let bits: Vec<_> = replay.units.iter().map(|unit| unit.extension.unwrap()).collect();
    let ends: Vec<_> = (0..bits.len()).filter(|n| bits[*n].end).collect();
    let begins: Vec<_> = (0..bits.len()).filter(|n| bits[*n].discontinuity).collect();
    assert_eq!((ends.len(), begins.len()), (2, 2), "{ends:?} {begins:?}");
    assert_eq!((begins[0], begins[1], ends[1]), (0, ends[0] + 1, bits.len() - 1));
    let hole = bits[begins[1]].time.since(bits[ends[0]].time);
    assert!(hole > Duration::from_secs(2), "{hole:?}");
}

#[test]
fn a_wrong_clock_is_wrong_in_all_that_is_said_and_in_no_picture() {
    let camera = camera();
    let span = in_milliseconds(two_seconds_of(wait_kept(&camera, Duration::from_secs(5))));
    let room = TempDir::new().unwrap();
    for ahead_ms in [37_000, -3_600_000] {
        storage(&camera).set_clock_ahead_ms(ahead_ms);
        let stamps = assert_told(&replay_onvif(&camera, span), &room, ahead_ms);
        assert_plays(&camera, &stamps, &numbers_of(&camera, span));
        let plain = replay(&storage(&camera).template_url(span), &[]).unwrap();
        let stamps = referee::read_stamps(&plain.write(&room.path().join("plain.h264")));
        assert_plays(&camera, &stamps, &numbers_of(&camera, span));
        let first = Timestamp::from_nanos(stamps[0].time_ns).offset(ahead_ms * 1_000_000);
        assert_eq!(plain.reports[0].0, first);
    }
}

#[test]
fn a_wrong_clock_is_wrong_in_the_reports_of_the_live_view_too() {
    let camera = camera_with(StorageOptions {
        clock_ahead_ms: 37_000,
        ..StorageOptions::default()
    });
    let room = TempDir::new().unwrap();
    let live = watch_until_report(&camera.url());
    let stamps = referee::read_stamps(&live.write(&room.path().join("live.h264")));
    let (time, rtp_time) = live.reports[0];
    let (stamp, unit) = (stamps[0], &live.units[0]);
    let since = i64::from(rtp_time.wrapping_sub(unit.rtp_time) as i32) * 100_000 / 9;
    let ahead = time.as_nanos() - since - stamp.time_ns;
    assert!((ahead - 37_000_000_000).abs() < 20_000_000, "{ahead} ns ahead");
}

#[test]
fn plain_replays_run_in_real_time_unless_they_may_be_faster() {
    let camera = camera();
    let span = two_seconds_of(wait_kept(&camera, Duration::from_secs(5)));
    let url = storage(&camera).template_url(span);
    let usual = replay(&url, &[]).unwrap();
    assert!(usual.units.iter().all(|unit| unit.extension.is_none()));
    assert!(usual.took > Duration::from_millis(1900), "{:?}", usual.took);
    storage(&camera).set_manners(Speed::Unlimited, ReportTimes::Recorded);
    let fast = replay(&url, &[]).unwrap();
    assert!(fast.took < Duration::from_secs(1), "{:?}", fast.took);
    assert_eq!(fast.units.len(), usual.units.len());
    storage(&camera).set_manners(Speed::Times(4), ReportTimes::Recorded);
    let quadruple = replay(&url, &[]).unwrap();
    assert!(quadruple.took > Duration::from_millis(450), "{:?}", quadruple.took);
}

#[test]
fn sender_reports_may_tell_when_footage_is_sent() {
    let camera = camera_with(StorageOptions {
        reports: ReportTimes::Sent,
        clock_ahead_ms: 5000,
        ..StorageOptions::default()
    });
    let span = two_seconds_of(wait_kept(&camera, Duration::from_secs(5)));
    let before = Timestamp::from_nanos(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as i64);
    let replay = replay(&storage(&camera).template_url(span), &[]).unwrap();
    let sent = replay.reports[0].0.nanos_since(before) as f64 / 1e9;
    assert!(
        (5.0..8.0).contains(&sent),
        "{sent} s after it was asked for, by a clock 5 s ahead"
    );
}
