//! The order in which footage was recorded. Pure: rows go in and come out.
//!
//! A clock that was set back gives the same time to two recordings. By their start their segments lie among each other; here
//! they come one recording after the other.
//!
//! ```text
//! recorded first   |--- 1 ---|--- 2 ---|--- 3 ---|
//! set back, and then               |--- 4 ---|--- 5 ---|      in this order, and 4 begins again
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Origin, Segment, SegmentId, Timestamp};

/// Rows that lie over each other by less than this join: no clock is set back by so little.
const STEP: Duration = Duration::from_millis(400);

/// Segments between two moments at which a clock was set back.
#[derive(Debug)]
struct Recording {
    reaches: Timestamp,
    segments: Vec<Segment>,
}

/// Puts the segments of one camera in order; `made` is that in which their rows were. Also those that begin at a time that
/// those before them have as well.
///
/// A camera that sends again what it had kept has rows that lie over each other too, but its run begins after what they
/// repeat.
pub(super) fn in_recorded_order(mut segments: Vec<Segment>, made: &[SegmentId]) -> (Vec<Segment>, BTreeSet<SegmentId>) {
    let place: BTreeMap<_, _> = made.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    segments.sort_by_key(|segment| place.get(&segment.id).copied());
    let (live, refilled): (Vec<_>, Vec<_>) = segments.into_iter().partition(|segment| segment.origin == Origin::Live);
    let (mut recordings, mut runs) = (Vec::<Recording>::new(), BTreeMap::new());
    for segment in live {
        let last = recordings.last();
        let goes_back =
            last.is_some_and(|last| segment.span.start.plus(STEP) <= last.reaches && segment.created_at < last.reaches);
        let known = runs.get(&segment.run.0).copied();
        let number = match (known, goes_back) {
            (Some(number), _) => number,
            (None, false) if !recordings.is_empty() => recordings.len() - 1,
            (None, _) => {
                recordings.push(Recording {
                    reaches: Timestamp::MIN,
                    segments: Vec::new(),
                });
                recordings.len() - 1
            }
        };
        runs.insert(segment.run.0, number);
        if let Some(recording) = recordings.get_mut(number) {
            recording.reaches = recording.reaches.max(segment.span.end);
            recording.segments.push(segment);
        }
    }
    for segment in refilled {
        // It fills a gap, in which no recording has anything.
        let begins = |recording: &Recording| recording.segments.iter().any(|it| it.span.start <= segment.span.start);
        let at = recordings.iter().rposition(begins).unwrap_or(0);
        match recordings.get_mut(at) {
            Some(recording) => recording.segments.push(segment),
            None => recordings.push(Recording {
                reaches: segment.span.end,
                segments: vec![segment],
            }),
        }
    }
    let mut again = BTreeSet::new();
    for (number, recording) in recordings.iter_mut().enumerate() {
        recording
            .segments
            .sort_by_key(|segment| (segment.span.start, segment.id));
        let first = recording.segments.first().filter(|_| number > 0);
        again.extend(first.map(|first| first.id));
    }
    let all = recordings.into_iter().flat_map(|recording| recording.segments);
    (all.collect(), again)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RunId, Span, fixture};

    /// A row of a run that began at `created`, in seconds.
    fn row(number: u128, run: u32, (start, end): (i64, i64), created: i64) -> Segment {
        let span = Span::new(Timestamp::from_seconds(start), Timestamp::from_seconds(end));
        Segment {
            run: RunId(run),
            created_at: Timestamp::from_seconds(created),
            ..fixture::segment(number, span)
        }
    }

    /// Orders rows by start, as the index gives them, and tells them apart by their numbers.
    fn ordered(made: &[Segment]) -> (Vec<u128>, Vec<u128>) {
        let mut by_start = made.to_vec();
        by_start.sort_by_key(|segment| (segment.span.start, segment.id));
        let ids: Vec<_> = made.iter().map(|segment| segment.id).collect();
        let (all, again) = in_recorded_order(by_start, &ids);
        (
            all.iter().map(|segment| segment.id.0.as_u128()).collect(),
            again.iter().map(|id| id.0.as_u128()).collect(),
        )
    }

    #[test]
    fn after_a_step_back_one_recording_follows_the_other() {
        let rows = [
            row(1, 1, (90, 94), 10),
            row(2, 1, (94, 98), 10),
            row(3, 1, (98, 100), 10),
            row(4, 2, (94, 98), 94),
            row(5, 2, (98, 102), 94),
        ];
        assert_eq!(ordered(&rows), (vec![1, 2, 3, 4, 5], vec![4]));
        // An index that was made anew from the files has them by their start.
        let by_start = [&rows[0], &rows[1], &rows[3], &rows[2], &rows[4]].map(Segment::clone);
        assert_eq!(ordered(&by_start), (vec![1, 2, 3, 4, 5], vec![4]));
    }

    #[test]
    fn after_a_step_of_an_hour_all_runs_of_before_come_first() {
        let rows = [
            row(1, 1, (0, 1700), 0),
            row(2, 2, (1710, 3500), 1705),
            row(3, 3, (10, 1800), 10),
            row(4, 4, (1805, 4000), 1801),
            // And once more.
            row(5, 5, (500, 900), 500),
        ];
        assert_eq!(ordered(&rows), (vec![1, 2, 3, 4, 5], vec![3, 5]));
    }

    #[test]
    fn what_a_camera_sends_again_is_of_the_same_recording() {
        let rows = [
            row(1, 1, (0, 60), 0),
            row(2, 2, (55, 120), 62),
            row(3, 2, (120, 130), 62),
        ];
        assert_eq!(ordered(&rows), (vec![1, 2, 3], vec![]));
    }

    #[test]
    fn what_came_back_later_lies_where_it_was_missing() {
        let mut filled = row(9, 9, (60, 70), 500);
        filled.origin = Origin::Refill;
        let rows = [
            row(1, 1, (0, 60), 0),
            row(2, 2, (70, 100), 69),
            row(3, 3, (90, 200), 90),
            filled,
        ];
        assert_eq!(ordered(&rows), (vec![1, 9, 2, 3], vec![3]));
    }
}
