//! Writes a plain MP4 from units that are read from somewhere: a tail journal, a file left open, or both.

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::model::{Codec, Track, TrackCaps, Unit, scrub};
use crate::runtime::spawn_thread;

use super::catalog::Catalog;
use super::error::PipelineError;
use super::launch::{init, launch};
use super::mend_feed::{Feed, Outcome};
use super::template::Filling;

/// The pipeline's name in the catalogue.
const NAME: &str = "mend";

/// Units of one track in decoding order, read when they are wanted.
pub type Units = Box<dyn Iterator<Item = io::Result<Unit>> + Send>;

/// What to write.
pub struct Mending {
    /// How the units are to be read.
    pub caps: TrackCaps,
    /// The pictures.
    pub video: Units,
    /// The sound, if there is any. Without caps for it, it is left out.
    pub audio: Option<Units>,
}

impl std::fmt::Debug for Mending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mending")
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mended {
    /// Video frames.
    pub frames: u64,
    /// Packets of sound.
    pub packets: u64,
    /// When the first frame was shown, on the scale of the units that came in.
    pub start: Option<i64>,
    /// When the last frame ended to be shown, on the same scale.
    pub end: Option<i64>,
    /// Why reading ended before the end, when it did.
    pub trouble: Option<String>,
}

/// GStreamer's caps for pictures as MP4 files hold them. `entry` is the file's own four letters for them.
pub fn video_caps(codec: Codec, entry: &str, config: &[u8], width: u32, height: u32) -> Result<String, PipelineError> {
    init()?;
    let (kind, format) = match codec {
        Codec::H264 => ("video/x-h264", if entry == "avc3" { "avc3" } else { "avc" }),
        Codec::H265 => ("video/x-h265", if entry == "hev1" { "hev1" } else { "hvc1" }),
    };
    let pixels = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let caps = gst::Caps::builder(kind)
        .field("stream-format", format)
        .field("alignment", "au")
        .field("codec_data", gst::Buffer::from_slice(config.to_vec()))
        .field("width", pixels(width))
        .field("height", pixels(height))
        .build();
    Ok(caps.to_string())
}

/// Whether pictures of these caps have their parameter sets in the stream, in front of each keyframe.
pub fn has_sets_in_band(caps: &str) -> bool {
    let caps = init().ok().and_then(|()| gst::Caps::from_str(caps).ok());
    let format = caps.and_then(|caps| caps.structure(0)?.get::<String>("stream-format").ok());
    matches!(format.as_deref(), Some("avc3" | "hev1"))
}

/// GStreamer's caps for AAC as MP4 files hold it.
pub fn sound_caps(config: &[u8], rate: u32, channels: u32) -> Result<String, PipelineError> {
    init()?;
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let caps = gst::Caps::builder("audio/mpeg")
        .field("mpegversion", 4i32)
        .field("stream-format", "raw")
        .field("framed", true)
        .field("codec_data", gst::Buffer::from_slice(config.to_vec()))
        .field("rate", number(rate))
        .field("channels", number(channels))
        .build();
    Ok(caps.to_string())
}

/// GStreamer's caps for Opus as MP4 files hold it: one channel or two, which need no table of their own.
pub fn opus_caps(rate: u32, channels: u32) -> Result<String, PipelineError> {
    init()?;
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let caps = gst::Caps::builder("audio/x-opus")
        .field("channel-mapping-family", 0i32)
        .field("rate", number(rate))
        .field("channels", number(channels))
        .build();
    Ok(caps.to_string())
}

/// The decoder's configuration in caps of a track: what a file would hold as `avcC`, `hvcC` or AudioSpecificConfig.
pub fn decoder_config(caps: &str) -> Option<Vec<u8>> {
    init().ok()?;
    let caps = gst::Caps::from_str(caps).ok()?;
    let config = caps.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    Some(config.map_readable().ok()?.as_slice().to_vec())
}

/// Sound as caps describe it, in the words of MP4 files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundConfig {
    /// Opus; AAC otherwise.
    pub is_opus: bool,
    /// What a file would hold as AudioSpecificConfig, or as the body of `dOps`.
    pub config: Vec<u8>,
    /// Samples a second.
    pub rate: u32,
    /// Channels.
    pub channels: u32,
}

