//! Changes of settings while a camera is recorded: what is written goes on, frame by frame.

use std::time::Duration;

use camkeep::model::{
    Camera, CameraId, CameraState, GapCause, Loss, News, RecordStream, RunId, Secret, Segment, TimeSource, Transport,
};
use camkeep::pipeline::demo::{AudioCodec, CameraOptions, FakeCamera, Login, Microphone, StreamOptions, VideoCodec};

use crate::daemon_site::{Site, lost_frames, now_ns};
use crate::kit::desk::Desk;
use crate::kit::proxy::Proxy;
use crate::kit::referee::{self, Stamp};
use crate::kit::wait::{pause, wait_until};

/// A change, as the person makes it.
type Change = Box<dyn FnOnce(&mut Camera)>;

/// A recorder of one camera whose settings are changed one by one.
struct Scene {
    desk: Desk,
    url: String,
    settings: Camera,
    id: CameraId,
}

impl Scene {
    /// Records until a segment is closed.
    fn begin(url: &str, set: impl FnOnce(&mut Camera)) -> Self {
        let mut desk = Desk::new();
        let mut settings = None;
        let id = desk.record_with(url, 4, |camera| {
            set(camera);
            settings = Some(camera.clone());
        });
        desk.wait_for_closed(1, 20);
        Self {
            desk,
            url: url.to_owned(),
            settings: settings.unwrap(),
            id,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Camera)) {
        change(&mut self.settings);
        let settings = self.settings.clone();
        self.desk.record_with(&self.url, 4, |camera| *camera = settings);
    }

    fn runs(&self) -> Vec<RunId> {
        let mut runs: Vec<RunId> = self.desk.closed().iter().map(|segment| segment.run).collect();
        runs.dedup();
        runs
    }

    /// Waits until `count` runs have closed a segment each.
    #[track_caller]
    fn wait_for_runs(&mut self, count: usize) {
        wait_until(Duration::from_secs(60), "another run records", || {
            self.desk.listen();
            (self.runs().len() >= count).then_some(())
        });
    }

    fn causes(&self) -> Vec<GapCause> {
        let causes = self.desk.news.iter().filter_map(|news| match news {
            News::Lost { cause, .. } => Some(*cause),
            _ => None,
        });
        causes.collect()
    }

    /// What people were told.
    fn told(&self) -> Vec<&str> {
        let told = self.desk.news.iter().filter_map(|news| match news {
            News::Happened(event) => Some(event.message.as_str()),
            _ => None,
        });
        told.collect()
    }

    /// Stops; every file is clean, and the rows join from the first to the last.
    #[track_caller]
    fn end(&mut self) -> Vec<Segment> {
        self.desk.stop();
        assert_eq!(self.causes(), [GapCause::Stopped], "no gap before the end");
        let closed = self.desk.closed();
        for segment in &closed {
            let path = self.desk.path(segment);
            assert_eq!(
                referee::decode_errors(&path),
                Vec::<String>::new(),
                "{}",
                path.display()
            );
            let stamps = referee::read_stamps(&path);
            assert_eq!(stamps.len() as u64, segment.frames, "frames of {}", path.display());
            let off = segment.span.start.as_nanos() - stamps[0].time_ns;
            assert!(
                off.abs() <= 50_000_000,
                "{} begins {} ms off",
                path.display(),
                off / 1_000_000
            );
        }
        for pair in closed.windows(2) {
            assert_eq!(
                pair[0].span.end, pair[1].span.start,
                "rows join, whatever run they are of"
            );
        }
        closed
    }

    /// The same, and every frame from the first to the last was written once.
    #[track_caller]
    fn end_exactly(&mut self, runs: usize) -> Vec<Stamp> {
        let closed = self.end();
        assert_eq!(self.runs().len(), runs);
        let stamps = self.desk.stamps(&closed);
        let wrong = referee::missing_or_doubled(&stamps);
        assert!(wrong.is_nothing(), "{wrong:?}");
        stamps
    }
}

