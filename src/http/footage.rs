//! What there is of a camera and what is missing: segments, timelines, gaps, days.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri, State};
use axum::http::request::Parts;
use axum::response::Response;
use chrono::NaiveDate;
use chrono_tz::Tz;

use super::app::App;
use super::paging::{Cursor, MOST, USUAL, cut, page};
use super::problem::Problem;
use super::query::{InPath, Query, path_part};
use super::wire::{CoverageShown, DayShown, GapShown, KeptGapShown, LaneShown, SegmentShown, TimelineShown};
use crate::index::{GapFilter, IndexError, Reader};
use crate::model::{CameraId, GapFate, GapId, KEPT_FROM, Segment, Span, Timestamp};
use crate::timeline;

pub(super) async fn segments(
    State(app): State<App>,
    InPath(id): InPath,
    OriginalUri(uri): OriginalUri,
    mut query: Query,
) -> Result<Response, Problem> {
    let window = query.span()?;
    let limit = query.number("limit", 1..=MOST, USUAL)?;
    let after = Cursor::parse(query.text("cursor"))?;
    let removed = query.removed()?;
    query.done()?;
    let (rows, next) = app
        .about_any(&id, removed, move |reader, camera| {
            let mut rows = reader.segments(&camera.id, window, limit + 1, after)?;
            let next = cut(&mut rows, limit, |segment| (segment.span.start, segment.id));
            Ok((shown_with_standing(reader, rows)?, next))
        })
        .await?;
    Ok(page(rows, next, &uri))
}

/// Segments with whether they are read or held.
pub(super) fn shown_with_standing(
    reader: &Reader<'_>,
    segments: Vec<Segment>,
) -> Result<Vec<SegmentShown>, IndexError> {
    let locked = reader.locked_segments()?;
    let shown = segments.into_iter().map(|segment| {
        let (id, standing) = (segment.id, reader.standing(segment.id)?);
        let standing = standing.unwrap_or_default();
        Ok(SegmentShown::new(segment, locked.contains(&id), standing))
    });
    shown.collect()
}

pub(super) async fn timeline(
    State(app): State<App>,
    InPath(id): InPath,
    mut query: Query,
) -> Result<Json<TimelineShown>, Problem> {
    let window = query.day(app.clock.now())?;
    let removed = query.removed()?;
    query.done()?;
    let found = app
        .about_any(&id, removed, move |reader, camera| {
            timeline::timeline(reader, &camera, window)
        })
        .await?;
    Ok(Json(TimelineShown::new(&id, window, found)))
}

/// Most cameras on one timeline.
const LANES: usize = 64;
/// As fine as a wide screen can show.
const COLUMNS: u32 = 2000;

pub(super) async fn lanes(State(app): State<App>, mut query: Query) -> Result<Json<Vec<LaneShown>>, Problem> {
    let now = app.clock.now();
    let named = query.text("cameras");
    let window = query.day(now)?;
    let finest = window.duration() / COLUMNS;
    let resolution = query.number("resolution", 0.0..=86_400.0, finest.as_secs_f64())?;
    let removed = query.removed()?;
    query.done()?;
    let resolution = Duration::try_from_secs_f64(resolution).unwrap_or(finest);
    let wanted = named.as_deref().map(camera_list).transpose()?;
    let lanes = app
        .index
        .read(move |reader| {
            let mut cameras = reader.cameras()?;
            if removed {
                cameras.extend(reader.deleted_cameras()?);
            }
            if let Some(wanted) = wanted {
                // In the order of asking, which is the order of the wall.
                let mut asked = Vec::new();
                for id in wanted {
                    match cameras.iter().find(|camera| camera.id == id) {
                        Some(camera) => asked.push(camera.clone()),
                        None => return Ok(Err(Problem::no_camera(id.as_str()))),
                    }
                }
                cameras = asked;
            }
            let mut lanes = Vec::new();
            for camera in cameras {
                let lane = timeline::lane(reader, &camera, window, now, resolution)?;
                lanes.push(LaneShown::new(&camera.id, camera.name, lane));
            }
            Ok(Ok(lanes))
        })
        .await??;
    Ok(Json(lanes))
}

fn camera_list(text: &str) -> Result<Vec<CameraId>, Problem> {
    let mut cameras = Vec::new();
    for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        let id = CameraId::parse(id).map_err(|_| Problem::no_camera(id))?;
        if !cameras.contains(&id) {
            cameras.push(id);
        }
    }
    if cameras.len() > LANES {
        return Err(Problem::field("cameras", format!("at most {LANES} at a time")));
    }
    Ok(cameras)
}

pub(super) async fn gaps(
    State(app): State<App>,
    InPath(id): InPath,
    mut query: Query,
) -> Result<Json<Vec<GapShown>>, Problem> {
    let now = app.clock.now();
    let window = query.day(now)?;
    let removed = query.removed()?;
    query.done()?;
    Ok(Json(gaps_in(&app, &id, removed, window, now).await?))
}

