//! Cameras as they really answer, from the captured dialogues.

use std::time::{Duration, Instant};

use camkeep::model::{CameraHealth, CameraState, Codec, Loss};

use super::crowd::Crowd;
use crate::kit::dialogues::{self, Dialogue, End};
use crate::kit::footage;
use crate::kit::referee;
use crate::kit::wait::pause;

/// Frames that show that a stream flows: more than the group of pictures it began with.
const FLOWS: u64 = 40;

fn name(number: usize, dialogue: &Dialogue) -> String {
    format!("{number} {}", dialogue.describe)
}

#[test]
fn every_captured_camera_is_recorded_or_lost_for_the_right_reason() {
    let mut crowd = Crowd::new();
    let mut wrong = Vec::new();
    // A few at a time, as many as a small box has.
    let all: Vec<_> = dialogues::ALL
        .iter()
        .enumerate()
        .filter(|(n, _)| std::env::var("DLG").map_or(true, |v| v.split(',').any(|x| x == n.to_string())))
        .collect();
    for some in all.chunks(10) {
        let cameras: Vec<_> = some
            .iter()
            .map(|(number, dialogue)| {
                let mock = dialogues::start(**dialogue);
                let id = crowd.record(&name(*number, dialogue), &mock.url("/main"));
                (dialogue, mock, id)
            })
            .collect();
        for (dialogue, mock, id) in &cameras {
            let end = match dialogue.end {
                End::Plays(_) => None,
                // Nothing ever comes where it was to come.
                End::WrongTransport => Some(Loss::Unreachable),
                End::Unauthorized => Some(Loss::Unauthorised),
            };
            let begun = Instant::now();
            let is_so = |crowd: &Crowd, health: &CameraHealth| match end {
                None => health.state == CameraState::Recording && crowd.frames(id) >= FLOWS,
                Some(_) => health.loss.is_some(),
            };
            while !is_so(&crowd, &crowd.health(id)) && begun.elapsed() < Duration::from_secs(12) {
                pause(Duration::from_millis(20));
                crowd.listen();
            }
            let health = crowd.health(id);
            if !is_so(&crowd, &health) || end != health.loss {
                let asked: Vec<_> = mock
                    .requests()
                    .into_iter()
                    .map(|it| format!("{} {}", it.method, it.url))
                    .collect();
                wrong.push(format!("{id} {:?}: {health:?}\n  {asked:?}", dialogue.end));
            }
        }
        for (dialogue, mock, id) in &cameras {
            crowd.remove(id);
            let End::Plays(codec) = dialogue.end else { continue };
            let segments = crowd.closed(id);
            let frames: u64 = segments.iter().map(|segment| segment.frames).sum();
            let codec = match codec {
                footage::Codec::H264 => Codec::H264,
                footage::Codec::H265 => Codec::H265,
            };
            let errors: Vec<_> = segments
                .iter()
                .flat_map(|segment| referee::decode_errors(&crowd.path(segment)))
                .collect();
            if frames < FLOWS || segments.iter().any(|it| it.format.codec != codec) || !errors.is_empty() {
                wrong.push(format!(
                    "{id}: {frames} frames in {} segments; {errors:?}",
                    segments.len()
                ));
            }
            if mock.count("TEARDOWN") == 0 || mock.count("PAUSE") > 0 {
                wrong.push(format!(
                    "{id}: {} TEARDOWN, {} PAUSE",
                    mock.count("TEARDOWN"),
                    mock.count("PAUSE")
                ));
            }
        }
    }
    crowd.stop();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
