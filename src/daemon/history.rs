//! One property over everything: a made-up history of frames is told through the real index, and every view agrees with the
//! history and with every other.
//!
//! A history is what a camera sent and what became of it: pauses, losses, a kill, two runs at once, a clock that was set back,
//! files that were cut or removed, footage that came back. What should be seen follows from its frames alone, by a referee
//! that knows nothing of segments and holes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::export::{ClipManifest, Extras, Footage, Part, Source, Stretch, plan, the_one};
use crate::index::{GapFilter, Index, KnownVolume};
use crate::model::coverage::{covered, holes, merge};
use crate::model::{
    Camera, CameraId, ClipMode, Codec, Copy, CopyState, Gap, GapCause, Hole, KEPT_FROM, Loss, News, Origin, Pauses,
    RunId, SEAM, Segment, SegmentId, SegmentState, Span, Timestamp, VolumeId, VolumeRole, fixture,
};
use crate::runtime::Shutdown;
use crate::storage::{Durable, FileShape, Movie, Sample, TrackCoding, TrackTable, holes_left, picture_entry};
use crate::timeline::fixture::Open;
use crate::timeline::{self, Missing, Timeline, Why};

const MS: i64 = 1_000_000;
/// Histories in each of the four tests, which run beside one another.
const HISTORIES: u64 = 500;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_795_168_800_000 + millis)
}

/// A segment, and when its frames were taken, in milliseconds.
#[derive(Debug, Clone)]
struct Filed {
    segment: Segment,
    frames: Vec<i64>,
    /// Whether its file is still there.
    is_there: bool,
}

/// What a camera sent and what became of it.
#[derive(Debug)]
struct History {
    camera: CameraId,
    /// Between two frames, in milliseconds.
    step: i64,
    /// Every such frame of a file is a keyframe, from the first.
    group: usize,
    files: Vec<Filed>,
    news: Vec<News>,
    /// Every loss that was told, by when it began and ended.
    losses: Vec<Span>,
    /// Whether footage of one time was recorded twice.
    is_set_back: bool,
    /// When the last frame was taken, or a little later.
    now: i64,
    number: u128,
}

impl History {
    fn make(number: u64, random: &mut fastrand::Rng) -> Self {
        let mut history = Self {
            camera: CameraId::parse(&format!("c{number}")).unwrap(),
            step: *random.choice(&[40, 100, 200, 1_000]).unwrap(),
            group: *random.choice(&[1, 1, 5, 12, 100]).unwrap(),
            files: Vec::new(),
            news: Vec::new(),
            losses: Vec::new(),
            is_set_back: false,
            now: 0,
            number: u128::from(number) << 32,
        };
        for run in 0..random.u32(1..4) {
            history.run(run, random);
            history.between(random);
        }
        for _ in 0..random.u32(0..3) {
            history.spoil(random);
        }
        if random.bool() {
            history.refill(random);
        }
        history
    }

    /// One run: bursts of steady frames with pauses between them, cut into segments.
    fn run(&mut self, run: u32, random: &mut fastrand::Rng) {
        let mut frames = Vec::new();
        let mut time = self.now;
        for _ in 0..random.u32(1..4) {
            for _ in 0..random.i64(8..40) {
                frames.push(time);
                time += self.step;
            }
            // Shorter and longer than what is a pause.
            time += random.i64(0..9_000);
        }
        self.now = frames.last().unwrap() + self.step;
        let long = random.usize(10..40);
        let parts: Vec<Vec<i64>> = frames.chunks(long).map(<[i64]>::to_vec).collect();
        for (sequence, part) in (0u32..).zip(&parts) {
            // Segments of a run join: each ends where the next begins.
            let end = parts.get(sequence as usize + 1).map_or(self.now, |next| next[0]);
            let usual = frames.iter().map(|frame| (frame * MS, frame * MS));
            let span = Span::new(at(part[0]), at(end));
            let inner = Pauses::between(usual).holes(span, |nanos| at(0).offset(nanos));
            let mut segment = self.segment(span, run, sequence, part.len());
            if random.u32(0..4) == 0 {
                // It is seen while it grows.
                let open = Segment {
                    state: SegmentState::Open,
                    ..segment.clone()
                };
                let open = Segment {
                    copies: open
                        .copies
                        .iter()
                        .map(|copy| Copy {
                            state: CopyState::Open,
                            ..copy.clone()
                        })
                        .collect(),
                    ..open
                };
                self.news.push(News::Opened(open));
                let so_far = Span::new(span.start, at(part[part.len() - 1] + self.step));
                let holes = inner
                    .iter()
                    .filter(|hole| hole.span.end < so_far.end)
                    .copied()
                    .collect();
                self.news.push(News::Grew {
                    id: segment.id,
                    span: so_far,
                    holes,
                    frames: 1,
                    size_bytes: 1,
                    lost_packets: 0,
                });
            }
            segment.holes = inner;
            self.news.push(News::Closed(segment.clone()));
            self.files.push(Filed {
                segment,
                frames: part.clone(),
                is_there: true,
            });
        }
    }

