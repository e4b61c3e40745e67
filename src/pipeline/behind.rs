//! What stands behind the packets of a stream of pictures: where whole access units go, past `rtspsrc`'s and the depayloader's
//! own ways; and who counts the packets that are in them.

use std::sync::atomic::{AtomicU64, Ordering};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use crate::model::Codec;

use super::reception::Header;

/// Where access units of a stream go.
pub(super) struct Behind {
    codec: Codec,
    /// The depayloader's: what it says of units stays said, and whoever comes after it need not know who made them.
    exit: glib::WeakRef<gst::Pad>,
    passed: Box<dyn Fn(u16, u64) + Send + Sync>,
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
    /// What stands behind a pad that hands packets to a depayloader of pictures. `passed` hears how many packets do not come through
    /// it any more, and the number of the last of them.
    pub(super) fn of(pad: &gst::Pad, passed: impl Fn(u16, u64) + Send + Sync + 'static) -> Option<Self> {
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
            passed: Box::new(passed),
        })
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// What was last said there of the units that come.
    pub(super) fn caps(&self) -> Option<gst::Caps> {
        self.exit.upgrade()?.current_caps()
    }

    /// Packets up to this number went on in a unit, or were not needed.
    pub(super) fn pass(&self, last: u16, count: u64) {
        (self.passed)(last, count);
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
