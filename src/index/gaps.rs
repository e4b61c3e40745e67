//! Gaps: what is missing, why, and what became of it.

use std::time::Duration;

use rusqlite::{Row, params};

use super::columns::{camera_id, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::coverage::holes;
use crate::model::{CameraId, Gap, GapCause, GapFate, GapId, Span, Timestamp};

macro_rules! select_gaps {
    ($rest:literal) => {
        concat!(
            "SELECT id, camera_id, start_ns, end_ns, open, cause, fate, attempts, last_attempt_at_ns, filled_at_ns, ",
            "recovered_seconds FROM gaps ",
            $rest
        )
    };
}

pub(super) const ONE: &str = select_gaps!("WHERE id = ?1");
pub(super) const OPEN: &str = select_gaps!("WHERE camera_id = ?1 AND open = 1");
pub(super) const OF_CAMERA: &str = select_gaps!(
    "WHERE camera_id = ?1 AND (?2 IS NULL OR fate = ?2) AND (start_ns, id) < (?3, ?4)
     ORDER BY start_ns DESC, id DESC LIMIT ?5"
);
pub(super) const OF_FATE: &str =
    select_gaps!("WHERE fate = ?1 AND (start_ns, id) < (?2, ?3) ORDER BY start_ns DESC, id DESC LIMIT ?4");
const OF_ALL: &str = select_gaps!("WHERE (start_ns, id) < (?1, ?2) ORDER BY start_ns DESC, id DESC LIMIT ?3");
/// An open gap lasts, so it overlaps whatever begins after it did.
pub(super) const OVERLAPPING: &str = select_gaps!(
    "WHERE camera_id = ?1 AND start_ns > ?2 AND start_ns < ?3 AND end_ns > ?4 AND open = 0 ORDER BY start_ns, id"
);
const LONGEST: &str = "SELECT longest_gap_ns FROM cameras WHERE id = ?1";

pub(super) const COUNT_OF_FATE: &str = "SELECT count(*) FROM gaps WHERE fate = ?1";

/// The parameters of both are those of [`Writer::put_gap`]; a new row takes the next id.
const INSERT: &str = "
    INSERT INTO gaps (id, camera_id, start_ns, end_ns, open, cause, fate, attempts, last_attempt_at_ns, filled_at_ns,
        recovered_seconds)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const UPDATE: &str = "
    UPDATE gaps SET camera_id = ?2, start_ns = ?3, end_ns = ?4, open = ?5, cause = ?6, fate = ?7, attempts = ?8,
        last_attempt_at_ns = ?9, filled_at_ns = ?10, recovered_seconds = ?11
    WHERE id = ?1";
const RETRY: &str = "UPDATE gaps SET fate = 'pending', attempts = 0 WHERE id = ?1";
const REMOVE: &str = "DELETE FROM gaps WHERE id = ?1";
const LENGTHEN: &str = "UPDATE cameras SET longest_gap_ns = ?2 WHERE id = ?1 AND longest_gap_ns < ?2";

/// Which gaps are wanted; what is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GapFilter {
    /// Of this camera.
    pub camera: Option<CameraId>,
    /// With this fate.
    pub fate: Option<GapFate>,
    /// Behind this one in the list: the start and id of the last of the page before.
    pub after: Option<(Timestamp, GapId)>,
}

impl Reader<'_> {
    /// How many gaps are kept that have a fate.
    pub fn count_gaps(&self, fate: GapFate) -> Result<u64, IndexError> {
        let found = self.row(COUNT_OF_FATE, [fate.as_str()], |row| row.get::<_, i64>(0))?;
        Ok(found.unwrap_or(0).unsigned_abs())
    }

    /// Kept gaps, the newest first.
    pub fn gaps(&self, filter: &GapFilter, limit: u32) -> Result<Vec<Gap>, IndexError> {
        let (start, id) = filter.after.unwrap_or((Timestamp::MAX, GapId(i64::MAX)));
        let (start, id) = (start.as_nanos(), id.0);
        let fate = filter.fate.map(GapFate::as_str);
        match (&filter.camera, fate) {
            (Some(camera), fate) => self.rows(OF_CAMERA, params![camera.as_str(), fate, start, id, limit], read),
            (None, Some(fate)) => self.rows(OF_FATE, params![fate, start, id, limit], read),
            (None, None) => self.rows(OF_ALL, params![start, id, limit], read),
        }
    }

    /// The gaps of a camera that overlap a span, by start. One that lasts overlaps all that comes after its start.
    pub fn gaps_within(&self, camera: &CameraId, window: Span) -> Result<Vec<Gap>, IndexError> {
        let longest = self.row(LONGEST, [camera.as_str()], |row| row.get::<_, i64>(0))?;
        let first = window.start.offset(-longest.unwrap_or(0)).offset(-1).as_nanos();
        let (from, to) = (window.start.as_nanos(), window.end.as_nanos());
        let mut gaps = self.rows(OVERLAPPING, params![camera.as_str(), first, to, from], read)?;
        gaps.extend(self.open_gap(camera)?.filter(|gap| gap.span.start < window.end));
        Ok(gaps)
    }

    /// The gap of a camera that still lasts.
    pub fn open_gap(&self, camera: &CameraId) -> Result<Option<Gap>, IndexError> {
        self.row(OPEN, [camera.as_str()], read)
    }

    /// One gap.
    pub fn gap(&self, id: GapId) -> Result<Option<Gap>, IndexError> {
        self.row(ONE, [id.0], read)
    }
}

