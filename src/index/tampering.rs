//! What somebody does to the rows who has the index and not camkeep: for tests of what notices it.
#![allow(clippy::unwrap_used)]

use rusqlite::params;

use super::{Index, IndexError, Writer};
use crate::model::{RunId, SegmentId};

impl Writer<'_> {
    /// Holds a segment as evidence.
    pub(crate) fn hold_for_tests(&self, id: SegmentId) -> Result<(), IndexError> {
        self.execute(
            "UPDATE segments SET evidence_locked = 1 WHERE id = ?1",
            [id.0.as_bytes()],
        )?;
        Ok(())
    }
}

impl Index {
    /// Takes a segment's row out, without a note of it.
    pub(crate) fn take_out(&self, run: RunId, sequence: u32) {
        self.write_blocking(move |w| {
            w.execute(
                "DELETE FROM segments WHERE run_id = ?1 AND sequence = ?2",
                params![run.0, sequence],
            )
        })
        .unwrap();
    }

    /// Lets two segments of a run change places.
    pub(crate) fn swap_places(&self, run: RunId, one: u32, other: u32) {
        self.write_blocking(move |w| {
            w.execute(
                "UPDATE segments SET sequence = ?2 + ?3 - sequence WHERE run_id = ?1 AND sequence IN (?2, ?3)",
                params![run.0, one, other],
            )
        })
        .unwrap();
    }
}
