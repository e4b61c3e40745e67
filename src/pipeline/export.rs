//! Writes a clip that is laid out: pieces of recordings one after another, hashed on the way.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::model::{Hasher, Loss};
use crate::runtime::spawn_thread;

use super::catalog::Catalog;
use super::error::PipelineError;
use super::event::PipelineEvent;
use super::launch::launch;
use super::runner::Runner;
use super::template::Filling;

/// The pipeline's name in the catalogue.
const NAME: &str = "export";
/// How much is read and written at a time.
const STEP: usize = 64 << 10;
/// So many of these steps wait for the hash at most.
const STEPS: usize = 3;
/// How often it is looked whether somebody wants it to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long it may take to begin, and to come down.
const CHANGE: Duration = Duration::from_secs(5);

/// How far an export is, and a way to stop it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    bytes: AtomicU64,
    cancelled: AtomicBool,
}

impl Progress {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// What is being written is not wanted any more.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether somebody cancelled it.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How long the file is.
    pub size_bytes: u64,
    /// SHA-256 of all of it.
    pub sha256: [u8; 32],
}

fn failed(reason: impl std::fmt::Display) -> PipelineError {
    PipelineError::Failed {
        name: NAME.to_owned(),
        reason: reason.to_string(),
    }
}

/// Writes all that a reader gives into `target`, anew. When nothing moves for `patience`, it is given up.
///
/// The file is whole when this succeeds, and not yet synced; whatever else happens, it is the caller's to remove.
pub fn export(
    catalog: &Catalog,
    pieces: impl Read + Send + 'static,
    target: &Path,
    progress: &Progress,
    patience: Duration,
) -> Result<Written, PipelineError> {
    let pipeline = launch(catalog, NAME, &Filling::new())?;
    let element = |name: &str| {
        pipeline
            .by_name(name)
            .ok_or_else(|| failed(format!("no element `{name}`")))
    };
    let location = target.to_str().ok_or_else(|| failed("the path is not UTF-8"))?;
    element("file")?.set_property("location", location);
    let source = element("cuts")?
        .downcast::<gst_app::AppSrc>()
        .map_err(|_| failed("`cuts` is no appsrc"))?;
    let (tell, told) = channel();
    let feed = Feed::new(pieces, progress.clone(), tell.clone()).map_err(failed)?;
    feed.serve(&source);
    let runner = Runner::new(pipeline, move |event| {
        // Nobody listens any more when it is over.
        let _ = tell.send(News::Event(event));
    });
    let begun = runner.reach(gst::State::Playing, CHANGE);
    let end = match begun {
        Ok(()) => wait(&told, target, progress, patience),
        Err(error) => Err(heard(&told, target).unwrap_or(error)),
    };
    let is_down = runner.take_down(CHANGE);
    end.and_then(|written| {
        is_down
            .then_some(written)
            .ok_or_else(|| failed("it did not end in order"))
    })
}

enum News {
    Event(PipelineEvent),
    Fed(Result<Written, PipelineError>),
}

/// What the pipeline already said when it could not even begin.
fn heard(told: &Receiver<News>, target: &Path) -> Option<PipelineError> {
    told.try_iter().find_map(|news| match news {
        News::Event(event) => error_of(event, target),
        News::Fed(_) => None,
    })
}

fn error_of(event: PipelineEvent, target: &Path) -> Option<PipelineError> {
    match event {
        PipelineEvent::Error {
            loss: Loss::VolumeFull, ..
        } => Some(PipelineError::Full {
            path: target.to_owned(),
        }),
        PipelineEvent::Error { message, .. } => Some(failed(message)),
        _ => None,
    }
}

