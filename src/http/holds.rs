//! Holds: footage that nobody may let go, by time or by segment, and the incidents that it belongs to.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::app::App;
use super::body::{Fields, Said};
use super::clips::{asked_by, window_of};
use super::exports::cameras;
use super::footage::shown_with_standing;
use super::paging::{Cursor, MOST, USUAL, cut, page};
use super::problem::Problem;
use super::query::{Query, path_part, uuid_part};
use super::wire::{HoldShown, IncidentShown, SegmentShown};
use crate::index::Writer;
use crate::model::{Hold, HoldId, Segment, SegmentId, Span, Timestamp};

/// Most holds of a box; each is looked at for every segment that is written.
const MOST_HOLDS: u64 = 10_000;
/// Longest reason and id of an incident, in characters.
const LONGEST: usize = 500;
/// What a segment that is held by itself is held for, when nothing is said.
const BY_HAND: &str = "held by hand";

/// The hold named in the path.
pub(super) struct OfPath(HoldId);

/// The segment named in the path.
pub(super) struct SegmentOfPath(SegmentId);

/// The incident named in the path.
pub(super) struct IncidentOfPath(String);

impl<S: Sync + Send> FromRequestParts<S> for OfPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = uuid_part(parts, state, "hold").await;
        id.map(|id| Self(HoldId(id))).ok_or_else(no_hold)
    }
}

impl<S: Sync + Send> FromRequestParts<S> for SegmentOfPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = uuid_part(parts, state, "segment").await;
        id.map(|id| Self(SegmentId(id))).ok_or_else(no_segment)
    }
}

impl<S: Sync + Send> FromRequestParts<S> for IncidentOfPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(path_part(parts, state, "incident").await))
    }
}

fn no_hold() -> Problem {
    Problem::not_found("there is no such hold; it may have been removed, or its time was over")
}

fn no_segment() -> Problem {
    Problem::not_found("there is no such segment; retention may have let it go")
}

pub(super) async fn list(State(app): State<App>, query: Query) -> Result<Json<Vec<HoldShown>>, Problem> {
    query.done()?;
    let holds = app.index.read(|reader| reader.holds()).await?;
    Ok(Json(holds.into_iter().map(HoldShown::from).collect()))
}

pub(super) async fn show(State(app): State<App>, OfPath(id): OfPath, query: Query) -> Result<Json<HoldShown>, Problem> {
    query.done()?;
    let hold = app.index.read(move |reader| reader.hold(id)).await?;
    Ok(Json(hold.ok_or_else(no_hold)?.into()))
}

