//! Footage of removed cameras: how much there is, and how it goes when somebody wants that.

use rusqlite::{Row, params};

use super::columns::{camera_id, count, maybe_time, segment_id};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, Copy, SegmentId, Span, Timestamp, VolumeId};

const FOOTAGE: &str = "
    SELECT count(*) AS segments, min(start_ns) AS first, max(end_ns) AS last FROM segments WHERE camera_id = ?1";
const BYTES: &str = "
    SELECT coalesce(sum(size_bytes), 0) AS bytes FROM segments JOIN copies ON copies.segment_id = segments.id
    WHERE camera_id = ?1 AND copies.state IN ('open', 'whole', 'suspect')";
const BEGIN: &str =
    "UPDATE cameras SET purge_at_ns = ?2, mirror_enabled = 0 WHERE id = ?1 AND deleted_at_ns IS NOT NULL";
const PENDING: &str = "SELECT id FROM cameras WHERE purge_at_ns IS NOT NULL AND deleted_at_ns IS NOT NULL ORDER BY id";
const END: &str = "
    UPDATE cameras SET purge_at_ns = NULL
    WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM segments WHERE camera_id = ?1)";
/// Nothing that is read, held or still written; and nothing with a copy on a volume that cannot be reached.
const FREE: &str = "
    SELECT id FROM segments
    WHERE camera_id = ?1 AND state = 'closed' AND locked = 0 AND evidence_locked = 0
        AND NOT EXISTS (SELECT 1 FROM copies WHERE segment_id = segments.id AND volume_id = ?2)
    ORDER BY start_ns, id LIMIT ?3";
const IS_REMOVED: &str =
    "SELECT 1 FROM cameras WHERE id = ?1 AND deleted_at_ns IS NOT NULL AND purge_at_ns IS NOT NULL";

/// How much footage there is of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footage {
    /// How many segments.
    pub segments: u64,
    /// How much room they take on all volumes.
    pub bytes: u64,
    /// From the first to the end of the last; nothing when there is none.
    pub span: Option<Span>,
}

/// Segments whose rows are gone, and whose files may go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Freed {
    /// How many.
    pub segments: u64,
    /// Where their files lie.
    pub copies: Vec<Copy>,
}

impl Reader<'_> {
    /// How much footage there is of a camera, removed or not. It looks at every row.
    pub fn footage_of(&self, camera: &CameraId) -> Result<Footage, IndexError> {
        let sums = |row: &Row<'_>| {
            let span = maybe_time(row, "first")?.zip(maybe_time(row, "last")?);
            Ok(Footage {
                segments: count(row, "segments")?,
                bytes: 0,
                span: span.map(|(first, last)| Span::new(first, last)),
            })
        };
        let footage = self.row(FOOTAGE, [camera.as_str()], sums)?.unwrap_or_default();
        let bytes = self.row(BYTES, [camera.as_str()], |row| count(row, "bytes"))?;
        Ok(Footage {
            bytes: bytes.unwrap_or_default(),
            ..footage
        })
    }

    /// Removed cameras whose footage is to go.
    pub fn purged_cameras(&self) -> Result<Vec<CameraId>, IndexError> {
        self.rows(PENDING, [], |row| camera_id(row, "id"))
    }
}

