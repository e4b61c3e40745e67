//! How cameras are, and how the box is.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::app::App;
use super::problem::Problem;
use super::query::{InPath, Query};
use crate::model::{Camera, CameraHealth, CameraState, GapId, Timestamp};

/// How a camera is, and what is being fetched from its own storage.
#[derive(Debug, Serialize)]
pub(super) struct HealthShown {
    #[serde(flatten)]
    health: CameraHealth,
    refilling: Option<RefillingShown>,
}

/// The gap that is being filled.
#[derive(Debug, Serialize)]
struct RefillingShown {
    gap: GapId,
    since: Timestamp,
}

impl HealthShown {
    fn new(app: &App, health: CameraHealth) -> Self {
        let running = app.refiller.running(&health.camera_id);
        Self {
            refilling: running.map(|running| RefillingShown {
                gap: running.gap,
                since: running.since,
            }),
            health,
        }
    }
}

pub(super) async fn cameras(State(app): State<App>, query: Query) -> Result<Json<Vec<HealthShown>>, Problem> {
    query.done()?;
    let health = health_of_all(&app).await?.into_iter();
    Ok(Json(health.map(|health| HealthShown::new(&app, health)).collect()))
}

/// How every camera is, in the order of their ids, those that the recorder does not have among them.
pub(super) async fn health_of_all(app: &App) -> Result<Vec<CameraHealth>, Problem> {
    let cameras = app.index.read(|reader| reader.cameras()).await?;
    let known = app.recorder.health();
    let health = cameras.into_iter().map(|camera| {
        let told = known.iter().find(|health| health.camera_id == camera.id).cloned();
        told.unwrap_or_else(|| not_yet(camera))
    });
    Ok(health.collect())
}

pub(super) async fn camera(
    State(app): State<App>,
    InPath(id): InPath,
    query: Query,
) -> Result<Json<HealthShown>, Problem> {
    query.done()?;
    let camera = app.about(&id, |_, camera| Ok(camera)).await?;
    let health = app.recorder.camera_health(&id).unwrap_or_else(|| not_yet(camera));
    Ok(Json(HealthShown::new(&app, health)))
}

/// What to do about a camera that was made again from its recordings.
const RECOVERED: &str = "the index was lost, and how this camera is reached is not known any more: give it its main_stream_url, \
    or its address, user and password";

/// A camera that the recorder has not taken up: it is switched off, was added this moment, or cannot be reached.
fn not_yet(camera: Camera) -> CameraHealth {
    CameraHealth {
        state: match camera.enabled && camera.record_enabled {
            false => CameraState::Disabled,
            true if camera.recovered => CameraState::Error,
            true => CameraState::Connecting,
        },
        message: camera.recovered.then(|| RECOVERED.to_owned()),
        camera_id: camera.id,
        name: camera.name,
        since: camera.updated_at,
        loss: None,
        last_frame_at: None,
        frames_per_second: 0.0,
        bytes_per_second: 0.0,
        reconnects: 0,
        abandoned: 0,
        ticks_believed: true,
    }
}

/// The daemon lives.
#[derive(Debug, Serialize)]
pub(super) struct Alive {
    status: &'static str,
    version: &'static str,
    time: Timestamp,
    started_at: Timestamp,
    uptime_seconds: f64,
}

pub(super) async fn healthz(State(app): State<App>) -> Json<Alive> {
    let now = app.clock.now();
    Json(Alive {
        status: "ok",
        version: app.version,
        time: now,
        started_at: app.started_at,
        uptime_seconds: now.since(app.started_at).as_secs_f64(),
    })
}

/// The daemon can do its work.
#[derive(Debug, Serialize)]
pub(super) struct Ready {
    status: &'static str,
    cameras: usize,
    recording: usize,
}

pub(super) async fn readyz(State(app): State<App>) -> Result<Json<Ready>, Problem> {
    // The index is asked, not assumed; when it does not answer, the problem says so.
    let cameras = app.index.read(|reader| reader.cameras()).await?;
    let health = app.recorder.health();
    let recording = health.iter().filter(|health| health.state == CameraState::Recording);
    Ok(Json(Ready {
        status: "ready",
        cameras: cameras.len(),
        recording: recording.count(),
    }))
}
