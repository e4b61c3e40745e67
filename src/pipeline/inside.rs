//! What `straight.rs` knows of the packets of one stream: what goes on when one comes, as what, and with which dates.

use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;

use crate::runtime::Instant;

use super::behind::Behind;
use super::doors::{Awaited, Doors};
use super::gathering::Gathering;
use super::in_order::{Dating, InOrder};
use super::reception::Header;

/// What is known.
pub(super) struct Inside {
    /// How long packets that are missing are waited for.
    pub(super) patience: Duration,
    /// Tells from which packet on others may be brought here.
    door: Option<Awaited>,
    pub(super) dating: Option<Dating>,
    /// Where it is told, and what stands behind.
    pub(super) doors: Arc<Doors>,
    order: InOrder<gst::Buffer>,
    gathering: Gathering,
    reference: gst::Caps,
}

/// What goes on now.
#[derive(Debug)]
pub(super) enum Onward {
    /// As it came.
    Packets(Vec<gst::Buffer>),
    /// As an access unit.
    Picture(gst::Buffer, Arc<Behind>),
}

impl Onward {
    /// Nothing yet.
    pub(super) const NOTHING: Self = Self::Packets(Vec::new());
}

impl Default for Inside {
    fn default() -> Self {
        Self {
            patience: Duration::ZERO,
            door: None,
            dating: None,
            doors: Arc::default(),
            order: InOrder::default(),
            gathering: Gathering::default(),
            reference: gst::Caps::new_empty_simple("timestamp/x-ntp"),
        }
    }
}

impl Inside {
    /// Says where packets may be brought that are like this one, if that is not said yet.
    pub(super) fn open(&mut self, packet: &gst::BufferRef, entry: &gst::Pad) {
        if self.door.is_none() {
            let header = packet.map_readable().ok().and_then(|packet| Header::of(&packet));
            self.door = header.map(|header| self.doors.open(header.source, header.payload, entry));
        }
    }

    /// A packet of this number came `now`.
    pub(super) fn take(&mut self, number: u16, packet: gst::Buffer, now: Instant) -> Onward {
        let mut ready = Vec::new();
        let patience = self.patience;
        self.order
            .take(number, packet, now, patience, |packet| ready.push(packet));
        self.tell();
        self.after_gathered(ready)
    }

    /// The packet with this header was brought. Nothing when it has to come as all others do.
    pub(super) fn bring(&mut self, packet: &[u8], header: &Header) -> Option<Onward> {
        let is_next = self.dating.is_some() && self.order.awaits() == Some(header.number);
        if !is_next || !self.gathering.take(packet, header, &self.doors) {
            return None;
        }
        self.order.pass();
        self.tell();
        if !header.is_last {
            return Some(Onward::NOTHING);
        }
        let Some(picture) = self.gathering.finish() else {
            let mut gathered = Vec::new();
            self.gathering.give_up(&mut gathered);
            return Some(self.go_on(gathered));
        };
        if picture.unit.is_empty() {
            return Some(Onward::NOTHING);
        }
        let mut unit = gst::Buffer::from_mut_slice(picture.unit);
        if let Some(known) = unit.get_mut() {
            known.set_flags(gst::BufferFlags::MARKER);
            if !picture.is_keyframe {
                known.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
            self.date(known, picture.ticks);
        }
        Some(Onward::Picture(unit, picture.behind))
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) -> Onward {
        let mut ready = Vec::new();
        self.gathering.give_up(&mut ready);
        self.order.end(|packet| ready.push(packet));
        self.go_on(ready)
    }

    /// Forgets everything that came.
    pub(super) fn forget(&mut self) {
        if let Some(door) = &self.door {
            door.tell(None);
        }
        *self = Self {
            patience: self.patience,
            door: self.door.take(),
            doors: self.doors.clone(),
            ..Self::default()
        };
    }

    fn tell(&self) {
        if let Some(door) = &self.door {
            door.tell(self.order.awaits());
        }
    }

    /// These go on, behind those that are gathered; nothing goes on when these are none.
    fn after_gathered(&mut self, mut ready: Vec<gst::Buffer>) -> Onward {
        if !ready.is_empty() {
            let mut gathered = Vec::new();
            self.gathering.give_up(&mut gathered);
            if !gathered.is_empty() {
                gathered.append(&mut ready);
                ready = gathered;
            }
        }
        self.go_on(ready)
    }

    /// Dates what goes on as it came.
    fn go_on(&mut self, mut packets: Vec<gst::Buffer>) -> Onward {
        if self.dating.is_none() {
            // Nobody says how fast the camera's ticks are, so that nothing can be made of them.
            packets.clear();
        }
        for packet in &mut packets {
            let packet = packet.make_mut();
            if let Some(ticks) = ticks(packet) {
                self.date(packet, ticks);
            }
            self.gathering.goes_on(packet, &self.doors);
        }
        Onward::Packets(packets)
    }

    fn date(&mut self, buffer: &mut gst::BufferRef, ticks: u32) {
        let Some(dating) = &mut self.dating else { return };
        let (after_first, taken) = dating.date(ticks);
        // When it came is told to nobody: parsers would take it for when it is to be decoded, and two pictures that came at
        // once would be one.
        buffer.set_pts(gst::ClockTime::from_nseconds(after_first));
        buffer.set_dts(gst::ClockTime::NONE);
        if let Some(taken) = taken {
            let taken = gst::ClockTime::from_nseconds(taken);
            gst::ReferenceTimestampMeta::add(buffer, &self.reference, taken, gst::ClockTime::NONE);
        }
    }
}

fn ticks(packet: &gst::BufferRef) -> Option<u32> {
    let mut bytes = [0; 4];
    packet.copy_to_slice(4, &mut bytes).ok()?;
    Some(u32::from_be_bytes(bytes))
}