    /// What lies between two runs: a loss that is told, nothing, footage that is there twice, or a clock that is set back.
    fn between(&mut self, random: &mut fastrand::Rng) {
        match random.u32(0..5) {
            0 | 1 => {
                let cause = *random
                    .choice(&[GapCause::Lost(Loss::Ended), GapCause::Killed, GapCause::Stopped])
                    .unwrap();
                let span = Span::new(at(self.now), at(self.now + random.i64(10..20_000)));
                self.news.push(News::Lost {
                    camera: self.camera.clone(),
                    at: span.start,
                    cause,
                });
                self.news.push(News::Regained {
                    camera: self.camera.clone(),
                    at: span.end,
                });
                self.losses.push(span);
                self.now = span.end.nanos_since(at(0)) / MS;
            }
            2 => self.now += random.i64(0..2_000),
            3 => {
                self.now -= random.i64(0..6_000).min(self.now);
                self.is_set_back = true;
            }
            _ => {}
        }
    }

    /// The file of a segment is cut, or gone.
    fn spoil(&mut self, random: &mut fastrand::Rng) {
        let which = random.usize(0..self.files.len());
        let file = &mut self.files[which];
        if !file.is_there || file.frames.is_empty() {
            return;
        }
        let id = file.segment.id;
        if random.bool() {
            file.is_there = false;
            let copy = Copy {
                state: CopyState::Missing,
                ..file.segment.copies[0].clone()
            };
            self.news.push(News::Copied { segment: id, copy });
        } else {
            file.frames.truncate(random.usize(0..file.frames.len()));
            let holes = holes_left(&movie(file, self.step, self.group), &file.segment);
            file.segment.holes = holes.clone();
            self.news.push(News::Holed { segment: id, holes });
        }
    }

    /// What lies in a gap comes back from the camera's own storage.
    fn refill(&mut self, random: &mut fastrand::Rng) {
        let there = self.coverage();
        let gaps = holes(Span::new(at(0), at(self.now)), there, SEAM);
        let Some(gap) = random.choice(&gaps).copied() else {
            return;
        };
        let (start, end) = (gap.start.nanos_since(at(0)) / MS, gap.end.nanos_since(at(0)) / MS);
        let frames: Vec<i64> = (0..)
            .map(|frame| start + frame * self.step)
            .take_while(|frame| frame + self.step <= end)
            .collect();
        if frames.is_empty() {
            return;
        }
        let span = Span::new(at(start), at(frames[frames.len() - 1] + self.step));
        let segment = Segment {
            origin: Origin::Refill,
            ..self.segment(span, 900, 0, frames.len())
        };
        self.news.push(News::Closed(segment.clone()));
        self.files.push(Filed {
            segment,
            frames,
            is_there: true,
        });
    }

    fn segment(&mut self, span: Span, run: u32, sequence: u32, frames: usize) -> Segment {
        self.number += 1;
        Segment {
            id: SegmentId(Uuid::from_u128(self.number)),
            camera: self.camera.clone(),
            run: RunId(run),
            sequence,
            frames: frames as u64,
            copies: vec![Copy {
                volume: volume(),
                path: format!("{}/{}", self.camera, self.number),
                size_bytes: 1000,
                sha256: Some([1; 32]),
                state: CopyState::Whole,
            }],
            ..fixture::segment(self.number, span)
        }
    }

