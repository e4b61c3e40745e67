//! Pages: a cursor says where the next begins, and a `Link` header carries it.

use axum::Json;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use super::problem::Problem;
use crate::model::{ClipId, GapId, JobId, SegmentId, Timestamp};

/// Most rows of a page.
pub(super) const MOST: u32 = 5000;
/// Rows of a page when nothing is said.
pub(super) const USUAL: u32 = 500;

/// A place in a list, as text. Clients hand it back as they got it.
pub(super) trait Cursor: Sized {
    fn write(&self) -> String;
    fn read(text: &str) -> Option<Self>;

    /// Reads what a client handed back.
    fn parse(text: Option<String>) -> Result<Option<Self>, Problem> {
        let read = |text: String| {
            Self::read(&text).ok_or_else(|| Problem::field("cursor", "take it from the Link header of the page before"))
        };
        text.map(read).transpose()
    }
}

macro_rules! cursors_by_time {
    ($($id:ident),+) => {$(
        impl Cursor for (Timestamp, $id) {
            fn write(&self) -> String {
                format!("{}_{}", self.0.as_nanos(), self.1.0.simple())
            }

            fn read(text: &str) -> Option<Self> {
                let (at, id) = text.split_once('_')?;
                Some((
                    Timestamp::from_nanos(at.parse().ok()?),
                    $id(Uuid::try_parse(id).ok()?),
                ))
            }
        }
    )+};
}
cursors_by_time!(SegmentId, ClipId, JobId);

impl Cursor for (Timestamp, GapId) {
    fn write(&self) -> String {
        format!("{}_{}", self.0.as_nanos(), self.1.0)
    }

    fn read(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('_')?;
        Some((Timestamp::from_nanos(at.parse().ok()?), GapId(id.parse().ok()?)))
    }
}

impl Cursor for i64 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seq| *seq >= 0)
    }
}

/// Cuts rows to a page; the place of the last one when more follow. The index was asked for one row too many.
pub(super) fn cut<T, C>(rows: &mut Vec<T>, limit: u32, place: impl Fn(&T) -> C) -> Option<C> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if rows.len() <= limit {
        return None;
    }
    rows.truncate(limit);
    rows.last().map(place)
}

/// A page as it is answered.
pub(super) fn page<T: Serialize>(rows: Vec<T>, next: Option<impl Cursor>, uri: &Uri) -> Response {
    let mut response = Json(rows).into_response();
    let link = next.and_then(|next| HeaderValue::try_from(next_link(uri, &next.write())).ok());
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn next_link(uri: &Uri, cursor: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let given = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(given.filter(|(name, _)| name != "cursor"));
    query.append_pair("cursor", cursor);
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cursors_are_read_as_they_were_written() {
        let segment = (Timestamp::from_nanos(-5), SegmentId(Uuid::from_u128(9)));
        assert_eq!(<(Timestamp, SegmentId)>::read(&segment.write()), Some(segment));
        let gap = (Timestamp::from_nanos(5), GapId(3));
        assert_eq!(<(Timestamp, GapId)>::read(&gap.write()), Some(gap));
        for text in ["", "_", "x_y", "1_", "1", "1_2_3"] {
            assert_eq!(<(Timestamp, SegmentId)>::read(text), None, "{text}");
        }
        assert!(<i64 as Cursor>::parse(Some("-1".into())).is_err());
        assert_eq!(<i64 as Cursor>::parse(None).unwrap(), None);
    }

    #[test]
    fn the_link_keeps_what_was_asked_and_replaces_the_cursor() {
        let uri = Uri::from_static("/api/v1/events?from=2026-11-20T10%3A00%3A00%2B01%3A00&cursor=4&limit=2");
        assert_eq!(
            next_link(&uri, "6"),
            "</api/v1/events?from=2026-11-20T10%3A00%3A00%2B01%3A00&limit=2&cursor=6>; rel=\"next\""
        );
    }

    #[test]
    fn only_a_page_that_is_followed_has_a_next() {
        let mut rows = vec![1, 2, 3];
        assert_eq!(cut(&mut rows, 3, |row| *row), None);
        assert_eq!((cut(&mut rows, 2, |row| *row), rows), (Some(2), vec![1, 2]));
    }
}
