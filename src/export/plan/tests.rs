#![allow(clippy::unwrap_used)]
use std::io::Read;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::live::{awaited, is_joined};
use super::*;
use crate::model::{
    CameraId, ClockSource, Codec, Container, Edge, GapCause, Hole, Origin, RunId, Segment, SegmentState, Track,
    TrackCaps, Unit,
};
use crate::storage::{FileShape, Movie, Sample, TrackCoding, TrackTable, picture_entry};

const MS: i64 = 1_000_000;
/// One frame of 25 a second, in ms and in ticks of a file.
const FRAME: i64 = 40;
const TICKS: i64 = 100;

/// A frame of a made-up file: when it is shown, in frames from the file's first, and whether decoding can start there.
#[derive(Debug, Clone, Copy)]
struct Made {
    shown: i64,
    keyframe: bool,
}

/// Groups of pictures in order of decoding. With B-frames each third picture comes before the two that are shown before it.
fn group(frames: i64, bframes: bool, from: i64) -> Vec<Made> {
    let mut made = vec![Made {
        shown: from,
        keyframe: true,
    }];
    let mut next = 1;
    while next < frames {
        let order: &[i64] = if bframes && next + 2 < frames { &[2, 0, 1] } else { &[0] };
        made.extend(order.iter().map(|later| Made {
            shown: from + next + later,
            keyframe: false,
        }));
        next += order.len() as i64;
    }
    made
}

fn look(config: u8) -> (TrackCoding, Bytes, Bytes) {
    let config = vec![1, 66, 0, config];
    let entry = picture_entry(Codec::H264, false, &config, 320, 180);
    let coding = TrackCoding::Video {
        codec: Codec::H264,
        entry: *b"avc1",
        width: 320,
        height: 180,
    };
    (coding, config.into(), entry)
}

/// A file on a real disk whose frames say which they are: eight bytes of the moment they were taken, and some more.
struct Shelf {
    directory: tempfile::TempDir,
    count: u32,
}

impl Shelf {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            count: 0,
        }
    }

    fn footage(&mut self, run: u32, sequence: u32, start: i64, frames: &[Made], config: u8) -> Footage {
        self.count += 1;
        let path = self.directory.path().join(self.count.to_string());
        let mut bytes = vec![0; 48];
        let mut samples = Vec::new();
        let ahead = frames
            .iter()
            .enumerate()
            .map(|(n, made)| n as i64 - made.shown)
            .max()
            .unwrap();
        for (number, made) in frames.iter().enumerate() {
            let taken = Timestamp::from_millis(start + made.shown * FRAME);
            let payload = [&taken.as_nanos().to_be_bytes()[..], &vec![7; number % 5]].concat();
            let dts = (number as i64 - ahead) * TICKS;
            samples.push(Sample {
                offset: bytes.len() as u64,
                size: payload.len() as u32,
                dts: dts + ahead * TICKS,
                shown_after: made.shown * TICKS - dts,
                duration: TICKS as u32,
                keyframe: made.keyframe,
            });
            bytes.extend(payload);
            if number % 12 == 11 {
                bytes.extend([0; 30]);
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let (coding, config, entry) = look(config);
        let last = frames.iter().map(|made| made.shown).max().unwrap();
        let movie = Movie {
            shape: FileShape::Plain,
            video: Some(TrackTable {
                id: 1,
                coding,
                config,
                entry,
                timescale: 2500,
                shift: -ahead * TICKS * 400_000,
                samples,
            }),
            audio: None,
            size_bytes: bytes.len() as u64,
            cut: false,
        };
        let end = start + (last + 1) * FRAME;
        Footage {
            segment: segment(run, sequence, start, end, frames.len() as u64),
            path: path.into(),
            movie,
            edge: None,
            begins_again: false,
        }
    }
}

fn segment(run: u32, sequence: u32, start: i64, end: i64, frames: u64) -> Segment {
    Segment {
        id: SegmentId(Uuid::from_u64_pair(u64::from(run), u64::from(sequence))),
        camera: CameraId::parse("front-door").unwrap(),
        run: RunId(run),
        sequence,
        span: Span::new(Timestamp::from_millis(start), Timestamp::from_millis(end)),
        holes: Vec::new(),
        format: VideoFormat {
            codec: Codec::H264,
            width: 320,
            height: 180,
            fps: None,
        },
        has_audio: false,
        container: Container::Mp4,
        state: SegmentState::Closed,
        origin: Origin::Live,
        clock: ClockSource::Arrival,
        camera_clock: None,
        lost_packets: 0,
        frames,
        created_at: Timestamp::EPOCH,
        copies: vec![],
    }
}

fn span(from: i64, to: i64) -> Span {
    Span::new(Timestamp::from_millis(from), Timestamp::from_millis(to))
}

/// What a player makes of a reel: each frame that is shown, by when it says it was taken and when it is shown, in ns.
fn play(reel: &Reel) -> Vec<(i64, i64)> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clip.mp4");
    let mut bytes = Vec::new();
    reel.reader(0..reel.size_bytes()).read_to_end(&mut bytes).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let movie = Movie::read(&path).unwrap();
    assert!(movie.is_whole(), "{:?}", movie.shape);
    let table = movie.video.unwrap();
    let length = edited(&bytes);
    let mut shown = Vec::new();
    for sample in &table.samples {
        let at = sample.offset as usize;
        let taken = i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let pts = table.pts(sample);
        if pts >= 0 && pts < length {
            shown.push((taken, pts));
        }
    }
    shown.sort_by_key(|(_, pts)| *pts);
    shown
}

