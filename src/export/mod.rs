//! Makes what people carry away: stills of moments, and clips, exact spans of footage as one file.
//!
//! What a clip holds is decided in `plan.rs` from tables of frames, and is pure. Its bytes are *laid out* as a
//! [`crate::storage::Reel`] and never muxed again: whoever streams a clip, waits for it or has it stored gets the same
//! bytes. What makes each of them checkable is its signed manifest.

mod captions;
mod cut;
mod driver;
mod error;
#[cfg(test)]
mod fixture;
mod footage;
mod frame;
mod gathering;
mod heading;
mod laying;
mod ledger;
mod live;
mod look;
mod making;
mod manifest;
mod naming;
mod opinion;
mod plan;
mod queue;
mod recorded;
mod recovering;
mod recovery;
mod retake;
mod sets;
mod sighting;
mod snapshot;
mod sound;
mod spool;
mod stop;
mod strip;
mod table;
mod turn;
mod verify;
mod writing;

pub use cut::EncodedAnew;
pub use driver::{Exporter, Means, StreamHold, Streamed};
pub use error::ExportError;
pub use footage::Footage;
pub use manifest::{
    CameraNamed, ClipFile, ClipManifest, KeyNamed, MANIFEST_FORMAT, Retaken, Sealed, Shown, Source, Stretch,
    manifest_path, seal, signature_path,
};
pub use opinion::second_opinion;
pub use plan::{Extras, Part, plan, plan_anew, the_one};
pub use retake::{Anew, Retaker};
pub use snapshot::{Snapshot, SnapshotError, SnapshotWish, Snapshots};
pub use turn::{Turn, Turns};
pub use verify::{About, Checked, Outcome, Question, Verdict, verify};
