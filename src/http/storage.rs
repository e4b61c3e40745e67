//! The disks: how full they are, what is recorded a day and how long that goes on, and the rules by which footage goes.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::app::App;
use super::body::{Fields, Said};
use super::problem::Problem;
use super::query::Query;
use crate::model::{CameraId, Timestamp};
use crate::retain::{Overrides, Retention, Rules, Status};

/// What people call a gigabyte.
const GIGABYTE: f64 = 1e9;
/// No disk is larger, in gigabytes.
const MOST: f64 = 1_000_000.0;

/// What keeps the disks within their rules.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// The primary's.
    pub primary: Retention,
    /// The mirror's, where one is configured.
    pub mirror: Option<Retention>,
    /// What the configuration says of the primary.
    pub configured: Rules,
}

/// The box, on the wire.
#[derive(Debug, Serialize)]
pub(super) struct SystemShown {
    version: &'static str,
    started_at: Timestamp,
    time: Timestamp,
    primary: DiskShown,
    mirror: Option<DiskShown>,
    /// What the primary holds of each camera.
    cameras: Vec<CameraHeld>,
}

/// A disk, on the wire.
#[derive(Debug, Serialize)]
struct DiskShown {
    total_bytes: u64,
    available_bytes: u64,
    min_free_bytes: u64,
    max_recordings_bytes: Option<u64>,
    recordings_bytes: u64,
    recordings_segments: u64,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    write_bytes_per_day: u64,
    /// How long it takes until something has to go for room; nothing where nothing is recorded.
    projected_days_remaining: Option<f64>,
    /// How many days of footage fit at this rate.
    days_that_fit: Option<f64>,
    /// How much older the oldest is than its rule of age allows.
    lag_seconds: f64,
    deleted_segments: u64,
    deleted_bytes: u64,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct CameraHeld {
    camera_id: CameraId,
    bytes: u64,
}

impl From<&Status> for DiskShown {
    fn from(status: &Status) -> Self {
        let days = |bytes: u64| {
            let rate = status.bytes_per_day;
            (rate > 0).then(|| (bytes as f64 / rate as f64 * 100.0).round() / 100.0)
        };
        Self {
            total_bytes: status.total_bytes,
            available_bytes: status.available_bytes,
            min_free_bytes: status.floor_bytes,
            max_recordings_bytes: status.rules.max_bytes,
            recordings_bytes: status.held_bytes,
            recordings_segments: status.held_segments,
            oldest: status.oldest,
            newest: status.newest,
            write_bytes_per_day: status.bytes_per_day,
            projected_days_remaining: days(status.left_bytes()),
            days_that_fit: days(status.held_bytes.saturating_add(status.left_bytes())),
            lag_seconds: status.lag.as_secs_f64(),
            deleted_segments: status.deleted_segments,
            deleted_bytes: status.deleted_bytes,
            problem: status.problem.clone(),
        }
    }
}

/// The rules of the primary, on the wire.
#[derive(Debug, Serialize)]
pub(super) struct RetentionShown {
    max_recordings_gb: Option<f64>,
    min_free_disk_gb: f64,
    /// Where each is from: `set` here, the `configuration`, or the `default`.
    max_recordings_from: &'static str,
    min_free_disk_from: &'static str,
    problem: Option<String>,
}

fn keeping(app: &App) -> Result<&Keeping, Problem> {
    app.keeping
        .as_ref()
        .ok_or_else(|| Problem::unavailable("nobody keeps the disks here".to_owned()))
}

pub(super) async fn system(State(app): State<App>, query: Query) -> Result<Json<SystemShown>, Problem> {
    query.done()?;
    let keeping = keeping(&app)?;
    let primary = keeping.primary.status();
    let held = primary.cameras.iter().cloned();
    Ok(Json(SystemShown {
        version: app.version,
        started_at: app.started_at,
        time: app.clock.now(),
        mirror: keeping.mirror.as_ref().map(|mirror| DiskShown::from(&mirror.status())),
        cameras: held.map(|(camera_id, bytes)| CameraHeld { camera_id, bytes }).collect(),
        primary: DiskShown::from(&primary),
    }))
}

fn shown(keeping: &Keeping, set: Overrides) -> RetentionShown {
    let status = keeping.primary.status();
    let rules = set.over(keeping.configured);
    let from = |set: Option<u64>, configured: Option<u64>| match (set, configured) {
        (Some(_), _) => "set",
        (None, Some(_)) => "configuration",
        (None, None) => "default",
    };
    let gigabytes = |bytes: u64| bytes as f64 / GIGABYTE;
    RetentionShown {
        max_recordings_gb: rules.max_bytes.map(gigabytes),
        min_free_disk_gb: gigabytes(rules.min_free_bytes.unwrap_or(status.floor_bytes)),
        max_recordings_from: from(set.max_bytes, keeping.configured.max_bytes),
        min_free_disk_from: from(set.min_free_bytes, keeping.configured.min_free_bytes),
        problem: status.problem,
    }
}

pub(super) async fn rules(State(app): State<App>, query: Query) -> Result<Json<RetentionShown>, Problem> {
    query.done()?;
    let set = Overrides::load(&app.index).await?;
    Ok(Json(shown(keeping(&app)?, set)))
}

/// Sets rules in place of the configuration's; `null` goes back to it.
pub(super) async fn set_rules(
    State(app): State<App>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<RetentionShown>, Problem> {
    query.done()?;
    let keeping = keeping(&app)?;
    let _one_at_a_time = app.changing.lock().await;
    let mut set = Overrides::load(&app.index).await?;
    for (name, place) in [
        ("max_recordings_gb", &mut set.max_bytes),
        ("min_free_disk_gb", &mut set.min_free_bytes),
    ] {
        match fields.take::<f64>(name)? {
            Said::Nothing => {}
            Said::Clear => *place = None,
            Said::Set(number) if (0.0..=MOST).contains(&number) => *place = Some((number * GIGABYTE) as u64),
            Said::Set(_) => {
                return Err(Problem::field(
                    name,
                    format!("a number of gigabytes from 0 to {MOST}, or null"),
                ));
            }
        }
    }
    for answer in ["max_recordings_from", "min_free_disk_from", "problem"] {
        fields.ignore(answer);
    }
    fields.done(&["max_recordings_gb", "min_free_disk_gb"])?;
    set.keep(&app.index).await?;
    keeping.primary.set_rules(set.over(keeping.configured));
    tracing::info!(?set, "the rules of retention were set");
    Ok(Json(shown(keeping, set)))
}
