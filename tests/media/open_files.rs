//! What others see of a file while it is written: a player, or somebody who copies it, may look at any moment.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use camkeep::model::News;
use camkeep::pipeline::demo::{AudioCodec, FakeCamera, StreamOptions};
use camkeep::storage::{FileShape, Movie};

use crate::cuts::browser;
use crate::daemon_site::{SOON, Site};
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

/// Fetches a path over a connection of its own and waits between the first bytes and the rest; the body, once it is 200.
fn fetch_slowly(address: &str, path: &str, wait: Duration) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    pause(wait);
    let mut bytes = first.to_vec();
    stream.read_to_end(&mut bytes).unwrap();
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = bytes.split_off(head + 4);
    if !text.starts_with("http/1.1 200") {
        assert!(
            text.starts_with("http/1.1 503"),
            "{text}\n{}",
            String::from_utf8_lossy(&body)
        );
        return None;
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    assert_eq!(length.parse(), Ok(body.len()), "the whole body");
    Some(body)
}

#[test]
fn a_file_that_is_fetched_while_it_is_closed_has_its_index_and_every_frame_that_it_tells_of() {
    let camera = FakeCamera::start(StreamOptions {
        audio: AudioCodec::Aac,
        ..StreamOptions::small()
    })
    .unwrap();
    let site = Site::start();
    let settings = serde_json::json!({
        "id": "door", "name": "Door", "main_stream_url": camera.url(), "segment_seconds": 2, "record_audio": true
    });
    site.daemon().post("/api/v1/cameras", &settings).ok();
    site.wait_recording("door");
    let (address, over) = (site.daemon().address().to_owned(), AtomicBool::new(false));
    let fetch = |wait: Duration| {
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let rows = site.daemon().get("/api/v1/cameras/door/segments?limit=2").ok();
            for row in rows.as_array().unwrap() {
                let url = row["url"].as_str().unwrap_or_else(|| panic!("no url: {row}"));
                let file = url
                    .starts_with("/media/")
                    .then(|| fetch_slowly(&address, url, wait))
                    .flatten();
                bodies.extend(file.filter(|file| bodies.last() != Some(file)));
            }
        }
        bodies
    };
    let waits = [0, 30, 700].map(Duration::from_millis);
    let bodies: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let fetchers = waits.map(|wait| scope.spawn(move || fetch(wait)));
        site.wait_closed("door", 5, SOON + Duration::from_secs(20));
        over.store(true, Ordering::Relaxed);
        fetchers
            .into_iter()
            .flat_map(|fetcher| fetcher.join().unwrap())
            .collect()
    });
    let room = tempfile::tempdir().unwrap();
    let copy = room.path().join("body.mp4");
    let (mut plain, mut growing) = (0, 0);
    for (number, body) in bodies.iter().enumerate() {
        std::fs::write(&copy, body).unwrap();
        let movie = Movie::read(&copy).unwrap();
        let shape = (&movie.shape, movie.cut, find(body, &[b"moov"]).len());
        match shape {
            (FileShape::Plain, false, 1) => plain += 1,
            (FileShape::Fragmented, false, 1) => growing += 1,
            _ => panic!("body {number} of {} bytes: {shape:?}", body.len()),
        }
        let audio = movie.audio.as_ref().map_or(0, |track| track.samples.len());
        assert_eq!(movie.frames() as usize + audio, declared(body), "body {number}");
        // A player is asked about some of them, because that takes a while.
        if number % 25 == 0 {
            let seen = samples(&copy).unwrap_or_else(|said| panic!("body {number}: {said}"));
            assert_eq!(seen[0].len() + seen[1].len(), declared(body), "body {number}");
        }
    }
    assert!(plain > 3 && growing > 50, "{plain} {growing}");
}
