//! The arithmetic of the timeline: holes given their causes. No clock, no index.

use std::time::Duration;

use crate::model::coverage::holes;
use crate::model::{Gap, GapCause, Hole, SEAM, Span, Timestamp};

/// The newest footage may lag this far behind now before its absence means anything: a stall is noticed within 5 s.
const EDGE: Duration = Duration::from_secs(10);

/// Why something is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// For a reason that was kept, or one that nobody knows.
    Cause(GapCause),
    /// It was not to be recorded.
    NotWanted,
}

impl Why {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cause(cause) => cause.as_str(),
            Self::NotWanted => "not_wanted",
        }
    }
}

/// A span without footage, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub span: Span,
    /// Why.
    pub why: Why,
}

/// What has to be known of a camera to tell a gap from a time in which there was nothing to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// When footage of it could begin.
    pub(super) begin: Timestamp,
    /// Now.
    pub(super) now: Timestamp,
    /// Whether it is to be recorded at this moment.
    pub(super) wanted: bool,
}

impl Life {
    /// The part of a window in which there could be footage.
    pub(super) fn expected(&self, window: Span) -> Span {
        let start = window.start.max(self.begin);
        Span::new(start, window.end.min(self.now).max(start))
    }
}

/// What is known about missing footage of a window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Causes<'a> {
    /// Gaps that were kept.
    pub(super) kept: &'a [Gap],
    /// What segments lack.
    pub(super) lacking: &'a [Hole],
    /// When nothing was to be recorded.
    pub(super) rests: &'a [Span],
    /// Why the newest footage may lag behind now.
    pub(super) at_the_edge: Option<GapCause>,
}

/// What is missing in a window, and why, as far as that is known.
pub(super) fn missing(window: Span, ranges: &[Span], causes: Causes<'_>, life: Life) -> Vec<Missing> {
    let Causes {
        kept, lacking, rests, ..
    } = causes;
    let expected = life.expected(window);
    let mut reasons: Vec<Missing> = kept.iter().map(|gap| reason(gap, life.now)).collect();
    reasons.extend(lacking.iter().map(|hole| Missing {
        span: hole.span,
        why: Why::Cause(hole.cause),
    }));
    let not_wanted = |&span| Missing {
        span,
        why: Why::NotWanted,
    };
    reasons.extend(rests.iter().map(not_wanted));
    reasons.sort_by_key(|reason| reason.span);
    let reasons = Reasons::new(reasons);
    let mut found: Vec<Missing> = Vec::new();
    for hole in holes(expected, ranges.to_vec(), SEAM) {
        let at_the_edge = hole.end == life.now;
        let known = reasons.within(hole);
        if known.is_empty() && at_the_edge && life.wanted && hole.duration() <= EDGE {
            continue;
        }
        let otherwise = match at_the_edge {
            true if !life.wanted => Why::NotWanted,
            true => Why::Cause(causes.at_the_edge.unwrap_or(GapCause::Unknown)),
            false => Why::Cause(GapCause::Unknown),
        };
        explain(hole, &known, otherwise, &mut found);
    }
    found
}

/// What a kept gap says. One that lasts is missing up to now.
fn reason(gap: &Gap, now: Timestamp) -> Missing {
    let end = if gap.open { now.max(gap.span.end) } else { gap.span.end };
    Missing {
        span: Span::new(gap.span.start, end),
        why: Why::Cause(gap.cause),
    }
}

/// Reasons by start, and how far all up to each reach: a camera that comes and goes each minute has thousands of holes and
/// as many reasons, and none of them may be looked through for every other.
struct Reasons {
    all: Vec<Missing>,
    reach: Vec<Timestamp>,
}

impl Reasons {
    fn new(all: Vec<Missing>) -> Self {
        let reach = all.iter().scan(Timestamp::MIN, |reach, reason| {
            *reach = reason.span.end.max(*reach);
            Some(*reach)
        });
        Self {
            reach: reach.collect(),
            all,
        }
    }

