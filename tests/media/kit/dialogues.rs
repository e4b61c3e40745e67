//! Answers of real cameras, replayed: what they said to DESCRIBE, SETUP and PLAY word by word, with addresses,
//! sequence numbers of the dialogue and lengths put right, and real video behind it. The captures and their
//! licence are in `tests/media/dialogues/`.

use std::path::PathBuf;
use std::time::Duration;

use super::footage::{Codec, FPS, Labels, Packets};
use super::mock::{Line, Mock, Request, Script};
use super::wait::pause;

/// One camera, by the names of its captures. What was not captured is answered plainly.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialogue {
    /// A whole answer, or a bare description (`…_sdp`).
    pub(crate) describe: &'static str,
    pub(crate) options: Option<&'static str>,
    /// The answers to the first SETUP, the second, and so on.
    pub(crate) setups: &'static [&'static str],
    pub(crate) play: Option<&'static str>,
    pub(crate) teardown: Option<&'static str>,
    /// What a client should make of it.
    pub(crate) end: End,
}

/// How a dialogue goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Video flows.
    Plays(Codec),
    /// The camera answers with UDP to a client that asked for TCP: nothing can come.
    WrongTransport,
    /// The password is refused.
    Unauthorized,
}

const fn plays(describe: &'static str, setups: &'static [&'static str], play: Option<&'static str>) -> Dialogue {
    Dialogue {
        describe,
        options: None,
        setups,
        play,
        teardown: None,
        end: End::Plays(Codec::H264),
    }
}

/// Every dialogue; together they use all captures.
pub(crate) const ALL: &[Dialogue] = &[
    Dialogue {
        end: End::Plays(Codec::H265),
        ..plays("anjvision_describe", &[], None)
    },
    plays("anpviz_sdp", &[], None),
    plays("bunny_describe", &["bunny_setup"], Some("bunny_play")),
    plays("bunny_describe", &["bunny_setup"], Some("bad_rtptime")),
    Dialogue {
        options: Some("dahua_options"),
        ..plays("dahua_describe_h264_aac_onvif", &["dahua_setup"], Some("dahua_play"))
    },
    plays(
        "dahua_describe_h264_aac_onvif",
        &["dahua_setup"],
        Some("dahua_play_decimal_ssrc"),
    ),
    Dialogue {
        end: End::Plays(Codec::H265),
        ..plays("dahua_describe_h265_pcma", &[], None)
    },
    plays("foscam_describe", &[], None),
    plays("geovision_sdp", &[], None),
    plays(
        "gw_main_describe",
        &["gw_main_setup_video", "gw_main_setup_audio"],
        Some("gw_main_play"),
    ),
    plays("gw_sub_describe", &["gw_sub_setup"], Some("gw_sub_play")),
    plays("gw_sub_describe", &["gw_sub_setup"], Some("laureii_play")),
    plays("h264dvr_describe", &[], Some("h264dvr_play")),
    Dialogue {
        end: End::WrongTransport,
        ..plays(
            "h264dvr_describe",
            &["h264dvr_setup_video", "h264dvr_setup_audio"],
            Some("h264dvr_play"),
        )
    },
    plays("hikvision_describe", &["hikvision_setup"], Some("hikvision_play")),
    plays("hikvision_describe", &["hikvision_setup_ssrc_space"], None),
    plays("ipcam_describe", &[], None),
    plays("macrovideo_describe", &[], None),
    plays("macrovideo_describe", &["rubetek_setup_ssrc_0x"], None),
    plays("macrovideo_describe", &["setup_ssrc_4_hex_digits"], None),
    plays("macrovideo_describe", &["luckfox_rkipc_setup_tcp"], None),
    Dialogue {
        end: End::WrongTransport,
        ..plays("macrovideo_describe", &["luckfox_rkipc_setup_udp"], None)
    },
    plays("missing_content_type_describe", &[], None),
    Dialogue {
        teardown: Some("reolink_teardown"),
        ..plays("reolink_describe", &["reolink_setup"], Some("reolink_play"))
    },
    plays(
        "reolink_describe_control_first",
        &["reolink_setup"],
        Some("reolink_play"),
    ),
    Dialogue {
        end: End::Plays(Codec::H265),
        ..plays("tplink_sdp", &[], None)
    },
    plays("ubiquiti_sdp", &[], None),
    plays("vstarcam_describe", &[], None),
    Dialogue {
        end: End::Unauthorized,
        ..plays("longse_unauthorized", &[], None)
    },
];

impl Dialogue {
    /// The names of all captures it uses.
    pub(crate) fn captures(&self) -> impl Iterator<Item = &'static str> {
        let others = [self.options, self.play, self.teardown];
        [self.describe]
            .into_iter()
            .chain(self.setups.iter().copied())
            .chain(others.into_iter().flatten())
    }
}

