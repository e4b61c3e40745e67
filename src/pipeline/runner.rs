//! Playing a pipeline, and getting rid of it: every state change has a deadline.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::runtime::{pause, spawn_thread};

use super::connection::Connection;
use super::error::PipelineError;
use super::event::{PipelineEvent, read, state_name};

/// How often a pipeline is told to come down: from the top there are four states.
const TIMES: usize = 4;

/// Pipelines that did not come down in time and were left behind, since the process started.
static ABANDONED: AtomicU64 = AtomicU64::new(0);

/// How many pipelines were left behind because they did not come down in time.
pub fn abandoned() -> u64 {
    ABANDONED.load(Ordering::Relaxed)
}

/// Pipelines that are not down yet, those among them that were left behind too.
#[derive(Debug, Clone, Default)]
pub struct StillUp(Arc<()>);

impl StillUp {
    /// How many.
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// A pipeline that plays, or will.
#[derive(Debug)]
pub(super) struct Runner {
    pipeline: gst::Pipeline,
    connection: Option<Arc<Connection>>,
}

impl Runner {
    /// Takes a pipeline over. `listen` hears its events on GStreamer's threads and must not wait.
    pub(super) fn new(pipeline: gst::Pipeline, listen: impl Fn(PipelineEvent) + Send + Sync + 'static) -> Self {
        Self::over(pipeline, None, move |message| {
            if let Some(event) = read(message) {
                listen(event);
            }
        })
    }

    /// Takes a pipeline over with the connection to its camera. `listen` hears what it says, before it is anybody's event.
    pub(super) fn of_camera(
        pipeline: gst::Pipeline,
        connection: Arc<Connection>,
        listen: impl Fn(&gst::Message) + Send + Sync + 'static,
    ) -> Self {
        Self::over(pipeline, Some(connection), listen)
    }

    fn over(
        pipeline: gst::Pipeline,
        connection: Option<Arc<Connection>>,
        listen: impl Fn(&gst::Message) + Send + Sync + 'static,
    ) -> Self {
        if let Some(bus) = pipeline.bus() {
            // Heard where they are posted: no thread and no main loop a camera, and nothing queues up unheard.
            bus.set_sync_handler(move |_, message| {
                listen(message);
                gst::BusSyncReply::Drop
            });
        }
        Self { pipeline, connection }
    }

    fn cut(&self) {
        if let Some(connection) = &self.connection {
            connection.cut();
        }
    }

    pub(super) fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }

    /// Brings the pipeline to a state, or says within the deadline why not. A state that comes by itself later, as
    /// that of a live source, is success.
    pub(super) fn reach(&self, state: gst::State, deadline: Duration) -> Result<(), PipelineError> {
        let pipeline = self.pipeline.clone();
        let name = pipeline.name().to_string();
        let done = on_a_thread(move || pipeline.set_state(state).map(|_| ()));
        let state = state_name(state).to_owned();
        match done.and_then(|done| done.recv_timeout(deadline).ok()) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(PipelineError::State {
                name,
                state,
                reason: error.to_string(),
            }),
            None => Err(PipelineError::Deadline { name, after: deadline }),
        }
    }

    /// The answer is whether it is down.
    fn begin_to_come_down(&self, still_up: StillUp) -> Option<mpsc::Receiver<bool>> {
        let pipeline = self.pipeline.clone();
        on_a_thread(move || {
            // Whoever counts them looks when this has answered.
            let _still_up = still_up;
            let is_down = bring_down(&pipeline);
            if let Some(bus) = pipeline.bus() {
                bus.unset_sync_handler();
            }
            is_down
        })
    }

    /// Takes the pipeline down on a thread of its own and waits for at most the deadline. A hostile peer can hold rtspsrc
    /// for as long as it likes, so its connection is cut when half of the time is over. `false` says that even this did not help
    /// and the pipeline was left behind.
    pub(super) fn take_down(self, deadline: Duration) -> bool {
        self.take_down_counted(deadline, StillUp::default())
    }

    /// The same, counted until it is down, however long that takes.
    pub(super) fn take_down_counted(self, deadline: Duration, still_up: StillUp) -> bool {
        let name = self.pipeline.name().to_string();
        let done = self.begin_to_come_down(still_up);
        let half = deadline / 2;
        let down = done.is_some_and(|done| {
            done.recv_timeout(half).unwrap_or_else(|_| {
                self.cut();
                done.recv_timeout(deadline - half).unwrap_or(false)
            })
        });
        if !down {
            ABANDONED.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                pipeline = name,
                seconds = deadline.as_secs(),
                "did not come down in time and was left behind"
            );
        }
        down
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // A pipeline that somebody forgot must not play on; one that is down already does not mind.
        if self.pipeline.current_state() != gst::State::Null {
            let _ = self.begin_to_come_down(StillUp::default());
            self.cut();
        }
    }
}

/// Brings an element to where it holds nothing; whether it is there. A splitmuxsink whose stream ends just now without its
/// ever having had a file says that it cannot stop what it could not begin, and leaves everything around it where it was. Asked
/// again it can: one step more is behind it each time.
pub(super) fn bring_down(element: &impl IsA<gst::Element>) -> bool {
    (0..TIMES).any(|_| element.set_state(gst::State::Null).is_ok())
}

/// How long a conversation that is refused waits for its end before it is let go on.
const UNTIL_DOWN: Duration = Duration::from_secs(8);

/// Waits for an element to be taken down, on a thread of its own that is not to go on.
pub(super) fn wait_until_down(element: &gst::glib::WeakRef<gst::Element>) {
    let Some(element) = element.upgrade() else { return };
    let (step, mut waited) = (Duration::from_millis(10), Duration::ZERO);
    while element.current_state() > gst::State::Ready && waited < UNTIL_DOWN {
        pause(step);
        waited += step;
    }
}

/// Does something that a stuck stream may hold up, without being held up. Whether it worked shows in what the pipeline
/// does next.
pub(super) fn on_the_side(work: impl FnOnce() -> bool + Send + 'static) {
    let _ = on_a_thread(work);
}

/// Runs something that may hang on a thread of its own. The thread ends when the work does; nobody joins it, because
/// whoever waits for it has a deadline.
fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<mpsc::Receiver<T>> {
    let (send, receive) = mpsc::channel();
    let started = spawn_thread("pipeline-state", move || {
        // Nobody listens any more when the deadline has passed.
        let _ = send.send(work());
    });
    started.ok().map(|_| receive)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use super::*;

    #[test]
    fn a_pipeline_whose_stream_ends_before_it_had_a_file_is_down_when_it_is_said_to_be() {
        gst::init().unwrap();
        // Alive and silent, as a camera is between its answer to PLAY and its first keyframe, and with nowhere to write to, as a
        // recording is that is not wanted any more. Whether splitmuxsink fails to stop depends on which of the two comes first.
        let text = "appsrc name=camera is-live=true format=time caps=video/x-h264,stream-format=avc,alignment=au \
                    ! queue name=room ! splitmuxsink async-finalize=false sink=\"tee name=bytes ! filesink async=false\"";
        for _ in 0..50 {
            let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
            let runner = Runner::new(pipeline.clone(), |_| {});
            runner.reach(gst::State::Playing, Duration::from_secs(5)).unwrap();
            let camera = pipeline.by_name("camera").unwrap();
            on_the_side(move || camera.emit_by_name::<gst::FlowReturn>("end-of-stream", &[]) == gst::FlowReturn::Ok);
            assert!(runner.take_down(Duration::from_secs(5)));
            assert_eq!(pipeline.current_state(), gst::State::Null);
        }
    }
}
