//! What is told of a volume's retention to whoever asks.

use std::time::Duration;

use super::rules::Rules;
use crate::model::{CameraId, Timestamp, VolumeRole};

/// How a volume stands to its rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Which volume.
    pub role: VolumeRole,
    /// What a person set.
    pub rules: Rules,
    /// All of its file system; 0 until it was seen.
    pub total_bytes: u64,
    /// What its file system still takes.
    pub available_bytes: u64,
    /// Below this, room is made.
    pub floor_bytes: u64,
    /// What recordings take, those being written not counted.
    pub held_bytes: u64,
    /// How many segments that is.
    pub held_segments: u64,
    /// When the oldest begins that is not held as evidence.
    pub oldest: Option<Timestamp>,
    /// How far the newest reaches.
    pub newest: Option<Timestamp>,
    /// What is recorded a day, as of the last day.
    pub bytes_per_day: u64,
    /// How much older the oldest is than the rules of age allow.
    pub lag: Duration,
    /// What each camera holds, in bytes.
    pub cameras: Vec<(CameraId, u64)>,
    /// What went since the start.
    pub deleted_segments: u64,
    /// The same in bytes.
    pub deleted_bytes: u64,
    /// What is wrong, for a person: the disk is too small for its rules, or nothing more may go.
    pub problem: Option<String>,
    /// When the last pass was over.
    pub passed_at: Option<Timestamp>,
}

impl Status {
    pub(super) fn new(role: VolumeRole, rules: Rules) -> Self {
        Self {
            role,
            rules,
            total_bytes: 0,
            available_bytes: 0,
            floor_bytes: 0,
            held_bytes: 0,
            held_segments: 0,
            oldest: None,
            newest: None,
            bytes_per_day: 0,
            lag: Duration::ZERO,
            cameras: Vec::new(),
            deleted_segments: 0,
            deleted_bytes: 0,
            problem: None,
            passed_at: None,
        }
    }

    /// How much may still be recorded before something has to go.
    pub fn left_bytes(&self) -> u64 {
        let by_disk = self.available_bytes.saturating_sub(self.floor_bytes);
        let by_cap = self.rules.max_bytes.map(|most| most.saturating_sub(self.held_bytes));
        by_cap.map_or(by_disk, |by_cap| by_cap.min(by_disk))
    }
}
