//! The arithmetic of the timeline: pieces joined into ranges, holes given their causes. No clock, no index.

use std::time::Duration;

use crate::model::coverage::holes;
use crate::model::{Gap, GapCause, RunId, Span, Timestamp};

/// A hole this long between two runs is a seam, not a gap.
pub(super) const SEAM: Duration = Duration::from_secs(2);
/// The newest footage may lag this far behind now before its absence means anything: a stall is noticed within 5 s.
const EDGE: Duration = Duration::from_secs(10);

/// A piece of footage: one segment's span, and its place in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it lies in time.
    pub span: Span,
    /// Its run.
    pub run: RunId,
    /// Its place in the run.
    pub sequence: u32,
}

/// Joins pieces, sorted by start, into ranges. What follows one another in a run joins whatever lies between, because
/// the camera's stream was not broken there; other pieces join over a seam.
pub(super) fn join(pieces: &[Piece]) -> Vec<Span> {
    let mut ranges: Vec<Span> = Vec::new();
    let mut before: Option<Piece> = None;
    for piece in pieces.iter().filter(|piece| !piece.span.is_empty()) {
        let follows = before
            .is_some_and(|before| before.run == piece.run && before.sequence.checked_add(1) == Some(piece.sequence));
        match ranges.last_mut() {
            Some(last) if follows || piece.span.start <= last.end.plus(SEAM) => {
                last.end = last.end.max(piece.span.end);
            }
            _ => ranges.push(piece.span),
        }
        before = Some(*piece);
    }
    ranges
}

/// The parts of ranges that lie in a window.
pub(super) fn cut(ranges: &[Span], window: Span) -> Vec<Span> {
    ranges.iter().filter_map(|range| range.intersect(&window)).collect()
}

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

/// What is missing in a window, with causes from the gaps that were kept. In rests nothing was to be recorded.
pub(super) fn missing(window: Span, ranges: &[Span], kept: &[Gap], rests: &[Span], life: Life) -> Vec<Missing> {
    let expected = life.expected(window);
    let mut found: Vec<Missing> = Vec::new();
    for hole in holes(expected, ranges.to_vec(), SEAM) {
        let at_the_edge = hole.end == life.now;
        let gaps = kept.iter().filter_map(|gap| part(gap, hole, life.now));
        let rests = rests.iter().filter_map(|rest| {
            let (span, why) = (rest.intersect(&hole)?, Why::NotWanted);
            Some(Missing { span, why })
        });
        let mut known: Vec<Missing> = gaps.chain(rests).collect();
        known.sort_by_key(|part| part.span);
        if known.is_empty() && at_the_edge && life.wanted && hole.duration() <= EDGE {
            continue;
        }
        let otherwise = if at_the_edge && !life.wanted {
            Why::NotWanted
        } else {
            Why::Cause(GapCause::Unknown)
        };
        explain(hole, &known, otherwise, &mut found);
    }
    found
}

