//! Binds `pipelines/refill.gst`: what a camera kept, played by it once more, frame by frame with the camera's own times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::model::{Address, Codec, Span, Timestamp, TrackCaps, Transport, Unit, VideoFormat};
use crate::runtime::{claim_files, claim_room};

use super::catalog::Catalog;
use super::decode_order::Pictures;
use super::error::PipelineError;
use super::event::PipelineEvent;
use super::in_band::{InBand, with_front};
use super::launch::launch;
use super::marks::Marks;
use super::record::{camera_time, unit, video_format};
use super::replay_source::ReplaySource;
use super::runner::Runner;
use super::template::Filling;

/// The pipeline's name in the catalogue.
const NAME: &str = "refill";
/// How long a pipeline may take to begin; the conversation with the camera is not part of it.
const BEGIN: Duration = Duration::from_secs(5);
/// Descriptors, threads and bytes that it needs.
const FILES: u64 = 15;
const THREADS: u64 = 9;
const MEMORY: u64 = 32 << 20;

/// What is to be played, and how.
#[derive(Debug, Clone)]
pub struct RefillSpec {
    /// Where the replay is.
    pub address: Address,
    /// How media travels.
    pub transport: Transport,
    /// How long packets may be waited for.
    pub latency: Duration,
    /// How long the camera may take to answer.
    pub connect: Duration,
    /// The codec the camera is believed to have kept. When it sends another, the feed is told and nothing comes.
    pub codec: Codec,
    /// What is said in PLAY of the span that is wanted, by the camera's clock; nothing when the address says it.
    pub range: Option<Span>,
    /// Whether it is an ONVIF replay, which comes as fast as it can.
    pub onvif: bool,
}

impl RefillSpec {
    /// How media travels in fact.
    pub(super) fn transport(&self) -> Transport {
        // What comes faster than it happened would be lost as datagrams.
        if self.onvif { Transport::Tcp } else { self.transport }
    }
}

/// Who told when a frame was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBy {
    /// The header extension of ONVIF replays.
    Extension,
    /// RTCP sender reports.
    Reports,
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedUnit {
    /// The frame.
    pub unit: Unit,
    /// When it was taken by the camera's clock, where that was told.
    pub taken: Option<(Timestamp, TakenBy)>,
    /// The camera says that it has nothing that follows.
    pub ends: bool,
}

/// Who hears what a replay brings. Called on GStreamer's threads: nobody may wait in here.
pub trait Replayed: Send + Sync + 'static {
    /// So many bytes were read from the camera.
    fn received(&self, bytes: u64);
    /// Whether more may be read now. While it may not, the camera waits.
    fn has_room(&self) -> bool;
    /// So many packets are missing before what comes next.
    fn lost(&self, packets: u64);
    /// What comes is of this kind from the next frame on.
    fn format(&self, format: VideoFormat, caps: TrackCaps);
    /// A frame came. The first is a keyframe.
    fn unit(&self, unit: ReplayedUnit);
    /// The camera kept another codec than was believed.
    fn other_codec(&self, codec: Codec);
    /// The camera has no hand free for a replay.
    fn busy(&self);
    /// The pipeline said something.
    fn event(&self, event: PipelineEvent);
}

/// A replay that runs.
pub struct Refilling {
    runner: Runner,
    source: Arc<ReplaySource>,
}

impl std::fmt::Debug for Refilling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refilling")
            .field("runner", &self.runner)
            .finish_non_exhaustive()
    }
}

/// How `refill.gst` is filled for a replay.
pub fn refill_filling(spec: &RefillSpec) -> Filling {
    let protocols = match spec.transport() {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
        Transport::Auto => "tcp+udp",
    };
    [
        ("transport", protocols.to_owned()),
        ("latency", spec.latency.as_millis().to_string()),
        ("connect", spec.connect.as_micros().to_string()),
        ("codec", spec.codec.as_str().to_owned()),
    ]
    .into_iter()
    .map(|(hole, value)| (hole.to_owned(), value))
    .collect()
}

