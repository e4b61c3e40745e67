//! The tail journal: a camera's newest units, on the disk before the muxer lets go of them.
//!
//! splitmuxsink hands whole groups of pictures to the muxer, so that a kill or a power cut takes up to one of them
//! from the segment's file. The journal has each unit as soon as it comes: one record each, one `write` each. When the
//! segment is durable its journal is removed; one that is found at the start holds what the segment's file lacks.

mod reader;
mod record;
mod writer;

pub use reader::{Entry, JournalContents, JournalReader, Units, read_journal};
pub use record::{Anchor, JournalHeader, TakesOver};
pub use writer::{JournalWriter, shorten_journal};
