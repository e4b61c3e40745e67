//! Files of recordings. What is asked names a segment; which file that is, the index says, never the address.

use std::io::ErrorKind;
use std::path::Path;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDateTime;
use tower_http::services::ServeFile;

use super::app::App;
use super::problem::Problem;
use super::query::{InPath, path_part};
use super::wire::is_readable;
use crate::model::{CameraId, SegmentState, VolumeRole};
use crate::storage::Place;

pub(super) async fn recording(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let InPath(camera) = InPath::from_request_parts(&mut parts, &app).await?;
    let file = path_part(&mut parts, &app, "file").await;
    let Some(path) = relative_path(&camera, &file) else {
        return Err(no_recording());
    };
    let found = app
        .index
        .read(move |reader| {
            for volume in reader.volumes()? {
                if volume.role != VolumeRole::Primary {
                    continue;
                }
                let Some(segment) = reader.segment_by_path(volume.id, &path)? else {
                    continue;
                };
                let copy = segment.copies.into_iter().find(|copy| copy.volume == volume.id);
                if let Some(copy) = copy.filter(|copy| is_readable(copy.state)) {
                    return Ok(Some((copy.path, segment.state)));
                }
            }
            Ok(None)
        })
        .await?;
    let (path, state) = found.ok_or_else(no_recording)?;
    let request = Request::from_parts(parts, Body::empty());
    let mut response = serve_file(&app.recordings.join(path), request, GONE).await?;
    // A closed segment never changes under its name; one that grows does at every look.
    let keep = match state {
        SegmentState::Closed => "private, max-age=3600",
        SegmentState::Open => "no-store",
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    Ok(response)
}

const GONE: &str = "the file of this segment is no longer on the disk";

/// Answers with a file, whole or in part; `gone` is what is said when it is not there.
pub(super) async fn serve_file(path: &Path, request: Request, gone: &'static str) -> Result<Response, Problem> {
    let mut served = ServeFile::new(path);
    let response = served.try_call(request).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Problem::not_found(gone),
        _ => {
            tracing::error!(%error, "a file cannot be read");
            Problem::not_found("the file cannot be read; the log of camkeep says why")
        }
    })?;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(Problem::not_found(gone));
    }
    Ok(response.into_response())
}

fn no_recording() -> Problem {
    Problem::not_found("there is no such recording; the url of a segment's row is right")
}

/// The only path a file name can stand for: its own time says the day. Whatever is no name of a segment is no path.
fn relative_path(camera: &CameraId, file: &str) -> Option<String> {
    let (time, _) = file.split_once("Z_")?;
    let day = NaiveDateTime::parse_from_str(time, "%Y%m%d_%H%M%S%.3f").ok()?;
    let path = format!("{camera}/{}/{file}", day.format("%Y-%m-%d"));
    // What comes out is written anew from what was understood.
    Place::parse(&path).map(|place| place.relative_path())
}
