//! A trigger: something happens at a camera, and footage of it is to be kept.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::app::App;
use super::body::{MaybeFields, Said};
use super::problem::Problem;
use super::query::InPath;
use crate::model::{CameraId, Timestamp};
use crate::record::Cause;

/// The longest event that one trigger announces; it can be triggered again.
const LONGEST: u32 = 3600;
/// The longest reason.
const REASON: usize = 200;

/// What a trigger did.
#[derive(Debug, Serialize)]
pub(super) struct TriggerShown {
    camera_id: CameraId,
    /// When footage of the event begins: its pre-roll before the first trigger.
    from: Timestamp,
    /// When it ends, if nothing triggers again.
    until: Timestamp,
    /// Whether an event lasted already, which this one extends.
    extended: bool,
}

pub(super) async fn trigger(
    State(app): State<App>,
    InPath(id): InPath,
    MaybeFields(mut fields): MaybeFields,
) -> Result<Json<TriggerShown>, Problem> {
    let reason = match fields.take::<String>("reason")? {
        Said::Set(reason) if reason.chars().count() > REASON => {
            return Err(Problem::field("reason", format!("at most {REASON} characters")));
        }
        Said::Set(reason) => Some(reason).filter(|reason| !reason.trim().is_empty()),
        Said::Nothing | Said::Clear => None,
    };
    let seconds = match fields.take::<u32>("seconds")? {
        Said::Set(seconds) if seconds > LONGEST => {
            return Err(Problem::field(
                "seconds",
                format!("at most {LONGEST}; trigger again to go on"),
            ));
        }
        Said::Set(seconds) => seconds,
        Said::Nothing | Said::Clear => 0,
    };
    fields.done(&["reason", "seconds"])?;
    app.about(&id, |_, _| Ok(())).await?;
    let cause = Cause {
        reason: reason.clone(),
        lasts: Duration::from_secs(seconds.into()),
    };
    let triggered = app
        .recorder
        .trigger(&id, cause)
        .await
        .map_err(|refusal| Problem::conflict(format!("camera {id} takes no trigger: {refusal}")))?;
    tracing::info!(camera = %id, reason, seconds, until = %triggered.until, "an event was triggered");
    Ok(Json(TriggerShown {
        camera_id: id,
        from: triggered.from,
        until: triggered.until,
        extended: triggered.extended,
    }))
}