/// Frames that a row told of and its file lacks after a kill take no longer than this.
const MOMENT: Duration = Duration::from_millis(500);

impl Writer<'_> {
    /// From this moment on the camera's footage is missing. When a gap lasts already it goes on as it began: what came
    /// first is the cause. Only a change of settings explains no more than a moment: what is lost after it is the cause.
    pub fn begin_gap(&self, camera: &CameraId, at: Timestamp, cause: GapCause) -> Result<Gap, IndexError> {
        if let Some(gap) = self.open_gap(camera)? {
            if gap.cause == GapCause::Changed && cause != gap.cause {
                let gap = Gap { cause, ..gap };
                self.update_gap(&gap)?;
                return Ok(gap);
            }
            return Ok(gap);
        }
        let gap = Gap {
            id: GapId(0),
            camera: camera.clone(),
            span: Span::new(at, at),
            open: true,
            cause,
            fate: GapFate::Pending,
            attempts: 0,
            last_attempt_at: None,
            filled_at: None,
            recovered_seconds: 0.0,
        };
        let id = self.insert_gap(&gap)?;
        Ok(Gap { id, ..gap })
    }

    /// The gap of a camera that lasts ends at this moment. What of it is kept comes back: where there is footage all the same,
    /// because the clock was set back, nothing is missing, and what is not longer than `keep_longer_than` is forgotten.
    pub fn end_gap(
        &self,
        camera: &CameraId,
        at: Timestamp,
        keep_longer_than: Duration,
    ) -> Result<Vec<Gap>, IndexError> {
        let Some(gap) = self.open_gap(camera)? else {
            return Ok(Vec::new());
        };
        let ended = Gap {
            span: Span::new(gap.span.start, at),
            open: false,
            ..gap
        };
        self.keep_missing(ended, keep_longer_than)
    }

    /// Gives a gap that is over the span that it has now, but for what is footage in it. What is left is kept, in one row or
    /// in several, where it is longer than `keep_longer_than`, and comes back.
    pub(super) fn keep_missing(&self, gap: Gap, keep_longer_than: Duration) -> Result<Vec<Gap>, IndexError> {
        let mut kept = Vec::new();
        for span in holes(gap.span, self.covered(&gap.camera, gap.span)?, keep_longer_than) {
            let piece = Gap { span, ..gap.clone() };
            let id = if kept.is_empty() {
                self.update_gap(&piece)?;
                gap.id
            } else {
                self.insert_gap(&piece)?
            };
            kept.push(Gap { id, ..piece });
        }
        if kept.is_empty() {
            self.remove_gap(gap.id)?;
        }
        Ok(kept)
    }

    /// There is footage where gaps were thought to be: each gives way to it, and what is left of one that is over and not
    /// longer than `keep_longer_than` is forgotten. One that the footage lies in the middle of becomes two; what its cause
    /// was says nothing of the second. In a filled gap there should be footage.
    pub fn trim_gaps(&self, camera: &CameraId, footage: Span, keep_longer_than: Duration) -> Result<(), IndexError> {
        self.join_gap(camera, footage.end)?;
        let mut gaps = self.gaps_within(camera, footage)?;
        gaps.retain(|gap| gap.fate != GapFate::Filled);
        for gap in gaps {
            let is_kept = |gap: &Gap| gap.open || gap.span.duration() > keep_longer_than;
            let ends_inside = !gap.open && gap.span.end <= footage.end;
            let before = Gap {
                span: Span::new(gap.span.start, footage.start.max(gap.span.start)),
                open: false,
                ..gap.clone()
            };
            let after = Gap {
                span: Span::new(footage.end, gap.span.end.max(footage.end)),
                ..gap.clone()
            };
            let before = Some(before).filter(is_kept);
            let after = Some(after).filter(|after| !ends_inside && is_kept(after));
            match (before, after) {
                (None, None) => {
                    self.remove_gap(gap.id)?;
                }
                (Some(left), None) | (None, Some(left)) => self.update_gap(&left)?,
                (Some(before), Some(after)) => {
                    self.update_gap(&before)?;
                    self.insert_gap(&Gap {
                        cause: GapCause::Unknown,
                        fate: GapFate::Pending,
                        attempts: 0,
                        last_attempt_at: None,
                        recovered_seconds: 0.0,
                        ..after
                    })?;
                }
            }
        }
        Ok(())
    }

    /// A gap that begins a moment after footage ends, with nothing between, begins where that ends: what a kill leaves of the
    /// last frames may be less than its row said.
    fn join_gap(&self, camera: &CameraId, end: Timestamp) -> Result<(), IndexError> {
        let near = Span::new(end, end.plus(MOMENT));
        let next = self.next_footage(camera, end)?;
        for gap in self.gaps_within(camera, near)? {
            let between = Span::new(end, gap.span.start);
            let is_next = next.is_none_or(|next| next.start >= gap.span.start);
            if !between.is_empty()
                && is_next
                && gap.fate == GapFate::Pending
                && self.rests_within(camera, between)?.is_empty()
            {
                let span = Span::new(end, gap.span.end);
                self.update_gap(&Gap { span, ..gap })?;
            }
        }
        Ok(())
    }

    /// Remembers a gap that is known from its start to its end, or the rest of one that was filled in part. Its id does
    /// not matter; the new one comes back.
    pub fn insert_gap(&self, gap: &Gap) -> Result<GapId, IndexError> {
        self.remember_camera(&gap.camera, gap.span.start)?;
        self.put_gap(INSERT, None, gap)?;
        Ok(GapId(self.connection().last_insert_rowid()))
    }

    /// Changes every field of a gap to what is given.
    pub fn update_gap(&self, gap: &Gap) -> Result<(), IndexError> {
        let changed = self.put_gap(UPDATE, Some(gap.id), gap)?;
        if changed == 0 {
            return Err(not_found(gap.id));
        }
        Ok(())
    }

    /// A person wants a gap of a camera tried again: it is pending, with all its attempts before it. A filled one stays
    /// filled.
    pub fn retry_gap(&self, camera: &CameraId, id: GapId) -> Result<Gap, IndexError> {
        let gap = self.gap(id)?.filter(|gap| gap.camera == *camera);
        let gap = gap.ok_or_else(|| IndexError::NotFound(format!("gap {} of camera {camera}", id.0)))?;
        if gap.fate == GapFate::Filled {
            return Err(IndexError::Conflict(format!(
                "gap {} is filled already; nothing of it is left to fetch",
                id.0
            )));
        }
        self.execute(RETRY, [id.0])?;
        Ok(Gap {
            fate: GapFate::Pending,
            attempts: 0,
            ..gap
        })
    }

    /// Forgets a gap; `false` when there is none of this id.
    pub fn remove_gap(&self, id: GapId) -> Result<bool, IndexError> {
        Ok(self.execute(REMOVE, [id.0])? > 0)
    }

    fn put_gap(&self, sql: &str, id: Option<GapId>, gap: &Gap) -> Result<usize, IndexError> {
        self.lengthen_gaps(&gap.camera, gap.span)?;
        self.execute(
            sql,
            params![
                id.map(|id| id.0),
                gap.camera.as_str(),
                gap.span.start.as_nanos(),
                gap.span.end.as_nanos(),
                gap.open,
                gap.cause.as_str(),
                gap.fate.as_str(),
                gap.attempts,
                gap.last_attempt_at.map(Timestamp::as_nanos),
                gap.filled_at.map(Timestamp::as_nanos),
                gap.recovered_seconds,
            ],
        )
    }

    fn lengthen_gaps(&self, camera: &CameraId, span: Span) -> Result<(), IndexError> {
        let length = span.end.nanos_since(span.start);
        self.execute(LENGTHEN, params![camera.as_str(), length])?;
        Ok(())
    }
}

fn not_found(id: GapId) -> IndexError {
    IndexError::NotFound(format!("gap {}", id.0))
}

/// Numbers are read by position, which costs less than to look a column up by its name.
fn read(row: &Row<'_>) -> rusqlite::Result<Gap> {
    let time = |column: usize| row.get(column).map(Timestamp::from_nanos);
    let maybe_time =
        |column: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_nanos));
    Ok(Gap {
        id: GapId(row.get(0)?),
        camera: camera_id(row, "camera_id")?,
        span: Span::new(time(2)?, time(3)?),
        open: row.get(4)?,
        cause: word(row, "cause", GapCause::parse)?,
        fate: word(row, "fate", GapFate::parse)?,
        attempts: row.get(7)?,
        last_attempt_at: maybe_time(8)?,
        filled_at: maybe_time(9)?,
        recovered_seconds: row.get(10)?,
    })
}

#[cfg(test)]
mod tests;
