//! The recorder by itself, without index and doors: frames of a stamped camera against the files and the news.

use std::time::Duration;

use camkeep::model::{ClockSource, GapCause, Loss, News, Segment, TimeSource, Timestamp};
use camkeep::pipeline::Catalog;
use camkeep::pipeline::demo::{CameraOptions, FakeCamera, SentFrame, StreamOptions, VideoCodec};
use camkeep::storage::Identity;
use tempfile::TempDir;

use crate::kit::desk::{Desk, Equipment};
use crate::kit::referee::{self, Stamp};
use crate::kit::wait::wait_until;

fn ms_apart(stamp: &Stamp, moment: Timestamp) -> i64 {
    (moment.as_nanos() - stamp.time_ns) / 1_000_000
}

/// Each file alone is clean, all together miss and double nothing, and the rows say when their frames were taken.
#[track_caller]
pub(crate) fn assert_exact(desk: &Desk, segments: &[Segment], sent: &[SentFrame]) -> Vec<Stamp> {
    for segment in segments {
        let path = desk.path(segment);
        assert_eq!(
            referee::decode_errors(&path),
            Vec::<String>::new(),
            "{}",
            path.display()
        );
        let stamps = referee::read_stamps(&path);
        assert_eq!(stamps.len() as u64, segment.frames, "frames of {}", path.display());
        let (first, last) = (stamps.first().unwrap(), stamps.last().unwrap());
        assert!(first.keyframe);
        assert!(
            ms_apart(first, segment.span.start).abs() <= 50,
            "start off by {} ms",
            ms_apart(first, segment.span.start)
        );
        let end = ms_apart(last, segment.span.end) - 40;
        assert!(end.abs() <= 50, "end off by {end} ms");
        let identity = Identity::read(&path).unwrap().expect("each file says what it is");
        assert_eq!((identity.segment, identity.span), (segment.id, segment.span));
    }
    for pair in segments.windows(2) {
        assert_eq!(pair[0].span.end, pair[1].span.start, "segments of a run join");
    }
    let stamps = desk.stamps(segments);
    let wrong = referee::missing_or_doubled(&stamps);
    assert!(wrong.is_nothing(), "{wrong:?}");
    for stamp in &stamps {
        assert!(
            sent.iter()
                .any(|frame| frame.counter == stamp.counter && frame.time_us as i64 * 1000 == stamp.time_ns)
        );
    }
    stamps
}

fn three_segments(options: impl Into<CameraOptions>) {
    let camera = FakeCamera::start(options).unwrap();
    let mut desk = Desk::new();
    desk.record(&camera.url(), 4);
    let segments = desk.wait_for_closed(3, 40);
    desk.stop();
    assert_exact(&desk, &desk.closed(), &camera.sent_frames());
    for segment in &segments[..3] {
        // A camera on a busy machine skips a frame now and then, and then its keyframes come later.
        let seconds = segment.span.seconds();
        assert!((3.95..5.2).contains(&seconds), "a segment of {seconds} s");
    }
    assert_eq!(camera.count_sessions().total, 1);
}

#[test]
fn three_segments_of_h264_join_without_a_frame_missing_or_doubled() {
    three_segments(StreamOptions::small());
}

#[test]
fn three_segments_of_h265_join_without_a_frame_missing_or_doubled() {
    three_segments(StreamOptions {
        codec: VideoCodec::H265,
        ..StreamOptions::small()
    });
}

#[test]
fn a_frozen_camera_is_a_stall_and_the_gap_is_exact_to_a_frame() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::new();
    desk.record(&camera.url(), 4);
    desk.wait_for_closed(1, 20);
    camera.stall();
    desk.wait_for(8, "the stall is noticed", |news| {
        news.iter().any(|news| matches!(news, News::Lost { .. }))
    });
    camera.resume();
    desk.wait_for(10, "footage comes again", |news| {
        news.iter().any(|news| matches!(news, News::Regained { .. }))
    });
    desk.wait_for_closed(3, 20);
    desk.stop();
    let (mut lost, mut regained) = (None, None);
    for news in &desk.news {
        match news {
            News::Lost {
                at,
                cause: GapCause::Lost(Loss::Stalled),
                ..
            } => lost = Some(*at),
            News::Regained { at, .. } => regained = Some(*at),
            _ => {}
        }
    }
    let (lost, regained) = (lost.unwrap(), regained.unwrap());
    let stamps = desk.stamps(&desk.closed());
    let before = stamps.iter().rfind(|stamp| stamp.time_ns < lost.as_nanos()).unwrap();
    let after = stamps.iter().find(|stamp| stamp.time_ns > before.time_ns).unwrap();
    assert!(
        (ms_apart(before, lost) - 40).abs() <= 50,
        "begins {} ms after the last frame",
        ms_apart(before, lost)
    );
    assert!(
        ms_apart(after, regained).abs() <= 50,
        "ends {} ms off the first frame",
        ms_apart(after, regained)
    );
}

