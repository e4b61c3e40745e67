//! What a camera's task tells the world: news for the timeline, events for people, and how the camera is.

use std::sync::PoisonError;

use crate::model::{Event, EventKind, GapCause, Loss, News, RunId, Segment};

use super::driver::Driver;
use super::showing::show;
use super::state::Input;

impl Driver {
    pub(super) fn tell_world(&self, news: News) {
        // Fails only when the timeline has ended, which it does after everybody who sends.
        let _ = self.setting.news.send(news);
    }

    pub(super) fn happened(&self, kind: EventKind, message: String) {
        let camera = Some(self.camera.id.clone());
        let at = self.setting.clock.now();
        self.tell_world(News::Happened(Event {
            at,
            kind,
            camera,
            message,
        }));
    }

    /// What is missing from here until the next run begins is a gap with this cause, unless one lasts already.
    pub(super) fn lose_nothing_silently(&mut self, cause: GapCause) {
        let reached = self.session.as_ref().and_then(|session| {
            session.run.finish();
            session.run.covered_until()
        });
        if let (Some(at), false) = (reached, self.outage) {
            self.covered_until = Some(at);
            self.regain();
            self.tell_world(News::Lost {
                camera: self.camera.id.clone(),
                at,
                cause,
            });
        }
    }

    pub(super) fn report(&mut self, loss: Loss, message: &str) {
        let reached = self.session.as_ref().and_then(|session| {
            session.run.finish();
            session.run.covered_until()
        });
        self.covered_until = reached.or(self.covered_until);
        // A run that is lost before its clock had settled still ended the gap before it.
        self.regain();
        let at = self.covered_until.unwrap_or_else(|| self.setting.clock.now());
        self.tell_world(News::Lost {
            camera: self.camera.id.clone(),
            at,
            cause: GapCause::Lost(loss),
        });
        if self.outage {
            tracing::info!(camera = %self.camera.id, loss = loss.as_str(), message, "still lost");
        } else {
            self.outage = true;
            tracing::warn!(camera = %self.camera.id, loss = loss.as_str(), message, "lost");
            self.happened(
                EventKind::CameraOffline,
                format!("{} was lost ({loss}): {message}", self.camera.name),
            );
        }
    }

    pub(super) fn first_frame(&mut self, id: RunId, segment: &Segment) {
        let is_first = self.covered_until.is_none();
        self.step(Input::FirstFrame);
        self.regained = Some(id);
        tracing::info!(
            camera = %self.camera.id, run = %segment.run, codec = segment.format.codec.as_str(),
            width = segment.format.width, height = segment.format.height, "recording"
        );
        if std::mem::take(&mut self.outage) {
            self.happened(EventKind::CameraOnline, format!("{} is back", self.camera.name));
        } else if is_first {
            self.happened(
                EventKind::CameraOnline,
                format!("{} is recorded for the first time", self.camera.name),
            );
        }
    }

    /// Tells where footage is there again, once that moment does not move any more.
    pub(super) fn regain(&mut self) {
        let Some(id) = self.regained.take() else { return };
        if let Some(at) = self.runs.get(&id).and_then(|run| run.began_at()) {
            self.tell_world(News::Regained {
                camera: self.camera.id.clone(),
                at,
            });
        }
    }

    pub(super) fn grow(&mut self) {
        for run in self.runs.values() {
            for (id, span, frames, size_bytes) in run.growing() {
                self.tell_world(News::Grew {
                    id,
                    span,
                    frames,
                    size_bytes,
                });
            }
        }
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.run.has_settled_clock())
        {
            self.regain();
        }
    }

    pub(super) fn show(&mut self) {
        let run = self.session.as_ref().map(|session| &session.run);
        let rates = self
            .rate
            .look(self.now(), run.map(|run| run.pulse.totals()).unwrap_or_default());
        let last = run.and_then(|run| run.covered_until()).or(self.covered_until);
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        show(&mut health, &self.machine, self.setting.clock.now(), rates);
        health.name.clone_from(&self.camera.name);
        health.last_frame_at = last;
        health.reconnects = self.begun.saturating_sub(1);
        health.abandoned = self.abandoned;
    }
}