    /// What segments lack, and why.
    fn lacking(&self) -> Vec<Hole> {
        let mut lacking = Vec::new();
        for file in &self.files {
            lacking.extend(file.segment.holes.clone());
            if !file.is_there {
                let cause = GapCause::Missing;
                lacking.extend(file.segment.covered().into_iter().map(|span| Hole { span, cause }));
            }
        }
        lacking
    }

    /// The referee: what the frames of each file cover. One frame reaches to the next, unless a pause lies between them.
    fn coverage(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for file in self.files.iter().filter(|file| file.is_there) {
            for (number, frame) in file.frames.iter().enumerate() {
                let next = file.frames.get(number + 1).copied();
                let natural = frame + self.step;
                let is_pause = |next: i64| next - frame > 4 * self.step && next - natural > 2_000;
                let end_of_file = file.segment.span.end.nanos_since(at(0)) / MS;
                let was_cut = (file.frames.len() as u64) < file.segment.frames;
                let until = match next {
                    Some(next) if is_pause(next) => natural,
                    Some(next) => next,
                    // Where a file was cut nobody knows the next frame any more.
                    None if was_cut || is_pause(end_of_file) => natural,
                    None => end_of_file,
                };
                spans.push(Span::new(at(*frame), at(until)));
            }
        }
        merge(spans, Duration::ZERO)
    }
}

fn volume() -> VolumeId {
    VolumeId(Uuid::from_u128(7))
}

/// A file as its table says it is, with keyframes that are `group` frames apart.
fn movie(file: &Filed, step: i64, group: usize) -> Movie {
    let frames = &file.frames;
    let Some(first) = frames.first() else {
        return Movie::nothing();
    };
    let sample = |number: usize| {
        let natural = frames[number] + step;
        let next = frames.get(number + 1).copied().unwrap_or(natural);
        Sample {
            offset: number as u64 * 10,
            size: 10,
            dts: frames[number] - first,
            shown_after: 0,
            duration: u32::try_from(next - frames[number]).unwrap(),
            keyframe: number.is_multiple_of(group),
        }
    };
    let config = vec![1, 66, 0, 1];
    let entry = picture_entry(Codec::H264, false, &config, 640, 360);
    let table = TrackTable {
        id: 1,
        coding: TrackCoding::Video {
            codec: Codec::H264,
            entry: *b"avc1",
            width: 640,
            height: 360,
        },
        config: config.into(),
        entry,
        timescale: 1000,
        shift: 0,
        samples: (0..frames.len()).map(sample).collect(),
    };
    Movie {
        shape: FileShape::Plain,
        video: Some(table),
        ..Movie::nothing()
    }
}

/// What the index says of a history.
struct Said {
    line: Timeline,
    missing: Vec<Missing>,
    recorded: Duration,
    lacking: Duration,
    kept: Vec<Gap>,
    segments: Vec<Segment>,
}

fn ask(index: &Index, history: &History, window: Span) -> Said {
    // What ended just now may only lag behind.
    let (id, now) = (history.camera.clone(), at(history.now + 60_000));
    index
        .read_blocking(move |reader| {
            let camera = reader.camera(&id)?.unwrap();
            let day = timeline::coverage(reader, &camera, window, now)?;
            let filter = GapFilter {
                camera: Some(id.clone()),
                ..GapFilter::default()
            };
            Ok(Said {
                line: timeline::timeline(reader, &camera, window)?,
                missing: timeline::gaps(reader, &camera, window, now)?,
                recorded: day.recorded,
                lacking: day.missing.iter().map(|(_, length)| *length).sum(),
                kept: reader.gaps(&filter, 1000)?,
                segments: reader.segments(&id, Some(window), 1000, None)?,
            })
        })
        .unwrap()
}

/// A clip of a window, from what the index says and what the files hold.
fn clip(history: &History, segments: &[Segment], window: Span) -> Result<Part, String> {
    let footage = segments.iter().filter_map(|segment| {
        let file = history
            .files
            .iter()
            .find(|file| file.segment.id == segment.id && file.is_there)?;
        Some(Footage {
            segment: segment.clone(),
            path: Arc::from(Path::new("nowhere")),
            movie: movie(file, history.step, history.group),
            edge: None,
            begins_again: false,
        })
    });
    let parts = plan(footage, window, ClipMode::Exact, Extras::default());
    parts.and_then(the_one).map_err(|error| error.to_string())
}

