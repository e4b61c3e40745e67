//! An ONVIF replay client by hand, on a plain socket: it says what it is told to say, and writes down every packet, so
//! that the camera's storage is judged by the bytes it sends.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use camkeep::model::Timestamp;

/// How long the camera may be silent before it counts as hanging.
const SILENCE: Duration = Duration::from_secs(3);
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// How a replay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With an RTCP BYE.
    Farewell,
    /// The connection was closed.
    Closed,
    /// The client had seen enough.
    Left,
    /// Nothing came any more.
    Silence,
}

/// One access unit as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) rtp_time: u32,
    pub(crate) extension: Option<Extension>,
    /// Byte stream.
    pub(crate) bytes: Vec<u8>,
}

/// What the ONVIF header extension said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) time: Timestamp,
    pub(crate) clean: bool,
    pub(crate) end: bool,
    pub(crate) discontinuity: bool,
    pub(crate) terminal: bool,
    pub(crate) cseq: u8,
}

/// A whole replay.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) units: Vec<Unit>,
    /// The sender reports: the time told, and the RTP time it stands for.
    pub(crate) reports: Vec<(Timestamp, u32)>,
    pub(crate) end: End,
    pub(crate) took: Duration,
    /// What the camera answered to PLAY.
    pub(crate) answer: String,
}

impl Replay {
    /// Writes the pictures into a file that the referee can read.
    pub(crate) fn write(&self, file: &Path) -> PathBuf {
        let bytes: Vec<u8> = self.units.iter().flat_map(|unit| unit.bytes.clone()).collect();
        std::fs::write(file, bytes).expect("a file");
        file.to_owned()
    }
}

/// Watches a live view until a sender report has come.
pub(crate) fn watch_until_report(url: &str) -> Replay {
    let mut client = Client::begin(url).expect("a live view");
    client.until_report = true;
    client.play(url, &[]).expect("a live view")
}

/// Has an address replayed; `headers` go with PLAY. `Err` is the status line of the request that was refused.
pub(crate) fn replay(url: &str, headers: &[&str]) -> Result<Replay, String> {
    Client::begin(url)?.play(url, headers)
}

struct Client {
    socket: BufReader<TcpStream>,
    number: u32,
    session: Option<String>,
    /// Whether it goes when the first report has come.
    until_report: bool,
}

impl Client {
    fn connect(url: &str) -> Self {
        let rest = url.strip_prefix("rtsp://").expect("an RTSP address");
        let host = rest.split('/').next().unwrap();
        let socket = TcpStream::connect(host).expect("the camera listens");
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        Self {
            socket: BufReader::new(socket),
            number: 0,
            session: None,
            until_report: false,
        }
    }

    /// Comes as far as PLAY.
    fn begin(url: &str) -> Result<Self, String> {
        let mut client = Self::connect(url);
        client.ask("OPTIONS", url, &[])?;
        let described = client.ask("DESCRIBE", url, &["Accept: application/sdp"])?;
        let control = described
            .lines()
            .filter_map(|line| line.strip_prefix("a=control:"))
            .next_back();
        let control = match control.unwrap_or("*") {
            "*" => url.to_owned(),
            whole if whole.contains("://") => whole.to_owned(),
            part => format!("{url}/{part}"),
        };
        client.ask("SETUP", &control, &["Transport: RTP/AVP/TCP;unicast;interleaved=0-1"])?;
        Ok(client)
    }

    fn play(&mut self, url: &str, headers: &[&str]) -> Result<Replay, String> {
        let started = std::time::Instant::now();
        let answer = self.ask("PLAY", url, headers)?;
        let (mut units, mut reports) = (Vec::new(), Vec::new());
        let end = self.receive(&mut units, &mut reports);
        let silence = if end == End::Silence { SILENCE } else { Duration::ZERO };
        Ok(Replay {
            units,
            reports,
            end,
            took: started.elapsed().saturating_sub(silence),
            answer,
        })
    }