/// What a kept gap says about a hole. One that lasts is missing up to now.
fn part(gap: &Gap, hole: Span, now: Timestamp) -> Option<Missing> {
    let end = if gap.open { now.max(gap.span.end) } else { gap.span.end };
    let span = Span::new(gap.span.start, end).intersect(&hole)?;
    Some(Missing {
        span,
        why: Why::Cause(gap.cause),
    })
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
    use crate::model::coverage::covered;
    use crate::model::{CameraId, GapFate, GapId, Loss};
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn span(start: i64, end: i64) -> Span {
        Span::new(at(start), at(end))
    }

    fn piece(start: i64, end: i64, run: u32, sequence: u32) -> Piece {
        Piece {
            span: span(start, end),
            run: RunId(run),
            sequence,
        }
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
    fn runs_join_over_a_seam_of_two_seconds_and_no_more() {
        assert_eq!(join(&[piece(0, 10, 1, 0), piece(12, 20, 2, 0)]), vec![span(0, 20)]);
        assert_eq!(
            join(&[piece(0, 10, 1, 0), piece(13, 20, 2, 0)]),
            vec![span(0, 10), span(13, 20)]
        );
    }

    #[test]
    fn what_follows_in_a_run_joins_and_a_lost_segment_of_it_is_a_hole() {
        assert_eq!(join(&[piece(0, 10, 1, 0), piece(14, 20, 1, 1)]), vec![span(0, 20)]);
        // Sequence 1 is gone: its time is not footage, though both sides are of one run.
        assert_eq!(
            join(&[piece(0, 10, 1, 0), piece(20, 30, 1, 2)]),
            vec![span(0, 10), span(20, 30)]
        );
    }

    #[test]
    fn holes_take_the_causes_that_were_kept_and_the_rest_is_unknown() {
        let ranges = [span(0, 100), span(200, 300), span(400, 500)];
        let kept = [gap(101, 150, STALLED, false), gap(150, 199, GapCause::Stopped, false)];
        let found = missing(span(0, 500), &ranges, &kept, &[], life(0, 500, true));
        assert_eq!(
            said(&found),
            [(100, 150, "stalled"), (150, 200, "stopped"), (300, 400, "unknown")]
        );
    }

    #[test]
    fn a_loss_that_lasts_reaches_to_now_and_never_past_it() {
        let kept = [gap(100, 100, STALLED, true)];
        let found = missing(span(0, 1000), &[span(0, 100)], &kept, &[], life(0, 130, true));
        assert_eq!(said(&found), [(100, 130, "stalled")]);
    }

    #[test]
    fn the_lag_of_the_newest_footage_is_no_gap() {
        let found = |now, wanted| said(&missing(span(0, 1000), &[span(0, 100)], &[], &[], life(0, now, wanted)));
        assert_eq!(found(109, true), []);
        assert_eq!(found(120, true), [(100, 120, "unknown")]);
        assert_eq!(found(120, false), [(100, 120, "not_wanted")]);
        // In the past there is no lag.
        let past = missing(span(0, 105), &[span(0, 100)], &[], &[], life(0, 500, true));
        assert_eq!(said(&past), [(100, 105, "unknown")]);
    }

    #[test]
    fn before_a_camera_could_record_nothing_is_missing() {
        let found = missing(span(0, 200), &[span(150, 200)], &[], &[], life(140, 200, true));
        assert_eq!(said(&found), [(140, 150, "unknown")]);
        assert_eq!(missing(span(0, 100), &[], &[], &[], life(140, 200, true)), vec![]);
        assert_eq!(missing(span(300, 400), &[], &[], &[], life(140, 200, true)), vec![]);
    }

    #[test]
    fn what_was_not_wanted_is_told_so_and_is_no_loss() {
        let ranges = [span(0, 100), span(300, 400)];
        let (kept, rests) = ([gap(250, 300, STALLED, false)], [span(101, 250), span(400, 10_000)]);
        let found = missing(span(0, 1000), &ranges, &kept, &rests, life(0, 500, false));
        assert_eq!(
            said(&found),
            [
                (100, 250, "not_wanted"),
                (250, 300, "stalled"),
                (400, 500, "not_wanted")
            ]
        );
    }

    fn pieces() -> impl Strategy<Value = Vec<Piece>> {
        let one = (0i64..900, 0i64..60, 0u32..4, 0u32..6);
        proptest::collection::vec(one, 0..30).prop_map(|all| {
            let mut all: Vec<Piece> = all
                .into_iter()
                .map(|(start, length, run, sequence)| piece(start, start + length, run, sequence))
                .collect();
            all.sort_by_key(|piece| piece.span);
            all
        })
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
        fn ranges_hold_every_piece_and_are_sorted_and_disjoint(pieces in pieces()) {
            let ranges = join(&pieces);
            for piece in pieces.iter().filter(|piece| !piece.span.is_empty()) {
                prop_assert!(ranges.iter().any(|range| range.start <= piece.span.start && piece.span.end <= range.end));
            }
            for pair in ranges.windows(2) {
                prop_assert!(pair[1].start > pair[0].end.plus(SEAM));
            }
        }

        #[test]
        fn what_is_missing_makes_up_the_holes_and_holds_no_footage(
            pieces in pieces(), kept in kept(), begin in 0i64..300, now in 300i64..1000, from in 0i64..500, length in 1i64..600,
        ) {
            let (window, ranges) = (span(from, from + length), join(&pieces));
            let life = life(begin, now, false);
            let found = missing(window, &ranges, &kept, &[], life);
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
