//! What a caller is told when something cannot be done: RFC 9457, mapped once, logged once.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::wire::GapShown;
use crate::index::IndexError;
use crate::model::{CameraId, Fault, FieldError};

/// Kinds of problems. Their names are addresses that never change; clients decide by them, people read the detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NotFound,
    MethodNotAllowed,
    Invalid,
    TooLarge,
    MediaType,
    Range,
    Conflict,
    Forbidden,
    Unavailable,
    Full,
    Corrupt,
    Internal,
}

impl Kind {
    const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Self::Invalid => (StatusCode::BAD_REQUEST, "invalid", "Invalid request"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Request too large"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "Not JSON"),
            Self::Range => (StatusCode::RANGE_NOT_SATISFIABLE, "range", "No such range"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Forbidden"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now"),
            Self::Full => (StatusCode::INSUFFICIENT_STORAGE, "full", "No room left"),
            Self::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt", "Damaged"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }
}

/// A refusal or a failure, ready to be told.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    field: Option<String>,
    /// When to try again, in seconds, where that may help.
    retry_after: u64,
    /// How many bytes there are, where a range of others was asked for.
    size: Option<u64>,
    /// What is missing, where footage was asked for.
    gaps: Option<Vec<GapShown>>,
}

/// The shape on the wire. `error` repeats the detail for clients that know no problem documents.
#[derive(Serialize)]
struct Wire<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gaps: Option<Vec<GapShown>>,
}

impl Problem {
    fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: None,
            retry_after: 2,
            size: None,
            gaps: None,
        }
    }

    /// Footage was asked for, and these gaps are why there is none.
    pub(super) fn with_gaps(self, gaps: Vec<GapShown>) -> Self {
        Self {
            gaps: Some(gaps),
            ..self
        }
    }

    /// What was asked for does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// No such camera. The id is whatever the caller wrote, so only a clean beginning of it is repeated.
    pub fn no_camera(id: &str) -> Self {
        let shown: String = id.chars().filter(|c| !c.is_control()).take(80).collect();
        Self::not_found(format!("camera {shown} not found"))
    }

    /// The method does not fit the address.
    pub fn method_not_allowed(method: &axum::http::Method) -> Self {
        Self::new(
            Kind::MethodNotAllowed,
            format!("{method} is not possible here; the Allow header says what is"),
        )
    }

    /// The request cannot be understood.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, detail)
    }

    /// One field or parameter cannot be accepted.
    pub fn field(field: &str, message: impl std::fmt::Display) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::invalid(format!("{field}: {message}"))
        }
    }

    /// More was sent than any request here needs.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            Kind::TooLarge,
            format!("the request is too large; at most {limit} bytes are read"),
        )
    }

    /// The body does not say that it is JSON.
    pub fn media_type() -> Self {
        Self::new(
            Kind::MediaType,
            "send JSON, with the header `Content-Type: application/json`",
        )
    }

    /// The range that was asked for cannot be given; so many bytes are there.
    pub fn range(detail: impl Into<String>, size: u64) -> Self {
        Self {
            size: Some(size),
            ..Self::new(Kind::Range, detail)
        }
    }

    /// It contradicts what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// It may not be done.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// Too much is being done already; in so many seconds it may be less.
    pub fn busy(detail: impl Into<String>, retry_after: u64) -> Self {
        Self {
            retry_after,
            ..Self::new(Kind::Unavailable, detail)
        }
    }

    /// No room is left.
    pub fn full(detail: impl Into<String>) -> Self {
        Self::new(Kind::Full, detail)
    }

    /// Not now; later it may be.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, detail)
    }

    /// What is there is damaged.
    pub fn corrupt(detail: impl Into<String>) -> Self {
        Self::new(Kind::Corrupt, detail)
    }

    /// Our own fault; the log says more.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Kind::Internal, detail)
    }

    /// A camera that another request removed meanwhile, or that never was.
    pub fn unless_found<T>(found: Option<T>, id: &CameraId) -> Result<T, Self> {
        found.ok_or_else(|| Self::no_camera(id.as_str()))
    }

    #[cfg(test)]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self::field(error.field, error.message)
    }
}

impl From<IndexError> for Problem {
    /// The error itself goes to the log, once, here: it names paths of this machine, which are nobody's business
    /// outside; the caller is told what can be done.
    fn from(error: IndexError) -> Self {
        match error.fault() {
            Fault::NotFound => Self::not_found(error.to_string()),
            Fault::Invalid => Self::invalid(error.to_string()),
            Fault::Conflict => Self::conflict(error.to_string()),
            fault => {
                tracing::error!(%error, "the index did not answer a request");
                match fault {
                    Fault::Unavailable => Self::new(
                        Kind::Unavailable,
                        "the index does not answer at the moment; recording goes on, try again",
                    ),
                    Fault::Full => Self::new(Kind::Full, "no room is left on the volume of the index; make some"),
                    Fault::Corrupt => Self::new(
                        Kind::Corrupt,
                        "the index is damaged; the log of camkeep says where and what to do",
                    ),
                    _ => Self::new(Kind::Internal, "the index failed; the log of camkeep says why"),
                }
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, name, title) = self.kind.facts();
        let wire = Wire {
            r#type: format!("/problems/{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            error: &self.detail,
            field: self.field.as_deref(),
            gaps: self.gaps,
        };
        let mut response = (status, Json(wire)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(size) = self.size
            && let Ok(value) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after));
        }
        response
    }
}
