//! Holes: where inside their spans segments have no footage, and the kept gaps that follow from it.
//!
//! What a segment lacks is its holes, and all of it when no copy of it can be read. Whoever changes a segment or its copies
//! does it in [`Writer::accounted`], which keeps gaps true to what lacks afterwards: one is kept where something begins to
//! lack, and goes where it is there again.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Row, params};

use super::columns::{camera_id, segment_id, span, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::coverage::holes;
use crate::model::{
    CameraId, Event, EventKind, Gap, GapCause, GapFate, Hole, KEPT_FROM, SegmentId, Span, Timestamp, VolumeId,
    covered_pieces,
};

const OF_SEGMENT: &str = "SELECT start_ns, end_ns, cause FROM holes WHERE segment_id = ?1 ORDER BY start_ns";
pub(super) const WITHIN: &str = "
    SELECT start_ns, end_ns, cause, segment_id FROM holes
    WHERE camera_id = ?1 AND start_ns > ?2 AND start_ns < ?3 AND end_ns > ?4 ORDER BY start_ns";
pub(super) const UNPLAYABLE: &str = "
    SELECT start_ns, end_ns, id FROM segments
    WHERE camera_id = ?1 AND start_ns > ?2 AND start_ns < ?3 AND end_ns > ?4 AND playable = 0 ORDER BY start_ns";
const STATE: &str = "SELECT start_ns, end_ns, camera_id, playable FROM segments WHERE id = ?1";
const IS_QUARANTINED: &str = "SELECT 1 FROM copies WHERE segment_id = ?1 AND state = 'quarantined'";
const DAMAGED_ON: &str = "
    SELECT path, sum(end_ns - start_ns) AS lost_ns FROM holes JOIN copies ON copies.segment_id = holes.segment_id
    WHERE cause = 'damaged' AND volume_id = ?1 GROUP BY path ORDER BY path";
const IS_WHOLE: &str = "SELECT 1 FROM copies WHERE segment_id = ?1 AND state = 'whole'";
const HEAL: &str = "DELETE FROM holes WHERE segment_id = ?1 AND cause = 'damaged'";
const CLEAR: &str = "DELETE FROM holes WHERE segment_id = ?1";
const PUT: &str = "INSERT INTO holes (segment_id, start_ns, end_ns, cause, camera_id) VALUES (?1, ?2, ?3, ?4, ?5)";

impl Reader<'_> {
    /// Where inside its span a segment has no footage.
    pub(super) fn holes_of(&self, segment: SegmentId) -> Result<Vec<Hole>, IndexError> {
        self.rows(OF_SEGMENT, [segment.0.as_bytes()], hole)
    }

    /// The holes of all segments that overlap a span, by segment.
    pub(super) fn holes_by_segment(
        &self,
        camera: &CameraId,
        window: Span,
    ) -> Result<HashMap<SegmentId, Vec<Hole>>, IndexError> {
        let mut found: HashMap<SegmentId, Vec<Hole>> = HashMap::new();
        for (id, hole) in self.holes_within(camera, window)? {
            found.entry(id).or_default().push(hole);
        }
        Ok(found)
    }

    /// What segments of a camera lack in a window, and why: their holes, and all of those that cannot be read.
    pub fn lacking(&self, camera: &CameraId, window: Span) -> Result<Vec<Hole>, IndexError> {
        let mut found: Vec<Hole> = self
            .holes_within(camera, window)?
            .into_iter()
            .map(|(_, hole)| hole)
            .collect();
        let first = self.first_start(camera, window.start)?.as_nanos();
        let (from, to) = (window.start.as_nanos(), window.end.as_nanos());
        let unplayable = self.rows(UNPLAYABLE, params![camera.as_str(), first, to, from], |row| {
            Ok((segment_id(row, "id")?, span(row)?))
        })?;
        for (id, span) in unplayable {
            found.extend(self.lost_wholly(id, span)?);
        }
        found.sort_by_key(|hole| hole.span);
        Ok(found)
    }

    fn holes_within(&self, camera: &CameraId, window: Span) -> Result<Vec<(SegmentId, Hole)>, IndexError> {
        // No hole is longer than its segment.
        let first = self.first_start(camera, window.start)?.as_nanos();
        let (from, to) = (window.start.as_nanos(), window.end.as_nanos());
        self.rows(WITHIN, params![camera.as_str(), first, to, from], |row| {
            Ok((segment_id(row, "segment_id")?, hole(row)?))
        })
    }

    /// What would be footage of a segment if it could be read.
    fn lost_wholly(&self, id: SegmentId, span: Span) -> Result<Vec<Hole>, IndexError> {
        let is_damaged = self.row(IS_QUARANTINED, [id.0.as_bytes()], |_| Ok(()))?.is_some();
        let cause = if is_damaged {
            GapCause::Damaged
        } else {
            GapCause::Missing
        };
        let pieces = covered_pieces(span, &self.holes_of(id)?);
        Ok(pieces.into_iter().map(|span| Hole { span, cause }).collect())
    }

    /// All that a segment lacks; nothing when there is no such segment.
    fn lacking_of(&self, id: SegmentId) -> Result<Option<(CameraId, Vec<Hole>)>, IndexError> {
        let state = self.row(STATE, [id.0.as_bytes()], |row| {
            Ok((
                camera_id(row, "camera_id")?,
                span(row)?,
                row.get::<_, bool>("playable")?,
            ))
        })?;
        let Some((camera, span, playable)) = state else {
            return Ok(None);
        };
        let mut lacking = self.holes_of(id)?;
        if !playable {
            lacking.extend(self.lost_wholly(id, span)?);
        }
        Ok(Some((camera, lacking)))
    }
}

