//! Sound beside the pictures: every kind of it, and every trouble with it, none of which may cost a frame.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use camkeep::model::{EventKind, News, Segment};
use camkeep::pipeline::Catalog;
use camkeep::pipeline::demo::{AudioCodec, FakeCamera, Microphone, StreamOptions};

use crate::kit::desk::{Desk, Equipment};
use crate::kit::referee;
use crate::kit::wait::pause;
use crate::recorder::assert_exact;

/// The referee hears with so many samples a second.
const RATE: usize = 8000;
/// The first packet of a run, in seconds: what is decoded of it alone is no sound yet. From then on the time has to be right.
const FIRST: f64 = 0.2;

pub(crate) fn camera(audio: AudioCodec, microphone: Microphone) -> FakeCamera {
    FakeCamera::start(StreamOptions {
        audio,
        microphone,
        ..StreamOptions::small()
    })
    .unwrap()
}

/// What is heard in a file, from the beginning of its pictures on; silence where it has none, also where less than the
/// tenth of a second lacks that ffmpeg passes over by itself.
pub(crate) fn hear(path: &Path) -> Vec<f64> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:a:0", "-af"])
        .arg(format!("aresample={RATE}:async=1:min_hard_comp=0.005:first_pts=0"))
        .args(["-f", "s16le", "-ac", "1", "pipe:1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let samples = output.stdout.chunks_exact(2);
    samples
        .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0)
        .collect()
}

/// Where the ticks of full seconds begin, in seconds from the start of the file.
pub(crate) fn ticks(samples: &[f64]) -> Vec<f64> {
    let mut found: Vec<usize> = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        if sample.abs() > 0.15 && found.last().is_none_or(|last| at - last > RATE / 2) {
            found.push(at);
        }
    }
    found.into_iter().map(|at| at as f64 / RATE as f64).collect()
}

/// The longest silence and where it ends, in seconds: the camera hums all the time.
fn longest_silence(samples: &[f64]) -> (f64, f64) {
    let window = RATE / 100;
    let quiet =
        |window: &[f64]| window.iter().map(|it| it * it).sum::<f64>() / (window.len() as f64) < 0.004f64.powi(2);
    let (mut longest, mut now) = ((0, 0), 0);
    for (at, window) in samples.chunks_exact(window).enumerate() {
        now = if quiet(window) { now + 1 } else { 0 };
        longest = longest.max((now, at));
    }
    (longest.0 as f64 * 0.01, longest.1 as f64 * 0.01)
}

fn record(desk: &mut Desk, camera: &FakeCamera, segment: u32, count: usize) -> Vec<Segment> {
    desk.record_with(&camera.url(), segment, |camera| camera.record_audio = true);
    desk.wait_for_closed(count, 60);
    desk.stop();
    desk.closed()
}

pub(crate) fn troubles(desk: &Desk) -> Vec<String> {
    let said = desk.news.iter().filter_map(|news| match news {
        News::Happened(event) if event.kind == EventKind::RecorderError => Some(event.message.clone()),
        _ => None,
    });
    said.collect()
}

/// When each packet of sound begins and ends, in seconds from the first picture.
pub(crate) fn packets(path: &Path) -> Vec<(f64, f64)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "a", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=pts_time,duration_time"])
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |word: Option<&str>| word.unwrap().trim().parse::<f64>().unwrap();
    text.lines()
        .map(|line| {
            let mut words = line.split(',');
            let begins = number(words.next());
            // Nobody writes down how long a packet of Opus is.
            let lasts = words
                .next()
                .filter(|word| !word.contains("N/A"))
                .map_or(0.02, |word| number(Some(word)));
            (begins, begins + lasts)
        })
        .collect()
}

/// Whether a file holds pictures in another order than they are shown.
fn has_pictures_out_of_order(path: &Path) -> bool {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "frame=pict_type"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .any(|line| line.starts_with('B'))
}

