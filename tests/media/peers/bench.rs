//! A camera whose stream is made to order: its ticks, its codec from one session to the next, what its network loses, and
//! how long its sessions last.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::kit::footage::{self, Codec, FPS, Frame, Labels, Packets};
use crate::kit::mock::{Line, Mock, Request, Script};
use crate::kit::wait::pause;

/// What it makes of being asked whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ping {
    /// It says yes.
    Answered,
    /// It does not understand.
    NotUnderstood,
    /// It says nothing.
    Ignored,
    /// It never said that it could be asked.
    NotOffered,
}

/// What it makes of being asked for its sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    /// It has none.
    None,
    /// It answers with this.
    Refused(&'static str),
    /// It hangs up.
    HungUp,
    /// It says nothing any more.
    Ignored,
}

#[derive(Clone, Copy)]
pub(super) struct Bench {
    /// The codec of a session, by its number from 0.
    pub(super) codec: fn(u32) -> Codec,
    /// What it sends over and over, if not the usual.
    pub(super) footage: Option<&'static [Frame]>,
    /// How many places later each of that is shown than it is sent.
    pub(super) later: &'static [i64],
    /// The session ends after so many frames.
    pub(super) frames: fn(u32) -> u32,
    /// So many frames of a session were taken before it begins, and come at once.
    pub(super) kept: fn(u32) -> u32,
    /// The RTP timestamp of the first frame.
    pub(super) first: u32,
    /// How far the ticks are off at a frame.
    pub(super) off: fn(u32) -> i64,
    pub(super) ping: Ping,
    pub(super) sound: Sound,
    /// It sends datagrams or not at all.
    pub(super) only_datagrams: bool,
    /// Who is silent for so long has gone.
    pub(super) lasts: Option<Duration>,
    /// Which packets are lost, and which datagrams change places with the next, by their number.
    pub(super) is_lost: fn(u32) -> bool,
    pub(super) is_late: fn(u32) -> bool,
}

impl Default for Bench {
    fn default() -> Self {
        Self {
            codec: |_| Codec::H264,
            footage: None,
            later: &[0],
            frames: |_| u32::MAX,
            kept: |_| 0,
            first: 90_000,
            off: |_| 0,
            ping: Ping::Answered,
            sound: Sound::None,
            only_datagrams: false,
            lasts: None,
            is_lost: |_| false,
            is_late: |_| false,
        }
    }
}

impl Bench {
    pub(super) fn start(self) -> Mock {
        let sessions = Arc::new(AtomicU32::new(0));
        Mock::start(move || Session {
            bench: self,
            sessions: sessions.clone(),
            number: 0,
            way: Way::Inside(0),
            heard: Arc::new(Mutex::new(Instant::now())),
        })
    }
}

#[derive(Clone)]
enum Way {
    Inside(u8),
    Datagrams(Arc<UdpSocket>),
}

struct Session {
    bench: Bench,
    sessions: Arc<AtomicU32>,
    number: u32,
    way: Way,
    heard: Arc<Mutex<Instant>>,
}

