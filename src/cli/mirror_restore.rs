//! `camkeep mirror restore --offline`: a primary volume made whole, or anew, from the mirror.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::check::{
    Check, Mode, Owed, Report, Restore, Restored, open_index, open_mirror, recover_cameras, renew_primary, what_is_owed,
};
use crate::config::{Config, Flags};
use crate::index::Index;
use crate::model::{Seal, VolumeId, VolumeRole, counted};
use crate::pipeline::Catalog;
use crate::runtime::{Clock, Shutdown, SystemClock};
use crate::storage::{DaemonLock, SealKey, StorageError, Volume};

use super::camera::say_json;
use super::check::{tell_of_cameras, with_ingest};
use super::entry::say;
use super::failure::Failure;
use super::ticker::Ticker;
use super::words::bytes;

/// Stays free on the primary.
const ROOM: u64 = 256 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "A running camkeep restores what is missing or damaged on the primary volume that it records to. With --offline camkeep
has to be stopped. The primary volume lies at DIR/recordings; when its disk died, mount an empty
one there: it becomes the new primary, and everything that the mirror has is copied to it, hashed, and read back. It
goes on where it was when it is begun again. When the index went with the disk, it is made anew from the mirror's files
first; cameras come back with their settings, which lie on the mirror too, and their passwords need the former secret.key.
The exit code is 1 when something could not be restored.

Examples:
  camkeep mirror restore --offline --data /var/lib/camkeep --mirror /mnt/mirror --dry-run
  camkeep mirror restore --offline --data /var/lib/camkeep --mirror /mnt/mirror"
)]
pub(super) struct RestoreArgs {
    /// Do it here and now, with camkeep stopped
    #[arg(long)]
    pub(super) offline: bool,
    /// Only say what would be done
    #[arg(long, requires = "offline")]
    dry_run: bool,
    /// The data directory
    #[arg(long, value_name = "DIR", requires = "offline")]
    data: Option<PathBuf>,
    /// Where the mirror lies
    #[arg(long, value_name = "DIR", requires = "offline")]
    mirror: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "FILE", requires = "offline")]
    config: Option<PathBuf>,
    /// Print the outcome as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What is worked on.
struct Place {
    index: Index,
    mirror: Volume,
    data: PathBuf,
    clock: Arc<dyn Clock>,
    catalog: Arc<Catalog>,
}

/// Does it.
pub(super) fn restore_offline(args: &RestoreArgs) -> Result<(), Failure> {
    let flags = Flags {
        config: args.config.clone(),
        data: args.data.clone(),
        mirror: args.mirror.clone(),
        ..Flags::default()
    };
    let config = Config::load(&flags, std::env::vars_os()).map_err(Failure::configuration)?;
    let data = config.storage.data.clone();
    let Some(root) = config.storage.mirror.clone() else {
        return Err(Failure::usage(
            "there is no mirror to restore from; name it with --mirror DIR",
        ));
    };
    if !data.is_dir() {
        let data = data.display();
        return Err(Failure::other(format!(
            "{data} is not there; name the data directory of camkeep with --data, or make it, when it went with the disk"
        )));
    }
    let _lock = DaemonLock::take(&data).map_err(|error| match error {
        StorageError::AlreadyRunning { .. } => Failure::other(format!(
            "{error}. A running camkeep restores by `camkeep mirror restore`"
        )),
        error => Failure::other(error),
    })?;
    let catalog = match &config.pipelines.directory {
        Some(directory) => Catalog::with_overrides(directory).map_err(Failure::configuration)?,
        None => Catalog::built_in().map_err(Failure::other)?,
    };
    if args.dry_run {
        return look(&data, &root, args.json);
    }
    let place = open(data, &root, Arc::new(catalog))?;
    let adopted = adopt(&place)?;
    let recordings = place.data.join("recordings");
    let (primary, lost) =
        renew_primary(&place.index, &recordings, place.clock.as_ref(), false).map_err(Failure::other)?;
    let primary = primary.ok_or_else(|| Failure::other("no primary volume could be made"))?;
    let owed = what_is_owed(&place.index, &place.mirror, Some(&primary), &[]).map_err(Failure::other)?;
    if owed.files == 0 && owed.beyond == 0 && lost.is_empty() && adopted.indexed == 0 {
        return Err(Failure::other(format!(
            "{} is the volume that was there before, and nothing is missing on it",
            recordings.display()
        )));
    }
    check_room(&primary, owed)?;
    let restored = run(&place, &primary, args.json)?;
    place.index.close();
    tell(args.json, &restored, &lost, &adopted)
}

fn open(data: PathBuf, root: &Path, catalog: Arc<Catalog>) -> Result<Place, Failure> {
    let clock: Arc<dyn Clock> = SystemClock::shared();
    // Before anything is made: without a mirror there is nothing to do.
    Volume::id_at(root).map_err(Failure::other)?;
    let key = SealKey::load_or_make(&data.join("secret.key")).map_err(Failure::other)?;
    let seal: Arc<dyn Seal> = Arc::new(key);
    let (index, replaced) = open_index(&data.join("index.db"), &seal, clock.as_ref()).map_err(Failure::other)?;
    if let Some(replaced) = replaced {
        say(&format!("Note: {replaced}."))?;
    }
    let mirror = open_mirror(&index, root, clock.as_ref(), true).map_err(Failure::other)?;
    let mirror = mirror.ok_or_else(|| no_mirror(root))?;
    tell_of_cameras(recover_cameras(&index, &mirror, seal.as_ref(), None, clock.now()))?;
    Ok(Place {
        index,
        mirror,
        data,
        clock,
        catalog,
    })
}

