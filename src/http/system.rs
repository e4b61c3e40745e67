//! The box itself: the key that checks what it signed.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::problem::Problem;
use super::query::Query;
use crate::model::{Fingerprint, Timestamp};
use crate::storage::PublicKey;

/// What PEM is called on the wire; neither name was ever made for it alone.
const PEM: [&str; 2] = ["application/x-pem-file", "application/pem-certificate-chain"];

#[derive(Debug, Serialize)]
struct KeyShown {
    key_id: Fingerprint,
    algorithm: &'static str,
    public_key: String,
    made_at: Option<Timestamp>,
}

impl From<PublicKey> for KeyShown {
    fn from(key: PublicKey) -> Self {
        Self {
            key_id: key.id(),
            algorithm: "ed25519",
            public_key: key.to_pem(),
            made_at: key.made_at(),
        }
    }
}

/// The public key that clips are signed for: as JSON, or the bare PEM for whoever saves it and checks with openssl.
pub(super) async fn public_key(
    State(app): State<App>,
    mut query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = query.text("format");
    query.done()?;
    let as_pem = match format.as_deref() {
        None => wants_pem(&headers),
        Some("json") => false,
        Some("pem") => true,
        Some(_) => return Err(Problem::field("format", "it may be json or pem")),
    };
    if !as_pem {
        return Ok(Json(KeyShown::from(app.public_key)).into_response());
    }
    let mut response = app.public_key.to_pem().into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"));
    out.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("inline; filename=\"box.pem\""),
    );
    Ok(response)
}

fn wants_pem(headers: &HeaderMap) -> bool {
    let kinds = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    kinds.is_some_and(|kinds| {
        kinds.split(',').any(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            PEM.contains(&kind)
        })
    })
}
