//! Errands: one thing at a time that is done to the mirror's disk, on a thread that may be held up.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::desk::Desk;
use super::plan::{Next, View, Wanted, choose, let_go};
use super::work::{Found, Trouble, Verdict};
use crate::index::IndexError;
use crate::model::{Copy, CopyState, Segment, SegmentId, Timestamp, VolumeId};
use crate::runtime::spawn_thread;
use crate::storage::Volume;

/// How often it is looked whether copies are to go.
const RETAIN: Duration = Duration::from_secs(5);
/// How long no room is looked for after none was found.
const FULL: Duration = Duration::from_secs(30);
/// Copies that are looked at in one go when some are to go.
const PAGE: u32 = 256;
/// How many such pages are looked through, when all of them have to stay.
const PAGES: u32 = 40;

/// Something to be done.
#[derive(Debug)]
pub(super) enum Errand {
    /// The files of copies that were let go.
    Remove(Vec<String>),
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
    Removed,
    Copied(Box<Segment>, Why, Result<Copy, Trouble>),
    Healed(Box<Segment>, Why, Result<Copy, Trouble>),
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
        if let Some(errand) = self.retain(None).await {
            return self.begin(errand).await;
        }
        self.turn_pages().await;
        let (horizon, rules) = (self.horizon, self.setting.rules);
        let next = loop {
            match choose(&rules, &self.view()) {
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
            Next::MakeRoom(wanted) => self.retain(Some(wanted)).await?,
            Next::Heal => self.next_heal()?,
            Next::Verify => self.next_verify()?,
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

    /// Lets copies go: those that are too old or too many, or that are in the way of something newer.
    async fn retain(&mut self, wanted: Option<Wanted>) -> Option<Errand> {
        let instant = self.instant();
        let cutoff = self.cutoff();
        let volume = self.keeper.volume()?.id();
        if wanted.is_none() {
            if instant < self.retain_at {
                return None;
            }
            self.retain_at = instant.plus(RETAIN);
            let is_old = self.held.oldest.is_some_and(|oldest| oldest <= cutoff);
            if !is_old && self.setting.rules.excess(self.room()) == 0 {
                return None;
            }
        }
        match self.let_some_go(volume, cutoff, wanted).await {
            Ok(paths) if paths.is_empty() => {
                if wanted.is_some() || self.setting.rules.excess(self.room()) > 0 {
                    self.full_until = Some(instant.plus(FULL));
                    let reason = "no room is left on it, and what it holds may not go: it is read, held as evidence, or the \
                                  last copy; give it a larger disk, or raise max_gb";
                    let told = self.standing.miss(self.now(), reason);
                    self.tell(told);
                }
                None
            }
            Ok(paths) => {
                self.retain_at = instant;
                Some(Errand::Remove(paths))
            }
            Err(error) => {
                tracing::warn!(%error, "copies on the mirror could not be let go; it is tried again");
                self.full_until = Some(instant.plus(FULL));
                None
            }
        }
    }

    /// Forgets what goes, and gives the paths of its files.
    async fn let_some_go(
        &mut self,
        volume: VolumeId,
        cutoff: Timestamp,
        wanted: Option<Wanted>,
    ) -> Result<Vec<String>, IndexError> {
        let index = self.setting.index.clone();
        let mut after = None;
        for _ in 0..PAGES {
            let page = index
                .read(move |reader| reader.lettable_copies(volume, after, PAGE))
                .await?;
            let Some(last) = page.last() else { break };
            after = Some((last.start, last.segment));
            let gone = let_go(&self.setting.rules, self.room(), cutoff, wanted, &page);
            if gone.is_empty() {
                continue;
            }
            let went = index
                .write(move |writer| {
                    let mut went = Vec::new();
                    for one in gone {
                        if writer.let_copy_go(one.segment, volume, one.even_the_last)? {
                            went.push(one);
                        }
                    }
                    Ok(went)
                })
                .await?;
            let mut paths = Vec::new();
            for copy in page {
                let Some(one) = went.iter().find(|one| one.segment == copy.segment) else {
                    continue;
                };
                self.held.segments = self.held.segments.saturating_sub(1);
                self.held.bytes = self.held.bytes.saturating_sub(copy.size_bytes);
                if !one.even_the_last {
                    self.horizon = self.horizon.max(copy.start);
                }
                paths.push(copy.path);
            }
            self.keep_horizon();
            self.held = index.read(|reader| reader.held_on_mirrors()).await?;
            tracing::info!(copies = paths.len(), "let the oldest copies on the mirror go");
            return Ok(paths);
        }
        Ok(Vec::new())
    }

    /// Begins an errand. The segment is looked up again: what was known of it a moment ago may be old.
    async fn begin(&mut self, errand: Errand) -> Option<Running> {
        let volumes = self.volumes()?;
        let means = self.means.clone();
        let work: Box<dyn FnOnce() -> Done + Send> = match errand {
            Errand::Remove(paths) => Box::new(move || {
                remove_all(&volumes.mirror, &paths);
                Done::Removed
            }),
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
                    let healed = means.heal(&segment, &volumes);
                    Done::Healed(segment, why, healed)
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

    /// What came of an errand.
    pub(super) fn hear_of_errand(&mut self, done: Done) {
        match done {
            Done::Removed => {}
            Done::Nothing => tracing::error!("work on the mirror died; it goes on with the next segment"),
            Done::Copied(segment, why, Ok(copy)) => {
                self.standing.copied(copy.size_bytes);
                {
                    let mut status = self.shared.status();
                    status.copied_segments += 1;
                    status.copied_bytes += copy.size_bytes;
                }
                self.note(why, |tour| tour.healed += 1);
                self.tell_copy(segment.id, copy);
            }
            Done::Copied(segment, why, Err(trouble)) => {
                self.note(why, |tour| tour.failed += 1);
                self.hear_of_copy_trouble(&segment, trouble);
            }
            Done::Healed(segment, why, Ok(copy)) => {
                tracing::info!(path = copy.path, "a recording is whole again, from the mirror");
                self.note(why, |tour| {
                    tour.healed += 1;
                    tour.done += u64::from(why == Why::Ordered);
                });
                self.tell_copy(segment.id, copy);
            }
            Done::Healed(segment, why, Err(trouble)) => self.hear_of_heal_trouble(&segment, why, trouble),
            Done::Verified(segment, Ok(verdict)) => self.hear_of_verdict(&segment, verdict),
            Done::Verified(segment, Err(trouble)) => {
                if let Trouble::Refused(error) = &trouble {
                    self.lose(&error.to_string());
                }
                tracing::warn!(?trouble, segment = %segment.id, "the copies of a segment could not be read");
                self.note(Why::Verified, |tour| {
                    tour.done += 1;
                    tour.failed += 1;
                });
            }
        }
    }

    fn hear_of_copy_trouble(&mut self, segment: &Segment, trouble: Trouble) {
        let primary = self.setting.primary.id();
        match trouble {
            Trouble::Stopped => {}
            // It was owed a moment ago, and is not any more.
            Trouble::NoSource => self.settle(segment.id),
            Trouble::SourceMissing => self.distrust(segment, primary, CopyState::Missing),
            Trouble::SourceDiffers => self.distrust(segment, primary, CopyState::Suspect),
            Trouble::SourceFailed(error) => {
                tracing::warn!(%error, "a recording cannot be read, and is copied to the mirror later");
                self.rest(segment.id);
            }
            Trouble::Refused(error) => {
                self.rest(segment.id);
                self.refused(&error);
            }
        }
    }

    fn hear_of_heal_trouble(&mut self, segment: &Segment, why: Why, trouble: Trouble) {
        let mirror = self.keeper.volume().map(|volume| volume.id());
        let is_lost = match trouble {
            Trouble::Stopped => return,
            Trouble::NoSource => true,
            Trouble::SourceMissing | Trouble::SourceDiffers => {
                let state = match trouble {
                    Trouble::SourceMissing => CopyState::Missing,
                    _ => CopyState::Suspect,
                };
                if let Some(mirror) = mirror {
                    self.distrust(segment, mirror, state);
                }
                true
            }
            Trouble::SourceFailed(error) => {
                self.lose(&error.to_string());
                false
            }
            Trouble::Refused(error) => {
                tracing::error!(%error, "a recording could not be restored from the mirror");
                false
            }
        };
        self.note(why, |tour| {
            tour.done += u64::from(why == Why::Ordered);
            *(if is_lost { &mut tour.lost } else { &mut tour.failed }) += 1;
        });
    }

    fn hear_of_verdict(&mut self, segment: &Segment, verdict: Verdict) {
        let Verdict { primary, mirror } = verdict;
        let (whole, is_wrong) = (Some(Found::Whole), |found: Option<Found>| {
            found.is_some_and(|found| found != Found::Whole)
        });
        let ids = (self.setting.primary.id(), self.keeper.volume().map(|volume| volume.id()));
        if let (Some(found), (own, _), true) = (primary, ids, is_wrong(primary)) {
            self.distrust(segment, own, found.state());
        }
        if let (Some(found), (_, Some(other)), true) = (mirror, ids, is_wrong(mirror)) {
            self.distrust(segment, other, found.state());
        }
        let is_known = segment.copies.iter().any(|copy| copy.sha256.is_some());
        self.note(Why::Verified, |tour| {
            tour.done += 1;
            tour.mirror_wrong += u64::from(is_wrong(mirror));
            tour.primary_wrong += u64::from(primary != whole && mirror == whole || is_wrong(primary));
            tour.lost += u64::from(is_known && primary != whole && mirror != whole);
        });
        let id = segment.id;
        match (primary == whole, mirror == whole) {
            (false, true) => self.urgent.push_back(Errand::Heal(id, Why::Verified)),
            (true, false) if is_wrong(mirror) => self.urgent.push_back(Errand::Copy(id, Why::Verified)),
            _ => {}
        }
    }

    /// A copy is not what its row says.
    fn distrust(&mut self, segment: &Segment, volume: VolumeId, state: CopyState) {
        let copy = segment.copies.iter().find(|copy| copy.volume == volume);
        if let Some(copy) = copy.cloned() {
            tracing::warn!(path = copy.path, state = state.as_str(), "a copy is not what it should be");
            self.tell_copy(segment.id, Copy { state, ..copy });
        }
    }
}

pub(super) fn size_of(segment: &Segment) -> u64 {
    let sizes = segment.copies.iter().map(|copy| copy.size_bytes);
    sizes.max().unwrap_or_default()
}

fn remove_all(mirror: &Arc<Volume>, paths: &[String]) {
    for path in paths {
        if let Err(error) = mirror.remove(path) {
            tracing::warn!(%error, "the file of a copy that was let go stays on the mirror");
        }
    }
}
