//! Refilling by hand: what lacks in a span is fetched from the camera itself.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::body::Fields;
use super::clips::window_of;
use super::problem::Problem;
use super::query::InPath;
use super::wire::KeptGapShown;
use crate::model::{CameraId, Fault, GapCause, Span, Timestamp};
use crate::refill::{LONGEST_ORDER, RefillError};
use crate::timeline::{self, Why};

/// What was ordered.
#[derive(Debug, Serialize)]
struct OrderShown {
    camera_id: CameraId,
    from: Timestamp,
    to: Timestamp,
    /// The gaps that are fetched now; `recording-gaps` tells what becomes of them.
    gaps: Vec<KeptGapShown>,
}

pub(super) async fn order(State(app): State<App>, InPath(id): InPath, mut fields: Fields) -> Result<Response, Problem> {
    let window = window_of(&mut fields)?;
    fields.done(&["from", "to"])?;
    let now = app.clock.now();
    if window.is_empty() {
        return Err(Problem::invalid("`to` must be after `from`"));
    }
    if window.end > now {
        return Err(Problem::field(
            "to",
            format!("{} has not come yet; it is {now}", window.end),
        ));
    }
    if window.duration() > LONGEST_ORDER {
        let hours = LONGEST_ORDER.as_secs() / 3600;
        return Err(Problem::field(
            "to",
            format!("at most {hours} hours at a time; order them one after another"),
        ));
    }
    let (camera, missing) = app
        .about(&id, move |reader, camera| {
            let missing = timeline::gaps(reader, &camera, window, now)?;
            Ok((camera, missing))
        })
        .await?;
    let missing: Vec<(Span, GapCause)> = missing
        .into_iter()
        .filter_map(|missing| match missing.why {
            Why::Cause(cause) => Some((missing.span, cause)),
            // What was not to be recorded is not missing.
            Why::NotWanted => None,
        })
        .collect();
    let gaps = app.refiller.order(&camera, missing).await?;
    tracing::info!(camera = %id, span = %window, gaps = gaps.len(), "what lacks is fetched by hand");
    let shown = OrderShown {
        camera_id: id,
        from: window.start,
        to: window.end,
        gaps: gaps.into_iter().map(|gap| KeptGapShown::new(gap, now, true)).collect(),
    };
    Ok((StatusCode::ACCEPTED, Json(shown)).into_response())
}

impl From<RefillError> for Problem {
    fn from(error: RefillError) -> Self {
        match error {
            RefillError::Index(error) => error.into(),
            error => match error.fault() {
                Fault::Conflict => Self::conflict(error.to_string()),
                _ => Self::unavailable(error.to_string()),
            },
        }
    }
}
