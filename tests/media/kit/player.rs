//! A camera that plays encoded footage picture by picture, in the order in which it is decoded, each with the time at which
//! it is shown; and remembers what it sent when.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::encoded::Encoded;
use super::footage::{Codec, split};
use super::mock::{Line, Mock, Request, Script};
use super::wait::pause;

/// One picture that was sent whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Which session, from 0.
    pub(crate) session: usize,
    /// Its place in the order in which pictures are decoded.
    pub(crate) number: usize,
    pub(crate) at: Instant,
}

/// A camera.
pub(crate) struct Player {
    pub(crate) footage: Arc<Encoded>,
    mock: Option<Mock>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Player {
    /// `begins` says with which picture a session begins and how many it sends before it falls silent.
    pub(crate) fn start(
        footage: Arc<Encoded>,
        begins: impl Fn(usize) -> (usize, usize) + Send + Sync + 'static,
    ) -> Self {
        let (sent, sessions) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (log, played, begins) = (sent.clone(), footage.clone(), Arc::new(begins));
        let mock = Mock::start(move || {
            let (log, played, begins, sessions) = (log.clone(), played.clone(), begins.clone(), sessions.clone());
            Session {
                name: match played.codec {
                    Codec::H264 => "H264",
                    Codec::H265 => "H265",
                },
                channel: 0,
                play: Arc::new(move |channel, line| {
                    let session = sessions.fetch_add(1, Ordering::SeqCst);
                    let (from, count) = begins(session);
                    play(&played, session, from, count, channel, line, &log);
                }),
            }
        });
        Self {
            footage,
            mock: Some(mock),
            sent,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.mock.as_ref().expect("it is there").url("/main")
    }

    /// It is gone for good.
    pub(crate) fn end(&mut self) {
        self.mock = None;
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
}

type Play = dyn Fn(u8, &Line) + Send + Sync;

struct Session {
    name: &'static str,
    channel: u8,
    play: Arc<Play>,
}

impl Script for Session {
    fn answer(&mut self, request: &Request, line: &Line) {
        let session = "Session: 4711;timeout=60";
        match request.method.as_str() {
            "OPTIONS" => line.answer(
                request,
                "200 OK",
                &["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"],
                "",
            ),
            "DESCRIBE" => {
                let name = self.name;
                let sdp = format!(
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=player\r\nt=0 0\r\na=control:*\r\n\
                     m=video 0 RTP/AVP 96\r\na=rtpmap:96 {name}/90000\r\na=control:track1\r\n"
                );
                let base = format!("Content-Base: {}/", request.url.trim_end_matches('/'));
                line.answer(request, "200 OK", &[&base, "Content-Type: application/sdp"], &sdp)
            }
            "SETUP" => {
                let (first, second) = request.channels();
                self.channel = first;
                let transport = format!("Transport: RTP/AVP/TCP;unicast;interleaved={first}-{second}");
                line.answer(request, "200 OK", &[&transport, session], "")
            }
            "PLAY" => {
                let done = line.answer(request, "200 OK", &[session, "Range: npt=0.000-"], "");
                let (line, play, channel) = (line.clone(), self.play.clone(), self.channel);
                std::thread::spawn(move || play(channel, &line));
                done
            }
            "TEARDOWN" => {
                let done = line.answer(request, "200 OK", &[session], "");
                line.close();
                done
            }
            _ => line.answer(request, "200 OK", &[session], ""),
        };
    }
}

fn play(
    footage: &Encoded,
    session: usize,
    from: usize,
    count: usize,
    channel: u8,
    line: &Line,
    log: &Mutex<Vec<Sent>>,
) {
    let (begun, mut sequence) = (Instant::now(), 7u16);
    let frame = Duration::from_secs(1) / footage.fps;
    for (step, (number, picture)) in (0u32..).zip(footage.pictures.iter().enumerate().skip(from).take(count)) {
        pause((begun + frame * step).saturating_duration_since(Instant::now()));
        let ticks = 90_000 + u32::try_from(picture.shown).unwrap() * (90_000 / footage.fps);
        let payloads: Vec<_> = picture
            .units
            .iter()
            .flat_map(|unit| split(footage.codec, unit))
            .collect();
        let last = payloads.len() - 1;
        for (n, payload) in payloads.into_iter().enumerate() {
            let mut packet = vec![0x80, 96 | if n == last { 0x80 } else { 0 }];
            packet.extend(sequence.to_be_bytes());
            packet.extend(ticks.to_be_bytes());
            packet.extend((0x00BE_7C40 + session as u32).to_be_bytes());
            packet.extend(payload);
            sequence = sequence.wrapping_add(1);
            if !line.send_packet(channel, &packet) {
                return;
            }
        }
        log.lock().unwrap().push(Sent {
            session,
            number,
            at: Instant::now(),
        });
    }
}
