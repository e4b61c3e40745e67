//! The session that is on: its run, and the pipeline that feeds it. Begun and ended beside the camera's task, because
//! both may wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::model::RunId;
use crate::pipeline::{Catalog, RecordSpec, Recording, StillUp};
use crate::runtime::Tasks;

use super::relay::Relay;
use super::run::Run;

/// How long files may take to be closed in order.
const CLOSE: Duration = Duration::from_millis(2500);
/// How long the pipeline may take to come down then.
const DOWN: Duration = Duration::from_millis(1000);

/// A run that is down.
#[derive(Debug, Clone, Copy)]
pub(super) struct IsDown {
    pub(super) run: RunId,
    /// Whether its pipeline came down in time, or was left behind.
    pub(super) in_time: bool,
}

/// A run and its pipeline.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) run: Arc<Run>,
    /// How it takes over from another session, when it does.
    pub(super) relay: Option<Arc<Relay>>,
    recording: oneshot::Receiver<Recording>,
}

impl Session {
    /// Begins to record. What goes wrong is told to the run.
    pub(super) fn begin(work: &mut Tasks, catalog: Arc<Catalog>, spec: RecordSpec, run: Arc<Run>) -> Self {
        let (begun, recording) = oneshot::channel();
        let feed = run.clone();
        work.spawn("begin-run", async move {
            let hear = feed.clone();
            // No camera is asked for what could not be written.
            let begin = move || feed.can_write().then(|| Recording::begin(&catalog, &spec, feed));
            match tokio::task::spawn_blocking(begin).await {
                Ok(None) => {}
                // Whoever ends the session waits for it, so there is always a taker.
                Ok(Some(Ok(recording))) => drop(begun.send(recording)),
                Ok(Some(Err(error))) => hear.is_broken(error.to_string()),
                Err(error) => hear.is_broken(format!("beginning died: {error}")),
            }
        });
        let relay = None;
        Self { run, relay, recording }
    }

    /// A session that could not even be tried; it has nothing to take down.
    pub(super) fn unable(run: Arc<Run>) -> Self {
        Self {
            run,
            relay: None,
            recording: oneshot::channel().1,
        }
    }

    /// Closes the files and takes the pipeline down; `down` hears when that is done, and `still_up` knows of it until it is.
    pub(super) fn end(self, work: &mut Tasks, down: mpsc::UnboundedSender<IsDown>, still_up: StillUp) {
        let Self { run, recording, .. } = self;
        run.finish();
        work.spawn("end-run", async move {
            let in_time = match recording.await {
                Ok(recording) => {
                    let closing = run.clone();
                    let end = move || {
                        recording.end(CLOSE, &|| closing.is_settled());
                        recording.take_down(DOWN, still_up)
                    };
                    matches!(tokio::task::spawn_blocking(end).await, Ok(true))
                }
                Err(_) => {
                    // There never was one, and whoever hears that it is down counts.
                    drop(still_up);
                    true
                }
            };
            // The camera's task may be gone when the whole house stops.
            let _ = down.send(IsDown { run: run.id(), in_time });
        });
    }
}
