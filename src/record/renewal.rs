//! What becomes of a recording when settings change while footage is written: a second run begins beside the first. Pure.
//!
//! ```text
//!                 settings changed,
//!                 no other run              agreed on a frame: take over
//!  Recording -------------------> Recording ----------------------------------> Recording, the old run goes down
//!     ^                           and beside --------------------------------> Connecting or Recording, likewise
//!     |                             |  |    the old one is lost: a gap begins
//!     |  changed again, or only     |  |
//!     +--- memory is wanted --------+  +-------------------------------------> Closing, and begun anew at once
//!          the second goes down             the second is lost, or too slow:
//!                                           a gap begins
//! ```
//!
//! There are never more than two runs: one that is on, and one that comes or goes.

use std::time::Duration;

use crate::runtime::Instant;

use super::state::{Machine, Order, State, Wish};

/// A hand-over takes a connection and two groups of pictures at most. What takes longer is not coming.
const HAND_OVER: Duration = Duration::from_secs(30);

impl Machine {
    pub(super) fn renew(&mut self, now: Instant) -> Vec<Order> {
        // Whoever changed a password wants to see at once whether it is right.
        self.refusals = 0;
        self.backoff.reset();
        match self.state {
            State::Recording { .. } => {
                self.renewal = Some(now.plus(HAND_OVER));
                self.drop_beside()
            }
            _ if self.is_on() => self.break_off(),
            State::Waiting { .. } => self.begin_now(now),
            State::Closing => {
                self.at_once = true;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// By when a hand-over has to be done, where one can be.
    pub(super) fn renewal_due(&self) -> Option<Instant> {
        self.renewal.filter(|_| self.wish == Wish::Footage)
    }

    /// Does what a change of settings needs, once it can be done.
    pub(super) fn settle(&mut self) -> Vec<Order> {
        if self.renewal.is_none() || self.beside.is_some() {
            return Vec::new();
        }
        match self.state {
            State::Recording { .. } if self.wish == Wish::Footage && self.going == 0 => {
                self.beside = Some(false);
                vec![Order::BeginBeside]
            }
            // Another run may still be going down, or what is written has to come to its end.
            State::Recording { .. } => Vec::new(),
            // Nothing is written that could be interrupted.
            State::Armed { .. } => self.end(true),
            _ => Vec::new(),
        }
    }

    pub(super) fn drop_beside(&mut self) -> Vec<Order> {
        let Some(_) = self.beside.take() else { return Vec::new() };
        self.going += 1;
        vec![Order::DropBeside]
    }

    /// What is written ends here, and the new settings are tried alone.
    pub(super) fn break_off(&mut self) -> Vec<Order> {
        let mut orders = vec![Order::Break];
        orders.extend(self.end(true));
        orders
    }

    pub(super) fn take_over(&mut self) -> Vec<Order> {
        let Some(_) = self.beside.take() else { return Vec::new() };
        self.going += 1;
        self.renewal = None;
        vec![Order::TakeOver]
    }

    /// The run that is on is at its end, and the one beside it goes on alone. Nothing when there is none.
    pub(super) fn promote(&mut self, now: Instant) -> Option<Vec<Order>> {
        let came = self.beside?;
        self.state = match came {
            true => State::Recording { since: now, heard: now },
            false => State::Connecting { began: now, heard: now },
        };
        let mut orders = vec![Order::Break];
        orders.extend(self.take_over());
        Some(orders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CameraState, Loss};
    use crate::record::state::{Input, Patience};

    fn at(seconds: f64) -> Instant {
        Instant((seconds * 1e9) as u64)
    }

    fn lost(loss: Loss) -> Input {
        Input::Lost(loss, "for a test".into())
    }

    fn renewed() -> Machine {
        let (stall, connect) = (Duration::from_secs(5), Duration::from_secs(10));
        let mut machine = Machine::new(Patience { stall, connect });
        assert_eq!(machine.step(at(0.0), Input::Wanted(Wish::Footage), 0.5), [Order::Begin]);
        machine.step(at(1.0), Input::FirstFrame, 0.5);
        assert_eq!(machine.step(at(2.0), Input::Renew, 0.5), [Order::BeginBeside]);
        assert_eq!(machine.shown(), CameraState::Recording, "the old run goes on");
        machine
    }

    #[test]
    fn new_settings_begin_a_run_beside_which_takes_over() {
        let mut machine = renewed();
        assert_eq!(machine.step(at(3.0), Input::BesideCame, 0.5), []);
        assert_eq!(machine.step(at(3.1), Input::TakenOver, 0.5), [Order::TakeOver]);
        assert_eq!(machine.shown(), CameraState::Recording);
        // Changed again while the old run is still going down: a camera may not like a third session.
        assert_eq!(machine.step(at(3.2), Input::Renew, 0.5), []);
        assert_eq!(machine.step(at(3.3), Input::Down, 0.5), [Order::BeginBeside]);
    }

    #[test]
    fn two_changes_in_quick_succession_end_with_the_second() {
        let mut machine = renewed();
        assert_eq!(machine.step(at(2.1), Input::Renew, 0.5), [Order::DropBeside]);
        assert_eq!(machine.step(at(2.2), Input::Renew, 0.5), []);
        assert_eq!(machine.step(at(2.5), Input::Down, 0.5), [Order::BeginBeside]);
        assert_eq!(machine.step(at(2.6), Input::TakenOver, 0.5), [Order::TakeOver]);
    }

    #[test]
    fn a_camera_that_allows_no_second_session_is_left_first_and_begun_when_both_are_down() {
        let mut machine = renewed();
        let orders = machine.step(at(2.5), Input::BesideLost, 0.5);
        assert_eq!(orders, [Order::Break, Order::DropBeside, Order::End]);
        assert_eq!(machine.step(at(2.6), Input::Down, 0.5), []);
        assert_eq!(machine.step(at(2.7), Input::Down, 0.5), [Order::Begin]);
        // What does not work alone either is told as any loss is.
        let orders = machine.step(at(3.0), lost(Loss::Unreachable), 0.5);
        assert!(matches!(&orders[..], [Order::Report(Loss::Unreachable, _), Order::End]));
        assert_eq!(machine.shown(), CameraState::Offline);
    }

    #[test]
    fn a_run_beside_that_does_not_come_is_given_up_after_half_a_minute() {
        let mut machine = renewed();
        for second in 3..32 {
            machine.step(at(f64::from(second)), Input::Heard, 0.5);
            assert_eq!(machine.step(at(f64::from(second)), Input::Tick, 0.5), [], "{second}");
        }
        assert_eq!(machine.wake(), Some(at(32.0)));
        let orders = machine.step(at(32.0), Input::Tick, 0.5);
        assert_eq!(orders, [Order::Break, Order::DropBeside, Order::End]);
    }

    #[test]
    fn a_run_that_is_lost_while_another_begins_leaves_it_to_that_one() {
        let mut machine = renewed();
        assert_eq!(
            machine.step(at(2.5), lost(Loss::Ended), 0.5),
            [Order::Break, Order::TakeOver]
        );
        assert_eq!(machine.shown(), CameraState::Connecting);
        machine.step(at(3.0), Input::FirstFrame, 0.5);
        assert_eq!(machine.shown(), CameraState::Recording);
        assert_eq!(machine.step(at(3.1), Input::Down, 0.5), [], "the old one is down");
    }

    #[test]
    fn while_only_memory_is_wanted_no_second_run_begins() {
        let mut machine = renewed();
        let orders = machine.step(at(2.5), Input::Wanted(Wish::Memory), 0.5);
        assert_eq!(orders, [Order::DropBeside, Order::Hold]);
        assert_eq!(machine.step(at(2.6), Input::Down, 0.5), []);
        assert_eq!(machine.step(at(3.0), Input::Held, 0.5), [Order::End]);
        assert_eq!(machine.step(at(3.1), Input::Down, 0.5), [Order::Begin]);
    }

    #[test]
    fn a_camera_that_is_let_go_while_a_second_run_begins_has_none_left() {
        let mut machine = renewed();
        let orders = machine.step(at(2.5), Input::Wanted(Wish::Nothing), 0.5);
        assert_eq!(orders, [Order::DropBeside, Order::End]);
        assert_eq!(machine.step(at(2.6), Input::Down, 0.5), []);
        assert_eq!(machine.step(at(2.7), Input::Down, 0.5), []);
        assert_eq!(machine.state(), State::Disabled);
    }
}
