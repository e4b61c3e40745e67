//! Gaps come back from the cameras' own storage: what trades call ANR.
//!
//! When a camera is there again, what lacks of it is asked of the camera itself, received once more, placed by the camera's
//! own times, cut to the frame, and kept as segments like any other, which say where they came from. A gap is told as filled
//! only where there is footage.

mod cutting;
mod driver;
mod error;
mod filling;
mod means;
mod neighbours;
mod ordering;
mod pace;
mod placing;
mod plan;
mod receiving;
mod spool;
#[cfg(test)]
mod tests;
mod writing;

pub use driver::{Refiller, Running};
pub use error::RefillError;
pub use means::Needs;
pub use ordering::LONGEST_ORDER;
