//! What the mirror lacks: counted again and again, because it follows from what the index knows and from nothing else.

use std::time::Duration;

use super::desk::{Desk, SETTLE};
use super::errand::size_of;
use crate::index::Holding;
use crate::model::Timestamp;
use crate::runtime::Instant;

/// What is owed is counted this often, and never for more than a fiftieth of the time.
const COUNT: Duration = Duration::from_millis(500);
/// What is held is known from what is done; it is counted anew this often all the same.
const RECOUNT: Duration = Duration::from_secs(60);
/// Segments that are looked at in one go.
const PAGE: u32 = 128;
/// How many such pages are looked through when all of one has to wait.
const PAGES: u32 = 32;

impl Desk {
    /// Counts what is owed, and finds the oldest of it.
    pub(super) async fn count(&mut self, instant: Instant) {
        self.forget_horizon_when_roomy();
        let since = self.horizon.max(self.cutoff());
        let recount = instant >= self.recount_at;
        let counted = self.setting.index.read(move |reader| {
            let held = recount.then(|| reader.held_on_mirrors()).transpose()?;
            Ok((reader.owed(since)?, reader.owed_segments(since, None, PAGE)?, held))
        });
        let (owed, page, held) = match counted.await {
            Ok(counted) => counted,
            Err(error) => {
                tracing::warn!(%error, "it cannot be told what the mirror lacks; it is asked again");
                self.count_at = instant.plus(SETTLE);
                return;
            }
        };
        let done = self.instant();
        self.count_at = done.plus(COUNT.max(done.since(instant) * 50));
        if let Some(held) = held {
            (self.held, self.recount_at) = (held, done.plus(RECOUNT));
        }
        self.owed = owed;
        let settling: Vec<u64> = page
            .iter()
            .filter(|segment| self.is_settling(segment))
            .map(size_of)
            .collect();
        self.owed.segments = owed.segments.saturating_sub(settling.len() as u64);
        self.owed.bytes = owed.bytes.saturating_sub(settling.iter().sum());
        if self.owed.segments == 0 {
            self.owed = Holding::default();
        }
        self.due = page.into_iter().filter(|segment| self.is_due(segment)).collect();
        if self.due.is_empty() && self.owed.segments > u64::from(PAGE) {
            self.look_behind_those_that_rest(since).await;
        }
        let told = self.standing.owe(self.now(), self.owed.segments);
        self.tell(told);
    }

    /// A page of what cannot be copied now must not hide what can.
    async fn look_behind_those_that_rest(&mut self, since: Timestamp) {
        let mut after = None;
        for _ in 0..PAGES {
            let page = self
                .setting
                .index
                .read(move |reader| reader.owed_segments(since, after, PAGE));
            let Ok(page) = page.await else { return };
            let Some(last) = page.last() else { return };
            after = Some((last.span.start, last.id));
            self.due = page.into_iter().filter(|segment| self.is_due(segment)).collect();
            if !self.due.is_empty() {
                return;
            }
        }
    }
}
