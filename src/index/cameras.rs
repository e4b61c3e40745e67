//! Cameras in the index.

use rusqlite::{Row, params};

use super::columns::{camera_id, maybe_time, stored, time, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{
    Camera, CameraId, RecordMode, RecordStream, Schedule, Seal, Secret, TimeSource, Timestamp, Transport, Vendor,
};

macro_rules! select_cameras {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, site_id, vendor, model, address, rtsp_port, channel, username, password_sealed, ",
            "main_stream_url_sealed, sub_stream_url_sealed, anr_replay_url_template_sealed, record_stream, transport, ",
            "time_source, enabled, record_enabled, record_mode, pre_roll_seconds, post_roll_seconds, segment_seconds, ",
            "retention_hours, minimum_hours, storage_quota_bytes, record_audio, mirror_enabled, anr_enabled, priority, ",
            "created_at_ns, updated_at_ns, deleted_at_ns, http_port, recovered FROM cameras ",
            $rest
        )
    };
}

const ALL: &str = select_cameras!("WHERE deleted_at_ns IS NULL ORDER BY id");
const DELETED: &str = select_cameras!("WHERE deleted_at_ns IS NOT NULL ORDER BY id");
const ONE: &str = select_cameras!("WHERE id = ?1 AND deleted_at_ns IS NULL");
const ONE_OR_DELETED: &str = select_cameras!("WHERE id = ?1");

/// A hidden row of the same id is revived: its footage is the camera's again. So is one that was made from footage alone.
const INSERT: &str = "
    INSERT INTO cameras (id, name, site_id, vendor, model, address, rtsp_port, channel, username, password_sealed,
        main_stream_url_sealed, sub_stream_url_sealed, anr_replay_url_template_sealed, record_stream, transport,
        time_source, enabled, record_enabled, record_mode, pre_roll_seconds, post_roll_seconds, segment_seconds,
        retention_hours, minimum_hours, storage_quota_bytes, record_audio, mirror_enabled, anr_enabled, priority,
        created_at_ns, updated_at_ns, http_port, recovered)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
        ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33)
    ON CONFLICT (id) DO UPDATE SET name = ?2, site_id = ?3, vendor = ?4, model = ?5, address = ?6, rtsp_port = ?7,
        channel = ?8, username = ?9, password_sealed = ?10, main_stream_url_sealed = ?11, sub_stream_url_sealed = ?12,
        anr_replay_url_template_sealed = ?13, record_stream = ?14, transport = ?15, time_source = ?16, enabled = ?17,
        record_enabled = ?18, record_mode = ?19, pre_roll_seconds = ?20, post_roll_seconds = ?21,
        segment_seconds = ?22, retention_hours = ?23, minimum_hours = ?24, storage_quota_bytes = ?25,
        record_audio = ?26, mirror_enabled = ?27, anr_enabled = ?28, priority = ?29, created_at_ns = ?30,
        updated_at_ns = ?31, http_port = ?32, recovered = ?33, deleted_at_ns = NULL,
        purge_at_ns = NULL
    WHERE deleted_at_ns IS NOT NULL OR recovered = 1";
const UPDATE: &str = "
    UPDATE cameras SET name = ?2, site_id = ?3, vendor = ?4, model = ?5, address = ?6, rtsp_port = ?7,
        channel = ?8, username = ?9, password_sealed = ?10, main_stream_url_sealed = ?11, sub_stream_url_sealed = ?12,
        anr_replay_url_template_sealed = ?13, record_stream = ?14, transport = ?15, time_source = ?16, enabled = ?17,
        record_enabled = ?18, record_mode = ?19, pre_roll_seconds = ?20, post_roll_seconds = ?21,
        segment_seconds = ?22, retention_hours = ?23, minimum_hours = ?24, storage_quota_bytes = ?25,
        record_audio = ?26, mirror_enabled = ?27, anr_enabled = ?28, priority = ?29, created_at_ns = ?30,
        updated_at_ns = ?31, http_port = ?32, recovered = ?33
    WHERE id = ?1 AND deleted_at_ns IS NULL";
const HIDE: &str = "
    UPDATE cameras SET deleted_at_ns = ?2, username = NULL, password_sealed = NULL, main_stream_url_sealed = NULL,
        sub_stream_url_sealed = NULL, anr_replay_url_template_sealed = NULL
    WHERE id = ?1 AND deleted_at_ns IS NULL";
const HELD: &str = "
    SELECT 1 FROM segments WHERE camera_id = ?1 AND evidence_locked = 1 UNION SELECT 1 FROM held WHERE camera_id = ?1 LIMIT 1";
const FORGET_SCHEDULES: &str = "DELETE FROM schedules WHERE camera_id = ?1";
const FORGET_EMPTY: &str = "
    DELETE FROM cameras WHERE deleted_at_ns IS NOT NULL AND purge_at_ns IS NULL
        AND NOT EXISTS (SELECT 1 FROM segments WHERE camera_id = cameras.id)";
const KNOWN: &str = "SELECT 1 FROM cameras WHERE id = ?1";

