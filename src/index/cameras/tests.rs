//! Tests of cameras in the index.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::index::fixture::{at, camera_id, closed, hold, index, seal};
use crate::index::{Index, IndexError};
use crate::model::Fault;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

fn secret() -> impl Strategy<Value = Option<Secret>> {
    proptest::option::of("\\PC{0,30}".prop_map(Secret::new))
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("\\PC{0,12}")
}

prop_compose! {
    fn cameras()(
        name in "\\PC{1,20}", texts in [text(), text(), text(), text()],
        secrets in [secret(), secret(), secret(), secret()],
        words in (select(Vendor::ALL), select(RecordStream::ALL), select(Transport::ALL), select(TimeSource::ALL),
            select(RecordMode::ALL)),
        [port, http_port] in any::<[u16; 2]>(), seconds in any::<[u32; 6]>(), priority in any::<i32>(),
        quota in proptest::option::of(0..=i64::MAX as u64), flags in any::<[bool; 5]>(), updated in any::<i64>(),
    ) -> Camera {
        let [site_id, model, address, username] = texts;
        let [password, main_stream_url, sub_stream_url, anr_replay_url_template] = secrets;
        let (vendor, record_stream, transport, time_source, record_mode) = words;
        let [channel, pre_roll_seconds, post_roll_seconds, segment_seconds, retention_hours, minimum_hours] = seconds;
        let [enabled, record_enabled, record_audio, mirror_enabled, anr_enabled] = flags;
        Camera {
            site_id, vendor, model, address, rtsp_port: port, http_port, channel, username, password,
            main_stream_url, sub_stream_url, record_stream, transport, time_source, enabled, record_enabled, record_mode,
            pre_roll_seconds, post_roll_seconds, segment_seconds,
            retention_hours: Some(retention_hours).filter(|hours| *hours > 0), minimum_hours,
            storage_quota_bytes: quota, record_audio, mirror_enabled, anr_enabled, anr_replay_url_template, priority,
            updated_at: Timestamp::from_nanos(updated),
            ..Camera::new(camera_id("door"), name, at(7))
        }
    }
}

#[test]
fn any_camera_comes_back_as_it_went_in() {
    let (_directory, index) = index();
    let door = camera_id("door");
    index
        .write_blocking(|w| w.insert_camera(&Camera::new(camera_id("door"), "Door".into(), at(1))))
        .unwrap();
    let config = Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&cameras(), |camera| {
            let sent = camera.clone();
            index.write_blocking(move |w| w.update_camera(&sent)).unwrap();
            prop_assert_eq!(index.read_blocking(|r| r.camera(&door)).unwrap(), Some(camera.clone()));
            prop_assert_eq!(index.read_blocking(|r| r.cameras()).unwrap(), vec![camera]);
            Ok(())
        })
        .unwrap();
}

fn add(index: &Index, change: impl FnOnce(&mut Camera)) -> Result<(), IndexError> {
    let mut camera = Camera::new(camera_id("door"), "Door".into(), at(1));
    change(&mut camera);
    index.write_blocking(move |w| w.insert_camera(&camera))
}

#[test]
fn an_id_is_taken_once() {
    let (_directory, index) = index();
    add(&index, |_| {}).unwrap();
    let error = add(&index, |camera| camera.name = "Another".into()).unwrap_err();
    assert_eq!(error.fault(), Fault::Conflict);
    assert!(error.to_string().contains("choose another name or id"), "{error}");
    assert_eq!(
        index
            .read_blocking(|r| r.camera(&camera_id("door")))
            .unwrap()
            .unwrap()
            .name,
        "Door"
    );
    let error = index
        .write_blocking(|w| w.update_camera(&Camera::new(camera_id("yard"), "Yard".into(), at(1))))
        .unwrap_err();
    assert_eq!(error, IndexError::NotFound("camera yard".into()));
}