/// How sound of these caps is to be decoded; nothing when it is none that a file would hold.
pub fn sound_config(caps: &str) -> Option<SoundConfig> {
    init().ok()?;
    let parsed = gst::Caps::from_str(caps).ok()?;
    let structure = parsed.structure(0)?;
    let number = |name: &str| {
        structure
            .get::<i32>(name)
            .ok()
            .and_then(|number| u32::try_from(number).ok())
    };
    let is_opus = structure.name() == "audio/x-opus";
    let (mut rate, mut channels) = (number("rate"), number("channels"));
    let config = if is_opus {
        let header = structure.get::<gst::Array>("streamheader").ok();
        let header = header.and_then(|headers| headers.first()?.get::<gst::Buffer>().ok());
        let header = header.and_then(|header| Some(header.map_readable().ok()?.as_slice().to_vec()));
        rate = rate.or(Some(48_000));
        channels = channels.or(Some(1));
        opus_config(header.as_deref(), rate?, channels?)?
    } else {
        decoder_config(caps)?
    };
    Some(SoundConfig {
        is_opus,
        config,
        rate: rate?,
        channels: channels?,
    })
}

/// The body of `dOps` as mp4mux writes it: from the stream's own header when there is one. More than two channels, which need a
/// table, are no sound of a camera.
fn opus_config(header: Option<&[u8]>, rate: u32, channels: u32) -> Option<Vec<u8>> {
    let (mut skip, mut gain, mut input) = ([0, 0], [0, 0], rate.to_be_bytes());
    let channels = u8::try_from(channels)
        .ok()
        .filter(|channels| (1..=2).contains(channels))?;
    // `OpusHead`, version, channels, pre-skip, rate, gain, each with its lowest byte first.
    if let Some(&[s0, s1, r0, r1, r2, r3, g0, g1]) = header.and_then(|header| header.get(10..18)) {
        (skip, input, gain) = ([s1, s0], [r3, r2, r1, r0], [g1, g0]);
    }
    Some([&[0, channels][..], &skip, &input, &gain, &[0]].concat())
}

fn failed(reason: impl std::fmt::Display) -> PipelineError {
    PipelineError::Failed {
        name: NAME.to_owned(),
        reason: scrub(&reason.to_string()),
    }
}

/// Writes `target` anew. Nothing moves for `patience`, or it is not done after `deadline`: it is given up.
///
/// What comes before the first keyframe cannot be decoded and is left out. Times are moved so that the file starts at
/// zero, and are mended where they do not go forward.
pub fn mend(
    catalog: &Catalog,
    mending: Mending,
    target: &Path,
    patience: Duration,
    deadline: Duration,
) -> Result<Mended, PipelineError> {
    let sound_caps = mending.audio.as_ref().and(mending.caps.audio.as_deref());
    let sound = if sound_caps.is_some() { "mend-sound" } else { "none" };
    let filling = Filling::from([("sound".to_owned(), sound.to_owned())]);
    let pipeline = launch(catalog, NAME, &filling)?;
    let element = |name: &str| {
        pipeline
            .by_name(name)
            .ok_or_else(|| failed(format!("no element `{name}`")))
    };

    element("file")?.set_property(
        "location",
        target.to_str().ok_or_else(|| failed("the path is not UTF-8"))?,
    );
    if let Some(pad) = element("muxer")?.static_pad("video_0") {
        pad.set_property("trak-timescale", 90_000u32);
    }
    let (mut video, trouble_before) = from_first_keyframe(mending.video);
    let mut sound_units = mending
        .audio
        .filter(|_| sound_caps.is_some())
        .map(|units| units.peekable());
    let Some(first) = video.next() else {
        return Ok(Mended {
            trouble: trouble_before,
            ..Mended::default()
        });
    };
    let first_sound = sound_units.as_mut().and_then(|units| match units.peek() {
        Some(Ok(unit)) => Some(unit.dts),
        _ => None,
    });
    // Sound from long before the first keyframe would only delay the pictures.
    let origin = first_sound.map_or(first.dts, |sound| sound.min(first.dts).max(first.dts - 1_000_000_000));
    let outcome = Arc::new(Outcome::default());
    if let Some(trouble) = trouble_before {
        outcome.complain(trouble);
    }
    let mut feeds = vec![Feed {
        source: source(&pipeline, "video", &mending.caps.video)?,
        units: Box::new(std::iter::once(Ok(first.clone())).chain(video.rest())),
        track: Track::Video,
        origin,
    }];
    if let (Some(units), Some(caps)) = (sound_units, sound_caps) {
        feeds.push(Feed {
            source: source(&pipeline, "sound", caps)?,
            units: Box::new(units.skip_while(move |unit| matches!(unit, Ok(unit) if unit.dts < origin))),
            track: Track::Audio,
            origin,
        });
    }
    play(&pipeline, feeds, &outcome, patience, deadline)?;
    Ok(outcome.result())
}

