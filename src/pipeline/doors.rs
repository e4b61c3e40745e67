//! Where packets may be brought that come inside a connection.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

/// Where packets of a source may be brought to.
#[derive(Debug, Clone)]
struct Door {
    source: u32,
    payload: u8,
    /// Nobody's any more when two say that they are for the same packets.
    entry: Option<glib::WeakRef<gst::Pad>>,
}

/// The doors of one camera.
#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<Vec<Door>>);

impl Doors {
    /// Packets of this source and payload are taken here from now on.
    pub(super) fn open(&self, source: u32, payload: u8, entry: &gst::Pad) {
        let mut doors = self.lock();
        match doors
            .iter_mut()
            .find(|door| (door.source, door.payload) == (source, payload))
        {
            Some(door)
                if door
                    .entry
                    .as_ref()
                    .is_some_and(|other| other.upgrade().as_ref() != Some(entry)) =>
            {
                door.entry = None;
            }
            Some(_) => {}
            None => doors.push(Door {
                source,
                payload,
                entry: Some(entry.downgrade()),
            }),
        }
    }

    /// Where packets of this source and payload are taken.
    pub(super) fn find(&self, source: u32, payload: u8) -> Option<gst::Pad> {
        let doors = self.lock();
        let door = doors
            .iter()
            .find(|door| (door.source, door.payload) == (source, payload))?;
        door.entry.as_ref()?.upgrade()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Door>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the packets of a session of `rtpbin` come inside the connection: those come through a pad of nobody's, and
/// datagrams from an element.
pub(super) fn is_inside_the_connection(entry: &gst::Pad) -> bool {
    entry.peer().is_some_and(|peer| peer.parent_element().is_none())
}

/// Whether any stream of a manager comes inside the connection.
pub(super) fn has_one_inside_the_connection(manager: &gst::Element) -> bool {
    let pads = manager.sink_pads();
    let mut entries = pads.iter().filter(|pad| pad.name().starts_with("recv_rtp_sink_"));
    entries.any(is_inside_the_connection)
}
