//! Knocks at a camera's port: a connection that is made and closed again, on which nothing is said.
//!
//! No camera has a thread of its own for it: connections are made by the threads that run all tasks, and names are looked up by
//! one thread for all cameras, one after the other.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::runtime::Tasks;

use super::driver::Driver;

/// A port that does not answer within this is taken for shut.
const ANSWERS: Duration = Duration::from_millis(1500);
/// A lookup holds a thread for as long as the network likes.
static LOOKUP: Semaphore = Semaphore::const_new(1);

impl Driver {
    /// Has the camera's port knocked at; the answer comes when it is known.
    pub(super) fn knock(&mut self) {
        let Ok(address) = self.camera.stream_address() else {
            return;
        };
        let (host, port, tell) = (address.host().to_owned(), address.port(), self.knocked.clone());
        // The last one is over, or of no interest any more.
        self.knocking = Tasks::new();
        self.knocking.spawn("knock", async move {
            // Nobody hears it when the camera's task has ended.
            let _ = tell.send(is_open(&host, port).await);
        });
    }
}

/// Whether somebody answers at a port.
async fn is_open(host: &str, port: u16) -> bool {
    let addresses = resolve(host, port).await;
    let connect = TcpStream::connect(addresses.as_slice());
    matches!(tokio::time::timeout(ANSWERS, connect).await, Ok(Ok(_)))
}

async fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return vec![SocketAddr::new(address, port)];
    }
    // Never closed, so there is always a permit to come.
    let Ok(permit) = LOOKUP.acquire().await else {
        return Vec::new();
    };
    let name = (host.to_owned(), port);
    let lookup = move || {
        // Held for as long as the thread is, whoever asked.
        let _permit = permit;
        name.to_socket_addrs().map(Iterator::collect).unwrap_or_default()
    };
    tokio::task::spawn_blocking(lookup).await.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use super::*;

    /// How many threads this process has.
    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    #[tokio::test]
    async fn a_port_is_open_or_shut_whichever_way_the_camera_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_open("127.0.0.1", port).await);
        assert!(is_open("localhost", port).await);
        drop(listener);
        assert!(!is_open("127.0.0.1", port).await);
        assert!(!is_open("localhost", port).await);
        assert!(!is_open("no-such-camera.invalid", port).await);
    }

    #[tokio::test]
    async fn hundreds_of_cameras_that_do_not_answer_take_no_thread_and_no_longer_than_one() {
        // Connections beyond what a listener that accepts nothing lets wait get no answer.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (before, began, most) = (threads(), Instant::now(), Arc::new(AtomicUsize::new(0)));
        let mut knocks = Tasks::new();
        for _ in 0..300 {
            let most = most.clone();
            knocks.spawn("knock", async move {
                is_open("127.0.0.1", port).await;
                most.fetch_max(threads(), Ordering::Relaxed);
            });
        }
        assert!(knocks.join_all(Duration::from_secs(20)).await);
        // Other tests of this process begin and end threads too.
        let most = most.load(Ordering::Relaxed);
        assert!(most < before + 50, "{most} threads, {before} before");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}
