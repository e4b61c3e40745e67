//! What every pipeline needs that makes pictures of recorded units: a decoder that is there, frames fed as fast as they
//! are taken, results with a deadline.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::model::{Codec, Unit, scrub};
use crate::runtime::spawn_thread;

use super::catalog::Catalog;
use super::error::PipelineError;
use super::launch::{init, launch};
use super::mend::Units;
use super::template::Filling;

/// Added to all times, so that none is below zero whatever a stream calls its first.
const EARLIEST: i64 = 1_000_000_000;

/// Fills the part `decode` with the first decoder that is installed.
pub(super) fn fill_decode(codec: Codec, filling: &mut Filling) -> Result<(), PipelineError> {
    init()?;
    let (part, hole, decoders) = match codec {
        Codec::H264 => ("decode-h264", "h264_decoder", ["avdec_h264", "openh264dec"]),
        Codec::H265 => ("decode-h265", "h265_decoder", ["avdec_h265", "libde265dec"]),
    };
    let installed = decoders
        .into_iter()
        .find(|decoder| gst::ElementFactory::find(decoder).is_some());
    // Without any, the best one is asked for: the message then says what to install.
    let decoder = installed.unwrap_or(decoders[0]);
    filling.insert("decode".to_owned(), part.to_owned());
    filling.insert(hole.to_owned(), decoder.to_owned());
    Ok(())
}

fn is_one_by_one() -> bool {
    let (major, minor, ..) = gst::version();
    (major, minor) >= (1, 24)
}

/// Has a decoder of libav begin one frame after the other. With threads that each decode a frame, it gives up frames that its
/// threads have not begun when another is finished (GStreamer 1.26.2, "discarding ghost frame"), and good frames are missing.
///
/// Not before 1.24: there it is the other way round. A decoder that begins at a recovery point of H.264 fills the numbers that
/// lack with frames of its own, and 1.22 refuses it room for these when it decodes one by one ("Couldn't get codec frame"); all
/// pictures up to the next keyframe are wrong then.
fn decode_one_by_one(decoder: &gst::Element) {
    const SETTING: &str = "thread-type";
    if is_one_by_one() && decoder.has_property(SETTING) {
        decoder.set_property_from_str(SETTING, "slice");
    }
}

/// Whether whoever asked still wants it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Wanted(Arc<AtomicBool>);

impl Wanted {
    /// Nobody does any more: what is at work for it stops soon.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody still does.
    pub fn is_wanted(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// How long a pipeline may stand still, and how long it may take altogether.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without any result.
    pub idle: Duration,
    /// Altogether.
    pub total: Duration,
}

/// A pipeline with one `appsrc` and one `appsink` that plays until it is dropped.
pub(super) struct Bench {
    name: &'static str,
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
    feeder: Option<JoinHandle<()>>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Bench {
    /// Builds it, and does not play it yet.
    pub(super) fn new(
        catalog: &Catalog,
        name: &'static str,
        filling: &Filling,
        [source, sink]: [&str; 2],
    ) -> Result<Self, PipelineError> {
        let pipeline = launch(catalog, name, filling)?;
        let missing = |element: &str| PipelineError::Failed {
            name: name.to_owned(),
            reason: format!("no element `{element}`"),
        };
        if let Some(decoder) = pipeline.by_name("decode") {
            decode_one_by_one(&decoder);
        }
        Ok(Self {
            source: pipeline
                .by_name(source)
                .and_then(|element| element.downcast().ok())
                .ok_or_else(|| missing(source))?,
            sink: pipeline
                .by_name(sink)
                .and_then(|element| element.downcast().ok())
                .ok_or_else(|| missing(sink))?,
            name,
            pipeline,
            feeder: None,
            trouble: Arc::default(),
        })
    }

    pub(super) fn element(&self, name: &str) -> Result<gst::Element, PipelineError> {
        self.pipeline
            .by_name(name)
            .ok_or_else(|| self.failed(format!("no element `{name}`")))
    }

    /// An element's pad; both are named in the pipeline's header.
    pub(super) fn pad(&self, element: &str, pad: &str) -> Result<gst::Pad, PipelineError> {
        self.element(element)?
            .static_pad(pad)
            .ok_or_else(|| self.failed(format!("`{element}` has no pad `{pad}`")))
    }

    pub(super) fn failed(&self, reason: impl std::fmt::Display) -> PipelineError {
        PipelineError::Failed {
            name: self.name.to_owned(),
            reason: scrub(&reason.to_string()),
        }
    }

    /// What the caps at its end say of how a decoder is to be set up.
    pub(super) fn config(&self) -> Result<Vec<u8>, PipelineError> {
        let caps = self.sink.static_pad("sink").and_then(|pad| pad.current_caps());
        let config = caps.and_then(|caps| caps.structure(0)?.get::<gst::Buffer>("codec_data").ok());
        let config = config.ok_or_else(|| self.failed("nothing came out of it"))?;
        let bytes = config.map_readable().map_err(|error| self.failed(error))?;
        Ok(bytes.to_vec())
    }

    /// Plays it on units with these caps. `time` says when a unit is shown, in the pipeline's time.
    pub(super) fn play(&mut self, caps: &str, units: Units, times: Times) -> Result<(), PipelineError> {
        let caps = gst::Caps::from_str(caps).map_err(|_| self.failed(format!("caps that cannot be read: {caps}")))?;
        self.source.set_caps(Some(&caps));
        self.pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| self.failed(format!("it does not start: {error}")))?;
        let (source, trouble) = (self.source.clone(), Arc::clone(&self.trouble));
        let feeder = spawn_thread("decode-feed", move || feed(&source, units, times, &trouble));
        self.feeder = Some(feeder.map_err(|error| self.failed(error))?);
        Ok(())
    }

