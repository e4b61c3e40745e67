//! The timeline: where what engines tell becomes what is known, and what is known becomes what people see.

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod history;
mod ingest;
mod recovery;
mod untold;
mod view;
mod whole;

pub use ingest::{ingest, ingest_timed};
pub use recovery::{Divide, FoundGaps, recover_gaps};
pub use view::{Calendar, Coverage, Lane, Row, Timeline, calendar, coverage, day_span, gaps, lane, timeline};
pub use whole::{Missing, Why};
