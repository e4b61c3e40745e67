//! Where copies are read: the one place that takes a segment to a file that holds it.
//!
//! The mirror is touched only when the primary's copy fails, and on a thread of its own: a mirror that hangs holds up
//! nobody who reads what the primary has.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::aside::Aside;
use super::boxes::Movie;
use super::choosing::{Attempt, is_readable, plan_reading};
use super::error::StorageError;
use super::holes::holes_left;
use super::open_file::look_at_open;
use super::proofs::{Proof, Proofs};
use super::reel::Reel;
use super::volume::Volume;
use crate::model::{Copy, CopyState, Hole, Segment, SegmentId, SegmentState, VolumeId};

/// How long the mirror's disk may take to answer: one that sleeps has to wake up first.
const PATIENCE: Duration = Duration::from_secs(12);
/// Slower than this a second, a disk is not worth waiting for.
const SLOWEST: u64 = 8 << 20;

/// What somebody who reads a segment finds out about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// A copy is another than the index says.
    Copy(Copy),
    /// This is where the segment has no footage, because no copy gives it any more.
    Holes(Vec<Hole>),
}

/// Told what is found out.
type Tell = Box<dyn Fn(SegmentId, Finding) + Send + Sync>;

/// The volumes that copies are read from. Clones share them.
#[derive(Debug, Clone)]
pub struct Volumes(Arc<Shared>);

struct Shared {
    primary: Place,
    mirror: Mutex<Option<Place>>,
    aside: Aside,
    proofs: Arc<Proofs>,
    tell: OnceLock<Tell>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("primary", &self.primary)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

/// Where a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    id: VolumeId,
    root: PathBuf,
}

/// What came of reading a segment.
#[derive(Debug)]
pub struct BestOf<T, E> {
    /// What was read, and the copy that it was read from, as it is known now.
    pub read: Option<(T, Copy)>,
    /// What was wrong with the copies that could not be read.
    pub failed: Vec<E>,
    /// Why copies that may be whole cannot be had now.
    pub out_of_reach: Vec<String>,
}

/// Why there is no file to read a segment from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfound {
    /// No volume has it any more.
    Gone,
    /// It is there and cannot be opened; the log says why.
    Unreadable,
    /// A volume that should have it cannot be asked now: why.
    OutOfReach(String),
}

enum Outcome<T, E> {
    Read(Result<T, E>),
    /// The file is not the one that was closed.
    Doubted(CopyState, String),
    /// The volume is not there, or nobody can say what the file is.
    Unknown(String),
}

impl Volumes {
    /// One volume and no mirror.
    pub fn new(primary: VolumeId, root: PathBuf) -> Self {
        Self(Arc::new(Shared {
            primary: Place { id: primary, root },
            mirror: Mutex::default(),
            aside: Aside::default(),
            proofs: Arc::default(),
            tell: OnceLock::new(),
        }))
    }

    /// The mirror is there from now on; nothing when it is not. Its disk is not touched here.
    pub fn use_mirror(&self, mirror: Option<(VolumeId, PathBuf)>) {
        *self.0.mirror.lock().unwrap_or_else(PoisonError::into_inner) = mirror.map(|(id, root)| Place { id, root });
    }

    /// Who is told when a segment or a copy turns out to be another than the index says. Set once.
    pub fn tell(&self, tell: impl Fn(SegmentId, Finding) + Send + Sync + 'static) {
        if self.0.tell.set(Box::new(tell)).is_err() {
            tracing::warn!("somebody is told of damaged copies already");
        }
    }

