//! The kit judged before it judges others: the camera does what it says, and the referee reads it right.

use std::net::TcpStream;
use std::time::Duration;

use camkeep::pipeline::demo::{AudioCodec, CameraOptions, FakeCamera, Login, StreamOptions, VideoCodec};
use tempfile::TempDir;

use crate::kit::proxy::Proxy;
use crate::kit::referee::{self, Stamp};
use crate::kit::viewer::{self, Viewer};
use crate::kit::wait::{pause, wait_for, wait_until};

const THREE_SECONDS: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(10);

/// Watches a camera for three seconds and compares every decoded frame with what the camera says it sent.
#[track_caller]
fn assert_reads_back_exactly(options: impl Into<CameraOptions>, least: usize) -> referee::Probe {
    let options = options.into();
    let bframes = options.streams[0].bframes as usize;
    let camera = FakeCamera::start(options).unwrap();
    let room = TempDir::new().unwrap();
    let file = viewer::watch(&camera.url(), &room.path().join("seen.mp4"), THREE_SECONDS);
    let mut stamps = referee::read_stamps(&file);
    // The viewer goes when the last picture has come, and not those yet that are shown before it.
    stamps.truncate(stamps.len().saturating_sub(bframes));
    assert_eq!(referee::decode_errors(&file), Vec::<String>::new());
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    assert!(stamps.len() >= least, "only {} frames in three seconds", stamps.len());
    let sent = camera.sent_frames();
    for stamp in &stamps {
        let of_camera = sent
            .iter()
            .find(|frame| frame.counter == stamp.counter)
            .expect("a frame the camera sent");
        assert_eq!(of_camera.time_us as i64 * 1000, stamp.time_ns);
        assert_eq!(of_camera.keyframe, stamp.keyframe, "frame {}", stamp.counter);
    }
    assert_eq!(camera.count_sessions().total, 1);
    referee::probe(&file)
}

/// How far the distances of frames in the file are from those at the camera, at the most, in seconds. The first
/// is left out: ffmpeg gives the very first packet of a session no time and the muxer makes one up.
fn worst_pace(stamps: &[Stamp]) -> f64 {
    let [_, first, rest @ ..] = stamps else {
        return f64::INFINITY;
    };
    rest.iter().fold(0.0, |worst: f64, stamp| {
        worst.max(((stamp.pts - first.pts) - (stamp.time_ns - first.time_ns) as f64 / 1e9).abs())
    })
}

#[test]
fn stamps_of_h264_read_back_exactly() {
    let probe = assert_reads_back_exactly(StreamOptions::default(), 70);
    assert_eq!(
        (probe.video().codec.as_str(), probe.video().width, probe.video().height),
        ("h264", 640, 360)
    );
    assert!(probe.audio().is_none());
}

#[test]
fn stamps_of_h265_read_back_exactly() {
    let options = StreamOptions {
        codec: VideoCodec::H265,
        fps: 15,
        gop_frames: 15,
        ..StreamOptions::small()
    };
    assert_eq!(assert_reads_back_exactly(options, 40).video().codec, "hevc");
}

#[test]
fn stamps_read_back_exactly_at_a_starving_bitrate() {
    assert_reads_back_exactly(
        StreamOptions {
            bitrate_kbps: 100,
            scene: 3,
            ..StreamOptions::small()
        },
        70,
    );
    let hevc = StreamOptions {
        codec: VideoCodec::H265,
        bitrate_kbps: 60,
        fps: 15,
        ..StreamOptions::small()
    };
    assert_reads_back_exactly(hevc, 40);
}

#[test]
fn stamps_read_back_exactly_with_b_frames() {
    assert_reads_back_exactly(
        StreamOptions {
            bframes: 2,
            ..StreamOptions::small()
        },
        60,
    );
}

#[test]
fn every_kind_of_sound_is_served_beside_the_picture() {
    for (audio, codec) in [
        (AudioCodec::Aac, "aac"),
        (AudioCodec::Opus, "opus"),
        (AudioCodec::Pcmu, "pcm_mulaw"),
        (AudioCodec::Pcma, "pcm_alaw"),
    ] {
        let camera = FakeCamera::start(StreamOptions {
            audio,
            ..StreamOptions::small()
        })
        .unwrap();
        let room = TempDir::new().unwrap();
        // Matroska, because MP4 takes no G.711.
        let file = viewer::watch(&camera.url(), &room.path().join("seen.mkv"), Duration::from_secs(2));
        let probe = referee::probe(&file);
        assert_eq!(
            probe.audio().map(|track| track.codec.as_str()),
            Some(codec),
            "{probe:?}"
        );
        assert!(referee::missing_or_doubled(&referee::read_stamps(&file)).is_nothing());
    }
}

