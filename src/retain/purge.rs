//! The footage of a removed camera goes, because somebody wants that.
//!
//! ```text
//! rows of some segments, in one transaction --> their files on the primary --> on the mirror --> the next
//! ```
//!
//! The camera's row stays, hidden, until the last file is gone. What a kill leaves of files is found by the next check as
//! footage of that camera, and goes with it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::index::{Index, IndexError};
use crate::model::{CameraId, Copy, Fault, VolumeId, VolumeRole};
use crate::runtime::Shutdown;
use crate::storage::{StorageError, Volume, Volumes};

/// Segments forgotten in one transaction.
const AT_ONCE: u32 = 200;
/// How often what could not go yet is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Why footage could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    /// The index did not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A volume did not do what it should.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl RetainError {
    /// Which kind it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Index(error) => error.fault(),
            Self::Storage(error) => error.fault(),
        }
    }
}

/// What went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purged {
    /// Segments that are gone.
    pub segments: u64,
    /// Files that are gone.
    pub files: u64,
    /// Why something is left that goes later by itself.
    pub waits_for: Option<String>,
}

/// Removes the footage of removed cameras. Clones share everything.
#[derive(Debug, Clone)]
pub struct Purger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    index: Index,
    volume: Arc<Volume>,
    volumes: Volumes,
    mirror: Option<PathBuf>,
    /// One at a time.
    working: Mutex<()>,
}

/// The mirror, as far as it can be reached now.
enum Reach {
    /// Here.
    There(Volume),
    /// It is configured and does not answer, or is not there.
    Away(VolumeId),
    /// There is none.
    None,
}

impl Purger {
    /// Removes from a primary volume and a mirror, where one is configured.
    pub fn new(index: Index, volume: Arc<Volume>, volumes: Volumes, mirror: Option<PathBuf>) -> Self {
        Self(Arc::new(Shared {
            index,
            volume,
            volumes,
            mirror,
            working: Mutex::default(),
        }))
    }

