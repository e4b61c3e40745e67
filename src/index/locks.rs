//! Locks: segments that somebody reads, and that nobody may delete meanwhile.
//!
//! A lock is a count in the segment's row. It is taken in the transaction that selects the segments, so that no deletion
//! comes between; and because deleting a row asks for a count of 0 in the same statement, neither can come first by half.

use std::collections::BTreeSet;

use rusqlite::params;

use super::columns::segment_id;
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, Segment, SegmentId, Span};

const LOCK: &str = "UPDATE segments SET locked = locked + 1 WHERE id = ?1";
/// One that was never locked, or whose row is new since, stays at 0.
const UNLOCK: &str = "UPDATE segments SET locked = max(locked - 1, 0) WHERE id = ?1";
const UNLOCK_ALL: &str = "UPDATE segments SET locked = 0 WHERE locked > 0";
const LOCKED: &str = "SELECT id FROM segments WHERE locked > 0";

const ORDER: &str = "
    SELECT id FROM segments WHERE camera_id = ?1 AND start_ns >= ?2 AND start_ns < ?3 AND end_ns > ?4 ORDER BY rowid";

impl Reader<'_> {
    /// The segments of a camera that overlap a span, in the order in which they became known.
    pub fn order_of_rows(&self, camera: &CameraId, window: Span) -> Result<Vec<SegmentId>, IndexError> {
        let first = self.first_start(camera, window.start)?;
        let (first, from, to) = (first.as_nanos(), window.start.as_nanos(), window.end.as_nanos());
        self.rows(ORDER, params![camera.as_str(), first, to, from], |row| {
            segment_id(row, "id")
        })
    }

    /// The segments that somebody reads.
    pub fn locked_segments(&self) -> Result<BTreeSet<SegmentId>, IndexError> {
        let rows = self.rows(LOCKED, [], |row| segment_id(row, "id"))?;
        Ok(rows.into_iter().collect())
    }
}

impl Writer<'_> {
    /// The segments of a camera that overlap a span, by start, with their copies; none of them can be deleted before it
    /// was let go with [`Writer::unlock_segments`] as often as it was locked.
    pub fn lock_segments(&self, camera: &CameraId, window: Span) -> Result<Vec<Segment>, IndexError> {
        let segments = self.segments(camera, Some(window), u32::MAX, None)?;
        for segment in &segments {
            self.execute(LOCK, [segment.id.0.as_bytes()])?;
        }
        Ok(segments)
    }

    /// Lets segments go.
    pub fn unlock_segments(&self, segments: &[SegmentId]) -> Result<(), IndexError> {
        for id in segments {
            self.execute(UNLOCK, params![id.0.as_bytes()])?;
        }
        Ok(())
    }

    /// Lets every segment go, and says how many were held: at the start, when what a dead process read is read by nobody.
    pub fn unlock_all_segments(&self) -> Result<usize, IndexError> {
        self.execute(UNLOCK_ALL, [])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{camera_id, closed, index, segment, span};
    use super::*;
    use uuid::Uuid;

    fn id(number: u128) -> SegmentId {
        SegmentId(Uuid::from_u128(number))
    }

    #[test]
    fn a_segment_that_is_read_cannot_be_deleted_until_everybody_has_let_it_go() {
        let (_directory, index) = index();
        index
            .write_blocking(|w| {
                [(1, 0), (2, 60), (3, 120)]
                    .into_iter()
                    .try_for_each(|(number, start)| w.close_segment(&closed(number, start, start + 60)))
            })
            .unwrap();
        let lock = |from, to| {
            let locked = index
                .write_blocking(move |w| w.lock_segments(&camera_id("door"), span(from, to)))
                .unwrap();
            locked.iter().map(|segment| segment.id).collect::<Vec<_>>()
        };
        let (first, second) = (lock(0, 90), lock(61, 62));
        assert_eq!((first.clone(), second.clone()), (vec![id(1), id(2)], vec![id(2)]));
        assert_eq!(
            index.read_blocking(|r| r.locked_segments()).unwrap(),
            BTreeSet::from([id(1), id(2)])
        );
        let remove = |number| index.write_blocking(move |w| w.remove_segment(id(number))).unwrap();
        assert_eq!((remove(1), remove(2), remove(3)), (false, false, true));
        index.write_blocking(move |w| w.unlock_segments(&first)).unwrap();
        assert_eq!((remove(1), remove(2)), (true, false));
        index.write_blocking(move |w| w.unlock_segments(&second)).unwrap();
        assert!(remove(2));
    }

    #[test]
    fn a_lock_outlives_the_close_of_its_segment_and_a_start_lets_all_go() {
        let (_directory, index) = index();
        index.write_blocking(|w| w.open_segment(&segment(1, 0, 10))).unwrap();
        index
            .write_blocking(|w| w.lock_segments(&camera_id("door"), span(5, 9)))
            .unwrap();
        index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
        assert!(!index.write_blocking(|w| w.remove_segment(id(1))).unwrap());
        assert_eq!(index.write_blocking(|w| w.unlock_all_segments()).unwrap(), 1);
        assert_eq!(index.write_blocking(|w| w.unlock_all_segments()).unwrap(), 0);
        index.write_blocking(|w| w.unlock_segments(&[id(1)])).unwrap();
        assert!(
            index.write_blocking(|w| w.remove_segment(id(1))).unwrap(),
            "letting go once more than it was locked harms nobody"
        );
    }
}
