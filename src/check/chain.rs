//! The chain of each run held against the files: what was changed or taken away since it was closed shows.
//!
//! Only looks: nothing is changed, no pipeline is made, and a running camkeep is not disturbed.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::error::CheckError;
use crate::index::{Chained, ChainedFile, Index, Removal};
use crate::model::{CameraId, ChainLink, CopyState, Fingerprint, RunId, Span, VolumeRole};
use crate::storage::{StorageError, measure};

/// Rows read at once.
const PAGE: u32 = 500;
/// So many findings are told one by one; the counts know of all.
const MOST_FINDINGS: usize = 1000;

/// What is wrong with a place in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Break {
    /// The file is not the one that was closed.
    Changed,
    /// The index knows the segment, and its file is gone.
    Missing,
    /// The index does not know the segment any more, and camkeep did not let it go.
    Removed,
    /// What the index says of the segment is not what its value was made of.
    Rewritten,
    /// The file could not be read.
    Unread,
}

/// One place at which a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainFinding {
    /// Whose footage.
    pub camera: CameraId,
    /// Of which run.
    pub run: RunId,
    /// At which sequence; the first of several.
    pub sequence: u32,
    /// What it is.
    pub what: Break,
    /// In one sentence.
    pub said: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ChainReport {
    /// Runs that were looked at.
    pub runs: u64,
    /// Segments in them.
    pub segments: u64,
    /// Segments that are chained and fit.
    pub sound: u64,
    /// Those of them of which only the mirror's file is what was closed: the primary's is gone or changed.
    pub from_mirror: u64,
    /// Segments that are still being recorded.
    pub open: u64,
    /// Closed segments that are not chained: suspect, found by a rebuild of the index, or waiting for one that is open.
    pub unchained: u64,
    /// Segments that camkeep let go out of runs of which others are there.
    pub let_go: u64,
    /// Bytes that were read and hashed.
    pub hashed_bytes: u64,
    /// Places that are broken.
    pub broken: u64,
    /// Those places, as far as they fit.
    pub findings: Vec<ChainFinding>,
}

impl ChainReport {
    /// Whether no chain is broken.
    pub fn is_sound(&self) -> bool {
        self.broken == 0
    }

    /// Whether there is footage and none of it is chained: then nothing can be said of it.
    pub fn is_unproven(&self) -> bool {
        self.is_sound() && self.sound == 0 && self.unchained > 0
    }
}

/// Holds chains against files.
pub struct ChainCheck<'a> {
    /// The index.
    pub index: &'a Index,
    /// Where the primary volume's files lie.
    pub recordings: &'a Path,
    /// Where the mirror's files lie, when there is one: they stand for those that are gone or changed on the primary.
    pub mirror: Option<&'a Path>,
    /// Whether every file is read and hashed; without, only its size is looked at.
    pub hashes: bool,
    /// Told after each segment.
    pub progress: &'a mut dyn FnMut(&ChainReport),
}

impl std::fmt::Debug for ChainCheck<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainCheck")
            .field("recordings", &self.recordings)
            .field("hashes", &self.hashes)
            .finish_non_exhaustive()
    }
}

/// How far a run was followed.
struct Followed {
    run: RunId,
    /// The last chained segment: its sequence and value.
    last: Option<(u32, Fingerprint)>,
}

