//! The order of starting, and of stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use crate::config::Config;
use crate::export::{Exporter, Snapshots, Turns};
use crate::http::{self, App, Engines};
use crate::model::{Event, EventKind, News, VolumeRole};
use crate::pipeline::{self, Catalog};
use crate::record::{Recorder, Setting, Suspects};
use crate::refill::Refiller;
use crate::retain::{self, Purger};
use crate::runtime::{Clock, SegmentTimings, Shutdown, Signals, SystemClock, Tasks, init_logging, raise_file_limit};
use crate::storage::{Reserve, Syncer, TailWriter};
use crate::timeline;

use super::error::DaemonError;
use super::house::{House, complain, keep_primary, on_a_thread, tell_of_copies};
use super::mending::{Mending, adopt, mend};
use super::second::{Kept, Second, warn_of_none};
use super::settings::SettingsKeeper;
use super::watch::{Watch, begin_tie, tell_systemd};

/// How long recording may take to close its files when it is asked to stop.
const STOP: Duration = Duration::from_millis(4000);
/// How long each thing after that may take.
const REST: Duration = Duration::from_millis(900);
/// How long all of it may take together.
const ALL: Duration = Duration::from_millis(4800);

/// A start that takes longer waits for a disk, and says so.
const PROMPT: Duration = Duration::from_secs(2);
/// How often systemd is told meanwhile that we are not hung.
const ALIVE: Duration = Duration::from_secs(2);

/// How many clips and stills may be made at once.
const MEDIA_JOBS: usize = 3;

/// What recording cannot do without.
const ELEMENTS: &[&str] = &[
    "rtspsrc",
    "rtph264depay",
    "rtph265depay",
    "h264parse",
    "h265parse",
    "tee",
    "queue",
    "splitmuxsink",
    "mp4mux",
    "filesink",
];

