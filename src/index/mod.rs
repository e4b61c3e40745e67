//! The index: what is known of cameras, segments, copies, gaps and events, in one SQLite file.
//!
//! The only room with SQL. Many read at once, each on a connection of a small pool and each from one unmoving picture of
//! the file; one thread writes, in the order of asking, and answers only when what it wrote is safe on the disk.

mod ask;
mod backup;
mod cameras;
mod chain;
mod clips;
mod columns;
mod copies;
mod doubled;
mod error;
mod events;
mod exports;
#[cfg(test)]
mod fixture;
mod gaps;
mod handle;
mod holds;
mod holes;
mod locks;
mod mirror;
mod open;
mod ranges;
mod reader;
mod recovery;
mod removed;
mod rests;
mod retention;
mod schedules;
mod segments;
mod stretches;
#[cfg(test)]
mod tampering;
mod volumes;
mod writer;

pub use backup::backup_path;
pub use chain::{Chained, ChainedFile, KnownKey, Removal};
pub use doubled::Doubled;
pub use error::IndexError;
pub use events::EventFilter;
pub use gaps::GapFilter;
pub use handle::Index;
pub use holds::Standing;
pub use mirror::Holding;
pub use reader::Reader;
pub use removed::{Footage, Freed};
pub use retention::{Gone, LetGo, Lettable, Recorded};
pub use volumes::KnownVolume;
pub use writer::Writer;
