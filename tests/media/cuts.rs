//! Clips against the frames they were cut from: stamped cameras are recorded once and cut many times, and what a decoder
//! shows of each clip has to be the frames that were taken within its window, to the frame.

use std::path::{Path, PathBuf};
use std::time::Duration;

use camkeep::export::{ExportError, Extras, Footage, Part, plan, second_opinion, the_one};
use camkeep::model::{ClipMode, Edges, Segment, Span, Timestamp};
use camkeep::pipeline::demo::{CameraOptions, FakeCamera, StreamOptions, VideoCodec};
use camkeep::pipeline::{Catalog, Progress, export};
use camkeep::storage::measure;

use crate::kit::desk::Desk;
use crate::kit::referee::{self, Stamp};
use crate::kit::wait::{pause, wait_until};

pub(crate) mod browser;
mod retake;
mod sound;

/// Groups of pictures as long as many cameras make them.
const GROUP: Duration = Duration::from_secs(4);
/// One frame of 25 a second.
const FRAME: f64 = 0.04;

/// A frame as it was recorded: which it is, and when it was taken by the clock of its segment, in ns.
#[derive(Debug, Clone, Copy)]
struct Shot {
    counter: u32,
    wall: i64,
}

/// Recorded footage, and what a decoder sees in its files.
struct Roll {
    desk: Desk,
    segments: Vec<Segment>,
    shots: Vec<Shot>,
}

impl Roll {
    fn of(mut desk: Desk) -> Self {
        desk.stop();
        let segments = desk.closed();
        let mut shots = Vec::new();
        for segment in &segments {
            let stamps = referee::read_stamps(&desk.path(segment));
            assert_eq!(stamps.len() as u64, segment.frames);
            shots.extend(shots_of(segment.span.start, &stamps));
        }
        Self { desk, segments, shots }
    }

    /// Records a camera until so many segments of eight seconds are closed.
    fn record(options: impl Into<CameraOptions>, segments: usize) -> Self {
        let camera = FakeCamera::start(options).unwrap();
        let mut desk = Desk::new();
        desk.record(&camera.url(), 8);
        desk.wait_for_closed(segments, 30 + 12 * segments as u64);
        Self::of(desk)
    }

    fn start(&self) -> Timestamp {
        self.segments[0].span.start
    }

    fn footage(&self) -> Vec<Footage> {
        let read = |segment: &Segment| {
            let (footage, trouble) = Footage::read(segment.clone(), self.desk.path(segment), None);
            assert!(trouble.is_none(), "{trouble:?}");
            footage
        };
        self.segments.iter().map(read).collect()
    }

    /// A window that many ms after the first frame, and so many ms long. It never ends or begins within a microsecond of a
    /// frame, where two readers of the same file may differ.
    fn window(&self, offset: i64, length: i64) -> Span {
        let clear = |mut at: Timestamp| {
            while self.shots.iter().any(|shot| (shot.wall - at.as_nanos()).abs() < 1000) {
                at = at.offset(3_000_000);
            }
            at
        };
        let from = self.start().offset(offset * 1_000_000);
        Span::new(clear(from), clear(from.offset(length * 1_000_000)))
    }

    fn inside(&self, window: Span) -> Vec<Shot> {
        let is_inside = |shot: &&Shot| window.contains(Timestamp::from_nanos(shot.wall));
        self.shots.iter().filter(is_inside).copied().collect()
    }

