//! A bad network: a TCP proxy on loopback that stalls, cuts, refuses and delays when told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wait::pause;

/// How soon a thread notices an order.
const NOTICE: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Orders {
    stalled: bool,
    refusing: bool,
    ended: bool,
    delay: Duration,
    /// Connections of an earlier number than this are cut.
    alive_from: u64,
    ever: u64,
    now: u64,
}

#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
}

impl Shared {
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap());
        self.changed.notify_all();
    }

    fn ask<T>(&self, look: impl FnOnce(&Orders) -> T) -> T {
        look(&self.orders.lock().unwrap())
    }

    /// Waits while stalled; false when this connection is over.
    fn may_go_on(&self, number: u64) -> bool {
        let orders = self.orders.lock().unwrap();
        let over = |orders: &Orders| orders.ended || number < orders.alive_from;
        let orders = self
            .changed
            .wait_while(orders, |orders| orders.stalled && !over(orders))
            .unwrap();
        !over(&orders)
    }
}

/// The proxy; everything ends when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port and passes on to `target` on loopback.
    pub(crate) fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let orders = shared.clone();
        let thread = std::thread::spawn(move || accept(listener, target, &orders));
        Self {
            port,
            shared,
            thread: Some(thread),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The RTSP address of a path behind this proxy.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}{path}", self.port)
    }

    /// Stops reading and writing, both ways; connections stay open, new ones are accepted and get nothing.
    pub(crate) fn stall(&self) {
        self.shared.order(|orders| orders.stalled = true);
    }

    pub(crate) fn resume(&self) {
        self.shared.order(|orders| orders.stalled = false);
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        self.shared.order(|orders| orders.alive_from = orders.ever);
    }

    /// Stops listening, or listens again on the same port; connections that stand are left alone.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.shared.order(|orders| orders.refusing = refuse);
        // The accepting thread needs a moment to let the port go or to take it.
        super::wait::wait_until(Duration::from_secs(5), "the proxy's port to open or close", || {
            (TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() == refuse).then_some(())
        });
    }

    /// Everything arrives so much later, in both directions.
    pub(crate) fn delay(&self, by: Duration) {
        self.shared.order(|orders| orders.delay = by);
    }

    pub(crate) fn connections_now(&self) -> u64 {
        self.shared.ask(|orders| orders.now)
    }

    /// How many connections there were; looking whether the port is open after [`Proxy::refuse`] counts too.
    pub(crate) fn connections_ever(&self) -> u64 {
        self.shared.ask(|orders| orders.ever)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.order(|orders| orders.ended = true);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn accept(listener: TcpListener, target: u16, shared: &Arc<Shared>) {
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut listening = Some(listener);
    let mut threads = Vec::new();
    while !shared.ask(|orders| orders.ended) {
        if shared.ask(|orders| orders.refusing) {
            listening = None;
        } else if listening.is_none() {
            listening = TcpListener::bind(address).ok();
        }
        let client = listening.as_ref().and_then(|listener| {
            listener.set_nonblocking(true).unwrap();
            listener.accept().ok()
        });
        let Some((client, _)) = client else {
            pause(NOTICE);
            continue;
        };
        let mut number = 0;
        shared.order(|orders| {
            number = orders.ever;
            orders.ever += 1;
            orders.now += 1;
        });
        let shared = shared.clone();
        threads.push(std::thread::spawn(move || {
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) {
                pass_both_ways(&client, &server, number, &shared);
            }
            shared.order(|orders| orders.now -= 1);
        }));
    }
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

fn pass_both_ways(client: &TcpStream, server: &TcpStream, number: u64, shared: &Shared) {
    client.set_nonblocking(false).unwrap();
    for socket in [client, server] {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(NOTICE)).unwrap();
        socket.set_write_timeout(Some(NOTICE)).unwrap();
    }
    std::thread::scope(|scope| {
        for (from, to) in [(client, server), (server, client)] {
            let (give, take) = mpsc::channel();
            scope.spawn(move || read(from, number, shared, &give));
            scope.spawn(move || {
                write(to, number, shared, &take);
                // Whichever way ends first ends the other: a cut is a cut.
                client.shutdown(Shutdown::Both).ok();
                server.shutdown(Shutdown::Both).ok();
            });
        }
    });
}

fn read(mut from: &TcpStream, number: u64, shared: &Shared, give: &Sender<(Instant, Vec<u8>)>) {
    let mut bytes = vec![0; 64 * 1024];
    while shared.may_go_on(number) {
        match from.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => {
                if give.send((Instant::now(), bytes[..count].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return,
        }
    }
}

fn write(mut to: &TcpStream, number: u64, shared: &Shared, take: &Receiver<(Instant, Vec<u8>)>) {
    loop {
        let (since, bytes) = match take.recv_timeout(NOTICE) {
            Ok(chunk) => chunk,
            Err(mpsc::RecvTimeoutError::Timeout) if shared.ask(|it| !it.ended && number >= it.alive_from) => continue,
            Err(_) => return,
        };
        pause((since + shared.ask(|orders| orders.delay)).saturating_duration_since(Instant::now()));
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            if !shared.may_go_on(number) {
                return;
            }
            match to.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if is_timeout(&error) => {}
                Err(_) => return,
            }
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
    )
}
