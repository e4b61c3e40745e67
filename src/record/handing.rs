//! A camera's task while its settings change: a second session begins beside the first, takes over from it at a frame,
//! and the first is ended behind its back.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Loss;

use super::driver::Driver;
use super::relay::Relay;
use super::run::RunNews;
use super::state::Input;

/// How much of the past a run holds that waits to take over: the time it takes to agree, with room to spare.
const WAITING: Duration = Duration::from_secs(15);

impl Driver {
    /// Hears of a hand-over that the two runs have agreed on, before anything else is done.
    pub(super) fn notice_hand_over(&mut self) {
        if self.hold_hand_over(true) {
            self.step_now(Input::TakenOver);
        }
        self.hold_hand_over(false);
    }

    /// Keeps the two runs from agreeing; whether they have already.
    pub(super) fn hold_hand_over(&self, is_held: bool) -> bool {
        let relay = self.beside.as_ref().and_then(|session| session.relay.as_ref());
        relay.is_some_and(|relay| relay.hold(is_held))
    }

    /// Begins a session by the new settings beside the one that is on.
    pub(super) fn begin_beside(&mut self) {
        let relay = Arc::new(Relay::new());
        let mut session = self.connect(Some(relay.clone()), WAITING);
        if let Some(on) = &self.session {
            on.run.give_to(relay.clone());
        }
        session.relay = Some(relay);
        self.beside = Some(session);
    }

    /// Lets the second session go; the first goes on as if nothing had been.
    pub(super) fn drop_beside(&mut self) {
        if let Some(session) = self.beside.take() {
            if let Some(relay) = &session.relay {
                relay.call_off();
            }
            session.end(&mut self.work, self.down.clone(), self.still_up.clone());
        }
        if let Some(on) = &self.session {
            on.run.keep_on();
        }
    }

    /// The second session is the one that is on; the first is ended.
    pub(super) fn take_over(&mut self) {
        let Some(mut session) = self.beside.take() else { return };
        let relay = session.relay.take();
        session.run.set_memory(self.intent.memory());
        session.run.tail.put_on();
        let run = session.run.id();
        if let Some(old) = self.session.replace(session) {
            old.run.keep_on();
            self.covered_until = old.run.covered_until().or(self.covered_until);
            tracing::info!(camera = %self.camera.id, from = %old.run.id(), to = %run, "handed over");
            old.end(&mut self.work, self.down.clone(), self.still_up.clone());
        }
        if let Some(relay) = relay {
            // Nothing, when the two have agreed; else the first has ended by itself.
            relay.go_alone(self.covered_until);
        }
    }

    /// The second session says something while it waits.
    pub(super) fn heard_beside(&mut self, news: RunNews) {
        match news {
            RunNews::Began => self.step(Input::BesideCame),
            RunNews::Lost(loss, message) => self.beside_lost(loss, &message),
            RunNews::Jumped(seconds) => {
                let message = format!("the camera's timestamps jumped by {seconds} s");
                self.beside_lost(Loss::Broken, &message);
            }
            RunNews::OtherCodec(Some(codec)) => {
                tracing::info!(camera = %self.camera.id, codec = codec.as_str(), "the camera sends another codec from now on");
                self.codec = codec;
                self.step(Input::BesideAgain);
            }
            RunNews::OtherCodec(None) => {
                self.beside_lost(Loss::Broken, "the camera sends a codec that cannot be recorded")
            }
            RunNews::SoundTrouble(message) => self.sound_trouble(message),
            RunNews::SoundRefused(message) => {
                self.sound_refused(message, false);
                self.step(Input::BesideAgain);
            }
            RunNews::Odd(message) => tracing::debug!(camera = %self.camera.id, message, "the pipeline warns"),
            RunNews::Ticks(are_believed) => self.ticks_are(are_believed),
            RunNews::Overrun(_) => self.beside_lost(Loss::Broken, "the camera sent no second keyframe"),
            // It writes nothing before it is the one that is on.
            RunNews::Opened(_) | RunNews::Resumed | RunNews::Held(_) | RunNews::Placed(_) | RunNews::Closed(..) => {}
        }
    }

    /// The second session failed, and why.
    fn beside_lost(&mut self, loss: Loss, message: &str) {
        tracing::warn!(
            camera = %self.camera.id, loss = loss.as_str(), message,
            "the new settings do not work beside the old session, which ends before they are tried alone"
        );
        self.step(Input::BesideLost);
    }
}
