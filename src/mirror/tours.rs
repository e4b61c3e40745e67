//! Walks through the mirror, page by page: one reads every copy, the other heals what the primary lacks.

use std::collections::VecDeque;

use super::desk::Desk;
use super::errand::{Errand, Why};
use super::status::Tour;
use crate::index::IndexError;
use crate::model::{Segment, SegmentId, Timestamp};

/// Segments that are read of the index at a time.
const PAGE: u32 = 64;

/// Where a walk is.
pub(super) struct Walk {
    pub(super) tour: Tour,
    after: Option<(Timestamp, SegmentId)>,
    page: VecDeque<SegmentId>,
}

impl Walk {
    pub(super) fn begin(tour: Tour) -> Self {
        Self {
            tour,
            after: None,
            page: VecDeque::new(),
        }
    }

    fn take_page(&mut self, segments: &[Segment], now: Timestamp) {
        match segments.last() {
            Some(last) => self.after = Some((last.span.start, last.id)),
            None => self.tour.ended_at = Some(now),
        }
        self.page = segments.iter().map(|segment| segment.id).collect();
    }
}

/// Whether a walk lasts and wants its next page.
fn wants_page(walk: &Option<Walk>) -> Option<Option<(Timestamp, SegmentId)>> {
    let walk = walk.as_ref()?;
    (walk.tour.is_running() && walk.page.is_empty()).then_some(walk.after)
}

impl Desk {
    /// Whether there is something to put right on the primary, or on the mirror before its turn.
    pub(super) fn may_heal(&self) -> bool {
        !self.urgent.is_empty() || self.restore.as_ref().is_some_and(|walk| !walk.page.is_empty())
    }

    /// Whether there is something to look at.
    pub(super) fn may_verify(&self) -> bool {
        self.verify.as_ref().is_some_and(|walk| !walk.page.is_empty())
    }

    /// What is to be put right next.
    pub(super) fn next_heal(&mut self) -> Option<Errand> {
        if let Some(errand) = self.urgent.pop_front() {
            return Some(errand);
        }
        let id = self.restore.as_mut()?.page.pop_front()?;
        Some(Errand::Heal(id, Why::Ordered))
    }

    /// What is to be looked at next.
    pub(super) fn next_verify(&mut self) -> Option<Errand> {
        self.verify.as_mut()?.page.pop_front().map(Errand::Verify)
    }

    /// Reads on where a walk is at the end of its page. What it found is put right before it is over.
    pub(super) async fn turn_pages(&mut self) {
        if self.keeper.volume().is_none() || !self.urgent.is_empty() {
            return;
        }
        if let Err(error) = self.try_to_turn_pages().await {
            tracing::warn!(%error, "the index does not say what the mirror holds; it is asked again");
        }
    }

    async fn try_to_turn_pages(&mut self) -> Result<(), IndexError> {
        let now = self.now();
        let index = self.setting.index.clone();
        if let Some(after) = wants_page(&self.verify) {
            let page = index.read(move |reader| reader.mirrored_segments(after, PAGE)).await?;
            if let Some(walk) = &mut self.verify {
                walk.take_page(&page, now);
                if !walk.tour.is_running() {
                    tracing::info!("the mirror was verified: {}", walk.tour);
                }
            }
        }
        if let Some(after) = wants_page(&self.restore) {
            let page = index.read(move |reader| reader.mirrored_segments(after, PAGE)).await?;
            if let Some(walk) = &mut self.restore {
                walk.take_page(&page, now);
                if !walk.tour.is_running() {
                    tracing::info!("the primary was restored from the mirror: {}", walk.tour);
                }
            }
        }
        Ok(())
    }

    /// Notes something in the walk that it was done for.
    pub(super) fn note(&mut self, why: Why, note: impl FnOnce(&mut Tour)) {
        let walk = match why {
            Why::Owed => return,
            Why::Verified => &mut self.verify,
            Why::Ordered => &mut self.restore,
        };
        if let Some(walk) = walk {
            note(&mut walk.tour);
        }
    }
}
