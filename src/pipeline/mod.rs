//! Everything that speaks GStreamer. What leaves this room are our own types.

mod branch;
mod catalog;
#[cfg(feature = "demo-camera")]
pub mod demo;
mod error;
mod event;
mod launch;
mod mend;
mod mend_feed;
mod record;
mod rtsp;
mod runner;
mod source;
mod template;

pub use catalog::Catalog;
pub use error::PipelineError;
pub use event::PipelineEvent;
pub use launch::{init, package_of, require};
pub use mend::{Mended, Mending, Units, mend, sound_caps, video_caps};
pub use record::{Cut, Feed, RecordSpec, Recording, record_filling};
pub use runner::abandoned;
pub use template::{Element, Filling, Hole, Template, TemplateError};
