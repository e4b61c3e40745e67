//! The page at `/`, built into the binary.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::model::Fingerprint;

/// Nothing from elsewhere, nothing inline, nobody may frame it.
const POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; img-src 'self' data:; media-src 'self' blob:";

struct File {
    name: &'static str,
    content: &'static [u8],
    tag: String,
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../../assets/web/", $name)).as_slice())),+]
    };
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    files![
        "index.html",
        "api.js",
        "app.js",
        "clip.js",
        "days.js",
        "dom.js",
        "drawing.js",
        "find.js",
        "footage.js",
        "form.js",
        "icon.svg",
        "lane.js",
        "player.js",
        "spans.js",
        "style.css",
        "time.js",
        "window.js",
        "words.js",
    ]
    .into_iter()
    .map(|(name, content)| File {
        name,
        content,
        tag: tag(content),
    })
    .collect()
});

fn tag(content: &[u8]) -> String {
    let hash = Fingerprint::of(content);
    let digits: String = hash.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

pub(super) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    file("index.html", &headers)
}

pub(super) async fn part(request: Request) -> Result<Response, Problem> {
    let name = request.uri().path().trim_start_matches("/web/").to_owned();
    file(&name, request.headers())
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let file = FILES
        .iter()
        .find(|file| file.name == name)
        .ok_or_else(|| Problem::not_found("there is no such page"))?;
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| {
            tags.split(',')
                .any(|tag| tag.trim().trim_start_matches("W/") == file.tag)
        });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.content.into_response()
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Asked again each time, answered with 304: after an update no browser shows yesterday's page.
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::try_from(&file.tag) {
        out.insert(header::ETAG, tag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_of_the_page_is_built_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/web");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let built_in: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(there, built_in);
    }

    #[test]
    fn every_file_has_a_kind_that_browsers_accept() {
        for file in FILES.iter() {
            assert_ne!(kind(file.name), "application/octet-stream", "{}", file.name);
        }
    }
}
