//! What is here already around a hole: where it may begin and end, and the frames at its edges.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::placing::{Edges, Known};
use crate::model::{CopyState, Edge, Segment, Span, Timestamp, Track, Unit};
use crate::storage::{Movie, Sample};

/// So far from an edge a segment may lie and still be its neighbour.
const NEAR: Duration = Duration::from_secs(2);
/// So many frames at an edge are looked at: some groups of pictures of most cameras. Before a hole it is more where a group of
/// pictures is longer.
const MOST: usize = 250;

/// A piece of a segment's footage.
type Piece<'a> = (&'a Segment, Span);

/// The footage before and after a hole that leads up to it without a pause, from the nearest on. Both may be of one segment, when
/// the hole lies in it.
fn neighbours(segments: &[Segment], hole: Span) -> (Vec<Piece<'_>>, Vec<Piece<'_>>) {
    let pieces = || {
        let of = |segment| Segment::covered(segment).into_iter().map(move |piece| (segment, piece));
        segments.iter().flat_map(of)
    };
    let is_before = |(_, piece): &Piece<'_>| piece.start < hole.start && piece.end <= hole.start.plus(NEAR);
    let is_after = |(_, piece): &Piece<'_>| piece.end > hole.end && piece.start.plus(NEAR) >= hole.end;
    let mut before: Vec<Piece<'_>> = pieces().filter(is_before).collect();
    before.sort_by_key(|(_, piece)| std::cmp::Reverse(piece.end));
    let mut after: Vec<Piece<'_>> = pieces().filter(is_after).collect();
    after.sort_by_key(|(_, piece)| piece.start);
    let (mut begins, mut ends) = (hole.start, hole.end);
    let leads_up = |(_, piece): &Piece<'_>| {
        let is_near = piece.end.plus(NEAR) >= begins;
        begins = piece.start;
        is_near
    };
    let follows = |(_, piece): &Piece<'_>| {
        let is_near = piece.start <= ends.plus(NEAR);
        ends = piece.end;
        is_near
    };
    (
        before.into_iter().take_while(leads_up).collect(),
        after.into_iter().take_while(follows).collect(),
    )
}

/// The frames at both edges of a hole, in order of time. What cannot be read says nothing; `live` is what memory has of files
/// that grow.
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
    let mut edges = Edges::default();
    for piece in before {
        let mut frames = read(piece, true);
        frames.append(&mut edges.before);
        edges.before = frames;
        if edges.before.len() >= MOST {
            break;
        }
    }
    for piece in after {
        edges.after.extend(read(piece, false));
        if edges.after.len() >= MOST {
            break;
        }
    }
    edges
}

/// Whether a frame is in a piece; times are rounded, and no hole beside it is as short as this.
fn is_in(piece: Span, wall: Timestamp) -> bool {
    const ROUNDING: Duration = Duration::from_millis(500);
    wall < piece.end.plus(ROUNDING) && wall.plus(ROUNDING) >= piece.start
}

/// Which of the frames of a piece are looked at, of which these are the keyframes: with the last ones comes the keyframe that they
/// need.
fn looked_at(keyframes: &[bool], from_end: bool) -> std::ops::Range<usize> {
    let count = keyframes.len();
    let keyframe = keyframes.iter().rposition(|keyframe| *keyframe).unwrap_or(count);
    match from_end {
        true => count.saturating_sub(MOST).min(keyframe)..count,
        false => 0..count.min(MOST),
    }
}

fn of_memory(edge: &Edge, piece: Span, from_end: bool) -> Vec<Known> {
    let wall = |unit: &Unit| edge.start.offset(unit.pts.saturating_sub(edge.first_pts));
    let units = edge.units.iter().filter(|unit| unit.track == Track::Video);
    let units: Vec<&Unit> = units.filter(|unit| is_in(piece, wall(unit))).collect();
    let keyframes: Vec<bool> = units.iter().map(|unit| unit.keyframe).collect();
    let known = |unit: &&Unit| Known {
        wall: wall(unit),
        keyframe: unit.keyframe,
        size: u32::try_from(unit.payload.len()).unwrap_or(u32::MAX),
        crc: crc32fast::hash(&unit.payload),
    };
    let looked_at = units.get(looked_at(&keyframes, from_end)).unwrap_or_default();
    looked_at.iter().map(known).collect()
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
        is_in(piece, wall)
    };
    let (first, last) = (
        table.samples.iter().position(is_of_piece),
        table.samples.iter().rposition(is_of_piece),
    );
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(Vec::new());
    };
    let samples = table.samples.get(first..=last).unwrap_or_default();
    let keyframes: Vec<bool> = samples.iter().map(|sample| sample.keyframe).collect();
    let some = looked_at(&keyframes, from_end);
    let units = movie
        .units(file, Track::Video)
        .between(first + some.start..=(first + some.end).saturating_sub(1));
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
            let spans = |pieces: Vec<Piece<'_>>| pieces.iter().map(|it| it.1).collect::<Vec<_>>();
            (spans(before), spans(after))
        };
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|number: usize| segments[number].span);
        assert_eq!(
            spans(Span::new(at(20), at(32))),
            (vec![second, first], vec![third, fourth])
        );
        assert_eq!(spans(Span::new(at(50), at(60))), (vec![fourth, third], vec![]));
        assert_eq!(spans(Span::new(at(55), at(60))), (vec![], vec![]));
        // A hole inside a segment has two edges of one file.
        let hole = Span::new(at(3), at(7));
        let mut paused = segment(0, 10);
        paused.holes = vec![Hole {
            span: hole,
            cause: GapCause::Silent,
        }];
        let segments = [paused];
        let (before, after) = neighbours(&segments, hole);
        assert_eq!(before.first().map(|it| it.1), Some(Span::new(at(0), at(3))));
        assert_eq!(after.first().map(|it| it.1), Some(Span::new(at(7), at(10))));
        assert_eq!(footage(&segments).len(), 0, "nothing of it can be played");
    }
}
