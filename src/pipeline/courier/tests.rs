#![allow(clippy::unwrap_used)]

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

use super::*;
use crate::pipeline::connection::Connection;

const ANSWER: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n";
const SOURCE: u32 = 0x1234;

/// A camera and an rtspsrc with a courier between them, and somebody who takes packets.
struct Street {
    camera: TcpStream,
    rtspsrc: UnixStream,
    doors: Arc<Doors>,
    entry: gst::Pad,
    taken: mpsc::Receiver<u16>,
    told: mpsc::Receiver<Brought>,
    courier: std::thread::JoinHandle<()>,
}

impl Street {
    /// `takes` decides whether a packet of a number is taken.
    fn new(takes: impl Fn(u16) -> bool + Send + Sync + 'static) -> Self {
        gst::init().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = Connection::new(listener.local_addr().unwrap().port());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        connection.claim();
        let mut hands = connection.put_in_hands().unwrap();
        // What stands in the place of rtspsrc's socket is read by a test, which may wait.
        let (source, rtspsrc) = UnixStream::pair().unwrap();
        source.set_nonblocking(true).unwrap();
        hands.source = source;
        drop(client);
        let (camera, _) = listener.accept().unwrap();
        for wait in [&camera as &dyn Waits, &rtspsrc] {
            wait.no_longer_than(Duration::from_secs(5));
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
        let doors = Arc::<Doors>::default();
        let (tell, told) = mpsc::channel();
        let courier = Courier::new(hands, doors.clone(), move |brought| {
            tell.send(brought).unwrap_or_default()
        });
        let courier = std::thread::spawn(move || courier.carry());
        Self {
            camera,
            rtspsrc,
            doors,
            entry,
            taken,
            told,
            courier,
        }
    }

    fn rtspsrc_hears(&mut self, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        self.rtspsrc.read_exact(&mut heard).unwrap();
        assert_eq!(heard, expected);
    }

    fn takes(&self, expected: &[u16]) {
        for number in expected {
            assert_eq!(self.taken.recv_timeout(Duration::from_secs(5)).unwrap(), *number);
        }
    }

    fn first(&self) -> Brought {
        self.told.recv_timeout(Duration::from_secs(5)).unwrap()
    }
}

trait Waits {
    fn no_longer_than(&self, time: Duration);
}

impl Waits for TcpStream {
    fn no_longer_than(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
    }
}

impl Waits for UnixStream {
    fn no_longer_than(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
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
    street.camera.write_all(&[ANSWER, &early].concat()).unwrap();
    street.rtspsrc_hears(&[ANSWER, &early].concat());

    street.doors.open(SOURCE, 96, &street.entry);
    let report = [b"$\x01\x00\x08".as_slice(), &[0x80, 200, 0, 1, 0, 0, 0, 1]].concat();
    let other = packet(2, 77, 5);
    let same_elsewhere = packet(4, SOURCE, 9);
    let said = [
        &packet(0, SOURCE, 0),
        ANSWER,
        &packet(0, SOURCE, 1),
        &report,
        &other,
        &same_elsewhere,
    ]
    .concat();
    for byte in said {
        street.camera.write_all(&[byte]).unwrap();
    }
    street.takes(&[0, 1]);
    street.rtspsrc_hears(&[ANSWER, &report, &other, &same_elsewhere].concat());
    assert_eq!(street.first(), Brought::First(SOURCE));

    // Both ends are told when the other one goes.
    street
        .rtspsrc
        .write_all(b"TEARDOWN rtsp://camera RTSP/1.0\r\n\r\n")
        .unwrap();
    drop(street.rtspsrc);
    let mut heard = String::new();
    street.camera.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "TEARDOWN rtsp://camera RTSP/1.0\r\n\r\n");
    street.courier.join().unwrap();
}

#[test]
fn rtspsrc_sees_of_each_source_that_it_lives() {
    let mut street = Street::new(|_| true);
    street.doors.open(SOURCE, 96, &street.entry);
    street.camera.write_all(&packet(0, SOURCE, 1)).unwrap();
    street.takes(&[1]);
    let mut number = 1;
    street.rtspsrc.no_longer_than(Duration::from_millis(5));
    let mut seen = Vec::new();
    while seen.len() < packet(0, SOURCE, 1).len() {
        assert!(number < 1000, "a second is over long ago");
        number += 1;
        street.camera.write_all(&packet(0, SOURCE, number)).unwrap();
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
fn a_packet_that_is_not_taken_any_more_sends_those_after_it_to_rtspsrc() {
    let mut street = Street::new(|number| number < 3);
    street.doors.open(SOURCE, 96, &street.entry);
    (1..6).for_each(|number| street.camera.write_all(&packet(0, SOURCE, number)).unwrap());
    street.takes(&[1, 2, 3]);
    street.rtspsrc_hears(&[packet(0, SOURCE, 4), packet(0, SOURCE, 5)].concat());
}

#[test]
fn two_who_take_the_same_packets_both_get_them_from_rtspsrc() {
    let mut street = Street::new(|_| true);
    let another = gst::Pad::new(gst::PadDirection::Sink);
    street.doors.open(SOURCE, 96, &street.entry);
    street.doors.open(SOURCE, 96, &another);
    street.camera.write_all(&packet(0, SOURCE, 1)).unwrap();
    street.rtspsrc_hears(&packet(0, SOURCE, 1));
}

#[test]
fn what_rtspsrc_reports_of_packets_that_it_did_not_see_is_put_right() {
    let mut street = Street::new(|_| true);
    street.doors.open(SOURCE, 96, &street.entry);
    (1..=4).for_each(|number| street.camera.write_all(&packet(0, SOURCE, number)).unwrap());
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
    street.camera.write_all(ANSWER).unwrap();
    drop(street.camera);
    let mut heard = Vec::new();
    street.rtspsrc.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, ANSWER);
    drop(street.rtspsrc);
    street.courier.join().unwrap();
}

#[test]
fn a_packet_of_the_largest_size_is_brought_whole() {
    let mut street = Street::new(|_| true);
    street.doors.open(SOURCE, 96, &street.entry);
    let mut largest = packet(0, SOURCE, 1);
    largest.resize(4 + 65_535, 7);
    largest[2..4].copy_from_slice(&[255, 255]);
    let unknown = [&[b'$', 6], &largest[2..]].concat();
    for bytes in [&largest, &unknown, &largest] {
        street.camera.write_all(bytes).unwrap();
    }
    street.takes(&[1, 1]);
    street.rtspsrc_hears(&unknown);
    street.rtspsrc.write_all(&largest).unwrap();
    let mut heard = vec![0; largest.len()];
    street.camera.read_exact(&mut heard).unwrap();
    assert_eq!(heard, largest);
}
