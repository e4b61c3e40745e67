//! Stills: one frame of a camera, exactly the one that is shown at a moment.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;

use super::app::App;
use super::problem::Problem;
use super::query::{InPath, Query};
use crate::export::{SnapshotError, SnapshotWish};
use crate::model::{Fault, Still};

/// When the frame was taken, to the nanosecond.
const TAKEN: HeaderName = HeaderName::from_static("x-camkeep-frame-time");
/// The segment the frame is from.
const SEGMENT: HeaderName = HeaderName::from_static("x-camkeep-segment");

pub(super) async fn snapshot(
    State(app): State<App>,
    InPath(id): InPath,
    mut query: Query,
) -> Result<Response, Problem> {
    let at = query.time("at")?;
    let width = match query.number("width", 0..=7680, 0)? {
        0 => None,
        width @ 1..16 => {
            return Err(Problem::field(
                "width",
                format!("`{width}` is no number from 16 to 7680"),
            ));
        }
        width => Some(width),
    };
    let still = match query.text("format") {
        None => Still::default(),
        Some(word) => Still::parse(&word).ok_or_else(|| Problem::field("format", "one of jpeg, png"))?,
    };
    let removed = query.removed()?;
    query.done()?;
    app.about_any(&id, removed, |_, _| Ok(())).await?;
    let snapshot = app.snapshots.take(&id, SnapshotWish { at, width, still }).await?;
    let taken = snapshot.taken.to_utc();
    let mut response = snapshot.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(snapshot.still.media_type()),
    );
    for (name, value) in [
        (TAKEN, taken.to_rfc3339_opts(SecondsFormat::Nanos, true)),
        (SEGMENT, snapshot.segment.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!(
                "inline; filename=\"{id}_{}.{}\"",
                taken.format("%Y%m%dT%H%M%S%.3fZ"),
                snapshot.still.extension()
            ),
        ),
        (
            header::LAST_MODIFIED,
            taken.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        ),
    ] {
        // Digits, letters and signs: each is a value that a header takes.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

impl From<SnapshotError> for Problem {
    fn from(error: SnapshotError) -> Self {
        let fault = error.fault();
        match error {
            SnapshotError::Index(error) => error.into(),
            SnapshotError::Future { .. } => Self::field("at", error),
            _ if fault == Fault::NotFound => Self::not_found(error.to_string()),
            SnapshotError::Busy => Self::unavailable(error.to_string()),
            SnapshotError::Pipeline(error) if fault == Fault::Unavailable => {
                tracing::error!(%error, "no snapshot can be made");
                Self::unavailable(error.to_string())
            }
            SnapshotError::Pipeline(error) => {
                tracing::error!(%error, "a snapshot failed");
                Self::internal("the picture could not be made; the log of camkeep says why")
            }
            error => {
                tracing::warn!(%error, "no snapshot");
                Self::corrupt(error.to_string())
            }
        }
    }
}