fn hold(index: &Index, history: &History, window: Span) {
    let said = ask(index, history, window);
    let there: Vec<Span> = history
        .coverage()
        .iter()
        .filter_map(|span| span.intersect(&window))
        .collect();
    // Timeline.
    assert_eq!(said.line.ranges, merge(there.clone(), SEAM), "ranges");
    assert_eq!(said.line.recorded, covered(window, there.clone()), "recorded");
    assert_eq!(said.recorded, said.line.recorded, "coverage");
    // Gaps: exactly what the ranges leave out of the time in which the camera is known, each once.
    let kept_here = said.kept.iter().map(|gap| gap.span).filter(|gap| gap.overlaps(&window));
    let begins = history.files.iter().map(|file| file.segment.span.start);
    let begin = begins.chain(kept_here.map(|gap| gap.start)).min();
    let begin = begin.unwrap_or(window.start).max(window.start).min(window.end);
    let gaps: Vec<Span> = said.missing.iter().map(|gap| gap.span).collect();
    let whole = Span::new(begin, window.end);
    let expected = holes(whole, said.line.ranges.clone(), SEAM);
    let begins_known = said.missing.first().is_none_or(|gap| gap.span.start >= whole.start);
    assert!(begins_known, "{:?} before {begin}", said.missing.first());
    assert_eq!(
        merge(gaps.clone(), Duration::ZERO),
        merge(expected, Duration::ZERO),
        "gaps"
    );
    assert_eq!(
        gaps.iter().map(Span::duration).sum::<Duration>(),
        said.lacking,
        "coverage by cause"
    );
    // Causes: where frames are gone or were never sent, the gap says so.
    for gap in &said.missing {
        let is_told = history.losses.iter().any(|loss| loss.overlaps(&gap.span));
        let is_known = history.lacking().iter().any(|hole| hole.span.overlaps(&gap.span));
        if gap.why == Why::Cause(GapCause::Unknown) {
            assert!(
                !is_known || is_told || gap.span.duration() <= SEAM * 2,
                "{gap:?} has a cause that is known"
            );
        } else {
            assert!(is_known || is_told, "{gap:?} has a cause from nowhere");
        }
    }
    // Whatever lacks for long and has a cause is kept, and kept gaps hold no footage but what came back.
    let kept: Vec<Span> = said.kept.iter().map(|gap| gap.span).collect();
    let all = history.coverage();
    for hole in history.lacking() {
        let lacks = holes(hole.span, [all.clone(), kept.clone()].concat(), KEPT_FROM);
        assert_eq!(lacks, [], "{hole:?} is not kept: {kept:?}");
    }
    for gap in &said.kept {
        let back = history
            .files
            .iter()
            .filter(|file| file.segment.origin == Origin::Refill);
        let back = covered(gap.span, back.map(|file| file.segment.span).collect());
        assert!(covered(gap.span, all.clone()) <= back, "{gap:?} holds footage");
    }
    // A clip shows every frame that is there, and tells of every gap.
    if is_doubled(history, window) {
        return;
    }
    let shown = history
        .files
        .iter()
        .filter(|file| file.is_there)
        .flat_map(|file| &file.frames);
    let shown = shown.filter(|frame| window.contains(at(**frame))).count();
    let part = match clip(history, &said.segments, window) {
        Ok(part) => part,
        Err(error) => return assert_eq!(shown, 0, "no clip of what is recorded: {error}"),
    };
    for gap in &gaps {
        let lacks = holes(*gap, part.holes.clone(), Duration::ZERO);
        assert_eq!(lacks, [], "{gap} is not told by the clip, but {:?}", part.holes);
    }
    for hole in &part.holes {
        let inside = covered(*hole, there.clone());
        assert!(
            inside <= Duration::from_millis(history.step as u64),
            "the clip lacks {inside:?} in {hole}"
        );
    }
    assert_eq!(part.frames, shown as u64, "frames of the clip");
    hold_manifest(history, &said, &part, window);
    let slack = Duration::from_millis(2_000) * 4 + Duration::from_millis(history.step as u64 * 2);
    assert!(
        said.line.recorded.abs_diff(part.covered) <= slack,
        "{:?} of {:?}",
        part.covered,
        said.line.recorded
    );
}

