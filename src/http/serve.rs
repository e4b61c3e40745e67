//! Listening, until somebody asks for the end.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::app::App;
use super::router::router;
use crate::runtime::Shutdown;

/// How long answers under way may take once the end is asked for. A player that reads a whole recording is not waited for.
const GRACE: Duration = Duration::from_secs(1);

/// Answers requests until the end is asked for; those under way are finished, but not for long.
pub async fn serve(listener: TcpListener, app: App, shutdown: Shutdown) -> std::io::Result<()> {
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let end = shutdown.clone();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move { end.asked().await });
    tokio::select! {
        outcome = server.into_future() => outcome,
        () = cut_off(&shutdown) => {
            tracing::info!("requests that did not end in time were cut off");
            Ok(())
        }
    }
}

async fn cut_off(shutdown: &Shutdown) {
    shutdown.asked().await;
    tokio::time::sleep(GRACE).await;
}
