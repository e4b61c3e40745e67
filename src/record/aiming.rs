//! What a camera's task does when something else is wanted: by a person, by the calendar, or by an event.

use crate::model::{Camera, EventKind};
use crate::runtime::Instant;

use super::driver::Driver;
use super::intent::{Cause, Refusal, Triggered};
use super::state::{Input, State, Wish};
use super::telling::{Ledger, Silence};

impl Driver {
    /// Looks how much is wanted now, and does what is needed when that is something else than before.
    pub(super) fn aim(&mut self) {
        let before = self.aim.wish;
        let aim = self.intent.look(self.setting.clock.now(), self.now());
        if aim.wish == before && self.ledger != Ledger::Blank {
            return;
        }
        self.aim = aim;
        match aim.wish {
            Wish::Footage => {
                self.step(Input::Wanted(aim.wish));
                self.is_wanted();
            }
            Wish::Memory => {
                self.step(Input::Wanted(aim.wish));
                // What is being written has an end of its own, and the run says when.
                if !matches!(self.machine.state(), State::Recording { .. }) {
                    let at = match self.ledger {
                        Ledger::Covered => self.end_writing(),
                        _ => self.wall_of(aim.since),
                    };
                    self.is_not_wanted(at);
                }
            }
            Wish::Nothing => {
                let reached = self.end_writing();
                self.step(Input::Wanted(aim.wish));
                self.outage = false;
                self.is_not_wanted(reached);
            }
        }
        if before != aim.wish {
            tracing::debug!(camera = %self.camera.id, wish = ?aim.wish, "something else is wanted");
        }
    }

    pub(super) fn trigger(&mut self, at: Instant, cause: Cause) -> Result<Triggered, Refusal> {
        let wall = self.setting.clock.now();
        let triggered = self.intent.trigger(at, cause.lasts, wall, self.now())?;
        self.aim();
        // What goes on triggering for the same reason, as movement does, is one event.
        if !triggered.extended || self.told_cause != cause.reason {
            let done = if triggered.extended { "is extended" } else { "begins" };
            let why = cause.reason.as_deref().unwrap_or("no reason was given");
            let message = format!(
                "an event {done}, {why}: recorded from {} to {}",
                triggered.from, triggered.until
            );
            self.happened(EventKind::Triggered, message);
            self.told_cause = cause.reason;
        }
        Ok(triggered)
    }

    /// The run ends what it writes; when nothing is being written it says so at once.
    pub(super) fn hold(&mut self) {
        let is_writing = self
            .session
            .as_ref()
            .is_some_and(|session| session.run.hold(self.aim.since));
        if !is_writing {
            self.machine.step(self.now(), Input::Held, 0.0);
        }
    }

    pub(super) fn apply(&mut self, camera: Camera) {
        self.notice_hand_over();
        let renew = camera.needs_new_run(&self.camera);
        self.camera = camera;
        self.intent.set_camera(&self.camera);
        self.tail.set_keep(self.setting.tail_keep(self.intent.memory()));
        for session in self.session.iter().chain(&self.beside) {
            session.run.set_segment(self.segment_length());
            session.run.set_mirrored(self.camera.mirror_enabled);
        }
        if let Some(session) = &self.session {
            session.run.set_memory(self.intent.memory());
        }
        self.aim();
        if renew {
            self.silence = Silence::default();
            (self.believes_ticks, self.told_ticks) = (true, false);
            tracing::info!(camera = %self.camera.id, "settings changed, a new run begins");
            self.step(Input::Renew);
        }
    }
}
