//! Where a run's files are made, and what is known when one is closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{Fault, Loss, SegmentId, Timestamp};
use crate::storage::{Place, StorageError};

use super::door::Door;
use super::piece::Origins;
use super::run::{Inner, Run, RunNews};

impl Run {
    /// Whether what comes can be written, as far as can be told before a file is made. Says so when not. May wait for the disk.
    pub(super) fn can_write(&self) -> bool {
        if matches!(self.lock().door, Door::Shut) {
            return true;
        }
        self.volume
            .check_back()
            .map_err(|error| self.is_refused(&error))
            .is_ok()
    }

    /// The volume does not take what comes.
    pub(super) fn is_refused(&self, error: &StorageError) {
        let loss = if error.fault() == Fault::Full {
            Loss::VolumeFull
        } else {
            Loss::VolumeLost
        };
        self.tell(RunNews::Lost(loss, error.to_string()));
    }

    pub(super) fn try_place(&self, first_pts: i64) -> Result<PathBuf, StorageError> {
        let Some((id, origins, sequence, mut start)) = self.unplaced(first_pts) else {
            return Err(StorageError::Damaged {
                path: PathBuf::from("splitmuxsink"),
                reason: "a file was to be opened for no segment".to_owned(),
            });
        };
        loop {
            let place = Place::new(origins.camera.clone(), start, origins.run, sequence);
            let relative = place.relative_path();
            // No lock is held here: a disk that hangs must not hold up what comes in.
            match self.volume.create_new(&relative) {
                Ok(path) => {
                    self.placed(id, relative, path.clone());
                    return Ok(path);
                }
                // Nothing is ever written over: the next millisecond is free sooner or later.
                Err(StorageError::Exists { .. }) => start = start.offset(1_000_000),
                Err(error) => return Err(error),
            }
        }
    }

    /// The segment that a file is to be made for.
    fn unplaced(&self, first_pts: i64) -> Option<(SegmentId, Arc<Origins>, u32, Timestamp)> {
        let inner = self.lock();
        // The writer is told the cuts before it sees the frames, so the segment is here; the nearest one is taken should
        // a timestamp ever differ, because a file under a neighbour's name is better than none.
        let unplaced = inner.pieces.iter().filter(|piece| piece.file.is_none());
        let piece = unplaced.min_by_key(|piece| piece.first_pts.abs_diff(first_pts))?;
        if piece.first_pts != first_pts {
            let off_ns = first_pts.saturating_sub(piece.first_pts);
            tracing::warn!(camera = %piece.origins.camera, off_ns, "a file begins elsewhere than its segment");
        }
        Some((piece.id, piece.origins.clone(), piece.sequence, piece.start(&inner.map)))
    }

    fn placed(&self, id: SegmentId, relative: String, path: PathBuf) {
        let mut inner = self.lock();
        let Inner { map, pieces, .. } = &mut *inner;
        if let Some(piece) = pieces.iter_mut().find(|piece| piece.id == id) {
            self.syncer.register(&path);
            piece.file = Some((relative, path));
            self.tell(RunNews::Placed(piece.segment(map)));
        }
    }

    pub(super) fn close(&self, path: &Path) {
        let mut inner = self.lock();
        let Inner { map, pieces, .. } = &mut *inner;
        let found = pieces
            .iter()
            .position(|piece| piece.file.as_ref().is_some_and(|(_, own)| own == path));
        let Some(mut piece) = found.and_then(|index| pieces.remove(index)) else {
            return;
        };
        if !piece.is_finished() {
            piece.finish(map, None);
        }
        let segment = piece.segment(map);
        if let Some((_, at @ None)) = inner.began.as_mut().filter(|(pts, _)| *pts == piece.first_pts) {
            *at = Some(segment.span.start);
        }
        inner.last_end = Some(segment.span.end);
        drop(inner);
        self.syncer.unregister(path);
        self.tell(RunNews::Closed(segment, path.to_path_buf()));
    }
}
