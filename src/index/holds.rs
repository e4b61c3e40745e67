//! Holds: footage that is evidence and stays.
//!
//! Whether a segment is held stands in its row, where whoever deletes it looks; triggers keep that true to the holds, so that
//! footage which is recorded or comes back later is held from the moment its row is there.

use rusqlite::{Row, params};
use uuid::Uuid;

use super::columns::{camera_id, count, maybe_time, segment_id, span, time};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, CopyState, Hold, HoldId, Incident, Segment, SegmentId, Span, Timestamp};

macro_rules! select_holds {
    ($rest:literal) => {
        concat!(
            "SELECT id, start_ns, end_ns, segment_id, reason, owner, incident_id, created_at_ns, expires_at_ns FROM holds ",
            $rest
        )
    };
}

const ALL: &str = select_holds!("ORDER BY created_at_ns, id");
const ONE: &str = select_holds!("WHERE id = ?1");
const OF_SEGMENT: &str = select_holds!("WHERE segment_id = ?1 ORDER BY created_at_ns, id");
const CAMERAS: &str = "SELECT camera_id FROM held WHERE hold_id = ?1 ORDER BY camera_id";
const COUNT: &str = "SELECT count(*) AS holds FROM holds";
const PUT: &str = "
    INSERT INTO holds (id, start_ns, end_ns, segment_id, reason, owner, incident_id, created_at_ns, expires_at_ns)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING";
const PUT_CAMERA: &str = "
    INSERT INTO held (camera_id, hold_id, start_ns, end_ns) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
const REMOVE_CAMERAS: &str = "DELETE FROM held WHERE hold_id = ?1";
const REMOVE: &str = "DELETE FROM holds WHERE id = ?1";
const EXPIRED: &str = select_holds!("WHERE expires_at_ns <= ?1 ORDER BY id");
const NAME_INCIDENT: &str = "UPDATE segments SET incident_id = ?2 WHERE id = ?1";
const NAME_INCIDENT_OF_HOLDS: &str = "UPDATE holds SET incident_id = ?2 WHERE segment_id = ?1";
/// What a person put on the segment itself comes before what a hold says.
const STANDING: &str = "
    SELECT evidence_locked, coalesce(segments.incident_id, (
        SELECT holds.incident_id FROM held JOIN holds ON holds.id = held.hold_id
        WHERE held.camera_id = segments.camera_id AND held.start_ns < segments.end_ns AND held.end_ns > segments.start_ns
            AND holds.incident_id IS NOT NULL
        ORDER BY holds.created_at_ns, holds.id LIMIT 1
    )) AS incident FROM segments WHERE id = ?1";
const INCIDENTS: &str = "
    SELECT incident_id AS incident FROM segments WHERE incident_id IS NOT NULL
    UNION SELECT incident_id FROM holds WHERE incident_id IS NOT NULL ORDER BY incident";
/// Segments that are of an incident themselves, and those that its holds cover.
const OF_INCIDENT: &str = "
    SELECT id FROM segments WHERE incident_id = ?1
    UNION SELECT segments.id FROM holds JOIN held ON held.hold_id = holds.id JOIN cameras ON cameras.id = held.camera_id
        JOIN segments ON segments.camera_id = held.camera_id AND segments.start_ns < held.end_ns
            AND segments.start_ns >= held.start_ns - cameras.longest_segment_ns AND segments.end_ns > held.start_ns
    WHERE holds.incident_id = ?1";
const COUNT_HOLDS_OF: &str = "SELECT count(*) AS holds FROM holds WHERE incident_id = ?1";

/// What holds say of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether it is held, so that it cannot be deleted.
    pub is_held: bool,
    /// The incident that it is of.
    pub incident: Option<String>,
}

