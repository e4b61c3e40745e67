//! What people see of the timeline, put together from the index. Every query seeks; none walks through the past.

use std::time::Duration;

use chrono::{Days, NaiveDate, NaiveTime, TimeDelta, TimeZone};

use super::whole::{Causes, Life, Missing, Why, missing};
use crate::index::{IndexError, Reader};
use crate::model::coverage::{covered, merge};
use crate::model::{Camera, GapCause, SEAM, Span, Timestamp};

/// What is recorded of a camera in a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Recorded ranges, cut to the window.
    pub ranges: Vec<Span>,
    /// The parts of them that came back from the camera's own storage.
    pub refilled: Vec<Span>,
    /// Footage that is really there, seams not counted.
    pub recorded: Duration,
    /// How many segments it is made of.
    pub segments: u64,
    /// How many of them lack packets that the network lost.
    pub damaged: u64,
    /// How many packets those are.
    pub lost_packets: u64,
}

/// What is recorded of a camera, joined into ranges.
pub fn timeline(reader: &Reader<'_>, camera: &Camera, window: Span) -> Result<Timeline, IndexError> {
    let stretches = reader.stretches(&camera.id, window)?;
    let refilled = merge(reader.refilled(&camera.id, window)?, SEAM);
    let spans = stretches.iter().map(|stretch| stretch.span);
    let (damaged, lost_packets) = reader.damage(&camera.id, window)?;
    Ok(Timeline {
        ranges: spans.filter(|span| !span.is_empty()).collect(),
        refilled: refilled.iter().filter_map(|span| span.intersect(&window)).collect(),
        recorded: stretches.iter().map(|stretch| stretch.recorded).sum(),
        segments: stretches.iter().map(|stretch| stretch.segments).sum(),
        damaged,
        lost_packets,
    })
}

/// What is missing of a camera, and why.
pub fn gaps(reader: &Reader<'_>, camera: &Camera, window: Span, now: Timestamp) -> Result<Vec<Missing>, IndexError> {
    Ok(look(reader, camera, window, now)?.missing)
}

/// A camera's row on a timeline of many.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Recorded ranges; holes that would not be seen are closed.
    pub ranges: Vec<Span>,
    /// The parts of them that came back from the camera's own storage.
    pub refilled: Vec<Span>,
    /// What is missing; gaps nearer to one another than can be seen are one row.
    pub gaps: Vec<Row>,
}

/// Gaps that are drawn as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// From the start of the first to the end of the last.
    pub span: Span,
    /// How many there are.
    pub count: usize,
    /// The cause of the longest.
    pub why: Why,
    longest: Duration,
}

/// A camera's row, thinned to what can be seen: nothing nearer together than `resolution` is kept apart, and no gap is
/// lost, because a timeline that hides one lies.
pub fn lane(
    reader: &Reader<'_>,
    camera: &Camera,
    window: Span,
    now: Timestamp,
    resolution: Duration,
) -> Result<Lane, IndexError> {
    let look = look(reader, camera, window, now)?;
    Ok(Lane {
        ranges: merge(look.timeline.ranges, resolution),
        refilled: merge(look.timeline.refilled, resolution),
        gaps: thin(&look.missing, resolution),
    })
}

/// Losses, and beside them what was not to be recorded: a loss between two rests is not thinned into rest.
fn thin(missing: &[Missing], resolution: Duration) -> Vec<Row> {
    let (rests, losses): (Vec<Missing>, Vec<Missing>) = missing.iter().partition(|gap| gap.why == Why::NotWanted);
    let mut rows = thin_alike(&losses, resolution);
    rows.extend(thin_alike(&rests, resolution));
    rows.sort_by_key(|row| row.span);
    rows
}

fn thin_alike(missing: &[Missing], resolution: Duration) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for gap in missing {
        let length = gap.span.duration();
        match rows.last_mut() {
            // Long gaps keep their own edges and causes.
            Some(row)
                if gap.span.start.since(row.span.end) < resolution
                    && (length < resolution || row.longest < resolution) =>
            {
                row.span.end = gap.span.end;
                row.count += 1;
                if length > row.longest {
                    (row.why, row.longest) = (gap.why, length);
                }
            }
            _ => rows.push(Row {
                span: gap.span,
                count: 1,
                why: gap.why,
                longest: length,
            }),
        }
    }
    rows
}

/// How much of a day is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// The day, from midnight to midnight where it is counted.
    pub day: Span,
    /// The part of it in which there could be footage and some was wanted.
    pub expected: Duration,
    /// Footage that is really there.
    pub recorded: Duration,
    /// What is missing, by cause, the most first.
    pub missing: Vec<(Why, Duration)>,
    /// The part of it that came back from the camera's own storage.
    pub refilled: Duration,
}

