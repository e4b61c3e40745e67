//! What a camera's recording does next. Pure: time and news come in, orders go out.
//!
//! ```text
//!              wanted                 first frame, footage        lost, or nothing wanted
//!  Disabled ------------> Connecting --------------> Recording -----------------------------+
//!     ^  ^                  |  | ^         footage  ^      | only memory, and the file ends  |
//!     |  |                  |  | | first frame,     |      v                                 |
//!     |  |                  |  | | only memory +--> Armed ---------------------------------->|
//!     |  |                  |  +-|-------------+          lost, or nothing wanted            v
//!     |  |                  |    | the wait is over                                       Closing
//!     |  +--- Waiting <-----|----|------------------------- down, and wanted ---------------|
//!     |         |           |    +---- Waiting                                              |
//!     |         |           +-------------- lost, or nothing wanted ---------------------> (same)
//!     +---------+ nothing         +-------------------------- down, and nothing wanted -----+
//!                 wanted
//! ```
//!
//! `Closing` lasts until every run is down: its files are closed and its pipeline is gone or left behind. A new run never
//! begins before that, so a camera has one session. `Armed` and `Recording` are one and the same session.
//! When settings change while footage is written, a second run begins beside the first: see `renewal.rs`.

use std::time::Duration;

use crate::model::{CameraState, Loss};
use crate::runtime::{Backoff, Instant};

use super::knocking::Knocking;
use super::left::Left;
pub(super) use super::orders::{Input, Order, Wish};

/// How patient a camera's recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// No frame for so long is a stall.
    pub stall: Duration,
    /// Nothing at all for so long after beginning is no answer.
    pub connect: Duration,
}

/// Frames come, but none to begin with, for so long: the stream cannot be used.
const NO_KEYFRAME: Duration = Duration::from_secs(90);
/// After so long without a loss the next wait is the first again.
const HEALTHY: Duration = Duration::from_secs(30);
/// Wrong passwords lock cameras, so after this many in a row the waits are long.
const REFUSALS: u32 = 3;
/// How long, then.
const REFUSED_WAIT: Duration = Duration::from_secs(300);

/// How long a volume that takes no files is left alone, when that was found before a camera was asked for anything.
const VOLUME_WAIT: Duration = Duration::from_secs(2);

/// Where a camera's recording stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody wants it.
    Disabled,
    /// A run has begun and no frame has come.
    Connecting {
        /// When it began.
        began: Instant,
        /// When anything last came.
        heard: Instant,
    },
    /// Frames come and are held in memory; none is written.
    Armed {
        /// Since when they come.
        since: Instant,
        /// When the last one came.
        heard: Instant,
    },
    /// Frames come and are written.
    Recording {
        /// Since when they come.
        since: Instant,
        /// When the last one came.
        heard: Instant,
    },
    /// The run is being taken down.
    Closing,
    /// Lost; it is tried again.
    Waiting {
        /// When.
        until: Instant,
    },
}

/// One camera's recording.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Machine {
    pub(super) state: State,
    pub(super) wish: Wish,
    pub(super) at_once: bool,
    pub(super) loss: Option<(Loss, String)>,
    pub(super) refusals: u32,
    /// The volume took nothing, so that no camera was asked for anything.
    no_camera_was_asked: bool,
    pub(super) backoff: Backoff,
    /// Pipelines that did not come down.
    pub(super) left: Left,
    /// What is known of the camera's port while it is waited for.
    pub(super) knocking: Option<Knocking>,
    patience: Patience,
    /// A run has begun beside the one that is on; whether a frame of it came.
    pub(super) beside: Option<bool>,
    /// How many runs are being taken down.
    pub(super) going: u8,
    /// The run that is on knows only older settings, and by then another has to be.
    pub(super) renewal: Option<Instant>,
}

