//! `camkeep timeline` for many cameras: a line each, under one axis.

use chrono::{Local, TimeZone};
use serde::Deserialize;
use serde_json::Value;

use super::bar::{self, Style};
use super::camera::say_json;
use super::client::{Client, part};
use super::command::TimelineArgs;
use super::entry::say;
use super::failure::Failure;
use super::timeline::{Gap, query, stranger, style};
use super::words;
use crate::model::Span;

/// A name longer than this is cut, so that room is left for the time.
const NAME: usize = 20;
/// `, 99 gaps` and what a table needs to breathe.
const COUNT: usize = 11;
/// The daemon takes this many at a time.
const AT_ONCE: usize = 64;

#[derive(Deserialize)]
struct Lane {
    camera_id: String,
    ranges: Vec<Span>,
    gaps: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(flatten)]
    gap: Gap,
    count: usize,
}

pub(super) fn lanes(args: &TimelineArgs, cameras: &[String], window: Span) -> Result<(), Failure> {
    let client = Client::new(&args.server.server)?;
    let style = style();
    // As fine as can be drawn, and a day of many cameras stays a small answer.
    let resolution = window.seconds() / style.columns.max(1) as f64;
    let mut query = format!("{}&resolution={}", query(window), resolution.min(86_400.0));
    if args.removed {
        query.push_str("&removed=true");
    }
    if cameras.len() > AT_ONCE {
        return Err(Failure::usage(format!("at most {AT_ONCE} cameras at a time")));
    }
    if !cameras.is_empty() {
        query.push_str(&format!("&cameras={}", part(&cameras.join(","))));
    }
    let answer: Value = client.get(&format!("/api/v1/timeline?{query}"))?;
    if args.json {
        return say_json(&answer);
    }
    let lanes: Vec<Lane> = serde_json::from_value(answer).map_err(stranger)?;
    if lanes.is_empty() {
        return say("no cameras yet; add one with `camkeep camera add NAME URL`");
    }
    say(&draw(lanes, window, style, &Local))
}

fn draw<Z: TimeZone>(lanes: Vec<Lane>, window: Span, style: Style, zone: &Z) -> String {
    let names: Vec<String> = lanes.iter().map(|lane| name(&lane.camera_id)).collect();
    let indent = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
    let width = bar::width(style.columns.saturating_sub(indent + COUNT));
    let mut text = format!("{:indent$}{}", "", bar::axis(window, width, zone));
    for (lane, name) in lanes.into_iter().zip(names) {
        let (rests, gaps): (Vec<Row>, Vec<Row>) = lane.gaps.into_iter().partition(|row| row.gap.cause == "not_wanted");
        let count: usize = gaps.iter().map(|row| row.count).sum();
        let span = |row: &Row| Span::new(row.gap.start, row.gap.end);
        let drawn = bar::Lane {
            window,
            expected: window,
            ranges: lane.ranges,
            rests: rests.iter().map(span).collect(),
            gaps: gaps.iter().map(|row| (span(row), row.gap.cause.clone())).collect(),
        };
        let said = match count {
            0 if drawn.ranges.is_empty() => "nothing".to_owned(),
            0 => String::new(),
            1 => "1 gap".to_owned(),
            count => format!("{count} gaps"),
        };
        let line = format!("{name:indent$}{}  {said}", bar::padded(&drawn, width, style));
        text.push('\n');
        text.push_str(line.trim_end());
    }
    text
}

fn name(id: &str) -> String {
    let id = words::plain(id);
    match id.chars().count() {
        0..=NAME => id,
        _ => id.chars().take(NAME - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn cameras_are_drawn_under_one_axis_with_the_gaps_counted() {
        let at = |text: &str| Timestamp::parse(&format!("2026-11-20T{text}:00Z")).unwrap();
        let lanes: Vec<Lane> = serde_json::from_value(serde_json::json!([
            {"camera_id": "front-door", "name": "Front door", "ranges": [{"start": at("00:00"), "end": at("12:00"), "seconds": 1.0}],
             "gaps": []},
            {"camera_id": "yard", "name": "Yard", "ranges": [{"start": at("00:00"), "end": at("06:00"), "seconds": 1.0}],
             "gaps": [{"start": at("06:00"), "end": at("09:00"), "count": 2, "cause": "stalled"},
                      {"start": at("09:00"), "end": at("12:00"), "count": 1, "cause": "not_wanted"}]},
            {"camera_id": "a-camera-with-a-very-long-name", "name": "x", "ranges": [], "gaps": []},
        ]))
        .unwrap();
        let style = Style {
            columns: 57,
            colour: false,
            blocks: true,
        };
        let text = draw(lanes, Span::new(at("00:00"), at("12:00")), style, &chrono::Utc);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "                      00:00       06:00");
        assert_eq!(lines[1], "front-door            ████████████████████████");
        assert_eq!(lines[2], "yard                  ████████████······        2 gaps");
        assert_eq!(lines[3], "a-camera-with-a-ver…                            nothing");
    }
}