#[test]
fn no_secret_can_be_read_in_the_file() {
    let (directory, index) = index();
    add(&index, |camera| {
        camera.password = Some("canary-password".into());
        camera.main_stream_url = Some("rtsp://u:canary-url@cam/1".into());
        camera.sub_stream_url = Some("rtsp://cam/2?pwd=canary-query".into());
        camera.anr_replay_url_template = Some("rtsp://u:canary-replay@cam/{start}".into());
    })
    .unwrap();
    for close in [false, true] {
        if close {
            index.close();
        }
        let mut bytes = Vec::new();
        for file in std::fs::read_dir(directory.path()).unwrap() {
            bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(holds(b"Door"), "the file holds the camera");
        assert!(!holds(b"canary"), "and none of its secrets");
    }
}

#[test]
fn a_secret_of_another_key_is_told_and_not_taken_for_none() {
    let (_directory, index) = index();
    add(&index, |camera| camera.password = Some("x".into())).unwrap();
    index
        .write_blocking(|w| {
            Ok(w.connection()
                .execute_batch("UPDATE cameras SET password_sealed = x'00'")?)
        })
        .unwrap();
    let error = index.read_blocking(|r| r.cameras()).unwrap_err();
    assert_eq!(error.fault(), Fault::Corrupt);
    assert!(error.to_string().contains("password of camera door"), "{error}");
}

#[test]
fn a_deleted_camera_leaves_its_footage_and_not_its_secrets_and_finds_it_when_it_returns() {
    let (_directory, index) = index();
    let door = camera_id("door");
    add(&index, |camera| camera.password = Some("x".into())).unwrap();
    index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
    index
        .write_blocking(|w| w.delete_camera(&camera_id("door"), at(100)))
        .unwrap();
    assert_eq!(index.read_blocking(|r| r.cameras()).unwrap(), []);
    assert_eq!(index.read_blocking(|r| r.camera(&door)).unwrap(), None);
    let hidden = index.read_blocking(|r| r.deleted_cameras()).unwrap();
    assert_eq!(
        (hidden.len(), &hidden[0].password, hidden[0].enabled),
        (1, &None, false)
    );
    let again = index.write_blocking(|w| w.delete_camera(&camera_id("door"), at(101)));
    assert_eq!(again.unwrap_err().fault(), Fault::NotFound);
    assert_eq!(index.read_blocking(|r| r.count_segments(Some(&door))).unwrap(), 1);

    add(&index, |camera| camera.name = "Again".into()).unwrap();
    assert_eq!(index.read_blocking(|r| r.camera(&door)).unwrap().unwrap().name, "Again");
    assert_eq!(
        index.read_blocking(|r| r.last_segment(&door)).unwrap(),
        Some(closed(1, 0, 60))
    );
}

#[test]
fn a_deleted_camera_is_forgotten_with_its_last_segment() {
    let (_directory, index) = index();
    add(&index, |_| {}).unwrap();
    index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
    index
        .write_blocking(|w| {
            w.delete_camera(&camera_id("door"), at(100))?;
            assert_eq!(w.forget_empty_cameras()?, 0);
            assert!(w.remove_segment(closed(1, 0, 60).id)?);
            assert_eq!(w.forget_empty_cameras()?, 1);
            Ok(())
        })
        .unwrap();
    assert_eq!(index.read_blocking(|r| r.deleted_cameras()).unwrap(), []);
}

#[test]
fn evidence_keeps_its_camera_and_itself() {
    let (_directory, index) = index();
    add(&index, |_| {}).unwrap();
    index
        .write_blocking(|w| {
            w.close_segment(&closed(1, 0, 60))?;
            w.insert_hold(&hold(1, &["door"], 10, 20))
        })
        .unwrap();
    let error = index
        .write_blocking(|w| w.delete_camera(&camera_id("door"), at(100)))
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Conflict);
    assert!(!index.write_blocking(|w| w.remove_segment(closed(1, 0, 60).id)).unwrap());
    // Mending its file does not release it.
    index.write_blocking(|w| w.close_segment(&closed(1, 0, 61))).unwrap();
    assert!(!index.write_blocking(|w| w.remove_segment(closed(1, 0, 60).id)).unwrap());
    assert!(index.read_blocking(|r| r.camera(&camera_id("door"))).unwrap().is_some());
}

#[test]
fn footage_of_a_camera_that_nobody_knows_is_kept_until_it_is_added() {
    let (directory, index) = index();
    index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
    assert_eq!(index.read_blocking(|r| r.cameras()).unwrap(), []);
    index.close();
    let index = Index::open(directory.path().join("index.db"), seal()).unwrap();
    add(&index, |_| {}).unwrap();
    let found = index.read_blocking(|r| r.last_segment(&camera_id("door"))).unwrap();
    assert_eq!(found.map(|segment| segment.id), Some(closed(1, 0, 60).id));
}
