//! The shelf: the directory where clips lie, and how a file gets onto it.
//!
//! What is not finished carries a suffix and is nobody's: a start throws it away, unless its row says that it was finished
//! and only the last rename was missing. What is finished is never written over, because a name is taken exclusively.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{RenameFlags, renameat_with, statvfs};

use super::durable::{parent, sync_directory};
use super::error::StorageError;
use super::space::Space;

/// What the name of an unfinished clip ends with.
const PART: &str = ".part";
/// What the name of a clip ends with.
const CLIP: &str = ".mp4";
/// More clips of one name than anybody makes.
const MOST: u32 = 100_000;
/// Longest name of a file here; file systems take 255 bytes, and something is still to be put behind it.
const LONGEST: usize = 200;

/// The directory of clips. Clones share it.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: PathBuf,
}

impl Shelf {
    /// Opens the directory, and makes it when it is not there.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        match fs::DirBuilder::new().mode(0o750).create(root) {
            Ok(()) => sync_directory(parent(root))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && root.is_dir() => {}
            Err(error) => return Err(StorageError::io("make the directory of clips", root, error)),
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Where the directory is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a clip lies; nothing when the name could lead anywhere else, or is no clip's.
    pub fn place(&self, file: &str) -> Option<PathBuf> {
        is_clip(file).then(|| self.root.join(file))
    }

    /// How much room there is.
    pub fn free_space(&self) -> Result<Space, StorageError> {
        let space = statvfs(&self.root).map_err(|errno| StorageError::errno("ask for room in", &self.root, errno))?;
        Ok(Space {
            total_bytes: space.f_blocks.saturating_mul(space.f_frsize),
            available_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        })
    }

    /// Begins a clip: takes a name that is free, `stem.mp4` or the next of `stem-2.mp4`, `stem-3.mp4` …
    pub fn begin(&self, stem: &str) -> Result<Draft, StorageError> {
        for number in 1..=MOST {
            let file = match number {
                1 => format!("{stem}{CLIP}"),
                _ => format!("{stem}-{number}{CLIP}"),
            };
            let outside = || StorageError::Outside {
                path: PathBuf::from(&file),
            };
            let place = self.place(&file).ok_or_else(outside)?;
            if place.exists() {
                continue;
            }
            let part = part_of(&place);
            match OpenOptions::new().write(true).create_new(true).mode(0o640).open(&part) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(StorageError::io("create", &part, error)),
            }
            let draft = Draft {
                part,
                place,
                file,
                ended: false,
            };
            // Somebody may have finished one of this name between the look and the taking.
            if !draft.place.exists() {
                return Ok(draft);
            }
        }
        Err(StorageError::Exists {
            path: self.root.join(format!("{stem}{CLIP}")),
        })
    }

    /// Throws a clip away, and what lies beside it under its name and these suffixes; `false` when there was none.
    pub fn remove(&self, file: &str, beside: &[&str]) -> Result<bool, StorageError> {
        let Some(place) = self.place(file) else {
            return Ok(false);
        };
        for suffix in beside {
            remove(&with_suffix(&place, suffix))?;
        }
        remove(&place)
    }

    /// The names of the clips that lie here, in order.
    pub fn files(&self) -> Result<Vec<String>, StorageError> {
        let reading = |error| StorageError::io("read", &self.root, error);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(reading)? {
            let name = entry.map_err(reading)?.file_name();
            files.extend(name.to_str().filter(|name| is_clip(name)).map(str::to_owned));
        }
        files.sort();
        Ok(files)
    }

    /// After a start: finishes drafts that were whole but for their name, which `is_known` says by the name of the clip,
    /// and throws the others away. Says how many of each.
    pub fn settle(&self, mut is_known: impl FnMut(&str) -> bool) -> Result<(usize, usize), StorageError> {
        let reading = |error| StorageError::io("read", &self.root, error);
        let (mut finished, mut thrown) = (0, 0);
        for entry in fs::read_dir(&self.root).map_err(reading)? {
            let entry = entry.map_err(reading)?;
            let name = entry.file_name();
            let Some(file) = name.to_str().and_then(|name| name.strip_suffix(PART)) else {
                continue;
            };
            if !is_clip(file) {
                continue;
            }
            let place = self.root.join(file);
            if is_known(file) && !place.exists() {
                rename(&entry.path(), &place)?;
                finished += 1;
            } else {
                remove(&entry.path())?;
                thrown += 1;
            }
        }
        if finished + thrown > 0 {
            sync_directory(&self.root)?;
        }
        Ok((finished, thrown))
    }
}

/// A clip that is being written. Dropping it throws it away.
#[derive(Debug)]
pub struct Draft {
    part: PathBuf,
    place: PathBuf,
    file: String,
    ended: bool,
}

impl Draft {
    /// Where it is written.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Where it will lie.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// The name it will have.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Gives it its name, for certain. It has to be on the disk already.
    pub fn finish(mut self) -> Result<PathBuf, StorageError> {
        rename(&self.part, &self.place)?;
        self.ended = true;
        sync_directory(parent(&self.place))?;
        Ok(self.place.clone())
    }

