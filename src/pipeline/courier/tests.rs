#![allow(clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use super::*;
use crate::pipeline::doors::Awaited;

const ANSWER: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n";
const SOURCE: u32 = 0x1234;

/// A camera and an rtspsrc with a courier between them, and somebody who takes packets.
struct Street {
    camera: TcpStream,
    /// It goes on with what it had.
    rtspsrc: TcpStream,
    doors: Arc<Doors>,
    entry: gst::Pad,
    taken: mpsc::Receiver<u16>,
    told: mpsc::Receiver<Brought>,
    /// Holds both ends too, to cut them.
    _connection: Connection,
}

impl Street {
    /// `takes` decides whether a packet of a number is taken.
    fn new(takes: impl Fn(u16) -> bool + Send + Sync + 'static) -> Self {
        Self::with(None, takes)
    }

    fn with(encrypted: Option<Arc<Encrypted>>, takes: impl Fn(u16) -> bool + Send + Sync + 'static) -> Self {
        gst::init().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::new("127.0.0.1", listener.local_addr().unwrap().port());
        let rtspsrc = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        connection.claim();
        let doors = Arc::<Doors>::default();
        let (tell, told) = mpsc::channel();
        send(&connection, encrypted, &doors, move |brought| {
            tell.send(brought).unwrap_or_default()
        });
        let (camera, _) = listener.accept().unwrap();
        rtspsrc.set_nonblocking(false).unwrap();
        for side in [&camera, &rtspsrc] {
            side.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        let (take, taken) = mpsc::channel();
        let entry = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, packet| {
                let packet = packet.map_readable().unwrap();
                let number = Header::of(&packet).unwrap().number;
                take.send(number).unwrap();
                takes(number)
                    .then_some(gst::FlowSuccess::Ok)
                    .ok_or(gst::FlowError::NotLinked)
            })
            .build();
        entry.set_active(true).unwrap();
        entry.send_event(gst::event::StreamStart::new("packets"));
        entry.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new()));
        Self {
            camera,
            rtspsrc,
            doors,
            entry,
            taken,
            told,
            _connection: connection,
        }
    }

    /// Packets are taken from this number on.
    fn open(&self, number: u16) -> Awaited {
        let awaited = self.doors.open(SOURCE, 96, &self.entry);
        awaited.tell(Some(number));
        awaited
    }

    fn camera_says(&mut self, said: &[&[u8]]) {
        self.camera.write_all(&said.concat()).unwrap();
    }

    #[track_caller]
    fn rtspsrc_hears(&mut self, expected: &[&[u8]]) {
        let expected = expected.concat();
        let mut heard = vec![0; expected.len()];
        self.rtspsrc.read_exact(&mut heard).unwrap();
        assert_eq!(heard, expected);
    }

    #[track_caller]
    fn takes(&self, expected: &[u16]) {
        for number in expected {
            assert_eq!(self.taken.recv_timeout(Duration::from_secs(5)).unwrap(), *number);
        }
    }

    fn tells(&self) -> Brought {
        self.told.recv_timeout(Duration::from_secs(5)).unwrap()
    }
}

fn packet(channel: u8, source: u32, number: u16) -> Vec<u8> {
    let mut packet = vec![b'$', channel, 0, 14, 0x80, 96];
    packet.extend_from_slice(&number.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 9]);
    packet.extend_from_slice(&source.to_be_bytes());
    packet.extend_from_slice(b"hi");
    packet
}

#[test]
fn packets_go_where_they_are_taken_once_somebody_takes_them_and_all_else_to_rtspsrc() {
    let mut street = Street::new(|_| true);
    let early = packet(0, SOURCE, 65_535);
    street.camera_says(&[ANSWER, &early]);
    street.rtspsrc_hears(&[ANSWER, &early]);

    street.open(0);
    let report = [b"$\x01\x00\x08".as_slice(), &[0x80, 200, 0, 1, 0, 0, 0, 1]].concat();
    let other = packet(2, 77, 5);
    let said = [&packet(0, SOURCE, 0), ANSWER, &packet(0, SOURCE, 1), &report, &other].concat();
    for byte in said {
        street.camera_says(&[&[byte]]);
    }
    street.takes(&[0, 1]);
    street.rtspsrc_hears(&[ANSWER, &report, &other]);
    assert_eq!(street.tells(), Brought::First(SOURCE));

    // What is said last is still said, and then both ends hear the end.
    street
        .rtspsrc
        .write_all(b"TEARDOWN rtsp://camera RTSP/1.0\r\n\r\n")
        .unwrap();
    street.rtspsrc.shutdown(Shutdown::Both).unwrap();
    let mut heard = String::new();
    street.camera.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "TEARDOWN rtsp://camera RTSP/1.0\r\n\r\n");
}

