//! An RTSP server by hand, on plain sockets: it reads requests, counts them, and says what a script tells it to,
//! be it right or wrong. The misbehaving peer and the captured dialogues are scripts of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::wait::pause;

const NOTICE: Duration = Duration::from_millis(20);

/// What a client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn cseq(&self) -> &str {
        self.header("CSeq").unwrap_or("0")
    }

    /// The interleaved channels it asks for, or the first two.
    pub(crate) fn channels(&self) -> (u8, u8) {
        let asked = self
            .header("Transport")
            .and_then(|it| it.split_once("interleaved="))
            .map(|(_, rest)| rest);
        let pair = asked.and_then(|rest| rest.split([';', ',']).next()?.split_once('-'));
        pair.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
            .unwrap_or((0, 1))
    }
}

/// One connection, as a script sees it.
#[derive(Clone)]
pub(crate) struct Line {
    socket: Arc<Mutex<TcpStream>>,
    over: Arc<AtomicBool>,
    all_over: Arc<AtomicBool>,
    /// The mock's own port.
    pub(crate) port: u16,
}

impl Line {
    /// Whether the connection, or the mock, has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) || self.all_over.load(Ordering::SeqCst)
    }

    /// Sends bytes; false when the connection is over.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        let mut socket = self.socket.lock().unwrap();
        while !rest.is_empty() && !self.is_over() {
            match socket.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_timeout(&error) => {}
                Err(_) => self.over.store(true, Ordering::SeqCst),
            }
        }
        rest.is_empty()
    }

    /// Sends an RTP packet on an interleaved channel.
    pub(crate) fn send_packet(&self, channel: u8, packet: &[u8]) -> bool {
        let length = (packet.len() as u16).to_be_bytes();
        self.send(&[&[b'$', channel, length[0], length[1]], packet].concat())
    }

    /// Answers with a status, headers and a body.
    pub(crate) fn answer(&self, request: &Request, status: &str, headers: &[&str], body: &str) -> bool {
        let mut text = format!("RTSP/1.0 {status}\r\nCSeq: {}\r\n", request.cseq());
        headers.iter().for_each(|header| text += &format!("{header}\r\n"));
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(format!("{text}\r\n{body}").as_bytes())
    }

    /// Closes the connection.
    pub(crate) fn close(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.socket.lock().unwrap().shutdown(Shutdown::Both).ok();
    }
}

/// What to do with each request of one connection. `answer` may go on sending from a thread of its own, as long as
/// that thread ends with the line.
pub(crate) trait Script: Send {
    fn answer(&mut self, request: &Request, line: &Line);
}

/// The server; everything ends when it is dropped.
pub(crate) struct Mock {
    port: u16,
    all_over: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
    requests: Arc<Mutex<Vec<Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl Mock {
    /// Listens on a free port; every connection gets a script of its own.
    pub(crate) fn start<S: Script + 'static>(script: impl Fn() -> S + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let all_over = Arc::new(AtomicBool::new(false));
        let (connections, requests) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (over, count, log) = (all_over.clone(), connections.clone(), requests.clone());
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let Ok((socket, _)) = listener.accept() else {
                    pause(NOTICE);
                    continue;
                };
                count.fetch_add(1, Ordering::SeqCst);
                let (mut script, over, log) = (script(), over.clone(), log.clone());
                threads.push(std::thread::spawn(move || serve(socket, port, over, &mut script, &log)));
            }
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        Self {
            port,
            all_over,
            connections,
            requests,
            thread: Some(thread),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}{path}", self.port)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// All that was asked, of every connection.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How often a method was asked for.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.requests
            .lock()
            .unwrap()
            .iter()
            .filter(|request| request.method == method)
            .count()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.all_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(socket: TcpStream, port: u16, all_over: Arc<AtomicBool>, script: &mut impl Script, log: &Mutex<Vec<Request>>) {
    socket.set_nonblocking(false).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(NOTICE)).unwrap();
    socket.set_write_timeout(Some(NOTICE)).unwrap();
    let mut reader = socket.try_clone().unwrap();
    let line = Line {
        socket: Arc::new(Mutex::new(socket)),
        over: Arc::new(AtomicBool::new(false)),
        all_over,
        port,
    };
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while !line.is_over() {
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend(&chunk[..count]),
            Err(error) if is_timeout(&error) => {}
            Err(_) => break,
        }
        while let Some(request) = take_request(&mut bytes) {
            log.lock().unwrap().push(request.clone());
            script.answer(&request, &line);
        }
    }
    line.close();
}

/// Takes the next whole request from the front; packets of the client are thrown away.
fn take_request(bytes: &mut Vec<u8>) -> Option<Request> {
    while let [b'$', _, high, low, ..] = bytes[..] {
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        if bytes.len() < length {
            return None;
        }
        bytes.drain(..length);
    }
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, url) = (words.next()?, words.next().unwrap_or_default());
    let header = |line: &str| {
        line.split_once(':')
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
    };
    let request = Request {
        method,
        url,
        headers: lines.filter_map(header).collect(),
    };
    let length = request
        .header("Content-Length")
        .and_then(|it| it.parse::<usize>().ok())
        .unwrap_or(0);
    if bytes.len() < end + length {
        return None;
    }
    bytes.drain(..end + length);
    Some(request)
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}