impl Machine {
    /// A recording that nobody wants yet.
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            state: State::Disabled,
            wish: Wish::Nothing,
            at_once: false,
            loss: None,
            refusals: 0,
            no_camera_was_asked: false,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            left: Left::default(),
            knocking: None,
            patience,
            beside: None,
            going: 0,
            renewal: None,
        }
    }

    /// Where it stands.
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// The last loss, until frames come again.
    pub(super) fn loss(&self) -> Option<&(Loss, String)> {
        self.loss.as_ref()
    }

    /// The state as people see it. `Recording` means that a frame was kept within the time of a stall.
    pub(super) fn shown(&self) -> CameraState {
        match self.state {
            State::Disabled => CameraState::Disabled,
            State::Recording { .. } => CameraState::Recording,
            State::Armed { .. } => CameraState::Idle,
            _ => match &self.loss {
                None => CameraState::Connecting,
                Some((loss, _)) if *loss == Loss::Unauthorised || loss.is_of_the_volume() => CameraState::Error,
                Some(_) => CameraState::Offline,
            },
        }
    }

    /// When time alone will change something.
    pub(super) fn wake(&self) -> Option<Instant> {
        match self.state {
            State::Disabled | State::Closing => None,
            State::Connecting { began, heard } => Some(heard.plus(self.patience.connect).min(began.plus(NO_KEYFRAME))),
            State::Armed { heard, .. } => Some(heard.plus(self.patience.stall)),
            State::Recording { heard, .. } => {
                let stall = heard.plus(self.patience.stall);
                Some(self.renewal_due().map_or(stall, |due| due.min(stall)))
            }
            State::Waiting { until } => Some(until),
        }
    }

    /// Something happened. `luck` in `[0, 1)` decides the jitter of waits.
    pub(super) fn step(&mut self, now: Instant, input: Input, luck: f64) -> Vec<Order> {
        let mut orders = self.hear_of(now, input, luck);
        orders.extend(self.settle());
        orders
    }

    fn hear_of(&mut self, now: Instant, input: Input, luck: f64) -> Vec<Order> {
        match input {
            Input::Wanted(wish) => self.want(now, wish),
            Input::Renew => self.renew(now),
            Input::Heard => self.hear(now),
            Input::FirstFrame => self.first_frame(now),
            Input::Held => self.held(),
            Input::Lost(loss, message) => self.lose(now, loss, message),
            Input::Again if self.is_on() => self.promote(now).unwrap_or_else(|| self.end(true)),
            Input::Again => Vec::new(),
            Input::BesideCame => {
                self.beside = self.beside.map(|_| true);
                Vec::new()
            }
            Input::BesideLost if self.beside.is_some() => self.break_off(),
            Input::BesideLost => Vec::new(),
            Input::BesideAgain => self.drop_beside(),
            Input::TakenOver => self.take_over(),
            Input::Down => self.down(now, luck),
            Input::Knocked(is_open) => self.knocked(now, is_open),
            Input::Tick => self.tick(now),
        }
    }

    /// Whether a run is on, and not being taken down.
    pub(super) fn is_on(&self) -> bool {
        matches!(
            self.state,
            State::Connecting { .. } | State::Armed { .. } | State::Recording { .. }
        )
    }

    fn want(&mut self, now: Instant, wish: Wish) -> Vec<Order> {
        let before = std::mem::replace(&mut self.wish, wish);
        if wish == Wish::Memory {
            let mut orders = self.drop_beside();
            orders.extend(self.want_some(now, before, wish));
            return orders;
        }
        self.want_some(now, before, wish)
    }

    fn want_some(&mut self, now: Instant, before: Wish, wish: Wish) -> Vec<Order> {
        if wish == Wish::Nothing {
            return match self.state {
                State::Waiting { .. } => self.rest(),
                _ if self.is_on() => self.end(false),
                _ => Vec::new(),
            };
        }
        if self.state == State::Disabled {
            return self.begin(now);
        }
        if !self.is_on() || wish == before {
            return Vec::new();
        }
        match (self.state, wish) {
            (State::Armed { since, heard }, Wish::Footage) => {
                self.state = State::Recording { since, heard };
                vec![Order::Write]
            }
            (_, Wish::Footage) => vec![Order::Write],
            // What is written has to come to its end first.
            _ => vec![Order::Hold],
        }
    }

    fn held(&mut self) -> Vec<Order> {
        if let (State::Recording { since, heard }, Wish::Memory) = (self.state, self.wish) {
            self.state = State::Armed { since, heard };
        }
        Vec::new()
    }

    fn hear(&mut self, now: Instant) -> Vec<Order> {
        match &mut self.state {
            State::Connecting { heard, .. } => *heard = now.max(*heard),
            State::Armed { since, heard } | State::Recording { since, heard } => {
                *heard = now.max(*heard);
                if now.since(*since) >= HEALTHY {
                    self.backoff.reset();
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn first_frame(&mut self, now: Instant) -> Vec<Order> {
        if let State::Connecting { .. } = self.state {
            let (since, heard) = (now, now);
            self.state = match self.wish {
                Wish::Footage => State::Recording { since, heard },
                _ => State::Armed { since, heard },
            };
            self.loss = None;
            self.refusals = 0;
        }
        Vec::new()
    }

    fn lose(&mut self, now: Instant, loss: Loss, message: String) -> Vec<Order> {
        // What a run says while it goes down is the echo of the loss that took it down.
        if !self.is_on() {
            return Vec::new();
        }
        if let Some(orders) = self.promote(now) {
            return orders;
        }
        self.refusals = if loss == Loss::Unauthorised {
            self.refusals + 1
        } else {
            0
        };
        self.no_camera_was_asked = loss.is_of_the_volume() && matches!(self.state, State::Connecting { .. });
        self.loss = Some((loss, message.clone()));
        let mut orders = vec![Order::Report(loss, message)];
        orders.extend(self.end(false));
        orders
    }

    fn down(&mut self, now: Instant, luck: f64) -> Vec<Order> {
        self.going = self.going.saturating_sub(1);
        if self.state != State::Closing || self.going > 0 {
            return Vec::new();
        }
        if self.wish == Wish::Nothing {
            return self.rest();
        }
        if self.at_once || self.loss.is_none() {
            return self.begin(now);
        }
        let wait = if self.refusals >= REFUSALS {
            REFUSED_WAIT
        } else if self.no_camera_was_asked {
            VOLUME_WAIT
        } else {
            self.backoff.next_wait(luck)
        };
        self.state = State::Waiting { until: now.plus(wait) };
        self.knocking = Knocking::after(self.loss.as_ref().map(|(loss, _)| *loss), now);
        Vec::new()
    }

    fn tick(&mut self, now: Instant) -> Vec<Order> {
        if self.wake().is_none_or(|wake| now < wake) {
            return self.knock(now);
        }
        match self.state {
            State::Connecting { heard, .. } if now.since(heard) >= self.patience.connect => {
                let seconds = self.patience.connect.as_secs();
                self.lose(
                    now,
                    Loss::Unreachable,
                    format!("the camera sent nothing for {seconds} s"),
                )
            }
            State::Connecting { .. } => {
                let seconds = NO_KEYFRAME.as_secs();
                self.lose(
                    now,
                    Loss::Broken,
                    format!("the camera sent no keyframe for {seconds} s"),
                )
            }
            State::Recording { heard, .. }
                if now.since(heard) < self.patience.stall && self.renewal_due().is_some_and(|due| due <= now) =>
            {
                self.break_off()
            }
            State::Armed { heard, .. } | State::Recording { heard, .. } => {
                let seconds = now.since(heard).as_secs();
                self.lose(
                    now,
                    Loss::Stalled,
                    format!("the camera keeps the connection but sent no frame for {seconds} s"),
                )
            }
            State::Waiting { .. } => self.try_again(now),
            State::Disabled | State::Closing => Vec::new(),
        }
    }

    pub(super) fn end(&mut self, at_once: bool) -> Vec<Order> {
        let mut orders = self.drop_beside();
        self.at_once = at_once;
        self.state = State::Closing;
        self.going += 1;
        self.renewal = None;
        orders.push(Order::End);
        orders
    }

    fn rest(&mut self) -> Vec<Order> {
        self.state = State::Disabled;
        self.loss = None;
        self.refusals = 0;
        self.backoff.reset();
        self.left.hold_nothing_up();
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Patience = Patience {
        stall: Duration::from_secs(5),
        connect: Duration::from_secs(10),
    };

    fn at(seconds: f64) -> Instant {
        Instant((seconds * 1e9) as u64)
    }

    fn lost(loss: Loss) -> Input {
        Input::Lost(loss, "for a test".into())
    }

    fn recording() -> Machine {
        let mut machine = Machine::new(PATIENCE);
        assert_eq!(machine.step(at(0.0), Input::Wanted(Wish::Footage), 0.5), [Order::Begin]);
        machine.step(at(1.0), Input::FirstFrame, 0.5);
        machine
    }

    #[test]
    fn a_frozen_camera_is_noticed_after_five_seconds_and_not_before() {
        let mut machine = recording();
        machine.step(at(3.0), Input::Heard, 0.5);
        assert_eq!(machine.step(at(7.9), Input::Tick, 0.5), []);
        assert_eq!(machine.shown(), CameraState::Recording);
        let orders = machine.step(at(8.0), Input::Tick, 0.5);
        assert!(
            matches!(&orders[..], [Order::Report(Loss::Stalled, _), Order::End]),
            "{orders:?}"
        );
        assert_eq!(machine.shown(), CameraState::Offline);
    }

    #[test]
    fn waits_grow_and_shrink_again_after_thirty_seconds_of_health() {
        let mut machine = recording();
        let mut now = 2.0;
        for wait in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            machine.step(at(now), lost(Loss::Ended), 0.5);
            machine.step(at(now), Input::Down, 0.5);
            assert_eq!(machine.wake(), Some(at(now + wait)));
            now += wait;
            assert_eq!(machine.step(at(now), Input::Tick, 0.5), [Order::Begin]);
            machine.step(at(now), Input::FirstFrame, 0.5);
        }
        machine.step(at(now + 31.0), Input::Heard, 0.5);
        machine.step(at(now + 31.0), lost(Loss::Ended), 0.5);
        machine.step(at(now + 31.0), Input::Down, 0.5);
        assert_eq!(machine.wake(), Some(at(now + 32.0)));
    }

    #[test]
    fn a_volume_that_takes_nothing_is_looked_at_every_two_seconds_however_long_it_lasts() {
        let mut machine = recording();
        let mut now = 2.0;
        // What was found while it was written to is tried again as any other loss.
        for (loss, wait) in [
            (Loss::VolumeFull, 1.0),
            (Loss::VolumeFull, 2.0),
            (Loss::VolumeLost, 2.0),
            (Loss::VolumeFull, 2.0),
        ] {
            machine.step(at(now), lost(loss), 0.5);
            machine.step(at(now), Input::Down, 0.5);
            assert_eq!(machine.wake(), Some(at(now + wait)));
            assert_eq!(machine.shown(), CameraState::Error);
            now += wait;
            assert_eq!(machine.step(at(now), Input::Tick, 0.5), [Order::Begin]);
        }
        // And a disk that only seems to be well does not have a camera asked again and again.
        for wait in [2.0, 4.0] {
            machine.step(at(now), Input::FirstFrame, 0.5);
            machine.step(at(now), lost(Loss::VolumeLost), 0.5);
            machine.step(at(now), Input::Down, 0.5);
            assert_eq!(machine.wake(), Some(at(now + wait)));
            now += wait;
            machine.step(at(now), Input::Tick, 0.5);
        }
    }

    #[test]
    fn a_wrong_password_is_tried_three_times_and_then_every_five_minutes() {
        let mut machine = Machine::new(PATIENCE);
        machine.step(at(0.0), Input::Wanted(Wish::Footage), 0.5);
        let mut now = 0.0;
        let mut waits = Vec::new();
        for _ in 0..4 {
            machine.step(at(now), lost(Loss::Unauthorised), 0.5);
            machine.step(at(now), Input::Down, 0.5);
            let wake = machine.wake().map_or(0.0, |wake| wake.0 as f64 / 1e9);
            waits.push((wake - now).round());
            now = wake;
            machine.step(at(now), Input::Tick, 0.5);
        }
        assert_eq!(waits, [1.0, 2.0, 300.0, 300.0]);
        assert_eq!(machine.shown(), CameraState::Error);
        // A new password is tried at once.
        machine.step(at(now), lost(Loss::Unauthorised), 0.5);
        machine.step(at(now), Input::Down, 0.5);
        assert_eq!(machine.step(at(now), Input::Renew, 0.5), [Order::Begin]);
    }

    #[test]
    fn a_camera_that_is_switched_off_is_taken_down_and_stays_down() {
        let mut machine = recording();
        assert_eq!(machine.step(at(2.0), Input::Wanted(Wish::Nothing), 0.5), [Order::End]);
        assert_eq!(machine.step(at(2.1), Input::Down, 0.5), []);
        assert_eq!((machine.state(), machine.wake()), (State::Disabled, None));
    }

    #[test]
    fn a_stream_without_a_keyframe_is_given_up_although_packets_come() {
        let mut machine = Machine::new(PATIENCE);
        machine.step(at(0.0), Input::Wanted(Wish::Footage), 0.5);
        for second in 1..90 {
            machine.step(at(f64::from(second)), Input::Heard, 0.5);
            assert_eq!(machine.step(at(f64::from(second)), Input::Tick, 0.5), []);
        }
        let orders = machine.step(at(90.0), Input::Tick, 0.5);
        assert!(
            matches!(&orders[..], [Order::Report(Loss::Broken, _), Order::End]),
            "{orders:?}"
        );
    }

    #[test]
    fn an_event_writes_and_rests_again_within_one_session() {
        let mut machine = Machine::new(PATIENCE);
        assert_eq!(machine.step(at(0.0), Input::Wanted(Wish::Memory), 0.5), [Order::Begin]);
        machine.step(at(1.0), Input::FirstFrame, 0.5);
        assert_eq!(machine.shown(), CameraState::Idle);
        let write = machine.step(at(2.0), Input::Wanted(Wish::Footage), 0.5);
        assert_eq!((write, machine.shown()), (vec![Order::Write], CameraState::Recording));
        assert_eq!(machine.step(at(4.0), Input::Wanted(Wish::Memory), 0.5), [Order::Hold]);
        assert_eq!(
            machine.shown(),
            CameraState::Recording,
            "its last group of pictures is being written"
        );
        assert_eq!(machine.step(at(5.0), Input::Held, 0.5), []);
        assert_eq!(machine.shown(), CameraState::Idle);
        assert!(
            !machine.step(at(10.5), Input::Tick, 0.5).is_empty(),
            "an armed camera can stall as well"
        );
    }

    fn wish() -> impl Strategy<Value = Wish> {
        prop_oneof![Just(Wish::Nothing), Just(Wish::Memory), Just(Wish::Footage)]
    }

    fn input() -> impl Strategy<Value = Input> {
        prop_oneof![
            wish().prop_map(Input::Wanted),
            Just(Input::Held),
            Just(Input::Renew),
            Just(Input::Heard),
            Just(Input::FirstFrame),
            Just(Input::Lost(Loss::Ended, "x".into())),
            Just(Input::Lost(Loss::Unauthorised, "x".into())),
            Just(Input::Again),
            Just(Input::BesideCame),
            Just(Input::BesideLost),
            Just(Input::BesideAgain),
            Just(Input::TakenOver),
            Just(Input::Down),
            any::<bool>().prop_map(Input::Knocked),
            Just(Input::Tick),
        ]
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_one_run_and_one_that_comes_or_goes(
            steps in proptest::collection::vec((0u64..40_000, input(), 0.0f64..1.0), 0..200)
        ) {
            let mut machine = Machine::new(PATIENCE);
            let mut now = Instant(0);
            let (mut on, mut beside, mut going, mut writes) = (false, false, 0, false);
            let mut wish = Wish::Nothing;
            for (wait, input, luck) in steps {
                now = now.plus(Duration::from_millis(wait));
                // Only a run that is being taken down can be down.
                if input == Input::Down {
                    if going == 0 { continue }
                    going -= 1;
                }
                if let Input::Wanted(wanted) = input {
                    wish = wanted;
                }
                for order in machine.step(now, input, luck) {
                    match order {
                        Order::Begin => {
                            prop_assert!(!on && !beside && going == 0);
                            (on, writes) = (true, wish == Wish::Footage);
                        }
                        Order::BeginBeside => {
                            prop_assert!(on && !beside && going == 0 && writes);
                            beside = true;
                        }
                        Order::DropBeside => {
                            prop_assert!(beside);
                            (beside, going) = (false, going + 1);
                        }
                        Order::TakeOver => {
                            prop_assert!(on && beside);
                            (beside, going) = (false, going + 1);
                        }
                        Order::Write => { prop_assert!(on && !writes); writes = true; }
                        Order::Hold => { prop_assert!(on && writes); writes = false; }
                        Order::End => { prop_assert!(on); (on, going) = (false, going + 1); }
                        Order::Report(..) | Order::Break => prop_assert!(on),
                        Order::HeldUp(_) => prop_assert!(false, "nothing is left behind"),
                        Order::Knock => prop_assert!(!on && going == 0),
                    }
                }
                prop_assert!(u8::from(on) + u8::from(beside) + going <= 2);
                prop_assert_eq!(on, machine.is_on());
                prop_assert_eq!((beside, going), (machine.beside.is_some(), machine.going));
                if machine.state() == State::Closing {
                    prop_assert!(going > 0);
                }
                if on {
                    prop_assert_eq!(writes, wish == Wish::Footage);
                    let is_armed = matches!(machine.state(), State::Armed { .. });
                    prop_assert!(!(writes && is_armed));
                }
            }
        }

        #[test]
        fn a_wanted_camera_is_always_tried_again_within_five_minutes(
            steps in proptest::collection::vec((0u64..40_000, input(), 0.0f64..1.0), 0..100)
        ) {
            let mut machine = Machine::new(PATIENCE);
            let mut now = Instant(0);
            for (wait, input, luck) in steps {
                now = now.plus(Duration::from_millis(wait));
                machine.step(now, input, luck);
            }
            machine.step(now, Input::Wanted(Wish::Footage), 0.5);
            while machine.state() == State::Closing {
                machine.step(now, Input::Down, 0.5);
            }
            let wake = machine.wake();
            prop_assert!(wake.is_some_and(|wake| wake <= now.plus(Duration::from_secs(300))), "{machine:?}");
        }
    }
}
