//! Asking a camera what time it is, in every way that cameras know.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;

use crate::model::Timestamp;
use crate::runtime::{Instant, pause};

use super::error::ArchiveError;
use super::line::{Ask, Line, Place, Proof};
use super::narrowing::{Narrowing, Reading};
use super::offset::{ClockOffset, LocalTime, ToldBy};
use super::rtsp_date::RtspDate;
use super::soap::Soap;
use super::xml::Element;

/// Where every ONVIF camera has its device service.
pub(super) const DEVICE: &str = "/onvif/device_service";
/// Most questions for one measurement.
const MOST: u32 = 8;
/// Longest that one takes, but for the last answer.
const LONGEST: Duration = Duration::from_secs(8);
/// What an answer is made of before it is sent.
const MAKING: Duration = Duration::from_millis(5);
/// No zone is further from UTC.
const FURTHEST: i64 = 15 * 3600;

/// What one answer told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The second that is shown, in UTC.
    pub(super) shown: Timestamp,
    /// Seconds east of UTC of the local time, when it was told too.
    pub(super) east: Option<i32>,
    pub(super) asked: Instant,
    pub(super) answered: Instant,
}

/// How a camera's clock stands to this box's, asked in the ways that promise most first: ONVIF, which everybody may ask and
/// which tells UTC and local time; the vendor's own way; and the dates of HTTP and RTSP answers.
pub(super) fn clock(line: &Line, zone: Tz, is_dahua: bool) -> Result<ClockOffset, ArchiveError> {
    let by_onvif = measure(line, zone, ToldBy::Onvif, || onvif(line, zone));
    let Err(onvif_error) = by_onvif else { return by_onvif };
    // Where nobody listens, the other ways of HTTP would only cost their time.
    if !matches!(onvif_error, ArchiveError::Unreachable(_)) {
        if is_dahua && let Ok(offset) = measure(line, zone, ToldBy::Vendor, || dahua(line, zone)) {
            return Ok(offset);
        }
        if let Ok(offset) = measure(line, zone, ToldBy::Http, || http(line)) {
            return Ok(offset);
        }
    }
    let mut rtsp = RtspDate::new(line);
    let by_rtsp = measure(line, zone, ToldBy::Rtsp, || rtsp.ask());
    by_rtsp.map_err(|error| match (onvif_error, error) {
        (ArchiveError::Unsupported(_) | ArchiveError::Broken(_) | ArchiveError::Unauthorised(_), _) => {
            ArchiveError::Unsupported(format!(
                "the camera at {} tells its time neither by ONVIF nor in its answers; switch ONVIF on in the camera",
                line.host_in_url()
            ))
        }
        (error, _) => error,
    })
}

/// Asks as often as it makes the answer better.
fn measure(
    line: &Line,
    zone: Tz,
    told_by: ToldBy,
    mut ask: impl FnMut() -> Result<Told, ArchiveError>,
) -> Result<ClockOffset, ArchiveError> {
    // The wall clock is read once, so that a step of it meanwhile bends nothing.
    let (wall, begun) = (line.clock.now(), line.clock.instant());
    let at = |instant: Instant| wall.plus(instant.since(begun));
    let reading = |told: Told| Reading {
        shown: told.shown,
        asked: at(told.asked),
        answered: at(told.answered),
    };
    let first = ask()?;
    let mut narrowing = Narrowing::begin(reading(first));
    for _ in 1..MOST {
        let now = line.clock.instant();
        let Some(wait) = narrowing.next_wait(at(now)) else {
            break;
        };
        if now.since(begun) > LONGEST {
            break;
        }
        pause(wait);
        // What is known stays known.
        let Ok(told) = ask() else { break };
        narrowing.hear(reading(told));
    }
    let east = first
        .east
        .filter(|east| *east != LocalTime::Zone(zone).east(first.shown));
    Ok(ClockOffset {
        ahead_ns: narrowing.ahead_ns(),
        within: narrowing.within() + MAKING,
        told_by,
        local: east.map_or(LocalTime::Zone(zone), LocalTime::East),
    })
}

fn onvif(line: &Line, zone: Tz) -> Result<Told, ArchiveError> {
    let by_digest = AtomicBool::new(false);
    let soap = Soap {
        line,
        by_digest: &by_digest,
    };
    let place = Place {
        port: line.http_port,
        path: DEVICE.to_owned(),
    };
    let (content, answer) = soap.ask_openly(
        &place,
        "http://www.onvif.org/ver10/device/wsdl/GetSystemDateAndTime",
        "<GetSystemDateAndTime xmlns=\"http://www.onvif.org/ver10/device/wsdl\"/>",
    )?;
    let (shown, east) = content
        .child("SystemDateAndTime")
        .and_then(|told| read_onvif(told, zone))
        .ok_or_else(|| ArchiveError::Broken(format!("{} tells no time that there is", answer.place())))?;
    Ok(Told {
        shown,
        east,
        asked: answer.asked,
        answered: answer.answered,
    })
}

/// UTC, and how far local time is east of it. A camera that tells only its local time is taken to stand in this box's zone.
fn read_onvif(told: &Element, zone: Tz) -> Option<(Timestamp, Option<i32>)> {
    let utc = told.child("UTCDateTime").and_then(calendar);
    let local = told.child("LocalDateTime").and_then(calendar);
    let Some(utc) = utc else {
        return Some((in_zone(local?, zone)?, None));
    };
    let east = local.map(|local| (local - utc).num_seconds());
    // Minutes count for zones, seconds are a camera that looked at its clock twice.
    let east = east.map(|east| (east + 30).div_euclid(60) * 60);
    let east = east.filter(|east| east.abs() <= FURTHEST);
    Some((stamp(utc)?, east.and_then(|east| i32::try_from(east).ok())))
}

