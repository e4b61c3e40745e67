//! A primary made whole from the mirror while no camkeep runs: the disk died and an empty one took its place, or files on it
//! are missing.
//!
//! ```text
//! mirror's file --read, hashed--> hidden name on the primary --synced, read back--> its own name --> row
//! ```
//!
//! Whatever ends it between two files, it goes on where it was when it is begun again.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::error::CheckError;
use super::mirror::known_bytes;
use super::report::Finding;
use super::restore_plan::{PrimaryFacts, PrimaryPlan, plan_primary};
use super::walk::PAGE;
use crate::index::{Index, KnownVolume};
use crate::model::{
    Copy, CopyState, Event, EventKind, Segment, SegmentId, SegmentState, VolumeId, VolumeRole, counted,
};
use crate::runtime::{Clock, Shutdown};
use crate::storage::{Durable, Onto, StorageError, Volume, measure};

/// Copied at a time.
const PIECE: usize = 1 << 20;
/// So many findings are told one by one; the counts know of all.
const MOST_FINDINGS: usize = 1000;

/// What the mirror has and the primary lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Owed {
    /// Files that can be restored.
    pub files: u64,
    /// How much they hold.
    pub bytes: u64,
    /// Segments that neither of the two has.
    pub beyond: u64,
}

/// How far a restore is, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Restored {
    /// What was owed at its beginning.
    pub owed: Owed,
    /// Files that are on the primary again.
    pub files: u64,
    /// How much they hold.
    pub bytes: u64,
    /// Files that could not be restored.
    pub failed: u64,
    /// Whether it was ended before its end.
    pub interrupted: bool,
    /// What could not be restored, as far as it fits.
    pub findings: Vec<Finding>,
}

impl Restored {
    /// Whether the primary has everything again that it ever had.
    pub fn is_whole(&self) -> bool {
        self.failed == 0 && self.owed.beyond == 0 && !self.interrupted
    }
}

/// Restores what the mirror has to a primary volume.
pub struct Restore<'a> {
    /// The index.
    pub index: &'a Index,
    /// Where from.
    pub mirror: &'a Volume,
    /// Where to.
    pub primary: &'a Volume,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Between two files it is looked whether this was asked.
    pub shutdown: &'a Shutdown,
    /// Told after each file.
    pub progress: &'a mut dyn FnMut(&Restored),
}

impl std::fmt::Debug for Restore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore")
            .field("mirror", &self.mirror.root())
            .field("primary", &self.primary.root())
            .finish_non_exhaustive()
    }
}

/// Opens the primary volume at a place, or makes a new one there in place of one that is lost; the index knows it then.
/// Gives it with the ids of those whose place it takes; nothing is written when `look_only`, and then nothing is given for
/// a place where one would be made.
pub fn renew_primary(
    index: &Index,
    root: &Path,
    clock: &dyn Clock,
    look_only: bool,
) -> Result<(Option<Volume>, Vec<VolumeId>), CheckError> {
    let volumes = index.read_blocking(|reader| reader.volumes())?;
    let known: Vec<VolumeId> = volumes
        .iter()
        .filter(|volume| volume.role == VolumeRole::Primary)
        .map(|volume| volume.id)
        .collect();
    let there = match Volume::id_at(root) {
        Err(StorageError::Missing { .. }) => None,
        other => other?,
    };
    let facts = PrimaryFacts {
        there,
        is_empty: holds_nothing(root)?,
        known: known.clone(),
    };
    let plan = plan_primary(&facts);
    if let PrimaryPlan::Refuse(why) = plan {
        return Err(CheckError::NotRestored {
            root: root.to_owned(),
            reason: why.to_owned(),
        });
    }
    let lost: Vec<VolumeId> = known.into_iter().filter(|id| Some(*id) != there).collect();
    if look_only {
        let volume = match plan {
            PrimaryPlan::Same => Some(Volume::open_to_read(root, VolumeRole::Primary)?),
            _ => None,
        };
        return Ok((volume, lost));
    }
    let volume = Volume::open(root, VolumeRole::Primary, clock.now())?;
    let row = KnownVolume {
        id: volume.id(),
        role: VolumeRole::Primary,
        root: root.display().to_string(),
        created_at: clock.now(),
    };
    let replaced = lost.clone();
    index.write_blocking(move |writer| {
        writer.put_volume(&row)?;
        replaced.iter().try_for_each(|lost| writer.replace_volume(*lost, &row))
    })?;
    Ok((Some(volume), lost))
}

