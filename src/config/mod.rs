//! The configuration of the box: one TOML file, environment variables and flags over built-in defaults.
//!
//! Everything that one box decides once is here; cameras live in the database. Flags beat `CAMKEEP_SECTION_KEY` variables
//! beat the file beat the defaults, and without any of them the box works. `assets/example.toml` shows every key.

mod error;
mod keys;
mod load;
mod source;
#[cfg(test)]
mod tests;
mod value;

pub use error::ConfigError;
pub use keys::{Clips, Config, Http, Log, Mirror, Pipelines, Record, Refill, Storage};
pub use load::Flags;
pub use source::{Setting, Source};
pub use value::Level;
