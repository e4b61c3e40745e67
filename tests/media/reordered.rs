//! Pictures that come in another order than they are shown in, groups that are open, pictures that are refreshed bit by bit:
//! whatever ends a recording, all that came is there, and each picture that is shown is as it was encoded.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use camkeep::model::Timestamp;

use crate::daemon_site::{Row, Site};
use crate::kit::encoded::{Encoded, times};
use crate::kit::footage::Codec;
use crate::kit::player::{Player, Sent};
use crate::kit::wait::{pause, wait_until};

const PATIENCE: Duration = Duration::from_secs(40);

/// How a camera encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// B-frames, each group on its own.
    Closed,
    /// The same, and B-frames are made from B-frames.
    Pyramid,
    /// What is shown before a keyframe is made from pictures before it too.
    Open,
    /// No keyframes but the first; each picture brings a bit of one.
    Refresh,
    ClosedH265,
    OpenH265,
}

fn encode(kind: Kind, bframes: u32, fps: u32, seconds: u32, group: u32) -> Arc<Encoded> {
    let (codec, how) = match kind {
        Kind::Closed => (Codec::H264, "open-gop=0"),
        Kind::Pyramid => (Codec::H264, "b-pyramid=normal:open-gop=0"),
        Kind::Open => (Codec::H264, "open-gop=1"),
        Kind::Refresh => (Codec::H264, "intra-refresh=1"),
        Kind::ClosedH265 => (Codec::H265, "open-gop=0"),
        Kind::OpenH265 => (Codec::H265, "open-gop=1"),
    };
    let parameters = format!("keyint={group}:min-keyint={group}:b-adapt=0:bframes={bframes}:{how}");
    Arc::new(Encoded::new(codec, fps, seconds, "yuv420p", &parameters))
}

/// Draws what a test leaves open; whoever fails says from which seed.
struct Draw {
    seed: u64,
    random: fastrand::Rng,
}

impl Draw {
    fn new() -> Self {
        let told = std::env::var("CAMKEEP_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = told.unwrap_or_else(|| fastrand::u64(..));
        eprintln!("CAMKEEP_TEST_SEED={seed}");
        Self {
            seed,
            random: fastrand::Rng::with_seed(seed),
        }
    }
}

struct Camera {
    name: String,
    kind: Kind,
    bframes: u32,
    player: Player,
}

impl Camera {
    /// Each session begins somewhere in a part of the footage of its own. The first falls silent after so many pictures.
    fn start(draw: &mut Draw, kind: Kind, fps: u32, group: u32, silent_after: Option<usize>) -> Self {
        let bframes = match kind {
            Kind::Refresh => 0,
            Kind::Pyramid => 3,
            _ => draw.random.u32(1..4),
        };
        let footage = encode(kind, bframes, fps, 40, group);
        let begins: Vec<(usize, usize)> = [0, 17, 28]
            .into_iter()
            .enumerate()
            .map(|(session, second)| {
                let count = silent_after.filter(|_| session == 0).unwrap_or(usize::MAX);
                (second * fps as usize + draw.random.usize(0..2 * group as usize), count)
            })
            .collect();
        let silent = if silent_after.is_some() { "-silent" } else { "" };
        let player = Player::start(footage, move |session| begins[session.min(2)]);
        Self {
            name: format!("{kind:?}-{fps}-{group}-{bframes}{silent}").to_lowercase(),
            kind,
            bframes,
            player,
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.kind, Kind::Open | Kind::OpenH265)
    }

    fn sent(&self, session: usize) -> Vec<Sent> {
        let mut sent = self.player.sent();
        sent.retain(|sent| sent.session == session);
        sent
    }

    /// Pictures of a session that were sent before `until` and can be decoded by what came: not those that are shown before the
    /// first keyframe. In order of decoding.
    fn came(&self, session: usize, until: Instant) -> Vec<usize> {
        let pictures = &self.player.footage.pictures;
        let sent = self.sent(session).into_iter().filter(|sent| sent.at < until);
        let mut numbers = sent
            .map(|sent| sent.number)
            .skip_while(|number| !pictures[*number].is_key);
        let Some(first) = numbers.next() else { return Vec::new() };
        let behind = numbers.filter(|number| pictures[*number].shown > pictures[first].shown);
        std::iter::once(first).chain(behind).collect()
    }

