//! Copies: the files that hold segments.

use rusqlite::{Row, params};

use super::columns::{count, segment_id, stored, volume_id, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{Copy, CopyState, SegmentId, VolumeId};

/// The primary's copy first, because that is where a segment is read from.
const OF_SEGMENT: &str = "
    SELECT volume_id, path, size_bytes, sha256, state FROM copies JOIN volumes ON volumes.id = volume_id
    WHERE segment_id = ?1 ORDER BY role DESC, volume_id";
const ON_VOLUME: &str = "
    SELECT segment_id, volume_id, path, size_bytes, sha256, state FROM copies
    WHERE volume_id = ?1 AND path > ?2 ORDER BY path LIMIT ?3";
const PUT: &str = "
    INSERT INTO copies (segment_id, volume_id, path, size_bytes, sha256, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (segment_id, volume_id) DO UPDATE SET path = excluded.path, size_bytes = excluded.size_bytes,
        sha256 = excluded.sha256, state = excluded.state";
const SET_STATE: &str = "UPDATE copies SET state = ?3 WHERE segment_id = ?1 AND volume_id = ?2";
const GROW: &str = "UPDATE copies SET size_bytes = ?2 WHERE segment_id = ?1 AND state = 'open'";
const DISTRUST_OPEN: &str = "UPDATE copies SET state = 'suspect' WHERE segment_id = ?1 AND state = 'open'";
/// What is known of a segment without a look at its copies. See migrations/0008_mirror.sql and 0011_retention.sql.
macro_rules! see_copies {
    ($which:literal) => {
        concat!(
            "UPDATE segments SET
                playable = state = 'open' OR EXISTS (
                    SELECT 1 FROM copies
                    WHERE segment_id = segments.id AND copies.state IN ('open', 'whole', 'suspect')),
                owed_bytes = CASE state WHEN 'closed' THEN (
                    SELECT size_bytes FROM copies AS own
                    JOIN volumes ON volumes.id = own.volume_id AND role = 'primary'
                    WHERE segment_id = segments.id AND own.state = 'whole' AND own.sha256 IS NOT NULL AND NOT EXISTS (
                        SELECT 1 FROM copies AS other
                        JOIN volumes ON volumes.id = other.volume_id AND role = 'mirror'
                        WHERE segment_id = segments.id AND other.state = 'whole' AND other.sha256 = own.sha256)) END,
                mirrored_bytes = (
                    SELECT sum(size_bytes) FROM copies
                    JOIN volumes ON volumes.id = volume_id AND role = 'mirror'
                    WHERE segment_id = segments.id AND copies.state IN ('whole', 'suspect')),
                primary_bytes = CASE state WHEN 'closed' THEN (
                    SELECT sum(iif(own.state IN ('whole', 'suspect'), size_bytes, 0)) FROM copies AS own
                    JOIN volumes ON volumes.id = own.volume_id AND role = 'primary'
                    WHERE segment_id = segments.id AND own.state <> 'quarantined') END ",
            $which
        )
    };
}

const SEE_COPIES: &str = see_copies!("WHERE id = ?1");
/// The same for every segment with a copy on a volume.
pub(super) const SEE_COPIES_ON: &str = see_copies!("WHERE id IN (SELECT segment_id FROM copies WHERE volume_id = ?1)");

impl Reader<'_> {
    /// The copies that a volume should hold, by path, those after a path. For looking through a whole volume page by
    /// page: give the last path of a page to get the next.
    pub fn copies_on(
        &self,
        volume: VolumeId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<(SegmentId, Copy)>, IndexError> {
        let from = after.unwrap_or("");
        self.rows(ON_VOLUME, params![volume.0.as_bytes(), from, limit], |row| {
            Ok((segment_id(row, "segment_id")?, read(row)?))
        })
    }

    pub(super) fn copies_of(&self, segment: SegmentId) -> Result<Vec<Copy>, IndexError> {
        self.rows(OF_SEGMENT, [segment.0.as_bytes()], read)
    }
}

impl Writer<'_> {
    /// Remembers a copy of a segment that is known, in place of what was known of that segment on that volume.
    pub fn put_copy(&self, segment: SegmentId, copy: &Copy) -> Result<(), IndexError> {
        self.accounted(segment, || {
            if copy.state == CopyState::Whole {
                self.heal_holes(segment)?;
            }
            self.put_copy_row(segment, copy)?;
            self.see_copies(segment)
        })
    }

    /// Remembers how far a copy can be believed now; `false` when there is no such copy.
    pub fn set_copy_state(&self, segment: SegmentId, volume: VolumeId, state: CopyState) -> Result<bool, IndexError> {
        let (id, volume) = (segment.0.as_bytes(), volume.0.as_bytes());
        self.accounted(segment, || {
            let changed = self.execute(SET_STATE, params![id, volume, state.as_str()])?;
            self.see_copies(segment)?;
            Ok(changed > 0)
        })
    }

    /// Replaces the copies of a closed segment by those that are given. One on another volume stays, but when it was
    /// being written it is not trusted any more, because nobody said how it ended.
    pub(super) fn settle_copies(&self, segment: SegmentId, copies: &[Copy]) -> Result<(), IndexError> {
        self.execute(DISTRUST_OPEN, [segment.0.as_bytes()])?;
        self.put_copies(segment, copies)
    }

    pub(super) fn put_copies(&self, segment: SegmentId, copies: &[Copy]) -> Result<(), IndexError> {
        for copy in copies {
            self.put_copy_row(segment, copy)?;
        }
        self.see_copies(segment)
    }

    pub(super) fn grow_copies(&self, segment: SegmentId, size_bytes: u64) -> Result<(), IndexError> {
        self.execute(GROW, params![segment.0.as_bytes(), stored(size_bytes)])?;
        Ok(())
    }

    fn put_copy_row(&self, segment: SegmentId, copy: &Copy) -> Result<(), IndexError> {
        self.execute(
            PUT,
            params![
                segment.0.as_bytes(),
                copy.volume.0.as_bytes(),
                copy.path,
                stored(copy.size_bytes),
                copy.sha256,
                copy.state.as_str(),
            ],
        )?;
        Ok(())
    }

    pub(super) fn see_copies(&self, segment: SegmentId) -> Result<(), IndexError> {
        self.execute(SEE_COPIES, [segment.0.as_bytes()])?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Copy> {
    Ok(Copy {
        volume: volume_id(row, "volume_id")?,
        path: row.get("path")?,
        size_bytes: count(row, "size_bytes")?,
        sha256: row.get("sha256")?,
        state: word(row, "state", CopyState::parse)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{closed, copy, index, segment};
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_copy_of_which_nobody_said_how_it_ended_is_not_trusted() {
        let (_directory, index) = index();
        let mut open = segment(1, 0, 1);
        open.copies.push(copy(2, 1, CopyState::Open));
        index.write_blocking(move |w| w.open_segment(&open)).unwrap();
        index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
        let row = index
            .read_blocking(|r| r.segment(SegmentId(Uuid::from_u128(1))))
            .unwrap()
            .unwrap();
        let states: Vec<CopyState> = row.copies.iter().map(|copy| copy.state).collect();
        assert_eq!(states, [CopyState::Whole, CopyState::Suspect]);
    }

    #[test]
    fn a_volume_is_looked_through_page_by_page() {
        let (_directory, index) = index();
        index
            .write_blocking(|w| (1..=25).try_for_each(|number| w.close_segment(&closed(number, 0, 60))))
            .unwrap();
        let volume = copy(1, 1, CopyState::Whole).volume;
        let mut found: Vec<(SegmentId, Copy)> = Vec::new();
        loop {
            let last = found.last().map(|(_, copy)| copy.path.clone());
            let page = index
                .read_blocking(|r| r.copies_on(volume, last.as_deref(), 10))
                .unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let expected: Vec<_> = (1..=25)
            .map(|number| (SegmentId(Uuid::from_u128(number)), copy(1, number, CopyState::Whole)))
            .collect();
        assert_eq!(found, expected);
    }
}
