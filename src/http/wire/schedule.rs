//! A schedule as it is sent and shown.

use serde::Serialize;
use serde_json::Value;

use crate::http::body::{Fields, FromField, Said};
use crate::http::problem::Problem;
use crate::model::{CameraId, Days, Schedule, ScheduleId};
use crate::runtime::local_zone;

/// Every field a schedule may be given, as clients spell them.
const FIELDS: &[&str] = &["days", "time_start", "time_end", "zone", "enabled"];

/// A schedule as it is shown.
#[derive(Debug, Serialize)]
pub(in crate::http) struct ScheduleShown {
    id: ScheduleId,
    camera_id: CameraId,
    days: Vec<u8>,
    time_start: String,
    time_end: String,
    zone: String,
    enabled: bool,
}

impl From<Schedule> for ScheduleShown {
    fn from(schedule: Schedule) -> Self {
        Self {
            id: schedule.id,
            camera_id: schedule.camera,
            days: schedule.days.iter().collect(),
            time_start: clock(schedule.start_minute),
            time_end: clock(schedule.end_minute),
            zone: schedule.zone,
            enabled: schedule.enabled,
        }
    }
}

fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Minutes after midnight, written like 06:30; 24:00 is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Minutes(u16);

impl FromField for Minutes {
    fn read(value: Value) -> Result<Self, String> {
        let read = || {
            let (hours, minutes) = value.as_str()?.split_once(':')?;
            let two = |text: &str| (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(());
            two(hours).and(two(minutes))?;
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            let all = hours * 60 + minutes;
            (minutes < 60 && all <= Schedule::DAY_MINUTES).then_some(Self(all))
        };
        read().ok_or_else(|| "write it like 06:30; the end of a day is 24:00".to_owned())
    }
}

impl FromField for Days {
    fn read(value: Value) -> Result<Self, String> {
        let wrong = || "write a list of days, 0 (Monday) to 6 (Sunday), like [0, 1, 2, 3, 4]".to_owned();
        let list = value.as_array().ok_or_else(wrong)?;
        let days: Option<Vec<u8>> = list.iter().map(|day| u8::try_from(day.as_u64()?).ok()).collect();
        Self::from_list(&days.ok_or_else(wrong)?).map_err(|day| format!("{day} is no day; 0 is Monday and 6 is Sunday"))
    }
}

/// The zone of a schedule that names none: that of this box, by whose clock a person here thinks.
fn box_zone() -> String {
    local_zone().unwrap_or(chrono_tz::Tz::UTC).name().to_owned()
}

/// A schedule about which nothing was said: it has no days and no times yet.
pub(in crate::http) fn fresh_schedule(camera: CameraId) -> Schedule {
    Schedule {
        id: ScheduleId(0),
        camera,
        days: Days::NONE,
        start_minute: 0,
        end_minute: 0,
        zone: box_zone(),
        enabled: true,
    }
}

/// Changes a schedule by what a body says. What is needed and missing is named.
pub(in crate::http) fn change_schedule(schedule: &mut Schedule, mut fields: Fields) -> Result<(), Problem> {
    for name in ["id", "camera_id"] {
        fields.ignore(name);
    }
    let is_new = schedule.days.is_empty();
    match fields.take::<Days>("days")? {
        Said::Set(days) => schedule.days = days,
        Said::Nothing if !is_new => {}
        _ => return Err(Problem::field("days", "give its days, 0 (Monday) to 6 (Sunday)")),
    }
    for (name, minute) in [
        ("time_start", &mut schedule.start_minute),
        ("time_end", &mut schedule.end_minute),
    ] {
        match fields.take::<Minutes>(name)? {
            Said::Set(Minutes(minutes)) => *minute = minutes,
            Said::Nothing if !is_new => {}
            _ => return Err(Problem::field(name, "give a time of day, like 06:30")),
        }
    }
    match fields.take::<String>("zone")? {
        Said::Set(zone) => schedule.zone = zone,
        Said::Clear => schedule.zone = box_zone(),
        Said::Nothing => {}
    }
    match fields.take::<bool>("enabled")? {
        Said::Set(enabled) => schedule.enabled = enabled,
        Said::Clear => schedule.enabled = true,
        Said::Nothing => {}
    }
    fields.done(FIELDS)?;
    schedule.validate().map_err(Problem::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn change(schedule: &mut Schedule, body: &str) -> Result<(), String> {
        change_schedule(schedule, Fields::parse(body.as_bytes()).unwrap())
            .map_err(|problem| problem.detail().to_owned())
    }

    fn fresh() -> Schedule {
        fresh_schedule(CameraId::parse("door").unwrap())
    }

    #[test]
    fn a_shown_schedule_sent_back_whole_changes_nothing() {
        let mut before = fresh();
        let body = r#"{"days": [6, 0, 0], "time_start": "22:15", "time_end": "24:00", "zone": "Europe/Berlin"}"#;
        change(&mut before, body).unwrap();
        let shown = serde_json::to_value(ScheduleShown::from(before.clone())).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({"id": 0, "camera_id": "door", "days": [0, 6], "time_start": "22:15", "time_end": "24:00",
                "zone": "Europe/Berlin", "enabled": true})
        );
        let mut after = before.clone();
        change(&mut after, &shown.to_string()).unwrap();
        assert_eq!(after, before);
        change(&mut after, r#"{"zone": null, "time_end": "06:00", "enabled": false}"#).unwrap();
        assert_eq!(
            (after.zone.as_str(), after.end_minute, after.enabled),
            ("UTC", 360, false)
        );
    }

    #[test]
    fn each_mistake_names_its_field() {
        for (body, start) in [
            (r#"{}"#, "days: give its days"),
            (r#"{"days": []}"#, "time_start: give a time of day"),
            (r#"{"days": [7]}"#, "days: 7 is no day"),
            (r#"{"days": "mon"}"#, "days: write a list"),
            (r#"{"days": [1.5]}"#, "days: write a list"),
            (
                r#"{"days": [0], "time_start": "6:30", "time_end": "07:00"}"#,
                "time_start: write it like 06:30",
            ),
            (
                r#"{"days": [0], "time_start": "+6:30", "time_end": "07:00"}"#,
                "time_start: write it",
            ),
            (
                r#"{"days": [0], "time_start": "06:60", "time_end": "07:00"}"#,
                "time_start: write it",
            ),
            (
                r#"{"days": [0], "time_start": "06:00", "time_end": "24:01"}"#,
                "time_end: write it",
            ),
            (
                r#"{"days": [0], "time_start": "24:00", "time_end": "07:00"}"#,
                "time_start: a start is",
            ),
            (
                r#"{"days": [0], "time_start": "07:00", "time_end": "07:00"}"#,
                "time_end: it ends when it begins",
            ),
            (
                r#"{"days": [0], "time_start": "06:00", "time_end": "07:00", "zone": "CET-1"}"#,
                "zone: `CET-1` is no",
            ),
            (
                r#"{"days": [0], "time_start": "06:00", "time_end": "07:00", "day": 1}"#,
                "day: unknown field",
            ),
        ] {
            let error = change(&mut fresh(), body).unwrap_err();
            assert!(error.starts_with(start), "{body}: {error}");
        }
    }
}