/// The same stream by another name: one encoder serves both, so that frames can be compared by their numbers.
fn other_url(camera: &FakeCamera) -> String {
    camera.url().replace("127.0.0.1", "localhost")
}

#[track_caller]
fn loses_nothing(camera: &FakeCamera, begin: impl FnOnce(&mut Camera), changes: Vec<Change>) {
    let mut scene = Scene::begin(&camera.url(), begin);
    for (n, change) in changes.into_iter().enumerate() {
        scene.change(change);
        scene.wait_for_runs(n + 2);
    }
    scene.end_exactly(scene.runs().len());
}

#[test]
fn another_url_of_the_same_stream_is_taken_up_without_a_frame_missing_or_doubled() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let urls = [other_url(&camera), camera.url(), other_url(&camera)];
    let changes =
        urls.map(|url| -> Change { Box::new(move |settings| settings.main_stream_url = Some(Secret::new(url))) });
    loses_nothing(&camera, |_| {}, changes.into());
    assert_eq!(camera.count_sessions().total, 4);
    assert!(camera.count_sessions().current <= 1);
}

#[test]
fn datagrams_and_back_lose_nothing() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let transport = |transport| -> Change { Box::new(move |settings: &mut Camera| settings.transport = transport) };
    let changes = vec![transport(Transport::Udp), transport(Transport::Tcp)];
    loses_nothing(&camera, |settings| settings.transport = Transport::Tcp, changes);
}

#[test]
fn another_password_loses_nothing() {
    let options = CameraOptions::from(StreamOptions::small()).with_login("admin", "first");
    let camera = FakeCamera::start(options).unwrap();
    let login = |password: &str| {
        let password = Secret::new(password);
        move |settings: &mut Camera| {
            settings.username = Some("admin".into());
            settings.password = Some(password);
        }
    };
    let mut scene = Scene::begin(&camera.url(), login("first"));
    let next = Login {
        user: "admin".into(),
        password: "second".into(),
    };
    camera.set_password(Some(&next)).unwrap();
    scene.change(login("second"));
    scene.wait_for_runs(2);
    scene.end_exactly(2);
}

#[test]
fn a_camera_whose_groups_of_pictures_are_long_is_handed_over_as_well() {
    let options = StreamOptions {
        key_on_play: false,
        ..StreamOptions::small().with_gop(Duration::from_secs(4))
    };
    let camera = FakeCamera::start(options).unwrap();
    let url = other_url(&camera);
    let change: Change = Box::new(move |settings| settings.main_stream_url = Some(Secret::new(url)));
    loses_nothing(&camera, |_| {}, vec![change]);
}

#[test]
fn b_frames_are_handed_over_in_order() {
    let camera = FakeCamera::start(StreamOptions {
        bframes: 2,
        ..StreamOptions::small()
    })
    .unwrap();
    let mut scene = Scene::begin(&camera.url(), |_| {});
    let url = other_url(&camera);
    scene.change(|settings| settings.main_stream_url = Some(Secret::new(url)));
    scene.wait_for_runs(2);
    scene.desk.stop();
    let closed = scene.desk.closed();
    let wrong = referee::missing_or_doubled(&scene.desk.stamps(&closed));
    assert!(wrong.is_nothing(), "{wrong:?}");
    assert_eq!(scene.causes(), [GapCause::Stopped]);
}

