//! The mirror: what it lacks, what it holds, what of that may go, and what only it still has whole.
//!
//! What is owed is no list that somebody keeps: it follows from the copies, so a restart forgets nothing of it.

use rusqlite::{Row, params};

use super::columns::{count, segment_id, time};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, Segment, SegmentId, Timestamp, VolumeId};

const CAMERAS: &str = "SELECT id FROM cameras WHERE mirror_enabled = 1 ORDER BY id";
pub(super) const OWED: &str = "
    SELECT start_ns, id FROM segments
    WHERE camera_id = ?1 AND (start_ns, id) > (?2, ?3) AND owed_bytes IS NOT NULL ORDER BY start_ns, id LIMIT ?4";
pub(super) const OWED_SUM: &str = "
    SELECT count(*) AS segments, coalesce(sum(owed_bytes), 0) AS bytes, min(start_ns) AS first, max(start_ns) AS last
    FROM segments WHERE camera_id = ?1 AND start_ns > ?2 AND owed_bytes IS NOT NULL";
pub(super) const HELD_SUM: &str = "
    SELECT count(*) AS segments, coalesce(sum(mirrored_bytes), 0) AS bytes, min(start_ns) AS first, max(start_ns) AS last
    FROM segments WHERE mirrored_bytes IS NOT NULL";
pub(super) const HELD: &str = "
    SELECT id FROM segments
    WHERE (start_ns, id) > (?1, ?2) AND mirrored_bytes IS NOT NULL ORDER BY start_ns, id LIMIT ?3";
pub(super) const LETTABLE: &str = "
    SELECT segments.id, start_ns, locked > 0 OR evidence_locked = 1 AS held, volume_id, path, size_bytes, EXISTS (
        SELECT 1 FROM copies AS own JOIN volumes ON volumes.id = own.volume_id AND role = 'primary'
        WHERE own.segment_id = segments.id AND own.state = 'whole') AS elsewhere
    FROM segments JOIN copies ON copies.segment_id = segments.id
    WHERE (start_ns, segments.id) > (?1, ?2) AND mirrored_bytes IS NOT NULL AND volume_id = ?3
    ORDER BY start_ns, segments.id LIMIT ?4";
pub(super) const AILING: &str = "
    SELECT id FROM segments WHERE (start_ns, id) > (?1, ?2) AND ailing = 1 ORDER BY start_ns, id LIMIT ?3";
const COUNT_AILING: &str = "SELECT count(*) AS segments FROM segments WHERE ailing = 1";
/// In one statement with the question whether it may, so that no lock comes between.
const LET_GO: &str = "
    DELETE FROM copies WHERE segment_id = ?1 AND volume_id = ?2 AND EXISTS (
        SELECT 1 FROM segments WHERE id = ?1 AND locked = 0 AND evidence_locked = 0
    ) AND (?3 OR EXISTS (
        SELECT 1 FROM copies AS own JOIN volumes ON volumes.id = own.volume_id AND role = 'primary'
        WHERE own.segment_id = ?1 AND own.state = 'whole'))";
/// Copies elsewhere are the point of a mirror; one that is nowhere else is not forgotten.
const FORGET: &str = "
    DELETE FROM copies WHERE segment_id = ?1 AND volume_id = ?2 AND EXISTS (
        SELECT 1 FROM copies AS own JOIN volumes ON volumes.id = own.volume_id AND role = 'primary'
        WHERE own.segment_id = ?1 AND own.state = 'whole')";

/// So many segments, and how much room they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holding {
    /// How many.
    pub segments: u64,
    /// How much.
    pub bytes: u64,
    /// When the oldest of them begins.
    pub oldest: Option<Timestamp>,
    /// When the newest of them begins.
    pub newest: Option<Timestamp>,
}

/// A copy on the mirror that may be let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lettable {
    /// Of which segment.
    pub segment: SegmentId,
    /// When the segment begins.
    pub start: Timestamp,
    /// Where the copy lies on the mirror.
    pub path: String,
    /// How much room it takes.
    pub size_bytes: u64,
    /// Whether somebody reads the segment, or it is held as evidence.
    pub is_locked: bool,
    /// Whether the primary has it whole.
    pub is_elsewhere: bool,
}

/// A place in a list by start.
type After = Option<(Timestamp, SegmentId)>;

