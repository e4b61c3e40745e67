//! The numbers of packets: in order, where one is missing, a packet never came; and whether they can be put in order at all.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::runtime::Instant;

/// Over how long packets are weighed that come against those that can be put in order.
const WEIGHING: Duration = Duration::from_secs(4);
/// What is told when they cannot.
pub(super) const AT_RANDOM: &str = "the camera numbers its packets at random, so they cannot be put in order; restart the \
                                    camera, or set its transport to tcp";
/// More numbers than this are not missing: the camera counts anew. The jitter buffer thinks so too.
const MOST: u16 = 3000;
/// No packet has come.
const NONE: u32 = u32::MAX;

/// The number of the last packet of one stream, whose packets come in order from one thread.
pub(super) struct Numbers(AtomicU32);

impl Default for Numbers {
    fn default() -> Self {
        Self(AtomicU32::new(NONE))
    }
}

impl Numbers {
    /// How many packets of pictures are missing before those that pass this probe.
    pub(super) fn missing(&self, pad: &gst::Pad, info: &gst::PadProbeInfo<'_>) -> u64 {
        match self.gap(info) {
            0 => 0,
            missing if carries_pictures(pad) => missing,
            _ => 0,
        }
    }

    fn gap(&self, info: &gst::PadProbeInfo<'_>) -> u64 {
        let of = |packet: &gst::BufferRef| number(packet).map_or(0, |number| u64::from(self.next(number)));
        match &info.data {
            Some(gst::PadProbeData::Buffer(packet)) => of(packet),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().map(of).sum(),
            _ => 0,
        }
    }

    /// Those up to this one came, and did not pass.
    pub(super) fn went_on(&self, last: u16) {
        self.0.store(u32::from(last), Ordering::Relaxed);
    }

    fn next(&self, number: u16) -> u16 {
        let last = self.0.swap(u32::from(number), Ordering::Relaxed);
        let Ok(last) = u16::try_from(last) else { return 0 };
        match number.wrapping_sub(last.wrapping_add(1)) {
            missing @ 0..=MOST => missing,
            // The same one again, or one that is late after all: nothing is missing because of it.
            back if back > u16::MAX - MOST => {
                self.0.store(u32::from(last), Ordering::Relaxed);
                0
            }
            // At least one is, or it would be the next.
            _ => 1,
        }
    }
}

/// Packets of all streams since the last weighing.
#[derive(Default)]
pub(super) struct Packets {
    since: AtomicU64,
    came: AtomicU64,
    in_order: AtomicU64,
}

impl Packets {
    /// So many could be put in order.
    pub(super) fn are_in_order(&self, packets: u64) {
        self.in_order.fetch_add(packets, Ordering::Relaxed);
    }

    /// These came. A camera whose packets are numbered by lot delivers and delivers, and nothing can be made of it.
    pub(super) fn are_at_random(&self, now: Instant, packets: u64) -> bool {
        let came = self.came.fetch_add(packets, Ordering::Relaxed) + packets;
        let then = Instant(self.since.load(Ordering::Relaxed));
        if then == Instant(0) {
            self.since.store(now.0, Ordering::Relaxed);
        } else if now.since(then) >= WEIGHING {
            // Two threads may count; one of them weighs.
            let order = Ordering::Relaxed;
            if self.since.compare_exchange(then.0, now.0, order, order).is_err() {
                return false;
            }
            self.came.store(0, Ordering::Relaxed);
            let ordered = self.in_order.swap(0, Ordering::Relaxed);
            return came >= 20 && ordered * 2 < came;
        }
        false
    }
}

/// How many packets pass a probe.
pub(super) fn count(info: &gst::PadProbeInfo<'_>) -> u64 {
    match &info.data {
        Some(gst::PadProbeData::Buffer(_)) => 1,
        Some(gst::PadProbeData::BufferList(list)) => list.len() as u64,
        _ => 0,
    }
}

fn carries_pictures(pad: &gst::Pad) -> bool {
    let caps = pad.current_caps();
    let media = caps
        .as_ref()
        .and_then(|caps| caps.structure(0)?.get::<&str>("media").ok());
    media == Some("video")
}

/// The number stands in bytes 2 and 3 of an RTP packet.
fn number(packet: &gst::BufferRef) -> Option<u16> {
    let mut bytes = [0; 2];
    packet.copy_to_slice(2, &mut bytes).ok()?;
    Some(u16::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(numbers: impl IntoIterator<Item = u16>) -> Vec<u16> {
        let counter = Numbers::default();
        numbers.into_iter().map(|number| counter.next(number)).collect()
    }

    #[test]
    fn a_number_that_is_left_out_is_a_packet_that_never_came() {
        assert_eq!(missing([7, 8, 11, 12, 10, 13, 13, 15]), [0, 0, 2, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn numbers_wrap_and_a_camera_may_count_anew() {
        assert_eq!(missing([65_534, 65_535, 0, 2]), [0, 0, 0, 1]);
        assert_eq!(missing([10, 30_000, 30_001]), [0, 1, 0]);
    }
}