    /// Does work on the mirror's disk, on a thread of its own; nothing when the disk does not answer.
    pub fn beside_the_mirror<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.0.aside.run(PATIENCE, work)
    }

    /// Whether the mirror's disk holds up somebody who reads from it.
    pub fn is_mirror_held_up(&self) -> bool {
        self.0.aside.is_held_up()
    }

    /// Reads a segment from the best of its copies that can really be read: `read` is given the file of one after the
    /// other until it succeeds. A copy whose bytes are not what was closed comes last, and is told. For a thread that may
    /// wait.
    pub fn read<T: Send + 'static, E: Send + 'static>(
        &self,
        segment: &Segment,
        read: impl Fn(&Path) -> Result<T, E> + Clone + Send + 'static,
    ) -> BestOf<T, E> {
        let mirror = self.mirror();
        let place = |id: VolumeId| {
            let primary = Some(&self.0.primary).filter(|primary| primary.id == id);
            primary.or(mirror.as_ref().filter(|mirror| mirror.id == id))
        };
        let plan = plan_reading(segment, |id| place(id).is_some());
        let (trusted, suspect): (Vec<_>, Vec<_>) = plan
            .into_iter()
            .partition(|attempt| attempt.copy.state != CopyState::Suspect);
        let (mut failed, mut out_of_reach, mut doubted) = (Vec::new(), Vec::new(), Vec::new());
        for attempt in trusted {
            let Some(place) = place(attempt.copy.volume) else {
                continue;
            };
            match self.attempt(place, attempt, read.clone()) {
                Outcome::Read(Ok(found)) => return BestOf::found(found, attempt.copy.clone()),
                Outcome::Read(Err(error)) => failed.push(error),
                Outcome::Doubted(state, why) => {
                    let copy = Copy {
                        state,
                        ..attempt.copy.clone()
                    };
                    tracing::warn!(segment = %segment.id, path = copy.path, why, "a copy cannot be believed");
                    self.told(segment.id, Finding::Copy(copy.clone()));
                    doubted.push(copy);
                }
                Outcome::Unknown(why) => {
                    let path = &attempt.copy.path;
                    tracing::warn!(segment = %segment.id, path, why, "a copy cannot be had now");
                    out_of_reach.push(why);
                    doubted.push(attempt.copy.clone());
                }
            }
        }
        // What cannot be believed is better than nothing, and who reads it says best why it cannot be read either.
        let rest = doubted.iter().chain(suspect.iter().map(|attempt| attempt.copy));
        for copy in rest {
            let Some(place) = place(copy.volume) else { continue };
            let attempt = Attempt {
                copy,
                is_checked: false,
            };
            match self.attempt(place, attempt, read.clone()) {
                Outcome::Read(Ok(found)) => return BestOf::found(found, copy.clone()),
                Outcome::Read(Err(error)) => failed.push(error),
                Outcome::Doubted(..) | Outcome::Unknown(_) => {}
            }
        }
        if segment.state == SegmentState::Closed {
            self.find_damage(segment, out_of_reach.is_empty());
        }
        BestOf {
            read: None,
            failed,
            out_of_reach,
        }
    }

    /// Nobody could read a closed segment wholly: looks what its files still give, and tells what lacks. A copy that cannot
    /// be asked now may be whole, and then nothing lacks.
    fn find_damage(&self, segment: &Segment, is_all_in_reach: bool) {
        let mirror = self.mirror();
        let (mut best, mut is_all_judged) = (None::<Box<Movie>>, is_all_in_reach);
        for copy in segment.copies.iter().filter(|copy| is_readable(copy.state)) {
            let primary = Some(&self.0.primary).filter(|primary| primary.id == copy.volume);
            let judged = match primary {
                Some(place) => judge(place, copy, segment),
                None => mirror
                    .clone()
                    .filter(|mirror| mirror.id == copy.volume)
                    .and_then(|place| {
                        let (copy, segment) = (copy.clone(), segment.clone());
                        self.0
                            .aside
                            .run(PATIENCE, move || judge(&place, &copy, &segment))
                            .flatten()
                    }),
            };
            let Some(judged) = judged else {
                is_all_judged = false;
                continue;
            };
            let state = match judged {
                Judged::Missing => CopyState::Missing,
                Judged::Damaged(movie) => {
                    if best.as_ref().is_none_or(|best| best.frames() < movie.frames()) {
                        best = Some(movie);
                    }
                    CopyState::Suspect
                }
            };
            if copy.state != state {
                tracing::warn!(segment = %segment.id, path = copy.path, state = state.as_str(), "a recording is damaged");
                self.told(segment.id, Finding::Copy(Copy { state, ..copy.clone() }));
            }
        }
        if let Some(holes) = best.filter(|_| is_all_judged).map(|movie| holes_left(&movie, segment))
            && holes != segment.holes
        {
            self.told(segment.id, Finding::Holes(holes));
        }
    }

    fn told(&self, segment: SegmentId, finding: Finding) {
        if let Some(tell) = self.0.tell.get() {
            tell(segment, finding);
        }
    }

    /// The file that holds a segment best, of those that can be opened. For a thread that may wait.
    pub fn find_file(&self, segment: &Segment) -> Result<PathBuf, Unfound> {
        self.find(segment, |path: &Path| {
            std::fs::File::open(path)
                .map(|_| path.to_owned())
                .map_err(|error| StorageError::io("open", path, error))
        })
    }

    /// What can be played now of a segment that may be growing; nothing before its first frames are in a file. For a thread that
    /// may wait.
    pub fn look_at_open(&self, segment: &Segment) -> Result<Option<Reel>, Unfound> {
        self.find(segment, look_at_open)
    }

    fn find<T: Send + 'static>(
        &self,
        segment: &Segment,
        read: impl Fn(&Path) -> Result<T, StorageError> + Clone + Send + 'static,
    ) -> Result<T, Unfound> {
        let best = self.read(segment, read);
        if let Some((found, _)) = best.read {
            return Ok(found);
        }
        for error in &best.failed {
            tracing::error!(segment = %segment.id, %error, "the file of a segment cannot be opened");
        }
        let is_gone = |error: &StorageError| matches!(error, StorageError::Missing { .. });
        match best.out_of_reach.into_iter().next() {
            Some(why) => Err(Unfound::OutOfReach(why)),
            None if best.failed.iter().all(is_gone) => Err(Unfound::Gone),
            None => Err(Unfound::Unreadable),
        }
    }

    fn mirror(&self) -> Option<Place> {
        self.0.mirror.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn attempt<T: Send + 'static, E: Send + 'static>(
        &self,
        place: &Place,
        attempt: Attempt<'_>,
        read: impl FnOnce(&Path) -> Result<T, E> + Send + 'static,
    ) -> Outcome<T, E> {
        let proofs = Arc::clone(&self.0.proofs);
        let (copy, is_checked) = (attempt.copy.clone(), attempt.is_checked);
        if place.id == self.0.primary.id {
            return check_and_read(&proofs, place, &copy, is_checked, read);
        }
        let hashing = if is_checked { copy.size_bytes / SLOWEST } else { 0 };
        let place = place.clone();
        let work = move || match place.holds_its_volume() {
            true => check_and_read(&proofs, &place, &copy, is_checked, read),
            false => Outcome::Unknown("the mirror is not there".to_owned()),
        };
        let done = self.0.aside.run(PATIENCE + Duration::from_secs(hashing), work);
        done.unwrap_or_else(|| Outcome::Unknown("the mirror does not answer".to_owned()))
    }
}

