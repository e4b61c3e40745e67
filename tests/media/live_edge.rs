//! What ended a moment ago can be had as clip, stream and still, wherever in a segment and in a group of pictures the moment lies.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{AudioCodec, FakeCamera, StreamOptions};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::daemon_site::{Site, now_ns, tiny};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_until};

const MS: i64 = 1_000_000;
/// How far a frame's date may be off.
const OFF: i64 = 50 * MS;
/// How long ago windows end, in ms.
const AGES: [i64; 3] = [500, 1000, 3000];

/// A camera, and how it is recorded.
struct Lane {
    id: String,
    camera: FakeCamera,
    sounds: bool,
    /// Nothing before this is asked for.
    begun: i64,
}

impl Lane {
    fn start(site: &Site, rng: &mut Rng, gop: u64, segment: u32, audio: AudioCodec) -> Self {
        let options = StreamOptions {
            fps: rng.u32(8..20),
            bframes: if audio == AudioCodec::None { 0 } else { rng.u32(0..3) },
            audio,
            ..StreamOptions::small()
        };
        let id = format!("gop-{gop}");
        let camera = FakeCamera::start(options.with_gop(Duration::from_secs(gop))).unwrap();
        let body = json!({
            "id": id, "name": id, "main_stream_url": camera.url(), "segment_seconds": segment,
            "record_audio": audio != AudioCodec::None,
        });
        site.daemon().post("/api/v1/cameras", &body).ok();
        Self {
            id,
            camera,
            sounds: audio != AudioCodec::None,
            begun: 0,
        }
    }

    /// The counters of the frames that a clip has to show, and of those that it may: dates are off by a little.
    fn frames(&self, from: i64, to: i64) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let sent = self.camera.sent_frames();
        let within = |from: i64, to: i64| {
            let inside = sent
                .iter()
                .filter(move |frame| (from..to).contains(&(frame.time_us as i64 * 1000)));
            inside.map(|frame| frame.counter).collect()
        };
        (within(from + OFF, to - OFF), within(from - OFF, to + OFF))
    }

    /// Says what is wrong with a clip of a window by what its answer says.
    fn judge(&self, clip: &Value, from: i64, to: i64) -> Option<String> {
        let (least, most) = self.frames(from, to);
        let frames = clip["frames"].as_u64()? as usize;
        let is_right = clip["gaps"] == json!([]) && (least.len()..=most.len()).contains(&frames);
        (!is_right).then(|| format!("{} to {} frames wanted: {clip}", least.len(), most.len()))
    }

    /// Says what is wrong with the frames of a clip.
    fn look(&self, file: &Path, from: i64, to: i64) -> Option<String> {
        let mut wrong = referee::decode_errors(file).join("; ");
        let seen = referee::look(file);
        let lacking = referee::missing_or_doubled(&seen.stamps);
        if !seen.unreadable.is_empty() || !lacking.is_nothing() {
            write!(wrong, "unreadable {:?}, {lacking:?}", seen.unreadable).unwrap();
        }
        let (least, most) = self.frames(from, to);
        let shown: BTreeSet<u32> = seen.stamps.iter().map(|stamp| stamp.counter).collect();
        if !shown.is_superset(&least) || !shown.is_subset(&most) {
            write!(
                wrong,
                "frames {:?} lack, {:?} are too many",
                least.difference(&shown),
                shown.difference(&most)
            )
            .unwrap();
        }
        if self.sounds {
            let sound = referee::probe(file);
            if sound.audio().is_none() {
                wrong.push_str("no sound");
            }
        }
        (!wrong.is_empty()).then_some(wrong)
    }
}

fn text(at: i64) -> String {
    Timestamp::from_nanos(at).to_string()
}

