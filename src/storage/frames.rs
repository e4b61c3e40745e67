//! What a file holds of one track: how it is encoded, and a table of its frames.

use bytes::Bytes;

use crate::model::Codec;

/// How the frames of one track are encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackCoding {
    /// Pictures.
    Video {
        /// H.264 or H.265.
        codec: Codec,
        /// The four letters of the sample entry: `avc1`, `avc3`, `hvc1` or `hev1`.
        entry: [u8; 4],
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// AAC sound.
    Aac {
        /// Samples a second.
        rate: u32,
        /// Channels.
        channels: u32,
    },
    /// Opus sound.
    Opus {
        /// Samples a second, as the file says them.
        rate: u32,
        /// Channels.
        channels: u32,
    },
}

/// One frame's place in the file and in time, in ticks of its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Where its bytes begin.
    pub offset: u64,
    /// How many they are.
    pub size: u32,
    /// When it is decoded.
    pub dts: i64,
    /// How much later it is shown.
    pub shown_after: i64,
    /// How long it lasts.
    pub duration: u32,
    /// Whether decoding can start here.
    pub keyframe: bool,
}

/// One track: how it is encoded, and every frame that is wholly in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackTable {
    /// The number by which the file knows it.
    pub id: u32,
    /// How it is encoded.
    pub coding: TrackCoding,
    /// The decoder's configuration: the body of `avcC` or `hvcC`, AAC's AudioSpecificConfig, or the body of `dOps`.
    pub config: Bytes,
    /// The whole sample entry as it stands in the file, but for what it says of the file's bit rate: what a clip of it
    /// takes over, with colours and shape of pixels.
    pub entry: Bytes,
    /// Ticks a second.
    pub timescale: u32,
    /// What the edit list adds to every time, in nanoseconds.
    pub shift: i64,
    /// Its frames in decoding order.
    pub samples: Vec<Sample>,
}

/// What is shown less than this before the start of a file is shown at its start: times are rounded to ticks.
const ROUNDING: i64 = 1_000_000;

impl TrackTable {
    pub(super) fn nanos(&self, ticks: i64) -> i64 {
        let nanos = i128::from(ticks) * 1_000_000_000 / i128::from(self.timescale.max(1));
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// When a frame is decoded, in nanoseconds from the file's start.
    pub fn dts(&self, sample: &Sample) -> i64 {
        self.nanos(sample.dts).saturating_add(self.shift)
    }

    /// When a frame is shown, in nanoseconds from the file's start.
    pub fn pts(&self, sample: &Sample) -> i64 {
        self.nanos(sample.dts.saturating_add(sample.shown_after))
            .saturating_add(self.shift)
    }

    /// Frames in front that are there only so that the first one shown can be decoded, as a refilled segment has that
    /// begins inside a group of pictures: where they end in time, and nothing when there are none.
    ///
    /// They are told by the first frame. Pictures that a camera sends behind its first keyframe and shows before it are
    /// none: they are footage, of the segment before. Nor is the packet by which encoders of sound begin early.
    fn lead_in(&self) -> Option<i64> {
        let first = self
            .samples
            .first()
            .filter(|_| matches!(self.coding, TrackCoding::Video { .. }))?;
        (self.pts(first) < -ROUNDING).then_some(-ROUNDING)
    }

    /// Whether a frame is decoded and hidden by the edit list.
    pub fn is_hidden(&self, sample: &Sample) -> bool {
        self.lead_in().is_some_and(|end| self.pts(sample) < end)
    }

    /// The frame with which the footage begins: the first in order of decoding, unless that one is hidden.
    pub fn first_shown(&self) -> Option<&Sample> {
        match self.lead_in() {
            None => self.samples.first(),
            Some(end) => {
                let shown = self.samples.iter().filter(|sample| self.pts(sample) >= end);
                shown.min_by_key(|sample| sample.dts.saturating_add(sample.shown_after))
            }
        }
    }

    /// Frames that are shown.
    pub fn frames(&self) -> u64 {
        match self.lead_in() {
            None => self.samples.len() as u64,
            Some(end) => self.samples.iter().filter(|sample| self.pts(sample) >= end).count() as u64,
        }
    }

    /// From the decoding of the first frame to the end of the last, in nanoseconds; what is hidden in front does not count.
    pub fn duration(&self) -> u64 {
        if self.lead_in().is_some() {
            let end = |sample: &Sample| {
                let lasts = self.nanos(i64::from(sample.duration));
                self.pts(sample).saturating_add(lasts)
            };
            let last = self.samples.iter().map(end).max();
            return last.and_then(|end| u64::try_from(end).ok()).unwrap_or(0);
        }
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => {
                let end = last.dts.saturating_add(i64::from(last.duration));
                u64::try_from(self.nanos(end.saturating_sub(first.dts))).unwrap_or(0)
            }
            _ => 0,
        }
    }
}