/// What is signed of a clip: what it shows, what it lacks, and each segment that it has frames of, by what the index knows of it.
fn hold_manifest(history: &History, said: &Said, part: &Part, window: Span) {
    let camera = Camera::new(history.camera.clone(), "C".into(), at(0));
    let durable = Durable {
        size_bytes: 1,
        sha256: [2; 32],
    };
    let clip = part.clip(&camera.id, window, ClipMode::Exact, ("c.mp4", durable), at(history.now));
    let used = said
        .segments
        .iter()
        .filter(|segment| part.segments.contains(&segment.id));
    let sources = used.filter_map(|segment| Source::of(segment, None)).collect();
    let manifest = ClipManifest::of(&clip, &camera, sources, "0");
    let spans = |stretches: &[Stretch]| -> Vec<Span> {
        let span = |stretch: &Stretch| Span::new(stretch.start, stretch.end);
        stretches.iter().map(span).collect()
    };
    assert_eq!(spans(&manifest.shown.gaps), part.holes, "gaps that are signed");
    assert_eq!(manifest.shown.frames, part.frames, "frames that are signed");
    let with_frames = history.files.iter().filter(|file| {
        let is_shown = |frame: &i64| window.contains(at(*frame));
        file.is_there && file.frames.iter().any(is_shown)
    });
    let named: BTreeSet<SegmentId> = manifest.sources.iter().map(|source| source.id).collect();
    let shown: BTreeSet<SegmentId> = with_frames.map(|file| file.segment.id).collect();
    assert_eq!(named, shown, "segments that are signed");
}

/// Whether rows lie over each other in a window: two runs at once, or a clock that was set back, of which one may lack there
/// what the other has. Which of them a clip shows when is decided by the order in which they were recorded, and tested there.
fn is_doubled(history: &History, window: Span) -> bool {
    let mut spans: Vec<Span> = history
        .files
        .iter()
        .map(|file| file.segment.span)
        .filter(|span| span.overlaps(&window))
        .collect();
    spans.sort_unstable();
    spans.windows(2).any(|pair| pair[1].start < pair[0].end)
}

async fn hold_many(part: u64) {
    let directory = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let index = Index::open(directory.path().join("index.db"), Arc::new(Open)).unwrap();
    let known = KnownVolume {
        id: volume(),
        role: VolumeRole::Primary,
        root: "recordings".into(),
        created_at: at(0),
    };
    index.write_blocking(move |writer| writer.put_volume(&known)).unwrap();
    let base = std::env::var("CAMKEEP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = match base {
        Some(seed) => vec![seed],
        None => {
            let base = fastrand::u64(..u64::MAX / 2);
            (base..base + HISTORIES).collect()
        }
    };
    for seed in seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut history = History::make(seed % 100_000_000 * 4 + part, &mut random);
        let camera = Camera::new(history.camera.clone(), "C".into(), at(0));
        index
            .write_blocking(move |writer| writer.insert_camera(&camera))
            .unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        for news in std::mem::take(&mut history.news) {
            tell.send(news).unwrap();
        }
        drop(tell);
        timeline::ingest(index.clone(), told, Shutdown::new(), Arc::default()).await;
        let windows: Vec<Span> = (0..3)
            .map(|number| match number {
                0 => Span::new(at(0), at(history.now.max(1))),
                _ => {
                    let from = random.i64(0..history.now.max(1));
                    Span::new(at(from), at((from + random.i64(1..30_000)).min(history.now)))
                }
            })
            .filter(|window| !window.is_empty())
            .collect();
        for window in windows {
            let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hold(&index, &history, window)));
            assert!(
                held.is_ok(),
                "CAMKEEP_SEED={seed} shows it again, in {window}: {history:#?}"
            );
        }
    }
}

macro_rules! parts {
    ($($name:ident $part:literal)*) => {$(
        #[tokio::test]
        async fn $name() {
            hold_many($part).await;
        }
    )*};
}

parts! {
    every_view_agrees_with_five_hundred_histories 0
    every_view_agrees_with_five_hundred_more 1
    every_view_agrees_with_the_next_five_hundred 2
    every_view_agrees_with_the_last_five_hundred 3
}