/// Runs until a signal asks it to stop.
pub async fn run(config: Config) -> Result<(), DaemonError> {
    init_logging(config.log.level.as_str()).map_err(DaemonError::Configuration)?;
    if let Some(files) = raise_file_limit() {
        tracing::debug!(files, "so many files may be open");
    }
    let clock: Arc<dyn Clock> = SystemClock::shared();
    pipeline::require(ELEMENTS)?;
    pipeline::log_through_us();
    let catalog = Arc::new(match &config.pipelines.directory {
        Some(directory) => Catalog::with_overrides(directory)?,
        None => Catalog::built_in()?,
    });
    let mut signals =
        Signals::listen().map_err(|error| DaemonError::System(format!("cannot hear signals: {error}")))?;
    let Some((house, listener)) = open_house(&config, &clock, &mut signals).await? else {
        return Ok(());
    };

    let (news, hears) = mpsc::unbounded_channel();
    let mut ingest = Tasks::new();
    let all_told = Shutdown::new();
    let stir = Arc::new(Notify::new());
    let timings = SegmentTimings::default();
    ingest.spawn(
        "ingest",
        timeline::ingest_timed(
            house.index.clone(),
            hears,
            all_told.clone(),
            stir.clone(),
            timings.clone(),
        ),
    );
    tell_of_copies(&house.volumes, &news);
    let suspects = Arc::new(Suspects::default());
    let (retention, configured) = keep_primary(&config, &house).await?;
    let complain = complain(&news, &clock, &suspects, &retention);
    let tail = match config.storage.tail_journal {
        true => Some(Arc::new(TailWriter::start(
            &config.storage.data,
            TailWriter::LIMIT_BYTES,
            complain.clone(),
        )?)),
        false => None,
    };
    let second = Second::start(&config, &clock)?;
    let syncer = Arc::new(Syncer::start("segment-sync", Syncer::PERIOD, complain)?);
    let recorder = Recorder::new(Setting {
        clock: clock.clone(),
        catalog: catalog.clone(),
        volume: house.volume.clone(),
        tail: tail.clone(),
        mirror: second.as_ref().map(|second| second.writer.clone()),
        syncer,
        suspects,
        timings,
        news: news.clone(),
        remember: config.storage.tail,
        stall: config.record.stall,
        connect: config.record.connect,
        latency: config.record.latency,
    });
    let mended = house.mended.clone().map(|message| (EventKind::IndexMended, message));
    let warnings = house.warnings.iter().cloned();
    let warnings = warnings.map(|message| (EventKind::RecorderError, message));
    for (kind, message) in mended.into_iter().chain(warnings) {
        let at = clock.now();
        // The ingest task lives until the last sender is gone.
        let _ = news.send(News::Happened(Event {
            at,
            kind,
            camera: None,
            message,
        }));
    }
    let tie = {
        let (index, clock) = (house.index.clone(), clock.clone());
        on_a_thread(move || begin_tie(&index, clock.as_ref())).await?
    };
    adopt(&house, &recorder, &news, clock.as_ref()).await?;

    let turns = Turns::new(MEDIA_JOBS);
    let exporter = {
        let edges = Arc::new(recorder.clone());
        let means = house.exporting(&config, catalog.clone(), clock.clone(), edges, turns.clone())?;
        on_a_thread(move || Ok(Exporter::open(means)?)).await?
    };
    let refiller = Refiller::new(house.refilling(&config, &catalog, &clock, &recorder, &news), stir);
    let shutdown = Shutdown::new();
    warn_of_none(&config, &house.index, &news, clock.as_ref()).await?;
    let kept = Kept::start(second, &config, &house, &news, &clock, &turns, &shutdown);
    let changed = Arc::new(Notify::new());
    let mending = Mending {
        catalog: catalog.clone(),
        clock: clock.clone(),
        recorder: recorder.clone(),
        news: news.downgrade(),
        changed: changed.clone(),
        shutdown: shutdown.clone(),
    };
    let mend = mend(&house, &config, mending)?;
    let mut doors = Tasks::new();
    let keeping = retain::Setting {
        index: house.index.clone(),
        clock: clock.clone(),
        news: news.clone(),
        role: VolumeRole::Primary,
        rules: retention.status().rules,
        reserve: Some(Reserve::new(&config.storage.data)),
        hears: Arc::new(|_| {}),
    };
    doors.spawn("retention", retention.clone().run(keeping, shutdown.clone()));
    let keeper = SettingsKeeper {
        index: house.index.clone(),
        volume: house.volume.clone(),
        volumes: house.volumes.clone(),
        mirror: config.storage.mirror.clone(),
        seal: house.seal.clone(),
        box_key: house.key.public().id(),
        clock: clock.clone(),
        news: news.clone(),
        changed: changed.clone(),
        shutdown: shutdown.clone(),
    };
    doors.spawn("settings", keeper.run());
    let watch = Watch {
        clock: clock.clone(),
        recorder: recorder.clone(),
        index: house.index.clone(),
        volume: house.volume.clone(),
        news,
        shutdown: shutdown.clone(),
    };
    doors.spawn("clock-watch", watch.clone().over_the_clock(tie));
    doors.spawn("watchdog", watch.clone().for_systemd());
    doors.spawn("backup", watch.over_the_backup());
    doors.spawn("exports", exporter.clone().run(shutdown.clone()));
    doors.spawn("refill", refiller.clone().run(shutdown.clone()));
    let purger = Purger::new(
        house.index.clone(),
        house.volume.clone(),
        house.volumes.clone(),
        config.storage.mirror.clone(),
    );
    doors.spawn("purge", purger.clone().run(shutdown.clone()));
    if let Ok(address) = listener.local_addr() {
        tracing::info!(address = %format!("http://{address}"), data = %config.storage.data.display(), "listening");
    }
    let snapshots = Snapshots::new(
        house.index.clone(),
        Arc::new(recorder.clone()),
        house.volumes.clone(),
        catalog.clone(),
        clock.clone(),
        turns,
    );
    let app = App::new(
        house.index.clone(),
        Engines {
            recorder: recorder.clone(),
            snapshots,
            exporter,
            refiller,
            purger,
        },
        clock,
        house.volumes.clone(),
        house.key.public(),
    )
    .with_mirror(kept.mirror.clone())
    .with_changes(changed)
    .with_keeping(http::Keeping {
        primary: retention,
        mirror: kept.retention.clone(),
        configured,
    });
    let asked = shutdown.clone();
    doors.spawn("http", async move {
        if let Err(error) = http::serve(listener, app, asked).await {
            tracing::error!(%error, "nobody is answered any more; recording goes on");
        }
    });
    tell_systemd(sd_notify::NotifyState::Ready);

    let signal = signals.next().await;
    tracing::info!(signal, "stopping; a second signal forces");
    tell_systemd(sd_notify::NotifyState::Stopping);
    shutdown.ask();
    let mut ends = Box::pin(async {
        stop(doors, recorder, kept, ingest, all_told).await;
        let House {
            index, volume, lock, ..
        } = house;
        // The journals of what is closed are gone; those of the rest are what the next start mends from.
        let closed = on_a_thread(move || {
            let tail = tail.and_then(Arc::into_inner).is_none_or(|tail| tail.close(REST));
            index.close();
            drop((volume, lock));
            Ok(tail)
        });
        if !matches!(closed.await, Ok(true)) {
            tracing::warn!("the journals could not be closed in time");
        }
    });
    let (ended, outcome) = tokio::select! {
        () = &mut ends => (true, Ok(())),
        () = tokio::time::sleep(ALL) => (false, Ok(())),
        signal = signals.next() => {
            tracing::warn!(signal, "forced to stop");
            (false, Err(DaemonError::Forced))
        }
    };
    // It looks for the end between two files; one that it is at is left as it was.
    drop(mend);
    if ended {
        tracing::info!("stopped");
    } else {
        tracing::warn!("not everything ended in time; the next start mends what was open");
        // To let go of things in order is to wait for whatever holds them up; the end of the process does not wait.
        std::mem::forget(ends);
    }
    outcome
}