    /// Leaves it as it is for the next start, which asks the index what to do with it.
    pub fn leave(mut self) {
        self.ended = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = remove(&self.part)
        {
            tracing::warn!(%error, "an unfinished clip stays until the next start");
        }
    }
}

/// Whether a name can be that of a clip here: no path, nothing hidden, nothing unfinished.
fn is_clip(file: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    file.len() <= LONGEST + CLIP.len() + 8
        && file.len() > CLIP.len()
        && file.ends_with(CLIP)
        && !file.starts_with(['.', '-'])
        && file.chars().all(plain)
}

/// Makes a name for a file of any text: what would need care in a shell, an address or another file system becomes `-`.
pub fn plain_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
            c
        } else {
            '-'
        };
        if c != '-' || !name.ends_with('-') {
            name.push(c);
        }
    }
    name.truncate(LONGEST);
    let name = name.trim_matches(['.', '-', ' ']);
    if name.is_empty() {
        "clip".to_owned()
    } else {
        name.to_owned()
    }
}

fn part_of(place: &Path) -> PathBuf {
    with_suffix(place, PART)
}

fn with_suffix(place: &Path, suffix: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn rename(from: &Path, to: &Path) -> Result<(), StorageError> {
    use rustix::fs::CWD;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that cannot promise it: the name was taken by our own exclusive draft.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !to.exists() => {
            fs::rename(from, to).map_err(|error| StorageError::io("rename", from, error))
        }
        done => done.map_err(|errno| StorageError::errno("rename", from, errno)),
    }
}

fn remove(path: &Path) -> Result<bool, StorageError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StorageError::io("remove", path, error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(&directory.path().join("clips")).unwrap();
        (directory, shelf)
    }

    fn names(shelf: &Shelf) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(shelf.root())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_is_taken_once_and_a_finished_clip_is_never_written_over() {
        let (_directory, shelf) = shelf();
        let first = shelf.begin("door").unwrap();
        let second = shelf.begin("door").unwrap();
        assert_eq!((first.file(), second.file()), ("door.mp4", "door-2.mp4"));
        fs::write(first.part(), b"one").unwrap();
        let place = first.finish().unwrap();
        fs::write(second.place(), b"put there meanwhile").unwrap();
        assert!(second.finish().is_err());
        assert_eq!(fs::read(place).unwrap(), b"one");
        assert_eq!(
            names(&shelf),
            ["door-2.mp4", "door.mp4"],
            "what was given up left nothing behind"
        );
        assert_eq!(shelf.begin("door").unwrap().file(), "door-3.mp4");
    }

    #[test]
    fn a_start_finishes_what_only_missed_its_name_and_throws_the_rest_away() {
        let (_directory, shelf) = shelf();
        for stem in ["known", "stranger"] {
            let draft = shelf.begin(stem).unwrap();
            fs::write(draft.part(), stem).unwrap();
            draft.leave();
        }
        fs::write(shelf.root().join("notes.part"), b"a person's").unwrap();
        fs::write(shelf.root().join("old.mp4"), b"a person's").unwrap();
        assert_eq!(shelf.settle(|file| file == "known.mp4").unwrap(), (1, 1));
        assert_eq!(names(&shelf), ["known.mp4", "notes.part", "old.mp4"]);
        assert_eq!(shelf.settle(|_| false).unwrap(), (0, 0));
    }

    #[test]
    fn a_clip_goes_with_what_lies_beside_it_and_no_name_leads_elsewhere() {
        let (directory, shelf) = shelf();
        fs::write(directory.path().join("x.mp4"), b"outside").unwrap();
        for name in ["door.mp4", "door.mp4.sig", "door.mp4.txt"] {
            fs::write(shelf.root().join(name), b"1").unwrap();
        }
        assert!(shelf.remove("door.mp4", &[".sig"]).unwrap());
        assert!(!shelf.remove("door.mp4", &[".sig"]).unwrap());
        assert_eq!(names(&shelf), ["door.mp4.txt"]);
        for name in [
            "../x.mp4",
            "/etc/x.mp4",
            ".x.mp4",
            "x",
            "",
            "a/b.mp4",
            "x.mp4\0",
            "é.mp4",
            "x.mp4.part",
        ] {
            assert_eq!(shelf.place(name), None, "{name}");
            assert!(!shelf.remove(name, &[]).unwrap(), "{name}");
        }
        assert!(directory.path().join("x.mp4").exists());
        assert!(shelf.begin("../x").is_err());
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_name_that_the_shelf_takes(text in "\\PC{0,300}") {
            let name = plain_name(&text);
            prop_assert!(is_clip(&format!("{name}{CLIP}")), "{name}");
            prop_assert_eq!(plain_name(&name), name.clone(), "made plain once, it stays");
        }
    }
}
