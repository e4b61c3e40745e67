//! When each picture is decoded. Cameras say only when it is shown, and a file needs both.
//!
//! A picture is passed on as soon as it comes, whatever order it is shown in: what is held back anywhere is lost when a
//! camera falls silent or this process is killed. A picture is decoded when as many pictures are shown as were decoded
//! before it, less those that a decoder may hold back; which that is follows from what came already. GStreamer's
//! timestampers give the same and wait for pictures that are yet to come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use crate::model::{AvcConfig, HevcConfig};

/// Added to all times of buffers, which cannot be negative, so that decoding may begin before the first picture is shown.
/// Running time stays what it is.
const SHIFT: gst::ClockTime = gst::ClockTime::from_seconds(3_600 * 1_000);
/// How long a picture is when the camera does not tell.
const USUAL: u64 = 40_000_000;
/// So many times as far before it is shown the first picture is decoded as need be: some may follow that are shown before it.
const AHEAD: u64 = 4;

/// Dates pictures of one stream, in the order in which they are decoded. Pure.
#[derive(Debug, Clone)]
struct DecodeOrder {
    /// So many pictures at most are decoded before one and shown after it.
    reordering: usize,
    /// How long a picture lasts, in ns.
    length: u64,
    /// The latest pictures, by when they are shown: one more than may be held back.
    latest: Vec<u64>,
    last: u64,
    /// When the last picture is shown that came with a time.
    shown: Option<gst::ClockTime>,
}

impl Default for DecodeOrder {
    fn default() -> Self {
        Self {
            reordering: 0,
            length: USUAL,
            latest: Vec::new(),
            last: 0,
            shown: None,
        }
    }
}

impl DecodeOrder {
    /// When the next picture is decoded, which is shown at `shown`: never after that, nor before the one before it where
    /// the camera keeps to what it says.
    fn date(&mut self, shown: u64) -> u64 {
        let is_full = self.latest.len() > self.reordering;
        if is_full && self.latest.first().is_some_and(|first| shown < *first) {
            // The camera began to count anew, or shows more in another order than it says.
            self.latest.clear();
        }
        let place = self.latest.partition_point(|other| *other <= shown);
        self.latest.insert(place, shown);
        let many = self.latest.len().saturating_sub(self.reordering + 1);
        self.latest.drain(..many);
        let missing = (self.reordering + 1 - self.latest.len()) as u64;
        let first = self.latest.first().copied().unwrap_or(shown);
        let decoded = first.saturating_sub(missing.saturating_mul(AHEAD * self.length));
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
        self.length = rate.map_or(USUAL, |rate| (1e9 / rate) as u64);
    }
}

/// Has all that comes through this pad dated.
pub(super) fn date(pad: &gst::Pad) {
    let order = Mutex::new(DecodeOrder::default());
    // A question about buffers takes its turn behind them, and nobody answers while the branch holds its pictures back.
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| match &info.data {
        Some(gst::PadProbeData::Query(query)) if query.type_() == gst::QueryType::Allocation => {
            gst::PadProbeReturn::Drop
        }
        _ => gst::PadProbeReturn::Ok,
    });
    let what = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(what, move |_, info| {
        let mut order = order.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => match event.view() {
                gst::EventView::Caps(caps) => order.hear_caps(caps.caps()),
                gst::EventView::Segment(told) => {
                    if let Some(segment) = told.segment().downcast_ref::<gst::ClockTime>() {
                        let shifted = shift(segment);
                        let seqnum = told.seqnum();
                        *event = gst::event::Segment::builder(&shifted).seqnum(seqnum).build();
                    }
                }
                _ => {}
            },
            Some(gst::PadProbeData::Buffer(buffer)) => {
                // The parser gives a time only once, to the first of two pictures that the camera gave the same one.
                order.shown = buffer.pts().map(|shown| shown + SHIFT).or(order.shown);
                if let Some(shown) = order.shown {
                    let decoded = order.date(shown.nseconds());
                    let buffer = buffer.make_mut();
                    buffer.set_pts(shown);
                    buffer.set_dts(gst::ClockTime::from_nseconds(decoded));
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
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

    fn dates(reordering: usize, shown: &[u64]) -> Vec<u64> {
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
        assert_eq!(dates(1, &[10, 13, 11, 12, 16, 14, 15]), [6, 10, 11, 12, 13, 14, 15]);
        // With a pyramid: P4 B2 b1 b3.
        assert_eq!(
            dates(2, &[10, 14, 12, 11, 13, 18, 16, 15, 17]),
            [2, 6, 10, 11, 12, 13, 14, 15, 16]
        );
        assert_eq!(dates(0, &[10, 11, 15, 16]), [10, 11, 15, 16]);
        // The first group is open, and what comes before it in time cannot be known yet.
        assert_eq!(dates(1, &[10, 8, 9, 13, 11]), [6, 8, 9, 10, 11]);
    }

    #[test]
    fn a_camera_that_counts_anew_or_says_less_than_it_does_gives_no_picture_that_is_decoded_after_it_is_shown() {
        assert_eq!(dates(1, &[50, 51, 52, 3, 4, 5]), [46, 50, 51, 3, 3, 4]);
        assert_eq!(dates(0, &[10, 13, 11, 12, 16, 14]), [10, 13, 11, 12, 16, 14]);
    }

    proptest! {
        #[test]
        fn decoding_goes_forward_and_is_never_later_than_showing(
            steps in prop::collection::vec((1u64..50, 0usize..4), 1..80), more in 0usize..5,
        ) {
            // Groups of a picture that is decoded first and shown last, and those between, with pauses.
            let (mut shown, mut at) = (vec![1000], 1000);
            for (pause, between) in steps {
                at += pause;
                let last = at + 2 * between as u64;
                shown.push(last);
                shown.extend((0..between as u64).map(|n| at + 2 * n));
                at = last;
            }
            let dated = dates(1 + more, &shown);
            prop_assert!(dated.is_sorted(), "{dated:?} of {shown:?}");
            prop_assert!(dated.iter().zip(&shown).all(|(decoded, shown)| decoded <= shown));
        }
    }
}
