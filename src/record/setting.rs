//! What recording stands on, shared by all cameras.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::model::News;
use crate::pipeline::Catalog;
use crate::runtime::Clock;
use crate::storage::{Syncer, TailWriter, Volume};

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
    /// Brings growing files to the disk each second.
    pub syncer: Arc<Syncer>,
    /// Where news goes.
    pub news: mpsc::UnboundedSender<News>,
    /// No frame for so long is a stall.
    pub stall: Duration,
    /// How long a camera may take to answer.
    pub connect: Duration,
    /// How long packets may be waited for.
    pub latency: Duration,
}
