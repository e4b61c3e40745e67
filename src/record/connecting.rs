//! A camera's task begins a session by the settings of the moment.

use std::sync::Arc;
use std::time::Duration;

use crate::model::RunId;
use crate::pipeline::RecordSpec;

use super::door::Terms;
use super::driver::Driver;
use super::piece::{Origins, source_at};
use super::relay::Relay;
use super::run::Run;
use super::session::Session;
use super::state::Wish;

impl Driver {
    /// Begins a session, which is the one that is on.
    pub(super) fn begin(&mut self) {
        let session = self.connect(None, self.intent.memory());
        session.run.tail.put_on();
        self.session = Some(session);
    }

    /// Begins a session by the settings of now.
    pub(super) fn connect(&mut self, takes: Option<Arc<Relay>>, memory: Duration) -> Session {
        let now = self.setting.clock.now();
        let origins = Origins {
            camera: self.camera.id.clone(),
            run: RunId(fastrand::u32(..)),
            volume: self.setting.volume.id(),
            clock: source_at(now),
            began: now,
        };
        let terms = Terms {
            segment: self.segment_length(),
            source: self.camera.time_source,
            ticks_are_believed: self.believes_ticks,
            floor: self.covered_until,
            writes: self.aim.wish == Wish::Footage && takes.is_none(),
            memory,
            mirrored: self.camera.mirror_enabled,
            tail: self.tail.begin_session(),
            takes,
            counts: self.counts.clone(),
        };
        let lane = self.setting.tail.as_ref().map(|tail| tail.lane(self.camera.id.clone()));
        let run = Run::new(origins, &self.setting, lane, terms, self.tell.clone());
        let run = Arc::new(run);
        self.begun += 1;
        self.runs.add(run.clone());
        let address = match self.camera.stream_address() {
            Ok(address) => address,
            Err(error) => {
                // Checked when it was stored; an index from elsewhere may still hold such a one.
                run.is_broken(error.to_string());
                return Session::unable(run);
            }
        };
        // While the volume takes nothing it is the volume that is asked, every other second.
        if !self.setting.volume.is_lost() {
            match self.outage {
                false => {
                    tracing::info!(camera = %self.camera.id, run = %run.id(), from = address.shown(), "connecting")
                }
                true => {
                    tracing::debug!(camera = %self.camera.id, run = %run.id(), from = address.shown(), "connecting")
                }
            }
        }
        let spec = RecordSpec {
            address,
            transport: self.ways.next(self.camera.transport),
            latency: self.setting.latency,
            connect: self.setting.connect,
            codec: self.codec,
            audio: self.camera.record_audio && !self.silence.is_mute,
        };
        Session::begin(&mut self.work, self.setting.catalog.clone(), spec, run)
    }
}