#[test]
fn frames_are_evenly_paced_and_their_rtp_times_are_their_stamps() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let room = TempDir::new().unwrap();
    let file = viewer::watch(&camera.url(), &room.path().join("seen.mp4"), THREE_SECONDS);
    let stamps = referee::read_stamps(&file);
    let worst = worst_pace(&stamps);
    assert!(worst < 0.001, "a frame is {worst} s off: {stamps:?}");
}

#[test]
fn every_frame_arrives_within_a_moment_of_its_stamp_the_first_included() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let room = TempDir::new().unwrap();
    let by_arrival = ["-use_wallclock_as_timestamps", "1", "-fflags", "nobuffer"];
    let viewer = Viewer::start_with(
        &camera.url(),
        &room.path().join("seen.mkv"),
        &by_arrival,
        &["-copyts", "-frames:v", "60"],
    );
    let stamps = referee::read_stamps(&viewer.finish(THREE_SECONDS));
    let late: Vec<_> = stamps
        .iter()
        .map(|stamp| stamp.pts - stamp.time_ns as f64 / 1e9)
        .collect();
    assert!(late.len() > 50);
    // Loaded test machines are late now and then; what waited in a queue would be late every time.
    let mut sorted = late.clone();
    sorted.sort_by(f64::total_cmp);
    let (median, worst) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    assert!(sorted[0] > -0.005, "a frame came before it was taken: {late:?}");
    assert!(
        median < 0.03 && late[0] < 0.15 && worst < 0.5,
        "frames are late: {late:?}"
    );
}

#[test]
fn the_first_frame_sent_was_taken_after_play() {
    let camera = FakeCamera::start(StreamOptions {
        gop_frames: 250,
        ..StreamOptions::small()
    })
    .unwrap();
    let room = TempDir::new().unwrap();
    for round in 1..=3 {
        let before = camera.sent_frames().len();
        let started = std::time::UNIX_EPOCH.elapsed().unwrap();
        viewer::watch(&camera.url(), &room.path().join("seen.mp4"), Duration::from_secs(1));
        let sent = camera.sent_frames();
        let first = sent[before];
        assert!(first.keyframe, "round {round}: a new client gets a keyframe at once");
        assert!(u128::from(first.time_us) > started.as_micros());
        assert_eq!(camera.count_sessions().total, round);
        wait_for(SOON, "the session to end with its client", || {
            match camera.count_sessions().current {
                0 => Ok(()),
                n => Err(n),
            }
        });
    }
}

#[test]
fn a_camera_without_keyframes_on_demand_makes_its_clients_wait() {
    let options = StreamOptions {
        key_on_play: false,
        gop_frames: 50,
        ..StreamOptions::small()
    };
    let camera = FakeCamera::start(options).unwrap();
    let room = TempDir::new().unwrap();
    viewer::watch(&camera.url(), &room.path().join("seen.mkv"), THREE_SECONDS);
    let sent = camera.sent_frames();
    assert!(!sent[0].keyframe, "the stream starts in the middle of a GOP");
    let keys: Vec<_> = sent
        .iter()
        .filter(|frame| frame.keyframe)
        .map(|frame| frame.counter)
        .collect();
    assert!(keys.windows(2).all(|pair| pair[1] - pair[0] == 50), "{keys:?}");
}

#[test]
fn two_clients_get_the_same_frames_of_one_encoder() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let room = TempDir::new().unwrap();
    let first = Viewer::start(&camera.url(), &room.path().join("a.mp4"), &["-t", "4"]);
    wait_until(SOON, "the first client's session", || {
        (camera.count_sessions().current == 1).then_some(())
    });
    let second = Viewer::start(&camera.url(), &room.path().join("b.mp4"), &["-t", "2"]);
    let seconds = [second.finish(THREE_SECONDS), first.finish(THREE_SECONDS)].map(|file| referee::read_stamps(&file));
    for stamps in &seconds {
        assert!(referee::missing_or_doubled(stamps).is_nothing());
    }
    let shared = seconds[0].iter().filter(|one| {
        seconds[1]
            .iter()
            .any(|other| (other.counter, other.time_ns) == (one.counter, one.time_ns))
    });
    assert!(shared.count() > 20, "both clients were there at the same time");
    assert_eq!(camera.count_sessions().total, 2);
}

