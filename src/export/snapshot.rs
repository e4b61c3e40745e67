//! Stills: the frame that is shown at a moment, from a file or from what is still in memory, never from the camera.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::sighting::{Found, first_found, sources};
use super::turn::Turns;
use crate::index::{Index, IndexError};
use crate::model::{CameraId, Edges, Fault, SegmentId, Span, Still, Timestamp};
use crate::pipeline::{Catalog, Patience, PipelineError, Snapping, Wanted, snap};
use crate::runtime::Clock;
use crate::storage::Volumes;

/// Times are told in milliseconds: a frame that is told as taken at a millisecond is the one shown at it.
const INSTANT: i64 = 1_000_000;
/// Holes as long as this are drawn as none, so there is something to see in them: the frame before.
const SEAM: Duration = Duration::from_secs(2);
/// A frame that is older than this is not what a camera sees now.
const FRESH: Duration = Duration::from_secs(10);
/// More segments than lie within two seconds of a moment.
const NEAR: u32 = 64;
/// A minute of pictures between two keyframes is decoded within this on a small machine.
const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(25),
    total: Duration::from_secs(25),
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotWish {
    /// The moment; without it the newest frame.
    pub at: Option<Timestamp>,
    /// How wide the still is to be at most; as wide as the picture without it.
    pub width: Option<u32>,
    /// How it is written.
    pub still: Still,
}

/// A frame as a still.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The file.
    pub bytes: Bytes,
    /// How it is written.
    pub still: Still,
    /// When the frame was taken, by the clock of its segment.
    pub taken: Timestamp,
    /// The segment it is from.
    pub segment: SegmentId,
}

/// Why there is no still.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Nothing was recorded then.
    #[error("nothing was recorded at {at}; {}", nearest(*before, *after))]
    NothingThere {
        /// When.
        at: Timestamp,
        /// The end of what was recorded before.
        before: Option<Timestamp>,
        /// The start of what was recorded after.
        after: Option<Timestamp>,
    },
    /// Nothing is recorded now.
    #[error("nothing is being recorded of this camera; {}", nearest(*last, None))]
    NothingNow {
        /// When the last of what there is ends.
        last: Option<Timestamp>,
    },
    /// A moment that has not come.
    #[error("{at} has not come yet; it is {now}")]
    Future {
        /// The moment.
        at: Timestamp,
        /// What time it is.
        now: Timestamp,
    },
    /// The file is gone or cannot be read.
    #[error("the file of the segment from {start} cannot be read: {reason}")]
    Unreadable {
        /// Where the segment begins.
        start: Timestamp,
        /// What is wrong with it.
        reason: String,
    },
    /// The frame cannot be made into a picture.
    #[error("the frame of {taken} is damaged and cannot be decoded; ask for a later one")]
    Damaged {
        /// When it was taken.
        taken: Timestamp,
    },
    /// Too many are at it already.
    #[error("too many clips and snapshots are being made; try again soon")]
    Busy,
    /// The index did not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The pictures could not be decoded or written.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

fn nearest(before: Option<Timestamp>, after: Option<Timestamp>) -> String {
    match (before, after) {
        (None, None) => "there is no footage of this camera at all".to_owned(),
        (Some(before), None) => format!("the last footage ends at {before}"),
        (None, Some(after)) => format!("the first footage begins at {after}"),
        (Some(before), Some(after)) => format!("the footage before ends at {before}, the next begins at {after}"),
    }
}

impl SnapshotError {
    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NothingThere { .. } | Self::NothingNow { .. } => Fault::NotFound,
            Self::Future { .. } => Fault::Invalid,
            Self::Unreadable { .. } | Self::Damaged { .. } => Fault::Corrupt,
            Self::Busy => Fault::Unavailable,
            Self::Index(error) => error.fault(),
            Self::Pipeline(error) => error.fault(),
        }
    }
}

/// Makes stills. Clones share everything.
#[derive(Debug, Clone)]
pub struct Snapshots(Arc<Means>);

