//! Patience: how long to wait before trying again.

use std::time::Duration;

/// Waits that double from a first to a longest, each with a fifth of jitter so that cameras that fell together do not
/// return together.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits that begin at `first` and never exceed `longest` (but for the jitter).
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The next wait. `luck` in `[0, 1)` decides the jitter and is given by the caller, so that plans stay pure.
    pub fn next_wait(&mut self, luck: f64) -> Duration {
        let wait = self.next;
        self.next = (self.next * 2).min(self.longest);
        wait.mul_f64(0.8 + 0.4 * luck.clamp(0.0, 1.0))
    }

    /// All is well again: the next wait is the first.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_health() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let waits: Vec<u64> = (0..7)
            .map(|_| backoff.next_wait(0.5).as_secs_f64().round() as u64)
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.next_wait(0.5), Duration::from_secs(1));
    }

    #[test]
    fn jitter_is_a_fifth_either_way() {
        let mut backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(10));
        assert_eq!(backoff.next_wait(0.0), Duration::from_secs(8));
        assert_eq!(backoff.next_wait(1.0), Duration::from_secs(12));
    }
}
