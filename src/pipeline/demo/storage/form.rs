//! The ways in which cameras are asked for what they have: four forms of address, and the times in them.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use url::Url;

use crate::model::{Span, Timestamp};

/// Whose way it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// ONVIF Profile G: the span stands in `Range: clock=`.
    Onvif,
    /// `/Streaming/tracks/101?starttime=…&endtime=…`
    Hikvision,
    /// `/cam/playback?channel=1&starttime=…&endtime=…`
    Dahua,
    /// `/archive?from=…&to=…`, as a person writes it into a template.
    Template,
}

/// The one recording that there is, as ONVIF calls it.
pub(super) const RECORDING: &str = "REC_1";
/// Where it is replayed from.
pub(super) const REPLAY_PATH: &str = "/onvif/replay/REC_1";

/// What an address asks for, in the camera's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) form: Form,
    pub(super) span: Span,
}

/// Understands an address; `None` when nothing is there. `zone_minutes` is how far the camera's zone is ahead of UTC.
pub(super) fn understand(target: &str, zone_minutes: i32) -> Option<Asked> {
    let url = Url::parse(target).ok()?;
    let path = url.path().trim_end_matches('/').to_ascii_lowercase();
    let value = |name: &str| {
        let found = url.query_pairs().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.into_owned())
    };
    let span = |from: &str, to: &str| {
        let start = read_time(&value(from)?, zone_minutes)?;
        let end = match value(to) {
            Some(text) => read_time(&text, zone_minutes)?,
            None => Timestamp::MAX,
        };
        (start < end).then_some(Span { start, end })
    };
    let (form, span) = if path == REPLAY_PATH.to_ascii_lowercase() {
        let all = Span::new(Timestamp::MIN, Timestamp::MAX);
        (Form::Onvif, Some(all))
    } else if path == "/streaming/tracks/101" {
        (Form::Hikvision, span("starttime", "endtime"))
    } else if path == "/cam/playback" && value("channel").as_deref() == Some("1") {
        (Form::Dahua, span("starttime", "endtime"))
    } else if path == "/archive" {
        (Form::Template, span("from", "to"))
    } else {
        return None;
    };
    span.map(|span| Asked { form, span })
}

/// Reads what stands behind `Range:` when it is a clock range; an open end reaches as far as time.
pub(super) fn read_clock_range(text: &str) -> Option<Span> {
    let text = text.split(';').next()?.trim().strip_prefix("clock=")?;
    let (start, end) = text.split_once('-')?;
    let start = match start.trim() {
        "" => Timestamp::MIN,
        start => read_time(start, 0)?,
    };
    let end = match end.trim() {
        "" => Timestamp::MAX,
        end => read_time(end, 0)?,
    };
    Some(Span { start, end })
}

/// A time in any of the ways in which addresses write it: `20261120T103000Z`, `2026-11-20T10:30:00.5Z`, seconds or
/// milliseconds since the epoch, and `2026_11_20_10_30_00`, which alone is the camera's local time.
pub(super) fn read_time(text: &str, zone_minutes: i32) -> Option<Timestamp> {
    if let Ok(time) = Timestamp::parse(text) {
        return Some(time);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() != 14 {
        let number = text.parse().ok()?;
        return Some(if text.len() > 11 {
            Timestamp::from_millis(number)
        } else {
            Timestamp::from_seconds(number)
        });
    }
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, format!("0.{}", fraction.trim_end_matches('Z')).parse().ok()?),
        None => (text, 0.0),
    };
    let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    let time = NaiveDateTime::parse_from_str(&digits, "%Y%m%d%H%M%S").ok()?;
    let zone = if text.contains('_') { zone_minutes } else { 0 };
    let time = DateTime::<Utc>::from_naive_utc_and_offset(time, Utc).timestamp() - i64::from(zone) * 60;
    Some(Timestamp::from_seconds(time).plus(Duration::from_secs_f64(fraction)))
}

/// A time as `Range: clock=` writes it.
pub(super) fn write_clock(time: Timestamp) -> String {
    time.to_utc().format("%Y%m%dT%H%M%S%.3fZ").to_string()
}

