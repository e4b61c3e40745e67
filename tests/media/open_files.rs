//! What others see of a file while it is written: a player, or somebody who copies it, may look at any moment.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use camkeep::model::News;
use camkeep::pipeline::demo::{AudioCodec, FakeCamera, StreamOptions};

use crate::cuts::browser;
use crate::kit::desk::Desk;
use crate::kit::referee;
use crate::kit::wait::pause;

/// A box of an MP4 file: its kind, and what is in it.
type Boxed<'a> = ([u8; 4], &'a [u8]);

/// The boxes that are whole.
fn boxes(mut bytes: &[u8]) -> Vec<Boxed<'_>> {
    let mut found = Vec::new();
    while let Some((head, _)) = bytes.split_at_checked(8) {
        let length = match u32::from_be_bytes(head[..4].try_into().unwrap()) {
            1 => bytes
                .get(8..16)
                .map(|long| (16, u64::from_be_bytes(long.try_into().unwrap()) as usize)),
            short => Some((8, short as usize)),
        };
        let Some(content) = length.and_then(|(from, length)| bytes.get(from..length)) else {
            break;
        };
        found.push((head[4..].try_into().unwrap(), content));
        bytes = &bytes[length.unwrap().1..];
    }
    found
}

/// What is in the boxes of this kind that are found along a path of others.
fn find<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Vec<&'a [u8]> {
    let Some((kind, rest)) = path.split_first() else {
        return vec![bytes];
    };
    let inside = boxes(bytes).into_iter().filter(|(name, _)| name == *kind);
    inside.flat_map(|(_, content)| find(content, rest)).collect()
}

/// How many samples a file says that it has.
fn declared(file: &[u8]) -> usize {
    let number = |content: &[u8], at: usize| u32::from_be_bytes(content[at..at + 4].try_into().unwrap()) as usize;
    let first = find(file, &[b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz"]);
    let others = find(file, &[b"moof", b"traf", b"trun"]);
    let first: usize = first.into_iter().map(|content| number(content, 8)).sum();
    first + others.into_iter().map(|content| number(content, 4)).sum::<usize>()
}

/// A sample as ffprobe reads it.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    at: f64,
    size: u64,
    is_key: bool,
}

/// The samples of each track, pictures first, or what ffprobe complains about.
fn samples(file: &Path) -> Result<[Vec<Sample>; 2], String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0"])
        .args(["-show_entries", "packet=codec_type,pts_time,size,flags"])
        .arg(file)
        .output()
        .unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !complaints.is_empty() {
        return Err(complaints.into_owned());
    }
    let mut tracks = [Vec::new(), Vec::new()];
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.split(',');
        let track = &mut tracks[usize::from(words.next() == Some("audio"))];
        let mut next = || words.next().ok_or_else(|| line.to_owned());
        let at = next()?.parse().map_err(|_| line.to_owned())?;
        let size = next()?.parse().map_err(|_| line.to_owned())?;
        let is_key = next()?.starts_with('K');
        track.push(Sample { at, size, is_key });
    }
    Ok(tracks)
}

/// The file that is written at present.
fn open_file(desk: &mut Desk) -> Option<PathBuf> {
    desk.listen();
    let opened = desk.news.iter().rev().find_map(|news| match news {
        News::Opened(segment) if !segment.copies.is_empty() => Some(segment.clone()),
        _ => None,
    });
    opened.map(|segment| desk.path(&segment))
}

