//! A timeline drawn with characters.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Timelike};

use super::when::resolve;
use super::words;
use crate::model::{Span, Timestamp};

/// What is drawn.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    /// The time shown.
    pub(super) window: Span,
    /// Where footage could be: from the camera's beginning to now.
    pub(super) expected: Span,
    /// Recorded spans, sorted and disjoint.
    pub(super) ranges: Vec<Span>,
    /// What is missing, and why.
    pub(super) gaps: Vec<(Span, String)>,
    /// When nothing was to be recorded.
    pub(super) rests: Vec<Span>,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Width of the terminal.
    pub(super) columns: usize,
    /// Whether it shows colours.
    pub(super) colour: bool,
    /// Whether it shows block characters.
    pub(super) blocks: bool,
}

/// More gaps than these are counted, not listed.
const LISTED: usize = 12;
const NARROWEST: usize = 20;
const WIDEST: usize = 240;

/// Draws the axis, the bar and the summary.
pub(super) fn draw<Z: TimeZone>(lane: &Lane, style: Style, zone: &Z) -> String
where
    Z::Offset: std::fmt::Display,
{
    let width = width(style.columns);
    format!(
        "{}\n{}\n{}",
        axis(lane.window, width, zone),
        bar(lane, width, style),
        summary(lane, zone)
    )
}

/// How wide a bar is drawn where there is room for so many columns.
pub(super) fn width(columns: usize) -> usize {
    columns.clamp(NARROWEST, WIDEST)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// Recorded, all of it.
    Whole,
    /// Something is missing in it.
    Part,
    /// Nothing of it is recorded.
    Gap,
    /// Nothing was expected: before the camera, after now.
    Nothing,
}

fn cells(lane: &Lane, width: usize) -> Vec<Cell> {
    let nanos = i128::from(lane.window.end.nanos_since(lane.window.start));
    let edge = |column: usize| {
        let offset = nanos * column as i128 / width as i128;
        lane.window.start.offset(i64::try_from(offset).unwrap_or(i64::MAX))
    };
    (0..width)
        .map(|column| {
            let cell = Span::new(edge(column), edge(column + 1));
            let missing: Duration = lane
                .gaps
                .iter()
                .filter_map(|(gap, _)| gap.intersect(&cell))
                .map(|gap| gap.duration())
                .sum();
            let recorded = lane.ranges.iter().any(|range| range.overlaps(&cell));
            match (recorded, missing > Duration::ZERO) {
                (true, false) => Cell::Whole,
                (true, true) => Cell::Part,
                (false, true) => Cell::Gap,
                (false, false) => Cell::Nothing,
            }
        })
        .collect()
}

fn bar(lane: &Lane, width: usize, style: Style) -> String {
    padded(lane, width, style).trim_end_matches(' ').to_owned()
}

/// What is recorded and what is missing, a character a piece of time, to the end of the width.
pub(super) fn padded(lane: &Lane, width: usize, style: Style) -> String {
    let mut line = String::new();
    let mut before = None;
    for cell in cells(lane, width) {
        let (block, letter, colour) = match cell {
            Cell::Whole => ('█', '#', "32"),
            Cell::Part => ('▒', '+', "33"),
            Cell::Gap => ('·', '.', "31"),
            Cell::Nothing => (' ', ' ', "0"),
        };
        if style.colour && before != Some(cell) {
            line.push_str(&format!("\u{1b}[{colour}m"));
        }
        before = Some(cell);
        line.push(if style.blocks { block } else { letter });
    }
    if style.colour {
        line.push_str("\u{1b}[0m");
    }
    line
}

/// Steps between marks, in seconds.
const STEPS: [i64; 20] = [
    5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY, 172_800, 604_800, 2_592_000,
    7_776_000, 31_536_000,
];
const DAY: i64 = 86_400;
/// No axis holds more marks than this: the widest has room for 26, and clock changes add a few that are passed over.
const MARKS: usize = 64;

