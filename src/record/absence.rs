//! What camkeep missed while it was not there. Pure: what is known comes in, news for the timeline goes out.

use crate::model::{Camera, GapCause, News, RecordMode, Schedule, Span, Timestamp};

use super::calendar::Calendar;

/// No absence is told in more pieces than this; what is older is one piece.
const MOST: usize = 10_000;

/// What the last process left of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// The end of its last footage.
    pub covered_until: Option<Timestamp>,
    /// Since when no footage is wanted, if that still held at the end.
    pub resting_since: Option<Timestamp>,
}

/// Tells which part of the time since then was to be recorded and is missing. An orderly stop has opened a gap already,
/// which keeps its own cause; what is opened here has this one.
pub fn explain_absence(
    camera: &Camera,
    schedules: &[Schedule],
    left: Left,
    cause: GapCause,
    now: Timestamp,
) -> Vec<News> {
    let on = camera.enabled && camera.record_enabled;
    let Some(since) = left
        .covered_until
        .max(left.resting_since)
        .filter(|since| on && *since < now)
    else {
        return Vec::new();
    };
    let lost = |at| News::Lost {
        camera: camera.id.clone(),
        at,
        cause,
    };
    let rests = left.resting_since.is_some();
    match camera.record_mode {
        RecordMode::Scheduled => {}
        // Nobody knows what would have happened; while it rested, nothing was to be recorded.
        _ if rests => return Vec::new(),
        _ => return vec![lost(since)],
    }
    let calendar = Calendar::new(schedules);
    let mut news = Vec::new();
    let mut at = since;
    // In a window it rested only if its schedule was another one then.
    if !rests || calendar.contains(since) {
        news.push(lost(since));
    }
    while let Some(change) = calendar
        .next_change(at)
        .filter(|change| *change < now && news.len() < MOST)
    {
        news.push(if calendar.contains(change) {
            lost(change)
        } else {
            let camera = camera.id.clone();
            News::Unwanted { camera, at: change }
        });
        at = change;
    }
    news
}

/// Divides a time without footage, of which nothing else is known, into parts in which some was to be recorded (`true`) and
/// parts in which none was, as the camera is set now.
pub fn divide_absence(camera: &Camera, schedules: &[Schedule], hole: Span) -> Vec<(Span, bool)> {
    match camera.record_mode {
        RecordMode::Continuous => return vec![(hole, true)],
        RecordMode::Scheduled => {}
        // Nobody knows what happened.
        RecordMode::Event | RecordMode::ScheduledEvent => return vec![(hole, false)],
    }
    let calendar = Calendar::new(schedules);
    let mut parts = Vec::new();
    let mut at = hole.start;
    while at < hole.end {
        let next = calendar.next_change(at).filter(|_| parts.len() < MOST);
        let end = next.map_or(hole.end, |next| next.min(hole.end));
        parts.push((Span::new(at, end), calendar.contains(at)));
        at = end;
    }
    parts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{CameraId, Days, ScheduleId};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-{text}:00Z")).unwrap()
    }

    fn told(mode: RecordMode, left: Left, now: &str) -> Vec<String> {
        let mut camera = Camera::new(CameraId::parse("door").unwrap(), "Door".into(), Timestamp::EPOCH);
        camera.record_mode = mode;
        let mornings = Schedule {
            id: ScheduleId(1),
            camera: camera.id.clone(),
            days: Days::ALL,
            start_minute: 600,
            end_minute: 660,
            zone: "UTC".into(),
            enabled: true,
        };
        let short = |at: Timestamp| at.to_string()[8..16].to_owned();
        let news = explain_absence(&camera, &[mornings], left, GapCause::Killed, at(now)).into_iter();
        news.map(|news| match news {
            News::Lost { at, .. } => format!("lost {}", short(at)),
            News::Unwanted { at, .. } => format!("unwanted {}", short(at)),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    fn left(covered: &str, resting: Option<&str>) -> Left {
        Left {
            covered_until: Some(at(covered)),
            resting_since: resting.map(at),
        }
    }

    #[test]
    fn a_camera_that_is_always_recorded_missed_all_of_it() {
        assert_eq!(
            told(RecordMode::Continuous, left("20T09:00", None), "20T12:00"),
            ["lost 20T09:00"]
        );
        assert_eq!(
            told(RecordMode::Continuous, Left::default(), "20T12:00"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_camera_with_a_schedule_missed_its_windows() {
        let killed_inside = told(RecordMode::Scheduled, left("20T10:30", None), "21T10:15");
        assert_eq!(killed_inside, ["lost 20T10:30", "unwanted 20T11:00", "lost 21T10:00"]);
        let killed_outside = told(RecordMode::Scheduled, left("20T11:00", Some("20T11:00")), "22T12:00");
        assert_eq!(
            killed_outside,
            [
                "lost 21T10:00",
                "unwanted 21T11:00",
                "lost 22T10:00",
                "unwanted 22T11:00"
            ]
        );
    }

    #[test]
    fn a_camera_that_waited_for_events_missed_none_that_anybody_knows_of() {
        let waiting = left("20T09:00", Some("20T09:00"));
        assert_eq!(told(RecordMode::Event, waiting, "20T12:00"), Vec::<String>::new());
        let in_an_event = told(RecordMode::Event, left("20T09:00", None), "20T12:00");
        assert_eq!(
            in_an_event,
            ["lost 20T09:00"],
            "and the driver tells that it is not wanted any more"
        );
    }

    #[test]
    fn a_time_of_which_nothing_is_known_is_divided_by_the_schedule() {
        let mut camera = Camera::new(CameraId::parse("door").unwrap(), "Door".into(), Timestamp::EPOCH);
        let mornings = Schedule {
            id: ScheduleId(1),
            camera: camera.id.clone(),
            days: Days::ALL,
            start_minute: 600,
            end_minute: 660,
            zone: "UTC".into(),
            enabled: true,
        };
        let hole = Span::new(at("20T10:30"), at("21T10:15"));
        let parts = |camera: &Camera| divide_absence(camera, std::slice::from_ref(&mornings), hole);
        assert_eq!(parts(&camera), [(hole, true)]);
        camera.record_mode = RecordMode::Event;
        assert_eq!(parts(&camera), [(hole, false)]);
        camera.record_mode = RecordMode::Scheduled;
        let edges = [at("20T10:30"), at("20T11:00"), at("21T10:00"), at("21T10:15")];
        let expected: Vec<(Span, bool)> = edges
            .windows(2)
            .zip([true, false, true])
            .map(|(edge, wanted)| (Span::new(edge[0], edge[1]), wanted))
            .collect();
        assert_eq!(parts(&camera), expected);
    }
}