/// A row as it lies in the file: the camera without its secrets, and the secrets still sealed.
struct Sealed {
    camera: Camera,
    secrets: [Option<Vec<u8>>; 4],
}

impl Reader<'_> {
    /// Every camera, by id.
    pub fn cameras(&self) -> Result<Vec<Camera>, IndexError> {
        self.unsealed(self.rows(ALL, [], read)?)
    }

    /// Cameras that were deleted while footage of them remained, or whose footage was found without them. They have
    /// neither credentials nor stream URLs any more.
    pub fn deleted_cameras(&self) -> Result<Vec<Camera>, IndexError> {
        self.unsealed(self.rows(DELETED, [], read)?)
    }

    /// One camera, unless it does not exist or was deleted.
    pub fn camera(&self, id: &CameraId) -> Result<Option<Camera>, IndexError> {
        let found = self.row(ONE, [id.as_str()], read)?;
        Ok(self.unsealed(found.into_iter().collect())?.pop())
    }

    /// One camera, also when it was deleted and footage of it remains.
    pub fn camera_or_deleted(&self, id: &CameraId) -> Result<Option<Camera>, IndexError> {
        let found = self.row(ONE_OR_DELETED, [id.as_str()], read)?;
        Ok(self.unsealed(found.into_iter().collect())?.pop())
    }

    fn unsealed(&self, rows: Vec<Sealed>) -> Result<Vec<Camera>, IndexError> {
        rows.into_iter().map(|row| unseal(row, self.seal())).collect()
    }
}

impl Writer<'_> {
    /// Adds a camera. One that was deleted and still has footage comes back with it.
    pub fn insert_camera(&self, camera: &Camera) -> Result<(), IndexError> {
        if self.put(INSERT, camera)? == 0 {
            return Err(IndexError::Conflict(format!(
                "camera {} exists already; choose another name or id, or change that camera",
                camera.id
            )));
        }
        Ok(())
    }

    /// Changes every field of a camera to what is given.
    pub fn update_camera(&self, camera: &Camera) -> Result<(), IndexError> {
        if self.put(UPDATE, camera)? == 0 {
            return Err(not_found(&camera.id));
        }
        Ok(())
    }

    /// Deletes a camera, unless somebody holds footage of it as evidence.
    ///
    /// Its segments stay, because a person who removes a camera from the wall has not said that last night's footage may
    /// go, and because files whose rows were dropped would be found as strangers by the next check. While there are any,
    /// the row stays too, hidden and without its secrets: retention goes on by its rules, and a camera that is added
    /// again under the id has its past back. With the last segment the row goes ([`Self::forget_empty_cameras`]).
    pub fn delete_camera(&self, id: &CameraId, at: Timestamp) -> Result<(), IndexError> {
        if self.row(HELD, [id.as_str()], |_| Ok(()))?.is_some() {
            return Err(IndexError::Conflict(format!(
                "camera {id} has footage that is held as evidence, or is to be; `camkeep hold list` names the holds, remove them first"
            )));
        }
        if self.execute(HIDE, params![id.as_str(), at.as_nanos()])? == 0 {
            return Err(not_found(id));
        }
        self.execute(FORGET_SCHEDULES, [id.as_str()])?;
        self.forget_empty_cameras()?;
        Ok(())
    }

    /// Forgets deleted cameras of which no segment is left, with their gaps, and says how many they were.
    pub fn forget_empty_cameras(&self) -> Result<usize, IndexError> {
        // While segments are still being found, none of a camera does not mean that there is none.
        if self.is_recovering()? {
            return Ok(0);
        }
        self.execute(FORGET_EMPTY, [])
    }

    /// Sees to it that segments and gaps of a camera can be stored, whatever became of its row: footage that arrives just
    /// after a deletion, or that is found, is kept under a hidden row. Where the index itself was lost nobody has deleted
    /// anything, and the camera is there again ([`Self::recover_camera`]).
    pub(super) fn remember_camera(&self, id: &CameraId, now: Timestamp) -> Result<(), IndexError> {
        if self.row(KNOWN, [id.as_str()], |_| Ok(()))?.is_some() || self.recover_camera(id, now)? {
            return Ok(());
        }
        self.put(INSERT, &Camera::new(id.clone(), id.to_string(), now))?;
        self.execute(HIDE, params![id.as_str(), now.as_nanos()])?;
        Ok(())
    }

    /// Makes a camera of which nothing but its footage is known, while the index is made whole after a loss; `false` at any
    /// other time, or when there is one of this id.
    pub fn recover_camera(&self, id: &CameraId, now: Timestamp) -> Result<bool, IndexError> {
        if !self.is_recovering()? || self.row(KNOWN, [id.as_str()], |_| Ok(()))?.is_some() {
            return Ok(false);
        }
        let mut camera = Camera::new(id.clone(), id.to_string(), now);
        camera.recovered = true;
        Ok(self.put(INSERT, &camera)? > 0)
    }

    /// Puts a camera back as it was, with its schedules, in place of whatever is known under its id; a removed one is
    /// removed again, with its footage left.
    pub fn restore_camera(&self, camera: &Camera, schedules: &[Schedule]) -> Result<(), IndexError> {
        if self.put(UPDATE, camera)? == 0 {
            self.put(INSERT, camera)?;
        }
        self.execute(FORGET_SCHEDULES, [camera.id.as_str()])?;
        for schedule in schedules {
            self.insert_schedule(schedule)?;
        }
        if let Some(at) = camera.removed_at {
            self.execute(HIDE, params![camera.id.as_str(), at.as_nanos()])?;
            self.execute(FORGET_SCHEDULES, [camera.id.as_str()])?;
        }
        Ok(())
    }

    fn put(&self, sql: &str, camera: &Camera) -> Result<usize, IndexError> {
        let seal = |secret: &Option<Secret>| secret.as_ref().map(|secret| self.seal().seal(secret.reveal()));
        self.execute(
            sql,
            params![
                camera.id.as_str(),
                camera.name,
                camera.site_id,
                camera.vendor.as_str(),
                camera.model,
                camera.address,
                camera.rtsp_port,
                camera.channel,
                camera.username,
                seal(&camera.password),
                seal(&camera.main_stream_url),
                seal(&camera.sub_stream_url),
                seal(&camera.anr_replay_url_template),
                camera.record_stream.as_str(),
                camera.transport.as_str(),
                camera.time_source.as_str(),
                camera.enabled,
                camera.record_enabled,
                camera.record_mode.as_str(),
                camera.pre_roll_seconds,
                camera.post_roll_seconds,
                camera.segment_seconds,
                camera.retention_hours,
                camera.minimum_hours,
                camera.storage_quota_bytes.map(stored),
                camera.record_audio,
                camera.mirror_enabled,
                camera.anr_enabled,
                camera.priority,
                camera.created_at.as_nanos(),
                camera.updated_at.as_nanos(),
                camera.http_port,
                camera.recovered,
            ],
        )
    }
}

