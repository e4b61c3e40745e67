//! One stream of a demo camera: what outlives the media pipelines that come and go with its clients.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::prelude::*;

use super::encoder::{launch_text, relay_text, set_up_encoder, set_up_source, sound_caps};
use super::gate::Gate;
use super::options::{DemoError, StreamOptions, check_size};
use super::pump::Pump;
use super::relay::Relay;
use super::sound::Sound;
use super::storage::{CameraClock, Encoding, Shelf, Unit, encoded_caps};

/// What voaacenc makes of 16 kHz is heard 1600 samples late; a camera dates its sound as it was taken.
const VOICE_DELAY: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// A frame that left the camera, whether a client read it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentFrame {
    /// Its number since the camera was switched on.
    pub counter: u32,
    /// When it was taken, in microseconds since the epoch.
    pub time_us: u64,
    /// Whether decoding can begin here.
    pub keyframe: bool,
}

/// A pipeline that serves clients at present.
struct Live {
    media: gst_rtsp_server::RTSPMedia,
    gate: Arc<Gate>,
    source: gst_app::AppSrc,
    feed: Feed,
}

/// Where the pictures of a live pipeline come from.
enum Feed {
    /// From a sensor and an encoder of its own.
    Own {
        encoder: gst::Element,
        /// Held for its thread.
        _pump: Pump,
    },
    /// From the encoder that always runs.
    Relay(Relay),
}

/// One stream: its picture, its log, and its controls.
pub struct Stream {
    options: StreamOptions,
    size: Mutex<(u32, u32)>,
    stalled: Arc<AtomicBool>,
    counter: AtomicU32,
    sent: Mutex<Vec<SentFrame>>,
    live: Mutex<Vec<Live>>,
    idle: Condvar,
    /// What a camera with storage believes about the time.
    clock: Option<Arc<CameraClock>>,
    /// What is kept, by a camera with storage.
    shelf: Option<Arc<Shelf>>,
    encoding: Mutex<Option<Encoding>>,
    live_frozen: AtomicBool,
}

impl Stream {
    pub(super) fn new(
        options: StreamOptions,
        stalled: Arc<AtomicBool>,
        clock: Option<Arc<CameraClock>>,
        shelf: Option<Arc<Shelf>>,
    ) -> Self {
        Self {
            size: Mutex::new((options.width, options.height)),
            options,
            stalled,
            counter: AtomicU32::new(0),
            sent: Mutex::new(Vec::new()),
            live: Mutex::new(Vec::new()),
            idle: Condvar::new(),
            clock,
            shelf,
            encoding: Mutex::new(None),
            live_frozen: AtomicBool::new(false),
        }
    }

    /// What this stream was asked to be.
    pub fn options(&self) -> &StreamOptions {
        &self.options
    }

    /// Every frame that left, in the order of leaving.
    pub fn sent_frames(&self) -> Vec<SentFrame> {
        lock(&self.sent).clone()
    }

    /// The size of the next picture.
    pub fn size(&self) -> (u32, u32) {
        *lock(&self.size)
    }

    /// Goes on with another size inside the running session: a new SPS in the middle of the stream.
    pub fn change_resolution(&self, width: u32, height: u32) -> Result<(), DemoError> {
        check_size(width, height)?;
        *lock(&self.size) = (width, height);
        Ok(())
    }

    /// Makes the next frame a keyframe.
    pub fn force_keyframe(&self) {
        if let Some(encoding) = lock(&self.encoding).as_ref() {
            force_keyframe(encoding.encoder());
        }
        for live in lock(&self.live).iter() {
            if let Feed::Own { encoder, .. } = &live.feed {
                force_keyframe(encoder);
            }
        }
    }

    /// Starts the encoder that always runs, when what it makes is kept.
    pub(super) fn begin_keeping(self: &Arc<Self>) -> Result<(), DemoError> {
        if self.shelf.is_some() {
            *lock(&self.encoding) = Some(Encoding::start(self)?);
        }
        Ok(())
    }

