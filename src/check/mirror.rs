//! The mirror held against the index: what is known of it, and what lies there that is not known.
//!
//! The same [`Check`] with the mirror as its volume. What differs is that most files there are second copies, so that much
//! may be learnt from the index, and little has to be mended: the mirror's engine copies again what is not whole.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::index::{Index, KnownVolume};
use crate::model::{Copy, CopyState, News, Segment, SegmentId, SegmentState, Timestamp, VolumeId, VolumeRole};
use crate::runtime::{Clock, Shutdown, pause};
use crate::storage::{Identity, Movie, Place, StorageError, Volume, measure};

use super::driver::Check;
use super::error::CheckError;
use super::plan::Action;
use super::report::Report;
use super::stray::{KnownFacts, StrayAction, StrayFacts, plan_stray};
use super::walk::{BREATH, PAGE};

/// How often, and how often at the most, it is looked whether news was written.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const LOOKS: u32 = 1200;

/// Opens the mirror at a place for reading. One that the index does not know, because the index is younger than it, is
/// remembered when `remember` says so; another one than it knows is refused, and a directory that is none gives nothing.
pub fn open_mirror(
    index: &Index,
    root: &Path,
    clock: &dyn Clock,
    remember: bool,
) -> Result<Option<Volume>, CheckError> {
    let Some(found) = Volume::id_at(root)? else {
        return Ok(None);
    };
    let known = index.read_blocking(|reader| reader.volumes())?;
    let mirrors: Vec<&KnownVolume> = known
        .iter()
        .filter(|volume| volume.role == VolumeRole::Mirror)
        .collect();
    if let Some(last) = mirrors.last()
        && mirrors.iter().all(|mirror| mirror.id != found)
    {
        return Err(StorageError::OtherVolume {
            root: root.to_owned(),
            found,
            expected: last.id,
        }
        .into());
    }
    let volume = Volume::open_to_read(root, VolumeRole::Mirror)?;
    if mirrors.is_empty() && remember {
        let row = KnownVolume {
            id: volume.id(),
            role: VolumeRole::Mirror,
            root: root.display().to_string(),
            created_at: clock.now(),
        };
        index.write_blocking(move |writer| writer.put_volume(&row))?;
    }
    Ok(Some(volume))
}

/// Waits until the timeline has written what was told of a segment, and with it all that was told before; `false` when it
/// does not come about.
pub fn wait_until_written(index: &Index, segment: SegmentId, shutdown: &Shutdown) -> bool {
    for _ in 0..LOOKS {
        let written = index.read_blocking(move |reader| reader.segment(segment));
        if written.is_ok_and(|row| row.is_some_and(|row| row.state == SegmentState::Closed)) {
            return true;
        }
        if shutdown.is_asked() {
            return false;
        }
        pause(BETWEEN_LOOKS);
    }
    false
}

/// A file that no row names, and what is known of its segment.
struct Stray {
    path: String,
    facts: StrayFacts,
    segment: Option<Segment>,
    /// Its hash, where it was needed.
    sha256: Option<[u8; 32]>,
    size_bytes: u64,
    /// Tells whether another file has its name meanwhile.
    inode: u64,
}

impl Check {
    /// Checks the mirror, which is the volume of this check. Files that are younger than `before` belong to whoever runs
    /// now.
    pub fn run_on_mirror(&self, before: Timestamp) -> Report {
        let mut report = Report::default();
        if let Err(error) = self.look_at_copies(&mut report) {
            self.fail(&mut report, "the index", &error);
        }
        match self.find_unknown(&mut report, before) {
            Ok(strays) => {
                for path in strays {
                    if self.goes_on(&mut report)
                        && let Err(error) = self.settle_stray(&mut report, &path)
                    {
                        self.fail(&mut report, &path, &error);
                    }
                }
            }
            Err(error) => self.fail(&mut report, "the mirror", &error),
        }
        tracing::info!(
            files = report.files,
            adopted = report.adopted,
            indexed = report.indexed,
            missing = report.missing,
            leftovers = report.leftovers,
            failed = report.failed,
            "checked the mirror {}",
            self.volume.root().display()
        );
        report
    }

