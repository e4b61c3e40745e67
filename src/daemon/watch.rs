//! What is watched for as long as the daemon runs: the wall clock, our own progress, and the index's backup.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::index::{Index, IndexError, Reader};
use crate::model::{ClockSource, CopyState, Event, EventKind, News, Segment, SegmentState, Span, Timestamp, counted};
use crate::record::Recorder;
use crate::runtime::{Clock, Shutdown};
use crate::storage::{Identity, Volume, make_durable};

use super::error::DaemonError;
use super::house::on_a_thread;
use super::unsynced::{CLOCK_STEP, ClockTie, Era};

/// How often the wall clock is compared with the one that nobody can set.
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// Where the index keeps how the clock stands.
const TIE: &str = "clock";
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
    pub(super) async fn over_the_clock(self, (mut tie, set_meanwhile): (ClockTie, Option<Era>)) {
        if let Some(era) = set_meanwhile {
            self.redate_past(vec![era], tie.rows).await;
        }
        let (mut wall, mut instant) = (self.clock.now(), self.clock.instant());
        let mut unsynced: Vec<Era> = Vec::new();
        while self.wait(CLOCK_LOOK).await {
            let (now, then) = (self.clock.now(), self.clock.instant());
            let expected = wall.plus(then.since(instant));
            let step = now.nanos_since(expected);
            (wall, instant) = (now, then);
            if step.unsigned_abs() < CLOCK_STEP {
                continue;
            }
            let seconds = step as f64 / 1e9;
            tracing::warn!(seconds, "somebody set the clock of this box");
            let message = format!("the clock of this box was set by {seconds:+.3} s, from {expected} to {now}");
            self.tell(EventKind::ClockStep, message);
            self.recorder.redate();
            let since = tie.since();
            if expected < Timestamp::BUILT {
                for past in &mut unsynced {
                    past.behind = past.behind.saturating_add(step);
                }
                // What is still being written closes a little after the step, by the old time.
                let span = Span::new(since, expected.plus(REDATE_FOR));
                unsynced.push(Era { span, behind: step });
                if now >= Timestamp::BUILT {
                    self.redate_past(std::mem::take(&mut unsynced), tie.rows).await;
                }
            }
            if self.shutdown.is_asked() {
                // What is not dated yet is found by the next start.
                return;
            }
            tie.step((now, then));
            self.keep(&tie).await;
        }
    }

    /// Keeps how the clock stands for the next start, while it is not believed; and no longer.
    async fn keep(&self, tie: &ClockTie) {
        let is_unsynced = self.clock.now() < Timestamp::BUILT;
        let kept = is_unsynced.then(|| serde_json::to_string(tie).unwrap_or_default());
        let kept = kept.unwrap_or_default();
        if let Err(error) = self.index.write(move |writer| writer.set_meta(TIE, &kept)).await {
            tracing::warn!(%error, "how the clock stands could not be kept");
        }
    }

    /// This box did not know the time when it started, and does now: what it recorded meanwhile gets its true dates.
    async fn redate_past(&self, unsynced: Vec<Era>, after_row: i64) {
        let mut redated = 0;
        for _ in 0..REDATE_FOR.as_secs() / REDATE_LOOK.as_secs() {
            let (index, volume, news, eras) = (
                self.index.clone(),
                self.volume.clone(),
                self.news.clone(),
                unsynced.clone(),
            );
            let done = on_a_thread(move || redate_all(&index, &volume, &eras, after_row, &news)).await;
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
        if redated == 0 {
            return;
        }
        let segments = counted(redated, "segment", "segments");
        let message = format!("{segments} of before the clock was set: the true dates are known now");
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

/// How the clock stands when camkeep starts, and which footage has to get its true dates because it was set meanwhile. To be
/// called before the first camera is started.
pub(super) fn begin_tie(index: &Index, clock: &dyn Clock) -> Result<(ClockTie, Option<Era>), DaemonError> {
    let (before, rows) = index.read_blocking(|reader| Ok((reader.meta(TIE)?, reader.newest_segment_row()?)))?;
    let before = before.and_then(|kept| serde_json::from_str(&kept).ok());
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let (wall, instant) = (clock.now(), clock.instant());
    let (tie, era) = ClockTie::begin(before, boot.trim(), (wall, instant), rows);
    if wall < Timestamp::BUILT {
        let kept = serde_json::to_string(&tie).unwrap_or_default();
        index.write_blocking(move |writer| writer.set_meta(TIE, &kept))?;
    }
    Ok((tie, era))
}

fn redate_all(
    index: &Index,
    volume: &Volume,
    eras: &[Era],
    after_row: i64,
    news: &mpsc::UnboundedSender<News>,
) -> Result<(usize, bool), DaemonError> {
    let mut all = (0, false);
    for era in eras {
        let (closed, is_open) = redate_closed(index, volume, era, after_row, news)?;
        all = (all.0 + closed, all.1 || is_open);
    }
    Ok(all)
}

/// Gives closed segments of a span the dates they would have had. Says how many, and whether some are still open.
fn redate_closed(
    index: &Index,
    volume: &Volume,
    era: &Era,
    after_row: i64,
    news: &mpsc::UnboundedSender<News>,
) -> Result<(usize, bool), DaemonError> {
    let (span, step) = (era.span, era.behind);
    let found = index.read_blocking(|reader| reader.unsynced_segments(after_row, span))?;
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
