//! The box itself: the key that checks what it signed.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::app::App;
use super::problem::Problem;
use super::query::Query;
use crate::index::KnownKey;
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
    /// Those that signed here before.
    earlier: Vec<EarlierKey>,
}

#[derive(Debug, Serialize)]
struct EarlierKey {
    key_id: Fingerprint,
    public_key: String,
    made_at: Option<Timestamp>,
    first_used_at: Timestamp,
}

impl KeyShown {
    fn new(key: PublicKey, known: Vec<KnownKey>) -> Self {
        let id = key.id();
        let earlier = known.into_iter().filter(|known| known.id != id);
        Self {
            key_id: id,
            algorithm: "ed25519",
            public_key: key.to_pem(),
            made_at: key.made_at(),
            earlier: earlier
                .map(|known| EarlierKey {
                    key_id: known.id,
                    public_key: known.public_key,
                    made_at: known.made_at,
                    first_used_at: known.first_used_at,
                })
                .collect(),
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
        let known = app.index.read(|reader| reader.box_keys()).await?;
        return Ok(Json(KeyShown::new(app.public_key, known)).into_response());
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
