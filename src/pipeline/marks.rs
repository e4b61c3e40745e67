//! What ONVIF replays say of each frame in a header extension of its packets: when it was taken, and whether the camera has
//! more behind it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use gstreamer as gst;

use crate::model::Timestamp;

use super::ntp;

/// The extension's own number.
const ONVIF: [u8; 2] = [0xab, 0xac];
/// More frames than are ever on their way between packets and access units.
const MOST: usize = 4096;

/// What is said of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// When it was taken, by the camera's clock.
    pub(super) taken: Timestamp,
    /// The camera has nothing that follows it.
    pub(super) ends: bool,
}

/// What is known of frames whose packets came and that are no access units yet, by the time both have.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<BTreeMap<u64, Mark>>);

impl Marks {
    /// Reads what passes a probe in front of the depayloader.
    pub(super) fn read(&self, info: &gst::PadProbeInfo<'_>) {
        match &info.data {
            Some(gst::PadProbeData::Buffer(packet)) => self.read_packet(packet),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(|packet| self.read_packet(packet)),
            _ => {}
        }
    }

    fn read_packet(&self, packet: &gst::BufferRef) {
        let mut head = [0; 80];
        let length = packet.size().min(head.len());
        let head = head.get_mut(..length).unwrap_or_default();
        if packet.copy_to_slice(0, head).is_err() {
            return;
        }
        let (Some(pts), Some(mark)) = (packet.pts(), mark(head)) else {
            return;
        };
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = marks.entry(pts.nseconds()).or_insert(mark);
        known.ends |= mark.ends;
        if marks.len() > MOST {
            marks.pop_first();
        }
    }

    /// What was said of the access unit of this time. What is older is forgotten with it.
    pub(super) fn take(&self, pts: gst::ClockTime) -> Option<Mark> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&pts.nseconds())
    }
}

/// Reads the extension of one packet.
fn mark(packet: &[u8]) -> Option<Mark> {
    let first = *packet.first()?;
    let is_extended = first >> 6 == 2 && first & 0x10 != 0;
    if !is_extended {
        return None;
    }
    let at = 12 + 4 * usize::from(first & 0x0f);
    let (head, body) = packet.get(at..)?.split_at_checked(4)?;
    if head.get(..2)? != ONVIF {
        return None;
    }
    let seconds = u32::from_be_bytes(body.get(..4)?.try_into().ok()?);
    let fraction = u32::from_be_bytes(body.get(4..8)?.try_into().ok()?);
    // End of a contiguous part, and end of all there is.
    let flags = body.get(8)?;
    let taken = ntp::timestamp(ntp::nanos(seconds, fraction))?;
    (seconds > 0).then_some(Mark {
        taken,
        ends: flags & 0x50 != 0,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn packet(flags: u8) -> Vec<u8> {
        let mut packet = vec![0x91, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9];
        packet.extend([0xab, 0xac, 0, 3]);
        packet.extend((ntp::TO_UNIX as u32 + 1_790_000_000).to_be_bytes());
        packet.extend(0x8000_0000u32.to_be_bytes());
        packet.extend([flags, 0, 0, 0, 0x65]);
        packet
    }

    #[test]
    fn a_frame_says_when_it_was_taken_and_whether_something_follows() {
        let half = Timestamp::from_millis(1_790_000_000_500);
        for (flags, ends) in [(0x80, false), (0x20, false), (0x40, true), (0xd0, true)] {
            assert_eq!(mark(&packet(flags)), Some(Mark { taken: half, ends }), "{flags:x}");
        }
        assert_eq!(
            mark(&[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x65]),
            None,
            "no extension"
        );
        let mut other = packet(0);
        other[16] = 0xbe;
        assert_eq!(mark(&other), None, "somebody else's");
    }

    proptest! {
        #[test]
        fn no_packet_at_all_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = mark(&bytes);
        }
    }
}
