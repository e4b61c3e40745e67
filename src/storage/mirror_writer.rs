//! The thread that writes second copies while the first ones are written.
//!
//! ```text
//! muxer --bytes--+--> filesink (primary)
//!                +--> [queue, bounded by bytes] --> mirror-write --> <mirror>/<the same path>
//! ```
//!
//! Whoever writes the primary never waits here, whatever the mirror's disk does: what no longer fits makes the *file* a miss,
//! and a missed file is copied later from the primary. A copy counts only when it is synced, read back, and has the primary's
//! hash.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use super::durable::make_durable;
use super::ending::Ending;
use super::error::StorageError;
use super::identity::Identity;
use super::volume::Volume;
use crate::model::{Copy, CopyState, Segment, SegmentId};
use crate::runtime::{Clock, Instant};

/// What a write costs in the queue beside its bytes, so that many small ones are bounded too.
const WRITE_COST: usize = 96;

/// What became of a second copy.
#[derive(Debug)]
pub enum MirrorTold {
    /// It is on the mirror's disk, and is the same as the primary's to the byte.
    Kept {
        /// Of this segment.
        segment: SegmentId,
        /// The copy.
        copy: Copy,
    },
    /// There is none: it has to be copied later.
    Missed {
        /// Of this segment.
        segment: SegmentId,
    },
    /// The mirror refuses what it is given.
    Refused(StorageError),
}

/// Writes the second copies of all cameras of this box.
pub struct MirrorWriter {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    lanes: AtomicU64,
    clock: Arc<dyn Clock>,
    ending: Mutex<Ending>,
}

impl std::fmt::Debug for MirrorWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MirrorWriter").finish_non_exhaustive()
    }
}

struct Shared {
    clock: Arc<dyn Clock>,
    limit_bytes: usize,
    queued_bytes: AtomicUsize,
    dropped_bytes: AtomicU64,
    /// Since when the thread is inside a call of the disk, in nanoseconds; 0 while it is not.
    busy_since: AtomicU64,
    /// Where new files go.
    volume: Mutex<Option<Arc<Volume>>>,
    /// Files that were begun and of which it is not settled yet what becomes of them, with their lanes.
    begun: Mutex<HashMap<Arc<str>, u64>>,
    told: UnboundedSender<MirrorTold>,
}

/// A run's way to the mirror. Clones share it; none of its methods waits.
#[derive(Clone)]
pub struct MirrorLane {
    number: u64,
    shared: Arc<Shared>,
    /// Files of which something is missing already.
    missed: Arc<Mutex<HashSet<Arc<str>>>>,
    orders: mpsc::Sender<Order>,
    _leaves: Arc<Leaves>,
}

impl std::fmt::Debug for MirrorLane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MirrorLane").field("number", &self.number).finish()
    }
}

/// When the last of a lane is gone, so is what it left open.
struct Leaves {
    number: u64,
    orders: mpsc::Sender<Order>,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        // The thread may have ended before; then nothing is open any more.
        let _ = self.orders.send(Order {
            lane: self.number,
            what: What::Leave,
        });
    }
}

struct Order {
    lane: u64,
    what: What,
}

enum What {
    Begin(Arc<str>),
    Write { path: Arc<str>, offset: u64, bytes: Bytes },
    Finish(Box<Segment>, Copy),
    Give(Arc<str>),
    Leave,
    Stop,
}

impl MirrorWriter {
    /// How much may wait in memory for a disk that does not keep up, on this box as a whole.
    pub const LIMIT_BYTES: usize = 64 * 1024 * 1024;

    /// Starts the thread. It writes nothing before it is given a volume.
    pub fn start(
        limit_bytes: usize,
        clock: Arc<dyn Clock>,
        told: UnboundedSender<MirrorTold>,
    ) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            limit_bytes,
            queued_bytes: AtomicUsize::new(0),
            dropped_bytes: AtomicU64::new(0),
            busy_since: AtomicU64::new(0),
            volume: Mutex::new(None),
            begun: Mutex::default(),
            told,
        });
        let (orders, received) = mpsc::channel();
        let mut files = Files {
            shared: Arc::clone(&shared),
            open: HashMap::new(),
        };
        let ending = Ending::start("mirror-write", move || files.obey_all(&received))?;
        Ok(Self {
            shared,
            orders,
            lanes: AtomicU64::new(0),
            clock,
            ending: Mutex::new(ending),
        })
    }

    /// From the next file on second copies go to this volume; without one every file is a miss.
    pub fn use_volume(&self, volume: Option<Arc<Volume>>) {
        *lock(&self.shared.volume) = volume;
    }

    /// Whether a file may still be written to: nobody else may touch what the mirror has of it.
    pub fn is_writing(&self, path: &str) -> bool {
        lock(&self.shared.begun).contains_key(path)
    }

    /// A run's lane.
    pub fn lane(&self) -> MirrorLane {
        let number = self.lanes.fetch_add(1, Ordering::Relaxed);
        let orders = self.orders.clone();
        MirrorLane {
            number,
            shared: Arc::clone(&self.shared),
            missed: Arc::default(),
            _leaves: Arc::new(Leaves {
                number,
                orders: orders.clone(),
            }),
            orders,
        }
    }

    /// For how long the thread has been waiting for the disk at one place; nothing while it is not.
    pub fn busy_for(&self) -> Option<Duration> {
        let since = self.shared.busy_since.load(Ordering::Relaxed);
        (since > 0).then(|| self.clock.instant().since(Instant(since)))
    }

    /// Bytes that wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that did not fit, since the start.
    pub fn dropped_bytes(&self) -> u64 {
        self.shared.dropped_bytes.load(Ordering::Relaxed)
    }

    /// Writes what was sent until now and ends the thread; `false` when a disk held it beyond the deadline. What is open then is
    /// a miss.
    pub fn close(&self, deadline: Duration) -> bool {
        // Fails only when the thread is gone, which waiting for it finds out.
        let _ = self.orders.send(Order {
            lane: u64::MAX,
            what: What::Stop,
        });
        lock(&self.ending).wait(deadline)
    }
}

