//! Recording modes: what an event keeps from before it, what is written while nothing happens, and when windows open.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use camkeep::model::{
    Camera, CameraId, CameraState, Days, EventKind, News, RecordMode, Schedule, ScheduleId, Segment, Timestamp,
};
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use camkeep::record::{Cause, Refusal, Triggered};
use camkeep::runtime::{Clock, SystemClock};
use tempfile::TempDir;

use crate::kit;
use crate::kit::daemon::Daemon;
use crate::kit::desk::Equipment;
use crate::kit::referee::{self, Stamp};
use crate::kit::wait::{pause, wait_until};

/// One group of pictures of the small camera, and what a busy machine adds.
const GOP_MS: i64 = 1000 + 100;

/// A recorder of one camera.
struct Desk {
    desk: kit::desk::Desk,
    camera: Camera,
    clock: Arc<dyn Clock>,
}

impl Deref for Desk {
    type Target = kit::desk::Desk;

    fn deref(&self) -> &Self::Target {
        &self.desk
    }
}

impl DerefMut for Desk {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.desk
    }
}

impl Desk {
    /// Takes up a camera as it is after `change`.
    fn new(fake: &FakeCamera, clock: Arc<dyn Clock>, change: impl FnOnce(&mut Camera)) -> Self {
        let desk = kit::desk::Desk::with(Equipment {
            clock: clock.clone(),
            remember: Duration::from_secs(3),
            ..Equipment::default()
        });
        let id = CameraId::parse("door").unwrap();
        let mut camera = Camera::new(id, "Door".into(), Timestamp::EPOCH);
        camera.main_stream_url = Some(fake.url().as_str().into());
        change(&mut camera);
        Self { desk, camera, clock }
    }

    fn events(fake: &FakeCamera, pre_roll: u32, post_roll: u32) -> Self {
        let desk = Self::new(fake, SystemClock::shared(), |camera| {
            camera.record_mode = RecordMode::Event;
            (camera.pre_roll_seconds, camera.post_roll_seconds) = (pre_roll, post_roll);
            camera.segment_seconds = 4;
        });
        desk.adopt(Vec::new());
        desk.wait_for_state(CameraState::Idle);
        desk
    }

    fn adopt(&self, schedules: Vec<Schedule>) {
        let _inside = self.runtime.enter();
        self.recorder.adopt(self.camera.clone(), None, schedules);
    }

    fn change(&mut self, change: impl FnOnce(&mut Camera)) {
        change(&mut self.camera);
        let _inside = self.runtime.enter();
        self.recorder.apply(self.camera.clone());
    }

    fn state(&self) -> CameraState {
        self.recorder.camera_health(&self.camera.id).unwrap().state
    }

    #[track_caller]
    fn wait_for_state(&self, state: CameraState) {
        wait_until(Duration::from_secs(20), state.as_str(), || {
            (self.state() == state).then_some(())
        });
    }

    fn trigger(&self, seconds: u64) -> Result<Triggered, Refusal> {
        let length = Duration::from_secs(seconds);
        self.trigger_for(length, None)
    }

    fn trigger_for(&self, lasts: Duration, reason: Option<&str>) -> Result<Triggered, Refusal> {
        let reason = reason.map(str::to_owned);
        let cause = Cause { reason, lasts };
        self.runtime.block_on(self.recorder.trigger(&self.camera.id, cause))
    }

    #[track_caller]
    fn wait_for_unwanted(&mut self, count: usize) {
        wait_until(Duration::from_secs(40), "nothing is wanted any more", || {
            self.listen();
            (self.count(|news| matches!(news, News::Unwanted { .. })) >= count).then_some(())
        });
        wait_until(Duration::from_secs(10), "every segment is closed", || {
            self.listen();
            let opened = self.count(|news| matches!(news, News::Opened(segment) if segment.copies.is_empty()));
            (self.count(|news| matches!(news, News::Closed(_))) == opened).then_some(())
        });
    }

    /// What the referee reads in the files, in order; each file alone is clean and says when its frames were taken.
    #[track_caller]
    fn stamps(&self, segments: &[Segment]) -> Vec<Stamp> {
        let mut all = Vec::new();
        for segment in segments {
            let path = self.volume.absolute(&segment.copies[0].path);
            assert_eq!(referee::decode_errors(&path), Vec::<String>::new());
            let stamps = referee::read_stamps(&path);
            assert_eq!(stamps.len() as u64, segment.frames, "frames of {}", path.display());
            let off = ms_after(&stamps[0], segment.span.start);
            assert!(off.abs() <= 50, "{} begins {off} ms off", path.display());
            all.extend(stamps);
        }
        let wrong = referee::missing_or_doubled(&all);
        assert!(wrong.is_nothing(), "{wrong:?}");
        all
    }

