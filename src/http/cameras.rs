//! Cameras: list, add, show, change, remove.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::body::{Fields, Said};
use super::problem::Problem;
use super::query::{InPath, Query};
use super::wire::{CameraShown, change_camera, ignore_answers};
use crate::model::{Camera, CameraId};

pub(super) async fn list(State(app): State<App>, query: Query) -> Result<Json<Vec<CameraShown>>, Problem> {
    query.done()?;
    let cameras = app.index.read(|reader| reader.cameras()).await?;
    Ok(Json(cameras.into_iter().map(CameraShown::from).collect()))
}

pub(super) async fn show(
    State(app): State<App>,
    InPath(id): InPath,
    query: Query,
) -> Result<Json<CameraShown>, Problem> {
    query.done()?;
    let camera = app.about(&id, |_, camera| Ok(camera)).await?;
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

pub(super) async fn remove(State(app): State<App>, InPath(id): InPath, query: Query) -> Result<StatusCode, Problem> {
    query.done()?;
    let _changing = app.changing.lock().await;
    let (at, gone) = (app.clock.now(), id.clone());
    // An unknown camera is the caller's mistake; one with held footage is refused before its recording is touched.
    app.about(&id, |_, _| Ok(())).await?;
    app.index.write(move |writer| writer.delete_camera(&gone, at)).await?;
    app.has_changed();
    app.recorder.remove(&id).await;
    app.refiller.stir();
    tracing::info!(camera = %id, "a camera was removed; its footage stays until retention takes it");
    Ok(StatusCode::NO_CONTENT)
}
