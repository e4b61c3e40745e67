//! Clips: cut while somebody waits, streamed, listed, fetched, removed.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::body::{Fields, Said};
use super::footage::gaps_in;
use super::media::serve_file;
use super::paging::{Cursor, MOST, USUAL, cut, page};
use super::problem::Problem;
use super::query::{InPath, Query, path_part, uuid_part};
use super::reel::send;
use super::wire::ClipShown;
use crate::export::{ExportError, Extras, Sealed};
use crate::model::{CameraId, Clip, ClipId, ClipMode, Span, Timestamp};
use crate::storage::StorageError;

/// The signature of a manifest, as hexadecimal digits.
const SIGNATURE: HeaderName = HeaderName::from_static("x-camkeep-signature");
/// The fields of a clip that is asked for.
const FIELDS: [&str; 4] = ["from", "to", "mode", "captions"];

pub(super) async fn make(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    InPath(id): InPath,
    mut query: Query,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let removed = query.removed()?;
    query.done()?;
    let window = window_of(&mut fields)?;
    let mode = given_or_usual(fields.take("mode")?);
    let captions = given_or_usual(fields.take("captions")?);
    fields.done(&FIELDS)?;
    app.refuse_removed(&id, removed).await?;
    let extras = Extras { captions };
    match app.exporter.clip(&id, window, mode, extras, asked_by(peer)).await {
        Ok(clip) => Ok(Json(ClipShown::from(clip)).into_response()),
        Err(error) => Err(not_made(&app, &id, removed, window, error).await),
    }
}

pub(super) async fn stream(
    State(app): State<App>,
    InPath(id): InPath,
    method: Method,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let (from, to) = (query.time("from")?, query.time("to")?);
    let needed = |name: &str| Problem::field(name, "give it, like 2026-11-20T10:30:00Z");
    let (from, to) = (from.ok_or_else(|| needed("from"))?, to.ok_or_else(|| needed("to"))?);
    let mode = match query.text("mode") {
        None => ClipMode::default(),
        Some(word) => ClipMode::parse(&word).ok_or_else(|| Problem::field("mode", format!("one of {}", modes())))?,
    };
    let removed = query.removed()?;
    query.done()?;
    app.refuse_removed(&id, removed).await?;
    let window = Span { start: from, end: to };
    match app.exporter.stream(&id, window, mode).await {
        Ok(streamed) => Ok(send(streamed, &method, &headers)),
        Err(error) => Err(not_made(&app, &id, removed, window, error).await),
    }
}

/// Why there is no clip of a window; where nothing is recorded, with the gaps that say why.
async fn not_made(app: &App, id: &CameraId, removed: bool, window: Span, error: ExportError) -> Problem {
    if !matches!(error, ExportError::NothingThere) {
        return error.into();
    }
    match gaps_in(app, id, removed, window, app.clock.now()).await {
        Ok(gaps) => Problem::from(error).with_gaps(gaps),
        Err(problem) => problem,
    }
}

pub(super) async fn list(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    mut query: Query,
) -> Result<Response, Problem> {
    let camera = query
        .text("camera")
        .map(|id| CameraId::parse(&id).map_err(|_| Problem::no_camera(&id)))
        .transpose()?;
    let limit = query.number("limit", 1..=MOST, USUAL)?;
    let before: Option<(Timestamp, ClipId)> = Cursor::parse(query.text("cursor"))?;
    query.done()?;
    let mut rows = app.exporter.clips(camera, limit + 1, before).await?;
    let next = cut(&mut rows, limit, |clip| (clip.created_at, clip.id));
    let rows: Vec<ClipShown> = rows.into_iter().map(ClipShown::from).collect();
    Ok(page(rows, next, &uri))
}

pub(super) async fn show(State(app): State<App>, request: Request) -> Result<Json<ClipShown>, Problem> {
    let id = clip_id(&app, request).await?;
    let clip = app.exporter.clip_of(id).await?.ok_or_else(no_clip)?;
    Ok(Json(clip.into()))
}

