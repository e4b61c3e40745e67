//! The live edge: what is in memory of an open segment, beside what its file has.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use camkeep::model::{CameraId, Edge, Edges, News};
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use camkeep::storage::{Movie, TrackTable};

use crate::kit::desk::{Desk, Equipment};
use crate::kit::referee;
use crate::kit::wait::{pause, wait_until};

/// How much later than half a frame a unit may be and still be one that the file has, in ns.
const HALF_A_FRAME: i64 = 20_000_000;

/// A length-prefixed unit with start codes in the place of the lengths.
fn with_start_codes(mut unit: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((length, rest)) = unit.split_at_checked(4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        stream.extend([0, 0, 0, 1]);
        stream.extend(&rest[..length]);
        unit = &rest[length..];
    }
    stream
}

/// The parameter sets in the body of an `avcC`, with start codes.
fn parameter_sets(config: &[u8]) -> Vec<u8> {
    let (mut stream, mut rest) = (Vec::new(), &config[5..]);
    for _ in 0..2 {
        let count = rest[0] & 0x1f;
        rest = &rest[1..];
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            stream.extend([0, 0, 0, 1]);
            stream.extend(&rest[2..2 + length]);
            rest = &rest[2 + length..];
        }
    }
    stream
}

/// The video track of a file, and the time and bytes of each of its samples.
type Written = (TrackTable, Vec<(i64, Vec<u8>)>);

/// A file's pictures: their times from its first, and their bytes with start codes.
fn written(path: &Path) -> Option<Written> {
    let movie = Movie::read(path).ok()?;
    let file = File::open(path).ok()?;
    let video = movie.video?;
    let first = video.pts(video.samples.first()?);
    let units = video.samples.iter().map(|sample| {
        let mut bytes = vec![0; sample.size as usize];
        file.read_exact_at(&mut bytes, sample.offset).unwrap();
        (video.pts(sample) - first, with_start_codes(&bytes))
    });
    let units = units.collect();
    Some((video, units))
}

fn path_of(desk: &mut Desk, edge: &Edge) -> Option<PathBuf> {
    desk.listen();
    let placed = desk.news.iter().find_map(|news| match news {
        News::Opened(segment) if segment.id == edge.segment && !segment.copies.is_empty() => Some(segment.clone()),
        _ => None,
    });
    placed.map(|segment| desk.path(&segment))
}

/// The stamps of an open segment, from its file and from memory, and how many of them only memory had.
fn join(desk: &mut Desk, edge: &Edge, room: &Path) -> Option<(Vec<referee::Stamp>, usize)> {
    let path = path_of(desk, edge)?;
    let (table, mut units) = written(&path)?;
    let mut config = parameter_sets(&table.config);
    let last = units.last()?.0;
    let newer = edge
        .units
        .iter()
        .filter(|unit| unit.pts - edge.first_pts > last + HALF_A_FRAME);
    let newer: Vec<_> = newer
        .map(|unit| (unit.pts - edge.first_pts, with_start_codes(&unit.payload)))
        .collect();
    let only_in_memory = newer.len();
    units.extend(newer);
    config.extend(units.into_iter().flat_map(|(_, bytes)| bytes));
    let joined = room.join("joined.h264");
    std::fs::write(&joined, config).unwrap();
    assert_eq!(referee::decode_errors(&joined), Vec::<String>::new());
    Some((referee::read_stamps(&joined), only_in_memory))
}

fn look_often(gop: Duration, remember: Duration) {
    let camera = FakeCamera::start(StreamOptions::small().with_gop(gop)).unwrap();
    let mut desk = Desk::with(Equipment {
        remember,
        ..Equipment::default()
    });
    let id = desk.record(&camera.url(), 7);
    let recorder = desk.recorder.clone();
    let room = tempfile::tempdir().unwrap();
    let (mut looks, mut most_in_memory, mut segments) = (0, 0, Vec::new());
    wait_until(Duration::from_secs(60), "looks at three segments", || {
        pause(Duration::from_millis(170));
        let sent = camera.sent_frames();
        let edge = recorder.edge(&id)?;
        assert!(edge.units[0].keyframe);
        let (stamps, only_in_memory) = join(&mut desk, &edge, room.path())?;
        let wrong = referee::missing_or_doubled(&stamps);
        assert!(wrong.is_nothing(), "{wrong:?}");
        // Also what is newest is there: 200 ms wait for packets, and the machine is busy.
        let newest = sent.last()?.counter;
        let last = stamps.last()?.counter;
        assert!(last + 25 > newest, "frame {last} is the last, {newest} was sent");
        // The times are those of the segment's row: here, when the frames were taken.
        let newest = edge.units.last()?;
        let off = edge.start.offset(newest.pts - edge.first_pts).as_nanos() - stamps.last()?.time_ns;
        assert!(off.abs() <= 50_000_000, "{off} ns off");
        if segments.last() != Some(&edge.segment) {
            segments.push(edge.segment);
        }
        looks += 1;
        most_in_memory = most_in_memory.max(only_in_memory);
        (segments.len() >= 3).then_some(())
    });
    assert!(looks >= 10, "{looks}");
    let gop_frames = usize::try_from(gop.as_millis() / 40).unwrap();
    // A group of pictures is in memory until it is over; a look takes a moment, and may miss the end of each.
    assert!(
        most_in_memory + 5 + gop_frames / 4 >= gop_frames,
        "{most_in_memory} frames were only in memory"
    );
    desk.stop();
    assert_eq!(recorder.edge(&id), None, "nothing grows any more");
    assert_eq!(recorder.edge(&CameraId::parse("other").unwrap()), None);
}

#[test]
fn an_open_segment_is_whole_when_file_and_memory_are_joined() {
    look_often(Duration::from_secs(1), Duration::from_secs(15));
}

#[test]
fn an_open_segment_is_whole_also_when_less_is_remembered_than_a_group_of_pictures() {
    look_often(Duration::from_secs(3), Duration::from_millis(100));
}
