//! Gathering: which segments a clip is made of, held so that nobody deletes them, and what their files hold.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::driver::Means;
use super::error::ExportError;
use super::footage::Footage;
use super::live::{awaited, is_joined, renew};
use super::recorded::in_recorded_order;
use super::stop::Stop;
use crate::index::{Index, IndexError};
use crate::model::{Camera, CameraId, Edge, Fault, Segment, SegmentId, SegmentState, Span};
use crate::runtime::pause;

/// The row of an open segment grows once a second, so it may end before what it has.
const ROW_LAG: Duration = Duration::from_secs(2);
/// What is on its way is looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a clip waits for what is on its way while somebody waits for it: a frame of a slow camera.
const WHILE_ASKED: Duration = Duration::from_secs(3);
/// And when nobody does: what a disk that is held up for a while needs.
const AS_A_JOB: Duration = Duration::from_secs(30);
/// Sound comes within this after its pictures, or not at all.
const SOUND: Duration = Duration::from_secs(1);

/// How long a clip may wait for what is on its way, and whether anybody still wants it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience<'a> {
    looks: u32,
    stop: &'a Stop,
}

impl<'a> Patience<'a> {
    pub(super) fn of(is_a_job: bool, stop: &'a Stop) -> Self {
        let whole = if is_a_job { AS_A_JOB } else { WHILE_ASKED };
        let looks = looks_within(whole);
        Self { looks, stop }
    }

    /// Lets a moment pass before the next look; `false` when there were enough.
    fn wait(&self, look: u32) -> bool {
        let goes_on = look < self.looks && !self.stop.is_stopped();
        if goes_on {
            pause(LOOK_EVERY);
        }
        goes_on
    }
}

fn looks_within(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / LOOK_EVERY.as_millis()).unwrap_or(u32::MAX)
}

/// Segments that nobody deletes while this lives.
#[derive(Debug)]
pub(super) struct Held {
    index: Index,
    locked: Vec<SegmentId>,
    /// What is in memory.
    edges: Vec<Edge>,
    /// Those of them that may have frames in the window, in the order in which they were recorded.
    pub(super) segments: Vec<Segment>,
    /// Those that begin at a time which those before them have as well, because the clock was set back.
    again: BTreeSet<SegmentId>,
}

/// A camera, its segments in a span, and the order in which they became known.
type Selected = Option<(Camera, Vec<Segment>, Vec<SegmentId>)>;

/// What there is of a span, by an index that takes no locks because its disk is full.
fn without_locks(index: &Index, camera: &CameraId, wide: Span) -> Result<Selected, IndexError> {
    let asked = camera.clone();
    index.read_blocking(move |reader| {
        let Some(camera) = reader.camera_or_deleted(&asked)? else {
            return Ok(None);
        };
        let segments = reader.segments(&asked, Some(wide), u32::MAX, None)?;
        Ok(Some((camera, segments, reader.order_of_rows(&asked, wide)?)))
    })
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
    /// Selects what there is of a camera in a window, and holds it, once all of it has come. For a thread that may wait.
    pub(super) fn take(
        means: &Means,
        camera: &CameraId,
        window: Span,
        patience: Patience<'_>,
    ) -> Result<(Self, Camera), ExportError> {
        let (asked, wide) = (camera.clone(), Span::new(window.start.minus(ROW_LAG), window.end));
        let found = means.index.write_blocking(move |writer| {
            let Some(camera) = writer.camera_or_deleted(&asked)? else {
                return Ok(None);
            };
            let segments = writer.lock_segments(&asked, wide)?;
            let made = writer.order_of_rows(&asked, wide)?;
            Ok(Some((camera, segments, made)))
        });
        let (found, is_locked) = match found {
            // Where an index has no room for a lock, it has none for a deletion either.
            Err(error) if error.fault() == Fault::Full => (without_locks(&means.index, camera, wide)?, false),
            other => (other?, true),
        };
        let (row, mut segments, made) = found.ok_or_else(|| ExportError::NoCamera(camera.clone()))?;
        let locked = segments
            .iter()
            .filter(|_| is_locked)
            .map(|segment| segment.id)
            .collect();
        segments.retain(|segment| {
            segment.state == SegmentState::Open || segment.covered().iter().any(|piece| piece.overlaps(&window))
        });
        let (segments, again) = in_recorded_order(segments, &made);
        let mut held = Self {
            index: means.index.clone(),
            locked,
            edges: Vec::new(),
            segments,
            again,
        };
        held.wait_for_newest(means, camera, window, patience)?;
        if held.segments.is_empty() {
            return Err(ExportError::NothingThere);
        }
        Ok((held, row))
    }

    /// Waits until what is on its way of a window has come, and takes what is in memory: what is written from now on is in both
    /// memory and file, and nothing lies between.
    fn wait_for_newest(
        &mut self,
        means: &Means,
        camera: &CameraId,
        window: Span,
        patience: Patience<'_>,
    ) -> Result<(), ExportError> {
        for look in 0.. {
            self.edges = means.edges.edges(camera);
            // A segment that is closed before the next look stays with what is known of it now.
            self.again.extend(renew(&mut self.segments, &self.edges, window));
            // Nothing that has not happened is on its way.
            let has_begun = window.start < means.clock.now();
            let Some(awaited) = awaited(&self.edges, window.end).filter(|_| has_begun) else {
                break;
            };
            if !awaited.pictures && look >= looks_within(SOUND) {
                break;
            }
            if !patience.wait(look) {
                if !awaited.pictures {
                    break;
                }
                let why = format!(
                    "the newest frames are still on their way, and there is footage up to {}",
                    awaited.reached
                );
                return Err(ExportError::NotYet { why, seconds: 1 });
            }
        }
        Ok(())
    }

    /// Remembers each segment as it was when it was read, with the copy it was read from: that is what is said of the clip's
    /// sources.
    pub(super) fn was_read(&mut self, used: Vec<Segment>) {
        for used in used {
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == used.id) {
                *segment = used;
            }
        }
    }

    /// Reads what the files hold, one after another as they are asked for.
    pub(super) fn footage<'a>(&'a self, means: &'a Means, window: Span, patience: Patience<'a>) -> Reading<'a> {
        Reading {
            means,
            window,
            patience,
            edges: self.edges.clone(),
            segments: self.segments.iter(),
            again: &self.again,
            used: Vec::new(),
            trouble: None,
            not_yet: None,
        }
    }
}