/// Recording first, because every moment counts there; then its second copies; then the doors; then what was still to be written.
async fn stop(doors: Tasks, recorder: Recorder, kept: Kept, ingest: Tasks, all_told: Shutdown) {
    if !recorder.stop(STOP).await {
        tracing::warn!("some cameras did not stop in time; the next start mends their segments");
    }
    drop(recorder);
    if !kept.end(REST).await {
        tracing::warn!("the mirror did not end in time; what it lacks is copied after the next start");
    }
    all_told.ask();
    let (closed, written) = tokio::join!(doors.join_all(REST), ingest.join_all(REST));
    if !(closed && written) {
        tracing::warn!(doors = closed, index = written, "not everything ended in time");
    }
}

/// Opens what lies on disks. While a disk does not answer, people are told so; nothing when they had enough of it.
async fn open_house(
    config: &Config,
    clock: &Arc<dyn Clock>,
    signals: &mut Signals,
) -> Result<Option<(House, TcpListener)>, DaemonError> {
    // Before anything is made on a disk: a second camkeep, or another program, has this port more often than not by mistake.
    let listener = listen(config.http.listen).await?;
    let (of, clock) = (config.clone(), clock.clone());
    let mut house = Box::pin(on_a_thread(move || House::open(&of, clock)));
    tokio::select! {
        house = &mut house => return Ok(Some((house?, listener))),
        () = tokio::time::sleep(PROMPT) => {}
    }
    if let Ok(address) = listener.local_addr() {
        let data = config.storage.data.display();
        tracing::warn!(address = %format!("http://{address}"), %data, "listening, but the data directory's disk does not answer; nothing is recorded");
    }
    // Whoever started us shall not take us for hung, because starting again would help nobody.
    tell_systemd(sd_notify::NotifyState::Ready);
    let over = Shutdown::new();
    let told = http::serve_waiting(&listener, over.clone());
    let house = async {
        let mut alive = tokio::time::interval(ALIVE);
        let house = loop {
            tokio::select! {
                house = &mut house => break house.map(Some),
                _ = alive.tick() => tell_systemd(sd_notify::NotifyState::Watchdog),
                signal = signals.next() => {
                    tracing::info!(signal, "stopping, though the disk still holds what it was asked");
                    break Ok(None);
                }
            }
        };
        over.ask();
        house
    };
    let (house, told) = tokio::join!(house, told);
    if let Err(error) = told {
        tracing::warn!(%error, "nobody could be told that the disk does not answer");
    }
    Ok(house?.map(|house| (house, listener)))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, DaemonError> {
    TcpListener::bind(address).await.map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program has this port; stop it, or give another with --listen".to_owned()
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges; give another with --listen".to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; give another with --listen".to_owned()
            }
            _ => error.to_string(),
        };
        DaemonError::Listen { address, reason }
    })
}