/// What a camera's footage lacks in a window.
pub(super) async fn gaps_in(
    app: &App,
    id: &CameraId,
    removed: bool,
    window: Span,
    now: Timestamp,
) -> Result<Vec<GapShown>, Problem> {
    let (found, kept, camera) = app
        .about_any(id, removed, move |reader, camera| {
            let found = timeline::gaps(reader, &camera, window, now)?;
            Ok((found, reader.gaps_within(&camera.id, window)?, camera))
        })
        .await?;
    let has_archive = app.refiller.has_archive(&camera).is_ok();
    let shown = found.into_iter().map(|gap| GapShown::new(gap, &kept, has_archive));
    Ok(shown.collect())
}

pub(super) async fn kept_gaps(
    State(app): State<App>,
    InPath(id): InPath,
    OriginalUri(uri): OriginalUri,
    mut query: Query,
) -> Result<Response, Problem> {
    let state = query.text("state");
    let is_none = state.as_deref() == Some("none");
    let unknown = || Problem::field("state", "one of pending, filled, failed, none");
    let fate = match state {
        _ if is_none => Some(GapFate::Pending),
        Some(word) => Some(GapFate::parse(&word).ok_or_else(unknown)?),
        None => None,
    };
    let limit = query.number("limit", 1..=MOST, USUAL)?;
    let after = Cursor::parse(query.text("cursor"))?;
    let removed = query.removed()?;
    query.done()?;
    let filter = GapFilter {
        camera: Some(id.clone()),
        fate,
        after,
    };
    let read = move |reader: &Reader<'_>, camera| Ok((reader.gaps(&filter, limit + 1)?, camera));
    let (mut rows, camera) = app.about_any(&id, removed, read).await?;
    let has_archive = app.refiller.has_archive(&camera).is_ok();
    if fate == Some(GapFate::Pending) && is_none == has_archive {
        rows.clear();
    }
    let next = cut(&mut rows, limit, |gap| (gap.span.start, gap.id));
    let now = app.clock.now();
    // A loss that still lasts shows here once it is long enough to be kept.
    rows.retain(|gap| !gap.open || now.since(gap.span.start) > KEPT_FROM);
    let rows: Vec<KeptGapShown> = rows
        .into_iter()
        .map(|gap| KeptGapShown::new(gap, now, has_archive))
        .collect();
    Ok(page(rows, next, &uri))
}

/// A gap as the path names it. What cannot be the number of one is simply not found.
pub(super) struct GapInPath(GapId);

impl<S: Sync + Send> FromRequestParts<S> for GapInPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = path_part(parts, state, "gap").await;
        named.parse().map(|id| Self(GapId(id))).map_err(|_| {
            let shown: String = named.chars().filter(|c| !c.is_control()).take(40).collect();
            Problem::not_found(format!("gap {shown} not found"))
        })
    }
}

/// Three attempts in vain make a gap failed; a person who knows better has it tried again.
pub(super) async fn retry_gap(
    State(app): State<App>,
    InPath(id): InPath,
    GapInPath(gap): GapInPath,
) -> Result<Json<KeptGapShown>, Problem> {
    let camera = app.about(&id, |_, camera| Ok(camera)).await?;
    app.refiller.has_archive(&camera)?;
    let camera = camera.id;
    let gap = app.index.write(move |writer| writer.retry_gap(&camera, gap)).await?;
    tracing::info!(camera = %id, gap = gap.id.0, span = %gap.span, "a gap is to be tried again");
    app.refiller.wish(&id, gap.span);
    Ok(Json(KeptGapShown::new(gap, app.clock.now(), true)))
}

pub(super) async fn coverage(
    State(app): State<App>,
    InPath(id): InPath,
    mut query: Query,
) -> Result<Json<CoverageShown>, Problem> {
    let now = app.clock.now();
    let zone = zone(&mut query)?;
    let day = match query.text("day") {
        None => now.to_utc().with_timezone(&zone).date_naive(),
        Some(day) => NaiveDate::parse_from_str(&day, "%Y-%m-%d")
            .map_err(|_| Problem::field("day", "write it like 2026-11-20"))?,
    };
    let removed = query.removed()?;
    query.done()?;
    let span: Span = timeline::day_span(day, &zone).ok_or_else(|| Problem::field("day", "too far away"))?;
    let found = app
        .about_any(&id, removed, move |reader, camera| {
            timeline::coverage(reader, &camera, span, now)
        })
        .await?;
    Ok(Json(CoverageShown::new(&id, day.to_string(), &found)))
}

pub(super) async fn days(
    State(app): State<App>,
    InPath(id): InPath,
    mut query: Query,
) -> Result<Json<Vec<DayShown>>, Problem> {
    let zone = zone(&mut query)?;
    let removed = query.removed()?;
    query.done()?;
    let found = app
        .about_any(&id, removed, move |reader, camera| {
            timeline::calendar(reader, &camera, &zone)
        })
        .await?;
    Ok(Json(found.into_iter().map(DayShown::from).collect()))
}

/// The zone whose midnights count; the box itself knows UTC only.
fn zone(query: &mut Query) -> Result<Tz, Problem> {
    query.text("zone").map_or(Ok(Tz::UTC), |name| {
        name.parse()
            .map_err(|_| Problem::field("zone", "an IANA time zone, like Europe/Berlin"))
    })
}