#[test]
fn main_and_sub_stream_are_two_pictures_of_one_camera() {
    let sub = StreamOptions {
        path: "/sub".into(),
        ..StreamOptions::small()
    };
    let options = CameraOptions {
        streams: vec![StreamOptions::default(), sub],
        ..CameraOptions::default()
    };
    let camera = FakeCamera::start(options).unwrap();
    let room = TempDir::new().unwrap();
    for (path, width) in [("/main", 640), ("/sub", 320)] {
        let file = viewer::watch(
            &camera.url_of(path),
            &room.path().join("seen.mp4"),
            Duration::from_secs(1),
        );
        assert_eq!(referee::probe(&file).video().width, width);
        assert!(!camera.stream(path).unwrap().sent_frames().is_empty());
    }
    let absent = Viewer::start(&camera.url_of("/absent"), &room.path().join("no.mp4"), &[]).wait(SOON);
    assert!(!absent.success());
}

#[test]
fn a_stalled_camera_sends_nothing_and_its_connections_stay() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let room = TempDir::new().unwrap();
    let mut viewer = Viewer::start(&camera.url(), &room.path().join("seen.mkv"), &[]);
    wait_until(SOON, "a second of frames", || {
        (camera.sent_frames().len() > 25).then_some(())
    });
    camera.stall();
    pause(Duration::from_millis(200));
    let before = camera.sent_frames();
    pause(Duration::from_secs(1));
    assert_eq!(camera.sent_frames().len(), before.len(), "frames left a stalled camera");
    assert_eq!(camera.count_connections().current, 1);
    assert!(viewer.is_running());
    camera.resume();
    wait_until(SOON, "frames again", || {
        (camera.sent_frames().len() > before.len() + 25).then_some(())
    });
    let stamps = referee::read_stamps(&viewer.stop());
    assert!(
        referee::missing_or_doubled(&stamps).is_nothing(),
        "a stall loses no frame: none was taken"
    );
    let pause = stamps
        .windows(2)
        .map(|pair| pair[1].time_ns - pair[0].time_ns)
        .max()
        .unwrap();
    assert!(pause > 1_000_000_000, "the pause is in the stamps: {pause} ns");
    assert!(worst_pace(&stamps) < 0.002, "and in the RTP times");
    assert_eq!(camera.count_sessions().total, 1);
}

#[test]
fn dropped_clients_are_gone_and_may_come_again() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let room = TempDir::new().unwrap();
    let mut viewer = Viewer::start(&camera.url(), &room.path().join("a.mkv"), &[]);
    wait_until(SOON, "frames", || (camera.sent_frames().len() > 10).then_some(()));
    camera.drop_clients().unwrap();
    viewer.wait(SOON);
    assert_eq!(
        (camera.count_sessions().current, camera.count_connections().current),
        (0, 0)
    );
    let file = viewer::watch(&camera.url(), &room.path().join("b.mp4"), Duration::from_secs(1));
    assert!(referee::missing_or_doubled(&referee::read_stamps(&file)).is_nothing());
    assert_eq!(camera.count_sessions().total, 2);
}

#[test]
fn a_refusing_camera_is_not_there_and_comes_back_on_its_port() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let (room, port) = (TempDir::new().unwrap(), camera.port());
    camera.refuse(true).unwrap();
    let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    camera.refuse(false).unwrap();
    assert_eq!(camera.port(), port);
    let file = viewer::watch(&camera.url(), &room.path().join("seen.mp4"), Duration::from_secs(1));
    assert!(!referee::read_stamps(&file).is_empty());
}

#[test]
fn a_change_of_resolution_happens_inside_the_session() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let room = TempDir::new().unwrap();
    // A transport stream keeps the parameter sets in the stream, where a change is allowed.
    let viewer = Viewer::start(&camera.url(), &room.path().join("seen.ts"), &[]);
    wait_until(SOON, "frames", || (camera.sent_frames().len() > 30).then_some(()));
    camera.change_resolution(640, 360).unwrap();
    let so_far = camera.sent_frames().len();
    wait_until(SOON, "frames of the new size", || {
        (camera.sent_frames().len() > so_far + 40).then_some(())
    });
    let file = viewer.stop();
    let stamps = referee::read_stamps(&file);
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    assert!(stamps.len() > 60);
    assert_eq!(referee::decode_errors(&file), Vec::<String>::new());
    assert_eq!(sizes(&file), ["320x180", "640x360"]);
    assert_eq!(camera.count_sessions().total, 1);
    assert!(camera.change_resolution(641, 360).is_err());
}

/// The sizes of the frames of a file, in order, each once.
fn sizes(file: &std::path::Path) -> Vec<String> {
    let output = std::process::Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "frame=width,height",
            "-of",
            "csv=p=0:s=x",
        ])
        .arg(file)
        .output()
        .unwrap();
    // A frame with side information has an empty field more.
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .map(|line| line.trim_end_matches('x'))
        .filter(|line| !line.is_empty());
    let mut sizes: Vec<_> = lines.map(str::to_owned).collect();
    sizes.dedup();
    sizes
}

