//! What the times of a stream's buffers mean: by the pipeline, and by the camera.

use gst::prelude::*;
use gstreamer as gst;

use super::alignment::Begun;
use super::reception::Header;

/// How far the pipeline of an element is, ns.
pub(super) fn now(element: Option<&gst::Element>) -> i64 {
    let now = element.and_then(|element| element.current_running_time());
    now.and_then(|now| i64::try_from(now.nseconds()).ok()).unwrap_or(0)
}

/// When a time of a stream is by its pipeline, ns.
pub(super) fn running_time(pad: &gst::Pad, time: Option<gst::ClockTime>) -> Option<i64> {
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let time = segment
        .segment()
        .downcast_ref::<gst::ClockTime>()?
        .to_running_time(time?)?;
    i64::try_from(time.nseconds()).ok()
}

/// The moment that the camera's answer to PLAY names, from the ticks that `rtspsrc` has put into the caps of a stream, and a packet
/// of it.
pub(super) fn begun(pad: &gst::Pad, packet: &gst::BufferRef) -> Option<Begun> {
    let at = running_time(pad, packet.pts())?;
    let caps = pad.current_caps()?;
    let structure = caps.structure(0)?;
    let (base, rate) = (
        structure.get::<u32>("clock-base").ok()?,
        structure.get::<i32>("clock-rate").ok()?,
    );
    let ticks = Header::of(&packet.map_readable().ok()?)?.ticks;
    let since = i64::from(ticks.wrapping_sub(base) as i32);
    let since = since.saturating_mul(1_000_000_000).checked_div(i64::from(rate))?;
    Some(Begun {
        at: at.saturating_sub(since),
        is_first: since == 0,
    })
}

/// The camera's clock at running time zero, from what a buffer of this running time says of its origin.
pub(super) fn clock_zero(buffer: &gst::BufferRef, running: i64) -> Option<i64> {
    buffer
        .iter_meta::<gst::ReferenceTimestampMeta>()
        .find(|meta| {
            meta.reference()
                .structure(0)
                .is_some_and(|it| it.name() == "timestamp/x-ntp")
        })
        .and_then(|meta| i64::try_from(meta.timestamp().nseconds()).ok())
        .map(|ntp| ntp.saturating_sub(running))
}
