//! What starts in which order, and stops in the reverse.
//!
//! ```text
//!  logging, GStreamer          can we work at all?
//!  lock                        are we alone on this data?
//!  key, index, volume          what is known, and where it lies; what was left open is noted
//!  listener                    can we be reached? (before anything is recorded, so that a mistyped port costs nothing)
//!  ingest                      the one door in
//!  recorder                    every camera; footage flows from here on
//!  check                       what a kill left behind is mended, beside everything else
//!  http                        people
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::check::{self, Check, CheckError, Mode, Survey};
use crate::config::Config;
use crate::http::{self, App};
use crate::index::{Index, IndexError, KnownVolume};
use crate::model::{Event, EventKind, Fault, GapCause, News, Seal, VolumeRole};
use crate::pipeline::{self, Catalog, PipelineError};
use crate::record::{Recorder, Setting};
use crate::runtime::{Clock, Shutdown, Signals, SystemClock, Tasks, init_logging};
use crate::storage::{Complain, DaemonLock, SealKey, StorageError, Syncer, TailWriter, Volume};
use crate::timeline;

/// How long recording may take to close its files when it is asked to stop.
const STOP: Duration = Duration::from_millis(4000);
/// How long everything after that may take.
const REST: Duration = Duration::from_millis(900);

/// How often the wall clock is compared with the one that nobody can set.
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// A difference this large is a step; less is what keeping time by network does all day.
const CLOCK_STEP: Duration = Duration::from_millis(500);

/// What recording cannot do without.
const ELEMENTS: &[&str] = &[
    "rtspsrc",
    "rtph264depay",
    "rtph265depay",
    "h264parse",
    "h265parse",
    "h264timestamper",
    "h265timestamper",
    "tee",
    "queue",
    "splitmuxsink",
    "mp4mux",
    "filesink",
];

/// Why the daemon does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Something in the configuration that only shows when it is used.
    #[error("{0}")]
    Configuration(String),
    /// Files or volumes.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Looking at what was left.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// GStreamer.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The address to listen on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not, and what to do.
        reason: String,
    },
    /// Something of the operating system.
    #[error("{0}")]
    System(String),
}

impl DaemonError {
    /// Which kind of trouble it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Configuration(_) => Fault::Invalid,
            Self::Storage(error) => error.fault(),
            Self::Index(error) => error.fault(),
            Self::Check(error) => error.fault(),
            Self::Pipeline(error) => error.fault(),
            Self::Listen { .. } | Self::System(_) => Fault::Unavailable,
        }
    }
}

