//! The settings of all cameras, and what is held, beside their recordings on each volume, so that a box whose index and backup are gone records
//! again by itself.
//!
//! ```text
//! <volume>/.camkeep/settings.jsonl
//! {"format":"camkeep.settings.1","sha256":"…"}     of the line below, without its end
//! {"saved_at":…,"box_key":…,"cameras":[…],"holds":[…]}
//! ```
//!
//! Secrets are sealed with the box's key: whoever has the disk has no password. Where another key seals now, they cannot be
//! opened; they are kept in the file as they are, for as long as the camera waits for them, so that the former key brings them
//! back.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::durable::{read_small, write_atomic_as};
use super::error::StorageError;
use super::held::HoldLine;
use super::volume::Volume;
use crate::model::{
    Camera, CameraId, Days, Fingerprint, Hold, RecordMode, RecordStream, Schedule, ScheduleId, Seal, Secret,
    TimeSource, Timestamp, Transport, Vendor,
};

/// Where the file lies on a volume.
const PLACE: &str = ".camkeep/settings.jsonl";
/// What the first line says. Another number means that something means something else now.
const FORMAT: &str = "camkeep.settings.1";
/// A thousand cameras take about two megabytes.
const LONGEST: u64 = 64 << 20;

/// The settings of a box as they are kept beside its recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The key that clips are signed with.
    pub box_key: Option<Fingerprint>,
    /// Every camera, removed ones with footage too, by id.
    pub cameras: Vec<SavedCamera>,
    /// The footage that is held.
    pub holds: Vec<Hold>,
}

/// One camera with its schedules.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedCamera {
    /// The camera, without the secrets that cannot be opened.
    pub camera: Camera,
    /// When it is recorded.
    pub schedules: Vec<Schedule>,
    /// Whether some of its secrets were sealed with another key.
    pub has_lost_secrets: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    sha256: Fingerprint,
}

#[derive(Debug, Serialize, Deserialize)]
struct Body {
    saved_at: Timestamp,
    box_key: Option<Fingerprint>,
    cameras: Vec<CameraLine>,
    /// Files of early versions have none.
    #[serde(default)]
    holds: Vec<HoldLine>,
}