/// Starts a camera that answers so.
pub(crate) fn start(dialogue: Dialogue) -> Mock {
    Mock::start(move || Camera {
        dialogue,
        setups: 0,
        session: "1".into(),
        video: None,
    })
}

/// Where the captures lie.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/media/dialogues")
}

fn capture(name: &str) -> String {
    let file = directory().join(name).with_extension("txt");
    let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    String::from_utf8_lossy(&text).into_owned()
}

struct Camera {
    dialogue: Dialogue,
    setups: usize,
    session: String,
    /// The channel the video goes over, once agreed on.
    video: Option<u8>,
}

impl Script for Camera {
    fn answer(&mut self, request: &Request, line: &Line) {
        match request.method.as_str() {
            "OPTIONS" => self.say(
                self.dialogue.options,
                "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN",
                request,
                line,
            ),
            "DESCRIBE" if self.dialogue.describe.ends_with("_sdp") => {
                let sdp = home(&capture(self.dialogue.describe), line.port);
                let base = format!("Content-Base: {}/", request.url.trim_end_matches('/'));
                line.answer(request, "200 OK", &[&base, "Content-Type: application/sdp"], &sdp);
            }
            "DESCRIBE" => self.say(Some(self.dialogue.describe), "", request, line),
            "SETUP" => self.set_up(request, line),
            "PLAY" => self.play(request, line),
            "TEARDOWN" => {
                self.say(self.dialogue.teardown, "", request, line);
                line.close();
            }
            _ => self.say(None, "", request, line),
        }
    }
}

impl Camera {
    /// Says a capture, or plainly yes when there is none.
    fn say(&self, name: Option<&str>, plain: &str, request: &Request, line: &Line) {
        let text = match name {
            Some(name) => capture(name),
            None if plain.is_empty() => format!("RTSP/1.0 200 OK\r\nSession: {}\r\n\r\n", self.session),
            None => format!("RTSP/1.0 200 OK\r\n{plain}\r\n\r\n"),
        };
        line.send(retell(&text, request, line.port, &[]).as_bytes());
    }

    fn set_up(&mut self, request: &Request, line: &Line) {
        let (first, second) = request.channels();
        if self.is_video(&request.url) {
            self.video = Some(first);
        }
        let transport = format!("RTP/AVP/TCP;unicast;interleaved={first}-{second}");
        let text = match self.dialogue.setups.get(self.setups) {
            Some(name) => capture(name),
            None => format!(
                "RTSP/1.0 200 OK\r\nTransport: {transport}\r\nSession: {};timeout=60\r\n\r\n",
                self.session
            ),
        };
        self.setups += 1;
        if let Some(session) = value_of(&text, "Session") {
            self.session = session.split(';').next().unwrap_or_default().trim().to_owned();
        }
        // The camera was asked for the channels of that day.
        let captured = value_of(&text, "Transport").unwrap_or_default().to_owned();
        let said = match captured.split_once("interleaved=") {
            Some((before, rest)) => {
                let behind = rest.find(';').map_or("", |at| &rest[at..]);
                format!("{before}interleaved={first}-{second}{behind}")
            }
            None => captured,
        };
        line.send(retell(&text, request, line.port, &[("Transport", &said)]).as_bytes());
    }

