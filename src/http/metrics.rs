//! Figures for whoever watches many boxes, in the text format of OpenMetrics.

use std::fmt;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::app::App;
use super::problem::Problem;
use crate::mirror::{Stand, Status};
use crate::retain;

/// What the answer is called on the wire.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let mut registry = Registry::with_prefix("camkeep");
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
    let kind = HeaderValue::from_static(KIND);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
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
            "How much of it stays free",
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
        ("retention_deleted_bytes", "The same in bytes", status.deleted_bytes),
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
