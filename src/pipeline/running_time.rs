//! Times of buffers on the one scale that all elements of a pipeline share.

use gst::prelude::*;
use gstreamer as gst;

/// A time of what passes a pad as running time, in nanoseconds.
pub(super) fn running_time(pad: &gst::Pad, time: Option<gst::ClockTime>) -> Option<i64> {
    use gst::Signed;
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = segment.segment().downcast_ref::<gst::ClockTime>()?;
    match segment.to_running_time_full(time?)? {
        Signed::Positive(time) => i64::try_from(time.nseconds()).ok(),
        Signed::Negative(time) => i64::try_from(time.nseconds()).ok().map(std::ops::Neg::neg),
    }
}
