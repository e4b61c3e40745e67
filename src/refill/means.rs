//! What refilling stands on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::pace::Pace;
use super::plan::Rules;
use crate::archive::Surroundings;
use crate::config::Refill;
use crate::index::Index;
use crate::model::{Edges, News};
use crate::pipeline::Catalog;
use crate::runtime::Clock;
use crate::storage::Volume;

/// What refilling needs from the rest of the house.
#[derive(Debug, Clone)]
pub struct Needs {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The pipelines.
    pub catalog: Arc<Catalog>,
    /// What is known.
    pub index: Index,
    /// Where segments are written.
    pub volume: Arc<Volume>,
    /// The data directory, for what is being received.
    pub data: PathBuf,
    /// What memory has of files that grow.
    pub edges: Arc<dyn Edges>,
    /// Where news goes.
    pub news: mpsc::UnboundedSender<News>,
    /// What archives need.
    pub surroundings: Surroundings,
    /// How long a camera may take to answer.
    pub connect: Duration,
    /// How long packets may be waited for.
    pub latency: Duration,
    /// What the configuration says.
    pub config: Refill,
}

/// The same as the tries use it.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) index: Index,
    pub(super) volume: Arc<Volume>,
    pub(super) data: PathBuf,
    pub(super) edges: Arc<dyn Edges>,
    pub(super) news: mpsc::UnboundedSender<News>,
    pub(super) surroundings: Surroundings,
    pub(super) connect: Duration,
    pub(super) latency: Duration,
    pub(super) rules: Rules,
    pub(super) pace: Pace,
}

/// What recording needs in the next minutes is not taken from it: with less room than this nothing is fetched.
const ROOM: u64 = 1 << 30;

impl Means {
    /// Whether the volume has room for more than what is recorded.
    pub(super) fn has_room(&self) -> bool {
        self.volume
            .free_space()
            .is_ok_and(|space| space.available_bytes >= ROOM)
    }

    pub(super) fn new(needs: Needs) -> Self {
        let config = &needs.config;
        Self {
            rules: Rules {
                max_age: config.max_gap,
                attempts: u32::try_from(config.attempts).unwrap_or(u32::MAX),
                at_once: usize::try_from(config.cameras_at_once).unwrap_or(usize::MAX),
            },
            pace: Pace::new(config.mb_per_second.saturating_mul(1_000_000), needs.clock.clone()),
            clock: needs.clock,
            catalog: needs.catalog,
            index: needs.index,
            volume: needs.volume,
            data: needs.data,
            edges: needs.edges,
            news: needs.news,
            surroundings: needs.surroundings,
            connect: needs.connect,
            latency: needs.latency,
        }
    }
}
