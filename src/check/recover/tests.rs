#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::index::KnownVolume;
use crate::model::{Days, Hold, HoldId, RunId, ScheduleId, Span, VolumeRole};
use crate::storage::{SealKey, Settings};

struct Place {
    room: tempfile::TempDir,
    volume: Volume,
}

fn place() -> Place {
    let room = tempfile::tempdir().unwrap();
    let volume = Volume::open(&room.path().join("recordings"), VolumeRole::Primary, at(0)).unwrap();
    Place { room, volume }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn id(text: &str) -> CameraId {
    CameraId::parse(text).unwrap()
}

fn camera(text: &str) -> Camera {
    let mut camera = Camera::new(id(text), text.to_uppercase(), at(1));
    camera.main_stream_url = Some("rtsp://admin:hunter2@cam/1".into());
    camera
}

fn saved(camera: Camera) -> SavedCamera {
    let schedule = Schedule {
        id: ScheduleId(0),
        camera: camera.id.clone(),
        days: Days::ALL,
        start_minute: 0,
        end_minute: 60,
        zone: "UTC".into(),
        enabled: true,
    };
    SavedCamera {
        schedules: if camera.removed_at.is_some() {
            vec![]
        } else {
            vec![schedule]
        },
        has_lost_secrets: false,
        camera,
    }
}

/// What of the door is held.
fn hold() -> Hold {
    Hold {
        id: HoldId(uuid::Uuid::from_u128(1)),
        cameras: vec![id("door")],
        span: Span::new(at(4).offset(1), at(6)),
        segment: None,
        reason: "theft".into(),
        owner: "somebody".into(),
        incident: Some("2026-17".into()),
        created_at: at(8),
        expires_at: Some(at(1_000)),
    }
}

impl Place {
    fn key(&self, name: &str) -> SealKey {
        SealKey::load_or_make(&self.room.path().join(name)).unwrap()
    }

    /// A new index, as after a loss.
    fn index(&self, name: &str) -> Index {
        let path: PathBuf = self.room.path().join(format!("{name}.db"));
        Index::open(path, Arc::new(self.key("secret.key"))).unwrap()
    }

    fn save(&self, cameras: Vec<SavedCamera>) {
        let settings = Settings {
            box_key: None,
            cameras,
            holds: vec![hold()],
        };
        self.volume
            .write_settings(&settings, &self.key("secret.key"), at(9))
            .unwrap();
    }

    fn put_file(&self, camera: &str) {
        let place = crate::storage::Place::new(id(camera), at(5), RunId(1), 0);
        self.volume.create_new(&place.relative_path()).unwrap();
    }

    fn recover(&self, index: &Index, key: &str) -> Recovered {
        recover_cameras(index, &self.volume, &self.key(key), None, at(10)).unwrap()
    }
}

fn shown(index: &Index) -> Vec<(String, bool, usize)> {
    let look = index.read_blocking(|reader| {
        let cameras = reader.cameras()?.into_iter();
        cameras
            .map(|camera| {
                Ok((
                    camera.id.to_string(),
                    camera.recovered,
                    reader.schedules(&camera.id)?.len(),
                ))
            })
            .collect()
    });
    look.unwrap()
}

#[test]
fn cameras_come_back_whole_from_their_settings_and_by_their_ids_from_their_files() {
    let place = place();
    let mut removed = camera("cellar");
    removed.removed_at = Some(at(7));
    place.save(vec![saved(camera("door")), saved(removed)]);
    for camera in ["door", "cellar", "yard"] {
        place.put_file(camera);
    }
    std::fs::create_dir_all(place.volume.absolute("holiday/2026")).unwrap();
    let index = place.index("new");
    let recovered = place.recover(&index, "secret.key");
    assert_eq!(
        (recovered.whole, recovered.from_files),
        (vec![id("door")], vec![id("yard")])
    );
    assert_eq!(shown(&index), [("door".into(), false, 1), ("yard".into(), true, 0)]);
    let door = index.read_blocking(|reader| reader.camera(&id("door"))).unwrap();
    assert_eq!(door, Some(camera("door")));
    assert_eq!(index.read_blocking(|reader| reader.holds()).unwrap(), [hold()]);
    let of_door = crate::model::fixture::segment(9, Span::new(at(5), at(7)));
    let file = Segment {
        camera: id("door"),
        ..of_door
    };
    let found = file.id;
    index.write_blocking(move |writer| writer.close_segment(&file)).unwrap();
    let standing = index
        .read_blocking(move |reader| reader.standing(found))
        .unwrap()
        .unwrap();
    assert!(standing.is_held, "what is found of it later is held");
    let hidden = index.read_blocking(|reader| reader.deleted_cameras()).unwrap();
    assert_eq!((hidden.len(), hidden[0].removed_at), (1, Some(at(7))));
    assert!(place.recover(&index, "secret.key").is_nothing(), "twice is once");
}

#[test]
fn with_another_key_cameras_wait_for_what_was_sealed_and_have_it_with_the_former_key() {
    let place = place();
    place.save(vec![saved(camera("door"))]);
    place.put_file("door");
    let index = place.index("new");
    let recovered = place.recover(&index, "other.key");
    assert_eq!(recovered.without_secrets, [id("door")]);
    assert!(
        recovered.needs_somebody() && recovered.to_string().contains("secret.key"),
        "{recovered}"
    );
    assert_eq!(shown(&index), [("door".into(), true, 1)]);
    index.write_blocking(|writer| writer.end_recovery()).unwrap();
    let again = place.recover(&index, "secret.key");
    assert_eq!(again.whole, [id("door")]);
    assert_eq!(shown(&index), [("door".into(), false, 1)]);
}

#[test]
fn an_old_index_gets_what_is_newer_and_an_index_that_was_not_lost_gets_nothing() {
    let place = place();
    let mut newer = camera("door");
    newer.name = "Front door".into();
    newer.updated_at = at(8);
    let mut removed = camera("cellar");
    removed.removed_at = Some(at(7));
    let mut older = camera("yard");
    older.name = "Old yard".into();
    place.save(vec![saved(newer.clone()), saved(removed), saved(older)]);
    let index = place.index("backup");
    let mut yard = camera("yard");
    yard.updated_at = at(6);
    index
        .write_blocking(move |writer| {
            for camera in [camera("door"), camera("cellar"), yard] {
                writer.insert_camera(&camera)?;
            }
            writer.put_volume(&KnownVolume {
                id: crate::model::VolumeId(uuid::Uuid::from_u128(1)),
                role: VolumeRole::Primary,
                root: "recordings".into(),
                created_at: at(0),
            })
        })
        .unwrap();
    assert_eq!(place.recover(&index, "secret.key").whole, [id("door")]);
    let names = |index: &Index| -> Vec<String> {
        let cameras = index.read_blocking(|reader| reader.cameras()).unwrap();
        cameras.into_iter().map(|camera| camera.name).collect()
    };
    assert_eq!(names(&index), ["Front door", "YARD"]);
    index.write_blocking(|writer| writer.end_recovery()).unwrap();
    newer.name = "Back door".into();
    newer.updated_at = at(9);
    place.save(vec![saved(newer)]);
    place.put_file("attic");
    assert!(place.recover(&index, "secret.key").is_nothing());
    assert_eq!(names(&index), ["Front door", "YARD"]);
}
