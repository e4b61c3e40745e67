//! The exporter: what requests and jobs speak to when they want a clip.
//!
//! Reading and writing are done on threads that may wait. Whoever waits for one holds a [`Waiting`](super::stop::Waiting):
//! a client that leaves drops it, the thread sees it at the next piece, and with the thread go lock and unfinished file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::error::ExportError;
use super::gathering::Held;
use super::making::Wanted;
use super::naming::Pattern;
use super::plan::{Extras, the_one};
use super::stop::Stop;
use super::turn::Turns;
use crate::index::Index;
use crate::model::{CameraId, Clip, ClipMode, Edges, Job, JobId, JobState, Order, Span, Timestamp};
use crate::pipeline::Catalog;
use crate::runtime::Clock;
use crate::storage::{BoxKey, Draft, Reel, Shelf, Volumes};

/// Clips that may be streamed at once. They cost a thread and an open file each, and no pipeline.
const STREAMS: usize = 32;
/// Jobs that may wait or run at once: more is a mistake in a loop somewhere.
const JOBS: u64 = 1000;
/// Cameras of one job.
const CAMERAS: usize = 64;

/// What clips are made with.
#[derive(Debug)]
pub struct Means {
    /// What is known of footage and of clips.
    pub index: Index,
    /// Where copies are read.
    pub volumes: Volumes,
    /// Where clips lie.
    pub shelf: Shelf,
    /// The pipelines.
    pub catalog: Arc<Catalog>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is not in a file yet.
    pub edges: Arc<dyn Edges>,
    /// Signs clips.
    pub key: Arc<BoxKey>,
    /// The places for work with media.
    pub turns: Turns,
    /// The longest clip that is made while somebody waits.
    pub longest: Duration,
    /// How long clips are kept; 0 for as long as nobody removes them.
    pub retention: Duration,
}

/// Makes clips. Clones share everything.
#[derive(Debug, Clone)]
pub struct Exporter(pub(super) Arc<Desk>);

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) means: Means,
    /// Jobs that are being made.
    pub(super) running: Mutex<BTreeMap<JobId, Stop>>,
    /// Rung when a job was ordered.
    pub(super) bell: Notify,
    streams: Arc<Semaphore>,
}

/// A clip as it would be, with what it reads held in place.
#[derive(Debug)]
pub struct Streamed {
    /// Its bytes.
    pub reel: Reel,
    /// From the first frame shown to the end of the last.
    pub shown: Span,
    /// How much it holds.
    pub covered: Duration,
    /// Where nothing was recorded.
    pub holes: Vec<Span>,
    /// Where it was cut, when it would have reached into the future.
    pub cut_to: Option<Timestamp>,
    /// What a file of it would be called.
    pub file: String,
    /// What nobody deletes before this is dropped.
    pub hold: StreamHold,
}

/// Holds footage, and a place among those who read, for as long as a clip is streamed.
#[derive(Debug)]
pub struct StreamHold {
    _held: Held,
    _spool: Option<Draft>,
    _place: OwnedSemaphorePermit,
}

impl Exporter {
    /// Puts the exporter together and tidies up what a process before this one left: nothing is being read yet, unfinished
    /// files are thrown away, and jobs that were running begin anew. For a thread that may wait.
    pub fn open(means: Means) -> Result<Self, ExportError> {
        let exporter = Self(Arc::new(Desk {
            means,
            running: Mutex::default(),
            bell: Notify::new(),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }));
        exporter.0.tidy_up()?;
        Ok(exporter)
    }

    /// Makes a clip while somebody waits, and keeps it.
    pub async fn clip(
        &self,
        camera: &CameraId,
        window: Span,
        mode: ClipMode,
        extras: Extras,
        asked_by: String,
    ) -> Result<Clip, ExportError> {
        self.check_window(window)?;
        let pattern = Pattern::parse(None).map_err(ExportError::Invalid)?;
        let (desk, camera) = (Arc::clone(&self.0), camera.clone());
        let made = self.work(move |stop| {
            let wanted = Wanted {
                camera,
                window,
                requested_to: None,
                mode,
                extras,
                burn_in: false,
                asked_by,
                job: None,
                pattern,
                is_among_others: false,
            };
            desk.make(&wanted, true, (0.0, 1.0), stop)
        });
        made.await?.pop().ok_or(ExportError::NothingThere)
    }

