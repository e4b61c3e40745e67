//! Work on one segment's copies: copied, healed, verified. Done on a thread that may wait, at a pace, and given up when asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{Copy, CopyState, Segment};
use crate::runtime::{Clock, Instant, pause};
use crate::storage::{CopyReader, Durable, Onto, StorageError, Volume};

/// How much is read at a time.
const PIECE: usize = 512 * 1024;
/// How often somebody who waits looks whether to go on.
const LOOK: Duration = Duration::from_millis(100);

/// Whether others want the disks for themselves.
pub type Busy = Arc<dyn Fn() -> bool + Send + Sync>;

/// What all work shares with whoever ordered it.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) bytes_per_second: u64,
    pub(super) is_busy: Busy,
    pub(super) stop: Arc<AtomicBool>,
    /// What was copied, since the start.
    pub(super) moved_bytes: Arc<AtomicU64>,
    /// Since when the mirror's disk has not answered, in nanoseconds; 0 while it is not asked.
    pub(super) asked_since: Arc<AtomicU64>,
}

/// The two volumes.
#[derive(Clone)]
pub(super) struct Volumes {
    pub(super) primary: Arc<Volume>,
    pub(super) mirror: Arc<Volume>,
}

/// Why work on a segment came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It was asked to end.
    Stopped,
    /// The volume that is written to refuses.
    Refused(StorageError),
    /// The copy that is read from is not there.
    SourceMissing,
    /// It is not what it was.
    SourceDiffers,
    /// It cannot be read.
    SourceFailed(StorageError),
    /// No copy of it is known to be whole.
    NoSource,
}

/// What a copy is found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// What its row says.
    Whole,
    /// Something else.
    Differs,
    /// Nothing.
    Missing,
    /// Something that cannot be read.
    Unreadable,
}

impl Found {
    /// How far such a copy can be believed.
    pub(super) fn state(self) -> CopyState {
        match self {
            Self::Whole => CopyState::Whole,
            Self::Differs | Self::Unreadable => CopyState::Suspect,
            Self::Missing => CopyState::Missing,
        }
    }
}

/// What was found of a segment's two copies. None where no whole copy is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) primary: Option<Found>,
    pub(super) mirror: Option<Found>,
}

/// A copy of a segment that is whole as far as is known.
pub(super) fn whole_on<'a>(segment: &'a Segment, volume: &Volume) -> Option<&'a Copy> {
    let mut copies = segment.copies.iter();
    copies.find(|copy| copy.volume == volume.id() && copy.state == CopyState::Whole && copy.sha256.is_some())
}

impl Means {
    /// Copies a segment from the primary to the mirror, and gives the copy. What lies there already is kept when it is right.
    pub(super) fn copy(&self, segment: &Segment, volumes: &Volumes) -> Result<Copy, Trouble> {
        let source = whole_on(segment, &volumes.primary).ok_or(Trouble::NoSource)?;
        let there = self.at_the_mirror(|| volumes.mirror.open_copy(&source.path));
        let is_right = match there {
            Ok(reader) => self.measure(reader, true)?.is_ok_and(|found| is_same(&found, source)),
            Err(_) => false,
        };
        if !is_right {
            self.transfer(source, &volumes.primary, &volumes.mirror, &source.path, None)?;
        }
        Ok(Copy {
            volume: volumes.mirror.id(),
            ..source.clone()
        })
    }

    /// What a segment's file on the primary is, as far as can be told without reading it; nothing where none is whole as far
    /// as is known.
    pub(super) fn glance(&self, segment: &Segment, volumes: &Volumes) -> Result<Option<Found>, Trouble> {
        let Some(copy) = whole_on(segment, &volumes.primary) else {
            return Ok(None);
        };
        match volumes.primary.size_of_copy(&copy.path) {
            Ok(Some(size)) if size == copy.size_bytes => Ok(Some(Found::Whole)),
            Ok(Some(_)) => Ok(Some(Found::Differs)),
            // A disk that is gone is no file that is.
            Ok(None) => match volumes.primary.check_present() {
                Ok(()) => Ok(Some(Found::Missing)),
                Err(error) => Err(Trouble::Refused(error)),
            },
            Err(error) => Err(Trouble::Refused(error)),
        }
    }

    /// Writes a segment's copy on the primary anew from the mirror's, and gives it. What lies there and is no good goes to
    /// the quarantine.
    pub(super) fn heal(&self, segment: &Segment, volumes: &Volumes) -> Result<Copy, Trouble> {
        let source = whole_on(segment, &volumes.mirror).ok_or(Trouble::NoSource)?;
        let reason = "it was not what was recorded, and was written anew from the mirror";
        self.transfer(source, &volumes.mirror, &volumes.primary, &source.path, Some(reason))?;
        Ok(Copy {
            volume: volumes.primary.id(),
            ..source.clone()
        })
    }

    /// Reads a segment's copies and says what they are.
    pub(super) fn verify(&self, segment: &Segment, volumes: &Volumes) -> Result<Verdict, Trouble> {
        let look = |volume: &Arc<Volume>, is_mirror: bool| -> Result<Option<Found>, Trouble> {
            let Some(copy) = whole_on(segment, volume) else {
                return Ok(None);
            };
            let found = match self.asked(is_mirror, || volume.open_copy(&copy.path)) {
                Ok(reader) => match self.measure(reader, is_mirror)? {
                    Ok(found) if is_same(&found, copy) => Found::Whole,
                    Ok(_) => Found::Differs,
                    Err(_) => Found::Unreadable,
                },
                // A disk that is gone is no file that is.
                Err(StorageError::Missing { .. }) => match volume.check_present() {
                    Ok(()) => Found::Missing,
                    Err(error) => return Err(Trouble::Refused(error)),
                },
                Err(error) => return Err(Trouble::SourceFailed(error)),
            };
            Ok(Some(found))
        };
        Ok(Verdict {
            mirror: look(&volumes.mirror, true)?,
            primary: look(&volumes.primary, false)?,
        })
    }

