//! A camera's sound: what it is, and the pipeline that makes it fit for a file.
//!
//! Sound is taken from the source packet by packet and worked on in a pipeline of its own, so that whatever is wrong with
//! it stays there. What comes out goes to the branch that writes, beside the pictures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_rtsp::RTSPMethod;
use gstreamer_sdp::SDPMessageRef;

use crate::model::{Track, Unit};
use crate::runtime::{Clock, Instant, SystemClock, pause};

use super::alignment::{Alignment, Heard};
use super::catalog::Catalog;
use super::error::PipelineError;
use super::event::PipelineEvent;
use super::launch::launch;
use super::record::Feed;
use super::runner::{Runner, on_the_side};
use super::sound_chain::{Chain, Held};
use super::sound_plan::{Plan, packet_length, plan};
use super::stream_time::{begun, clock_zero, now, running_time};
use super::writing::Writing;

/// A stream that the camera agreed to send shows its pad within this time of the others.
const SHOWN: Duration = Duration::from_secs(2);
/// Bits a second that a channel gets when it is made into AAC.
const BITRATE_A_CHANNEL: i32 = 48_000;
/// A pipeline that broke is tried again after so long.
const AGAIN: i64 = 10_000_000_000;
/// While the camera has not said how its sound lies to its pictures, the first sound waits so long for more of both to compare.
const HEARD_OUT: i64 = 400_000_000;

/// A camera answers within this, or it will not.
const ANSWERS: Duration = Duration::from_secs(3);

/// The sound of one recording.
pub(super) struct Sound {
    catalog: Catalog,
    feed: Arc<dyn Feed>,
    writing: Arc<Writing>,
    pictures: Mutex<Heard>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    wanted: bool,
    /// What the camera calls its streams of sound when it is asked for them.
    names: Vec<String>,
    /// The last thing it was asked for was its sound, at this moment.
    asked: Option<Instant>,
    /// Its sound comes, or will.
    is_promised: bool,
    plan: Option<Plan>,
    heard: Heard,
    alignment: Alignment,
    /// The first packets, with their times, while it is not decided where they lie; and since when. Nothing once it is.
    early: Vec<(i64, gst::Buffer)>,
    since: Option<i64>,
    chain: Option<Chain>,
    /// Not before this running time is a broken chain begun anew.
    again: i64,
}

