//! Binds `pipelines/record.gst`: one camera's stream, counted and cut at the tap, written by splitmuxsink.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;

use crate::model::{Address, Codec, Timestamp, Track, TrackCaps, Transport, Unit, VideoFormat};
use crate::runtime::{claim_files, claim_room, pause};

use super::catalog::Catalog;
use super::copying::bind_copies;
use super::decode_order::{Pictures, keep_from, moved};
use super::error::PipelineError;
use super::event::{Missing, PipelineEvent};
use super::gate::{Fate, Gate};
use super::in_band::{InBand, with_front};
use super::launch::launch;
use super::ntp;
use super::runner::{Runner, StillUp, on_the_side};
use super::running_time::running_time;
use super::sound::Sound;
use super::source::Source;
use super::stream_time::now;
use super::template::Filling;
use super::writing::Writing;

/// How long a pipeline may take to begin; the conversation with the camera is not part of it.
const BEGIN: Duration = Duration::from_secs(5);

/// Descriptors that one camera needs: sockets, what its threads are woken by, its file and its journal.
const FILES: u64 = 20;
/// Threads that it needs: of the session, of who reads from the camera, of each queue, and of the file that is written.
const THREADS: u64 = 17;
/// Bytes that it needs to begin with.
const MEMORY: u64 = 16 << 20;

/// What is to be recorded, and how.
#[derive(Debug, Clone)]
pub struct RecordSpec {
    /// Where the stream is.
    pub address: Address,
    /// How media travels.
    pub transport: Transport,
    /// How long packets may be waited for.
    pub latency: Duration,
    /// How long the camera may take to answer.
    pub connect: Duration,
    /// The codec the camera is believed to send. When it sends another, the feed is told and the run is over.
    pub codec: Codec,
    /// Whether sound is recorded too, if the camera sends any.
    pub audio: bool,
}

/// Who hears what a recording pipeline receives. Called on GStreamer's threads: nobody may wait in here, but for
/// [`Feed::place`], which is called on the thread that writes files.
pub trait Feed: Send + Sync + 'static {
    /// What comes is of this kind from the next unit on.
    fn announced(&self, _format: VideoFormat, _caps: TrackCaps) {}
    /// Something came, if only the rest of a group of pictures that cannot be shown.
    fn heard(&self);
    /// Packets of pictures never came. Told before the unit of the packet that came next, and maybe before some that were
    /// complete already.
    fn lost(&self, _missing: Missing) {}
    /// The camera says when, by its own clock, the unit of this time was taken. Told before the unit itself.
    fn camera_time(&self, pts: i64, taken: Timestamp);
    /// An access unit has come that is shown at this time (running time, ns) by the camera's ticks, in a stream that may have
    /// B-frames. Gives the time that it gets, which is another where the ticks are not believed. Told before all else.
    fn shown(&self, pts: i64, _is_reordered: bool) -> i64 {
        pts
    }
    /// An access unit has come, and what becomes of it? The first is a keyframe with a time. Without a word everything
    /// is written.
    fn arrived(&self, unit: &Unit) -> Fate {
        Fate::Write { from: unit.pts }
    }
    /// What is written is of this kind from the next unit on, which begins a new file if one was begun. Not told for what
    /// a file does not mind, as another frame rate.
    fn format(&self, format: VideoFormat, caps: TrackCaps);
    /// An access unit goes to the writer: one that has just arrived, or one that was held.
    fn unit(&self, unit: Unit) -> Cut;
    /// Whether every file that was begun is closed. Asked while nothing is written, so that what wrote them can go.
    fn is_settled(&self) -> bool {
        false
    }
    /// From here on the segment that is open has sound of this kind, or none any more. That which a new segment has is
    /// told with [`Feed::format`].
    fn sound_format(&self, _caps: Option<String>) {}
    /// A packet of sound is written beside the pictures.
    fn sound(&self, _unit: Unit) {}
    /// Sound is not recorded, for this reason; pictures are.
    fn sound_trouble(&self, _message: String) {}
    /// The camera breaks the conversation off when it is asked for sound, for this reason. Without sound it may not.
    fn sound_refused(&self, _message: String) {}
    /// A file is about to be made whose first frame has this time. Nothing is written when there is no place for it.
    fn place(&self, first_pts: i64) -> Option<PathBuf>;
    /// The file at this path begins. A name if what is written to it is wanted as well, under which it is told.
    fn copy_as(&self, _path: &Path) -> Option<Arc<str>> {
        None
    }
    /// These bytes are written to the file of this name, at this offset. Parts of a file may be written more than once.
    /// Called on the thread that writes files, which writes nothing more before this returns.
    fn written(&self, _name: &Arc<str>, _offset: u64, _bytes: Bytes) {}
    /// The camera sends another codec than was believed.
    fn other_codec(&self, codec: Option<Codec>);
    /// The camera pointed somewhere else, which was not followed.
    fn redirect_refused(&self, to: String);
    /// The pipeline said something.
    fn event(&self, event: PipelineEvent);
}

