//! What a camera's task tells the world: news for the timeline, events for people, and how the camera is.

use std::sync::PoisonError;
use std::time::Duration;

use crate::model::{Event, EventKind, GapCause, Loss, News, RunId, Segment, Timestamp};
use crate::runtime::Instant;

use super::driver::Driver;
use super::group::Overrun;
use super::run::Run;
use super::showing::show;
use super::state::{Input, State, Wish};

/// What the timeline was told last of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ledger {
    /// Nothing yet.
    Blank,
    /// Footage is there.
    Covered,
    /// It is wanted and missing.
    Missing,
    /// It is not wanted.
    NotWanted,
}

/// A line of the log that is repeated while something lasts, but not at each try.
#[derive(Debug, Default)]
pub(super) struct Reminder(Option<Instant>);

impl Reminder {
    const PERIOD: Duration = Duration::from_secs(300);

    /// The first line was written at this moment.
    fn since(now: Instant) -> Self {
        Self(Some(now))
    }

    /// Whether the line is written again; if so, the next is due a period later.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now.since(last) >= Self::PERIOD);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// So many reasons are told why a camera is recorded without sound.
const MOST_TROUBLES: usize = 3;

/// Why a camera is recorded without sound.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// As it was told: each reason once, however often the camera is connected to.
    told: Vec<String>,
    /// It refused its sound, and is asked for pictures only until it was lost or its settings change.
    pub(super) is_mute: bool,
}

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

    /// Sound is not recorded. The same trouble is told once, until the camera's settings change, and nobody hears of more
    /// than a few.
    pub(super) fn sound_trouble(&mut self, message: String) {
        if self.silence.told.contains(&message) || self.silence.told.len() >= MOST_TROUBLES {
            tracing::debug!(camera = %self.camera.id, message, "sound is still not recorded");
            return;
        }
        tracing::warn!(camera = %self.camera.id, message, "sound is not recorded");
        self.happened(
            EventKind::RecorderError,
            format!("{} is recorded without sound: {message}", self.camera.name),
        );
        self.silence.told.push(message);
    }

    /// Whether the camera's timestamps are believed. People are told once that they are not, until its settings change.
    pub(super) fn ticks_are(&mut self, believed: bool) {
        let camera = &self.camera.id;
        if believed {
            tracing::info!(%camera, "the camera's timestamps keep time again");
            return;
        }
        tracing::warn!(%camera, "the camera's timestamps do not keep time, its frames are dated by their arrival");
        if !std::mem::replace(&mut self.told_ticks, true) {
            let message = format!(
                "the timestamps of {} do not keep time; its frames are dated by when they arrive",
                self.camera.name
            );
            self.happened(EventKind::RecorderError, message);
        }
    }

    /// The camera breaks off when it is asked for sound, so it is asked for pictures only.
    pub(super) fn sound_refused(&mut self, message: String, is_on: bool) {
        self.sound_trouble(message);
        self.silence.is_mute = true;
        if is_on {
            self.step(Input::Again);
        }
    }

    /// The moment on the wall clock at a moment of the other.
    pub(super) fn wall_of(&self, instant: Instant) -> Timestamp {
        let (wall, now) = (self.setting.clock.now(), self.now());
        wall.minus(now.since(instant)).plus(instant.since(now))
    }

    /// From here on footage is wanted. When frames flow, the first that is written says so itself; else it is missing.
    pub(super) fn is_wanted(&mut self) {
        let before = std::mem::replace(&mut self.ledger, Ledger::Missing);
        let at = self.wall_of(self.aim.since);
        match before {
            Ledger::Blank | Ledger::Missing => {}
            Ledger::Covered => self.ledger = before,
            Ledger::NotWanted => {
                self.missing_from = Some(at);
                if matches!(self.machine.state(), State::Recording { .. }) {
                    self.ledger = before;
                    return;
                }
                let camera = self.camera.id.clone();
                self.tell_world(News::Wanted { camera, at });
                if let Some((loss, _)) = self.machine.loss() {
                    self.is_missing(at, GapCause::Lost(*loss));
                }
            }
        }
    }

    /// From here on no footage is wanted.
    pub(super) fn is_not_wanted(&mut self, at: Timestamp) {
        self.regain();
        self.missing_from = None;
        if self.ledger != Ledger::NotWanted {
            self.ledger = Ledger::NotWanted;
            let camera = self.camera.id.clone();
            self.tell_world(News::Unwanted { camera, at });
        }
    }

    /// From here on footage is wanted and missing.
    fn is_missing(&mut self, at: Timestamp, cause: GapCause) {
        // Where footage began again is told before it is told that it ended.
        self.regain();
        self.ledger = Ledger::Missing;
        let camera = self.camera.id.clone();
        self.tell_world(News::Lost { camera, at, cause });
    }

    /// Nothing more is written; the moment up to which something was, or now.
    pub(super) fn end_writing(&mut self) -> Timestamp {
        let reached = self.session.as_ref().and_then(|session| {
            session.run.finish();
            session.run.covered_until()
        });
        self.covered_until = reached.or(self.covered_until);
        let covered = self.covered_until.filter(|_| self.ledger == Ledger::Covered);
        covered.unwrap_or_else(|| self.setting.clock.now())
    }

    /// What is missing from here until the next run begins is a gap with this cause, unless one lasts already.
    pub(super) fn lose_nothing_silently(&mut self, cause: GapCause) {
        let at = self.end_writing();
        match (self.ledger, self.aim.wish) {
            (Ledger::Covered, Wish::Footage) => self.is_missing(at, cause),
            (Ledger::Covered, _) => self.is_not_wanted(at),
            _ => {}
        }
    }

    pub(super) fn report(&mut self, loss: Loss, message: &str) {
        let has_come = self.session.as_ref().and_then(|session| session.run.pulse.heard());
        if has_come.is_none() && !loss.is_of_the_volume() {
            self.ways.failed();
        }
        self.silence.is_mute = false;
        let now = self.end_writing();
        match (self.ledger, self.aim.wish) {
            (_, Wish::Footage) => {
                let known = self.missing_from.or(self.covered_until);
                self.is_missing(known.unwrap_or(now), GapCause::Lost(loss));
            }
            // Only the last group of pictures was still being written.
            (Ledger::Covered, _) => self.is_not_wanted(now),
            _ => {}
        }
        if loss.is_of_the_volume() {
            // Not the camera is lost, and it comes back at each try.
            if !std::mem::replace(&mut self.no_volume, true) {
                self.counts.add_loss(loss);
            }
            self.volume_refuses(loss, message);
        } else if self.outage {
            match self.still_lost.is_due(self.now()) {
                true => tracing::info!(camera = %self.camera.id, loss = loss.as_str(), message, "still lost"),
                false => tracing::debug!(camera = %self.camera.id, loss = loss.as_str(), message, "still lost"),
            }
        } else {
            self.outage = true;
            self.counts.add_loss(loss);
            self.still_lost = Reminder::since(self.now());
            tracing::warn!(camera = %self.camera.id, loss = loss.as_str(), message, "lost");
            self.happened(
                EventKind::CameraOffline,
                format!("{} was lost ({loss}): {message}", self.camera.name),
            );
        }
    }

    /// Nothing can be written. People are told so once, whichever camera finds out first.
    fn volume_refuses(&self, loss: Loss, message: &str) {
        if self.setting.volume.notice_lost() {
            tracing::warn!(camera = %self.camera.id, loss = loss.as_str(), message, "nothing can be written");
            let kind = match loss {
                Loss::VolumeFull => EventKind::DiskPressure,
                _ => EventKind::VolumeLost,
            };
            let (at, camera) = (self.setting.clock.now(), None);
            let message = format!("nothing can be recorded: {message}");
            self.tell_world(News::Happened(Event {
                at,
                kind,
                camera,
                message,
            }));
        } else {
            tracing::debug!(camera = %self.camera.id, loss = loss.as_str(), message, "still nothing can be written");
        }
    }

    /// The camera sends no keyframe. What was received stays; when there is no end of it, another session is asked for,
    /// because cameras begin those with a keyframe.
    pub(super) fn overrun(&mut self, overrun: Overrun) {
        let name = &self.camera.name;
        let advice = "set its keyframe interval (GOP, I-frame interval) to a few seconds";
        match overrun {
            Overrun::Long(seconds) => {
                let message = format!(
                    "{name} has sent no keyframe for {seconds} s, so its segments are longer than they should be; {advice}"
                );
                tracing::warn!(camera = %self.camera.id, seconds, "segments cannot be cut, there is no keyframe");
                self.happened(EventKind::RecorderError, message);
            }
            Overrun::Endless(seconds) => {
                let message = format!("{name} has sent no keyframe for {seconds} s and is connected anew; {advice}");
                tracing::warn!(camera = %self.camera.id, seconds, "there is no end of a group of pictures, a new run begins");
                self.happened(EventKind::RecorderError, message);
                self.lose_nothing_silently(GapCause::Lost(Loss::Broken));
                self.step(Input::Again);
            }
        }
    }

    /// A segment has a file.
    pub(super) fn placed(&self, segment: Segment) {
        if self.setting.volume.notice_back() {
            tracing::info!(camera = %self.camera.id, "the volume takes files again");
        }
        self.tell_world(News::Opened(segment));
    }

    /// The first frame of a run came.
    pub(super) fn began(&mut self) {
        self.step(Input::FirstFrame);
        self.ways.worked();
        let name = self.camera.name.clone();
        if std::mem::take(&mut self.outage) {
            self.happened(EventKind::CameraOnline, format!("{name} is back"));
        } else if !std::mem::replace(&mut self.was_seen, true) {
            self.happened(
                EventKind::CameraOnline,
                format!("{name} is received for the first time"),
            );
        }
    }

    /// The first frame is written since nothing was.
    pub(super) fn resumed(&mut self, id: RunId) {
        self.regain();
        self.ledger = Ledger::Covered;
        self.no_volume = false;
        self.missing_from = None;
        self.regained = Some(id);
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.run.has_settled_clock())
        {
            self.regain();
        }
    }

    /// What was written is at its end.
    pub(super) fn held(&mut self, end: Timestamp) {
        self.covered_until = Some(end);
        self.step(Input::Held);
        if self.aim.wish != Wish::Footage {
            self.is_not_wanted(end);
        }
    }

    /// Tells where footage is there again, once that moment does not move any more.
    pub(super) fn regain(&mut self) {
        let Some(id) = self.regained.take() else { return };
        if let Some(at) = self.runs.get(id).and_then(|run| run.began_at()) {
            self.tell_world(News::Regained {
                camera: self.camera.id.clone(),
                at,
            });
        }
    }

    pub(super) fn grow(&mut self) {
        for run in self.runs.all() {
            run.growing().into_iter().for_each(|grown| self.tell_world(grown));
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
        let is_on = self.camera.is_in_use() && self.camera.record_enabled;
        show(&mut health, &self.machine, is_on, self.setting.clock.now(), rates);
        health.name.clone_from(&self.camera.name);
        health.last_frame_at = last;
        health.reconnects = self.begun.saturating_sub(1);
        health.abandoned = self.abandoned;
        health.ticks_believed = run.map_or(self.believes_ticks, |run| run.believes_ticks());
    }
}

impl Run {
    /// How far segments have grown whose files are not closed yet.
    pub(super) fn growing(&self) -> Vec<News> {
        let inner = self.lock();
        inner.pieces.iter().map(|piece| piece.grown(&inner.map)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_stays_away_is_written_of_each_five_minutes_however_often_it_is_tried() {
        let second = |seconds: u64| Instant(seconds * 1_000_000_000);
        let mut reminder = Reminder::since(second(10));
        let written: Vec<u64> = (10..1000)
            .step_by(7)
            .filter(|at| reminder.is_due(second(*at)))
            .collect();
        assert_eq!(written, [311, 612, 913]);
    }
}
