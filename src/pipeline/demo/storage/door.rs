//! A listening socket of the storage, and who serves those who come.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::runtime::{pause, spawn_thread};

use super::crowd::{Crowd, Serve};

/// How long a door that could not be opened stays closed.
const MOMENT: Duration = Duration::from_millis(20);
/// How long a door takes to close.
const PATIENCE: Duration = Duration::from_secs(2);

/// Listens until it is dropped; those who have come in by then stay.
pub(in super::super) struct Door {
    address: SocketAddr,
    is_closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    /// Listens, and has everybody served as one of a crowd.
    pub(super) fn open(address: &str, port: u16, crowd: &Arc<Crowd>, serve: Arc<Serve>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((address, port))?;
        let is_closed = Arc::new(AtomicBool::new(false));
        let (closed, crowd) = (is_closed.clone(), crowd.clone());
        Ok(Self {
            address: listener.local_addr()?,
            is_closed,
            thread: Some(spawn_thread("demo-door", move || {
                loop {
                    let accepted = listener.accept();
                    if closed.load(Ordering::SeqCst) {
                        return;
                    }
                    let admitted = accepted.and_then(|(socket, _)| crowd.admit(socket, serve.clone()));
                    if let Err(error) = admitted {
                        tracing::debug!(%error, "the demo camera lost a client before it was served");
                        pause(MOMENT);
                    }
                }
            })?),
        })
    }

    pub(in super::super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Whoever waits for the next client gets one.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        drop(TcpStream::connect_timeout(&address, PATIENCE));
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a door of the demo camera broke");
        }
    }
}