    /// Copies a file under its own path, read back and compared before it has its name.
    fn transfer(
        &self,
        source: &Copy,
        from: &Arc<Volume>,
        to: &Arc<Volume>,
        path: &str,
        quarantine: Option<&str>,
    ) -> Result<(), Trouble> {
        let to_mirror = quarantine.is_none();
        let mut reader = match self.asked(!to_mirror, || from.open_copy(&source.path)) {
            Ok(reader) => reader,
            Err(StorageError::Missing { .. }) if from.is_present() => return Err(Trouble::SourceMissing),
            Err(error) => return Err(Trouble::SourceFailed(error)),
        };
        let refused = Trouble::Refused;
        let mut new = self.asked(to_mirror, || to.begin_copy(path)).map_err(refused)?;
        let mut pace = self.pace(self.bytes_per_second);
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.asked(!to_mirror, || reader.read(&mut piece));
            let count = read.map_err(Trouble::SourceFailed)?;
            if count == 0 {
                break;
            }
            let bytes = piece.get(..count).unwrap_or_default();
            self.asked(to_mirror, || new.write(bytes)).map_err(refused)?;
            self.moved_bytes.fetch_add(count as u64, Ordering::Relaxed);
            pace.go_on(count)?;
        }
        if !is_same(&reader.measured(), source) {
            return Err(Trouble::SourceDiffers);
        }
        self.asked(to_mirror, || new.sync()).map_err(refused)?;
        let back = self.asked(to_mirror, || new.read_back()).map_err(refused)?;
        // As fast as it goes: the pace is that of copying, and this is no second copy.
        let back = self.measure_at(back, to_mirror, 0)?.map_err(refused)?;
        if !is_same(&back, source) {
            return Err(Trouble::Refused(StorageError::Damaged {
                path: to.absolute(path),
                reason: "what was written reads back as something else; check the disk and its cable".to_owned(),
            }));
        }
        self.asked(to_mirror, || {
            let onto = match quarantine {
                None => Onto::Anything,
                Some(reason) => {
                    match to.quarantine(path, reason) {
                        Ok(_) | Err(StorageError::Missing { .. }) => {}
                        Err(error) => return Err(error),
                    }
                    Onto::Nothing
                }
            };
            new.settle(path, onto)
        })
        .map_err(refused)
    }

    /// What a file reads as; an error of the disk is the inner one.
    fn measure(&self, reader: CopyReader, is_mirror: bool) -> Result<Result<Durable, StorageError>, Trouble> {
        self.measure_at(reader, is_mirror, self.bytes_per_second)
    }

    fn measure_at(
        &self,
        mut reader: CopyReader,
        is_mirror: bool,
        bytes_per_second: u64,
    ) -> Result<Result<Durable, StorageError>, Trouble> {
        let mut pace = self.pace(bytes_per_second);
        let mut piece = vec![0; PIECE];
        loop {
            match self.asked(is_mirror, || reader.read(&mut piece)) {
                Ok(0) => return Ok(Ok(reader.measured())),
                Ok(count) => pace.go_on(count)?,
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn pace(&self, bytes_per_second: u64) -> Pace<'_> {
        Pace {
            means: self,
            bytes_per_second,
            begun: self.clock.instant(),
            bytes: 0,
        }
    }

    fn at_the_mirror<T>(&self, work: impl FnOnce() -> T) -> T {
        self.asked(true, work)
    }

    /// Whoever looks can tell a mirror that hangs by how long this lasts; a primary that hangs is no matter of the mirror's.
    fn asked<T>(&self, is_mirror: bool, work: impl FnOnce() -> T) -> T {
        if !is_mirror {
            return work();
        }
        let since = self.clock.instant().0.max(1);
        self.asked_since.store(since, Ordering::Relaxed);
        let done = work();
        self.asked_since.store(0, Ordering::Relaxed);
        done
    }
}

fn is_same(found: &Durable, copy: &Copy) -> bool {
    Some(found.sha256) == copy.sha256
}

/// How fast it goes on.
struct Pace<'a> {
    means: &'a Means,
    bytes_per_second: u64,
    begun: Instant,
    bytes: u64,
}

impl Pace<'_> {
    /// So much was moved: waits as long as that should have taken, and while others want the disks.
    fn go_on(&mut self, count: usize) -> Result<(), Trouble> {
        self.bytes += count as u64;
        loop {
            if self.means.stop.load(Ordering::Relaxed) {
                return Err(Trouble::Stopped);
            }
            if (self.means.is_busy)() {
                // What was not moved meanwhile is not made up for in a hurry.
                (self.begun, self.bytes) = (self.means.clock.instant(), 0);
                pause(LOOK);
                continue;
            }
            let wait = self.early();
            if wait.is_zero() {
                return Ok(());
            }
            pause(wait.min(LOOK));
        }
    }

    /// How much too early it is.
    fn early(&self) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let should = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
        should.saturating_sub(self.means.clock.instant().since(self.begun))
    }
}
