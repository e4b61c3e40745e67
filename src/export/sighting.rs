//! Where the frame of a moment is to be had: in a file, in one that grows, or still in memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{Frame, Pick, pick};
use super::snapshot::SnapshotError;
use crate::index::{IndexError, Reader};
use crate::model::{Codec, CopyState, Edge, Segment, SegmentId, Span, Timestamp, Track, Unit, VolumeRole};
use crate::pipeline::{Units, video_caps};
use crate::storage::{Movie, TrackCoding, TrackTable};

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

/// Where the frame may be, the latest beginning first.
pub(super) fn sources(recordings: &Path, edges: Vec<Edge>, segments: Vec<(Segment, Option<String>)>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for edge in edges {
        sources.push(Source {
            start: edge.start,
            edge: Some(edge),
            file: None,
        });
    }
    for (segment, file) in segments {
        // What cannot be played is not on the timeline either.
        let Some(file) = file else { continue };
        let file = Some((segment.span, segment.id, recordings.join(file)));
        let same = |source: &&mut Source| source.edge.as_ref().is_some_and(|edge| edge.segment == segment.id);
        match sources.iter_mut().find(same) {
            Some(source) => source.file = file,
            None => sources.push(Source {
                start: segment.span.start,
                edge: None,
                file,
            }),
        }
    }
    sources.sort_by_key(|source| std::cmp::Reverse(source.start));
    sources
}

/// A segment with its file that can be read, relative to the primary volume.
pub(super) fn with_file(reader: &Reader<'_>, segment: Segment) -> Result<(Segment, Option<String>), IndexError> {
    let volumes = reader.volumes()?;
    let is_primary = |id| {
        volumes
            .iter()
            .any(|volume| volume.id == id && volume.role == VolumeRole::Primary)
    };
    let is_readable = |state| matches!(state, CopyState::Open | CopyState::Whole | CopyState::Suspect);
    let copy = segment
        .copies
        .iter()
        .find(|copy| is_primary(copy.volume) && is_readable(copy.state));
    let path = copy.map(|copy| copy.path.clone());
    Ok((segment, path))
}

/// A segment, in memory, in a file or in both; a file that grows lags behind memory.
pub(super) struct Source {
    start: Timestamp,
    edge: Option<Edge>,
    file: Option<(Span, SegmentId, PathBuf)>,
}

pub(super) fn first_found(sources: Vec<Source>, limit: Timestamp) -> Result<Option<Found>, SnapshotError> {
    for source in sources {
        let in_memory = source.edge.and_then(|edge| in_memory(edge, limit));
        let found = match (in_memory, source.file) {
            (Some(found), _) => Some(found),
            (None, Some((span, id, path))) => in_file(span, id, &path, limit)?,
            (None, None) => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
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
    let units = units.get(first..=last)?.to_vec();
    Some(Found {
        segment: edge.segment,
        taken: taken(pts),
        until: taken(newest),
        codec: edge.format.codec,
        width: edge.format.width,
        caps: edge.caps.video,
        origin: units.first()?.dts,
        units: Box::new(units.into_iter().map(Ok)),
        pts,
    })
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
