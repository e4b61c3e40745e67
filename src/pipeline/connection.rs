//! The TCP connection of an `rtspsrc`, found among this process's sockets so that it can be cut.
//!
//! `rtspsrc` cannot be interrupted while it reads an answer that never ends: a peer that says a byte each half second, or
//! headers without end, would hold its thread, its socket and ever more memory for as long as it likes. `rtspsrc` does not
//! give its socket away either. But each request is announced on the thread that opened the connection, right after it was
//! opened, so the one socket to the camera that nobody has claimed yet is the one.
//!
//! It can also be put in other hands: `rtspsrc` goes on with one end of a pair of sockets in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::runtime::{Clock, SystemClock, pause};

use super::rtsp;

/// The sockets that belong to a connection, by inode: two cameras may share a host and a port, as those behind one recorder.
static CLAIMED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// To whom somebody is connecting just now, and who. Cameras behind one recorder all begin at once, and each would find the
/// sockets of the others beside its own, so they begin one after another.
static OPENING: Mutex<BTreeMap<(String, u16), u64>> = Mutex::new(BTreeMap::new());
static OPENED: Condvar = Condvar::new();
/// Who is there is connected to within this, and nobody waits longer for others. Whoever had no turn connects all the same, and
/// may find more than one socket that could be its own.
const TURN: Duration = Duration::from_millis(250);
/// How often it is looked again while there is more than one.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// Connections so far, to tell them apart.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// One source's connection.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    to: (String, u16),
    /// Where the name is a number itself.
    address: Option<IpAddr>,
    claimed: Mutex<Option<Claimed>>,
    /// Sockets to the port that were open before, by inode.
    older: Mutex<BTreeSet<u64>>,
}

/// The socket of a connection that is open.
#[derive(Debug)]
struct Claimed {
    /// What rtspsrc reads from.
    socket: Socket,
    claim: Arc<Claim>,
    /// What it is between, when it was put in other hands: the camera, and rtspsrc.
    hands: Option<(TcpStream, UnixStream)>,
}

/// Nobody else takes a socket for theirs while this is held, by its inode.
#[derive(Debug)]
pub(super) struct Claim(u64);

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&CLAIMED).remove(&self.0);
    }
}

/// What a connection was put in other hands as.
#[derive(Debug)]
pub(super) struct InHands {
    /// To the camera.
    pub(super) camera: TcpStream,
    /// To rtspsrc. Neither of the two waits.
    pub(super) source: UnixStream,
    /// Held for as long as the first is open.
    _claim: Arc<Claim>,
}

impl Drop for InHands {
    fn drop(&mut self) {
        // Whoever holds them too, to cut them, does not keep either side from hearing the end.
        let _ = self.source.shutdown(Shutdown::Both);
        let _ = self.camera.shutdown(Shutdown::Both);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.is_open();
    }
}

/// A descriptor, and which socket it was when it was claimed: numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    number: RawFd,
    inode: u64,
}

