//! One line on a terminal that tells how far something is; nothing in a pipe.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is told.
const TICK: Duration = Duration::from_millis(200);

/// Tells it.
pub(super) struct Ticker {
    is_shown: bool,
    last: Option<Instant>,
}

impl Ticker {
    /// `quiet` says nothing at all.
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            is_shown: !quiet && std::io::stderr().is_terminal(),
            last: None,
        }
    }

    /// Says it in place of what was said before, unless that was a moment ago.
    pub(super) fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.is_shown && self.last.is_none_or(|last| last.elapsed() >= TICK) {
            self.last = Some(Instant::now());
            // A terminal that is gone is not told.
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", words());
        }
    }

    /// Leaves nothing of it.
    pub(super) fn end(&self) {
        if self.last.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
