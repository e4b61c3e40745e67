//! Retention: what each volume holds, what of it may go, and letting it go.
//!
//! The row goes first, on condition that nobody reads or holds the segment, and in one statement with that question; the
//! file goes afterwards. A kill between the two leaves a file that the next start finds and indexes again.

use rusqlite::{Row, params};

use super::columns::{camera_id, count, segment_id, time, volume_id};
use super::error::IndexError;
use super::mirror::{After, place};
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, SegmentId, Timestamp, VolumeId};

const HOLDINGS: &str = "SELECT camera_id, segments, bytes FROM holdings WHERE segments > 0 ORDER BY camera_id";
pub(super) const ON_PRIMARY: &str = "
    SELECT id, start_ns, end_ns, primary_bytes AS size_bytes FROM segments INDEXED BY segments_on_primary
    WHERE camera_id = ?1 AND (start_ns, id) > (?2, ?3) AND primary_bytes IS NOT NULL AND evidence_locked = 0 AND locked = 0
    ORDER BY start_ns, id LIMIT ?4";
/// A copy is the last one when the primary's is not whole though retention did not let it go: it may go for its age only.
pub(super) const ON_MIRROR: &str = "
    SELECT id, start_ns, end_ns, mirrored_bytes AS size_bytes FROM segments
    WHERE (start_ns, id) > (?1, ?2) AND mirrored_bytes IS NOT NULL AND locked = 0 AND evidence_locked = 0
        AND (end_ns <= ?4 OR let_go = 1 OR EXISTS (
            SELECT 1 FROM copies AS own JOIN volumes ON volumes.id = own.volume_id AND role = 'primary'
            WHERE own.segment_id = segments.id AND own.state = 'whole'))
    ORDER BY start_ns, id LIMIT ?3";
const LET_PRIMARY_GO: &str = "
    DELETE FROM copies WHERE segment_id = ?1 AND state <> 'quarantined'
        AND volume_id IN (SELECT id FROM volumes WHERE role = 'primary') AND EXISTS (
        SELECT 1 FROM segments WHERE id = ?1 AND state = 'closed' AND locked = 0 AND evidence_locked = 0
    ) RETURNING volume_id, path";
const LET_MIRROR_GO: &str = "
    DELETE FROM copies WHERE segment_id = ?1 AND volume_id = ?2 AND EXISTS (
        SELECT 1 FROM segments WHERE id = ?1 AND locked = 0 AND evidence_locked = 0 AND (?3 OR let_go = 1 OR EXISTS (
            SELECT 1 FROM copies AS own JOIN volumes ON volumes.id = own.volume_id AND role = 'primary'
            WHERE own.segment_id = ?1 AND own.state = 'whole'))
    ) RETURNING volume_id, path";
const IS_LAST: &str = "
    SELECT let_go = 0 AND NOT EXISTS (
        SELECT 1 FROM copies AS own JOIN volumes ON volumes.id = own.volume_id AND role = 'primary'
        WHERE own.segment_id = ?1 AND own.state = 'whole') FROM segments WHERE id = ?1";
const IS_ANYWHERE: &str =
    "SELECT 1 FROM copies WHERE segment_id = ?1 AND state IN ('open', 'whole', 'suspect') LIMIT 1";
const MARK_LET_GO: &str = "UPDATE segments SET let_go = 1 WHERE id = ?1";
const NEWEST: &str =
    "SELECT end_ns FROM segments INDEXED BY segments_by_time WHERE camera_id = ?1 ORDER BY start_ns DESC LIMIT 1";
const OLDEST: &str = "
    SELECT start_ns FROM segments INDEXED BY segments_on_primary
    WHERE camera_id = ?1 AND primary_bytes IS NOT NULL AND evidence_locked = 0 ORDER BY start_ns LIMIT 1";
pub(super) const WRITTEN: &str = "
    SELECT coalesce(sum(primary_bytes), 0) AS bytes, min(start_ns) AS first
    FROM segments INDEXED BY segments_on_primary
    WHERE camera_id = ?1 AND start_ns > ?2 AND primary_bytes IS NOT NULL AND evidence_locked = 0";