impl Reader<'_> {
    /// Segments with a copy on a volume of which frames are lost, by path, and for how long.
    pub fn damaged_on(&self, volume: VolumeId) -> Result<Vec<(String, Duration)>, IndexError> {
        self.rows(DAMAGED_ON, [volume.0.as_bytes()], |row| {
            let lost = u64::try_from(row.get::<_, i64>("lost_ns")?).unwrap_or(0);
            Ok((row.get("path")?, Duration::from_nanos(lost)))
        })
    }
}

impl Writer<'_> {
    /// Changes a segment, its holes or its copies, and has the kept gaps follow.
    pub(super) fn accounted<T>(
        &self,
        id: SegmentId,
        change: impl FnOnce() -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let before = self.lacking_of(id)?.map(|(_, lacking)| lacking).unwrap_or_default();
        let done = change()?;
        if let Some((camera, after)) = self.lacking_of(id)? {
            self.follow(&camera, &before, &after)?;
        }
        Ok(done)
    }

    /// A closed segment has no footage here, and everywhere else in its span.
    pub fn set_holes(&self, id: SegmentId, inner: &[Hole]) -> Result<(), IndexError> {
        match self.lacking_of(id)? {
            Some((camera, _)) => self.accounted(id, || self.put_holes(id, &camera, inner)),
            None => Ok(()),
        }
    }

    /// A copy is whole where none was: nothing of the segment is damaged any more.
    pub(super) fn heal_holes(&self, id: SegmentId) -> Result<(), IndexError> {
        if self.row(IS_WHOLE, [id.0.as_bytes()], |_| Ok(()))?.is_none() {
            self.execute(HEAL, [id.0.as_bytes()])?;
        }
        Ok(())
    }

    /// Remembers where a segment has no footage, in place of what was known of it.
    pub(super) fn put_holes(&self, id: SegmentId, camera: &CameraId, inner: &[Hole]) -> Result<(), IndexError> {
        if self.holes_of(id)? == inner {
            return Ok(());
        }
        self.execute(CLEAR, [id.0.as_bytes()])?;
        for hole in inner.iter().filter(|hole| !hole.span.is_empty()) {
            let (start, end) = (hole.span.start.as_nanos(), hole.span.end.as_nanos());
            let row = params![id.0.as_bytes(), start, end, hole.cause.as_str(), camera.as_str()];
            self.execute(PUT, row)?;
        }
        Ok(())
    }

    fn follow(&self, camera: &CameraId, before: &[Hole], after: &[Hole]) -> Result<(), IndexError> {
        let is_same = |one: &Hole, other: &Hole| one.cause == other.cause && one.span.overlaps(&other.span);
        for old in before {
            match after.iter().find(|new| is_same(old, new)) {
                Some(new) if new.span == old.span => {}
                Some(new) => self.move_gaps(camera, *old, new.span)?,
                None => self.forget_gaps(camera, *old)?,
            }
        }
        for new in after.iter().filter(|new| !before.contains(new)) {
            // Where this was footage, holes of other segments may have had no gap.
            for hole in self.lacking(camera, new.span)? {
                self.keep_gaps(camera, hole)?;
            }
        }
        Ok(())
    }

    /// The gaps that were kept of a hole, and may still be filled.
    fn kept_of(&self, camera: &CameraId, hole: Hole) -> Result<Vec<Gap>, IndexError> {
        let mut kept = self.gaps_within(camera, hole.span)?;
        kept.retain(|gap| {
            let is_inside = hole.span.start <= gap.span.start && gap.span.end <= hole.span.end;
            gap.cause == hole.cause && !gap.open && gap.fate != GapFate::Filled && is_inside
        });
        Ok(kept)
    }

    fn forget_gaps(&self, camera: &CameraId, hole: Hole) -> Result<(), IndexError> {
        for gap in self.kept_of(camera, hole)? {
            self.remove_gap(gap.id)?;
        }
        Ok(())
    }

    /// A hole has other edges now, and so have gaps that reach to them.
    fn move_gaps(&self, camera: &CameraId, old: Hole, new: Span) -> Result<(), IndexError> {
        for gap in self.kept_of(camera, old)? {
            let edge = |at: Timestamp, was: Timestamp, is: Timestamp| if at == was { is } else { at };
            let span = Span {
                start: edge(gap.span.start, old.span.start, new.start),
                end: edge(gap.span.end, old.span.end, new.end),
            };
            match span.intersect(&new) {
                Some(span) => self.keep_missing(Gap { span, ..gap }, KEPT_FROM).map(|_| ())?,
                None => self.remove_gap(gap.id).map(|_| ())?,
            }
        }
        Ok(())
    }

    /// Keeps a gap of what lacks, but for what is there all the same, or kept already. What is next to a gap of the same cause
    /// belongs to it.
    fn keep_gaps(&self, camera: &CameraId, hole: Hole) -> Result<(), IndexError> {
        for lacking in holes(hole.span, self.covered(camera, hole.span)?, KEPT_FROM) {
            // Gaps that touch it at an edge too.
            let around = Span::new(lacking.start.offset(-1), lacking.end.offset(1));
            let known = self.gaps_within(camera, around)?;
            let until = |gap: &Gap| if gap.open { Timestamp::MAX } else { gap.span.end };
            let explained = known.iter().map(|gap| Span::new(gap.span.start, until(gap)));
            for rest in holes(lacking, explained.collect(), Duration::ZERO) {
                let joins = |gap: &&Gap| {
                    let touches = gap.span.end == rest.start || gap.span.start == rest.end;
                    touches && gap.cause == hole.cause && gap.fate == GapFate::Pending && !gap.open
                };
                match known.iter().find(joins) {
                    Some(gap) => {
                        let span = Span::new(gap.span.start.min(rest.start), gap.span.end.max(rest.end));
                        self.update_gap(&Gap { span, ..gap.clone() })?;
                    }
                    None if rest.duration() > KEPT_FROM => self.keep_new_gap(Gap::pending(camera, rest, hole.cause))?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn keep_new_gap(&self, gap: Gap) -> Result<(), IndexError> {
        self.insert_gap(&gap)?;
        self.add_event(&Event {
            at: gap.span.end,
            kind: EventKind::RecordingGap,
            camera: Some(gap.camera.clone()),
            message: gap.to_string(),
        })?;
        Ok(())
    }
}

fn hole(row: &Row<'_>) -> rusqlite::Result<Hole> {
    Ok(Hole {
        span: span(row)?,
        cause: word(row, "cause", GapCause::parse)?,
    })
}
