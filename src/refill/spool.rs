//! What a replay brings, as it comes: bytes go to a file of their own, and what is known of each frame stays in memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{Codec, Loss, Timestamp, TrackCaps, VideoFormat};
use crate::pipeline::{PipelineEvent, Replayed, ReplayedUnit};
use crate::runtime::{Clock, Instant};

use super::pace::Pace;
use super::placing::Frame;

/// Where files lie that are being filled, below the data directory.
pub(super) const DIRECTORY: &str = "refill";
/// More frames than four hours at 120 a second.
const MOST_FRAMES: usize = 1_800_000;
/// More kinds of pictures than a camera has.
const MOST_LOOKS: usize = 64;

/// How pictures are to be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    pub(super) format: VideoFormat,
    pub(super) caps: String,
}

/// Why no more comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The camera is at the end of what it plays.
    Ended,
    /// The pictures are in another codec than was believed.
    OtherCodec(Codec),
    /// The camera has no hand free.
    Busy,
    /// It went wrong.
    Trouble(Loss, String),
    /// This box cannot keep more.
    Full(String),
}

/// How far a replay is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Progress {
    /// Frames so far.
    pub(super) frames: usize,
    /// How long ago the last came, or the replay was begun.
    pub(super) idle: Duration,
    /// When the last was taken by the camera's clock, where it told.
    pub(super) taken: Option<Timestamp>,
    /// From the first to the last on the stream's own scale.
    pub(super) length: Duration,
    /// Whether the camera said that nothing follows the last.
    pub(super) ends: bool,
    /// Why no more comes.
    pub(super) ending: Option<Ending>,
}

/// What came, once it is all there.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) frames: Vec<Frame>,
    pub(super) looks: Vec<Look>,
    /// Whether the camera said that nothing follows the last frame.
    pub(super) ends: bool,
}

/// A file that fills. It is removed with this, whatever happens.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    pace: Pace,
    heard: AtomicU64,
    /// Since when the thread that brings frames waits for the disk.
    is_writing: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: BufWriter<File>,
    length: u64,
    frames: Vec<Frame>,
    looks: Vec<Look>,
    lost: u64,
    ends: bool,
    ending: Option<Ending>,
}

impl Spool {
    /// Begins a file that nobody else knows.
    pub(super) fn begin(data: &Path, name: &str, pace: Pace, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let directory = data.join(DIRECTORY);
        fs::create_dir_all(&directory)?;
        let path = directory.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&path)?;
        Ok(Self {
            path,
            heard: AtomicU64::new(clock.instant().0),
            clock,
            pace,
            is_writing: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                file: BufWriter::with_capacity(256 * 1024, file),
                length: 0,
                frames: Vec::new(),
                looks: Vec::new(),
                lost: 0,
                ends: false,
                ending: None,
            }),
        })
    }

    pub(super) fn progress(&self) -> Progress {
        let heard = Instant(self.heard.load(Ordering::Relaxed));
        let inner = self.lock();
        let (first, last) = (inner.frames.first(), inner.frames.last());
        let length = last.map_or(0, |last| last.pts) - first.map_or(0, |first| first.pts);
        Progress {
            frames: inner.frames.len(),
            idle: self.clock.instant().since(heard),
            taken: last.and_then(|last| last.taken).map(|(taken, _)| taken),
            length: Duration::from_nanos(u64::try_from(length).unwrap_or(0)),
            ends: inner.ends,
            ending: inner.ending.clone(),
        }
    }

    /// What came so far, with all bytes in the file. To be called when no more comes.
    pub(super) fn take(&self) -> io::Result<Came> {
        let mut inner = self.lock();
        inner.file.flush()?;
        Ok(Came {
            frames: std::mem::take(&mut inner.frames),
            looks: std::mem::take(&mut inner.looks),
            ends: inner.ends,
        })
    }

    /// Where the bytes are, for as long as this is kept.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn heard(&self) {
        self.heard.store(self.clock.instant().0, Ordering::Relaxed);
    }

    /// What comes first is why it ended; the rest follows from it.
    fn end(&self, ending: Ending) {
        self.lock().ending.get_or_insert(ending);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a file that was filled stays until the next start");
        }
    }
}

impl Inner {
    fn add(&mut self, replayed: &ReplayedUnit) -> io::Result<()> {
        let unit = &replayed.unit;
        self.file.write_all(&unit.payload)?;
        let size = u32::try_from(unit.payload.len()).unwrap_or(u32::MAX);
        self.frames.push(Frame {
            pts: unit.pts,
            taken: replayed.taken,
            keyframe: unit.keyframe,
            lost: std::mem::take(&mut self.lost),
            look: self.looks.len().saturating_sub(1),
            size,
            offset: self.length,
            crc: crc32fast::hash(&unit.payload),
        });
        self.length += u64::from(size);
        self.ends = replayed.ends;
        Ok(())
    }
}

impl Replayed for Spool {
    fn received(&self, bytes: u64) {
        self.pace.spend(bytes);
    }

    fn has_room(&self) -> bool {
        let room = self.pace.has_room() && !self.is_writing.load(Ordering::Relaxed);
        if !room {
            // It is this box that waits, and not the camera.
            self.heard();
        }
        room
    }

    fn lost(&self, packets: u64) {
        self.lock().lost += packets;
    }

    fn format(&self, format: VideoFormat, caps: TrackCaps) {
        let mut inner = self.lock();
        let look = Look {
            format,
            caps: caps.video,
        };
        if inner.looks.last() != Some(&look) && inner.looks.len() < MOST_LOOKS {
            inner.looks.push(look);
        }
    }

    fn unit(&self, unit: ReplayedUnit) {
        self.heard();
        let mut inner = self.lock();
        if inner.ending.is_some() || inner.looks.is_empty() {
            return;
        }
        self.is_writing.store(true, Ordering::Relaxed);
        let added = inner.add(&unit);
        self.is_writing.store(false, Ordering::Relaxed);
        let ending = match added {
            Err(error) => Some(Ending::Full(format!(
                "what comes cannot be kept at {}: {error}",
                self.path.display()
            ))),
            Ok(()) if inner.frames.len() >= MOST_FRAMES => Some(Ending::Ended),
            Ok(()) => None,
        };
        inner.ending = inner.ending.take().or(ending);
    }

    fn other_codec(&self, codec: Codec) {
        self.end(Ending::OtherCodec(codec));
    }

    fn busy(&self) {
        self.end(Ending::Busy);
    }

    fn event(&self, event: PipelineEvent) {
        match event {
            PipelineEvent::Ended => self.end(Ending::Ended),
            PipelineEvent::Error { loss, message, .. } => self.end(Ending::Trouble(loss, message)),
            _ => {}
        }
    }
}

/// Removes what an earlier process left in the middle of filling.
pub(super) fn sweep(data: &Path) {
    let Ok(entries) = fs::read_dir(data.join(DIRECTORY)) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "part")
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "a file that was being filled stays");
        }
    }
}