/// From the large stream to the small one, which has frames of its own: at the seam lies no more than a frame.
fn to_the_small_stream(codec: VideoCodec) {
    let small = StreamOptions {
        path: "/sub".into(),
        codec,
        gop_frames: 40,
        ..StreamOptions::small()
    };
    let camera = FakeCamera::start(CameraOptions {
        streams: vec![StreamOptions::small(), small],
        ..CameraOptions::default()
    })
    .unwrap();
    let sub = camera.url_of("/sub");
    let mut scene = Scene::begin(&camera.url(), |settings| {
        settings.sub_stream_url = Some(Secret::new(sub));
    });
    scene.change(|settings| settings.record_stream = RecordStream::Sub);
    scene.wait_for_runs(2);
    let closed = scene.end();
    let first = closed[0].run;
    let of = |is_first: bool| -> Vec<Stamp> {
        let own: Vec<Segment> = closed
            .iter()
            .filter(|one| (one.run == first) == is_first)
            .cloned()
            .collect();
        scene.desk.stamps(&own)
    };
    let (before, after) = (of(true), of(false));
    for stamps in [&before, &after] {
        let wrong = referee::missing_or_doubled(stamps);
        assert!(wrong.is_nothing(), "{wrong:?}");
    }
    let seam = (after[0].time_ns - before.last().unwrap().time_ns) / 1_000_000;
    assert!((1..=100).contains(&seam), "{seam} ms lie between the two streams");
}

#[test]
fn another_stream_of_the_camera_follows_within_a_frame() {
    to_the_small_stream(VideoCodec::H264);
}

#[test]
fn another_stream_in_another_codec_follows_within_a_frame() {
    to_the_small_stream(VideoCodec::H265);
}

#[test]
fn sound_goes_over_to_the_new_session_with_its_pictures() {
    let camera = FakeCamera::start(StreamOptions {
        audio: AudioCodec::Aac,
        ..StreamOptions::small()
    })
    .unwrap();
    let mut scene = Scene::begin(&camera.url(), |settings| settings.record_audio = true);
    scene.change(|settings| settings.transport = Transport::Udp);
    scene.wait_for_runs(2);
    scene.change(|settings| settings.record_audio = false);
    scene.wait_for_runs(3);
    let closed = scene.end();
    let wrong = referee::missing_or_doubled(&scene.desk.stamps(&closed));
    assert!(wrong.is_nothing(), "{wrong:?}");
    let runs = scene.runs();
    assert_eq!(runs.len(), 3);
    for segment in &closed {
        let probe = referee::probe(&scene.desk.path(segment));
        assert_eq!(
            (probe.audio().is_some(), segment.has_audio),
            (segment.run != runs[2], segment.run != runs[2])
        );
        // What was kept back of the pictures had let its sound go ahead: at most that much stands over.
        let over = probe.seconds - segment.span.seconds();
        assert!(over < 1.2, "{over} s of sound without pictures");
    }
}

#[test]
fn a_new_session_waits_a_moment_for_the_sound_that_it_asked_for() {
    let silent = Duration::from_secs(8);
    let camera = FakeCamera::start(StreamOptions {
        audio: AudioCodec::Aac,
        microphone: Microphone::Late(silent),
        ..StreamOptions::small().with_gop(Duration::from_millis(400))
    })
    .unwrap();
    let mut scene = Scene::begin(&camera.url(), |_| {});
    // The new session is the one that records well before its sound comes, and less long before than sound is waited for.
    let begun = camera.sent_frames()[0].time_us as i64 * 1000;
    let change_at = begun + silent.as_nanos() as i64 - 900_000_000;
    wait_until(silent, "the microphone works soon", || {
        (now_ns() >= change_at).then_some(())
    });
    scene.change(|settings| settings.record_audio = true);
    scene.wait_for_runs(2);
    scene.end_exactly(2);
    let runs = scene.runs();
    for segment in scene.desk.closed() {
        assert_eq!(segment.has_audio, segment.run == runs[1], "{segment:?}");
    }
}

#[test]
fn another_clock_is_taken_up_without_a_frame_missing_or_doubled() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let change: Change = Box::new(|settings| settings.time_source = TimeSource::Camera);
    loses_nothing(&camera, |_| {}, vec![change]);
}

