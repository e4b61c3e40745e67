//! The command line: one file a subcommand. Everything but `run`, `check`, `verify`, `pipeline` and `mirror restore
//! --offline` asks a running daemon over HTTP.

mod apply;
mod bar;
mod camera;
mod check;
mod client;
mod command;
mod coverage;
#[cfg(feature = "demo-camera")]
mod demo_camera;
#[cfg(feature = "demo-camera")]
mod demo_storage;
mod entry;
mod events;
mod export;
mod failure;
mod fetch;
mod gaps;
mod health;
mod help;
mod hold;
mod lanes;
mod mirror;
mod mirror_restore;
mod pipeline;
mod pipeline_run;
mod pipeline_source;
mod refill;
mod run;
mod schedule;
mod segments;
mod snapshot;
mod status;
mod storage;
mod ticker;
mod timeline;
mod trigger;
mod verify;
mod when;
mod words;

pub use command::command;
pub use entry::run;