/// What the primary holds of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Whose it is.
    pub camera: CameraId,
    /// How many segments, held ones too.
    pub segments: u64,
    /// How much room they take.
    pub bytes: u64,
    /// When the oldest begins that is not held as evidence.
    pub oldest: Option<Timestamp>,
    /// How far the newest reaches, also one that is open.
    pub newest: Option<Timestamp>,
}

/// A closed segment's copy on a volume that nobody reads or holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lettable {
    /// Of which segment.
    pub segment: SegmentId,
    /// When the segment begins.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// How much room the copy takes.
    pub size_bytes: u64,
}

/// A copy that is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetGo {
    /// The primary's copy of a segment.
    OfPrimary(SegmentId),
    /// The copy on a mirror, and whether it goes even when the primary should have one and has none.
    OfMirror(SegmentId, VolumeId, bool),
}

/// A copy whose row went; its file is to go now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Of which segment.
    pub segment: SegmentId,
    /// On which volume it lies.
    pub volume: VolumeId,
    /// Where on it.
    pub path: String,
    /// Whether it was the last copy of footage that the primary's rules would have kept.
    pub was_last: bool,
}

impl Reader<'_> {
    /// What the primary holds of each camera, also of those that were deleted.
    pub fn recorded(&self) -> Result<Vec<Recorded>, IndexError> {
        let held = self.rows(HOLDINGS, [], |row| {
            Ok((
                camera_id(row, "camera_id")?,
                count(row, "segments")?,
                count(row, "bytes")?,
            ))
        })?;
        let moment = |row: &Row<'_>| row.get::<_, i64>(0).map(Timestamp::from_nanos);
        held.into_iter()
            .map(|(camera, segments, bytes)| {
                Ok(Recorded {
                    oldest: self.row(OLDEST, [camera.as_str()], moment)?,
                    newest: self.row(NEWEST, [camera.as_str()], moment)?,
                    camera,
                    segments,
                    bytes,
                })
            })
            .collect()
    }

    /// How much of what a camera recorded after a moment is on the primary, and when the first of it begins.
    pub fn recorded_since(&self, camera: &CameraId, since: Timestamp) -> Result<(u64, Option<Timestamp>), IndexError> {
        let found = self.row(WRITTEN, params![camera.as_str(), since.as_nanos()], |row| {
            let first: Option<i64> = row.get("first")?;
            Ok((count(row, "bytes")?, first.map(Timestamp::from_nanos)))
        })?;
        Ok(found.unwrap_or_default())
    }

    /// A camera's copies on the primary that may go, the oldest first.
    pub fn lettable_on_primary(
        &self,
        camera: &CameraId,
        after: After,
        limit: u32,
    ) -> Result<Vec<Lettable>, IndexError> {
        let (start, id) = place(after);
        self.rows(ON_PRIMARY, params![camera.as_str(), start, id, limit], lettable)
    }

    /// The copies on mirrors that may go, the oldest first: those that are elsewhere too, and those that end at `cutoff` or
    /// earlier.
    pub fn lettable_on_mirror(&self, cutoff: Timestamp, after: After, limit: u32) -> Result<Vec<Lettable>, IndexError> {
        let (start, id) = place(after);
        self.rows(ON_MIRROR, params![start, id, limit, cutoff.as_nanos()], lettable)
    }
}

impl Writer<'_> {
    /// Forgets a copy whose file is to go, and the segment with its last copy; nothing when it stays, because somebody reads
    /// its segment or holds it, or because it is the last copy and that was not said.
    pub fn let_go(&self, what: LetGo) -> Result<Vec<Gone>, IndexError> {
        let (segment, rows, was_last) = match what {
            LetGo::OfPrimary(segment) => (segment, self.rows(LET_PRIMARY_GO, [segment.0.as_bytes()], copy)?, false),
            LetGo::OfMirror(segment, volume, even_the_last) => {
                let is_last =
                    even_the_last && self.row(IS_LAST, [segment.0.as_bytes()], |row| row.get(0))? == Some(true);
                let row = params![segment.0.as_bytes(), volume.0.as_bytes(), even_the_last];
                (segment, self.rows(LET_MIRROR_GO, row, copy)?, is_last)
            }
        };
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        if self.row(IS_ANYWHERE, [segment.0.as_bytes()], |_| Ok(()))?.is_none() {
            self.remove_segment(segment)?;
        } else {
            if matches!(what, LetGo::OfPrimary(_)) {
                self.execute(MARK_LET_GO, [segment.0.as_bytes()])?;
            }
            self.see_copies(segment)?;
        }
        let gone = rows.into_iter().map(|(volume, path)| Gone {
            segment,
            volume,
            path,
            was_last,
        });
        Ok(gone.collect())
    }
}

