//! Coverage: arithmetic on spans. What is there, what is missing, and what joins.

use std::time::Duration;

use super::time::{Span, Timestamp};

/// Joins spans that overlap, touch, or lie at most `tolerance` apart. The result is sorted and disjoint.
pub fn merge(mut spans: Vec<Span>, tolerance: Duration) -> Vec<Span> {
    spans.retain(|span| !span.is_empty());
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end.plus(tolerance) => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// What of `window` the spans leave out, but for holes of at most `tolerance`.
pub fn holes(window: Span, spans: Vec<Span>, tolerance: Duration) -> Vec<Span> {
    let mut missing = Vec::new();
    let mut at = window.start;
    for span in merge(spans, Duration::ZERO) {
        let Some(inside) = span.intersect(&window) else {
            continue;
        };
        push_hole(&mut missing, at, inside.start, tolerance);
        at = inside.end;
    }
    push_hole(&mut missing, at, window.end, tolerance);
    missing
}

fn push_hole(missing: &mut Vec<Span>, start: Timestamp, end: Timestamp, tolerance: Duration) {
    let hole = Span::new(start, end);
    if !hole.is_empty() && hole.duration() > tolerance {
        missing.push(hole);
    }
}

/// How much of `window` the spans cover; what overlaps counts once.
pub fn covered(window: Span, spans: Vec<Span>) -> Duration {
    merge(spans, Duration::ZERO)
        .iter()
        .filter_map(|span| span.intersect(&window))
        .map(|span| span.duration())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(start: i64, end: i64) -> Span {
        Span::new(Timestamp::from_millis(start), Timestamp::from_millis(end))
    }

    #[test]
    fn the_cases_of_the_reference_hold() {
        let window = span(0, 100_000);
        let spans = vec![span(0, 30_000), span(60_000, 90_000)];
        let missing = holes(window, spans.clone(), Duration::from_secs(2));
        assert_eq!(missing, vec![span(30_000, 60_000), span(90_000, 100_000)]);
        assert_eq!(covered(window, spans), Duration::from_secs(60));
        // A seam of 500 ms is no gap.
        let seam = vec![span(0, 50_000), span(50_500, 100_000)];
        assert_eq!(holes(window, seam.clone(), Duration::from_secs(2)), vec![]);
        assert_eq!(merge(seam, Duration::from_secs(2)), vec![window]);
    }

    #[test]
    fn a_window_without_footage_is_one_hole() {
        assert_eq!(
            holes(span(0, 10), vec![span(20, 30)], Duration::ZERO),
            vec![span(0, 10)]
        );
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        proptest::collection::vec(
            (0i64..1000, 0i64..200).prop_map(|(start, length)| span(start, start + length)),
            0..30,
        )
    }

    proptest! {
        #[test]
        fn merged_spans_are_sorted_disjoint_and_farther_apart_than_the_tolerance(spans in spans(), tolerance in 0u64..50) {
            let tolerance = Duration::from_millis(tolerance);
            let merged = merge(spans, tolerance);
            for pair in merged.windows(2) {
                prop_assert!(pair[1].start > pair[0].end.plus(tolerance));
            }
        }

        #[test]
        fn what_is_covered_and_what_is_missing_make_the_window(spans in spans(), start in 0i64..500, length in 0i64..700) {
            let window = span(start, start + length);
            let missing: Duration = holes(window, spans.clone(), Duration::ZERO).iter().map(Span::duration).sum();
            prop_assert_eq!(missing + covered(window, spans), window.duration());
        }

        #[test]
        fn no_hole_holds_footage(spans in spans()) {
            for hole in holes(span(0, 1200), spans.clone(), Duration::ZERO) {
                prop_assert!(spans.iter().all(|span| span.is_empty() || !span.overlaps(&hole)));
            }
        }
    }
}
