//! Through all rows and through all files of a volume, in small steps: nobody who records waits for this.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::model::{Copy, CopyState, SegmentId, Timestamp};
use crate::runtime::pause;
use crate::storage::UNFINISHED;

use super::driver::Check;
use super::error::CheckError;
use super::repair::BESIDE;
use super::report::Report;

/// Rows read at a time.
pub(super) const PAGE: u32 = 500;
/// A breath between two pages, so that a check of 100,000 segments never has the disk or the index for itself.
pub(super) const BREATH: Duration = Duration::from_millis(2);
/// Unknown files that are remembered; the next check finds what is beyond.
const MOST_UNKNOWN: usize = 1_000_000;

impl Check {
    /// Holds every row of a closed copy against its file. Most cost one look at the file's size.
    pub(super) fn look_at_rows(&self, report: &mut Report, handled: &BTreeSet<String>) -> Result<(), CheckError> {
        let volume = self.volume.id();
        let mut after: Option<String> = None;
        while self.goes_on(report) {
            let from = after.clone();
            let page = self
                .index
                .read_blocking(move |reader| reader.copies_on(volume, from.as_deref(), PAGE))?;
            let Some((_, last)) = page.last() else {
                break;
            };
            after = Some(last.path.clone());
            for (id, copy) in &page {
                if copy.state == CopyState::Open || handled.contains(&copy.path) {
                    continue;
                }
                report.rows += 1;
                if !self.agrees(copy) && self.goes_on(report) {
                    self.settle_copy(report, *id, copy);
                }
            }
            pause(BREATH);
        }
        Ok(())
    }

    fn agrees(&self, copy: &Copy) -> bool {
        match fs::metadata(self.volume.absolute(&copy.path)) {
            Ok(found) => copy.state == CopyState::Whole && found.len() == copy.size_bytes,
            Err(_) => matches!(copy.state, CopyState::Missing | CopyState::Quarantined),
        }
    }

    fn settle_copy(&self, report: &mut Report, id: SegmentId, copy: &Copy) {
        self.settle(report, &copy.path, || self.case_of_copy(id, copy));
    }

    /// Files that no row names and that lay there before a moment.
    pub(super) fn find_unknown(&self, report: &mut Report, before: Timestamp) -> Result<Vec<String>, CheckError> {
        let mut unknown = Vec::new();
        let mut known = (String::new(), BTreeSet::new());
        for found in self.volume.files()? {
            if !self.goes_on(report) {
                break;
            }
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    self.fail(report, "the volume", &error.into());
                    continue;
                }
            };
            report.files += 1;
            // What was written to since belongs to whoever runs now.
            if found.modified >= before || unknown.len() >= MOST_UNKNOWN {
                continue;
            }
            if found.relative.ends_with(BESIDE) || found.relative.ends_with(UNFINISHED) {
                self.remove_try(&found.relative);
                continue;
            }
            let directory = found.relative.rsplit_once('/').map_or("", |(directory, _)| directory);
            if known.0 != directory {
                known = (directory.to_owned(), self.names_below(directory)?);
                pause(BREATH);
            }
            if !known.1.contains(&found.relative) {
                unknown.push(found.relative);
            }
        }
        Ok(unknown)
    }

    /// What rows name below a directory.
    fn names_below(&self, directory: &str) -> Result<BTreeSet<String>, CheckError> {
        let volume = self.volume.id();
        let prefix = if directory.is_empty() {
            String::new()
        } else {
            format!("{directory}/")
        };
        let mut names = BTreeSet::new();
        let mut after = prefix.clone();
        loop {
            let from = after.clone();
            let page = self
                .index
                .read_blocking(move |reader| reader.copies_on(volume, Some(&from), PAGE))?;
            let full = page.len() == PAGE as usize;
            for (_, copy) in page {
                if !copy.path.starts_with(&prefix) {
                    return Ok(names);
                }
                after.clone_from(&copy.path);
                names.insert(copy.path);
            }
            if !full {
                return Ok(names);
            }
        }
    }

    /// A file that was being written anew when somebody was killed: all that it was made of is still there. One that was
    /// being refilled is fetched again.
    fn remove_try(&self, relative: &str) {
        if !self.mends() {
            return;
        }
        match self.volume.remove(relative) {
            Ok(_) => tracing::info!(
                path = relative,
                "removed a file that was not finished; what it is made of is still there"
            ),
            Err(error) => tracing::warn!(path = relative, %error, "a file that was not finished stays behind"),
        }
    }
}
