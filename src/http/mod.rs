//! HTTP: the API under `/api/v1`, the recordings under `/media`, the page at `/`.
//!
//! Speaks to engines and `timeline`, never to SQL or GStreamer. Every error becomes one problem document in one place.

mod app;
mod body;
mod cameras;
mod clips;
mod events;
mod exports;
mod footage;
mod guard;
mod health;
mod holds;
mod lines;
mod media;
mod metrics;
mod mirror;
mod paging;
mod patience;
mod problem;
mod query;
mod ranges;
mod reel;
mod refill;
mod router;
mod schedules;
mod serve;
mod snapshot;
mod storage;
mod system;
#[cfg(test)]
mod tests;
mod trial;
mod trigger;
mod waiting;
mod web;
mod wire;

pub use app::{App, Engines};
pub use problem::Problem;
pub use router::router;
pub use serve::serve;
pub use storage::Keeping;
pub use waiting::serve_waiting;
pub use wire::CAMERA_FIELDS;