/// How long the only edit of a film lasts, in ns.
fn edited(bytes: &[u8]) -> i64 {
    let at = bytes.windows(4).position(|four| four == b"elst").unwrap();
    let ticks = u32::from_be_bytes(bytes[at + 12..at + 16].try_into().unwrap());
    i64::from(ticks) * 1_000_000_000 / 90_000
}

fn exact(footage: Vec<Footage>, window: Span) -> Result<Vec<Part>, ExportError> {
    plan(footage, window, ClipMode::Exact, Extras::default())
}

#[test]
fn a_clip_begins_and_ends_with_the_frames_that_were_asked_for() {
    let mut shelf = Shelf::new();
    let frames = group(100, false, 0);
    let footage = vec![
        shelf.footage(1, 0, 10_000, &frames, 1),
        shelf.footage(1, 1, 14_000, &frames, 1),
    ];
    for (from, to, first, last) in [
        (11_001, 13_001, 11_040, 13_000),
        (11_040, 13_000, 11_040, 12_960),
        (13_990, 14_010, 14_000, 14_000),
        (13_000, 15_000, 13_000, 14_960),
    ] {
        let part = the_one(exact(footage.clone(), span(from, to)).unwrap()).unwrap();
        let shown = play(&part.reel);
        assert_eq!(shown.first().unwrap(), &(first * MS, 0), "{from} to {to}");
        assert_eq!(shown.last().unwrap().0, last * MS, "{from} to {to}");
        assert_eq!(shown.len() as u64, part.frames);
        assert!(shown.iter().all(|(taken, pts)| taken - first * MS == *pts), "{shown:?}");
        assert_eq!(part.shown, span(first, to.min(last + FRAME)));
        assert_eq!(part.covered, part.shown.duration());
        assert_eq!(part.holes, []);
    }
}

#[test]
fn nothing_shown_is_no_clip() {
    let mut shelf = Shelf::new();
    let footage = vec![shelf.footage(1, 0, 10_000, &group(100, false, 0), 1)];
    for window in [span(0, 9_000), span(14_000, 20_000), span(10_001, 10_039)] {
        assert!(
            matches!(exact(footage.clone(), window), Err(ExportError::NothingThere)),
            "{window}"
        );
    }
    assert!(matches!(
        exact(footage, span(11_000, 11_000)),
        Err(ExportError::BackToFront)
    ));
}

#[test]
fn what_lacks_is_closed_up_and_told() {
    let mut shelf = Shelf::new();
    let frames = group(100, false, 0);
    let footage = vec![
        shelf.footage(1, 0, 10_000, &frames, 1),
        shelf.footage(2, 0, 20_000, &frames, 1),
        shelf.footage(3, 0, 24_900, &frames, 1),
    ];
    let part = the_one(exact(footage, span(8_000, 30_000)).unwrap()).unwrap();
    assert_eq!(
        part.holes,
        [span(8_000, 10_000), span(14_000, 20_000), span(28_900, 30_000)]
    );
    assert_eq!((part.frames, part.lead_in), (300, 0));
    assert_eq!(part.covered, Duration::from_secs(12));
    let shown = play(&part.reel);
    assert!(shown.windows(2).all(|pair| pair[1].1 - pair[0].1 == FRAME * MS));
    assert_eq!(part.segments.len(), 3);
}

