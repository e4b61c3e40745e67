//! Volumes that were seen.

use rusqlite::{Row, params};

use super::columns::{time, volume_id, word};
use super::copies::SEE_COPIES_ON;
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{Timestamp, VolumeId, VolumeRole};

const ALL: &str = "SELECT id, role, root, created_at_ns FROM volumes ORDER BY created_at_ns, id";
const PUT: &str = "
    INSERT INTO volumes (id, role, root, created_at_ns) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (id) DO UPDATE SET role = excluded.role, root = excluded.root";
/// What was being recorded when the disk went is mended from its journal by the next start.
const MOVE_COPIES: &str = "
    UPDATE copies SET volume_id = ?2, state = CASE state WHEN 'open' THEN 'open' ELSE 'missing' END WHERE volume_id = ?1";
const FORGET: &str = "DELETE FROM volumes WHERE id = ?1";

/// A volume that was in use at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownVolume {
    /// What is written on it.
    pub id: VolumeId,
    /// What it is for.
    pub role: VolumeRole,
    /// Where it was mounted when it was last seen; for people.
    pub root: String,
    /// When it was first seen.
    pub created_at: Timestamp,
}

impl Reader<'_> {
    /// Every volume that was ever in use, the oldest first.
    pub fn volumes(&self) -> Result<Vec<KnownVolume>, IndexError> {
        self.rows(ALL, [], read)
    }
}

impl Writer<'_> {
    /// Remembers a volume, where it is and what it is for now. When it was first seen does not change.
    pub fn put_volume(&self, volume: &KnownVolume) -> Result<(), IndexError> {
        let (id, at) = (volume.id.0.as_bytes(), volume.created_at.as_nanos());
        self.execute(PUT, params![id, volume.role.as_str(), volume.root, at])?;
        Ok(())
    }

    /// A volume is lost for good and another one takes its place: its copies are to be had on that one, where they are
    /// missing until each is restored.
    pub fn replace_volume(&self, lost: VolumeId, volume: &KnownVolume) -> Result<(), IndexError> {
        self.put_volume(volume)?;
        let (lost, id) = (lost.0.as_bytes(), volume.id.0.as_bytes());
        self.execute(MOVE_COPIES, params![lost, id])?;
        self.execute(SEE_COPIES_ON, params![id])?;
        self.execute(FORGET, params![lost])?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<KnownVolume> {
    Ok(KnownVolume {
        id: volume_id(row, "id")?,
        role: word(row, "role", role)?,
        root: row.get("root")?,
        created_at: time(row, "created_at_ns")?,
    })
}

fn role(text: &str) -> Option<VolumeRole> {
    [VolumeRole::Primary, VolumeRole::Mirror]
        .into_iter()
        .find(|role| role.as_str() == text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{closed, copy, index, segment, volume};
    use super::*;
    use crate::model::{CopyState, SegmentId};
    use uuid::Uuid;

    #[test]
    fn copies_of_a_lost_volume_are_missing_on_the_new_one_and_what_the_mirror_has_stays_on_the_timeline() {
        let (_directory, index) = index();
        let mut mirrored = closed(1, 0, 60);
        mirrored.copies.push(copy(2, 1, CopyState::Whole));
        let (lone, open) = (closed(2, 60, 120), segment(3, 120, 130));
        index
            .write_blocking(move |w| {
                w.close_segment(&mirrored)?;
                w.close_segment(&lone)?;
                w.open_segment(&open)?;
                w.replace_volume(volume(1, VolumeRole::Primary).id, &volume(3, VolumeRole::Primary))
            })
            .unwrap();
        let look = |number| {
            let row = index.read_blocking(|r| r.segment(SegmentId(Uuid::from_u128(number))));
            let copies = row.unwrap().unwrap().copies.into_iter();
            copies
                .map(|copy| (copy.volume.0.as_u128(), copy.state))
                .collect::<Vec<_>>()
        };
        assert_eq!(look(1), [(3, CopyState::Missing), (2, CopyState::Whole)]);
        assert_eq!(look(2), [(3, CopyState::Missing)]);
        assert_eq!(look(3), [(3, CopyState::Open)]);
        let owed =
            index.read_blocking(|r| r.row("SELECT count(owed_bytes) FROM segments", [], |row| row.get::<_, i64>(0)));
        assert_eq!(owed.unwrap(), Some(0), "what is missing cannot be copied to a mirror");
        let volumes = index.read_blocking(|r| r.volumes()).unwrap();
        assert_eq!(
            volumes.iter().map(|known| known.id.0.as_u128()).collect::<Vec<_>>(),
            [2, 3]
        );
        let footage = index
            .read_blocking(|r| {
                r.footage_before(&super::super::fixture::camera_id("door"), Timestamp::from_seconds(110))
            })
            .unwrap();
        assert_eq!(footage.map(|span| span.end), Some(Timestamp::from_seconds(60)));
    }
}