/// Whether a new segment begins with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It goes on.
    Continue,
    /// It is not wanted.
    Drop,
    /// This unit, a keyframe, is the first of the next one.
    Here,
}

/// A recording that runs.
pub struct Recording {
    runner: Runner,
    writing: Arc<Writing>,
    sound: Arc<Sound>,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("runner", &self.runner)
            .finish_non_exhaustive()
    }
}

/// How `record.gst` is filled for a camera.
pub fn record_filling(spec: &RecordSpec) -> Filling {
    let protocols = match spec.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Auto => "tcp+udp",
    };
    [
        ("transport", protocols.to_owned()),
        ("latency", spec.latency.as_millis().to_string()),
        ("connect", spec.connect.as_micros().to_string()),
        ("codec", spec.codec.as_str().to_owned()),
        ("segments", "segments".to_owned()),
    ]
    .into_iter()
    .map(|(hole, value)| (hole.to_owned(), value))
    .collect()
}

impl Recording {
    /// Builds the pipeline and begins to play it. Everything after this is told to the feed.
    pub fn begin(catalog: &Catalog, spec: &RecordSpec, feed: Arc<dyn Feed>) -> Result<Self, PipelineError> {
        Self::begin_filled(catalog, spec, &record_filling(spec), feed)
    }

    /// The same with holes filled by hand.
    pub(super) fn begin_filled(
        catalog: &Catalog,
        spec: &RecordSpec,
        filling: &Filling,
        feed: Arc<dyn Feed>,
    ) -> Result<Self, PipelineError> {
        claim_room(THREADS, MEMORY).map_err(|left| PipelineError::Room {
            name: "record".to_owned(),
            left,
        })?;
        claim_files(FILES).map_err(|files| PipelineError::Files {
            name: "record".to_owned(),
            files,
        })?;
        let pipeline = launch(catalog, "record", filling)?;
        let part = |name: &str| {
            pipeline.by_name(name).ok_or_else(|| PipelineError::Contract {
                name: "record".to_owned(),
                element: name.to_owned(),
                factory: "element".to_owned(),
            })
        };
        let writing = Writing::of(&pipeline, catalog, filling, &feed).ok_or_else(|| PipelineError::Contract {
            name: "segments".to_owned(),
            element: "segments".to_owned(),
            factory: "splitmuxsink".to_owned(),
        })?;
        let sound = Sound::new(spec.audio, catalog, &feed, &writing);
        sound.listen_to_pictures(&part("parse")?);
        let source = Source::bind(&part("source")?, spec, &feed, &sound);
        source.bound(&part("depay")?);
        bind_tap(&part("tap")?, Gate::new(writing.clone(), feed.clone()), &feed);
        let runner = Runner::of_camera(pipeline, source.connection.clone(), move |message| source.hear(message));
        match runner.reach(gst::State::Playing, BEGIN) {
            Ok(()) => Ok(Self { runner, writing, sound }),
            Err(error) => {
                runner.take_down(Duration::from_secs(3));
                Err(error)
            }
        }
    }

    /// Ends the stream behind the tap, so that the open file is closed in order, and waits until `is_settled` or for at
    /// most the deadline. End-of-stream itself is no sign: splitmuxsink may swallow it although every file is whole.
    pub fn end(&self, deadline: Duration, is_settled: &dyn Fn() -> bool) {
        if let Some(pad) = self
            .runner
            .pipeline()
            .by_name("tap")
            .and_then(|tap| tap.static_pad("sink"))
        {
            // What has entered before it is written, and nothing enters after it.
            on_the_side(move || pad.send_event(gst::event::Eos::new()));
        }
        self.writing.end();
        let step = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        while !is_settled() && waited < deadline {
            pause(step);
            waited += step;
        }
    }

    /// Takes the pipeline down; `false` when it did not come down in time and was left behind. `still_up` counts it until it is
    /// down.
    pub fn take_down(self, deadline: Duration, still_up: StillUp) -> bool {
        self.sound.end();
        self.runner.take_down_counted(deadline, still_up)
    }

    /// The pipeline as Graphviz text, scrubbed of credentials.
    pub fn dot(&self) -> String {
        let details = gst::DebugGraphDetails::CAPS_DETAILS | gst::DebugGraphDetails::STATES;
        crate::model::scrub(&self.runner.pipeline().debug_to_dot_data(details))
    }
}

