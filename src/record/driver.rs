//! One camera's task: hears its run, its settings and the clock, asks [`Machine`] what to do, and does it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::model::{Camera, CameraHealth, Codec, GapCause, Loss, News, RunId, Schedule, Segment, Timestamp};
use crate::pipeline::StillUp;
use crate::runtime::{Instant, Tasks, give_back};

use super::closing::{Lanes, close_segment};
use super::intent::{Aim, Cause, Intent, Refusal, Triggered};
use super::run::RunNews;
use super::runs::{Adopted, Runs};
use super::session::{IsDown, Session};
use super::setting::Setting;
use super::showing::{Rate, Round};
use super::state::{Input, Machine, Order, Patience, State, Wish};
use super::tail::Tail;
use super::telling::{Ledger, Reminder, Silence};
use super::ways::Ways;

/// How long a camera's task may take to end its run when it is asked to stop.
const STOP: Duration = Duration::from_millis(3800);
/// A look at the clock that comes so late says that this process, or the machine, was held up.
const ASLEEP: Duration = Duration::from_secs(3);
/// How long what was closed then may take to be brought to the disk.
const SETTLE: Duration = Duration::from_millis(500);
/// The timestamps of a camera that jump more often than this are not believed.
const BETWEEN_JUMPS: Duration = Duration::from_secs(5);

/// What others ask of a camera's task.
#[derive(Debug)]
pub(super) enum Command {
    /// These are its settings now.
    Apply(Box<Camera>),
    /// These are its schedules now.
    Schedule(Vec<Schedule>),
    /// Something happened there, at this moment.
    Trigger(Instant, Cause, oneshot::Sender<Result<Triggered, Refusal>>),
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
    pub(super) camera: Camera,
    pub(super) machine: Machine,
    pub(super) intent: Intent,
    /// What is wanted of it, as the machine was told last.
    pub(super) aim: Aim,
    /// The last while of it, in memory.
    pub(super) tail: Tail,
    /// What the timeline was told last.
    pub(super) ledger: Ledger,
    /// Footage is wanted from here on, and none has come since.
    pub(super) missing_from: Option<Timestamp>,
    /// Whether a frame of it ever came.
    pub(super) was_seen: bool,
    pub(super) health: SharedHealth,
    pub(super) round: Arc<Round>,
    pub(super) rate: Rate,
    /// What the camera is believed to send.
    pub(super) codec: Codec,
    pub(super) session: Option<Session>,
    /// The session that is to take over from it.
    pub(super) beside: Option<Session>,
    /// Runs of which something is still awaited: they answer for their files.
    pub(super) runs: Runs,
    pub(super) counts: Arc<super::counts::Counts>,
    pub(super) tell: mpsc::UnboundedSender<(RunId, RunNews)>,
    pub(super) hear: mpsc::UnboundedReceiver<(RunId, RunNews)>,
    pub(super) down: mpsc::UnboundedSender<IsDown>,
    pub(super) downs: mpsc::UnboundedReceiver<IsDown>,
    pub(super) work: Tasks,
    /// Tries the camera's port, and tells whether it is open.
    pub(super) knocking: Tasks,
    pub(super) knocked: mpsc::UnboundedSender<bool>,
    knocks: mpsc::UnboundedReceiver<bool>,
    pub(super) covered_until: Option<Timestamp>,
    /// Lost, and people were told so; until frames come again.
    pub(super) outage: bool,
    /// Nothing can be written, and that was counted.
    pub(super) no_volume: bool,
    /// A run whose first frame ends a gap, until that moment is certain.
    pub(super) regained: Option<RunId>,
    pub(super) begun: u64,
    pub(super) abandoned: u64,
    /// Which of its pipelines are going down, or were left behind.
    pub(super) still_up: StillUp,
    /// By which transport it is asked next, where that is ours to find out.
    pub(super) ways: Ways,
    /// Why the event that lasts began or was extended, as it was told last.
    pub(super) told_cause: Option<String>,
    /// When it last looked at the clock, which it does each second.
    looked: Instant,
    pub(super) silence: Silence,
    pub(super) still_lost: Reminder,
    /// Whether sessions begin with the camera's timestamps believed.
    pub(super) believes_ticks: bool,
    pub(super) told_ticks: bool,
}

