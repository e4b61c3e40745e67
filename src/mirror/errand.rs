//! Errands: one thing at a time that is done to the mirror's disk, on a thread that may be held up.

use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::desk::Desk;
use super::plan::{Next, View, Wanted, choose};
use super::work::{Found, Trouble, Verdict};
use crate::model::{Copy, Segment, SegmentId};
use crate::runtime::spawn_thread;

/// Something to be done.
#[derive(Debug)]
pub(super) enum Errand {
    /// A copy that the mirror lacks.
    Copy(SegmentId, Why),
    /// A copy that the primary lacks.
    Heal(SegmentId, Why),
    /// A look at both copies.
    Verify(SegmentId),
}

/// Why a copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is owed.
    Owed,
    /// Verifying found that it is not what it should be.
    Verified,
    /// A person ordered it.
    Ordered,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Copied(Box<Segment>, Why, Result<Copy, Trouble>),
    /// With what was seen before, and without a copy where none was needed.
    Healed(Box<Segment>, Why, Option<Found>, Result<Option<Copy>, Trouble>),
    Verified(Box<Segment>, Result<Verdict, Trouble>),
    /// The thread died.
    Nothing,
}

/// An errand that is being done.
#[derive(Debug)]
pub(super) struct Running {
    answer: oneshot::Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

/// Waits for the end of an errand.
pub(super) async fn end_of(running: &mut Running) -> Done {
    let done = (&mut running.answer).await.unwrap_or(Done::Nothing);
    if let Some(thread) = running.thread.take() {
        // It has sent its last word, so this takes no time.
        let _ = thread.join();
    }
    done
}

impl Desk {
    /// Begins what is to be done next, if anything is.
    pub(super) async fn next_errand(&mut self) -> Option<Running> {
        self.keeper.volume()?;
        let limits = self.limits.clone()?;
        self.turn_pages().await;
        let horizon = self.horizon;
        let next = loop {
            match choose(&limits, &self.view()) {
                Next::PassOver(start) => {
                    self.horizon = self.horizon.max(start);
                    let passed = self.due.pop_front().map_or(0, |segment| size_of(&segment));
                    self.owed.bytes = self.owed.bytes.saturating_sub(passed);
                    self.owed.segments = self.owed.segments.saturating_sub(1);
                }
                next => break next,
            }
        };
        if self.horizon != horizon {
            self.keep_horizon();
        }
        let errand = match next {
            Next::Copy => Errand::Copy(self.due.pop_front()?.id, Why::Owed),
            Next::Heal => self.next_heal()?,
            Next::Verify => self.next_verify()?,
            Next::MakeRoom(wanted) => {
                self.want_room(wanted);
                return None;
            }
            Next::Wait | Next::PassOver(_) => return None,
        };
        self.begin(errand).await
    }

    fn view(&mut self) -> View {
        while self.due.front().is_some_and(|segment| !self.is_due(segment)) {
            self.due.pop_front();
        }
        let instant = self.instant();
        View {
            is_present: self.keeper.volume().is_some(),
            is_busy: (self.setting.is_busy)(),
            is_full: self.full_until.is_some_and(|until| instant < until),
            room: self.room(),
            owed_bytes: self.owed.bytes,
            due: self.due.front().map(|segment| Wanted {
                start: segment.span.start,
                size_bytes: size_of(segment),
            }),
            oldest_held: self.held.oldest,
            may_heal: self.may_heal(),
            may_verify: self.may_verify(),
        }
    }

    /// Begins an errand. The segment is looked up again: what was known of it a moment ago may be old.
    async fn begin(&mut self, errand: Errand) -> Option<Running> {
        let volumes = self.volumes()?;
        let means = self.means.clone();
        let work: Box<dyn FnOnce() -> Done + Send> = match errand {
            Errand::Copy(id, why) => {
                let segment = self.find(id).await?;
                Box::new(move || {
                    let copied = means.copy(&segment, &volumes);
                    Done::Copied(segment, why, copied)
                })
            }
            Errand::Heal(id, why) => {
                let segment = self.find(id).await?;
                Box::new(move || {
                    // Who verified has read it; who only ordered it wants what is not there.
                    let found = match why {
                        Why::Ordered => means.glance(&segment, &volumes),
                        _ => Ok(None),
                    };
                    let healed = match found {
                        Ok(Some(Found::Whole)) => Ok(None),
                        Ok(_) => means.heal(&segment, &volumes).map(Some),
                        Err(trouble) => return Done::Healed(segment, why, None, Err(trouble)),
                    };
                    Done::Healed(segment, why, found.ok().flatten(), healed)
                })
            }
            Errand::Verify(id) => {
                let segment = self.find(id).await?;
                Box::new(move || {
                    let verdict = means.verify(&segment, &volumes);
                    Done::Verified(segment, verdict)
                })
            }
        };
        let (tell, answer) = oneshot::channel();
        let begun = spawn_thread("mirror-copy", move || {
            // Whoever ordered it may have ended.
            let _ = tell.send(work());
        });
        match begun {
            Ok(thread) => Some(Running {
                answer,
                thread: Some(thread),
            }),
            Err(error) => {
                tracing::warn!(%error, "no thread for copying to the mirror; it is tried again");
                None
            }
        }
    }

    async fn find(&self, id: SegmentId) -> Option<Box<Segment>> {
        match self.setting.index.read(move |reader| reader.segment(id)).await {
            Ok(found) => found.map(Box::new),
            Err(error) => {
                tracing::warn!(%error, "the index does not say what a segment's copies are");
                None
            }
        }
    }
}

pub(super) fn size_of(segment: &Segment) -> u64 {
    let sizes = segment.copies.iter().map(|copy| copy.size_bytes);
    sizes.max().unwrap_or_default()
}
