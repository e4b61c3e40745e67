//! camkeep: an edge recorder for IP cameras that knows exactly what it has and what it lost.
//!
//! Nouns below, verbs above. A file imports only from floors below its own; `tests/house.rs` holds this.
//!
//! | floor | rooms |
//! |---|---|
//! | 7 | `main.rs`: argv, command line, exit code |
//! | 6 | `cli`: one file a subcommand |
//! | 5 | `daemon`: what starts in which order, and stops in the reverse |
//! | 4 | `http`: router, wire shapes, errors, one file a resource |
//! | 3 | engines `record`, `mend`; and `timeline`, where they meet |
//! | 2 | tools `pipeline`, `index`, `storage`, `runtime`, `config` |
//! | 1 | [`model`]: pure types |

pub mod config;
pub mod index;
pub mod model;
pub mod pipeline;
pub mod record;
pub mod runtime;
pub mod storage;
