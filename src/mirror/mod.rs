//! The mirror: a second volume with the same recordings.
//!
//! What is recorded is written there at once, beside the first copy (`storage::MirrorWriter`). This room keeps the volume,
//! copies afterwards what it missed, looks whether copies still are what they were, and
//! heals those that are not. Nothing that happens to the mirror is ever waited for by recording.

mod counting;
mod desk;
mod driver;
mod errand;
mod error;
mod keeper;
mod outcome;
mod plan;
mod room;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod tours;
mod watching;
mod work;

pub use driver::{Engine, MakeRoom, Mirror, Opened, Setting};
pub use error::MirrorError;
pub use plan::Limits;
pub use state::Stand;
pub use status::{Status, Tour};
pub use work::Busy;
