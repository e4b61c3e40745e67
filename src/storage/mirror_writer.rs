//! The thread that writes second copies while the first ones are written.
//!
//! ```text
//! muxer --bytes--+--> filesink (primary)
//!                +--> [queue, bounded by bytes] --> mirror-write --> <mirror>/<the same path>
//! ```
//!
//! Whoever writes the primary never waits here, whatever the mirror's disk does: what no longer fits makes the *file* a miss,
//! and a missed file is copied later from the primary. A copy counts only when it is synced, read back, and has the bytes of
//! the primary, or its hash.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use super::ending::Ending;
use super::error::StorageError;
use super::mirror_files::Files;
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

pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limit_bytes: usize,
    pub(super) queued_bytes: AtomicUsize,
    pub(super) dropped_bytes: AtomicU64,
    /// Since when the thread is inside a call of the disk, in nanoseconds; 0 while it is not.
    pub(super) busy_since: AtomicU64,
    /// Where new files go.
    pub(super) volume: Mutex<Option<Arc<Volume>>>,
    /// Files that were begun and of which it is not settled yet what becomes of them, with their lanes.
    pub(super) unsettled: Mutex<HashMap<Arc<str>, u64>>,
    /// Files of which something did not fit.
    pub(super) overflowed: AtomicU64,
    pub(super) told: UnboundedSender<MirrorTold>,
}

/// A run's way to the mirror. Clones share it; none of its methods waits.
#[derive(Clone)]
pub struct MirrorLane {
    number: u64,
    shared: Arc<Shared>,
    /// Files that were begun, and whether something of them is missing already.
    begun: Arc<Mutex<HashMap<Arc<str>, bool>>>,
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

pub(super) struct Order {
    pub(super) lane: u64,
    pub(super) what: What,
}

/// A segment that is whole on the primary, its copy there, and the file.
pub(super) struct Finished {
    pub(super) segment: Segment,
    pub(super) primary: Copy,
    pub(super) file: PathBuf,
}

pub(super) enum What {
    Begin(Arc<str>),
    Write { path: Arc<str>, offset: u64, bytes: Bytes },
    Finish(Box<Finished>),
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
            unsettled: Mutex::default(),
            overflowed: AtomicU64::new(0),
            told,
        });
        let (orders, received) = mpsc::channel();
        let mut files = Files::new(Arc::clone(&shared));
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
        lock(&self.shared.unsettled).contains_key(path)
    }

    /// How many files are missed because the disk did not keep up, since the start.
    pub fn overflowed_files(&self) -> u64 {
        self.shared.overflowed.load(Ordering::Relaxed)
    }

    /// A run's lane.
    pub fn lane(&self) -> MirrorLane {
        let number = self.lanes.fetch_add(1, Ordering::Relaxed);
        let orders = self.orders.clone();
        MirrorLane {
            number,
            shared: Arc::clone(&self.shared),
            begun: Arc::default(),
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
        let is_there = lock(&self.shared.volume).is_some();
        if is_there {
            lock(&self.shared.unsettled).insert(path.clone(), self.number);
        }
        let is_missed = !is_there || !self.order(What::Begin(path.clone()));
        lock(&self.begun).insert(path.clone(), is_missed);
    }

    /// A part of it, as it is written to the primary.
    pub fn write(&self, path: &Arc<str>, offset: u64, bytes: Bytes) {
        let length = bytes.len() as u64;
        let mut begun = lock(&self.begun);
        let Some(is_missed) = begun.get_mut(path) else { return };
        if *is_missed {
            self.shared.dropped_bytes.fetch_add(length, Ordering::Relaxed);
            return;
        }
        let cost = write_cost(&bytes);
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
        *is_missed = true;
        self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
        drop(begun);
        self.order(What::Give(path.clone()));
    }

    /// A segment is closed and whole on the primary, in this file: so it may become on the mirror. If its file was begun, exactly one of
    /// [`MirrorTold::Kept`] and [`MirrorTold::Missed`] follows, but for a writer that has ended.
    pub fn finish(&self, segment: &Segment, file: &Path) {
        let whole = segment.copies.iter().find(|copy| copy.state == CopyState::Whole);
        let Some(primary) = whole else { return };
        let Some(is_missed) = lock(&self.begun).remove(primary.path.as_str()) else {
            return;
        };
        let finished = Finished {
            segment: segment.clone(),
            primary: primary.clone(),
            file: file.to_owned(),
        };
        let sent = !is_missed && self.order(What::Finish(Box::new(finished)));
        if !sent {
            // The engine may have gone before us.
            let _ = self.shared.told.send(MirrorTold::Missed { segment: segment.id });
        }
    }

    /// Nothing comes of a file on the primary, so nothing shall on the mirror.
    pub fn give_up(&self, path: &str) {
        if lock(&self.begun).remove(path).is_some() {
            self.order(What::Give(path.into()));
        }
    }

    fn order(&self, what: What) -> bool {
        let order = Order {
            lane: self.number,
            what,
        };
        self.orders.send(order).is_ok()
    }
}

