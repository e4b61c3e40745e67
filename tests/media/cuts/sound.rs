//! The sound of clips stays with their pictures: a click in the middle of each second, heard where it was.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use camkeep::export::{Extras, Footage, plan, the_one};
use camkeep::model::{
    CameraId, ClipMode, ClockSource, Codec, Container, Origin, RunId, Segment, SegmentId, SegmentState, Span,
    Timestamp, VideoFormat,
};
use camkeep::pipeline;
use camkeep::pipeline::demo::{AudioCodec, Microphone};
use camkeep::storage::Movie;

use super::{Roll, second_opinion, write};
use crate::kit::desk::Desk;
use crate::kit::referee;
use crate::sound;

/// The clock of the footage begins here.
const ZERO: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// Pictures with a click in the middle of each second, recorded into one file by the muxer that records.
fn make(file: &Path, seconds: u32, encoder: &[&str]) {
    let clicks = "aevalsrc='0.9*sin(2*PI*1000*t)*lt(mod(t+0.5,1),0.02)':s=48000";
    let whole = file.with_extension("whole.mp4");
    let said = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=320x180:rate=25",
        ])
        .args(["-f", "lavfi", "-i", clicks, "-t", &seconds.to_string()])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-g",
            "100",
            "-bf",
            "0",
            "-pix_fmt",
            "yuv420p",
        ])
        .args(encoder)
        .arg(&whole)
        .output()
        .expect("ffmpeg has to be installed");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    std::fs::rename(whole, file).unwrap();
}

fn footage(file: &Path, run: u32, start: Timestamp) -> Footage {
    let movie = Movie::read(file).unwrap();
    let (frames, lasts) = (movie.frames(), movie.duration());
    let segment = Segment {
        id: SegmentId(uuid::Uuid::from_u128(u128::from(run))),
        camera: CameraId::parse("front-door").unwrap(),
        run: RunId(run),
        sequence: 0,
        span: Span::new(start, start.plus(Duration::from_nanos(lasts))),
        holes: Vec::new(),
        format: VideoFormat {
            codec: Codec::H264,
            width: 320,
            height: 180,
            fps: None,
        },
        has_audio: true,
        container: Container::Mp4,
        state: SegmentState::Closed,
        origin: Origin::Live,
        clock: ClockSource::Arrival,
        camera_clock: None,
        frames,
        lost_packets: 0,
        created_at: start,
        copies: vec![],
    };
    let (footage, trouble) = Footage::read(segment, file.to_owned(), None);
    assert!(trouble.is_none(), "{trouble:?}");
    assert!(footage.movie.audio.is_some());
    footage
}

