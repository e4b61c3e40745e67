//! The queue: jobs wait for a place, run, end, and begin anew when the process that made them died. And what is done by the
//! clock: clips whose time is over go.

use std::sync::Arc;
use std::time::Duration;

use super::driver::{Desk, Exporter, on_a_thread};
use super::error::ExportError;
use super::making::{Wanted, failed};
use super::naming::Pattern;
use super::plan::Extras;
use super::stop::Stop;
use crate::model::{Fault, Job, JobState, Timestamp};
use crate::runtime::{Clock, Instant, Shutdown, Tasks};

/// Jobs at once. Fewer than there are places, so that whoever waits for a clip need not wait for jobs of hours.
const AT_ONCE: usize = 2;
/// How often it is looked whether a clip's time is over.
const LOOK: Duration = Duration::from_secs(60);
/// A wall clock that went this much farther than time did was set, and what it says of clips' ages is not believed yet.
const LEAP: Duration = Duration::from_secs(600);
/// How long it is not believed.
const DOUBT: Duration = Duration::from_secs(3600);
/// How long jobs that are being made may take to end when the daemon stops.
const END: Duration = Duration::from_millis(700);
/// Clips that go in one look.
const GONE_AT_ONCE: u32 = 200;

impl Exporter {
    /// Makes the jobs that are ordered, and lets clips go, until the end is asked for. What was being made then is left to
    /// the next start.
    pub async fn run(self, shutdown: Shutdown) {
        self.recover(&shutdown).await;
        let mut jobs = Tasks::new();
        let mut count = 0;
        let mut expiry = Expiry::new(self.0.means.clock.as_ref());
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while count < AT_ONCE {
                match self.next_job().await {
                    Ok(Some(job)) => {
                        count += 1;
                        let exporter = self.clone();
                        jobs.spawn("export", async move { exporter.make_job(job).await });
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(%error, "the queue of exports cannot be read; it is tried again");
                        break;
                    }
                }
            }
            tokio::select! {
                () = shutdown.asked() => break,
                () = self.0.bell.notified() => {}
                Some(ended) = jobs.next_end(), if count > 0 => {
                    count -= 1;
                    if let Err(error) = ended {
                        tracing::error!(error, "an export died");
                    }
                }
                _ = look.tick() => expiry.look(&self).await,
            }
        }
        for stop in self.0.running().values() {
            stop.stop();
        }
        jobs.join_all(END).await;
    }

    /// Lets clips and ended jobs go whose time is over at a moment, and says how many clips.
    pub async fn let_go(&self, now: Timestamp) -> Result<usize, ExportError> {
        let desk = Arc::clone(&self.0);
        on_a_thread(move || desk.let_go(now)).await
    }

    async fn next_job(&self) -> Result<Option<Job>, ExportError> {
        let now = self.0.means.clock.now();
        Ok(self
            .0
            .means
            .index
            .write(move |writer| writer.start_next_job(now))
            .await?)
    }

    async fn make_job(&self, job: Job) {
        let turn = self.0.means.turns.wait().await;
        let stop = Stop::default();
        self.0.running().insert(job.id, stop.clone());
        let (desk, id) = (Arc::clone(&self.0), job.id);
        // Called off between the taking and the entry in the list: then the row says so.
        let outcome = on_a_thread(move || {
            let ended = desk.make_all(&job, &stop);
            drop(turn);
            ended
        });
        if let Err(error) = outcome.await {
            tracing::error!(%error, job = %id, "an export could not be ended");
        }
        self.0.running().remove(&id);
    }
}