/// It is done when all was fed and the sink has seen the end.
fn wait(
    told: &Receiver<News>,
    target: &Path,
    progress: &Progress,
    patience: Duration,
) -> Result<Written, PipelineError> {
    let (mut fed, mut ended) = (None, false);
    let (mut seen, mut idle) = (progress.bytes(), Duration::ZERO);
    loop {
        if let (Some(written), true) = (fed, ended) {
            return Ok(written);
        }
        if progress.is_cancelled() {
            return Err(PipelineError::Cancelled { name: NAME.to_owned() });
        }
        match told.recv_timeout(LOOK) {
            Ok(News::Event(PipelineEvent::Ended)) => ended = true,
            Ok(News::Event(event)) => {
                if let Some(error) = error_of(event, target) {
                    return Err(error);
                }
            }
            Ok(News::Fed(Ok(written))) => fed = Some(written),
            Ok(News::Fed(Err(error))) => return Err(heard(told, target).unwrap_or(error)),
            Err(RecvTimeoutError::Timeout) => {
                let bytes = progress.bytes();
                idle = if bytes == seen { idle + LOOK } else { Duration::ZERO };
                seen = bytes;
                if idle >= patience {
                    return Err(PipelineError::Deadline {
                        name: NAME.to_owned(),
                        after: patience,
                    });
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Err(failed("it went away")),
        }
    }
}

/// A step of a clip, lent to the pipeline and to the hash; it comes back when both have let go of it.
type Block = Arc<Room>;

/// Room for a step, at the beginning of a page: a processor copies pages to pages several times as fast as it does what lies
/// a few bytes beside them.
struct Room {
    bytes: Vec<u8>,
    from: usize,
}

/// How pages are aligned on every machine that this is built for, or finer.
const PAGE: usize = 4096;

impl Room {
    fn new() -> Self {
        let bytes = vec![0; STEP + PAGE];
        // Where a page begins is a matter of speed only.
        let from = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, from }
    }

    fn whole(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.from..self.from + STEP).unwrap_or_default()
    }

    fn first(&self, count: usize) -> &[u8] {
        self.bytes.get(self.from..self.from + count).unwrap_or_default()
    }
}

/// So many bytes of a block.
type Step = (Block, usize);

/// The first bytes of a block.
struct Lent(Block, usize);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.first(self.1)
    }
}

/// Reads the next step when the source has none, on the thread that writes: what was just read is then still in the cache of
/// the processor that writes it.
struct Feed<R> {
    pieces: R,
    progress: Progress,
    tell: Sender<News>,
    /// Nothing when the end was reached.
    hash: Option<(SyncSender<Step>, JoinHandle<[u8; 32]>)>,
    blocks: Vec<Block>,
    size_bytes: u64,
}

impl<R: Read + Send + 'static> Feed<R> {
    fn new(pieces: R, progress: Progress, tell: Sender<News>) -> io::Result<Self> {
        Ok(Self {
            pieces,
            progress,
            tell,
            hash: Some(begin_hash()?),
            blocks: Vec::with_capacity(STEPS + 2),
            size_bytes: 0,
        })
    }

    fn serve(mut self, source: &gst_app::AppSrc) {
        let need = move |source: &gst_app::AppSrc, _| {
            if self.hash.is_none() {
                return;
            }
            match self.step() {
                Ok(Some(buffer)) => {
                    // Refused only when the pipeline is on its way down.
                    let _ = source.push_buffer(buffer);
                }
                Ok(None) => {
                    self.tell_end();
                    let _ = source.end_of_stream();
                }
                Err(error) => {
                    self.hash = None;
                    // Nobody listens any more when it is over.
                    let _ = self.tell.send(News::Fed(Err(error)));
                }
            }
        };
        source.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(need).build());
    }

    /// The next step, or nothing at the end.
    fn step(&mut self) -> Result<Option<gst::Buffer>, PipelineError> {
        if self.progress.is_cancelled() {
            return Err(PipelineError::Cancelled { name: NAME.to_owned() });
        }
        let mut block = take_block(&mut self.blocks);
        let room = Arc::get_mut(&mut block).ok_or_else(|| failed("a block was lent twice"))?;
        let count = fill(&mut self.pieces, room.whole()).map_err(|error| PipelineError::Unreadable {
            reason: error.to_string(),
        })?;
        if count == 0 {
            return Ok(None);
        }
        self.blocks.push(block.clone());
        let buffer = gst::Buffer::from_slice(Lent(block.clone(), count));
        let sent = self.hash.as_ref().map(|(hash, _)| hash.send((block, count)));
        if !matches!(sent, Some(Ok(()))) {
            return Err(failed("the thread that hashes died"));
        }
        self.size_bytes += count as u64;
        self.progress.0.bytes.store(self.size_bytes, Ordering::Relaxed);
        Ok(Some(buffer))
    }

    fn tell_end(&mut self) {
        let Some((hash, hashing)) = self.hash.take() else {
            return;
        };
        // It ends when nothing more can come.
        drop(hash);
        let hashed = hashing.join().map_err(|_| failed("the thread that hashes died"));
        let written = hashed.map(|sha256| Written {
            size_bytes: self.size_bytes,
            sha256,
        });
        let _ = self.tell.send(News::Fed(written));
    }
}

