//! One camera's task: hears its run, its settings and the clock, asks [`Machine`] what to do, and does it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::model::{
    Camera, CameraHealth, CameraState, ClockSource, Codec, Copy, CopyState, Event, EventKind, GapCause, Loss, News,
    RunId, Segment, Timestamp,
};
use crate::pipeline::{RecordSpec, Recording};
use crate::runtime::{Instant, Tasks};
use crate::storage::{Identity, TailLane, make_durable};

use super::piece::Origins;
use super::run::{Run, RunNews};
use super::setting::Setting;
use super::state::{Input, Machine, Order, Patience, State};

/// How long files may take to be closed in order, and then the pipeline to come down.
const CLOSE: Duration = Duration::from_secs(3);
/// A clock that shows less than this does not know the time: camkeep did not exist then.
const BUILT: Timestamp = Timestamp::from_seconds(1_763_000_000);

/// What others ask of a camera's task.
#[derive(Debug)]
pub(super) enum Command {
    /// These are its settings now.
    Apply(Box<Camera>),
    /// Close everything and end; the answer comes when that is done.
    Stop(GapCause, oneshot::Sender<()>),
}

/// How a camera is, for whoever looks.
pub(super) type SharedHealth = Arc<Mutex<CameraHealth>>;

/// One camera's task.
#[derive(Debug)]
pub(super) struct Driver {
    lane: Option<TailLane>,
    setting: Setting,
    camera: Camera,
    machine: Machine,
    health: SharedHealth,
    codec: Codec,
    current: Option<Current>,
    tell: mpsc::UnboundedSender<(RunId, RunNews)>,
    hear: mpsc::UnboundedReceiver<(RunId, RunNews)>,
    /// Runs of which something is still awaited: they answer for their files.
    runs: HashMap<RunId, Arc<Run>>,
    down: mpsc::UnboundedSender<RunId>,
    downs: mpsc::UnboundedReceiver<RunId>,
    work: Tasks,
    covered_until: Option<Timestamp>,
    outage: bool,
    regained: Option<RunId>,
    begun: u64,
    abandoned: u64,
    rate: Rate,
}

/// The run that is on.
#[derive(Debug)]
struct Current {
    run: Arc<Run>,
    recording: Option<Recording>,
}

/// Frames and bytes a second, over the time since the last look but one.
#[derive(Debug, Default)]
struct Rate {
    seen: Vec<(Instant, u64, u64)>,
}

impl Rate {
    fn look(&mut self, now: Instant, (frames, bytes): (u64, u64)) -> (f64, f64) {
        if self.seen.last().is_some_and(|(_, last, _)| *last > frames) {
            self.seen.clear();
        }
        self.seen.push((now, frames, bytes));
        self.seen
            .retain(|(then, ..)| now.since(*then) <= Duration::from_secs(5));
        match (self.seen.first(), now) {
            (Some((then, had, held)), now) if now > *then => {
                let seconds = now.since(*then).as_secs_f64();
                ((frames - had) as f64 / seconds, (bytes - held) as f64 / seconds)
            }
            _ => (0.0, 0.0),
        }
    }
}

impl Driver {
    pub(super) fn new(setting: Setting, camera: Camera, last: Option<&Segment>, health: SharedHealth) -> Self {
        let (tell, hear) = mpsc::unbounded_channel();
        let (down, downs) = mpsc::unbounded_channel();
        let patience = Patience {
            stall: setting.stall,
            connect: setting.connect,
        };
        Self {
            machine: Machine::new(patience),
            codec: last.map_or(Codec::H264, |segment| segment.format.codec),
            covered_until: last.map(|segment| segment.span.end),
            lane: setting.tail.as_ref().map(|tail| tail.lane(camera.id.clone())),
            setting,
            camera,
            health,
            current: None,
            tell,
            hear,
            runs: HashMap::new(),
            down,
            downs,
            work: Tasks::new(),
            outage: false,
            regained: None,
            begun: 0,
            abandoned: 0,
            rate: Rate::default(),
        }
    }