impl Script for Session {
    fn answer(&mut self, request: &Request, line: &Line) {
        *self.heard.lock().unwrap() = Instant::now();
        let lasts = self.bench.lasts.unwrap_or(Duration::from_secs(60));
        let session = format!("Session: 4711;timeout={}", lasts.as_secs());
        match request.method.as_str() {
            "OPTIONS" => {
                let ping = if self.bench.ping == Ping::NotOffered {
                    ""
                } else {
                    ", GET_PARAMETER"
                };
                let public = format!("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN{ping}");
                line.answer(request, "200 OK", &[&public], "")
            }
            "DESCRIBE" => {
                self.number = self.sessions.fetch_add(1, Ordering::SeqCst);
                let name = match (self.bench.codec)(self.number) {
                    Codec::H264 => "H264",
                    Codec::H265 => "H265",
                };
                let sound = match self.bench.sound {
                    Sound::None => "",
                    _ => "m=audio 0 RTP/AVP 0\r\na=control:track2\r\n",
                };
                let sdp = format!(
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=bench\r\nt=0 0\r\na=control:*\r\n\
                     m=video 0 RTP/AVP 96\r\na=rtpmap:96 {name}/90000\r\na=control:track1\r\n{sound}"
                );
                let base = format!("Content-Base: {}/", request.url.trim_end_matches('/'));
                line.answer(request, "200 OK", &[&base, "Content-Type: application/sdp"], &sdp)
            }
            "SETUP"
                if self.bench.only_datagrams && request.header("Transport").is_some_and(|it| it.contains("/TCP")) =>
            {
                line.answer(request, "461 Unsupported Transport", &[], "")
            }
            "SETUP" if request.url.ends_with("track2") => match self.bench.sound {
                Sound::Refused(status) => line.answer(request, status, &[], ""),
                Sound::HungUp => {
                    line.close();
                    false
                }
                Sound::None | Sound::Ignored => return,
            },
            "SETUP" => {
                let transport = self.set_up(request);
                line.answer(request, "200 OK", &[&transport, &session], "")
            }
            "PLAY" => {
                let done = line.answer(request, "200 OK", &[&session, "Range: npt=0.000-"], "");
                let (line, bench, number) = (line.clone(), self.bench, self.number);
                let (way, heard) = (self.way.clone(), self.heard.clone());
                std::thread::spawn(move || play(&bench, number, &way, &heard, &line));
                done
            }
            "GET_PARAMETER" if self.bench.ping == Ping::Ignored => return,
            "GET_PARAMETER" if self.bench.ping == Ping::NotUnderstood => {
                line.answer(request, "451 Parameter Not Understood", &[&session], "")
            }
            "TEARDOWN" => {
                let done = line.answer(request, "200 OK", &[&session], "");
                line.close();
                done
            }
            _ => line.answer(request, "200 OK", &[&session], ""),
        };
    }
}

impl Session {
    fn set_up(&mut self, request: &Request) -> String {
        let asked = request.header("Transport").unwrap_or_default();
        let Some((_, ports)) = asked.split_once("client_port=") else {
            let (first, second) = request.channels();
            self.way = Way::Inside(first);
            return format!("Transport: RTP/AVP/TCP;unicast;interleaved={first}-{second}");
        };
        let ports = ports.split(';').next().unwrap();
        let port: u16 = ports.split('-').next().unwrap().parse().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        let own = socket.local_addr().unwrap().port();
        self.way = Way::Datagrams(Arc::new(socket));
        format!(
            "Transport: RTP/AVP;unicast;client_port={ports};server_port={own}-{}",
            own.wrapping_add(1)
        )
    }
}

fn play(bench: &Bench, number: u32, way: &Way, heard: &Mutex<Instant>, line: &Line) {
    let labels = Labels {
        payload_type: 96,
        sequence: 7,
        timestamp: bench.first,
        ssrc: 0x00BE_7C40 + number,
    };
    let codec = (bench.codec)(number);
    let frames = bench.footage.unwrap_or_else(|| footage::frames(codec));
    let mut packets = Packets::of(codec, frames, labels);
    let (started, mut sent, mut late) = (Instant::now(), 0, None);
    let kept = (bench.kept)(number);
    for frame in 0u32..(bench.frames)(number) {
        let due = started + Duration::from_secs(1) / FPS * frame.saturating_sub(kept);
        pause(due.saturating_duration_since(Instant::now()));
        if bench.lasts.is_some_and(|lasts| heard.lock().unwrap().elapsed() > lasts) {
            break;
        }
        for mut packet in packets.next_frame() {
            let ticks = u32::from_be_bytes(packet[4..8].try_into().unwrap());
            let later = bench.later[frame as usize % bench.later.len()] * i64::from(footage::TICKS);
            let ticks = ticks.wrapping_add(((bench.off)(frame) + later) as u32);
            packet[4..8].copy_from_slice(&ticks.to_be_bytes());
            let is_on = match way {
                Way::Inside(channel) => {
                    sent += 1;
                    (bench.is_lost)(sent) || line.send_packet(*channel, &packet)
                }
                Way::Datagrams(socket) => {
                    sent += 1;
                    if (bench.is_late)(sent) {
                        late = Some(packet);
                    } else if !(bench.is_lost)(sent) {
                        // Nobody listening any more is no trouble of the camera's.
                        socket.send(&packet).ok();
                        late.take().map(|late| socket.send(&late).ok());
                    }
                    !line.is_over()
                }
            };
            if !is_on {
                return;
            }
        }
    }
    line.close();
}
