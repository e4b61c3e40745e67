//! The misbehaving peer and the captured dialogues judged before they judge others: each does what its name says.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::kit::dialogues::{self, Dialogue, End};
use crate::kit::footage::Codec;
use crate::kit::mock::Mock;
use crate::kit::peer::{self, Mode};
use crate::kit::referee;
use crate::kit::viewer::Viewer;
use crate::kit::wait::pause;

/// Nothing that plays takes this long to play a second.
const PATIENCE: Duration = Duration::from_secs(12);

/// A client in a few lines, so that what the peer says is seen byte by byte.
struct Client {
    socket: TcpStream,
    url: String,
    cseq: u32,
}

impl Client {
    fn new(mock: &Mock) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", mock.port())).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self {
            socket,
            url: mock.url("/main"),
            cseq: 0,
        }
    }

    fn ask(&mut self, method: &str, path: &str, more: &str) {
        self.cseq += 1;
        let text = format!(
            "{method} {}{path} RTSP/1.0\r\nCSeq: {}\r\n{more}\r\n",
            self.url, self.cseq
        );
        self.socket.write_all(text.as_bytes()).unwrap();
    }

    /// The head of the next answer.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    fn describe(&mut self) -> (String, String) {
        self.ask("DESCRIBE", "", "Accept: application/sdp\r\n");
        let head = self.head();
        let length = head
            .split_once("Content-Length: ")
            .map_or(0, |(_, it)| it.split("\r\n").next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    fn play(&mut self) {
        self.ask("SETUP", "/track1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
        assert!(self.head().contains("interleaved=0-1"));
        self.ask("PLAY", "", "Session: 20240229\r\n");
        assert!(self.head().starts_with("RTSP/1.0 200"));
    }

    /// The next packet, or what stands there instead.
    fn packet(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let mut head = [0; 4];
        self.socket.read_exact(&mut head).map_err(|_| Vec::new())?;
        if head[0] != b'$' {
            return Err(head.to_vec());
        }
        let mut packet = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        self.socket.read_exact(&mut packet).unwrap();
        Ok(packet)
    }
}

fn sequences(client: &mut Client, count: usize) -> Vec<u16> {
    (0..count)
        .map(|_| client.packet().unwrap())
        .map(|it| u16::from_be_bytes([it[2], it[3]]))
        .collect()
}

/// Watches with ffmpeg for a second, or until it is clear that nothing comes, and says how many frames it decoded.
fn seen_by_ffmpeg(url: &str) -> (usize, String) {
    let room = TempDir::new().unwrap();
    let file = room.path().join("seen.mkv");
    // Coded anew, because some descriptions carry parameter sets that do not belong to the video.
    let mut viewer = Viewer::start(
        url,
        &file,
        &["-map", "0:v", "-c:v", "mpeg4", "-s", "160x120", "-t", "1"],
    );
    let started = Instant::now();
    while viewer.is_running() && started.elapsed() < PATIENCE {
        pause(Duration::from_millis(50));
    }
    let said = viewer.said().lines().take(5).collect();
    drop(viewer);
    let frames = if file.exists() {
        referee::look(&file).unreadable.len()
    } else {
        0
    };
    (frames, said)
}

#[test]
fn a_peer_that_behaves_plays() {
    let peer = peer::start(Mode::Behaves);
    let (frames, said) = seen_by_ffmpeg(&peer.url("/main"));
    assert!(frames >= 20, "{frames} frames; {said}");
    assert_eq!((peer.connections(), peer.count("PLAY")), (1, 1));
}

#[test]
fn wrong_parameter_sets_are_in_the_description_only() {
    let peer = peer::start(Mode::WrongSprop);
    let (head, sdp) = Client::new(&peer).describe();
    assert!(head.starts_with("RTSP/1.0 200") && sdp.contains("sprop-parameter-sets=Z//"));
    assert!(seen_by_ffmpeg(&peer.url("/main")).0 >= 20);
}

#[test]
fn a_silent_peer_takes_the_connection_and_says_nothing() {
    let peer = peer::start(Mode::NeverAnswers);
    let mut client = Client::new(&peer);
    client.ask("OPTIONS", "", "");
    client
        .socket
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    assert!(client.socket.read(&mut [0]).is_err(), "something was said");
    assert_eq!(peer.count("OPTIONS"), 1);
}

#[test]
fn a_dripping_peer_says_a_byte_each_half_second() {
    let peer = peer::start(Mode::OneByteEachHalfSecond);
    let mut client = Client::new(&peer);
    client.ask("OPTIONS", "", "");
    let (started, mut bytes) = (Instant::now(), [0; 4]);
    client.socket.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"RTSP");
    assert!(
        started.elapsed() > Duration::from_millis(1400),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_flooding_peer_never_ends_its_headers() {
    let peer = peer::start(Mode::EndlessHeaders);
    let mut client = Client::new(&peer);
    client.ask("OPTIONS", "", "");
    let mut text = vec![0; 4_000_000];
    client.socket.read_exact(&mut text).unwrap();
    assert!(text.starts_with(b"RTSP/1.0 200 OK\r\n"));
    assert!(!text.windows(4).any(|it| it == b"\r\n\r\n"));
}

#[test]
fn redirects_go_round_in_a_loop_or_where_they_are_told() {
    let peer = peer::start(Mode::RedirectLoop);
    let mut client = Client::new(&peer);
    let places: Vec<_> = (0..3).map(|_| client.describe().0).collect();
    for (n, head) in places.iter().enumerate() {
        let place = format!("Location: rtsp://127.0.0.1:{}/again/{}\r\n", peer.port(), n + 1);
        assert!(head.starts_with("RTSP/1.0 302") && head.contains(&place), "{head}");
    }
    let target = "rtsp://169.254.169.254/latest";
    let head = Client::new(&peer::start(Mode::RedirectTo(target.into()))).describe().0;
    assert!(head.contains(&format!("Location: {target}\r\n")), "{head}");
}

#[test]
fn garbage_comes_between_packets_after_the_frames_that_are_well() {
    let peer = peer::start(Mode::GarbageAfter(10));
    let mut client = Client::new(&peer);
    client.play();
    let mut times = BTreeSet::new();
    let rubbish = loop {
        match client.packet() {
            Ok(packet) => times.insert(packet[4..8].to_vec()),
            Err(rubbish) => break rubbish,
        };
    };
    assert_eq!(times.len(), 10);
    assert!(rubbish.iter().all(|byte| *byte >= 0x80));
}

#[test]
fn sequence_numbers_are_in_order_or_drawn_by_lot() {
    let peer = peer::start(Mode::Behaves);
    let mut client = Client::new(&peer);
    client.play();
    assert_eq!(sequences(&mut client, 30), (1000..1030).collect::<Vec<u16>>());
    let peer = peer::start(Mode::RandomSequence);
    let mut client = Client::new(&peer);
    client.play();
    let drawn = sequences(&mut client, 30);
    assert!(
        drawn
            .windows(2)
            .filter(|pair| pair[1] == pair[0].wrapping_add(1))
            .count()
            < 5,
        "{drawn:?}"
    );
}

#[test]
fn a_frozen_peer_stays_and_a_closing_one_goes() {
    let peer = peer::start(Mode::FrozenAfter(5));
    let mut client = Client::new(&peer);
    client.play();
    let mut times = BTreeSet::new();
    while times.len() < 5 {
        let packet = client.packet().expect("five frames come before it freezes");
        times.insert(packet[4..8].to_vec());
    }
    // Only now, so that a busy machine is not taken for a frozen peer.
    client.socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    while let Ok(packet) = client.packet() {
        times.insert(packet[4..8].to_vec());
    }
    assert_eq!(times.len(), 5);
    client.ask("GET_PARAMETER", "", "Session: 20240229\r\n");
    assert!(
        client.head().starts_with("RTSP/1.0 200"),
        "frozen, but its connection is alive"
    );

    let peer = peer::start(Mode::ClosesAfter(7));
    let mut client = Client::new(&peer);
    client.play();
    assert_eq!(sequences(&mut client, 7).len(), 7);
    assert_eq!(client.socket.read(&mut [0]).unwrap_or(0), 0, "the connection is closed");
}

#[test]
fn descriptions_are_huge_empty_or_lack_the_codec() {
    let (_, sdp) = Client::new(&peer::start(Mode::ManyMedia)).describe();
    assert_eq!(sdp.matches("m=video").count(), 20_000);
    let (head, sdp) = Client::new(&peer::start(Mode::EmptySdp)).describe();
    assert!(head.contains("Content-Length: 0\r\n") && sdp.is_empty());
    let (_, sdp) = Client::new(&peer::start(Mode::MissingRtpmap)).describe();
    assert!(sdp.contains("m=video 0 RTP/AVP 96") && !sdp.contains("rtpmap"));
}

#[test]
fn a_peer_that_wants_another_password_counts_the_tries() {
    let peer = peer::start(Mode::UnauthorizedForEver);
    let mut client = Client::new(&peer);
    let heads: Vec<_> = (0..3).map(|_| client.describe().0).collect();
    assert!(heads.iter().all(|head| head.starts_with("RTSP/1.0 401")));
    assert_eq!(peer.count("DESCRIBE"), 3);
}

#[test]
fn every_capture_is_used_by_a_dialogue() {
    let used: BTreeSet<_> = dialogues::ALL
        .iter()
        .flat_map(Dialogue::captures)
        .map(str::to_owned)
        .collect();
    let files = std::fs::read_dir(dialogues::directory())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let captures = files.filter(|file| file.extension().is_some_and(|it| it == "txt"));
    let there: BTreeSet<_> = captures
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(there.len(), 46);
    assert_eq!(used, there);
}

#[test]
fn cameras_retold_from_captures_play_as_they_did() {
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        // A few at a time: each takes about a second of watching.
        let watch = |dialogue: &'static Dialogue| {
            let mock = dialogues::start(*dialogue);
            let (frames, said) = seen_by_ffmpeg(&mock.url("/main"));
            let as_expected = match dialogue.end {
                End::Plays(Codec::H264 | Codec::H265) => frames >= 15,
                End::WrongTransport => frames == 0,
                End::Unauthorized => frames == 0 && said.contains("401"),
            };
            (!as_expected).then(|| format!("{dialogue:?}: {frames} frames; {said}"))
        };
        // Those that never play take the longest, so they are watched together.
        let mut all: Vec<_> = dialogues::ALL.iter().collect();
        all.sort_by_key(|dialogue| matches!(dialogue.end, End::Plays(_)));
        for some in all.chunks(6) {
            let threads: Vec<_> = some
                .iter()
                .map(|&dialogue| scope.spawn(move || watch(dialogue)))
                .collect();
            wrong.extend(threads.into_iter().filter_map(|thread| thread.join().unwrap()));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