/// Marks of the time, above a bar of this width.
pub(super) fn axis<Z: TimeZone>(window: Span, width: usize, zone: &Z) -> String {
    // A mark needs the characters of its label and some air.
    let most = |label: usize| (width / (label + 3)).max(1) as f64;
    let step = STEPS
        .into_iter()
        .find(|step| window.seconds() / *step as f64 <= most(if *step < 60 { 8 } else { 6 }))
        .unwrap_or(31_536_000);
    let format = match step {
        ..60 => "%H:%M:%S",
        60..DAY => "%H:%M",
        DAY..31_536_000 => "%d %b",
        _ => "%Y",
    };
    let length = window.end.nanos_since(window.start) as f64;
    let mut line = vec![' '; width];
    let mut free = 0;
    for (moment, wall) in marks(window, step, zone) {
        let share = moment.nanos_since(window.start) as f64 / length;
        let column = (share * width as f64) as usize;
        let label = wall.format(format).to_string();
        if column >= free && column + label.len() <= width {
            for (place, character) in line[column..].iter_mut().zip(label.chars()) {
                *place = character;
            }
            free = column + label.len() + 1;
        }
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

/// Round local times in the window. They are counted on the wall clock, so that a day of 23 hours has its midnight.
fn marks<Z: TimeZone>(window: Span, step: i64, zone: &Z) -> Vec<(Timestamp, NaiveDateTime)> {
    let start = local(window.start, zone).naive_local();
    let into_day = i64::from(start.num_seconds_from_midnight());
    // What is longer than a day is counted from the first midnight.
    let into_step = if step <= DAY { into_day % step } else { into_day };
    let mut at = start - TimeDelta::nanoseconds(i64::from(start.nanosecond())) - TimeDelta::seconds(into_step);
    let mut found = Vec::new();
    for _ in 0..MARKS {
        if let Some(moment) = resolve(at, zone) {
            if moment >= window.end {
                break;
            }
            if moment >= window.start {
                found.push((moment, at));
            }
        }
        let Some(next) = at.checked_add_signed(TimeDelta::seconds(step)) else {
            break;
        };
        at = next;
    }
    found
}

fn local<Z: TimeZone>(moment: Timestamp, zone: &Z) -> DateTime<Z> {
    moment.to_utc().with_timezone(zone)
}

/// `23 h 58 min recorded of 24 h, 2 gaps:`, and the gaps.
fn summary<Z: TimeZone>(lane: &Lane, zone: &Z) -> String
where
    Z::Offset: std::fmt::Display,
{
    let Some(expected) = lane.expected.intersect(&lane.window) else {
        return "nothing was to be recorded in this time".to_owned();
    };
    let missing: Duration = lane.gaps.iter().map(|(gap, _)| gap.duration()).sum();
    let rests = lane.rests.iter().filter_map(|rest| rest.intersect(&expected));
    let rested: Duration = rests.map(|rest| rest.duration()).sum();
    let expected = expected.duration().saturating_sub(rested);
    if expected.is_zero() {
        return "nothing was to be recorded in this time".to_owned();
    }
    let recorded = expected.saturating_sub(missing);
    let mut text = format!(
        "{} recorded of {}",
        words::duration(recorded),
        words::duration(expected)
    );
    text.push_str(&match lane.gaps.len() {
        0 => ", no gaps".to_owned(),
        1 => ", 1 gap: ".to_owned(),
        count => format!(", {count} gaps:"),
    });
    let several_days = local(lane.window.start, zone).date_naive() != local(lane.window.end, zone).date_naive();
    // The newest matter most.
    for (gap, cause) in lane.gaps.iter().rev().take(LISTED) {
        if lane.gaps.len() > 1 {
            text.push_str("\n  ");
        }
        let (start, end) = (local(gap.start, zone), local(gap.end, zone));
        let first = if several_days { "%d %b %H:%M:%S" } else { "%H:%M:%S" };
        let second = if start.date_naive() == end.date_naive() {
            "%H:%M:%S"
        } else {
            first
        };
        text.push_str(&format!(
            "{}–{} ({}, {})",
            start.format(first),
            end.format(second),
            words::duration(gap.duration()),
            words::plain(cause)
        ));
    }
    if lane.gaps.len() > LISTED {
        text.push_str(&format!("\n  and {} earlier ones", lane.gaps.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use chrono_tz::Europe::Berlin;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(&format!("2026-11-20T{text}Z")).unwrap()
    }

    fn lane() -> Lane {
        let window = Span::new(at("00:00:00"), at("00:00:00").plus(Duration::from_secs(86_400)));
        Lane {
            window,
            expected: window,
            ranges: vec![
                Span::new(window.start, at("03:10:05")),
                Span::new(at("03:11:40"), at("12:00:00")),
                Span::new(at("18:00:00"), window.end),
            ],
            gaps: vec![
                (Span::new(at("03:10:05"), at("03:11:40")), "stalled".into()),
                (Span::new(at("12:00:00"), at("18:00:00")), "stopped".into()),
            ],
            rests: Vec::new(),
        }
    }

    const PLAIN: Style = Style {
        columns: 48,
        colour: false,
        blocks: true,
    };

    #[test]
    fn a_day_is_drawn_with_its_gaps_in_local_time() {
        let text = draw(&lane(), PLAIN, &chrono::Utc);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "00:00       06:00       12:00       18:00");
        assert_eq!(lines[1], "██████▒█████████████████············████████████");
        assert_eq!(lines[2], "17 h 58 min recorded of 24 h, 2 gaps:");
        assert_eq!(lines[3], "  20 Nov 12:00:00–18:00:00 (6 h, stopped)");
        assert_eq!(lines[4], "  20 Nov 03:10:05–03:11:40 (1 min 35 s, stalled)");
        let berlin = draw(&lane(), PLAIN, &Berlin);
        assert!(
            berlin.starts_with("          06:00       12:00       18:00"),
            "{berlin}"
        );
    }

    #[test]
    fn what_was_not_to_be_recorded_is_no_gap() {
        let mut lane = lane();
        lane.rests.push(lane.gaps.pop().unwrap().0);
        let text = draw(&lane, PLAIN, &chrono::Utc);
        assert!(
            text.contains("17 h 58 min recorded of 18 h, 1 gap: 20 Nov 03:10:05"),
            "{text}"
        );
        lane.window = lane.rests[0];
        assert!(draw(&lane, PLAIN, &chrono::Utc).ends_with("nothing was to be recorded in this time"));
    }

    #[test]
    fn one_gap_stands_in_the_line_and_none_is_said() {
        let mut lane = lane();
        lane.window = Span::new(at("03:00:00"), at("04:00:00"));
        lane.gaps.truncate(1);
        let text = draw(&lane, PLAIN, &chrono::Utc);
        assert!(
            text.ends_with("58 min 25 s recorded of 1 h, 1 gap: 03:10:05–03:11:40 (1 min 35 s, stalled)"),
            "{text}"
        );
        lane.gaps.clear();
        assert!(draw(&lane, PLAIN, &chrono::Utc).ends_with("1 h recorded of 1 h, no gaps"));
    }

    #[test]
    fn before_the_camera_and_after_now_nothing_is_drawn() {
        let mut lane = lane();
        lane.expected = Span::new(at("06:00:00"), at("12:00:00"));
        lane.ranges = vec![lane.expected];
        lane.gaps.clear();
        let text = draw(&lane, Style { blocks: false, ..PLAIN }, &chrono::Utc);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], format!("{}{}", " ".repeat(12), "#".repeat(12)));
        assert_eq!(lines[2], "6 h recorded of 6 h, no gaps");
        lane.window = Span::new(at("13:00:00"), at("14:00:00"));
        assert!(draw(&lane, PLAIN, &chrono::Utc).ends_with("nothing was to be recorded in this time"));
    }

    #[test]
    fn a_gap_much_shorter_than_a_column_is_seen() {
        let mut lane = lane();
        let gap = Span::new(at("09:00:00"), at("09:00:02.5"));
        lane.ranges = vec![
            Span::new(lane.window.start, gap.start),
            Span::new(gap.end, lane.window.end),
        ];
        lane.gaps = vec![(gap, "ended".into())];
        let text = draw(&lane, PLAIN, &chrono::Utc);
        assert_eq!(text.matches('▒').count(), 1);
    }

    #[test]
    fn marks_fit_the_window_from_seconds_to_years() {
        for (seconds, start) in [
            (60, "00:00:00                00:00:30"),
            (600, "00:00    00:02     00:04"),
            (7 * 86_400, "20 Nov       22 Nov"),
            (365 * 86_400, "20 Nov"),
        ] {
            let start_of_day = at("00:00:00");
            let window = Span::new(start_of_day, start_of_day.plus(Duration::from_secs(seconds)));
            let line = axis(window, 48, &chrono::Utc);
            assert!(line.starts_with(start), "{seconds}: {line}");
        }
    }

    #[test]
    fn colours_end_where_the_line_ends() {
        let text = bar(&lane(), 10, Style { colour: true, ..PLAIN });
        assert!(text.ends_with("\u{1b}[0m"));
        assert_eq!(text.chars().filter(|c| "█▒·".contains(*c)).count(), 10);
    }

    proptest! {
        #[test]
        fn the_drawing_fits_the_terminal_whatever_the_window(start in 0i64..2_000_000_000, length in 1i64..40_000_000, columns in 0usize..400) {
            let window = Span::new(Timestamp::from_seconds(start), Timestamp::from_seconds(start + length));
            let lane = Lane { window, expected: window, ranges: vec![window], gaps: vec![], rests: vec![] };
            let text = draw(&lane, Style { columns, ..PLAIN }, &Berlin);
            for line in text.lines().take(2) {
                prop_assert!(line.chars().count() <= columns.clamp(NARROWEST, WIDEST));
            }
        }
    }
}