#[test]
fn a_pause_inside_a_group_of_pictures_is_closed_up_and_told_and_loses_no_frame() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        let mut shelf = Shelf::new();
        let (long, bframes) = (random.i64(1..30), random.bool());
        let groups = |from: i64, count: i64| (0..count).flat_map(move |n| group(long, bframes, from + n * long));
        let mut frames: Vec<Made> = groups(0, 4).collect();
        // A pause in front of some frame in order of decoding: all that are decoded from there on are shown later.
        let (cut, pause) = (random.usize(2..frames.len()), random.i64(60..400));
        let before: i64 = frames[..cut].iter().map(|made| made.shown).max().unwrap();
        if frames[cut..].iter().any(|made| made.shown < before) {
            continue;
        }
        frames[cut..].iter_mut().for_each(|made| made.shown += pause);
        let hole = Hole {
            span: span(10_000 + (before + 1) * FRAME, 10_000 + (before + 1 + pause) * FRAME),
            cause: GapCause::Silent,
        };
        let mut footage = shelf.footage(1, 0, 10_000, &frames, 1);
        footage.segment.holes = vec![hole];
        let whole = footage.segment.span;
        let case = format!("seed {seed}: groups of {long}, B-frames {bframes}, {pause} frames of pause at {cut}");
        let part = the_one(exact(vec![footage.clone()], whole).unwrap()).unwrap();
        assert_eq!(
            (part.holes.clone(), part.frames),
            (vec![hole.span], frames.len() as u64),
            "{case}"
        );
        let covered = whole.duration() - hole.span.duration();
        assert_eq!(part.covered, covered, "{case}");
        let shown = play(&part.reel);
        assert!(
            shown.windows(2).all(|pair| pair[1].1 - pair[0].1 == FRAME * MS),
            "{case}: {shown:?}"
        );
        // From inside the pause on: what the first frame needs is decoded and hidden.
        let behind = Span::new(hole.span.end.minus(Duration::from_millis(30)), whole.end);
        let part = the_one(exact(vec![footage.clone()], behind).unwrap()).unwrap();
        assert_eq!(part.frames as usize, frames.len() - cut, "{case}");
        assert_eq!(part.shown, Span::new(hole.span.end, whole.end), "{case}");
        // Nothing lies inside it.
        let inside = Span::new(hole.span.start, hole.span.end.minus(Duration::from_millis(1)));
        assert!(
            matches!(exact(vec![footage.clone()], inside), Err(ExportError::NothingThere)),
            "{case}"
        );
        // What came back lies in it, each frame with all it needs.
        let back: Vec<Made> = (0..pause).map(|shown| Made { shown, keyframe: true }).collect();
        let mut back = shelf.footage(2, 0, 10_000 + (before + 1) * FRAME, &back, 1);
        back.segment.origin = Origin::Refill;
        let part = the_one(exact(vec![footage, back], whole).unwrap()).unwrap();
        let lacking: Duration = part.holes.iter().map(Span::duration).sum();
        assert!(
            lacking <= Duration::from_millis((long * FRAME) as u64),
            "{case}: {:?}",
            part.holes
        );
        assert_eq!(part.segments.len(), 2, "{case}");
    }
}

#[test]
fn a_file_that_was_cut_leaves_a_hole_where_its_frames_are_gone() {
    let mut shelf = Shelf::new();
    let frames = group(100, false, 0);
    let mut footage: Vec<_> = (0..3)
        .map(|n| shelf.footage(1, n, 10_000 + i64::from(n) * 4000, &frames, 1))
        .collect();
    footage[1].movie.video.as_mut().unwrap().samples.truncate(30);
    footage[1].movie.cut = true;
    let part = the_one(exact(footage.clone(), span(10_000, 22_000)).unwrap()).unwrap();
    assert_eq!(part.holes, [span(15_200, 18_000)]);
    assert_eq!((part.frames, part.covered), (230, Duration::from_millis(9_200)));
    footage[1].movie = Movie::nothing();
    let part = the_one(exact(footage, span(10_000, 22_000)).unwrap()).unwrap();
    assert_eq!(part.holes, [span(14_000, 18_000)]);
    assert_eq!(part.segments.len(), 2);
}

