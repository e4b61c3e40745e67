//! The camera's own clock, which may be wrong: what it says about time is its own time, what it shows is the truth.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;

use crate::model::{Span, Timestamp};

const SENDER_REPORT: u8 = 200;
/// Where a sender report has its NTP time.
const NTP: Range<usize> = 8..16;

/// A clock that is ahead of the true time by so many nanoseconds, or behind by less than nothing.
#[derive(Debug, Default)]
pub(in super::super) struct CameraClock {
    ahead_ns: AtomicI64,
}

impl CameraClock {
    /// Sets it wrong by so many milliseconds.
    pub(super) fn set_ahead_ms(&self, ms: i64) {
        self.ahead_ns.store(ms.saturating_mul(1_000_000), Ordering::SeqCst);
    }

    /// What it shows now.
    pub(super) fn now(&self) -> Timestamp {
        self.tell(Timestamp::from_nanos(glib::real_time().saturating_mul(1000)))
    }

    /// What it showed at a true moment.
    pub(super) fn tell(&self, truth: Timestamp) -> Timestamp {
        truth.offset(self.ahead_ns.load(Ordering::SeqCst))
    }

    /// The true moment at which it showed this.
    pub(super) fn mean(&self, told: Timestamp) -> Timestamp {
        told.offset(-self.ahead_ns.load(Ordering::SeqCst))
    }

    /// An NTP time as it shows it.
    fn tell_ntp(&self, truth: u64) -> u64 {
        let ahead = (i128::from(self.ahead_ns.load(Ordering::SeqCst)) << 32) / 1_000_000_000;
        // NTP wraps, and so may this.
        truth.wrapping_add(ahead as u64)
    }

    /// Has the sender reports that leave here tell its time.
    pub(in super::super) fn date_reports(self: &Arc<Self>, pad: &gst::Pad) {
        let clock = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer_mut()
                && let Ok(mut bytes) = buffer.make_mut().map_writable()
                && let [_, SENDER_REPORT, ..] = bytes[..]
                && let Some(ntp) = bytes.get_mut(NTP)
                && let Ok(truth) = <[u8; 8]>::try_from(&*ntp)
            {
                ntp.copy_from_slice(&clock.tell_ntp(u64::from_be_bytes(truth)).to_be_bytes());
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// The true span that somebody means who names it in the camera's time.
    pub(super) fn mean_span(&self, told: Span) -> Span {
        Span::new(self.mean(told.start), self.mean(told.end))
    }
}
