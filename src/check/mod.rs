//! Checking: disk and index against each other, and what a kill or a power cut left behind made whole.
//!
//! ```text
//! rows left open, tail journals, unknown files -> plan -> repair -> News::Closed -> (timeline) -> index
//! ```
//!
//! The mirror is held against the index in the same way, and a primary that was lost is made anew from it.
//!
//! It runs beside recording, one file at a time, and takes nothing that recording waits for.

mod cases;
mod chain;
mod driver;
mod error;
mod hand_over;
mod mirror;
mod plan;
mod recover;
mod repair;
mod report;
mod restore;
mod restore_plan;
mod source;
mod stray;
mod survey;
mod walk;

pub use chain::{Break, ChainCheck, ChainFinding, ChainReport};
pub use driver::{Check, Mode};
pub use error::CheckError;
pub use mirror::{open_mirror, wait_until_written};
pub use recover::{Recovered, newest_on, recover_cameras};
pub use report::{Finding, Report};
pub use restore::{Owed, Restore, Restored, renew_primary, what_is_owed};
pub use survey::{Replaced, Survey, open_index};
