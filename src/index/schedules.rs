//! Schedules in the index.

use rusqlite::{Row, params};

use super::columns::camera_id;
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, Days, Schedule, ScheduleId};

macro_rules! select_schedules {
    ($rest:literal) => {
        concat!(
            "SELECT id, camera_id, days, time_start_minutes, time_end_minutes, zone, enabled FROM schedules ",
            $rest
        )
    };
}

const OF_CAMERA: &str = select_schedules!("WHERE camera_id = ?1 ORDER BY id");
const ONE: &str = select_schedules!("WHERE id = ?1");
const INSERT: &str = "
    INSERT INTO schedules (camera_id, days, time_start_minutes, time_end_minutes, zone, enabled)
    SELECT id, ?2, ?3, ?4, ?5, ?6 FROM cameras WHERE id = ?1 AND deleted_at_ns IS NULL";
const UPDATE: &str = "
    UPDATE schedules SET days = ?2, time_start_minutes = ?3, time_end_minutes = ?4, zone = ?5, enabled = ?6
    WHERE camera_id = ?1 AND id = ?7";
const DELETE: &str = "DELETE FROM schedules WHERE id = ?1";

impl Reader<'_> {
    /// The schedules of a camera, in the order in which they were made.
    pub fn schedules(&self, camera: &CameraId) -> Result<Vec<Schedule>, IndexError> {
        self.rows(OF_CAMERA, [camera.as_str()], read)
    }

    /// One schedule.
    pub fn schedule(&self, id: ScheduleId) -> Result<Option<Schedule>, IndexError> {
        self.row(ONE, [id.0], read)
    }
}

impl Writer<'_> {
    /// Adds a schedule. Its id does not matter; the new one comes back.
    pub fn insert_schedule(&self, schedule: &Schedule) -> Result<ScheduleId, IndexError> {
        check(schedule)?;
        let row = params![
            schedule.camera.as_str(),
            schedule.days.bits(),
            schedule.start_minute,
            schedule.end_minute,
            schedule.zone,
            schedule.enabled,
        ];
        if self.execute(INSERT, row)? == 0 {
            return Err(IndexError::NotFound(format!("camera {}", schedule.camera)));
        }
        Ok(ScheduleId(self.connection().last_insert_rowid()))
    }

    /// Changes every field of a schedule to what is given, but for the camera, which it keeps.
    pub fn update_schedule(&self, schedule: &Schedule) -> Result<(), IndexError> {
        check(schedule)?;
        let row = params![
            schedule.camera.as_str(),
            schedule.days.bits(),
            schedule.start_minute,
            schedule.end_minute,
            schedule.zone,
            schedule.enabled,
            schedule.id.0,
        ];
        if self.execute(UPDATE, row)? == 0 {
            return Err(not_found(schedule.id));
        }
        Ok(())
    }

    /// Deletes a schedule.
    pub fn delete_schedule(&self, id: ScheduleId) -> Result<(), IndexError> {
        if self.execute(DELETE, [id.0])? == 0 {
            return Err(not_found(id));
        }
        Ok(())
    }
}

fn check(schedule: &Schedule) -> Result<(), IndexError> {
    schedule
        .validate()
        .map_err(|error| IndexError::Invalid(error.to_string()))
}

fn not_found(id: ScheduleId) -> IndexError {
    IndexError::NotFound(format!("schedule {}", id.0))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Schedule> {
    let days: u8 = row.get("days")?;
    Ok(Schedule {
        id: ScheduleId(row.get("id")?),
        camera: camera_id(row, "camera_id")?,
        days: Days::from_bits(days).unwrap_or(Days::NONE),
        start_minute: row.get("time_start_minutes")?,
        end_minute: row.get("time_end_minutes")?,
        zone: row.get("zone")?,
        enabled: row.get("enabled")?,
    })
}
