//! An RTSP peer that misbehaves on order.

use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::footage::{Codec, FPS, Labels, Packets};
use super::mock::{Line, Mock, Request, Script};
use super::wait::pause;

/// How it misbehaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It does not: a plain camera, to compare with.
    Behaves,
    /// Takes the connection and never says a word.
    NeverAnswers,
    /// Says one byte of its first answer each half second.
    OneByteEachHalfSecond,
    /// Its first answer has headers without end.
    EndlessHeaders,
    /// Sends whoever asks to another path of itself, for ever.
    RedirectLoop,
    /// Sends whoever asks to this address.
    RedirectTo(String),
    /// Plays well for so many frames and puts rubbish between the packets from then on.
    GarbageAfter(u32),
    /// Plays with RTP sequence numbers drawn by lot.
    RandomSequence,
    /// Agrees to everything, plays so many frames and then is silent, its connection open.
    FrozenAfter(u32),
    /// Closes the connection after so many packets.
    ClosesAfter(u32),
    /// Describes itself with twenty thousand media.
    ManyMedia,
    /// Describes itself with nothing.
    EmptySdp,
    /// Names no codec for its video.
    MissingRtpmap,
    /// Says what its video is by this number only.
    Payload(u8),
    /// Has parameter sets in its description that are rubbish.
    WrongSprop,
    /// Wants another password, whatever it gets.
    UnauthorizedForEver,
    /// Describes itself in 12 MB, with a million attributes.
    ManyAttributes,
    /// Describes its video with so many parameters.
    ManyParameters(usize),
    /// Answers what it is asked first well, and what comes next with a description of two gigabytes.
    EndlessBody,
    /// Plays well for so many frames, and then a picture without end as fast as it is taken.
    EndlessPicture(u32),
    /// Behaves in its first session, which ends after so many packets, and has a million attributes from then on.
    TurnsBad(u32),
}

/// Starts such a peer; its requests and connections are counted.
pub(crate) fn start(mode: Mode) -> Mock {
    let sessions = AtomicU32::new(0);
    Mock::start(move || Peer {
        mode: match (&mode, sessions.fetch_add(1, Ordering::SeqCst)) {
            (Mode::TurnsBad(packets), 0) => Mode::ClosesAfter(*packets),
            (Mode::TurnsBad(_), _) => Mode::ManyAttributes,
            _ => mode.clone(),
        },
        channel: 0,
        redirects: 0,
    })
}

struct Peer {
    mode: Mode,
    channel: u8,
    redirects: u32,
}

const METHODS: &str = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

impl Script for Peer {
    fn answer(&mut self, request: &Request, line: &Line) {
        match &self.mode {
            Mode::NeverAnswers => return,
            Mode::OneByteEachHalfSecond => return drip(request, line),
            Mode::EndlessHeaders => return flood(request, line),
            _ => {}
        }
        match request.method.as_str() {
            "OPTIONS" => line.answer(request, "200 OK", &[METHODS], ""),
            "DESCRIBE" if self.mode == Mode::EndlessBody => pour(request, line),
            "DESCRIBE" => self.describe(request, line),
            "SETUP" => {
                let (first, second) = request.channels();
                self.channel = first;
                let transport = format!("Transport: RTP/AVP/TCP;unicast;interleaved={first}-{second};ssrc=0BADCAFE");
                line.answer(request, "200 OK", &[&transport, "Session: 20240229;timeout=60"], "")
            }
            "PLAY" => {
                let info = format!(
                    "RTP-Info: url={}/track1;seq=1000;rtptime=90000",
                    request.url.trim_end_matches('/')
                );
                let headers = ["Session: 20240229;timeout=60", "Range: npt=0.000-", &info];
                let done = line.answer(request, "200 OK", &headers, "");
                let (line, mode, channel) = (line.clone(), self.mode.clone(), self.channel);
                std::thread::spawn(move || play(&mode, channel, &line));
                done
            }
            "TEARDOWN" => {
                let done = line.answer(request, "200 OK", &[], "");
                line.close();
                done
            }
            _ => line.answer(request, "200 OK", &["Session: 20240229;timeout=60"], ""),
        };
    }
}

impl Peer {
    fn describe(&mut self, request: &Request, line: &Line) -> bool {
        let target = match &self.mode {
            Mode::RedirectLoop => {
                self.redirects += 1;
                Some(format!("rtsp://127.0.0.1:{}/again/{}", line.port, self.redirects))
            }
            Mode::RedirectTo(target) => Some(target.clone()),
            Mode::UnauthorizedForEver => {
                let nonce = fastrand::u64(..);
                let ask = format!("WWW-Authenticate: Digest realm=\"peer\", nonce=\"{nonce:016x}\", algorithm=MD5");
                return line.answer(request, "401 Unauthorized", &[&ask], "");
            }
            _ => None,
        };
        if let Some(target) = target {
            return line.answer(request, "302 Moved Temporarily", &[&format!("Location: {target}")], "");
        }
        let base = format!("Content-Base: {}/", request.url.trim_end_matches('/'));
        let sdp = self.sdp();
        let empty = ["Content-Length: 0"];
        let length: &[&str] = if sdp.is_empty() { &empty } else { &[] };
        line.answer(
            request,
            "200 OK",
            &[&[base.as_str(), "Content-Type: application/sdp"], length].concat(),
            &sdp,
        )
    }

