//! One recorded frame as a still.

use bytes::Bytes;

use gst::prelude::*;
use gstreamer as gst;

use crate::model::{Codec, Still};

use super::catalog::Catalog;
use super::decoding::{Bench, Patience, Times, Wanted, fill_decode};
use super::error::PipelineError;
use super::mend::Units;
use super::template::Filling;

/// The pipeline's name in the catalogue.
const NAME: &str = "snapshot";

/// Which frame to take, and how.
pub struct Snapping {
    /// What the frames are encoded as.
    pub codec: Codec,
    /// How they are to be read.
    pub caps: String,
    /// The frames in decoding order, from a keyframe to the wanted one.
    pub units: Units,
    /// The first frame's time of decoding: no time of the others lies before it.
    pub origin: i64,
    /// When the wanted one is shown, on the scale of the units.
    pub pts: i64,
    /// How wide the still is to be in pixels; as wide as the picture without it.
    pub width: Option<u32>,
    /// How it is written.
    pub still: Still,
}

impl std::fmt::Debug for Snapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapping")
            .field("caps", &self.caps)
            .field("pts", &self.pts)
            .finish_non_exhaustive()
    }
}

/// Takes the still. Nothing when the frame cannot be decoded.
pub fn snap(
    catalog: &Catalog,
    snapping: Snapping,
    patience: Patience,
    wanted: &Wanted,
) -> Result<Option<Bytes>, PipelineError> {
    let mut filling = Filling::from([("still".to_owned(), snapping.still.as_str().to_owned())]);
    fill_decode(snapping.codec, &mut filling)?;
    let mut bench = Bench::new(catalog, NAME, &filling, ["units", "picture"])?;
    bench
        .element("size")?
        .set_property("caps", size_caps(snapping.still, snapping.width));
    let times = Times {
        origin: snapping.origin,
    };
    let shown = times.into_pipeline(snapping.pts);
    bench
        .pad("decode", "src")?
        .add_probe(gst::PadProbeType::BUFFER, move |_, probe| {
            if probe.buffer().is_some_and(|buffer| buffer.pts() == Some(shown)) {
                gst::PadProbeReturn::Ok
            } else {
                gst::PadProbeReturn::Drop
            }
        });
    bench.play(&snapping.caps, snapping.units, times)?;
    let mut picture = None;
    bench.take_all(patience, &|| wanted.is_wanted(), |buffer| {
        let bytes = buffer.map_readable().map_err(|error| bench.failed(error))?;
        picture = Some(Bytes::copy_from_slice(&bytes));
        Ok(false)
    })?;
    Ok(picture)
}

/// Pixels become square when a width is wanted, because stills have no other. A JPEG uses the whole range of
/// brightness, which video does not: without saying so, black would be grey.
fn size_caps(still: Still, width: Option<u32>) -> gst::Caps {
    let mut caps = gst::Caps::builder("video/x-raw");
    caps = match still {
        Still::Jpeg => caps.field("format", "I420").field("colorimetry", "1:4:0:0"),
        Still::Png => caps.field("format", "RGB"),
    };
    if let Some(width) = width {
        caps = caps
            .field("width", i32::try_from(width).unwrap_or(i32::MAX))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    }
    caps.build()
}
