//! What the thread that writes second copies owns: the files that are open, and what is told of them.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use super::durable::{Durable, make_durable_like};
use super::error::StorageError;
use super::identity::Identity;
use super::mirror_writer::{Finished, MirrorTold, Order, Shared, What, lock, write_cost};
use super::volume::Volume;
use crate::model::{Copy, CopyState};

/// A second copy that grows.
struct Open {
    volume: Arc<Volume>,
    file: File,
    absolute: PathBuf,
}

/// What the thread owns.
pub(super) struct Files {
    shared: Arc<Shared>,
    open: HashMap<(u64, Arc<str>), Open>,
}

impl Files {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let open = HashMap::new();
        Self { shared, open }
    }

    pub(super) fn obey_all(&mut self, orders: &mpsc::Receiver<Order>) {
        // It ends by order, or when the last lane and the writer are gone.
        while let Ok(order) = orders.recv() {
            if matches!(order.what, What::Stop) {
                break;
            }
            self.obey(order);
        }
        let left: Vec<_> = self.open.drain().collect();
        left.into_iter().for_each(|((_, path), open)| self.remove(&path, &open));
    }

    fn obey(&mut self, order: Order) {
        let lane = order.lane;
        match order.what {
            What::Begin(path) => self.begin(lane, path),
            What::Write { path, offset, bytes } => {
                let cost = write_cost(&bytes);
                let key = (lane, path);
                if let Some(open) = self.open.get(&key) {
                    let written = self.at_the_disk(|| open.file.write_all_at(&bytes, offset));
                    if let Err(error) = written {
                        let error = StorageError::io("write to", &open.absolute, error);
                        let volume = open.volume.clone();
                        self.give(&key);
                        self.refuse(&volume, error);
                    }
                }
                self.shared.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
            }
            What::Finish(finished) => {
                let segment = finished.segment.id;
                let told = match self.finish(lane, &finished) {
                    Some(copy) => MirrorTold::Kept { segment, copy },
                    None => MirrorTold::Missed { segment },
                };
                lock(&self.shared.unsettled).remove(finished.primary.path.as_str());
                self.tell(told);
            }
            What::Give(path) => self.give(&(lane, path)),
            What::Leave => {
                let left: Vec<_> = self.open.keys().filter(|(of, _)| *of == lane).cloned().collect();
                left.iter().for_each(|key| self.give(key));
                lock(&self.shared.unsettled).retain(|_, of| *of != lane);
            }
            What::Stop => {}
        }
    }

    fn begin(&mut self, lane: u64, path: Arc<str>) {
        let Some(volume) = lock(&self.shared.volume).clone() else {
            return;
        };
        match self.at_the_disk(|| volume.create_open(&path)) {
            Ok(file) => {
                let absolute = volume.absolute(&path);
                let open = Open { volume, file, absolute };
                self.open.insert((lane, path), open);
            }
            // Somebody else's file is no trouble of the volume's: this one is copied under its own name later, or adopted.
            Err(StorageError::Exists { .. }) => {}
            Err(error) => self.refuse(&volume, error),
        }
    }

    /// Gives the copy if it is the same as the primary's and on the disk.
    fn finish(&mut self, lane: u64, finished: &Finished) -> Option<Copy> {
        let Finished { segment, primary, file } = finished;
        let key = (lane, Arc::from(primary.path.as_str()));
        let open = self.open.remove(&key)?;
        let known = Durable {
            size_bytes: primary.size_bytes,
            sha256: primary.sha256?,
        };
        let labelled = self.at_the_disk(|| {
            // What is unmounted meanwhile leaves a directory that is somebody else's.
            open.volume.check_present()?;
            Identity::append(&open.absolute, segment)
        });
        let made =
            labelled.and_then(|()| make_durable_like(&open.absolute, file, known, &|work| self.at_the_disk(work)));
        match made {
            Ok(durable) if durable == known => Some(Copy {
                volume: open.volume.id(),
                state: CopyState::Whole,
                ..primary.clone()
            }),
            Ok(_) => {
                tracing::warn!(path = %open.absolute.display(), "a second copy differs from the first and is made anew");
                self.remove(&key.1, &open);
                None
            }
            Err(error) => {
                self.remove(&key.1, &open);
                // One that is no whole file was torn by a primary that failed, which is told of there.
                if !matches!(error, StorageError::Damaged { .. }) {
                    self.refuse(&open.volume, error);
                }
                None
            }
        }
    }

    /// Nothing comes of an open file: its room is wanted at once, and nothing of it shall be taken for a copy.
    fn give(&mut self, key: &(u64, Arc<str>)) {
        if let Some(open) = self.open.remove(key) {
            self.remove(&key.1, &open);
        }
        lock(&self.shared.unsettled).remove(&key.1);
    }

    fn remove(&self, path: &str, open: &Open) {
        if let Err(error) = self.at_the_disk(|| open.volume.remove(path)) {
            // Whoever copies the segment later writes over what is left of it.
            tracing::debug!(%error, "what there is of a second copy stays for now");
        }
    }

    /// What a volume refuses that is not used any more is no news: it was pulled, and another may be there by now.
    fn refuse(&self, volume: &Arc<Volume>, error: StorageError) {
        let is_used = lock(&self.shared.volume)
            .as_ref()
            .is_some_and(|used| Arc::ptr_eq(used, volume));
        match is_used {
            true => self.tell(MirrorTold::Refused(error)),
            false => tracing::debug!(%error, "a mirror that is not used any more refuses"),
        }
    }

    fn tell(&self, told: MirrorTold) {
        // The engine may have gone before us; the next start finds out what is owed.
        let _ = self.shared.told.send(told);
    }

    /// Whoever looks can tell a disk that hangs by how long this lasts.
    fn at_the_disk<T>(&self, work: impl FnOnce() -> T) -> T {
        let since = self.shared.clock.instant().0.max(1);
        self.shared.busy_since.store(since, Ordering::Relaxed);
        let done = work();
        self.shared.busy_since.store(0, Ordering::Relaxed);
        done
    }
}
