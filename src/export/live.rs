//! What of a camera that is being recorded can be read at this moment. Pure: edges and tables go in.
//!
//! ```text
//! file     K - - K - - -|
//! memory         K - - - K - - - - -|                  the two overlap, or memory has the segment from its start
//! window       |- - - - - - - - - - - - -|             the rest is on its way: a clip waits for it
//! ```
//!
//! Units come in order of decoding, and none is shown before it is decoded. So once a picture has come that is decoded at a moment
//! or later, every picture that is shown before that moment has come too.

use crate::model::{Edge, Segment, SegmentId, SegmentState, Span, Timestamp, Track, Unit};
use crate::storage::Movie;

use super::table::{last_decoded, last_shown};

/// Times in a file are rounded to its ticks; frames are never so close.
pub(super) const SAME: i64 = 1_000_000;
/// Sound that is further behind the pictures than this has stopped.
const SILENT: i64 = 1_000_000_000;

/// What is not there yet of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Awaited {
    /// The pictures are known up to here.
    pub(super) reached: Timestamp,
    /// Whether pictures lack before the end of the window; otherwise it is sound.
    pub(super) pictures: bool,
}

fn wall(edge: &Edge, nanos: i64) -> Timestamp {
    edge.start.offset(nanos.saturating_sub(edge.first_pts))
}

fn last(edge: &Edge, track: Track) -> Option<&Unit> {
    edge.units.iter().rev().find(|unit| unit.track == track)
}

/// What may still be on its way of a window that ends at `to`; nothing when all of it has come, or nothing more comes.
pub(super) fn awaited(edges: &[Edge], to: Timestamp) -> Option<Awaited> {
    let edge = edges.iter().rev().find(|edge| edge.grows)?;
    let reached = edge.row.span.end;
    let decoded = last(edge, Track::Video).map_or(reached, |unit| wall(edge, unit.dts));
    if decoded < to {
        return Some(Awaited {
            reached,
            pictures: reached < to,
        });
    }
    let heard = last(edge, Track::Audio).filter(|_| edge.caps.audio.is_some())?;
    let lasts = heard.duration.and_then(|nanos| i64::try_from(nanos).ok()).unwrap_or(0);
    let heard = wall(edge, heard.pts.saturating_add(lasts));
    (heard < to && decoded.nanos_since(heard) < SILENT).then_some(Awaited {
        reached,
        pictures: false,
    })
}

/// Brings what the index says of segments, in the order in which they were recorded, to what the recorder knows of those whose
/// files are open. Gives those that are new and begin before the one in front of them, because the clock was set back.
pub(super) fn renew(segments: &mut Vec<Segment>, edges: &[Edge], window: Span) -> Vec<SegmentId> {
    let mut again = Vec::new();
    for edge in edges {
        match segments.iter_mut().find(|segment| segment.id == edge.segment) {
            Some(known) if known.state == SegmentState::Closed => {}
            Some(known) => {
                let copies = std::mem::take(&mut known.copies);
                known.clone_from(&edge.row);
                if known.copies.is_empty() {
                    known.copies = copies;
                }
            }
            None if edge.row.span.overlaps(&window) => {
                let is_earlier = |last: &Segment| edge.row.span.start < last.span.start;
                if segments.last().is_some_and(is_earlier) {
                    again.push(edge.segment);
                }
                segments.push(edge.row.clone());
            }
            None => {}
        }
    }
    again
}

/// Whether memory goes on where a file ends whose last frame was decoded at a moment, with no frame between them.
pub(super) fn is_overlapping(edge: &Edge, written: Option<Timestamp>) -> bool {
    let first = edge.units.iter().find(|unit| unit.track == Track::Video);
    first.is_some_and(|first| {
        first.pts == edge.first_pts || written.is_some_and(|at| at.offset(SAME) >= wall(edge, first.dts))
    })
}

/// Whether file and memory of a segment have every frame of a window between them that has come.
pub(super) fn is_joined(segment: &Segment, movie: &Movie, edge: Option<&Edge>, window: Span) -> bool {
    let is_elsewhere = segment.span.end <= window.start || segment.span.start >= window.end;
    if segment.state == SegmentState::Closed || movie.is_whole() || is_elsewhere {
        return true;
    }
    let start = edge.map_or(segment.span.start, |edge| edge.start);
    if let Some(table) = &movie.video {
        let (written, shown) = (last_decoded(table, start), last_shown(table, start));
        // A picture that is shown last may be written before others are.
        let has_all = table.samples.len() as u64 >= segment.frames;
        let is_at_end = has_all && shown.is_some_and(|at| at.offset(SAME) >= segment.span.end);
        if written.is_some_and(|at| at >= window.end) || is_at_end {
            return true;
        }
    }
    edge.is_some_and(|edge| {
        let written = movie.video.as_ref().and_then(|table| last_decoded(table, start));
        let first = edge.units.iter().find(|unit| unit.track == Track::Video);
        // The window may need nothing of what is only in the file.
        let is_enough = first.is_some_and(|first| first.keyframe && wall(edge, first.pts) <= window.start);
        is_enough || is_overlapping(edge, written)
    })
}
