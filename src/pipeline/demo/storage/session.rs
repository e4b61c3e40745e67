//! One client of the storage: its requests, and the footage it gets.

use std::io::{BufReader, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::model::Span;
use crate::runtime::spawn_thread;

use super::conduct::Misbehaviour;
use super::description::describe;
use super::form::{Asked, Form, read_clock_range, understand};
use super::message::{Answer, Request};
use super::options::Speed;
use super::player::{Manner, Packet, Player, Step};
use super::programme::Programme;
use super::vault::Vault;

const METHODS: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";
/// How often a client that is not read from is looked after.
const NOTICE: Duration = Duration::from_millis(200);
const IDLE: Duration = Duration::from_secs(3600);

/// Serves one connection until it ends.
pub(super) fn serve(socket: TcpStream, vault: &Arc<Vault>) -> std::io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(None)?;
    socket.set_write_timeout(Some(NOTICE))?;
    let mut from = BufReader::new(socket.try_clone()?);
    let (tell, requests) = channel();
    let reader = spawn_thread("demo-asked", move || {
        while let Ok(Some(request)) = Request::read(&mut from) {
            if tell.send(request).is_err() {
                break;
            }
        }
    })?;
    let mut session = Session {
        socket,
        vault: vault.clone(),
        asked: None,
        channels: None,
        player: None,
        wants_replay: false,
        is_over: false,
        number: format!("{:016x}", fastrand::u64(..)),
    };
    session.run(&requests);
    // Whoever reads is woken by it.
    if session.socket.shutdown(Shutdown::Both).is_err() {
        tracing::trace!("the client of the demo camera's storage went first");
    }
    drop(requests);
    if reader.join().is_err() {
        tracing::error!("a reader of the demo camera's storage broke");
    }
    Ok(())
}

struct Session {
    socket: TcpStream,
    vault: Arc<Vault>,
    asked: Option<Asked>,
    /// The interleaved channels for media and reports, once agreed on.
    channels: Option<(u8, u8)>,
    player: Option<Player>,
    /// Whether the client said, with any request, that it wants an ONVIF replay.
    wants_replay: bool,
    is_over: bool,
    number: String,
}

