//! Gathers the packets of a picture, which then go on as one access unit.
//!
//! Packet by packet they would pass five pads and a depayloader, which costs more than all that is done with the picture they
//! make. This begins where a picture has ended for the depayloader, and whatever is out of the ordinary goes to the
//! depayloader as it came (`assembly.rs` says what that is).

use std::sync::Arc;

use gstreamer as gst;

use super::assembly::{self, Form, Made, Packets};
use super::behind::Behind;
use super::doors::Doors;
use super::endless::MOST;
use super::reception::Header;
use super::room::Room;

/// No picture has more packets, or whatever it is, it is not kept in memory here: each takes room of its own when it has to go
/// on alone.
const MOST_PACKETS: usize = 12_000;

/// Packets of a picture that are not handed on yet.
#[derive(Default)]
pub(super) struct Gathering {
    packets: Packets,
    /// What the last of them says of itself.
    last: Option<Header>,
    /// Where pictures of this payload go.
    behind: Option<(u8, Arc<Behind>)>,
    /// What was said there, and what it means.
    form: Option<(gst::Caps, Option<Form>)>,
    /// The depayloader had the last packet of a picture of this payload, and has nothing left: it has said of units what is to
    /// be said.
    ended: Option<u8>,
    /// Or this packet, which begins a part of a picture, or goes on with one.
    fragment: Option<u16>,
}

/// A picture in one piece.
pub(super) struct Picture {
    pub(super) unit: Room,
    pub(super) is_keyframe: bool,
    /// When it is, by the camera's clock.
    pub(super) ticks: u32,
    /// Where it goes.
    pub(super) behind: Arc<Behind>,
}

impl Gathering {
    /// Takes the packet that is next, if it is one of a picture that can go on whole.
    pub(super) fn take(&mut self, packet: &[u8], header: &Header, doors: &Doors) -> bool {
        let is_taken = match &self.last {
            Some(last) if !self.packets.is_empty() => {
                let has_room = self.packets.len() < MOST && self.packets.count() < MOST_PACKETS;
                has_room && (last.payload, last.ticks) == (header.payload, header.ticks)
            }
            _ => self.ended == Some(header.payload) && self.is_known(header, doors),
        };
        if is_taken {
            self.packets.push(packet, header);
            self.last = Some(*header);
            if let Some((_, behind)) = &self.behind {
                behind.took_one();
            }
        }
        is_taken
    }

    fn is_known(&mut self, header: &Header, doors: &Doors) -> bool {
        if self
            .behind
            .as_ref()
            .is_none_or(|(payload, _)| *payload != header.payload)
        {
            let behind = doors.behind(header.source, header.payload);
            self.behind = behind.map(|behind| (header.payload, behind));
        }
        self.behind.is_some()
    }

    /// What is gathered is all of a picture. Nothing when that has to go on packet by packet.
    pub(super) fn finish(&mut self) -> Option<Picture> {
        let (last, behind) = (self.last?, self.behind.as_ref()?.1.clone());
        self.hear_caps(&behind);
        let Made { unit, is_keyframe } = self.form.as_ref()?.1.as_ref()?.make(&self.packets)?;
        behind.passed_up_to(last.number);
        self.packets.clear();
        Some(Picture {
            unit,
            is_keyframe,
            ticks: last.ticks,
            behind,
        })
    }

    /// What a unit has to be like there now.
    fn hear_caps(&mut self, behind: &Behind) {
        let caps = behind.caps();
        let known = self.form.as_ref().map(|(caps, _)| caps.as_ptr());
        if known != caps.as_ref().map(|caps| caps.as_ptr()) {
            self.form = caps.map(|caps| {
                let form = form(behind, &caps);
                (caps, form)
            });
        }
    }

    /// Gives up what is gathered, to be handed on packet by packet.
    pub(super) fn give_up(&mut self, to: &mut Vec<gst::Buffer>) {
        to.extend(self.packets.iter().filter_map(buffer));
        self.packets.clear();
    }

    /// This packet goes to the depayloader.
    pub(super) fn goes_on(&mut self, packet: &gst::BufferRef, doors: &Doors) {
        let bytes = packet.map_readable();
        let told = bytes.as_ref().ok().and_then(|bytes| Some((bytes, Header::of(bytes)?)));
        let Some((bytes, header)) = told.filter(|(_, header)| self.is_known(header, doors)) else {
            (self.fragment, self.ended) = (None, None);
            return;
        };
        let codec = self.behind.as_ref().map(|(_, behind)| behind.codec());
        let carried = bytes.get(header.carries.0..header.carries.1).unwrap_or_default();
        let fragment = codec.and_then(|codec| assembly::fragment(codec, carried));
        // It drops fragments of which it has not had the first, and then it has not heard either that a picture ends.
        let goes_on = self.fragment == Some(header.number.wrapping_sub(1));
        let (is_taken, is_open) = match fragment {
            Some((is_first, is_last)) => (is_first || goes_on, !is_last),
            None => (!carried.is_empty(), false),
        };
        self.fragment = Some(header.number).filter(|_| is_taken && is_open);
        let is_done = |codec| header.is_last && is_taken && !is_open && assembly::completes(codec, carried);
        self.ended = Some(header.payload).filter(|_| codec.is_some_and(is_done));
    }
}

fn form(behind: &Behind, caps: &gst::CapsRef) -> Option<Form> {
    let structure = caps.structure(0)?;
    let is = |field: &str, value: &str| structure.get::<&str>(field) == Ok(value);
    let is_its = match behind.codec() {
        crate::model::Codec::H264 => structure.name() == "video/x-h264" && is("stream-format", "avc"),
        crate::model::Codec::H265 => structure.name() == "video/x-h265" && is("stream-format", "hvc1"),
    };
    if !is_its || !is("alignment", "au") {
        return None;
    }
    let config = structure.get::<gst::Buffer>("codec_data").ok()?;
    Form::read(behind.codec(), &config.map_readable().ok()?)
}

/// A packet as GStreamer has them.
pub(super) fn buffer(packet: &[u8]) -> Option<gst::Buffer> {
    let mut buffer = gst::Buffer::with_size(packet.len()).ok()?;
    buffer.get_mut()?.copy_from_slice(0, packet).ok()?;
    Some(buffer)
}

#[cfg(test)]
mod tests;
