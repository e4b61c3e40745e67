//! When each picture is decoded. Cameras say only when it is shown, and a file needs both.
//!
//! A picture is passed on as soon as it comes, whatever order it is shown in: what is held back anywhere is lost when a
//! camera falls silent or this process is killed. A picture is decoded when as many pictures are shown as were decoded
//! before it, less those that a decoder may hold back; which that is follows from what came already. GStreamer's
//! timestampers give the same and wait for pictures that are yet to come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use crate::model::{AvcConfig, HevcConfig};

/// Added to all times of buffers, which cannot be negative, so that decoding may begin before the first picture is shown.
/// Running time stays what it is.
const SHIFT: gst::ClockTime = gst::ClockTime::from_seconds(3_600 * 1_000);
/// How long a picture is when the camera does not tell.
const USUAL: i64 = 40_000_000;

/// Dates pictures of one stream, in the order in which they are decoded. Pure. Times are running time, in ns.
#[derive(Debug, Clone)]
struct DecodeOrder {
    /// So many pictures at most are decoded before one and shown after it.
    reordering: usize,
    /// How long a picture lasts.
    length: i64,
    /// The latest pictures, by when they are shown: one more than may be held back.
    latest: Vec<i64>,
    last: i64,
}

impl Default for DecodeOrder {
    fn default() -> Self {
        Self {
            reordering: 0,
            length: USUAL,
            latest: Vec::new(),
            last: i64::MIN,
        }
    }
}

impl DecodeOrder {
    /// When the next picture is decoded, which is shown at `shown`: never after that, nor before the one before it where
    /// the camera keeps to what it says.
    fn date(&mut self, shown: i64) -> i64 {
        let is_full = self.latest.len() > self.reordering;
        if is_full && self.latest.first().is_some_and(|first| shown < *first) {
            // The camera began to count anew, or shows more in another order than it says.
            self.latest.clear();
        }
        let place = self.latest.partition_point(|other| *other <= shown);
        self.latest.insert(place, shown);
        let many = self.latest.len().saturating_sub(self.reordering + 1);
        self.latest.drain(..many);
        let missing = i64::try_from(self.reordering + 1 - self.latest.len()).unwrap_or(0);
        let first = self.latest.first().copied().unwrap_or(shown);
        let decoded = first.saturating_sub(missing.saturating_mul(self.length));
        self.last = decoded.max(self.last).min(shown);
        self.last
    }

    fn hear_caps(&mut self, caps: &gst::CapsRef) {
        let Some(structure) = caps.structure(0) else { return };
        let config = structure.get::<gst::Buffer>("codec_data").ok();
        let config = config.and_then(|config| config.into_mapped_buffer_readable().ok());
        let reordering = config.and_then(|config| match structure.name().as_str() {
            "video/x-h264" => AvcConfig::read(&config).map(|config| config.reordering()),
            _ => HevcConfig::read(&config).map(|config| config.reordering()),
        });
        self.reordering = reordering.and_then(|most| most.try_into().ok()).unwrap_or(0);
        let rate = structure.get::<gst::Fraction>("framerate").ok();
        let rate = rate.map(|rate| f64::from(rate.numer()) / f64::from(rate.denom()));
        let rate = rate.filter(|rate| (1.0..=240.0).contains(rate));
        self.length = rate.map_or(USUAL, |rate| (1e9 / rate) as i64);
    }
}

/// The pictures that come through one pad.
#[derive(Debug, Clone, Default)]
pub(super) struct Pictures(Arc<Mutex<Came>>);

#[derive(Debug, Default)]
struct Came {
    order: DecodeOrder,
    /// When the last buffer is shown that came with a time.
    shown: Option<gst::ClockTime>,
    /// When the first picture is shown, until one came that is shown after it.
    first: Option<i64>,
    has_begun: bool,
}

