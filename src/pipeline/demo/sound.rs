//! The microphone: a tick at every full second over a quiet hum, taken by the same clock as the pictures.

use std::f64::consts::TAU;

use gstreamer as gst;

/// Makes sound up to an instant, piece by piece without a seam.
pub(super) struct Sound {
    rate: u32,
    /// Pieces are dated so much before they begin.
    early: gst::ClockTime,
    started: Option<gst::ClockTime>,
    samples: u64,
    /// Whether a piece was given since the last interruption.
    is_begun: bool,
    /// Whether the latest piece was the first since an interruption.
    begins_anew: bool,
}

impl Sound {
    pub(super) fn new(rate: u32, early: gst::ClockTime) -> Self {
        Self {
            rate,
            early,
            started: None,
            samples: 0,
            is_begun: false,
            begins_anew: false,
        }
    }

    /// Whether nothing was taken just before the latest piece.
    pub(super) fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// The samples were interrupted; the next piece begins anew.
    pub(super) fn interrupt(&mut self) {
        self.started = None;
    }

    /// The piece from where the last one ended to `at`, 16 bit little endian, with its date. `time_us` is what the clock on
    /// the wall says at `at`. The first piece after an interruption is empty and not given, nor is one from before all dates.
    pub(super) fn until(&mut self, at: gst::ClockTime, time_us: u64) -> Option<(gst::ClockTime, Vec<u8>)> {
        let Some(started) = self.started else {
            self.started = Some(at);
            self.samples = 0;
            self.is_begun = false;
            return None;
        };
        let rate = u64::from(self.rate);
        let wanted = at.checked_sub(started)?.mseconds() * rate / 1000;
        let count = wanted.checked_sub(self.samples).filter(|count| *count > 0)?;
        let begins = started + gst::ClockTime::from_nseconds(self.samples * 1_000_000_000 / rate);
        self.samples = wanted;
        let begins = begins.checked_sub(self.early)?;
        self.begins_anew = !std::mem::replace(&mut self.is_begun, true);
        let piece = (0..count).flat_map(|n| {
            let before = (count - n) * 1_000_000 / rate;
            let second = (time_us.saturating_sub(before) % 1_000_000) as f64 / 1e6;
            let level =
                0.02 * (TAU * 110.0 * second).sin() + 0.4 * (TAU * 880.0 * second).sin() * (-40.0 * second).exp();
            ((level * f64::from(i16::MAX)) as i16).to_le_bytes()
        });
        Some((begins, piece.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_join_without_a_seam_and_an_interruption_starts_anew() {
        let mut sound = Sound::new(8000, gst::ClockTime::ZERO);
        let (mut samples, start) = (0, gst::ClockTime::from_mseconds(500));
        assert_eq!(sound.until(start, 0), None);
        for tick in 1..=100u64 {
            let at = start + gst::ClockTime::from_mseconds(tick * 33);
            let (begins, piece) = sound.until(at, tick * 33_000).unwrap();
            assert_eq!(begins, start + gst::ClockTime::from_nseconds(samples * 125_000));
            samples += piece.len() as u64 / 2;
        }
        assert_eq!(samples, 3300 * 8);
        sound.interrupt();
        let later = gst::ClockTime::from_seconds(60);
        assert_eq!(sound.until(later, 0), None);
        let (begins, piece) = sound.until(later + gst::ClockTime::from_mseconds(40), 40_000).unwrap();
        assert_eq!((begins, piece.len()), (later, 640));
        assert!(sound.begins_anew());
        assert!(sound.until(later + gst::ClockTime::from_mseconds(80), 80_000).is_some());
        assert!(!sound.begins_anew());
    }

    #[test]
    fn pieces_that_are_dated_early_begin_where_dates_do() {
        let mut sound = Sound::new(8000, gst::ClockTime::from_mseconds(100));
        for (ms, begins) in [(40, None), (80, None), (120, None), (160, Some(20)), (200, Some(60))] {
            let piece = sound.until(gst::ClockTime::from_mseconds(ms), ms * 1_000);
            assert_eq!(piece.map(|(begins, _)| begins.mseconds()), begins);
            assert_eq!(sound.begins_anew(), begins == Some(20));
        }
    }
}
