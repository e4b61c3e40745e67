//! Figures for whoever watches many boxes, in the text format of Prometheus.

use std::fmt;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::prometheus_text::{CONTENT_TYPE, encode};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::app::App;
use super::health::health_of_all;
use super::problem::Problem;
use crate::index::IndexError;
use crate::mirror::{Stand, Status};
use crate::model::{CameraState, GapFate, JobState};
use crate::retain;

/// Names and values of a series.
type Labels = Vec<(&'static str, String)>;

pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let mut registry = Registry::with_prefix("camkeep");
    register_cameras(&mut registry, &app).await?;
    for (name, help, timing) in app.recorder.timings() {
        registry.register(name, help, timing.histogram());
    }
    register_jobs(&mut registry, &app).await?;
    if let Some(mirror) = &app.mirror {
        register_mirror(&mut registry, &mirror.status());
    }
    if let Some(keeping) = &app.keeping {
        register_disk(&mut registry, &keeping.primary.status());
    }
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|fmt::Error| Problem::internal("the figures could not be written; the log of camkeep says why"))?;
    let mut response = text.into_response();
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// Every camera by its state; what came of each, and how often and why it was lost.
async fn register_cameras(registry: &mut Registry, app: &App) -> Result<(), Problem> {
    let health = health_of_all(app).await?;
    let states = Family::<Labels, Gauge>::default();
    for state in CameraState::ALL {
        let count = health.iter().filter(|health| health.state == state).count();
        let labels = vec![("state", state.as_str().to_owned())];
        states
            .get_or_create(&labels)
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry.register("cameras", "Cameras by their state", states);
    let [frames, bytes, losses, reconnects] = [(); 4].map(|()| Family::<Labels, Counter>::default());
    let ages = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let now = app.clock.now();
    for (health, counts) in app.recorder.counts() {
        let camera = || vec![("camera", health.camera_id.to_string())];
        frames.get_or_create(&camera()).inc_by(counts.frames());
        bytes.get_or_create(&camera()).inc_by(counts.bytes());
        reconnects.get_or_create(&camera()).inc_by(health.reconnects);
        for (loss, count) in counts.losses() {
            let labels = [camera(), vec![("loss", loss.as_str().to_owned())]].concat();
            losses.get_or_create(&labels).inc_by(count);
        }
        if let Some(at) = health.last_frame_at {
            ages.get_or_create(&camera()).set(now.since(at).as_secs_f64());
        }
    }
    for (name, help, family) in [
        ("camera_frames", "Video frames that were received", frames),
        ("camera_bytes", "Bytes of pictures and sound that were received", bytes),
        (
            "camera_losses",
            "How often a camera was lost, by the first reason of each time",
            losses,
        ),
        (
            "camera_reconnects",
            "Sessions that were begun after the first",
            reconnects,
        ),
    ] {
        registry.register(name, help, family);
    }
    registry.register("camera_last_frame_age_seconds", "How old the newest frame is", ages);
    Ok(())
}

/// Jobs of the export and gaps to refill, by their state.
async fn register_jobs(registry: &mut Registry, app: &App) -> Result<(), Problem> {
    let (jobs, gaps) = app
        .index
        .read(|reader| {
            let gaps = GapFate::ALL
                .into_iter()
                .map(|fate| Ok((fate, reader.count_gaps(fate)?)));
            Ok((reader.count_jobs()?, gaps.collect::<Result<Vec<_>, IndexError>>()?))
        })
        .await?;
    let exports = Family::<Labels, Gauge<u64, std::sync::atomic::AtomicU64>>::default();
    for state in JobState::ALL {
        let count = jobs.iter().find(|(known, _)| *known == state);
        let labels = vec![("state", state.as_str().to_owned())];
        exports.get_or_create(&labels).set(count.map_or(0, |(_, count)| *count));
    }
    registry.register("export_jobs", "Jobs of the export by their state", exports);
    let kept = Family::<Labels, Gauge<u64, std::sync::atomic::AtomicU64>>::default();
    for (fate, count) in gaps {
        kept.get_or_create(&vec![("state", fate.as_str().to_owned())])
            .set(count);
    }
    registry.register(
        "gaps",
        "Gaps of more than three seconds by the state of their refill",
        kept,
    );
    let running = app.refiller.count_running() as u64;
    registry.register(
        "refill_jobs_running",
        "Gaps that are being fetched from cameras at this moment",
        ConstGauge::new(running),
    );
    Ok(())
}

fn register_disk(registry: &mut Registry, status: &retain::Status) {
    for (name, help, value) in [
        (
            "primary_total_bytes",
            "All of the primary's file system",
            status.total_bytes,
        ),
        (
            "primary_available_bytes",
            "What the primary's file system still takes",
            status.available_bytes,
        ),
        (
            "primary_min_free_bytes",
            "How much of the primary's file system stays free",
            status.floor_bytes,
        ),
        (
            "recordings_bytes",
            "What recordings take on the primary",
            status.held_bytes,
        ),
        ("recordings_segments", "Segments on the primary", status.held_segments),
        (
            "recordings_bytes_per_day",
            "What is recorded a day, as of the last day",
            status.bytes_per_day,
        ),
        (
            "retention_lag_seconds",
            "How much older the oldest footage is than its rule of age allows",
            status.lag.as_secs(),
        ),
        (
            "storage_problem",
            "Whether the primary cannot keep its rules",
            u64::from(status.problem.is_some()),
        ),
    ] {
        registry.register(name, help, ConstGauge::new(value));
    }
    for (name, help, value) in [
        (
            "retention_deleted_segments",
            "Segments that the primary let go",
            status.deleted_segments,
        ),
        (
            "retention_deleted_bytes",
            "Bytes that the primary let go",
            status.deleted_bytes,
        ),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
}

fn register_mirror(registry: &mut Registry, status: &Status) {
    let is_present = u64::from(status.stand != Stand::Absent);
    for (name, help, value) in [
        (
            "mirror_present",
            "Whether the mirror is there and takes copies",
            is_present,
        ),
        (
            "mirror_owed_segments",
            "Segments that the mirror lacks",
            status.owed.segments,
        ),
        ("mirror_owed_bytes", "How much the mirror lacks", status.owed.bytes),
        (
            "mirror_held_segments",
            "Segments that the mirror holds",
            status.held.segments,
        ),
        ("mirror_held_bytes", "How much the mirror holds", status.held.bytes),
        (
            "mirror_available_bytes",
            "What the mirror's file system still takes",
            status.available_bytes,
        ),
    ] {
        registry.register(name, help, ConstGauge::new(value));
    }
    for (name, help, value) in [
        (
            "mirror_copied_bytes",
            "What was copied to the mirror afterwards",
            status.copied_bytes,
        ),
        (
            "mirror_copied_segments",
            "Segments that were copied to the mirror afterwards",
            status.copied_segments,
        ),
        (
            "mirror_dropped_bytes",
            "What did not get to the mirror at once",
            status.dropped_bytes,
        ),
        (
            "mirror_left_behind",
            "Threads that the mirror's disk held for too long",
            status.left_behind,
        ),
    ] {
        registry.register(name, help, ConstCounter::new(value));
    }
}
