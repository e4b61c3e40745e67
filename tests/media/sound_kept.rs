//! Sound where footage is kept against odds: kills, events with pre-roll, settings that change, cameras side by side.

use std::time::Duration;

use camkeep::model::{CameraId, News, RecordMode, Segment};
use camkeep::pipeline::demo::{AudioCodec, FakeCamera, Microphone};
use camkeep::record::Cause;
use serde_json::json;

use crate::daemon_site::{SOON, Site, lost_frames};
use crate::kit::desk::Desk;
use crate::kit::referee;
use crate::kit::wait::pause;
use crate::recorder::assert_exact;
use crate::sound::{assert_heard, camera, hear, packets, ticks, troubles};

/// What a kill may cost at the most, of pictures and of sound; sound is packed in pieces of up to 64 ms, and an encoder has
/// one of them in hand.
const BAR_NS: i64 = 250_000_000;
const SOUND_BAR: f64 = 0.5;

#[test]
fn a_kill_leaves_a_mended_file_with_pictures_and_sound() {
    let table = [
        ("aac", AudioCodec::Aac, "aac"),
        ("g711", AudioCodec::Pcma, "aac"),
        ("opus", AudioCodec::Opus, "opus"),
    ];
    let mut site = Site::start();
    let cameras: Vec<_> = table
        .into_iter()
        .map(|(id, audio, codec)| {
            let camera = camera(audio, Microphone::Works);
            let body = json!({
                "id": id, "name": id, "main_stream_url": camera.url(), "segment_seconds": 6, "record_audio": true,
            });
            site.daemon().post("/api/v1/cameras", &body).ok();
            (id, codec, camera)
        })
        .collect();
    for (id, ..) in &cameras {
        site.wait_closed(id, 1, SOON);
    }
    // Somewhere inside of the segment that is open, whose journal has all of it.
    pause(Duration::from_millis(2300));
    let killed = site.kill_9();
    site.boot();
    for (id, codec, camera) in &cameras {
        let mut rows = site.wait_mended(id, killed, SOON);
        rows.retain(|row| row.start_ns < killed);
        let stamps = site.stamps(id, &rows);
        let wrong = referee::missing_or_doubled(&stamps);
        assert!(wrong.is_nothing(), "{id}: {wrong:?}");
        let lost = lost_frames(&camera.sent_frames(), &stamps, stamps[0].time_ns, killed).len() as i64 * 40_000_000;
        assert!(
            lost <= BAR_NS,
            "{id}: the kill cost {} ms of pictures",
            lost / 1_000_000
        );
        let row = rows.last().unwrap();
        let path = site.path(id, row);
        assert_eq!((row.state.as_str(), row.open), ("whole", false), "{id}");
        assert_eq!(referee::decode_errors(&path), Vec::<String>::new(), "{id}");
        let probe = referee::probe(&path);
        assert_eq!(
            probe.audio().map(|it| it.codec.as_str()),
            Some(*codec),
            "{id}: {probe:?}"
        );
        let seconds = (row.end_ns - row.start_ns) as f64 / 1e9;
        let sound = packets(&path);
        let (first, last) = (sound.first().unwrap().0, sound.last().unwrap().1);
        assert!(
            first < 0.2 && (seconds - last).abs() < SOUND_BAR,
            "{id}: sound from {first:.3} to {last:.3} s of {seconds:.3} s"
        );
        assert!(
            sound.windows(2).all(|pair| (pair[1].0 - pair[0].1).abs() < 0.03),
            "{id}: sound without a hole: {sound:?}"
        );
        // The tick of a full second lies where the pictures say.
        let pictures = referee::read_stamps(&path);
        let start = pictures[0].time_ns as f64 / 1e9 - pictures[0].pts;
        let heard = ticks(&hear(&path));
        assert!(heard.len() + 2 >= seconds as usize, "{id}: {heard:?} in {seconds} s");
        for tick in heard {
            let off = (start + tick + 0.5).rem_euclid(1.0) - 0.5;
            assert!(off.abs() < 0.1, "{id}: the tick at {tick} s is off by {off:.3} s");
        }
    }
    site.stop();
}

fn events(fake: &FakeCamera, pre_roll: u32, post_roll: u32) -> Desk {
    let desk = Desk::new();
    desk.record_with(&fake.url(), 4, |camera| {
        camera.record_audio = true;
        camera.record_mode = RecordMode::Event;
        (camera.pre_roll_seconds, camera.post_roll_seconds) = (pre_roll, post_roll);
    });
    desk
}

