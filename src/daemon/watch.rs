//! What is watched for as long as the daemon runs: the wall clock, our own progress, and the index's backup.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::index::{Index, IndexError, Reader};
use crate::model::{ClockSource, CopyState, Event, EventKind, News, Segment, SegmentState, Span, Timestamp};
use crate::record::Recorder;
use crate::runtime::{Clock, Shutdown};
use crate::storage::{Identity, Volume, make_durable};

use super::error::DaemonError;
use super::house::on_a_thread;

/// How often the wall clock is compared with the one that nobody can set.
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// A difference this large is a step; less is what keeping time by network does all day.
const CLOCK_STEP: Duration = Duration::from_millis(500);
/// How often footage of before the clock was set is looked for, once it is: its last segments close a little later.
const REDATE_LOOK: Duration = Duration::from_secs(5);
/// How long.
const REDATE_FOR: Duration = Duration::from_secs(600);
/// How often the index is backed up when nothing else calls for it.
const BACKUP: Duration = Duration::from_secs(3600);
/// How often it is looked whether a camera or a schedule was changed since.
const BACKUP_LOOK: Duration = Duration::from_secs(30);

/// What watching needs.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) recorder: Recorder,
    pub(super) index: Index,
    pub(super) volume: Arc<Volume>,
    pub(super) news: mpsc::UnboundedSender<News>,
    pub(super) shutdown: Shutdown,
}