impl Connection {
    /// A connection to a camera's port that is not open yet.
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self {
            id: COUNT.fetch_add(1, Ordering::Relaxed),
            to: (host.to_owned(), port),
            address: host.trim_matches(['[', ']']).parse().ok(),
            claimed: Mutex::new(None),
            older: Mutex::default(),
        }
    }

    /// Waits for its turn to connect. Called on the thread that connects then.
    pub(super) fn is_about_to_open(&self) {
        let began = SystemClock.instant();
        let mut opening = lock(&OPENING);
        while opening.contains_key(&self.to) {
            let left = TURN.saturating_sub(SystemClock.instant().since(began));
            if left.is_zero() {
                break;
            }
            let waited = OPENED.wait_timeout(opening, left);
            opening = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        // Of one that is never heard of again the turn is taken over.
        opening.insert(self.to.clone(), self.id);
        drop(opening);
        // While these are looked at nobody else shall meet the descriptors by which that is done.
        let _claimed = lock(&CLAIMED);
        let leading = sockets().filter(|found| found.leads_to(self));
        *lock(&self.older) = leading.map(|found| found.inode).collect();
    }

    /// Its turn is over.
    fn is_open(&self) {
        let mut opening = lock(&OPENING);
        if opening.get(&self.to) == Some(&self.id) {
            opening.remove(&self.to);
            OPENED.notify_all();
        }
    }

    /// Claims the socket. Called on the thread that has just opened it. `false` says that there are several that could be it, and
    /// that nobody claimed another of them within the time of a turn.
    pub(super) fn claim(&self) -> bool {
        let began = SystemClock.instant();
        while !self.try_to_claim() {
            if SystemClock.instant().since(began) > TURN {
                return false;
            }
            pause(BETWEEN_LOOKS);
        }
        true
    }

    fn try_to_claim(&self) -> bool {
        let mut mine = lock(&self.claimed);
        if mine.as_ref().is_some_and(|mine| mine.socket.is_still_there()) {
            return true;
        }
        *mine = None;
        let mut claimed = lock(&CLAIMED);
        let older = lock(&self.older);
        let is_new = |found: &Socket| !claimed.contains(&found.inode) && !older.contains(&found.inode);
        let mut free = sockets().filter(|found| is_new(found) && found.leads_to(self));
        // Two at once are told apart when one of them is claimed.
        let (first, second) = (free.next(), free.next());
        drop(free);
        if let (Some(socket), None) = (first, second) {
            claimed.insert(socket.inode);
            *mine = Some(Claimed {
                socket,
                claim: Arc::new(Claim(socket.inode)),
                hands: None,
            });
        }
        drop(claimed);
        self.is_open();
        second.is_none()
    }

    /// Puts the connection in other hands. Called on the thread that reads from it, between two messages. Nothing when there is
    /// none that is known, or it is in other hands already.
    pub(super) fn put_in_hands(&self) -> Option<InHands> {
        let mut mine = lock(&self.claimed);
        let mine = mine.as_mut().filter(|mine| mine.hands.is_none())?;
        let camera = mine.socket.stream()?;
        let (source, theirs) = UnixStream::pair().ok()?;
        let hands = (camera.try_clone().ok()?, source.try_clone().ok()?);
        camera.set_nonblocking(true).ok()?;
        source.set_nonblocking(true).ok()?;
        // What rtspsrc has does not wait either.
        theirs.set_nonblocking(true).ok()?;
        let number = mine.socket.number;
        if !mine.socket.is_still_there() || !rtsp::put_in_place(number, &OwnedFd::from(theirs)) {
            return None;
        }
        let inode = Socket { number, inode: 0 }.inode_now()?;
        mine.socket = Socket { number, inode };
        mine.hands = Some(hands);
        let claim = mine.claim.clone();
        Some(InHands {
            camera,
            source,
            _claim: claim,
        })
    }

    /// Ends the connection under the hands of whoever reads from it.
    pub(super) fn cut(&self) {
        let mine = lock(&self.claimed);
        let Some(mine) = mine.as_ref() else { return };
        // Each fails when the peer has ended it, which is just as well.
        if let Some((camera, source)) = &mine.hands {
            let _ = camera.shutdown(Shutdown::Both);
            let _ = source.shutdown(Shutdown::Both);
        } else if mine.socket.is_still_there()
            && let Some(stream) = mine.socket.stream()
        {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Socket {
    fn inode_now(self) -> Option<u64> {
        let target = std::fs::read_link(format!("/proc/self/fd/{}", self.number)).ok()?;
        let target = target.to_str()?;
        target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }

    fn is_still_there(self) -> bool {
        self.inode_now() == Some(self.inode)
    }

    fn stream(self) -> Option<TcpStream> {
        rtsp::duplicate(self.number).map(TcpStream::from)
    }

    fn leads_to(self, connection: &Connection) -> bool {
        let peer = self.stream().and_then(|stream| stream.peer_addr().ok());
        let address = connection.address;
        peer.is_some_and(|peer| {
            let is_its = |address: IpAddr| address.to_canonical() == peer.ip().to_canonical();
            peer.port() == connection.to.1 && address.is_none_or(is_its)
        })
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
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_connection_that_is_cut_wakes_its_reader_and_leaves_others_alone() {
        let camera = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = camera.local_addr().unwrap();
        let (first, second) = (
            Connection::new("127.0.0.1", address.port()),
            Connection::new("127.0.0.1", address.port()),
        );
        let mut one = TcpStream::connect(address).unwrap();
        first.claim();
        let mut other = TcpStream::connect(address).unwrap();
        second.claim();
        let socket = |of: &Connection| lock(&of.claimed).as_ref().map(|claimed| claimed.socket);
        assert_ne!(socket(&first), socket(&second));

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
        let connection = Connection::new("127.0.0.1", camera.local_addr().unwrap().port());
        connection.claim();
        assert!(lock(&connection.claimed).is_none());
        connection.cut();

        let socket = TcpStream::connect(camera.local_addr().unwrap()).unwrap();
        connection.claim();
        assert!(lock(&connection.claimed).is_some());
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

    #[test]
    fn a_connection_in_other_hands_is_the_same_to_both_ends() {
        let camera = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::new("127.0.0.1", camera.local_addr().unwrap().port());
        let mut rtspsrc = TcpStream::connect(camera.local_addr().unwrap()).unwrap();
        rtspsrc.set_nonblocking(true).unwrap();
        connection.claim();
        let mut hands = connection.put_in_hands().unwrap();
        assert!(connection.put_in_hands().is_none(), "once is enough");
        connection.claim();

        let (mut camera, _) = camera.accept().unwrap();
        rtspsrc.write_all(b"PLAY").unwrap();
        let mut said = [0; 4];
        hands.source.read_exact(&mut said).unwrap();
        hands.camera.write_all(&said).unwrap();
        camera.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"PLAY");
        hands.source.write_all(b"200").unwrap();
        rtspsrc.read_exact(&mut said[..3]).unwrap();

        connection.cut();
        assert_eq!(rtspsrc.read(&mut said).unwrap(), 0, "the end, for rtspsrc");
        assert_eq!(camera.read(&mut said).unwrap(), 0, "and for the camera");
    }

    #[test]
    fn connections_to_one_place_that_open_at_once_are_told_apart() {
        let camera = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = camera.local_addr().unwrap();
        let open = || {
            std::thread::spawn(move || {
                let connection = Connection::new("localhost", address.port());
                connection.is_about_to_open();
                let stream = TcpStream::connect(address).unwrap();
                connection.claim();
                (connection, stream)
            })
        };
        let opened: Vec<_> = (0..12).map(|_| open()).collect();
        for opened in opened {
            let (connection, stream) = opened.join().unwrap();
            let number = lock(&connection.claimed).as_ref().unwrap().socket.number;
            assert_eq!(number, stream.as_raw_fd());
        }
    }

    #[test]
    fn one_that_does_not_answer_holds_the_others_up_for_a_moment_only() {
        let silent = Connection::new("localhost", 9);
        silent.is_about_to_open();
        let began = SystemClock.instant();
        let waiting: Vec<_> = (0..10)
            .map(|_| std::thread::spawn(|| Connection::new("localhost", 9).is_about_to_open()))
            .collect();
        waiting.into_iter().for_each(|waiting| waiting.join().unwrap());
        let waited = SystemClock.instant().since(began);
        assert!(waited < 4 * TURN, "{waited:?}");
        // One of another name does not wait at all.
        Connection::new("camera.example", 9).is_about_to_open();
        drop(silent);
        assert!(
            lock(&OPENING).keys().all(|(_, port)| *port != 9),
            "no turn is left behind"
        );
    }

    #[test]
    fn of_two_cameras_with_one_port_the_address_tells_which() {
        let here = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = here.local_addr().unwrap().port();
        let there = TcpListener::bind(("127.0.0.2", port)).unwrap();
        let (one, other) = (Connection::new("127.0.0.1", port), Connection::new("127.0.0.2", port));
        let first = TcpStream::connect(here.local_addr().unwrap()).unwrap();
        let second = TcpStream::connect(there.local_addr().unwrap()).unwrap();
        for (connection, stream) in [(&one, &first), (&other, &second)] {
            connection.claim();
            let number = lock(&connection.claimed).as_ref().unwrap().socket.number;
            assert_eq!(number, stream.as_raw_fd());
        }
    }
}
