//! How long timelines take: of a week, of a month and sixteen cameras, out of a thousand segments and out of a million;
//! from the index alone, and from the daemon over HTTP.
//!
//! `cargo bench --bench timeline` fills an index in a temporary directory (a minute) and prints a table. It ends with 1 when
//! a promise of `docs/benchmarks.md` does not hold. No footage is made: the rows name files on a mirror that is not there.
//! `CAMKEEP_BENCH_DATA=DIR` keeps what was filled, and measures it again the next time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camkeep::index::{Index, KnownVolume, Reader, Writer};
use camkeep::model::{
    Camera, CameraId, ClockSource, Codec, Container, Copy, CopyState, Gap, GapCause, GapFate, GapId, Loss, Origin,
    RunId, Segment, SegmentId, SegmentState, Span, Timestamp, VideoFormat, VolumeId, VolumeRole,
};
use camkeep::runtime::{Clock, SystemClock};
use camkeep::storage::SealKey;
use camkeep::timeline;
use uuid::Uuid;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// A camera is lost for three quarters of a minute every eight hours.
const RUN: u32 = 480;
const AWAY: Duration = Duration::from_secs(45);
/// What is promised for the slowest of a hundred.
const TARGET: Duration = Duration::from_millis(20);
/// How much more a query may cost out of a million segments than out of a thousand.
const GROWTH: f64 = 1.5;
const ROUNDS: usize = 400;

fn main() {
    let now = SystemClock.now();
    let room = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("CAMKEEP_BENCH_DATA").map(PathBuf::from);
    let data = kept.unwrap_or_else(|| room.path().to_owned());
    let few = Place::open(data.join("few"), 1, 1_000, now);
    let many = Place::open(data.join("many"), 16, 62_500, now);
    let mut table = Table::default();
    println!("| query | through | p50 | p99 | slowest | processor, p50 |\n|---|---|---|---|---|---|");

    let week = |r: &Reader<'_>, place: &Place| {
        let found = timeline::timeline(r, &place.cameras[0], place.window(7 * DAY)).unwrap();
        assert!((10_000..=10_100).contains(&found.segments), "{}", found.segments);
    };
    table.index("7 days of one camera (10,080 segments)", &many, week);
    table.http("7 days of one camera (10,080 segments)", &many, |place| {
        format!(
            "cameras/{}/timeline?{}",
            place.cameras[0].id,
            query(place.window(7 * DAY))
        )
    });
    let month = |r: &Reader<'_>, place: &Place| {
        let window = place.window(30 * DAY);
        for camera in &place.cameras {
            let lane = timeline::lane(r, camera, window, now, window.duration() / 2000).unwrap();
            assert!(lane.gaps.len() > 80, "{}", lane.gaps.len());
        }
    };
    table.index("30 days of 16 cameras (691,200 segments)", &many, month);
    table.http("30 days of 16 cameras (691,200 segments)", &many, |place| {
        format!("timeline?{}", query(place.window(30 * DAY)))
    });

    let half_a_day = |r: &Reader<'_>, place: &Place| {
        timeline::timeline(r, &place.cameras[0], place.window(DAY / 2)).unwrap();
    };
    let over_http = |place: &Place| {
        let window = query(place.window(DAY / 2));
        format!("cameras/{}/timeline?{window}", place.cameras[0].id)
    };
    let page = |place: &Place| {
        let window = query(place.window(DAY / 2));
        format!("cameras/{}/segments?{window}&limit=100", place.cameras[0].id)
    };
    let pairs = [
        [&few, &many].map(|place| table.index(&format!("12 hours out of {}", place.said), place, half_a_day)),
        [&few, &many].map(|place| table.http(&format!("12 hours out of {}", place.said), place, over_http)),
        [&few, &many].map(|place| table.http(&format!("100 rows out of {}", place.said), place, page)),
    ];
    println!();
    for [small, large] in pairs {
        let growth = large.as_secs_f64() / small.as_secs_f64();
        println!("a thousand times the segments: {growth:.2} times the time");
        table.held &= growth <= GROWTH;
    }
    let verdict = if table.held { "held" } else { "NOT HELD" };
    println!("p99 below {} ms, growth below {GROWTH}: {verdict}", TARGET.as_millis());
    std::process::exit(i32::from(!table.held));
}