impl Reader<'_> {
    /// The cameras whose footage is to be mirrored.
    pub fn mirrored_cameras(&self) -> Result<Vec<CameraId>, IndexError> {
        self.rows(CAMERAS, [], |row| super::columns::camera_id(row, "id"))
    }

    /// The oldest segments that the mirror lacks, of all cameras that are to be mirrored: those that begin after a moment,
    /// or behind a segment. Each camera is asked for so many, so that one costs no more than a page of each.
    pub fn owed_segments(&self, since: Timestamp, after: After, limit: u32) -> Result<Vec<Segment>, IndexError> {
        let (start, id) = place(after.or(Some((since, SegmentId(uuid::Uuid::max())))));
        let mut found = Vec::new();
        for camera in self.mirrored_cameras()? {
            let rows = self.rows(OWED, params![camera.as_str(), start, id, limit], |row| {
                Ok((time(row, "start_ns")?, segment_id(row, "id")?))
            })?;
            found.extend(rows);
        }
        found.sort_unstable();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        self.all(found.into_iter().map(|(_, id)| id))
    }

    /// How much the mirror lacks of what begins after a moment.
    pub fn owed(&self, since: Timestamp) -> Result<Holding, IndexError> {
        let mut sum = Holding::default();
        for camera in self.mirrored_cameras()? {
            let owed = self.row(OWED_SUM, params![camera.as_str(), since.as_nanos()], holding)?;
            let owed = owed.unwrap_or_default();
            sum.segments += owed.segments;
            sum.bytes += owed.bytes;
            sum.oldest = [sum.oldest, owed.oldest].into_iter().flatten().min();
            sum.newest = sum.newest.max(owed.newest);
        }
        Ok(sum)
    }

    /// How much mirrors hold.
    pub fn held_on_mirrors(&self) -> Result<Holding, IndexError> {
        Ok(self.row(HELD_SUM, [], holding)?.unwrap_or_default())
    }

    /// Segments of which a mirror has a copy, by start. For the next page give the start and id of the last one.
    pub fn mirrored_segments(&self, after: After, limit: u32) -> Result<Vec<Segment>, IndexError> {
        let (start, id) = place(after);
        let ids = self.rows(HELD, params![start, id, limit], |row| segment_id(row, "id"))?;
        self.all(ids)
    }

    /// Copies on a mirror by the start of their segments, the oldest first, with what keeps them there.
    pub fn lettable_copies(&self, volume: VolumeId, after: After, limit: u32) -> Result<Vec<Lettable>, IndexError> {
        let (start, id) = place(after);
        let page = params![start, id, volume.0.as_bytes(), limit];
        self.rows(LETTABLE, page, |row| {
            Ok(Lettable {
                segment: segment_id(row, "id")?,
                start: time(row, "start_ns")?,
                path: row.get("path")?,
                size_bytes: count(row, "size_bytes")?,
                is_locked: row.get("held")?,
                is_elsewhere: row.get("elsewhere")?,
            })
        })
    }

    /// Segments that are whole on a mirror and not on the primary, by start.
    pub fn ailing_segments(&self, after: After, limit: u32) -> Result<Vec<Segment>, IndexError> {
        let (start, id) = place(after);
        let ids = self.rows(AILING, params![start, id, limit], |row| segment_id(row, "id"))?;
        self.all(ids)
    }

    /// How many segments are whole on a mirror and not on the primary.
    pub fn count_ailing(&self) -> Result<u64, IndexError> {
        let found = self.row(COUNT_AILING, [], |row| count(row, "segments"))?;
        Ok(found.unwrap_or_default())
    }

    fn all(&self, ids: impl IntoIterator<Item = SegmentId>) -> Result<Vec<Segment>, IndexError> {
        let found = ids.into_iter().map(|id| self.segment(id));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

impl Writer<'_> {
    /// Forgets a copy on the mirror whose file is to go; `false` when it stays, because somebody reads its segment or holds
    /// it, or because the primary has none and `even_the_last` was not said. The file goes after the row, never before it.
    pub fn let_copy_go(&self, segment: SegmentId, volume: VolumeId, even_the_last: bool) -> Result<bool, IndexError> {
        let row = params![segment.0.as_bytes(), volume.0.as_bytes(), even_the_last];
        let gone = self.execute(LET_GO, row)? > 0;
        self.see_copies(segment)?;
        Ok(gone)
    }

    /// Forgets copies on a mirror that was replaced, by path and a page at a time; those that are nowhere else stay known.
    /// Gives where the next page begins, or nothing when that was the last.
    pub fn forget_mirror(
        &self,
        volume: VolumeId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Option<String>, IndexError> {
        let page = self.copies_on(volume, after, limit)?;
        for (segment, _) in &page {
            self.execute(FORGET, params![segment.0.as_bytes(), volume.0.as_bytes()])?;
            self.see_copies(*segment)?;
        }
        Ok(page.into_iter().next_back().map(|(_, copy)| copy.path))
    }
}

/// Where a page begins: the empty id lies before every other.
fn place(after: After) -> (i64, Vec<u8>) {
    match after {
        Some((start, id)) => (start.as_nanos(), id.0.as_bytes().to_vec()),
        None => (i64::MIN, Vec::new()),
    }
}

fn holding(row: &Row<'_>) -> rusqlite::Result<Holding> {
    let moment = |column: &str| row.get::<_, Option<i64>>(column);
    Ok(Holding {
        segments: count(row, "segments")?,
        bytes: count(row, "bytes")?,
        oldest: moment("first")?.map(Timestamp::from_nanos),
        newest: moment("last")?.map(Timestamp::from_nanos),
    })
}
