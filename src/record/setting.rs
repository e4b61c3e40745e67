//! What recording stands on, shared by all cameras.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::News;
use crate::pipeline::Catalog;
use crate::runtime::{Clock, SegmentTimings};
use crate::storage::{MirrorWriter, Syncer, TailWriter, Volume};

/// Files of which a sync has failed while they grew. The kernel says so once: a later sync that succeeds proves nothing.
#[derive(Debug, Default)]
pub struct Suspects(Mutex<HashSet<PathBuf>>);

impl Suspects {
    /// Remembers a file.
    pub fn add(&self, path: &Path) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.to_owned());
    }

    /// Whether a file was remembered; asked once, when it is closed.
    pub(super) fn take(&self, path: &Path) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path)
    }
}

/// What recording needs from the rest of the house.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The pipelines.
    pub catalog: Arc<Catalog>,
    /// Where segments are written.
    pub volume: Arc<Volume>,
    /// Writes what is too new to be in a segment's file; nothing when that is switched off.
    pub tail: Option<Arc<TailWriter>>,
    /// Writes second copies; nothing on a box without a mirror.
    pub mirror: Option<Arc<MirrorWriter>>,
    /// Brings growing files to the disk each second.
    pub syncer: Arc<Syncer>,
    /// Files whose bytes are in doubt.
    pub suspects: Arc<Suspects>,
    /// How long closing takes.
    pub timings: SegmentTimings,
    /// Where news goes.
    pub news: mpsc::UnboundedSender<News>,
    /// How much of each camera's newest footage is held in memory.
    pub remember: Duration,
    /// No frame for so long is a stall.
    pub stall: Duration,
    /// How long a camera may take to answer.
    pub connect: Duration,
    /// How long packets may be waited for.
    pub latency: Duration,
}

impl Setting {
    /// How much a camera's tail keeps when events need this much of it.
    pub(super) fn tail_keep(&self, memory: Duration) -> Duration {
        self.remember.max(memory)
    }
}