/// When clicks are heard in what a decoder plays of a file, in seconds of its pictures.
fn clicks(file: &Path) -> Vec<f64> {
    // Holes in the track are filled with silence, as a player fills them.
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args([
            "-map",
            "0:a:0",
            "-af",
            "aresample=async=1:first_pts=0",
            "-ac",
            "1",
            "-ar",
            "48000",
            "-f",
            "s16le",
            "pipe:1",
        ])
        .output()
        .expect("ffmpeg has to be installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let samples = output
        .stdout
        .chunks_exact(2)
        .map(|two| i32::from(i16::from_le_bytes([two[0], two[1]])));
    let (mut found, mut quiet_since) = (Vec::new(), -4800i64);
    for (number, level) in samples.enumerate() {
        let number = number as i64;
        if level.abs() > 6000 {
            if number - quiet_since > 4800 {
                found.push(number as f64 / 48_000.0);
            }
            quiet_since = number;
        }
    }
    found
}

#[track_caller]
fn assert_heard(file: &Path, expected: &[f64]) {
    let heard = clicks(file);
    let near = heard.len() == expected.len()
        && heard
            .iter()
            .zip(expected)
            .all(|(heard, expected)| (heard - expected).abs() < 0.012);
    assert!(near, "clicks at {heard:?} instead of {expected:?}");
}

fn stays_together(encoder: &[&str], codec: &str) {
    pipeline::init().unwrap();
    let room = tempfile::tempdir().unwrap();
    let (one, two) = (room.path().join("one.mp4"), room.path().join("two.mp4"));
    make(&one, 10, encoder);
    make(&two, 10, encoder);
    let after = |ms: i64| ZERO.offset(ms * 1_000_000);
    let footage = vec![footage(&one, 1, ZERO), footage(&two, 2, after(14_000))];
    for (from, to, expected) in [
        (0, 3_000, vec![0.5, 1.5, 2.5]),
        // The first frame at or after 2.31 s is that at 2.32 s.
        (2_310, 5_330, vec![0.18, 1.18, 2.18]),
        (5_950, 6_700, vec![0.54]),
        // From 8.32 s to 10 s, and then from 14 s on: what lacks is closed up, for the sound too.
        (8_310, 16_400, vec![0.18, 1.18, 2.18, 3.18]),
    ] {
        let window = Span::new(after(from), after(to));
        let part = the_one(plan(footage.clone(), window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
        assert!(part.has_audio);
        let file = write(&part, room.path());
        assert_eq!(referee::decode_errors(&file), Vec::<String>::new(), "{from} to {to}");
        let probe = referee::probe(&file);
        assert_eq!(probe.audio().unwrap().codec, codec);
        assert!(
            (probe.seconds - part.covered.as_secs_f64()).abs() < 0.03,
            "{} s, {:?}",
            probe.seconds,
            part.covered
        );
        assert_eq!(second_opinion(&part, &file), None);
        assert_heard(&file, &expected);
    }
}

#[test]
fn aac_stays_together_with_its_pictures_over_every_cut() {
    stays_together(&["-c:a", "aac", "-b:a", "64k"], "aac");
}

#[test]
fn opus_stays_together_with_its_pictures_over_every_cut() {
    stays_together(&["-c:a", "libopus", "-b:a", "64k"], "opus");
}

#[test]
fn captions_say_each_second_when_it_was() {
    pipeline::init().unwrap();
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("one.mp4");
    make(&file, 6, &["-c:a", "aac"]);
    let window = Span::new(ZERO.offset(1_300_000_000), ZERO.offset(3_700_000_000));
    let footage = vec![footage(&file, 1, ZERO)];
    let part = the_one(plan(footage, window, ClipMode::Exact, Extras { captions: true }).unwrap()).unwrap();
    let clip = write(&part, room.path());
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(&clip)
        .args(["-map", "0:s:0", "-f", "srt", "pipe:1"])
        .output()
        .expect("ffmpeg has to be installed");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = lines
        .lines()
        .filter(|line| line.contains("-->") || line.contains("UTC"))
        .collect();
    assert_eq!(
        lines,
        [
            "00:00:00,000 --> 00:00:00,680",
            "2026-09-21 14:13:21 UTC",
            "00:00:00,680 --> 00:00:01,680",
            "2026-09-21 14:13:22 UTC",
            "00:00:01,680 --> 00:00:02,380",
            "2026-09-21 14:13:23 UTC",
        ]
    );
    assert_eq!(referee::decode_errors(&clip), Vec::<String>::new());
}

/// The demo camera's microphone ticks at every full second: in a clip when it does in the files.
fn ticks_where_it_was_recorded(audio: AudioCodec) {
    let camera = sound::camera(audio, Microphone::default());
    let mut desk = Desk::new();
    desk.record_with(&camera.url(), 8, |camera| camera.record_audio = true);
    desk.wait_for_closed(2, 60);
    let roll = Roll::of(desk);
    let of_files = roll.segments.iter().flat_map(|segment| {
        let heard = sound::ticks(&sound::hear(&roll.desk.path(segment)));
        heard
            .into_iter()
            .map(|at| segment.span.start.offset((at * 1e9) as i64).as_nanos())
    });
    let of_files: Vec<i64> = of_files.collect();
    // The files join at eight seconds.
    for (offset, length) in [(310, 6_200), (5_030, 4_100), (7_900, 3_000)] {
        let part = roll.judge(roll.window(offset, length));
        assert!(part.has_audio);
        let room = tempfile::tempdir().unwrap();
        let file = write(&part, room.path());
        let heard = sound::ticks(&sound::hear(&file));
        let expected = of_files
            .iter()
            .map(|tick| (tick - part.shown.start.as_nanos()) as f64 / 1e9);
        // One that is at an edge may be heard or not.
        let clear = |at: &f64| *at > 0.1 && *at < part.covered.as_secs_f64() - 0.1;
        let (expected, heard): (Vec<f64>, Vec<f64>) = (
            expected.filter(clear).collect(),
            heard.into_iter().filter(clear).collect(),
        );
        let near = expected
            .iter()
            .zip(&heard)
            .all(|(expected, heard)| (expected - heard).abs() < 0.02);
        assert!(
            near && expected.len() == heard.len(),
            "{offset}: {heard:?} instead of {expected:?}"
        );
    }
}

#[test]
fn aac_of_a_camera_is_heard_in_a_clip_when_it_was_recorded() {
    ticks_where_it_was_recorded(AudioCodec::Aac);
}

#[test]
fn opus_of_a_camera_is_heard_in_a_clip_when_it_was_recorded() {
    ticks_where_it_was_recorded(AudioCodec::Opus);
}
