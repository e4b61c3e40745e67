//! `camkeep coverage` and `camkeep days`: how much of a day is there, and which days there are.

use chrono::{Datelike, Days, NaiveDate};
use chrono_tz::Tz;
use clap::Args;
use serde_json::Value;

use super::camera::{path, say_json, table, text};
use super::client::{Client, part};
use super::command::ServerArgs;
use super::entry::say;
use super::failure::Failure;
use super::gaps::{all, length};
use super::words;
use crate::runtime::{Clock, SystemClock, local_zone};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  camkeep coverage
  camkeep coverage front-door --day yesterday
  camkeep coverage front-door --day 2026-11-20 --zone Europe/Berlin")]
pub(super) struct CoverageArgs {
    /// The camera's id [default: every camera]
    camera: Option<String>,
    /// The day: today, yesterday, 2026-11-20
    #[arg(long, default_value = "today")]
    day: String,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the answers as JSON, one a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DaysArgs {
    /// The camera's id
    camera: String,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ZoneArgs {
    /// The time zone whose midnights count, like Europe/Berlin [default: this machine's]
    #[arg(long)]
    zone: Option<Tz>,
}

impl ZoneArgs {
    /// The zone that was given, else this machine's.
    fn zone(&self) -> Result<Tz, Failure> {
        let wrong = |text: String| {
            Failure::usage(format!(
                "TZ={}: no time zone has this name; give one with --zone",
                words::plain(&text)
            ))
        };
        self.zone.map_or_else(|| local_zone().map_err(wrong), Ok)
    }
}

pub(super) fn coverage(args: &CoverageArgs) -> Result<(), Failure> {
    let zone = args.zone.zone()?;
    let today = SystemClock.now().to_utc().with_timezone(&zone).date_naive();
    let day = day(&args.day, today)
        .ok_or_else(|| Failure::usage("--day: write it like 2026-11-20, or say today or yesterday"))?;
    let client = Client::new(&args.server.server)?;
    let cameras = match &args.camera {
        Some(camera) => vec![camera.clone()],
        None => all(&client)?,
    };
    if cameras.is_empty() && !args.json {
        return say("no cameras yet; add one with `camkeep camera add NAME URL`");
    }
    let mut rows = Vec::new();
    for camera in cameras {
        let query = format!("day={day}&zone={}", part(zone.name()));
        let answer: Value = client.get(&format!("{}/coverage?{query}", path(&camera)))?;
        if args.json {
            say(&answer.to_string())?;
        } else {
            rows.push(cells(&answer));
        }
    }
    match args.json {
        true => Ok(()),
        false => say(&format!(
            "{day}, {}\n{}",
            zone.name(),
            table(&["CAMERA", "THERE", "RECORDED", "OF", "REFILLED", "MISSING"], &rows)
        )),
    }
}

fn day(text: &str, today: NaiveDate) -> Option<NaiveDate> {
    match text {
        "today" => Some(today),
        "yesterday" => today.checked_sub_days(Days::new(1)),
        _ => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok(),
    }
}

fn cells(answer: &Value) -> [String; 6] {
    let missing = answer["missing"].as_array().map(Vec::as_slice).unwrap_or_default();
    let missing: Vec<String> = missing
        .iter()
        .map(|one| format!("{} {}", length(one, "seconds"), text(one, "cause")))
        .collect();
    [
        text(answer, "camera_id"),
        // Rounded down by the daemon: 100 % means that nothing at all is missing.
        answer["percent"]
            .as_f64()
            .map_or("-".to_owned(), |percent| format!("{percent} %")),
        length(answer, "recorded_seconds"),
        length(answer, "expected_seconds"),
        length(answer, "refilled_seconds"),
        if missing.is_empty() {
            "nothing".to_owned()
        } else {
            missing.join(", ")
        },
    ]
}

pub(super) fn days(args: &DaysArgs) -> Result<(), Failure> {
    let zone = args.zone.zone()?;
    let query = format!("zone={}", part(zone.name()));
    let answer: Value = Client::new(&args.server.server)?.get(&format!("{}/days?{query}", path(&args.camera)))?;
    if args.json {
        return say_json(&answer);
    }
    let days = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let days: Vec<NaiveDate> = days.iter().filter_map(|row| text(row, "day").parse().ok()).collect();
    if days.is_empty() {
        return say(&format!("no footage of {} yet", words::plain(&args.camera)));
    }
    say(&months(&days).join("\n"))
}

/// A line a month, with the days that follow one another as one: `2026-11  1–5, 8, 10–20`.
fn months(days: &[NaiveDate]) -> Vec<String> {
    let mut lines = Vec::new();
    for month in days.chunk_by(|one, next| (one.year(), one.month()) == (next.year(), next.month())) {
        let stretches: Vec<String> = month
            .chunk_by(|one, next| one.succ_opt() == Some(*next))
            .filter_map(|stretch| Some((stretch.first()?.day(), stretch.last()?.day())))
            .map(|(first, last)| match first == last {
                true => first.to_string(),
                false => format!("{first}–{last}"),
            })
            .collect();
        if let Some(first) = month.first() {
            lines.push(format!("{}  {}", first.format("%Y-%m"), stretches.join(", ")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn days_that_follow_one_another_are_said_together_month_by_month() {
        let days: Vec<NaiveDate> = ["2026-10-30", "2026-10-31", "2026-11-01", "2026-11-03", "2027-11-04"]
            .iter()
            .map(|day| day.parse().unwrap())
            .collect();
        assert_eq!(months(&days), ["2026-10  30–31", "2026-11  1, 3", "2027-11  4"]);
    }

    #[test]
    fn a_day_is_written_or_said() {
        let today: NaiveDate = "2026-03-01".parse().unwrap();
        let said = |text| day(text, today).map(|day| day.to_string());
        assert_eq!(said("today").as_deref(), Some("2026-03-01"));
        assert_eq!(said("yesterday").as_deref(), Some("2026-02-28"));
        assert_eq!(said("2026-11-20").as_deref(), Some("2026-11-20"));
        assert_eq!(said("20.11.2026"), None);
    }
}
