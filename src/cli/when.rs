//! Times as people write them.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};

use crate::model::Timestamp;

/// Reads a time: RFC 3339, or short forms in the zone of the person who types.
pub(super) fn parse<Z: TimeZone>(text: &str, now: Timestamp, zone: &Z) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(moment) = Timestamp::parse(text) {
        return Ok(moment);
    }
    let understood = match text {
        "now" => Some(now),
        _ if text.starts_with('-') => ago(&text[1..]).map(|nanos| now.offset(-nanos)),
        _ => calendar(text, now, zone).and_then(|local| resolve(local, zone)),
    };
    understood.ok_or_else(|| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
        format!(
            "`{shown}` is not a time; write 10:30, `yesterday 22:00`, `2026-11-20 10:30`, 2026-11-20T10:30:00Z, or -15m for a quarter of an hour ago"
        )
    })
}

/// A moment as a row of a table shows it, in the zone of the person who reads.
pub(super) fn show<Z: TimeZone>(moment: Timestamp, zone: &Z) -> String
where
    Z::Offset: std::fmt::Display,
{
    moment
        .to_utc()
        .with_timezone(zone)
        .format("%Y-%m-%d %H:%M:%S%.3f")
        .to_string()
}

/// `15m`, `1h30m`, `2d`: nanoseconds.
fn ago(text: &str) -> Option<i64> {
    let (mut total, mut digits) = (0_i64, String::new());
    for character in text.chars() {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let seconds = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        let count: i64 = digits.parse().ok()?;
        digits.clear();
        total = total.checked_add(count.checked_mul(seconds)?.checked_mul(1_000_000_000)?)?;
    }
    (digits.is_empty() && total > 0).then_some(total)
}

/// A day, a time of day, or both, as a calendar and a clock on the wall show them.
fn calendar<Z: TimeZone>(text: &str, now: Timestamp, zone: &Z) -> Option<NaiveDateTime> {
    let today = now.to_utc().with_timezone(zone).date_naive();
    let day = |word: &str| match word {
        "today" => Some(today),
        "yesterday" => today.checked_sub_days(Days::new(1)),
        _ => NaiveDate::parse_from_str(word, "%Y-%m-%d").ok(),
    };
    if let Some(time) = time_of_day(text) {
        return Some(today.and_time(time));
    }
    if let Some(day) = day(text) {
        return Some(day.and_time(NaiveTime::MIN));
    }
    let (date, time) = text.split_once([' ', 'T'])?;
    Some(day(date)?.and_time(time_of_day(time.trim_start())?))
}

fn time_of_day(text: &str) -> Option<NaiveTime> {
    ["%H:%M", "%H:%M:%S", "%H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveTime::parse_from_str(text, format).ok())
}

/// A wall time as a moment. One that a clock change repeats means the first; one that it skips means an hour later.
pub(super) fn resolve<Z: TimeZone>(local: NaiveDateTime, zone: &Z) -> Option<Timestamp> {
    let moment = zone
        .from_local_datetime(&local)
        .earliest()
        .or_else(|| zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest())?;
    moment.timestamp_nanos_opt().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use chrono_tz::Europe::Berlin;
    use proptest::prelude::*;

    fn at(text: &str) -> String {
        // 12:00 in Berlin.
        let now = Timestamp::parse("2026-11-20T11:00:00Z").unwrap();
        match parse(text, now, &Berlin) {
            Ok(moment) => moment.to_string(),
            Err(message) => message,
        }
    }

    #[test]
    fn people_write_times_in_many_ways() {
        for (text, moment) in [
            ("2026-11-20T10:30:00Z", "2026-11-20T10:30:00.000Z"),
            ("2026-11-20T10:30:00+01:00", "2026-11-20T09:30:00.000Z"),
            ("now", "2026-11-20T11:00:00.000Z"),
            ("10:30", "2026-11-20T09:30:00.000Z"),
            ("10:30:05", "2026-11-20T09:30:05.000Z"),
            ("10:30:05.250", "2026-11-20T09:30:05.250Z"),
            ("yesterday 22:00", "2026-11-19T21:00:00.000Z"),
            ("yesterday", "2026-11-18T23:00:00.000Z"),
            ("today 00:00", "2026-11-19T23:00:00.000Z"),
            ("2026-11-20 10:30", "2026-11-20T09:30:00.000Z"),
            ("2026-11-20T10:30", "2026-11-20T09:30:00.000Z"),
            ("2026-07-01", "2026-06-30T22:00:00.000Z"),
            ("-15m", "2026-11-20T10:45:00.000Z"),
            ("-1h30m", "2026-11-20T09:30:00.000Z"),
            ("-1d", "2026-11-19T11:00:00.000Z"),
        ] {
            assert_eq!(at(text), moment, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_examples() {
        for text in [
            "",
            "noon",
            "-",
            "-15",
            "-15x",
            "25:00",
            "10:30 yesterday",
            "2026-02-30",
            "-99999999999d",
        ] {
            assert!(at(text).contains("is not a time; write 10:30"), "{text}: {}", at(text));
        }
    }

    #[test]
    fn the_hour_that_comes_twice_is_the_first_and_the_one_that_is_skipped_is_an_hour_later() {
        assert_eq!(at("2026-10-25 02:30"), "2026-10-25T00:30:00.000Z");
        assert_eq!(at("2026-03-29 02:30"), "2026-03-29T01:30:00.000Z");
    }

    proptest! {
        #[test]
        fn any_text_at_all_is_read_without_a_panic(text in "\\PC*") {
            let _ = parse(&text, Timestamp::EPOCH, &Berlin);
        }

        #[test]
        fn what_looks_like_a_time_is_read_without_a_panic(text in "[-0-9:. Tsmhdw]{0,24}") {
            let _ = parse(&text, Timestamp::EPOCH, &Berlin);
        }
    }
}
