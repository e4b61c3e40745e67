//! Carries what a camera and `rtspsrc` say to one another, and brings packets the short way.
//!
//! `rtspsrc` 1.22 reads a packet in three pieces, asks the kernel five times for it, and takes it through a session that is made for
//! datagrams. A camera of 4 Mbit/s sends 350 of them a second. And it reads whatever a camera says into memory, however much that is (`bounds.rs`). So the connection is
//! put in other hands before anything is said: `rtspsrc` goes on talking through a pair of sockets, and a thread of ours reads from the
//! camera, much at once. Messages and reports go to `rtspsrc` as they are. So do the first packets of each source, until it has made for them what stands behind (`straight.rs`); from
//! then on they go there at once, and `rtspsrc` sees one a second, by which it knows that the source lives.
//!
//! Whatever this does not understand it hands on as it is, and then all is as without it. Decision 32.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use rustix::event::{PollFd, PollFlags, poll};

use crate::runtime::{Clock, Instant, SystemClock, spawn_thread};

use super::bounds::{Bounds, Encrypted, Excess};
use super::connection::{Connection, InHands};
use super::doors::Doors;
use super::framing::{MARK, Piece, inside};
use super::gathering::buffer;
use super::reception::{self, Header, Reception};
use super::sides::{Coming, Side, Waiting};
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

/// What a courier tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// Packets of this source go the short way from here on.
    First(u32),
    /// So many went it.
    Packets(Instant, u64),
    /// The connection broke.
    Broke,
    /// The camera says too much, and is heard no more.
    TooMuch(Excess),
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
    /// How much the camera says at once.
    bounds: Bounds,
    /// The camera says nothing any more.
    is_over: bool,
}

/// Who has said something.
struct Ready {
    camera: bool,
    source: bool,
}

/// Sends a courier for a connection, if it has none. Where that cannot be, all stays as it is. Of one that is encrypted it has
/// to be told what comes of it.
pub(super) fn send(
    connection: &Connection,
    encrypted: Option<Arc<Encrypted>>,
    doors: &Arc<Doors>,
    tell: impl Fn(Brought) + Send + 'static,
) {
    let Some(hands) = connection.put_in_hands() else { return };
    let courier = Courier::new(hands, Bounds::of(encrypted), doors.clone(), tell);
    // Nobody joins it: it ends with rtspsrc's side, and whoever takes a pipeline down waits for no camera.
    if let Err(error) = spawn_thread("courier", move || courier.carry()) {
        // What it was to carry ends with it, and rtspsrc finds that.
        tracing::error!(%error, "no thread to read from a camera");
    }
}

impl Courier {
    /// Of a connection that is in other hands. `tell` hears what it brings the short way.
    fn new(hands: InHands, bounds: Bounds, doors: Arc<Doors>, tell: impl Fn(Brought) + Send + 'static) -> Self {
        Self {
            hands,
            doors,
            tell: Box::new(tell),
            ways: Vec::new(),
            channels: Vec::new(),
            to_camera: Waiting::default(),
            to_source: Waiting::default(),
            bounds,
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
                if let Err(excess) = self.hear_camera(&mut from_camera) {
                    (self.tell)(Brought::TooMuch(excess));
                    return;
                }
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
        if self.bounds.is_encrypted() {
            self.to_camera.push(coming.take_all());
            return;
        }
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
            } else {
                self.bounds.begin();
            }
            self.to_camera.push(bytes);
            coming.from += length;
        }
    }

    /// What the camera says goes to rtspsrc, and its packets where they are taken.
    fn hear_camera(&mut self, coming: &mut Coming) -> Result<(), Excess> {
        if self.bounds.is_encrypted() {
            let bytes = coming.take_all();
            self.to_source.push(bytes);
            return self.bounds.take_encrypted(bytes.len());
        }
        let now = SystemClock.instant();
        let mut count = 0;
        loop {
            let place = coming.framing.place();
            let Some(piece) = coming.framing.next(&coming.bytes[coming.from..coming.until]) else {
                break;
            };
            coming.from += piece.bytes().len();
            match piece {
                Piece::Packet { channel, whole } => {
                    self.bounds.begin();
                    count += u64::from(self.bring(channel, whole, now));
                }
                Piece::Other(bytes) => {
                    self.bounds.take(bytes, place, &coming.framing)?;
                    self.to_source.push(bytes);
                }
            }
        }
        if count > 0 {
            (self.tell)(Brought::Packets(now, count));
        }
        Ok(())
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