impl MirrorLane {
    /// A file begins; the path is the primary's, below its root.
    pub fn begin(&self, path: &Arc<str>) {
        lock(&self.shared.begun).insert(path.clone(), self.number);
        self.order(What::Begin(path.clone()));
    }

    /// A part of it, as it is written to the primary.
    pub fn write(&self, path: &Arc<str>, offset: u64, bytes: Bytes) {
        let length = bytes.len() as u64;
        if lock(&self.missed).contains(&**path) {
            self.shared.dropped_bytes.fetch_add(length, Ordering::Relaxed);
            return;
        }
        let cost = bytes.len().saturating_add(WRITE_COST);
        let before = self.shared.queued_bytes.fetch_add(cost, Ordering::Relaxed);
        let fits = before.saturating_add(cost) <= self.shared.limit_bytes;
        if fits
            && self.order(What::Write {
                path: path.clone(),
                offset,
                bytes,
            })
        {
            return;
        }
        self.shared.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
        self.shared.dropped_bytes.fetch_add(length, Ordering::Relaxed);
        lock(&self.missed).insert(path.clone());
        self.order(What::Give(path.clone()));
    }

    /// A segment is closed and whole on the primary: so it may become on the mirror. Exactly one of [`MirrorTold::Kept`] and
    /// [`MirrorTold::Missed`] follows, but for a writer that ended.
    pub fn finish(&self, segment: &Segment) {
        let whole = segment.copies.iter().find(|copy| copy.state == CopyState::Whole);
        let Some(primary) = whole else { return };
        let is_missed = lock(&self.missed).remove(primary.path.as_str());
        let sent = !is_missed && self.order(What::Finish(Box::new(segment.clone()), primary.clone()));
        if !sent {
            // The engine may have gone before us.
            let _ = self.shared.told.send(MirrorTold::Missed { segment: segment.id });
        }
    }

    /// Nothing comes of a file on the primary, so nothing shall on the mirror.
    pub fn give_up(&self, path: &str) {
        lock(&self.missed).remove(path);
        self.order(What::Give(path.into()));
    }

    fn order(&self, what: What) -> bool {
        let order = Order {
            lane: self.number,
            what,
        };
        self.orders.send(order).is_ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A second copy that grows.
struct Open {
    volume: Arc<Volume>,
    file: File,
    absolute: PathBuf,
}

/// What the thread owns.
struct Files {
    shared: Arc<Shared>,
    open: HashMap<(u64, Arc<str>), Open>,
}

impl Files {
    fn obey_all(&mut self, orders: &mpsc::Receiver<Order>) {
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
                let cost = bytes.len().saturating_add(WRITE_COST);
                let key = (lane, path);
                if let Some(open) = self.open.get(&key) {
                    let written = self.at_the_disk(|| open.file.write_all_at(&bytes, offset));
                    if let Err(error) = written {
                        let error = StorageError::io("write to", &open.absolute, error);
                        self.give(&key);
                        self.refuse(error);
                    }
                }
                self.shared.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
            }
            What::Finish(segment, primary) => {
                let path = primary.path.clone();
                let told = match self.finish(lane, &segment, primary) {
                    Some(copy) => MirrorTold::Kept {
                        segment: segment.id,
                        copy,
                    },
                    None => MirrorTold::Missed { segment: segment.id },
                };
                lock(&self.shared.begun).remove(path.as_str());
                self.tell(told);
            }
            What::Give(path) => self.give(&(lane, path)),
            What::Leave => {
                let left: Vec<_> = self.open.keys().filter(|(of, _)| *of == lane).cloned().collect();
                left.iter().for_each(|key| self.give(key));
                lock(&self.shared.begun).retain(|_, of| *of != lane);
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
            Err(error) => self.refuse(error),
        }
    }

    /// Gives the copy if it is the same as the primary's and on the disk.
    fn finish(&mut self, lane: u64, segment: &Segment, primary: Copy) -> Option<Copy> {
        let key = (lane, Arc::from(primary.path.as_str()));
        let open = self.open.remove(&key)?;
        let made = self.at_the_disk(|| {
            // What is unmounted meanwhile leaves a directory that is somebody else's.
            open.volume.check_present()?;
            Identity::append(&open.absolute, segment)?;
            make_durable(&open.absolute)
        });
        match made {
            Ok(durable) if Some(durable.sha256) == primary.sha256 && durable.size_bytes == primary.size_bytes => {
                Some(Copy {
                    volume: open.volume.id(),
                    state: CopyState::Whole,
                    ..primary
                })
            }
            Ok(_) => {
                tracing::warn!(path = %open.absolute.display(), "a second copy differs from the first and is made anew");
                self.remove(&key.1, &open);
                None
            }
            Err(error) => {
                self.remove(&key.1, &open);
                // One that is no whole file was torn by a primary that failed, which is told of there.
                if !matches!(error, StorageError::Damaged { .. }) {
                    self.refuse(error);
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
        lock(&self.shared.begun).remove(&key.1);
    }

    fn remove(&self, path: &str, open: &Open) {
        if let Err(error) = self.at_the_disk(|| open.volume.remove(path)) {
            // Whoever copies the segment later writes over what is left of it.
            tracing::debug!(%error, "what there is of a second copy stays for now");
        }
    }

    fn refuse(&self, error: StorageError) {
        self.tell(MirrorTold::Refused(error));
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
