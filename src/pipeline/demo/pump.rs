//! The sensor: a thread that takes a picture at every tick and hands it to the encoder.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::runtime::spawn_thread;

use super::gate::Gate;
use super::scene::Scene;
use super::sound::Sound;
use super::stamp::Stamp;
use super::stream::{SentFrame, Stream};

/// A picture is not taken while so many wait for the encoder: better a frame fewer than a frame that is late.
const MOST_WAITING: u64 = 6;
/// The same for pieces of sound, which wait until a client says PLAY: one that is left out is heard.
const MOST_SOUND_WAITING: u64 = 250;

/// The running thread; it ends when this is dropped.
pub(super) struct Pump {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    /// Starts to take pictures for `source`.
    pub(super) fn start(
        stream: Arc<Stream>,
        gate: Arc<Gate>,
        source: gst_app::AppSrc,
        mut microphone: Option<(gst_app::AppSrc, Sound)>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let asked = stop.clone();
        let thread = spawn_thread("demo-sensor", move || {
            take_pictures(&stream, &gate, &source, &mut microphone, &asked)
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the sensor thread of the demo camera broke");
        }
    }
}

fn take_pictures(
    stream: &Stream,
    gate: &Gate,
    source: &gst_app::AppSrc,
    microphone: &mut Option<(gst_app::AppSrc, Sound)>,
    stop: &(Mutex<bool>, Condvar),
) {
    let period = stream.options().frame_period();
    let mut scene: Option<((u32, u32), Scene)> = None;
    let mut tick = Instant::now();
    loop {
        tick += period;
        // A box that slept, or was too busy, goes on with the next whole tick: a camera has no frames to make up.
        while tick + period < Instant::now() {
            tick += period;
        }
        if wait_until(tick, stop) {
            return;
        }
        if stream.is_stalled() {
            if let Some((_, sound)) = microphone {
                sound.interrupt();
            }
            continue;
        }
        // The three clocks are read together and taken back to the tick, so that frames are evenly spaced however
        // late this thread woke up.
        let Some(running) = source.current_running_time() else {
            continue;
        };
        let (wall, late) = (gst::glib::real_time(), tick.elapsed());
        let Some(at) = running.checked_sub(to_clock_time(late)) else {
            continue;
        };
        let time_us = u64::try_from(wall).unwrap_or(0).saturating_sub(late.as_micros() as u64);

        // Sound has its own queue: its encoder may need several pieces where the picture's needs one.
        if let Some((source, sound)) = microphone {
            if source.current_level_buffers() > MOST_SOUND_WAITING {
                sound.interrupt();
            } else if let Some((begins, piece)) = sound.until(at, time_us) {
                push(source, piece, begins, None, sound.begins_anew());
            }
        }
        let waiting_allowed = if gate.is_open() { MOST_WAITING } else { 0 };
        if source.current_level_buffers() > waiting_allowed {
            continue;
        }

        let size = stream.size();
        if scene.as_ref().is_none_or(|(painted, _)| *painted != size) {
            let (number, title) = (stream.options().scene, &stream.options().title);
            scene = Some((size, Scene::new(number, title, size.0, size.1)));
            source.set_caps(Some(&stream.raw_caps(size)));
        }
        let Some((_, scene)) = &scene else {
            continue;
        };
        let stamp = Stamp {
            counter: stream.next_counter(),
            time_us,
        };
        gate.taken(
            at,
            SentFrame {
                counter: stamp.counter,
                time_us,
                keyframe: false,
            },
        );
        push(source, scene.frame(stamp), at, Some(to_clock_time(period)), false);
    }
}

fn push(
    source: &gst_app::AppSrc,
    bytes: Vec<u8>,
    at: gst::ClockTime,
    duration: Option<gst::ClockTime>,
    begins_anew: bool,
) {
    let mut buffer = gst::Buffer::from_mut_slice(bytes);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(at);
        buffer.set_duration(duration);
        if begins_anew {
            // Payloaders count samples, and would date what follows as if nothing were missing.
            buffer.set_flags(gst::BufferFlags::DISCONT);
        }
    }
    if source.push_buffer(buffer).is_err() {
        // The pipeline is being taken down; the owner of this thread ends it in a moment.
        tracing::trace!("the demo camera's pipeline takes no more");
    }
}

/// Waits for the tick; true when asked to stop.
fn wait_until(tick: Instant, stop: &(Mutex<bool>, Condvar)) -> bool {
    let mut stopped = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let left = tick.saturating_duration_since(Instant::now());
        if *stopped || left.is_zero() {
            return *stopped;
        }
        stopped = stop
            .1
            .wait_timeout(stopped, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

fn to_clock_time(duration: Duration) -> gst::ClockTime {
    gst::ClockTime::try_from(duration).unwrap_or(gst::ClockTime::ZERO)
}
