//! Holds: footage that nobody may let go, because it is evidence.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::camera::CameraId;
use super::segment::SegmentId;
use super::time::{Span, Timestamp};

/// Identifies a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HoldId(pub Uuid);

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time of some cameras whose footage stays, also what is still to be recorded or to come back from a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its identity.
    pub id: HoldId,
    /// Of which cameras.
    pub cameras: Vec<CameraId>,
    /// Every segment that overlaps this is held.
    pub span: Span,
    /// The segment that it was made for, when it was made for one.
    pub segment: Option<SegmentId>,
    /// Why, for people.
    pub reason: String,
    /// Who wanted it.
    pub owner: String,
    /// Which incident it belongs to.
    pub incident: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself; nothing when a person has to end it.
    pub expires_at: Option<Timestamp>,
}

/// How much footage belongs to an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its id, as whoever names it spells it.
    pub id: String,
    /// How many segments there are of it.
    pub segments: u64,
    /// How much room their copies take on all volumes.
    pub bytes: u64,
    /// Of which cameras they are.
    pub cameras: Vec<CameraId>,
    /// From the first of them to the end of the last; nothing when there is none.
    pub span: Option<Span>,
    /// How many holds belong to it.
    pub holds: u64,
}
