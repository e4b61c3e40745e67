//! Pipelines in the hands of a person: drawn, and played outside of the daemon with everything that they say.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::model::{Codec, Timestamp, TrackCaps, Unit, VideoFormat, scrub};
use crate::runtime::pause;

use super::catalog::Catalog;
use super::error::PipelineError;
use super::event::PipelineEvent;
use super::launch::launch;
use super::record::{Cut, Feed, RecordSpec, Recording, record_filling};
use super::runner::{Runner, StillUp, on_the_side};
use super::template::Filling;

/// How long a pipeline may take to begin.
const BEGIN: Duration = Duration::from_secs(5);

/// Timestamps jitter: a keyframe that comes this little too early is on time.
const SPARE: Duration = Duration::from_millis(20);

/// A pipeline as Graphviz text: built and not played. No binder has touched it, so nothing of what a person
/// configured is in it.
pub fn draw(catalog: &Catalog, name: &str, filling: &Filling) -> Result<String, PipelineError> {
    let details = gst::DebugGraphDetails::all() - gst::DebugGraphDetails::FULL_PARAMS;
    Ok(scrub(&launch(catalog, name, filling)?.debug_to_dot_data(details)))
}

/// One thing that a pipeline which is watched said.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// What it said on its bus.
    Event(PipelineEvent),
    /// The pictures are of this kind from here on.
    Format(VideoFormat),
    /// The camera told the time by its own clock, for the first time.
    CameraTime {
        /// Running time of the unit it speaks of, ns.
        pts: i64,
        /// When that was taken.
        taken: Timestamp,
    },
    /// The camera sends another codec than was believed; nothing if it is none that can be recorded.
    OtherCodec(Option<Codec>),
    /// The camera pointed somewhere else, which was not followed.
    Redirect(String),
    /// Sound is of this kind from here on, or has ended.
    Sound(Option<String>),
    /// Sound is not recorded, for this reason.
    SoundTrouble(String),
    /// The camera gives nothing when it is asked for sound, for this reason.
    SoundRefused(String),
    /// A file could not be made.
    NoPlace(String),
}

/// Watches a pipeline: counts what comes, cuts it into files of a directory, and tells everything.
pub struct Watch {
    directory: PathBuf,
    stem: String,
    segment: Duration,
    tell: Box<dyn Fn(Told) + Send + Sync>,
    frames: AtomicU64,
    bytes: AtomicU64,
    /// Files that were begun and those that are closed; they differ while there is something to wait for.
    begun: AtomicU64,
    closed: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    looks: Option<(VideoFormat, TrackCaps)>,
    /// The next unit goes into a new file by itself.
    is_new_branch: bool,
    /// Where the segment began that is on.
    began: Option<i64>,
    number: u32,
    knows_camera_time: bool,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("directory", &self.directory)
            .field("segment", &self.segment)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Files go into `directory`, called `stem` and a number, a new one at the first keyframe after `segment`. `tell` is
    /// called on GStreamer's threads and must not wait.
    pub fn new(directory: &Path, stem: &str, segment: Duration, tell: impl Fn(Told) + Send + Sync + 'static) -> Self {
        Self {
            directory: directory.to_owned(),
            stem: stem.to_owned(),
            segment,
            tell: Box::new(tell),
            frames: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            inner: Mutex::default(),
        }
    }