#[test]
fn no_packet_overtakes_those_that_are_on_the_long_way() {
    let mut street = Street::new(|_| true);
    let awaited = street.open(1);
    // The first one is not there yet: rtspsrc has it, or has not even read it.
    street.camera_says(&[&packet(0, SOURCE, 2), &packet(0, SOURCE, 3)]);
    street.rtspsrc_hears(&[&packet(0, SOURCE, 2), &packet(0, SOURCE, 3)]);
    awaited.tell(None);
    street.camera_says(&[&packet(0, SOURCE, 4)]);
    street.rtspsrc_hears(&[&packet(0, SOURCE, 4)]);
    awaited.tell(Some(5));
    street.camera_says(&[&packet(0, SOURCE, 5), &packet(0, SOURCE, 6)]);
    street.takes(&[5, 6]);
}

#[test]
fn rtspsrc_sees_of_each_source_that_it_lives() {
    let mut street = Street::new(|_| true);
    street.open(1);
    street.camera_says(&[&packet(0, SOURCE, 1)]);
    street.takes(&[1]);
    let mut number = 1;
    street.rtspsrc.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut seen = Vec::new();
    while seen.len() < packet(0, SOURCE, 1).len() {
        assert!(number < 1000, "a second is over long ago");
        number += 1;
        street.camera_says(&[&packet(0, SOURCE, number)]);
        street.takes(&[number]);
        let mut bytes = [0; 100];
        // Nothing to read within that time is an error.
        let count = street.rtspsrc.read(&mut bytes).unwrap_or(0);
        seen.extend_from_slice(&bytes[..count]);
    }
    assert!(number > 50, "{number}");
    assert!(
        (1..=number).any(|number| packet(0, SOURCE, number) == seen),
        "one packet, whole"
    );
}

#[test]
fn of_a_camera_that_sends_much_rtspsrc_sees_every_thousandth_packet_at_the_latest() {
    let mut street = Street::new(|_| true);
    street.open(0);
    let all: Vec<u8> = (0..=1001).flat_map(|number| packet(0, SOURCE, number)).collect();
    street.camera_says(&[&all]);
    (0..=1001).for_each(|number| street.takes(&[number]));
    let mut seen = vec![0; 18];
    street.rtspsrc.read_exact(&mut seen).unwrap();
    assert!((0..=1001).any(|number| packet(0, SOURCE, number) == seen), "{seen:?}");
}

#[test]
fn a_packet_that_is_not_taken_any_more_goes_to_rtspsrc_with_those_after_it() {
    let mut street = Street::new(|number| number != 3);
    street.open(1);
    (1..6).for_each(|number| street.camera_says(&[&packet(0, SOURCE, number)]));
    street.takes(&[1, 2, 3]);
    street.rtspsrc_hears(&[&packet(0, SOURCE, 3), &packet(0, SOURCE, 4), &packet(0, SOURCE, 5)]);
    // Until somebody takes them again.
    street.open(6);
    street.camera_says(&[&packet(0, SOURCE, 6)]);
    street.takes(&[6]);
}

#[test]
fn two_who_take_the_same_packets_both_get_them_from_rtspsrc() {
    let mut street = Street::new(|_| true);
    let another = gst::Pad::new(gst::PadDirection::Sink);
    street.open(1);
    street.doors.open(SOURCE, 96, &another).tell(Some(1));
    street.camera_says(&[&packet(0, SOURCE, 1)]);
    street.rtspsrc_hears(&[&packet(0, SOURCE, 1)]);
}

#[test]
fn two_streams_that_look_alike_go_to_rtspsrc_as_soon_as_that_is_seen() {
    let mut street = Street::new(|_| true);
    street.open(1);
    street.camera_says(&[&packet(0, SOURCE, 1)]);
    street.takes(&[1]);
    let both = [packet(2, SOURCE, 7), packet(0, SOURCE, 2), packet(2, SOURCE, 8)].concat();
    street.camera_says(&[&both]);
    street.rtspsrc_hears(&[&both]);
}

#[test]
fn what_rtspsrc_reports_of_packets_that_it_did_not_see_is_put_right() {
    let mut street = Street::new(|_| true);
    street.open(1);
    (1..=4).for_each(|number| street.camera_says(&[&packet(0, SOURCE, number)]));
    street.takes(&[1, 2, 3, 4]);
    let mut report = vec![b'$', 1, 0, 32, 0x81, 201, 0, 7, 0, 0, 0, 1];
    report.extend_from_slice(&SOURCE.to_be_bytes());
    report.extend_from_slice(&[0xff; 8]);
    report.extend_from_slice(&[7; 12]);
    street.rtspsrc.write_all(&report).unwrap();
    let mut heard = vec![0; report.len()];
    street.camera.read_exact(&mut heard).unwrap();
    report[16..24].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 4]);
    assert_eq!(heard, report);
}

