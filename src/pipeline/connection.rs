//! The TCP connection of an `rtspsrc`, found among this process's sockets so that it can be cut.
//!
//! `rtspsrc` cannot be interrupted while it reads an answer that never ends: a peer that says a byte each half second, or
//! headers without end, would hold its thread, its socket and ever more memory for as long as it likes. `rtspsrc` does not
//! give its socket away either. But each request is announced on the thread that opened the connection, right after it was
//! opened, so the one socket to the camera that nobody has claimed yet is the one.

use std::collections::BTreeSet;
use std::net::{Shutdown, TcpStream};
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::rtsp;

/// The sockets that belong to a connection, by inode: two cameras may share a host and a port, as those behind one recorder.
static CLAIMED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// One source's connection.
#[derive(Debug)]
pub(super) struct Connection {
    port: u16,
    socket: Mutex<Option<Socket>>,
}

/// A descriptor, and which socket it was when it was claimed: numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    number: RawFd,
    inode: u64,
}

impl Connection {
    /// A connection to a camera's port that is not open yet.
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            socket: Mutex::new(None),
        }
    }

    /// Claims the socket. Called on the thread that has just opened it.
    pub(super) fn claim(&self) {
        let mut socket = lock(&self.socket);
        if socket.is_some_and(|socket| socket.inode_now() == Some(socket.inode)) {
            return;
        }
        let mut claimed = lock(&CLAIMED);
        if let Some(gone) = socket.take() {
            claimed.remove(&gone.inode);
        }
        let mut free = sockets().filter(|found| !claimed.contains(&found.inode) && found.leads_to(self.port));
        // Two at once are told apart at the next request, when one of them has claimed its own.
        if let (Some(found), None) = (free.next(), free.next()) {
            claimed.insert(found.inode);
            *socket = Some(found);
        }
    }

    /// Ends the connection under the hands of whoever reads from it.
    pub(super) fn cut(&self) {
        let socket = *lock(&self.socket);
        if let Some(socket) = socket.filter(|socket| socket.inode_now() == Some(socket.inode))
            && let Some(stream) = socket.stream()
        {
            // Fails when the peer has ended it, which is just as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(socket) = lock(&self.socket).take() {
            lock(&CLAIMED).remove(&socket.inode);
        }
    }
}

impl Socket {
    fn inode_now(self) -> Option<u64> {
        let target = std::fs::read_link(format!("/proc/self/fd/{}", self.number)).ok()?;
        let target = target.to_str()?;
        target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }

    fn stream(self) -> Option<TcpStream> {
        rtsp::duplicate(self.number).map(TcpStream::from)
    }

    fn leads_to(self, port: u16) -> bool {
        let peer = self.stream().and_then(|stream| stream.peer_addr().ok());
        peer.is_some_and(|peer| peer.port() == port)
    }
}

/// Every socket of this process.
fn sockets() -> impl Iterator<Item = Socket> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let inode = Socket { number, inode: 0 }.inode_now()?;
        Some(Socket { number, inode })
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_connection_that_is_cut_wakes_its_reader_and_leaves_others_alone() {
        let camera = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = camera.local_addr().unwrap();
        let (first, second) = (Connection::new(address.port()), Connection::new(address.port()));
        let mut one = TcpStream::connect(address).unwrap();
        first.claim();
        let mut other = TcpStream::connect(address).unwrap();
        second.claim();
        assert_ne!(*lock(&first.socket), *lock(&second.socket));

        let reader = std::thread::spawn(move || one.read(&mut [0]).unwrap());
        first.cut();
        assert_eq!(reader.join().unwrap(), 0, "the end of the stream");
        other
            .set_read_timeout(Some(std::time::Duration::from_millis(50)))
            .unwrap();
        assert!(
            other.read(&mut [0]).is_err(),
            "the other one still waits for its camera"
        );
    }

    #[test]
    fn a_connection_that_nobody_opened_or_that_is_gone_is_not_cut() {
        let camera = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::new(camera.local_addr().unwrap().port());
        connection.claim();
        assert_eq!(*lock(&connection.socket), None);
        connection.cut();

        let socket = TcpStream::connect(camera.local_addr().unwrap()).unwrap();
        connection.claim();
        assert!(lock(&connection.socket).is_some());
        drop(socket);
        // Whoever opens a socket now may get the same number.
        let mut another = TcpStream::connect(camera.local_addr().unwrap()).unwrap();
        connection.cut();
        another
            .set_read_timeout(Some(std::time::Duration::from_millis(50)))
            .unwrap();
        assert!(
            another
                .read(&mut [0])
                .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        );
    }
}
