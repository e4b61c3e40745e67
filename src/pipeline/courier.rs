//! Carries what a camera and `rtspsrc` say to one another, and brings packets the short way.
//!
//! `rtspsrc` 1.22 reads a packet in three pieces, asks the kernel five times for it, and takes it through a session that is made for
//! datagrams. A camera of 4 Mbit/s sends 350 of them a second. So the connection is put in other hands just before PLAY: `rtspsrc`
//! goes on talking through a pair of sockets, and a thread of ours reads from the camera, much at once. Messages and reports go to
//! `rtspsrc` as they are. So do the first packets of each source, until it has made for them what stands behind (`straight.rs`); from
//! then on they go there at once, and `rtspsrc` sees one a second, by which it knows that the source lives.
//!
//! Whatever this does not understand it hands on as it is, and then all is as without it. Decision 32.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use rustix::event::{PollFd, PollFlags, poll};

use crate::runtime::{Clock, Instant, SystemClock, spawn_thread};

use super::connection::{Connection, InHands};
use super::doors::Doors;
use super::framing::{Framing, MARK, Piece, inside};
use super::gathering::buffer;
use super::reception::{self, Header, Reception};
use super::straight::Straight;

/// How much is read from a camera at once: nearly all pictures are smaller.
const FROM_CAMERA: usize = 64 << 10;
/// And from rtspsrc, which says a line now and then.
const FROM_SOURCE: usize = 2 << 10;
/// How often rtspsrc sees a packet of a source.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// And after how many at the latest: its session takes a number that is 3000 ahead for another count.
const MOST_UNSEEN: u32 = 1000;
/// When so much waits for rtspsrc, the camera waits too; and rtspsrc, when so much waits for the camera.
const MOST_FOR_SOURCE: usize = 4 << 20;
const MOST_FOR_CAMERA: usize = 64 << 10;
/// So much room is kept for what waits.
const ROOM_KEPT: usize = 4 << 10;
/// A camera has a few sources. More than this are none.
const MOST_SOURCES: usize = 64;

/// A source whose packets go the short way.
struct Way {
    channel: u8,
    source: u32,
    payload: u8,
    entry: gst::Pad,
    /// The element behind it, when it is one that knows us.
    straight: Option<Straight>,
    reception: Reception,
    /// When rtspsrc last saw a packet of it, and how many it has not seen since.
    seen: Instant,
    unseen: u32,
}

/// Bytes that one side has not taken yet.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    taken: usize,
    /// Nobody takes anything any more.
    is_over: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        // What nobody takes is thrown away when it is to be given.
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives what can be taken now.
    fn give(&mut self, to: &mut impl Write) {
        while !self.is_empty() && !self.is_over {
            match to.write(&self.bytes[self.taken..]) {
                Ok(0) => self.is_over = true,
                Ok(count) => self.taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.is_over = true,
            }
        }
        self.bytes.clear();
        // At the beginning all that comes waits here for a moment, and hardly anything ever after.
        self.bytes.shrink_to(ROOM_KEPT);
        self.taken = 0;
    }
}

/// What came from one side and is not read yet.
struct Coming {
    framing: Framing,
    bytes: Vec<u8>,
    from: usize,
    until: usize,
}

impl Coming {
    fn new(room: usize) -> Self {
        Self {
            framing: Framing::default(),
            bytes: vec![0; room],
            from: 0,
            until: 0,
        }
    }

    /// Reads what is there.
    fn read(&mut self, side: &mut impl Read) -> Side {
        self.bytes.copy_within(self.from..self.until, 0);
        (self.from, self.until) = (0, self.until - self.from);
        if self.until == self.bytes.len() {
            // A packet that is larger; none is larger than its two bytes of length can say.
            self.bytes.resize(2 * self.until, 0);
        }
        match side.read(&mut self.bytes[self.until..]) {
            Ok(0) => Side::Over,
            Ok(count) => {
                self.until += count;
                Side::GoesOn
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Side::GoesOn,
            Err(_) => Side::Broke,
        }
    }
}

/// How a side is, when it was read.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    GoesOn,
    /// It has said all.
    Over,
    /// It ended in the middle.
    Broke,
}