/// Each segment has sound from its first picture to its last, which goes on in the next; a tick is heard where the second
/// turns.
#[track_caller]
pub(crate) fn assert_heard(desk: &Desk, segments: &[Segment], codec: &str) {
    let mut reached = None;
    for (number, segment) in segments.iter().enumerate() {
        let path = desk.path(segment);
        assert!(segment.has_audio, "segment {number}");
        let probe = referee::probe(&path);
        assert_eq!(probe.tracks.len(), 2, "{probe:?}");
        assert_eq!(probe.audio().unwrap().codec, codec);
        let samples = hear(&path);
        let pictures = referee::read_stamps(&path);
        let start = pictures[0].time_ns as f64 / 1e9 - pictures[0].pts;
        let told = segment.span.start.since(segments[0].span.start).as_secs_f64();
        let heard = ticks(&samples);
        assert!(heard.len() + 2 >= segment.span.seconds() as usize, "{heard:?}");
        for tick in heard.into_iter().filter(|tick| told + tick > FIRST) {
            let off = (start + tick + 0.5).rem_euclid(1.0) - 0.5;
            assert!(
                off.abs() < 0.1,
                "segment {number}: the tick at {tick} s is off by {off:.3} s"
            );
        }
        for (begins, ends) in packets(&path)
            .into_iter()
            .map(|(begins, ends)| (told + begins, told + ends))
        {
            let hole = begins - reached.unwrap_or(begins);
            assert!(
                begins < FIRST || hole <= 0.05,
                "segment {number}: a hole of {hole:.3} s at {begins:.3} s"
            );
            reached = Some(ends);
        }
        // The first packet of a file is decoded without the one before it, which half of it needs.
        let from = ((FIRST - told).max(0.15) * RATE as f64) as usize;
        let until = samples.len().saturating_sub(RATE / 4);
        if from < until {
            let (silence, at) = longest_silence(&samples[from..until]);
            assert!(
                silence <= 0.05,
                "segment {number}: silent for {silence} s before {at} s"
            );
        }
    }
}

fn kept(audio: AudioCodec, codec: &str) {
    let camera = camera(audio, Microphone::Works);
    let mut desk = Desk::new();
    let segments = record(&mut desk, &camera, 4, 3);
    assert_exact(&desk, &segments, &camera.sent_frames());
    assert_heard(&desk, &segments, codec);
    assert_eq!(troubles(&desk), Vec::<String>::new());
    assert_eq!(camera.count_sessions().total, 1);
}

#[test]
fn aac_is_kept_as_it_comes_and_goes_on_over_the_cuts() {
    kept(AudioCodec::Aac, "aac");
}

#[test]
fn g711_becomes_aac() {
    kept(AudioCodec::Pcmu, "aac");
    kept(AudioCodec::Pcma, "aac");
}

#[test]
fn opus_is_kept_as_it_comes() {
    kept(AudioCodec::Opus, "opus");
}

#[test]
fn other_sound_that_can_be_decoded_becomes_aac() {
    kept(AudioCodec::L16, "aac");
    // The camera's own encoder of G.726 dates it wrongly, so that nothing is asked of its time.
    let camera = camera(AudioCodec::G726, Microphone::Works);
    let mut desk = Desk::new();
    let segments = record(&mut desk, &camera, 4, 2);
    assert_exact(&desk, &segments, &camera.sent_frames());
    for segment in &segments {
        assert!(segment.has_audio);
        assert_eq!(referee::probe(&desk.path(segment)).audio().unwrap().codec, "aac");
        assert!(ticks(&hear(&desk.path(segment))).len() + 2 >= segment.span.seconds() as usize);
    }
}

/// The ticks of a camera's first file are heard when its pictures show that the second turns, from the first frame on.
fn in_time_from_the_first_frame(audio: AudioCodec, sender_reports: bool, seed: u64) {
    let mut luck = fastrand::Rng::with_seed(seed);
    let fps = luck.choice([8, 15, 25, 30]).unwrap();
    let bframes = luck.choice([0, 0, 1, 2, 3]).unwrap();
    let options = StreamOptions {
        audio,
        sender_reports,
        fps,
        gop_frames: luck.u32(5.max(fps / 2)..2 * fps),
        bframes,
        key_on_play: luck.bool(),
        ..StreamOptions::small()
    };
    let what = format!("seed {seed}, {options:?}");
    let camera = FakeCamera::start(options).unwrap();
    let mut desk = Desk::new();
    pause(Duration::from_millis(luck.u64(..1000)));
    let segments = record(&mut desk, &camera, 5, 1);
    let path = desk.path(&segments[0]);
    let pictures = referee::read_stamps(&path);
    let (start, begins) = (pictures[0].time_ns as f64 / 1e9 - pictures[0].pts, pictures[0].pts);
    let sound = packets(&path);
    let lasts = sound[1].1 - sound[1].0;
    let first = sound[0].0 - begins;
    assert!(
        (-0.001..lasts + 0.02).contains(&first),
        "{what}: sound begins {first:.3} s after the pictures"
    );
    for pair in sound.windows(2) {
        let hole = pair[1].0 - pair[0].1;
        assert!(hole.abs() < 0.02, "{what}: a hole of {hole:.3} s at {:.3} s", pair[0].1);
    }
    let heard = ticks(&hear(&path));
    assert!(
        heard.len() + 2 >= segments[0].span.seconds() as usize,
        "{what}: {heard:?}"
    );
    if bframes > 0 {
        assert!(has_pictures_out_of_order(&path), "{what}: no B-frames");
    }
    // What is decoded of the first packet alone is no sound yet.
    for tick in heard.into_iter().filter(|tick| *tick > begins + lasts + 0.05) {
        let off = (start + tick + 0.5).rem_euclid(1.0) - 0.5;
        assert!(
            off.abs() < 0.02 + lasts,
            "{what}: the tick at {tick:.3} s is off by {off:.3} s"
        );
    }
}