impl Reader<'_> {
    /// All holds, by when they were made.
    pub fn holds(&self) -> Result<Vec<Hold>, IndexError> {
        self.with_cameras(self.rows(ALL, [], read)?)
    }

    /// One hold.
    pub fn hold(&self, id: HoldId) -> Result<Option<Hold>, IndexError> {
        let found = self.rows(ONE, [id.0.as_bytes()], read)?;
        Ok(self.with_cameras(found)?.pop())
    }

    /// How many holds there are.
    pub fn count_holds(&self) -> Result<u64, IndexError> {
        Ok(self.row(COUNT, [], |row| count(row, "holds"))?.unwrap_or_default())
    }

    /// What holds say of a segment; nothing when there is no such segment.
    pub fn standing(&self, segment: SegmentId) -> Result<Option<Standing>, IndexError> {
        self.row(STANDING, [segment.0.as_bytes()], |row| {
            Ok(Standing {
                is_held: row.get("evidence_locked")?,
                incident: row.get("incident")?,
            })
        })
    }

    /// All incidents of which there is footage, or a hold, by their ids.
    pub fn incidents(&self) -> Result<Vec<Incident>, IndexError> {
        let ids = self.rows(INCIDENTS, [], |row| row.get::<_, String>("incident"))?;
        ids.into_iter().map(|id| self.incident(id)).collect()
    }

    fn incident(&self, id: String) -> Result<Incident, IndexError> {
        let segments = self.segments_of_incident(&id)?;
        let mut cameras: Vec<CameraId> = segments.iter().map(|segment| segment.camera.clone()).collect();
        cameras.sort();
        cameras.dedup();
        let start = segments.iter().map(|segment| segment.span.start).min();
        let end = segments.iter().map(|segment| segment.span.end).max();
        let copies = segments.iter().flat_map(|segment| &segment.copies);
        let holds = self.row(COUNT_HOLDS_OF, [&id], |row| count(row, "holds"))?;
        Ok(Incident {
            segments: segments.len() as u64,
            bytes: copies
                .filter(|copy| !matches!(copy.state, CopyState::Missing | CopyState::Quarantined))
                .map(|copy| copy.size_bytes)
                .sum(),
            cameras,
            span: start.zip(end).map(|(start, end)| Span::new(start, end)),
            holds: holds.unwrap_or_default(),
            id,
        })
    }

    /// The segments of an incident, by start.
    pub fn segments_of_incident(&self, id: &str) -> Result<Vec<Segment>, IndexError> {
        let ids = self.rows(OF_INCIDENT, [id], |row| segment_id(row, "id"))?;
        let found = ids.into_iter().map(|id| self.segment(id));
        let mut segments: Vec<Segment> = found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        segments.sort_by_key(|segment| (segment.span.start, segment.id));
        Ok(segments)
    }

    fn with_cameras(&self, mut holds: Vec<Hold>) -> Result<Vec<Hold>, IndexError> {
        for hold in &mut holds {
            hold.cameras = self.rows(CAMERAS, [hold.id.0.as_bytes()], |row| camera_id(row, "camera_id"))?;
        }
        Ok(holds)
    }
}