fn copy(row: &Row<'_>) -> rusqlite::Result<(VolumeId, String)> {
    Ok((volume_id(row, "volume_id")?, row.get("path")?))
}

fn lettable(row: &Row<'_>) -> rusqlite::Result<Lettable> {
    Ok(Lettable {
        segment: segment_id(row, "id")?,
        start: time(row, "start_ns")?,
        end: time(row, "end_ns")?,
        size_bytes: count(row, "size_bytes")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, closed, copy, index, segment, span};
    use super::super::{Index, IndexError};
    use super::*;
    use crate::model::CopyState;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use rusqlite::StatementStatus;
    use uuid::Uuid;

    const MIRROR: VolumeId = VolumeId(Uuid::from_u128(2));

    fn id(number: u128) -> SegmentId {
        SegmentId(Uuid::from_u128(number))
    }

    /// Minutes of a camera, all of them on the primary, and some on the mirror.
    fn recorded(minutes: u128, mirrored: &[u128]) -> (tempfile::TempDir, Index) {
        let (directory, index) = index();
        let mirrored = mirrored.to_vec();
        index
            .write_blocking(move |w| {
                for n in 1..=minutes {
                    let mut segment = closed(n, n as i64 * 60, n as i64 * 60 + 60);
                    segment.sequence = n as u32;
                    w.close_segment(&segment)?;
                }
                mirrored
                    .iter()
                    .try_for_each(|n| w.put_copy(id(*n), &copy(2, *n, CopyState::Whole)))
            })
            .unwrap();
        (directory, index)
    }

    fn go(index: &Index, what: LetGo) -> Vec<Gone> {
        index.write_blocking(move |w| w.let_go(what)).unwrap()
    }

    fn held(index: &Index) -> (u64, u64) {
        let held = index.read_blocking(|r| r.recorded()).unwrap();
        (
            held.iter().map(|one| one.segments).sum(),
            held.iter().map(|one| one.bytes).sum(),
        )
    }

    fn lettable(index: &Index) -> Vec<SegmentId> {
        let found = index.read_blocking(|r| r.lettable_on_primary(&camera_id("door"), None, 100));
        found.unwrap().iter().map(|one| one.segment).collect()
    }

    #[test]
    fn what_is_read_held_or_open_does_not_go_and_the_rest_goes_with_its_row() {
        let (_directory, index) = recorded(4, &[]);
        index
            .write_blocking(|w| {
                w.open_segment(&segment(9, 540, 541))?;
                w.lock_segments(&camera_id("door"), span(60, 61))?;
                let hold = "UPDATE segments SET evidence_locked = 1 WHERE start_ns = 120000000000";
                Ok(w.connection().execute_batch(hold)?)
            })
            .unwrap();
        assert_eq!(lettable(&index), [id(3), id(4)]);
        assert_eq!(held(&index), (4, 4000), "what is held takes room all the same");
        for kept in [1, 2, 9] {
            assert_eq!(go(&index, LetGo::OfPrimary(id(kept))), [], "{kept}");
        }
        let gone = go(&index, LetGo::OfPrimary(id(3)));
        assert_eq!(gone.len(), 1);
        assert_eq!(
            (gone[0].path.as_str(), gone[0].was_last),
            ("door/000000000003.mp4", false)
        );
        assert_eq!(index.read_blocking(|r| r.segment(id(3))).unwrap(), None);
        assert_eq!((held(&index), lettable(&index)), ((3, 3000), vec![id(4)]));
        let removals = index.read_blocking(|r| r.removals(&camera_id("door"))).unwrap();
        assert_eq!(removals.len(), 1, "what was let go of a chained run is noted");
    }

    #[test]
    fn a_segment_stays_while_the_mirror_has_it_and_the_last_copy_goes_only_when_that_is_said() {
        let (_directory, index) = recorded(5, &[1, 2, 3]);
        index
            .write_blocking(|w| w.set_copy_state(id(3), VolumeId(Uuid::from_u128(1)), CopyState::Missing))
            .unwrap();
        let owed = || index.read_blocking(|r| r.owed(Timestamp::MIN)).unwrap().segments;
        index
            .write_blocking(|w| Ok(w.connection().execute_batch("UPDATE cameras SET mirror_enabled = 1")?))
            .unwrap();
        assert_eq!(owed(), 2);
        assert_eq!(go(&index, LetGo::OfPrimary(id(1))).len(), 1);
        let left = index.read_blocking(|r| r.segment(id(1))).unwrap().unwrap();
        assert_eq!(left.copies, [copy(2, 1, CopyState::Whole)]);
        assert_eq!((held(&index), owed()), ((4, 3000), 2), "one of them is missing");
        let on_mirror = |cutoff| {
            let page = index
                .read_blocking(move |r| r.lettable_on_mirror(cutoff, None, 10))
                .unwrap();
            page.iter().map(|one| one.segment).collect::<Vec<_>>()
        };
        assert_eq!(on_mirror(Timestamp::MIN), [id(1), id(2)], "the third is the last copy");
        assert_eq!(on_mirror(at(240)), [id(1), id(2), id(3)], "but its time is over");
        assert_eq!(go(&index, LetGo::OfMirror(id(3), MIRROR, false)), []);
        assert!(go(&index, LetGo::OfMirror(id(3), MIRROR, true))[0].was_last);
        assert_eq!(index.read_blocking(|r| r.segment(id(3))).unwrap(), None);
        assert!(!go(&index, LetGo::OfMirror(id(2), MIRROR, false))[0].was_last);
        assert_eq!(owed(), 3, "the primary still has it, so the mirror lacks it");
        assert!(!go(&index, LetGo::OfMirror(id(1), MIRROR, false))[0].was_last);
        assert_eq!(
            index.read_blocking(|r| r.segment(id(1))).unwrap(),
            None,
            "nobody has it any more"
        );
    }

    #[test]
    fn the_sums_are_those_of_the_rows_whatever_happens() {
        let steps = proptest::collection::vec((0u8..6, 1u128..12), 1..40);
        let config = Config {
            cases: 40,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&steps, |steps| {
                let (_directory, index) = index();
                for (step, number) in steps {
                    let start = number as i64 * 60;
                    index
                        .write_blocking(move |w| {
                            let exists = w.segment(id(number))?.is_some();
                            let primary = VolumeId(Uuid::from_u128(1));
                            match step {
                                0 if !exists => w.open_segment(&segment(number, start, start + 1)),
                                1 => w.close_segment(&closed(number, start, start + 60)),
                                2 => w.let_go(LetGo::OfPrimary(id(number))).map(|_| ()),
                                3 => w.set_copy_state(id(number), primary, CopyState::Missing).map(|_| ()),
                                4 if exists => w.put_copy(id(number), &copy(2, number, CopyState::Whole)),
                                5 => w.let_go(LetGo::OfMirror(id(number), MIRROR, true)).map(|_| ()),
                                _ => Ok(()),
                            }
                        })
                        .unwrap();
                    let counted = index
                        .read_blocking(|r| {
                            let sql = "SELECT count(primary_bytes), coalesce(sum(primary_bytes), 0) FROM segments";
                            Ok(r.connection().query_row(sql, [], |row| {
                                Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
                            })?)
                        })
                        .unwrap();
                    prop_assert_eq!(held(&index), counted);
                }
                Ok(())
            })
            .unwrap();
    }

    /// Minutes of footage on both volumes, with so many held as evidence before them.
    fn filled(minutes: i64) -> (tempfile::TempDir, Index) {
        let (directory, index) = index();
        let fill = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {minutes})
             INSERT INTO segments (id, camera_id, run_id, sequence, start_ns, end_ns, codec, width, height, has_audio,
                 container, state, origin, clock, frames, created_at_ns, mirrored_bytes, primary_bytes, evidence_locked)
             SELECT CAST(printf('%016d', i) AS BLOB), 'door', i / 100, i % 100, i * 60000000000, (i + 1) * 60000000000,
                 'h264', 1, 1, 0, 'mp4', 'closed', 'live', 'arrival', 1, 0, 7, 7, i < {minutes} / 2 FROM n;
             INSERT INTO copies (segment_id, volume_id, path, size_bytes, state)
             SELECT segments.id, volumes.id, 'door/' || start_ns, 7, 'whole' FROM segments, volumes;"
        );
        index
            .write_blocking(move |w| {
                w.remember_camera(&camera_id("door"), at(0))?;
                Ok(w.connection().execute_batch(&fill)?)
            })
            .unwrap();
        (directory, index)
    }

    type Look = (&'static str, fn(&Reader<'_>, i64) -> Result<u64, IndexError>);

    /// What a pass asks, of a box with a camera that recorded so many minutes.
    const LOOKS: [Look; 4] = [
        (HOLDINGS, |r, _| Ok(r.recorded()?.len() as u64)),
        (OLDEST, |r, _| Ok(r.recorded()?.len() as u64)),
        (ON_PRIMARY, |r, _| {
            Ok(r.lettable_on_primary(&camera_id("door"), None, 20)?.len() as u64)
        }),
        (WRITTEN, |r, minutes| {
            Ok(r.recorded_since(&camera_id("door"), at((minutes - 99) * 60))?.0)
        }),
    ];

    fn steps(index: &Index, minutes: i64, (sql, look): Look) -> (u64, i32) {
        index
            .read_blocking(|r| {
                r.connection()
                    .prepare_cached(sql)?
                    .reset_status(StatementStatus::VmStep);
                let found = look(r, minutes)?;
                let steps = r.connection().prepare_cached(sql)?.get_status(StatementStatus::VmStep);
                Ok((found, steps))
            })
            .unwrap()
    }

    #[test]
    fn a_look_for_what_may_go_costs_the_same_whether_there_are_a_thousand_segments_or_a_hundred_thousand() {
        let ((_small, small), (_large, large)) = (filled(1_000), filled(100_000));
        for look in LOOKS {
            let (few, cheap) = steps(&small, 1_000, look);
            let (many, dear) = steps(&large, 100_000, look);
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
    fn an_upgrade_keeps_a_time_that_somebody_chose_and_takes_the_default_for_none() {
        let (directory, _) = index();
        let path = directory.path().join("older.db");
        let older = rusqlite::Connection::open(&path).unwrap();
        for number in 1..=10 {
            let found = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
            let file = found.map(|entry| entry.unwrap().path()).find(|path| {
                path.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with(&format!("{number:04}_"))
            });
            older
                .execute_batch(&std::fs::read_to_string(file.unwrap()).unwrap())
                .unwrap();
        }
        let camera = |id: &str, hours: u32| {
            older
                .execute(
                    "INSERT INTO cameras (id, name, vendor, rtsp_port, channel, record_stream, transport, time_source, enabled,
                        record_enabled, record_mode, pre_roll_seconds, post_roll_seconds, segment_seconds, retention_hours,
                        minimum_hours, record_audio, mirror_enabled, anr_enabled, priority, created_at_ns, updated_at_ns)
                     VALUES (?1, ?1, 'generic', 554, 1, 'main', 'tcp', 'arrival', 1, 1, 'continuous', 0, 0, 60, ?2, 0, 0, 0, 0,
                        0, 0, 0)",
                    params![id, hours],
                )
                .unwrap();
        };
        [("default", 24), ("week", 168), ("nought", 0)]
            .into_iter()
            .for_each(|(id, hours)| camera(id, hours));
        older.execute_batch("PRAGMA user_version = 10").unwrap();
        drop(older);
        let index = Index::open(&path, super::super::fixture::seal()).unwrap();
        let cameras = index.read_blocking(|r| r.cameras()).unwrap();
        let hours: Vec<_> = cameras
            .iter()
            .map(|camera| (camera.id.as_str(), camera.retention_hours))
            .collect();
        assert_eq!(hours, [("default", None), ("nought", None), ("week", Some(168))]);
    }
}
