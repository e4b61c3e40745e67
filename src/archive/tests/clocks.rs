//! How far a camera's clock is off, measured against cameras whose clock is wrong.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::camera::{Asked, FakeCamera, Reply, now};
use crate::archive::{ArchiveError, ClockOffset, LocalTime, ToldBy};
use crate::model::{Timestamp, Vendor};
use crate::runtime::spawn_thread;

/// The clock of a camera so many seconds ahead, as ONVIF tells it, five and a half hours east.
fn by_onvif(ahead: i64) -> Reply {
    let utc = now(ahead);
    let part = |name: &str, moment: Timestamp| {
        let moment = moment.to_utc().format(
            "<tt:Time><tt:Hour>%-H</tt:Hour><tt:Minute>%-M</tt:Minute><tt:Second>%-S</tt:Second></tt:Time>\
             <tt:Date><tt:Year>%Y</tt:Year><tt:Month>%-m</tt:Month><tt:Day>%-d</tt:Day></tt:Date>",
        );
        format!("<tt:{name}>{moment}</tt:{name}>")
    };
    Reply::ok(format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body><tds:GetSystemDateAndTimeResponse>\
         <tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>{}{}</tds:SystemDateAndTime>\
         </tds:GetSystemDateAndTimeResponse></s:Body></s:Envelope>",
        part("UTCDateTime", utc),
        part("LocalDateTime", utc.offset(19_800_000_000_000))
    ))
}

fn dated(ahead: i64) -> Reply {
    let date = now(ahead).to_utc().format("%a, %d %b %Y %H:%M:%S GMT");
    Reply::Whole(404, vec![("Date", date.to_string())], String::new())
}

#[track_caller]
fn assert_ahead(offset: ClockOffset, seconds: i64, told_by: ToldBy) {
    let apart = Duration::from_nanos(offset.ahead_ns.abs_diff(seconds * 1_000_000_000));
    assert!(apart <= offset.within, "{offset:?} is {apart:?} off");
    // The aim is 100 ms; a machine that is busy with other tests answers late, and says so.
    assert!(offset.within < Duration::from_millis(400), "{offset:?}");
    assert_eq!(offset.told_by, told_by);
}

#[test]
fn a_clock_that_is_37_seconds_off_is_measured_to_a_fraction_of_a_second_by_onvif() {
    let camera = FakeCamera::start(|_, _| by_onvif(37));
    let offset = camera.archive(Vendor::Onvif, |_| {}).clock().unwrap();
    assert_ahead(offset, 37, ToldBy::Onvif);
    assert_eq!(offset.local, LocalTime::East(19_800));
    let asked = camera.asked();
    assert!(asked.len() <= 8, "{} questions", asked.len());
    // Everybody may ask for the time, so nobody's password is at stake.
    assert!(
        asked
            .iter()
            .all(|asked| !asked.body.contains("Username") && asked.header("authorization").is_none())
    );
}

#[test]
fn a_clock_that_is_an_hour_off_is_measured_by_the_dates_of_http_answers() {
    let camera = FakeCamera::start(|asked, _| match asked.method.as_str() {
        "GET" => dated(-3600),
        _ => Reply::status(404),
    });
    let offset = camera.archive(Vendor::Hikvision, |_| {}).clock().unwrap();
    assert_ahead(offset, -3600, ToldBy::Http);
    assert_eq!(offset.local, LocalTime::Zone(chrono_tz::Europe::Berlin));
}

#[test]
fn a_dahua_camera_is_asked_in_its_own_way_and_tells_local_time() {
    let own = |asked: &Asked, _| match asked.path.as_str() {
        "/cgi-bin/global.cgi?action=getCurrentTime" if asked.has_digest() => {
            let local = now(37).to_utc().with_timezone(&chrono_tz::Europe::Berlin);
            Reply::ok(format!("result={}\r\n", local.format("%Y-%m-%d %H:%M:%S")))
        }
        "/cgi-bin/global.cgi?action=getCurrentTime" => Reply::challenge(),
        _ => Reply::status(404),
    };
    let camera = FakeCamera::start(own);
    let offset = camera.archive(Vendor::Dahua, |_| {}).clock().unwrap();
    assert_ahead(offset, 37, ToldBy::Vendor);
    assert!(camera.asked().iter().all(|asked| !asked.body.contains("hunter2")));
}

#[test]
fn a_camera_without_http_tells_its_time_by_rtsp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = spawn_thread("fake-rtsp", move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut questions = 0;
        let mut writer = stream;
        while let Some(Ok(line)) = lines.next() {
            if line.starts_with("OPTIONS rtsp://127.0.0.1:") {
                questions += 1;
            } else if line.is_empty() {
                let date = now(37).to_utc().format("%a, %d %b %Y %H:%M:%S GMT");
                writer
                    .write_all(format!("RTSP/1.0 401 Unauthorized\r\nDate: {date}\r\n\r\n").as_bytes())
                    .unwrap();
            }
        }
        questions
    })
    .unwrap();
    // A port on which nobody listens any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let camera = FakeCamera::start(|_, _| Reply::status(500));
    let archive = camera.archive(Vendor::Hikvision, |camera| {
        camera.main_stream_url = Some(format!("rtsp://127.0.0.1:{port}/1").as_str().into());
        camera.http_port = closed;
    });
    assert_ahead(archive.clock().unwrap(), 37, ToldBy::Rtsp);
    drop(archive);
    let questions = server.join().unwrap();
    assert!((1..=8).contains(&questions), "{questions} questions");
}

#[test]
fn a_camera_that_tells_no_time_says_so() {
    let camera = FakeCamera::start(|_, _| Reply::status(404));
    let error = camera.archive(Vendor::Hikvision, |camera| {
        // Speaks no RTSP either.
        camera.main_stream_url = Some(format!("rtsp://127.0.0.1:{}/1", camera.http_port).as_str().into());
    });
    let error = error.clock().unwrap_err();
    assert!(matches!(&error, ArchiveError::Unsupported(_)), "{error:?}");
    assert!(error.to_string().contains("tells its time neither"), "{error}");
}
