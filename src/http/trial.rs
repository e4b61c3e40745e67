//! Trying a camera: is it there, does it let us in, and what does it send?

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::app::App;
use super::problem::Problem;
use super::query::InPath;
use crate::model::{CameraId, Loss};
use crate::record::Trial;

/// What became of a trial. That a camera does not answer is no error of the request: it is the answer.
#[derive(Debug, Serialize)]
pub(super) struct TrialShown {
    camera_id: CameraId,
    ok: bool,
    codec: Option<&'static str>,
    width: Option<u32>,
    height: Option<u32>,
    fps: Option<f64>,
    /// From asking to the first picture.
    seconds: Option<f64>,
    loss: Option<Loss>,
    /// What is wrong and what to do, for a person.
    message: Option<String>,
}

pub(super) async fn test(State(app): State<App>, InPath(id): InPath) -> Result<Json<TrialShown>, Problem> {
    let camera = app.about(&id, |_, camera| Ok(camera)).await?;
    let trial = app.recorder.try_camera(camera).await;
    let nothing = TrialShown {
        camera_id: id,
        ok: false,
        codec: None,
        width: None,
        height: None,
        fps: None,
        seconds: None,
        loss: None,
        message: None,
    };
    Ok(Json(match trial {
        Trial::Works { format, after } => TrialShown {
            ok: true,
            codec: Some(format.codec.as_str()),
            width: Some(format.width),
            height: Some(format.height),
            fps: format.fps,
            seconds: Some(after.as_secs_f64()),
            ..nothing
        },
        Trial::Fails(loss, message) => TrialShown {
            loss: Some(loss),
            message: Some(message),
            ..nothing
        },
    }))
}