    /// A picture came out of the encoder that always runs.
    pub(super) fn keep(&self, unit: Unit) {
        let unit = Arc::new(unit);
        if let Some(shelf) = &self.shelf {
            shelf.put(unit.clone());
        }
        let frozen = self.live_frozen.load(Ordering::SeqCst);
        let mut wants_key = false;
        for live in lock(&self.live).iter_mut() {
            match &mut live.feed {
                Feed::Relay(relay) if frozen => relay.skip(),
                Feed::Relay(relay) => wants_key |= relay.feed(&unit),
                Feed::Own { .. } => {}
            }
        }
        if wants_key {
            self.force_keyframe();
        }
    }

    /// No picture leaves any more, though pictures are made and kept.
    pub(super) fn freeze_live(&self, frozen: bool) {
        self.live_frozen.store(frozen, Ordering::SeqCst);
        if !frozen {
            self.force_keyframe();
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::SeqCst)
    }

    pub(super) fn next_counter(&self) -> u32 {
        self.counter.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn raw_caps(&self, (width, height): (u32, u32)) -> gst::Caps {
        gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", width as i32)
            .field("height", height as i32)
            .field("framerate", gst::Fraction::new(self.options.fps as i32, 1))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field("interlace-mode", "progressive")
            .field("colorimetry", "bt709")
            .build()
    }

    /// The factory that gst-rtsp-server makes a pipeline of when the first client comes.
    pub(super) fn factory(self: &Arc<Self>) -> gst_rtsp_server::RTSPMediaFactory {
        let factory = gst_rtsp_server::RTSPMediaFactory::new();
        // One encoder for all clients, so that all of them see the same frames.
        factory.set_shared(true);
        if self.shelf.is_some() {
            factory.set_launch(relay_text(&self.options));
        } else {
            factory.set_launch(&launch_text(&self.options));
        }
        let stream = Arc::downgrade(self);
        factory.connect_media_configure(move |_, media| {
            if let Some(stream) = stream.upgrade()
                && let Err(reason) = stream.go_live(media)
            {
                tracing::error!(
                    path = stream.options.path,
                    reason,
                    "the demo camera cannot serve this stream"
                );
            }
        });
        factory
    }

    fn go_live(self: &Arc<Self>, media: &gst_rtsp_server::RTSPMedia) -> Result<(), &'static str> {
        let bin = media
            .element()
            .downcast::<gst::Bin>()
            .map_err(|_| "its pipeline is no bin")?;
        let source = bin.by_name("video").ok_or("it has no source")?;
        let source = source
            .downcast::<gst_app::AppSrc>()
            .map_err(|_| "its source is no appsrc")?;
        let gate = Arc::new(Gate::new(self.options.key_on_play, self.options.microphone));
        if let (Some(offset), Some(payloader)) = (self.options.rtp_offset, bin.by_name("pay0")) {
            payloader.set_property("timestamp-offset", offset);
        }
        let stream = Arc::downgrade(self);
        media.connect_prepared({
            let (stream, gate) = (stream.clone(), gate.clone());
            move |media| watch_exits(&stream, &gate, media)
        });
        media.connect_unprepared(move |media| {
            if let Some(stream) = stream.upgrade() {
                stream.forget(media);
            }
        });
        let feed = if self.shelf.is_some() {
            set_up_source(&source, &encoded_caps(&self.options));
            Feed::Relay(Relay::new(source.clone(), gate.clone(), self.options.key_on_play))
        } else {
            self.feed_own(&bin, &gate, &source)?
        };
        lock(&self.live).push(Live {
            media: media.clone(),
            gate,
            source,
            feed,
        });
        Ok(())
    }

