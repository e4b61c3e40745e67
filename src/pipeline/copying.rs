//! What is written to a file, told to the feed as well: the leg of the tee that stands behind the muxer.
//!
//! The first copy and the second are the same because there is one stream of bytes, and not because two muxers happened to do
//! the same. The probe hands on what lies in memory already; nothing is copied, and nobody waits.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;

use super::record::Feed;

/// The element whose input is told.
const LEG: &str = "copies";

/// Where the leg stands in the file that is being written.
#[derive(Default)]
pub(super) struct Leg(Mutex<Standing>);

#[derive(Default)]
struct Standing {
    /// What the feed calls the copy; nothing while none is wanted.
    name: Option<Arc<str>>,
    offset: u64,
}

impl Leg {
    /// A file begins, a copy of which is called so.
    pub(super) fn begin(&self, name: Option<Arc<str>>) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *standing = Standing { name, offset: 0 };
    }

    /// The muxer goes on writing here: the sizes of boxes are only known when what is in them was written.
    fn seek(&self, offset: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).offset = offset;
    }

    fn take(&self, feed: &dyn Feed, buffer: &gst::Buffer) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = standing.offset;
        standing.offset += buffer.size() as u64;
        if let Some(name) = &standing.name
            && let Ok(map) = buffer.clone().into_mapped_buffer_readable()
        {
            feed.written(name, offset, Bytes::from_owner(map));
        }
    }
}

/// Tells the feed of all bytes that go to the sink of a splitmuxsink, if it has the leg for that.
pub(super) fn bind_copies(segments: &gst::Element, feed: &Arc<dyn Feed>) -> Arc<Leg> {
    let leg = Arc::new(Leg::default());
    let sink = segments.property::<Option<gst::Element>>("sink");
    let bin = sink.and_then(|sink| sink.downcast::<gst::Bin>().ok());
    let pad = bin.and_then(|bin| bin.by_name(LEG)?.static_pad("sink"));
    if let Some(pad) = pad {
        let (feed, leg) = (feed.clone(), leg.clone());
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(kinds, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => leg.take(feed.as_ref(), buffer),
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.iter_owned().for_each(|buffer| leg.take(feed.as_ref(), &buffer));
                }
                Some(gst::PadProbeData::Event(event)) => {
                    if let gst::EventView::Segment(segment) = event.view()
                        && let Some(segment) = segment.segment().downcast_ref::<gst::format::Bytes>()
                    {
                        leg.seek(segment.start().map_or(0, |start| *start));
                    }
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }
    leg
}