/// One request of a kind drawn at random, and what is wrong with its answer.
fn ask(site: &Site, lane: &Lane, rng: &mut Rng, room: &Path) -> Option<String> {
    // In whole ms, as it is told.
    let age = AGES[rng.usize(..AGES.len())];
    let to = now_ns() / MS * MS - age * MS;
    let from = (to - rng.i64(800..6000) * MS).max(lane.begun);
    if to - from < 300 * MS {
        return None;
    }
    let (id, daemon) = (&lane.id, site.daemon());
    let window = format!("from={}&to={}", text(from), text(to));
    let wrong = match rng.u32(..4) {
        0 => {
            let still = daemon.get(&format!("/api/v1/cameras/{id}/snapshot?at={}", text(to)));
            (still.status != 200).then(|| format!("still: {still:?}"))
        }
        1 => {
            let file = room.join(format!("{id}.mp4"));
            let streamed = daemon.fetch(&format!("/api/v1/cameras/{id}/clip.mp4?{window}"), &file);
            match streamed {
                200 => lane.look(&file, from, to).map(|wrong| format!("stream: {wrong}")),
                status => Some(format!("stream: {status} {}", std::fs::read_to_string(&file).unwrap())),
            }
        }
        _ => {
            let body = json!({"from": text(from), "to": text(to)});
            let made = daemon.post(&format!("/api/v1/cameras/{id}/clip"), &body);
            match made.status {
                200 => lane.judge(&made.body, from, to).map(|wrong| format!("clip: {wrong}")),
                status => Some(format!("clip: {status} {}", made.body)),
            }
        }
    };
    let timeline = daemon.get(&format!("/api/v1/cameras/{id}/timeline?{window}")).ok();
    wrong.map(|wrong| {
        format!(
            "{id} until {age} ms ago, {window}: {wrong}; timeline {}",
            timeline["ranges"]
        )
    })
}

#[test]
fn what_ended_a_moment_ago_is_had_whole_in_every_phase_of_a_segment() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let site = Site::start();
    let mut lanes = vec![
        Lane::start(&site, &mut rng, 1, 2, AudioCodec::None),
        Lane::start(&site, &mut rng, 4, 8, AudioCodec::Aac),
        Lane::start(&site, &mut rng, 10, 10, AudioCodec::Pcmu),
        Lane::start(&site, &mut rng, 60, 60, AudioCodec::Opus),
    ];
    for lane in &mut lanes {
        site.wait_recording(&lane.id);
        // The first frames of a session are dated while its clock settles, and its sound comes later than its pictures.
        lane.begun = site.rows(&lane.id)[0].start_ns / MS * MS + 1500 * MS;
    }
    let room = tempfile::tempdir().unwrap();
    let (mut asked, mut wrong) = (0, Vec::new());
    let end = Instant::now() + Duration::from_secs(36);
    let mut due = Instant::now();
    while Instant::now() < end {
        due += Duration::from_millis(300);
        for lane in &lanes {
            asked += 1;
            wrong.extend(ask(&site, lane, &mut rng, room.path()));
        }
        pause(due.saturating_duration_since(Instant::now()));
    }
    assert!(
        site.rows("gop-4").len() >= 4 && site.rows("gop-10").len() >= 3,
        "segments were switched"
    );
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} of {asked} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn a_clip_that_would_reach_into_the_future_ends_now_and_says_so() {
    let site = Site::start();
    let camera = FakeCamera::start(tiny().with_gop(Duration::from_secs(4))).unwrap();
    site.add_camera("door", &camera, 8);
    site.wait_recording("door");
    let begun = site.rows("door")[0].start_ns;
    wait_until(Duration::from_secs(10), "three seconds of footage", || {
        (now_ns() > begun + 3_000 * MS).then_some(())
    });
    let from = text((begun / MS + 500) * MS);
    let asked = now_ns();
    let future = text(asked + 60_000 * MS);
    let clip = site
        .daemon()
        .post("/api/v1/cameras/door/clip", &json!({"from": from, "to": future}))
        .ok();
    let made = now_ns();
    assert_eq!((&clip["requested_to"], &clip["gaps"]), (&json!(future), &json!([])));
    let to = Timestamp::parse(clip["to"].as_str().unwrap()).unwrap().as_nanos();
    assert!((asked - MS..=made).contains(&to), "{clip}");
    let shown_to = Timestamp::parse(clip["shown_to"].as_str().unwrap()).unwrap().as_nanos();
    assert!(shown_to > asked - 2 * OFF && shown_to <= to, "{clip}");
    let manifest = site.daemon().get(clip["manifest_url"].as_str().unwrap()).ok();
    let ends = |field: &str| {
        Timestamp::parse(manifest["shown"][field].as_str().unwrap())
            .unwrap()
            .as_nanos()
    };
    assert_eq!(ends("cut_to") / MS, to / MS);
    assert_eq!(manifest["shown"]["gaps"], json!([]));
    let asked_end = Timestamp::parse(manifest["shown"]["asked"]["end"].as_str().unwrap()).unwrap();
    assert_eq!(asked_end.to_string(), future);
    drop(camera);
}
