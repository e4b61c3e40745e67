//! Volumes that were seen.

use rusqlite::{Row, params};

use super::columns::{time, volume_id, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{Timestamp, VolumeId, VolumeRole};

const ALL: &str = "SELECT id, role, root, created_at_ns FROM volumes ORDER BY created_at_ns, id";
const PUT: &str = "
    INSERT INTO volumes (id, role, root, created_at_ns) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (id) DO UPDATE SET role = excluded.role, root = excluded.root";

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
