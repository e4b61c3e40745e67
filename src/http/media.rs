//! Files of recordings. What is asked names a segment; which file that is, the index says, never the address.

use std::io::ErrorKind;
use std::path::Path;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDateTime;
use tower_http::services::ServeFile;

use super::app::App;
use super::problem::Problem;
use super::query::{InPath, path_part};
use super::ranges::{Wanted, wanted};
use super::reel::send_reel;
use crate::model::{CameraId, SegmentState};
use crate::storage::{Place, Unfound, is_readable};

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
            // A copy lies under the same path on every volume.
            for volume in reader.volumes()? {
                if let Some(segment) = reader.segment_by_path(volume.id, &path)? {
                    return Ok(Some(segment));
                }
            }
            Ok(None)
        })
        .await?;
    let segment = found
        .filter(|segment| segment.copies.iter().any(|copy| is_readable(copy.state)))
        .ok_or_else(no_recording)?;
    let volumes = app.volumes.clone();
    if segment.state == SegmentState::Open {
        let look = found_by(move || volumes.look_at_open(&segment)).await?;
        let reel = look.ok_or_else(|| Problem::unavailable(NOTHING_YET))?;
        // One that grows is another at every look.
        let facts = [(header::CACHE_CONTROL, "no-store".to_owned())];
        return Ok(send_reel(reel, (), facts, &parts.method, &parts.headers));
    }
    let path = found_by(move || volumes.find_file(&segment)).await?;
    let request = Request::from_parts(parts, Body::empty());
    let mut response = serve_file(&path, request, GONE).await?;
    // A closed segment never changes under its name.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    Ok(response)
}

/// What a search on volumes gives, on a thread that may wait for them.
async fn found_by<T: Send + 'static>(
    search: impl FnOnce() -> Result<T, Unfound> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(search).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(Unfound::Gone)) => Err(Problem::not_found(GONE)),
        Ok(Err(Unfound::Unreadable)) | Err(_) => Err(Problem::not_found(UNREADABLE)),
        Ok(Err(Unfound::OutOfReach(why))) => Err(Problem::unavailable(format!("{GONE}, and {why}"))),
    }
}

const NOTHING_YET: &str = "the file of this segment has no frames yet; ask again in a second";
const UNREADABLE: &str = "the file cannot be read; the log of camkeep says why";
const GONE: &str = "the file of this segment is no longer on the disk";

/// Answers with a file, whole or in part; `gone` is what is said when it is not there.
pub(super) async fn serve_file(path: &Path, mut request: Request, gone: &'static str) -> Result<Response, Problem> {
    let mut served = ServeFile::new(path);
    if request.headers().contains_key(header::RANGE) {
        let mut look = Request::new(Body::empty());
        *look.method_mut() = Method::HEAD;
        let now = served.try_call(look).await.ok();
        let now = now.filter(|now| now.status().is_success());
        let has = |name, known: &str| {
            now.as_ref()
                .is_some_and(|now| now.headers().get(name).is_some_and(|v| v == known))
        };
        let is_current = |known: &str| has(header::ETAG, known) || has(header::LAST_MODIFIED, known);
        let size = now
            .as_ref()
            .and_then(|now| now.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok());
        // What cannot be read says so below.
        if let Some(size) = size
            && wanted(request.headers(), size, is_current)? == Wanted::All
        {
            request.headers_mut().remove(header::RANGE);
        }
    }
    let response = served.try_call(request).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Problem::not_found(gone),
        _ => {
            tracing::error!(%error, "a file cannot be read");
            Problem::not_found(UNREADABLE)
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