    fn sdp(&self) -> String {
        let mut sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=peer\r\nt=0 0\r\na=control:*\r\n".to_owned();
        match self.mode {
            Mode::EmptySdp => return String::new(),
            Mode::ManyMedia => {
                for number in 1..=20_000 {
                    let media = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track";
                    write!(sdp, "{media}{number}\r\n").unwrap();
                }
                return sdp;
            }
            _ => {}
        }
        if let Mode::Payload(number) = self.mode {
            write!(sdp, "m=video 0 RTP/AVP {number}\r\na=control:track1\r\n").unwrap();
            return sdp;
        }
        sdp += "m=video 0 RTP/AVP 96\r\na=control:track1\r\n";
        if self.mode != Mode::MissingRtpmap {
            sdp += "a=rtpmap:96 H264/90000\r\n";
        }
        match self.mode {
            Mode::ManyAttributes => (0..1_000_000).for_each(|number| write!(sdp, "a=x{number:06}:1\r\n").unwrap()),
            Mode::ManyParameters(count) => {
                let parameters: String = (0..count).map(|number| format!("p{number}=1;")).collect();
                write!(sdp, "a=fmtp:96 {parameters}\r\n").unwrap();
            }
            _ => {}
        }
        sdp += match self.mode {
            Mode::WrongSprop => {
                "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z///////,////,%%%;profile-level-id=zz\r\n"
            }
            _ => "a=fmtp:96 packetization-mode=1\r\n",
        };
        sdp
    }
}

fn drip(request: &Request, line: &Line) {
    let text = format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n{METHODS}\r\n\r\n", request.cseq());
    for byte in text.bytes().chain(std::iter::repeat(b'x')) {
        if !line.send(&[byte]) {
            return;
        }
        // In short steps, so that the end of the mock is noticed.
        (0..25)
            .take_while(|_| !line.is_over())
            .for_each(|_| pause(Duration::from_millis(20)));
    }
}

fn flood(request: &Request, line: &Line) {
    line.send(format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n", request.cseq()).as_bytes());
    for number in 0u64.. {
        if !line.send(format!("X-Header-{number}: {}\r\n", "more ".repeat(200)).as_bytes()) {
            return;
        }
    }
}

fn pour(request: &Request, line: &Line) -> bool {
    let cseq = request.cseq();
    let header = format!(
        "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
        2u64 << 30
    );
    line.send(header.as_bytes());
    let lines = b"a=x:1\r\n".repeat(10_000);
    while line.send(&lines) {}
    false
}

/// A picture that goes on and on.
fn paint(mut packet: Vec<u8>, channel: u8, line: &Line) {
    packet.truncate(12);
    packet[1] &= 0x7f;
    // Slices that are not the first of their picture.
    packet.extend_from_slice(&[0x41, 0x02]);
    packet.resize(1400, 0x55);
    loop {
        let number = u16::from_be_bytes([packet[2], packet[3]]).wrapping_add(1);
        packet[2..4].copy_from_slice(&number.to_be_bytes());
        if !line.send_packet(channel, &packet) {
            return;
        }
    }
}

fn play(mode: &Mode, channel: u8, line: &Line) {
    let labels = Labels {
        payload_type: 96,
        sequence: 1000,
        timestamp: 90_000,
        ssrc: 0x0BAD_CAFE,
    };
    let mut packets = Packets::new(Codec::H264, labels);
    let (mut sent, started) = (0, std::time::Instant::now());
    for frame in 0u32.. {
        pause((started + Duration::from_secs(1) / FPS * frame).saturating_duration_since(std::time::Instant::now()));
        if matches!(mode, Mode::FrozenAfter(frames) if frame >= *frames) || line.is_over() {
            return;
        }
        for mut packet in packets.next_frame() {
            match mode {
                Mode::RandomSequence => packet[2..4].copy_from_slice(&fastrand::u16(..).to_be_bytes()),
                Mode::GarbageAfter(frames) if frame >= *frames => {
                    // Anything but a dollar sign, which would begin a packet.
                    let rubbish: Vec<_> = (0..64).map(|_| fastrand::u8(0x80..)).collect();
                    line.send(&rubbish);
                }
                Mode::EndlessPicture(frames) if frame >= *frames => return paint(packet, channel, line),
                Mode::ClosesAfter(packets) if sent >= *packets => return line.close(),
                _ => {}
            }
            if !line.send_packet(channel, &packet) {
                return;
            }
            sent += 1;
        }
    }
}
