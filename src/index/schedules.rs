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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, index};
    use super::*;
    use crate::model::{Camera, Fault};

    fn schedule() -> Schedule {
        Schedule {
            id: ScheduleId(0),
            camera: camera_id("door"),
            days: Days::ALL,
            start_minute: 0,
            end_minute: 1440,
            zone: "Europe/Berlin".into(),
            enabled: true,
        }
    }

    #[test]
    fn a_schedule_lives_and_dies_with_its_camera() {
        let (_directory, index) = index();
        let door = camera_id("door");
        let error = index.write_blocking(|w| w.insert_schedule(&schedule())).unwrap_err();
        assert_eq!(error.to_string(), "camera door not found");
        index
            .write_blocking(|w| w.insert_camera(&Camera::new(camera_id("door"), "Door".into(), at(1))))
            .unwrap();
        let id = index.write_blocking(|w| w.insert_schedule(&schedule())).unwrap();
        let changed = Schedule {
            id,
            days: Days::from_list(&[0, 6]).unwrap(),
            start_minute: 1320,
            end_minute: 360,
            zone: "Asia/Tokyo".into(),
            enabled: false,
            ..schedule()
        };
        let sent = changed.clone();
        index.write_blocking(move |w| w.update_schedule(&sent)).unwrap();
        assert_eq!(index.read_blocking(|r| r.schedule(id)).unwrap(), Some(changed.clone()));
        assert_eq!(index.read_blocking(|r| r.schedules(&door)).unwrap(), vec![changed]);
        let second = index.write_blocking(|w| w.insert_schedule(&schedule())).unwrap();
        index.write_blocking(move |w| w.delete_schedule(second)).unwrap();
        let gone = index.write_blocking(move |w| w.delete_schedule(second)).unwrap_err();
        assert_eq!(gone.fault(), Fault::NotFound);
        index
            .write_blocking(|w| w.delete_camera(&camera_id("door"), at(2)))
            .unwrap();
        assert_eq!(index.read_blocking(|r| r.schedules(&door)).unwrap(), []);
    }

    #[test]
    fn a_schedule_that_cannot_be_is_refused_before_it_is_written() {
        let (_directory, index) = index();
        let never = Schedule {
            days: Days::NONE,
            ..schedule()
        };
        let error = index.write_blocking(move |w| w.insert_schedule(&never)).unwrap_err();
        assert_eq!(error.fault(), Fault::Invalid);
        assert!(error.to_string().starts_with("days: "), "{error}");
    }
}
