//! From filled text to a pipeline: the only place that asks GStreamer to parse.

use std::sync::OnceLock;

use gst::prelude::*;
use gstreamer as gst;

use super::catalog::Catalog;
use super::error::PipelineError;
use super::template::Filling;

/// Which Debian package has an element. For the sentence that tells a person what to install.
const PACKAGES: &[(&str, &[&str])] = &[
    (
        "gstreamer1.0-plugins-good",
        &[
            "rtspsrc",
            "rtph264depay",
            "rtph265depay",
            "rtpmp4gdepay",
            "rtppcmudepay",
            "rtppcmadepay",
            "rtpopusdepay",
            "rtpmp4adepay",
            "rtpg726depay",
            "rtpL16depay",
            "splitmuxsink",
            "splitmuxsrc",
            "mp4mux",
            "qtdemux",
            "aacparse",
            "jpegenc",
            "pngenc",
            "mulawdec",
            "alawdec",
        ],
    ),
    (
        "gstreamer1.0-plugins-bad",
        &[
            "h264parse",
            "h265parse",
            "errorignore",
            "voaacenc",
            "fdkaacenc",
            "opusparse",
            "x265enc",
        ],
    ),
    (
        "gstreamer1.0-plugins-base",
        &[
            "appsink",
            "appsrc",
            "audioconvert",
            "audioresample",
            "videotestsrc",
            "videoconvert",
            "videoscale",
            "opusdec",
            "opusenc",
        ],
    ),
    ("gstreamer1.0-plugins-ugly", &["x264enc"]),
    (
        "gstreamer1.0-libav",
        &["avenc_aac", "avdec_g726", "avdec_h264", "avdec_h265"],
    ),
    (
        "libgstreamer1.0-0",
        &[
            "queue",
            "tee",
            "filesink",
            "filesrc",
            "fakesink",
            "capsfilter",
            "identity",
        ],
    ),
];

/// The Debian package that has an element.
pub fn package_of(element: &str) -> &'static str {
    let found = PACKAGES.iter().find(|(_, elements)| elements.contains(&element));
    found.map_or(
        "gstreamer1.0-plugins-good, gstreamer1.0-plugins-bad or gstreamer1.0-plugins-ugly",
        |(package, _)| package,
    )
}

/// Starts GStreamer, once a process.
pub fn init() -> Result<(), PipelineError> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    STARTED
        .get_or_init(|| gst::init().map_err(|error| error.to_string()))
        .clone()
        .map_err(PipelineError::Init)
}

/// Whether every element is installed; the first that is not is named with its package.
pub fn require(elements: &[&str]) -> Result<(), PipelineError> {
    init()?;
    match elements
        .iter()
        .find(|element| gst::ElementFactory::find(element).is_none())
    {
        None => Ok(()),
        Some(element) => Err(missing(element)),
    }
}

fn missing(element: &str) -> PipelineError {
    PipelineError::MissingElement {
        element: element.to_owned(),
        package: package_of(element).to_owned(),
    }
}

/// Builds a pipeline from the catalogue and holds its header's promises against it.
pub(super) fn launch(catalog: &Catalog, name: &str, filling: &Filling) -> Result<gst::Pipeline, PipelineError> {
    let text = catalog.fill(name, filling)?;
    let parsed = parse(name, |context, flags| {
        #[allow(clippy::disallowed_methods, reason = "the one place that may")]
        gst::parse::launch_full(&text, Some(context), flags)
    })?;
    let pipeline = parsed
        .downcast::<gst::Pipeline>()
        .map_err(|_| failed(name, "a single element is no pipeline; join at least two with `!`"))?;
    hold_promises(catalog, name, filling, pipeline.upcast_ref())?;
    Ok(pipeline)
}

/// Builds a part from the catalogue as a bin whose one pad, `sink`, is that of the named element.
///
/// GStreamer's own search for open ends is not used: it looks into splitmuxsink and takes the end of its muxer.
pub(super) fn launch_part(
    catalog: &Catalog,
    name: &str,
    filling: &Filling,
    entry: &str,
) -> Result<gst::Bin, PipelineError> {
    let text = catalog.fill(name, filling)?;
    let bin = parse(name, |context, flags| {
        #[allow(clippy::disallowed_methods, reason = "the one place that may")]
        gst::parse::bin_from_description_full(&text, false, Some(context), flags)
    })?;
    let bin = bin
        .downcast::<gst::Bin>()
        .map_err(|_| failed(name, "a part is a bin"))?;
    hold_promises(catalog, name, filling, &bin)?;
    let pad = bin
        .by_name(entry)
        .and_then(|entry| entry.static_pad("sink"))
        .ok_or_else(|| failed(name, "no entry"))?;
    let ghost = gst::GhostPad::with_target(&pad).map_err(|error| failed(name, &error.to_string()))?;
    // A pad must be active before the bin follows its parent's state.
    ghost
        .set_active(true)
        .and_then(|()| bin.add_pad(&ghost))
        .map_err(|error| failed(name, &error.to_string()))?;
    Ok(bin)
}

fn failed(name: &str, reason: &str) -> PipelineError {
    PipelineError::Failed {
        name: name.to_owned(),
        reason: reason.to_owned(),
    }
}

fn parse<T>(
    name: &str,
    with: impl FnOnce(&mut gst::ParseContext, gst::ParseFlags) -> Result<T, gst::glib::Error>,
) -> Result<T, PipelineError> {
    init()?;
    let mut context = gst::ParseContext::new();
    with(&mut context, gst::ParseFlags::FATAL_ERRORS).map_err(|error| match context.missing_elements().first() {
        Some(element) => missing(element),
        None => PipelineError::Parse {
            name: name.to_owned(),
            reason: error.message().to_owned(),
        },
    })
}

fn hold_promises(catalog: &Catalog, name: &str, filling: &Filling, bin: &gst::Bin) -> Result<(), PipelineError> {
    let template = catalog.get(name)?;
    let parts = template.parts(filling).filter_map(|part| catalog.get(part).ok());
    for element in std::iter::once(template)
        .chain(parts)
        .flat_map(|template| &template.elements)
    {
        let mut factory = element.factory.clone();
        for (hole, value) in filling {
            factory = factory.replace(&format!("{{{hole}}}"), value);
        }
        let found = bin.by_name(&element.name).and_then(|found| found.factory());
        if found.is_none_or(|found| found.name() != factory) {
            return Err(PipelineError::Contract {
                name: name.to_owned(),
                element: element.name.clone(),
                factory,
            });
        }
    }
    Ok(())
}