    /// Gives a live pipeline a sensor, and sets up its encoders.
    fn feed_own(
        self: &Arc<Self>,
        bin: &gst::Bin,
        gate: &Arc<Gate>,
        source: &gst_app::AppSrc,
    ) -> Result<Feed, &'static str> {
        let encoder = bin.by_name("encoder").ok_or("it has no encoder")?;
        set_up_source(source, &self.raw_caps(self.size()));
        set_up_encoder(&self.options, &encoder);
        gate.watch_encoder(&encoder.static_pad("src").ok_or("its encoder has no exit")?);
        let early = bin.by_name("voice").map_or(gst::ClockTime::ZERO, |_| VOICE_DELAY);
        let audio = bin
            .by_name("audio")
            .and_downcast::<gst_app::AppSrc>()
            .zip(self.options.audio.rate());
        let microphone = audio.map(|(source, rate)| {
            set_up_source(&source, &sound_caps(rate));
            (source, Sound::new(rate, early))
        });
        let pump = Pump::start(self.clone(), gate.clone(), source.clone(), microphone)
            .map_err(|_| "no thread can be started")?;
        Ok(Feed::Own { encoder, _pump: pump })
    }

    /// A client said PLAY.
    pub(super) fn play(&self) {
        for live in lock(&self.live).iter() {
            if let Some(now) = live.source.current_running_time() {
                live.gate.play_from(now);
            }
        }
        if self.options.key_on_play {
            self.force_keyframe();
        }
    }

    /// Its last client went, and the pipeline with it.
    fn forget(&self, media: &gst_rtsp_server::RTSPMedia) {
        let gone: Vec<_> = {
            let mut live = lock(&self.live);
            let (gone, kept) = live.drain(..).partition(|it| it.media == *media);
            *live = kept;
            gone
        };
        // The thread is joined outside of the lock, for it may be asking for it.
        drop(gone);
        self.idle.notify_all();
    }

    /// Waits until no pipeline serves this stream; false when that took too long.
    pub(super) fn wait_idle(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        let mut live = lock(&self.live);
        while !live.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            live = self
                .idle
                .wait_timeout(live, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Ends what still runs, when the server did not.
    pub(super) fn end(&self) {
        let encoding = lock(&self.encoding).take();
        let left = std::mem::take(&mut *lock(&self.live));
        // Both outside of the locks, for their threads may be asking for them.
        drop((encoding, left));
    }
}

fn force_keyframe(encoder: &gst::Element) {
    let ask = gst::Structure::builder("GstForceKeyUnit")
        .field("all-headers", true)
        .field("count", 0u32)
        .build();
    if let Some(pad) = encoder.static_pad("src")
        && !pad.send_event(gst::event::CustomUpstream::new(ask))
    {
        tracing::debug!("the demo camera's encoder was not asked for a keyframe");
    }
}

/// At the exits of rtpbin, behind the point at which the server holds the stream up until PLAY.
fn watch_exits(stream: &Weak<Stream>, gate: &Arc<Gate>, media: &gst_rtsp_server::RTSPMedia) {
    let Some(pipeline) = media.element().parent().and_downcast::<gst::Bin>() else {
        return;
    };
    let is_rtpbin = |it: &gst::Element| it.factory().is_some_and(|factory| factory.name() == "rtpbin");
    let Some(rtpbin) = pipeline.iterate_elements().into_iter().flatten().find(is_rtpbin) else {
        return;
    };
    // A sender report tells when a frame was taken, not when it was sent.
    rtpbin.set_property("rtcp-sync-send-time", false);
    for number in 0..media.n_streams() as usize {
        let is_silent = stream.upgrade().is_some_and(|stream| !stream.options.sender_reports);
        if let Some(pad) = rtpbin
            .static_pad(&format!("send_rtcp_src_{number}"))
            .filter(|_| is_silent)
        {
            pad.add_probe(gst::PadProbeType::BUFFER, |_, _| gst::PadProbeReturn::Handled);
        }
        let clock = stream.upgrade().and_then(|stream| stream.clock.clone());
        if let Some((clock, pad)) = clock.zip(rtpbin.static_pad(&format!("send_rtcp_src_{number}"))) {
            clock.date_reports(&pad);
        }
        if let Some(pad) = rtpbin.static_pad(&format!("send_rtp_src_{number}")) {
            let (stream, asked) = (stream.clone(), stream.clone());
            let sent = move |frame| {
                if let Some(stream) = stream.upgrade() {
                    lock(&stream.sent).push(frame);
                }
            };
            let ask_key = move || {
                if let Some(stream) = asked.upgrade() {
                    stream.force_keyframe();
                }
            };
            gate.watch_exit(number, &pad, sent, ask_key);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