    /// What is shown before a keyframe and decoded after it.
    fn leading(&self, key: usize) -> impl Iterator<Item = usize> {
        let pictures = &self.player.footage.pictures;
        let shown = pictures[key].shown;
        let behind = pictures[key + 1..].iter().map(|picture| picture.shown);
        behind.take_while(move |at| *at < shown)
    }

    /// Pictures lie in a file as far from each other as at the camera, decoding goes forward and is never behind showing, and the
    /// row says the same.
    #[track_caller]
    fn judge_times(&self, row: &Row, file: &Path, seed: u64) {
        let said = format!("{}, seed {seed}, {}", self.name, file.display());
        let times = times(file);
        assert_eq!(
            (row.frames, row.state.as_str()),
            (times.len() as u64, "whole"),
            "{said}"
        );
        let frame = 1.0 / f64::from(self.player.footage.fps);
        assert!(times.is_sorted_by(|one, next| one.1 < next.1), "{said}: {times:?}");
        assert!(times.iter().all(|(pts, dts)| *dts <= pts + 0.001), "{said}: {times:?}");
        let first = times[0].0;
        let mut shown: Vec<f64> = times.iter().map(|(pts, _)| pts - first).collect();
        shown.sort_by(f64::total_cmp);
        let steps = shown.windows(2).map(|pair| pair[1] - pair[0]);
        let is_off = |step: f64| (step - frame).abs() > 0.002;
        // A kill may leave a picture whose neighbours did not come.
        let off = steps.filter(|step| is_off(*step)).count();
        assert!(off <= 2, "{said}: {shown:?}");
        let lasts = shown.last().unwrap() + frame;
        let row_lasts = (row.end_ns - row.start_ns) as f64 / 1e9;
        // Where groups are open, the last pictures before a keyframe come behind it and lie in its file.
        let more = if self.is_open() {
            f64::from(self.bframes) * frame
        } else {
            0.0
        };
        assert!(
            (-0.01..0.01 + more).contains(&(row_lasts - lasts)),
            "{said}: {row_lasts} s of {lasts}"
        );
    }