impl Driver {
    pub(super) fn new(setting: Setting, adopted: Adopted, round: Arc<Round>, health: SharedHealth) -> Self {
        let Adopted {
            camera,
            last,
            schedules,
            tail,
            runs,
            counts,
        } = adopted;
        let (tell, hear) = mpsc::unbounded_channel();
        let (down, downs) = mpsc::unbounded_channel();
        let (knocked, knocks) = mpsc::unbounded_channel();
        let patience = Patience {
            stall: setting.stall,
            connect: setting.connect,
        };
        let intent = Intent::new(&camera, &schedules);
        tail.set_keep(setting.tail_keep(intent.memory()));
        let (wish, since) = (Wish::Nothing, setting.clock.instant());
        let looked = setting.clock.instant();
        Self {
            machine: Machine::new(patience),
            intent,
            aim: Aim { wish, since },
            tail,
            ledger: Ledger::Blank,
            missing_from: None,
            was_seen: last.is_some(),
            codec: last.as_ref().map_or(Codec::H264, |segment| segment.format.codec),
            covered_until: last.map(|segment| segment.span.end),
            setting,
            camera,
            health,
            round,
            rate: Rate::default(),
            session: None,
            beside: None,
            runs,
            counts,
            tell,
            hear,
            down,
            downs,
            work: Tasks::new(),
            knocking: Tasks::new(),
            knocked,
            knocks,
            outage: false,
            no_volume: false,
            regained: None,
            begun: 0,
            abandoned: 0,
            still_up: StillUp::default(),
            ways: Ways::default(),
            told_cause: None,
            looked,
            silence: Silence::default(),
            still_lost: Reminder::default(),
            believes_ticks: true,
            told_ticks: false,
        }
    }

    /// Runs until it is asked to stop.
    pub(super) async fn drive(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.aim();
        loop {
            let (wall, now) = (self.setting.clock.now(), self.now());
            let machine = self.machine.wake().into_iter().chain(self.machine.next_knock());
            let machine = machine.map(|wake| wake.since(now));
            let wake = machine.chain(self.intent.wake(wall, now)).min();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Apply(camera)) => self.apply(*camera),
                    Some(Command::Schedule(schedules)) => {
                        self.intent.set_schedules(&schedules);
                        self.aim();
                    }
                    Some(Command::Trigger(at, cause, answer)) => {
                        // The asker may have gone.
                        let _ = answer.send(self.trigger(at, cause));
                    }
                    Some(Command::Redate) => self.redate(),
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
                Some(is_open) = self.knocks.recv() => {
                    if !is_open {
                        self.ways.is_away();
                    }
                    self.step(Input::Knocked(is_open));
                }
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
        self.notice_hand_over();
        self.hold_hand_over(true);
        self.step_now(input);
        self.hold_hand_over(false);
    }

    pub(super) fn step_now(&mut self, input: Input) {
        let orders = self.machine.step(self.now(), input, fastrand::f64());
        self.follow(orders);
    }

