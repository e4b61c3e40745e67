//! A camera's HTTP server, as far as it is asked for what it kept.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use md5::{Digest, Md5};
use sha1::Sha1;

use crate::archive::{Archive, Surroundings, archive_of};
use crate::model::{Camera, CameraId, Timestamp, Vendor};
use crate::runtime::{Clock, SystemClock, spawn_thread};

pub(super) const USER: &str = "admin";
pub(super) const PASSWORD: &str = "hunter2";

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(is, _)| is.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// Which operation is asked for: the name of the first element of the body.
    pub(super) fn operation(&self) -> &str {
        let body = self.body.split_once("Body>").map_or("", |(_, body)| body);
        let name = body.trim_start_matches('<').split([' ', '>', '/']).next();
        name.unwrap_or_default()
    }

    /// Whether a UsernameToken proves the password at a moment near the camera's time.
    pub(super) fn has_token(&self, camera_now: Timestamp) -> bool {
        use base64::Engine;
        let between = |name: &str| {
            let rest = [" ", ">"]
                .iter()
                .find_map(|end| Some(self.body.split_once(&format!("<{name}{end}"))?.1));
            // What is left of the attributes ends with a sign that no value of ours holds.
            let text = rest?.split_once("</")?.0;
            Some(text.rsplit('>').next().unwrap_or(text).to_owned())
        };
        let Some(created) = between("wsu:Created") else {
            return false;
        };
        let age = Timestamp::parse(&created).unwrap().nanos_since(camera_now).abs();
        let nonce = base64::engine::general_purpose::STANDARD
            .decode(between("wsse:Nonce").unwrap())
            .unwrap();
        let mut digest = Sha1::new();
        digest.update(&nonce);
        digest.update(format!("{created}{PASSWORD}"));
        let digest = base64::engine::general_purpose::STANDARD.encode(digest.finalize());
        between("wsse:Username").as_deref() == Some(USER)
            && between("wsse:Password") == Some(digest)
            && age < 5_000_000_000
    }

    /// Whether HTTP digest proves the password for the nonce `n1` and the realm `cam`.
    pub(super) fn has_digest(&self) -> bool {
        let Some(header) = self.header("authorization") else {
            return false;
        };
        let field = |name: &str| {
            let (_, rest) = header.split_once(&format!("{name}="))?;
            Some(rest.split(',').next()?.trim_matches('"').to_owned())
        };
        let md5 = |text: String| -> String { Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect() };
        let who = md5(format!("{USER}:cam:{PASSWORD}"));
        let what = md5(format!("{}:{}", self.method, self.path));
        let count = field("nc").unwrap_or_default();
        let own = field("cnonce").unwrap_or_default();
        field(" response") == Some(md5(format!("{who}:n1:{count}:{own}:auth:{what}")))
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// A whole answer.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// A body that does not end.
    Endless,
    /// A body that comes a byte in a while, for as long as somebody listens.
    Dripping,
    /// Bytes that are no HTTP.
    Raw(&'static str),
}

impl Reply {
    pub(super) fn ok(body: impl Into<String>) -> Self {
        Self::Whole(200, Vec::new(), body.into())
    }

    pub(super) fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), String::new())
    }

    /// As who wants a digest.
    pub(super) fn challenge() -> Self {
        let challenge = "Digest realm=\"cam\", nonce=\"n1\", qop=\"auth\"".to_owned();
        Self::Whole(401, vec![("WWW-Authenticate", challenge)], String::new())
    }
}

/// A running camera. What was asked of it is kept.
pub(super) struct FakeCamera {
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    door: Option<JoinHandle<()>>,
}

impl FakeCamera {
    pub(super) fn start(play: impl Fn(&Asked, u16) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let play = Arc::new(move |request: &Asked| play(request, port));
        let (kept, ended) = (asked.clone(), over.clone());
        let door = spawn_thread("fake-camera", move || {
            let mut talks = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let (kept, play, ended) = (kept.clone(), play.clone(), ended.clone());
                talks.push(spawn_thread("fake-talk", move || talk(stream, &kept, &*play, &ended)).unwrap());
            }
            for talk in talks {
                talk.join().unwrap();
            }
        });
        Self {
            port,
            asked,
            over,
            door: Some(door.unwrap()),
        }
    }

    /// The operations that it was asked for, in order.
    pub(super) fn operations(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.operation().to_owned()).collect()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The archive that this camera has, when it is one of a vendor.
    pub(super) fn archive(&self, vendor: Vendor, change: impl FnOnce(&mut Camera)) -> Arc<dyn Archive> {
        let mut camera = Camera::new(CameraId::parse("door").unwrap(), "Door".into(), Timestamp::EPOCH);
        camera.vendor = vendor;
        camera.address = Some("127.0.0.1".into());
        camera.main_stream_url = Some("rtsp://127.0.0.1:5554/live".into());
        camera.http_port = self.port;
        (camera.username, camera.password) = (Some(USER.into()), Some(PASSWORD.into()));
        change(&mut camera);
        archive_of(&camera, &surroundings()).unwrap()
    }
}

pub(super) fn surroundings() -> Surroundings {
    Surroundings {
        clock: SystemClock::shared(),
        zone: chrono_tz::Europe::Berlin,
    }
}

impl Drop for FakeCamera {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let ended = self.door.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

fn talk(stream: TcpStream, kept: &Mutex<Vec<Asked>>, play: &dyn Fn(&Asked) -> Reply, over: &AtomicBool) {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(asked) = read(&mut reader, over) {
        let reply = play(&asked);
        kept.lock().unwrap().push(asked);
        let sent = match reply {
            Reply::Whole(status, headers, body) => {
                let mut text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
                for (name, value) in headers {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                writer.write_all(format!("{text}\r\n{body}").as_bytes())
            }
            Reply::Endless => {
                let _ = writer.write_all(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n");
                while writer.write_all(&[b'<'; 65536]).is_ok() && !over.load(Ordering::Relaxed) {}
                return;
            }
            Reply::Dripping => {
                let _ = writer.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n");
                // Waits for what never comes, and drips meanwhile.
                while !over.load(Ordering::Relaxed) && writer.write_all(b" ").is_ok() {
                    let _ = writer.read(&mut [0]);
                }
                return;
            }
            Reply::Raw(bytes) => {
                let _ = writer.write_all(bytes.as_bytes());
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>, over: &AtomicBool) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let line = line(reader, over)?;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines.first()?.split(' ');
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let mut asked = Asked {
        method: first.next()?.to_owned(),
        path: first.next()?.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: String::new(),
    };
    let length: usize = asked
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader
        .get_ref()
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    reader.read_exact(&mut body).ok()?;
    reader
        .get_ref()
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}

/// A line, however long the client takes, as long as the test lasts.
fn line(reader: &mut BufReader<TcpStream>, over: &AtomicBool) -> Option<String> {
    let mut text = Vec::new();
    loop {
        match reader.read_until(b'\n', &mut text) {
            Ok(0) => return None,
            Ok(_) if text.ends_with(b"\n") => return Some(String::from_utf8(text).unwrap().trim_end().to_owned()),
            Ok(_) => {}
            Err(_) if over.load(Ordering::Relaxed) => return None,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => return None,
        }
    }
}

/// What this box's clock shows, moved.
pub(super) fn now(ahead_seconds: i64) -> Timestamp {
    SystemClock.now().offset(ahead_seconds * 1_000_000_000)
}
