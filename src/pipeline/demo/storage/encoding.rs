//! The encoder of a camera that keeps what it sees: it runs from switching on to switching off, whoever looks.

use std::sync::{Arc, Weak};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::super::encoder::{set_up_encoder, set_up_source};
use super::super::gate::Gate;
use super::super::options::{DemoError, StreamOptions, VideoCodec};
use super::super::pump::Pump;
use super::super::stream::Stream;
use super::shelf::Unit;

/// One running encoder. It ends when it is dropped.
pub(in super::super) struct Encoding {
    pipeline: gst::Pipeline,
    encoder: gst::Element,
    pump: Option<Pump>,
}

/// How the pictures of a stream are called behind its encoder.
pub(in super::super) fn encoded_caps(options: &StreamOptions) -> gst::Caps {
    let name = match options.codec {
        VideoCodec::H264 => "video/x-h264",
        VideoCodec::H265 => "video/x-h265",
    };
    gst::Caps::builder(name)
        .field("stream-format", "byte-stream")
        .field("alignment", "au")
        .build()
}

impl Encoding {
    /// Begins to take pictures for a stream, which hears of each.
    pub(in super::super) fn start(stream: &Arc<Stream>) -> Result<Self, DemoError> {
        let failed = |_| DemoError::Encoder;
        let options = stream.options();
        let source = gst_app::AppSrc::builder().name("video").build();
        set_up_source(&source, &stream.raw_caps(stream.size()));
        let encoder = match options.codec {
            VideoCodec::H264 => "x264enc",
            VideoCodec::H265 => "x265enc",
        };
        let encoder = gst::ElementFactory::make(encoder).build().map_err(failed)?;
        set_up_encoder(options, &encoder);
        if options.codec == VideoCodec::H265 {
            // Replay begins at any keyframe, so each has to come with its parameter sets. x264 does so by itself.
            let more = encoder.property::<Option<String>>("option-string").unwrap_or_default();
            encoder.set_property("option-string", format!("{more}:repeat-headers=1"));
        }
        let gate = Arc::new(Gate::open());
        gate.watch_encoder(&encoder.static_pad("src").ok_or(DemoError::Encoder)?);
        let sink = gst_app::AppSink::builder()
            .caps(&encoded_caps(options))
            .sync(false)
            .callbacks(take_units(Arc::downgrade(stream), gate.clone()))
            .build();
        let pipeline = gst::Pipeline::new();
        let elements = [source.upcast_ref(), &encoder, sink.upcast_ref()];
        pipeline.add_many(elements).map_err(failed)?;
        gst::Element::link_many(elements).map_err(failed)?;
        // Built before the pipeline runs, so that whatever fails from here on ends it.
        let mut started = Self {
            pipeline,
            encoder,
            pump: None,
        };
        started
            .pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| DemoError::Encoder)?;
        let pump = Pump::start(stream.clone(), gate, source, None).map_err(|_| DemoError::Encoder)?;
        started.pump = Some(pump);
        Ok(started)
    }

    /// What is asked for a keyframe.
    pub(in super::super) fn encoder(&self) -> &gst::Element {
        &self.encoder
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        // Its thread first: it pushes into the pipeline.
        self.pump = None;
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::error!("the encoder of the demo camera did not end");
        }
    }
}

fn take_units(stream: Weak<Stream>, gate: Arc<Gate>) -> gst_app::AppSinkCallbacks {
    gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let stream = stream.upgrade().ok_or(gst::FlowError::Eos)?;
            let unit = || {
                let (buffer, segment) = (sample.buffer_owned()?, sample.segment()?);
                let segment = segment.downcast_ref::<gst::ClockTime>()?;
                let at = segment.to_running_time(buffer.pts()?)?;
                Some(Unit {
                    frame: gate.take_out(at)?,
                    clock: at + sink.base_time()?,
                    buffer,
                })
            };
            match unit() {
                Some(unit) => stream.keep(unit),
                None => tracing::error!("the demo camera does not know when a picture was taken"),
            }
            Ok(gst::FlowSuccess::Ok)
        })
        .build()
}
