//! Light looks at footage: what the timeline and the calendar are drawn from.

use rusqlite::{Row, params};

use super::columns::span;
use super::error::IndexError;
use super::reader::Reader;
use crate::model::{CameraId, RunId, Span, Timestamp};

/// Answered from the index `segments_by_time` alone.
pub(super) const RANGES: &str = "
    SELECT start_ns, end_ns, run_id FROM segments
    WHERE camera_id = ?1 AND start_ns > ?2 AND start_ns < ?3 AND end_ns > ?4 AND playable = 1 ORDER BY start_ns, id";
pub(super) const NEXT: &str = "
    SELECT start_ns, end_ns FROM segments
    WHERE camera_id = ?1 AND start_ns > ?2 AND end_ns > ?3 AND playable = 1 ORDER BY start_ns, id LIMIT 1";
pub(super) const LATEST: &str = "
    SELECT start_ns, end_ns FROM segments
    WHERE camera_id = ?1 AND playable = 1 ORDER BY start_ns DESC, id DESC LIMIT 1";

const DAY_NANOS: i64 = 86_400_000_000_000;

impl Reader<'_> {
    /// Footage of a camera that overlaps a span and can be played, by start, whole (not cut to the span).
    pub fn ranges(&self, camera: &CameraId, window: Span) -> Result<Vec<(Span, RunId)>, IndexError> {
        let first = self.first_start(camera, window.start)?;
        let (from, to) = (window.start.as_nanos(), window.end.as_nanos());
        self.rows(RANGES, params![camera.as_str(), first.as_nanos(), to, from], |row| {
            Ok((span(row)?, RunId(row.get("run_id")?)))
        })
    }

    /// The first footage of a camera that ends after a moment: the one it lies in, or the next. Whoever lists days of a
    /// time zone asks again from the midnight after what it got.
    pub fn next_footage(&self, camera: &CameraId, moment: Timestamp) -> Result<Option<Span>, IndexError> {
        let first = self.first_start(camera, moment)?;
        self.row(
            NEXT,
            params![camera.as_str(), first.as_nanos(), moment.as_nanos()],
            |row| span(row),
        )
    }

    /// The last footage of a camera that can be played.
    pub fn last_footage(&self, camera: &CameraId) -> Result<Option<Span>, IndexError> {
        self.row(LATEST, [camera.as_str()], |row: &Row<'_>| span(row))
    }

    /// The midnights (UTC) of the days with footage of a camera, in order. It looks once a day, however much there is.
    pub fn days(&self, camera: &CameraId) -> Result<Vec<Timestamp>, IndexError> {
        let mut days = Vec::new();
        let mut at = Timestamp::MIN;
        while let Some(found) = self.next_footage(camera, at)? {
            // Footage over midnight is on both days; what was seen of it already is not seen again.
            let moment = found.start.max(at);
            let midnight = Timestamp::from_nanos(moment.as_nanos().div_euclid(DAY_NANOS).saturating_mul(DAY_NANOS));
            days.push(midnight);
            let next = midnight.offset(DAY_NANOS);
            if next <= at {
                break;
            }
            at = next;
        }
        Ok(days)
    }
}
