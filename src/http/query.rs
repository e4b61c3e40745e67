//! What stands in an address: parameters after the `?`, and the camera in the path.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::problem::Problem;
use crate::model::{CameraId, Span, Timestamp};

/// The parameters of a request. Each is taken once; what nobody takes is refused, because a misspelt `form=` that is
/// passed over in silence shows the wrong night.
#[derive(Debug)]
pub(super) struct Query {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    fn parse(text: &str) -> Result<Self, Problem> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()).into_owned() {
            if given.iter().any(|(before, _)| *before == name) {
                return Err(Problem::field(&name, "given twice"));
            }
            given.push((name, value));
        }
        Ok(Self {
            given,
            known: Vec::new(),
        })
    }

    /// Takes a parameter as text. One that is there and empty counts as absent.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.swap_remove(at).1).filter(|value| !value.is_empty())
    }

    /// Takes a time.
    pub(super) fn time(&mut self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        self.text(name)
            .map(|text| {
                // An unescaped `+01:00` arrives as a space, because that is what `+` means in a query.
                let text = text.replace(' ', "+");
                Timestamp::parse(&text).map_err(|error| Problem::field(name, error))
            })
            .transpose()
    }

    /// Takes a number within a range.
    pub(super) fn number<T>(&mut self, name: &'static str, range: RangeInclusive<T>, default: T) -> Result<T, Problem>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            Problem::field(
                name,
                format!("`{shown}` is no number from {} to {}", range.start(), range.end()),
            )
        })
    }

    /// Takes a yes or no; leaving it out means no.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        match self.text(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::field(name, "true or false")),
        }
    }

    /// Takes whether removed cameras are meant too.
    pub(super) fn removed(&mut self) -> Result<bool, Problem> {
        self.flag("removed")
    }

    /// Takes `from` and `to` where leaving both out means everything.
    pub(super) fn span(&mut self) -> Result<Option<Span>, Problem> {
        match (self.time("from")?, self.time("to")?) {
            (None, None) => Ok(None),
            (from, to) => window(from.unwrap_or(Timestamp::MIN), to.unwrap_or(Timestamp::MAX)).map(Some),
        }
    }

    /// Takes `from` and `to` where leaving them out means the 24 hours before now.
    pub(super) fn day(&mut self, now: Timestamp) -> Result<Span, Problem> {
        let (from, to) = (self.time("from")?, self.time("to")?);
        let to = to.unwrap_or(now);
        window(from.unwrap_or_else(|| to.minus(DAY)), to)
    }

    /// Refuses what nobody took.
    pub(super) fn done(self) -> Result<(), Problem> {
        let Some((name, _)) = self.given.first() else {
            return Ok(());
        };
        let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        let known = match self.known.as_slice() {
            [] => "nothing is asked here".to_owned(),
            known => format!("known here: {}", known.join(", ")),
        };
        Err(Problem::field(&name, format!("unknown parameter; {known}")))
    }
}

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

fn window(from: Timestamp, to: Timestamp) -> Result<Span, Problem> {
    if to <= from {
        return Err(Problem::invalid("`to` must be after `from`"));
    }
    Ok(Span::new(from, to))
}

/// The camera named in the path. One whose id cannot be an id is simply not found.
#[derive(Debug)]
pub(super) struct InPath(pub(super) CameraId);

impl<S: Sync + Send> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let named = path_part(parts, state, "id").await;
        CameraId::parse(&named)
            .map(Self)
            .map_err(|_| Problem::no_camera(&named))
    }
}

/// A part of the path, decoded; empty when it is not there or not UTF-8.
pub(super) async fn path_part<S: Sync + Send>(parts: &mut Parts, state: &S, name: &str) -> String {
    let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
        return String::new();
    };
    let found = params.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

/// An id in the path; nothing when it cannot be one.
pub(super) async fn uuid_part<S: Sync + Send>(parts: &mut Parts, state: &S, name: &str) -> Option<uuid::Uuid> {
    uuid::Uuid::try_parse(&path_part(parts, state, name).await).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn detail<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        result.unwrap_err().detail().to_owned()
    }

    #[test]
    fn times_are_taken_with_an_offset_that_was_not_escaped() {
        let mut query = Query::parse("from=2026-11-20T10:30:00+01:00&to=2026-11-20T10:30:00%2B00:00").unwrap();
        let span = query.span().unwrap().unwrap();
        assert_eq!(span.start.to_string(), "2026-11-20T09:30:00.000Z");
        assert_eq!(span.end.to_string(), "2026-11-20T10:30:00.000Z");
        query.done().unwrap();
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let mut query = Query::parse("from=yesterday").unwrap();
        assert!(detail(query.span()).starts_with("from: `yesterday` is not a time"));
        let mut query = Query::parse("from=2026-11-20T11:00:00Z&to=2026-11-20T10:00:00Z").unwrap();
        assert_eq!(detail(query.span()), "`to` must be after `from`");
        let mut query = Query::parse("limit=5001").unwrap();
        assert_eq!(
            detail(query.number("limit", 1..=5000, 500)),
            "limit: `5001` is no number from 1 to 5000"
        );
        let mut query = Query::parse("form=2026-11-20T10:00:00Z").unwrap();
        query.span().unwrap();
        assert_eq!(detail(query.done()), "form: unknown parameter; known here: from, to");
        assert_eq!(detail(Query::parse("a=1&a=2")), "a: given twice");
    }

    #[test]
    fn a_window_that_is_not_given_is_the_last_day() {
        let now = Timestamp::from_seconds(1_000_000);
        let span = Query::parse("").unwrap().day(now).unwrap();
        assert_eq!((span.seconds(), span.end), (86_400.0, now));
        let to = Timestamp::from_seconds(500_000);
        let span = Query::parse(&format!("to={to}")).unwrap().day(now).unwrap();
        assert_eq!((span.seconds(), span.end), (86_400.0, to));
    }
}
