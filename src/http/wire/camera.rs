//! A camera as it is sent and shown.

use serde::Serialize;

use crate::archive::Template;
use crate::http::body::{Fields, FromField, Said};
use crate::http::problem::Problem;
use crate::model::{
    Address, Camera, RecordMode, RecordStream, Secret, TimeSource, Timestamp, Transport, Vendor, scrub,
};

/// Every field a camera may be given, as clients spell them.
pub const CAMERA_FIELDS: &[&str] = &[
    "id",
    "name",
    "site_id",
    "vendor",
    "model",
    "address",
    "rtsp_port",
    "http_port",
    "channel",
    "username",
    "password",
    "main_stream_url",
    "sub_stream_url",
    "record_stream",
    "transport",
    "time_source",
    "enabled",
    "record_enabled",
    "record_mode",
    "pre_roll_seconds",
    "post_roll_seconds",
    "segment_seconds",
    "retention_hours",
    "minimum_hours",
    "storage_quota_bytes",
    "record_audio",
    "mirror_enabled",
    "anr_enabled",
    "anr_replay_url_template",
    "priority",
];

/// A camera as it is shown. No secret is in it: a password only says that there is one, a URL has `***` for what is
/// nobody's business.
#[derive(Debug, Serialize)]
pub(in crate::http) struct CameraShown {
    id: String,
    name: String,
    site_id: Option<String>,
    vendor: Vendor,
    model: Option<String>,
    address: Option<String>,
    rtsp_port: u16,
    http_port: u16,
    channel: u32,
    username: Option<String>,
    has_password: bool,
    main_stream_url: Option<String>,
    sub_stream_url: Option<String>,
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
    anr_replay_url_template: Option<String>,
    priority: i32,
    recovered: bool,
    removed_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Camera> for CameraShown {
    fn from(camera: Camera) -> Self {
        Self {
            id: camera.id.to_string(),
            name: camera.name,
            site_id: camera.site_id,
            vendor: camera.vendor,
            model: camera.model,
            address: camera.address,
            rtsp_port: camera.rtsp_port,
            http_port: camera.http_port,
            channel: camera.channel,
            username: camera.username,
            has_password: camera.password.is_some(),
            main_stream_url: camera.main_stream_url.as_ref().map(shown_url),
            sub_stream_url: camera.sub_stream_url.as_ref().map(shown_url),
            record_stream: camera.record_stream,
            transport: camera.transport,
            time_source: camera.time_source,
            enabled: camera.enabled,
            record_enabled: camera.record_enabled,
            record_mode: camera.record_mode,
            pre_roll_seconds: camera.pre_roll_seconds,
            post_roll_seconds: camera.post_roll_seconds,
            segment_seconds: camera.segment_seconds,
            retention_hours: camera.retention_hours,
            minimum_hours: camera.minimum_hours,
            storage_quota_bytes: camera.storage_quota_bytes,
            record_audio: camera.record_audio,
            mirror_enabled: camera.mirror_enabled,
            anr_enabled: camera.anr_enabled,
            anr_replay_url_template: camera.anr_replay_url_template.as_ref().map(|url| scrub(url.reveal())),
            priority: camera.priority,
            recovered: camera.recovered,
            removed_at: camera.removed_at,
            created_at: camera.created_at,
            updated_at: camera.updated_at,
        }
    }
}

fn shown_url(url: &Secret) -> String {
    Address::parse(url.reveal()).map_or_else(|_| scrub(url.reveal()), |address| address.shown())
}

/// Takes what only answers carry out of a body, so that a client may change an answer and send it back.
pub(in crate::http) fn ignore_answers(fields: &mut Fields) {
    for name in ["has_password", "recovered", "removed_at", "created_at", "updated_at"] {
        fields.ignore(name);
    }
}

/// Changes a camera by what a body says. `fresh` is a camera about which nothing was said: `null` goes back to it.
pub(in crate::http) fn change_camera(camera: &mut Camera, mut fields: Fields, fresh: &Camera) -> Result<(), Problem> {
    let reaches = ["main_stream_url", "sub_stream_url", "address", "password"];
    let is_told = reaches.iter().any(|name| fields.gives(name));
    let given = &mut fields;
    let replay_before = camera.anr_replay_url_template.clone();
    match given.take::<String>("name")? {
        Said::Nothing => {}
        Said::Clear => return Err(Problem::field("name", "a camera needs a name")),
        Said::Set(name) => camera.name = name.trim().to_owned(),
    }
    text(given, "site_id", &mut camera.site_id)?;
    set(given, "vendor", &mut camera.vendor, &fresh.vendor)?;
    text(given, "model", &mut camera.model)?;
    text(given, "address", &mut camera.address)?;
    set(given, "rtsp_port", &mut camera.rtsp_port, &fresh.rtsp_port)?;
    set(given, "http_port", &mut camera.http_port, &fresh.http_port)?;
    set(given, "channel", &mut camera.channel, &fresh.channel)?;
    text(given, "username", &mut camera.username)?;
    secret(given, "password", &mut camera.password, |_| None)?;
    let url = |url: &Secret| Some(shown_url(url));
    secret(given, "main_stream_url", &mut camera.main_stream_url, url)?;
    secret(given, "sub_stream_url", &mut camera.sub_stream_url, url)?;
    set(given, "record_stream", &mut camera.record_stream, &fresh.record_stream)?;
    set(given, "transport", &mut camera.transport, &fresh.transport)?;
    set(given, "time_source", &mut camera.time_source, &fresh.time_source)?;
    set(given, "enabled", &mut camera.enabled, &fresh.enabled)?;
    set(
        given,
        "record_enabled",
        &mut camera.record_enabled,
        &fresh.record_enabled,
    )?;
    set(given, "record_mode", &mut camera.record_mode, &fresh.record_mode)?;
    set(
        given,
        "pre_roll_seconds",
        &mut camera.pre_roll_seconds,
        &fresh.pre_roll_seconds,
    )?;
    set(
        given,
        "post_roll_seconds",
        &mut camera.post_roll_seconds,
        &fresh.post_roll_seconds,
    )?;
    set(
        given,
        "segment_seconds",
        &mut camera.segment_seconds,
        &fresh.segment_seconds,
    )?;
    match given.take::<u32>("retention_hours")? {
        Said::Nothing => {}
        Said::Clear => camera.retention_hours = None,
        Said::Set(hours) => camera.retention_hours = Some(hours),
    }
    set(given, "minimum_hours", &mut camera.minimum_hours, &fresh.minimum_hours)?;
    match given.take::<u64>("storage_quota_bytes")? {
        Said::Nothing => {}
        Said::Clear => camera.storage_quota_bytes = None,
        // SQLite counts to 2^63, and no footage at all is what `record_enabled` is for.
        Said::Set(bytes) if bytes == 0 || i64::try_from(bytes).is_err() => {
            return Err(Problem::field(
                "storage_quota_bytes",
                "give a number of bytes above 0, or null for no quota",
            ));
        }
        Said::Set(bytes) => camera.storage_quota_bytes = Some(bytes),
    }
    set(given, "record_audio", &mut camera.record_audio, &fresh.record_audio)?;
    set(
        given,
        "mirror_enabled",
        &mut camera.mirror_enabled,
        &fresh.mirror_enabled,
    )?;
    set(given, "anr_enabled", &mut camera.anr_enabled, &fresh.anr_enabled)?;
    secret(
        given,
        "anr_replay_url_template",
        &mut camera.anr_replay_url_template,
        |url| Some(scrub(url.reveal())),
    )?;
    set(given, "priority", &mut camera.priority, &fresh.priority)?;
    fields.done(CAMERA_FIELDS)?;
    if let Some(template) = &camera.anr_replay_url_template
        && replay_before.as_ref() != Some(template)
    {
        Template::parse(template.reveal()).map_err(|error| Problem::field("anr_replay_url_template", error))?;
    }
    if is_told && camera.stream_address().is_ok() {
        camera.recovered = false;
    }
    camera.validate().map_err(Problem::from)
}

fn set<T: FromField + Clone>(fields: &mut Fields, name: &str, slot: &mut T, fresh: &T) -> Result<(), Problem> {
    match fields.take(name)? {
        Said::Nothing => {}
        Said::Clear => slot.clone_from(fresh),
        Said::Set(value) => *slot = value,
    }
    Ok(())
}

/// A text that may be missing. Forms send an empty one for it.
fn text(fields: &mut Fields, name: &str, slot: &mut Option<String>) -> Result<(), Problem> {
    match fields.take::<String>(name)? {
        Said::Nothing => {}
        Said::Clear => *slot = None,
        Said::Set(value) => *slot = Some(value.trim().to_owned()).filter(|value| !value.is_empty()),
    }
    Ok(())
}

/// A secret that may be missing. What comes back as it was shown keeps what is stored; anything else with `***` in it
/// is refused, because a changed address must not be handed stored credentials.
fn secret(
    fields: &mut Fields,
    name: &str,
    slot: &mut Option<Secret>,
    shown: impl Fn(&Secret) -> Option<String>,
) -> Result<(), Problem> {
    match fields.take::<Secret>(name)? {
        Said::Nothing => {}
        Said::Clear => *slot = None,
        Said::Set(value) if value.reveal().is_empty() => *slot = None,
        Said::Set(value) => {
            let before = slot.as_ref().and_then(&shown);
            if before.as_deref() == Some(value.reveal()) {
                return Ok(());
            }
            // Only of URLs: a password may well be three stars.
            if value.reveal().contains("://") && value.reveal().contains("***") {
                return Err(Problem::field(
                    name,
                    "`***` stands for what is stored and only while the rest of the URL is the same; write user and password again",
                ));
            }
            *slot = Some(value);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::CameraId;

    fn camera() -> Camera {
        let mut camera = Camera::new(CameraId::parse("door").unwrap(), "Door".into(), Timestamp::EPOCH);
        camera.main_stream_url = Some("rtsp://admin:hunter2@cam/1?token=tok123&x=1".into());
        camera.password = Some("hunter3".into());
        camera
    }

    fn change(camera: &mut Camera, body: &str) -> Result<(), String> {
        let fresh = Camera::new(camera.id.clone(), camera.name.clone(), camera.created_at);
        change_camera(camera, Fields::parse(body.as_bytes()).unwrap(), &fresh)
            .map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn no_secret_is_ever_shown() {
        let mut camera = camera();
        camera.sub_stream_url = Some("rtsp://cam/2?user=admin&password=hunter4".into());
        camera.anr_replay_url_template = Some("rtsp://admin:hunter5@cam/{start}".into());
        let shown = serde_json::to_string(&CameraShown::from(camera)).unwrap();
        for secret in ["hunter", "tok123", "admin"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(shown.contains(r#""has_password":true"#));
        assert!(shown.contains("rtsp://***@cam/1?token=***&x=1"));
    }

    #[test]
    fn a_shown_camera_sent_back_whole_changes_nothing() {
        let before = camera();
        let mut after = before.clone();
        let mut body = serde_json::to_value(CameraShown::from(before.clone())).unwrap();
        body.as_object_mut().unwrap().remove("id");
        let mut fields = Fields::parse(body.to_string().as_bytes()).unwrap();
        ignore_answers(&mut fields);
        change_camera(&mut after, fields, &before).unwrap();
        assert_eq!(after, before);
    }

    #[test]
    fn stored_credentials_never_follow_to_another_address() {
        let mut camera = camera();
        let before = camera.clone();
        let error = change(&mut camera, r#"{"main_stream_url": "rtsp://***@evil.example/1"}"#).unwrap_err();
        assert!(error.contains("write user and password again"), "{error}");
        assert_eq!(camera, before);
    }

    #[test]
    fn null_goes_back_to_what_is_when_nothing_is_said_and_absent_stays() {
        let mut camera = camera();
        change(
            &mut camera,
            r#"{"segment_seconds": 10, "site_id": "yard", "username": "u"}"#,
        )
        .unwrap();
        change(
            &mut camera,
            r#"{"segment_seconds": null, "username": null, "password": null}"#,
        )
        .unwrap();
        assert_eq!((camera.segment_seconds, camera.username.as_deref()), (60, None));
        assert_eq!((camera.site_id.as_deref(), &camera.password), (Some("yard"), &None));
        assert_eq!(
            change(&mut camera, r#"{"name": null}"#).unwrap_err(),
            "name: a camera needs a name"
        );
    }

    #[test]
    fn what_the_model_refuses_is_refused_with_its_field() {
        let mut camera = camera();
        for (body, start) in [
            (r#"{"segment_seconds": 1}"#, "segment_seconds: 1 is out of range"),
            (
                r#"{"main_stream_url": "http://cam/1"}"#,
                "main_stream_url: the scheme must be rtsp",
            ),
            (
                r#"{"main_stream_url": null}"#,
                "main_stream_url: this vendor has no fixed",
            ),
            (r#"{"vendor": "axis", "main_stream_url": null}"#, "address: "),
            (r#"{"storage_quota_bytes": 0}"#, "storage_quota_bytes: give a number"),
            (r#"{"http_port": 0}"#, "http_port: 0 is out of range"),
            (
                r#"{"anr_replay_url_template": "rtsp://cam/{start}"}"#,
                "anr_replay_url_template: {end} is missing",
            ),
            (
                r#"{"anr_replay_url_template": "http://cam/{start}/{end}"}"#,
                "anr_replay_url_template: the scheme must be rtsp",
            ),
            (r#"{"segment_second": 5}"#, "segment_second: unknown field"),
        ] {
            let error = change(&mut camera.clone(), body).unwrap_err();
            assert!(error.starts_with(start), "{error}");
        }
        change(&mut camera, r#"{"priority": -3, "storage_quota_bytes": 1}"#).unwrap();
        assert_eq!(camera.priority, -3);
    }
}
