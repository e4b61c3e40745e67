//! `camkeep check`: holds the files of a stopped camkeep against its index.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::check::{Check, CheckError, Mode, Recovered, Report, Survey, open_index, open_mirror, recover_cameras};
use crate::config::{Config, Flags};
use crate::index::{Index, KnownVolume};
use crate::model::{News, Seal, VolumeRole};
use crate::pipeline::Catalog;
use crate::runtime::{Clock, Shutdown, SystemClock, spawn_thread};
use crate::storage::{DaemonLock, SealKey, StorageError, Volume};
use crate::timeline::ingest;

use super::camera::say_json;
use super::entry::say;
use super::failure::Failure;

/// Hold the recordings of a stopped camkeep against its index
#[derive(Debug, Args)]
#[command(
    after_help = "Without --mend nothing is changed. The exit code is 1 when something is wrong and was not mended.
A running camkeep checks and mends by itself each time it starts.

Examples:
  camkeep check --data /var/lib/camkeep
  camkeep check --data /var/lib/camkeep --mend
  camkeep check --data /var/lib/camkeep --mirror /mnt/mirror"
)]
pub(super) struct CheckArgs {
    /// Make whole what was left open, index what is unknown, put aside what cannot be played
    #[arg(long)]
    mend: bool,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Check the mirror too, which lies here
    #[arg(long, value_name = "DIR")]
    mirror: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let flags = Flags {
        config: args.config.clone(),
        data: args.data.clone(),
        mirror: args.mirror.clone(),
        ..Flags::default()
    };
    let config = Config::load(&flags, std::env::vars_os()).map_err(Failure::configuration)?;
    let data = &config.storage.data;
    if !data.join("recordings").is_dir() {
        return Err(Failure::other(format!(
            "{} holds no recordings of camkeep; name its data directory with --data",
            data.display()
        )));
    }
    let _lock = DaemonLock::take(data).map_err(|error| match error {
        StorageError::AlreadyRunning { .. } => {
            Failure::other(format!("{error}. A running camkeep has checked itself when it started"))
        }
        error => Failure::other(error),
    })?;
    let catalog = match &config.pipelines.directory {
        Some(directory) => Catalog::with_overrides(directory).map_err(Failure::configuration)?,
        None => Catalog::built_in().map_err(Failure::other)?,
    };
    let mirror = config.storage.mirror.as_deref();
    let report = run(data, mirror, catalog, if args.mend { Mode::Mend } else { Mode::Look })?;
    if args.json {
        say_json(&report)?;
    } else {
        say(&table(&report))?;
    }
    if report.is_well() {
        return Ok(());
    }
    Err(Failure::other(if args.mend {
        "not everything could be mended; what is left is listed above"
    } else {
        "not everything is as it should be; `camkeep check --mend` mends what can be mended"
    }))
}

fn run(data: &Path, mirror: Option<&Path>, catalog: Catalog, mode: Mode) -> Result<Report, Failure> {
    let clock = SystemClock::shared();
    let (index, volume) = open(data, clock.as_ref(), mode)?;
    let survey = Survey::take(&index, data, clock.as_ref()).map_err(Failure::other)?;
    let (before, catalog) = (survey.taken_at, Arc::new(catalog));
    let check_of = |volume: Volume, tell| Check {
        index: index.clone(),
        volume: Arc::new(volume),
        catalog: catalog.clone(),
        clock: clock.clone(),
        shutdown: Shutdown::new(),
        mode,
        tell,
    };
    let mut report = with_ingest(&index, |tell| {
        let thread = check_of(volume, tell).start(survey).map_err(Failure::other)?;
        thread.join().map_err(|_| Failure::other("the check died"))
    })??;
    if let Some(root) = mirror {
        match open_mirror(&index, root, clock.as_ref(), mode == Mode::Mend) {
            Ok(Some(mirror)) => {
                report.add(with_ingest(&index, |tell| {
                    check_of(mirror, tell).run_on_mirror(before)
                })?);
            }
            Ok(None) => report.miss_mirror(root, "it holds no mirror of camkeep; mount its disk there"),
            Err(error) => report.miss_mirror(root, error),
        }
    }
    index.close();
    Ok(report)
}

/// Does work whose news go through the same door as those of a running camkeep, which closes when the work is done and all
/// is written.
pub(super) fn with_ingest<T>(
    index: &Index,
    work: impl FnOnce(Box<dyn Fn(News) + Send + Sync>) -> T,
) -> Result<T, Failure> {
    let (news, told) = tokio::sync::mpsc::unbounded_channel::<News>();
    let writing = index.clone();
    let door = spawn_thread("ingest", move || -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(ingest(writing, told, Shutdown::new(), Arc::default()));
        Ok(())
    });
    let door = door.map_err(Failure::other)?;
    // Fails only when writing has ended already, and then the error of that is the one to tell.
    let done = work(Box::new(move |one| drop(news.send(one))));
    match door.join() {
        Ok(written) => written.map_err(Failure::other)?,
        Err(_) => return Err(Failure::other("writing down what was found died")),
    }
    Ok(done)
}

