//! Stretches: footage that joins. A piece of a segment is a stretch, and so are many that lie next to one another.

use std::time::Duration;

use super::time::Span;

/// A hole this long is a seam, not a gap.
pub const SEAM: Duration = Duration::from_secs(2);

/// Footage that joins, from the first piece of it to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// From the start of the first piece to the latest end.
    pub span: Span,
    /// What is really there, seams not counted and nothing counted twice.
    pub recorded: Duration,
    /// How many segments begin in it: one that has holes lies in several stretches, and is counted in one.
    pub segments: u64,
}

impl Stretch {
    /// The pieces of a segment, in order.
    pub fn of_segment(pieces: impl IntoIterator<Item = Span>) -> impl Iterator<Item = Self> {
        pieces.into_iter().enumerate().map(|(number, span)| Self {
            span,
            recorded: span.duration(),
            segments: u64::from(number == 0),
        })
    }

    /// Puts the next one, by start, to this one.
    fn append(&mut self, next: &Self) {
        let twice = self.span.end.since(next.span.start).min(next.span.duration());
        self.recorded += next.recorded.saturating_sub(twice);
        self.span.end = self.span.end.max(next.span.end);
        self.segments += next.segments;
    }
}

/// Joins stretches, sorted by start, that lie no farther apart than a seam, into as few as there are. Joining what was joined in parts gives the same as joining
/// all at once, as long as none that is made of several segments overlaps another: of such a pair nobody knows any more
/// what was there twice. An empty one is footage of no length: it is counted and joins nothing.
pub fn join(stretches: impl IntoIterator<Item = Stretch>) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    for next in stretches {
        match joined.last_mut() {
            Some(last) if next.span.is_empty() => last.segments += next.segments,
            Some(last) if !last.span.is_empty() && next.span.start <= last.span.end.plus(SEAM) => last.append(&next),
            _ => joined.push(next),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::model::coverage::covered;
    use proptest::prelude::*;

    fn span(start: i64, end: i64) -> Span {
        Span::new(Timestamp::from_seconds(start), Timestamp::from_seconds(end))
    }

    fn segment(start: i64, end: i64) -> Stretch {
        let span = span(start, end);
        Stretch {
            span,
            recorded: span.duration(),
            segments: 1,
        }
    }

    fn spans(segments: &[Stretch]) -> Vec<Span> {
        join(segments.iter().copied())
            .iter()
            .map(|stretch| stretch.span)
            .collect()
    }

    #[test]
    fn footage_joins_over_a_seam_of_two_seconds_and_no_more() {
        assert_eq!(spans(&[segment(0, 10), segment(12, 20)]), [span(0, 20)]);
        assert_eq!(spans(&[segment(0, 10), segment(13, 20)]), [span(0, 10), span(13, 20)]);
    }

    #[test]
    fn a_segment_without_length_is_counted_and_joins_nothing() {
        let joined = join([segment(0, 0), segment(5, 10), segment(11, 11), segment(20, 30)]);
        let seen: Vec<(Span, u64)> = joined.iter().map(|one| (one.span, one.segments)).collect();
        assert_eq!(seen, [(span(0, 0), 1), (span(5, 10), 2), (span(20, 30), 1)]);
    }

    fn segments() -> impl Strategy<Value = Vec<Stretch>> {
        let one = (0i64..900, 0i64..60);
        proptest::collection::vec(one, 0..30).prop_map(|all| {
            let mut all: Vec<Stretch> = all
                .into_iter()
                .map(|(start, length)| segment(start, start + length))
                .collect();
            all.sort_by_key(|one| one.span);
            all
        })
    }

    proptest! {
        #[test]
        fn stretches_hold_every_segment_are_farther_apart_than_a_seam_and_count_nothing_twice(all in segments()) {
            let joined = join(all.iter().copied());
            let ranges: Vec<Span> = joined.iter().map(|one| one.span).filter(|span| !span.is_empty()).collect();
            for one in all.iter().filter(|one| !one.span.is_empty()) {
                prop_assert!(ranges.iter().any(|range| range.start <= one.span.start && one.span.end <= range.end));
            }
            for pair in ranges.windows(2) {
                prop_assert!(pair[1].start > pair[0].end.plus(SEAM));
            }
            let window = span(0, 2000);
            let there = covered(window, all.iter().map(|one| one.span).collect());
            prop_assert_eq!(joined.iter().map(|one| one.recorded).sum::<Duration>(), there);
            prop_assert_eq!(joined.iter().map(|one| one.segments).sum::<u64>(), all.len() as u64);
        }

        #[test]
        fn joining_in_parts_is_joining_all_at_once(all in segments(), parts in proptest::collection::vec(1usize..6, 30)) {
            // Laid one behind another, so that nothing overlaps.
            let mut at = 0;
            let mut apart: Vec<Stretch> = Vec::new();
            for one in &all {
                let length = one.span.duration().as_secs() as i64;
                let start = at + one.span.start.as_millis() / 1000 % 5;
                at = start + length;
                apart.push(segment(start, at));
            }
            apart.retain(|one| !one.span.is_empty());
            let (mut rest, mut joined) = (&apart[..], Vec::new());
            for size in parts {
                let (part, left) = rest.split_at(size.min(rest.len()));
                joined.extend(join(part.iter().copied()));
                rest = left;
            }
            joined.extend(rest);
            prop_assert_eq!(join(joined), join(apart.iter().copied()));
        }
    }
}