#[test]
fn sound_and_pictures_are_in_time_from_the_first_frame_on() {
    let kinds = [AudioCodec::Aac, AudioCodec::Opus, AudioCodec::Pcmu];
    for sender_reports in [true, false] {
        std::thread::scope(|scope| {
            for kind in kinds {
                let seed = fastrand::u64(..);
                scope.spawn(move || in_time_from_the_first_frame(kind, sender_reports, seed));
            }
        });
    }
}

#[test]
fn nothing_is_heard_that_nobody_asked_for() {
    let camera = camera(AudioCodec::Aac, Microphone::Works);
    let mut desk = Desk::new();
    desk.record(&camera.url(), 4);
    desk.wait_for_closed(1, 30);
    desk.stop();
    for segment in desk.closed() {
        assert!(!segment.has_audio);
        assert_eq!(referee::probe(&desk.path(&segment)).audio(), None);
    }
    assert!(
        !camera.requests().iter().any(|request| request.ends_with("stream=1")),
        "{:?}",
        camera.requests()
    );
}

#[test]
fn sound_that_cannot_be_recorded_is_told_of_once_and_costs_nothing() {
    let camera = camera(AudioCodec::Speex, Microphone::Works);
    let mut desk = Desk::new();
    desk.record_with(&camera.url(), 4, |camera| camera.record_audio = true);
    desk.wait_for_closed(1, 30);
    let before = camera.sent_frames();
    camera.drop_clients().unwrap();
    desk.wait_for_closed(3, 40);
    desk.stop();
    assert!(!before.is_empty());
    let told = troubles(&desk);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("SPEEX"), "{told:?}");
    assert!(desk.closed().iter().all(|segment| !segment.has_audio));
}

/// Records segments of a camera with a bad microphone and gives them, after the pictures were judged.
fn with_trouble(audio: AudioCodec, microphone: Microphone, count: usize) -> (Desk, Vec<Segment>) {
    let camera = camera(audio, microphone);
    let mut desk = Desk::new();
    let segments = record(&mut desk, &camera, 4, count);
    assert_exact(&desk, &segments, &camera.sent_frames());
    assert_eq!(camera.count_sessions().total, 1, "the session goes on");
    (desk, segments)
}

#[test]
fn sound_that_never_comes_costs_no_frame() {
    let (desk, segments) = with_trouble(AudioCodec::Pcmu, Microphone::Late(Duration::from_secs(1000)), 4);
    assert!(segments.iter().all(|segment| !segment.has_audio));
    assert!(
        segments
            .iter()
            .all(|segment| referee::probe(&desk.path(segment)).audio().is_none())
    );
}

#[test]
fn sound_that_begins_late_is_kept_from_the_next_keyframe_on() {
    for audio in [AudioCodec::Aac, AudioCodec::Pcma] {
        let (desk, segments) = with_trouble(audio, Microphone::Late(Duration::from_secs(6)), 6);
        let with_sound: Vec<bool> = segments.iter().map(|segment| segment.has_audio).collect();
        assert!(!with_sound[0] && with_sound.is_sorted(), "{with_sound:?}");
        let first = with_sound.iter().position(|has| *has).unwrap();
        let before = (segments[first].span.start.as_nanos() - segments[0].span.start.as_nanos()) as f64 / 1e9;
        assert!(before < 8.5, "sound is there only after {before} s");
        // The camera's next report on its sound may be five seconds away.
        assert_heard(&desk, &segments[first + 2..], "aac");
    }
}

#[test]
fn sound_that_ends_costs_no_frame_and_leaves_the_files_after_a_while() {
    for audio in [AudioCodec::Aac, AudioCodec::Pcmu] {
        let camera = camera(audio, Microphone::Dies(Duration::from_secs(6)));
        let mut desk = Desk::new();
        let segments = record(&mut desk, &camera, 4, 6);
        assert_exact(&desk, &segments, &camera.sent_frames());
        assert_heard(&desk, &segments[..1], "aac");
        let last = segments.last().unwrap();
        assert!(!last.has_audio);
        assert_eq!(referee::probe(&desk.path(last)).audio(), None);
    }
}