impl Pictures {
    /// Of all that comes through this pad: each gets room for a time of decoding, and a time of showing where it has none.
    pub(super) fn of(pad: &gst::Pad) -> Self {
        let pictures = Self::default();
        // A question about buffers takes its turn behind them, and nobody answers while the branch holds its pictures back.
        pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| match &info.data {
            Some(gst::PadProbeData::Query(query)) if query.type_() == gst::QueryType::Allocation => {
                gst::PadProbeReturn::Drop
            }
            _ => gst::PadProbeReturn::Ok,
        });
        let came = pictures.clone();
        let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(what, move |_, info| {
            match &mut info.data {
                Some(gst::PadProbeData::Event(event)) => came.hear(event),
                Some(gst::PadProbeData::Buffer(buffer)) => came.lift(buffer),
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        pictures
    }

    fn lock(&self) -> MutexGuard<'_, Came> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, event: &mut gst::Event) {
        match event.view() {
            gst::EventView::Caps(caps) => self.lock().order.hear_caps(caps.caps()),
            gst::EventView::Segment(told) => {
                if let Some(segment) = told.segment().downcast_ref::<gst::ClockTime>() {
                    let (shifted, seqnum) = (shift(segment), told.seqnum());
                    *event = gst::event::Segment::builder(&shifted).seqnum(seqnum).build();
                }
            }
            _ => {}
        }
    }

    fn lift(&self, buffer: &mut gst::Buffer) {
        let mut came = self.lock();
        // The parser gives a time only once, to the first of two pictures that the camera gave the same one.
        came.shown = buffer.pts().map(|shown| shown + SHIFT).or(came.shown);
        let buffer = buffer.make_mut();
        buffer.set_pts(came.shown);
        buffer.set_dts(came.shown);
    }

    /// The time that a buffer came with.
    pub(super) fn own_time(buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
        buffer.pts()?.checked_sub(SHIFT)
    }

    /// Whether they may come in another order than they are shown in.
    pub(super) fn are_reordered(&self) -> bool {
        self.lock().order.reordering > 0
    }

    /// Whether a picture cannot be decoded, because it is shown before the first keyframe and made from what never came.
    pub(super) fn is_lost(&self, shown: i64, is_keyframe: bool) -> bool {
        let mut came = self.lock();
        if !std::mem::replace(&mut came.has_begun, true) {
            came.first = (came.order.reordering > 0).then_some(shown);
            return false;
        }
        if came.first.is_none_or(|first| shown > first) {
            came.first = None;
        }
        came.first.is_some() && !is_keyframe
    }

    /// When the next picture is decoded, which is shown at `shown`.
    pub(super) fn decoded(&self, shown: i64) -> i64 {
        self.lock().order.date(shown)
    }
}

/// A buffer that is shown and decoded at other times than those of the unit it was.
pub(super) fn moved(buffer: &gst::Buffer, by: i64, decoded_by: i64) -> gst::Buffer {
    let shown = buffer.pts().map(gst::ClockTime::nseconds);
    let at = |nanos: i64| shown?.checked_add_signed(nanos).map(gst::ClockTime::from_nseconds);
    let mut moved = buffer.clone();
    let of = moved.make_mut();
    of.set_pts(at(by));
    of.set_dts(at(decoded_by));
    moved
}

/// Lets a splitmuxsink know only when pictures are shown, and its muxer when they are decoded.
///
/// It lets a group of pictures wait until decoding has come to where the next one is shown, in case that some of the next
/// are shown before their keyframe. When the stream ends meanwhile, both groups go into one file (1.20 to 1.26), and the
/// segment that was begun with the second never gets one. Which file a picture belongs to is decided already, so there is
/// nothing to wait for.
pub(super) fn keep_from(segments: &gst::Element) {
    let muxer = segments.property::<Option<gst::Element>>("muxer");
    let pads = muxer.map(|muxer| muxer.sink_pads()).unwrap_or_default();
    let muxer = pads.into_iter().find(|pad| pad.name().starts_with("video"));
    let (Some(entry), Some(muxer)) = (segments.static_pad("video"), muxer) else {
        return;
    };
    // With the first picture, a keyframe, it is known whether there is any other order.
    let is_other = Arc::new(AtomicBool::new(false));
    let reorders = is_other.clone();
    entry.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut()
            && let Some(decoded) = buffer.dts()
            && (reorders.load(Ordering::Relaxed) || Some(decoded) != buffer.pts())
        {
            reorders.store(true, Ordering::Relaxed);
            let buffer = buffer.make_mut();
            buffer.set_offset(decoded.nseconds());
            buffer.set_dts(gst::ClockTime::NONE);
        }
        gst::PadProbeReturn::Ok
    });
    muxer.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut()
            && is_other.load(Ordering::Relaxed)
            && buffer.dts().is_none()
        {
            let buffer = buffer.make_mut();
            buffer.set_dts(gst::ClockTime::from_nseconds(buffer.offset()));
            buffer.set_offset(gst::ffi::GST_BUFFER_OFFSET_NONE);
        }
        gst::PadProbeReturn::Ok
    });
}

