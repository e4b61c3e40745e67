//! A journal that grows, and what did not fit into it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::error::StorageError;
use super::journal::JournalWriter;
use super::syncer::Complain;
use crate::model::SegmentId;

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Units that did not fit and that no journal knows of yet.
    pub(super) pending: AtomicU64,
    /// All units that were not written, for as long as the lane lives.
    pub(super) missed: AtomicU64,
}

/// A lane's journal that grows.
pub(super) struct Open {
    pub(super) segment: SegmentId,
    pub(super) path: PathBuf,
    /// Nothing when it could not be made; its units are counted.
    pub(super) writer: Option<JournalWriter>,
    pub(super) counts: Arc<Counts>,
    /// Units that are missing at its end as it stands.
    pub(super) hole: u64,
    pub(super) has_complained: bool,
}

impl Open {
    /// Appends, and what is missing before it; `false` where it is not written, which is told once.
    pub(super) fn put(
        &mut self,
        complain: &Complain,
        append: impl FnOnce(&mut JournalWriter) -> Result<(), StorageError>,
    ) -> bool {
        let Some(writer) = &mut self.writer else {
            return false;
        };
        // What is missing stands before what comes after it.
        let hole = match self.hole {
            0 => Ok(()),
            missed => writer.append_hole(missed),
        };
        let put = hole.and_then(|()| {
            self.hole = 0;
            append(writer)
        });
        match put {
            Ok(()) => true,
            Err(error) => {
                if !std::mem::replace(&mut self.has_complained, true) {
                    complain(error);
                }
                false
            }
        }
    }
}
