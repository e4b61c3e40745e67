//! How long an hour of footage takes to become a clip, beside `ffmpeg -f concat -c copy -movflags +faststart` and beside
//! `cat` of the same files.
//!
//! `cargo bench --bench clip` makes an hour of 4 Mbit/s in a temporary directory (1.8 GB, and as much again for what is
//! written of it), takes each of the three in turn, and prints a table. It ends with 1 when a promise of
//! `docs/benchmarks.md` does not hold. `CLIP_BENCH_MINUTES` and `CLIP_BENCH_ROUNDS` make it shorter, `TMPDIR` puts it
//! elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camkeep::export::{Extras, Footage, plan, the_one};
use camkeep::model::{
    CameraId, ClipMode, ClockSource, Codec, Container, Origin, RunId, Segment, SegmentId, SegmentState, Span,
    Timestamp, VideoFormat,
};
use camkeep::pipeline::{self, Catalog, Progress, export};
use camkeep::storage::Movie;
use uuid::Uuid;

/// What is promised: so much of ffmpeg's time at most, and of cat's.
const OF_FFMPEG: f64 = 0.7;
const OF_CAT: f64 = 1.6;
/// The footage begins here.
const ZERO: Timestamp = Timestamp::from_seconds(1_790_000_000);

fn number(name: &str, usual: u32) -> u32 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

fn main() {
    pipeline::init().unwrap();
    let (minutes, rounds) = (number("CLIP_BENCH_MINUTES", 60), number("CLIP_BENCH_ROUNDS", 5));
    let room = tempfile::tempdir().unwrap();
    let segments = make(room.path(), minutes);
    let bytes: u64 = segments.iter().map(|(_, path)| path.metadata().unwrap().len()).sum();
    println!("{minutes} segments of a minute, {:.0} MB", bytes as f64 / 1e6);
    let list = room.path().join("list.txt");
    let lines = segments.iter().map(|(_, path)| format!("file '{}'\n", path.display()));
    std::fs::write(&list, lines.collect::<String>()).unwrap();

    let out = room.path().join("out.mp4");
    let ours = || clip(&segments, &out);
    let ffmpeg = || {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i"])
            .arg(&list);
        command.args(["-c", "copy", "-movflags", "+faststart"]).arg(&out);
        run(&mut command)
    };
    let cat = || {
        let mut command = Command::new("cat");
        command.args(segments.iter().map(|(_, path)| path));
        command.stdout(std::fs::File::create(&out).unwrap());
        run(&mut command)
    };
    let rivals: [(&str, &dyn Fn()); 3] = [("camkeep", &ours), ("ffmpeg", &ffmpeg), ("cat", &cat)];
    let mut times = [vec![], vec![], vec![]];
    let mut worked = [0.0; 3];
    for round in 0..=rounds {
        for ((times, worked), (_, work)) in times.iter_mut().zip(&mut worked).zip(&rivals) {
            let _ = std::fs::remove_file(&out);
            // What the one before wrote must not be brought to the disk while this one is timed.
            run(&mut Command::new("sync"));
            let (begun, before) = (Instant::now(), processor_seconds());
            work();
            // The first round only warms up.
            if round > 0 {
                times.push(begun.elapsed());
                *worked += (processor_seconds() - before) / f64::from(rounds);
            }
        }
    }
    println!(
        "{:<10}{:>9}{:>9}{:>9}{:>12}",
        "", "min s", "median s", "max s", "processor s"
    );
    for ((times, worked), (name, _)) in times.iter_mut().zip(worked).zip(&rivals) {
        times.sort_unstable();
        let [min, median, max] = [0, times.len() / 2, times.len() - 1].map(|at| times[at].as_secs_f64());
        println!("{name:<10}{min:>9.2}{median:>9.2}{max:>9.2}{worked:>12.2}");
    }
    let [ours, ffmpeg, cat] = times.map(|times| times[times.len() / 2].as_secs_f64());
    println!(
        "of ffmpeg's time {:.2} (at most {OF_FFMPEG}), of cat's {:.2} (at most {OF_CAT})",
        ours / ffmpeg,
        ours / cat
    );
    if ours / ffmpeg > OF_FFMPEG || ours / cat > OF_CAT {
        std::process::exit(1);
    }
}

