//! Who is connected, and who of them would be missed least.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// The connections that are open.
#[derive(Debug, Default, Clone)]
pub(super) struct Lines(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Counts what happens on any of them, which tells earlier from later without a clock.
    turn: AtomicU64,
    open: Mutex<BTreeMap<u64, Weak<Line>>>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    number: u64,
    known: Arc<Known>,
    /// When it was last of use: accepted, asked something, or given something that it took.
    moved: AtomicU64,
    /// Requests that are being answered.
    under_way: AtomicUsize,
    end: Notify,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Line>);

impl Lines {
    /// One more.
    pub(super) fn enter(&self) -> Arc<Line> {
        let number = self.0.next_turn();
        let line = Arc::new(Line {
            number,
            known: Arc::clone(&self.0),
            moved: AtomicU64::new(number),
            under_way: AtomicUsize::new(0),
            end: Notify::new(),
        });
        self.0.open().insert(number, Arc::downgrade(&line));
        line
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.open().len()
    }

    /// Ends the one that was of no use for longest; `false` when all of them wait for an answer of ours.
    pub(super) fn end_idlest(&self) -> bool {
        let lines: Vec<Arc<Line>> = self.0.open().values().filter_map(Weak::upgrade).collect();
        let idle = lines.iter().filter(|line| line.under_way.load(Ordering::Relaxed) == 0);
        let idlest = idle.min_by_key(|line| line.moved.load(Ordering::Relaxed));
        if let Some(line) = idlest {
            line.end.notify_one();
        }
        idlest.is_some()
    }
}

impl Known {
    fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Weak<Line>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// It was of use just now.
    pub(super) fn moves(&self) {
        self.moved.store(self.known.next_turn(), Ordering::Relaxed);
    }

    /// A request came whole; it is being answered until what comes back is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.moves();
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Waits until it is to end.
    pub(super) async fn ended(&self) {
        self.end.notified().await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.moves();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.known.open().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_that_was_of_no_use_for_longest_goes_and_none_that_waits_for_an_answer() {
        let lines = Lines::default();
        let [asking, silent, used] = [(); 3].map(|()| lines.enter());
        let request = asking.begin();
        used.moves();
        silent.moves();
        used.moves();
        assert!(lines.end_idlest());
        silent.ended().await;
        drop(silent);
        assert_eq!(lines.count(), 2);
        assert!(lines.end_idlest());
        used.ended().await;
        drop(used);
        assert!(!lines.end_idlest(), "what waits for an answer of ours stays");
        drop(request);
        assert!(lines.end_idlest());
        drop(asking);
        assert_eq!(lines.count(), 0);
    }
}