#[test]
fn an_event_has_the_sound_of_its_pre_roll() {
    for (audio, codec) in [
        (AudioCodec::Aac, "aac"),
        (AudioCodec::Pcmu, "aac"),
        (AudioCodec::Opus, "opus"),
    ] {
        let fake = camera(audio, Microphone::Works);
        let mut desk = events(&fake, 5, 3);
        desk.wait_for(20, "the first event that is none is over", |news| {
            news.iter().any(|news| matches!(news, News::Unwanted { .. }))
        });
        for round in 1..=2 {
            // Longer than the camera takes to say how its sound lies to its pictures.
            pause(Duration::from_secs(9));
            let before = desk.closed().len();
            let id = CameraId::parse("door").unwrap();
            let cause = Cause {
                reason: None,
                lasts: Duration::ZERO,
            };
            let triggered = desk.runtime.block_on(desk.recorder.trigger(&id, cause)).unwrap();
            desk.wait_for(30, "the event is over", |news| {
                news.iter().filter(|news| matches!(news, News::Unwanted { .. })).count() > round
            });
            desk.wait_for(10, "its files are closed", |news| {
                let opened = |news: &&News| matches!(news, News::Opened(segment) if segment.copies.is_empty());
                let closed = |news: &&News| matches!(news, News::Closed(_));
                news.iter().filter(opened).count() == news.iter().filter(closed).count()
            });
            let segments: Vec<Segment> = desk.closed().split_off(before);
            assert!(!segments.is_empty());
            assert_event_is_heard(&desk, &segments, codec);
            let covered = segments
                .last()
                .unwrap()
                .span
                .end
                .since(segments[0].span.start)
                .as_secs_f64();
            let wanted = triggered.until.since(triggered.from).as_secs_f64();
            assert!((wanted..wanted + 2.5).contains(&covered), "{covered} s of {wanted} s");
        }
        desk.stop();
        assert_eq!(troubles(&desk), Vec::<String>::new());
        assert_eq!(fake.count_sessions().total, 1);
    }
}

/// All frames are there, and each file has sound from its first picture to its last.
#[track_caller]
fn assert_event_is_heard(desk: &Desk, segments: &[Segment], codec: &str) {
    let wrong = referee::missing_or_doubled(&desk.stamps(segments));
    assert!(wrong.is_nothing(), "{wrong:?}");
    for (number, segment) in segments.iter().enumerate() {
        let path = desk.path(segment);
        assert_eq!(referee::decode_errors(&path), Vec::<String>::new());
        assert!(segment.has_audio, "segment {number} of {}", segments.len());
        assert_eq!(referee::probe(&path).audio().unwrap().codec, codec);
        let (sound, seconds) = (packets(&path), segment.span.seconds());
        let (first, last) = (sound.first().unwrap().0, sound.last().unwrap().1);
        assert!(
            first < 0.15 && last > seconds - 0.25,
            "segment {number}: sound from {first:.3} to {last:.3} s of {seconds:.3} s"
        );
        let pictures = referee::read_stamps(&path);
        let start = pictures[0].time_ns as f64 / 1e9 - pictures[0].pts;
        for tick in ticks(&hear(&path)) {
            let off = (start + tick + 0.5).rem_euclid(1.0) - 0.5;
            assert!(
                off.abs() < 0.1,
                "segment {number}: the tick at {tick} s is off by {off:.3} s"
            );
        }
    }
}

#[test]
fn sound_is_switched_off_and_on() {
    let fake = camera(AudioCodec::Aac, Microphone::Works);
    let mut desk = Desk::new();
    let mut runs = Vec::new();
    for on in [true, false, true] {
        desk.record_with(&fake.url(), 2, |camera| camera.record_audio = on);
        let before = desk.closed().len();
        // The one that was open belongs to the setting before.
        desk.wait_for_closed(before + 3, 30);
        runs.push(on);
    }
    desk.stop();
    let segments = desk.closed();
    let mut seen: Vec<(u32, Vec<Segment>)> = Vec::new();
    for segment in segments {
        match seen.last_mut().filter(|(run, _)| *run == segment.run.0) {
            Some((_, of_run)) => of_run.push(segment),
            None => seen.push((segment.run.0, vec![segment])),
        }
    }
    assert_eq!(seen.len(), runs.len(), "each setting is a run of its own");
    for ((_, of_run), on) in seen.iter().zip(runs) {
        assert_exact(&desk, of_run, &fake.sent_frames());
        if on {
            assert_heard(&desk, of_run, "aac");
        } else {
            assert!(
                of_run
                    .iter()
                    .all(|it| !it.has_audio && referee::probe(&desk.path(it)).audio().is_none())
            );
        }
    }
    assert_eq!(troubles(&desk), Vec::<String>::new());
}