/// What a courier tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// Packets of this source go the short way from here on.
    First(u32),
    /// So many went it.
    Packets(Instant, u64),
    /// The connection broke.
    Broke,
}

/// Carries between a camera and its `rtspsrc` until that is done.
struct Courier {
    hands: InHands,
    doors: Arc<Doors>,
    tell: Box<dyn Fn(Brought) + Send>,
    ways: Vec<Way>,
    /// On which channel each source and payload came.
    channels: Vec<(u32, u8, u8)>,
    to_camera: Waiting,
    to_source: Waiting,
    /// The camera says nothing any more.
    is_over: bool,
}

/// Who has said something.
struct Ready {
    camera: bool,
    source: bool,
}

/// Sends a courier for a connection that packets will come inside of. Where that cannot be, all stays as it is.
pub(super) fn send(connection: &Connection, doors: &Arc<Doors>, tell: impl Fn(Brought) + Send + 'static) {
    let Some(hands) = connection.put_in_hands() else { return };
    let courier = Courier::new(hands, doors.clone(), tell);
    // Nobody joins it: it ends with rtspsrc's side, and whoever takes a pipeline down waits for no camera.
    if let Err(error) = spawn_thread("courier", move || courier.carry()) {
        // What it was to carry ends with it, and rtspsrc finds that.
        tracing::error!(%error, "no thread to read from a camera");
    }
}

impl Courier {
    /// Of a connection that is in other hands. `tell` hears what it brings the short way.
    fn new(hands: InHands, doors: Arc<Doors>, tell: impl Fn(Brought) + Send + 'static) -> Self {
        Self {
            hands,
            doors,
            tell: Box::new(tell),
            ways: Vec::new(),
            channels: Vec::new(),
            to_camera: Waiting::default(),
            to_source: Waiting::default(),
            is_over: false,
        }
    }

    /// Carries until `rtspsrc` hangs up.
    fn carry(mut self) {
        let (mut from_camera, mut from_source) = (Coming::new(FROM_CAMERA), Coming::new(FROM_SOURCE));
        while let Some(ready) = self.wait() {
            if ready.source {
                let side = from_source.read(&mut self.hands.source);
                self.hear_source(&mut from_source);
                if side != Side::GoesOn {
                    // What it said last is said yet, as far as the camera takes it.
                    self.to_camera.give(&mut self.hands.camera);
                    return;
                }
            }
            if ready.camera {
                let side = from_camera.read(&mut self.hands.camera);
                self.hear_camera(&mut from_camera);
                self.is_over = side != Side::GoesOn;
                if side == Side::Broke {
                    (self.tell)(Brought::Broke);
                }
            }
            self.to_camera.give(&mut self.hands.camera);
            self.to_source.give(&mut self.hands.source);
            if self.is_over && self.to_source.is_empty() {
                // It finds what it would have found: the end.
                let _ = self.hands.source.shutdown(Shutdown::Write);
            }
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) -> Option<Ready> {
        let wants = |waiting: &Waiting, reads: bool| {
            let mut wants = PollFlags::empty();
            wants.set(PollFlags::IN, reads);
            wants.set(PollFlags::OUT, !waiting.is_empty());
            wants
        };
        let reads_source = self.to_camera.len() < MOST_FOR_CAMERA;
        let reads_camera = !self.is_over && self.to_source.len() < MOST_FOR_SOURCE;
        let mut sides = [
            PollFd::new(&self.hands.source, wants(&self.to_source, reads_source)),
            PollFd::new(&self.hands.camera, wants(&self.to_camera, reads_camera)),
        ];
        // Of a side that is asked for nothing the kernel would tell again and again that it has hung up.
        let asked = if reads_camera || !self.is_over && !self.to_camera.is_empty() {
            2
        } else {
            1
        };
        match poll(&mut sides[..asked], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::error!(%error, "cannot wait for a camera");
                return None;
            }
        }
        let said = |side: &PollFd<'_>| side.revents().intersects(!PollFlags::OUT);
        Some(Ready {
            source: said(&sides[0]),
            camera: !self.is_over && said(&sides[1]),
        })
    }