pub(super) async fn remove(State(app): State<App>, request: Request) -> Result<StatusCode, Problem> {
    let id = clip_id(&app, request).await?;
    if app.exporter.remove_clip(id).await? {
        tracing::info!(clip = %id, "a clip was removed");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(no_clip())
}

/// The file of a clip.
pub(super) async fn file(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let file = path_part(&mut parts, &app, "file").await;
    let (clip, path) = app.exporter.clip_file(file).await?.ok_or_else(no_clip)?;
    let request = Request::from_parts(parts, body);
    let mut response = serve_file(&path, request, "the file of this clip is no longer on the disk").await?;
    let headers = response.headers_mut();
    // A clip never changes under its name.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    if let Ok(name) = HeaderValue::try_from(format!("inline; filename=\"{}\"", clip.file)) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// The manifest of a clip: the very bytes that are signed, with the signature in a header too.
pub(super) async fn manifest(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let id = clip_id(&app, request).await?;
    let (clip, sealed) = sealed(&app, id).await?;
    let signature: String = sealed.signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut response = carried_away(sealed.json, "application/json", &format!("{}.manifest.json", clip.file));
    if let Ok(signature) = HeaderValue::try_from(signature) {
        response.headers_mut().insert(SIGNATURE, signature);
    }
    Ok(response)
}

/// The signature of a clip's manifest: its 64 bytes.
pub(super) async fn signature(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let id = clip_id(&app, request).await?;
    let (clip, sealed) = sealed(&app, id).await?;
    let file = format!("{}.manifest.sig", clip.file);
    Ok(carried_away(
        sealed.signature.to_vec(),
        "application/octet-stream",
        &file,
    ))
}

async fn sealed(app: &App, id: ClipId) -> Result<(Clip, Sealed), Problem> {
    match app.exporter.manifest_of(id).await {
        Ok(found) => found.ok_or_else(no_clip),
        Err(ExportError::Storage(StorageError::Missing { .. })) => {
            Err(Problem::not_found("the manifest of this clip is no longer on the disk"))
        }
        Err(ExportError::Storage(error @ StorageError::Damaged { .. })) => {
            tracing::error!(%error, "a clip's signature is damaged");
            Err(Problem::corrupt(
                "the signature of this clip is damaged; make the clip again",
            ))
        }
        Err(error) => Err(error.into()),
    }
}

fn carried_away(bytes: Vec<u8>, kind: &'static str, file: &str) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Neither ever changes under its name.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    if let Ok(name) = HeaderValue::try_from(format!("inline; filename=\"{file}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

async fn clip_id(app: &App, request: Request) -> Result<ClipId, Problem> {
    let (mut parts, _) = request.into_parts();
    let query = Query::from_request_parts(&mut parts, app).await?;
    query.done()?;
    uuid_part(&mut parts, app, "clip").await.map(ClipId).ok_or_else(no_clip)
}

fn no_clip() -> Problem {
    Problem::not_found("there is no such clip; it may have been removed, or its time was over")
}

/// The window that a body asks for. An empty one is refused with the words that clients of the reference know, so the two
/// are not compared here but by whoever cuts.
pub(super) fn window_of(fields: &mut Fields) -> Result<Span, Problem> {
    let mut time = |name: &'static str| match fields.take::<Timestamp>(name)? {
        Said::Set(time) => Ok(time),
        Said::Nothing | Said::Clear => Err(Problem::field(name, "give it, like \"2026-11-20T10:30:00Z\"")),
    };
    Ok(Span {
        start: time("from")?,
        end: time("to")?,
    })
}

pub(super) fn given_or_usual<T: Default>(said: Said<T>) -> T {
    match said {
        Said::Set(value) => value,
        Said::Nothing | Said::Clear => T::default(),
    }
}

/// Who asks. Without users, whoever sits at this machine is the administrator.
pub(super) fn asked_by(peer: SocketAddr) -> String {
    format!("administrator at {}", peer.ip().to_canonical())
}

fn modes() -> String {
    ClipMode::ALL.map(ClipMode::as_str).join(", ")
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        use crate::model::Fault;
        let fault = error.fault();
        match error {
            ExportError::Index(error) => error.into(),
            // What these say is for whoever asked; it names no place on this machine.
            ExportError::BackToFront
            | ExportError::TooLong { .. }
            | ExportError::Invalid(_)
            | ExportError::NothingThere
            | ExportError::Mixed { .. } => match fault {
                Fault::NotFound => Self::not_found(error.to_string()),
                Fault::Conflict => Self::conflict(error.to_string()),
                _ => Self::invalid(error.to_string()),
            },
            ExportError::NoCamera(id) => Self::no_camera(id.as_str()),
            ExportError::Busy { seconds, .. } | ExportError::NotYet { seconds, .. } => {
                Self::busy(error.to_string(), seconds)
            }
            ExportError::Cancelled => Self::unavailable("the clip was given up: camkeep is shutting down"),
            error => {
                tracing::error!(%error, "a clip could not be made");
                match fault {
                    Fault::Full => Self::full("no room is left for the clip; remove clips, or lower the retention"),
                    Fault::Unavailable => Self::unavailable("the disk does not answer as it should; the log says more"),
                    // There was footage, and there is none to show: for whoever asks that is the same as none.
                    Fault::Corrupt | Fault::NotFound => Self::not_found(
                        "the recordings in the requested range are damaged or gone from the disk; the log of camkeep says which",
                    ),
                    _ => Self::internal("the clip could not be made; the log of camkeep says why"),
                }
            }
        }
    }
}