    /// The parts of reasons that lie in a hole, by start.
    fn within(&self, hole: Span) -> Vec<Missing> {
        let first = self.reach.partition_point(|reach| *reach <= hole.start);
        let near = self
            .all
            .iter()
            .skip(first)
            .take_while(|reason| reason.span.start < hole.end);
        let parts = near.filter_map(|reason| {
            let (span, why) = (reason.span.intersect(&hole)?, reason.why);
            Some(Missing { span, why })
        });
        let mut parts: Vec<Missing> = parts.collect();
        parts.sort_by_key(|part| part.span);
        parts
    }
}

/// Divides a hole among the causes that are known of it, sorted by start. What is left over and no longer than a seam
/// goes to its neighbour, so that one loss stays one line.
fn explain(hole: Span, known: &[Missing], otherwise: Why, found: &mut Vec<Missing>) {
    let mut at = hole.start;
    let mut push = |start: Timestamp, end: Timestamp, why: Why| match found.last_mut() {
        Some(last) if last.why == why && last.span.end == start => last.span.end = end,
        _ if start < end => found.push(Missing {
            span: Span::new(start, end),
            why,
        }),
        _ => {}
    };
    let mut last_why = None;
    for part in known {
        if part.span.end <= at {
            continue;
        }
        if part.span.start.since(at) > SEAM {
            push(at, part.span.start, otherwise);
            at = part.span.start;
        }
        push(at, part.span.end, part.why);
        last_why = Some(part.why);
        at = part.span.end;
    }
    match last_why {
        Some(why) if hole.end.since(at) <= SEAM => push(at, hole.end, why),
        _ => push(at, hole.end, otherwise),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::coverage::{covered, merge};
    use crate::model::{CameraId, GapFate, GapId, Loss};
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn span(start: i64, end: i64) -> Span {
        Span::new(at(start), at(end))
    }

    fn gap(start: i64, end: i64, cause: GapCause, open: bool) -> Gap {
        Gap {
            id: GapId(1),
            camera: CameraId::parse("door").unwrap(),
            span: span(start, end),
            open,
            cause,
            fate: GapFate::Pending,
            attempts: 0,
            last_attempt_at: None,
            filled_at: None,
            recovered_seconds: 0.0,
        }
    }

    fn of<'a>(kept: &'a [Gap], rests: &'a [Span]) -> Causes<'a> {
        Causes {
            kept,
            rests,
            ..Causes::default()
        }
    }

    const STALLED: GapCause = GapCause::Lost(Loss::Stalled);

    fn life(begin: i64, now: i64, wanted: bool) -> Life {
        Life {
            begin: at(begin),
            now: at(now),
            wanted,
        }
    }

    fn said(missing: &[Missing]) -> Vec<(i64, i64, &'static str)> {
        let seconds = |moment: Timestamp| moment.as_millis() / 1000;
        missing
            .iter()
            .map(|gap| (seconds(gap.span.start), seconds(gap.span.end), gap.why.as_str()))
            .collect()
    }

    #[test]
    fn holes_take_the_causes_that_were_kept_and_the_rest_is_unknown() {
        let ranges = [span(0, 100), span(200, 300), span(400, 500)];
        let kept = [gap(101, 150, STALLED, false), gap(150, 199, GapCause::Stopped, false)];
        let found = missing(span(0, 500), &ranges, of(&kept, &[]), life(0, 500, true));
        assert_eq!(
            said(&found),
            [(100, 150, "stalled"), (150, 200, "stopped"), (300, 400, "unknown")]
        );
    }

    #[test]
    fn a_loss_that_lasts_reaches_to_now_and_never_past_it() {
        let kept = [gap(100, 100, STALLED, true)];
        let found = missing(span(0, 1000), &[span(0, 100)], of(&kept, &[]), life(0, 130, true));
        assert_eq!(said(&found), [(100, 130, "stalled")]);
    }

    #[test]
    fn the_lag_of_the_newest_footage_is_no_gap() {
        let found = |now, wanted| {
            said(&missing(
                span(0, 1000),
                &[span(0, 100)],
                of(&[], &[]),
                life(0, now, wanted),
            ))
        };
        assert_eq!(found(109, true), []);
        assert_eq!(found(120, true), [(100, 120, "unknown")]);
        assert_eq!(found(120, false), [(100, 120, "not_wanted")]);
        // In the past there is no lag.
        let past = missing(span(0, 105), &[span(0, 100)], of(&[], &[]), life(0, 500, true));
        assert_eq!(said(&past), [(100, 105, "unknown")]);
    }

    #[test]
    fn before_a_camera_could_record_nothing_is_missing() {
        let found = missing(span(0, 200), &[span(150, 200)], of(&[], &[]), life(140, 200, true));
        assert_eq!(said(&found), [(140, 150, "unknown")]);
        assert_eq!(missing(span(0, 100), &[], of(&[], &[]), life(140, 200, true)), vec![]);
        assert_eq!(missing(span(300, 400), &[], of(&[], &[]), life(140, 200, true)), vec![]);
    }

    #[test]
    fn what_segments_lack_has_its_cause_though_no_gap_is_kept_of_it() {
        let silent = |start, end| Hole {
            span: span(start, end),
            cause: GapCause::Silent,
        };
        let causes = Causes {
            kept: &[gap(20, 30, GapCause::Silent, false)],
            lacking: &[silent(20, 30), silent(50, 53)],
            at_the_edge: Some(GapCause::Silent),
            ..Causes::default()
        };
        let ranges = [span(0, 20), span(30, 50), span(53, 100)];
        let found = missing(span(0, 200), &ranges, causes, life(0, 120, true));
        assert_eq!(
            said(&found),
            [(20, 30, "silent"), (50, 53, "silent"), (100, 120, "silent")]
        );
    }

    #[test]
    fn what_was_not_wanted_is_told_so_and_is_no_loss() {
        let ranges = [span(0, 100), span(300, 400)];
        let (kept, rests) = ([gap(250, 300, STALLED, false)], [span(101, 250), span(400, 10_000)]);
        let found = missing(span(0, 1000), &ranges, of(&kept, &rests), life(0, 500, false));
        assert_eq!(
            said(&found),
            [
                (100, 250, "not_wanted"),
                (250, 300, "stalled"),
                (400, 500, "not_wanted")
            ]
        );
    }

    /// Recorded ranges, joined as a timeline joins them.
    fn ranges() -> impl Strategy<Value = Vec<Span>> {
        let one = (0i64..900, 0i64..60).prop_map(|(start, length)| span(start, start + length));
        proptest::collection::vec(one, 0..30).prop_map(|all| merge(all, SEAM))
    }

    fn kept() -> impl Strategy<Value = Vec<Gap>> {
        let one = (0i64..900, 0i64..90, 0usize..3, any::<bool>());
        proptest::collection::vec(one, 0..8).prop_map(|all| {
            let causes = [STALLED, GapCause::Stopped, GapCause::Killed];
            let mut all: Vec<Gap> = all
                .into_iter()
                .map(|(start, length, cause, open)| gap(start, start + length, causes[cause], open))
                .collect();
            all.sort_by_key(|gap| gap.span);
            all
        })
    }

    proptest! {
        #[test]
        fn what_is_missing_makes_up_the_holes_and_holds_no_footage(
            ranges in ranges(), kept in kept(), begin in 0i64..300, now in 300i64..1000, from in 0i64..500, length in 1i64..600,
        ) {
            let window = span(from, from + length);
            let life = life(begin, now, false);
            let found = missing(window, &ranges, of(&kept, &[]), life);
            let expected = holes(life.expected(window), ranges.clone(), SEAM);
            let total = |spans: &mut dyn Iterator<Item = Span>| spans.map(|span| span.duration()).sum::<Duration>();
            prop_assert_eq!(
                total(&mut found.iter().map(|gap| gap.span)),
                total(&mut expected.iter().copied())
            );
            for gap in &found {
                prop_assert!(!gap.span.is_empty() && gap.span.end <= life.now);
                prop_assert_eq!(covered(gap.span, ranges.clone()), Duration::ZERO);
            }
            for pair in found.windows(2) {
                prop_assert!(pair[0].span.end <= pair[1].span.start);
            }
        }
    }
}
