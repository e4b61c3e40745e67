//! The frames of a file, one by one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::model::{Track, Unit};

use super::frames::TrackTable;

/// Reads the frames of a track in decoding order, each with its bytes.
#[derive(Debug)]
pub struct UnitReader {
    file: Arc<File>,
    track: Track,
    table: Option<TrackTable>,
    next: usize,
}

impl UnitReader {
    pub(super) fn new(file: Arc<File>, track: Track, table: Option<TrackTable>) -> Self {
        Self {
            file,
            track,
            table,
            next: 0,
        }
    }

    /// The same reader for some of the frames only, counted from 0 in decoding order.
    #[must_use]
    pub fn between(mut self, frames: std::ops::RangeInclusive<usize>) -> Self {
        self.next = *frames.start();
        if let Some(table) = &mut self.table {
            table.samples.truncate(frames.end().saturating_add(1));
        }
        self
    }
}

impl Iterator for UnitReader {
    type Item = io::Result<Unit>;

    fn next(&mut self) -> Option<Self::Item> {
        let table = self.table.as_ref()?;
        let sample = table.samples.get(self.next)?;
        self.next += 1;
        let mut payload = vec![0; sample.size as usize];
        if let Err(error) = self.file.read_exact_at(&mut payload, sample.offset) {
            return Some(Err(error));
        }
        Some(Ok(Unit {
            track: self.track,
            pts: table.pts(sample),
            dts: table.dts(sample),
            duration: u64::try_from(table.nanos(i64::from(sample.duration)))
                .ok()
                .filter(|duration| *duration > 0),
            keyframe: sample.keyframe,
            payload: payload.into(),
        }))
    }
}
