//! Checking: disk and index against each other, and what a kill or a power cut left behind made whole.
//!
//! ```text
//! rows left open, tail journals, unknown files -> plan -> repair -> News::Closed -> (timeline) -> index
//! ```
//!
//! It runs beside recording, one file at a time, and takes nothing that recording waits for.

mod cases;
mod chain;
mod driver;
mod error;
mod plan;
mod repair;
mod report;
mod source;
mod survey;
mod walk;

pub use chain::{Break, ChainCheck, ChainFinding, ChainReport};
pub use driver::{Check, Mode};
pub use error::CheckError;
pub use report::{Finding, Report};
pub use survey::{Replaced, Survey, open_index};
