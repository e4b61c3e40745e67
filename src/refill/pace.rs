//! How fast may be fetched, from all cameras together.

use std::sync::{Arc, Mutex, PoisonError};

use crate::runtime::{Clock, Instant};

/// What is allowed and not used is kept for so long.
const BURST: u64 = 1;

/// An allowance of bytes that grows with time. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    bytes_per_second: u64,
    clock: Arc<dyn Clock>,
    purse: Arc<Mutex<Purse>>,
}

#[derive(Debug, Default)]
struct Purse {
    filled: Instant,
    /// What is left; less than nothing when more came than was allowed.
    left: i128,
}

impl Pace {
    /// So many bytes a second; 0 is as many as come.
    pub(super) fn new(bytes_per_second: u64, clock: Arc<dyn Clock>) -> Self {
        let purse = Purse {
            filled: clock.instant(),
            left: i128::from(bytes_per_second) * i128::from(BURST),
        };
        Self {
            bytes_per_second,
            clock,
            purse: Arc::new(Mutex::new(purse)),
        }
    }

    /// So many bytes came.
    pub(super) fn spend(&self, bytes: u64) {
        if self.bytes_per_second > 0 {
            self.purse.lock().unwrap_or_else(PoisonError::into_inner).left -= i128::from(bytes);
        }
    }

    /// Whether more may come now.
    pub(super) fn has_room(&self) -> bool {
        if self.bytes_per_second == 0 {
            return true;
        }
        let now = self.clock.instant();
        let mut purse = self.purse.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = i128::from(self.bytes_per_second) * now.since(purse.filled).as_nanos() as i128 / 1_000_000_000;
        if grown > 0 {
            let most = i128::from(self.bytes_per_second) * i128::from(BURST);
            purse.left = (purse.left + grown).min(most);
            purse.filled = now;
        }
        purse.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::runtime::ManualClock;
    use std::time::Duration;

    #[test]
    fn what_was_spent_has_to_grow_again() {
        let clock = Arc::new(ManualClock::at(Timestamp::EPOCH));
        let pace = Pace::new(1_000_000, clock.clone());
        assert!(pace.has_room());
        pace.spend(3_000_000);
        clock.advance(Duration::from_millis(1_900));
        assert!(!pace.has_room());
        clock.advance(Duration::from_millis(200));
        assert!(pace.has_room());
        let free = Pace::new(0, clock);
        free.spend(u64::MAX);
        assert!(free.has_room());
    }

    #[test]
    fn a_long_rest_allows_no_flood() {
        let clock = Arc::new(ManualClock::at(Timestamp::EPOCH));
        let pace = Pace::new(1_000_000, clock.clone());
        clock.advance(Duration::from_secs(3600));
        assert!(pace.has_room());
        pace.spend(1_000_000);
        assert!(!pace.has_room());
    }
}
