//! What stands behind the packets of a stream of pictures: where whole access units go, past `rtspsrc`'s and the depayloader's
//! own ways; and who counts the packets that are in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use crate::model::Codec;

use super::numbers::{Numbers, Packets};
use super::reception::Header;

/// Where access units of a stream go.
pub(super) struct Behind {
    codec: Codec,
    /// The depayloader's: what it says of units stays said, and whoever comes after it need not know who made them.
    exit: glib::WeakRef<gst::Pad>,
    numbers: Arc<Numbers>,
    packets: Arc<Packets>,
}

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Behind")
            .field("codec", &self.codec)
            .field("exit", &self.exit)
            .finish_non_exhaustive()
    }
}

impl Behind {
    /// What stands behind a pad that hands packets to a depayloader of pictures. Those that do not come through it any more are
    /// counted with the others.
    pub(super) fn of(pad: &gst::Pad, numbers: &Arc<Numbers>, packets: &Arc<Packets>) -> Option<Self> {
        let caps = pad.current_caps()?;
        let codec = match caps.structure(0)?.get::<&str>("encoding-name").ok()? {
            "H264" => Codec::H264,
            "H265" => Codec::H265,
            _ => return None,
        };
        let depayloader = pad.peer()?.parent_element()?;
        // What it gets is in order, and numbers go around while it gets nothing: it may take none for one that comes late.
        if depayloader.has_property("max-reorder") {
            depayloader.set_property("max-reorder", 0);
        }
        Some(Self {
            codec,
            exit: depayloader.static_pad("src")?.downgrade(),
            numbers: numbers.clone(),
            packets: packets.clone(),
        })
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// What was last said there of the units that come; nothing before it is said since when they count.
    pub(super) fn caps(&self) -> Option<gst::Caps> {
        let exit = self.exit.upgrade()?;
        exit.sticky_event::<gst::event::Segment>(0)?;
        exit.current_caps()
    }

    /// A packet came in order. Counted at once: a picture may take as long as it likes to be whole.
    pub(super) fn took_one(&self) {
        self.packets.are_in_order(1);
    }

    /// Packets up to this number went on in a unit, or were not needed.
    pub(super) fn passed_up_to(&self, last: u16) {
        self.numbers.went_on(last);
    }

    pub(super) fn push(&self, unit: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let exit = self.exit.upgrade().ok_or(gst::FlowError::Flushing)?;
        exit.push(unit)
    }
}

/// Whose packets passed last.
#[derive(Default)]
pub(super) struct Last(AtomicU64);

impl Last {
    /// Whose packets these are, when they are not those of whoever was last.
    pub(super) fn other(&self, info: &gst::PadProbeInfo<'_>) -> Option<(u32, u8)> {
        let first = match &info.data {
            Some(gst::PadProbeData::Buffer(packet)) => packet.map_readable().ok().and_then(|bytes| Header::of(&bytes)),
            Some(gst::PadProbeData::BufferList(list)) => {
                list.get(0).and_then(|packet| Header::of(&packet.map_readable().ok()?))
            }
            _ => None,
        };
        let Header { source, payload, .. } = first?;
        // Nothing else is as long, so what nobody is told of at the beginning is nobody's.
        let name = 1 << 63 | u64::from(source) << 8 | u64::from(payload);
        (self.0.swap(name, Ordering::Relaxed) != name).then_some((source, payload))
    }
}