impl Writer<'_> {
    /// All footage of a removed camera is to go; `false` when there is no such camera, or no footage of it.
    pub fn begin_purge(&self, camera: &CameraId, at: Timestamp) -> Result<bool, IndexError> {
        Ok(self.execute(BEGIN, params![camera.as_str(), at.as_nanos()])? > 0)
    }

    /// Forgets some segments of a camera whose footage is to go, the oldest first, but none that is read or held and none with
    /// a copy on the volume that is `away`. Their files may go then. Of a camera that was added again nothing goes.
    pub fn purge_some(&self, camera: &CameraId, away: Option<VolumeId>, limit: u32) -> Result<Freed, IndexError> {
        let mut freed = Freed::default();
        if self.row(IS_REMOVED, [camera.as_str()], |_| Ok(()))?.is_none() {
            return Ok(freed);
        }
        let away = away.map(|volume| volume.0.as_bytes().to_vec()).unwrap_or_default();
        let ids: Vec<SegmentId> =
            self.rows(FREE, params![camera.as_str(), away, limit], |row| segment_id(row, "id"))?;
        for id in ids {
            let copies = self.copies_of(id)?;
            if self.remove_segment(id)? {
                freed.segments += 1;
                freed.copies.extend(copies);
            }
        }
        Ok(freed)
    }

    /// The files of all that was forgotten are gone: when nothing of the camera is left it is forgotten too.
    pub fn end_purge(&self, camera: &CameraId) -> Result<(), IndexError> {
        self.execute(END, [camera.as_str()])?;
        self.forget_empty_cameras().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, closed, copy, index, span};
    use super::*;
    use crate::index::Index;
    use crate::model::{Camera, CopyState};

    fn door() -> CameraId {
        camera_id("door")
    }

    fn removed() -> (tempfile::TempDir, Index) {
        let (directory, index) = index();
        index
            .write_blocking(|w| {
                w.insert_camera(&Camera::new(door(), "Door".into(), at(1)))?;
                for number in 1..=5 {
                    let start = i64::try_from(number).unwrap() * 60;
                    w.close_segment(&closed(number, start, start + 60))?;
                }
                w.put_copy(closed(2, 0, 1).id, &copy(2, 2, CopyState::Whole))?;
                w.delete_camera(&door(), at(400))
            })
            .unwrap();
        (directory, index)
    }

    #[test]
    fn nothing_of_a_removed_camera_goes_before_somebody_wants_it_and_nothing_that_is_read_goes_at_all() {
        let (_directory, index) = removed();
        let purge = |away| index.write_blocking(move |w| w.purge_some(&door(), away, 10)).unwrap();
        assert_eq!(purge(None), Freed::default());
        let footage = || index.read_blocking(|r| r.footage_of(&door())).unwrap();
        let all = footage();
        assert_eq!((all.segments, all.span), (5, Some(span(60, 360))));
        assert!(index.write_blocking(|w| w.begin_purge(&door(), at(500))).unwrap());
        assert_eq!(index.read_blocking(|r| r.purged_cameras()).unwrap(), [door()]);
        let read = index
            .write_blocking(|w| w.lock_segments(&door(), span(190, 200)))
            .unwrap();
        let read: Vec<SegmentId> = read.iter().map(|segment| segment.id).collect();
        assert_eq!(read.len(), 1);
        let mirror = copy(2, 2, CopyState::Whole).volume;
        let freed = purge(Some(mirror));
        assert_eq!((freed.segments, freed.copies.len()), (3, 3));
        let freed = purge(None);
        assert_eq!((freed.segments, freed.copies.len()), (1, 2));
        index.write_blocking(|w| w.end_purge(&door())).unwrap();
        assert_eq!((footage().segments, footage().span), (1, Some(span(180, 240))));
        index.write_blocking(move |w| w.unlock_segments(&read)).unwrap();
        assert_eq!(purge(None).segments, 1);
        // Until its files are gone it is not forgotten, so that what a kill leaves of them is known for what it is.
        assert_eq!(index.write_blocking(|w| w.forget_empty_cameras()).unwrap(), 0);
        index.write_blocking(|w| w.end_purge(&door())).unwrap();
        assert_eq!(index.read_blocking(|r| r.camera_or_deleted(&door())).unwrap(), None);
    }

    #[test]
    fn a_camera_that_is_added_again_keeps_what_is_left() {
        let (_directory, index) = removed();
        let purge = || index.write_blocking(|w| w.purge_some(&door(), None, 2)).unwrap();
        index.write_blocking(|w| w.begin_purge(&door(), at(500))).unwrap();
        assert_eq!(purge().segments, 2);
        index
            .write_blocking(|w| w.insert_camera(&Camera::new(door(), "Door".into(), at(501))))
            .unwrap();
        assert_eq!(purge(), Freed::default());
        assert_eq!(index.read_blocking(|r| r.count_segments(Some(&door()))).unwrap(), 3);
        let refused = index.write_blocking(|w| w.begin_purge(&door(), at(502)));
        assert!(!refused.unwrap(), "a camera has to be removed first");
    }
}
