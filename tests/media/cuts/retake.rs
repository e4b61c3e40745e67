//! Clips with pictures that were encoded anew: the first ones, so that players without edit lists begin right, and all of
//! them, with the time in the picture.

use std::path::Path;
use std::process::Command;

use camkeep::export::{Anew, Extras, Part, Retaker, plan, plan_anew, the_one};
use camkeep::model::{ClipMode, Span, Timestamp};
use camkeep::pipeline::Catalog;
use camkeep::pipeline::demo::{StreamOptions, VideoCodec};

use super::browser::assert_shows;
use super::{GROUP, Roll, assert_clip, write};
use crate::kit::referee;

/// Cuts a window with pictures encoded anew; the room holds what they are encoded into.
#[track_caller]
fn cut(roll: &Roll, window: Span, anew: Anew, extras: Extras, room: &Path) -> Part {
    let spool = room.join("spool");
    std::fs::write(&spool, "").unwrap();
    let catalog = Catalog::built_in().unwrap();
    let wanted = || true;
    let tell = |_| ();
    let retaker = Retaker::new(&catalog, window, anew, &spool, &wanted, &tell).unwrap();
    the_one(plan_anew(roll.footage(), window, ClipMode::ReencodeHead, extras, retaker).unwrap()).unwrap()
}

/// The stamps of a file as a player sees it that knows no edit lists.
#[track_caller]
fn without_edit_lists(file: &Path) -> Vec<u32> {
    let plain = file.with_extension("plain.mkv");
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-ignore_editlist", "1", "-i"])
        .arg(file)
        .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-c:v", "ffv1"])
        .arg(&plain)
        .output()
        .unwrap();
    assert!(
        done.status.success() && done.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    referee::read_stamps(&plain).iter().map(|stamp| stamp.counter).collect()
}

#[track_caller]
fn judge_head(roll: &Roll, offset: i64, length: i64) {
    let room = tempfile::tempdir().unwrap();
    let window = roll.window(offset, length);
    let part = cut(roll, window, Anew::Head, Extras::default(), room.path());
    let file = write(&part, room.path());
    let expected = roll.inside(window);
    assert_clip(&part, &file, &expected, window);
    assert_eq!(part.lead_in, 0);
    let counters: Vec<u32> = expected.iter().map(|shot| shot.counter).collect();
    let seen = without_edit_lists(&file);
    assert_eq!(seen[0], counters[0], "{window}: the first without edit lists");
    // Behind the last that is shown lie only frames that its decoding needs.
    assert!(seen.starts_with(&counters), "{window}");
}

#[test]
fn a_head_encoded_anew_begins_with_the_first_frame_in_every_player() {
    let plain = StreamOptions::small().with_gop(GROUP);
    let with_bframes = StreamOptions {
        bframes: 2,
        ..plain.clone()
    };
    for options in [plain, with_bframes] {
        let roll = Roll::record(options, 2);
        for (offset, length) in [
            (1_010, 2_000),
            (1_050, 7_000),
            (3_970, 500),
            (0, 1_000),
            (5_030, 9_000),
            (7_930, 300),
        ] {
            judge_head(&roll, offset, length);
        }
    }
}

#[test]
fn a_head_of_h265_encoded_anew_goes_on_with_what_the_camera_sent() {
    let options = StreamOptions {
        codec: VideoCodec::H265,
        width: 160,
        height: 96,
        gop_frames: 50,
        ..StreamOptions::small()
    };
    let roll = Roll::record(options, 2);
    for (offset, length) in [(1_010, 700), (1_050, 5_000), (7_000, 3_000)] {
        judge_head(&roll, offset, length);
    }
}

#[test]
fn a_browser_shows_a_head_that_was_encoded_anew() {
    let roll = Roll::record(StreamOptions::small().with_gop(GROUP), 2);
    for (offset, length) in [(1_010, 5_500), (6_900, 2_500)] {
        let room = tempfile::tempdir().unwrap();
        let window = roll.window(offset, length);
        let part = cut(&roll, window, Anew::Head, Extras::default(), room.path());
        assert_shows(&part, &roll, window);
    }
}

/// The digits, as a person would draw them from the picture: five dots wide and seven high.
const DIGITS: [[&str; 7]; 10] = [
    [".###.", "#...#", "#..##", "#.#.#", "##..#", "#...#", ".###."],
    ["..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."],
    [".###.", "#...#", "....#", "..##.", ".#...", "#....", "#####"],
    ["####.", "....#", "....#", ".###.", "....#", "....#", "####."],
    ["...#.", "..##.", ".#.#.", "#..#.", "#####", "...#.", "...#."],
    ["#####", "#....", "####.", "....#", "....#", "#...#", ".###."],
    ["..##.", ".#...", "#....", "####.", "#...#", "#...#", ".###."],
    ["#####", "....#", "...#.", "..#..", ".#...", ".#...", ".#..."],
    [".###.", "#...#", "#...#", ".###.", "#...#", "#...#", ".###."],
    [".###.", "#...#", "#...#", ".####", "....#", "...#.", ".##.."],
];

/// The time that stands in each picture of a clip of 320 by 180, in ms since the epoch.
fn times_in_pictures(file: &Path) -> Vec<i64> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args([
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "pipe:1",
        ])
        .output()
        .unwrap();
    let read = |picture: &[u8]| {
        // 27 letters of six dots at the right, the last line of two.
        let (left, top) = (320 - 28 * 6 + 3, 180 - 20 + 10);
        let digit = |place: usize| {
            let dot = |x: usize, y: usize| picture[(top + y) * 320 + left + place * 6 + x] > 125;
            let seen: Vec<String> = (0..7)
                .map(|y| (0..5).map(|x| if dot(x, y) { '#' } else { '.' }).collect())
                .collect();
            // Dots that were blurred by the encoder are forgiven where the digit is plain.
            let differs = |digit: &[&str; 7]| {
                let pairs = digit.iter().zip(&seen);
                pairs
                    .flat_map(|(a, b)| a.chars().zip(b.chars()))
                    .filter(|(a, b)| a != b)
                    .count()
            };
            let (value, wrong) = (0..10)
                .map(|n| (n, differs(&DIGITS[n])))
                .min_by_key(|(_, wrong)| *wrong)
                .unwrap();
            assert!(wrong <= 2, "no digit at {place}: {seen:#?}");
            value
        };
        let pattern = "dddd-dd-dd dd:dd:dd.ddd";
        let text: String = pattern
            .chars()
            .enumerate()
            .map(|(place, c)| {
                if c == 'd' {
                    char::from_digit(digit(place) as u32, 10).unwrap()
                } else {
                    c
                }
            })
            .collect();
        Timestamp::parse(&format!("{}Z", text.replace(' ', "T")))
            .unwrap()
            .as_millis()
    };
    output.stdout.chunks_exact(320 * 180).map(read).collect()
}