/// Runs until a signal asks it to stop.
pub async fn run(config: Config) -> Result<(), DaemonError> {
    init_logging(config.log.level.as_str()).map_err(DaemonError::Configuration)?;
    let clock: Arc<dyn Clock> = SystemClock::shared();
    pipeline::require(ELEMENTS)?;
    let catalog = Arc::new(match &config.pipelines.directory {
        Some(directory) => Catalog::with_overrides(directory)?,
        None => Catalog::built_in()?,
    });
    let house = {
        let (config, clock) = (config.clone(), clock.clone());
        on_a_thread(move || House::open(&config, clock)).await?
    };
    let listener = listen(config.http.listen).await?;
    let mut signals =
        Signals::listen().map_err(|error| DaemonError::System(format!("cannot hear signals: {error}")))?;

    let (news, hears) = mpsc::unbounded_channel();
    let mut ingest = Tasks::new();
    let all_told = Shutdown::new();
    ingest.spawn("ingest", timeline::ingest(house.index.clone(), hears, all_told.clone()));
    let complain = complain(&news, &clock);
    let tail = match config.storage.tail_journal {
        true => Some(Arc::new(TailWriter::start(
            &config.storage.data,
            TailWriter::LIMIT_BYTES,
            complain.clone(),
        )?)),
        false => None,
    };
    let syncer = Arc::new(Syncer::start("segment-sync", Syncer::PERIOD, complain)?);
    let recorder = Recorder::new(Setting {
        clock: clock.clone(),
        catalog: catalog.clone(),
        volume: house.volume.clone(),
        tail: tail.clone(),
        syncer,
        news: news.clone(),
        stall: config.record.stall,
        connect: config.record.connect,
        latency: config.record.latency,
    });
    adopt(&house.index, &recorder, &news).await?;

    let shutdown = Shutdown::new();
    let mend = mend(&house, catalog, &clock, &shutdown, &news)?;
    let mut doors = Tasks::new();
    doors.spawn(
        "clock-watch",
        watch_clock(clock.clone(), recorder.clone(), news.clone(), shutdown.clone()),
    );
    drop(news);
    if let Ok(address) = listener.local_addr() {
        tracing::info!(address = %format!("http://{address}"), data = %config.storage.data.display(), "listening");
    }
    let app = App::new(
        house.index.clone(),
        recorder.clone(),
        clock,
        house.volume.root().to_owned(),
    );
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
    let ends = async {
        stop(doors, recorder, ingest, all_told).await;
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
    };
    tokio::select! {
        () = ends => tracing::info!("stopped"),
        signal = signals.next() => tracing::warn!(signal, "forced to stop; the next start mends what was open"),
    }
    // It looks for the end between two files; one that it is at is left as it was.
    drop(mend);
    Ok(())
}

/// Recording first, because every moment counts there; then the doors; then what was still to be written.
async fn stop(doors: Tasks, recorder: Recorder, ingest: Tasks, all_told: Shutdown) {
    if !recorder.stop(STOP).await {
        tracing::warn!("some cameras did not stop in time; the next start mends their segments");
    }
    drop(recorder);
    all_told.ask();
    let (closed, written) = tokio::join!(doors.join_all(REST), ingest.join_all(REST));
    if !(closed && written) {
        tracing::warn!(doors = closed, index = written, "not everything ended in time");
    }
}

/// What lies on disks.
struct House {
    index: Index,
    volume: Arc<Volume>,
    survey: Mutex<Option<Survey>>,
    /// Held for as long as we run.
    lock: DaemonLock,
}

impl House {
    fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, DaemonError> {
        let data = &config.storage.data;
        std::fs::create_dir_all(data).map_err(|error| {
            let path = data.display();
            DaemonError::System(format!(
                "cannot make the data directory {path}: {error}; make it, or give another with --data"
            ))
        })?;
        let lock = DaemonLock::take(data)?;
        let seal: Arc<dyn Seal> = Arc::new(SealKey::load_or_make(&data.join("secret.key"))?);
        let (index, _) = check::open_index(&data.join("index.db"), &seal, clock.as_ref())?;
        let volume = Arc::new(open_volume(&index, &data.join("recordings"), clock.as_ref())?);
        let survey = Mutex::new(Some(Survey::take(&index, data, clock.as_ref())?));
        Ok(Self {
            index,
            volume,
            survey,
            lock,
        })
    }
}

/// Opens the primary volume. Once one is known, no other is taken for it: an empty mount point is not a new disk.
fn open_volume(index: &Index, root: &Path, clock: &dyn Clock) -> Result<Volume, DaemonError> {
    let known = index.read_blocking(|reader| reader.volumes())?;
    let primary = known.iter().find(|volume| volume.role == VolumeRole::Primary);
    let volume = match primary {
        Some(known) => Volume::open_expected(root, VolumeRole::Primary, known.id)?,
        None => Volume::open(root, VolumeRole::Primary, clock.now())?,
    };
    let row = KnownVolume {
        id: volume.id(),
        role: VolumeRole::Primary,
        root: root.display().to_string(),
        created_at: primary.map_or_else(|| clock.now(), |known| known.created_at),
    };
    index.write_blocking(move |writer| writer.put_volume(&row))?;
    Ok(volume)
}

