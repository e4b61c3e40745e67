//! `camkeep timeline`: what is recorded, drawn.

use std::io::IsTerminal;

use chrono::Local;
use serde::Deserialize;
use serde_json::Value;

use super::bar::{Lane, Style, draw};
use super::camera::{path, say_json, text};
use super::client::{Client, part};
use super::command::{TimelineArgs, WindowArgs};
use super::entry::say;
use super::failure::Failure;
use super::{lanes, when};
use crate::model::{Span, Timestamp};
use crate::runtime::{Clock, SystemClock};

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

#[derive(Deserialize)]
struct Timeline {
    ranges: Vec<Span>,
    damaged_count: u64,
    lost_packets: f64,
}

#[derive(Deserialize)]
pub(super) struct Gap {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) cause: String,
}

#[derive(Deserialize)]
struct Camera {
    created_at: Timestamp,
}

pub(super) fn timeline(args: &TimelineArgs) -> Result<(), Failure> {
    let now = SystemClock.now();
    let window = window(&args.window, now)?;
    match args.cameras.as_slice() {
        [camera] => one(args, camera, window, now),
        cameras => lanes::lanes(args, cameras, window),
    }
}

fn one(args: &TimelineArgs, camera_id: &str, window: Span, now: Timestamp) -> Result<(), Failure> {
    let client = Client::new(&args.server.server)?;
    let place = path(camera_id);
    let mut query = query(window);
    if args.removed {
        query.push_str("&removed=true");
    }
    let shown = if args.removed { "?removed=true" } else { "" };
    let camera: Value = client.get(&format!("{place}{shown}"))?;
    let ranges: Value = client.get(&format!("{place}/timeline?{query}"))?;
    let gaps: Value = client.get(&format!("{place}/gaps?{query}"))?;
    if args.json {
        let mut answer = ranges;
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("gaps".to_owned(), gaps);
        }
        return say_json(&answer);
    }
    let name = text(&camera, "name");
    let camera: Camera = serde_json::from_value(camera).map_err(stranger)?;
    let timeline: Timeline = serde_json::from_value(ranges).map_err(stranger)?;
    let gaps: Vec<Gap> = serde_json::from_value(gaps).map_err(stranger)?;
    let first = timeline
        .ranges
        .first()
        .map_or(camera.created_at, |range| range.start.min(camera.created_at));
    let expected = Span::new(first, edge(&timeline.ranges, &gaps, now));
    let (rests, gaps): (Vec<Gap>, Vec<Gap>) = gaps.into_iter().partition(|gap| gap.cause == "not_wanted");
    let lane = Lane {
        window,
        expected,
        ranges: timeline.ranges,
        rests: rests.iter().map(|rest| Span::new(rest.start, rest.end)).collect(),
        gaps: gaps
            .into_iter()
            .map(|gap| (Span::new(gap.start, gap.end), gap.cause))
            .collect(),
    };
    say(&format!("{name} ({})", super::words::plain(camera_id)))?;
    say(&draw(&lane, style(), &Local))?;
    match timeline.damaged_count {
        0 => Ok(()),
        count => say(&format!(
            "{count} of its segments {} damaged: {} were lost on the way (camkeep segments says which)",
            if count == 1 { "is" } else { "are" },
            super::segments::packets(timeline.lost_packets)
        )),
    }
}

/// What answers is no camkeep of this version.
pub(super) fn stranger(_: serde_json::Error) -> Failure {
    Failure::other("this camkeep answers in a way that is not understood; are both the same version?")
}

/// Where what is known ends. The newest footage lags a little behind now, which is neither recorded nor missing.
fn edge(ranges: &[Span], gaps: &[Gap], now: Timestamp) -> Timestamp {
    let recorded = ranges.iter().map(|range| range.end);
    let known = recorded.chain(gaps.iter().map(|gap| gap.end)).max();
    known.unwrap_or(now).min(now)
}

/// The window a person gave: the 24 hours before its end, where its start is left out.
pub(super) fn window(args: &WindowArgs, now: Timestamp) -> Result<Span, Failure> {
    let (from, to) = times(args, now)?;
    let to = to.unwrap_or(now);
    let window = Span {
        start: from.unwrap_or_else(|| to.minus(DAY)),
        end: to,
    };
    if window.is_empty() {
        return Err(Failure::usage(match args.to {
            None => "--from has not come yet: nothing is recorded there",
            Some(_) => "--to must be after --from",
        }));
    }
    Ok(window)
}

/// A window as an address carries it.
pub(super) fn query(window: Span) -> String {
    let [from, to] = [window.start, window.end].map(|time| part(&time.to_string()));
    format!("from={from}&to={to}")
}

/// The times a person gave.
pub(super) fn times(args: &WindowArgs, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>), Failure> {
    let read = |flag: &str, given: &Option<String>| {
        given
            .as_deref()
            .map(|given| when::parse(given, now, &Local).map_err(|error| Failure::usage(format!("{flag}: {error}"))))
            .transpose()
    };
    Ok((read("--from", &args.from)?, read("--to", &args.to)?))
}

/// How this terminal draws.
pub(super) fn style() -> Style {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let terminal = std::io::stdout().is_terminal();
    let asked = set("COLUMNS").and_then(|columns| columns.parse().ok());
    let measured = terminal
        .then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok())
        .flatten()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0);
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    Style {
        columns: asked.or(measured).unwrap_or(80),
        colour: terminal && set("NO_COLOR").is_none() && set("TERM").as_deref() != Some("dumb"),
        // Into a file or a pipe goes UTF-8, like everything else that is written.
        blocks: !terminal || locale.is_none_or(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8")),
    }
}
