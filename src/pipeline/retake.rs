//! Recorded pictures, encoded anew: those from one moment to another, each with the time at which it is shown.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::model::{Codec, Timestamp, counted};

use super::catalog::Catalog;
use super::decoding::{Bench, Patience, Times, fill_decode};
use super::error::PipelineError;
use super::label::Label;
use super::mend::Units;
use super::template::Filling;

/// The pipeline's name in the catalogue.
const NAME: &str = "retake";
/// The parts that encode.
const ENCODERS: [&str; 2] = ["encode-h264", "encode-h265"];

/// What to encode anew.
pub struct Retaking {
    /// What the frames are encoded as.
    pub codec: Codec,
    /// How they are to be read.
    pub caps: String,
    /// The frames in decoding order, a keyframe first. Their times are moments, in nanoseconds since the epoch.
    pub units: Units,
    /// Frames from here on are encoded.
    pub from: Timestamp,
    /// Up to here, exclusive.
    pub until: Timestamp,
    /// What they are encoded as.
    pub into: Encoding,
    /// How they are sampled then.
    pub sampling: Sampling,
    /// What is written into each picture.
    pub label: Option<Label>,
}

impl std::fmt::Debug for Retaking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retaking")
            .field("from", &self.from)
            .field("until", &self.until)
            .field("into", &self.into)
            .finish_non_exhaustive()
    }
}

/// How pictures are encoded. One keyframe stands in front, and with H.264 more at a distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// H.264.
    H264 {
        /// The number of the parameter sets, so that they can stand beside others.
        sets: u32,
        /// The profile as the decoder's configuration names it.
        profile: u8,
        /// Frames from one keyframe to the next at most.
        distance: u32,
        /// 10 is nearly without loss, 40 coarse.
        quality: u32,
    },
    /// H.265, only ever one group of pictures.
    H265 {
        /// 10 is nearly without loss, 40 coarse.
        quality: u32,
    },
}

/// How pictures are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Colours by the number that both standards have for it: 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma: u32,
    /// Bits of brightness, and of colours.
    pub bits: [u32; 2],
}

impl Sampling {
    /// 4:2:0 with 8 bits, which nearly all cameras send and all players know.
    pub const USUAL: Self = Self {
        chroma: 1,
        bits: [8; 2],
    };

    /// Whether pictures can be encoded so.
    pub fn is_known(self) -> bool {
        self.raw().is_some()
    }

    /// GStreamer's name for decoded pictures like these.
    fn raw(self) -> Option<&'static str> {
        Some(match (self.chroma, self.bits) {
            (1, [8, 8]) => "I420",
            (2, [8, 8]) => "Y42B",
            (3, [8, 8]) => "Y444",
            (1, [10, 10]) => "I420_10LE",
            (2, [10, 10]) => "I422_10LE",
            (3, [10, 10]) => "Y444_10LE",
            _ => return None,
        })
    }
}

impl std::fmt::Display for Sampling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let colours = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"];
        let colours = usize::try_from(self.chroma).ok().and_then(|chroma| colours.get(chroma));
        write!(
            f,
            "{} with {} bits",
            colours.unwrap_or(&"unknown colours"),
            self.bits[0]
        )?;
        match self.bits {
            [luma, chroma] if luma != chroma => write!(f, " and {chroma} of colour"),
            _ => Ok(()),
        }
    }
}

/// A frame that was encoded.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a> {
    /// When it is shown.
    pub at: Timestamp,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Its bytes as MP4 holds them.
    pub bytes: &'a [u8],
}

/// What is hearing of each frame that was encoded; an error ends it.
pub type Take<'a> = dyn FnMut(Encoded<'_>) -> Result<(), PipelineError> + 'a;