#[test]
fn a_camera_that_allows_one_session_is_left_and_asked_again_and_the_gap_is_told() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    camera.allow_sessions(1);
    let mut scene = Scene::begin(&camera.url(), |_| {});
    let url = other_url(&camera);
    scene.change(|settings| settings.main_stream_url = Some(Secret::new(url)));
    scene.wait_for_runs(2);
    scene.desk.stop();
    let causes = [GapCause::Changed, GapCause::Stopped];
    assert_eq!(scene.causes(), causes, "{:?}", scene.told());
    let (mut lost, mut regained) = (None, None);
    for news in &scene.desk.news {
        match news {
            News::Lost { at, .. } if lost.is_none() => lost = Some(*at),
            News::Regained { at, .. } if lost.is_some() && regained.is_none() => regained = Some(*at),
            _ => {}
        }
    }
    let (lost, regained) = (lost.unwrap(), regained.unwrap());
    let stamps = scene.desk.stamps(&scene.desk.closed());
    let seconds = (regained.as_nanos() - lost.as_nanos()) as f64 / 1e9;
    assert!((0.0..10.0).contains(&seconds), "{seconds} s");
    // The gap is what is missing, and nothing else is.
    let inside = |stamp: &&Stamp| stamp.time_ns > lost.as_nanos() && stamp.time_ns < regained.as_nanos() - 50_000_000;
    assert_eq!(stamps.iter().filter(inside).count(), 0);
    let missing = referee::missing_or_doubled(&stamps).missing.len() as f64;
    assert!(
        (missing / 25.0 - seconds).abs() < 0.5,
        "{missing} frames are missing in {seconds} s"
    );
}

#[test]
fn settings_that_do_not_work_are_told_and_the_old_stream_is_not_recorded_on() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut scene = Scene::begin(&camera.url(), |_| {});
    let nowhere = camera.url_of("/nowhere");
    scene.change(|settings| settings.main_stream_url = Some(Secret::new(nowhere)));
    let (recorder, id) = (scene.desk.recorder.clone(), scene.id.clone());
    let health = wait_until(Duration::from_secs(20), "the camera is lost", || {
        let health = recorder.camera_health(&id)?;
        (health.state == CameraState::Offline).then_some(health)
    });
    assert_eq!(health.loss, Some(Loss::Refused), "{health:?}");
    assert!(
        health.message.is_some_and(|message| message.contains("404")),
        "it says what to look at"
    );
    // Mended, it is recorded again at once.
    let url = camera.url();
    scene.change(|settings| settings.main_stream_url = Some(Secret::new(url)));
    scene.wait_for_runs(2);
    scene.desk.stop();
    assert_eq!(
        scene.causes(),
        [GapCause::Changed, GapCause::Lost(Loss::Refused), GapCause::Stopped]
    );
}

#[test]
fn two_changes_in_quick_succession_lose_nothing() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut scene = Scene::begin(&camera.url(), |_| {});
    for n in 0..3 {
        let url = if n % 2 == 0 { other_url(&camera) } else { camera.url() };
        scene.change(|settings| settings.main_stream_url = Some(Secret::new(url)));
        pause(Duration::from_millis(60 * n));
    }
    scene.wait_for_runs(2);
    // However far each of them came, the last one counts.
    let runs = scene.runs().len();
    scene.end_exactly(runs);
    assert!(runs <= 4);
}

#[test]
fn a_session_that_ends_while_another_begins_leaves_the_camera_to_that_one() {
    let camera = FakeCamera::start(StreamOptions {
        key_on_play: false,
        ..StreamOptions::small().with_gop(Duration::from_secs(3))
    })
    .unwrap();
    let proxy = Proxy::start(camera.port());
    let mut scene = Scene::begin(&proxy.url("/main"), |_| {});
    let direct = camera.url();
    let sessions = camera.count_sessions().total;
    scene.change(|settings| settings.main_stream_url = Some(Secret::new(direct)));
    wait_until(Duration::from_secs(10), "the second session", || {
        (camera.count_sessions().total > sessions).then_some(())
    });
    proxy.cut();
    scene.wait_for_runs(2);
    scene.desk.stop();
    assert_eq!(scene.causes(), [GapCause::Changed, GapCause::Stopped]);
    let offline = |news: &News| matches!(news, News::Happened(event) if event.message.contains("was lost"));
    assert_eq!(scene.desk.count(offline), 0);
}