/// Four groups, the last of which was cut off in its middle; what came back of it from there on, with what that needs in
/// front; and what was recorded when the camera was there again.
fn refilled(shelf: &mut Shelf, other_bytes: bool) -> Vec<Footage> {
    let live = shelf.footage(1, 0, 10_000, &[group(75, false, 0), group(10, false, 75)].concat(), 1);
    let mut lost = [group(25, false, -10), group(25, false, 15), group(20, false, 40)].concat();
    if other_bytes {
        lost.insert(
            0,
            Made {
                shown: -11,
                keyframe: true,
            },
        );
    }
    let mut back = shelf.footage(2, 0, 13_400, &lost, 1);
    back.segment.frames = 60;
    back.segment.origin = Origin::Refill;
    vec![live, back, shelf.footage(3, 0, 15_800, &group(50, false, 0), 1)]
}

#[test]
fn what_came_back_goes_on_in_the_middle_of_a_group_without_a_seam() {
    let mut shelf = Shelf::new();
    let footage = refilled(&mut shelf, false);
    for (from, to) in [
        (10_000, 17_800),
        (13_000, 14_000),
        (13_400, 15_000),
        (13_480, 15_000),
        (15_720, 16_000),
    ] {
        let part = the_one(exact(footage.clone(), span(from, to)).unwrap()).unwrap();
        let shown = play(&part.reel);
        let wanted: Vec<i64> = (0..195).map(|n| (10_000 + n * FRAME) * MS).collect();
        let wanted = wanted.iter().filter(|at| (from * MS..to * MS).contains(*at));
        let taken: Vec<i64> = shown.iter().map(|(taken, _)| *taken).collect();
        assert_eq!(taken, wanted.copied().collect::<Vec<_>>(), "{from} to {to}");
        assert!(shown.windows(2).all(|pair| pair[1].1 - pair[0].1 == FRAME * MS));
        assert_eq!((part.holes, part.frames), (vec![], shown.len() as u64));
    }
    // Alone, and longer than what there is, it shows what is footage and nothing of what is only decoded.
    for mode in [ClipMode::Exact, ClipMode::Keyframe] {
        let parts = plan(footage[1..2].to_vec(), span(13_000, 15_800), mode, Extras::default());
        let part = the_one(parts.unwrap()).unwrap();
        assert_eq!((part.lead_in, part.frames), (10, 60));
        assert_eq!(play(&part.reel)[0], (13_400 * MS, 0));
    }
}

#[test]
fn what_came_back_in_other_bytes_goes_on_with_its_next_keyframe() {
    let mut shelf = Shelf::new();
    let footage = refilled(&mut shelf, true);
    let part = the_one(exact(footage, span(10_000, 17_800)).unwrap()).unwrap();
    let shown = play(&part.reel);
    assert!(shown.windows(2).all(|pair| pair[1].1 - pair[0].1 == FRAME * MS));
    let seam = shown
        .windows(2)
        .find(|pair| pair[1].0 - pair[0].0 > FRAME * MS)
        .unwrap();
    assert_eq!((seam[0].0, seam[1].0), (13_360 * MS, 14_000 * MS));
}

#[test]
fn pictures_of_another_kind_begin_another_file() {
    let mut shelf = Shelf::new();
    let frames = group(100, false, 0);
    let footage = vec![
        shelf.footage(1, 0, 10_000, &frames, 1),
        shelf.footage(1, 1, 14_000, &frames, 2),
    ];
    let parts = exact(footage, span(12_000, 16_000)).unwrap();
    assert_eq!(
        parts.iter().map(|part| part.shown).collect::<Vec<_>>(),
        [span(12_000, 14_000), span(14_000, 16_000)]
    );
    let error = the_one(parts).unwrap_err();
    assert!(matches!(error, ExportError::Mixed { at } if at == Timestamp::from_millis(14_000)));
    assert!(error.to_string().contains("00:00:14.000Z"), "{error}");
}