    fn play(&mut self, request: &Request, line: &Line) {
        let text = self
            .dialogue
            .play
            .map_or_else(|| "RTSP/1.0 200 OK\r\nRange: npt=0.000-\r\n\r\n".into(), capture);
        let session = self.session.clone();
        let mut said = retell(&text, request, line.port, &[("Session", &session)]);
        if value_of(&said, "Session").is_none() {
            said = said.replacen("\r\n\r\n", &format!("\r\nSession: {session}\r\n\r\n"), 1);
        }
        line.send(said.as_bytes());
        let (End::Plays(codec), Some(channel)) = (self.dialogue.end, self.video) else {
            return;
        };
        let number = |label: &str| -> Option<u64> {
            let info = value_of(&text, "RTP-Info")?;
            info.split_once(label)?.1.split([';', ',']).next()?.parse().ok()
        };
        let labels = Labels {
            payload_type: self.payload_type(),
            sequence: number("seq=").unwrap_or(1) as u16,
            timestamp: number("rtptime=").unwrap_or(0) as u32,
            ssrc: 0x00C0_FFEE,
        };
        let line = line.clone();
        std::thread::spawn(move || stream(codec, labels, channel, &line));
    }

    fn is_video(&self, url: &str) -> bool {
        let text = capture(self.dialogue.describe);
        let section = text
            .split_once("m=video")
            .map(|(_, rest)| rest.split("\nm=").next().unwrap_or_default());
        let control = section.and_then(|it| it.lines().find_map(|line| line.strip_prefix("a=control:")));
        let control = control.map(|it| it.trim()).unwrap_or_default();
        let control = control
            .strip_prefix("rtsp://")
            .and_then(|it| it.split_once('/'))
            .map_or(control, |(_, path)| path);
        url.ends_with(control)
    }

    fn payload_type(&self) -> u8 {
        let text = capture(self.dialogue.describe);
        let line = text
            .lines()
            .find(|line| line.starts_with("m=video"))
            .unwrap_or_default();
        line.split_whitespace()
            .nth(3)
            .and_then(|it| it.parse().ok())
            .unwrap_or(96)
    }
}

fn stream(codec: Codec, labels: Labels, channel: u8, line: &Line) {
    let mut packets = Packets::new(codec, labels);
    let started = std::time::Instant::now();
    for frame in 0u32.. {
        pause((started + Duration::from_secs(1) / FPS * frame).saturating_duration_since(std::time::Instant::now()));
        if line.is_over()
            || !packets
                .next_frame()
                .iter()
                .all(|packet| line.send_packet(channel, packet))
        {
            return;
        }
    }
}

/// A captured answer as it would have been today: the request's number, our address, the true length.
fn retell(text: &str, request: &Request, port: u16, changes: &[(&str, &str)]) -> String {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let body = home(&body.replace('\n', "\r\n"), port);
    let mut said = String::new();
    let mut counted = false;
    for line in head.lines() {
        let key = line.split_once(':').map_or("", |(key, _)| key);
        if key.eq_ignore_ascii_case("CSeq") {
            counted = true;
            said += &format!("{key}: {}", request.cseq());
        } else if key.eq_ignore_ascii_case("Content-Length") {
            said += &format!("{key}: {}", body.len());
        } else if let Some((_, value)) = changes.iter().find(|(name, _)| key.eq_ignore_ascii_case(name)) {
            said += &format!("{key}: {value}");
        } else {
            said += &home(line, port);
        }
        said += "\r\n";
    }
    if !counted {
        said += &format!("CSeq: {}\r\n", request.cseq());
    }
    format!("{said}\r\n{body}")
}

/// Puts our address in the place of the camera's.
fn home(text: &str, port: u16) -> String {
    let mut parts = text.split("rtsp://");
    let mut said = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let path = part.find(['/', '\r', '\n', ';', ',']).map_or("", |at| &part[at..]);
        said += &format!("rtsp://127.0.0.1:{port}{path}");
    }
    // One camera forgets the scheme.
    said.replace("192.168.1.10:554", &format!("127.0.0.1:{port}"))
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.lines().take_while(|line| !line.trim().is_empty());
    head.filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|it| it.1.trim())
}