impl Sound {
    pub(super) fn new(wanted: bool, catalog: &Catalog, feed: &Arc<dyn Feed>, writing: &Arc<Writing>) -> Arc<Self> {
        Arc::new(Self {
            catalog: catalog.clone(),
            feed: feed.clone(),
            writing: writing.clone(),
            pictures: Mutex::default(),
            inner: Mutex::new(Inner {
                wanted,
                ..Inner::default()
            }),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this stream of the camera is the one to take. Says so once when it cannot be recorded.
    pub(super) fn select(&self, caps: &gst::CapsRef) -> bool {
        let mut inner = self.lock();
        if !inner.wanted || inner.plan.is_some() {
            return false;
        }
        let trouble = match plan(caps) {
            // Built once for the sake of what may be missing, before the camera is asked to send.
            Ok(plan) => match launch(&self.catalog, plan.pipeline, &plan.filling) {
                Ok(_) => {
                    inner.plan = Some(plan);
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            Err(trouble) => Some(trouble),
        };
        drop(inner);
        match trouble {
            None => self.writing.expect_sound(),
            Some(trouble) => {
                self.feed.sound_trouble(trouble);
                return false;
            }
        }
        true
    }

    /// Remembers what the camera calls its sound.
    pub(super) fn read_description(&self, description: &SDPMessageRef) {
        let of_sound = description.medias().filter(|media| media.media() == Some("audio"));
        let names = of_sound.filter_map(|media| media.attribute_val("control").map(str::to_owned));
        self.lock().names = names.collect();
    }

    /// The camera is about to be asked for something.
    pub(super) fn hear_request(&self, method: RTSPMethod, url: &str) {
        let mut inner = self.lock();
        let is_for_sound = method == RTSPMethod::SETUP && inner.names.iter().any(|name| url.ends_with(name.as_str()));
        inner.asked = is_for_sound.then(|| SystemClock.instant());
    }

    /// The conversation is over. If that is because the camera was asked for its sound, it can be had without.
    pub(super) fn is_refused(&self, status: Option<u32>) -> bool {
        if self.lock().asked.take().is_none() {
            return false;
        }
        self.feed.sound_refused(match status {
            Some(status) => format!("the camera refuses to send its sound ({status})"),
            None => "the camera ends the conversation when it is asked for its sound".to_owned(),
        });
        true
    }

    /// The camera has agreed to all that it agrees to. It may have left the sound out of that.
    ///
    /// rtspsrc says so from the thread of whichever stream it has dealt with first, while that of the other may be about to
    /// show its pad: what is not there yet is looked for once more a moment later.
    pub(super) fn all_is_agreed(self: &Arc<Self>) {
        if !self.is_left_out() {
            return;
        }
        let sound = Arc::downgrade(self);
        on_the_side(move || {
            pause(SHOWN);
            let left_out = sound.upgrade().filter(|sound| sound.is_left_out());
            left_out.is_some_and(|sound| {
                let trouble = "the camera does not send the sound that it describes by this transport";
                sound.feed.sound_trouble(trouble.to_owned());
                true
            })
        });
    }

    fn is_left_out(&self) -> bool {
        let inner = self.lock();
        inner.wanted && inner.plan.is_some() && !inner.is_promised
    }

    /// Nothing is recorded of this conversation, so that its sound does not matter.
    pub(super) fn forget(&self) {
        let mut inner = self.lock();
        inner.wanted = false;
        inner.asked = None;
    }

    /// Listens to a pad of the source if it is that of sound. It stays without a peer: nothing behind it can tell the source
    /// to stop.
    pub(super) fn listen(self: &Arc<Self>, pad: &gst::Pad) {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        if media(&caps) != Some("audio") {
            return;
        }
        self.lock().is_promised = true;
        let sound = self.clone();
        pad.add_probe(
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
            move |pad, info| {
                match &info.data {
                    Some(gst::PadProbeData::Buffer(buffer)) => sound.packet(pad, buffer.copy()),
                    Some(gst::PadProbeData::BufferList(list)) => {
                        list.iter_owned().for_each(|buffer| sound.packet(pad, buffer));
                    }
                    _ => {}
                }
                // `Drop` would have GStreamer 1.22 free what the binding has freed already.
                gst::PadProbeReturn::Handled
            },
        );
    }

    fn pictures(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.pictures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet of pictures, of which the first is looked at.
    pub(super) fn picture_begins(&self, pad: &gst::Pad, info: &gst::PadProbeInfo<'_>) {
        let first = match &info.data {
            Some(gst::PadProbeData::Buffer(packet)) => Some(&**packet),
            Some(gst::PadProbeData::BufferList(list)) => list.get(0),
            _ => None,
        };
        let mut pictures = self.pictures();
        if let (None, Some(packet)) = (pictures.begun, first) {
            pictures.begun = begun(pad, packet);
        }
    }

    /// Hears when pictures come: at the entry of the parser, before anybody holds them to put them in order.
    pub(super) fn listen_to_pictures(self: &Arc<Self>, parser: &gst::Element) {
        let Some(entry) = parser.static_pad("sink") else { return };
        let sound = self.clone();
        entry.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer()
                && let Some(at) = running_time(pad, buffer.pts())
            {
                let mut pictures = sound.pictures();
                pictures.came(at, now(pad.parent_element().as_ref()));
                pictures.zero = clock_zero(buffer, at).or(pictures.zero);
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn packet(self: &Arc<Self>, pad: &gst::Pad, packet: gst::Buffer) {
        let Some(at) = running_time(pad, packet.pts()) else {
            return;
        };
        let now = now(pad.parent_element().as_ref());
        let pictures = *self.pictures();
        let mut inner = self.lock();
        inner.heard.came(at, now);
        inner.heard.zero = clock_zero(&packet, at).or(inner.heard.zero);
        if inner.since.is_none() {
            inner.since = Some(now);
            inner.heard.begun = begun(pad, &packet);
        }
        inner.early.push((at, packet));
        let is_early = now.saturating_sub(inner.since.unwrap_or(now)) < HEARD_OUT;
        if is_early && !Alignment::is_told(&inner.heard, &pictures) {
            return;
        }
        let is_broken = |chain: &mut Chain| chain.is_broken();
        // One that broke is begun anew later: what broke it may have been one packet.
        drop(inner.chain.take_if(is_broken));
        if inner.chain.is_none() && now >= inner.again {
            inner.again = now.saturating_add(AGAIN);
            match self.begin(&inner, pad) {
                Ok(chain) => inner.chain = Some(chain),
                Err(error) => self.feed.sound_trouble(error.to_string()),
            }
        }
        let Inner {
            early,
            heard,
            alignment,
            chain,
            ..
        } = &mut *inner;
        for (at, mut packet) in early.drain(..) {
            let at = alignment.place(at, heard, &pictures);
            let (Some(chain), Ok(at)) = (&chain, u64::try_from(at)) else {
                continue;
            };
            let packet = packet.make_mut();
            packet.set_pts(gst::ClockTime::from_nseconds(at));
            packet.set_dts(gst::ClockTime::NONE);
            if let Err(trouble) = chain.push(packet.to_owned()) {
                self.feed.sound_trouble(trouble.to_owned());
            }
        }
    }

    fn begin(self: &Arc<Self>, inner: &Inner, pad: &gst::Pad) -> Result<Chain, PipelineError> {
        let fail = |reason: &str| PipelineError::Failed {
            name: "sound".to_owned(),
            reason: reason.to_owned(),
        };
        let plan = inner
            .plan
            .clone()
            .ok_or_else(|| fail("nothing is known of the sound"))?;
        let pipeline = launch(&self.catalog, plan.pipeline, &plan.filling)?;
        let packets = pipeline.by_name("packets").and_downcast::<gst_app::AppSrc>();
        let packets = packets.ok_or_else(|| fail("it has no way in"))?;
        let units = pipeline.by_name("units").and_downcast::<gst_app::AppSink>();
        let units = units.ok_or_else(|| fail("it has no way out"))?;
        packets.set_caps(pad.current_caps().as_ref());
        if let Some(encoder) = pipeline.by_name("encoder") {
            encoder.set_property_from_str("bitrate", &BITRATE_A_CHANNEL.to_string());
        }
        let held = Arc::<Held>::default();
        let comes_out = held.clone();
        let (sound, source) = (Arc::downgrade(self), pad.parent_element().map(|it| it.downgrade()));
        let source = move || source.as_ref().and_then(gst::glib::WeakRef::upgrade);
        units.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |units| {
                    comes_out.came_out();
                    let sample = units.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if let Some(sound) = Weak::upgrade(&sound) {
                        sound.unit(&sample, plan.late, now(source().as_ref()));
                    }
                    Ok(gst::FlowSuccess::Ok)
                })
                .build(),
        );
        let (is_broken, feed) = (Arc::new(AtomicBool::new(false)), self.feed.clone());
        let breaks = is_broken.clone();
        let runner = Runner::new(pipeline, move |event| {
            // Told on any thread of the chain's, or by the one that begins it: nothing may be waited for here.
            if let PipelineEvent::Error { message, .. } = event
                && !breaks.swap(true, Ordering::Relaxed)
            {
                feed.sound_trouble(format!("its sound cannot be read: {message}"));
            }
        });
        let started = runner.pipeline().set_state(gst::State::Playing);
        if started.is_err() && !is_broken.load(Ordering::Relaxed) {
            return Err(fail("it does not start"));
        }
        Ok(Chain::new(runner, packets, is_broken, held))
    }

    fn unit(&self, sample: &gst::Sample, late: i64, now: i64) {
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return;
        };
        let Some(at) = sample
            .segment()
            .and_then(|segment| segment.downcast_ref::<gst::ClockTime>()?.to_running_time(buffer.pts()?))
            .and_then(|at| i64::try_from(at.nseconds()).ok())
        else {
            return;
        };
        let duration = buffer.duration().map(gst::ClockTime::nseconds);
        // Without one the last packet of a file would last no time, and nobody would play it.
        let duration = packet_length(duration, &caps);
        let Ok(map) = buffer.into_mapped_buffer_readable() else {
            return;
        };
        let pts = at.saturating_sub(late);
        let unit = Unit {
            track: Track::Audio,
            pts,
            dts: pts,
            duration,
            keyframe: true,
            payload: bytes::Bytes::from_owner(map),
        };
        if pts >= 0 && !unit.payload.is_empty() {
            self.writing.sound(unit, &caps, now);
        }
    }

    /// Nothing more is heard.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.wanted = false;
        inner.again = i64::MAX;
        drop(inner.chain.take());
        let asked = inner.asked.take();
        drop(inner);
        if asked.is_some_and(|asked| SystemClock.instant().since(asked) >= ANSWERS) {
            self.feed
                .sound_refused("the camera does not answer when it is asked for its sound".to_owned());
        }
    }
}

/// What a stream of a camera is: `video`, `audio` or something else.
pub(super) fn media(caps: &gst::CapsRef) -> Option<&str> {
    caps.structure(0)?.get::<&str>("media").ok()
}
