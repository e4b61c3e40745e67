//! Streams as cameras and networks make them: ticks that jump and wrap, another codec, datagrams, sessions that want to be
//! kept alive.

use std::time::Duration;

use camkeep::model::{CameraState, Codec, EventKind, Loss, News, Segment, Transport};
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};

use super::bench::{Bench, Ping, Sound};
use super::crowd::Crowd;
use crate::kit::footage;
use crate::kit::referee;
use crate::kit::wait::pause;

const PATIENCE: Duration = Duration::from_secs(25);
const HOUR_TICKS: i64 = 3600 * 90_000;

/// Milliseconds between a segment's end and the next one's start.
fn gaps(segments: &[Segment]) -> Vec<i64> {
    segments
        .windows(2)
        .map(|pair| pair[1].span.start.nanos_since(pair[0].span.end) / 1_000_000)
        .collect()
}

fn runs(segments: &[Segment]) -> usize {
    segments.windows(2).filter(|pair| pair[0].run != pair[1].run).count() + 1
}

#[track_caller]
fn assert_plays(crowd: &Crowd, segments: &[Segment]) {
    for segment in segments {
        let path = crowd.path(segment);
        assert_eq!(
            referee::decode_errors(&path),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn sessions_are_kept_alive_while_packets_come() {
    let lasts = Some(Duration::from_secs(20));
    let bench = |ping, lasts| {
        Bench {
            ping,
            lasts,
            ..Bench::default()
        }
        .start()
    };
    let mut crowd = Crowd::new();
    let cameras: Vec<_> = [
        (Ping::Answered, lasts),
        (Ping::NotUnderstood, lasts),
        (Ping::Ignored, None),
        (Ping::NotOffered, None),
    ]
    .into_iter()
    .map(|(ping, lasts)| {
        let mock = bench(ping, lasts);
        let id = crowd.record(&format!("{ping:?}"), &mock.url("/main"));
        (ping, mock, id)
    })
    .collect();
    for (_, _, id) in &cameras {
        crowd.wait_for(id, Duration::from_secs(10), "records", |health| {
            health.state == CameraState::Recording
        });
    }
    // The cameras that count end their sessions after twenty seconds of silence.
    pause(Duration::from_secs(23));
    crowd.listen();
    for (ping, mock, id) in &cameras {
        assert_eq!(crowd.losses(id), [], "{id}");
        assert_eq!(mock.connections(), 1, "{id}");
        let asked: Vec<_> = mock
            .requests()
            .into_iter()
            .filter(|request| request.method == "GET_PARAMETER")
            .collect();
        match ping {
            Ping::Answered | Ping::NotUnderstood => assert_eq!(asked.len(), 2, "{id}"),
            // Whoever owes an answer is not asked again.
            Ping::Ignored => assert_eq!(asked.len(), 1, "{id}"),
            Ping::NotOffered => assert_eq!(asked.len(), 0, "{id}"),
        }
        for request in asked {
            assert_eq!(request.header("Session"), Some("4711"));
            assert_eq!(
                (request.header("Content-Length"), request.header("Content-Type")),
                (None, None)
            );
        }
    }
    crowd.stop();
    for (_, mock, id) in &cameras {
        let segments = crowd.closed(id);
        assert_eq!(runs(&segments), 1, "{id}");
        let frames: u64 = segments.iter().map(|segment| segment.frames).sum();
        let seconds: f64 = segments.iter().map(|segment| segment.span.seconds()).sum();
        assert!(
            (frames as f64 - seconds * 25.0).abs() <= 1.5,
            "{id}: {frames} frames in {seconds} s"
        );
        assert!(seconds > 22.0, "{id}: {seconds} s");
        assert_eq!((mock.count("PAUSE"), mock.count("TEARDOWN")), (0, 1), "{id}");
    }
}

#[test]
fn ticks_that_jump_begin_a_new_run_at_once_and_ticks_that_wrap_do_not() {
    let camera = |off: fn(u32) -> i64, first| {
        Bench {
            off,
            first,
            ..Bench::default()
        }
        .start()
    };
    // Only the first of the sessions that a camera has here lasts for long enough to jump.
    let plus = camera(|frame| if frame < 200 { 0 } else { HOUR_TICKS }, 90_000);
    let minus = camera(|frame| if frame < 200 { 0 } else { -HOUR_TICKS }, 90_000);
    let wrap = camera(|_| 0, u32::MAX - 150 * footage::TICKS);
    let mut crowd = Crowd::new();
    let (plus, minus, wrap) = (
        (crowd.record("plus", &plus.url("/main")), plus),
        (crowd.record("minus", &minus.url("/main")), minus),
        (crowd.record("wrap", &wrap.url("/main")), wrap),
    );
    for (id, mock) in [&plus, &minus] {
        let segments = crowd.wait_for_closed(id, 3, PATIENCE);
        assert_eq!(runs(&segments), 2, "{id}");
        let widest = gaps(&segments).into_iter().max().unwrap();
        assert!((0..1000).contains(&widest), "{id}: a gap of {widest} ms");
        assert_eq!(segments[..2].iter().map(|it| it.frames).sum::<u64>(), 200, "{id}");
        assert_eq!(crowd.losses(id), [Loss::Broken], "{id}");
        assert!(crowd.health(id).loss.is_none(), "{id} was never away");
        assert_eq!(mock.connections(), 2, "{id}");
        assert_plays(&crowd, &segments);
    }
    let (id, mock) = &wrap;
    let segments = crowd.wait_for_closed(id, 3, PATIENCE);
    assert_eq!((runs(&segments), mock.connections()), (1, 1));
    assert_eq!(gaps(&segments[..3]), [0, 0]);
    assert_eq!(
        segments[..3].iter().map(|it| it.frames).collect::<Vec<_>>(),
        [100, 100, 100]
    );
    assert_plays(&crowd, &segments);
    crowd.stop();
}

#[test]
fn a_camera_that_changes_from_h264_to_h265_is_recorded_on_in_h265() {
    let camera = Bench {
        codec: |session| {
            if session == 0 {
                footage::Codec::H264
            } else {
                footage::Codec::H265
            }
        },
        frames: |session| if session == 0 { 100 } else { u32::MAX },
        ..Bench::default()
    }
    .start();
    let mut crowd = Crowd::new();
    let id = crowd.record("changes", &camera.url("/main"));
    let segments = crowd.wait_for_closed(&id, 2, PATIENCE);
    let codecs: Vec<_> = segments[..2].iter().map(|segment| segment.format.codec).collect();
    assert_eq!(codecs, [Codec::H264, Codec::H265]);
    // The camera hung up to change, the first try to come back is a second later.
    assert!(
        gaps(&segments[..2])[0] < 2500,
        "a gap of {} ms",
        gaps(&segments[..2])[0]
    );
    assert_eq!(crowd.losses(&id), [Loss::Ended]);
    assert_plays(&crowd, &segments);
    crowd.stop();
}

#[test]
fn a_camera_that_refuses_its_sound_is_recorded_without_it_and_that_is_told_once() {
    let table = [
        (Sound::Refused("404 Stream Not Found"), "(404)", vec![]),
        (Sound::Refused("500 Internal Server Error"), "(500)", vec![]),
        (Sound::Refused("461 Unsupported Transport"), "by this transport", vec![]),
        (Sound::HungUp, "ends the conversation", vec![]),
        (Sound::Ignored, "does not answer", vec![Loss::Unreachable]),
    ];
    let mut crowd = Crowd::new();
    let cameras: Vec<_> = table
        .into_iter()
        .map(|(sound, word, losses)| {
            let mock = Bench {
                sound,
                ..Bench::default()
            }
            .start();
            let id = crowd.record_as(&format!("{sound:?}"), &mock.url("/main"), |it| it.record_audio = true);
            (id, mock, word, losses)
        })
        .collect();
    for (id, mock, word, losses) in &cameras {
        let segments = crowd.wait_for_closed(id, 2, PATIENCE);
        assert_eq!((runs(&segments), gaps(&segments)[0]), (1, 0), "{id}");
        assert!(
            segments.iter().all(|it| it.frames == 100 && !it.has_audio),
            "{id}: {segments:?}"
        );
        assert_plays(&crowd, &segments);
        let told: Vec<_> = crowd
            .news
            .iter()
            .filter_map(|news| match news {
                News::Happened(event) if event.camera.as_ref() == Some(id) => Some(event),
                _ => None,
            })
            .filter(|event| event.kind == EventKind::RecorderError)
            .collect();
        assert_eq!(told.len(), 1, "{id}: {told:?}");
        assert!(told[0].message.contains(word), "{id}: {told:?}");
        assert_eq!(crowd.losses(id), *losses, "{id}");
        assert!(mock.connections() <= 3, "{id}: {} connections", mock.connections());
    }
    crowd.stop();
}

#[test]
fn a_camera_that_does_not_serve_a_transport_is_lost_for_that_and_its_sound_is_not_blamed() {
    let camera = Bench {
        sound: Sound::Refused("461 Unsupported Transport"),
        only_datagrams: true,
        ..Bench::default()
    }
    .start();
    let mut crowd = Crowd::new();
    let id = crowd.record_as("datagrams", &camera.url("/main"), |it| it.record_audio = true);
    let health = crowd.wait_for(&id, PATIENCE, "is lost", |health| health.loss.is_some());
    let message = health.message.unwrap();
    assert!(message.contains("not serve its stream over TCP (461"), "{message}");
    assert_eq!(crowd.health(&id).loss, Some(Loss::Refused));
    crowd.stop();
    let is_of_sound = |news: &&News| matches!(news, News::Happened(event) if event.kind == EventKind::RecorderError);
    assert_eq!(crowd.news.iter().find(is_of_sound), None);
}

#[test]
fn datagrams_are_recorded_and_what_the_network_loses_bends_no_time() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    // One packet in forty is lost, one in thirty comes behind the next.
    let lossy = Bench {
        is_lost: |packet| packet % 40 == 3,
        is_late: |packet| packet % 30 == 7,
        only_datagrams: true,
        ..Bench::default()
    }
    .start();
    let mut crowd = Crowd::new();
    let clean = crowd.record_as("clean", &camera.url(), |it| it.transport = Transport::Udp);
    let torn = crowd.record_as("torn", &lossy.url("/main"), |it| it.transport = Transport::Auto);
    let closed = crowd.wait_for_closed(&clean, 2, PATIENCE);
    let stamps: Vec<_> = closed
        .iter()
        .flat_map(|segment| referee::read_stamps(&crowd.path(segment)))
        .collect();
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    assert_plays(&crowd, &closed);

    assert!(!closed.iter().any(Segment::is_damaged), "nothing was lost of it");

    let torn_segments = crowd.wait_for_closed(&torn, 2, PATIENCE);
    assert!(torn_segments.iter().all(Segment::is_damaged), "{torn_segments:?}");
    let asked: Vec<_> = lossy
        .requests()
        .iter()
        .filter(|request| request.method == "SETUP")
        .map(|request| request.header("Transport").unwrap().contains("/TCP"))
        .collect();
    assert_eq!(asked, [true, false], "inside the connection first, by datagrams then");
    assert_eq!((runs(&torn_segments), crowd.losses(&torn)), (1, vec![Loss::Refused]));
    assert!(
        gaps(&torn_segments).iter().all(|gap| *gap == 0),
        "{:?}",
        gaps(&torn_segments)
    );
    for segment in &torn_segments {
        let seconds = segment.span.seconds();
        // A keyframe that is torn makes a segment longer, and none is longer than its frames took.
        assert!((seconds - seconds.round()).abs() < 0.05, "{seconds} s");
        let most = (seconds * 25.0).round() as u64;
        assert!(
            (most * 8 / 10..=most).contains(&segment.frames),
            "{} of {most} frames",
            segment.frames
        );
    }
    crowd.stop();
}

#[test]
fn units_without_a_time_of_their_own_and_decoding_times_before_the_first_picture_are_recorded() {
    // Every second frame carries the ticks of the one before it.
    let careless = Bench {
        off: |frame| if frame % 2 == 1 { -i64::from(footage::TICKS) } else { 0 },
        ..Bench::default()
    }
    .start();
    // With B-frames decoding begins before the first picture is shown, at less than nothing.
    let camera = FakeCamera::start(StreamOptions {
        bframes: 2,
        ..StreamOptions::small()
    })
    .unwrap();
    let mut crowd = Crowd::new();
    let pairs = crowd.record("pairs", &careless.url("/main"));
    let early = crowd.record("early", &camera.url());
    crowd.wait_for_closed(&pairs, 2, PATIENCE);
    crowd.wait_for_closed(&early, 2, PATIENCE);
    crowd.stop();
    let segments = crowd.closed(&pairs);
    for segment in &segments {
        // That two frames have one time is what the camera said, and all that there is to complain of.
        let mut errors = referee::decode_errors(&crowd.path(segment));
        errors.retain(|error| !error.contains("non monotonically increasing dts to muxer"));
        assert_eq!(errors, Vec::<String>::new());
    }
    assert_eq!((runs(&segments), crowd.losses(&pairs)), (1, vec![]));
    assert!(gaps(&segments).iter().all(|gap| *gap == 0), "{:?}", gaps(&segments));
    for segment in &segments[..2] {
        // Half a frame's time more or less, because the last of a pair ends where its neighbour does.
        let due = segment.span.seconds() * f64::from(footage::FPS);
        assert!(
            (segment.frames as f64 - due).abs() < 1.5,
            "{} frames, {due}",
            segment.frames
        );
    }
    let segments = crowd.closed(&early);
    assert_plays(&crowd, &segments);
    let stamps: Vec<_> = segments
        .iter()
        .flat_map(|segment| referee::read_stamps(&crowd.path(segment)))
        .collect();
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
    assert_eq!(crowd.losses(&early), []);
}
