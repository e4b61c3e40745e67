//! What lay there before this start: taken before recording begins, so that nothing of the new process is mistaken for
//! something that the old one left.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::index::{Index, IndexError, backup_path};
use crate::model::{Seal, Segment, Timestamp};
use crate::runtime::Clock;
use crate::storage::{TailPlace, find_tails};

use super::error::CheckError;

/// Rows that were open and journals that lay there at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// When it was taken: files younger than this belong to whoever runs now.
    pub taken_at: Timestamp,
    /// Rows that were open.
    pub open: Vec<Segment>,
    /// Journals, with their places.
    pub journals: Vec<(TailPlace, PathBuf)>,
}

impl Survey {
    /// Takes it. To be called before the first camera is started.
    pub fn take(index: &Index, data: &Path, clock: &dyn Clock) -> Result<Self, CheckError> {
        Ok(Self {
            taken_at: clock.now(),
            open: index.read_blocking(|reader| reader.open_segments())?,
            journals: find_tails(data)?,
        })
    }
}

/// An index that was damaged or gone, and what took its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Where the damaged one lies now; nothing when it was gone.
    pub aside: Option<PathBuf>,
    /// Whether its backup took its place, or an empty one.
    pub from_backup: bool,
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.aside {
            Some(aside) => write!(f, "the index was damaged and is kept as {}; ", aside.display())?,
            None => f.write_str("the index was gone; ")?,
        }
        f.write_str(if self.from_backup {
            "its backup took its place, and what is newer follows from the recordings"
        } else {
            "a new one is filled from the recordings"
        })
    }
}

/// Opens the index. One that is damaged is set aside; for it, or for one that is gone, the backup or a new one takes its
/// place, which the next check fills from the recordings.
pub fn open_index(
    path: &Path,
    seal: &Arc<dyn Seal>,
    clock: &dyn Clock,
) -> Result<(Index, Option<Replaced>), CheckError> {
    let backup = backup_path(path);
    let aside = if !path.exists() && backup.exists() {
        None
    } else {
        match Index::open(path, Arc::clone(seal)) {
            Err(IndexError::Damaged { reason, .. }) => {
                tracing::error!(path = %path.display(), reason, "the index is damaged");
                Some(Index::set_aside(path, clock.now())?)
            }
            other => return Ok((other?, None)),
        }
    };
    let (index, from_backup) = match restore(&backup, path, seal, clock) {
        Ok(index) => (index, true),
        Err(_) => (Index::open(path, Arc::clone(seal))?, false),
    };
    let replaced = Replaced { aside, from_backup };
    tracing::warn!(path = %path.display(), "{replaced}");
    Ok((index, Some(replaced)))
}

fn restore(backup: &Path, path: &Path, seal: &Arc<dyn Seal>, clock: &dyn Clock) -> Result<Index, CheckError> {
    fs::copy(backup, path).map_err(|error| CheckError::reading(backup, error))?;
    let opened = Index::open(path, Arc::clone(seal)).and_then(|index| {
        // One whose secrets no key opens would keep the whole box from recording.
        match index.read_blocking(|reader| reader.cameras()) {
            Ok(_) => Ok(index),
            Err(error) => {
                index.close();
                Err(error)
            }
        }
    });
    match opened {
        Ok(index) => Ok(index),
        Err(error) => {
            tracing::error!(%error, "the backup of the index cannot be used");
            // A backup that is no good either may not stand in the way of a new index.
            Index::set_aside(path, clock.now())?;
            Err(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Camera, CameraId};
    use crate::runtime::SystemClock;

    #[derive(Debug)]
    struct Plain;

    impl Seal for Plain {
        fn seal(&self, text: &str) -> Vec<u8> {
            text.as_bytes().to_vec()
        }

        fn unseal(&self, sealed: &[u8]) -> Option<String> {
            String::from_utf8(sealed.to_vec()).ok()
        }
    }

    #[test]
    fn an_index_that_is_gone_or_damaged_is_replaced_by_its_backup_and_that_is_told() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("index.db");
        let seal: Arc<dyn Seal> = Arc::new(Plain);
        let clock = SystemClock::shared();
        let open = || open_index(&path, &seal, clock.as_ref()).unwrap();
        let (index, replaced) = open();
        assert_eq!(replaced, None, "a first start replaces nothing");
        let mut camera = Camera::new(CameraId::parse("door").unwrap(), "Door".into(), Timestamp::EPOCH);
        camera.password = Some("hunter2".into());
        index
            .write_blocking(move |writer| writer.insert_camera(&camera))
            .unwrap();
        index.back_up().unwrap();
        index.close();
        drop(index);

        fs::remove_file(&path).unwrap();
        let (index, replaced) = open();
        let replaced = replaced.unwrap();
        assert_eq!((&replaced.aside, replaced.from_backup), (&None, true));
        assert!(replaced.to_string().contains("gone"), "{replaced}");
        assert_eq!(index.read_blocking(|reader| reader.cameras()).unwrap().len(), 1);
        index.close();
        drop(index);

        fs::write(&path, vec![0x5a; 8192]).unwrap();
        let (index, replaced) = open();
        let replaced = replaced.unwrap();
        assert!(
            replaced.from_backup && replaced.aside.as_ref().unwrap().exists(),
            "{replaced:?}"
        );
        assert_eq!(index.read_blocking(|reader| reader.cameras()).unwrap().len(), 1);
        index.close();
        drop(index);

        // The key is gone too: nothing of the backup opens, and footage and cameras are found by what lies on the volume.
        #[derive(Debug)]
        struct Other;

        impl Seal for Other {
            fn seal(&self, text: &str) -> Vec<u8> {
                text.as_bytes().to_vec()
            }

            fn unseal(&self, _: &[u8]) -> Option<String> {
                None
            }
        }
        fs::remove_file(&path).unwrap();
        let other: Arc<dyn Seal> = Arc::new(Other);
        let (index, replaced) = open_index(&path, &other, clock.as_ref()).unwrap();
        assert!(!replaced.unwrap().from_backup);
        let look = index.read_blocking(|reader| Ok((reader.cameras()?.len(), reader.is_recovering()?)));
        assert_eq!(look.unwrap(), (0, true));
    }
}