fn query(window: Span) -> String {
    format!("from={}&to={}", window.start, window.end)
}

/// What was measured so far.
struct Table {
    held: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self { held: true }
    }
}

impl Table {
    /// Measures a look into the index, in one transaction each; gives the median.
    fn index(&mut self, name: &str, place: &Place, look: impl Fn(&Reader<'_>, &Place)) -> Duration {
        self.measure(name, "index", || {
            place
                .index
                .read_blocking(|r| {
                    look(r, place);
                    Ok(())
                })
                .unwrap();
        })
    }

    /// Measures a request over a connection that stays open, to the last byte of the answer.
    fn http(&mut self, name: &str, place: &Place, path: impl Fn(&Place) -> String) -> Duration {
        let daemon = Daemon::start(&place.data);
        let agent = ureq::Agent::new_with_defaults();
        self.measure(name, "HTTP", || {
            let url = format!("{}/api/v1/{}", daemon.address, path(place));
            let mut answer = agent.get(url).call().unwrap();
            assert!(answer.body_mut().read_to_string().unwrap().len() > 100);
        })
    }

    fn measure(&mut self, name: &str, through: &str, mut once: impl FnMut()) -> Duration {
        for _ in 0..ROUNDS / 10 {
            once();
        }
        let (mut took, mut worked): (Vec<Duration>, Vec<Duration>) = (0..ROUNDS)
            .map(|_| {
                let (begun, worked) = (Instant::now(), processor_time());
                once();
                (begun.elapsed(), processor_time().saturating_sub(worked))
            })
            .unzip();
        took.sort_unstable();
        worked.sort_unstable();
        let [p50, p99, most] = [ROUNDS / 2, ROUNDS * 99 / 100, ROUNDS - 1].map(|place| took[place]);
        let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
        // Through HTTP the work is the daemon's.
        let work = if through == "index" {
            ms(worked[ROUNDS / 2])
        } else {
            "-".to_owned()
        };
        println!(
            "| {name} | {through} | {} | {} | {} | {work} |",
            ms(p50),
            ms(p99),
            ms(most)
        );
        self.held &= p99 < TARGET;
        p50
    }
}

/// What this thread has used of a processor: a busy machine makes a query wait, but not work more.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A data directory whose index is full.
struct Place {
    data: PathBuf,
    index: Index,
    cameras: Vec<Camera>,
    all: Span,
    said: String,
}

impl Place {
    /// So many cameras with so many segments of a minute each, up to now or to when they were filled.
    fn open(data: PathBuf, cameras: u32, segments: u32, now: Timestamp) -> Self {
        std::fs::create_dir_all(&data).unwrap();
        let seal = SealKey::load_or_make(&data.join("secret.key")).unwrap();
        let index = Index::open(data.join("index.db"), Arc::new(seal)).unwrap();
        if index.read_blocking(|r| r.count_segments(None)).unwrap() == 0 {
            fill(&index, cameras, segments, now);
        }
        let (count, cameras) = index
            .read_blocking(|r| Ok((r.count_segments(None)?, r.cameras()?)))
            .unwrap();
        let start = cameras[0].created_at;
        let end = start.plus(MINUTE * segments + AWAY * (segments / RUN));
        Self {
            said: if count > 1_000 { "a million" } else { "a thousand" }.to_owned(),
            all: Span::new(start, end),
            data,
            index,
            cameras,
        }
    }

