//! Goes through what was left, through the rows and through the files, and does what the plan says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::index::Index;
use crate::model::{Copy, CopyState, Event, EventKind, News, Segment, SegmentId, SegmentState, Span, counted};
use crate::pipeline::Catalog;
use crate::runtime::{Clock, Shutdown, spawn_thread};
use crate::storage::{TailPlace, Volume};

use super::cases::{Case, Unknown};
use super::error::CheckError;
use super::hand_over;
use super::plan::{Action, JournalFacts, RowFacts, plan};
use super::repair::{Bench, Left, is_torn, remove_journal};
use super::report::Report;
use super::survey::Survey;

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only look, and say what would be done.
    Look,
    /// Do it.
    Mend,
}

/// One check of one volume. Everything that becomes known is told as news, to be written by the timeline; only how far
/// a known copy can be believed is written by the check itself.
pub struct Check {
    /// The index.
    pub index: Index,
    /// The volume to check.
    pub volume: Arc<Volume>,
    /// The pipelines.
    pub catalog: Arc<Catalog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Between two files it is looked whether this was asked.
    pub shutdown: Shutdown,
    /// Whether anything is changed.
    pub mode: Mode,
    /// Where news go.
    pub tell: Box<dyn Fn(News) + Send + Sync>,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("volume", &self.volume.root())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Check {
    /// Runs on a thread of its own, beside recording.
    pub fn start(self, survey: Survey) -> Result<JoinHandle<Report>, CheckError> {
        spawn_thread("check", move || {
            let report = self.run(survey);
            let closed = report.closed + report.indexed;
            let mended = report.mended_from_journal + report.mended_from_file + report.mended_from_both;
            tracing::info!(
                files = report.files,
                closed,
                mended,
                missing = report.missing,
                quarantined = report.quarantined,
                failed = report.failed,
                "checked the volume {}",
                self.volume.root().display()
            );
            report
        })
        .map_err(|error| CheckError::Thread(error.to_string()))
    }

    /// Runs here and now.
    pub fn run(&self, survey: Survey) -> Report {
        let mut report = Report::default();
        let mut handled = BTreeSet::new();
        let mut journals: BTreeMap<TailPlace, PathBuf> = survey.journals.into_iter().collect();
        if self.mends() {
            hand_over::settle(&mut journals);
        }
        // What was left open first: people look at the newest footage first.
        for segment in survey.open {
            let place = TailPlace {
                camera: segment.camera.clone(),
                run: segment.run,
                sequence: segment.sequence,
            };
            let journal = journals.remove(&place);
            if self.goes_on(&mut report) {
                let path = self.path_of(&segment);
                handled.insert(path.clone());
                self.settle(&mut report, &path, || self.case_of_open(segment, path.clone(), journal));
            }
        }
        for (place, path) in journals {
            if self.goes_on(&mut report) {
                let name = path.display().to_string();
                self.settle(&mut report, &name, || self.case_of_journal(&place, &path, &mut handled));
            }
        }
        if let Err(error) = self.look_at_rows(&mut report, &handled) {
            self.fail(&mut report, "the index", &error);
        }
        self.name_damaged(&mut report);
        self.name_doubled(&mut report);
        match self.find_unknown(&mut report, survey.taken_at) {
            Ok(unknown) => {
                for path in unknown {
                    if self.goes_on(&mut report) && !handled.contains(&path) {
                        self.settle_unknown(&mut report, &path);
                    }
                }
            }
            Err(error) => self.fail(&mut report, "the volume", &error),
        }
        report
    }

    /// Names recordings that lost frames, today or long ago: nothing is left to be done about them here.
    fn name_damaged(&self, report: &mut Report) {
        let volume = self.volume.id();
        match self.index.read_blocking(move |reader| reader.damaged_on(volume)) {
            Ok(damaged) => {
                report.damaged += damaged.len() as u64;
                for (path, lost) in damaged {
                    let seconds = lost.as_secs_f64();
                    report.find(
                        &path,
                        format!("damaged: {seconds:.1} s of it are lost; the timeline says so"),
                        true,
                    );
                }
            }
            Err(error) => self.fail(report, "the index", &error.into()),
        }
    }

    /// Names recordings of a time that was recorded already: the clock was set back, or a camera sent frames again that it had
    /// sent before. Both are kept.
    fn name_doubled(&self, report: &mut Report) {
        let volume = self.volume.id();
        match self.index.read_blocking(move |reader| reader.doubled_on(volume)) {
            Ok(doubled) => {
                report.doubled += doubled.len() as u64;
                for double in doubled {
                    let (seconds, other) = (double.overlap.as_secs_f64(), double.other);
                    report.find(
                        &double.path,
                        format!("{seconds:.2} s of it were recorded twice; {other} has them too"),
                        true,
                    );
                }
            }
            Err(error) => self.fail(report, "the index", &error.into()),
        }
    }

    pub(super) fn settle_unknown(&self, report: &mut Report, path: &str) {
        match self.case_of_unknown(path) {
            Ok(Unknown::Ours(case)) => self.settle(report, path, || Ok(Some(*case))),
            Ok(Unknown::Foreign) => {
                report.count(&Action::NotOurs);
                report.find(path, describe(&Action::NotOurs), true);
            }
            Ok(Unknown::Known) => {}
            Err(error) => self.fail(report, path, &error),
        }
    }

    pub(super) fn mends(&self) -> bool {
        self.mode == Mode::Mend
    }

    pub(super) fn goes_on(&self, report: &mut Report) -> bool {
        report.interrupted |= self.shutdown.is_asked();
        !report.interrupted
    }

    pub(super) fn fail(&self, report: &mut Report, path: &str, error: &CheckError) {
        tracing::error!(path, %error, "could not be checked");
        report.failed += 1;
        report.find(path, error.to_string(), false);
    }

    /// Decides about one segment and does it. An error is told and left behind: the next file is another one.
    pub(super) fn settle(
        &self,
        report: &mut Report,
        path: &str,
        find: impl FnOnce() -> Result<Option<Case>, CheckError>,
    ) {
        let case = match find() {
            Ok(Some(case)) => case,
            Ok(None) => return,
            Err(error) => return self.fail(report, path, &error),
        };
        let journal = case.left.journal.as_ref().map(|journal| JournalFacts {
            frames: journal.frames,
            complete: journal.is_complete(),
        });
        let action = plan(case.row, case.file.as_ref(), journal);
        report.count(&action);
        if !self.mends() {
            if action != Action::AlreadyWhole {
                report.find(&case.left.path, describe(&action), action == Action::NotOurs);
            }
            return;
        }
        if let Err(error) = self.carry_out(report, &case, &action) {
            self.keep_what_plays(&case);
            self.fail(report, &case.left.path, &error);
        } else if let Some(path) = case.journal_path.filter(|_| case.left.journal.is_some()) {
            remove_journal(&path);
        }
    }

    fn carry_out(&self, report: &mut Report, case: &Case, action: &Action) -> Result<(), CheckError> {
        let (left, path) = (&case.left, case.left.path.as_str());
        let bench = Bench {
            catalog: &self.catalog,
            volume: &self.volume,
        };
        let told = describe(action);
        match action {
            Action::AlreadyWhole => return Ok(()),
            Action::CloseRow | Action::IndexOrphan => {
                let Some(movie) = &left.movie else { return Ok(()) };
                let segment = match bench.close(left, movie, action) {
                    Err(error) if is_torn(&error) => bench.write_anew(left, &Action::MendFromFile)?,
                    other => other?,
                };
                (self.tell)(News::Closed(segment));
            }
            Action::MendFromJournal | Action::MendFromFile | Action::MendFromBoth => {
                let segment = bench.write_anew(left, action)?;
                tracing::info!(path, frames = segment.frames, span = %segment.span, "{told}");
                let frames = counted(segment.frames, "frame", "frames");
                let message = format!("{path}: {told}, {frames}, {}", segment.span);
                (self.tell)(News::Closed(segment));
                self.happened(left, message);
            }
            Action::Quarantine(reason) => {
                let kept = self.volume.quarantine(path, reason)?;
                tracing::warn!(path, kept, reason, "put into quarantine");
                match case.row {
                    Some(RowFacts::Open) => (self.tell)(News::Vanished(left.segment.id)),
                    Some(RowFacts::Closed { .. }) => self.believe(left.segment.id, CopyState::Quarantined)?,
                    None => {}
                }
                self.happened(left, format!("{path} was put aside as {kept}: {reason}"));
            }
            Action::Distrust => {
                self.believe(left.segment.id, CopyState::Suspect)?;
                report.find(path, told, false);
                return Ok(());
            }
            Action::FileMissing => {
                // A volume that went away is not a volume whose files went away.
                self.volume.check_present()?;
                self.believe(left.segment.id, CopyState::Missing)?;
                report.find(path, told, false);
                self.happened(left, format!("{path} is gone; the timeline says so"));
                return Ok(());
            }
            Action::DropRow => {
                if case.file.is_some() {
                    self.volume.remove(path)?;
                }
                if case.row.is_some() {
                    (self.tell)(News::Vanished(left.segment.id));
                }
            }
            Action::NotOurs => {}
        }
        report.find(path, told, true);
        Ok(())
    }

    fn happened(&self, left: &Left, message: String) {
        (self.tell)(News::Happened(Event {
            at: self.clock.now(),
            kind: EventKind::IndexMended,
            camera: Some(left.segment.camera.clone()),
            message,
        }));
    }

    fn believe(&self, segment: SegmentId, state: CopyState) -> Result<(), CheckError> {
        let volume = self.volume.id();
        self.index
            .write_blocking(move |writer| writer.set_copy_state(segment, volume, state))?;
        Ok(())
    }

    /// Mending failed, for want of room most likely. What can be played of the file as it is stays on the timeline, as
    /// suspect, and the next start tries again.
    fn keep_what_plays(&self, case: &Case) {
        let (Some(movie), Some(file)) = (&case.left.movie, &case.file) else {
            return;
        };
        if movie.frames() == 0 || !matches!(case.row, Some(RowFacts::Open)) {
            return;
        }
        let start = case.left.segment.span.start;
        let length = i64::try_from(movie.duration()).unwrap_or(i64::MAX);
        (self.tell)(News::Closed(Segment {
            span: Span::new(start, start.offset(length)),
            state: SegmentState::Closed,
            frames: movie.frames(),
            copies: vec![Copy {
                volume: self.volume.id(),
                path: case.left.path.clone(),
                size_bytes: file.size_bytes,
                sha256: None,
                state: CopyState::Suspect,
            }],
            ..case.left.segment.clone()
        }));
    }
}

/// What an action means to a person.
fn describe(action: &Action) -> String {
    match action {
        Action::AlreadyWhole => "whole".to_owned(),
        Action::CloseRow => "whole, but its row was not closed, or measured otherwise".to_owned(),
        Action::MendFromJournal => "left open; made whole from the tail journal".to_owned(),
        Action::MendFromFile => "left open; made whole from what can be read of it".to_owned(),
        Action::MendFromBoth => "left open; made whole from file and journal".to_owned(),
        Action::Quarantine(reason) => format!("put into quarantine: {reason}"),
        Action::Distrust => "its bytes are not those that were recorded: suspect".to_owned(),
        Action::FileMissing => "the index knows it, but the file is gone".to_owned(),
        Action::IndexOrphan => "a recording that the index did not know; indexed".to_owned(),
        Action::DropRow => "begun, but no frame of it was kept".to_owned(),
        Action::NotOurs => "not a recording of camkeep; left alone".to_owned(),
    }
}