impl Coverage {
    /// Per cent of what was expected, rounded down: 100 means that nothing at all is missing.
    pub fn percent(&self) -> Option<f64> {
        if self.expected.is_zero() {
            return None;
        }
        let missing: Duration = self.missing.iter().map(|(_, length)| *length).sum();
        let share = self.expected.saturating_sub(missing).as_secs_f64() / self.expected.as_secs_f64();
        Some((share * 10_000.0).floor() / 100.0)
    }
}

/// How much of a day is recorded. The day is given by its bounds, because zones disagree about them.
pub fn coverage(reader: &Reader<'_>, camera: &Camera, day: Span, now: Timestamp) -> Result<Coverage, IndexError> {
    let look = look(reader, camera, day, now)?;
    let mut by_cause: Vec<(Why, Duration)> = Vec::new();
    let mut not_wanted = Duration::ZERO;
    for gap in &look.missing {
        let length = gap.span.duration();
        if gap.why == Why::NotWanted {
            not_wanted += length;
        } else if let Some((_, sum)) = by_cause.iter_mut().find(|(why, _)| *why == gap.why) {
            *sum += length;
        } else {
            by_cause.push((gap.why, length));
        }
    }
    by_cause.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
    Ok(Coverage {
        day,
        expected: look.life.expected(day).duration().saturating_sub(not_wanted),
        recorded: look.timeline.recorded,
        missing: by_cause,
        refilled: covered(day, reader.refilled(&camera.id, day)?),
    })
}

/// Days with footage, as one zone counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// The day.
    pub day: NaiveDate,
    /// From its midnight to the next: 23, 24 or 25 hours, or whatever the zone made of it.
    pub span: Span,
}

/// The days with footage of a camera. It looks once a day, however much footage there is.
pub fn calendar<Z: TimeZone>(reader: &Reader<'_>, camera: &Camera, zone: &Z) -> Result<Vec<Calendar>, IndexError> {
    let mut days: Vec<Calendar> = Vec::new();
    let mut at = Timestamp::MIN;
    while let Some(found) = reader.next_footage(&camera.id, at)? {
        let day = found.start.max(at).to_utc().with_timezone(zone).date_naive();
        let Some(span) = day_span(day, zone).filter(|span| span.end > at) else {
            break;
        };
        days.push(Calendar { day, span });
        at = span.end;
    }
    Ok(days)
}

/// From the midnight that begins a day to the one that ends it. Where a zone skips midnight, the day begins when the
/// clock goes on.
pub fn day_span<Z: TimeZone>(day: NaiveDate, zone: &Z) -> Option<Span> {
    let next = day.checked_add_days(Days::new(1))?;
    Some(Span::new(midnight(day, zone)?, midnight(next, zone)?))
}

fn midnight<Z: TimeZone>(day: NaiveDate, zone: &Z) -> Option<Timestamp> {
    let wall = day.and_time(NaiveTime::MIN);
    // No zone ever skipped more than a day; most skip an hour.
    let moment = (0..=96).find_map(|quarters| {
        let later = wall.checked_add_signed(TimeDelta::minutes(15 * quarters))?;
        zone.from_local_datetime(&later).earliest()
    })?;
    moment.timestamp_nanos_opt().map(Timestamp::from_nanos)
}

struct Look {
    timeline: Timeline,
    missing: Vec<Missing>,
    life: Life,
}

fn look(reader: &Reader<'_>, camera: &Camera, window: Span, now: Timestamp) -> Result<Look, IndexError> {
    let timeline = timeline(reader, camera, window)?;
    let kept = reader.gaps_within(&camera.id, window)?;
    let first = reader.first_start_of(&camera.id)?;
    // Between adding a camera and its first frame lies a moment of connecting; only if it did not answer is that a gap,
    // and then one was kept.
    let rests = reader.rests_within(&camera.id, window)?;
    let begin = first
        .into_iter()
        .chain(kept.iter().map(|gap| gap.span.start))
        .chain(rests.first().map(|rest| rest.start))
        .min();
    let life = Life {
        begin: begin.unwrap_or(camera.created_at),
        now,
        wanted: camera.enabled && camera.record_enabled && reader.resting_since(&camera.id)?.is_none(),
    };
    let lacking = reader.lacking(&camera.id, window)?;
    let causes = Causes {
        kept: &kept,
        lacking: &lacking,
        rests: &rests,
        // While a segment is open its session lasts: what lags behind now is a pause so far.
        at_the_edge: reader.is_growing(&camera.id)?.then_some(GapCause::Silent),
    };
    let missing = missing(window, &timeline.ranges, causes, life);
    Ok(Look {
        timeline,
        missing,
        life,
    })
}
