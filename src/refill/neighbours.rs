//! What is here already around a hole: where it may begin and end, and the frames at its edges.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::placing::{Edges, Known};
use crate::model::{CopyState, Edge, Segment, Span, Timestamp, Track};
use crate::storage::{Movie, Sample};

/// So far from an edge a segment may lie and still be its neighbour.
const NEAR: Duration = Duration::from_secs(2);
/// So many frames of a neighbour are looked at: some groups of pictures of most cameras.
const MOST: usize = 250;

/// A piece of a segment's footage.
type Piece<'a> = (&'a Segment, Span);

/// The footage at both edges of a hole, out of the segments near it. Both may be of one segment, when the hole lies in it.
fn neighbours(segments: &[Segment], hole: Span) -> (Option<Piece<'_>>, Option<Piece<'_>>) {
    let pieces = || {
        let of = |segment| Segment::covered(segment).into_iter().map(move |piece| (segment, piece));
        segments.iter().flat_map(of)
    };
    let before = pieces()
        .filter(|(_, piece)| piece.start < hole.start && piece.end <= hole.start.plus(NEAR))
        .max_by_key(|(_, piece)| piece.end)
        .filter(|(_, piece)| piece.end.plus(NEAR) >= hole.start);
    let after = pieces()
        .filter(|(_, piece)| piece.end > hole.end && piece.start.plus(NEAR) >= hole.end)
        .min_by_key(|(_, piece)| piece.start)
        .filter(|(_, piece)| piece.start <= hole.end.plus(NEAR));
    (before, after)
}

/// The frames at both edges of a hole. What cannot be read says nothing; `live` is what memory has of files that grow.
pub(super) fn edges(root: &Path, segments: &[Segment], hole: Span, live: &[Edge]) -> Edges {
    let (before, after) = neighbours(segments, hole);
    let read = |(segment, piece): Piece<'_>, from_end: bool| {
        let edge = live.iter().find(|edge| edge.segment == segment.id);
        let whole = edge.filter(|edge| edge.units.first().is_some_and(|unit| unit.pts == edge.first_pts));
        match whole {
            Some(edge) => of_memory(edge, piece, from_end),
            None => of_file(root, segment, piece, from_end).unwrap_or_else(|error| {
                tracing::debug!(segment = %segment.id, %error, "a neighbour of a gap says nothing of its frames");
                Vec::new()
            }),
        }
    };
    Edges {
        before: before.map(|piece| read(piece, true)).unwrap_or_default(),
        after: after.map(|piece| read(piece, false)).unwrap_or_default(),
    }
}

/// Whether a frame is on the right side of the hole beside a piece; times are rounded, and no hole is as short as this.
fn is_in(piece: Span, wall: Timestamp, from_end: bool) -> bool {
    const ROUNDING: Duration = Duration::from_millis(500);
    match from_end {
        true => wall < piece.end.plus(ROUNDING),
        false => wall.plus(ROUNDING) >= piece.start,
    }
}

fn of_memory(edge: &Edge, piece: Span, from_end: bool) -> Vec<Known> {
    let wall = |unit: &crate::model::Unit| edge.start.offset(unit.pts.saturating_sub(edge.first_pts));
    let units = edge.units.iter().filter(|unit| unit.track == Track::Video);
    let units = units.filter(|unit| is_in(piece, wall(unit), from_end));
    let known = |unit: &crate::model::Unit| Known {
        wall: edge.start.offset(unit.pts.saturating_sub(edge.first_pts)),
        keyframe: unit.keyframe,
        size: u32::try_from(unit.payload.len()).unwrap_or(u32::MAX),
        crc: crc32fast::hash(&unit.payload),
    };
    match from_end {
        true => units.rev().take(MOST).map(known).collect(),
        false => units.take(MOST).map(known).collect(),
    }
}

fn of_file(root: &Path, segment: &Segment, piece: Span, from_end: bool) -> std::io::Result<Vec<Known>> {
    let readable = |state| matches!(state, CopyState::Whole | CopyState::Open | CopyState::Suspect);
    let Some(copy) = segment.copies.iter().find(|copy| readable(copy.state)) else {
        return Ok(Vec::new());
    };
    let file = Arc::new(File::open(root.join(&copy.path))?);
    let movie = Movie::walk(&file)?;
    let Some(table) = &movie.video else {
        return Ok(Vec::new());
    };
    let Some(first) = table.first_shown() else {
        return Ok(Vec::new());
    };
    let zero = table.pts(first);
    let is_of_piece = |sample: &Sample| {
        let wall = segment.span.start.offset(table.pts(sample).saturating_sub(zero));
        is_in(piece, wall, from_end)
    };
    let of_piece = match from_end {
        true => table.samples.iter().rposition(is_of_piece),
        false => table.samples.iter().position(is_of_piece),
    };
    let Some(at) = of_piece else {
        return Ok(Vec::new());
    };
    let some = match from_end {
        true => (at + 1).saturating_sub(MOST)..=at,
        false => at..=(at + MOST).min(table.samples.len()).saturating_sub(1),
    };
    let units = movie.units(file, Track::Video).between(some);
    let known = units.map(|unit| {
        let unit = unit?;
        Ok(Known {
            wall: segment.span.start.offset(unit.pts.saturating_sub(zero)),
            keyframe: unit.keyframe,
            size: u32::try_from(unit.payload.len()).unwrap_or(u32::MAX),
            crc: crc32fast::hash(&unit.payload),
        })
    });
    let known: std::io::Result<Vec<Known>> = known.collect();
    let mut known = known?;
    // What is hidden there is in another file as footage.
    known.retain(|frame| frame.wall >= segment.span.start);
    Ok(known)
}

/// Where there is footage that can be played.
pub(super) fn footage(segments: &[Segment]) -> Vec<Span> {
    let playable = |segment: &&Segment| {
        let mut states = segment.copies.iter().map(|copy| copy.state);
        states.any(|state| matches!(state, CopyState::Whole | CopyState::Suspect | CopyState::Open))
    };
    segments.iter().filter(playable).flat_map(Segment::covered).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{GapCause, Hole, Timestamp, fixture};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_790_000_000 + seconds)
    }

    fn segment(from: i64, to: i64) -> Segment {
        fixture::segment(from as u128, Span::new(at(from), at(to)))
    }

    #[test]
    fn neighbours_are_what_ends_and_begins_at_the_edges() {
        let segments = [segment(0, 10), segment(10, 20), segment(32, 40), segment(40, 50)];
        let spans = |hole| {
            let (before, after) = neighbours(&segments, hole);
            (before.map(|it| it.1), after.map(|it| it.1))
        };
        assert_eq!(
            spans(Span::new(at(20), at(32))),
            (Some(segments[1].span), Some(segments[2].span))
        );
        assert_eq!(spans(Span::new(at(50), at(60))), (Some(segments[3].span), None));
        assert_eq!(spans(Span::new(at(55), at(60))), (None, None));
        // A hole inside a segment has two edges of one file.
        let hole = Span::new(at(3), at(7));
        let mut paused = segment(0, 10);
        paused.holes = vec![Hole {
            span: hole,
            cause: GapCause::Silent,
        }];
        let segments = [paused];
        let (before, after) = neighbours(&segments, hole);
        assert_eq!(before.map(|it| it.1), Some(Span::new(at(0), at(3))));
        assert_eq!(after.map(|it| it.1), Some(Span::new(at(7), at(10))));
        assert_eq!(footage(&segments).len(), 0, "nothing of it can be played");
    }
}