    /// Lays a clip out for somebody who reads it himself. Nothing is written.
    pub async fn stream(&self, camera: &CameraId, window: Span, mode: ClipMode) -> Result<Streamed, ExportError> {
        self.check_window(window)?;
        let place = Arc::clone(&self.0.streams)
            .try_acquire_owned()
            .map_err(|_| ExportError::Busy {
                jobs: STREAMS,
                seconds: 5,
            })?;
        let (desk, camera) = (Arc::clone(&self.0), camera.clone());
        let pattern = Pattern::parse(None).map_err(ExportError::Invalid)?;
        self.work(move |stop| {
            let wanted = Wanted {
                camera,
                window,
                requested_to: None,
                mode,
                extras: Extras::default(),
                burn_in: false,
                asked_by: String::new(),
                job: None,
                pattern,
                is_among_others: false,
            };
            let wanted = wanted.until(desk.means.clock.now());
            let laid = desk.lay_out(&wanted, stop, &|_| ())?;
            let file = format!("{}.mp4", wanted.stem(&laid.camera, None));
            let part = the_one(laid.parts)?;
            Ok(Streamed {
                reel: part.reel,
                shown: part.shown,
                covered: part.covered,
                holes: part.holes,
                cut_to: wanted.requested_to.map(|_| wanted.window.end),
                file,
                hold: StreamHold {
                    _held: laid.held,
                    _spool: laid.spool,
                    _place: place,
                },
            })
        })
        .await
    }

    /// Orders a job. It begins as soon as there is a place for it, also after a restart.
    pub async fn submit(&self, order: Order) -> Result<Job, ExportError> {
        if order.window.is_empty() {
            return Err(ExportError::BackToFront);
        }
        if order.cameras.is_empty() || order.cameras.len() > CAMERAS {
            return Err(ExportError::Invalid(format!("cameras: name 1 to {CAMERAS} of them")));
        }
        Pattern::parse(order.name.as_deref()).map_err(|error| ExportError::Invalid(format!("name: {error}")))?;
        let job = Job {
            id: JobId(Uuid::new_v4()),
            order,
            state: JobState::Queued,
            progress: 0.0,
            error: None,
            created_at: self.0.means.clock.now(),
            started_at: None,
            ended_at: None,
        };
        let written = job.clone();
        let refused = self
            .0
            .means
            .index
            .write(move |writer| {
                for camera in &written.order.cameras {
                    if writer.camera_or_deleted(camera)?.is_none() {
                        return Ok(Some(ExportError::NoCamera(camera.clone())));
                    }
                }
                let waiting = writer.count_unfinished_jobs()?;
                if waiting >= JOBS {
                    return Ok(Some(ExportError::Busy {
                        jobs: usize::try_from(waiting).unwrap_or(usize::MAX),
                        seconds: 60,
                    }));
                }
                writer.insert_job(&written)?;
                Ok(None)
            })
            .await?;
        match refused {
            Some(error) => Err(error),
            None => {
                self.0.bell.notify_one();
                Ok(job)
            }
        }
    }

    fn check_window(&self, window: Span) -> Result<(), ExportError> {
        if window.is_empty() {
            return Err(ExportError::BackToFront);
        }
        let (length, most) = (window.duration(), self.0.means.longest);
        if length > most {
            let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
            let most = most.as_secs();
            return Err(ExportError::TooLong { seconds, most });
        }
        Ok(())
    }

    /// Works on a thread that may wait, in a turn of its own, for as long as somebody waits for it.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stop) -> Result<T, ExportError> + Send + 'static,
    ) -> Result<T, ExportError> {
        let turn = self.0.means.turns.take().await.ok_or(ExportError::Busy {
            jobs: self.0.means.turns.places(),
            seconds: 10,
        })?;
        let stop = Stop::default();
        let _waiting = stop.when_dropped();
        on_a_thread(move || {
            let done = work(&stop);
            drop(turn);
            done
        })
        .await
    }
}

impl Desk {
    pub(super) fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobId, Stop>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ExportError::Broken(error.to_string())),
    }
}
