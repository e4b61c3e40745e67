//! While a camera that was lost is waited for: when its port is tried, and what an answer means. Pure.
//!
//! Waits grow to half a minute, so a camera that was away for minutes would be away for longer than it is. So its port is knocked
//! at every two seconds. When it was shut and opens, the camera is tried at once, and waits begin anew: it may need a moment more.
//! A port that is open from the first knock on says nothing: whatever is wrong lies behind it, and waiting is right. So is it
//! where the password is wrong, or the volume takes nothing.

use std::time::Duration;

use crate::model::Loss;
use crate::runtime::Instant;

use super::state::{Machine, Order, State};

/// From one knock to the next.
const BETWEEN: Duration = Duration::from_secs(2);

/// What is known of a camera's port during one wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Knocking {
    /// When the next knock is due.
    due: Instant,
    /// Nothing is known yet of the last one.
    is_asked: bool,
    /// It was found shut.
    was_shut: bool,
}

impl Knocking {
    /// For a wait that begins now after this loss; nothing when knocking is of no use.
    pub(super) fn after(loss: Option<Loss>, now: Instant) -> Option<Self> {
        let is_of_use = match loss? {
            Loss::Refused | Loss::Unreachable | Loss::Ended | Loss::Stalled | Loss::Broken => true,
            Loss::Unauthorised | Loss::VolumeFull | Loss::VolumeLost => false,
        };
        is_of_use.then_some(Self {
            due: now.plus(BETWEEN),
            is_asked: false,
            was_shut: false,
        })
    }
}

impl Machine {
    /// When the next knock is due.
    pub(super) fn next_knock(&self) -> Option<Instant> {
        let knocking = self.knocking.filter(|knocking| !knocking.is_asked)?;
        matches!(self.state, State::Waiting { .. }).then_some(knocking.due)
    }

    /// Knocks, if it is time to.
    pub(super) fn knock(&mut self, now: Instant) -> Vec<Order> {
        if self.next_knock().is_none_or(|due| now < due) {
            return Vec::new();
        }
        if let Some(knocking) = &mut self.knocking {
            knocking.is_asked = true;
            knocking.due = now.plus(BETWEEN);
        }
        vec![Order::Knock]
    }

    /// Whether somebody opened. What was asked in an earlier wait says nothing in this one.
    pub(super) fn knocked(&mut self, now: Instant, is_open: bool) -> Vec<Order> {
        let (State::Waiting { .. }, Some(mut knocking)) = (self.state, self.knocking) else {
            return Vec::new();
        };
        if !knocking.is_asked {
            return Vec::new();
        }
        if is_open {
            self.knocking = None;
            if knocking.was_shut {
                self.backoff.reset();
                return self.begin(now);
            }
            return Vec::new();
        }
        (knocking.is_asked, knocking.was_shut) = (false, true);
        self.knocking = Some(knocking);
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::record::state::{Input, Patience, Wish};

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A machine that was refused `times` times in vain, and when it was the last time.
    fn lost(loss: Loss, times: u32, luck: f64) -> (Machine, Instant) {
        let (stall, connect) = (Duration::from_secs(5), Duration::from_secs(10));
        let mut machine = Machine::new(Patience { stall, connect });
        let mut now = Instant(0);
        machine.step(now, Input::Wanted(Wish::Footage), luck);
        for time in 0..times {
            if time > 0 {
                now = machine.wake().unwrap();
                assert_eq!(machine.step(now, Input::Tick, luck), [Order::Begin]);
            }
            machine.step(now, Input::Lost(loss, "for a test".into()), luck);
            machine.step(now, Input::Down, luck);
        }
        (machine, now)
    }

    proptest! {
        #[test]
        fn a_camera_that_was_away_is_tried_within_two_seconds_of_coming_back_and_its_port_is_not_hammered(
            loss in prop::sample::select(vec![Loss::Refused, Loss::Unreachable, Loss::Ended, Loss::Stalled, Loss::Broken]),
            times in 5u32..9, away_ms in 2100u64..20_000, answer_ms in 0u64..1500, luck in 0.0f64..1.0,
        ) {
            let (mut machine, began) = lost(loss, times, luck);
            let (back, until) = (began.plus(ms(away_ms)), machine.wake().unwrap());
            prop_assert!(until.since(began) > ms(12_000));
            let (mut now, mut knocks) = (began, Vec::new());
            loop {
                now = machine.next_knock().into_iter().chain(machine.wake()).min().unwrap().max(now);
                match machine.step(now, Input::Tick, luck).as_slice() {
                    [Order::Knock] => {
                        knocks.push(now);
                        let is_open = now >= back;
                        // An open port answers at once; one behind which nobody is takes its time.
                        now = now.plus(ms(if is_open { 10 } else { answer_ms }));
                        if machine.step(now, Input::Knocked(is_open), luck) == [Order::Begin] {
                            break;
                        }
                    }
                    [Order::Begin] => break,
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert!(knocks.windows(2).all(|pair| pair[1].since(pair[0]) >= BETWEEN), "{:?}", knocks);
            prop_assert!(knocks.first().is_none_or(|first| first.since(began) >= BETWEEN));
            if back < until {
                prop_assert!(now >= back && now.since(back) <= BETWEEN + ms(10), "tried {:?} after it was back", now.since(back));
            }
            if now < until {
                // The camera may need a moment more: the next wait is the first again.
                machine.step(now, Input::Lost(Loss::Refused, "not yet".into()), luck);
                machine.step(now, Input::Down, luck);
                prop_assert!(machine.wake().unwrap().since(now) <= ms(1201));
            }
        }
    }

    #[test]
    fn a_port_that_was_open_all_the_time_shortens_no_wait() {
        let (mut machine, now) = lost(Loss::Refused, 6, 0.5);
        assert_eq!(machine.step(now.plus(ms(2000)), Input::Tick, 0.5), [Order::Knock]);
        assert_eq!(machine.step(now.plus(ms(2100)), Input::Knocked(true), 0.5), []);
        for tenth in 21..300 {
            assert_eq!(machine.step(now.plus(ms(tenth * 100)), Input::Tick, 0.5), []);
        }
        assert_eq!(machine.step(now.plus(ms(30_000)), Input::Tick, 0.5), [Order::Begin]);
    }

    #[test]
    fn a_wrong_password_and_a_full_volume_are_not_knocked_at() {
        for loss in [Loss::Unauthorised, Loss::VolumeFull, Loss::VolumeLost] {
            let (machine, _) = lost(loss, 6, 0.5);
            assert_eq!(machine.next_knock(), None, "{loss:?}");
        }
    }

    #[test]
    fn an_answer_that_comes_when_nobody_waits_for_it_is_none() {
        let (mut machine, now) = lost(Loss::Refused, 6, 0.5);
        assert_eq!(machine.step(now.plus(ms(100)), Input::Knocked(true), 0.5), []);
        assert_eq!(machine.step(now.plus(ms(2000)), Input::Tick, 0.5), [Order::Knock]);
        machine.step(now.plus(ms(2100)), Input::Renew, 0.5);
        assert_eq!(machine.step(now.plus(ms(2200)), Input::Knocked(true), 0.5), []);
        machine.step(now.plus(ms(3000)), Input::Wanted(Wish::Nothing), 0.5);
        machine.step(now.plus(ms(3100)), Input::Down, 0.5);
        assert_eq!(machine.next_knock(), None);
    }
}