    /// Files of footage and of journals, wherever they lie.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        walk(self.room.path(), &mut files);
        files.retain(|name| name.ends_with(".mp4") || name.contains("tail"));
        files
    }
}

fn walk(directory: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), files);
        } else {
            files.push(entry.path().display().to_string());
        }
    }
}

fn ms_after(stamp: &Stamp, moment: Timestamp) -> i64 {
    (stamp.time_ns - moment.as_nanos()) / 1_000_000
}

/// The footage of an event begins at most a group of pictures before what was wanted and ends at most one after it.
#[track_caller]
fn assert_reaches(stamps: &[Stamp], from: Timestamp, until: Timestamp) {
    let begins = ms_after(&stamps[0], from);
    assert!(
        stamps[0].keyframe && (-GOP_MS..=0).contains(&begins),
        "begins {begins} ms after what was wanted"
    );
    let ends = ms_after(stamps.last().unwrap(), until) + 40;
    assert!((-50..=GOP_MS).contains(&ends), "ends {ends} ms after what was wanted");
}

#[test]
fn an_event_is_kept_with_real_frames_from_before_it_and_nothing_is_written_until_then() {
    let fake = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::events(&fake, 5, 3);
    pause(Duration::from_secs(8));
    desk.listen();
    assert_eq!(desk.files(), Vec::<String>::new());
    assert!(
        matches!(&desk.news[..], [News::Unwanted { .. }, News::Happened(_)]),
        "{:?}",
        desk.news
    );
    let held = desk.recorder.tail(&desk.camera.id).unwrap();
    let seconds = held.snapshot().len() as f64 / 25.0;
    assert!(
        (6.9..=8.2).contains(&seconds),
        "pre-roll, two seconds and a group of pictures, not {seconds} s"
    );

    let triggered = desk.trigger(1).unwrap();
    assert!(!triggered.extended);
    assert!((triggered.until.since(triggered.from).as_secs_f64() - 9.0).abs() < 0.1);
    desk.wait_for_state(CameraState::Recording);
    desk.wait_for_unwanted(2);
    desk.wait_for_state(CameraState::Idle);
    let segments = desk.closed();
    let stamps = desk.stamps(&segments);
    assert_reaches(&stamps, triggered.from, triggered.until);
    assert!(segments.len() >= 2, "{}", segments.len());
    for pair in segments.windows(2) {
        assert_eq!((pair[0].span.end, pair[0].run), (pair[1].span.start, pair[1].run));
    }
    // What the timeline was told is what the frames say.
    let told = desk.news.iter().filter_map(|news| match news {
        News::Regained { at, .. } | News::Unwanted { at, .. } => Some(*at),
        _ => None,
    });
    let told: Vec<Timestamp> = told.skip(1).collect();
    assert_eq!(told, [segments[0].span.start, segments.last().unwrap().span.end]);

    // A second one, later, is another run: between the two nothing joins.
    let files = desk.files();
    pause(Duration::from_secs(7));
    assert_eq!(desk.files(), files, "nothing is written between events");
    let triggered = desk.trigger(0).unwrap();
    desk.wait_for_unwanted(3);
    desk.stop();
    let second: Vec<Segment> = desk.closed().split_off(segments.len());
    assert_ne!(second[0].run, segments[0].run);
    assert!(second[0].span.start >= segments.last().unwrap().span.end);
    assert_reaches(&desk.stamps(&second), triggered.from, triggered.until);
    assert!(!desk.news.iter().any(|news| matches!(news, News::Lost { .. })));
    assert_eq!(fake.count_sessions().total, 1);
}

#[test]
fn triggers_that_overlap_make_one_recording() {
    let fake = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::events(&fake, 2, 4);
    pause(Duration::from_secs(3));
    let contact = Some("door contact");
    let first = desk.trigger_for(Duration::ZERO, contact).unwrap();
    desk.trigger_for(Duration::ZERO, contact).unwrap();
    pause(Duration::from_millis(2500));
    let second = desk.trigger_for(Duration::ZERO, Some("glass break")).unwrap();
    assert!(second.extended && second.until > first.until);
    desk.wait_for_unwanted(2);
    desk.stop();
    let segments = desk.closed();
    assert!(segments.iter().all(|segment| segment.run == segments[0].run));
    assert_reaches(&desk.stamps(&segments), first.from, second.until);
    assert_eq!(fake.count_sessions().total, 1);
    let told: Vec<&str> = desk
        .news
        .iter()
        .filter_map(|news| match news {
            News::Happened(event) if event.kind == EventKind::Triggered => Some(event.message.as_str()),
            _ => None,
        })
        .collect();
    let [begins, extended] = told[..] else {
        panic!("each reason is told once: {told:?}")
    };
    assert!(
        begins.starts_with("an event begins, door contact: recorded from"),
        "{begins}"
    );
    assert!(
        extended.starts_with("an event is extended, glass break: "),
        "{extended}"
    );
}