pub(super) async fn add(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let named = match fields.take::<Vec<String>>("cameras")? {
        Said::Set(named) if !named.is_empty() => cameras(&named)?,
        _ => return Err(Problem::field("cameras", "name them, like [\"front-door\"]")),
    };
    let span = window_of(&mut fields)?;
    if span.is_empty() {
        return Err(Problem::invalid("`to` must be after `from`"));
    }
    let reason = text(&mut fields, "reason")?.ok_or_else(|| Problem::field("reason", "say why it is held"))?;
    let incident = text(&mut fields, "incident_id")?;
    let now = app.clock.now();
    let expires_at = match fields.take::<Timestamp>("expires_at")? {
        Said::Set(at) if at <= now => return Err(Problem::field("expires_at", "it is over already")),
        Said::Set(at) => Some(at),
        Said::Nothing | Said::Clear => None,
    };
    fields.done(&["cameras", "from", "to", "reason", "incident_id", "expires_at"])?;
    for camera in &named {
        app.about_any(camera, true, |_, _| Ok(())).await?;
    }
    let hold = Hold {
        id: HoldId(Uuid::new_v4()),
        cameras: named,
        span,
        segment: None,
        reason,
        owner: asked_by(peer),
        incident,
        created_at: now,
        expires_at,
    };
    insert(&app, hold.clone()).await?;
    let place = HeaderValue::try_from(format!("/api/v1/holds/{}", hold.id));
    let mut response = (StatusCode::CREATED, Json(HoldShown::from(hold))).into_response();
    if let Ok(place) = place {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

async fn insert(app: &App, hold: Hold) -> Result<(), Problem> {
    let _changing = app.changing.lock().await;
    if app.index.read(|reader| reader.count_holds()).await? >= MOST_HOLDS {
        return Err(Problem::conflict(format!(
            "there are {MOST_HOLDS} holds already; remove some, or hold a longer time with one"
        )));
    }
    let stored = hold.clone();
    app.index
        .write(move |writer| {
            if let Some(segment) = stored.segment {
                // Twice is once, with what was said last; at no moment is the segment let go.
                writer.release_segment(segment)?;
                if let Some(incident) = &stored.incident {
                    writer.name_incident(segment, Some(incident))?;
                }
            }
            writer.insert_hold(&stored)
        })
        .await?;
    app.has_changed();
    tracing::info!(hold = %hold.id, span = %hold.span, owner = hold.owner, reason = hold.reason, "footage is held");
    Ok(())
}

pub(super) async fn remove(State(app): State<App>, OfPath(id): OfPath, query: Query) -> Result<StatusCode, Problem> {
    query.done()?;
    if !app.index.write(move |writer| writer.remove_hold(id)).await? {
        return Err(no_hold());
    }
    app.has_changed();
    tracing::info!(hold = %id, "a hold was removed");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn hold_segment(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    SegmentOfPath(id): SegmentOfPath,
    mut fields: Fields,
) -> Result<Json<SegmentShown>, Problem> {
    let incident = text(&mut fields, "incident_id")?;
    let reason = text(&mut fields, "reason")?;
    fields.done(&["incident_id", "reason"])?;
    let segment = find(&app, id).await?;
    let hold = Hold {
        id: HoldId(Uuid::new_v4()),
        cameras: vec![segment.camera],
        // One that has just begun has no length yet.
        span: Span::new(segment.span.start, segment.span.end.max(segment.span.start.offset(1))),
        segment: Some(id),
        reason: reason.unwrap_or_else(|| BY_HAND.to_owned()),
        owner: asked_by(peer),
        incident,
        created_at: app.clock.now(),
        expires_at: None,
    };
    insert(&app, hold).await?;
    shown(&app, id).await
}

pub(super) async fn release_segment(
    State(app): State<App>,
    SegmentOfPath(id): SegmentOfPath,
    query: Query,
) -> Result<Json<SegmentShown>, Problem> {
    query.done()?;
    find(&app, id).await?;
    app.index
        .write(move |writer| writer.release_segment(id).map(|_| ()))
        .await?;
    app.has_changed();
    tracing::info!(segment = %id, "a segment is not held by itself any more");
    shown(&app, id).await
}

pub(super) async fn set_incident(
    State(app): State<App>,
    SegmentOfPath(id): SegmentOfPath,
    mut fields: Fields,
) -> Result<Json<SegmentShown>, Problem> {
    let incident = match fields.take::<String>("incident_id")? {
        Said::Nothing => return Err(Problem::field("incident_id", "give it, or null for none")),
        Said::Clear => None,
        Said::Set(text) => Some(checked("incident_id", text)?),
    };
    fields.done(&["incident_id"])?;
    name(&app, id, incident).await?;
    app.has_changed();
    shown(&app, id).await
}

async fn name(app: &App, id: SegmentId, incident: Option<String>) -> Result<(), Problem> {
    let named = move |writer: &Writer<'_>| writer.name_incident(id, incident.as_deref());
    match app.index.write(named).await? {
        true => Ok(()),
        false => Err(no_segment()),
    }
}

pub(super) async fn incidents(State(app): State<App>, query: Query) -> Result<Json<Vec<IncidentShown>>, Problem> {
    query.done()?;
    let found = app.index.read(|reader| reader.incidents()).await?;
    Ok(Json(found.into_iter().map(IncidentShown::from).collect()))
}

pub(super) async fn incident_segments(
    State(app): State<App>,
    IncidentOfPath(incident): IncidentOfPath,
    OriginalUri(uri): OriginalUri,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = query.number("limit", 1..=MOST, USUAL)?;
    let after: Option<(Timestamp, SegmentId)> = Cursor::parse(query.text("cursor"))?;
    query.done()?;
    let place = |segment: &Segment| (segment.span.start, segment.id);
    let (rows, next) = app
        .index
        .read(move |reader| {
            let mut rows = reader.segments_of_incident(&incident)?;
            rows.retain(|segment| after.is_none_or(|after| place(segment) > after));
            let next = cut(&mut rows, limit, place);
            Ok((shown_with_standing(reader, rows)?, next))
        })
        .await?;
    Ok(page(rows, next, &uri))
}

async fn find(app: &App, id: SegmentId) -> Result<Segment, Problem> {
    let found = app.index.read(move |reader| reader.segment(id)).await?;
    found.ok_or_else(no_segment)
}

async fn shown(app: &App, id: SegmentId) -> Result<Json<SegmentShown>, Problem> {
    let shown = app
        .index
        .read(move |reader| {
            let segment = reader.segment(id)?.into_iter().collect();
            shown_with_standing(reader, segment)
        })
        .await?;
    shown.into_iter().next().map(Json).ok_or_else(no_segment)
}

/// A text that may be left out.
fn text(fields: &mut Fields, name: &'static str) -> Result<Option<String>, Problem> {
    match fields.take::<String>(name)? {
        Said::Set(text) => checked(name, text).map(Some),
        Said::Nothing | Said::Clear => Ok(None),
    }
}

fn checked(name: &'static str, text: String) -> Result<String, Problem> {
    if text.trim().is_empty() || text.chars().count() > LONGEST {
        return Err(Problem::field(name, format!("a text of 1 to {LONGEST} characters")));
    }
    Ok(text)
}