    /// Frames and bytes so far.
    pub fn totals(&self) -> (u64, u64) {
        (self.frames.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Files that are closed.
    pub fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether every file that was begun is closed.
    pub fn is_settled(&self) -> bool {
        self.closed() >= self.begun.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the next file; one that is there already is never written over.
    fn make(&self) -> io::Result<PathBuf> {
        loop {
            let number = self.with(|inner| {
                inner.number += 1;
                inner.number
            });
            let path = self.directory.join(format!("{}-{number:05}.mp4", self.stem));
            match File::create_new(&path) {
                Ok(_) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Feed for Watch {
    fn format(&self, format: VideoFormat, caps: TrackCaps) {
        self.with(|inner| {
            inner.is_new_branch = inner.looks.as_ref().is_some_and(|(_, known)| *known != caps);
            inner.looks = Some((format, caps));
        });
        (self.tell)(Told::Format(format));
    }

    fn heard(&self) {}

    fn camera_time(&self, pts: i64, taken: Timestamp) {
        let is_first = self.with(|inner| !std::mem::replace(&mut inner.knows_camera_time, true));
        if is_first {
            (self.tell)(Told::CameraTime { pts, taken });
        }
    }

    fn unit(&self, unit: Unit) -> Cut {
        self.count(unit.payload.len());
        let (is_begin, is_cut) = self.with(|inner| {
            let is_new = std::mem::take(&mut inner.is_new_branch) || inner.began.is_none();
            let age = inner.began.map_or(0, |began| unit.pts.saturating_sub(began));
            let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0)) + SPARE;
            let is_due = unit.keyframe && age >= self.segment;
            if is_new || is_due {
                inner.began = Some(unit.pts);
            }
            (is_new || is_due, is_due && !is_new)
        });
        if is_begin {
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
        if is_cut { Cut::Here } else { Cut::Continue }
    }

    fn place(&self, _first_pts: i64) -> Option<PathBuf> {
        self.make()
            .inspect_err(|error| {
                let why = format!("cannot make a file in {}: {error}", self.directory.display());
                (self.tell)(Told::NoPlace(why));
            })
            .ok()
    }

    fn sound_format(&self, caps: Option<String>) {
        self.with(|inner| {
            if let Some((_, known)) = &mut inner.looks {
                known.audio.clone_from(&caps);
            }
        });
        (self.tell)(Told::Sound(caps));
    }

    fn sound(&self, unit: Unit) {
        self.bytes.fetch_add(unit.payload.len() as u64, Ordering::Relaxed);
    }

    fn sound_trouble(&self, message: String) {
        (self.tell)(Told::SoundTrouble(message));
    }

    fn sound_refused(&self, message: String) {
        (self.tell)(Told::SoundRefused(message));
    }

    fn other_codec(&self, codec: Option<Codec>) {
        (self.tell)(Told::OtherCodec(codec));
    }

    fn redirect_refused(&self, to: String) {
        (self.tell)(Told::Redirect(to));
    }

    fn event(&self, event: PipelineEvent) {
        if matches!(event, PipelineEvent::FragmentClosed { .. }) {
            self.closed.fetch_add(1, Ordering::Relaxed);
        }
        (self.tell)(Told::Event(event));
    }
}

/// A pipeline that is watched while it plays.
#[derive(Debug)]
pub struct Playing(Kind);

#[derive(Debug)]
enum Kind {
    /// Bound as the daemon binds it.
    Recording(Recording),
    /// As its text is.
    Bare(Runner),
}

/// Plays a pipeline. With a spec that is `record`, bound as the daemon binds it; anything else plays as its text is.
pub fn play(
    catalog: &Catalog,
    name: &str,
    spec: Option<&RecordSpec>,
    filling: &Filling,
    watch: &Arc<Watch>,
) -> Result<Playing, PipelineError> {
    if let Some(spec) = spec {
        let mut whole = record_filling(spec);
        whole.extend(filling.clone());
        let recording = Recording::begin_filled(catalog, spec, &whole, watch.clone())?;
        return Ok(Playing(Kind::Recording(recording)));
    }
    let pipeline = launch(catalog, name, filling)?;
    for sink in pipeline.iterate_sinks().into_iter().flatten() {
        for pad in sink.sink_pads() {
            let watch = watch.clone();
            pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                watch.count(info.buffer().map_or(0, |buffer| buffer.size()));
                gst::PadProbeReturn::Ok
            });
        }
    }
    let hear = watch.clone();
    let runner = Runner::new(pipeline, move |event| hear.event(event));
    match runner.reach(gst::State::Playing, BEGIN) {
        Ok(()) => Ok(Playing(Kind::Bare(runner))),
        Err(error) => {
            runner.take_down(Duration::from_secs(3));
            Err(error)
        }
    }
}

impl Playing {
    /// Ends the stream in order and waits until `is_done`, or for at most the deadline; `false` when that passed.
    pub fn end(&self, deadline: Duration, is_done: &dyn Fn() -> bool) -> bool {
        match &self.0 {
            // An end without a beginning would have splitmuxsink open a file for nothing.
            Kind::Recording(_) if is_done() => {}
            Kind::Recording(recording) => recording.end(deadline, is_done),
            Kind::Bare(runner) => {
                let pipeline = runner.pipeline().clone();
                on_the_side(move || pipeline.send_event(gst::event::Eos::new()));
                let (step, mut waited) = (Duration::from_millis(10), Duration::ZERO);
                while !is_done() && waited < deadline {
                    pause(step);
                    waited += step;
                }
            }
        }
        is_done()
    }

    /// Takes it down; `false` when it did not come down in time and was left behind.
    pub fn take_down(self, deadline: Duration) -> bool {
        match self.0 {
            Kind::Recording(recording) => recording.take_down(deadline, StillUp::default()),
            Kind::Bare(runner) => runner.take_down(deadline),
        }
    }
}
