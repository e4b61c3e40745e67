//! Clients that are slow on purpose, and others that want an answer meanwhile.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::desk::Desk;
use crate::http::serve::Limits;
use crate::model::RunId;
use crate::storage::Place;
use crate::timeline::fixture::{at, door, segment};

const PATIENCE: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits {
        connections: 4,
        head: Duration::from_secs(60),
        stall: Duration::from_secs(60),
    }
}

fn connect(desk: &Desk) -> TcpStream {
    let stream = TcpStream::connect(desk.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the other side ends the connection; what came, and how long it took.
fn wait_for_end(mut stream: TcpStream) -> (usize, Duration) {
    let (begun, mut bytes) = (Instant::now(), Vec::new());
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        outcome => drop(outcome.expect("the connection is ended")),
    }
    (bytes.len(), begun.elapsed())
}

#[test]
fn a_request_that_does_not_come_whole_is_not_waited_for() {
    let head = Duration::from_millis(400);
    let desk = Desk::within(Limits { head, ..limits() });
    let mut slow = connect(&desk);
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: localh").unwrap();
    let silent = connect(&desk);
    assert_eq!(desk.get("/healthz").status, 200);
    for stream in [slow, silent] {
        let (_, took) = wait_for_end(stream);
        assert!(took < PATIENCE / 2, "it was waited for {took:?}");
    }
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let desk = Desk::within(limits());
    let mut crowd: Vec<TcpStream> = (0..40).map(|_| connect(&desk)).collect();
    for stream in &mut crowd {
        // Some were ended already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ");
    }
    let begun = Instant::now();
    for _ in 0..10 {
        assert_eq!(desk.get("/healthz").status, 200);
    }
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    let (said, _) = wait_for_end(crowd.swap_remove(0));
    assert_eq!(said, 0, "the one that was silent for longest was ended");
}

#[test]
fn one_who_is_of_use_stays_connected_while_a_crowd_comes_and_goes() {
    let desk = Desk::within(limits());
    let mut regular = connect(&desk);
    let mut ask = || {
        regular
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = [0; 2048];
        let count = regular.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "the connection was ended");
    };
    let mut crowd = Vec::new();
    for _ in 0..10 {
        ask();
        // Fewer than there is room for, so that the regular is never the one that waited longest.
        crowd.extend((0..2).map(|_| connect(&desk)));
        assert_eq!(desk.get("/healthz").status, 200);
    }
}

#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let stall = Duration::from_millis(400);
    let desk = Desk::within(Limits { stall, ..limits() });
    desk.add_segments(vec![segment(0, 10, 1, 0)]);
    let place = Place::new(door(), at(0), RunId(1), 0);
    let path = desk.recordings.join(place.relative_path());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // More than the kernel keeps for a reader.
    let size = 64 << 20;
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let request = format!("GET /media/recordings/door/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut reader = connect(&desk);
    reader.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 12];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // Others are answered all the while.
    let begun = Instant::now();
    while begun.elapsed() < stall * 4 {
        assert_eq!(desk.get("/healthz").status, 200);
    }
    let (rest, took) = wait_for_end(reader);
    assert!((rest as u64) < size, "all of it was sent to one who did not read");
    assert!(took < PATIENCE / 2, "{took:?}");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let desk = Desk::within(limits());
    let mut slow = connect(&desk);
    slow.write_all(
        b"POST /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
    )
    .unwrap();
    assert_eq!(desk.get("/healthz").status, 200);
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

/// Connects from another address of this machine.
fn connect_from(desk: &Desk, address: &str) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        socket.connect(desk.address).await.unwrap()
    });
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn bodies_that_do_not_come_keep_nobody_waiting_whoever_else_asks() {
    let connections = 16;
    let desk = Desk::within(Limits {
        connections,
        ..limits()
    });
    let head = b"POST /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
    let mut regular = connect(&desk);
    let mut ask = || {
        let begun = Instant::now();
        regular
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = [0; 2048];
        let count = regular.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "the connection was ended");
        begun.elapsed()
    };
    ask();
    let mut crowd = Vec::new();
    let mut longest = Duration::ZERO;
    for number in 0..200 {
        let mut stream = connect_from(&desk, "127.0.0.2");
        // Some are ended already.
        let _ = stream.write_all(head);
        crowd.push(stream);
        if number % 10 == 9 {
            longest = longest.max(ask());
            let begun = Instant::now();
            assert_eq!(desk.get("/healthz").status, 200, "somebody else");
            longest = longest.max(begun.elapsed());
        }
    }
    let mut neighbour = connect_from(&desk, "127.0.0.2");
    let begun = Instant::now();
    neighbour
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = [0; 12];
    neighbour.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200", "who has the same address");
    longest = longest.max(begun.elapsed());
    assert!(longest < Duration::from_millis(200), "an answer took {longest:?}");
}