#[test]
fn a_clip_by_keyframe_may_begin_early_and_hides_nothing() {
    let mut shelf = Shelf::new();
    let footage = vec![shelf.footage(1, 0, 10_000, &group(100, false, 0), 1)];
    let parts = plan(footage, span(11_001, 12_000), ClipMode::Keyframe, Extras::default()).unwrap();
    let part = the_one(parts).unwrap();
    assert_eq!((part.shown, part.lead_in, part.frames), (span(10_000, 12_000), 0, 50));
}

#[test]
fn what_memory_has_follows_what_the_open_file_has() {
    let mut shelf = Shelf::new();
    let frames = [group(25, false, 0), group(25, false, 25), group(25, false, 50)].concat();
    let mut footage = shelf.footage(1, 0, 10_000, &frames, 1);
    let whole = the_one(exact(vec![footage.clone()], span(10_300, 12_700)).unwrap()).unwrap();
    footage.segment.state = SegmentState::Open;
    footage.movie.video.as_mut().unwrap().samples.truncate(40);
    // Memory begins at the second group, on a scale of its own.
    let zero = 77_000 * MS;
    let unit = |made: &Made| {
        let taken = Timestamp::from_millis(10_000 + made.shown * FRAME);
        Unit {
            track: Track::Video,
            pts: zero + made.shown * FRAME * MS + 20_000,
            dts: zero + made.shown * FRAME * MS + 20_000,
            duration: None,
            keyframe: made.keyframe,
            payload: taken.as_nanos().to_be_bytes().to_vec().into(),
        }
    };
    let edge = |from: usize| Edge {
        segment: footage.segment.id,
        run: RunId(1),
        start: Timestamp::from_millis(10_000),
        first_pts: zero,
        format: footage.segment.format,
        caps: TrackCaps::default(),
        units: frames[from..].iter().map(unit).collect(),
        row: footage.segment.clone(),
        grows: true,
    };
    footage.edge = Some(edge(25));
    let part = the_one(exact(vec![footage.clone()], span(10_300, 12_700)).unwrap()).unwrap();
    assert_eq!(
        (part.frames, part.lead_in, part.shown),
        (whole.frames, whole.lead_in, whole.shown)
    );
    let times = |part: &Part| play(&part.reel).into_iter().map(|(taken, _)| taken).collect::<Vec<_>>();
    assert_eq!(times(&part), times(&whole));
    // Memory that does not reach back to the file leaves a hole, and no picture that cannot be decoded.
    footage.movie.video.as_mut().unwrap().samples.truncate(10);
    footage.edge = Some(edge(50));
    let part = the_one(exact(vec![footage], span(10_000, 13_000)).unwrap()).unwrap();
    assert_eq!(part.frames, 35);
    assert_eq!(part.holes.len(), 1);
    let hole = part.holes[0];
    assert_eq!((hole.start.as_millis(), hole.end.as_millis()), (10_400, 12_000));
}

