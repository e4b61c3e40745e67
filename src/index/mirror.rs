//! The mirror: what it lacks, what it holds, and what of that may go.
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

/// A place in a list by start.
pub(super) type After = Option<(Timestamp, SegmentId)>;

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

    fn all(&self, ids: impl IntoIterator<Item = SegmentId>) -> Result<Vec<Segment>, IndexError> {
        let found = ids.into_iter().map(|id| self.segment(id));
        Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

impl Writer<'_> {
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
pub(super) fn place(after: After) -> (i64, Vec<u8>) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, closed, copy, index, segment};
    use super::super::{Index, Reader};
    use super::*;
    use crate::model::{Copy, CopyState};
    use rusqlite::StatementStatus;
    use uuid::Uuid;

    const MIRROR: VolumeId = VolumeId(Uuid::from_u128(2));

    fn id(number: u128) -> SegmentId {
        SegmentId(Uuid::from_u128(number))
    }

    /// Minutes of a camera, all of them on the primary only.
    fn recorded(minutes: u128) -> (tempfile::TempDir, Index) {
        let (directory, index) = index();
        index
            .write_blocking(move |w| {
                (1..=minutes).try_for_each(|n| w.close_segment(&closed(n, n as i64 * 60, n as i64 * 60 + 60)))?;
                enable(w)
            })
            .unwrap();
        (directory, index)
    }

    fn enable(w: &Writer<'_>) -> Result<(), IndexError> {
        Ok(w.connection()
            .execute_batch("UPDATE cameras SET mirror_enabled = 1 WHERE id = 'door'")?)
    }

    fn owed(index: &Index, since: Timestamp) -> Vec<u128> {
        let found = index.read_blocking(|r| r.owed_segments(since, None, 100)).unwrap();
        let sum = index.read_blocking(|r| r.owed(since)).unwrap();
        assert_eq!(
            (sum.segments, sum.bytes),
            (found.len() as u64, found.len() as u64 * 1000)
        );
        assert_eq!(sum.oldest, found.first().map(|segment| segment.span.start));
        found.iter().map(|segment| segment.id.0.as_u128()).collect()
    }

    fn put(index: &Index, number: u128, copy: Copy) {
        index.write_blocking(move |w| w.put_copy(id(number), &copy)).unwrap();
    }

    #[test]
    fn what_is_owed_is_whole_here_and_not_the_same_there() {
        let (_directory, index) = recorded(8);
        index.write_blocking(|w| w.open_segment(&segment(9, 540, 541))).unwrap();
        assert_eq!(
            owed(&index, Timestamp::MIN),
            [1, 2, 3, 4, 5, 6, 7, 8],
            "not the one that is open"
        );
        put(&index, 1, copy(2, 1, CopyState::Whole));
        put(&index, 2, copy(2, 2, CopyState::Suspect));
        put(&index, 3, copy(2, 3, CopyState::Missing));
        let other = Copy {
            sha256: Some([9; 32]),
            ..copy(2, 4, CopyState::Whole)
        };
        put(&index, 4, other);
        put(&index, 5, copy(1, 5, CopyState::Suspect));
        put(&index, 6, copy(1, 6, CopyState::Missing));
        assert_eq!(owed(&index, Timestamp::MIN), [2, 3, 4, 7, 8]);
        assert_eq!(
            owed(&index, at(3 * 60)),
            [4, 7, 8],
            "what begins then is too old already"
        );
        index
            .write_blocking(|w| Ok(w.connection().execute_batch("UPDATE cameras SET mirror_enabled = 0")?))
            .unwrap();
        assert_eq!(owed(&index, Timestamp::MIN), Vec::<u128>::new());
    }

    #[test]
    fn what_is_held_takes_room_whether_it_is_good_or_not() {
        let (_directory, index) = recorded(4);
        (1..=4).for_each(|n| put(&index, n, copy(2, n, CopyState::Whole)));
        put(&index, 3, copy(1, 3, CopyState::Missing));
        put(&index, 4, copy(2, 4, CopyState::Suspect));
        index
            .write_blocking(|w| w.set_copy_state(id(1), MIRROR, CopyState::Missing))
            .unwrap();
        let held = index.read_blocking(|r| r.held_on_mirrors()).unwrap();
        let expected = Holding {
            segments: 3,
            bytes: 3000,
            oldest: Some(at(120)),
            newest: Some(at(240)),
        };
        assert_eq!(held, expected);
    }

    #[test]
    fn a_mirror_that_was_replaced_is_forgotten_but_for_what_only_it_has() {
        let (_directory, index) = recorded(5);
        (1..=5).for_each(|n| put(&index, n, copy(2, n, CopyState::Whole)));
        put(&index, 3, copy(1, 3, CopyState::Missing));
        let mut after = None;
        let mut pages = 0;
        loop {
            after = index
                .write_blocking(move |w| w.forget_mirror(MIRROR, after.as_deref(), 2))
                .unwrap();
            if after.is_none() {
                break;
            }
            pages += 1;
        }
        assert_eq!((pages, owed(&index, Timestamp::MIN)), (3, vec![1, 2, 4, 5]));
        assert_eq!(index.read_blocking(|r| r.held_on_mirrors()).unwrap().segments, 1);
    }

    /// Minutes of footage on both volumes but for the last ten, which are owed.
    fn filled(minutes: i64) -> (tempfile::TempDir, Index) {
        let (directory, index) = index();
        let fill = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {minutes})
             INSERT INTO segments (id, camera_id, run_id, sequence, start_ns, end_ns, codec, width, height, has_audio,
                 container, state, origin, clock, frames, created_at_ns, owed_bytes, mirrored_bytes)
             SELECT CAST(printf('%016d', i) AS BLOB), 'door', i / 100, i % 100, i * 60000000000, (i + 1) * 60000000000,
                 'h264', 1, 1, 0, 'mp4', 'closed', 'live', 'arrival', 1, 0, iif(i > {minutes} - 10, 7, NULL),
                 iif(i > {minutes} - 10, NULL, 7) FROM n;
             INSERT INTO copies (segment_id, volume_id, path, size_bytes, state)
             SELECT segments.id, volumes.id, 'door/' || start_ns, 7, 'whole' FROM segments, volumes
             WHERE role = 'primary' OR mirrored_bytes IS NOT NULL;"
        );
        index
            .write_blocking(move |w| {
                w.remember_camera(&camera_id("door"), at(0))?;
                w.connection().execute_batch(&fill)?;
                enable(w)
            })
            .unwrap();
        (directory, index)
    }

    type Look = (&'static str, fn(&Reader<'_>) -> Result<u64, IndexError>);

    /// What is asked again and again while all is well.
    const LOOKS: [Look; 3] = [
        (OWED, |r| Ok(r.owed_segments(Timestamp::MIN, None, 100)?.len() as u64)),
        (OWED_SUM, |r| Ok(r.owed(Timestamp::MIN)?.segments)),
        (HELD, |r| Ok(r.mirrored_segments(None, 20)?.len() as u64)),
    ];

    fn steps(index: &Index, (sql, look): Look) -> (u64, i32) {
        index
            .read_blocking(|r| {
                r.connection()
                    .prepare_cached(sql)?
                    .reset_status(StatementStatus::VmStep);
                let found = look(r)?;
                Ok((
                    found,
                    r.connection().prepare_cached(sql)?.get_status(StatementStatus::VmStep),
                ))
            })
            .unwrap()
    }

    #[test]
    fn a_look_at_the_mirror_costs_the_same_whether_it_holds_a_thousand_segments_or_a_hundred_thousand() {
        let ((_small, small), (_large, large)) = (filled(1_000), filled(100_000));
        for look in LOOKS {
            let ((few, cheap), (many, dear)) = (steps(&small, look), steps(&large, look));
            assert_eq!(few, many, "{}", look.0);
            assert!(cheap > 0 && few > 0, "{}: nothing was counted", look.0);
            assert!(
                f64::from(dear) <= 1.5 * f64::from(cheap),
                "{}: {cheap} steps became {dear}",
                look.0
            );
        }
    }

    #[test]
    fn every_look_at_the_mirror_seeks() {
        let (_directory, index) = filled(30);
        for (sql, plan) in [
            (
                OWED,
                "SEARCH segments USING COVERING INDEX segments_owed (camera_id=? AND (start_ns,id)>(?,?))",
            ),
            (
                OWED_SUM,
                "SEARCH segments USING COVERING INDEX segments_owed (camera_id=? AND start_ns>?)",
            ),
            (HELD_SUM, "SCAN segments USING COVERING INDEX segments_mirrored"),
            (
                HELD,
                "SEARCH segments USING COVERING INDEX segments_mirrored ((start_ns,id)>(?,?))",
            ),
        ] {
            let found: Vec<String> = index
                .read_blocking(|r| {
                    let mut statement = r.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    let nothing = vec![rusqlite::types::Null; statement.parameter_count()];
                    let rows = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get("detail"))?;
                    Ok(rows.collect::<rusqlite::Result<_>>()?)
                })
                .unwrap();
            assert!(found[0].starts_with(plan), "{found:?} is not {plan}");
            assert!(
                !found.iter().any(|step| step.contains("TEMP B-TREE")),
                "{found:?} sorts what lies in order"
            );
        }
    }
}