#[test]
fn a_change_of_resolution_inside_a_session_begins_a_new_segment_and_loses_no_frame() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::new();
    desk.record(&camera.url(), 4);
    desk.wait_for_closed(1, 20);
    camera.change_resolution(640, 360).unwrap();
    desk.wait_for_closed(4, 30);
    desk.stop();
    let segments = desk.closed();
    let widths: Vec<u32> = segments.iter().map(|segment| segment.format.width).collect();
    assert!(widths.starts_with(&[320]) && widths.ends_with(&[640]), "{widths:?}");
    assert!(widths.is_sorted(), "{widths:?}");
    assert_exact(&desk, &segments, &camera.sent_frames());
    assert_eq!(camera.count_sessions().total, 1, "the session goes on");
    assert!(!desk.news.iter().any(|news| matches!(
        news,
        News::Lost {
            cause: GapCause::Lost(_),
            ..
        }
    )));
}

#[test]
fn long_groups_of_pictures_are_cut_at_their_keyframes() {
    let options = StreamOptions::small().with_gop(Duration::from_secs(6));
    let camera = FakeCamera::start(options).unwrap();
    let mut desk = Desk::new();
    desk.record(&camera.url(), 4);
    desk.wait_for_closed(2, 40);
    desk.stop();
    let segments = desk.closed();
    assert_exact(&desk, &segments, &camera.sent_frames());
    let seconds = segments[1].span.seconds();
    assert!((5.95..7.5).contains(&seconds), "{seconds} s");
}

#[test]
fn b_frames_are_recorded_in_order() {
    let camera = FakeCamera::start(StreamOptions {
        bframes: 2,
        ..StreamOptions::small()
    })
    .unwrap();
    let mut desk = Desk::new();
    desk.record(&camera.url(), 4);
    desk.wait_for_closed(2, 30);
    desk.stop();
    let segments = desk.closed();
    for segment in &segments {
        assert_eq!(referee::decode_errors(&desk.path(segment)), Vec::<String>::new());
    }
    let wrong = referee::missing_or_doubled(&desk.stamps(&segments));
    assert!(wrong.is_nothing(), "{wrong:?}");
}

#[test]
fn footage_is_dated_by_the_cameras_clock_when_that_is_chosen() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::new();
    desk.record_with(&camera.url(), 4, |settings| settings.time_source = TimeSource::Camera);
    let segments = desk.wait_for_closed(3, 40);
    desk.stop();
    assert_exact(&desk, &desk.closed(), &camera.sent_frames());
    let last = &segments[2];
    assert_eq!(last.clock, ClockSource::Camera, "{:?}", last.camera_clock);
    let clock = last.camera_clock.expect("the camera sends reports");
    assert!(
        clock.offset_ns.abs() < 100_000_000,
        "the same machine's clock, {clock:?}"
    );
}

#[test]
fn a_new_name_touches_no_pipeline() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::new();
    desk.record(&camera.url(), 4);
    desk.wait_for_closed(1, 20);
    desk.record_with(&camera.url(), 2, |settings| {
        settings.name = "Another name".into();
        settings.retention_hours = Some(5);
    });
    let before = desk.wait_for_closed(3, 20);
    assert!(
        before.iter().all(|segment| segment.run == before[0].run),
        "the run goes on"
    );
    assert!(before[2].span.seconds() < 3.0, "segments are shorter from here on");
    assert_eq!(camera.count_sessions().total, 1);
    desk.stop();
    assert_exact(&desk, &desk.closed(), &camera.sent_frames());
}

#[test]
fn a_pipeline_whose_thread_is_stuck_is_left_behind_and_another_camera_loses_nothing() {
    // A pipeline file of a field engineer in which the second unit takes half a minute, and nobody can wake the thread.
    let overrides = TempDir::new().unwrap();
    let text = include_str!("../../pipelines/record.gst");
    let stuck = text.replace("! tee name=tap", "! identity sleep-time=30000000 ! tee name=tap");
    assert_ne!(stuck, text);
    std::fs::write(overrides.path().join("record.gst"), stuck).unwrap();

    let healthy_camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut healthy = Desk::new();
    healthy.record(&healthy_camera.url(), 4);
    healthy.wait_for_closed(1, 20);

    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut desk = Desk::with(Equipment {
        catalog: Catalog::with_overrides(overrides.path()).unwrap(),
        ..Equipment::default()
    });
    let id = desk.record(&camera.url(), 4);
    desk.wait_for(15, "the stuck camera is given up", |news| {
        news.iter().any(|news| {
            matches!(
                news,
                News::Lost {
                    cause: GapCause::Lost(_),
                    ..
                }
            )
        })
    });
    let recorder = desk.recorder.clone();
    wait_until(
        Duration::from_secs(20),
        "the pipeline is left behind and another is begun",
        || {
            let health = recorder.camera_health(&id)?;
            (health.abandoned >= 1 && health.reconnects >= 1).then_some(())
        },
    );
    // The first is still stuck when the second is left behind: a third is not begun before.
    desk.wait_for(25, "the camera is held up", |news| {
        news.iter().any(
            |news| matches!(news, News::Happened(event) if event.message.contains("2 pipelines of the camera did not come down")),
        )
    });
    let health = recorder.camera_health(&id).unwrap();
    assert_eq!((health.abandoned, health.reconnects), (2, 1), "{health:?}");
    healthy.wait_for_closed(4, 20);
    healthy.stop();
    assert_exact(&healthy, &healthy.closed(), &healthy_camera.sent_frames());
    let _ = desk.runtime.block_on(desk.recorder.stop(Duration::from_secs(10)));
}
