//! What the network loses is counted, and the segments that lack it say so.

use std::time::Duration;

use camkeep::model::{CameraId, Segment, Transport};
use camkeep::pipeline::demo::{FakeCamera, StreamOptions};

use super::bench::Bench;
use super::crowd::Crowd;
use crate::kit::lossy::Lossy;
use crate::kit::referee::{self, Stamp};

const PATIENCE: Duration = Duration::from_secs(40);

fn lost(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| segment.lost_packets).sum()
}

/// A picture of a stamped camera is where its stamp says, in whatever state its neighbours are.
#[track_caller]
fn assert_times_are_intact(crowd: &Crowd, segments: &[Segment]) -> Vec<Stamp> {
    let mut all = Vec::new();
    for segment in segments {
        let seen = referee::look(&crowd.path(segment));
        let begins = segment.span.start.as_nanos();
        for stamp in &seen.stamps {
            let off = begins + (stamp.pts * 1e9) as i64 - stamp.time_ns;
            assert!(
                off.abs() < 60_000_000,
                "frame {} is {} ms off",
                stamp.counter,
                off / 1_000_000
            );
        }
        assert!(
            seen.stamps.windows(2).all(|pair| pair[0].counter < pair[1].counter),
            "frames are in order"
        );
        all.extend(seen.stamps);
    }
    // Times are judged by the frames that can be read; how many those are in a segment, a lost piece of a keyframe decides.
    assert!(all.len() > 25, "{} frames can be read", all.len());
    all
}

#[test]
fn segments_that_lack_datagrams_say_how_many_and_their_times_are_intact() {
    let options = || StreamOptions {
        bitrate_kbps: 2000,
        ..StreamOptions::small()
    };
    let (camera, clean) = (
        FakeCamera::start(options()).unwrap(),
        FakeCamera::start(options()).unwrap(),
    );
    // One in twenty, once the first keyframe has come: what is lost before there is anything to keep is in no segment.
    let network = Lossy::start(camera.port(), |packet| packet > 100 && packet % 20 == 11);
    let faultless = Lossy::start(clean.port(), |_| false);
    let mut crowd = Crowd::new();
    let by_datagrams = |camera: &mut camkeep::model::Camera| camera.transport = Transport::Udp;
    let torn = crowd.record_as("torn", &network.url("/main"), by_datagrams);
    let whole = crowd.record_as("whole", &faultless.url("/main"), by_datagrams);
    crowd.wait_for_closed(&torn, 3, PATIENCE);
    crowd.wait_for_closed(&whole, 3, PATIENCE);
    let grown = told_while_open(&mut crowd, &torn);
    crowd.stop();
    let ((passed, dropped), segments) = (network.counts(), crowd.closed(&torn));
    eprintln!(
        "{passed} packets came, {dropped} did not; segments tell {:?}",
        segments.iter().map(|it| it.lost_packets).collect::<Vec<_>>()
    );
    assert!(
        passed > 500 && dropped as u64 > passed / 30,
        "{passed} came, {dropped} did not"
    );
    // What is lost behind the last frame that was written is in no segment.
    let told = lost(&segments);
    assert!(
        (dropped as u64 - 3..=dropped as u64).contains(&told),
        "{told} of {dropped} are told"
    );
    assert!(segments[..3].iter().all(Segment::is_damaged), "{segments:?}");
    assert!(grown > 0, "it is told while a segment grows");
    assert_eq!(crowd.losses(&torn), [], "losing some packets is not losing the camera");
    let stamps = assert_times_are_intact(&crowd, &segments[..3]);
    let missing = referee::missing_or_doubled(&stamps).missing.len();
    assert!(
        missing > 0,
        "a referee who misses nothing would mean that nothing was lost"
    );

    let segments = crowd.closed(&whole);
    assert_eq!((faultless.counts().1, lost(&segments)), (0, 0));
    assert!(!segments.iter().any(Segment::is_damaged));
    for segment in &segments {
        assert_eq!(referee::decode_errors(&crowd.path(segment)), Vec::<String>::new());
    }
    let stamps = assert_times_are_intact(&crowd, &segments[..3]);
    assert!(referee::missing_or_doubled(&stamps).is_nothing());
}

/// The most that was told lost of a segment of this camera that was still growing.
fn told_while_open(crowd: &mut Crowd, id: &CameraId) -> u64 {
    use camkeep::model::News;
    crowd.listen();
    let own: Vec<_> = crowd.closed(id).iter().map(|segment| segment.id).collect();
    let grown = crowd.news.iter().filter_map(|news| match news {
        News::Grew { id, lost_packets, .. } if own.contains(id) => Some(*lost_packets),
        _ => None,
    });
    grown.max().unwrap_or(0)
}

#[test]
fn a_camera_that_leaves_packets_out_inside_the_connection_is_found_out_too() {
    // Cameras throw away what their own network does not take, also where nothing is lost on the way.
    let camera = Bench {
        is_lost: |packet| packet % 50 == 49,
        frames: |_| 300,
        ..Bench::default()
    }
    .start();
    let mut crowd = Crowd::new();
    let id = crowd.record("hasty", &camera.url("/main"));
    crowd.wait_for_closed(&id, 2, PATIENCE);
    crowd.stop();
    let segments = crowd.closed(&id);
    assert!(segments[..2].iter().all(Segment::is_damaged), "{segments:?}");
}