#[test]
fn a_password_is_asked_for_and_can_be_changed() {
    let options = CameraOptions::from(StreamOptions::small()).with_login("guard", "first");
    let camera = FakeCamera::start(options).unwrap();
    let room = TempDir::new().unwrap();
    let url = |login: &str| camera.url().replacen("rtsp://", &format!("rtsp://{login}"), 1);
    let try_with = |login: &str| {
        let file = room.path().join("seen.mp4");
        let mut viewer = Viewer::start(&url(login), &file, &["-t", "1"]);
        let status = viewer.wait(SOON);
        (status.success(), viewer.said())
    };
    assert!(try_with("guard:first@").0);
    for wrong in ["", "guard:second@", "other:first@"] {
        let (success, said) = try_with(wrong);
        assert!(!success && said.contains("401"), "{wrong}: {said}");
    }
    camera
        .set_password(Some(&Login {
            user: "guard".into(),
            password: "second".into(),
        }))
        .unwrap();
    assert!(try_with("guard:second@").0);
    assert!(!try_with("guard:first@").0);
    camera.set_password(None).unwrap();
    assert!(try_with("").0);
}

#[test]
fn the_rtp_clock_can_be_made_to_wrap() {
    let camera = FakeCamera::start(StreamOptions {
        rtp_offset: Some(u32::MAX - 90_000),
        ..StreamOptions::small()
    })
    .unwrap();
    let room = TempDir::new().unwrap();
    let file = viewer::watch(&camera.url(), &room.path().join("seen.mp4"), THREE_SECONDS);
    let stamps = referee::read_stamps(&file);
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    assert!(stamps.len() > 70);
}

#[test]
fn a_camera_switched_off_leaves_neither_port_nor_thread() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let (room, port) = (TempDir::new().unwrap(), camera.port());
    let mut viewer = Viewer::start(&camera.url(), &room.path().join("seen.mkv"), &[]);
    wait_until(SOON, "frames", || (camera.sent_frames().len() > 10).then_some(()));
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == format!("demo-{port}")).count()
    };
    assert_eq!(threads(), 1);
    drop(camera);
    viewer.wait(SOON);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(threads(), 0);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_started() {
    for wrong in [
        StreamOptions {
            width: 641,
            ..StreamOptions::default()
        },
        StreamOptions {
            fps: 0,
            ..StreamOptions::default()
        },
        StreamOptions {
            gop_frames: 0,
            ..StreamOptions::default()
        },
        StreamOptions {
            path: "main".into(),
            ..StreamOptions::default()
        },
        StreamOptions {
            bitrate_kbps: 1,
            ..StreamOptions::default()
        },
    ] {
        assert!(FakeCamera::start(wrong).is_err());
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = CameraOptions {
        port: taken.local_addr().unwrap().port(),
        ..CameraOptions::default()
    };
    let error = FakeCamera::start(options).err().unwrap().to_string();
    assert!(
        error.contains(&taken.local_addr().unwrap().port().to_string()),
        "{error}"
    );
}

#[test]
fn a_proxy_stalls_cuts_refuses_and_delays() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let proxy = Proxy::start(camera.port());
    let room = TempDir::new().unwrap();
    proxy.delay(Duration::from_millis(150));
    let by_arrival = ["-use_wallclock_as_timestamps", "1", "-fflags", "nobuffer"];
    let url = proxy.url("/main");
    let mut viewer = Viewer::start_with(&url, &room.path().join("a.mkv"), &by_arrival, &["-copyts"]);
    wait_until(SOON, "frames", || (camera.sent_frames().len() > 40).then_some(()));
    assert_eq!((proxy.connections_now(), proxy.connections_ever()), (1, 1));
    proxy.stall();
    pause(Duration::from_secs(1));
    assert!(viewer.is_running(), "a stalled connection stays");
    proxy.resume();
    pause(Duration::from_secs(1));
    proxy.cut();
    viewer.wait(SOON);
    wait_until(SOON, "no connection", || (proxy.connections_now() == 0).then_some(()));
    let stamps = referee::look(&room.path().join("a.mkv")).stamps;
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    let late: Vec<_> = stamps
        .iter()
        .map(|stamp| stamp.pts - stamp.time_ns as f64 / 1e9)
        .collect();
    assert!(
        late[0] > 0.14 && late[0] < 0.6,
        "the delay is seen at the first frame: {late:?}"
    );
    assert!(late.iter().any(|late| *late > 0.8), "the stall is seen: {late:?}");

    proxy.refuse(true);
    assert!(TcpStream::connect(("127.0.0.1", proxy.port())).is_err());
    proxy.refuse(false);
    viewer::watch(&url, &room.path().join("b.mp4"), Duration::from_secs(1));
}