impl Writer<'_> {
    /// Holds footage from now on; one that is known already stays as it is. Of a camera that is not there nothing is held.
    pub fn insert_hold(&self, hold: &Hold) -> Result<(), IndexError> {
        let (start, end) = (hold.span.start.as_nanos(), hold.span.end.as_nanos());
        let id = hold.id.0.as_bytes();
        self.execute(
            PUT,
            params![
                id,
                start,
                end,
                hold.segment.map(|segment| segment.0.as_bytes().to_vec()),
                hold.reason,
                hold.owner,
                hold.incident,
                hold.created_at.as_nanos(),
                hold.expires_at.map(Timestamp::as_nanos),
            ],
        )?;
        for camera in &hold.cameras {
            self.remember_camera(camera, hold.created_at)?;
            self.execute(PUT_CAMERA, params![camera.as_str(), id, start, end])?;
        }
        Ok(())
    }

    /// Ends a hold; `false` when there is none of this id.
    pub fn remove_hold(&self, id: HoldId) -> Result<bool, IndexError> {
        self.execute(REMOVE_CAMERAS, [id.0.as_bytes()])?;
        Ok(self.execute(REMOVE, [id.0.as_bytes()])? > 0)
    }

    /// Ends the holds that were made for this segment alone, and says how many they were.
    pub fn release_segment(&self, segment: SegmentId) -> Result<usize, IndexError> {
        let holds = self.rows(OF_SEGMENT, [segment.0.as_bytes()], read)?;
        holds
            .iter()
            .try_for_each(|hold| self.remove_hold(hold.id).map(|_| ()))?;
        Ok(holds.len())
    }

    /// Ends the holds whose time is over, and says which they were.
    pub fn end_expired_holds(&self, now: Timestamp) -> Result<Vec<Hold>, IndexError> {
        let over = self.with_cameras(self.rows(EXPIRED, [now.as_nanos()], read)?)?;
        over.iter().try_for_each(|hold| self.remove_hold(hold.id).map(|_| ()))?;
        Ok(over)
    }

    /// Says of which incident a segment is, and with it the holds that were made for it; `false` when there is no such segment.
    pub fn name_incident(&self, segment: SegmentId, incident: Option<&str>) -> Result<bool, IndexError> {
        let row = params![segment.0.as_bytes(), incident];
        self.execute(NAME_INCIDENT_OF_HOLDS, row)?;
        Ok(self.execute(NAME_INCIDENT, row)? > 0)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Hold> {
    let segment: Option<[u8; 16]> = row.get("segment_id")?;
    Ok(Hold {
        id: HoldId(Uuid::from_bytes(row.get("id")?)),
        cameras: Vec::new(),
        span: span(row)?,
        segment: segment.map(|bytes| SegmentId(Uuid::from_bytes(bytes))),
        reason: row.get("reason")?,
        owner: row.get("owner")?,
        incident: row.get("incident_id")?,
        created_at: time(row, "created_at_ns")?,
        expires_at: maybe_time(row, "expires_at_ns")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::fixture::{at, camera_id as id, closed, hold, index, segment, span as seconds};
    use super::*;
    use crate::index::Index;
    use crate::model::{Camera, SegmentState};

    fn place() -> (tempfile::TempDir, Index) {
        let (directory, index) = index();
        index
            .write_blocking(|w| {
                w.insert_camera(&Camera::new(id("door"), "Door".into(), at(1)))?;
                w.insert_camera(&Camera::new(id("yard"), "Yard".into(), at(1)))
            })
            .unwrap();
        (directory, index)
    }

    fn held(index: &Index) -> Vec<u128> {
        let rows = index.read_blocking(|r| {
            r.rows(
                "SELECT id FROM segments WHERE evidence_locked = 1 ORDER BY id",
                [],
                |row| segment_id(row, "id"),
            )
        });
        rows.unwrap().into_iter().map(|id| id.0.as_u128()).collect()
    }

    #[test]
    fn what_a_hold_covers_stays_whether_it_is_there_comes_later_or_grows_into_it() {
        let (_directory, index) = place();
        let known = hold(1, &["door", "yard"], 100, 200);
        let stored = known.clone();
        index
            .write_blocking(move |w| {
                // One ends where the hold begins, the next is in it.
                [closed(1, 40, 100), closed(2, 100, 160)]
                    .iter()
                    .try_for_each(|one| w.close_segment(one))?;
                w.insert_hold(&stored)?;
                w.insert_hold(&stored)
            })
            .unwrap();
        assert_eq!(held(&index), [2]);
        assert_eq!(
            index.read_blocking(|r| r.holds()).unwrap(),
            std::slice::from_ref(&known)
        );
        // What comes back later, and what is still being written.
        let open = Segment {
            state: SegmentState::Open,
            ..segment(4, 40, 41)
        };
        let begun = open.clone();
        index
            .write_blocking(move |w| {
                w.close_segment(&closed(3, 160, 220))?;
                w.open_segment(&begun)
            })
            .unwrap();
        assert_eq!(held(&index), [2, 3]);
        let grow = |end| {
            index
                .write_blocking(move |w| w.grow_segment(open.id, seconds(40, end), &[], (1, 0), 1))
                .unwrap()
        };
        assert!(grow(100));
        assert_eq!(held(&index), [2, 3]);
        assert!(grow(101));
        assert_eq!(held(&index), [2, 3, 4]);
        for number in [2_u128, 3] {
            let gone = index.write_blocking(move |w| w.remove_segment(closed(number, 0, 1).id));
            assert!(!gone.unwrap(), "what is held cannot be removed");
        }
        assert!(index.write_blocking(|w| w.remove_segment(closed(1, 0, 1).id)).unwrap());
        for camera in ["door", "yard"] {
            let removed = index.write_blocking(move |w| w.delete_camera(&id(camera), at(500)));
            let refused = removed.unwrap_err().to_string();
            assert!(refused.contains("camkeep hold list"), "{camera}: {refused}");
        }
        assert!(index.write_blocking(move |w| w.remove_hold(known.id)).unwrap());
        assert_eq!(held(&index), []);
        assert!(!index.write_blocking(move |w| w.remove_hold(known.id)).unwrap());
        index.write_blocking(|w| w.delete_camera(&id("yard"), at(500))).unwrap();
    }

    #[test]
    fn a_hold_ends_when_its_time_is_over_and_another_over_the_same_footage_goes_on() {
        let (_directory, index) = place();
        let ends = Hold {
            expires_at: Some(at(1000)),
            ..hold(1, &["door"], 0, 90)
        };
        let stored = ends.clone();
        index
            .write_blocking(move |w| {
                [closed(1, 0, 60), closed(2, 60, 120)]
                    .iter()
                    .try_for_each(|one| w.close_segment(one))?;
                w.insert_hold(&stored)?;
                w.insert_hold(&hold(2, &["door"], 70, 71))
            })
            .unwrap();
        assert_eq!(index.write_blocking(|w| w.end_expired_holds(at(999))).unwrap(), []);
        assert_eq!(held(&index), [1, 2]);
        assert_eq!(index.write_blocking(|w| w.end_expired_holds(at(1000))).unwrap(), [ends]);
        assert_eq!(held(&index), [2]);
    }

    #[test]
    fn an_incident_has_what_was_named_and_what_its_holds_cover() {
        let (_directory, index) = place();
        let named = |number: u128| closed(number, 0, 1).id;
        index
            .write_blocking(|w| {
                let rows = [closed(1, 0, 60), closed(2, 60, 120), closed(3, 120, 180)];
                rows.iter().try_for_each(|one| w.close_segment(one))?;
                w.insert_hold(&hold(7, &["door"], 60, 120))
            })
            .unwrap();
        assert!(
            index
                .write_blocking(move |w| w.name_incident(named(3), Some("2026-17")))
                .unwrap()
        );
        assert!(
            index
                .write_blocking(move |w| w.name_incident(named(1), Some("other")))
                .unwrap()
        );
        assert!(
            !index
                .write_blocking(move |w| w.name_incident(named(9), Some("other")))
                .unwrap()
        );
        let incidents = index.read_blocking(|r| r.incidents()).unwrap();
        let told: Vec<_> = incidents
            .iter()
            .map(|one| (one.id.as_str(), one.segments, one.holds, one.span))
            .collect();
        assert_eq!(
            told,
            [
                ("2026-17", 2, 1, Some(seconds(60, 180))),
                ("other", 1, 0, Some(seconds(0, 60)))
            ]
        );
        let standing = |number| {
            index
                .read_blocking(move |r| r.standing(named(number)))
                .unwrap()
                .unwrap()
        };
        assert_eq!(
            (standing(2).is_held, standing(2).incident.as_deref()),
            (true, Some("2026-17"))
        );
        assert_eq!(
            (standing(3).is_held, standing(3).incident.as_deref()),
            (false, Some("2026-17"))
        );
    }

    proptest! {
        /// In whatever order holds and segments come and go, held is what a hold overlaps.
        #[test]
        fn held_is_what_a_hold_overlaps(steps in prop::collection::vec((0u8..4, 1u128..6, 0i64..30, 1i64..12), 1..30)) {
            let (_directory, index) = place();
            let (mut holds, mut segments) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
            for (what, number, start, length) in steps {
                let end = start + length;
                match what {
                    0 => {
                        holds.entry(number).or_insert((start, end));
                        index.write_blocking(move |w| w.insert_hold(&hold(number, &["door"], start, end))).unwrap();
                    }
                    1 => {
                        holds.remove(&number);
                        index.write_blocking(move |w| w.remove_hold(HoldId(Uuid::from_u128(number)))).unwrap();
                    }
                    _ => {
                        segments.insert(number, (start, end));
                        index.write_blocking(move |w| w.close_segment(&closed(number, start, end))).unwrap();
                    }
                }
                let overlapped = segments.iter().filter(|(_, (start, end))| {
                    holds.values().any(|(from, to): &(i64, i64)| from < end && to > start)
                });
                let expected: Vec<u128> = overlapped.map(|(number, _)| *number).collect();
                prop_assert_eq!(held(&index), expected);
            }
        }
    }
}