/// Looks at the first file of a camera until it is closed, at moments that are drawn, and holds each look against the file as it is
/// in the end: what was there is there, as it was. Gives the last look.
fn look_at_every_moment(audio: AudioCodec, seed: u64) -> Vec<u8> {
    let mut luck = fastrand::Rng::with_seed(seed);
    let fps = luck.choice([8, 15, 25, 30]).unwrap();
    let options = StreamOptions {
        audio,
        fps,
        gop_frames: luck.u32(1..3 * fps),
        ..StreamOptions::small()
    };
    let what = format!("seed {seed}, {options:?}");
    let camera = FakeCamera::start(options).unwrap();
    let mut desk = Desk::new();
    desk.record_with(&camera.url(), 7, |camera| camera.record_audio = true);
    let (mut first, mut looks): (Option<PathBuf>, Vec<Vec<u8>>) = (None, Vec::new());
    while desk.count(|news| matches!(news, News::Closed(_))) == 0 {
        pause(Duration::from_millis(luck.u64(200..1000)));
        let Some(open) = open_file(&mut desk) else { continue };
        let open = first.get_or_insert(open);
        let bytes = std::fs::read(&open).unwrap();
        // Before its first fragment is whole a file has nothing to show, and once it is closed it is no look any more.
        let is_open = find(&bytes, &[b"moov"]).len() == 1 && !boxes(&bytes).iter().any(|(name, _)| name == b"uuid");
        let is_finished = boxes(&bytes).iter().any(|(name, _)| name == b"hoov");
        if is_open && !is_finished {
            looks.push(bytes);
        }
    }
    desk.stop();
    let room = tempfile::tempdir().unwrap();
    let copy = room.path().join("look.mp4");
    let closed = desk.closed()[0].clone();
    assert!(looks.len() > 2, "{what}: {} looks", looks.len());
    let whole = samples(&desk.path(&closed)).unwrap();
    assert!(whole.iter().all(|track| track.len() > 40), "{what}: {whole:?}");
    for (number, look) in looks.iter().enumerate() {
        let what = format!("{what}: look {number}");
        std::fs::write(&copy, look).unwrap();
        let seen = samples(&copy).unwrap_or_else(|said| panic!("{what}: {said}"));
        assert_eq!(seen[0].len() + seen[1].len(), declared(look), "{what}");
        for (seen, whole) in seen.iter().zip(&whole) {
            assert!(seen.len() <= whole.len(), "{what}");
            let wrong = seen.iter().zip(whole).find(|(seen, whole)| {
                (seen.at - whole.at).abs() > 0.0015 || (seen.size, seen.is_key) != (whole.size, whole.is_key)
            });
            assert_eq!(wrong, None, "{what}, and what it is in the end");
        }
    }
    let last = looks.pop().unwrap();
    std::fs::write(&copy, &last).unwrap();
    assert_eq!(referee::decode_errors(&copy), Vec::<String>::new(), "{what}");
    let shown = referee::read_stamps(&copy);
    let wrong = referee::missing_or_doubled(&shown);
    // Pictures that are shown before the last one may come after it.
    let until = shown.last().unwrap().counter;
    let is_whole =
        wrong.doubled.is_empty() && wrong.out_of_order.is_empty() && wrong.missing.iter().all(|it| *it >= until);
    assert!(is_whole, "{what}: {wrong:?}");
    assert!(
        shown.len() as f64 > 0.5 * closed.frames as f64,
        "{what}: {} pictures",
        shown.len()
    );
    last
}

#[test]
fn an_open_file_with_sound_is_readable_at_every_moment() {
    let seeds: Vec<u64> = std::iter::repeat_with(|| fastrand::u64(..)).take(3).collect();
    let kinds = [AudioCodec::Aac, AudioCodec::Pcmu, AudioCodec::Opus];
    let looks: Vec<_> = std::thread::scope(|scope| {
        let looking: Vec<_> = seeds
            .into_iter()
            .zip(kinds)
            .map(|(seed, kind)| scope.spawn(move || look_at_every_moment(kind, seed)))
            .collect();
        looking.into_iter().map(|look| look.join().unwrap()).collect()
    });
    let room = tempfile::tempdir().unwrap();
    let copy = room.path().join("look.mp4");
    let look = looks.into_iter().next().unwrap();
    std::fs::write(&copy, &look).unwrap();
    let last = referee::read_stamps(&copy).last().unwrap().counter;
    assert_eq!(browser::last_shown(look), Some(last), "Chromium plays to the end");
}
