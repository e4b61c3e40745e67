//! What a camera's task does when a run of it is down, or was left behind.

use crate::model::{EventKind, News};

use super::driver::Driver;
use super::session::IsDown;
use super::state::Input;

impl Driver {
    pub(super) fn is_down(&mut self, down: IsDown) {
        // What the run said before it went down is heard first.
        while let Ok((run, news)) = self.hear.try_recv() {
            self.heard(run, news);
        }
        if !down.in_time {
            self.abandoned += 1;
            tracing::warn!(camera = %self.camera.id, run = %down.run, "the pipeline did not come down and was left behind");
        }
        self.look_at_those_left(self.machine.going.saturating_sub(1));
        if let Some(run) = self.runs.remove(down.run) {
            // What a run had that has handed over is not the newest there is.
            if self.session.is_none() {
                self.covered_until = run.covered_until().or(self.covered_until);
            }
            for segment in run.unwritten() {
                self.tell_world(News::Vanished(segment));
            }
        }
        self.step(Input::Down);
    }

    /// Counts the pipelines that were left behind: those that are not down yet and of which nothing is awaited any more.
    pub(super) fn look_at_those_left(&mut self, awaited: u8) {
        let left = self.still_up.count().saturating_sub(awaited.into());
        let orders = self.machine.are_left(self.now(), left);
        self.follow(orders);
    }

    /// Pipelines of it were left behind, so it is tried seldom.
    pub(super) fn held_up(&mut self, message: &str) {
        tracing::error!(camera = %self.camera.id, message, "held up");
        self.happened(EventKind::RecorderError, format!("{}: {message}", self.camera.name));
    }
}
