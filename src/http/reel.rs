//! A clip that lies nowhere yet, answered whole or in part. Two looks at the same footage give the same bytes, so its tag
//! holds from one request to the next, and a player can seek in it.

use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::ranges::{Wanted, wanted};
use crate::export::Streamed;
use crate::model::Hasher;
use crate::storage::{Piece, Reel};

/// How much is read at a time.
const CHUNK: usize = 128 * 1024;
/// How many of these wait for the client.
const AHEAD: usize = 2;
/// A client that takes nothing for so long is taken for gone, and what it reads is let go. A player that pauses asks for
/// the rest by a range when it goes on.
const PATIENCE: Duration = Duration::from_secs(30);
/// When the first frame of the clip was taken, when the last one ends, how long it plays and how many gaps it passes over.
const START: HeaderName = HeaderName::from_static("x-camkeep-clip-start");
const END: HeaderName = HeaderName::from_static("x-camkeep-clip-end");
const COVERED: HeaderName = HeaderName::from_static("x-camkeep-clip-seconds");
const GAPS: HeaderName = HeaderName::from_static("x-camkeep-clip-gaps");
/// Where it was cut, when it would have reached into the future.
const CUT_TO: HeaderName = HeaderName::from_static("x-camkeep-clip-cut-to");

/// Answers with the part of a clip that is asked for.
pub(super) fn send(streamed: Streamed, method: &Method, headers: &HeaderMap) -> Response {
    let cut_to = streamed.cut_to.map(|at| (CUT_TO, at.to_string()));
    let facts = [
        // Asked for anew each time, because footage may still be growing into the window.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("inline; filename=\"{}\"", streamed.file),
        ),
        (START, streamed.shown.start.to_string()),
        (END, streamed.shown.end.to_string()),
        (COVERED, format!("{:.3}", streamed.covered.as_secs_f64())),
        (GAPS, streamed.holes.len().to_string()),
    ];
    let facts = facts.into_iter().chain(cut_to);
    send_reel(streamed.reel, streamed.hold, facts, method, headers)
}

/// Answers with the part of a reel that is asked for; `hold` is kept for as long as it is read.
pub(super) fn send_reel(
    reel: Reel,
    hold: impl Send + 'static,
    facts: impl IntoIterator<Item = (HeaderName, String)>,
    method: &Method,
    headers: &HeaderMap,
) -> Response {
    let (size, tag) = (reel.size_bytes(), tag(&reel));
    let mut response = if is_known(&tag, headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match wanted(headers, size, |known| known == tag) {
            Err(problem) => problem.into_response(),
            Ok(Wanted::All) => answer(StatusCode::OK, body(reel, hold, 0..size, method), size),
            Ok(Wanted::Part(range)) => {
                let told = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
                let length = range.end.saturating_sub(range.start);
                let mut response = answer(StatusCode::PARTIAL_CONTENT, body(reel, hold, range, method), length);
                put(&mut response, header::CONTENT_RANGE, &told);
                response
            }
        }
    };
    put(&mut response, header::ETAG, &tag);
    put(&mut response, header::ACCEPT_RANGES, "bytes");
    for (name, value) in facts {
        put(&mut response, name, &value);
    }
    response
}

/// Whatever stands in these values is digits, letters and signs of ours, which headers take.
fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Whether the client has these bytes already.
fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_ours = |known: &str| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag;
    known.is_some_and(|known| known.split(',').any(is_ours))
}

fn answer(status: StatusCode, body: Body, length: u64) -> Response {
    let mut response = (status, body).into_response();
    put(&mut response, header::CONTENT_LENGTH, &length.to_string());
    put(&mut response, header::CONTENT_TYPE, "video/mp4");
    response
}

/// Reads on a thread of its own, a little ahead of the client. With the client goes the thread, and with it what is held.
fn body(reel: Reel, hold: impl Send + 'static, range: Range<u64>, method: &Method) -> Body {
    if method == Method::HEAD {
        return Body::empty();
    }
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    tokio::task::spawn_blocking(move || {
        let (mut reader, runtime) = (reel.reader(range), Handle::current());
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = (&mut reader).take(CHUNK as u64).read_to_end(&mut chunk);
            let (is_last, chunk) = match read {
                Ok(0) => break,
                Ok(_) => (false, Ok(Bytes::from(chunk))),
                Err(error) => {
                    tracing::error!(%error, "a film breaks off while it is sent");
                    (true, Err(error))
                }
            };
            let sent = runtime.block_on(tokio::time::timeout(PATIENCE, sender.send(chunk)));
            if is_last || !matches!(sent, Ok(Ok(()))) {
                break;
            }
        }
        drop(hold);
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }))
}

/// The same for the same bytes, and for others another: made of the head, which has every frame's place, and of where the
/// rest lies, because a closed file never changes.
fn tag(reel: &Reel) -> String {
    let mut hasher = Hasher::new();
    for piece in reel.pieces() {
        match piece {
            Piece::Bytes(bytes) => {
                hasher.update([0]);
                hasher.update((bytes.len() as u64).to_le_bytes());
                hasher.update(bytes);
            }
            Piece::File { path, offset, length } => {
                hasher.update([1]);
                hasher.update(path.as_os_str().as_encoded_bytes());
                hasher.update([0]);
                hasher.update(offset.to_le_bytes());
                hasher.update(length.to_le_bytes());
            }
        }
    }
    format!("\"{}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let mut headers = HeaderMap::new();
        assert!(!is_known("\"a\"", &headers));
        for (known, expected) in [("\"b\"", false), ("\"b\", W/\"a\"", true), ("*", true)] {
            headers.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            assert_eq!(is_known("\"a\"", &headers), expected, "{known}");
        }
    }

    #[test]
    fn other_bytes_have_another_tag() {
        let file = |offset, length| Piece::File {
            path: std::path::Path::new("/a").into(),
            offset,
            length,
        };
        let reels = [
            vec![Piece::Bytes("head".into()), file(0, 10)],
            vec![Piece::Bytes("heaD".into()), file(0, 10)],
            vec![Piece::Bytes("head".into()), file(1, 10)],
            vec![Piece::Bytes("head".into()), file(0, 11)],
            vec![file(0, 10), Piece::Bytes("head".into())],
        ];
        let tags: std::collections::BTreeSet<String> =
            reels.into_iter().map(|pieces| tag(&Reel::new(pieces))).collect();
        assert_eq!(tags.len(), 5);
    }
}
