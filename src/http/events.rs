//! Events: what happened, in the order of writing.

use axum::extract::{OriginalUri, State};
use axum::response::Response;

use super::app::App;
use super::paging::{Cursor, MOST, USUAL, cut, page};
use super::problem::Problem;
use super::query::Query;
use super::wire::EventShown;
use crate::index::EventFilter;
use crate::model::{CameraId, EventKind};

pub(super) async fn list(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    mut query: Query,
) -> Result<Response, Problem> {
    let window = query.span()?;
    let kind = query
        .text("type")
        .map(|word| {
            let known = || EventKind::ALL.map(EventKind::as_str).join(", ");
            EventKind::parse(&word).ok_or_else(|| Problem::field("type", format!("one of {}", known())))
        })
        .transpose()?;
    let camera = query
        .text("camera")
        .map(|id| CameraId::parse(&id).map_err(|_| Problem::no_camera(&id)))
        .transpose()?;
    let limit = query.number("limit", 1..=MOST, USUAL)?;
    let since = Cursor::parse(query.text("cursor"))?.unwrap_or(0_i64);
    query.done()?;
    let filter = EventFilter { camera, kind, window };
    let mut rows = app
        .index
        .read(move |reader| reader.events(since, &filter, limit + 1))
        .await?;
    let next = cut(&mut rows, limit, |(id, _)| *id);
    let rows: Vec<EventShown> = rows.into_iter().map(EventShown::from).collect();
    Ok(page(rows, next, &uri))
}