impl<T, E> BestOf<T, E> {
    fn found(found: T, copy: Copy) -> Self {
        Self {
            read: Some((found, copy)),
            failed: Vec::new(),
            out_of_reach: Vec::new(),
        }
    }
}

impl Place {
    /// Whether the volume's own disk lies there, and not an empty mount point or another disk.
    fn holds_its_volume(&self) -> bool {
        matches!(Volume::id_at(&self.root), Ok(Some(id)) if id == self.id)
    }
}

/// What is wrong with a copy for certain.
enum Judged {
    /// Its file is gone.
    Missing,
    /// Its file gives no more than this.
    Damaged(Box<Movie>),
}

/// Judges a copy that could not be read; nothing when nobody can say now, or when nothing is wrong with it.
fn judge(place: &Place, copy: &Copy, segment: &Segment) -> Option<Judged> {
    match Movie::read(&place.root.join(&copy.path)) {
        Ok(movie) if movie.frames() < segment.frames => Some(Judged::Damaged(Box::new(movie))),
        // A volume that went away is not a volume whose files went away.
        Err(error) if error.kind() == ErrorKind::NotFound && place.holds_its_volume() => Some(Judged::Missing),
        _ => None,
    }
}

fn check_and_read<T, E>(
    proofs: &Proofs,
    place: &Place,
    copy: &Copy,
    is_checked: bool,
    read: impl FnOnce(&Path) -> Result<T, E>,
) -> Outcome<T, E> {
    let path = place.root.join(&copy.path);
    if !is_checked {
        return Outcome::Read(read(&path));
    }
    match proofs.hold_against(&path, copy) {
        Proof::Same => Outcome::Read(read(&path)),
        // A volume that went away is not a volume whose files went away.
        Proof::Other(state, why) if place.holds_its_volume() => Outcome::Doubted(state, why),
        Proof::Other(_, why) => Outcome::Unknown(format!("its volume is not there: {why}")),
        Proof::Unread(error) => Outcome::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Fingerprint, Span, Timestamp, VolumeRole, fixture};
    use std::fs;

    const PATH: &str = "door/2026-11-20/20261120_103000.125Z_00c0ffee_000042.mp4";
    const BYTES: &[u8] = b"footage of a door";

    /// A primary and a mirror with one segment on both, and who is told what.
    struct Room {
        room: tempfile::TempDir,
        volumes: Volumes,
        segment: Segment,
        told: Arc<Mutex<Vec<Finding>>>,
    }

    impl Room {
        fn new() -> Self {
            let room = tempfile::tempdir().unwrap();
            let open = |name, role| Volume::open(&room.path().join(name), role, Timestamp::EPOCH).unwrap();
            let (primary, mirror) = (open("primary", VolumeRole::Primary), open("mirror", VolumeRole::Mirror));
            let copies = [&primary, &mirror].map(|volume| {
                fs::create_dir_all(volume.absolute(PATH).parent().unwrap()).unwrap();
                fs::write(volume.absolute(PATH), BYTES).unwrap();
                Copy {
                    volume: volume.id(),
                    path: PATH.to_owned(),
                    size_bytes: BYTES.len() as u64,
                    sha256: Some(Fingerprint::of(BYTES).0),
                    state: CopyState::Whole,
                }
            });
            let segment = Segment {
                copies: copies.into(),
                ..fixture::segment(1, Span::new(Timestamp::EPOCH, Timestamp::from_seconds(10)))
            };
            let volumes = Volumes::new(primary.id(), primary.root().to_owned());
            volumes.use_mirror(Some((mirror.id(), mirror.root().to_owned())));
            let told: Arc<Mutex<Vec<Finding>>> = Arc::default();
            let hears = Arc::clone(&told);
            volumes.tell(move |_, finding| hears.lock().unwrap().push(finding));
            Self {
                room,
                volumes,
                segment,
                told,
            }
        }

        fn file(&self, volume: &str) -> PathBuf {
            self.room.path().join(volume).join(PATH)
        }

        /// What is read, and from which volume.
        fn read(&self) -> Option<(Vec<u8>, PathBuf)> {
            let best = self.volumes.read(&self.segment, |path: &Path| {
                Ok::<_, std::io::Error>((fs::read(path)?, path.to_owned()))
            });
            best.read.map(|(found, _)| found)
        }

        #[track_caller]
        fn assert_read_from(&self, volume: &str) {
            let (bytes, path) = self.read().unwrap();
            assert_eq!((bytes.as_slice(), path), (BYTES, self.file(volume)));
        }

        fn told(&self) -> Vec<(VolumeId, CopyState)> {
            let told = self.told.lock().unwrap();
            let copies = told.iter().filter_map(|finding| match finding {
                Finding::Copy(copy) => Some((copy.volume, copy.state)),
                Finding::Holes(_) => None,
            });
            copies.collect()
        }
    }

    #[test]
    fn the_primary_is_read_while_it_is_what_was_closed() {
        let room = Room::new();
        room.assert_read_from("primary");
        assert_eq!(room.told(), []);
    }

    #[test]
    fn a_primary_copy_that_is_gone_cut_or_changed_is_told_and_the_mirrors_is_read() {
        for (spoil, state) in [
            ("gone", CopyState::Missing),
            ("cut", CopyState::Suspect),
            ("changed", CopyState::Suspect),
        ] {
            let room = Room::new();
            room.assert_read_from("primary");
            let path = room.file("primary");
            match spoil {
                "gone" => fs::remove_file(&path).unwrap(),
                "cut" => fs::write(&path, &BYTES[..5]).unwrap(),
                _ => {
                    let mut bytes = BYTES.to_vec();
                    bytes[3] ^= 1;
                    // Another file: the kernel's clock may not have ticked since the last was hashed.
                    fs::write(path.with_extension("new"), bytes).unwrap();
                    fs::rename(path.with_extension("new"), &path).unwrap();
                }
            }
            room.assert_read_from("mirror");
            assert_eq!(room.told(), [(room.segment.copies[0].volume, state)], "{spoil}");
            assert_eq!(room.volumes.find_file(&room.segment), Ok(room.file("mirror")));
        }
    }

    #[test]
    fn when_both_are_damaged_something_is_read_all_the_same_and_both_are_told() {
        let room = Room::new();
        fs::write(room.file("primary"), b"footage of a dxxr").unwrap();
        fs::write(room.file("mirror"), b"footage").unwrap();
        let best = room.volumes.read(&room.segment, |path: &Path| fs::read(path));
        let (bytes, copy) = best.read.unwrap();
        assert_eq!(
            (bytes.as_slice(), copy.state),
            (b"footage of a dxxr".as_slice(), CopyState::Suspect)
        );
        assert_eq!(room.told().len(), 2);
    }

    #[test]
    fn a_volume_that_went_away_is_not_told_as_files_that_went_away() {
        let room = Room::new();
        fs::rename(room.room.path().join("primary"), room.room.path().join("away")).unwrap();
        room.assert_read_from("mirror");
        assert_eq!(room.told(), []);
    }

    #[test]
    fn nothing_is_read_from_a_disk_that_is_not_the_mirror() {
        let room = Room::new();
        fs::remove_file(room.file("primary")).unwrap();
        let mirror = room.room.path().join("mirror");
        fs::remove_file(mirror.join(".camkeep-volume")).unwrap();
        assert_eq!(room.read(), None);
        Volume::open(&mirror, VolumeRole::Mirror, Timestamp::EPOCH).unwrap();
        assert_eq!(room.read(), None, "another disk lies there");
        assert!(matches!(
            room.volumes.find_file(&room.segment),
            Err(Unfound::OutOfReach(_))
        ));
        room.volumes.use_mirror(None);
        assert_eq!(room.volumes.find_file(&room.segment), Err(Unfound::Gone));
    }

    #[test]
    fn without_a_mirror_the_primary_is_read_as_it_is_and_nothing_is_told() {
        let room = Room::new();
        room.volumes.use_mirror(None);
        fs::write(room.file("primary"), b"foot").unwrap();
        assert_eq!(room.read().unwrap().0, b"foot");
        assert_eq!(room.told(), []);
    }

    #[test]
    fn a_mirror_that_hangs_holds_nobody_up_who_reads_what_the_primary_has() {
        let room = Room::new();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let hangs = move || {
            let _ = held.recv();
        };
        assert_eq!(room.volumes.0.aside.run(Duration::from_millis(10), hangs), None);
        assert!(room.volumes.is_mirror_held_up());
        room.assert_read_from("primary");
        fs::remove_file(room.file("primary")).unwrap();
        assert_eq!(room.read(), None, "and nobody waits for the mirror a second time");
        drop(release);
        while room.volumes.is_mirror_held_up() {
            std::thread::yield_now();
        }
        room.assert_read_from("mirror");
    }
}
