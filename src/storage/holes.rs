//! What a file says of holes: pauses between its frames, and frames that it had and does not give any more.

use super::boxes::Movie;
use crate::model::{GapCause, Hole, Pauses, Segment, Span, Timestamp, covered_pieces};

/// The pauses between the frames of a segment's file.
fn pauses_of(movie: &Movie, span: Span) -> Vec<Hole> {
    let (frames, zero) = frames_of(movie);
    let wall = |pts: i64| span.start.offset(pts.saturating_sub(zero));
    Pauses::between(frames).holes(span, wall)
}

/// What a segment lacks that begins and ends as `span` says and whose file is whole: what is known of it, and the pauses
/// between its frames that nobody has told of.
pub fn holes_of(movie: &Movie, span: Span, known: &[Hole]) -> Vec<Hole> {
    let known = known.iter().filter(|hole| hole.cause != GapCause::Damaged);
    let cut = known.filter_map(|hole| {
        Some(Hole {
            span: hole.span.intersect(&span)?,
            ..*hole
        })
    });
    let mut holes: Vec<Hole> = cut.collect();
    let mut found = pauses_of(movie, span);
    found.retain(|pause| holes.iter().all(|hole| !hole.span.overlaps(&pause.span)));
    holes.extend(found);
    holes.sort_by_key(|hole| hole.span);
    holes
}

/// What a closed segment lacks when its file gives only these of its frames: what it lacked before, and what is damaged.
pub fn holes_left(movie: &Movie, segment: &Segment) -> Vec<Hole> {
    let known: Vec<Hole> = segment
        .holes
        .iter()
        .filter(|hole| hole.cause != GapCause::Damaged)
        .copied()
        .collect();
    let there = Span::new(segment.span.start, end_of(movie, segment.span));
    let mut lost: Vec<Span> = pauses_of(movie, there).into_iter().map(|hole| hole.span).collect();
    lost.retain(|pause| known.iter().all(|hole| !hole.span.overlaps(pause)));
    lost.push(Span::new(there.end, segment.span.end));
    let damaged = lost
        .into_iter()
        .flat_map(|span| covered_pieces(span, &known))
        .filter(|span| !span.is_empty());
    let cause = GapCause::Damaged;
    let mut holes: Vec<Hole> = damaged.map(|span| Hole { span, cause }).collect();
    holes.extend(known);
    holes.sort_by_key(|hole| hole.span);
    holes
}

/// Where the last frame that is there ends.
fn end_of(movie: &Movie, span: Span) -> Timestamp {
    let length = match movie.frames() {
        0 => 0,
        _ => i64::try_from(movie.duration()).unwrap_or(i64::MAX),
    };
    span.start.offset(length).min(span.end)
}

/// When the frames of a file that are footage are shown and decoded, and when the first of them is.
fn frames_of(movie: &Movie) -> (Vec<(i64, i64)>, i64) {
    let Some(table) = &movie.video else {
        return (Vec::new(), 0);
    };
    let shown = table.samples.iter().filter(|sample| !table.is_hidden(sample));
    let frames = shown.map(|sample| (table.pts(sample), table.dts(sample))).collect();
    (frames, table.first_shown().map_or(0, |first| table.pts(first)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::boxes::FileShape;
    use super::super::frames::{Sample, TrackCoding, TrackTable};
    use super::*;
    use crate::model::{Codec, fixture};
    use bytes::Bytes;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn hole(from: i64, until: i64, cause: GapCause) -> Hole {
        let span = Span::new(at(from), at(until));
        Hole { span, cause }
    }

    /// A file with frames at these milliseconds, each as long as the next lets it, the last 100.
    fn movie(times: &[i64]) -> Movie {
        let ends = times.iter().skip(1).copied().chain(times.last().map(|last| last + 100));
        let sample = |(at, end): (&i64, i64)| Sample {
            offset: 0,
            size: 1,
            dts: *at,
            shown_after: 0,
            duration: u32::try_from(end - at).unwrap(),
            keyframe: true,
        };
        let table = TrackTable {
            id: 1,
            coding: TrackCoding::Video {
                codec: Codec::H264,
                entry: *b"avc1",
                width: 640,
                height: 360,
            },
            config: Bytes::new(),
            entry: Bytes::new(),
            timescale: 1000,
            shift: 0,
            samples: times.iter().zip(ends).map(sample).collect(),
        };
        Movie {
            shape: FileShape::Plain,
            video: Some(table),
            ..Movie::nothing()
        }
    }

    fn tenths(from: i64, until: i64) -> Vec<i64> {
        (from..until).map(|number| number * 100).collect()
    }

    #[test]
    fn a_file_tells_of_its_pauses() {
        let whole = movie(&[tenths(0, 20), tenths(60, 100)].concat());
        let span = Span::new(at(0), at(10_000));
        assert_eq!(pauses_of(&whole, span), [hole(2_000, 6_000, GapCause::Silent)]);
        assert_eq!(pauses_of(&Movie::nothing(), span), []);
        // The recorder knows better when a pause began, and a file that is whole lacks nothing else.
        let known = [
            hole(2_050, 6_000, GapCause::Silent),
            hole(8_000, 9_000, GapCause::Damaged),
        ];
        assert_eq!(holes_of(&whole, span, &known), known[..1]);
        assert_eq!(holes_of(&whole, span, &[]), [hole(2_000, 6_000, GapCause::Silent)]);
    }

    #[test]
    fn frames_that_a_file_gave_and_gives_no_more_are_damage_and_a_pause_stays_a_pause() {
        let mut segment = fixture::segment(1, Span::new(at(0), at(30_000)));
        segment.holes = vec![
            hole(2_000, 6_000, GapCause::Silent),
            hole(20_000, 25_000, GapCause::Silent),
        ];
        let cut = movie(&[tenths(0, 20), tenths(60, 100)].concat());
        let expected = [
            hole(2_000, 6_000, GapCause::Silent),
            hole(10_000, 20_000, GapCause::Damaged),
            hole(20_000, 25_000, GapCause::Silent),
            hole(25_000, 30_000, GapCause::Damaged),
        ];
        assert_eq!(holes_left(&cut, &segment), expected);
        // Cut again, after that was known.
        segment.holes = expected.to_vec();
        let again = holes_left(&movie(&tenths(0, 10)), &segment);
        assert_eq!(again[0], hole(1_000, 2_000, GapCause::Damaged));
        assert_eq!(again[2], hole(6_000, 20_000, GapCause::Damaged));
        let nothing = holes_left(&Movie::nothing(), &fixture::segment(1, Span::new(at(0), at(9_000))));
        assert_eq!(nothing, [hole(0, 9_000, GapCause::Damaged)]);
        // Frames in the middle are gone.
        let torn = movie(&[tenths(0, 20), tenths(60, 100)].concat());
        let torn = holes_left(&torn, &fixture::segment(1, Span::new(at(0), at(10_000))));
        assert_eq!(torn, [hole(2_000, 6_000, GapCause::Damaged)]);
    }
}
