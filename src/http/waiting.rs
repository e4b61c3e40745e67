//! What is answered while the box cannot do anything yet: that it lives, and what it waits for.

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::guard::guard;
use super::problem::Problem;
use super::serve::{Limits, serve_router};
use crate::runtime::Shutdown;

/// What people are told.
const WAITS: &str = "camkeep has started and waits for the disk of its data directory, which does not answer; nothing is \
                     recorded until it does, and then by itself";

/// Answers everybody with what is waited for, until the end is asked for.
pub async fn serve_waiting(listener: &TcpListener, over: Shutdown) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "waiting" }))
        .fallback(waits)
        .layer(middleware::from_fn(guard));
    serve_router(listener, router, over, Limits::of_this_box()).await
}

async fn waits(headers: HeaderMap) -> Response {
    let wants = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let answer = if wants.is_some_and(|wants| wants.contains("text/html")) {
        let page = format!(
            "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=2><title>camkeep</title><p>{WAITS}."
        );
        (StatusCode::SERVICE_UNAVAILABLE, Html(page)).into_response()
    } else {
        Problem::unavailable(WAITS).into_response()
    };
    ([(header::RETRY_AFTER, "2")], answer).into_response()
}
