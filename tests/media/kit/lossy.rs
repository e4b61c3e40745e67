//! A network that loses datagrams: stands between a camera and a recorder, passes what they say to one another, and lets
//! some of the media go missing on the way.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How soon a thread notices that it is over.
const NOTICE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    passed: AtomicU64,
    /// The RTP numbers of what was lost.
    lost: Mutex<Vec<u16>>,
}

/// The network; it ends when this is dropped.
pub(crate) struct Lossy {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Lossy {
    /// Stands in front of the camera at `target` on loopback. `is_lost` is asked with the number of each packet of media.
    pub(crate) fn start(target: u16, is_lost: fn(u64) -> bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            let mut talks = Vec::new();
            while !own.is_over.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    super::wait::pause(NOTICE);
                    continue;
                };
                let shared = own.clone();
                talks.push(std::thread::spawn(move || talk(client, target, is_lost, &shared)));
            }
            talks.into_iter().for_each(|talk| drop(talk.join()));
        });
        Self {
            port,
            shared,
            thread: Some(thread),
        }
    }

    /// The RTSP address of a path behind it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}{path}", self.port)
    }

    /// How many packets of media were passed on, and how many were not.
    pub(crate) fn counts(&self) -> (u64, usize) {
        let lost = self.shared.lost.lock().unwrap().len();
        (self.shared.passed.load(Ordering::SeqCst), lost)
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Two sockets on neighbouring ports, the first of them even, as RTP wants it.
fn pair() -> (UdpSocket, UdpSocket) {
    let bind = |port: u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let found = (0..200).find_map(|_| {
        let first = bind(0)?;
        let port = first.local_addr().ok()?.port();
        let second = bind(port.checked_add(1)?)?;
        (port % 2 == 0).then_some((first, second))
    });
    found.expect("two ports that are neighbours")
}

fn talk(client: TcpStream, target: u16, is_lost: fn(u64) -> bool, shared: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else {
        return;
    };
    client.set_nonblocking(false).unwrap();
    let (media, reports) = pair();
    let own = media.local_addr().unwrap().port();
    let asked = Mutex::new(None);
    std::thread::scope(|scope| {
        // What the recorder says: it wants media at its own ports, and the camera hears of ours.
        scope.spawn(|| {
            pass(&client, &server, shared, |text| {
                let Some(ports) = ports(text) else {
                    return text.to_owned();
                };
                let first: u16 = ports.split('-').next().unwrap().parse().unwrap();
                asked.lock().unwrap().get_or_insert(first);
                text.replace(
                    &format!("client_port={ports}"),
                    &format!("client_port={own}-{}", own + 1),
                )
            });
        });
        // What the camera says: where the recorder wanted media is what it shall read.
        scope.spawn(|| {
            pass(&server, &client, shared, |text| {
                match (ports(text), *asked.lock().unwrap()) {
                    (Some(ports), Some(first)) => text.replace(
                        &format!("client_port={ports}"),
                        &format!("client_port={first}-{}", first + 1),
                    ),
                    _ => text.to_owned(),
                }
            });
        });
        scope.spawn(|| {
            let mut number = 0;
            carry(
                &media,
                shared,
                &client,
                || *asked.lock().unwrap(),
                |packet| {
                    number += 1;
                    if is_lost(number) {
                        let lost = u16::from_be_bytes([packet[2], packet[3]]);
                        shared.lost.lock().unwrap().push(lost);
                        return false;
                    }
                    shared.passed.fetch_add(1, Ordering::SeqCst);
                    true
                },
            );
        });
        scope.spawn(|| {
            let next = || asked.lock().unwrap().map(|first: u16| first + 1);
            carry(&reports, shared, &client, next, |_| true);
        });
    });
}

/// The ports in a line about transport.
fn ports(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("client_port=")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-')?;
    Some(rest[..end].to_owned())
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, shared: &Shared, change: impl Fn(&str) -> String) {
    from.set_read_timeout(Some(NOTICE)).unwrap();
    let mut bytes = vec![0; 64 * 1024];
    while !shared.is_over.load(Ordering::SeqCst) {
        match from.read(&mut bytes) {
            Ok(0) => break,
            // A message is small and comes in one piece on loopback.
            Ok(count) => {
                let text = String::from_utf8_lossy(&bytes[..count]);
                if to.write_all(change(&text).as_bytes()).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}

/// Carries datagrams to the recorder for as long as it talks to the camera.
fn carry(
    socket: &UdpSocket,
    shared: &Shared,
    client: &TcpStream,
    to: impl Fn() -> Option<u16>,
    mut is_passed: impl FnMut(&[u8]) -> bool,
) {
    socket.set_read_timeout(Some(NOTICE)).unwrap();
    let mut bytes = vec![0; 64 * 1024];
    // A connection that was shut down has no peer any more.
    while !shared.is_over.load(Ordering::SeqCst) && client.peer_addr().is_ok() {
        let Ok(count) = socket.recv(&mut bytes) else { continue };
        if let Some(port) = to()
            && is_passed(&bytes[..count])
        {
            socket.send_to(&bytes[..count], (Ipv4Addr::LOCALHOST, port)).ok();
        }
    }
}