#[test]
fn an_event_right_after_another_misses_and_doubles_no_frame() {
    let fake = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::events(&fake, 5, 1);
    pause(Duration::from_secs(2));
    let first = desk.trigger(0).unwrap();
    desk.wait_for_unwanted(2);
    // Its pre-roll reaches back over the end of the first.
    let second = desk.trigger(0).unwrap();
    desk.wait_for_unwanted(3);
    desk.stop();
    let segments = desk.closed();
    let stamps = desk.stamps(&segments);
    assert!(ms_after(stamps.last().unwrap(), second.until) >= -50 && first.from < second.from);
    for pair in segments.windows(2) {
        assert_eq!((pair[0].span.end, pair[0].run), (pair[1].span.start, pair[1].run));
    }
}

#[test]
fn pictures_that_change_while_they_are_held_are_all_kept() {
    let fake = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::events(&fake, 6, 1);
    pause(Duration::from_secs(3));
    fake.change_resolution(640, 360).unwrap();
    pause(Duration::from_secs(3));
    let triggered = desk.trigger(0).unwrap();
    desk.wait_for_unwanted(2);
    desk.stop();
    let segments = desk.closed();
    let widths: Vec<u32> = segments.iter().map(|segment| segment.format.width).collect();
    assert!(
        widths.starts_with(&[320]) && widths.ends_with(&[640]) && widths.is_sorted(),
        "{widths:?}"
    );
    let stamps = desk.stamps(&segments);
    assert!(ms_after(stamps.last().unwrap(), triggered.until) >= -50);
    assert!(
        ms_after(&stamps[0], triggered.until) < -5500,
        "frames from before the change"
    );
}

#[test]
fn another_mode_takes_effect_at_once_and_in_the_same_session() {
    let fake = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::events(&fake, 2, 2);
    assert_eq!(desk.trigger(0).map(|_| ()), Ok(()));
    desk.wait_for_state(CameraState::Recording);
    desk.change(|camera| camera.record_mode = RecordMode::Continuous);
    assert_eq!(desk.trigger(0), Err(Refusal::Mode(RecordMode::Continuous)));
    pause(Duration::from_secs(6));
    assert_eq!(desk.state(), CameraState::Recording);
    desk.change(|camera| camera.record_mode = RecordMode::Event);
    desk.wait_for_state(CameraState::Idle);
    desk.change(|camera| camera.record_enabled = false);
    desk.wait_for_state(CameraState::Disabled);
    desk.stop();
    let stamps = desk.stamps(&desk.closed());
    assert!(stamps.len() > 6 * 25, "{}", stamps.len());
    assert_eq!(fake.count_sessions().total, 1);
}

/// The machine's clock, with the wall elsewhere in the day.
#[derive(Debug)]
struct Shifted(i64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        SystemClock.now().offset(self.0)
    }

    fn instant(&self) -> camkeep::runtime::Instant {
        SystemClock.instant()
    }
}

