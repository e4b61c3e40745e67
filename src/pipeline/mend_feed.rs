//! Feeds one track of units into the mending pipeline: times from zero and forward, each unit as long as it is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::model::{Track, Unit};

use super::mend::{Mended, Units};

/// One tick of the clock that RTP uses for pictures, in nanoseconds, rounded up.
const TICK: i64 = 11_112;

/// How long a last frame lasts when nothing says it: one of 25 a second.
const GUESSED_DURATION: u64 = 40_000_000;

/// What became of the units so far, told by both tracks.
#[derive(Default)]
pub(super) struct Outcome {
    frames: AtomicU64,
    packets: AtomicU64,
    ends: Mutex<Ends>,
}

#[derive(Default)]
struct Ends {
    start: Option<i64>,
    end: Option<i64>,
    trouble: Option<String>,
}

impl Outcome {
    /// What was written.
    pub(super) fn result(&self) -> Mended {
        let (start, end, trouble) = self.with(|ends| (ends.start, ends.end, ends.trouble.take()));
        Mended {
            frames: self.frames.load(Ordering::Acquire),
            packets: self.packets.load(Ordering::Acquire),
            start,
            end,
            trouble,
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Ends) -> T) -> T {
        change(&mut self.ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(super) fn complain(&self, trouble: String) {
        self.with(|ends| {
            ends.trouble.get_or_insert(trouble);
        });
    }

    /// Another unit of a track is written, which is shown from when to when.
    fn written(&self, track: Track, span: &Shown) {
        match track {
            Track::Video => {
                self.frames.fetch_add(1, Ordering::AcqRel);
                self.with(|ends| (ends.start, ends.end) = (span.start, Some(span.end)));
            }
            Track::Audio => {
                self.packets.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    pub(super) fn moved(&self) -> u64 {
        self.frames.load(Ordering::Acquire) + self.packets.load(Ordering::Acquire)
    }
}

/// One track on its way into the pipeline.
pub(super) struct Feed {
    pub(super) source: gst_app::AppSrc,
    pub(super) units: Units,
    pub(super) track: Track,
    /// What becomes zero.
    pub(super) origin: i64,
}

/// From when to when the units of a track are shown, and when the first is decoded.
#[derive(Default)]
struct Shown {
    first_dts: Option<i64>,
    start: Option<i64>,
    end: i64,
}

impl Shown {
    fn add(&mut self, unit: &Unit, duration: u64) {
        let end = unit.pts.saturating_add(i64::try_from(duration).unwrap_or(0));
        self.first_dts.get_or_insert(unit.dts);
        self.end = self.start.map_or(end, |_| self.end.max(end));
        self.start = Some(self.start.map_or(unit.pts, |start| start.min(unit.pts)));
    }

    /// How long the last unit has to last so that decoding takes as long as showing.
    fn last_duration(&self, unit: &Unit, duration: u64) -> u64 {
        let (Some(start), Some(first_dts)) = (self.start, self.first_dts) else {
            return duration;
        };
        let shown = self.end.saturating_sub(start);
        let decoded = unit.dts.saturating_sub(first_dts);
        u64::try_from(shown.saturating_sub(decoded)).unwrap_or(0).max(duration)
    }
}

impl Feed {
    pub(super) fn run(mut self, outcome: &Outcome) {
        let mut waiting: Option<Unit> = None;
        let (mut last_dts, mut last_step, mut span) = (i64::MIN, None, Shown::default());
        loop {
            let next = match self.units.next() {
                Some(Ok(unit)) => Some(unit),
                Some(Err(error)) => {
                    outcome.complain(error.to_string());
                    None
                }
                None => None,
            };
            // One unit waits for the next, which tells how long it lasts.
            if let Some(unit) = waiting.take() {
                let step = next
                    .as_ref()
                    .and_then(|next| u64::try_from(next.dts.saturating_sub(unit.dts)).ok())
                    .filter(|step| *step > 0);
                let duration = step
                    .or(unit.duration.filter(|duration| *duration > 0))
                    .or(last_step)
                    .unwrap_or(GUESSED_DURATION);
                last_step = Some(duration);
                span.add(&unit, duration);
                // A cut between B-frames leaves a frame that is shown later than the sum of all durations says, and
                // players hide what lies behind the sum.
                let duration = if next.is_none() {
                    span.last_duration(&unit, duration)
                } else {
                    duration
                };
                if !self.push(&unit, duration, &mut last_dts) {
                    return;
                }
                outcome.written(self.track, &span);
            }
            match next {
                Some(unit) => waiting = Some(unit),
                None => break,
            }
        }
        // Refused only when the pipeline is on its way down already.
        let _ = self.source.end_of_stream();
    }

    fn push(&self, unit: &Unit, duration: u64, last_dts: &mut i64) -> bool {
        let dts = unit
            .dts
            .saturating_sub(self.origin)
            .max(last_dts.saturating_add(TICK))
            .max(0);
        let pts = unit.pts.saturating_sub(self.origin).max(0);
        *last_dts = dts;
        let time = |nanos: i64| gst::ClockTime::from_nseconds(nanos.unsigned_abs());
        let mut buffer = gst::Buffer::from_slice(unit.payload.clone());
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_dts(time(dts));
            buffer.set_pts(time(pts));
            buffer.set_duration(gst::ClockTime::from_nseconds(duration));
            if !unit.keyframe {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.source.push_buffer(buffer).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_picture_behind_some_that_never_came_ends_where_it_is_shown() {
        const FRAME: i64 = 40_000_000;
        let (outcome, mut span) = (Outcome::default(), Shown::default());
        // I0 P4, without the three that are shown between.
        for (pts, dts) in [(0, -1), (4, 0)] {
            let unit = Unit {
                track: Track::Video,
                pts: pts * FRAME,
                dts: dts * FRAME,
                duration: None,
                keyframe: pts == 0,
                payload: bytes::Bytes::new(),
            };
            span.add(&unit, FRAME.unsigned_abs());
            outcome.written(Track::Video, &span);
            let lasts = span.last_duration(&unit, FRAME.unsigned_abs());
            assert_eq!(lasts, if pts == 0 { 1 } else { 4 } * FRAME.unsigned_abs());
        }
        let mended = outcome.result();
        assert_eq!((mended.frames, mended.start, mended.end), (2, Some(0), Some(5 * FRAME)));
    }
}