/// What this process and those that it waited for have cost, in seconds of a processor.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = after_name.split_whitespace().skip(11).take(4);
    // Linux counts hundredths of seconds here on every machine.
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

#[track_caller]
fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().expect("it has to be installed");
    assert!(status.success(), "{command:?} ended with {status}");
}

/// All that the daemon does for a clip of the whole hour: tables are read, the clip is planned, written and hashed.
fn clip(segments: &[(Segment, PathBuf)], out: &Path) {
    let footage = segments.iter().map(|(segment, path)| {
        let (footage, trouble) = Footage::read(segment.clone(), path.clone(), None);
        assert!(trouble.is_none(), "{trouble:?}");
        footage
    });
    let window = Span::new(ZERO.offset(1_230_000_000), segments.last().unwrap().0.span.end);
    let part = the_one(plan(footage, window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
    let reader = part.reel.reader(0..part.reel.size_bytes());
    let catalog = Catalog::built_in().unwrap();
    let written = export(&catalog, reader, out, &Progress::default(), Duration::from_secs(60)).unwrap();
    assert_eq!(written.size_bytes, part.reel.size_bytes());
    assert_eq!(part.holes, []);
}

/// Segments of a minute each, written once by the muxer that records and copied.
fn make(room: &Path, count: u32) -> Vec<(Segment, PathBuf)> {
    let (made, one) = (room.join("made.mp4"), room.join("one.mp4"));
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i"]);
    ffmpeg.args([
        "testsrc2=size=1280x720:rate=25,noise=alls=20:allf=t",
        "-t",
        "60",
        "-c:v",
        "libx264",
    ]);
    ffmpeg.args([
        "-preset",
        "ultrafast",
        "-g",
        "50",
        "-bf",
        "0",
        "-pix_fmt",
        "yuv420p",
        "-b:v",
        "4M",
    ]);
    ffmpeg.args(["-minrate", "4M", "-maxrate", "4M", "-bufsize", "2M"]);
    run(ffmpeg.arg(&made));
    let mut muxer = Command::new("gst-launch-1.0");
    muxer
        .args(["-q", "filesrc"])
        .arg(format!("location={}", made.display()));
    muxer.args(["!", "qtdemux", "!", "h264parse", "!", "mp4mux", "fragment-duration=500"]);
    muxer.args(["fragment-mode=first-moov-then-finalise", "!", "filesink"]);
    run(muxer.arg(format!("location={}", one.display())));
    let movie = Movie::read(&one).unwrap();
    assert!(movie.is_whole(), "{:?}", movie.shape);
    let lasts = Duration::from_nanos(movie.duration());
    let segment = |sequence: u32| {
        let start = ZERO.plus(lasts * sequence);
        let path = room.join(format!("{sequence:03}.mp4"));
        std::fs::copy(&one, &path).unwrap();
        let segment = Segment {
            id: SegmentId(Uuid::from_u128(u128::from(sequence))),
            camera: CameraId::parse("front-door").unwrap(),
            run: RunId(1),
            sequence,
            span: Span::new(start, start.plus(lasts)),
            holes: Vec::new(),
            format: VideoFormat {
                codec: Codec::H264,
                width: 1280,
                height: 720,
                fps: Some(25.0),
            },
            has_audio: false,
            container: Container::Mp4,
            state: SegmentState::Closed,
            origin: Origin::Live,
            clock: ClockSource::Arrival,
            camera_clock: None,
            frames: movie.frames(),
            lost_packets: 0,
            created_at: start,
            copies: vec![],
        };
        (segment, path)
    };
    (0..count).map(segment).collect()
}
