//! Where packets may be brought that come inside a connection.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use super::behind::Behind;

/// No number is awaited.
const NONE: u32 = u32::MAX;

/// The number of the packet before which nothing is missing where packets are put in order.
#[derive(Debug, Clone)]
pub(super) struct Awaited(Arc<AtomicU32>);

impl Awaited {
    /// Nothing is missing before this one; or something is before whatever comes.
    pub(super) fn tell(&self, number: Option<u16>) {
        self.0.store(number.map_or(NONE, u32::from), Ordering::Release);
    }

    fn is(&self, number: u16) -> bool {
        self.0.load(Ordering::Acquire) == u32::from(number)
    }
}

/// Where packets of a source may be brought to.
#[derive(Debug)]
struct Door {
    source: u32,
    payload: u8,
    entry: Entry,
    /// Where the pictures go that are in them.
    behind: Option<Arc<Behind>>,
}

#[derive(Debug)]
enum Entry {
    Open(glib::WeakRef<gst::Pad>, Awaited),
    /// Whoever took them takes them no more.
    Shut,
    /// More than one would take them, so nobody can tell whose they are.
    Nobodys,
}

/// The doors of one camera.
#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<Vec<Door>>);

impl Doors {
    /// Packets of this source and payload may be brought here, from the one on that is awaited.
    pub(super) fn open(&self, source: u32, payload: u8, entry: &gst::Pad) -> Awaited {
        let awaited = Awaited(Arc::new(AtomicU32::new(NONE)));
        self.change(source, payload, |door| match &door.entry {
            Entry::Nobodys => {}
            Entry::Open(other, _) if is_anothers(other, entry) => door.entry = Entry::Nobodys,
            _ => door.entry = Entry::Open(entry.downgrade(), awaited.clone()),
        });
        awaited
    }

    /// The pictures in packets of this source and payload go here.
    pub(super) fn stands_behind(&self, source: u32, payload: u8, behind: Behind) {
        self.change(source, payload, |door| door.behind = Some(Arc::new(behind)));
    }

    /// Where they go.
    pub(super) fn behind(&self, source: u32, payload: u8) -> Option<Arc<Behind>> {
        let doors = self.lock();
        let door = doors.iter().find(|door| door.is_of(source, payload))?;
        door.behind.clone()
    }

    /// Where the packet of this number may be brought, before which none is still on another way.
    pub(super) fn find(&self, source: u32, payload: u8, number: u16) -> Option<gst::Pad> {
        let doors = self.lock();
        let door = doors.iter().find(|door| door.is_of(source, payload))?;
        match &door.entry {
            Entry::Open(entry, awaited) if awaited.is(number) => entry.upgrade(),
            _ => None,
        }
    }

    /// Packets are not taken here any more.
    pub(super) fn shut(&self, source: u32, payload: u8, entry: &gst::Pad) {
        self.change(source, payload, |door| match &door.entry {
            Entry::Open(other, _) if !is_anothers(other, entry) => door.entry = Entry::Shut,
            _ => {}
        });
    }

    /// Two streams look alike: whose packets these are nobody can tell.
    pub(super) fn confuse(&self, source: u32, payload: u8) {
        self.change(source, payload, |door| door.entry = Entry::Nobodys);
    }

    fn change(&self, source: u32, payload: u8, change: impl FnOnce(&mut Door)) {
        let mut doors = self.lock();
        if let Some(door) = doors.iter_mut().find(|door| door.is_of(source, payload)) {
            return change(door);
        }
        let mut door = Door {
            source,
            payload,
            entry: Entry::Shut,
            behind: None,
        };
        change(&mut door);
        doors.push(door);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Door>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    fn is_of(&self, source: u32, payload: u8) -> bool {
        (self.source, self.payload) == (source, payload)
    }
}

/// Whether a pad is there, and another one.
fn is_anothers(known: &glib::WeakRef<gst::Pad>, entry: &gst::Pad) -> bool {
    known.upgrade().is_some_and(|known| known != *entry)
}

/// Whether the packets of a session of `rtpbin` come inside the connection: those come through a pad of nobody's, and
/// datagrams from an element.
pub(super) fn is_inside_the_connection(entry: &gst::Pad) -> bool {
    entry.peer().is_some_and(|peer| peer.parent_element().is_none())
}
