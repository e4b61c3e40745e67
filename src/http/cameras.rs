//! Cameras: list, add, show, change, remove.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::body::{Fields, Said};
use super::problem::Problem;
use super::query::{InPath, Query};
use super::wire::{CameraShown, RemovedCameraShown, RemovedShown, change_camera, ignore_answers};
use crate::index::{Footage, IndexError, Reader};
use crate::model::{Camera, CameraId};

pub(super) async fn list(State(app): State<App>, mut query: Query) -> Result<Response, Problem> {
    let removed = query.removed()?;
    query.done()?;
    if removed {
        return Ok(Json(removed_cameras(&app).await?).into_response());
    }
    let cameras = app.index.read(|reader| reader.cameras()).await?;
    let cameras: Vec<CameraShown> = cameras.into_iter().map(CameraShown::from).collect();
    Ok(Json(cameras).into_response())
}

/// Cameras that are not there any more and whose footage is, with how much that is.
async fn removed_cameras(app: &App) -> Result<Vec<RemovedCameraShown>, Problem> {
    let look = |reader: &Reader<'_>| {
        let cameras = reader.deleted_cameras()?.into_iter();
        let with_footage = cameras.map(|camera| Ok((reader.footage_of(&camera.id)?, camera)));
        with_footage.collect::<Result<Vec<_>, IndexError>>()
    };
    let cameras = app.index.read(look).await?.into_iter();
    Ok(cameras
        .map(|(footage, camera)| RemovedCameraShown::new(camera, footage))
        .collect())
}

pub(super) async fn show(
    State(app): State<App>,
    InPath(id): InPath,
    mut query: Query,
) -> Result<Json<CameraShown>, Problem> {
    let removed = query.removed()?;
    query.done()?;
    let camera = app.about_any(&id, removed, |_, camera| Ok(camera)).await?;
    Ok(Json(camera.into()))
}

pub(super) async fn add(State(app): State<App>, mut fields: Fields) -> Result<Response, Problem> {
    let Said::Set(name) = fields.take::<String>("name")? else {
        return Err(Problem::field("name", "a camera needs a name"));
    };
    let id = match fields.take::<String>("id")? {
        Said::Set(id) => CameraId::parse(&id).map_err(|error| Problem::field("id", error))?,
        Said::Nothing | Said::Clear => CameraId::from_name(&name)
            .ok_or_else(|| Problem::field("id", "no id can be made from this name; give one of a-z, 0-9, `-`, `_`"))?,
    };
    let fresh = Camera::new(id, name.trim().to_owned(), app.clock.now());
    let mut camera = fresh.clone();
    change_camera(&mut camera, fields, &fresh)?;

    let _changing = app.changing.lock().await;
    let stored = camera.clone();
    app.index.write(move |writer| writer.insert_camera(&stored)).await?;
    tracing::info!(camera = %camera.id, "a camera was added");
    app.recorder.apply(camera.clone());
    app.has_changed();
    let place = HeaderValue::try_from(format!("/api/v1/cameras/{}", camera.id));
    let mut response = (StatusCode::CREATED, Json(CameraShown::from(camera))).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

pub(super) async fn change(
    State(app): State<App>,
    InPath(id): InPath,
    mut fields: Fields,
) -> Result<Json<CameraShown>, Problem> {
    ignore_answers(&mut fields);
    match fields.take::<String>("id")? {
        Said::Nothing => {}
        Said::Set(same) if same == id.as_str() => {}
        _ => return Err(Problem::field("id", "the id of a camera never changes; its name may")),
    }
    let _changing = app.changing.lock().await;
    let before = app.about(&id, |_, camera| Ok(camera)).await?;
    let mut after = before.clone();
    let fresh = Camera::new(id, before.name.clone(), before.created_at);
    change_camera(&mut after, fields, &fresh)?;
    if after != before {
        after.updated_at = app.clock.now();
        let stored = after.clone();
        app.index.write(move |writer| writer.update_camera(&stored)).await?;
        tracing::info!(camera = %after.id, "a camera was changed");
        if !after.recovered {
            app.recorder.apply(after.clone());
        }
        app.has_changed();
        app.refiller.stir();
    }
    Ok(Json(after.into()))
}

/// How long whoever removes a camera waits for its footage to be gone; what is left goes by itself.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often, and how often at most, it is looked whether the last segment of a camera is known to be closed.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 60;

/// Removes a camera and says which footage of it stays; with `purge`, also of one that was removed before, that goes too.
pub(super) async fn remove(
    State(app): State<App>,
    InPath(id): InPath,
    mut query: Query,
) -> Result<Json<RemovedShown>, Problem> {
    let purge = query.flag("purge")?;
    query.done()?;
    let at = app.clock.now();
    {
        let _changing = app.changing.lock().await;
        // An unknown camera is the caller's mistake; one with held footage is refused before its recording is touched.
        let camera = app.about_any(&id, purge, |_, camera| Ok(camera)).await?;
        let gone = id.clone();
        app.index
            .write(move |writer| {
                if camera.removed_at.is_none() {
                    writer.delete_camera(&gone, at)?;
                }
                if purge {
                    writer.begin_purge(&gone, at)?;
                }
                Ok(())
            })
            .await?;
        app.has_changed();
        app.recorder.remove(&id).await;
        app.refiller.stir();
    }
    let before = wait_until_closed(&app, &id).await?;
    let mut waits_for = None;
    if purge {
        let (purger, of) = (app.purger.clone(), id.clone());
        let work = tokio::task::spawn_blocking(move || purger.purge(&of));
        waits_for = match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(Ok(purged))) => purged.waits_for,
            Ok(Ok(Err(error))) => {
                tracing::error!(camera = %id, %error, "footage of a removed camera could not be removed; it is tried again");
                Some("a disk refuses; the log of camkeep says more".to_owned())
            }
            Ok(Err(error)) => {
                tracing::error!(camera = %id, %error, "the removal of footage died; it is tried again");
                Some("it is tried again each minute".to_owned())
            }
            Err(_) => Some("it goes on in the background".to_owned()),
        };
        app.has_changed();
    }
    let asked = id.clone();
    let stays = app.index.read(move |reader| reader.footage_of(&asked)).await?;
    tracing::info!(camera = %id, purge, segments = stays.segments, "a camera was removed; so much of its footage stays");
    Ok(Json(RemovedShown::new(&id, purge, before, stays, waits_for)))
}

/// What there is of a removed camera, once the last of it is known.
async fn wait_until_closed(app: &App, id: &CameraId) -> Result<Footage, Problem> {
    for _ in 0..LOOKS {
        let asked = id.clone();
        let look = move |reader: &Reader<'_>| {
            let open = reader.open_segments()?.iter().any(|segment| segment.camera == asked);
            Ok((open, reader.footage_of(&asked)?))
        };
        let (is_open, footage) = app.index.read(look).await?;
        if !is_open {
            return Ok(footage);
        }
        tokio::time::sleep(LOOK).await;
    }
    let asked = id.clone();
    Ok(app.index.read(move |reader| reader.footage_of(&asked)).await?)
}