fn shift(segment: &gst::FormattedSegment<gst::ClockTime>) -> gst::FormattedSegment<gst::ClockTime> {
    let mut shifted = segment.clone();
    shifted.set_start(segment.start().map(|at| at + SHIFT));
    shifted.set_stop(segment.stop().map(|at| at + SHIFT));
    shifted.set_position(segment.position().map(|at| at + SHIFT));
    shifted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dates(reordering: usize, shown: &[i64]) -> Vec<i64> {
        let mut order = DecodeOrder {
            reordering,
            length: 1,
            ..DecodeOrder::default()
        };
        shown.iter().map(|at| order.date(*at)).collect()
    }

    #[test]
    fn pictures_in_another_order_are_decoded_as_many_earlier_as_may_be_held_back() {
        // I0 P3 B1 B2 I6 B4 B5, of a group that is open.
        assert_eq!(dates(1, &[10, 13, 11, 12, 16, 14, 15]), [9, 10, 11, 12, 13, 14, 15]);
        // With a pyramid: P4 B2 b1 b3.
        assert_eq!(
            dates(2, &[10, 14, 12, 11, 13, 18, 16, 15, 17]),
            [8, 9, 10, 11, 12, 13, 14, 15, 16]
        );
        assert_eq!(dates(0, &[10, 11, 15, 16]), [10, 11, 15, 16]);
    }

    #[test]
    fn a_camera_that_counts_anew_or_says_less_than_it_does_gives_no_picture_that_is_decoded_after_it_is_shown() {
        assert_eq!(dates(1, &[50, 51, 52, 3, 4, 5]), [49, 50, 51, 3, 3, 4]);
        assert_eq!(dates(0, &[10, 13, 11, 12, 16, 14]), [10, 13, 11, 12, 16, 14]);
    }

    #[test]
    fn what_is_shown_before_the_first_keyframe_is_lost_and_what_is_shown_before_a_later_one_is_not() {
        for reordering in [0, 1] {
            let pictures = Pictures::default();
            pictures.lock().order.reordering = reordering;
            let came = [
                (13, true),
                (11, false),
                (12, false),
                (16, false),
                (14, false),
                (19, true),
                (17, false),
            ];
            let lost = came.map(|(shown, is_keyframe)| pictures.is_lost(shown, is_keyframe));
            let leading = reordering > 0;
            assert_eq!(lost, [false, leading, leading, false, false, false, false]);
        }
    }

    proptest! {
        #[test]
        fn decoding_goes_forward_and_is_never_later_than_showing(
            steps in prop::collection::vec((1i64..50, 0i64..4), 1..80), more in 0usize..5,
        ) {
            // Groups of a picture that is decoded first and shown last, and those between, with pauses.
            let (mut shown, mut at) = (vec![1000], 1000);
            for (pause, between) in steps {
                at += pause;
                let last = at + 2 * between;
                shown.push(last);
                shown.extend((0..between).map(|n| at + 2 * n));
                at = last;
            }
            let dated = dates(1 + more, &shown);
            prop_assert!(dated.is_sorted(), "{dated:?} of {shown:?}");
            prop_assert!(dated.iter().zip(&shown).all(|(decoded, shown)| decoded <= shown));
        }
    }
}
