//! Listening, until somebody asks for the end, and never longer for one client than for another.
//!
//! axum's own server waits without end for a request that does not come, and takes every connection there is: whoever
//! opens enough of them and says nothing would keep the page from everybody, and take the descriptors that recording
//! needs. Here a request has to come within a time, an answer has to be read, and when there is no room the connection
//! goes that has been of no use for longest, of the client that has most of them. No client has more than three of four
//! answered at the same time.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use super::app::App;
use super::lines::{Line, Lines};
use super::patience::Patient;
use super::problem::Problem;
use super::router::router;
use crate::runtime::{Shutdown, Tasks, file_limit};

/// How long answers under way may take once the end is asked for. A player that reads a whole recording is not waited for.
const GRACE: Duration = Duration::from_secs(1);
/// The head of a request is never larger, and no more of an answer waits in memory for its reader.
const BUFFER: usize = 64 * 1024;

/// What one client may cost the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at the same time.
    pub(super) connections: usize,
    /// How long the head of a request may take, and how long an open connection may stay without one.
    pub(super) head: Duration,
    /// How long an answer may wait for its reader to take anything of it.
    pub(super) stall: Duration,
}

impl Limits {
    /// Those of a box: no more connections than leave three of four files to recording.
    pub(super) fn of_this_box() -> Self {
        let files = file_limit().map_or(usize::MAX, |limit| usize::try_from(limit / 4).unwrap_or(usize::MAX));
        Self {
            connections: files.clamp(8, 256),
            head: Duration::from_secs(15),
            stall: Duration::from_secs(60),
        }
    }
}

/// Answers requests until the end is asked for; those under way are finished, but not for long.
pub async fn serve(listener: TcpListener, app: App, shutdown: Shutdown) -> std::io::Result<()> {
    serve_within(listener, app, shutdown, Limits::of_this_box()).await
}

/// The same within other limits.
pub(super) async fn serve_within(
    listener: TcpListener,
    app: App,
    shutdown: Shutdown,
    limits: Limits,
) -> std::io::Result<()> {
    let outcome = serve_router(&listener, router(app), shutdown, limits).await;
    drop(listener);
    outcome
}

/// Answers by a router until the end is asked for. The listener stays its owner's.
pub(super) async fn serve_router(
    listener: &TcpListener,
    router: Router,
    shutdown: Shutdown,
    limits: Limits,
) -> std::io::Result<()> {
    let (lines, mut tasks) = (Lines::new(limits.connections), Tasks::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(end) = tasks.next_end() => {
                notice(end);
                continue;
            }
            () = shutdown.asked() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::select! {
                    () = make_room(&lines, limits.connections, &mut tasks) => {}
                    () = shutdown.asked() => break,
                }
                let line = lines.enter(peer.ip());
                let connection = connection(stream, peer, router.clone(), line, shutdown.clone(), limits);
                tasks.spawn("http-connection", connection);
            }
            Err(error) => {
                // Out of descriptors, most likely: a moment later there may be some, and until then nothing is burnt.
                tracing::warn!(%error, "a connection cannot be taken");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
    if !tasks.join_all(GRACE).await {
        tracing::info!("requests that did not end in time were cut off");
    }
    Ok(())
}

/// Waits until there is room for one connection more.
async fn make_room(lines: &Lines, most: usize, tasks: &mut Tasks) {
    while lines.count() >= most {
        if lines.end_idlest() {
            tracing::debug!(most, "too many connections: one of the client that has most is closed");
        }
        match tasks.next_end().await {
            Some(end) => notice(end),
            None => return,
        }
    }
}

fn notice(end: Result<&'static str, String>) {
    if let Err(error) = end {
        tracing::error!(error, "a connection's task died");
    }
}

fn too_many() -> Response {
    let problem =
        Problem::unavailable("too many requests of this client are being answered already; try again in a moment");
    ([(header::RETRY_AFTER, "1")], problem).into_response()
}

/// Serves one connection until it ends, is ended, or the end of everything is asked for.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    line: Arc<Line>,
    shutdown: Shutdown,
    limits: Limits,
) {
    // What is answered is small and waited for.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let asked = Arc::clone(&line);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(Arc::clone(&asked));
        let answer = asked.begin().map(|asked| (router.call(request), asked));
        async move {
            let Some((answer, asked)) = answer else {
                return Ok(too_many());
            };
            let answer = answer.await;
            drop(asked);
            answer
        }
    });
    let io = TokioIo::new(Patient::new(stream, Arc::clone(&line), limits.stall));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(BUFFER)
            .serve_connection(io, service)
    );
    let mut ending = false;
    loop {
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    // A client that left, was too slow, or spoke something else: nobody here has to do anything.
                    tracing::trace!(%peer, %error, "a connection ended");
                }
                return;
            }
            () = line.ended() => return,
            () = shutdown.asked(), if !ending => {
                connection.as_mut().graceful_shutdown();
                ending = true;
            }
        }
    }
}