/// How much a write takes of the queue.
pub(super) fn write_cost(bytes: &Bytes) -> usize {
    bytes.len().saturating_add(WRITE_COST)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Span, Timestamp, VolumeRole, fixture};
    use crate::runtime::SystemClock;
    use crate::storage::Volume;
    use crate::storage::{Identity, make_durable, measure};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// The least that is an MP4 file by its boxes.
    fn movie() -> Vec<u8> {
        let mut bytes = b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x01".to_vec();
        bytes.extend(100u32.to_be_bytes());
        bytes.extend(b"mdat");
        bytes.extend((0..92).collect::<Vec<u8>>());
        bytes
    }

    struct Desk {
        room: tempfile::TempDir,
        primary: Volume,
        mirror: Arc<Volume>,
        writer: MirrorWriter,
        hears: UnboundedReceiver<MirrorTold>,
    }

    fn desk(limit_bytes: usize) -> Desk {
        let room = tempfile::tempdir().unwrap();
        let volume = |name: &str, role| Volume::open(&room.path().join(name), role, Timestamp::EPOCH).unwrap();
        let (tell, hears) = unbounded_channel();
        let writer = MirrorWriter::start(limit_bytes, SystemClock::shared(), tell).unwrap();
        let mirror = Arc::new(volume("mirror", VolumeRole::Mirror));
        writer.use_volume(Some(mirror.clone()));
        Desk {
            primary: volume("primary", VolumeRole::Primary),
            mirror,
            writer,
            hears,
            room,
        }
    }

    impl Desk {
        /// A segment whose file is closed and whole on the primary, and what was written to it before it was labelled.
        fn segment(&self, number: u32) -> (Segment, Arc<str>, Vec<u8>) {
            let mut segment = fixture::segment(
                u128::from(number),
                Span::new(Timestamp::EPOCH, Timestamp::from_seconds(1)),
            );
            let path = format!("yard/2026-11-20/20261120_10300{number}.125Z_00c0ffee_{number:06}.mp4");
            let absolute = self.primary.create_new(&path).unwrap();
            let bytes = movie();
            std::fs::write(&absolute, &bytes).unwrap();
            Identity::append(&absolute, &segment).unwrap();
            let durable = make_durable(&absolute).unwrap();
            segment.copies = vec![Copy {
                volume: self.primary.id(),
                path: path.clone(),
                size_bytes: durable.size_bytes,
                sha256: Some(durable.sha256),
                state: CopyState::Whole,
            }];
            (segment, path.into(), bytes)
        }

        fn finish(&self, lane: &MirrorLane, segment: &Segment) {
            lane.finish(segment, &self.primary.absolute(&segment.copies[0].path));
        }

        fn end(mut self) -> (Vec<MirrorTold>, Arc<Volume>, tempfile::TempDir) {
            assert!(self.writer.close(PATIENCE));
            assert_eq!(self.writer.queued_bytes(), 0);
            let told = std::iter::from_fn(|| self.hears.try_recv().ok()).collect();
            (told, self.mirror, self.room)
        }
    }

    /// As a muxer does: in pieces, and the size of a box at last.
    fn write_in_pieces(lane: &MirrorLane, path: &Arc<str>, bytes: &[u8]) {
        let mut first = bytes[..8].to_vec();
        first[..4].copy_from_slice(&[0; 4]);
        lane.write(path, 0, first.into());
        for (n, piece) in bytes[8..].chunks(7).enumerate() {
            lane.write(path, 8 + 7 * n as u64, piece.to_vec().into());
        }
        lane.write(path, 0, bytes[..4].to_vec().into());
    }

    #[test]
    fn what_is_written_in_pieces_is_kept_when_it_has_the_primarys_hash() {
        let desk = desk(MirrorWriter::LIMIT_BYTES);
        let (segment, path, bytes) = desk.segment(1);
        let lane = desk.writer.lane();
        lane.begin(&path);
        write_in_pieces(&lane, &path, &bytes);
        desk.finish(&lane, &segment);
        let (told, mirror, _room) = desk.end();
        let [MirrorTold::Kept { segment: id, copy }] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(
            (*id, copy.volume, copy.sha256),
            (segment.id, mirror.id(), segment.copies[0].sha256)
        );
        assert_eq!(Some(measure(&mirror.absolute(&path)).unwrap().sha256), copy.sha256);
    }

    #[test]
    fn a_copy_that_differs_is_removed_and_is_a_miss() {
        let desk = desk(MirrorWriter::LIMIT_BYTES);
        let (segment, path, mut bytes) = desk.segment(1);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let lane = desk.writer.lane();
        lane.begin(&path);
        write_in_pieces(&lane, &path, &bytes);
        desk.finish(&lane, &segment);
        let (told, mirror, _room) = desk.end();
        assert!(
            matches!(&told[..], [MirrorTold::Missed { segment: id }] if *id == segment.id),
            "{told:?}"
        );
        assert!(!mirror.absolute(&path).exists());
    }

    #[test]
    fn what_does_not_fit_is_a_miss_as_a_whole_and_the_next_file_is_not() {
        let desk = desk(2000);
        let (first, path, bytes) = desk.segment(1);
        let (second, next, _) = desk.segment(2);
        let lane = desk.writer.lane();
        lane.begin(&path);
        lane.write(&path, 0, vec![0; 4000].into());
        assert_eq!((desk.writer.dropped_bytes(), desk.writer.overflowed_files()), (4000, 1));
        lane.write(&path, 4000, vec![0; 10].into());
        assert_eq!(desk.writer.dropped_bytes(), 4010, "the rest of it is not even queued");
        desk.finish(&lane, &first);
        lane.begin(&next);
        lane.write(&next, 0, bytes.into());
        desk.finish(&lane, &second);
        let (told, mirror, _room) = desk.end();
        assert!(
            matches!(&told[..], [MirrorTold::Missed { segment: missed }, MirrorTold::Kept { segment: kept, .. }]
                if (*missed, *kept) == (first.id, second.id)),
            "{told:?}"
        );
        assert!(!mirror.absolute(&path).exists() && mirror.absolute(&next).exists());
    }

    #[test]
    fn what_was_never_begun_is_not_told_of_and_what_is_left_open_is_removed() {
        let desk = desk(MirrorWriter::LIMIT_BYTES);
        let (unbegun, ..) = desk.segment(1);
        let (_, path, bytes) = desk.segment(2);
        let lane = desk.writer.lane();
        desk.finish(&lane, &unbegun);
        lane.begin(&path);
        lane.write(&path, 0, bytes.into());
        drop(lane);
        let (told, mirror, _room) = desk.end();
        assert!(told.is_empty(), "{told:?}");
        assert!(!mirror.absolute(&path).exists());
    }

    #[test]
    fn nothing_is_written_over_and_a_file_that_is_there_is_a_miss() {
        let desk = desk(MirrorWriter::LIMIT_BYTES);
        let (segment, path, bytes) = desk.segment(1);
        let there = desk.mirror.create_new(&path).unwrap();
        std::fs::write(&there, b"somebody's").unwrap();
        let lane = desk.writer.lane();
        lane.begin(&path);
        write_in_pieces(&lane, &path, &bytes);
        desk.finish(&lane, &segment);
        let (told, _mirror, _room) = desk.end();
        assert!(matches!(&told[..], [MirrorTold::Missed { .. }]), "{told:?}");
    }

    #[test]
    fn a_mirror_that_is_unmounted_gets_nothing_and_says_so() {
        let desk = desk(MirrorWriter::LIMIT_BYTES);
        let (segment, path, bytes) = desk.segment(1);
        let root = desk.mirror.root().to_owned();
        std::fs::rename(&root, root.with_extension("unplugged")).unwrap();
        std::fs::create_dir(&root).unwrap();
        let lane = desk.writer.lane();
        lane.begin(&path);
        write_in_pieces(&lane, &path, &bytes);
        desk.finish(&lane, &segment);
        let (told, _mirror, _room) = desk.end();
        assert!(
            matches!(
                &told[..],
                [
                    MirrorTold::Refused(StorageError::VolumeLost { .. }),
                    MirrorTold::Missed { .. }
                ]
            ),
            "{told:?}"
        );
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    }
}