#[test]
fn a_window_is_recorded_from_its_first_moment_to_its_last_and_not_even_connected_to_outside() {
    let fake = FakeCamera::start(StreamOptions::small()).unwrap();
    // It is 15 s before ten in Berlin.
    let ten = Timestamp::parse("2026-11-20T09:00:00Z").unwrap();
    let shift = ten.nanos_since(SystemClock.now()) - 15_000_000_000;
    let mut desk = Desk::new(&fake, Arc::new(Shifted(shift)), |camera| {
        camera.record_mode = RecordMode::Scheduled;
        camera.segment_seconds = 30;
    });
    let minute = Schedule {
        id: ScheduleId(1),
        camera: desk.camera.id.clone(),
        days: Days::from_list(&[4]).unwrap(),
        start_minute: 600,
        end_minute: 601,
        zone: "Europe/Berlin".into(),
        enabled: true,
    };
    desk.adopt(vec![minute]);
    pause(Duration::from_secs(3));
    assert_eq!((desk.state(), fake.count_sessions().total), (CameraState::Idle, 0));
    desk.wait_for_state(CameraState::Recording);
    assert!(desk.clock.now() >= ten);
    wait_until(Duration::from_secs(80), "the window is closed", || {
        (desk.clock.now() >= ten.plus(Duration::from_secs(72))).then_some(())
    });
    assert_eq!(desk.state(), CameraState::Idle);
    assert_eq!(
        fake.count_sessions().current,
        0,
        "nobody is connected outside the window"
    );
    desk.wait_for_unwanted(2);
    desk.stop();
    let segments = desk.closed();
    let (first, last) = (&segments[0].span, &segments.last().unwrap().span);
    let begins = first.start.nanos_since(ten) / 1_000_000;
    assert!((-GOP_MS..=0).contains(&begins), "begins {begins} ms after ten");
    let ends = last.end.nanos_since(ten.plus(Duration::from_secs(60))) / 1_000_000;
    assert!((0..=GOP_MS).contains(&ends), "ends {ends} ms after one minute past");
    let files = segments
        .iter()
        .map(|segment| desk.volume.absolute(&segment.copies[0].path));
    let stamps: Vec<Stamp> = files.flat_map(|path| referee::read_stamps(&path)).collect();
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    assert_eq!(fake.count_sessions().total, 1);
    assert!(
        !desk
            .news
            .iter()
            .any(|news| matches!(news, News::Lost { .. } | News::Wanted { .. }))
    );
}

#[test]
fn an_event_while_the_camera_is_away_is_missing_from_its_pre_roll_on() {
    let fake = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::events(&fake, 2, 6);
    fake.refuse(true).unwrap();
    fake.drop_clients().unwrap();
    desk.wait_for_state(CameraState::Offline);
    desk.listen();
    assert!(
        !desk.news.iter().any(|news| matches!(news, News::Lost { .. })),
        "nothing was to be recorded yet"
    );
    let triggered = desk.trigger(0).unwrap();
    fake.refuse(false).unwrap();
    desk.wait_for_unwanted(2);
    desk.stop();
    let lost = desk.news.iter().find_map(|news| match news {
        News::Lost { at, .. } => Some(*at),
        _ => None,
    });
    let off = lost.unwrap().nanos_since(triggered.from) / 1_000_000;
    assert!(off.abs() < 50, "{off} ms");
    let regained = desk
        .news
        .iter()
        .any(|news| matches!(news, News::Regained { at, .. } if *at > lost.unwrap()));
    assert!(regained && !desk.closed().is_empty());
}

#[test]
fn what_a_daemon_waited_through_is_no_gap_even_if_it_was_killed_meanwhile() {
    let fake = FakeCamera::start(StreamOptions::small()).unwrap();
    let room = TempDir::new().unwrap();
    let data = room.path().join("data");
    let daemon = Daemon::start(&data);
    let door = serde_json::json!({"name": "Door", "main_stream_url": fake.url(), "record_mode": "event",
        "pre_roll_seconds": 2, "post_roll_seconds": 1});
    daemon.post("/api/v1/cameras", &door).ok();
    let state = |daemon: &Daemon| daemon.get("/api/v1/cameras/door/health").ok()["state"].clone();
    let wait_for = |daemon: &Daemon, wanted: &str| {
        wait_until(Duration::from_secs(20), wanted, || {
            (state(daemon) == *wanted).then_some(())
        });
    };
    wait_for(&daemon, "idle");
    pause(Duration::from_secs(4));
    let answer = daemon.post(
        "/api/v1/cameras/door/record-trigger",
        &serde_json::json!({"reason": "test"}),
    );
    assert_eq!(answer.ok()["extended"], false);
    wait_for(&daemon, "recording");
    wait_for(&daemon, "idle");
    pause(Duration::from_secs(4));
    assert_eq!(daemon.kill_9().signal, Some(9));
    pause(Duration::from_secs(4));
    let daemon = Daemon::start(&data);
    wait_for(&daemon, "idle");
    let gaps = daemon.get("/api/v1/cameras/door/gaps").ok();
    let causes: Vec<&str> = gaps
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| gap["cause"].as_str().unwrap())
        .collect();
    assert!(
        !causes.is_empty() && causes.iter().all(|cause| *cause == "not_wanted"),
        "{gaps}"
    );
    assert_eq!(
        daemon.get("/api/v1/cameras/door/recording-gaps").ok(),
        serde_json::json!([])
    );
    let coverage = daemon.get("/api/v1/cameras/door/coverage").ok();
    assert_eq!(coverage["percent"], 100.0, "{coverage}");
    let recorded = coverage["recorded_seconds"].as_f64().unwrap();
    assert!((3.0..=5.2).contains(&recorded), "{coverage}");
    daemon.terminate();
}