impl Watch {
    /// Waits; `false` when the end was asked for meanwhile.
    async fn wait(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.shutdown.asked() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    fn tell(&self, kind: EventKind, message: String) {
        let event = Event {
            at: self.clock.now(),
            kind,
            camera: None,
            message,
        };
        // The ingest task lives until all is told.
        let _ = self.news.send(News::Happened(event));
    }

    /// Notices when somebody sets the wall clock: it is told, and footage is dated anew from the next keyframe on.
    pub(super) async fn over_the_clock(self) {
        let (mut wall, mut instant) = (self.clock.now(), self.clock.instant());
        let mut era = wall;
        let mut unsynced: Vec<Era> = Vec::new();
        while self.wait(CLOCK_LOOK).await {
            let (now, then) = (self.clock.now(), self.clock.instant());
            let expected = wall.plus(then.since(instant));
            let step = now.nanos_since(expected);
            (wall, instant) = (now, then);
            if u128::from(step.unsigned_abs()) < CLOCK_STEP.as_nanos() {
                continue;
            }
            let seconds = step as f64 / 1e9;
            tracing::warn!(seconds, "somebody set the clock of this box");
            let message = format!("the clock of this box was set by {seconds:+.3} s, from {expected} to {now}");
            self.tell(EventKind::ClockStep, message);
            self.recorder.redate();
            if expected < Timestamp::BUILT {
                for past in &mut unsynced {
                    past.behind = past.behind.saturating_add(step);
                }
                // What is still being written closes a little after the step, by the old time.
                let span = Span::new(era, expected.plus(REDATE_FOR));
                unsynced.push(Era { span, behind: step });
                if now >= Timestamp::BUILT {
                    self.redate_past(std::mem::take(&mut unsynced)).await;
                }
            }
            era = now;
        }
    }

    /// This box did not know the time when it started, and does now: what it recorded meanwhile gets its true dates.
    async fn redate_past(&self, unsynced: Vec<Era>) {
        let mut redated = 0;
        for _ in 0..REDATE_FOR.as_secs() / REDATE_LOOK.as_secs() {
            let (index, volume, news, eras) = (
                self.index.clone(),
                self.volume.clone(),
                self.news.clone(),
                unsynced.clone(),
            );
            let done = on_a_thread(move || redate_all(&index, &volume, &eras, &news)).await;
            match done {
                Ok((closed, still_open)) => {
                    redated += closed;
                    if closed == 0 && !still_open {
                        break;
                    }
                }
                Err(error) => tracing::error!(%error, "footage of before the clock was set could not be dated anew"),
            }
            if !self.wait(REDATE_LOOK).await {
                break;
            }
        }
        let message = format!("{redated} segments of before the clock was set have their true dates now");
        self.tell(EventKind::ClockStep, message);
    }

    /// Tells systemd that we make progress: that every camera's task has come round lately. When one has not, nothing is
    /// told, and systemd starts us anew.
    pub(super) async fn for_systemd(self) {
        let Some(limit) = sd_notify::watchdog_enabled() else {
            return;
        };
        while self.wait(limit / 3).await {
            let stuck = self.recorder.stuck_for();
            if stuck < limit / 2 {
                tell_systemd(sd_notify::NotifyState::Watchdog);
            } else {
                tracing::error!(seconds = stuck.as_secs(), "a camera's task does not come round");
            }
        }
    }

    /// Keeps a backup of the index, because cameras and schedules are in no file of a recording: soon after one of them
    /// was changed, and each hour for the rest.
    pub(super) async fn over_the_backup(self) {
        let (mut kept, mut waited) = (String::new(), BACKUP);
        while self.wait(BACKUP_LOOK).await {
            waited += BACKUP_LOOK;
            let index = self.index.clone();
            let (known, is_due) = (kept.clone(), waited >= BACKUP);
            let done = on_a_thread(move || {
                let settings = index.read_blocking(settings)?;
                if is_due || settings != known {
                    index.back_up()?;
                    return Ok(Some(settings));
                }
                Ok(None)
            });
            match done.await {
                Ok(None) => {}
                Ok(Some(settings)) => {
                    (kept, waited) = (settings, Duration::ZERO);
                    tracing::debug!("the index was backed up");
                }
                Err(error) => {
                    tracing::error!(%error, "the index could not be backed up");
                    let message = format!("the index could not be backed up: {error}");
                    self.tell(EventKind::RecorderError, message);
                }
            }
        }
    }
}

/// All cameras and schedules, told apart from any others. Secrets print as `***`, but a camera says when it was changed.
fn settings(reader: &Reader<'_>) -> Result<String, IndexError> {
    let cameras = reader.cameras()?;
    let schedules = cameras
        .iter()
        .map(|camera| reader.schedules(&camera.id))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{cameras:?} {schedules:?}"))
}

/// A time during which this box's clock was wrong by one amount.
#[derive(Debug, Clone, Copy)]
struct Era {
    /// By that clock.
    span: Span,
    /// How far it was behind the true time, in nanoseconds.
    behind: i64,
}

fn redate_all(
    index: &Index,
    volume: &Volume,
    eras: &[Era],
    news: &mpsc::UnboundedSender<News>,
) -> Result<(usize, bool), DaemonError> {
    let mut all = (0, false);
    for era in eras {
        let (closed, is_open) = redate_closed(index, volume, era.span, era.behind, news)?;
        all = (all.0 + closed, all.1 || is_open);
    }
    Ok(all)
}

/// Gives closed segments of a span the dates they would have had. Says how many, and whether some are still open.
fn redate_closed(
    index: &Index,
    volume: &Volume,
    unsynced: Span,
    step: i64,
    news: &mpsc::UnboundedSender<News>,
) -> Result<(usize, bool), DaemonError> {
    let found = index.read_blocking(|reader| {
        let mut found = Vec::new();
        for camera in reader.cameras()? {
            let mut after = None;
            loop {
                let page = reader.segments(&camera.id, Some(unsynced), 500, after)?;
                after = page.last().map(|segment| (segment.span.start, segment.id));
                let full = page.len() == 500;
                found.extend(
                    page.into_iter()
                        .filter(|segment| segment.clock == ClockSource::Unsynced),
                );
                if !full {
                    break;
                }
            }
        }
        Ok(found)
    })?;
    let (closed, open): (Vec<Segment>, Vec<Segment>) = found
        .into_iter()
        .partition(|segment| segment.state == SegmentState::Closed);
    let count = closed.len();
    for mut segment in closed {
        segment.shift(step);
        segment.clock = ClockSource::Arrival;
        let ours = segment.clone();
        for copy in segment.copies.iter_mut().filter(|copy| copy.volume == volume.id()) {
            let path = volume.absolute(&copy.path);
            // The row is what counts; a file that cannot be labelled anew keeps its old label and its old hash.
            match Identity::append(&path, &ours).and_then(|()| make_durable(&path)) {
                Ok(durable) => (copy.size_bytes, copy.sha256) = (durable.size_bytes, Some(durable.sha256)),
                Err(error) => {
                    tracing::warn!(%error, "a segment's file could not be labelled anew");
                    copy.state = CopyState::Suspect;
                }
            }
        }
        // The ingest task lives until all is told.
        let _ = news.send(News::Closed(segment));
    }
    Ok((count, !open.is_empty()))
}

/// Tells the init system how we are; without one there is nobody to tell.
pub(super) fn tell_systemd(state: sd_notify::NotifyState<'_>) {
    let _ = sd_notify::notify(&[state]);
}
