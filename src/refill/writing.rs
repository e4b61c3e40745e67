//! What was cut becomes files: laid out from the bytes that came, labelled, on the disk for certain, and hashed.

use std::path::Path;
use std::sync::Arc;

use super::cutting::Cutting;
use super::error::RefillError;
use super::placing::Placed;
use super::spool::{Came, Look};
use crate::archive::ArchiveError;
use crate::model::{
    CameraClock, CameraId, ClockSource, Container, Copy, Origin, RunId, Segment, SegmentId, SegmentState, Timestamp,
};
use crate::pipeline::{decoder_config, has_sets_in_band};
use crate::storage::{HeadPlan, Laid, Piece, Reel, Showing, TrackKind, TrackPlan, Volume, picture_entry};

/// Ticks a second of the pictures.
const SCALE: u32 = 90_000;

/// What all segments of one answer share.
pub(super) struct Writing<'a> {
    pub(super) camera: &'a CameraId,
    pub(super) came: &'a Came,
    /// Where its bytes are.
    pub(super) bytes: Arc<Path>,
    pub(super) placed: &'a Placed,
    /// Drawn once for each number of a run.
    pub(super) runs: &'a dyn Fn(u32) -> RunId,
    pub(super) now: Timestamp,
}

impl Writing<'_> {
    /// Writes one segment; nothing when it is not wanted any more.
    pub(super) fn write(
        &self,
        volume: &Volume,
        cutting: &Cutting,
        goes_on: &dyn Fn(u64) -> bool,
    ) -> Result<Option<Segment>, RefillError> {
        let look = self.came.looks.get(cutting.look);
        let look = look.ok_or_else(|| broken("frames of no known kind"))?;
        let (reel, frames) = self.lay_out(cutting, look)?;
        let segment = self.segment(cutting, look, frames);
        let copy: Option<Copy> = volume.lay_down(&reel, &segment, goes_on)?;
        Ok(copy.map(|copy| Segment {
            copies: vec![copy],
            ..segment
        }))
    }

    /// The film of a segment, and how many frames of it are shown.
    fn lay_out(&self, cutting: &Cutting, look: &Look) -> Result<(Reel, u64), RefillError> {
        let config = decoder_config(&look.caps).ok_or_else(|| broken("no parameter sets"))?;
        let (format, in_band) = (look.format, has_sets_in_band(&look.caps));
        let mut head = HeadPlan::new(cutting.span.start);
        let pictures = head.track(TrackPlan {
            kind: TrackKind::Pictures {
                width: format.width,
                height: format.height,
            },
            timescale: SCALE,
            entries: vec![picture_entry(
                format.codec,
                in_band,
                &config,
                format.width,
                format.height,
            )],
        });
        let zero = ticks(cutting.span.start);
        let path = &self.bytes;
        let (mut shown, mut has_lead_in) = (0, false);
        let range = cutting.frames.clone();
        let frames = self.came.frames.get(range.clone()).unwrap_or_default();
        let walls = self.placed.walls.get(range).unwrap_or_default();
        for (number, (frame, wall)) in frames.iter().zip(walls).enumerate() {
            let at = ticks(wall.offset(cutting.shift_ns)) - zero;
            has_lead_in |= number == 0 && at < 0;
            shown += u64::from(at >= 0 || !has_lead_in);
            let laid = Laid {
                size: frame.size,
                at,
                keyframe: frame.keyframe,
                entry: 0,
            };
            let bytes = Piece::File {
                path: Arc::clone(path),
                offset: frame.offset,
                length: u64::from(frame.size),
            };
            head.put(pictures, laid, bytes);
        }
        let end = ticks(cutting.span.end) - zero;
        let showing = Showing {
            from: 0,
            until: end,
            end,
        };
        head.show(pictures, showing);
        Ok((head.lay_out()?, shown))
    }

    fn segment(&self, cutting: &Cutting, look: &Look, frames: u64) -> Segment {
        let range = cutting.frames.clone();
        let came = self.came.frames.get(range).unwrap_or_default();
        Segment {
            id: SegmentId(uuid::Uuid::new_v4()),
            camera: self.camera.clone(),
            run: (self.runs)(cutting.run),
            sequence: cutting.sequence,
            span: cutting.span,
            holes: Vec::new(),
            format: look.format,
            has_audio: false,
            container: Container::Mp4,
            state: SegmentState::Closed,
            origin: Origin::Refill,
            clock: ClockSource::Camera,
            camera_clock: Some(CameraClock {
                offset_ns: self.placed.ahead_ns,
                drift_ppm: 0.0,
            }),
            frames,
            lost_packets: came.iter().skip(1).map(|frame| frame.lost).sum(),
            created_at: self.now,
            copies: Vec::new(),
        }
    }
}

fn broken(what: &str) -> ArchiveError {
    ArchiveError::Broken(format!("the camera's replay cannot be kept: it has {what}"))
}

/// A moment in ticks since the epoch, to the nearest.
fn ticks(at: Timestamp) -> i64 {
    const SECOND: i128 = 1_000_000_000;
    let ticks = (i128::from(at.as_nanos()) * i128::from(SCALE) * 2 + SECOND).div_euclid(SECOND * 2);
    i64::try_from(ticks).unwrap_or(i64::MAX)
}