#[test]
fn a_camera_that_is_removed_while_it_is_handed_over_keeps_what_was_written() {
    let camera = FakeCamera::start(StreamOptions {
        key_on_play: false,
        ..StreamOptions::small().with_gop(Duration::from_secs(3))
    })
    .unwrap();
    let mut scene = Scene::begin(&camera.url(), |_| {});
    let url = other_url(&camera);
    scene.change(|settings| settings.main_stream_url = Some(Secret::new(url)));
    wait_until(Duration::from_secs(10), "the second session", || {
        (camera.count_sessions().total >= 2).then_some(())
    });
    let recorder = scene.desk.recorder.clone();
    scene.desk.runtime.block_on(recorder.remove(&scene.id));
    scene.desk.listen();
    let sent = camera.sent_frames();
    let closed = scene.desk.closed();
    let stamps = scene.desk.stamps(&closed);
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    let last = stamps.last().unwrap().counter;
    assert!(
        sent.last().unwrap().counter - last < 75,
        "what was kept back is written too"
    );
    let opened = scene
        .desk
        .count(|news| matches!(news, News::Opened(segment) if segment.copies.is_empty()));
    let vanished = scene.desk.count(|news| matches!(news, News::Vanished(_)));
    assert_eq!(opened, closed.len() + vanished, "no row is left open");
    wait_until(Duration::from_secs(10), "both sessions end", || {
        (camera.count_sessions().current == 0).then_some(())
    });
    let requests = camera.requests();
    let farewells = requests.iter().filter(|request| request.starts_with("TEARDOWN"));
    assert_eq!(farewells.count(), 2, "{requests:?}");
}

#[test]
fn a_kill_while_a_camera_is_handed_over_costs_no_more_than_any_other() {
    let options = StreamOptions {
        key_on_play: false,
        ..StreamOptions::small().with_gop(Duration::from_secs(2))
    };
    let camera = FakeCamera::start(options).unwrap();
    let mut site = Site::start();
    site.add_camera("door", &camera, 6);
    site.wait_recording("door");
    let (mut worst, mut seams, mut booted) = (0, 0, 0);
    for round in 0..6u64 {
        pause(Duration::from_millis(2500));
        let url = if round % 2 == 0 {
            other_url(&camera)
        } else {
            camera.url()
        };
        let change = serde_json::json!({ "main_stream_url": url });
        site.daemon().patch("/api/v1/cameras/door", &change).ok();
        if round < 3 {
            pause(Duration::from_millis(fastrand::u64(0..2600)));
        } else {
            // Just when the other run begins to write.
            wait_until(Duration::from_secs(20), "another run", || {
                let rows = site.rows("door");
                let open: Vec<_> = rows.iter().filter(|row| row.start_ns > booted).collect();
                (open.first()?.run != open.last()?.run).then_some(())
            });
            pause(Duration::from_millis(fastrand::u64(0..40)));
        }
        let killed = site.kill_9();
        site.boot();
        let mut rows = site.wait_mended("door", killed, Duration::from_secs(20));
        rows.retain(|row| row.start_ns > booted && row.start_ns < killed);
        let stamps = site.stamps("door", &rows);
        let wrong = referee::missing_or_doubled(&stamps);
        assert!(wrong.is_nothing(), "round {round}: {wrong:?}");
        let lost = lost_frames(&camera.sent_frames(), &stamps, stamps[0].time_ns, killed);
        worst = worst.max(lost.len() * 40);
        for pair in rows.windows(2).filter(|pair| pair[0].run != pair[1].run) {
            assert!(pair[1].start_ns >= pair[0].end_ns, "round {round}: {pair:?}");
            seams += 1;
        }
        booted = killed;
        site.wait_recording("door");
    }
    eprintln!("kills while handing over: worst {worst} ms, {seams} had handed over");
    assert!(worst <= 250, "a kill cost {worst} ms");
    site.stop();
}