/// A camera as it is written; what a secret's field holds is sealed, in base64.
#[derive(Debug, Serialize, Deserialize)]
struct CameraLine {
    id: CameraId,
    name: String,
    site_id: Option<String>,
    vendor: Vendor,
    model: Option<String>,
    address: Option<String>,
    rtsp_port: u16,
    http_port: u16,
    channel: u32,
    username: Option<String>,
    secrets: SealedSecrets,
    record_stream: RecordStream,
    transport: Transport,
    time_source: TimeSource,
    enabled: bool,
    record_enabled: bool,
    record_mode: RecordMode,
    pre_roll_seconds: u32,
    post_roll_seconds: u32,
    segment_seconds: u32,
    retention_hours: Option<u32>,
    minimum_hours: u32,
    storage_quota_bytes: Option<u64>,
    record_audio: bool,
    mirror_enabled: bool,
    anr_enabled: bool,
    priority: i32,
    recovered: bool,
    removed_at_ns: Option<i64>,
    created_at_ns: i64,
    updated_at_ns: i64,
    schedules: Vec<ScheduleLine>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct SealedSecrets {
    password: Option<String>,
    main_stream_url: Option<String>,
    sub_stream_url: Option<String>,
    anr_replay_url_template: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ScheduleLine {
    days: u8,
    start_minute: u16,
    end_minute: u16,
    zone: String,
    enabled: bool,
}

impl Volume {
    /// The settings that lie on this volume; nothing when there are none. What is damaged is an error.
    pub fn read_settings(&self, seal: &dyn Seal) -> Result<Option<Settings>, StorageError> {
        let path = self.settings_path();
        Ok(read(&path)?.map(|body| body.into_settings(seal)))
    }

    /// Puts the settings beside the recordings in place of those that lie there, on the disk for certain.
    pub fn write_settings(&self, settings: &Settings, seal: &dyn Seal, now: Timestamp) -> Result<(), StorageError> {
        let path = self.prepare(PLACE)?;
        let before = match read(&path) {
            Ok(before) => before,
            Err(StorageError::Damaged { reason, .. }) => {
                // A later camkeep may know what it is.
                let aside = path.with_extension("jsonl.unreadable");
                tracing::error!(path = %path.display(), reason, "the settings that lay there are set aside");
                std::fs::rename(&path, &aside).map_err(|error| StorageError::io("set aside", &path, error))?;
                None
            }
            Err(error) => return Err(error),
        };
        let body = Body::of(settings, before.as_ref(), seal, now);
        let text = encode(&body).map_err(|error| damaged(&path, &error.to_string()))?;
        write_atomic_as(&path, text.as_bytes(), 0o600)
    }

    fn settings_path(&self) -> PathBuf {
        self.absolute(PLACE)
    }
}

fn damaged(path: &Path, reason: &str) -> StorageError {
    StorageError::Damaged {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn encode(body: &Body) -> serde_json::Result<String> {
    let line = serde_json::to_string(body)?;
    let head = serde_json::to_string(&Head {
        format: FORMAT.to_owned(),
        sha256: Fingerprint::of(line.as_bytes()),
    })?;
    Ok(format!("{head}\n{line}\n"))
}

fn read(path: &Path) -> Result<Option<Body>, StorageError> {
    let bytes = match read_small(path, LONGEST) {
        Err(StorageError::Missing { .. }) => return Ok(None),
        bytes => bytes?,
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged(path, "it is no text"))?;
    let (head, line) = text.split_once('\n').ok_or_else(|| damaged(path, "it was cut short"))?;
    let head: Head = serde_json::from_str(head).map_err(|error| damaged(path, &error.to_string()))?;
    if head.format != FORMAT {
        let reason = format!("it is of the format {}, which this camkeep does not know", head.format);
        return Err(damaged(path, &reason));
    }
    let line = line
        .strip_suffix('\n')
        .ok_or_else(|| damaged(path, "it was cut short"))?;
    if Fingerprint::of(line.as_bytes()) != head.sha256 {
        return Err(damaged(path, "its bytes are not those that were written"));
    }
    serde_json::from_str(line)
        .map(Some)
        .map_err(|error| damaged(path, &error.to_string()))
}

impl Body {
    fn of(settings: &Settings, before: Option<&Self>, seal: &dyn Seal, now: Timestamp) -> Self {
        let kept = |id: &CameraId| {
            let mut lines = before.into_iter().flat_map(|before| &before.cameras);
            lines.find(|line| line.id == *id).map(|line| &line.secrets)
        };
        let cameras = settings.cameras.iter().map(|saved| {
            // A camera that waits for its secrets keeps them as they were sealed.
            let kept = kept(&saved.camera.id).filter(|_| saved.camera.recovered);
            CameraLine::of(saved, kept, seal)
        });
        Self {
            saved_at: now,
            box_key: settings.box_key,
            cameras: cameras.collect(),
            holds: settings.holds.iter().map(HoldLine::from).collect(),
        }
    }

    fn into_settings(self, seal: &dyn Seal) -> Settings {
        let cameras = self.cameras.into_iter();
        Settings {
            box_key: self.box_key,
            cameras: cameras.map(|line| line.into_saved(seal)).collect(),
            holds: self.holds.into_iter().map(Hold::from).collect(),
        }
    }
}

impl CameraLine {
    fn of(saved: &SavedCamera, kept: Option<&SealedSecrets>, seal: &dyn Seal) -> Self {
        // Named one by one, so that a field that is added is not forgotten here.
        let Camera {
            id,
            name,
            site_id,
            vendor,
            model,
            address,
            rtsp_port,
            http_port,
            channel,
            username,
            password,
            main_stream_url,
            sub_stream_url,
            record_stream,
            transport,
            time_source,
            enabled,
            record_enabled,
            record_mode,
            pre_roll_seconds,
            post_roll_seconds,
            segment_seconds,
            retention_hours,
            minimum_hours,
            storage_quota_bytes,
            record_audio,
            mirror_enabled,
            anr_enabled,
            anr_replay_url_template,
            priority,
            recovered,
            removed_at,
            created_at,
            updated_at,
        } = saved.camera.clone();
        let kept = kept.cloned().unwrap_or_default();
        let sealed = |secret: Option<Secret>, kept: Option<String>| match secret {
            Some(secret) => Some(STANDARD.encode(seal.seal(secret.reveal()))),
            None => kept,
        };
        Self {
            id,
            name,
            site_id,
            vendor,
            model,
            address,
            rtsp_port,
            http_port,
            channel,
            username,
            secrets: SealedSecrets {
                password: sealed(password, kept.password),
                main_stream_url: sealed(main_stream_url, kept.main_stream_url),
                sub_stream_url: sealed(sub_stream_url, kept.sub_stream_url),
                anr_replay_url_template: sealed(anr_replay_url_template, kept.anr_replay_url_template),
            },
            record_stream,
            transport,
            time_source,
            enabled,
            record_enabled,
            record_mode,
            pre_roll_seconds,
            post_roll_seconds,
            segment_seconds,
            retention_hours,
            minimum_hours,
            storage_quota_bytes,
            record_audio,
            mirror_enabled,
            anr_enabled,
            priority,
            recovered,
            removed_at_ns: removed_at.map(Timestamp::as_nanos),
            created_at_ns: created_at.as_nanos(),
            updated_at_ns: updated_at.as_nanos(),
            schedules: saved.schedules.iter().map(ScheduleLine::of).collect(),
        }
    }

    fn into_saved(self, seal: &dyn Seal) -> SavedCamera {
        let mut has_lost_secrets = false;
        let mut open = |sealed: Option<String>| {
            let sealed = sealed?;
            let text = STANDARD.decode(sealed).ok().and_then(|bytes| seal.unseal(&bytes));
            has_lost_secrets |= text.is_none();
            text.map(Secret::new)
        };
        let camera = Camera {
            password: open(self.secrets.password),
            main_stream_url: open(self.secrets.main_stream_url),
            sub_stream_url: open(self.secrets.sub_stream_url),
            anr_replay_url_template: open(self.secrets.anr_replay_url_template),
            id: self.id.clone(),
            name: self.name,
            site_id: self.site_id,
            vendor: self.vendor,
            model: self.model,
            address: self.address,
            rtsp_port: self.rtsp_port,
            http_port: self.http_port,
            channel: self.channel,
            username: self.username,
            record_stream: self.record_stream,
            transport: self.transport,
            time_source: self.time_source,
            enabled: self.enabled,
            record_enabled: self.record_enabled,
            record_mode: self.record_mode,
            pre_roll_seconds: self.pre_roll_seconds,
            post_roll_seconds: self.post_roll_seconds,
            segment_seconds: self.segment_seconds,
            retention_hours: self.retention_hours,
            minimum_hours: self.minimum_hours,
            storage_quota_bytes: self.storage_quota_bytes,
            record_audio: self.record_audio,
            mirror_enabled: self.mirror_enabled,
            anr_enabled: self.anr_enabled,
            priority: self.priority,
            recovered: self.recovered,
            removed_at: self.removed_at_ns.map(Timestamp::from_nanos),
            created_at: Timestamp::from_nanos(self.created_at_ns),
            updated_at: Timestamp::from_nanos(self.updated_at_ns),
        };
        let schedules = self.schedules.into_iter();
        SavedCamera {
            schedules: schedules.filter_map(|line| line.into_schedule(&self.id)).collect(),
            has_lost_secrets,
            camera,
        }
    }
}

impl ScheduleLine {
    fn of(schedule: &Schedule) -> Self {
        Self {
            days: schedule.days.bits(),
            start_minute: schedule.start_minute,
            end_minute: schedule.end_minute,
            zone: schedule.zone.clone(),
            enabled: schedule.enabled,
        }
    }

    fn into_schedule(self, camera: &CameraId) -> Option<Schedule> {
        Some(Schedule {
            // The index numbers it anew.
            id: ScheduleId(0),
            camera: camera.clone(),
            days: Days::from_bits(self.days)?,
            start_minute: self.start_minute,
            end_minute: self.end_minute,
            zone: self.zone,
            enabled: self.enabled,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{HoldId, SegmentId, Span, VolumeRole};
    use crate::storage::SealKey;
    use std::fs;

    struct Place {
        _room: tempfile::TempDir,
        volume: Volume,
        key: SealKey,
        other_key: SealKey,
    }

    fn place() -> Place {
        let room = tempfile::tempdir().unwrap();
        let volume = Volume::open(&room.path().join("recordings"), VolumeRole::Primary, Timestamp::EPOCH).unwrap();
        Place {
            key: SealKey::load_or_make(&room.path().join("secret.key")).unwrap(),
            other_key: SealKey::load_or_make(&room.path().join("other.key")).unwrap(),
            volume,
            _room: room,
        }
    }

    fn settings() -> Settings {
        let id = CameraId::parse("door").unwrap();
        let mut camera = Camera::new(id.clone(), "Front door".into(), Timestamp::from_seconds(7));
        camera.main_stream_url = Some("rtsp://admin:hunter2@cam/1".into());
        camera.password = Some("hunter3".into());
        camera.record_mode = RecordMode::Scheduled;
        camera.storage_quota_bytes = Some(5);
        let schedule = Schedule {
            id: ScheduleId(0),
            camera: id,
            days: Days::ALL,
            start_minute: 600,
            end_minute: 660,
            zone: "Europe/Berlin".into(),
            enabled: true,
        };
        let mut gone = Camera::new(
            CameraId::parse("yard").unwrap(),
            "Yard".into(),
            Timestamp::from_seconds(8),
        );
        gone.removed_at = Some(Timestamp::from_seconds(9));
        let saved = |camera, schedules| SavedCamera {
            camera,
            schedules,
            has_lost_secrets: false,
        };
        Settings {
            box_key: Some(Fingerprint::of(b"key")),
            cameras: vec![saved(camera, vec![schedule]), saved(gone, Vec::new())],
            holds: vec![Hold {
                id: HoldId(uuid::Uuid::from_u128(5)),
                cameras: vec![CameraId::parse("door").unwrap()],
                span: Span::new(Timestamp::from_nanos(1), Timestamp::from_nanos(3)),
                segment: Some(SegmentId(uuid::Uuid::from_u128(6))),
                reason: "theft".into(),
                owner: "somebody".into(),
                incident: Some("2026-17".into()),
                created_at: Timestamp::from_seconds(9),
                expires_at: None,
            }],
        }
    }

    #[test]
    fn settings_come_back_as_they_were_and_their_file_tells_nobody_a_secret() {
        let Place { volume, key, _room, .. } = place();
        assert_eq!(volume.read_settings(&key).unwrap(), None);
        volume.write_settings(&settings(), &key, Timestamp::EPOCH).unwrap();
        assert_eq!(volume.read_settings(&key).unwrap(), Some(settings()));
        let text = fs::read_to_string(volume.absolute(PLACE)).unwrap();
        assert!(!text.contains("hunter") && !text.contains("rtsp:"), "{text}");
        assert!(volume.files().unwrap().next().is_none(), "no recording");
    }

    #[test]
    fn secrets_of_another_key_are_lost_and_told_and_come_back_with_that_key() {
        let Place {
            volume,
            key,
            other_key,
            _room,
        } = place();
        volume.write_settings(&settings(), &key, Timestamp::EPOCH).unwrap();
        let mut found = volume.read_settings(&other_key).unwrap().unwrap();
        let door = &mut found.cameras[0];
        assert!(door.has_lost_secrets);
        assert_eq!((&door.camera.password, &door.camera.main_stream_url), (&None, &None));
        assert!(!found.cameras[1].has_lost_secrets);
        // Who came back without them is written down again and again meanwhile.
        found.cameras[0].camera.recovered = true;
        for _ in 0..2 {
            volume.write_settings(&found, &other_key, Timestamp::EPOCH).unwrap();
        }
        let again = volume.read_settings(&key).unwrap().unwrap();
        assert_eq!(again.cameras[0].camera.password, settings().cameras[0].camera.password);
        assert!(!again.cameras[0].has_lost_secrets);
        // Once somebody has given the camera what it needs, nothing of the former key stays.
        found.cameras[0].camera.recovered = false;
        found.cameras[0].camera.main_stream_url = Some("rtsp://cam/2".into());
        volume.write_settings(&found, &other_key, Timestamp::EPOCH).unwrap();
        let last = volume.read_settings(&other_key).unwrap().unwrap();
        assert_eq!(last.cameras[0].camera, found.cameras[0].camera);
        assert!(!last.cameras[0].has_lost_secrets);
    }

    #[test]
    fn a_file_with_one_changed_byte_or_cut_anywhere_is_not_believed() {
        let Place { volume, key, _room, .. } = place();
        volume.write_settings(&settings(), &key, Timestamp::EPOCH).unwrap();
        let path = volume.absolute(PLACE);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x01;
            for bytes in [bytes, whole[..at].to_vec()] {
                fs::write(&path, bytes).unwrap();
                assert!(volume.read_settings(&key).is_err(), "byte {at}");
            }
        }
        volume.write_settings(&settings(), &key, Timestamp::EPOCH).unwrap();
        assert_eq!(volume.read_settings(&key).unwrap(), Some(settings()));
    }
}