/// Nothing but what a file system or camkeep put there.
fn holds_nothing(root: &Path) -> Result<bool, CheckError> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        entries => entries.map_err(|error| CheckError::reading(root, error))?,
    };
    for entry in entries {
        let name = entry.map_err(|error| CheckError::reading(root, error))?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") && name != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the mirror has that a primary lacks. `primary` is the one that is really there; the copies on those that are `lost`
/// are gone.
pub fn what_is_owed(
    index: &Index,
    mirror: &Volume,
    primary: Option<&Volume>,
    lost: &[VolumeId],
) -> Result<Owed, CheckError> {
    let mut owed = Owed::default();
    for_each_copy(index, mirror.id(), |segment, copy| {
        if copy.state == CopyState::Whole && is_lacking(segment, primary) {
            owed.files += 1;
            owed.bytes += copy.size_bytes;
        }
        Ok(true)
    })?;
    let has = |segment: &Segment, id| {
        let mut copies = segment.copies.iter();
        copies.any(|copy| copy.volume == id && copy.state == CopyState::Whole)
    };
    for id in primary.map(Volume::id).iter().chain(lost) {
        let is_lost = lost.contains(id);
        for_each_copy(index, *id, |segment, copy| {
            let is_gone = is_lost || matches!(copy.state, CopyState::Missing | CopyState::Quarantined);
            if is_gone && segment.state == SegmentState::Closed && !has(segment, mirror.id()) {
                owed.beyond += 1;
            }
            Ok(true)
        })?;
    }
    Ok(owed)
}

/// Whether a primary has no file that could be believed of a segment.
fn is_lacking(segment: &Segment, primary: Option<&Volume>) -> bool {
    let Some(primary) = primary else { return true };
    let own = segment.copies.iter().find(|copy| copy.volume == primary.id());
    match own {
        None => true,
        Some(copy) if copy.state == CopyState::Open => false,
        Some(copy) if copy.state == CopyState::Whole => {
            !fs::metadata(primary.absolute(&copy.path)).is_ok_and(|found| found.len() == copy.size_bytes)
        }
        Some(_) => true,
    }
}

/// Goes through the copies on a volume until it is told to stop. Rows of other volumes may change meanwhile.
fn for_each_copy(
    index: &Index,
    volume: VolumeId,
    mut look: impl FnMut(&Segment, &Copy) -> Result<bool, CheckError>,
) -> Result<(), CheckError> {
    let mut after: Option<String> = None;
    loop {
        let from = after.take();
        let page = index.read_blocking(move |reader| {
            let page = reader.copies_on(volume, from.as_deref(), PAGE)?;
            page.into_iter()
                .map(|(id, copy)| Ok((reader.segment(id)?, copy)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let Some((_, last)) = page.last() else {
            return Ok(());
        };
        after = Some(last.path.clone());
        for (segment, copy) in &page {
            if let Some(segment) = segment
                && !look(segment, copy)?
            {
                return Ok(());
            }
        }
    }
}

impl Restore<'_> {
    /// Restores everything that is owed.
    pub fn run(self) -> Result<Restored, CheckError> {
        let mut restored = Restored {
            owed: what_is_owed(self.index, self.mirror, Some(self.primary), &[])?,
            ..Restored::default()
        };
        (self.progress)(&restored);
        self.primary.clear_unfinished()?;
        for_each_copy(self.index, self.mirror.id(), |segment, copy| {
            if self.shutdown.is_asked() {
                restored.interrupted = true;
                return Ok(false);
            }
            if copy.state != CopyState::Whole || !is_lacking(segment, Some(self.primary)) {
                return Ok(true);
            }
            match restore_one(self.index, self.mirror, self.primary, segment, copy) {
                Ok(size_bytes) => {
                    restored.files += 1;
                    restored.bytes += size_bytes;
                }
                // No other file will fit either, and a disk that went away takes none.
                Err(CheckError::Storage(
                    error
                    @ (StorageError::Full { .. } | StorageError::VolumeLost { .. } | StorageError::Refused { .. }),
                )) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(path = copy.path, %error, "could not be restored");
                    restored.failed += 1;
                    if restored.findings.len() < MOST_FINDINGS {
                        restored.findings.push(Finding {
                            path: copy.path.clone(),
                            what: error.to_string(),
                            mended: false,
                        });
                    }
                }
            }
            (self.progress)(&restored);
            Ok(true)
        })?;
        if restored.files > 0 {
            let event = Event {
                at: self.clock.now(),
                kind: EventKind::IndexMended,
                camera: None,
                message: format!(
                    "{} restored from the mirror {} to {}",
                    counted(restored.files, "file was", "files were"),
                    self.mirror.root().display(),
                    self.primary.root().display()
                ),
            };
            self.index
                .write_blocking(move |writer| writer.add_event(&event).map(|_| ()))?;
        }
        Ok(restored)
    }
}

/// Restores one file and gives its size. It counts only when it is on the disk and was read back.
fn restore_one(
    index: &Index,
    mirror: &Volume,
    primary: &Volume,
    segment: &Segment,
    source: &Copy,
) -> Result<u64, CheckError> {
    let own = segment.copies.iter().find(|copy| copy.volume == primary.id());
    let path = own.map_or(&source.path, |copy| &copy.path);
    let expected = known_bytes(segment).and_then(|(_, sha256)| sha256);
    let durable = match settle_what_lies_there(primary, path, expected)? {
        Some(durable) => durable,
        None => match copy_over(mirror, primary, &source.path, path, expected) {
            Err(CheckError::Differs { path }) => {
                let suspect = Copy {
                    state: CopyState::Suspect,
                    ..source.clone()
                };
                believe(index, segment.id, suspect)?;
                return Err(CheckError::Differs { path });
            }
            other => other?,
        },
    };
    let copy = |volume, path: &str| Copy {
        volume,
        path: path.to_owned(),
        size_bytes: durable.size_bytes,
        sha256: Some(durable.sha256),
        state: CopyState::Whole,
    };
    believe(index, segment.id, copy(primary.id(), path))?;
    if source.sha256.is_none() {
        believe(index, segment.id, copy(mirror.id(), &source.path))?;
    }
    Ok(durable.size_bytes)
}

/// A file that has the name already is the one that is wanted, when a kill came before its row, or it goes to the
/// quarantine.
fn settle_what_lies_there(
    primary: &Volume,
    path: &str,
    expected: Option<[u8; 32]>,
) -> Result<Option<Durable>, CheckError> {
    match measure(&primary.absolute(path)) {
        Ok(found) if expected == Some(found.sha256) => Ok(Some(found)),
        Ok(_) => {
            primary.quarantine(path, "not what was recorded; restored from the mirror")?;
            Ok(None)
        }
        Err(StorageError::Missing { .. }) => Ok(None),
        Err(error) => {
            // A bad sector does not keep a good copy from taking its place.
            tracing::warn!(path, %error, "cannot be read; put aside");
            primary.quarantine(path, "it cannot be read; restored from the mirror")?;
            Ok(None)
        }
    }
}

/// Copies a file under a hidden name, reads it back from the disk, and gives it its name.
fn copy_over(
    mirror: &Volume,
    primary: &Volume,
    from: &str,
    to: &str,
    expected: Option<[u8; 32]>,
) -> Result<Durable, CheckError> {
    let mut buffer = vec![0; PIECE];
    let (mut reader, mut copy) = (mirror.open_copy(from)?, primary.begin_copy(to)?);
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        copy.write(buffer.get(..count).unwrap_or_default())?;
    }
    let read = reader.measured();
    if expected.is_some_and(|expected| expected != read.sha256) {
        let path = mirror.absolute(from);
        return Err(CheckError::Differs { path });
    }
    copy.sync()?;
    let mut back = copy.read_back()?;
    while back.read(&mut buffer)? > 0 {}
    if back.measured() != read {
        let path = primary.absolute(to);
        return Err(CheckError::reading(&path, "what was written there reads otherwise"));
    }
    copy.settle(to, Onto::Nothing)?;
    Ok(read)
}

fn believe(index: &Index, segment: SegmentId, copy: Copy) -> Result<(), CheckError> {
    index.write_blocking(move |writer| writer.put_copy(segment, &copy))?;
    Ok(())
}
