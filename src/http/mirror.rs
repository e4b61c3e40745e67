//! The mirror: how it is, and what people order of it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::app::App;
use super::body::MaybeFields;
use super::problem::Problem;
use super::query::Query;
use crate::index::Holding;
use crate::mirror::{Mirror, MirrorError, Stand, Status, Tour};
use crate::model::{Fault, Timestamp, counted};

/// How the mirror is, on the wire.
#[derive(Debug, Serialize)]
pub(super) struct MirrorShown {
    state: &'static str,
    since: Option<Timestamp>,
    reason: Option<String>,
    root: Option<String>,
    volume_id: Option<String>,
    total_bytes: u64,
    available_bytes: u64,
    /// How many cameras are to be mirrored.
    cameras: usize,
    owed_segments: u64,
    owed_bytes: u64,
    owed_from: Option<Timestamp>,
    held_segments: u64,
    held_bytes: u64,
    held_from: Option<Timestamp>,
    held_to: Option<Timestamp>,
    copied_segments: u64,
    copied_bytes: u64,
    copy_bytes_per_second: f64,
    paused: bool,
    dropped_bytes: u64,
    left_behind: u64,
    verify: Option<TourShown>,
    restore: Option<TourShown>,
}

/// A walk through what the mirror holds, on the wire.
#[derive(Debug, Serialize)]
struct TourShown {
    running: bool,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    segments: u64,
    done: u64,
    mirror_wrong: u64,
    primary_wrong: u64,
    healed: u64,
    failed: u64,
    lost: u64,
}

impl From<Tour> for TourShown {
    fn from(tour: Tour) -> Self {
        Self {
            running: tour.is_running(),
            started_at: tour.started_at,
            ended_at: tour.ended_at,
            segments: tour.segments,
            done: tour.done,
            mirror_wrong: tour.mirror_wrong,
            primary_wrong: tour.primary_wrong,
            healed: tour.healed,
            failed: tour.failed,
            lost: tour.lost,
        }
    }
}

impl MirrorShown {
    fn new(status: Status, cameras: usize) -> Self {
        let Holding {
            segments,
            bytes,
            oldest,
            ..
        } = status.owed;
        Self {
            state: status.stand.as_str(),
            since: Some(status.since),
            reason: status.reason,
            root: Some(status.root.display().to_string()),
            volume_id: status.volume.map(|id| id.0.to_string()),
            total_bytes: status.total_bytes,
            available_bytes: status.available_bytes,
            cameras,
            owed_segments: segments,
            owed_bytes: bytes,
            owed_from: oldest,
            held_segments: status.held.segments,
            held_bytes: status.held.bytes,
            held_from: status.held.oldest,
            held_to: status.held.newest,
            copied_segments: status.copied_segments,
            copied_bytes: status.copied_bytes,
            copy_bytes_per_second: status.bytes_per_second,
            paused: status.is_paused,
            dropped_bytes: status.dropped_bytes,
            left_behind: status.left_behind,
            verify: status.verify.map(TourShown::from),
            restore: status.restore.map(TourShown::from),
        }
    }

    /// There is none.
    fn off(cameras: usize) -> Self {
        let nothing = Holding::default();
        let reason = (cameras > 0).then(|| {
            format!(
                "{} mirror_enabled, and no mirror is configured: start camkeep with --mirror DIR",
                counted(cameras, "camera has", "cameras have")
            )
        });
        Self {
            state: Stand::Off.as_str(),
            since: None,
            reason,
            root: None,
            volume_id: None,
            total_bytes: 0,
            available_bytes: 0,
            cameras,
            owed_segments: nothing.segments,
            owed_bytes: nothing.bytes,
            owed_from: None,
            held_segments: nothing.segments,
            held_bytes: nothing.bytes,
            held_from: None,
            held_to: None,
            copied_segments: 0,
            copied_bytes: 0,
            copy_bytes_per_second: 0.0,
            paused: false,
            dropped_bytes: 0,
            left_behind: 0,
            verify: None,
            restore: None,
        }
    }
}

impl From<MirrorError> for Problem {
    fn from(error: MirrorError) -> Self {
        match error.fault() {
            Fault::Conflict => Self::conflict(error.to_string()),
            _ => Self::unavailable(error.to_string()),
        }
    }
}

async fn count_cameras(app: &App) -> Result<usize, Problem> {
    Ok(app.index.read(|reader| reader.mirrored_cameras()).await?.len())
}

fn the_mirror(app: &App) -> Result<&Mirror, Problem> {
    app.mirror.as_ref().ok_or_else(|| {
        Problem::conflict("no mirror is configured: start camkeep with --mirror DIR, a directory on another disk")
    })
}

pub(super) async fn show(State(app): State<App>, query: Query) -> Result<Json<MirrorShown>, Problem> {
    query.done()?;
    let cameras = count_cameras(&app).await?;
    Ok(Json(match &app.mirror {
        Some(mirror) => MirrorShown::new(mirror.status(), cameras),
        None => MirrorShown::off(cameras),
    }))
}

type Ordered = Result<(StatusCode, Json<MirrorShown>), Problem>;

async fn order(app: &App, order: impl FnOnce(&Mirror) -> Result<Status, MirrorError>) -> Ordered {
    let status = order(the_mirror(app)?)?;
    let cameras = count_cameras(app).await?;
    Ok((StatusCode::ACCEPTED, Json(MirrorShown::new(status, cameras))))
}

pub(super) async fn verify(State(app): State<App>, query: Query, MaybeFields(fields): MaybeFields) -> Ordered {
    query.done()?;
    fields.done(&[])?;
    order(&app, Mirror::verify).await
}

pub(super) async fn restore(State(app): State<App>, query: Query, MaybeFields(fields): MaybeFields) -> Ordered {
    query.done()?;
    fields.done(&[])?;
    order(&app, Mirror::restore).await
}

pub(super) async fn replace(State(app): State<App>, query: Query, MaybeFields(fields): MaybeFields) -> Ordered {
    query.done()?;
    fields.done(&[])?;
    order(&app, Mirror::replace).await
}
