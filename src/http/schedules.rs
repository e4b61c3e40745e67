//! Schedules: when a camera is recorded. What changes takes effect at once.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::body::Fields;
use super::problem::Problem;
use super::query::{InPath, Query, path_part};
use super::wire::{ScheduleShown, change_schedule, fresh_schedule};
use crate::model::{CameraId, Schedule, ScheduleId};

/// Most schedules of one camera; a week that needs more is written wrong.
const MOST: usize = 100;

/// The schedule named in the path.
pub(super) struct OfPath(ScheduleId);

impl<S: Sync + Send> FromRequestParts<S> for OfPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = path_part(parts, state, "schedule").await;
        named.parse().map(|id| Self(ScheduleId(id))).map_err(|_| {
            let shown: String = named.chars().filter(|c| !c.is_control()).take(40).collect();
            Problem::not_found(format!("schedule {shown} not found"))
        })
    }
}

pub(super) async fn list(
    State(app): State<App>,
    InPath(id): InPath,
    query: Query,
) -> Result<Json<Vec<ScheduleShown>>, Problem> {
    query.done()?;
    let found = app.about(&id, |reader, camera| reader.schedules(&camera.id)).await?;
    Ok(Json(found.into_iter().map(ScheduleShown::from).collect()))
}

pub(super) async fn add(State(app): State<App>, InPath(id): InPath, fields: Fields) -> Result<Response, Problem> {
    let _changing = app.changing.lock().await;
    let known = app.about(&id, |reader, camera| reader.schedules(&camera.id)).await?;
    if known.len() >= MOST {
        return Err(Problem::conflict(format!("camera {id} has {MOST} schedules already")));
    }
    let mut schedule = fresh_schedule(id);
    change_schedule(&mut schedule, fields)?;
    let stored = schedule.clone();
    schedule.id = app.index.write(move |writer| writer.insert_schedule(&stored)).await?;
    tell(&app, &schedule.camera).await?;
    let place = HeaderValue::try_from(format!("/api/v1/schedules/{}", schedule.id.0));
    let mut response = (StatusCode::CREATED, Json(ScheduleShown::from(schedule))).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

pub(super) async fn show(
    State(app): State<App>,
    OfPath(id): OfPath,
    query: Query,
) -> Result<Json<ScheduleShown>, Problem> {
    query.done()?;
    Ok(Json(find(&app, id).await?.into()))
}

pub(super) async fn change(
    State(app): State<App>,
    OfPath(id): OfPath,
    fields: Fields,
) -> Result<Json<ScheduleShown>, Problem> {
    let _changing = app.changing.lock().await;
    let mut schedule = find(&app, id).await?;
    change_schedule(&mut schedule, fields)?;
    let stored = schedule.clone();
    app.index.write(move |writer| writer.update_schedule(&stored)).await?;
    tell(&app, &schedule.camera).await?;
    Ok(Json(schedule.into()))
}

pub(super) async fn remove(State(app): State<App>, OfPath(id): OfPath, query: Query) -> Result<StatusCode, Problem> {
    query.done()?;
    let _changing = app.changing.lock().await;
    let schedule = find(&app, id).await?;
    app.index.write(move |writer| writer.delete_schedule(id)).await?;
    tell(&app, &schedule.camera).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(app: &App, id: ScheduleId) -> Result<Schedule, Problem> {
    let found = app.index.read(move |reader| reader.schedule(id)).await?;
    found.ok_or_else(|| Problem::not_found(format!("schedule {} not found", id.0)))
}

/// Hands a camera's schedules as they are now to whoever records it.
async fn tell(app: &App, camera: &CameraId) -> Result<(), Problem> {
    let id = camera.clone();
    let schedules = app.index.read(move |reader| reader.schedules(&id)).await?;
    tracing::info!(%camera, schedules = schedules.len(), "schedules were changed");
    app.recorder.schedule(camera, schedules);
    app.has_changed();
    Ok(())
}