impl Refilling {
    /// Builds the pipeline and begins to play it. Everything after this is told to the feed.
    pub fn begin(catalog: &Catalog, spec: &RefillSpec, feed: Arc<dyn Replayed>) -> Result<Self, PipelineError> {
        let name = || NAME.to_owned();
        claim_room(THREADS, MEMORY).map_err(|left| PipelineError::Room { name: name(), left })?;
        claim_files(FILES).map_err(|files| PipelineError::Files { name: name(), files })?;
        let pipeline = launch(catalog, NAME, &refill_filling(spec))?;
        let part = |element: &str| {
            pipeline.by_name(element).ok_or_else(|| PipelineError::Contract {
                name: name(),
                element: element.to_owned(),
                factory: "element".to_owned(),
            })
        };
        let source = ReplaySource::bind(&part("source")?, spec, &feed);
        let marks = Arc::new(Marks::default());
        source.bound(&part("depay")?);
        bind_marks(&part("depay")?, &marks);
        bind_tap(&part("tap")?, marks, &feed);
        let on = source.clone();
        let runner = Runner::of_camera(pipeline, source.connection.clone(), move |message| on.hear(message));
        match runner.reach(gst::State::Playing, BEGIN) {
            Ok(()) => Ok(Self { runner, source }),
            Err(error) => {
                source.end();
                runner.take_down(Duration::from_secs(3));
                Err(error)
            }
        }
    }

    /// Takes the pipeline down; `false` when it did not come down in time and was left behind.
    pub fn take_down(self, deadline: Duration) -> bool {
        self.source.end();
        self.runner.take_down(deadline)
    }
}

fn bind_marks(depay: &gst::Element, marks: &Arc<Marks>) {
    let Some(pad) = depay.static_pad("sink") else { return };
    let marks = marks.clone();
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
        move |_, info| {
            marks.read(info);
            gst::PadProbeReturn::Ok
        },
    );
}

fn bind_tap(tap: &gst::Element, marks: Arc<Marks>, feed: &Arc<dyn Replayed>) {
    let Some(pad) = tap.static_pad("sink") else { return };
    let pictures = Pictures::of(&pad);
    let feed = feed.clone();
    let started = AtomicBool::new(false);
    let sets = Mutex::new(InBand::default());
    let tell = |feed: &Arc<dyn Replayed>, caps: Option<gst::Caps>| {
        if let Some((format, caps)) = caps.and_then(|caps| Some((video_format(&caps)?, caps))) {
            let video = caps.to_string();
            feed.format(format, TrackCaps { video, audio: None });
        }
    };
    pad.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        move |pad, info| {
            match &info.data {
                Some(gst::PadProbeData::Event(event)) => match event.view() {
                    gst::EventView::Caps(caps) => {
                        let told = sets
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .hear(caps.caps_owned());
                        tell(&feed, told);
                    }
                    gst::EventView::Eos(_) => feed.event(PipelineEvent::Ended),
                    _ => {}
                },
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    let keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
                    let mark = Pictures::own_time(buffer).and_then(|pts| marks.take(pts));
                    if !started.load(Ordering::Relaxed) && !keyframe {
                        return gst::PadProbeReturn::Ok;
                    }
                    let before = sets.lock().unwrap_or_else(PoisonError::into_inner).before(keyframe);
                    let own = (!before.front.is_empty()).then(|| with_front(buffer, before.front));
                    let buffer = own.as_ref().unwrap_or(buffer);
                    if let Some(mut unit) = unit(pad, buffer, keyframe)
                        && !pictures.is_lost(unit.pts, keyframe)
                    {
                        started.store(true, Ordering::Relaxed);
                        unit.dts = pictures.decoded(unit.pts);
                        tell(&feed, before.told);
                        let extension = mark.map(|mark| (mark.taken, TakenBy::Extension));
                        feed.unit(ReplayedUnit {
                            taken: extension.or_else(|| Some((camera_time(buffer)?, TakenBy::Reports))),
                            ends: mark.is_some_and(|mark| mark.ends),
                            unit,
                        });
                    }
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        },
    );
}