    /// Holds every row of a copy on the mirror against its file.
    fn look_at_copies(&self, report: &mut Report) -> Result<(), CheckError> {
        let volume = self.volume.id();
        let mut after: Option<String> = None;
        while self.goes_on(report) {
            let from = after.take();
            let page = self
                .index
                .read_blocking(move |reader| reader.copies_on(volume, from.as_deref(), PAGE))?;
            let Some((_, last)) = page.last() else {
                return Ok(());
            };
            after = Some(last.path.clone());
            for (id, copy) in &page {
                report.rows += 1;
                if let Err(error) = self.look_at_copy_on_mirror(report, *id, copy) {
                    self.fail(report, &copy.path, &error);
                }
            }
            pause(BREATH);
        }
        Ok(())
    }

    fn look_at_copy_on_mirror(&self, report: &mut Report, id: SegmentId, copy: &Copy) -> Result<(), CheckError> {
        let path = self.volume.absolute(&copy.path);
        let found = match fs::metadata(&path) {
            Ok(found) => Some(found.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(CheckError::reading(&path, error)),
        };
        let (state, what) = match (copy.state, found) {
            (CopyState::Missing | CopyState::Quarantined, None) => return Ok(()),
            (_, None) => {
                // A volume that went away is not a volume whose files went away.
                self.volume.check_present()?;
                report.missing += 1;
                (CopyState::Missing, "the index knows this copy, but the file is gone")
            }
            (CopyState::Whole, Some(size)) if size != copy.size_bytes => {
                report.suspect += 1;
                (
                    CopyState::Suspect,
                    "is not as long as it was when it was copied: suspect",
                )
            }
            (CopyState::Missing | CopyState::Suspect, Some(size))
                if size == copy.size_bytes && copy.sha256 == Some(measure(&path)?.sha256) =>
            {
                report.adopted += 1;
                (CopyState::Whole, "the file is what was recorded again")
            }
            _ => return Ok(()),
        };
        if self.mends() {
            let volume = self.volume.id();
            self.index
                .write_blocking(move |writer| writer.set_copy_state(id, volume, state))?;
        }
        // The mirror's engine copies again what it lacks.
        report.find(&copy.path, what, self.mends() && state == CopyState::Whole);
        Ok(())
    }

    fn settle_stray(&self, report: &mut Report, path: &str) -> Result<(), CheckError> {
        let Some(stray) = self.look_at_stray(path)? else {
            return Ok(());
        };
        let known = stray.segment.as_ref().map(|segment| self.facts_of_known(segment));
        let action = plan_stray(stray.facts, known);
        match action {
            StrayAction::AsOnThePrimary => self.settle_unknown(report, path),
            StrayAction::NotOurs => {
                report.count(&Action::NotOurs);
                report.find(
                    path,
                    "not a recording of camkeep, or one that is there already; left alone",
                    true,
                );
            }
            StrayAction::Keep => {
                report.find(
                    path,
                    "not whole, and neither is its segment anywhere else: kept as it is",
                    true,
                );
            }
            StrayAction::Adopt => {
                report.adopted += 1;
                report.find(path, "a copy that the index did not know; adopted", self.mends());
                if let Some(segment) = stray.segment.as_ref().filter(|_| self.mends()) {
                    (self.tell)(News::Copied {
                        segment: segment.id,
                        copy: stray.to_copy(self.volume.id()),
                    });
                }
            }
            StrayAction::RemoveLeftover => {
                report.leftovers += 1;
                report.find(
                    path,
                    "not whole, and its segment is whole elsewhere; removed",
                    self.mends(),
                );
                if self.mends() && self.is_still(&stray) {
                    self.volume.remove(path)?;
                }
            }
            StrayAction::PutAside => {
                report.quarantined += 1;
                report.find(
                    path,
                    "plays, but is not what was recorded; put into quarantine",
                    self.mends(),
                );
                if self.mends() && self.is_still(&stray) {
                    self.volume
                        .quarantine(path, "another file than was recorded, which is whole on another volume")?;
                }
            }
        }
        Ok(())
    }

    fn look_at_stray(&self, path: &str) -> Result<Option<Stray>, CheckError> {
        let absolute = self.volume.absolute(path);
        let (volume, place) = (self.volume.id(), Place::parse(path));
        let metadata = match fs::metadata(&absolute) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CheckError::reading(&absolute, error)),
        };
        let identity = Identity::read(&absolute)?.map(|identity| identity.segment);
        let relative = path.to_owned();
        let (is_named, segment) = self.index.read_blocking(move |reader| {
            let is_named = reader.segment_by_path(volume, &relative)?.is_some();
            if let Some(id) = identity {
                return Ok((is_named, reader.segment(id)?));
            }
            // A file that does not say whose it is lies where its segment's lies on the other volumes.
            for other in reader.volumes()?.into_iter().filter(|other| other.id != volume) {
                if let Some(segment) = reader.segment_by_path(other.id, &relative)? {
                    return Ok((is_named, Some(segment)));
                }
            }
            Ok((is_named, None))
        })?;
        if is_named {
            return Ok(None);
        }
        let movie = Movie::read(&absolute).map_err(|error| CheckError::reading(&absolute, error))?;
        let is_whole = identity.is_some() && movie.is_whole();
        let expected = segment.as_ref().and_then(known_bytes);
        let (mut same_bytes, mut sha256) = (None, None);
        if let Some((size_bytes, hash)) = expected.filter(|_| is_whole) {
            same_bytes = Some(size_bytes == metadata.len());
            if let Some(hash) = hash.filter(|_| same_bytes == Some(true)) {
                let found = measure(&absolute)?.sha256;
                (same_bytes, sha256) = (Some(found == hash), Some(found));
            }
        }
        Ok(Some(Stray {
            path: path.to_owned(),
            facts: StrayFacts {
                is_ours: place.is_some() || identity.is_some(),
                is_whole,
                same_bytes,
            },
            segment,
            sha256,
            size_bytes: metadata.len(),
            inode: metadata.ino(),
        }))
    }

    fn facts_of_known(&self, segment: &Segment) -> KnownFacts {
        let own = self.volume.id();
        let is_whole = |copy: &&Copy| copy.state == CopyState::Whole;
        KnownFacts {
            is_open: segment.state == SegmentState::Open,
            is_whole_elsewhere: segment.copies.iter().filter(is_whole).any(|copy| copy.volume != own),
            has_copy_here: segment.copies.iter().filter(is_whole).any(|copy| copy.volume == own),
        }
    }

    /// Whether the file is still the one that was looked at: the mirror's engine may have copied it anew meanwhile.
    fn is_still(&self, stray: &Stray) -> bool {
        fs::metadata(self.volume.absolute(&stray.path))
            .is_ok_and(|found| (found.ino(), found.len()) == (stray.inode, stray.size_bytes))
    }
}

/// Size and hash of a segment's file, by the copy that is known best.
pub(super) fn known_bytes(segment: &Segment) -> Option<(u64, Option<[u8; 32]>)> {
    let hashed = segment.copies.iter().find(|copy| copy.sha256.is_some());
    let whole = segment.copies.iter().find(|copy| copy.state == CopyState::Whole);
    hashed.or(whole).map(|copy| (copy.size_bytes, copy.sha256))
}

impl Stray {
    fn to_copy(&self, volume: VolumeId) -> Copy {
        Copy {
            volume,
            path: self.path.clone(),
            size_bytes: self.size_bytes,
            sha256: self.sha256,
            state: CopyState::Whole,
        }
    }
}
