//! Everything that speaks GStreamer. What leaves this room are our own types.

mod branch;
mod catalog;
mod connection;
mod debug;
mod decoding;
#[cfg(feature = "demo-camera")]
pub mod demo;
mod discover;
mod error;
mod event;
mod export;
mod gate;
mod launch;
mod line;
mod mend;
mod mend_feed;
mod numbers;
mod property;
mod record;
mod refusal;
mod rtsp;
mod runner;
mod snapshot;
mod source;
mod template;
mod voice;

pub use catalog::Catalog;
pub use debug::{Playing, Told, Watch, draw, play};
pub use decoding::{Patience, Wanted};
pub use discover::{Discovery, discover};
pub use error::PipelineError;
pub use event::PipelineEvent;
pub use export::{Progress, Written, export};
pub use gate::Fate;
pub use launch::{init, package_of, require};
pub use line::{LaunchLine, spread};
pub use mend::{Mended, Mending, Units, decoder_config, mend, opus_caps, sound_caps, video_caps};
pub use property::Property;
pub use record::{Cut, Feed, RecordSpec, Recording, record_filling};
pub use runner::abandoned;
pub use snapshot::{Snapping, snap};
pub use source::source_properties;
pub use template::{Element, Filling, Hole, Template, TemplateError};
pub use voice::log_through_us;