    /// Judges the files of a camera against the pictures that have to be in them, in order of decoding: a file shows every
    /// picture that can be made from what is in it, and no other.
    #[track_caller]
    fn judge(&self, files: &[impl AsRef<Path>], due: &[usize], seed: u64) {
        let (footage, name) = (&self.player.footage, &self.name);
        let mut shown: Vec<usize> = Vec::new();
        let mut hidden: Vec<usize> = Vec::new();
        let mut packets = 0;
        for file in files {
            let file = file.as_ref();
            let seen = footage.shown_in(file);
            packets += times(file).len();
            if self.kind == Kind::Refresh {
                // A file begins in the middle of a refresh, where nothing is right yet.
                shown.extend(seen.into_iter().flatten());
                continue;
            }
            assert!(
                seen.iter().all(Option::is_some),
                "{name}, seed {seed}: {} shows torn pictures: {seen:?}",
                file.display()
            );
            let first = seen[0].unwrap();
            let key = footage
                .pictures
                .iter()
                .position(|picture| picture.shown == first)
                .unwrap();
            assert!(footage.pictures[key].is_key, "{name}, seed {seed}: begins with {first}");
            hidden.extend(self.leading(key));
            shown.extend(seen.into_iter().flatten());
        }
        assert!(
            shown.is_sorted_by(|one, next| one < next),
            "{name}, seed {seed}: {shown:?}"
        );
        let lacks: Vec<usize> = due
            .iter()
            .map(|number| footage.pictures[*number].shown)
            .filter(|at| shown.binary_search(at).is_err() && !hidden.contains(at))
            .collect();
        if self.kind != Kind::Refresh {
            assert_eq!(
                lacks,
                Vec::<usize>::new(),
                "{name}, seed {seed}: of {} pictures",
                due.len()
            );
        }
        assert!(
            packets >= due.len(),
            "{name}, seed {seed}: {packets} of {} pictures",
            due.len()
        );
    }
}

/// A clip over all files of a run shows what each of them shows, and what is shown before a keyframe that begins one of them.
#[track_caller]
fn judge_clips(site: &Site, camera: &Camera, rows: &[Row], seed: u64) {
    let room = tempfile::tempdir().unwrap();
    for run in rows.chunk_by(|one, next| one.run == next.run) {
        let at = |nanos: i64| Timestamp::from_nanos(nanos);
        let (from, to) = (
            at(run[0].start_ns - 1_000_000),
            at(run[run.len() - 1].end_ns + 1_000_000),
        );
        let clip = room.path().join("clip.mp4");
        let target = format!("/api/v1/cameras/{}/clip.mp4?from={from}&to={to}", camera.name);
        let status = site.daemon().fetch(&target, &clip);
        assert_eq!(status, 200, "{}, seed {seed}: {target}", camera.name);
        let seen_in_clip = camera.player.footage.shown_in(&clip);
        let seen_in_clip: Vec<usize> = seen_in_clip.into_iter().flatten().collect();
        let mut due: Vec<usize> = Vec::new();
        for (number, row) in run.iter().enumerate() {
            let seen = camera.player.footage.shown_in(&site.path(&camera.name, row));
            if number > 0 && camera.is_open() {
                let first = seen[0].unwrap();
                let leading = due.last().map_or(first, |last| last + 1)..first;
                // Those before the last keyframe may not have come.
                let came = |at: &usize| number + 1 < run.len() || seen_in_clip.contains(at);
                due.extend(leading.filter(came));
            }
            due.extend(seen.into_iter().flatten());
        }
        assert_eq!(
            seen_in_clip, due,
            "{}, seed {seed}: a clip from {from} to {to}",
            camera.name
        );
    }
}

#[test]
fn a_stop_a_stall_and_a_kill_lose_no_picture_whatever_order_pictures_come_in() {
    let mut draw = Draw::new();
    let mut cameras = Vec::new();
    for kind in [
        Kind::Closed,
        Kind::Pyramid,
        Kind::Refresh,
        Kind::ClosedH265,
        Kind::OpenH265,
    ] {
        let fps = [5, 10, 25][draw.random.usize(..3)];
        let group = draw.random.u32(fps..2 * fps);
        cameras.push(Camera::start(&mut draw, kind, fps, group, None));
    }
    // Groups that are shorter than what a decoder may hold back.
    let group = draw.random.u32(2..4);
    cameras.push(Camera::start(&mut draw, Kind::Pyramid, 10, group, None));
    for kind in [Kind::Closed, Kind::Open] {
        let (group, count) = (draw.random.u32(4..9), draw.random.usize(20..28));
        cameras.push(Camera::start(&mut draw, kind, 5, group, Some(count)));
    }
    // Each of its keyframes begins a segment, and it is stopped right behind one.
    cameras.push(Camera::start(&mut draw, Kind::Open, 25, 50, None));
    let seed = draw.seed;
    let mut site = Site::start();
    for camera in &cameras {
        site.add(&camera.name, &camera.player.url(), 2);
    }
    let has_another = |camera: &Camera| (!camera.sent(1).is_empty()).then_some(());
    for camera in cameras.iter().filter(|camera| camera.name.ends_with("-silent")) {
        wait_until(PATIENCE, "a silent camera to be asked again", || has_another(camera));
    }
    pause(Duration::from_millis(draw.random.u64(0..2_000)));
    let killed = Instant::now();
    site.kill_9();
    site.boot();
    let edge = &cameras[cameras.len() - 1];
    let keys = |camera: &Camera| {
        let sent = camera.sent(1);
        sent.iter()
            .filter(|sent| camera.player.footage.pictures[sent.number].is_key)
            .count()
    };
    wait_until(PATIENCE, "another segment to begin", || (keys(edge) >= 3).then_some(()));
    pause(Duration::from_millis(draw.random.u64(0..150)));
    let stopped = Instant::now();
    site.stop();
    cameras.iter_mut().for_each(|camera| camera.player.end());
    site.boot();
    for camera in &cameras {
        let rows = site.rows(&camera.name);
        assert!(
            rows.iter().all(|row| !row.open),
            "{}, seed {seed}: {rows:?}",
            camera.name
        );
        let files: Vec<_> = rows.iter().map(|row| site.path(&camera.name, row)).collect();
        for (row, file) in rows.iter().zip(&files) {
            camera.judge_times(row, file, seed);
        }
        let is_silent = camera.name.ends_with("-silent");
        // A kill may cost a quarter of a second.
        let kept = killed - Duration::from_millis(250);
        let sessions = camera.player.sent().last().unwrap().session;
        let mut due = Vec::new();
        for session in 0..=sessions {
            let until = match session {
                0 if is_silent => stopped,
                0 => kept,
                1 if is_silent => kept,
                // What was on its way when it was stopped.
                _ => stopped - Duration::from_millis(200),
            };
            due.extend(camera.came(session, until));
        }
        camera.judge(&files, &due, seed);
        if camera.kind != Kind::Refresh {
            judge_clips(&site, camera, &rows, seed);
        }
    }
}
