//! `camkeep mirror`: the second volume.

use clap::Subcommand;

use super::failure::Failure;
use super::mirror_restore::{RestoreArgs, restore_offline};

#[derive(Debug, Subcommand)]
pub(super) enum MirrorCommand {
    /// Bring recordings back from the mirror
    Restore(RestoreArgs),
}

/// Does it.
pub(super) fn mirror(command: &MirrorCommand) -> Result<(), Failure> {
    match command {
        MirrorCommand::Restore(args) if args.offline => restore_offline(args),
        MirrorCommand::Restore(_) => Err(Failure::usage(
            "give --offline, with camkeep stopped: a primary is made whole, or anew, from the mirror",
        )),
    }
}
