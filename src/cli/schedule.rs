//! `camkeep schedule`: when a camera is recorded.

use serde_json::{Value, json};

use super::camera::{path, say_json, table, text};
use super::client::{Client, part};
use super::command::{ScheduleAddArgs, ServerArgs};
use super::entry::say;
use super::failure::Failure;
use super::words::plain;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(super) fn list(camera: &str, server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let found: Value = Client::new(&server.server)?.get(&of(camera))?;
    if json {
        return say_json(&found);
    }
    let rows: Vec<[String; 6]> = found.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        let camera = plain(camera);
        return say(&format!(
            "{camera} has no schedules yet; add one with `camkeep schedule add {camera} mon-fri 08:00 18:00`"
        ));
    }
    say(&table(&["ID", "DAYS", "START", "END", "ZONE", "ON"], &rows))
}

fn row(schedule: &Value) -> [String; 6] {
    let days = schedule["days"].as_array().into_iter().flatten();
    let days = days.filter_map(|day| DAYS.get(usize::try_from(day.as_u64()?).ok()?).copied());
    let on = if schedule["enabled"] == true { "yes" } else { "no" };
    [
        text(schedule, "id"),
        days.collect::<Vec<_>>().join(","),
        text(schedule, "time_start"),
        text(schedule, "time_end"),
        text(schedule, "zone"),
        on.to_owned(),
    ]
}

pub(super) fn add(args: &ScheduleAddArgs) -> Result<(), Failure> {
    let mut body = json!({ "days": days(&args.days)?, "time_start": args.start, "time_end": args.end });
    if let Some(zone) = args.zone {
        body["zone"] = zone.name().into();
    }
    let added: Value = Client::new(&args.server.server)?.post(&of(&args.camera), &body)?;
    let (id, zone) = (text(&added, "id"), text(&added, "zone"));
    say(&format!(
        "added schedule {id}, by the clock of {zone}; remove it with `camkeep schedule remove {id}`"
    ))
}

pub(super) fn remove(id: u64, server: &ServerArgs) -> Result<(), Failure> {
    Client::new(&server.server)?.delete(&format!("/api/v1/schedules/{}", part(&id.to_string())))?;
    say(&format!("removed schedule {id}"))
}

fn of(camera: &str) -> String {
    format!("{}/schedules", path(camera))
}

/// Days as people write them: `daily`, `mon-fri`, `sat,sun`, `fri-mon`.
fn days(given: &str) -> Result<Vec<usize>, Failure> {
    let wrong = || {
        let given = plain(given);
        Failure::usage(format!("`{given}`: write days like mon-fri, sat,sun or daily"))
    };
    let find = |name: &str| {
        DAYS.iter()
            .position(|day| name.eq_ignore_ascii_case(day))
            .ok_or_else(wrong)
    };
    if given.eq_ignore_ascii_case("daily") {
        return Ok((0..DAYS.len()).collect());
    }
    let mut days = Vec::new();
    for part in given.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (find(first.trim())?, find(last.trim())?);
        // Over the end of the week as well.
        let count = (last + DAYS.len() - first) % DAYS.len() + 1;
        days.extend((first..first + count).map(|day| day % DAYS.len()));
    }
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn days_are_read_as_people_write_them() {
        for (given, expected) in [
            ("daily", &[0, 1, 2, 3, 4, 5, 6][..]),
            ("mon-fri", &[0, 1, 2, 3, 4]),
            ("Sat,sun", &[5, 6]),
            ("fri-mon, wed", &[0, 2, 4, 5, 6]),
            ("tue", &[1]),
        ] {
            assert_eq!(days(given).unwrap(), expected, "{given}");
        }
        for given in ["", "weekdays", "mon-", "0-4"] {
            assert_eq!(days(given).unwrap_err().code, 2, "{given}");
        }
    }
}
