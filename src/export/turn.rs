//! How many may work with media at once, so that recording always has room to breathe.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places there are. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>, usize);

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Turn(#[allow(dead_code, reason = "held, never looked at")] OwnedSemaphorePermit);

impl Turns {
    /// How long somebody waits for a place before being told to come back.
    pub const WAIT: Duration = Duration::from_secs(10);

    /// So many places.
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)), places)
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.1
    }

    /// Whether any place is taken.
    pub fn are_taken(&self) -> bool {
        self.0.available_permits() < self.1
    }

    /// A place, however long that takes: for work that nobody waits for.
    pub async fn wait(&self) -> Option<Turn> {
        // The places are never closed.
        self.0.clone().acquire_owned().await.ok().map(Turn)
    }

    /// A place, or nothing when none is free within [`Self::WAIT`].
    pub async fn take(&self) -> Option<Turn> {
        let turn = self.0.clone().acquire_owned();
        tokio::time::timeout(Self::WAIT, turn).await.ok()?.ok().map(Turn)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_and_who_leaves_makes_room() {
        let turns = Turns::new(1);
        let first = turns.take().await.unwrap();
        let asked = tokio::time::Instant::now();
        assert!(turns.take().await.is_none());
        assert_eq!(asked.elapsed(), Turns::WAIT);
        assert!(turns.are_taken());
        drop(first);
        assert!(!turns.are_taken());
        assert!(turns.take().await.is_some());
    }
}