fn open(data: &Path, clock: &dyn Clock, mode: Mode) -> Result<(Index, Volume), Failure> {
    let path = data.join("index.db");
    if mode == Mode::Look && !path.exists() {
        return Err(Failure::other(format!(
            "{} is not there; `camkeep check --mend` makes a new one from the recordings",
            path.display()
        )));
    }
    let key = SealKey::load_or_make(&data.join("secret.key")).map_err(Failure::other)?;
    let seal: Arc<dyn Seal> = Arc::new(key);
    let index = match mode {
        Mode::Look => Index::open(&path, Arc::clone(&seal)).map_err(Failure::other)?,
        Mode::Mend => {
            let (index, replaced) = open_index(&path, &seal, clock).map_err(Failure::other)?;
            if let Some(replaced) = replaced {
                let told = replaced.to_string();
                say(&format!("{}{}.", told[..1].to_uppercase(), &told[1..]))?;
            }
            index
        }
    };
    let root = data.join("recordings");
    let known = index.read_blocking(|reader| reader.volumes()).map_err(Failure::other)?;
    let known = known.into_iter().rev().find(|known| known.role == VolumeRole::Primary);
    let volume = match known {
        Some(known) => Volume::open_expected(&root, VolumeRole::Primary, known.id).map_err(Failure::other)?,
        None => {
            let volume = Volume::open(&root, VolumeRole::Primary, clock.now()).map_err(Failure::other)?;
            let known = KnownVolume {
                id: volume.id(),
                role: VolumeRole::Primary,
                root: root.display().to_string(),
                created_at: clock.now(),
            };
            index
                .write_blocking(move |writer| writer.put_volume(&known))
                .map_err(Failure::other)?;
            volume
        }
    };
    if mode == Mode::Mend {
        tell_of_cameras(recover_cameras(&index, &volume, seal.as_ref(), None, clock.now()))?;
    }
    Ok((index, volume))
}

/// Says which cameras came back after a loss of the index, if there was one.
pub(super) fn tell_of_cameras(recovered: Result<Recovered, CheckError>) -> Result<(), Failure> {
    let recovered = recovered.map_err(Failure::other)?;
    if recovered.is_nothing() {
        return Ok(());
    }
    say(&format!("Cameras: {recovered}."))
}

/// A person's answer: first what is wrong, then the counts that are not zero.
fn table(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let mark = if finding.mended { "  " } else { "! " };
        text.push_str(&format!("{mark}{}\n      {}\n", finding.path, finding.what));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let always = ["files looked at", "rows held against files"];
    for (name, count) in report.counts() {
        if count > 0 || always.contains(&name) {
            text.push_str(&format!("{count:>9}  {name}\n"));
        }
    }
    text.push_str(match (report.is_well(), report.damaged) {
        (true, 0) => "All is well.",
        (true, _) => "All is well, but for the frames that are lost.",
        (false, _) => "Not all is well.",
    });
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn args(data: &Path, mend: bool) -> CheckArgs {
        CheckArgs {
            mend,
            data: Some(data.to_owned()),
            mirror: None,
            config: None,
            json: false,
        }
    }

    #[test]
    fn a_directory_without_recordings_is_not_made_into_one() {
        let directory = tempfile::tempdir().unwrap();
        let failure = check(&args(directory.path(), true)).unwrap_err();
        assert!(failure.message.contains("--data"), "{failure:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_running_camkeep_is_named_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("recordings")).unwrap();
        let _running = DaemonLock::take(directory.path()).unwrap();
        let failure = check(&args(directory.path(), true)).unwrap_err();
        assert!(failure.message.contains(&std::process::id().to_string()), "{failure:?}");
        assert_eq!(failure.code, 1);
    }

    #[test]
    fn a_lost_and_a_damaged_index_are_told_when_looking_and_made_anew_when_mending() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        Volume::open(&data.join("recordings"), VolumeRole::Primary, SystemClock.now()).unwrap();
        std::fs::write(data.join("recordings/holiday.mp4"), b"not ours").unwrap();
        assert!(check(&args(data, false)).unwrap_err().message.contains("--mend"));
        assert!(!data.join("index.db").exists());
        check(&args(data, true)).unwrap();
        check(&args(data, false)).unwrap();
        std::fs::write(data.join("index.db"), vec![7; 100_000]).unwrap();
        assert!(check(&args(data, false)).is_err());
        check(&args(data, true)).unwrap();
        assert!(data.join("recordings/holiday.mp4").exists());
        let names = std::fs::read_dir(data)
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name());
        let aside = names.filter(|name| name.to_string_lossy().contains("damaged"));
        assert!(aside.count() >= 1, "the damaged one is kept");
    }

    #[test]
    fn the_table_tells_what_is_wrong_first() {
        let report = Report {
            files: 3,
            missing: 1,
            findings: vec![crate::check::Finding {
                path: "yard/x.mp4".to_owned(),
                what: "gone".to_owned(),
                mended: false,
            }],
            ..Report::default()
        };
        let text = table(&report);
        assert!(text.starts_with("! yard/x.mp4\n      gone"), "{text}");
        assert!(text.contains("        1  files missing") && text.ends_with("Not all is well."));
    }
}