impl Session {
    fn run(&mut self, requests: &Receiver<Request>) {
        while !self.is_over {
            let due = self.player.as_ref().and_then(Player::due).unwrap_or(IDLE);
            match requests.recv_timeout(due) {
                Ok(request) => self.answer(&request),
                Err(RecvTimeoutError::Timeout) => self.play_on(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    fn answer(&mut self, request: &Request) {
        let extras = ["Range", "Rate-Control", "Require"].map(|name| request.header(name));
        let noted = [Some(request.method.as_str()), Some(strip(&request.target))];
        let noted: Vec<_> = noted.into_iter().chain(extras).flatten().collect();
        self.vault.books.note(noted.join(" "));
        let is_open = request.method == "OPTIONS" || self.vault.keeper.admits(request);
        let answer = if is_open {
            self.act(request)
        } else {
            self.vault.keeper.refuse(false)
        };
        let mut answer = answer.with("CSeq", request.header("CSeq").unwrap_or("0"));
        if self.channels.is_some() {
            answer = answer.with("Session", format!("{};timeout=60", self.number));
        }
        let text = answer.write("RTSP/1.0", self.vault.clock.now());
        self.send(&text);
        self.is_over |= request.method == "TEARDOWN" && answer.status() == "200 OK";
    }

    fn act(&mut self, request: &Request) -> Answer {
        let required = request.header("Require").unwrap_or_default();
        if let Some(other) = required
            .split(',')
            .map(str::trim)
            .find(|it| !["", "onvif-replay"].contains(it))
        {
            return Answer::new("551 Option not supported").with("Unsupported", other);
        }
        self.wants_replay |= required.contains("onvif-replay");
        match request.method.as_str() {
            "OPTIONS" => Answer::ok().with("Public", METHODS),
            "DESCRIBE" => self.describe(request),
            "SETUP" => self.set_up(request),
            "PLAY" => self.play(request),
            "PAUSE" => {
                self.player = None;
                Answer::ok()
            }
            "TEARDOWN" | "GET_PARAMETER" | "SET_PARAMETER" => Answer::ok(),
            _ => Answer::new("501 Not Implemented"),
        }
    }

    /// What is there, in truth, of the span that a plain address names.
    fn plan(&self, span: Span) -> Programme {
        let truth = self.vault.clock.mean_span(span);
        Programme::plan(&self.vault.shelf, truth, &self.vault.conduct.wrongs())
    }

    fn describe(&mut self, request: &Request) -> Answer {
        let Some(asked) = understand(&request.target, self.vault.zone_minutes) else {
            return Answer::new("404 Not Found");
        };
        let is_plain = asked.form != Form::Onvif;
        let may_be_empty = !is_plain || self.vault.conduct.does(Misbehaviour::EndsAtOnce);
        let pictures = self.plan(asked.span).extent();
        if !may_be_empty && pictures.is_none() {
            return Answer::new("404 Not Found");
        }
        self.asked = Some(asked);
        Answer::ok().with("Content-Base", request.target.clone()).with_body(
            "application/sdp",
            describe(&self.vault, asked, pictures, &request.target),
        )
    }

    fn set_up(&mut self, request: &Request) -> Answer {
        if self.asked.is_none() {
            return Answer::new("455 Method Not Valid in This State");
        }
        let wrongs = self.vault.conduct.wrongs();
        if wrongs.contains(&Misbehaviour::Busy) {
            return Answer::new("503 Service Unavailable");
        }
        if wrongs.contains(&Misbehaviour::OneSessionOnly) && self.vault.watchers() > 0 {
            return Answer::new("453 Not Enough Bandwidth");
        }
        let transports = request.header("Transport").unwrap_or_default();
        let Some(transport) = transports.split(',').find(|it| it.contains("RTP/AVP/TCP")) else {
            return Answer::new("461 Unsupported Transport");
        };
        let pair = transport.split(';').find_map(|part| {
            let (first, second) = part.trim().strip_prefix("interleaved=")?.split_once('-')?;
            Some((first.parse().ok()?, second.parse().ok()?))
        });
        let (first, second) = pair.unwrap_or((0, 1));
        if self.channels.is_none() {
            let books = &self.vault.books;
            books.sessions_now.fetch_add(1, Ordering::SeqCst);
            books.sessions_ever.fetch_add(1, Ordering::SeqCst);
        }
        self.channels = Some((first, second));
        Answer::ok().with(
            "Transport",
            format!("RTP/AVP/TCP;unicast;interleaved={first}-{second};mode=\"PLAY\""),
        )
    }

    fn play(&mut self, request: &Request) -> Answer {
        let (Some(asked), Some(_)) = (self.asked, self.channels) else {
            return Answer::new("455 Method Not Valid in This State");
        };
        let range = request.header("Range").and_then(read_clock_range);
        let mut span = asked.span;
        if let Some(range) = range.filter(|_| asked.form == Form::Onvif) {
            if range.is_empty() {
                return Answer::new("457 Invalid Range");
            }
            span = range;
        }
        let is_replay = asked.form == Form::Onvif && self.wants_replay;
        let (speed, reports) = self.vault.manners();
        let speed = match asked.form {
            _ if self.vault.conduct.does(Misbehaviour::RealTimeOnly) => Speed::RealTime,
            Form::Onvif if request.header("Rate-Control") == Some("no") => Speed::Unlimited,
            Form::Onvif => Speed::RealTime,
            _ => speed,
        };
        let cseq = request
            .header("CSeq")
            .and_then(|it| it.parse::<u32>().ok())
            .unwrap_or(0);
        let manner = Manner {
            codec: self.vault.codec,
            speed,
            reports,
            onvif: is_replay.then_some(cseq as u8),
        };
        let player = Player::start(self.plan(span), manner, self.vault.clock.mean(span.start));
        let (sequence, rtp_time) = player.first();
        let range = self.vault.tell_range(asked.form, player.extent());
        self.player = Some(player);
        let info = format!("url={};seq={sequence};rtptime={rtp_time}", request.target);
        let answer = Answer::ok().with("RTP-Info", info).with("Range", range);
        match request.header("Rate-Control") {
            Some(control) if asked.form == Form::Onvif => answer.with("Rate-Control", control),
            _ => answer,
        }
    }

    fn play_on(&mut self) {
        let (Some(player), Some((media, reports))) = (&mut self.player, self.channels) else {
            return;
        };
        match player.step(&self.vault.clock) {
            Step::Send(packets) => {
                let mut bytes = Vec::new();
                for packet in packets {
                    let (channel, packet) = match &packet {
                        Packet::Media(packet) => (media, packet),
                        Packet::Report(packet) => (reports, packet),
                    };
                    bytes.extend([b'$', channel]);
                    bytes.extend((packet.len() as u16).to_be_bytes());
                    bytes.extend(packet);
                }
                self.send(&bytes);
                self.vault.books.bytes.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            }
            Step::Silence => {}
            Step::Close => self.is_over = true,
        }
    }

    /// Sends all of it, however slow the client is.
    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_over {
            match self.socket.write(rest) {
                Ok(0) => self.is_over = true,
                Ok(count) => rest = &rest[count..],
                Err(error) => {
                    let waits = matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    );
                    self.is_over |= !waits || self.vault.is_over.load(Ordering::SeqCst);
                }
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.channels.is_some() {
            self.vault.books.sessions_now.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The part of an address behind its host, without user and password.
fn strip(target: &str) -> &str {
    let behind = target.split_once("://").map(|(_, rest)| rest);
    behind.map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]))
}