#[derive(Debug)]
struct Means {
    index: Index,
    edges: Arc<dyn Edges>,
    volumes: Volumes,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    turns: Turns,
}

/// Stops what is at work when whoever asked has gone.
struct Asker(Wanted);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Snapshots {
    /// Puts together what stills are made with.
    pub fn new(
        index: Index,
        edges: Arc<dyn Edges>,
        volumes: Volumes,
        catalog: Arc<Catalog>,
        clock: Arc<dyn Clock>,
        turns: Turns,
    ) -> Self {
        Self(Arc::new(Means {
            index,
            edges,
            volumes,
            catalog,
            clock,
            turns,
        }))
    }

    /// The still that is wished for. The camera has to exist; nothing is asked of it.
    pub async fn take(&self, camera: &CameraId, wish: SnapshotWish) -> Result<Snapshot, SnapshotError> {
        let turn = self.0.turns.take().await.ok_or(SnapshotError::Busy)?;
        let (means, camera) = (Arc::clone(&self.0), camera.clone());
        let wanted = Wanted::default();
        let _asker = Asker(wanted.clone());
        let work = tokio::task::spawn_blocking(move || {
            let snapshot = means.take(&camera, wish, &wanted);
            drop(turn);
            snapshot
        });
        work.await.unwrap_or_else(|error| {
            Err(SnapshotError::Pipeline(PipelineError::Failed {
                name: "snapshot".to_owned(),
                reason: error.to_string(),
            }))
        })
    }
}

impl Means {
    fn take(&self, camera: &CameraId, wish: SnapshotWish, wanted: &Wanted) -> Result<Snapshot, SnapshotError> {
        let now = self.clock.now();
        let found = match wish.at {
            None => self.newest(camera, now)?,
            Some(at) if at > now.plus(SEAM) => return Err(SnapshotError::Future { at, now }),
            Some(at) => self.find(camera, at)?,
        };
        let (segment, taken) = (found.segment, found.taken);
        let snapping = Snapping {
            codec: found.codec,
            caps: found.caps,
            units: found.units,
            origin: found.origin,
            pts: found.pts,
            // To make a picture larger adds nothing to it.
            width: wish.width.filter(|width| *width < found.width),
            still: wish.still,
        };
        let bytes = snap(&self.catalog, snapping, PATIENCE, wanted)?.ok_or(SnapshotError::Damaged { taken })?;
        Ok(Snapshot {
            bytes,
            still: wish.still,
            taken,
            segment,
        })
    }

    fn newest(&self, camera: &CameraId, now: Timestamp) -> Result<Found, SnapshotError> {
        // Memory first: what is written meanwhile is in both, and what is closed meanwhile is whole in its file.
        let edges = self.edges.edges(camera);
        let last = self.index.read_blocking(|reader| reader.last_segment(camera))?;
        let end = last.as_ref().map(|segment| segment.span.end);
        let sources = sources(edges, last.into_iter().collect());
        let found = first_found(&self.volumes, sources, Timestamp::MAX)?;
        found
            .filter(|found| now.since(found.taken) <= FRESH)
            .ok_or(SnapshotError::NothingNow { last: end })
    }

    fn find(&self, camera: &CameraId, at: Timestamp) -> Result<Found, SnapshotError> {
        let limit = at.offset(INSTANT);
        let edges = self.edges.edges(camera);
        let near = Span::new(at.minus(SEAM), limit);
        let segments = self
            .index
            .read_blocking(|reader| reader.segments(camera, Some(near), NEAR, None))?;
        let found = first_found(&self.volumes, sources(edges, segments), limit)?;
        if let Some(found) = found.filter(|found| at.since(found.until) < SEAM) {
            return Ok(found);
        }
        let (before, after) = self.index.read_blocking(|reader| {
            let before = reader.footage_before(camera, limit)?.map(|span| span.end);
            let after = reader.next_footage(camera, at)?.map(|span| span.start);
            Ok((before, after))
        })?;
        Err(SnapshotError::NothingThere { at, before, after })
    }
}
