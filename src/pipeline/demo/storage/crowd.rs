//! The clients of a server that gives each a thread, so that all of them can be ended from outside.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::runtime::spawn_thread;

/// Serves one connection until it ends.
pub(super) type Serve = dyn Fn(TcpStream) + Send + Sync;

/// Everybody who is served at present.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    served: Mutex<Vec<Served>>,
}

#[derive(Debug)]
struct Served {
    /// Another handle on the connection, to end it with; none once it is served by somebody else.
    socket: Arc<Mutex<Option<TcpStream>>>,
    thread: JoinHandle<()>,
}

impl Crowd {
    /// Serves a connection on a thread of its own.
    pub(super) fn admit(&self, socket: TcpStream, serve: Arc<Serve>) -> std::io::Result<()> {
        let mut served = lock(&self.served);
        served.retain(|one| !one.thread.is_finished());
        let kept = Arc::new(Mutex::new(Some(socket.try_clone()?)));
        let shared = kept.clone();
        let thread = spawn_thread("demo-client", move || {
            serve(socket);
            drop(lock(&shared).take());
        })?;
        served.push(Served { socket: kept, thread });
        Ok(())
    }

    /// Closes the connections of all.
    pub(super) fn send_away(&self) {
        for one in lock(&self.served).iter() {
            if let Some(socket) = lock(&one.socket).as_ref()
                && socket.shutdown(Shutdown::Both).is_err()
            {
                tracing::trace!("a client of the demo camera's storage went by itself");
            }
        }
    }

    /// Closes the connections of all, and waits for their threads.
    pub(super) fn end(&self) {
        self.send_away();
        let served = std::mem::take(&mut *lock(&self.served));
        for one in served {
            if one.thread.join().is_err() {
                tracing::error!("a client of the demo camera's storage broke its thread");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
