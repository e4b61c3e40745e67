//! Pipelines that did not come down and were left behind: each holds what it held, so no camera has many of them. Pure.
//!
//! While two are left, a camera that is lost is not tried again as usual. When one of them comes down after all, it is tried at once;
//! else only after waits that grow, because a camera that is not recorded is worse than a third.

use std::time::Duration;

use crate::model::Loss;
use crate::runtime::{Backoff, Instant};

use super::state::{Machine, Order, State};

/// So many are left behind of a camera before it is tried as usual no more.
const MOST: usize = 2;
/// How long it waits then, the first time and at most.
const FIRST_WAIT: Duration = Duration::from_secs(300);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// What is known of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Left {
    count: usize,
    waits: Backoff,
    /// A try is put off because of them.
    holds_up: bool,
}

impl Default for Left {
    fn default() -> Self {
        Self {
            count: 0,
            waits: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            holds_up: false,
        }
    }
}

impl Left {
    /// Nothing is tried any more.
    pub(super) fn hold_nothing_up(&mut self) {
        self.holds_up = false;
    }
}

impl Machine {
    /// So many are left behind now. One that is held up by them goes on as soon as it may.
    pub(super) fn are_left(&mut self, now: Instant, count: usize) -> Vec<Order> {
        self.left.count = count;
        if count >= MOST {
            return Vec::new();
        }
        self.left.waits.reset();
        match self.state {
            State::Waiting { .. } if self.left.holds_up => self.begin(now),
            _ => Vec::new(),
        }
    }

    /// Begins another run, or puts that off.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Order> {
        if self.left.count < MOST {
            return self.begin_now(now);
        }
        self.at_once = false;
        let is_new = !std::mem::replace(&mut self.left.holds_up, true);
        if is_new {
            let wait = self.left.waits.next_wait(0.5);
            self.state = State::Waiting { until: now.plus(wait) };
        }
        let loss = self.loss().map_or(Loss::Broken, |(loss, _)| *loss);
        let message = format!(
            "{} pipelines of the camera did not come down and were left behind; it is tried again when one of them is down, or \
             seldom; restart camkeep to have it tried at once",
            self.left.count
        );
        self.loss = Some((loss, message.clone()));
        if is_new {
            vec![Order::HeldUp(message)]
        } else {
            Vec::new()
        }
    }

    /// The wait is over.
    pub(super) fn try_again(&mut self, now: Instant) -> Vec<Order> {
        match self.left.holds_up {
            true => self.begin_now(now),
            false => self.begin(now),
        }
    }

    pub(super) fn begin_now(&mut self, now: Instant) -> Vec<Order> {
        self.at_once = false;
        self.left.holds_up = false;
        self.state = State::Connecting { began: now, heard: now };
        vec![Order::Begin]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::state::{Input, Patience, Wish};

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000_000)
    }

    fn lose(machine: &mut Machine, now: Instant) {
        machine.step(now, Input::Lost(Loss::Stalled, "for a test".into()), 0.5);
        assert_eq!(machine.step(now, Input::Down, 0.5), []);
    }

    /// One whose second pipeline was left behind just now, and which is held up.
    fn held_up() -> Machine {
        let patience = Patience {
            stall: Duration::from_secs(5),
            connect: Duration::from_secs(10),
        };
        let mut machine = Machine::new(patience);
        machine.step(at(0), Input::Wanted(Wish::Footage), 0.5);
        lose(&mut machine, at(10));
        assert_eq!(machine.are_left(at(10), 1), []);
        assert_eq!(machine.step(at(11), Input::Tick, 0.5), [Order::Begin]);
        machine.are_left(at(20), 2);
        lose(&mut machine, at(20));
        let orders = machine.step(at(22), Input::Tick, 0.5);
        assert!(
            matches!(&orders[..], [Order::HeldUp(why)] if why.contains("2 pipelines")),
            "{orders:?}"
        );
        machine
    }

    #[test]
    fn two_that_are_left_behind_hold_a_camera_up_until_one_is_down() {
        let mut machine = held_up();
        for second in 23..200 {
            assert_eq!(machine.are_left(at(second), 2), []);
            let orders = machine.step(at(second), Input::Tick, 0.5);
            assert!(orders.is_empty() || orders == [Order::Knock], "{orders:?}");
            let orders = machine.step(at(second), Input::Knocked(second % 8 == 0), 0.5);
            assert_eq!(orders, [], "a camera that is back changes nothing");
        }
        let (loss, message) = machine.loss().cloned().unwrap_or((Loss::Broken, String::new()));
        assert!(loss == Loss::Stalled && message.contains("left behind"), "{message}");
        assert_eq!(machine.are_left(at(200), 1), [Order::Begin]);
    }

    #[test]
    fn one_whose_pipelines_never_come_down_is_tried_seldom_and_ever_less_often() {
        let mut machine = held_up();
        let (mut now, mut count) = (at(22), 2);
        for wait in [300, 600, 1200, 2400, 4800, 9600, 19_200, 21_600, 21_600] {
            assert_eq!(machine.wake(), Some(now.plus(Duration::from_secs(wait))));
            now = now.plus(Duration::from_secs(wait));
            assert_eq!(machine.step(now, Input::Tick, 0.5), [Order::Begin]);
            count += 1;
            machine.are_left(now, count);
            lose(&mut machine, now);
            now = machine.wake().unwrap_or(now);
            let orders = machine.step(now, Input::Tick, 0.5);
            assert!(matches!(&orders[..], [Order::HeldUp(_)]), "{orders:?}");
        }
    }

    #[test]
    fn one_that_is_switched_off_and_on_waits_and_is_tried_again() {
        let mut machine = held_up();
        assert_eq!(machine.step(at(30), Input::Wanted(Wish::Nothing), 0.5), []);
        assert_eq!(machine.are_left(at(31), 2), []);
        let orders = machine.step(at(32), Input::Wanted(Wish::Footage), 0.5);
        assert!(matches!(&orders[..], [Order::HeldUp(_)]), "{orders:?}");
        assert!(machine.wake().is_some());
        assert_eq!(machine.are_left(at(40), 1), [Order::Begin]);
    }

    #[test]
    fn whoever_changes_its_settings_sees_at_once_what_comes_of_it() {
        let mut machine = held_up();
        assert_eq!(machine.step(at(30), Input::Renew, 0.5), [Order::Begin]);
    }
}
