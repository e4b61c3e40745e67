//! Export jobs: ordered, watched, called off.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::body::{Fields, Said};
use super::clips::{asked_by, given_or_usual, window_of};
use super::paging::{Cursor, MOST, USUAL, cut, page};
use super::problem::Problem;
use super::query::{Query, uuid_part};
use super::wire::JobShown;
use crate::model::{CameraId, JobId, Order, Timestamp};

/// The fields of an order.
const FIELDS: [&str; 7] = ["cameras", "from", "to", "mode", "name", "burn_in", "captions"];

pub(super) async fn order(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut query: Query,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let removed = query.removed()?;
    query.done()?;
    let cameras = match fields.take::<Vec<String>>("cameras")? {
        Said::Set(named) => cameras(&named)?,
        Said::Nothing | Said::Clear => {
            return Err(Problem::field("cameras", "name them, like [\"front-door\"]"));
        }
    };
    let window = window_of(&mut fields)?;
    let mode = given_or_usual(fields.take("mode")?);
    let name = match fields.take::<String>("name")? {
        Said::Set(name) if !name.trim().is_empty() => Some(name),
        _ => None,
    };
    let burn_in = given_or_usual(fields.take("burn_in")?);
    let captions = given_or_usual(fields.take("captions")?);
    fields.done(&FIELDS)?;
    for id in &cameras {
        app.refuse_removed(id, removed).await?;
    }
    let job = app
        .exporter
        .submit(Order {
            cameras,
            window,
            mode,
            name,
            burn_in,
            captions,
            asked_by: asked_by(peer),
        })
        .await?;
    let place = format!("/api/v1/exports/{}", job.id);
    let mut response = (StatusCode::ACCEPTED, Json(JobShown::from((job, Vec::new())))).into_response();
    if let Ok(place) = HeaderValue::try_from(place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// The cameras that are named, each once.
pub(super) fn cameras(named: &[String]) -> Result<Vec<CameraId>, Problem> {
    let mut cameras = Vec::new();
    for id in named {
        let id = CameraId::parse(id).map_err(|_| Problem::no_camera(id))?;
        if !cameras.contains(&id) {
            cameras.push(id);
        }
    }
    Ok(cameras)
}

pub(super) async fn list(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = query.number("limit", 1..=MOST, USUAL)?;
    let before: Option<(Timestamp, JobId)> = Cursor::parse(query.text("cursor"))?;
    query.done()?;
    let mut rows = app.exporter.jobs(limit + 1, before).await?;
    let next = cut(&mut rows, limit, |(job, _)| (job.created_at, job.id));
    let rows: Vec<JobShown> = rows.into_iter().map(JobShown::from).collect();
    Ok(page(rows, next, &uri))
}

pub(super) async fn show(State(app): State<App>, request: Request) -> Result<Json<JobShown>, Problem> {
    let id = job_id(&app, request).await?;
    let found = app.exporter.job(id).await?.ok_or_else(no_job)?;
    Ok(Json(found.into()))
}

pub(super) async fn cancel(State(app): State<App>, request: Request) -> Result<StatusCode, Problem> {
    let id = job_id(&app, request).await?;
    if app.exporter.cancel(id).await? {
        tracing::info!(job = %id, "an export was called off or forgotten");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(no_job())
}

async fn job_id(app: &App, request: Request) -> Result<JobId, Problem> {
    let (mut parts, _) = request.into_parts();
    let query = Query::from_request_parts(&mut parts, app).await?;
    query.done()?;
    uuid_part(&mut parts, app, "export").await.map(JobId).ok_or_else(no_job)
}

fn no_job() -> Problem {
    Problem::not_found("there is no such export; those that are over are forgotten with their clips")
}
