//! One camera's task: hears its run, its settings and the clock, asks [`Machine`] what to do, and does it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::model::{Camera, CameraHealth, Codec, GapCause, Loss, News, RunId, Segment, Timestamp};
use crate::pipeline::RecordSpec;
use crate::runtime::{Instant, Tasks};
use crate::storage::TailLane;

use super::closing::close_segment;
use super::piece::{Origins, source_at};
use super::run::{Run, RunNews};
use super::session::{IsDown, Session};
use super::setting::Setting;
use super::showing::{Rate, Round};
use super::state::{Input, Machine, Order, Patience, State};

/// How long a camera's task may take to end its run when it is asked to stop.
const STOP: Duration = Duration::from_millis(3800);
/// How long what was closed then may take to be brought to the disk.
const SETTLE: Duration = Duration::from_millis(500);

/// What others ask of a camera's task.
#[derive(Debug)]
pub(super) enum Command {
    /// These are its settings now.
    Apply(Box<Camera>),
    /// Somebody set the wall clock: footage from here on is dated anew.
    Redate,
    /// Close everything and end; the answer comes when that is done.
    Stop(GapCause, oneshot::Sender<()>),
}

/// How a camera is, for whoever looks.
pub(super) type SharedHealth = Arc<Mutex<CameraHealth>>;

/// One camera's task.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) setting: Setting,
    pub(super) lane: Option<TailLane>,
    pub(super) camera: Camera,
    pub(super) machine: Machine,
    pub(super) health: SharedHealth,
    pub(super) round: Arc<Round>,
    pub(super) rate: Rate,
    /// What the camera is believed to send.
    pub(super) codec: Codec,
    pub(super) session: Option<Session>,
    /// Runs of which something is still awaited: they answer for their files.
    pub(super) runs: HashMap<RunId, Arc<Run>>,
    pub(super) tell: mpsc::UnboundedSender<(RunId, RunNews)>,
    pub(super) hear: mpsc::UnboundedReceiver<(RunId, RunNews)>,
    pub(super) down: mpsc::UnboundedSender<IsDown>,
    pub(super) downs: mpsc::UnboundedReceiver<IsDown>,
    pub(super) work: Tasks,
    pub(super) covered_until: Option<Timestamp>,
    /// Lost, and told so; until frames come again.
    pub(super) outage: bool,
    /// A run whose first frame ends a gap, until that moment is certain.
    pub(super) regained: Option<RunId>,
    pub(super) begun: u64,
    pub(super) abandoned: u64,
}