/// The address path of a span in the camera's time. Where an address has no fractions of seconds, the span is rounded
/// outwards.
pub(super) fn write_path(form: Form, span: Span, zone_minutes: i32) -> String {
    let up = Duration::from_nanos(999_999_999);
    let write = |time: Timestamp, pattern: &str| time.to_utc().format(pattern).to_string();
    let (start, end) = (span.start, span.end.plus(up));
    match form {
        Form::Onvif => REPLAY_PATH.to_owned(),
        Form::Hikvision => {
            let [start, end] = [start, end].map(|time| write(time, "%Y%m%dT%H%M%SZ"));
            format!("/Streaming/tracks/101?starttime={start}&endtime={end}")
        }
        Form::Dahua => {
            let zone = i64::from(zone_minutes) * 60_000_000_000;
            let [start, end] = [start, end].map(|time| write(time.offset(zone), "%Y_%m_%d_%H_%M_%S"));
            format!("/cam/playback?channel=1&starttime={start}&endtime={end}")
        }
        Form::Template => {
            let [start, end] = [span.start, span.end].map(|time| write(time, "%Y-%m-%dT%H:%M:%S%.3fZ"));
            format!("/archive?from={start}&to={end}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn times_are_read_in_every_way_that_addresses_write_them() {
        let wanted = Some(at("2026-11-20T10:30:05Z"));
        for text in [
            "20261120T103005Z",
            "2026-11-20T10:30:05Z",
            "2026-11-20T11:30:05+01:00",
            "1795170605",
            "1795170605000",
            "20261120103005",
        ] {
            assert_eq!(read_time(text, 60), wanted, "{text}");
        }
        assert_eq!(read_time("2026_11_20_11_30_05", 60), wanted, "local time");
        assert_eq!(read_time("20261120T103005.25Z", 0), Some(at("2026-11-20T10:30:05.25Z")));
        for wrong in ["", "yesterday", "2026-13-20T10:30:05Z", "20261120T10Z"] {
            assert_eq!(read_time(wrong, 0), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_that_is_written_is_understood_as_the_same_span() {
        let span = Span::new(at("2026-11-20T10:30:05Z"), at("2026-11-20T10:31:00Z"));
        for form in [Form::Hikvision, Form::Dahua, Form::Template] {
            let target = format!("rtsp://10.0.0.1:554{}", write_path(form, span, 120));
            assert_eq!(understand(&target, 120), Some(Asked { form, span }), "{target}");
        }
        let split = Span::new(at("2026-11-20T10:30:05.6Z"), at("2026-11-20T10:31:00.2Z"));
        let target = format!("rtsp://10.0.0.1{}", write_path(Form::Hikvision, split, 0));
        let outwards = Span::new(at("2026-11-20T10:30:05Z"), at("2026-11-20T10:31:01Z"));
        assert_eq!(understand(&target, 0).map(|it| it.span), Some(outwards));
    }

    #[test]
    fn what_is_not_there_and_what_makes_no_sense_is_not_understood() {
        for target in [
            "*",
            "rtsp://a/",
            "rtsp://a/Streaming/tracks/201?starttime=20261120T103005Z&endtime=20261120T103105Z",
            "rtsp://a/Streaming/tracks/101?starttime=then&endtime=now",
            "rtsp://a/Streaming/tracks/101?starttime=20261120T103105Z&endtime=20261120T103005Z",
            "rtsp://a/cam/playback?channel=2&starttime=2026_11_20_10_30_05",
        ] {
            assert_eq!(understand(target, 0), None, "{target}");
        }
    }

    #[test]
    fn clock_ranges_may_be_open() {
        let start = at("2026-11-20T10:30:05.25Z");
        let range = |text| read_clock_range(text).map(|span| (span.start, span.end));
        assert_eq!(range("clock=20261120T103005.25Z-"), Some((start, Timestamp::MAX)));
        assert_eq!(
            range("clock=20261120T103005.250Z-20261120T103006Z;time=x"),
            Some((start, at("2026-11-20T10:30:06Z")))
        );
        assert_eq!(range("npt=0-"), None);
        assert_eq!(write_clock(start), "20261120T103005.250Z");
    }
}