fn no_mirror(root: &Path) -> Failure {
    Failure::other(format!(
        "{} is no mirror of camkeep; mount its disk there, or give another place with --mirror",
        root.display()
    ))
}

/// The index learns what lies on the mirror: after it was lost that is everything, else what came since it was backed up.
fn adopt(place: &Place) -> Result<Report, Failure> {
    let (mirror, clock) = (place.mirror.clone(), place.clock.clone());
    let (index, catalog) = (place.index.clone(), place.catalog.clone());
    with_ingest(&place.index, move |tell| {
        let check = Check {
            index,
            volume: Arc::new(mirror),
            catalog,
            clock: clock.clone(),
            shutdown: Shutdown::new(),
            mode: Mode::Mend,
            tell,
        };
        check.run_on_mirror(clock.now())
    })
}

/// Says what would be done, and changes nothing.
fn look(data: &Path, root: &Path, json: bool) -> Result<(), Failure> {
    let clock = SystemClock::shared();
    let recordings = data.join("recordings");
    let path = data.join("index.db");
    if !path.exists() {
        let mirror = Volume::open_to_read(root, VolumeRole::Mirror).map_err(Failure::other)?;
        let mut owed = Owed::default();
        for found in mirror.files().map_err(Failure::other)? {
            let found = found.map_err(Failure::other)?;
            owed.files += 1;
            owed.bytes += found.size_bytes;
        }
        return would(
            json,
            owed,
            &format!("The index is gone and would be made anew from {}.", root.display()),
        );
    }
    let index = Index::open_to_read(path).map_err(Failure::other)?;
    let mirror = open_mirror(&index, root, clock.as_ref(), false).map_err(Failure::other)?;
    let mirror = mirror.ok_or_else(|| no_mirror(root))?;
    let (primary, lost) = renew_primary(&index, &recordings, clock.as_ref(), true).map_err(Failure::other)?;
    let owed = what_is_owed(&index, &mirror, primary.as_ref(), &lost).map_err(Failure::other)?;
    let whereto = match primary {
        Some(_) => format!("{} is the volume that was there before.", recordings.display()),
        None => format!("{} would become a new primary volume.", recordings.display()),
    };
    would(json, owed, &whereto)
}

fn would(json: bool, owed: Owed, whereto: &str) -> Result<(), Failure> {
    if json {
        return say_json(&owed);
    }
    let beyond = match owed.beyond {
        0 => String::new(),
        1 => " 1 segment is on neither of the two and stays missing.".to_owned(),
        count => format!(" {count} segments are on neither of the two and stay missing."),
    };
    say(&format!(
        "{whereto} {}, {}, would be restored.{beyond} Nothing was changed.",
        counted(owed.files, "file", "files"),
        bytes(owed.bytes as f64)
    ))
}

fn check_room(primary: &Volume, owed: Owed) -> Result<(), Failure> {
    let space = primary.free_space().map_err(Failure::other)?;
    if space.available_bytes >= owed.bytes.saturating_add(ROOM) {
        return Ok(());
    }
    Err(Failure::other(format!(
        "{} has room for {}, and {} are to be restored; mount a larger disk there, or free some of it",
        primary.root().display(),
        bytes(space.available_bytes as f64),
        bytes(owed.bytes as f64)
    )))
}

fn run(place: &Place, primary: &Volume, json: bool) -> Result<Restored, Failure> {
    let mut ticker = Ticker::new(json);
    let shutdown = Shutdown::new();
    let restore = Restore {
        index: &place.index,
        mirror: &place.mirror,
        primary,
        clock: place.clock.as_ref(),
        shutdown: &shutdown,
        progress: &mut |restored| ticker.tell(|| progress(restored)),
    };
    let restored = restore.run();
    ticker.end();
    restored.map_err(|error| {
        Failure::other(format!(
            "{error}. What was restored so far is there; the same command goes on with the rest"
        ))
    })
}

fn tell(json: bool, restored: &Restored, lost: &[VolumeId], adopted: &Report) -> Result<(), Failure> {
    if json {
        say_json(restored)?;
    } else {
        let mut text = String::new();
        for finding in &restored.findings {
            text.push_str(&format!("! {}\n      {}\n", finding.path, finding.what));
        }
        for (count, name) in [
            (
                adopted.indexed,
                "recordings on the mirror that the index did not know, indexed",
            ),
            (restored.files, "files restored"),
            (restored.failed, "files that could not be restored"),
            (restored.owed.beyond, "segments that neither volume has"),
        ] {
            if count > 0 || name == "files restored" {
                text.push_str(&format!("{count:>9}  {name}\n"));
            }
        }
        if !lost.is_empty() {
            text.push_str("The new volume is the primary from now on; the lost one is not taken back.\n");
        }
        text.push_str(if restored.is_whole() {
            "Everything is on the primary again."
        } else {
            "Not everything is on the primary again."
        });
        say(&text)?;
    }
    if restored.is_whole() {
        return Ok(());
    }
    Err(Failure::other("not everything could be restored"))
}

/// How far it is.
fn progress(restored: &Restored) -> String {
    let (done, all) = (bytes(restored.bytes as f64), bytes(restored.owed.bytes as f64));
    let files = counted(restored.owed.files, "file", "files");
    format!("{done} of {all}, {} of {files}", restored.files)
}