impl Driver {
    pub(super) fn new(
        setting: Setting,
        camera: Camera,
        last: Option<&Segment>,
        health: SharedHealth,
        round: Arc<Round>,
    ) -> Self {
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
            round,
            rate: Rate::default(),
            session: None,
            runs: HashMap::new(),
            tell,
            hear,
            down,
            downs,
            work: Tasks::new(),
            outage: false,
            regained: None,
            begun: 0,
            abandoned: 0,
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
                    Some(Command::Redate) => if let Some(session) = &self.session { session.run.redate() },
                    Some(Command::Stop(cause, done)) => {
                        self.stop(cause).await;
                        // The asker may have gone.
                        let _ = done.send(());
                        return;
                    }
                    None => return self.stop(GapCause::Stopped).await,
                },
                Some((run, news)) = self.hear.recv() => self.heard(run, news),
                Some(down) = self.downs.recv() => self.is_down(down),
                Some(end) = self.work.next_end() => if let Err(error) = end {
                    tracing::error!(camera = %self.camera.id, error, "a task of the recorder died");
                },
                () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => self.tick(),
                _ = second.tick() => { self.tick(); self.grow(); }
            }
            self.show();
            self.round.come(self.now());
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.setting.clock.instant()
    }

    pub(super) fn step(&mut self, input: Input) {
        for order in self.machine.step(self.now(), input, fastrand::f64()) {
            match order {
                Order::Begin => self.begin(),
                Order::End => {
                    if let Some(session) = self.session.take() {
                        session.end(&mut self.work, self.down.clone());
                    }
                }
                Order::Report(loss, message) => self.report(loss, &message),
            }
        }
    }

    fn want(&mut self) {
        let wanted = self.camera.enabled && self.camera.record_enabled;
        let was_idle = self.machine.state() == State::Disabled;
        let reached = self.session.as_ref().and_then(|session| session.run.covered_until());
        self.step(Input::Wanted(wanted));
        if !wanted && !was_idle {
            let until = reached.or(self.covered_until).filter(|_| !self.outage);
            let at = until.unwrap_or_else(|| self.setting.clock.now());
            self.outage = false;
            self.tell_world(News::Unwanted {
                camera: self.camera.id.clone(),
                at,
            });
        }
    }

    fn apply(&mut self, camera: Camera) {
        let renew = camera.needs_new_run(&self.camera);
        self.camera = camera;
        if let Some(session) = &self.session {
            session.run.set_segment(self.segment_length());
        }
        self.want();
        if renew {
            tracing::info!(camera = %self.camera.id, "settings changed, a new run begins");
            self.lose_nothing_silently(GapCause::Changed);
            self.step(Input::Renew);
        }
    }

    fn segment_length(&self) -> Duration {
        Duration::from_secs(u64::from(self.camera.segment_seconds))
    }

    fn begin(&mut self) {
        let now = self.setting.clock.now();
        let origins = Origins {
            camera: self.camera.id.clone(),
            run: RunId(fastrand::u32(..)),
            volume: self.setting.volume.id(),
            clock: source_at(now),
            began: now,
        };
        let segment = self.segment_length();
        let run = Run::new(
            origins,
            &self.setting,
            self.lane.clone(),
            segment,
            self.camera.time_source,
            self.covered_until,
            self.tell.clone(),
        );
        let run = Arc::new(run);
        self.begun += 1;
        self.runs.insert(run.id(), run.clone());
        let address = match self.camera.stream_address() {
            Ok(address) => address,
            Err(error) => {
                // Checked when it was stored; an index from elsewhere may still hold such a one.
                run.is_broken(error.to_string());
                self.session = Some(Session::unable(run));
                return;
            }
        };
        tracing::info!(camera = %self.camera.id, run = %run.id(), from = address.shown(), "connecting");
        let spec = RecordSpec {
            address,
            transport: self.camera.transport,
            latency: self.setting.latency,
            connect: self.setting.connect,
            codec: self.codec,
        };
        self.session = Some(Session::begin(&mut self.work, self.setting.catalog.clone(), spec, run));
    }

    fn is_down(&mut self, down: IsDown) {
        // What the run said before it went down is heard first.
        while let Ok((run, news)) = self.hear.try_recv() {
            self.heard(run, news);
        }
        if !down.in_time {
            self.abandoned += 1;
            tracing::warn!(camera = %self.camera.id, run = %down.run, "the pipeline did not come down and was left behind");
        }
        if let Some(run) = self.runs.remove(&down.run) {
            self.covered_until = run.covered_until().or(self.covered_until);
            for segment in run.unwritten() {
                self.tell_world(News::Vanished(segment));
            }
        }
        self.step(Input::Down);
    }

    fn heard(&mut self, id: RunId, news: RunNews) {
        let is_on = self.session.as_ref().is_some_and(|session| session.run.id() == id);
        match news {
            RunNews::Opened(segment) => {
                if is_on && matches!(self.machine.state(), State::Connecting { .. }) {
                    self.first_frame(id, &segment);
                }
                self.tell_world(News::Opened(segment));
            }
            RunNews::Placed(segment) => self.tell_world(News::Opened(segment)),
            RunNews::Closed(segment, path) => self.close(segment, path),
            RunNews::Lost(loss, message) if is_on => self.step(Input::Lost(loss, message)),
            RunNews::OtherCodec(Some(codec)) if is_on => {
                tracing::info!(camera = %self.camera.id, codec = codec.as_str(), "the camera sends another codec");
                self.codec = codec;
                self.step(Input::Again);
            }
            RunNews::OtherCodec(None) if is_on => {
                let message = "the camera sends a codec that cannot be recorded; set it to H.264 or H.265".to_owned();
                self.step(Input::Lost(Loss::Broken, message));
            }
            RunNews::Odd(message) => tracing::debug!(camera = %self.camera.id, message, "the pipeline warns"),
            // The echo of a run that is going down.
            RunNews::Lost(..) | RunNews::OtherCodec(_) => {}
        }
    }

    /// Makes a closed file durable beside everything else.
    fn close(&mut self, segment: Segment, path: PathBuf) {
        self.covered_until = Some(segment.span.end);
        self.regain();
        self.work.spawn(
            "close-segment",
            close_segment(self.setting.clone(), self.lane.clone(), segment, path),
        );
    }

    fn tick(&mut self) {
        if let Some(heard) = self.session.as_ref().and_then(|session| session.run.pulse.heard()) {
            // Orders nothing; it only moves what the tick after it compares with.
            self.machine.step(heard, Input::Heard, 0.0);
        }
        self.step(Input::Tick);
    }

    async fn stop(mut self, cause: GapCause) {
        self.lose_nothing_silently(cause);
        self.step(Input::Wanted(false));
        let deadline = tokio::time::sleep(STOP);
        tokio::pin!(deadline);
        while !self.runs.is_empty() {
            tokio::select! {
                Some((run, news)) = self.hear.recv() => self.heard(run, news),
                Some(down) = self.downs.recv() => self.is_down(down),
                () = &mut deadline => break,
            }
        }
        let work = std::mem::take(&mut self.work);
        if !work.join_all(SETTLE).await {
            tracing::warn!(camera = %self.camera.id, "segments were still being closed; the next start mends them");
        }
        self.show();
    }
}