/// What a disk refuses while footage is written becomes an event; the file itself is judged when it is closed.
fn complain(news: &mpsc::UnboundedSender<News>, clock: &Arc<dyn Clock>) -> Complain {
    let (news, clock) = (news.downgrade(), clock.clone());
    Arc::new(move |error: StorageError| {
        tracing::error!(%error, "a disk refuses");
        let kind = if error.fault() == Fault::Full {
            EventKind::DiskPressure
        } else {
            EventKind::RecorderError
        };
        let event = Event {
            at: clock.now(),
            kind,
            camera: None,
            message: error.to_string(),
        };
        if let Some(news) = news.upgrade() {
            // The ingest task lives until the last sender is gone.
            let _ = news.send(News::Happened(event));
        }
    })
}

/// Mends what the last process left behind, on a thread of its own.
fn mend(
    house: &House,
    catalog: Arc<Catalog>,
    clock: &Arc<dyn Clock>,
    shutdown: &Shutdown,
    news: &mpsc::UnboundedSender<News>,
) -> Result<Option<JoinHandle<check::Report>>, DaemonError> {
    let Some(survey) = house.survey.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return Ok(None);
    };
    let news = news.clone();
    let check = Check {
        index: house.index.clone(),
        volume: house.volume.clone(),
        catalog,
        clock: clock.clone(),
        shutdown: shutdown.clone(),
        mode: Mode::Mend,
        // The ingest task lives until the last sender is gone.
        tell: Box::new(move |item| drop(news.send(item))),
    };
    Ok(Some(check.start(survey)?))
}

/// Notices when somebody sets the wall clock: it is told, and footage is dated anew from the next keyframe on.
async fn watch_clock(clock: Arc<dyn Clock>, recorder: Recorder, news: mpsc::UnboundedSender<News>, shutdown: Shutdown) {
    let (mut wall, mut instant) = (clock.now(), clock.instant());
    loop {
        tokio::select! {
            () = shutdown.asked() => return,
            () = tokio::time::sleep(CLOCK_LOOK) => {}
        }
        let (now, then) = (clock.now(), clock.instant());
        let expected = wall.plus(then.since(instant));
        let step = now.nanos_since(expected);
        (wall, instant) = (now, then);
        if step.unsigned_abs() < u64::try_from(CLOCK_STEP.as_nanos()).unwrap_or(u64::MAX) {
            continue;
        }
        let seconds = step as f64 / 1e9;
        tracing::warn!(seconds, "somebody set the clock of this box");
        let message = format!("the clock of this box was set by {seconds:+.3} s, from {expected} to {now}");
        // The ingest task lives until the last sender is gone.
        let _ = news.send(News::Happened(Event {
            at: now,
            kind: EventKind::ClockStep,
            camera: None,
            message,
        }));
        recorder.redate();
    }
}

fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[state]);
}

/// Begins recording every camera. What is missing since its last frame is a gap from the start: an orderly stop has
/// opened one already, so what is opened here says that the daemon was killed.
async fn adopt(index: &Index, recorder: &Recorder, news: &mpsc::UnboundedSender<News>) -> Result<(), DaemonError> {
    let cameras = index
        .read(|reader| {
            let cameras = reader.cameras()?.into_iter();
            cameras
                .map(|camera| Ok((reader.last_segment(&camera.id)?, camera)))
                .collect::<Result<Vec<_>, IndexError>>()
        })
        .await?;
    for (last, camera) in cameras {
        if let Some(last) = last.as_ref().filter(|_| camera.enabled && camera.record_enabled) {
            let lost = News::Lost {
                camera: camera.id.clone(),
                at: last.span.end,
                cause: GapCause::Killed,
            };
            // The ingest task lives until the last sender is gone.
            let _ = news.send(lost);
        }
        recorder.adopt(camera, last.as_ref());
    }
    Ok(())
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

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(DaemonError::System(format!("a task died: {error}"))),
    }
}
