//! What a check found, for people and for programs.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::plan::Action;

/// One thing that was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, relative to its volume, or the journal.
    pub path: String,
    /// What it is, in one sentence.
    pub what: String,
    /// Whether it is as it should be now.
    pub mended: bool,
}

/// So many findings are told one by one; the counts know of all.
const MOST_FINDINGS: usize = 1000;

/// Counts, and the findings one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Files that were looked at.
    pub files: u64,
    /// Rows that were held against their files.
    pub rows: u64,
    /// Rows of whole files that were still open, or measured anew.
    pub closed: u64,
    /// Files written anew from a journal.
    pub mended_from_journal: u64,
    /// Files written anew from what could be read of them.
    pub mended_from_file: u64,
    /// Files written anew from both.
    pub mended_from_both: u64,
    /// Whole files that the index did not know.
    pub indexed: u64,
    /// Files that play, but are not those that were closed.
    pub suspect: u64,
    /// Rows whose files are gone.
    pub missing: u64,
    /// Recordings that lost frames, which the timeline shows as damaged.
    pub damaged: u64,
    /// Recordings that show a time which the one before them shows too.
    pub doubled: u64,
    /// Files that hold nothing to play.
    pub quarantined: u64,
    /// Segments of which no frame was kept.
    pub dropped: u64,
    /// Files of others.
    pub foreign: u64,
    /// Files on the mirror that are copies of known segments, and were not known as such.
    pub adopted: u64,
    /// Incomplete files on the mirror that were removed: their segments are whole elsewhere.
    pub leftovers: u64,
    /// What could not be checked or mended.
    pub failed: u64,
    /// Whether it was ended before its end.
    pub interrupted: bool,
    /// What was not as it should be, as far as it fits.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Counts what is to be done, or was done.
    pub(super) fn count(&mut self, action: &Action) {
        match action {
            Action::AlreadyWhole => {}
            Action::CloseRow => self.closed += 1,
            Action::MendFromJournal => self.mended_from_journal += 1,
            Action::MendFromFile => self.mended_from_file += 1,
            Action::MendFromBoth => self.mended_from_both += 1,
            Action::IndexOrphan => self.indexed += 1,
            Action::Distrust => self.suspect += 1,
            Action::FileMissing => self.missing += 1,
            Action::Quarantine(_) => self.quarantined += 1,
            Action::DropRow => self.dropped += 1,
            Action::NotOurs => self.foreign += 1,
        }
    }

    /// Remembers a finding.
    pub(super) fn find(&mut self, path: &str, what: impl Into<String>, mended: bool) {
        if self.findings.len() < MOST_FINDINGS {
            self.findings.push(Finding {
                path: path.to_owned(),
                what: what.into(),
                mended,
            });
        }
    }

    /// The mirror could not be checked.
    pub fn miss_mirror(&mut self, root: &Path, why: impl fmt::Display) {
        self.failed += 1;
        self.find(
            &root.display().to_string(),
            format!("the mirror was not checked: {why}"),
            false,
        );
    }

    /// Takes over what another check found.
    pub fn add(&mut self, other: Self) {
        for (own, others) in [
            (&mut self.files, other.files),
            (&mut self.rows, other.rows),
            (&mut self.closed, other.closed),
            (&mut self.mended_from_journal, other.mended_from_journal),
            (&mut self.mended_from_file, other.mended_from_file),
            (&mut self.mended_from_both, other.mended_from_both),
            (&mut self.indexed, other.indexed),
            (&mut self.suspect, other.suspect),
            (&mut self.missing, other.missing),
            (&mut self.damaged, other.damaged),
            (&mut self.doubled, other.doubled),
            (&mut self.quarantined, other.quarantined),
            (&mut self.dropped, other.dropped),
            (&mut self.foreign, other.foreign),
            (&mut self.adopted, other.adopted),
            (&mut self.leftovers, other.leftovers),
            (&mut self.failed, other.failed),
        ] {
            *own += others;
        }
        self.interrupted |= other.interrupted;
        for finding in other.findings {
            self.find(&finding.path, finding.what, finding.mended);
        }
    }

    /// Whether everything is as it should be now. Files of others are nobody's fault.
    pub fn is_well(&self) -> bool {
        self.failed == 0 && !self.interrupted && self.findings.iter().all(|finding| finding.mended)
    }

    /// The counts with their names, in the order a person reads them.
    pub fn counts(&self) -> [(&'static str, u64); 17] {
        [
            ("files looked at", self.files),
            ("rows held against files", self.rows),
            ("rows closed or measured anew", self.closed),
            ("mended from the journal", self.mended_from_journal),
            ("mended from the file", self.mended_from_file),
            ("mended from both", self.mended_from_both),
            ("unknown files indexed", self.indexed),
            ("files that are not what was closed", self.suspect),
            ("files missing", self.missing),
            ("recordings that lost frames", self.damaged),
            ("recordings of a time that was recorded already", self.doubled),
            ("put into quarantine", self.quarantined),
            ("begun, but nothing kept", self.dropped),
            ("files of others, left alone", self.foreign),
            ("copies adopted on the mirror", self.adopted),
            ("leftovers removed from the mirror", self.leftovers),
            ("failed", self.failed),
        ]
    }
}