fn not_found(id: &CameraId) -> IndexError {
    IndexError::NotFound(format!("camera {id}"))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Sealed> {
    let mut camera = Camera::new(camera_id(row, "id")?, row.get("name")?, time(row, "created_at_ns")?);
    camera.site_id = row.get("site_id")?;
    camera.vendor = word(row, "vendor", Vendor::parse)?;
    camera.model = row.get("model")?;
    camera.address = row.get("address")?;
    camera.rtsp_port = row.get("rtsp_port")?;
    camera.http_port = row.get("http_port")?;
    camera.channel = row.get("channel")?;
    camera.username = row.get("username")?;
    camera.record_stream = word(row, "record_stream", RecordStream::parse)?;
    camera.transport = word(row, "transport", Transport::parse)?;
    camera.time_source = word(row, "time_source", TimeSource::parse)?;
    camera.enabled = row.get("enabled")?;
    camera.record_enabled = row.get("record_enabled")?;
    camera.record_mode = word(row, "record_mode", RecordMode::parse)?;
    camera.pre_roll_seconds = row.get("pre_roll_seconds")?;
    camera.post_roll_seconds = row.get("post_roll_seconds")?;
    camera.segment_seconds = row.get("segment_seconds")?;
    camera.retention_hours = row.get("retention_hours")?;
    camera.minimum_hours = row.get("minimum_hours")?;
    camera.storage_quota_bytes = row
        .get::<_, Option<i64>>("storage_quota_bytes")?
        .map(|bytes| u64::try_from(bytes).unwrap_or(0));
    camera.record_audio = row.get("record_audio")?;
    camera.mirror_enabled = row.get("mirror_enabled")?;
    camera.anr_enabled = row.get("anr_enabled")?;
    camera.priority = row.get("priority")?;
    camera.updated_at = time(row, "updated_at_ns")?;
    camera.recovered = row.get("recovered")?;
    camera.removed_at = maybe_time(row, "deleted_at_ns")?;
    if camera.removed_at.is_some() {
        // What was deleted is not recorded, whoever reads it.
        camera.enabled = false;
    }
    let secrets = [
        row.get("password_sealed")?,
        row.get("main_stream_url_sealed")?,
        row.get("sub_stream_url_sealed")?,
        row.get("anr_replay_url_template_sealed")?,
    ];
    Ok(Sealed { camera, secrets })
}

fn unseal(row: Sealed, seal: &dyn Seal) -> Result<Camera, IndexError> {
    let Sealed { mut camera, secrets } = row;
    let open = |field: &'static str, sealed: Option<Vec<u8>>| match sealed {
        None => Ok(None),
        Some(sealed) => match seal.unseal(&sealed) {
            Some(text) => Ok(Some(Secret::new(text))),
            None => Err(IndexError::Unsealable {
                camera: camera.id.clone(),
                field,
            }),
        },
    };
    let [password, main, sub, template] = secrets;
    let password = open("password", password)?;
    let main = open("main_stream_url", main)?;
    let sub = open("sub_stream_url", sub)?;
    let template = open("anr_replay_url_template", template)?;
    (camera.password, camera.main_stream_url) = (password, main);
    (camera.sub_stream_url, camera.anr_replay_url_template) = (sub, template);
    Ok(camera)
}

#[cfg(test)]
mod tests;