#[test]
fn when_the_camera_goes_rtspsrc_hears_all_it_said_and_then_the_end() {
    let mut street = Street::new(|_| true);
    street.camera_says(&[ANSWER]);
    street.camera.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    street.rtspsrc.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, ANSWER);
    drop(street.rtspsrc);
    assert_eq!(
        street.camera.read(&mut [0]).unwrap(),
        0,
        "nobody keeps the connection open"
    );
    assert!(street.told.recv().is_err(), "that was in order");
}

#[test]
fn a_connection_that_breaks_is_told() {
    let mut street = Street::new(|_| true);
    street
        .rtspsrc
        .write_all(b"PLAY rtsp://camera RTSP/1.0\r\n\r\n")
        .unwrap();
    street.camera.peek(&mut [0]).unwrap();
    // With something unread it is not closed but reset.
    drop(street.camera);
    let told = street.told.recv_timeout(Duration::from_secs(5));
    assert_eq!(told, Ok(Brought::Broke));
    assert_eq!(street.rtspsrc.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_a_camera_does_not_take_makes_rtspsrc_wait_and_is_not_piled_up() {
    let mut street = Street::new(|_| true);
    street.rtspsrc.set_nonblocking(true).unwrap();
    let (mut written, mut full_since) = (0, None);
    let answer = [b'R'; 4096];
    loop {
        match street.rtspsrc.write(&answer) {
            Ok(count) => (written, full_since) = (written + count, None),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                let now = SystemClock.instant();
                if now.since(*full_since.get_or_insert(now)) > Duration::from_millis(300) {
                    break;
                }
                std::thread::yield_now();
            }
        }
        assert!(written < 64 << 20, "somebody piles it up");
    }
    // All of it is there once the camera takes it.
    street.rtspsrc.shutdown(Shutdown::Write).unwrap();
    let mut taken = vec![0; written];
    street.camera.read_exact(&mut taken).unwrap();
    assert!(taken.iter().all(|byte| *byte == b'R'));
}

#[test]
fn a_packet_of_the_largest_size_is_brought_whole() {
    let mut street = Street::new(|_| true);
    street.open(1);
    let mut largest = packet(0, SOURCE, 1);
    largest.resize(4 + 65_535, 7);
    largest[2..4].copy_from_slice(&[255, 255]);
    let mut unknown = largest.clone();
    unknown[15] ^= 1;
    street.camera_says(&[&largest, &unknown, &largest]);
    street.takes(&[1, 1]);
    street.rtspsrc_hears(&[&unknown]);
    street.rtspsrc.write_all(&largest).unwrap();
    let mut heard = vec![0; largest.len()];
    street.camera.read_exact(&mut heard).unwrap();
    assert_eq!(heard, largest);
}

#[test]
fn a_camera_that_says_too_much_is_cut_off_before_rtspsrc_has_it() {
    let mut street = Street::new(|_| true);
    street.camera_says(&[ANSWER]);
    street.rtspsrc_hears(&[ANSWER]);
    street.camera_says(&[b"RTSP/1.0 200 OK\r\nContent-Length: 2147483648\r\n\r\n"]);
    assert_eq!(street.tells(), Brought::TooMuch(Excess::Announced(2 << 30)));
    let mut heard = Vec::new();
    street.rtspsrc.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"", "not even what it announced");
    let mut rest = Vec::new();
    street.camera.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_camera_that_plays_for_long_says_much_in_all_and_never_too_much() {
    let mut street = Street::new(|_| true);
    let body = vec![b'x'; 200_000];
    let header = format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    for number in 0..5 {
        street.camera_says(&[header.as_bytes(), &body]);
        street.rtspsrc_hears(&[header.as_bytes(), &body]);
        if number % 2 == 0 {
            street.rtspsrc.write_all(b"OPTIONS * RTSP/1.0\r\n\r\n").unwrap();
            let mut heard = [0; 22];
            street.camera.read_exact(&mut heard).unwrap();
        } else {
            street.camera_says(&[&packet(0, SOURCE, number)]);
            street.rtspsrc_hears(&[&packet(0, SOURCE, number)]);
        }
    }
}

#[test]
fn what_is_encrypted_is_handed_on_as_it_is_and_only_counted() {
    let encrypted = Arc::<Encrypted>::default();
    let mut street = Street::with(Some(encrypted.clone()), |_| true);
    street.open(1);
    let looks_like_a_packet = packet(0, SOURCE, 1);
    street.camera_says(&[&looks_like_a_packet]);
    street.rtspsrc_hears(&[&looks_like_a_packet]);
    let much = vec![b'x'; 300_000];
    for _ in 0..3 {
        street.camera_says(&[&much]);
        street.rtspsrc_hears(&[&much]);
        encrypted.go_on();
    }
    street.camera_says(&[&much]);
    street.rtspsrc_hears(&[&much]);
    street.camera.write_all(&much).unwrap();
    assert_eq!(street.tells(), Brought::TooMuch(Excess::Answer));
}
