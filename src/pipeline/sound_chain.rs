//! The pipeline that makes sound fit for a file, and how much may be in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gstreamer as gst;
use gstreamer_app as gst_app;

use super::runner::Runner;

/// A packet of sound is some kilobytes. A depayloader keeps one that does not end, however much that is.
const MOST_HELD: usize = 4 << 20;
const ENDLESS: &str = "the camera sends a packet of sound that does not end";

/// A pipeline that takes packets.
pub(super) struct Chain {
    /// Takes the pipeline down, beside everything else, when it goes.
    _runner: Runner,
    packets: gst_app::AppSrc,
    is_broken: Arc<AtomicBool>,
    held: Arc<Held>,
}

/// Bytes that went in since sound last came out.
#[derive(Debug, Default)]
pub(super) struct Held(AtomicUsize);

impl Held {
    /// So many more go in; whether they may.
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_HELD
    }

    pub(super) fn came_out(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Chain {
    pub(super) fn new(runner: Runner, packets: gst_app::AppSrc, is_broken: Arc<AtomicBool>, held: Arc<Held>) -> Self {
        Self {
            _runner: runner,
            packets,
            is_broken,
            held,
        }
    }

    /// Whether it has to be begun anew.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    /// A packet goes in. Why it breaks, when it does.
    pub(super) fn push(&self, packet: gst::Buffer) -> Result<(), &'static str> {
        if self.is_broken() {
            return Ok(());
        }
        if !self.held.take(packet.size()) {
            self.is_broken.store(true, Ordering::Relaxed);
            return Err(ENDLESS);
        }
        // Refused only when the chain is on its way down.
        let _ = self.packets.push_buffer(packet);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use std::time::Duration;

    use gst::prelude::*;

    use super::*;

    #[test]
    fn sound_that_does_not_end_breaks_its_pipeline_once_and_is_not_piled_up() {
        crate::pipeline::init().unwrap();
        let caps = "application/x-rtp,media=audio,clock-rate=16000,encoding-name=MPEG4-GENERIC,mode=AAC-hbr,config=(string)1408,\
                    sizelength=(string)13,indexlength=(string)3,indexdeltalength=(string)3";
        let text =
            format!("appsrc name=packets format=time caps=\"{caps}\" ! rtpmp4gdepay ! fakesink name=out sync=false");
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let packets = pipeline.by_name("packets").and_downcast::<gst_app::AppSrc>().unwrap();
        let runner = Runner::new(pipeline, |_| {});
        runner.reach(gst::State::Playing, Duration::from_secs(5)).unwrap();
        let chain = Chain::new(runner, packets, Arc::default(), Arc::default());
        let outcomes: Vec<_> = (0..10_000u16).map(|number| chain.push(fragment(number))).collect();
        let broke = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert!(broke == 1 && chain.is_broken(), "broke {broke} times");
    }

    /// A part of a packet of AAC that is not its last.
    fn fragment(number: u16) -> gst::Buffer {
        let [high, low] = number.to_be_bytes();
        let mut packet = vec![0x80, 97, high, low, 0, 0, 0, 9, 0, 0, 0, 1, 0, 16, 0xff, 0xf8];
        packet.resize(1400, 0x55);
        gst::Buffer::from_mut_slice(packet)
    }

    #[test]
    fn sound_that_comes_out_makes_room() {
        let held = Held::default();
        for _ in 0..100 {
            assert!(held.take(MOST_HELD / 2));
            held.came_out();
        }
        assert!(held.take(MOST_HELD));
        assert!(!held.take(1));
    }
}
