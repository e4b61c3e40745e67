//! What is told of the mirror to whoever asks.

use std::fmt;
use std::path::PathBuf;

use super::desk::Desk;
use super::state::Stand;
use crate::index::Holding;
use crate::model::{Timestamp, VolumeId, counted};

/// How the mirror is right now.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// How it stands.
    pub stand: Stand,
    /// Since when.
    pub since: Timestamp,
    /// Why it is not there, or what it missed, for a person.
    pub reason: Option<String>,
    /// Where it is to be.
    pub root: PathBuf,
    /// What is written on it, once it was there.
    pub volume: Option<VolumeId>,
    /// All of its file system.
    pub total_bytes: u64,
    /// What its file system still takes.
    pub available_bytes: u64,
    /// What it lacks.
    pub owed: Holding,
    /// What it holds.
    pub held: Holding,
    /// What was copied afterwards since the start.
    pub copied_segments: u64,
    /// The same in bytes.
    pub copied_bytes: u64,
    /// How fast is being copied, over the last seconds.
    pub bytes_per_second: f64,
    /// Whether copying waits because clips are being made.
    pub is_paused: bool,
    /// What was recorded and did not get to the mirror at once, since the start: it is copied afterwards.
    pub dropped_bytes: u64,
    /// Threads that a disk held for too long, since the start.
    pub left_behind: u64,
    /// The verification that runs, or the last.
    pub verify: Option<Tour>,
    /// The restoration that runs, or the last.
    pub restore: Option<Tour>,
}

/// A walk through all that the mirror holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tour {
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over; nothing while it lasts.
    pub ended_at: Option<Timestamp>,
    /// How many segments there were to look at when it began.
    pub segments: u64,
    /// How many were looked at.
    pub done: u64,
    /// Copies on the mirror that were not what they should be.
    pub mirror_wrong: u64,
    /// Copies on the primary that were not.
    pub primary_wrong: u64,
    /// Copies that are whole again.
    pub healed: u64,
    /// Copies that could not be made whole, because the disk refused.
    pub failed: u64,
    /// Segments of which no whole copy is left.
    pub lost: u64,
}

impl fmt::Display for Tour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            segments,
            done,
            mirror_wrong,
            primary_wrong,
            healed,
            failed,
            lost,
            ..
        } = self;
        let segments = counted(*segments, "segment", "segments");
        write!(
            f,
            "{done} of {segments} looked at; copies that were wrong: {mirror_wrong} there, {primary_wrong} on the \
             primary; {healed} healed, {failed} could not be written, {lost} lost"
        )
    }
}

impl Tour {
    /// One that begins.
    pub(super) fn begin(started_at: Timestamp, segments: u64) -> Self {
        Self {
            started_at,
            segments,
            ..Self::default()
        }
    }

    /// Whether it lasts.
    pub fn is_running(&self) -> bool {
        self.ended_at.is_none()
    }
}

impl Desk {
    /// Puts what is known where everybody can see it.
    pub(super) fn show(&self) {
        let rate = match (self.rates.front(), self.rates.back()) {
            (Some((from, before)), Some((to, after))) if to > from => {
                after.saturating_sub(*before) as f64 / to.since(*from).as_secs_f64()
            }
            _ => 0.0,
        };
        let mut status = self.shared.status();
        status.stand = self.standing.stand();
        status.since = self.standing.since();
        status.reason = self.standing.reason().map(str::to_owned);
        status.volume = self.volume_id;
        status.total_bytes = self.space.total_bytes;
        status.available_bytes = self.space.available_bytes;
        status.owed = self.owed;
        status.held = self.held;
        status.bytes_per_second = rate;
        status.is_paused = self.owed.segments > 0 && (self.setting.is_busy)();
        status.dropped_bytes = self.setting.writer.dropped_bytes();
        status.left_behind = self.left_behind + self.keeper.left_behind();
        // One that was ordered a moment ago is shown as begun, and not as the one before it that is over.
        let ordered = self.shared.wishes();
        if let Some(walk) = self.verify.as_ref().filter(|_| !ordered.verify) {
            status.verify = Some(walk.tour);
        }
        if let Some(walk) = self.restore.as_ref().filter(|_| !ordered.restore) {
            status.restore = Some(walk.tour);
        }
    }
}
