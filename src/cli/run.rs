//! `camkeep run`: the daemon, in the foreground.

use super::command::RunArgs;
use super::failure::Failure;
use crate::config::{Config, Flags};
use crate::daemon;
use crate::model::Fault;
use crate::runtime::keep_one_heap;

/// Threads that serve requests and watch cameras. Media flows on GStreamer's own.
const WORKERS: usize = 2;

/// Runs until somebody asks it to stop.
pub(super) fn run(args: RunArgs) -> Result<(), Failure> {
    let flags = Flags {
        config: args.config,
        data: args.data,
        mirror: args.mirror,
        listen: args.listen,
    };
    let config = Config::load(&flags, std::env::vars_os()).map_err(Failure::configuration)?;
    keep_one_heap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("camkeep")
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(daemon::run(config));
    // A thread that waits for a disk that hangs must not keep us from ending.
    runtime.shutdown_background();
    ended.map_err(|error| match error.fault() {
        Fault::Invalid => Failure::configuration(error),
        _ => Failure::other(error),
    })
}