/// Counts and cuts at the tap's entry, before any branch sees a unit.
fn bind_tap(tap: &gst::Element, gate: Gate, feed: &Arc<dyn Feed>) {
    let Some(pad) = tap.static_pad("sink") else { return };
    let pictures = Pictures::of(&pad);
    let (feed, tap) = (feed.clone(), tap.downgrade());
    let started = AtomicBool::new(false);
    let sets = Mutex::new(InBand::default());
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |pad, info| match &info.data {
            Some(gst::PadProbeData::Event(event)) => {
                gate.let_pass();
                match event.view() {
                    gst::EventView::Caps(caps) => {
                        let told = sets
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .hear(caps.caps_owned());
                        let Some(caps) = told else {
                            return gst::PadProbeReturn::Handled;
                        };
                        gate.hear_caps(caps, now(pad.parent_element().as_ref()));
                    }
                    gst::EventView::Eos(_) => {
                        gate.end();
                        feed.event(PipelineEvent::Ended);
                    }
                    _ => {}
                }
                gst::PadProbeReturn::Ok
            }
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                if !started.load(Ordering::Relaxed) && (!keyframe || buffer.pts().is_none()) {
                    // A stream that is joined in the middle of a group of pictures cannot be shown before the next.
                    feed.heard();
                    return gst::PadProbeReturn::Handled;
                }
                let before = sets.lock().unwrap_or_else(PoisonError::into_inner).before(keyframe);
                let own = (!before.front.is_empty()).then(|| with_front(buffer, before.front));
                let buffer = own.as_ref().unwrap_or(buffer);
                let (Some(mut unit), Some(tap)) = (unit(pad, buffer, keyframe), tap.upgrade()) else {
                    return gst::PadProbeReturn::Handled;
                };
                if let Some(caps) = before.told {
                    gate.let_pass();
                    gate.hear_caps(caps, now(Some(&tap)));
                }
                started.store(true, Ordering::Relaxed);
                if pictures.is_lost(unit.pts, keyframe) {
                    feed.heard();
                    return gst::PadProbeReturn::Handled;
                }
                let shown = feed.shown(unit.pts, pictures.are_reordered());
                let decoded = pictures.decoded(shown);
                let buffer = &moved(buffer, shown - unit.pts, decoded - unit.pts);
                (unit.pts, unit.dts) = (shown, decoded);
                if let Some(taken) = camera_time(buffer) {
                    feed.camera_time(unit.pts, taken);
                }
                if let Err(refused) = gate.take(&tap, unit, buffer) {
                    info.flow_res = Err(refused);
                }
                // `Drop` would have GStreamer 1.22 free what the binding has freed already, and complain each time.
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        },
    );
}

/// What the camera's RTCP sender reports say of a buffer: nothing before the first of them.
pub(super) fn camera_time(buffer: &gst::BufferRef) -> Option<Timestamp> {
    let of_ntp = |meta: &gst::MetaRef<'_, gst::ReferenceTimestampMeta>| {
        meta.reference()
            .structure(0)
            .is_some_and(|reference| reference.name() == "timestamp/x-ntp")
    };
    let meta = buffer.iter_meta::<gst::ReferenceTimestampMeta>().find(of_ntp)?;
    // A camera that is before 1970 has no clock.
    ntp::timestamp(meta.timestamp().nseconds()).filter(|taken| taken.as_nanos() >= 0)
}

pub(super) fn unit(pad: &gst::Pad, buffer: &gst::Buffer, keyframe: bool) -> Option<Unit> {
    let pts = running_time(pad, buffer.pts())?;
    let map = buffer.clone().into_mapped_buffer_readable().ok()?;
    Some(Unit {
        track: Track::Video,
        pts,
        dts: running_time(pad, buffer.dts()).unwrap_or(pts),
        duration: buffer.duration().map(gst::ClockTime::nseconds),
        keyframe,
        payload: bytes::Bytes::from_owner(map),
    })
}

pub(super) fn video_format(caps: &gst::CapsRef) -> Option<VideoFormat> {
    let structure = caps.structure(0)?;
    let codec = match structure.name().as_str() {
        "video/x-h264" => Codec::H264,
        "video/x-h265" => Codec::H265,
        _ => return None,
    };
    let number = |name: &str| {
        structure
            .get::<i32>(name)
            .ok()
            .and_then(|value| u32::try_from(value).ok())
    };
    let fps = structure.get::<gst::Fraction>("framerate").ok();
    Some(VideoFormat {
        codec,
        width: number("width")?,
        height: number("height")?,
        fps: fps
            .filter(|fps| fps.numer() > 0)
            .map(|fps| f64::from(fps.numer()) / f64::from(fps.denom())),
    })
}

pub(super) fn bind_segments(segments: &gst::Element, feed: &Arc<dyn Feed>) {
    let leg = bind_copies(segments, feed);
    keep_from(segments);
    let feed = feed.clone();
    segments.connect("format-location-full", false, move |values| {
        let sample = values.get(2).and_then(|value| value.get::<gst::Sample>().ok());
        let first_pts = sample.as_ref().and_then(first_running_time);
        let path = first_pts.and_then(|pts| feed.place(pts));
        leg.begin(path.as_deref().and_then(|path| feed.copy_as(path)));
        // Without a place the file cannot be made; this one never can be, so that the failure is plain and at once.
        let path = path.map_or_else(
            || "/dev/null/no-place".to_owned(),
            |path| path.to_string_lossy().into_owned(),
        );
        Some(path.to_value())
    });
}

fn first_running_time(sample: &gst::Sample) -> Option<i64> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let time = segment.to_running_time(sample.buffer()?.pts()?)?;
    i64::try_from(time.nseconds()).ok()
}