    /// A window of this length somewhere in the footage.
    fn window(&self, length: Duration) -> Span {
        let room = self.all.duration().saturating_sub(length + AWAY);
        let start = self.all.start.plus(room.mul_f64(fastrand::f64()));
        Span::new(start, start.plus(length))
    }
}

fn fill(index: &Index, cameras: u32, segments: u32, now: Timestamp) {
    let begun = Instant::now();
    let start = now.minus(MINUTE * segments + AWAY * (segments / RUN));
    let cameras: Vec<Camera> = (0..cameras).map(|number| camera(number, start)).collect();
    let known = cameras.clone();
    index
        .write_blocking(move |w| {
            w.put_volume(&mirror(start))?;
            known.iter().try_for_each(|camera| w.insert_camera(camera))
        })
        .unwrap();
    for (number, camera) in (0_u128..).zip(&cameras) {
        for chunk in (0..segments).collect::<Vec<u32>>().chunks(5_000) {
            let (camera, chunk) = (camera.id.clone(), chunk.to_vec());
            index
                .write_blocking(move |w| chunk.iter().try_for_each(|n| add(w, &camera, number, *n, start)))
                .unwrap();
        }
    }
    while index.write_blocking(|w| w.sum_up(1_000)).unwrap() > 0 {}
    eprintln!(
        "{} segments were written in {:.1} s",
        cameras.len() * segments as usize,
        begun.elapsed().as_secs_f64()
    );
}

fn camera(number: u32, at: Timestamp) -> Camera {
    let id = CameraId::parse(&format!("camera-{number:02}")).unwrap();
    // Nobody is called: the daemon only answers.
    Camera {
        enabled: false,
        ..Camera::new(id, format!("Camera {number}"), at)
    }
}

fn mirror(at: Timestamp) -> KnownVolume {
    KnownVolume {
        id: VolumeId(Uuid::from_u128(2)),
        role: VolumeRole::Mirror,
        root: "nowhere".into(),
        created_at: at,
    }
}

/// A minute of a camera, and the gap before it where a run begins.
fn add(
    w: &Writer<'_>,
    camera: &CameraId,
    number: u128,
    n: u32,
    start: Timestamp,
) -> Result<(), camkeep::index::IndexError> {
    let (run, sequence) = (n / RUN, n % RUN);
    let at = start.plus(MINUTE * n + AWAY * run);
    let span = Span::new(at, at.plus(MINUTE));
    if sequence == 0 && run > 0 {
        w.insert_gap(&Gap {
            id: GapId(0),
            camera: camera.clone(),
            span: Span::new(at.minus(AWAY), at),
            open: false,
            cause: GapCause::Lost(Loss::Stalled),
            fate: GapFate::Pending,
            attempts: 0,
            last_attempt_at: None,
            filled_at: None,
            recovered_seconds: 0.0,
        })?;
    }
    w.close_segment(&Segment {
        id: SegmentId(Uuid::from_u128((number << 64) | u128::from(n))),
        camera: camera.clone(),
        run: RunId(run),
        sequence,
        span,
        holes: Vec::new(),
        format: VideoFormat {
            codec: Codec::H264,
            width: 1920,
            height: 1080,
            fps: Some(25.0),
        },
        has_audio: false,
        container: Container::Mp4,
        state: SegmentState::Closed,
        origin: Origin::Live,
        clock: ClockSource::Arrival,
        camera_clock: None,
        lost_packets: 0,
        frames: 1500,
        created_at: at,
        copies: vec![Copy {
            volume: VolumeId(Uuid::from_u128(2)),
            path: format!("{camera}/{n:08}.mp4"),
            size_bytes: 15_000_000,
            sha256: Some([7; 32]),
            state: CopyState::Whole,
        }],
    })
}

/// The real one, on a free port.
struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_camkeep"))
            .args(["run", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("NO_COLOR", "1")
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let address = lines.find_map(|line| {
            let word = line.split_once("address=")?.1.split_whitespace().next()?.to_owned();
            line.contains("listening").then_some(word)
        });
        let address = address.expect("the daemon said where it listens");
        // Whatever it still says is read, or it would wait for a reader.
        camkeep::runtime::spawn_thread("log", move || lines.for_each(drop)).unwrap();
        Self {
            child,
            address: address.trim_matches('"').trim_end_matches('/').to_owned(),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