    /// Cuts a window and has the clip judged.
    #[track_caller]
    fn judge(&self, window: Span) -> Part {
        let room = tempfile::tempdir().unwrap();
        let part = the_one(plan(self.footage(), window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
        let file = write(&part, room.path());
        assert_clip(&part, &file, &self.inside(window), window);
        part
    }
}

/// When each decoded frame of a file was taken, by the clock of its segment.
fn shots_of(start: Timestamp, stamps: &[Stamp]) -> Vec<Shot> {
    let first = stamps[0].pts;
    let shot = |stamp: &Stamp| Shot {
        counter: stamp.counter,
        wall: start.offset(((stamp.pts - first) * 1e9).round() as i64).as_nanos(),
    };
    stamps.iter().map(shot).collect()
}

/// Writes a clip as the daemon does.
#[track_caller]
fn write(part: &Part, room: &Path) -> PathBuf {
    let file = room.join("clip.mp4");
    let catalog = Catalog::built_in().unwrap();
    let reader = part.reel.reader(0..part.reel.size_bytes());
    let written = export(&catalog, reader, &file, &Progress::default(), Duration::from_secs(20)).unwrap();
    let measured = measure(&file).unwrap();
    assert_eq!(
        (written.size_bytes, written.sha256),
        (measured.size_bytes, measured.sha256)
    );
    assert_eq!(written.size_bytes, part.reel.size_bytes());
    file
}

/// What a decoder shows of a clip is exactly these frames, each as long after the first as it was taken, but for holes.
#[track_caller]
fn assert_clip(part: &Part, file: &Path, expected: &[Shot], window: Span) {
    assert_eq!(referee::decode_errors(file), Vec::<String>::new(), "{window}");
    let stamps = referee::read_stamps(file);
    let counters = |stamps: &[Stamp]| stamps.iter().map(|stamp| stamp.counter).collect::<Vec<_>>();
    let wanted: Vec<u32> = expected.iter().map(|shot| shot.counter).collect();
    assert_eq!(counters(&stamps), wanted, "{window}");
    assert_eq!(part.frames, wanted.len() as u64);
    for (stamp, shot) in stamps.iter().zip(expected) {
        let off = (stamp.time_ns - shot.wall) / 1_000_000;
        assert!(off.abs() <= 50, "frame {} is dated {off} ms off", stamp.counter);
    }
    // The first is shown at once, and the others as far behind as they were taken; what lacked is closed up.
    assert!(stamps[0].pts.abs() < 0.001, "{window}: begins at {}", stamps[0].pts);
    for (stamps, shots) in stamps.windows(2).zip(expected.windows(2)) {
        let (shown, taken) = (
            stamps[1].pts - stamps[0].pts,
            (shots[1].wall - shots[0].wall) as f64 / 1e9,
        );
        let is_closed_up = taken > 1.0 && shown < 0.1;
        assert!(
            is_closed_up || (shown - taken).abs() < 0.001,
            "{window}: {shown} instead of {taken}"
        );
    }
    // Nothing past the end, and the clip holds what it says.
    let covered = part.covered.as_secs_f64();
    let decoded = stamps[stamps.len() - 1].pts;
    assert!(
        decoded < covered && covered <= decoded + 2.0 * FRAME,
        "{window}: {covered} s, last at {decoded}"
    );
    let probe = referee::probe(file);
    assert!(
        (probe.seconds - covered).abs() < 0.002,
        "{window}: {} instead of {covered}",
        probe.seconds
    );
    assert!(covered <= window.seconds() + 0.000_02, "{window}: {covered} s");
    assert!(part.shown.start >= window.start && part.shown.end <= window.end);
    assert_eq!(second_opinion(part, file), None, "{window}");
}

/// The boundary table: where windows begin, in ms after the first frame, and how long they are.
fn table(offsets: &[i64], lengths: &[i64]) -> Vec<(i64, i64)> {
    let rows = offsets
        .iter()
        .flat_map(|offset| lengths.iter().map(move |length| (*offset, *length)));
    rows.collect()
}

#[test]
fn every_row_of_the_boundary_table_is_exact_to_the_frame() {
    let camera = FakeCamera::start(StreamOptions::small().with_gop(GROUP)).unwrap();
    let mut desk = Desk::new();
    desk.record(&camera.url(), 8);
    let before = desk.wait_for_closed(4, 60);
    // The camera is gone for a while, and comes back with another run.
    camera.refuse(true).unwrap();
    camera.drop_clients().unwrap();
    desk.wait_for(10, "the run is over", |news| {
        news.iter()
            .any(|news| matches!(news, camkeep::model::News::Lost { .. }))
    });
    pause(Duration::from_secs(2));
    camera.refuse(false).unwrap();
    desk.wait_for(60, "the camera is recorded again", |news| {
        let closed = news.iter().filter_map(|news| match news {
            camkeep::model::News::Closed(segment) => Some(segment.run),
            _ => None,
        });
        closed.filter(|run| *run != before[0].run).count() >= 1
    });
    let roll = Roll::of(desk);

    for (offset, length) in table(
        &[0, 20, 730, 3_960, 4_000, 5_100, 8_200],
        &[300, 500, 1_000, 2_000, 5_000, 10_000, 20_000],
    ) {
        let part = roll.judge(roll.window(offset, length));
        assert_eq!(part.holes, [], "{offset} ms + {length} ms");
    }

    let seams: Vec<_> = roll
        .segments
        .windows(2)
        .filter(|pair| pair[0].run != pair[1].run)
        .collect();
    let [seam] = seams[..] else {
        panic!("one gap, not {}", seams.len())
    };
    let (lost, found) = (seam[0].span.end, seam[1].span.start);
    assert!(found.since(lost) > Duration::from_secs(1));
    let ms = |from: Timestamp| (from.nanos_since(roll.start())) / 1_000_000;
    // A gap before the window begins, inside it, behind it; and before all footage and behind all.
    let hole = Span::new(lost, found);
    let last = roll.segments.last().unwrap().span.end;
    for (from, to, holes) in [
        (ms(found) - 700, ms(found) + 3_000, vec![]),
        (ms(lost) - 2_500, ms(found) + 2_500, vec![hole]),
        (ms(lost) - 5_300, ms(found) + 300, vec![hole]),
        (ms(lost) - 3_000, ms(lost) + 700, vec![]),
    ] {
        let part = roll.judge(roll.window(from, to - from));
        assert_eq!(part.holes, holes, "{from} to {to}");
    }
    let window = Span::new(found.offset(-1_500_000_000), found.offset(2_000_000_000));
    assert_eq!(roll.judge(window).holes, [Span::new(window.start, found)]);
    let window = Span::new(roll.start().offset(-5_000_000_000), roll.start().offset(2_001_000_000));
    assert_eq!(roll.judge(window).holes, [Span::new(window.start, roll.start())]);
    let window = Span::new(last.offset(-2_001_000_000), last.offset(4_000_000_000));
    assert_eq!(roll.judge(window).holes, [Span::new(last, window.end)]);
    // Nothing at all is no clip.
    let nothing = Span::new(lost.offset(100_000_000), found.offset(-100_000_000));
    let made = plan(roll.footage(), nothing, ClipMode::Exact, Extras::default());
    assert!(matches!(made, Err(ExportError::NothingThere)));

    // A window of two seconds in which no keyframe lies gives two seconds of pictures.
    let part = roll.judge(roll.window(1_000, 2_000));
    assert!((49..=51).contains(&part.frames) && part.lead_in >= 24, "{part:?}");
    assert!((part.covered.as_secs_f64() - 2.0).abs() <= FRAME, "{:?}", part.covered);
    // By keyframe it begins early, and says so.
    let window = roll.window(1_000, 2_000);
    let parts = plan(roll.footage(), window, ClipMode::Keyframe, Extras::default()).unwrap();
    let part = the_one(parts).unwrap();
    let room = tempfile::tempdir().unwrap();
    let stamps = referee::read_stamps(&write(&part, room.path()));
    assert_eq!((part.shown.start, part.lead_in), (roll.start(), 0));
    assert_eq!(stamps[0].counter, roll.shots[0].counter);
    assert_eq!(stamps.len() as u64, part.frames);
    a_window_without_a_file(&roll);
}

/// A file that is gone or was cut is a hole in the clip, and not an error.
#[track_caller]
fn a_window_without_a_file(roll: &Roll) {
    let window = roll.window(2_000, 25_000);
    let lost = &roll.segments[1];
    let mut footage = roll.footage();
    let (gone, trouble) = Footage::read(lost.clone(), roll.desk.room.path().join("gone.mp4"), None);
    assert!(matches!(trouble, Some(ExportError::Unreadable { segment, .. }) if segment == lost.id));
    footage[1] = gone;
    let room = tempfile::tempdir().unwrap();
    let part = the_one(plan(footage.clone(), window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
    let kept = |shot: &&Shot| !lost.span.contains(Timestamp::from_nanos(shot.wall));
    let expected: Vec<Shot> = roll.inside(window).iter().filter(kept).copied().collect();
    assert_clip(&part, &write(&part, room.path()), &expected, window);
    assert_eq!(part.holes, [lost.span]);

    // Of a file that lost its end, the clip shows what can still be found.
    let bytes = std::fs::read(roll.desk.path(lost)).unwrap();
    let cut = room.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let (torn, trouble) = Footage::read(lost.clone(), cut, None);
    assert!(matches!(trouble, Some(ExportError::Unreadable { segment, .. }) if segment == lost.id));
    footage[1] = torn;
    let part = the_one(plan(footage, window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
    let [hole] = part.holes[..] else {
        panic!("{:?}", part.holes)
    };
    assert!(hole.start >= lost.span.start && hole.end == lost.span.end, "{hole}");
    // Where the last frame that was found ends is as long after it as frames lie apart, more or less.
    let kept = |shot: &&Shot| !hole.contains(Timestamp::from_nanos(shot.wall + 20_000_000));
    let expected: Vec<Shot> = roll.inside(window).iter().filter(kept).copied().collect();
    assert_clip(&part, &write(&part, room.path()), &expected, window);
}

#[test]
fn windows_of_h265_are_exact_to_the_frame() {
    let options = StreamOptions {
        codec: VideoCodec::H265,
        ..StreamOptions::small().with_gop(GROUP)
    };
    let roll = Roll::record(options, 2);
    for (offset, length) in table(&[0, 1_900, 6_300], &[300, 2_000, 6_000]) {
        assert_eq!(roll.judge(roll.window(offset, length)).holes, []);
    }
}

#[test]
fn windows_of_pictures_that_come_in_another_order_are_exact_to_the_frame() {
    let options = StreamOptions {
        bframes: 2,
        ..StreamOptions::small().with_gop(GROUP)
    };
    let roll = Roll::record(options, 2);
    for (offset, length) in table(&[0, 1_900, 1_940, 1_980, 6_300], &[300, 340, 380, 2_000, 6_000]) {
        assert_eq!(roll.judge(roll.window(offset, length)).holes, []);
    }
}

#[test]
fn a_clip_reaches_into_the_open_segment_up_to_a_second_ago() {
    let camera = FakeCamera::start(StreamOptions::small().with_gop(GROUP)).unwrap();
    let mut desk = Desk::new();
    let id = desk.record(&camera.url(), 60);
    let recorder = desk.recorder.clone();
    let room = tempfile::tempdir().unwrap();
    let edge = wait_until(Duration::from_secs(40), "an edge that is eleven seconds long", || {
        let edge = recorder.edge(&id)?;
        let newest = edge.units.last()?;
        (newest.pts - edge.first_pts > 11_000_000_000).then_some(edge)
    });
    let sent = camera.sent_frames();
    desk.listen();
    let open = desk.news.iter().rev().find_map(|news| match news {
        camkeep::model::News::Opened(segment) if segment.id == edge.segment && !segment.copies.is_empty() => {
            Some(segment.clone())
        }
        _ => None,
    });
    let mut open = open.expect("the segment has a file");
    let path = desk.path(&open);
    let start = edge.start;
    let (footage, trouble) = Footage::read(open.clone(), path.clone(), Some(edge));
    assert!(trouble.is_none(), "{trouble:?}");
    let written = footage.movie.frames();
    // Up to a second before the newest frame that the camera has sent.
    let newest = Timestamp::from_nanos(sent.last().unwrap().time_us as i64 * 1000);
    let window = Span::new(start.offset(2_310_000_000), newest.offset(-1_000_000_000));
    let part = the_one(plan([footage.clone()], window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
    let file = write(&part, room.path());
    let early = referee::read_stamps(&file);
    assert!(
        written < early.last().unwrap().counter as u64,
        "memory had something that the file had not"
    );
    assert_eq!(part.holes, []);

    desk.stop();
    let closed = desk.closed();
    let closed = closed.iter().find(|segment| segment.id == open.id).unwrap();
    let shots = shots_of(closed.span.start, &referee::read_stamps(&desk.path(closed)));
    let inside = |shot: &&Shot| window.contains(Timestamp::from_nanos(shot.wall));
    let expected: Vec<Shot> = shots.iter().filter(inside).copied().collect();
    assert_clip(&part, &file, &expected, window);
    // What was planned while the file was open is read after it was closed: its bytes did not move.
    let again = write(&part, room.path());
    assert_eq!(referee::read_stamps(&again), early);
    // And the closed file gives the same clip to the frame.
    open.span = closed.span;
    let (footage, trouble) = Footage::read(closed.clone(), path, None);
    assert!(trouble.is_none(), "{trouble:?}");
    let later = the_one(plan([footage], window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
    assert_clip(&later, &write(&later, room.path()), &expected, window);
    assert_eq!((later.frames, later.lead_in), (part.frames, part.lead_in));
}

#[test]
fn pictures_that_change_their_size_begin_another_file() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::new();
    desk.record(&camera.url(), 4);
    desk.wait_for_closed(1, 20);
    camera.change_resolution(640, 360).unwrap();
    desk.wait_for_closed(4, 30);
    let roll = Roll::of(desk);
    let window = roll.window(500, 9_000);
    let parts = plan(roll.footage(), window, ClipMode::Exact, Extras::default()).unwrap();
    assert_eq!(
        parts.iter().map(|part| part.format.width).collect::<Vec<_>>(),
        [320, 640]
    );
    let room = tempfile::tempdir().unwrap();
    let inside = roll.inside(window);
    let mut seen = 0;
    for part in &parts {
        let part_of = Span::new(part.shown.start, part.shown.end);
        let expected = &inside[seen..seen + part.frames as usize];
        assert_clip(part, &write(part, room.path()), expected, part_of);
        seen += expected.len();
    }
    assert_eq!(seen, inside.len());
    let at = parts[1].shown.start;
    assert!(matches!(the_one(parts), Err(ExportError::Mixed { at: told }) if told == at));
}
