//! The way from an encoder that always runs to a live pipeline that comes and goes with its clients.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::gate::Gate;
use super::storage::Unit;

/// So many pictures may wait for the network before some are left out.
const MOST_WAITING: u64 = 50;

/// Feeds one live pipeline.
pub(super) struct Relay {
    source: gst_app::AppSrc,
    gate: Arc<Gate>,
    /// Something was left out, or nothing came yet: only a keyframe makes sense next.
    needs_key: bool,
    is_first: bool,
    key_on_play: bool,
}

impl Relay {
    pub(super) fn new(source: gst_app::AppSrc, gate: Arc<Gate>, key_on_play: bool) -> Self {
        Self {
            source,
            gate,
            needs_key: true,
            is_first: true,
            key_on_play,
        }
    }

    /// The next picture is left out.
    pub(super) fn skip(&mut self) {
        self.needs_key = true;
    }

    /// Hands one picture on. Says whether the encoder should make a keyframe for it.
    pub(super) fn feed(&mut self, unit: &Unit) -> bool {
        // What waits for PLAY is thrown away at the gate; one picture is enough for the server to describe it.
        let allowed = if self.gate.is_open() { MOST_WAITING } else { 0 };
        let running = self.source.current_running_time().and(self.source.base_time());
        let at = running.and_then(|base| unit.clock.checked_sub(base));
        let Some(at) = at.filter(|_| self.source.current_level_buffers() <= allowed) else {
            self.needs_key = true;
            return false;
        };
        if self.needs_key && !unit.frame.keyframe {
            return self.is_first || self.key_on_play;
        }
        (self.needs_key, self.is_first) = (false, false);
        let mut buffer = unit.buffer.copy();
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(at);
            buffer.set_dts(gst::ClockTime::NONE);
        }
        self.gate.taken(at, unit.frame);
        if self.source.push_buffer(buffer).is_err() {
            // The pipeline is being taken down.
            tracing::trace!("the demo camera's live pipeline takes no more");
        }
        false
    }
}
