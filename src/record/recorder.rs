//! The door to recording for everybody else: which cameras, and how they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::model::{Camera, CameraHealth, CameraId, CameraState, Edge, Edges, GapCause, Schedule, Segment};
use crate::runtime::{Tasks, Timing};

use super::counts::Counts;
use super::driver::{Command, Driver, SharedHealth};
use super::intent::{Cause, Refusal, Triggered};
use super::runs::{Adopted, Runs};
use super::setting::Setting;
use super::showing::Round;
use super::tail::Tail;

/// A handle on the recording of all cameras. Clones share it.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    setting: Setting,
    cameras: Mutex<BTreeMap<CameraId, Entry>>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug)]
struct Entry {
    round: Arc<Round>,
    commands: mpsc::UnboundedSender<Command>,
    health: SharedHealth,
    tail: Tail,
    runs: Runs,
    counts: Arc<Counts>,
}

impl Recorder {
    /// A recorder without cameras.
    pub fn new(setting: Setting) -> Self {
        let (cameras, tasks) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared {
            setting,
            cameras,
            tasks,
        }))
    }

    pub(super) fn setting(&self) -> &Setting {
        &self.0.setting
    }

    /// Takes up a new camera, or the new settings of one.
    pub fn apply(&self, camera: Camera) {
        self.adopt(camera, None, Vec::new());
    }

    /// The same for a camera of which something is known: its last segment says what it most likely sends, its schedules
    /// when it is recorded.
    pub fn adopt(&self, camera: Camera, last: Option<Segment>, schedules: Vec<Schedule>) {
        let mut cameras = self.cameras();
        if let Some(entry) = cameras.get(&camera.id) {
            let (apply, id) = (Command::Apply(Box::new(camera.clone())), camera.id.clone());
            if entry.commands.send(apply).is_ok() {
                return;
            }
            tracing::error!(camera = %id, "the camera's task had died and is begun anew");
        }
        let (commands, asked) = mpsc::unbounded_channel();
        let health = Arc::new(Mutex::new(CameraHealth {
            camera_id: camera.id.clone(),
            name: camera.name.clone(),
            state: if camera.enabled {
                CameraState::Connecting
            } else {
                CameraState::Disabled
            },
            since: self.0.setting.clock.now(),
            loss: None,
            message: None,
            last_frame_at: last.as_ref().map(|segment| segment.span.end),
            frames_per_second: 0.0,
            bytes_per_second: 0.0,
            reconnects: 0,
            abandoned: 0,
            ticks_believed: true,
        }));
        let id = camera.id.clone();
        let round = Arc::new(Round::at(self.0.setting.clock.instant()));
        let tail = Tail::new(self.0.setting.remember);
        let runs = Runs::default();
        // Those of a task that died go on.
        let counts = cameras.get(&id).map(|entry| entry.counts.clone()).unwrap_or_default();
        let adopted = Adopted {
            camera,
            last,
            schedules,
            tail: tail.clone(),
            runs: runs.clone(),
            counts: counts.clone(),
        };
        let driver = Driver::new(self.0.setting.clone(), adopted, round.clone(), health.clone());
        self.0
            .tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn("record-camera", driver.drive(asked));
        cameras.insert(
            id,
            Entry {
                round,
                commands,
                health,
                tail,
                runs,
                counts,
            },
        );
    }

    /// These are the schedules of a camera now.
    pub fn schedule(&self, id: &CameraId, schedules: Vec<Schedule>) {
        if let Some(entry) = self.cameras().get(id) {
            // A task that has died is begun anew with the next change of its camera, or with the next start.
            let _ = entry.commands.send(Command::Schedule(schedules));
        }
    }

    /// Something happens at a camera at this moment, and lasts for so long: footage of it is kept, from before and after
    /// too.
    pub async fn trigger(&self, id: &CameraId, cause: Cause) -> Result<Triggered, Refusal> {
        let at = self.0.setting.clock.instant();
        let (answer, answered) = oneshot::channel();
        {
            let cameras = self.cameras();
            let entry = cameras.get(id).ok_or(Refusal::Unknown)?;
            entry
                .commands
                .send(Command::Trigger(at, cause, answer))
                .map_err(|_| Refusal::Unknown)?;
        }
        answered.await.unwrap_or(Err(Refusal::Unknown))
    }

    /// The last while of a camera, in memory.
    pub fn tail(&self, id: &CameraId) -> Option<Tail> {
        self.cameras().get(id).map(|entry| entry.tail.clone())
    }

    /// Lets a camera go; returns when its last segment is closed.
    pub async fn remove(&self, id: &CameraId) {
        let entry = self.cameras().remove(id);
        if let Some(entry) = entry {
            let (done, is_done) = oneshot::channel();
            if entry.commands.send(Command::Stop(GapCause::Stopped, done)).is_ok() {
                // Answered by an error when the task has died, and then it is gone as well.
                let _ = is_done.await;
            }
        }
    }

    /// Somebody set the wall clock: footage from the next keyframe on is dated by it, as another run.
    pub fn redate(&self) {
        for entry in self.cameras().values() {
            // A task that has died dates nothing.
            let _ = entry.commands.send(Command::Redate);
        }
    }

    /// For how long the camera's task that is the farthest behind has not come round; each does at least each second.
    pub fn stuck_for(&self) -> Duration {
        let now = self.0.setting.clock.instant();
        let rounds = self.cameras().values().map(|entry| now.since(entry.round.last())).max();
        rounds.unwrap_or_default()
    }

    /// Closes every segment and ends every task, within the deadline; `false` when some were cut off.
    pub async fn stop(&self, deadline: Duration) -> bool {
        let entries = std::mem::take(&mut *self.cameras());
        for entry in entries.values() {
            let (done, _) = oneshot::channel();
            // A task that has died has nothing left to close.
            let _ = entry.commands.send(Command::Stop(GapCause::Stopped, done));
        }
        let tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.join_all(deadline).await
    }

    /// How every camera is, in the order of their ids.
    pub fn health(&self) -> Vec<CameraHealth> {
        self.cameras().values().map(|entry| copy(&entry.health)).collect()
    }

    /// What came of every camera since the daemon began, and how each is, in the order of their ids.
    pub fn counts(&self) -> Vec<(CameraHealth, Arc<Counts>)> {
        let cameras = self.cameras();
        let entries = cameras.values();
        entries
            .map(|entry| (copy(&entry.health), entry.counts.clone()))
            .collect()
    }

    /// How long each kind of writing takes, by the name of its figure.
    pub fn timings(&self) -> Vec<(&'static str, &'static str, Timing)> {
        let Setting {
            timings, syncer, tail, ..
        } = &self.0.setting;
        vec![
            (
                "index_delay_seconds",
                "From the close of a segment's file by the muxer to the commit of its row",
                timings.index_delay.clone(),
            ),
            (
                "segment_close_seconds",
                "From the close of a segment's file by the muxer until it is labelled, synced and hashed",
                timings.close.clone(),
            ),
            (
                "segment_sync_seconds",
                "Syncs of closed segments' files and of their directories",
                timings.sync.clone(),
            ),
            (
                "growing_sync_seconds",
                "Syncs of segments' files that grow, one a second and file",
                syncer.timing().clone(),
            ),
            (
                "journal_write_seconds",
                "Writes of what all cameras brought in a moment to their journals",
                tail.as_ref().map(|tail| tail.timing().clone()).unwrap_or_default(),
            ),
        ]
    }

    /// How one camera is.
    pub fn camera_health(&self, id: &CameraId) -> Option<CameraHealth> {
        self.cameras().get(id).map(|entry| copy(&entry.health))
    }

    fn cameras(&self) -> MutexGuard<'_, BTreeMap<CameraId, Entry>> {
        self.0.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Edges for Recorder {
    fn edges(&self, camera: &CameraId) -> Vec<Edge> {
        let runs = self.cameras().get(camera).map(|entry| entry.runs.all());
        let runs = runs.unwrap_or_default();
        runs.iter().flat_map(|run| run.edges()).collect()
    }
}

fn copy(health: &SharedHealth) -> CameraHealth {
    health.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
