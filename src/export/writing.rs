//! Writing: a reel becomes a file, hashed on the way and on the disk for certain.

use std::time::Duration;

use super::driver::Desk;
use super::error::ExportError;
use super::plan::Part;
use super::stop::Stop;
use crate::pipeline::export;
use crate::storage::{Draft, Durable, sync_data};

/// A disk on which nothing moves for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

impl Desk {
    /// Writes a part where its draft is. It is that share of all the work.
    pub(super) fn write(&self, part: &Part, draft: &Draft, share: f64, stop: &Stop) -> Result<Durable, ExportError> {
        let bytes = part.reel.size_bytes();
        let progress = stop.begin_writing(bytes, share);
        let pieces = part.reel.reader(0..bytes);
        let written = export(&self.means.catalog, pieces, draft.part(), &progress, PATIENCE)?;
        if written.size_bytes != bytes {
            return Err(ExportError::Broken(format!(
                "{} of {bytes} bytes were written",
                written.size_bytes
            )));
        }
        sync_data(draft.part())?;
        Ok(Durable {
            size_bytes: written.size_bytes,
            sha256: written.sha256,
        })
    }
}
