//! How a camera is, in numbers that a person can follow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{CameraHealth, CameraState, Timestamp};
use crate::runtime::Instant;

use super::state::{Machine, State};

/// Over how long rates are taken.
const WINDOW: Duration = Duration::from_secs(5);

/// Frames and bytes a second over the last seconds.
#[derive(Debug, Default)]
pub(super) struct Rate {
    seen: Vec<(Instant, u64, u64)>,
}

impl Rate {
    /// Takes the totals of the run that is on and gives the rates.
    pub(super) fn look(&mut self, now: Instant, (frames, bytes): (u64, u64)) -> (f64, f64) {
        if self.seen.last().is_some_and(|(_, last, _)| *last > frames) {
            // Another run, which counts from 0.
            self.seen.clear();
        }
        self.seen.retain(|(then, ..)| now.since(*then) <= WINDOW);
        let rates = self
            .seen
            .first()
            .filter(|(then, ..)| now > *then)
            .map(|(then, had, held)| {
                let seconds = now.since(*then).as_secs_f64();
                (
                    frames.saturating_sub(*had) as f64 / seconds,
                    bytes.saturating_sub(*held) as f64 / seconds,
                )
            });
        // One look each quarter of a second is enough, however often somebody looks.
        if self
            .seen
            .last()
            .is_none_or(|(then, ..)| now.since(*then) >= Duration::from_millis(250))
        {
            self.seen.push((now, frames, bytes));
        }
        rates.unwrap_or_default()
    }
}

/// When a camera's task last came round: what tells a task that works from one that is stuck.
#[derive(Debug, Default)]
pub(super) struct Round(AtomicU64);

impl Round {
    pub(super) fn at(now: Instant) -> Self {
        Self(AtomicU64::new(now.0))
    }

    pub(super) fn come(&self, now: Instant) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed))
    }
}

/// Brings a camera's health up to what its machine and its run say.
pub(super) fn show(health: &mut CameraHealth, machine: &Machine, is_on: bool, now: Timestamp, rates: (f64, f64)) {
    let state = match machine.shown() {
        // Nobody switched it off: its schedule is waiting.
        CameraState::Disabled if is_on => CameraState::Idle,
        state => state,
    };
    if health.state != state {
        health.since = now;
    }
    health.state = state;
    health.loss = machine.loss().map(|(loss, _)| *loss);
    health.message = machine.loss().map(|(_, message)| message.clone());
    let is_flowing = matches!(machine.state(), State::Armed { .. } | State::Recording { .. });
    (health.frames_per_second, health.bytes_per_second) = if is_flowing { rates } else { (0.0, 0.0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    #[test]
    fn rates_are_those_of_the_last_seconds_and_begin_anew_with_a_run() {
        let mut rate = Rate::default();
        let mut last = (0.0, 0.0);
        for step in 0..40u64 {
            last = rate.look(at(1000 + step * 400), (step * 10, step * 1000));
        }
        assert!(
            (last.0 - 25.0).abs() < 0.01 && (last.1 - 2500.0).abs() < 1.0,
            "{last:?}"
        );
        assert_eq!(rate.look(at(20_000), (3, 100)), (0.0, 0.0));
        assert!((rate.look(at(21_000), (28, 1100)).0 - 25.0).abs() < 0.01);
    }

    #[test]
    fn looking_often_does_not_make_the_rates_noisy() {
        let mut rate = Rate::default();
        let mut last = (0.0, 0.0);
        for ms in 0..3000 {
            last = rate.look(at(1000 + ms), (ms / 40, ms));
        }
        assert!((last.0 - 25.0).abs() < 1.0, "{last:?}");
    }
}
