//! Gathering: which segments a clip is made of, held so that nobody deletes them, and what their files hold.

use std::collections::BTreeSet;
use std::path::Path;

use super::driver::Means;
use super::error::ExportError;
use super::footage::Footage;
use super::recorded::in_recorded_order;
use super::stop::Stop;
use crate::index::Index;
use crate::model::{Camera, CameraId, Copy, Edge, Segment, SegmentId, SegmentState, Span};

/// The row of an open segment grows once a second, so it may end before what it has.
const ROW_LAG: std::time::Duration = std::time::Duration::from_secs(2);

/// Segments that nobody deletes while this lives.
#[derive(Debug)]
pub(super) struct Held {
    index: Index,
    locked: Vec<SegmentId>,
    /// Those of them that may have frames in the window, in the order in which they were recorded.
    pub(super) segments: Vec<Segment>,
    /// Those that begin at a time which those before them have as well, because the clock was set back.
    again: BTreeSet<SegmentId>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // In pieces, so that the row of a segment that closes meanwhile need not wait for all of a long export.
        for some in self.locked.chunks(500) {
            let some = some.to_vec();
            self.index
                .write_later("letting segments go", move |writer| writer.unlock_segments(&some));
        }
    }
}

impl Held {
    /// Selects what there is of a camera in a window, and holds it. For a thread that may wait.
    pub(super) fn take(means: &Means, camera: &CameraId, window: Span) -> Result<(Self, Camera), ExportError> {
        let (asked, wide) = (camera.clone(), Span::new(window.start.minus(ROW_LAG), window.end));
        let found = means.index.write_blocking(move |writer| {
            let Some(camera) = writer.camera(&asked)? else {
                return Ok(None);
            };
            let segments = writer.lock_segments(&asked, wide)?;
            let made = writer.order_of_rows(&asked, wide)?;
            Ok(Some((camera, segments, made)))
        })?;
        let (camera, mut segments, made) = found.ok_or_else(|| ExportError::NoCamera(camera.clone()))?;
        let locked = segments.iter().map(|segment| segment.id).collect();
        segments.retain(|segment| {
            segment.state == SegmentState::Open || segment.covered().iter().any(|piece| piece.overlaps(&window))
        });
        let (segments, again) = in_recorded_order(segments, &made);
        let held = Self {
            index: means.index.clone(),
            locked,
            segments,
            again,
        };
        if held.segments.is_empty() {
            return Err(ExportError::NothingThere);
        }
        Ok((held, camera))
    }

    /// Remembers from which copy each segment was read: that one is what is said of the clip's sources.
    pub(super) fn was_read(&mut self, used: Vec<(SegmentId, Copy)>) {
        for (id, copy) in used {
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == id) {
                segment.copies = vec![copy];
            }
        }
    }

    /// Reads what the files hold, one after another as they are asked for.
    pub(super) fn footage<'a>(&'a self, means: &'a Means, camera: &CameraId, stop: &'a Stop) -> Reading<'a> {
        // Before any file is read: what is written from now on is in both, and nothing lies between.
        let edges = means.edges.edges(camera);
        Reading {
            means,
            stop,
            edges,
            segments: self.segments.iter(),
            again: &self.again,
            used: Vec::new(),
            trouble: None,
        }
    }
}

/// Footage in the order in which it was recorded. It ends early when nobody wants it any more.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    means: &'a Means,
    stop: &'a Stop,
    edges: Vec<Edge>,
    segments: std::slice::Iter<'a, Segment>,
    again: &'a BTreeSet<SegmentId>,
    /// From which copy each segment was read.
    pub(super) used: Vec<(SegmentId, Copy)>,
    /// The first file that could not be read.
    pub(super) trouble: Option<ExportError>,
}

impl Iterator for Reading<'_> {
    type Item = Footage;

    fn next(&mut self) -> Option<Footage> {
        loop {
            if self.stop.is_stopped() {
                return None;
            }
            let segment = self.segments.next()?;
            if let Some(footage) = self.read(segment) {
                let begins_again = self.again.contains(&segment.id);
                return Some(Footage {
                    begins_again,
                    ..footage
                });
            }
        }
    }
}

impl Reading<'_> {
    /// The best that is there of a segment: the first copy that can be read wholly, else what can be read of any.
    fn read(&mut self, segment: &Segment) -> Option<Footage> {
        let edge = self.edges.iter().find(|edge| edge.segment == segment.id).cloned();
        let wanted = segment.clone();
        let best = self.means.volumes.read(segment, move |path: &Path| {
            match Footage::read(wanted.clone(), path.to_owned(), edge.clone()) {
                (footage, None) => Ok(footage),
                // Boxed, because both are large and this is the rare way.
                (footage, Some(trouble)) => Err(Box::new((footage, trouble))),
            }
        });
        if let Some((footage, copy)) = best.read {
            self.used.push((segment.id, copy));
            return Some(footage);
        }
        let mut most: Option<Footage> = None;
        for (footage, trouble) in best.failed.into_iter().map(|failed| *failed) {
            tracing::warn!(error = %trouble, segment = %segment.id, "a copy of a segment cannot be read wholly for a clip");
            self.trouble.get_or_insert(trouble);
            if most
                .as_ref()
                .is_none_or(|most| most.movie.frames() < footage.movie.frames())
            {
                most = Some(footage);
            }
        }
        most
    }
}