impl ChainCheck<'_> {
    /// Follows every run of one camera, or of all.
    pub fn run(mut self, camera: Option<&CameraId>) -> Result<ChainReport, CheckError> {
        let mut report = ChainReport::default();
        let (cameras, volume) = self.index.read_blocking(|reader| {
            let volumes = reader.volumes()?;
            let primary = volumes.iter().find(|volume| volume.role == VolumeRole::Primary);
            Ok((reader.camera_ids()?, primary.map(|volume| volume.id)))
        })?;
        let Some(volume) = volume else {
            return Ok(report);
        };
        for camera in cameras
            .iter()
            .filter(|known| camera.is_none_or(|asked| asked == *known))
        {
            let removals = self.index.read_blocking(|reader| reader.removals(camera))?;
            let mut followed: Option<Followed> = None;
            let mut after = None;
            loop {
                let page = self
                    .index
                    .read_blocking(|reader| reader.chain_of(camera, volume, after, PAGE))?;
                after = page.last().map(|row| (row.run, row.sequence));
                if page.is_empty() {
                    break;
                }
                for row in page {
                    if followed.as_ref().is_none_or(|followed| followed.run != row.run) {
                        report.runs += 1;
                        followed = Some(Followed {
                            run: row.run,
                            last: None,
                        });
                    }
                    if let Some(followed) = &mut followed {
                        self.follow(&mut report, camera, followed, &row, &removals)?;
                    }
                    (self.progress)(&report);
                }
            }
        }
        Ok(report)
    }

    fn follow(
        &mut self,
        report: &mut ChainReport,
        camera: &CameraId,
        followed: &mut Followed,
        row: &Chained,
        removals: &[Removal],
    ) -> Result<(), CheckError> {
        report.segments += 1;
        let mut broken = Vec::new();
        let Some(link) = row.link else {
            if row.is_open {
                report.open += 1;
            } else {
                report.unchained += 1;
            }
            return Ok(());
        };
        if let Some(missing) = what_is_missing(followed, row, link, removals) {
            match missing {
                Missing::LetGo(count) => report.let_go += count,
                Missing::Broken(sequence, what, said) => broken.push((sequence, what, said)),
            }
        }
        followed.last = Some((row.sequence, link.value));
        let name = || {
            row.file
                .as_ref()
                .map_or_else(|| "its file".to_owned(), |file| file.path.clone())
        };
        let known = row.file.as_ref().and_then(|file| file.sha256);
        let is_lost = row.file.is_none() && self.mirror.is_some();
        let mut of_the_file = None;
        match known {
            Some(sha256) if link.fits(camera, row.run, row.sequence, sha256) => {}
            _ if is_lost => of_the_file = Some((Break::Missing, format!("its file is gone ({})", row.span))),
            _ => broken.push((
                row.sequence,
                Break::Rewritten,
                format!("what the index says of {} was written over after it was closed", name()),
            )),
        }
        if let Some(file) = &row.file {
            of_the_file = self.look_at_file(report, camera, row, file, link)?;
        }
        if let Some((what, said)) = of_the_file {
            if self.is_on_the_mirror(report, camera, row, link)? {
                report.from_mirror += 1;
            } else {
                broken.push((row.sequence, what, said));
            }
        }
        if broken.is_empty() {
            report.sound += 1;
        }
        for (sequence, what, said) in broken {
            report.broken += 1;
            if report.findings.len() < MOST_FINDINGS {
                report.findings.push(ChainFinding {
                    camera: camera.clone(),
                    run: row.run,
                    sequence,
                    what,
                    said,
                });
            }
        }
        Ok(())
    }

    /// Whether the mirror has the file that was closed.
    fn is_on_the_mirror(
        &self,
        report: &mut ChainReport,
        camera: &CameraId,
        row: &Chained,
        link: ChainLink,
    ) -> Result<bool, CheckError> {
        let Some(root) = self.mirror else { return Ok(false) };
        let id = row.id;
        let (segment, volumes) = self
            .index
            .read_blocking(move |reader| Ok((reader.segment(id)?, reader.volumes()?)))?;
        let is_mirror = |id| {
            let mut volumes = volumes.iter();
            volumes.any(|volume| volume.id == id && volume.role == VolumeRole::Mirror)
        };
        let copies = segment.into_iter().flat_map(|segment| segment.copies);
        for copy in copies.filter(|copy| is_mirror(copy.volume)) {
            let path = root.join(&copy.path);
            let hash = if self.hashes {
                // A file that cannot be read proves nothing; what is wrong with the primary's is said.
                let Ok(found) = measure(&path) else { continue };
                report.hashed_bytes += found.size_bytes;
                Some(found.sha256)
            } else {
                let is_as_long = fs::metadata(&path).is_ok_and(|found| found.len() == copy.size_bytes);
                copy.sha256.filter(|_| is_as_long)
            };
            if hash.is_some_and(|hash| link.fits(camera, row.run, row.sequence, Fingerprint(hash))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn look_at_file(
        &self,
        report: &mut ChainReport,
        camera: &CameraId,
        row: &Chained,
        file: &ChainedFile,
        link: ChainLink,
    ) -> Result<Option<(Break, String)>, CheckError> {
        let path = self.recordings.join(&file.path);
        let when = row.span;
        let gone = || Some((Break::Missing, format!("{} is gone ({when})", file.path)));
        if file.state == CopyState::Quarantined {
            return Ok(Some((
                Break::Missing,
                format!("{} was put into quarantine ({when})", file.path),
            )));
        }
        let size = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(gone()),
            Err(error) => return Ok(Some((Break::Unread, format!("{} cannot be read: {error}", file.path)))),
        };
        if size != file.size_bytes && !self.hashes {
            let said = format!("{} has {size} bytes, and had {} ({when})", file.path, file.size_bytes);
            return Ok(Some((Break::Changed, said)));
        }
        if !self.hashes {
            return Ok(None);
        }
        let found = match measure(&path) {
            Ok(found) => found,
            Err(StorageError::Missing { .. }) => return Ok(gone()),
            Err(error) => return Ok(Some((Break::Unread, error.to_string()))),
        };
        report.hashed_bytes += found.size_bytes;
        // The chain's own value is what counts, not the hash that lies beside it.
        if link.fits(camera, row.run, row.sequence, Fingerprint(found.sha256)) {
            return Ok(None);
        }
        let said = format!("{} is not the file that was closed ({when})", file.path);
        Ok(Some((Break::Changed, said)))
    }
}

enum Missing {
    LetGo(u64),
    Broken(u32, Break, String),
}

/// What is between a segment and the chained one before it; nothing when they join.
fn what_is_missing(followed: &Followed, row: &Chained, link: ChainLink, removals: &[Removal]) -> Option<Missing> {
    let expected = followed.last.map_or(ChainLink::BEGINNING, |(_, value)| value);
    if link.previous == expected {
        return None;
    }
    let from = followed.last.map_or(0, |(sequence, _)| sequence.saturating_add(1));
    let noted = removals
        .iter()
        .filter(move |gone| gone.run == row.run && gone.first >= from && gone.last < row.sequence);
    if noted.clone().any(|gone| gone.chain == link.previous) {
        let count = noted.clone().map(|gone| u64::from(gone.last - gone.first) + 1).sum();
        return Some(Missing::LetGo(count));
    }
    let from = noted.map(|gone| gone.last.saturating_add(1)).max().unwrap_or(from);
    let until = row.sequence.checked_sub(1).filter(|until| *until >= from);
    Some(match until {
        Some(until) => {
            let which = if from == until {
                format!("number {from} of this run was")
            } else {
                format!("numbers {from} to {until} of this run were")
            };
            let said = format!(
                "{which} taken out of the index before {}, not by camkeep",
                when(row.span)
            );
            Missing::Broken(from, Break::Removed, said)
        }
        None => {
            let said = format!(
                "number {} does not follow the one before it: one of them was replaced",
                row.sequence
            );
            Missing::Broken(row.sequence, Break::Rewritten, said)
        }
    })
}

fn when(span: Span) -> String {
    span.start.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::index::KnownVolume;
    use crate::model::{Copy, RunId, Seal, Segment, SegmentId, Timestamp, VolumeId, fixture};
    use std::path::PathBuf;
    use std::sync::Arc;
    use uuid::Uuid;

    /// Seals nothing; the index does not mind.
    #[derive(Debug)]
    struct Open;

    impl Seal for Open {
        fn seal(&self, text: &str) -> Vec<u8> {
            text.as_bytes().to_vec()
        }

        fn unseal(&self, _: &[u8]) -> Option<String> {
            None
        }
    }

    struct Site {
        root: tempfile::TempDir,
        index: Index,
    }

    impl Site {
        /// Two runs of five segments.
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let index = Index::open(root.path().join("index.db"), Arc::new(Open)).unwrap();
            let volume = KnownVolume {
                id: VolumeId(Uuid::from_u128(1)),
                role: VolumeRole::Primary,
                root: String::new(),
                created_at: Timestamp::EPOCH,
            };
            index.write_blocking(move |w| w.put_volume(&volume)).unwrap();
            let one = Self { root, index };
            for (run, sequence) in (0..2).flat_map(|run| (0..5).map(move |sequence| (run, sequence))) {
                let segment = one.segment(run, sequence);
                std::fs::write(one.path(run, sequence), format!("{run}/{sequence}")).unwrap();
                one.index.write_blocking(move |w| w.close_segment(&segment)).unwrap();
            }
            one
        }

        fn segment(&self, run: u32, sequence: u32) -> Segment {
            let start = Timestamp::from_seconds(i64::from(run) * 1000 + i64::from(sequence) * 10);
            let span = Span::new(start, start.offset(10_000_000_000));
            let bytes = format!("{run}/{sequence}");
            Segment {
                run: RunId(run),
                sequence,
                copies: vec![Copy {
                    volume: VolumeId(Uuid::from_u128(1)),
                    path: format!("{run}_{sequence}.mp4"),
                    size_bytes: bytes.len() as u64,
                    sha256: Some(Fingerprint::of(bytes.as_bytes()).0),
                    state: CopyState::Whole,
                }],
                ..fixture::segment(u128::from(run * 100 + sequence), span)
            }
        }

        fn path(&self, run: u32, sequence: u32) -> PathBuf {
            self.root.path().join(format!("{run}_{sequence}.mp4"))
        }

        fn check(&self, hashes: bool) -> ChainReport {
            let check = ChainCheck {
                index: &self.index,
                recordings: self.root.path(),
                mirror: None,
                hashes,
                progress: &mut |_| {},
            };
            check.run(None).unwrap()
        }
    }

    fn findings(report: &ChainReport) -> Vec<(u32, u32, Break)> {
        let findings = report.findings.iter();
        findings
            .map(|found| (found.run.0, found.sequence, found.what))
            .collect()
    }

    #[test]
    fn runs_that_nobody_touched_are_sound() {
        let one = Site::new();
        let mut seen = 0;
        let check = ChainCheck {
            index: &one.index,
            recordings: one.root.path(),
            mirror: None,
            hashes: true,
            progress: &mut |_| seen += 1,
        };
        let report = check.run(None).unwrap();
        let counted = (report.runs, report.segments, report.sound, report.hashed_bytes);
        assert!(report.is_sound());
        assert_eq!((counted, seen), ((2, 10, 10, 30), 10));
        let nobody = CameraId::parse("nobody").unwrap();
        let check = ChainCheck {
            index: &one.index,
            recordings: one.root.path(),
            mirror: None,
            hashes: true,
            progress: &mut |_| {},
        };
        assert_eq!(check.run(Some(&nobody)).unwrap().segments, 0);
    }

    #[test]
    fn a_file_that_is_gone_or_changed_is_proven_by_the_mirrors() {
        let one = Site::new();
        let mirror = tempfile::tempdir().unwrap();
        let known = KnownVolume {
            id: VolumeId(Uuid::from_u128(2)),
            role: VolumeRole::Mirror,
            root: "mirror".to_owned(),
            created_at: Timestamp::EPOCH,
        };
        let of_mirror = |sequence| {
            let segment = one.segment(1, sequence);
            let copy = Copy {
                volume: VolumeId(Uuid::from_u128(2)),
                ..segment.copies[0].clone()
            };
            std::fs::write(mirror.path().join(&copy.path), format!("1/{sequence}")).unwrap();
            (segment.id, copy)
        };
        let copies = [of_mirror(2), of_mirror(3)];
        one.index
            .write_blocking(move |writer| {
                writer.put_volume(&known)?;
                copies.iter().try_for_each(|(id, copy)| writer.put_copy(*id, copy))
            })
            .unwrap();
        std::fs::write(one.path(1, 2), "1/X").unwrap();
        std::fs::remove_file(one.path(1, 3)).unwrap();
        let check = |mirror| {
            let check = ChainCheck {
                index: &one.index,
                recordings: one.root.path(),
                mirror,
                hashes: true,
                progress: &mut |_| {},
            };
            check.run(None).unwrap()
        };
        assert_eq!(check(None).broken, 2);
        let report = check(Some(mirror.path()));
        assert_eq!((report.broken, report.from_mirror, report.sound), (0, 2, 10));
        std::fs::write(mirror.path().join("1_3.mp4"), "1/Y").unwrap();
        let report = check(Some(mirror.path()));
        assert_eq!(
            (findings(&report), report.from_mirror),
            (vec![(1, 3, Break::Missing)], 1)
        );
    }

    #[test]
    fn a_changed_file_shows_also_where_its_hash_was_changed_with_it() {
        let one = Site::new();
        std::fs::write(one.path(1, 2), "1/X").unwrap();
        assert!(one.check(false).is_sound(), "without reading nobody can know");
        let report = one.check(true);
        assert_eq!(findings(&report), [(1, 2, Break::Changed)]);
        assert!(report.findings[0].said.contains("1_2.mp4"), "{report:?}");
        std::fs::write(one.path(1, 3), "longer").unwrap();
        assert_eq!(findings(&one.check(false)), [(1, 3, Break::Changed)]);
        std::fs::write(one.path(1, 3), "1/3").unwrap();

        let mut forged = one.segment(1, 2);
        forged.copies[0].sha256 = Some(Fingerprint::of(b"1/X").0);
        one.index.write_blocking(move |w| w.close_segment(&forged)).unwrap();
        assert_eq!(
            findings(&one.check(true)),
            [(1, 2, Break::Rewritten), (1, 2, Break::Changed)]
        );
    }

    #[test]
    fn a_file_or_a_row_that_was_taken_away_shows_and_what_camkeep_let_go_is_told() {
        let one = Site::new();
        std::fs::remove_file(one.path(0, 4)).unwrap();
        assert_eq!(findings(&one.check(false)), [(0, 4, Break::Missing)]);
        std::fs::write(one.path(0, 4), "0/4").unwrap();

        let ids: Vec<SegmentId> = [0, 1].into_iter().map(|sequence| one.segment(0, sequence).id).collect();
        for id in ids {
            assert!(one.index.write_blocking(move |w| w.remove_segment(id)).unwrap());
        }
        let report = one.check(true);
        assert_eq!((report.is_sound(), report.let_go, report.sound), (true, 2, 8));
    }

    #[test]
    fn rows_that_were_taken_out_behind_camkeeps_back_are_named() {
        let one = Site::new();
        for (run, sequence) in [(0, 1), (0, 2), (1, 0)] {
            one.index.take_out(RunId(run), sequence);
        }
        let report = one.check(true);
        assert_eq!(findings(&report), [(0, 1, Break::Removed), (1, 0, Break::Removed)]);
        assert!(
            report.findings[0].said.starts_with("numbers 1 to 2 of this run"),
            "{report:?}"
        );
        assert!(
            report.findings[1].said.starts_with("number 0 of this run"),
            "{report:?}"
        );
    }

    #[test]
    fn footage_that_is_in_no_chain_is_not_called_whole() {
        let one = Site::new();
        for (run, sequence) in (0..2).flat_map(|run| (0..5).map(move |sequence| (run, sequence))) {
            let id = one.segment(run, sequence).id;
            assert!(one.index.write_blocking(move |w| w.remove_segment(id)).unwrap());
            let mut found = one.segment(run, sequence);
            found.copies[0].sha256 = None;
            one.index.write_blocking(move |w| w.close_segment(&found)).unwrap();
        }
        let report = one.check(true);
        assert_eq!((report.is_unproven(), report.unchained, report.sound), (true, 10, 0));
        assert!(!Site::new().check(true).is_unproven());
    }

    #[test]
    fn segments_that_changed_places_do_not_follow_each_other() {
        let one = Site::new();
        one.index.swap_places(RunId(0), 1, 2);
        let report = one.check(true);
        assert!(!report.is_sound());
        assert!(findings(&report).contains(&(0, 1, Break::Rewritten)), "{report:?}");
    }
}