impl Desk {
    /// Makes the clips of every camera of a job, and says how it ended.
    fn make_all(&self, job: &Job, stop: &Stop) -> Result<(), ExportError> {
        let id = job.id;
        let row = self.means.index.read_blocking(move |reader| reader.job(id))?;
        if row.is_none_or(|row| row.state != JobState::Running) {
            return Ok(());
        }
        let order = &job.order;
        let pattern = Pattern::parse(order.name.as_deref()).map_err(ExportError::Invalid)?;
        let (mut made, mut troubles) = (0, Vec::new());
        let count = order.cameras.len();
        for (number, camera) in order.cameras.iter().enumerate() {
            let wanted = Wanted {
                camera: camera.clone(),
                window: order.window,
                requested_to: None,
                mode: order.mode,
                extras: Extras {
                    captions: order.captions,
                },
                burn_in: order.burn_in,
                asked_by: order.asked_by.clone(),
                job: Some(job.id),
                pattern: pattern.clone(),
                is_among_others: count > 1,
            };
            let share = 1.0 / count as f64;
            match self.make(&wanted, false, (number as f64 * share, share), stop) {
                Ok(clips) => made += clips.len(),
                Err(_) if stop.is_stopped() => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, %camera, job = %job.id, "a clip of an export could not be made");
                    troubles.push(format!("{camera}: {error}"));
                    let event = failed(camera, order.window, &error, self.means.clock.now());
                    self.means
                        .index
                        .write_later("telling that a clip failed", move |writer| {
                            writer.add_event(&event).map(|_| ())
                        });
                }
            }
            stop.reach((number + 1) as f64 * share);
        }
        let state = if made > 0 { JobState::Done } else { JobState::Failed };
        let error = (!troubles.is_empty()).then(|| troubles.join("; "));
        let (now, progress) = (self.means.clock.now(), stop.progress());
        self.means
            .index
            .write_blocking(move |writer| writer.end_job(id, state, progress, error.as_deref(), now))?;
        Ok(())
    }

    /// What a process before this one left.
    pub(super) fn tidy_up(&self) -> Result<(), ExportError> {
        let (released, again) = self.means.index.write_blocking(|writer| {
            let released = writer.unlock_all_segments()?;
            let mut again = Vec::new();
            for job in writer.running_jobs()? {
                // It begins anew, so what it had made already would be there twice.
                for clip in writer.clips_of(job.id)? {
                    writer.remove_clip(clip.id)?;
                    again.push(clip.file);
                }
                writer.requeue_job(job.id)?;
                tracing::info!(job = %job.id, "an export that was being made when camkeep ended begins anew");
            }
            Ok((released, again))
        })?;
        for file in again {
            self.throw_away(&file)?;
        }
        let index = &self.means.index;
        let (finished, thrown) = self.means.shelf.settle(|file| {
            let file = file.to_owned();
            index
                .read_blocking(move |reader| reader.clip_by_file(&file))
                .is_ok_and(|clip| clip.is_some())
        })?;
        if released + finished + thrown > 0 {
            tracing::info!(released, finished, thrown, "tidied up after exports that were cut off");
        }
        Ok(())
    }

    /// Lets clips and jobs go whose time is over, and says how many clips.
    pub(super) fn let_go(&self, now: Timestamp) -> Result<usize, ExportError> {
        let gone = self
            .means
            .index
            .read_blocking(move |reader| reader.expired_clips(now, GONE_AT_ONCE))?;
        for clip in &gone {
            match self.remove_clip(clip.id) {
                Ok(_) => tracing::info!(file = clip.file, "a clip's time was over"),
                Err(error) if error.fault() == Fault::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if self.means.retention > Duration::ZERO {
            let before = now.minus(self.means.retention);
            self.means
                .index
                .write_blocking(move |writer| writer.remove_old_jobs(before))?;
        }
        Ok(gone.len())
    }
}

/// When clips may be let go: not while the wall clock cannot be believed.
#[derive(Debug)]
struct Expiry {
    wall: Timestamp,
    instant: Instant,
    doubt_until: Option<Instant>,
}

impl Expiry {
    fn new(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.now(),
            instant: clock.instant(),
            doubt_until: None,
        }
    }

    /// Whether the clock can be believed now.
    fn is_sure(&mut self, clock: &dyn Clock) -> bool {
        let (wall, instant) = (clock.now(), clock.instant());
        let expected = self.wall.plus(instant.since(self.instant));
        if wall.since(expected) > LEAP {
            tracing::warn!("the clock was set forward; no clip's time is over for the next hour");
            self.doubt_until = Some(instant.plus(DOUBT));
        }
        (self.wall, self.instant) = (wall, instant);
        wall >= Timestamp::BUILT && self.doubt_until.is_none_or(|until| instant >= until)
    }

    async fn look(&mut self, exporter: &Exporter) {
        if self.is_sure(exporter.0.means.clock.as_ref())
            && let Err(error) = exporter.let_go(self.wall).await
        {
            tracing::error!(%error, "clips whose time is over could not be removed; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::runtime::ManualClock;

    #[test]
    fn a_clock_that_is_set_forward_lets_no_clip_go_for_an_hour() {
        let clock = ManualClock::at(Timestamp::BUILT.plus(Duration::from_secs(1)));
        let mut expiry = Expiry::new(&clock);
        let minute = || clock.advance(Duration::from_secs(60));
        minute();
        assert!(expiry.is_sure(&clock));
        clock.step(86_400_000_000_000);
        minute();
        assert!(!expiry.is_sure(&clock), "a day in a minute");
        for _ in 0..59 {
            minute();
            assert!(!expiry.is_sure(&clock));
        }
        minute();
        assert!(expiry.is_sure(&clock), "after an hour it is believed");
        clock.step(-86_400_000_000_000 * 400);
        minute();
        assert!(
            !expiry.is_sure(&clock),
            "a box that does not know the time knows no ages"
        );
        assert!(clock.now() < Timestamp::BUILT);
    }
}
