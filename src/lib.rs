//! camkeep: an edge recorder for IP cameras that knows exactly what it has and what it lost.
//!
//! Nouns below, verbs above. A file imports only from floors below its own; `tests/house.rs` holds this.
//!
//! | floor | rooms |
//! |---|---|
//! | 8 | `main.rs`: argv, command line, exit code |
//! | 7 | `cli`: one file a subcommand |
//! | 6 | `daemon`: what starts in which order, and stops in the reverse |
//! | 5 | `http`: router, wire shapes, errors, one file a resource |
//! | 4 | engines `record`, `mirror`, `refill`, `retain`, `export`, `check`; and `timeline`, where they meet |
//! | 3 | tools `config`, `pipeline`, `index`, `storage`, `archive` |
//! | 2 | [`runtime`]: clock, shutdown, waits, named tasks and threads, logging |
//! | 1 | [`model`]: pure types |

pub mod archive;
pub mod check;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod export;
pub mod http;
pub mod index;
pub mod mirror;
pub mod model;
pub mod pipeline;
pub mod record;
pub mod refill;
pub mod retain;
pub mod runtime;
pub mod storage;
pub mod timeline;