/// Footage in the order in which it was recorded. It ends early when nobody wants it any more.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    means: &'a Means,
    window: Span,
    patience: Patience<'a>,
    edges: Vec<Edge>,
    segments: std::slice::Iter<'a, Segment>,
    again: &'a BTreeSet<SegmentId>,
    /// Each segment that was read, with the copy it was read from.
    pub(super) used: Vec<Segment>,
    /// The first file that could not be read.
    pub(super) trouble: Option<ExportError>,
    /// Something of the window was recorded and cannot be read now: there is no clip of it yet.
    pub(super) not_yet: Option<ExportError>,
}

impl Iterator for Reading<'_> {
    type Item = Footage;

    fn next(&mut self) -> Option<Footage> {
        loop {
            if self.patience.stop.is_stopped() || self.not_yet.is_some() {
                return None;
            }
            let segment = self.segments.next()?;
            if let Some(footage) = self.read_when_joined(segment) {
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
    /// What file and memory have of a segment, once they have all of it between them.
    fn read_when_joined(&mut self, segment: &Segment) -> Option<Footage> {
        let (id, mut segment) = (segment.id, segment.clone());
        for look in 0.. {
            let edge = self.edges.iter().find(|edge| edge.segment == id).cloned();
            if segment.state == SegmentState::Open && edge.is_none() {
                // It was closed, or given a file, since it was looked at last; or it came to nothing.
                match self.means.index.read_blocking(move |reader| reader.segment(id)) {
                    Ok(Some(row)) => segment = row,
                    Ok(None) => return None,
                    Err(error) => tracing::warn!(%error, segment = %id, "the row of a segment cannot be read"),
                }
            }
            if let Some(edge) = edge.as_ref().filter(|edge| !edge.row.copies.is_empty()) {
                segment.copies.clone_from(&edge.row.copies);
            }
            let footage = self.read(&segment, edge);
            let is_whole =
                |footage: &Footage| is_joined(&footage.segment, &footage.movie, footage.edge.as_ref(), self.window);
            if segment.state == SegmentState::Closed || footage.as_ref().is_some_and(is_whole) {
                return footage;
            }
            if !self.patience.wait(look) {
                break;
            }
            // The file has grown meanwhile, or there is one now.
            self.edges = self.means.edges.edges(&segment.camera);
        }
        let why = format!(
            "of what was recorded from {} on, the last frames are neither in the file yet nor in memory any more",
            segment.span.start
        );
        self.not_yet = Some(ExportError::NotYet { why, seconds: 5 });
        None
    }

    /// The best that is there of a segment: the first copy that can be read wholly, else what can be read of any.
    fn read(&mut self, segment: &Segment, edge: Option<Edge>) -> Option<Footage> {
        let (wanted, memory) = (segment.clone(), edge.clone());
        let best = self.means.volumes.read(segment, move |path: &Path| {
            match Footage::read(wanted.clone(), path.to_owned(), edge.clone()) {
                (footage, None) => Ok(footage),
                // Boxed, because both are large and this is the rare way.
                (footage, Some(trouble)) => Err(Box::new((footage, trouble))),
            }
        });
        if let Some((footage, copy)) = best.read {
            self.used.push(Segment {
                copies: vec![copy],
                ..segment.clone()
            });
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
        most.or_else(|| (segment.state == SegmentState::Open).then(|| Footage::without_file(segment.clone(), memory)))
    }
}
