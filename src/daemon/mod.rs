//! What starts in which order, and stops in the reverse.
//!
//! ```text
//!  logging, GStreamer          can we work at all?
//!  lock                        are we alone on this data?
//!  key, index, volume          what is known, and where it lies; what was left open is noted
//!  listener                    can we be reached? (before anything is recorded, so that a mistyped port costs nothing)
//!  ingest                      the one door in
//!  recorder                    every camera; footage flows from here on
//!  mirror                      second copies; nothing above waits for its disk
//!  check                       what a kill left behind is mended, beside everything else
//!  http                        people
//! ```

mod error;
#[cfg(test)]
mod history;
mod house;
mod mending;
mod order;
mod second;
mod settings;
mod unsynced;
mod watch;

pub use error::DaemonError;
pub use order::run;