/// Runs of files, each of some groups, with pauses between the runs.
fn recordings() -> impl Strategy<Value = Vec<(Vec<Vec<i64>>, i64)>> {
    let file = proptest::collection::vec(1i64..30, 1..4);
    let run = (proptest::collection::vec(file, 1..4), 0i64..3000);
    proptest::collection::vec(run, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_window_shows_its_frames_in_order_and_no_other(
        runs in recordings(), bframes: bool, from in -500i64..9_000, length in 1i64..9_000,
    ) {
        let mut shelf = Shelf::new();
        let (mut footage, mut all, mut at) = (Vec::new(), Vec::new(), 0);
        let mut covered = Vec::new();
        for (run, (files, pause)) in runs.iter().enumerate() {
            for (sequence, groups) in files.iter().enumerate() {
                let (mut frames, mut shown) = (Vec::new(), 0);
                for length in groups {
                    frames.extend(group(*length, bframes, shown));
                    shown += length;
                }
                all.extend((0..shown).map(|n| (at + n * FRAME) * MS));
                covered.push(span(at, at + shown * FRAME));
                footage.push(shelf.footage(run as u32, sequence as u32, at, &frames, 1));
                at += shown * FRAME;
            }
            at += pause;
        }
        let window = span(from, from + length);
        let wanted: Vec<i64> = all.into_iter().filter(|taken| window.contains(Timestamp::from_nanos(*taken))).collect();
        let made = exact(footage, window);
        if wanted.is_empty() {
            prop_assert!(matches!(made, Err(ExportError::NothingThere)));
            return Ok(());
        }
        let part = the_one(made.unwrap()).unwrap();
        let shown = play(&part.reel);
        let taken: Vec<i64> = shown.iter().map(|(taken, _)| *taken).collect();
        prop_assert_eq!(&taken, &wanted);
        prop_assert_eq!(part.frames, wanted.len() as u64);
        prop_assert!(part.covered <= window.duration());
        prop_assert!(part.shown.start >= window.start && part.shown.end <= window.end);
        // The clip plays as long as there is footage from its first frame on, and holes are where there is none.
        let told = Span::new(part.shown.start, window.end);
        prop_assert_eq!(part.covered, crate::model::coverage::covered(told, covered.clone()));
        // A frame that is taken just before the window reaches into it and is not shown, so that what lacks may be longer by
        // as much, and be told where the footage alone would not: at 281 ms of 280, with 973 ms until the next.
        let least = TOLERANCE.saturating_sub(Duration::from_millis(FRAME as u64));
        let holes = crate::model::coverage::holes(Span::new(window.start, window.end), covered, least);
        let lost = |holes: &[Span]| holes.iter().map(Span::duration).sum::<Duration>();
        prop_assert!(lost(&part.holes) <= lost(&holes) + Duration::from_millis(FRAME as u64));
        prop_assert!(part.holes.len() <= holes.len() + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn where_a_clock_was_set_back_one_recording_follows_the_other(
        groups in proptest::collection::vec(proptest::collection::vec(1i64..60, 1..4), 2..8),
        first in 1usize..7, back in 500i64..9_000, from in -500i64..9_000, length in 1i64..12_000,
    ) {
        let mut shelf = Shelf::new();
        let window = span(from, from + length);
        let (mut footage, mut at) = (Vec::new(), 0);
        // What each recording shows, and the keyframes of the second.
        let mut recordings = [Vec::new(), Vec::new()];
        let mut keyframes = Vec::new();
        let first = first.min(groups.len() - 1);
        for (number, file) in groups.iter().enumerate() {
            let is_again = number >= first;
            if number == first {
                at -= back;
            }
            let (mut frames, mut shown) = (Vec::new(), 0);
            for length in file {
                if is_again {
                    keyframes.push((at + shown * FRAME) * MS);
                }
                frames.extend(group(*length, false, shown));
                shown += length;
            }
            recordings[usize::from(is_again)].extend((0..shown).map(|n| (at + n * FRAME) * MS));
            let sequence = if is_again { number - first } else { number };
            let made = shelf.footage(u32::from(is_again), sequence as u32, at, &frames, 1);
            footage.push(Footage { begins_again: number == first, ..made });
            at += shown * FRAME;
        }
        // The index gives only what overlaps the window.
        footage.retain(|it| it.segment.span.overlaps(&window));
        let begins_again = footage.iter().position(|it| it.segment.run == RunId(1));
        if let Some(begins) = begins_again {
            footage[begins].begins_again = true;
        }
        let inside = |from: i64| move |taken: &i64| (from..(window.end.as_nanos())).contains(taken);
        let start = window.start.as_nanos();
        let [before, after] = &recordings;
        let mut wanted: Vec<i64> = before.iter().copied().filter(inside(start)).collect();
        // In the middle of a clip nothing can be hidden, so that it begins with the keyframe that its first picture needs.
        if let Some(first) = after.iter().copied().find(inside(start)) {
            let needed = keyframes.into_iter().filter(|keyframe| *keyframe <= first).max();
            let early = if wanted.is_empty() { first } else { needed.unwrap() };
            wanted.extend(after.iter().copied().filter(inside(early)));
        }
        let made = exact(footage, window);
        if wanted.is_empty() {
            prop_assert!(matches!(made, Err(ExportError::NothingThere)));
            return Ok(());
        }
        let part = the_one(made.unwrap()).unwrap();
        let shown = play(&part.reel);
        let taken: Vec<i64> = shown.iter().map(|(taken, _)| *taken).collect();
        prop_assert_eq!(&taken, &wanted);
        let steps: Vec<i64> = shown.windows(2).map(|pair| (pair[1].1 - pair[0].1) / MS).collect();
        prop_assert!(steps.iter().all(|step| (1..=FRAME + 1).contains(step)), "{:?}", steps);
    }
}

#[test]
fn footage_is_taken_one_after_another() {
    let mut shelf = Shelf::new();
    let frames = group(100, false, 0);
    let taken = std::cell::Cell::new(0);
    let footage: Vec<_> = (0..10)
        .map(|n| shelf.footage(1, n, i64::from(n) * 4000, &frames, 1))
        .collect();
    let lazily = footage.into_iter().inspect(|_| taken.set(taken.get() + 1));
    let parts = plan(lazily, span(0, 6_000), ClipMode::Exact, Extras::default()).unwrap();
    assert_eq!(parts.len(), 1);
    assert!(taken.get() <= 4, "{} files were read for two", taken.get());
}

/// A camera that is being recorded, as far as its frames have come.
#[derive(Debug, Clone, Copy)]
struct Recorded {
    /// Frames of a group of pictures, and groups of a segment.
    gop: i64,
    groups: i64,
    bframes: bool,
    /// Frames that have come.
    came: i64,
    /// Frames that the muxer holds back of what it was given.
    lag: usize,
    /// Frames that memory keeps before the last keyframe, and before the newest frame.
    behind: i64,
    keep: i64,
    /// Whether the file of the last segment but one is still being closed.
    is_closing: bool,
}

impl Recorded {
    const ZERO: i64 = 77_000 * MS;

    /// The frames of a segment as it will be, in order of decoding.
    fn frames(self) -> Vec<Made> {
        let groups = (0..self.groups).flat_map(|n| group(self.gop, self.bframes, n * self.gop));
        groups.collect()
    }

    /// By how many frames decoding is ahead of showing.
    fn ahead(self) -> i64 {
        let ahead = self.frames().into_iter().enumerate();
        ahead.map(|(n, made)| n as i64 - made.shown).max().unwrap()
    }

    fn length(self) -> i64 {
        self.gop * self.groups
    }

    /// The oldest frame in memory, by the order of decoding.
    fn oldest(self) -> i64 {
        let last_key = (self.came - 1) / self.gop * self.gop;
        let since = (last_key - self.behind).min(self.came - 1 - self.keep);
        (since.max(0) / self.gop) * self.gop
    }

    /// What lies in files and in memory of the segments that are not over for long.
    fn footage(self, shelf: &mut Shelf) -> Vec<Footage> {
        let (frames, ahead, length) = (self.frames(), self.ahead(), self.length());
        let last = (self.came - 1) / length;
        let footage = (last - 2..=last).filter(|number| *number >= 0).map(|number| {
            let begins = number * length;
            let start = 10_000 + begins * FRAME;
            let mut footage = shelf.footage(1, number as u32, start, &frames, 1);
            // A file takes no longer to be closed than memory has the end of it.
            let is_closing = self.is_closing && self.oldest() < last * length;
            if number + 1 < last || (number < last && !is_closing) {
                return footage;
            }
            let came = (self.came - begins).min(length) as usize;
            // Whole groups are written, the last one when the next begins.
            let given = if number < last {
                came
            } else {
                came.saturating_sub(1) / self.gop as usize * self.gop as usize
            };
            footage.movie.shape = FileShape::Fragmented;
            footage
                .movie
                .video
                .as_mut()
                .unwrap()
                .samples
                .truncate(given.saturating_sub(self.lag));
            if given <= self.lag {
                footage.movie = Movie::nothing();
            }
            let shown = frames[..came].iter().map(|made| made.shown).max().unwrap();
            let end = start + (shown + 1) * FRAME;
            let row = Segment {
                state: SegmentState::Open,
                ..segment(1, number as u32, start, end, came as u64)
            };
            let unit = |(n, made): (i64, &Made)| Unit {
                track: Track::Video,
                pts: Self::ZERO + (begins + made.shown) * FRAME * MS + 20_000,
                dts: Self::ZERO + (begins + n - ahead) * FRAME * MS + 20_000,
                duration: None,
                keyframe: made.keyframe,
                payload: Timestamp::from_millis(start + made.shown * FRAME)
                    .as_nanos()
                    .to_be_bytes()
                    .to_vec()
                    .into(),
            };
            let in_memory = (self.oldest() - begins).max(0) as usize;
            let units = (0..).zip(&frames[..came]).skip(in_memory).map(unit);
            footage.edge = Some(Edge {
                segment: row.id,
                run: row.run,
                start: Timestamp::from_millis(start),
                first_pts: Self::ZERO + begins * FRAME * MS + 20_000,
                format: row.format,
                caps: TrackCaps {
                    video: "video/x-h264, codec_data=(buffer)01420001".to_owned(),
                    audio: None,
                },
                units: units.collect(),
                row: row.clone(),
                grows: number == last,
            });
            footage.segment = row;
            footage
        });
        footage.collect()
    }

    /// When each frame that has come is shown, in ns.
    fn taken(self) -> Vec<i64> {
        let frames = self.frames();
        let all =
            (0..self.came).map(|n| n / self.length() * self.length() + frames[(n % self.length()) as usize].shown);
        let mut taken: Vec<i64> = all.map(|shown| (10_000 + shown * FRAME) * MS).collect();
        taken.sort_unstable();
        taken
    }
}

fn recorded() -> impl Strategy<Value = Recorded> {
    let gop = prop_oneof![1i64..10, 10i64..120, 120i64..1600];
    let memory = (0usize..14, 50i64..60, 0i64..80);
    (gop, 1i64..4, any::<bool>(), 1i64..4000, memory, any::<bool>()).prop_map(
        |(gop, groups, bframes, came, (lag, behind, keep), is_closing)| Recorded {
            gop,
            groups,
            bframes,
            came,
            lag,
            behind,
            keep,
            is_closing,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_ended_a_moment_ago_is_whole_in_every_phase_of_a_segment(
        recorded in recorded(), ago in 0i64..4_000, length in 1i64..8_000,
    ) {
        let mut shelf = Shelf::new();
        let footage = recorded.footage(&mut shelf);
        // Now is when the next frame comes; the newest are on their way to be shown.
        let to = 10_000 + recorded.came * FRAME - ago;
        let window = span((to - length).max(10_000).max(10_000 + (recorded.came / recorded.length() - 1) * recorded.length() * FRAME), to);
        prop_assume!(!window.is_empty());
        let edges: Vec<Edge> = footage.iter().filter_map(|footage| footage.edge.clone()).collect();
        let newest = recorded.came - 1 - recorded.ahead();
        let awaited = awaited(&edges, window.end);
        prop_assert_eq!(awaited.is_some(), 10_000 + newest * FRAME < to, "{:?}", awaited);
        if awaited.is_some() {
            return Ok(());
        }
        for footage in &footage {
            prop_assert!(is_joined(&footage.segment, &footage.movie, footage.edge.as_ref(), window), "{:?}", footage.segment.span);
        }
        let wanted: Vec<i64> =
            recorded.taken().into_iter().filter(|taken| window.contains(Timestamp::from_nanos(*taken))).collect();
        prop_assume!(!wanted.is_empty());
        let part = the_one(exact(footage, window).unwrap()).unwrap();
        let shown: Vec<i64> = play(&part.reel).into_iter().map(|(taken, _)| taken).collect();
        prop_assert_eq!(&shown, &wanted);
        prop_assert_eq!(part.holes, []);
    }
}

#[test]
fn what_neither_file_nor_memory_has_is_known_to_lack() {
    let recorded = Recorded {
        gop: 25,
        groups: 8,
        bframes: false,
        came: 190,
        lag: 100,
        behind: 0,
        keep: 10,
        is_closing: false,
    };
    let footage = recorded.footage(&mut Shelf::new());
    let [footage] = &footage[..] else { panic!("one segment") };
    let joined = |from, to| is_joined(&footage.segment, &footage.movie, footage.edge.as_ref(), span(from, to));
    // The file ends with frame 75, and memory begins with frame 175.
    assert!(joined(11_000, 12_900), "the file has all of it");
    assert!(joined(17_100, 17_500), "memory has all of it");
    assert!(!joined(12_500, 17_500) && !joined(14_000, 15_000) && !joined(16_000, 17_200));
    let closed = segment(1, 0, 10_000, 17_600, 190);
    assert!(
        is_joined(&closed, &footage.movie, None, span(12_500, 17_500)),
        "what is closed stays as it is"
    );
}