    /// Goes on with what could not go at once, until the end is asked for.
    pub async fn run(self, shutdown: Shutdown) {
        loop {
            let (purger, asked) = (self.clone(), shutdown.clone());
            let done = tokio::task::spawn_blocking(move || purger.purge_all(&asked)).await;
            if let Ok(Err(error)) = done {
                tracing::error!(%error, "footage of removed cameras could not be removed; it is tried again");
            }
            tokio::select! {
                () = shutdown.asked() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    fn purge_all(&self, shutdown: &Shutdown) -> Result<(), RetainError> {
        for camera in self.0.index.read_blocking(|reader| reader.purged_cameras())? {
            if shutdown.is_asked() {
                return Ok(());
            }
            let purged = self.purge(&camera)?;
            if purged.segments > 0 {
                tracing::info!(%camera, segments = purged.segments, "more footage of a removed camera is gone");
            }
        }
        Ok(())
    }

    /// Removes all footage of a removed camera whose footage is to go, as far as it may go and can be reached. For a thread
    /// that may wait.
    pub fn purge(&self, camera: &CameraId) -> Result<Purged, RetainError> {
        let shared = &self.0;
        let _one = shared.working.lock().unwrap_or_else(PoisonError::into_inner);
        shared.volume.check_present()?;
        let mirror = shared.reach()?;
        let away = match &mirror {
            Reach::Away(id) => Some(*id),
            _ => None,
        };
        let (mut purged, mut failed) = (Purged::default(), None);
        loop {
            let asked = camera.clone();
            let freed = shared
                .index
                .write_blocking(move |writer| writer.purge_some(&asked, away, AT_ONCE))?;
            if freed.segments == 0 {
                break;
            }
            purged.segments += freed.segments;
            let (own, others): (Vec<Copy>, Vec<Copy>) = freed
                .copies
                .into_iter()
                .partition(|copy| copy.volume == shared.volume.id());
            purged.files += remove_all(&shared.volume, &own, &mut failed);
            if let Reach::There(mirror) = &mirror {
                let (volume, mut trouble) = (mirror.clone(), None);
                let others = others
                    .into_iter()
                    .filter(|copy| copy.volume == mirror.id())
                    .collect::<Vec<_>>();
                let done = shared.volumes.beside_the_mirror(move || {
                    let gone = remove_all(&volume, &others, &mut trouble);
                    (gone, trouble)
                });
                let (gone, trouble) = done.unwrap_or((0, Some("the mirror does not answer".to_owned())));
                purged.files += gone;
                failed = failed.or(trouble);
            }
        }
        if let Some(error) = &failed {
            tracing::error!(%camera, error, "not every file of a removed camera could be removed; the next start tries again");
        } else if away.is_none() {
            shared.volume.remove_remains(camera)?;
            if let Reach::There(mirror) = mirror {
                let of = camera.clone();
                shared
                    .volumes
                    .beside_the_mirror(move || mirror.remove_remains(&of))
                    .transpose()?;
            }
            let asked = camera.clone();
            shared.index.write_blocking(move |writer| writer.end_purge(&asked))?;
        }
        purged.waits_for = failed
            .or_else(|| away.map(|_| "the mirror is not there; what has a copy on it goes when it is back".to_owned()));
        Ok(purged)
    }
}

impl Shared {
    fn reach(&self) -> Result<Reach, RetainError> {
        let known = self.index.read_blocking(|reader| reader.volumes())?;
        let known = known.into_iter().rev().find(|known| known.role == VolumeRole::Mirror);
        let Some((root, id)) = self.mirror.clone().zip(known.map(|known| known.id)) else {
            return Ok(Reach::None);
        };
        let opened = self
            .volumes
            .beside_the_mirror(move || Volume::open_expected(&root, VolumeRole::Mirror, id));
        Ok(match opened {
            Some(Ok(mirror)) => Reach::There(mirror),
            Some(Err(error)) => {
                tracing::warn!(%error, "the mirror cannot be reached; footage with a copy on it stays for now");
                Reach::Away(id)
            }
            None => Reach::Away(id),
        })
    }
}

/// Removes files; says how many are gone, and of one that is not, why.
fn remove_all(volume: &Volume, copies: &[Copy], failed: &mut Option<String>) -> u64 {
    let mut gone = 0;
    for copy in copies {
        let removed = volume.remove(&copy.path).and_then(|was_there| {
            volume.remove_empty_directory(&copy.path)?;
            Ok(was_there)
        });
        match removed {
            Ok(was_there) => gone += u64::from(was_there),
            Err(error) => *failed = Some(error.to_string()),
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::index::KnownVolume;
    use crate::model::{Camera, CopyState, RunId, Seal, Segment, Span, Timestamp, fixture};

    #[derive(Debug)]
    struct Open;

    impl Seal for Open {
        fn seal(&self, text: &str) -> Vec<u8> {
            text.as_bytes().to_vec()
        }

        fn unseal(&self, sealed: &[u8]) -> Option<String> {
            String::from_utf8(sealed.to_vec()).ok()
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn door() -> CameraId {
        CameraId::parse("door").unwrap()
    }

    fn camera(id: &str) -> Camera {
        Camera::new(CameraId::parse(id).unwrap(), id.to_uppercase(), at(0))
    }

    fn segment(start: i64, end: i64, run: u32, sequence: u32) -> Segment {
        let number = (u128::from(run) << 64) | u128::from(sequence);
        Segment {
            camera: door(),
            run: RunId(run),
            sequence,
            ..fixture::segment(number, Span::new(at(start), at(end)))
        }
    }

    struct Place {
        room: tempfile::TempDir,
        index: Index,
        primary: Arc<Volume>,
        mirror: Volume,
        volumes: Volumes,
    }

    /// Two segments of `door` on both volumes, one of them on the primary alone, and one of another camera.
    fn place() -> Place {
        let room = tempfile::tempdir().unwrap();
        let open = |name: &str, role| Volume::open(&room.path().join(name), role, at(0)).unwrap();
        let (primary, mirror) = (open("primary", VolumeRole::Primary), open("mirror", VolumeRole::Mirror));
        let index = Index::open(room.path().join("index.db"), Arc::new(Open)).unwrap();
        let volumes = Volumes::new(primary.id(), primary.root().to_owned());
        let known = [&primary, &mirror].map(|volume| KnownVolume {
            id: volume.id(),
            role: volume.role(),
            root: volume.root().display().to_string(),
            created_at: at(0),
        });
        let yard = Segment {
            camera: camera("yard").id,
            ..segment(0, 10, 9, 0)
        };
        let rows: Vec<Segment> = [segment(0, 10, 1, 0), segment(10, 20, 1, 1), segment(20, 30, 1, 2), yard]
            .into_iter()
            .enumerate()
            .map(|(number, mut segment)| {
                let path = format!("{}/day/{number}.mp4", segment.camera);
                let on = if number == 2 {
                    vec![&primary]
                } else {
                    vec![&primary, &mirror]
                };
                segment.copies = on
                    .iter()
                    .map(|volume| {
                        volume.create_new(&path).unwrap();
                        Copy {
                            volume: volume.id(),
                            path: path.clone(),
                            size_bytes: 0,
                            sha256: None,
                            state: CopyState::Whole,
                        }
                    })
                    .collect();
                segment
            })
            .collect();
        index
            .write_blocking(move |writer| {
                known.iter().try_for_each(|known| writer.put_volume(known))?;
                let cameras: [Camera; 2] = [camera("door"), camera("yard")];
                cameras.iter().try_for_each(|camera| writer.insert_camera(camera))?;
                rows.iter().try_for_each(|segment| writer.close_segment(segment))?;
                writer.end_recovery()?;
                writer.delete_camera(&door(), at(40))?;
                writer.begin_purge(&door(), at(41))
            })
            .unwrap();
        Place {
            index,
            primary: Arc::new(primary),
            mirror,
            volumes,
            room,
        }
    }

    impl Place {
        fn purger(&self) -> Purger {
            let mirror = self.room.path().join("mirror");
            Purger::new(
                self.index.clone(),
                self.primary.clone(),
                self.volumes.clone(),
                Some(mirror),
            )
        }

        fn files(&self, volume: &Volume) -> Vec<String> {
            let files = volume.files().unwrap().map(|file| file.unwrap().relative);
            files.collect()
        }

        fn is_known(&self) -> bool {
            let found = self.index.read_blocking(|reader| reader.camera_or_deleted(&door()));
            found.unwrap().is_some()
        }
    }

    #[test]
    fn all_footage_of_a_removed_camera_goes_from_both_volumes_and_nothing_else() {
        let place = place();
        place.primary.create_new("door/day/torn.mp4").unwrap();
        place.primary.quarantine("door/day/torn.mp4", "torn").unwrap();
        let purged = place.purger().purge(&door()).unwrap();
        assert_eq!((purged.segments, purged.files, purged.waits_for), (3, 5, None));
        assert_eq!(place.files(&place.primary), ["yard/day/3.mp4"]);
        assert_eq!(place.files(&place.mirror), ["yard/day/3.mp4"]);
        assert!(!place.primary.absolute("door").exists() && !place.primary.absolute(".quarantine/door").exists());
        assert!(!place.is_known());
        assert_eq!(
            place.index.read_blocking(|reader| reader.count_segments(None)).unwrap(),
            1
        );
    }

    #[test]
    fn what_has_a_copy_on_a_mirror_that_is_away_goes_when_it_is_back() {
        let place = place();
        let (there, away) = (place.room.path().join("mirror"), place.room.path().join("elsewhere"));
        std::fs::rename(&there, &away).unwrap();
        let purged = place.purger().purge(&door()).unwrap();
        assert_eq!((purged.segments, purged.files), (1, 1));
        assert!(purged.waits_for.unwrap().contains("mirror"));
        assert!(place.is_known());
        std::fs::rename(&away, &there).unwrap();
        let purged = place.purger().purge(&door()).unwrap();
        assert_eq!((purged.segments, purged.files, purged.waits_for), (2, 4, None));
        assert!(!place.is_known());
    }

    #[test]
    fn files_that_a_kill_left_are_footage_of_a_camera_that_is_to_go_and_go() {
        let place = place();
        // Rows are gone, and then the power is cut.
        place
            .index
            .write_blocking(|writer| writer.purge_some(&door(), None, 10))
            .unwrap();
        assert!(place.is_known());
        // What the next check makes of one of the files.
        let mut found = segment(0, 10, 1, 0);
        found.created_at = Timestamp::from_seconds(1);
        found.copies = vec![Copy {
            volume: place.primary.id(),
            path: "door/day/0.mp4".into(),
            size_bytes: 0,
            sha256: None,
            state: CopyState::Whole,
        }];
        place
            .index
            .write_blocking(move |writer| writer.close_segment(&found))
            .unwrap();
        place.purger().purge_all(&Shutdown::new()).unwrap();
        assert!(!place.primary.absolute("door/day/0.mp4").exists());
        assert!(!place.is_known());
    }
}
