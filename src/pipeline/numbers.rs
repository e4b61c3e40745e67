//! The numbers of packets: in order, where one is missing, a packet never came; and whether they can be put in order at all.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::runtime::Instant;

use super::event::Missing;
use super::running_time::running_time;

/// Over how long packets are weighed that come against those that can be put in order.
const WEIGHING: Duration = Duration::from_secs(4);
/// What is told when they cannot.
pub(super) const AT_RANDOM: &str = "the camera numbers its packets at random, so they cannot be put in order; restart the \
                                    camera, or set its transport to tcp";
/// More numbers than this are not missing: the camera counts anew. The jitter buffer thinks so too.
const MOST: u16 = 3000;
/// No packet has come.
const NONE: u32 = u32::MAX;
/// No running time is so small.
const UNKNOWN: i64 = i64::MIN;

/// The number of the last packet of one stream, whose packets come in order from one thread.
pub(super) struct Numbers {
    last: AtomicU32,
    /// When the picture is shown to which it belongs (running time, ns); less than nothing when that is not known.
    shown: AtomicI64,
    /// Whether it is the last one of that picture.
    is_last: AtomicBool,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            last: AtomicU32::new(NONE),
            shown: AtomicI64::new(UNKNOWN),
            is_last: AtomicBool::new(true),
        }
    }
}

impl Numbers {
    /// Tells which packets of pictures are missing among those that pass this probe, and before them.
    pub(super) fn missing(&self, pad: &gst::Pad, info: &gst::PadProbeInfo<'_>, mut tell: impl FnMut(Missing)) {
        let mut of = |packet: &gst::BufferRef| {
            let Some((number, is_last)) = number(packet) else {
                return;
            };
            let shown = running_time(pad, packet.pts());
            let before = self.shown.swap(shown.unwrap_or(UNKNOWN), Ordering::Relaxed);
            let was_last = self.is_last.swap(is_last, Ordering::Relaxed);
            let packets = u64::from(self.next(number));
            if packets > 0 && carries_pictures(pad) {
                let is_within = shown == Some(before);
                tell(Missing {
                    packets,
                    before: shown,
                    own: own(packets, is_within, was_last),
                });
            }
        };
        match &info.data {
            Some(gst::PadProbeData::Buffer(packet)) => of(packet),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(of),
            _ => {}
        }
    }

    /// Those up to this one, the last of a picture, came and did not pass.
    pub(super) fn went_on(&self, last: u16) {
        self.last.store(u32::from(last), Ordering::Relaxed);
        self.shown.store(UNKNOWN, Ordering::Relaxed);
        self.is_last.store(true, Ordering::Relaxed);
    }

    fn next(&self, number: u16) -> u16 {
        let last = self.last.swap(u32::from(number), Ordering::Relaxed);
        let Ok(last) = u16::try_from(last) else { return 0 };
        match number.wrapping_sub(last.wrapping_add(1)) {
            missing @ 0..=MOST => missing,
            // The same one again, or one that is late after all: nothing is missing because of it.
            back if back > u16::MAX - MOST => {
                self.last.store(u32::from(last), Ordering::Relaxed);
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

/// How many of some packets that are missing between two are of the picture of the second: all when the first is of the same
/// one. One packet is of the first's picture when that one has not ended. Of more nobody can say, and both are told.
fn own(packets: u64, is_within: bool, was_last: bool) -> u64 {
    match packets {
        _ if is_within => packets,
        1 => u64::from(was_last),
        more => more - more / 2,
    }
}

/// The number stands in bytes 2 and 3 of an RTP packet, and in front of it whether it is the last one of its picture.
fn number(packet: &gst::BufferRef) -> Option<(u16, bool)> {
    let mut bytes = [0; 3];
    packet.copy_to_slice(1, &mut bytes).ok()?;
    let [kind, high, low] = bytes;
    Some((u16::from_be_bytes([high, low]), kind & 0x80 != 0))
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
    fn packets_between_two_pictures_are_told_of_both_and_counted_once() {
        assert_eq!(own(3, true, false), 3);
        assert_eq!((own(1, false, true), own(1, false, false)), (1, 0));
        for packets in 2..100 {
            let own = own(packets, false, packets % 2 == 0);
            assert!(own > 0 && own < packets);
        }
    }

    #[test]
    fn numbers_wrap_and_a_camera_may_count_anew() {
        assert_eq!(missing([65_534, 65_535, 0, 2]), [0, 0, 0, 1]);
        assert_eq!(missing([10, 30_000, 30_001]), [0, 1, 0]);
    }
}
