//! Everything with real media and real sockets: a camera, a recorder, and a referee that decodes what was kept.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::result_large_err
)]

mod anew;
mod check;
mod clock;
mod cuts;
mod daemon_disk;
mod daemon_first;
mod daemon_holes;
mod daemon_kill;
mod daemon_loss;
mod daemon_power;
mod daemon_refuse;
mod daemon_site;
mod daemon_stop;
mod edge;
mod evidence;
mod exports;
mod handover;
mod kit;
mod kit_tests;
mod left;
mod live_edge;
mod loss;
mod many;
mod mirror_branch;
mod mirror_engine;
mod mirror_faults;
mod mirror_reading;
mod mirror_restore;
mod modes;
mod open_files;
mod peer_tests;
mod peers;
mod pipeline_door;
mod recorder;
mod refill;
mod reordered;
mod reordered_sound;
mod small_disks;
mod snapshot;
mod soak;
mod sound;
mod sound_kept;
mod storage_tests;
mod trial;