#[test]
fn each_picture_of_a_burnt_in_clip_says_when_it_was_taken() {
    let roll = Roll::record(
        StreamOptions {
            bitrate_kbps: 2000,
            bframes: 2,
            ..StreamOptions::small()
        },
        2,
    );
    let name = "Front door".to_owned();
    for (offset, length) in [(1_010, 2_000), (6_900, 2_500), (0, 11_000)] {
        let room = tempfile::tempdir().unwrap();
        let window = roll.window(offset, length);
        let part = cut(
            &roll,
            window,
            Anew::Burnt { name: name.clone() },
            Extras { captions: true },
            room.path(),
        );
        let file = write(&part, room.path());
        let expected = roll.inside(window);
        assert_clip(&part, &file, &expected, window);
        let times = times_in_pictures(&file);
        assert_eq!(times.len(), expected.len());
        for (time, shot) in times.iter().zip(&expected) {
            let taken = shot.wall.div_euclid(1_000_000);
            assert!(
                (time - taken).abs() <= 1,
                "frame {} says {time} instead of {taken}",
                shot.counter
            );
        }
    }
}

/// The lines of a clip's text and when each is shown, as ffmpeg reads them: from, until, what it says, in ms.
#[track_caller]
fn captions(file: &Path) -> Vec<(i64, i64, i64)> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:s:0", "-f", "srt", "pipe:1"])
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let ms = |time: &str| {
        let parts: Vec<i64> = time.split([':', ',']).map(|part| part.parse().unwrap()).collect();
        ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000 + parts[3]
    };
    let lines = text.split("\n\n").filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let mut rows = line.lines().skip(1);
            let (from, until) = rows.next().unwrap().split_once(" --> ").unwrap();
            let said = rows
                .next()
                .unwrap()
                .strip_suffix(" UTC")
                .expect("a time")
                .replace(' ', "T");
            let said = Timestamp::parse(&format!("{said}Z")).unwrap().as_millis();
            (ms(from), ms(until), said)
        })
        .collect()
}

#[test]
fn captions_say_the_second_in_which_each_picture_was_taken() {
    let roll = Roll::record(StreamOptions::small().with_gop(GROUP), 2);
    for (offset, length) in [(1_010, 6_300), (3_970, 9_000), (5_000, 300)] {
        let room = tempfile::tempdir().unwrap();
        let window = roll.window(offset, length);
        let extras = Extras { captions: true };
        let part = the_one(plan(roll.footage(), window, ClipMode::Exact, extras).unwrap()).unwrap();
        let file = write(&part, room.path());
        let expected = roll.inside(window);
        assert_clip(&part, &file, &expected, window);
        let lines = captions(&file);
        for shot in &expected {
            let shown = (shot.wall - expected[0].wall) / 1_000_000;
            let line = lines.iter().find(|(from, until, _)| (*from..*until).contains(&shown));
            let (_, _, said) = line.unwrap_or_else(|| panic!("{window}: nothing is said at {shown} ms: {lines:?}"));
            let taken = shot.wall / 1_000_000;
            // To the second, and to the millisecond in which one second becomes the next.
            assert!((-2..1002).contains(&(taken - said)), "{window}: {said} at {taken}");
        }
        assert!(lines.windows(2).all(|pair| pair[1].2 - pair[0].2 == 1000), "{lines:?}");
    }
}

#[test]
fn who_no_longer_wants_it_stops_the_encoder() {
    let roll = Roll::record(StreamOptions::small(), 1);
    let room = tempfile::tempdir().unwrap();
    let spool = room.path().join("spool");
    std::fs::write(&spool, "").unwrap();
    let catalog = Catalog::built_in().unwrap();
    let window = roll.window(0, 7_000);
    let (wanted, tell) = (|| false, |_| ());
    let anew = Anew::Burnt { name: String::new() };
    let retaker = Retaker::new(&catalog, window, anew, &spool, &wanted, &tell).unwrap();
    let error = plan_anew(roll.footage(), window, ClipMode::Exact, Extras::default(), retaker).unwrap_err();
    assert!(matches!(error, camkeep::export::ExportError::Cancelled), "{error}");
}
