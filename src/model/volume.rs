//! Volumes and the copies of segments that lie on them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identifies a volume by what is written on it, not by where it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VolumeId(pub Uuid);

/// What a volume is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeRole {
    /// Where recordings are written first.
    Primary,
    /// Where the second copy goes.
    Mirror,
}

impl VolumeRole {
    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Mirror => "mirror",
        }
    }
}

/// How far a copy can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// Being written.
    Open,
    /// On the disk for certain: written, synced, hashed.
    Whole,
    /// Its sync failed or its bytes differ: kept, but not trusted.
    Suspect,
    /// The row is there, the file is not.
    Missing,
    /// Not playable; moved aside with a reason.
    Quarantined,
}

impl CopyState {
    /// Every state, for parsing and for tests.
    pub const ALL: [Self; 5] = [Self::Open, Self::Whole, Self::Suspect, Self::Missing, Self::Quarantined];

    /// The word in the index and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Whole => "whole",
            Self::Suspect => "suspect",
            Self::Missing => "missing",
            Self::Quarantined => "quarantined",
        }
    }

    /// The state a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// One file that holds a segment on one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Which volume it lies on.
    pub volume: VolumeId,
    /// Where on that volume, relative to its root.
    pub path: String,
    /// How long the file is.
    pub size_bytes: u64,
    /// SHA-256 of the whole file, once it is closed.
    pub sha256: Option<[u8; 32]>,
    /// How far it can be believed.
    pub state: CopyState,
}