#[test]
fn a_pause_in_the_sound_is_a_pause_in_the_file() {
    let (desk, segments) = with_trouble(
        AudioCodec::Aac,
        Microphone::Pauses(Duration::from_secs(5), Duration::from_secs(10)),
        4,
    );
    assert!(segments.first().unwrap().has_audio && segments.last().unwrap().has_audio);
    assert_heard(&desk, &segments[3..], "aac");
    let heard: usize = segments[..3]
        .iter()
        .filter(|it| it.has_audio)
        .map(|it| ticks(&hear(&desk.path(it))).len())
        .sum();
    assert!(
        (5..=8).contains(&heard),
        "{heard} ticks in twelve seconds of which five are silent"
    );
}

#[test]
fn packets_full_of_noise_cost_no_frame() {
    for audio in [AudioCodec::Aac, AudioCodec::Opus, AudioCodec::Pcmu] {
        let camera = camera(audio, Microphone::Noise);
        let mut desk = Desk::new();
        let segments = record(&mut desk, &camera, 4, 3);
        assert_pictures(&desk, &segments);
        assert_eq!(camera.count_sessions().total, 1);
        assert!(troubles(&desk).len() <= 1, "{:?}", troubles(&desk));
    }
}

#[test]
fn packets_dated_at_random_cost_no_frame() {
    for audio in [AudioCodec::Aac, AudioCodec::Pcmu] {
        let camera = camera(audio, Microphone::Wild);
        let mut desk = Desk::new();
        let segments = record(&mut desk, &camera, 4, 3);
        assert_pictures(&desk, &segments);
        assert_eq!(camera.count_sessions().total, 1);
    }
}

/// Pictures are whole; nothing is asked of the sound.
#[track_caller]
fn assert_pictures(desk: &Desk, segments: &[Segment]) {
    let stamps = desk.stamps(segments);
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    assert_eq!(
        stamps.len() as u64,
        segments.iter().map(|segment| segment.frames).sum::<u64>()
    );
    for segment in segments {
        let first = referee::read_stamps(&desk.path(segment))[0];
        let off = (segment.span.start.as_nanos() - first.time_ns) / 1_000_000;
        assert!(off.abs() <= 50, "a start is off by {off} ms");
    }
}

#[test]
fn a_change_of_resolution_takes_the_sound_along() {
    let camera = camera(AudioCodec::Aac, Microphone::Works);
    let mut desk = Desk::new();
    desk.record_with(&camera.url(), 4, |camera| camera.record_audio = true);
    desk.wait_for_closed(1, 30);
    camera.change_resolution(640, 360).unwrap();
    desk.wait_for_closed(4, 40);
    desk.stop();
    let segments = desk.closed();
    assert_exact(&desk, &segments, &camera.sent_frames());
    assert_heard(&desk, &segments, "aac");
}

#[test]
fn a_pipeline_of_sound_that_breaks_as_it_begins_costs_no_frame_and_is_told_once() {
    let pipelines = tempfile::tempdir().unwrap();
    let text = include_str!("../../pipelines/sound-other.gst").to_owned() + " fakesink state-error=ready-to-paused";
    std::fs::write(pipelines.path().join("sound-other.gst"), text).unwrap();
    let camera = camera(AudioCodec::Pcmu, Microphone::Works);
    let mut desk = Desk::with(Equipment {
        catalog: Catalog::with_overrides(pipelines.path()).unwrap(),
        ..Equipment::default()
    });
    // It is tried again after ten seconds.
    let segments = record(&mut desk, &camera, 4, 4);
    assert_exact(&desk, &segments, &camera.sent_frames());
    assert_eq!(camera.count_sessions().total, 1);
    assert!(segments.iter().all(|segment| !segment.has_audio));
    let told = troubles(&desk);
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn an_encoder_that_is_not_installed_costs_the_sound_only_and_is_named() {
    let pipelines = tempfile::tempdir().unwrap();
    let text =
        include_str!("../../pipelines/sound-other.gst").replace("! audioresample", "! opusdec_that_is_not_there");
    std::fs::write(pipelines.path().join("sound-other.gst"), text).unwrap();
    let camera = camera(AudioCodec::Pcmu, Microphone::Works);
    let mut desk = Desk::with(Equipment {
        catalog: Catalog::with_overrides(pipelines.path()).unwrap(),
        ..Equipment::default()
    });
    let segments = record(&mut desk, &camera, 4, 2);
    assert_exact(&desk, &segments, &camera.sent_frames());
    assert!(segments.iter().all(|segment| !segment.has_audio));
    let told = troubles(&desk);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("opusdec_that_is_not_there") && told[0].contains("install Debian's package"),
        "{told:?}"
    );
}
