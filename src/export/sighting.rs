//! Where the frame of a moment is to be had: in a file, in one that grows, or still in memory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::frame::{Frame, Pick, pick};
use super::snapshot::SnapshotError;
use crate::model::{Codec, Edge, Hole, Pauses, Segment, SegmentId, Span, Timestamp, Track, Unit};
use crate::pipeline::{Units, video_caps};
use crate::storage::{Movie, TrackCoding, TrackTable, Volumes, reading_order};

/// A frame that was found, and how to get at it.
pub(super) struct Found {
    pub(super) segment: SegmentId,
    pub(super) taken: Timestamp,
    /// When the newest frame beside it was taken, or ended.
    pub(super) until: Timestamp,
    pub(super) codec: Codec,
    pub(super) width: u32,
    pub(super) caps: String,
    pub(super) units: Units,
    pub(super) origin: i64,
    pub(super) pts: i64,
}

impl Found {
    /// The same, when it is known where the segment has no footage.
    fn before(mut self, holes: &[Hole]) -> Self {
        let mut behind = holes
            .iter()
            .map(|hole| hole.span.start)
            .filter(|start| *start > self.taken);
        self.until = behind.next().map_or(self.until, |start| start.min(self.until));
        self
    }
}

/// Where the frame may be, the latest beginning first.
pub(super) fn sources(edges: Vec<Edge>, segments: Vec<Segment>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for edge in edges {
        sources.push(Source {
            start: edge.start,
            edge: Some(edge),
            file: None,
        });
    }
    for segment in segments {
        // What cannot be played is not on the timeline either.
        if reading_order(&segment.copies).next().is_none() {
            continue;
        }
        let same = |source: &&mut Source| source.edge.as_ref().is_some_and(|edge| edge.segment == segment.id);
        match sources.iter_mut().find(same) {
            Some(source) => source.file = Some(segment),
            None => sources.push(Source {
                start: segment.span.start,
                edge: None,
                file: Some(segment),
            }),
        }
    }
    sources.sort_by_key(|source| std::cmp::Reverse(source.start));
    sources
}

/// A segment, in memory, in a file or in both; a file that grows lags behind memory.
pub(super) struct Source {
    start: Timestamp,
    edge: Option<Edge>,
    /// What is in a file, by the index.
    file: Option<Segment>,
}

pub(super) fn first_found(
    volumes: &Volumes,
    sources: Vec<Source>,
    limit: Timestamp,
) -> Result<Option<Found>, SnapshotError> {
    let (mut newest, mut trouble) = (None::<Found>, None);
    for source in sources {
        // What began before the frame that was found may reach beyond it only where that lies in a hole of it.
        let in_memory = source.edge.and_then(|edge| in_memory(edge, limit));
        let found = match (in_memory, source.file) {
            (Some(found), _) => Some(found),
            (None, Some(segment)) => match (in_a_copy(volumes, &segment, limit), &newest) {
                (Ok(found), _) => found,
                (Err(error), None) => return Err(error),
                (Err(error), Some(_)) => {
                    trouble = Some(error);
                    None
                }
            },
            (None, None) => None,
        };
        if let Some(found) = found.filter(|found| newest.as_ref().is_none_or(|newest| newest.taken < found.taken)) {
            newest = Some(found);
        }
    }
    if let Some(error) = trouble {
        tracing::debug!(%error, "an older source of a still cannot be read");
    }
    Ok(newest)
}

fn in_memory(edge: Edge, limit: Timestamp) -> Option<Found> {
    let units: Vec<Unit> = edge
        .units
        .into_iter()
        .filter(|unit| unit.track == Track::Video)
        .collect();
    let frames = units.iter().map(|unit| Frame {
        pts: unit.pts,
        keyframe: unit.keyframe,
    });
    let frames: Vec<Frame> = frames.collect();
    let taken = |pts: i64| edge.start.offset(pts.saturating_sub(edge.first_pts));
    let Pick { first, last, pts } = pick(&frames, edge.first_pts.saturating_add(limit.nanos_since(edge.start)))?;
    let newest = frames.iter().map(|frame| frame.pts).max()?;
    let pauses = Pauses::between(units.iter().map(|unit| (unit.pts, unit.dts)));
    let until = pauses.first_after(pts).unwrap_or(newest);
    let units = units.get(first..=last)?.to_vec();
    Some(Found {
        segment: edge.segment,
        taken: taken(pts),
        until: taken(until),
        codec: edge.format.codec,
        width: edge.format.width,
        caps: edge.caps.video,
        origin: units.first()?.dts,
        units: Box::new(units.into_iter().map(Ok)),
        pts,
    })
}

/// The frame in the best copy of a segment.
fn in_a_copy(volumes: &Volumes, segment: &Segment, limit: Timestamp) -> Result<Option<Found>, SnapshotError> {
    let (span, id, holes) = (segment.span, segment.id, segment.holes.clone());
    let best = volumes.read(segment, move |path: &Path| {
        let found = in_file(span, id, path, limit)?;
        Ok(found.map(|found| found.before(&holes)))
    });
    match best.read {
        Some((found, _)) => Ok(found),
        None => Err(best.failed.into_iter().next().unwrap_or(SnapshotError::Unreadable {
            start: span.start,
            reason: best
                .out_of_reach
                .into_iter()
                .next()
                .unwrap_or_else(|| "its volume is not known".to_owned()),
        })),
    }
}

fn in_file(span: Span, segment: SegmentId, path: &Path, limit: Timestamp) -> Result<Option<Found>, SnapshotError> {
    let unreadable = |error: std::io::Error| SnapshotError::Unreadable {
        start: span.start,
        reason: match error.kind() {
            std::io::ErrorKind::NotFound => "it is no longer on the disk".to_owned(),
            _ => error.to_string(),
        },
    };
    let file = Arc::new(File::open(path).map_err(unreadable)?);
    let movie = Movie::walk(&file).map_err(unreadable)?;
    let Some(table) = &movie.video else {
        return Ok(None);
    };
    let TrackCoding::Video {
        codec,
        entry,
        width,
        height,
    } = table.coding
    else {
        return Ok(None);
    };
    let frames: Vec<Frame> = frames_of(table);
    let shown = table.samples.iter().filter(|sample| !table.is_hidden(sample));
    let Some(first_shown) = shown.map(|sample| table.pts(sample)).min() else {
        return Ok(None);
    };
    let Some(pick) = pick(&frames, first_shown.saturating_add(limit.nanos_since(span.start))) else {
        return Ok(None);
    };
    if pick.pts < first_shown {
        // What is in front of the first frame shown is only decoded; it is not what was seen then.
        return Ok(None);
    }
    let Some(keyframe) = table.samples.get(pick.first) else {
        return Ok(None);
    };
    let entry = String::from_utf8_lossy(&entry).into_owned();
    Ok(Some(Found {
        segment,
        taken: span.start.offset(pick.pts.saturating_sub(first_shown)),
        until: span.end,
        codec,
        width,
        caps: video_caps(codec, &entry, &table.config, width, height)?,
        origin: table.dts(keyframe),
        pts: pick.pts,
        units: Box::new(movie.units(file, Track::Video).between(pick.first..=pick.last)),
    }))
}

fn frames_of(table: &TrackTable) -> Vec<Frame> {
    let frames = table.samples.iter().map(|sample| Frame {
        pts: table.pts(sample),
        keyframe: sample.keyframe,
    });
    frames.collect()
}