    pub(super) fn follow(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Begin => self.begin(),
                Order::Write => {
                    if let Some(session) = &self.session {
                        session.run.write(self.aim.since);
                    }
                }
                Order::Hold => self.hold(),
                Order::End => {
                    if let Some(session) = self.session.take() {
                        session.end(&mut self.work, self.down.clone(), self.still_up.clone());
                    }
                }
                Order::Report(loss, message) => self.report(loss, &message),
                Order::HeldUp(message) => self.held_up(&message),
                Order::Break => self.lose_nothing_silently(GapCause::Changed),
                Order::BeginBeside => self.begin_beside(),
                Order::DropBeside => self.drop_beside(),
                Order::TakeOver => self.take_over(),
                Order::Knock => self.knock(),
            }
        }
    }

    pub(super) fn segment_length(&self) -> Duration {
        Duration::from_secs(u64::from(self.camera.segment_seconds))
    }

    fn redate(&self) {
        let sessions = self.session.iter().chain(&self.beside);
        sessions.for_each(|session| session.run.redate());
    }

    pub(super) fn heard(&mut self, id: RunId, news: RunNews) {
        self.notice_hand_over();
        let is_on = self.session.as_ref().is_some_and(|session| session.run.id() == id);
        if self.beside.as_ref().is_some_and(|session| session.run.id() == id) {
            return self.heard_beside(news);
        }
        match news {
            RunNews::Began if is_on => self.began(),
            RunNews::Opened(segment) => {
                if segment.sequence == 0 {
                    tracing::info!(
                        camera = %self.camera.id, run = %segment.run, codec = segment.format.codec.as_str(),
                        width = segment.format.width, height = segment.format.height, "recording"
                    );
                }
                self.tell_world(News::Opened(segment));
            }
            RunNews::Resumed if is_on => self.resumed(id),
            RunNews::Held(end) if is_on => self.held(end),
            RunNews::Placed(segment) => self.placed(segment),
            RunNews::Closed(segment, path) => self.close(id, segment, path),
            RunNews::Lost(loss, message) if is_on => self.step(Input::Lost(loss, message)),
            RunNews::Jumped(seconds) if is_on => self.jumped(seconds),
            RunNews::Ticks(are_believed) => self.ticks_are(are_believed),
            RunNews::Overrun(overrun) if is_on => self.overrun(overrun),
            RunNews::OtherCodec(Some(codec)) if is_on => {
                tracing::info!(camera = %self.camera.id, codec = codec.as_str(), "the camera sends another codec");
                self.codec = codec;
                self.step(Input::Again);
            }
            RunNews::OtherCodec(None) if is_on => {
                let message = "the camera sends a codec that cannot be recorded; set it to H.264 or H.265".to_owned();
                self.step(Input::Lost(Loss::Broken, message));
            }
            RunNews::SoundTrouble(message) => self.sound_trouble(message),
            RunNews::SoundRefused(message) => self.sound_refused(message, is_on),
            RunNews::Odd(message) => tracing::debug!(camera = %self.camera.id, message, "the pipeline warns"),
            // The echo of a run that is going down.
            RunNews::Began
            | RunNews::Resumed
            | RunNews::Held(_)
            | RunNews::Lost(..)
            | RunNews::Jumped(_)
            | RunNews::Overrun(_)
            | RunNews::OtherCodec(_) => {}
        }
    }

    /// A camera that sets its ticks anew is asked for another session at once. When it does so all the time, its ticks are not
    /// believed any more.
    fn jumped(&mut self, seconds: i64) {
        let message = format!("the camera's timestamps jumped by {seconds} s");
        match self.machine.state() {
            State::Recording { since, .. } | State::Armed { since, .. } => {
                tracing::info!(camera = %self.camera.id, message, "a new run begins");
                if self.now().since(since) < BETWEEN_JUMPS {
                    self.believes_ticks = false;
                    self.ticks_are(false);
                }
                self.lose_nothing_silently(GapCause::Lost(Loss::Broken));
                self.step(Input::Again);
            }
            _ => self.step(Input::Lost(Loss::Broken, message)),
        }
    }

    /// Makes a closed file durable beside everything else.
    fn close(&mut self, id: RunId, segment: Segment, path: PathBuf) {
        if self.session.as_ref().is_none_or(|session| session.run.id() == id) {
            self.covered_until = Some(segment.span.end);
        }
        self.regain();
        let run = self.runs.get(id);
        let lanes = Lanes {
            tail: run.as_ref().and_then(|run| run.lane.clone()),
            mirror: run.as_ref().and_then(|run| run.mirror.clone()),
        };
        self.work.spawn(
            "close-segment",
            close_segment(self.setting.clone(), lanes, segment, path),
        );
    }

    fn tick(&mut self) {
        let now = self.now();
        let asleep = now.since(std::mem::replace(&mut self.looked, now)) > ASLEEP;
        if asleep {
            // Not the camera was silent but we were held up, and what it sent meanwhile may lie in the socket yet.
            self.machine.step(now, Input::Heard, 0.0);
        }
        if let Some(heard) = self.session.as_ref().and_then(|session| session.run.pulse.heard()) {
            // Orders nothing; it only moves what the tick after it compares with.
            self.machine.step(heard, Input::Heard, 0.0);
        }
        self.look_at_those_left(self.machine.going);
        self.step(Input::Tick);
        self.aim();
    }

    async fn stop(mut self, cause: GapCause) {
        self.notice_hand_over();
        self.lose_nothing_silently(cause);
        self.step(Input::Wanted(Wish::Nothing));
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
        // What a camera had is in pieces between what others have.
        give_back();
        self.show();
    }
}