    /// Takes what comes out until the end, or until `take` says that it is enough.
    pub(super) fn take_all(
        &self,
        patience: Patience,
        is_wanted: &dyn Fn() -> bool,
        mut take: impl FnMut(&gst::BufferRef) -> Result<bool, PipelineError>,
    ) -> Result<(), PipelineError> {
        const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(100);
        let bus = self.pipeline.bus().ok_or_else(|| self.failed("it has no bus"))?;
        let begun = Instant::now();
        let mut moved = begun;
        loop {
            if let Some(sample) = self.sink.try_pull_sample(LOOK) {
                moved = Instant::now();
                let buffer = sample
                    .buffer()
                    .ok_or_else(|| self.failed("a sample without a buffer"))?;
                if !take(buffer)? {
                    return Ok(());
                }
                if begun.elapsed() < patience.total && is_wanted() {
                    continue;
                }
            }
            if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
                && let gst::MessageView::Error(error) = message.view()
            {
                let detail = error.debug().map(|debug| format!(" ({debug})")).unwrap_or_default();
                return Err(self.failed(format!("{}{detail}", error.error())));
            }
            if self.sink.is_eos() {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
                return trouble.map_or(Ok(()), |trouble| Err(self.failed(trouble)));
            }
            if !is_wanted() {
                return Err(PipelineError::Cancelled {
                    name: self.name.to_owned(),
                });
            }
            let over = [(moved.elapsed(), patience.idle), (begun.elapsed(), patience.total)];
            if let Some((_, after)) = over.into_iter().find(|(is, most)| is >= most) {
                return Err(PipelineError::Deadline {
                    name: self.name.to_owned(),
                    after,
                });
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Down before the feeding thread is waited for: it is what wakes one that waits for room.
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, pipeline = self.name, "did not come down");
        }
        if self.feeder.take().is_some_and(|feeder| feeder.join().is_err()) {
            tracing::error!(pipeline = self.name, "the thread that fed it died");
        }
    }
}

/// How times of units become times of a pipeline, which knows none below zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The time of the earliest decoding.
    pub(super) origin: i64,
}

impl Times {
    pub(super) fn into_pipeline(self, nanos: i64) -> gst::ClockTime {
        let shifted = nanos.saturating_sub(self.origin).saturating_add(EARLIEST);
        gst::ClockTime::from_nseconds(shifted.max(0).unsigned_abs())
    }

    pub(super) fn out_of_pipeline(self, time: gst::ClockTime) -> i64 {
        let nanos = i64::try_from(time.nseconds()).unwrap_or(i64::MAX);
        nanos.saturating_sub(EARLIEST).saturating_add(self.origin)
    }
}

fn feed(source: &gst_app::AppSrc, units: Units, times: Times, trouble: &Mutex<Option<String>>) {
    for unit in units {
        let unit = match unit {
            Ok(unit) => unit,
            Err(error) => {
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(format!("the recording cannot be read: {error}"));
                break;
            }
        };
        if source.push_buffer(buffer_of(&unit, times)).is_err() {
            return;
        }
    }
    // Refused only when the pipeline is on its way down already.
    let _ = source.end_of_stream();
}

fn buffer_of(unit: &Unit, times: Times) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(unit.payload.clone());
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_dts(times.into_pipeline(unit.dts));
        buffer.set_pts(times.into_pipeline(unit.pts));
        buffer.set_duration(unit.duration.map(gst::ClockTime::from_nseconds));
        if !unit.keyframe {
            buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
    }
    buffer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_are_decoded_one_by_one() {
        let catalog = Catalog::built_in().unwrap();
        for codec in [Codec::H264, Codec::H265] {
            let mut filling = Filling::from([("still".to_owned(), "jpeg".to_owned())]);
            fill_decode(codec, &mut filling).unwrap();
            let bench = Bench::new(&catalog, "snapshot", &filling, ["units", "picture"]).unwrap();
            let decoder = bench.element("decode").unwrap();
            if is_one_by_one() && decoder.has_property("thread-type") {
                let set = decoder.property_value("thread-type");
                assert!(
                    set.serialize().unwrap().eq_ignore_ascii_case("slice"),
                    "{codec:?}: {set:?}"
                );
            }
        }
    }
}