fn calendar(told: &Element) -> Option<NaiveDateTime> {
    let number = |way: [&str; 2]| told.text_at(&way)?.parse::<u32>().ok();
    let year = i32::try_from(number(["Date", "Year"])?).ok()?;
    // A leap second is the next minute's first.
    let second = number(["Time", "Second"])?.min(59);
    NaiveDate::from_ymd_opt(year, number(["Date", "Month"])?, number(["Date", "Day"])?)?.and_hms_opt(
        number(["Time", "Hour"])?,
        number(["Time", "Minute"])?,
        second,
    )
}

fn stamp(utc: NaiveDateTime) -> Option<Timestamp> {
    utc.and_utc().timestamp_nanos_opt().map(Timestamp::from_nanos)
}

/// A local time of this box's zone. In the hour that comes twice the first is taken, and what no clock shows is none.
fn in_zone(local: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    stamp(local.and_local_timezone(zone).earliest()?.naive_utc())
}

/// Dahua's own way, which tells local time: it is taken for that of this box's zone.
fn dahua(line: &Line, zone: Tz) -> Result<Told, ArchiveError> {
    let place = Place {
        port: line.http_port,
        path: "/cgi-bin/global.cgi?action=getCurrentTime".to_owned(),
    };
    let mut answer = line.ask(&place, Ask::Get, Proof::Digest)?;
    let body = answer.body()?;
    let text = body.trim().strip_prefix("result=").unwrap_or_default();
    let shown = NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S").ok();
    let shown = shown.and_then(|local| in_zone(local, zone));
    Ok(Told {
        shown: shown.ok_or_else(|| ArchiveError::Broken(format!("{} tells no time", answer.place())))?,
        east: None,
        asked: answer.asked,
        answered: answer.answered,
    })
}

/// The date of any answer at all.
fn http(line: &Line) -> Result<Told, ArchiveError> {
    let place = Place {
        port: line.http_port,
        path: "/".to_owned(),
    };
    let answer = line.ask(&place, Ask::Get, Proof::None)?;
    let shown = answer.header("date").and_then(read_date);
    Ok(Told {
        shown: shown.ok_or_else(|| ArchiveError::Unsupported(format!("{} dates no answer", answer.place())))?,
        east: None,
        asked: answer.asked,
        answered: answer.answered,
    })
}

/// A date as HTTP and RTSP write it.
pub(super) fn read_date(text: &str) -> Option<Timestamp> {
    stamp(DateTime::parse_from_rfc2822(text.trim()).ok()?.naive_utc())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use chrono_tz::Europe::Berlin;

    fn told(utc: Option<[u32; 6]>, local: Option<[u32; 6]>) -> Option<(Timestamp, Option<i32>)> {
        let element = |name: &str, [year, month, day, hour, minute, second]: [u32; 6]| {
            format!(
                "<tt:{name}><tt:Time><tt:Hour>{hour}</tt:Hour><tt:Minute>{minute}</tt:Minute><tt:Second>{second}</tt:Second>\
                 </tt:Time><tt:Date><tt:Year>{year}</tt:Year><tt:Month>{month}</tt:Month><tt:Day>{day}</tt:Day></tt:Date></tt:{name}>"
            )
        };
        let utc = utc.map(|utc| element("UTCDateTime", utc)).unwrap_or_default();
        let local = local.map(|local| element("LocalDateTime", local)).unwrap_or_default();
        read_onvif(&Element::parse(&format!("<a>{utc}{local}</a>")).unwrap(), Berlin)
    }

    #[test]
    fn onvif_tells_utc_and_how_far_local_time_is_from_it() {
        let noon = Timestamp::parse("2026-11-28T12:00:00Z").unwrap();
        let utc = Some([2026, 11, 28, 12, 0, 0]);
        assert_eq!(told(utc, Some([2026, 11, 28, 17, 30, 0])), Some((noon, Some(19_800))));
        assert_eq!(told(utc, Some([2026, 11, 28, 13, 0, 1])), Some((noon, Some(3600))));
        assert_eq!(told(utc, None), Some((noon, None)));
        // Nobody lives there.
        assert_eq!(told(utc, Some([1970, 1, 1, 0, 0, 0])), Some((noon, None)));
        assert_eq!(told(None, Some([2026, 11, 28, 13, 0, 0])), Some((noon, None)));
        assert_eq!(told(Some([2026, 13, 28, 12, 0, 0]), None), None);
        assert_eq!(told(Some([4_000_000_000, 1, 1, 0, 0, 0]), None), None);
        assert_eq!(told(None, None), None);
    }

    #[test]
    fn dates_are_read_as_cameras_write_them() {
        let noon = Timestamp::parse("2026-11-28T12:00:00Z").unwrap();
        for text in [
            "Sat, 28 Nov 2026 12:00:00 GMT",
            " Sat, 28 Nov 2026 12:00:00 GMT ",
            "28 Nov 2026 13:00:00 +0100",
        ] {
            assert_eq!(read_date(text), Some(noon), "{text}");
        }
        for text in ["", "now", "Sat, 28 Nov 12026 12:00:00 GMT"] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }
}
