//! Rests: spans in which a camera was not to be recorded.

use rusqlite::{Row, params};

use super::columns::time;
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, Span, Timestamp};

/// They never overlap, so the first that can is the last that began before the window.
const OVERLAPPING: &str = "
    SELECT start_ns, coalesce(end_ns, 9223372036854775807) AS end_ns FROM rests
    WHERE camera_id = ?1 AND start_ns < ?3 AND start_ns >= coalesce(
        (SELECT max(start_ns) FROM rests WHERE camera_id = ?1 AND start_ns <= ?2), ?2)
    ORDER BY start_ns";
const OPEN: &str = "SELECT start_ns FROM rests WHERE camera_id = ?1 AND end_ns IS NULL";
const LAST_END: &str =
    "SELECT end_ns FROM rests WHERE camera_id = ?1 AND end_ns IS NOT NULL ORDER BY start_ns DESC LIMIT 1";
const INSERT: &str = "INSERT INTO rests (camera_id, start_ns) VALUES (?1, ?2)";
const INSERT_ENDED: &str = "INSERT INTO rests (camera_id, start_ns, end_ns) VALUES (?1, ?2, ?3)";
const END: &str = "UPDATE rests SET end_ns = ?2 WHERE camera_id = ?1 AND end_ns IS NULL";
const REMOVE: &str = "DELETE FROM rests WHERE camera_id = ?1 AND end_ns IS NULL";

impl Reader<'_> {
    /// The rests of a camera that overlap a span, by start. One that lasts ends at [`Timestamp::MAX`].
    pub fn rests_within(&self, camera: &CameraId, window: Span) -> Result<Vec<Span>, IndexError> {
        let (from, to) = (window.start.as_nanos(), window.end.as_nanos());
        let mut rests = self.rows(OVERLAPPING, params![camera.as_str(), from, to], read)?;
        rests.retain(|rest| rest.overlaps(&window));
        Ok(rests)
    }

    /// Since when a camera is not to be recorded; nothing if it is.
    pub fn resting_since(&self, camera: &CameraId) -> Result<Option<Timestamp>, IndexError> {
        self.row(OPEN, [camera.as_str()], |row| time(row, "start_ns"))
    }
}

impl Writer<'_> {
    /// From this moment on a camera is not to be recorded, if that does not hold already.
    pub fn begin_rest(&self, camera: &CameraId, at: Timestamp) -> Result<(), IndexError> {
        if self.resting_since(camera)?.is_some() {
            return Ok(());
        }
        // A clock that was set back must not make two of them overlap.
        let last = self.row(LAST_END, [camera.as_str()], |row| time(row, "end_ns"))?;
        let at = last.map_or(at, |last| last.max(at));
        self.execute(INSERT, params![camera.as_str(), at.as_nanos()])?;
        Ok(())
    }

    /// Remembers that a camera was not to be recorded in a span in which nothing else is known of it.
    pub fn insert_rest(&self, camera: &CameraId, span: Span) -> Result<(), IndexError> {
        let (start, end) = (span.start.as_nanos(), span.end.as_nanos());
        self.execute(INSERT_ENDED, params![camera.as_str(), start, end])?;
        Ok(())
    }

    /// From this moment on a camera is to be recorded again.
    pub fn end_rest(&self, camera: &CameraId, at: Timestamp) -> Result<(), IndexError> {
        match self.resting_since(camera)? {
            Some(since) if since < at => self.execute(END, params![camera.as_str(), at.as_nanos()])?,
            Some(_) => self.execute(REMOVE, [camera.as_str()])?,
            None => 0,
        };
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Span> {
    Ok(Span::new(time(row, "start_ns")?, time(row, "end_ns")?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, index};
    use super::*;
    use crate::model::Camera;

    #[test]
    fn rests_are_found_by_the_span_they_overlap_and_never_overlap_one_another() {
        let (_directory, index) = index();
        let door = camera_id("door");
        index
            .write_blocking(|w| w.insert_camera(&Camera::new(camera_id("door"), "Door".into(), at(1))))
            .unwrap();
        let id = door.clone();
        index
            .write_blocking(move |w| {
                for (start, end) in [(10, 20), (30, 40), (35, 50), (60, 60)] {
                    w.begin_rest(&id, at(start))?;
                    w.begin_rest(&id, at(start + 1))?;
                    w.end_rest(&id, at(end))?;
                }
                w.end_rest(&id, at(65))?;
                w.begin_rest(&id, at(70))
            })
            .unwrap();
        let within = |from, to| {
            let found = index
                .read_blocking(|r| r.rests_within(&door, Span::new(at(from), at(to))))
                .unwrap();
            found
                .iter()
                .map(|rest| rest.start.as_millis() / 1000 - at(0).as_millis() / 1000)
                .collect::<Vec<_>>()
        };
        assert_eq!(within(0, 100), [10, 30, 40, 70], "an empty one is forgotten");
        assert_eq!(within(15, 16), [10]);
        assert_eq!(
            (within(20, 30), within(0, 10), within(39, 41)),
            (vec![], vec![], vec![30, 40])
        );
        assert_eq!(within(1000, 2000), [70], "one that lasts has no end");
        assert_eq!(index.read_blocking(|r| r.resting_since(&door)).unwrap(), Some(at(70)));
    }
}