/// Encodes; frames come in the order in which they are shown. Gives the decoder's configuration for them, as MP4 holds it.
pub fn retake(
    catalog: &Catalog,
    retaking: Retaking,
    patience: Patience,
    is_wanted: &dyn Fn() -> bool,
    take: &mut Take<'_>,
) -> Result<Vec<u8>, PipelineError> {
    let mut filling = Filling::new();
    fill_decode(retaking.codec, &mut filling)?;
    fill_encode(retaking.into, &mut filling);
    let raw = retaking.sampling.raw().ok_or_else(|| PipelineError::Failed {
        name: NAME.to_owned(),
        reason: format!("pictures of {} are not known", retaking.sampling),
    })?;
    filling.insert("raw".to_owned(), raw.to_owned());
    let mut bench = Bench::new(catalog, NAME, &filling, ["units", "encoded"])?;
    if let Encoding::H264 {
        sets,
        profile,
        distance,
        ..
    } = retaking.into
    {
        let encoder = bench.element("encode")?;
        encoder.set_property("sps-id", sets);
        encoder.set_property("key-int-max", distance);
        let caps = gst::Caps::builder("video/x-h264")
            .field("stream-format", "avc")
            .field("alignment", "au")
            .field("profile", profile_name(profile, retaking.sampling))
            .build();
        bench.element("profile")?.set_property("caps", caps);
    }
    let times = Times {
        origin: retaking.from.as_nanos().saturating_sub(HOUR),
    };
    // Encoders move times about; what goes in comes out in the same order.
    let shown: Arc<Mutex<VecDeque<Timestamp>>> = Arc::default();
    let (from, until, going_in) = (retaking.from, retaking.until, Arc::clone(&shown));
    bench
        .pad("decode", "src")?
        .add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
            let at = probe.buffer().and_then(|buffer| buffer.pts());
            match at.map(|at| Timestamp::from_nanos(times.out_of_pipeline(at))) {
                Some(at) if at >= from && at < until => {
                    going_in.lock().unwrap_or_else(PoisonError::into_inner).push_back(at);
                    gst::PadProbeReturn::Ok
                }
                _ => gst::PadProbeReturn::Drop,
            }
        });
    if let Some(label) = retaking.label {
        write_into(&bench.pad("canvas", "src")?, label, times);
    }
    bench.play(&retaking.caps, retaking.units, times)?;
    bench.take_all(patience, is_wanted, |buffer| {
        let at = shown.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let at = at.ok_or_else(|| bench.failed("more frames were encoded than there are"))?;
        let bytes = buffer.map_readable().map_err(|error| bench.failed(error))?;
        take(Encoded {
            at,
            keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            bytes: &bytes,
        })?;
        Ok(true)
    })?;
    match shown.lock().unwrap_or_else(PoisonError::into_inner).len() {
        0 => bench.config(),
        left => Err(bench.failed(counted(left, "frame was not encoded", "frames were not encoded"))),
    }
}

/// Lead-in lies before what is wanted; no group of pictures is longer than this.
const HOUR: i64 = 3_600_000_000_000;

fn fill_encode(into: Encoding, filling: &mut Filling) {
    let [h264, h265] = ENCODERS;
    let (part, (hole, value)) = match into {
        Encoding::H264 { quality, .. } => (h264, ("quality", quality)),
        Encoding::H265 { quality } => (h265, ("crf", quality)),
    };
    filling.insert("encode".to_owned(), part.to_owned());
    filling.insert(hole.to_owned(), value.to_string());
}

/// The profile of H.264 in which such pictures can be encoded, as near to a given one as can be.
fn profile_name(profile: u8, sampling: Sampling) -> &'static str {
    match (sampling.chroma, sampling.bits[0], profile) {
        (3, ..) => "high-4:4:4",
        (2, ..) => "high-4:2:2",
        (_, 9.., _) => "high-10",
        (.., 66) => "constrained-baseline",
        (.., 77) => "main",
        _ => "high",
    }
}

/// Writes into every picture that passes. One that cannot be written into passes as it is, and that is told once.
fn write_into(pad: &gst::Pad, label: Label, times: Times) {
    let complain = std::sync::Once::new();
    let known: Mutex<Option<gst_video::VideoInfo>> = Mutex::default();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, probe| {
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = pad
                .current_caps()
                .and_then(|caps| gst_video::VideoInfo::from_caps(&caps).ok());
        }
        let written = known.as_ref().zip(probe.buffer_mut()).and_then(|(info, buffer)| {
            let at = Timestamp::from_nanos(times.out_of_pipeline(buffer.pts()?));
            let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), info).ok()?;
            label.write(&mut frame, at)
        });
        if written.is_none() {
            complain.call_once(|| tracing::error!("the time cannot be written into pictures of this kind"));
        }
        gst::PadProbeReturn::Ok
    });
}