/// Units from the first keyframe on; a read error before it ends them.
struct FromKeyframe(Units);

impl FromKeyframe {
    fn next(&mut self) -> Option<Unit> {
        match self.0.next() {
            Some(Ok(unit)) => Some(unit),
            _ => None,
        }
    }

    fn rest(self) -> Units {
        self.0
    }
}

fn from_first_keyframe(mut units: Units) -> (FromKeyframe, Option<String>) {
    loop {
        match units.next() {
            Some(Ok(unit)) if !unit.keyframe => {}
            Some(Ok(unit)) => return (FromKeyframe(Box::new(std::iter::once(Ok(unit)).chain(units))), None),
            Some(Err(error)) => return (FromKeyframe(Box::new(std::iter::empty())), Some(error.to_string())),
            None => return (FromKeyframe(units), None),
        }
    }
}

fn source(pipeline: &gst::Pipeline, name: &str, caps: &str) -> Result<gst_app::AppSrc, PipelineError> {
    let source = pipeline
        .by_name(name)
        .and_then(|element| element.downcast::<gst_app::AppSrc>().ok())
        .ok_or_else(|| failed(format!("no appsrc `{name}`")))?;
    let caps = gst::Caps::from_str(caps).map_err(|_| failed(format!("caps that cannot be read: {caps}")))?;
    source.set_caps(Some(&caps));
    Ok(source)
}

/// Brings a pipeline down however its use ended; a source that waits for room is woken by it.
struct Lowered<'a>(&'a gst::Pipeline);

impl Drop for Lowered<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.set_state(gst::State::Null) {
            tracing::warn!(%error, "the mending pipeline did not come down");
        }
    }
}

fn play(
    pipeline: &gst::Pipeline,
    feeds: Vec<Feed>,
    outcome: &Arc<Outcome>,
    patience: Duration,
    deadline: Duration,
) -> Result<(), PipelineError> {
    let bus = pipeline.bus().ok_or_else(|| failed("it has no bus"))?;
    let lowered = Lowered(pipeline);
    let mut threads = Vec::new();
    let end = pipeline
        .set_state(gst::State::Playing)
        .map_err(|error| failed(format!("it does not start: {error}")))
        .and_then(|_| {
            for feed in feeds {
                let outcome = Arc::clone(outcome);
                threads.push(spawn_thread("mend-feed", move || feed.run(&outcome)).map_err(failed)?);
            }
            wait(&bus, outcome, patience, deadline)
        });
    // Down before the feeding threads are waited for: it is what wakes one that waits for room.
    drop(lowered);
    for thread in threads {
        if thread.join().is_err() {
            return Err(failed("a thread that fed it died"));
        }
    }
    end
}

fn wait(bus: &gst::Bus, outcome: &Outcome, patience: Duration, deadline: Duration) -> Result<(), PipelineError> {
    const LOOK: Duration = Duration::from_millis(500);
    let (mut seen, mut idle, mut total) = (0, Duration::ZERO, Duration::ZERO);
    loop {
        let look = gst::ClockTime::from_nseconds(LOOK.as_nanos() as u64);
        match bus.timed_pop_filtered(look, &[gst::MessageType::Eos, gst::MessageType::Error]) {
            Some(message) => {
                return match message.view() {
                    gst::MessageView::Error(error) => {
                        let detail = error.debug().map(|debug| format!(" ({debug})")).unwrap_or_default();
                        Err(failed(format!("{}{detail}", error.error())))
                    }
                    _ => Ok(()),
                };
            }
            None => {
                let moved = outcome.moved();
                idle = if moved == seen { idle + LOOK } else { Duration::ZERO };
                seen = moved;
                total += LOOK;
                let after = [(idle, patience), (total, deadline)]
                    .into_iter()
                    .find(|(is, most)| is >= most);
                if let Some((after, _)) = after {
                    return Err(PipelineError::Deadline {
                        name: NAME.to_owned(),
                        after,
                    });
                }
            }
        }
    }
}