    fn ask(&mut self, method: &str, url: &str, headers: &[&str]) -> Result<String, String> {
        self.number += 1;
        let mut text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n", self.number);
        headers.iter().for_each(|header| text += &format!("{header}\r\n"));
        if let Some(session) = &self.session {
            text += &format!("Session: {session}\r\n");
        }
        self.socket
            .get_mut()
            .write_all(format!("{text}\r\n").as_bytes())
            .expect("a connection");
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            let count = self.socket.read_line(&mut answer).map_err(|error| error.to_string())?;
            if count == 0 {
                return Err("closed".into());
            }
        }
        let value = |name: &str| {
            answer.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let (length, session) = (value("Content-Length"), value("Session"));
        if let Some(length) = length {
            let mut body = vec![0; length.parse().unwrap()];
            self.socket.read_exact(&mut body).map_err(|error| error.to_string())?;
            answer += &String::from_utf8_lossy(&body);
        }
        if let Some(session) = session {
            self.session = session.split(';').next().map(str::to_owned);
        }
        match answer.lines().next() {
            Some(first) if first.contains(" 200 ") => Ok(answer),
            first => Err(first.unwrap_or_default().to_owned()),
        }
    }

    fn receive(&mut self, units: &mut Vec<Unit>, reports: &mut Vec<(Timestamp, u32)>) -> End {
        loop {
            let mut head = [0; 4];
            let mut packet = Vec::new();
            let read = self.socket.read_exact(&mut head).and_then(|()| {
                packet.resize(usize::from(u16::from_be_bytes([head[2], head[3]])), 0);
                self.socket.read_exact(&mut packet)
            });
            if let Err(error) = read {
                let is_silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                return if is_silent { End::Silence } else { End::Closed };
            }
            assert_eq!(head[0], b'$', "something else than a packet came");
            if head[1] == 0 {
                take_media(&packet, units);
            } else if take_reports(&packet, reports) {
                return End::Farewell;
            }
            if self.until_report && !reports.is_empty() && units.len() > 10 {
                return End::Left;
            }
        }
    }
}

fn take_media(packet: &[u8], units: &mut Vec<Unit>) {
    let rtp_time = u32::from_be_bytes(packet[4..8].try_into().unwrap());
    let (extension, payload) = if packet[0] & 0x10 == 0 {
        (None, &packet[12..])
    } else {
        assert_eq!(packet[12..16], [0xab, 0xac, 0, 3], "the ONVIF extension of three words");
        (Some(read_extension(&packet[16..28])), &packet[28..])
    };
    if units.last().is_none_or(|unit| unit.rtp_time != rtp_time) {
        units.push(Unit {
            rtp_time,
            extension,
            bytes: Vec::new(),
        });
    }
    let unit = units.last_mut().unwrap();
    assert_eq!(unit.extension, extension, "all packets of a picture say the same");
    match payload {
        [] => {}
        [head, fragment, rest @ ..] if head & 0x1f == 28 => {
            if fragment & 0x80 != 0 {
                unit.bytes.extend([0, 0, 0, 1, (head & 0xe0) | (fragment & 0x1f)]);
            }
            unit.bytes.extend(rest);
        }
        whole => {
            unit.bytes.extend([0, 0, 0, 1]);
            unit.bytes.extend(whole);
        }
    }
}

fn read_extension(bytes: &[u8]) -> Extension {
    let bit = |value: u8| bytes[8] & value != 0;
    Extension {
        time: read_ntp(bytes),
        clean: bit(0x80),
        end: bit(0x40),
        discontinuity: bit(0x20),
        terminal: bit(0x10),
        cseq: bytes[9],
    }
}

fn read_ntp(bytes: &[u8]) -> Timestamp {
    let seconds = i64::from(u32::from_be_bytes(bytes[..4].try_into().unwrap())) - NTP_TO_UNIX;
    let fraction = u64::from(u32::from_be_bytes(bytes[4..8].try_into().unwrap()));
    Timestamp::from_seconds(seconds).offset(((fraction * 1_000_000_000) >> 32) as i64)
}

/// Takes the sender reports out of a compound packet; true when it says farewell.
fn take_reports(packet: &[u8], reports: &mut Vec<(Timestamp, u32)>) -> bool {
    let (mut rest, mut farewell) = (packet, false);
    while let [_, kind, high, low, ..] = *rest {
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        match kind {
            200 => reports.push((
                read_ntp(&rest[8..16]),
                u32::from_be_bytes(rest[16..20].try_into().unwrap()),
            )),
            203 => farewell = true,
            _ => {}
        }
        rest = &rest[length..];
    }
    farewell
}