    /// What rtspsrc says goes to the camera; its reports are put right.
    fn hear_source(&mut self, coming: &mut Coming) {
        while let Some(piece) = coming.framing.next(&coming.bytes[coming.from..coming.until]) {
            let length = piece.bytes().len();
            let is_packet = matches!(piece, Piece::Packet { .. });
            let bytes = &mut coming.bytes[coming.from..coming.from + length];
            if is_packet {
                let ways = &mut self.ways;
                reception::put_right(&mut bytes[MARK..], |source, block| {
                    if let Some(way) = ways.iter_mut().find(|way| way.source == source) {
                        way.reception.write(block);
                    }
                });
            }
            self.to_camera.push(bytes);
            coming.from += length;
        }
    }

    /// What the camera says goes to rtspsrc, and its packets where they are taken.
    fn hear_camera(&mut self, coming: &mut Coming) {
        let now = SystemClock.instant();
        let mut count = 0;
        while let Some(piece) = coming.framing.next(&coming.bytes[coming.from..coming.until]) {
            coming.from += piece.bytes().len();
            match piece {
                Piece::Packet { channel, whole } => count += u64::from(self.bring(channel, whole, now)),
                Piece::Other(bytes) => self.to_source.push(bytes),
            }
        }
        if count > 0 {
            (self.tell)(Brought::Packets(now, count));
        }
    }

    /// Brings a packet where it is taken; whether that is the short way.
    fn bring(&mut self, channel: u8, whole: &[u8], now: Instant) -> bool {
        let packet = inside(whole);
        let header = Header::of(packet);
        let at = header.and_then(|header| Some((header, self.way(channel, header, now)?)));
        let Some((header, at, way)) = at.and_then(|(header, at)| Some((header, at, self.ways.get_mut(at)?))) else {
            self.to_source.push(whole);
            return false;
        };
        let is_due = now.since(way.seen) >= SIGN_OF_LIFE || way.unseen >= MOST_UNSEEN;
        (way.seen, way.unseen) = if is_due { (now, 0) } else { (way.seen, way.unseen + 1) };
        let is_taken = match &way.straight {
            Some(straight) => straight.bring(packet, &header),
            None => buffer(packet).is_some_and(|packet| way.entry.chain(packet).is_ok()),
        };
        if !is_taken {
            // This one and those after it go to rtspsrc, which knows what to do then.
            let way = self.ways.remove(at);
            self.doors.shut(way.source, way.payload, &way.entry);
        }
        if is_due || !is_taken {
            self.to_source.push(whole);
        }
        is_taken
    }

    /// Which of the short ways a packet goes, if any.
    fn way(&mut self, channel: u8, header: Header, now: Instant) -> Option<usize> {
        let Header {
            source,
            payload,
            number,
            ..
        } = header;
        let is_its = |way: &Way| (way.source, way.payload, way.channel) == (source, payload, channel);
        let at = match self.ways.iter().position(is_its) {
            Some(at) => at,
            None => {
                if !self.is_of_one_channel(channel, header) {
                    return None;
                }
                let entry = self.doors.find(source, payload, number)?;
                (self.tell)(Brought::First(source));
                self.ways.push(Way {
                    channel,
                    source,
                    payload,
                    straight: entry.parent_element().and_then(|element| element.downcast().ok()),
                    entry,
                    reception: Reception::from(number),
                    seen: now,
                    unseen: 0,
                });
                self.ways.len() - 1
            }
        };
        self.ways.get_mut(at)?.reception.came(number);
        Some(at)
    }

    /// Whether packets that say the same of themselves come on this channel only, as far as is known.
    fn is_of_one_channel(&mut self, channel: u8, header: Header) -> bool {
        let Header { source, payload, .. } = header;
        let known = self
            .channels
            .iter()
            .find(|known| (known.0, known.1) == (source, payload));
        match known {
            Some(known) if known.2 == channel => true,
            Some(_) => {
                self.doors.confuse(source, payload);
                self.ways.retain(|way| (way.source, way.payload) != (source, payload));
                false
            }
            None if self.channels.len() < MOST_SOURCES => {
                self.channels.push((source, payload, channel));
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