/// A block that nobody uses any more, or a new one. The hash bounds how many are on their way.
fn take_block(blocks: &mut Vec<Block>) -> Block {
    let free = blocks.iter_mut().position(|block| Arc::get_mut(block).is_some());
    let known = free.map(|at| blocks.swap_remove(at));
    known.unwrap_or_else(|| Arc::new(Room::new()))
}

/// Fills a block as far as there is anything left.
fn fill(pieces: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match pieces.read(block.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Hashes beside reading and writing.
fn begin_hash() -> io::Result<(SyncSender<Step>, JoinHandle<[u8; 32]>)> {
    let (send, receive) = sync_channel::<Step>(STEPS);
    let work = move || {
        let mut hasher = Hasher::new();
        for (block, count) in receive {
            hasher.update(block.first(count));
        }
        hasher.finish().0
    };
    Ok((send, spawn_thread("export-hash", work)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn export_to(target: &Path, pieces: impl Read + Send + 'static) -> Result<Written, PipelineError> {
        export(
            &Catalog::built_in().unwrap(),
            pieces,
            target,
            &Progress::default(),
            PATIENCE,
        )
    }

    #[test]
    fn what_is_read_is_written_and_hashed() {
        let directory = tempfile::tempdir().unwrap();
        for length in [0, 1, STEP - 1, STEP, STEP + 1, 37 * STEP + 5] {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let target = directory.path().join(length.to_string());
            let progress = Progress::default();
            let catalog = Catalog::built_in().unwrap();
            let written = export(&catalog, io::Cursor::new(bytes.clone()), &target, &progress, PATIENCE).unwrap();
            assert_eq!(std::fs::read(&target).unwrap(), bytes);
            let sha256: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
            let size_bytes = length as u64;
            assert_eq!(written, Written { size_bytes, sha256 });
            assert_eq!(progress.bytes(), size_bytes);
        }
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        // A device that is always full, as every Linux has it.
        let error = export_to(Path::new("/dev/full"), io::repeat(7).take(9 << 20)).unwrap_err();
        let path = Path::new("/dev/full").to_owned();
        assert_eq!(error, PipelineError::Full { path });
    }

    #[test]
    fn what_cannot_be_read_or_made_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let torn = io::repeat(7).take(3 << 20).chain(Torn);
        let error = export_to(&directory.path().join("a"), torn).unwrap_err();
        assert!(
            matches!(&error, PipelineError::Unreadable { reason } if reason == "shorter than it was"),
            "{error}"
        );
        let error = export_to(&directory.path().join("none/a"), io::empty()).unwrap_err();
        assert!(matches!(error, PipelineError::Failed { .. }), "{error}");
    }

    #[test]
    fn what_nobody_wants_any_more_ends_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let progress = Progress::default();
        let catalog = Catalog::built_in().unwrap();
        let endless = Cancelling(progress.clone());
        let error = export(&catalog, endless, &directory.path().join("a"), &progress, PATIENCE).unwrap_err();
        assert!(matches!(error, PipelineError::Cancelled { .. }), "{error}");
        assert!(progress.bytes() < 40 * STEP as u64);
    }

    /// A reader that fails.
    struct Torn;

    impl Read for Torn {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "shorter than it was"))
        }
    }

    /// Bytes without an end, of somebody who has seen enough after a while.
    struct Cancelling(Progress);

    impl Read for Cancelling {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.bytes() > 20 * STEP as u64 {
                self.0.cancel();
            }
            buffer.fill(7);
            Ok(buffer.len())
        }
    }
}
