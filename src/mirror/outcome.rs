//! What came of errands: told, counted, and followed by what has to come next.

use std::time::Duration;

use super::desk::Desk;
use super::errand::{Done, Errand, Why};
use super::work::{Found, Trouble, Verdict};
use crate::model::{Copy, CopyState, Fault, Segment, VolumeId};
use crate::storage::StorageError;

/// How long nothing is copied to a disk that said that it is full: by then the oldest copies may have gone.
const FULL: Duration = Duration::from_secs(5);

impl Desk {
    /// What came of an errand.
    pub(super) fn hear_of_errand(&mut self, done: Done) {
        match done {
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
            Done::Healed(segment, why, _, Ok(healed)) => {
                self.note(why, |tour| {
                    tour.healed += u64::from(healed.is_some());
                    tour.done += u64::from(why == Why::Ordered);
                });
                if let Some(copy) = healed {
                    tracing::info!(path = copy.path, "a recording is whole again, from the mirror");
                    self.tell_copy(segment.id, copy);
                }
            }
            Done::Healed(segment, why, found, Err(trouble)) => {
                if let Some(found) = found {
                    self.distrust(&segment, self.setting.primary.id(), found.state());
                }
                self.hear_of_heal_trouble(&segment, why, trouble);
            }
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
                // A mirror that is full or gone is no fault of this segment's.
                match error.fault() {
                    Fault::Full => self.full_until = Some(self.instant().plus(FULL)),
                    _ if matches!(error, StorageError::VolumeLost { .. }) => {}
                    _ => self.rest(segment.id),
                }
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
        let ids = (
            self.setting.primary.id(),
            self.keeper.volume().map(|volume| volume.id()),
        );
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
            tracing::warn!(
                path = copy.path,
                state = state.as_str(),
                "a copy is not what it should be"
            );
            self.tell_copy(segment.id, Copy { state, ..copy });
        }
    }
}