    /// Runs until it is asked to stop.
    pub(super) async fn drive(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.want();
        loop {
            let wake = self.machine.wake().map(|wake| wake.since(self.now()));
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Apply(camera)) => self.apply(*camera),
                    Some(Command::Stop(cause, done)) => {
                        self.stop(cause).await;
                        // The asker may have gone.
                        let _ = done.send(());
                        return;
                    }
                    None => return self.stop(GapCause::Stopped).await,
                },
                Some((run, news)) = self.hear.recv() => self.heard(run, news),
                Some(run) = self.downs.recv() => self.is_down(run),
                Some(end) = self.work.next_end() => if let Err(error) = end {
                    tracing::error!(camera = %self.camera.id, error, "a task of the recorder died");
                },
                () = tokio::time::sleep(wake.unwrap_or(Duration::from_secs(3600))), if wake.is_some() => self.tick(),
                _ = second.tick() => { self.tick(); self.grow(); }
            }
            self.show();
        }
    }

    fn now(&self) -> Instant {
        self.setting.clock.instant()
    }

    fn tell_world(&self, news: News) {
        // Fails only when the timeline has ended, which it does after everybody who sends.
        let _ = self.setting.news.send(news);
    }

    fn happened(&self, kind: EventKind, message: String) {
        let camera = Some(self.camera.id.clone());
        self.tell_world(News::Happened(Event {
            at: self.setting.clock.now(),
            kind,
            camera,
            message,
        }));
    }

    fn step(&mut self, input: Input) {
        let orders = self.machine.step(self.now(), input, fastrand::f64());
        for order in orders {
            match order {
                Order::Begin => self.begin(),
                Order::End => self.end(),
                Order::Report(loss, message) => self.report(loss, &message),
            }
        }
    }

    fn want(&mut self) {
        let wanted = self.camera.enabled && self.camera.record_enabled;
        let idle = self.machine.state() == State::Disabled;
        self.step(Input::Wanted(wanted));
        if !wanted && !idle {
            let at = self.covered_until.unwrap_or_else(|| self.setting.clock.now());
            let at = if self.outage { self.setting.clock.now() } else { at };
            self.tell_world(News::Unwanted {
                camera: self.camera.id.clone(),
                at,
            });
        }
    }

    fn apply(&mut self, camera: Camera) {
        let renew = camera.needs_new_run(&self.camera);
        self.camera = camera;
        if let Some(current) = &self.current {
            current.run.set_segment(self.segment_length());
        }
        self.want();
        if renew {
            tracing::info!(camera = %self.camera.id, "settings changed, a new run begins");
            self.step(Input::Renew);
        }
    }

    fn segment_length(&self) -> Duration {
        Duration::from_secs(u64::from(self.camera.segment_seconds))
    }

    fn begin(&mut self) {
        let address = match self.camera.stream_address() {
            Ok(address) => address,
            // Checked when it was stored; an index from elsewhere may still hold such a one.
            Err(error) => return self.step(Input::Lost(Loss::Broken, error.to_string())),
        };
        let now = self.setting.clock.now();
        let origins = Origins {
            camera: self.camera.id.clone(),
            run: RunId(fastrand::u32(..)),
            volume: self.setting.volume.id(),
            clock: if now < BUILT {
                ClockSource::Unsynced
            } else {
                ClockSource::Arrival
            },
            began: now,
        };
        let spec = RecordSpec {
            address,
            transport: self.camera.transport,
            latency: self.setting.latency,
            connect: self.setting.connect,
            codec: self.codec,
        };
        tracing::info!(camera = %self.camera.id, run = %origins.run, from = spec.address.shown(), "connecting");
        let run = Run::new(
            origins,
            &self.setting,
            self.lane.clone(),
            self.segment_length(),
            self.tell.clone(),
        );
        let run = Arc::new(run);
        self.begun += 1;
        self.runs.insert(run.id(), run.clone());
        match Recording::begin(&self.setting.catalog, &spec, run.clone()) {
            Ok(recording) => {
                self.current = Some(Current {
                    run,
                    recording: Some(recording),
                })
            }
            Err(error) => {
                self.current = Some(Current { run, recording: None });
                self.step(Input::Lost(Loss::Broken, error.to_string()));
            }
        }
    }

    /// Closes the files and takes the pipeline down, beside everything else; `downs` hears when it is done.
    fn end(&mut self) {
        let Some(current) = self.current.take() else { return };
        let (run, down) = (current.run, self.down.clone());
        run.finish();
        let camera = self.camera.id.clone();
        let recording = current.recording;
        self.work.spawn("close-run", async move {
            if let Some(recording) = recording {
                let closing = run.clone();
                let work = move || {
                    recording.end(CLOSE, &|| closing.is_settled());
                    recording.take_down(CLOSE)
                };
                if !matches!(tokio::task::spawn_blocking(work).await, Ok(true)) {
                    tracing::warn!(camera = %camera, run = %run.id(), "the pipeline was left behind");
                }
            }
            // The driver may be gone when the whole house stops.
            let _ = down.send(run.id());
        });
    }

    fn is_down(&mut self, id: RunId) {
        // What the run said before it went down is heard first.
        while let Ok((run, news)) = self.hear.try_recv() {
            self.heard(run, news);
        }
        if let Some(run) = self.runs.remove(&id) {
            self.covered_until = run.covered_until().or(self.covered_until);
            for segment in run.unwritten() {
                self.tell_world(News::Vanished(segment));
            }
        }
        self.step(Input::Down);
    }

    fn report(&mut self, loss: Loss, message: &str) {
        let reached = self.current.as_ref().and_then(|current| {
            current.run.finish();
            current.run.covered_until()
        });
        self.covered_until = reached.or(self.covered_until);
        let camera = self.camera.id.clone();
        let at = self.covered_until.unwrap_or_else(|| self.setting.clock.now());
        self.tell_world(News::Lost {
            camera,
            at,
            cause: GapCause::Lost(loss),
        });
        if self.outage {
            tracing::info!(camera = %self.camera.id, loss = loss.as_str(), message, "still lost");
        } else {
            self.outage = true;
            tracing::warn!(camera = %self.camera.id, loss = loss.as_str(), message, "lost");
            self.happened(
                EventKind::CameraOffline,
                format!("{} was lost ({loss}): {message}", self.camera.name),
            );
        }
    }

    fn heard(&mut self, id: RunId, news: RunNews) {
        let is_current = self.current.as_ref().is_some_and(|current| current.run.id() == id);
        match news {
            RunNews::Opened(segment) => {
                if is_current && segment.sequence == 0 {
                    self.first_frame(&segment);
                }
                self.tell_world(News::Opened(segment));
            }
            RunNews::Placed(segment) => self.tell_world(News::Opened(segment)),
            RunNews::Closed(segment, path) => self.close(segment, path),
            RunNews::Lost(loss, message) if is_current => self.step(Input::Lost(loss, message)),
            RunNews::OtherCodec(Some(codec)) if is_current => {
                tracing::info!(camera = %self.camera.id, codec = codec.as_str(), "the camera sends another codec");
                self.codec = codec;
                self.step(Input::Again);
            }
            RunNews::OtherCodec(None) if is_current => {
                let message = "the camera sends a codec that cannot be recorded; set it to H.264 or H.265".to_owned();
                self.step(Input::Lost(Loss::Broken, message));
            }
            RunNews::Odd(message) => tracing::debug!(camera = %self.camera.id, message, "the pipeline warns"),
            // The echo of a run that is going down.
            RunNews::Lost(..) | RunNews::OtherCodec(_) => {}
        }
    }

    fn first_frame(&mut self, segment: &Segment) {
        let back_off_begun = self.begun;
        self.step(Input::FirstFrame);
        self.regained = Some(segment.run);
        tracing::info!(
            camera = %self.camera.id, run = %segment.run, codec = segment.format.codec.as_str(),
            width = segment.format.width, height = segment.format.height, "recording"
        );
        if self.outage {
            self.outage = false;
            self.happened(EventKind::CameraOnline, format!("{} is back", self.camera.name));
        } else if back_off_begun == 1 {
            self.happened(EventKind::CameraOnline, format!("{} is recording", self.camera.name));
        }
    }

    /// Makes a closed file durable beside everything else, and tells the timeline then.
    fn close(&mut self, segment: Segment, path: PathBuf) {
        self.covered_until = Some(segment.span.end);
        self.regain();
        let (news, camera, clock) = (
            self.setting.news.clone(),
            self.camera.name.clone(),
            self.setting.clock.clone(),
        );
        let lane = self.lane.clone();
        self.work.spawn("close-segment", async move {
            let done = tokio::task::spawn_blocking(move || durable(segment, &path)).await;
            match done {
                Ok((segment, trouble)) => {
                    // The timeline ends after everybody who sends.
                    if let Some(message) = trouble {
                        tracing::error!(camera = %segment.camera, segment = %segment.id, message, "a segment is suspect");
                        let (at, kind) = (clock.now(), EventKind::RecorderError);
                        let message = format!("a segment of {camera} is suspect: {message}");
                        let _ = news.send(News::Happened(Event { at, kind, camera: Some(segment.camera.clone()), message }));
                    }
                    let whole = segment.copies.iter().all(|copy| copy.state == CopyState::Whole);
                    if let Some(lane) = lane.filter(|_| whole) {
                        lane.finish(segment.id);
                    }
                    let _ = news.send(News::Closed(segment));
                }
                Err(error) => tracing::error!(camera, %error, "a closed segment could not be looked at"),
            }
        });
    }

    /// Tells where footage is there again, once that moment does not move any more.
    fn regain(&mut self) {
        let Some(id) = self.regained.take() else { return };
        if let Some(at) = self.runs.get(&id).and_then(|run| run.began_at()) {
            self.tell_world(News::Regained {
                camera: self.camera.id.clone(),
                at,
            });
        }
    }

    fn grow(&mut self) {
        for run in self.runs.values() {
            for (id, span, frames, size_bytes) in run.growing() {
                self.tell_world(News::Grew {
                    id,
                    span,
                    frames,
                    size_bytes,
                });
            }
        }
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.run.has_settled_clock())
        {
            self.regain();
        }
    }

    fn tick(&mut self) {
        let heard = self.current.as_ref().and_then(|current| current.run.pulse.heard());
        if let Some(heard) = heard {
            let _ = self.machine.step(heard, Input::Heard, 0.0);
        }
        self.step(Input::Tick);
    }

    fn show(&mut self) {
        let now = self.now();
        let totals = self.current.as_ref().map(|current| current.run.pulse.totals());
        let (frames_per_second, bytes_per_second) = self.rate.look(now, totals.unwrap_or_default());
        let last = self
            .current
            .as_ref()
            .and_then(|current| current.run.covered_until())
            .or(self.covered_until);
        let state = self.machine.shown();
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.state != state {
            health.since = self.setting.clock.now();
        }
        health.name.clone_from(&self.camera.name);
        health.state = state;
        health.loss = self.machine.loss().map(|(loss, _)| *loss);
        health.message = self.machine.loss().map(|(_, message)| message.clone());
        health.last_frame_at = last;
        health.frames_per_second = if state == CameraState::Recording {
            frames_per_second
        } else {
            0.0
        };
        health.bytes_per_second = if state == CameraState::Recording {
            bytes_per_second
        } else {
            0.0
        };
        health.reconnects = self.begun.saturating_sub(1);
        health.abandoned = self.abandoned;
    }

    async fn stop(mut self, cause: GapCause) {
        let wanted = self.machine.state() != State::Disabled;
        self.step(Input::Wanted(false));
        let deadline = tokio::time::sleep(CLOSE + CLOSE + Duration::from_secs(1));
        tokio::pin!(deadline);
        while !self.runs.is_empty() {
            tokio::select! {
                Some((run, news)) = self.hear.recv() => self.heard(run, news),
                Some(run) = self.downs.recv() => self.is_down(run),
                () = &mut deadline => break,
            }
        }
        let work = std::mem::take(&mut self.work);
        if !work.join_all(CLOSE).await {
            tracing::warn!(camera = %self.camera.id, "segments were still being closed; they are mended at the next start");
        }
        if wanted && !self.outage {
            let at = self.covered_until.unwrap_or_else(|| self.setting.clock.now());
            self.tell_world(News::Lost {
                camera: self.camera.id.clone(),
                at,
                cause,
            });
        }
        self.show();
    }
}

/// Labels a closed file, brings it to the disk and hashes it. Trouble makes it suspect, never absent.
fn durable(mut segment: Segment, path: &std::path::Path) -> (Segment, Option<String>) {
    let labelled = Identity::append(path, &segment);
    let done = make_durable(path);
    let mut trouble = labelled.err().map(|error| error.to_string());
    let (size_bytes, sha256, state) = match done {
        Ok(durable) => (Some(durable.size_bytes), Some(durable.sha256), CopyState::Whole),
        Err(error) => {
            trouble = Some(error.to_string());
            (None, None, CopyState::Suspect)
        }
    };
    for copy in &mut segment.copies {
        *copy = Copy {
            size_bytes: size_bytes.unwrap_or(copy.size_bytes),
            sha256,
            state,
            ..copy.clone()
        };
    }
    segment.state = crate::model::SegmentState::Closed;
    (segment, trouble)
}
