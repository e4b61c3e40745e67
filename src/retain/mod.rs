//! Retention: what each volume lets go, so that no disk is ever full, and what is held stays.
//!
//! `plan.rs` says what goes and by which rule, `ages.rs` how old footage is for a clock that may be wrong, `rules.rs` what the
//! rules mean on a disk. One task a volume, primary or mirror, acts on it: the row first, then the file. `purge.rs` removes
//! all footage of a removed camera where a person wants that.

mod ages;
mod desk;
mod driver;
mod expiry;
mod overrides;
mod pass;
mod plan;
mod purge;
mod rules;
mod status;
mod telling;
#[cfg(test)]
mod tests;

pub use driver::{Hears, Retention, Setting, Word};
pub use overrides::Overrides;
pub use purge::{Purged, Purger, RetainError};
pub use rules::Rules;
pub use status::Status;
