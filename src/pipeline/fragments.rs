//! How long the fragments of an open file are when it has sound.
//!
//! mp4mux 1.22 describes a fragment by what the samples of a track have in common, until one differs. From then on each sample
//! says for itself how long and how large it is, but those that are like the first do not, and nothing says it for them any more.
//! That happens where samples of two tracks take turns. A fragment with one sample of each track has nothing to leave out.
//! Decision 35.

use gst::prelude::*;
use gstreamer as gst;

/// In milliseconds: less than any sample lasts, so that the next one of its track begins another fragment.
const ONE_SAMPLE: u32 = 1;

/// Has the fragments of files with two tracks hold one sample of each. The first one of a file, which is described by its
/// `moov`, is as long as before: that also says how much later than the other a track begins.
pub(super) fn hold_one_sample(segments: &gst::Element) {
    let Some(muxer) = segments.property::<Option<gst::Element>>("muxer") else {
        return;
    };
    let Some(exit) = muxer
        .static_pad("src")
        .filter(|_| muxer.has_property("fragment-duration"))
    else {
        return;
    };
    let first: u32 = muxer.property("fragment-duration");
    exit.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |exit, info| {
            let length = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) if is_moov(buffer) => Some(ONE_SAMPLE),
                Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::StreamStart => Some(first),
                _ => None,
            };
            if let Some((muxer, length)) = exit.parent_element().zip(length) {
                muxer.set_property("fragment-duration", length);
            }
            gst::PadProbeReturn::Ok
        },
    );
}

fn is_moov(buffer: &gst::BufferRef) -> bool {
    let head = buffer.map_readable();
    head.is_ok_and(|bytes| bytes.get(4..8) == Some(b"moov"))
}
