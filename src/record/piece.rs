//! A segment while it grows: what the run knows of it before its file is closed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    CameraClock, CameraId, ClockSource, Container, Copy, CopyState, Hole, News, Origin, Pause, Pauses, RunId, Segment,
    SegmentId, SegmentState, Span, Timestamp, Unit, VideoFormat, VolumeId,
};

use super::clockmap::ClockMap;
use super::relay::{End, Line};

/// One segment of a run, from its first frame on.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) origins: Arc<Origins>,
    pub(super) id: SegmentId,
    pub(super) sequence: u32,
    pub(super) format: VideoFormat,
    /// Running time of the first frame.
    pub(super) first_pts: i64,
    /// Its wall clock, fixed once the map has settled or the segment is not the run's first.
    start: Option<Timestamp>,
    /// Footage up to here is in the segment before, of another run.
    floor: Option<Timestamp>,
    /// Running time of the end of the last frame so far.
    last_end: i64,
    /// Length of the last frame, for the end of the one after it.
    frame: i64,
    /// Running time of the last frame that is shown so far.
    pub(super) last_pts: i64,
    /// Where the camera sent nothing for a while.
    pauses: Pauses,
    /// When the last frame that came is decoded, which goes forward in the steps in which frames are shown.
    last_dts: i64,
    /// Where it ends, once the next one has begun or the run is over.
    end: Option<Timestamp>,
    /// Running time from which on another run has it.
    pub(super) ends_before: Option<i64>,
    clock: Option<ClockSource>,
    camera_clock: Option<CameraClock>,
    pub(super) frames: u64,
    pub(super) size_bytes: u64,
    /// Packets of it that never came.
    pub(super) lost_packets: u64,
    /// Whether any sound went into it.
    has_audio: bool,
    /// Where its file is: relative to the volume, and absolute.
    pub(super) file: Option<(String, PathBuf)>,
}

/// A frame's length when neither the camera nor a second frame says one.
const UNKNOWN_FRAME: i64 = 40_000_000;

impl Piece {
    pub(super) fn new(
        origins: Arc<Origins>,
        sequence: u32,
        format: VideoFormat,
        first: &Unit,
        start: Option<Timestamp>,
        floor: Option<Timestamp>,
    ) -> Self {
        let declared = format
            .fps
            .filter(|fps| (1.0..=240.0).contains(fps))
            .map(|fps| (1e9 / fps) as i64);
        let frame = first
            .duration
            .and_then(|nanos| i64::try_from(nanos).ok())
            .filter(|nanos| *nanos > 0);
        let frame = frame.or(declared).unwrap_or(UNKNOWN_FRAME);
        Self {
            id: SegmentId(uuid::Uuid::new_v4()),
            origins,
            sequence,
            format,
            first_pts: first.pts,
            start,
            floor,
            last_end: first.pts.saturating_add(frame),
            frame,
            last_pts: first.pts,
            pauses: Pauses::default(),
            last_dts: first.dts,
            end: None,
            ends_before: None,
            clock: None,
            camera_clock: None,
            frames: 1,
            size_bytes: first.payload.len() as u64,
            lost_packets: 0,
            has_audio: false,
            file: None,
        }
    }

    /// Another unit of it came.
    pub(super) fn add(&mut self, unit: &Unit) {
        let step = unit.dts.saturating_sub(self.last_dts);
        // A pause is no frame length; what a camera does at night, two frames a second, is.
        if step > 0 && step <= 1_000_000_000 {
            self.frame = step;
        }
        self.last_pts = self.last_pts.max(unit.pts);
        self.pauses.see(unit.pts);
        self.last_dts = unit.dts;
        self.last_end = self.last_end.max(unit.pts.saturating_add(self.frame));
        self.frames += 1;
        self.size_bytes += unit.payload.len() as u64;
    }

    /// There was a pause between two of its frames.
    pub(super) fn add_pause(&mut self, pause: Pause) {
        if pause.from >= self.first_pts {
            self.pauses.add(pause);
        }
    }

    /// Sound that goes with it came.
    pub(super) fn add_sound(&mut self, unit: &Unit) {
        self.has_audio = true;
        self.size_bytes += unit.payload.len() as u64;
    }

    /// Another run has it from here on: what was counted of that is taken back.
    pub(super) fn hand_over(&mut self, map: &ClockMap, end: &End, line: &mut Line) {
        let (frames, bytes, last) = line.take_back(end.at);
        self.frames = self.frames.saturating_sub(frames);
        self.size_bytes = self.size_bytes.saturating_sub(bytes);
        self.last_pts = last.unwrap_or(self.last_pts);
        self.ends_before = Some(end.at);
        self.finish(map, Some(end.wall));
    }

    /// Whether its start was given to it, or does not move any more.
    pub(super) fn is_placed(&self) -> bool {
        self.start.is_some()
    }

    /// From now on its start does not move with the map.
    pub(super) fn fix_start(&mut self, map: &ClockMap) {
        self.start = Some(self.start(map));
    }

    /// The next segment begins here, or the run is over: from now on its times do not change.
    pub(super) fn finish(&mut self, map: &ClockMap, end: Option<Timestamp>) {
        self.fix_start(map);
        self.clock = Some(self.origins.clock_by(map));
        self.camera_clock = map.camera_clock();
        let start = self.start(map);
        let end = end.unwrap_or_else(|| map.wall_at(self.last_end));
        self.end = Some(end.max(start));
    }

    pub(super) fn is_finished(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn start(&self, map: &ClockMap) -> Timestamp {
        let from_map = || {
            let start = map.wall_at(self.first_pts);
            // A camera that sends what it had kept for a moment repeats what the run before has already. What is more than a
            // moment keeps its dates, and its row lies over that of the run before. Where that run went on beside this one, more
            // is no repetition but a clock that was set.
            let most = if self.origins.began >= self.floor.unwrap_or(start) {
                A_MOMENT
            } else {
                REPEATED
            };
            let overlap = |floor: &Timestamp| floor.since(start) <= most;
            self.floor.filter(overlap).map_or(start, |floor| floor.max(start))
        };
        self.start.unwrap_or_else(from_map)
    }

    pub(super) fn span(&self, map: &ClockMap) -> Span {
        let start = self.start(map);
        let end = self
            .end
            .unwrap_or_else(|| start.offset(self.last_end.saturating_sub(self.first_pts)));
        Span::new(start, end)
    }

    /// Where inside it the camera sent nothing.
    fn holes(&self, map: &ClockMap) -> Vec<Hole> {
        let span = self.span(map);
        let mut holes = self
            .pauses
            .holes(span, |pts| span.start.offset(pts.saturating_sub(self.first_pts)));
        // The frame after the last pause began the next segment, and this one ends there.
        if self.pauses.reach_beyond(self.last_pts)
            && let Some(last) = holes.last_mut()
        {
            last.span.end = span.end;
        }
        holes
    }

    /// Running time since its first frame, with half a frame to spare: cuts fall on the nearest keyframe.
    pub(super) fn age_at(&self, pts: i64) -> i64 {
        pts.saturating_sub(self.first_pts).saturating_add(self.frame / 2)
    }

    /// How far it has grown.
    pub(super) fn grown(&self, map: &ClockMap) -> News {
        News::Grew {
            id: self.id,
            span: self.span(map),
            holes: self.holes(map),
            frames: self.frames,
            size_bytes: self.size_bytes,
            lost_packets: self.lost_packets,
        }
    }

    /// The row of it.
    pub(super) fn segment(&self, map: &ClockMap) -> Segment {
        let of = &self.origins;
        let copies = self.file.iter().map(|(path, _)| Copy {
            volume: of.volume,
            path: path.clone(),
            size_bytes: self.size_bytes,
            sha256: None,
            state: CopyState::Open,
        });
        Segment {
            id: self.id,
            camera: of.camera.clone(),
            run: of.run,
            sequence: self.sequence,
            span: self.span(map),
            holes: self.holes(map),
            format: self.format,
            has_audio: self.has_audio,
            container: Container::Mp4,
            state: SegmentState::Open,
            origin: Origin::Live,
            clock: self.clock.unwrap_or_else(|| of.clock_by(map)),
            camera_clock: self.camera_clock.or_else(|| map.camera_clock()),
            frames: self.frames,
            lost_packets: self.lost_packets,
            created_at: of.began,
            copies: copies.collect(),
        }
    }
}

/// A row may begin so much after its first frame was taken, so that it does not lie over another.
const A_MOMENT: Duration = Duration::from_millis(500);
/// A camera repeats at most so much when it is asked again.
const REPEATED: Duration = Duration::from_secs(10);

/// Whose clock dates footage when this box's own shows `now`.
pub(super) fn source_at(now: Timestamp) -> ClockSource {
    if now < Timestamp::BUILT {
        ClockSource::Unsynced
    } else {
        ClockSource::Arrival
    }
}

/// What all segments of a run share.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    pub(super) camera: CameraId,
    pub(super) run: RunId,
    pub(super) volume: VolumeId,
    pub(super) clock: ClockSource,
    pub(super) began: Timestamp,
}

impl Origins {
    /// Whose clock dates footage by this map.
    fn clock_by(&self, map: &ClockMap) -> ClockSource {
        if map.is_by_camera() {
            ClockSource::Camera
        } else {
            self.clock
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Codec, Track};
    use crate::runtime::Instant;

    /// When a row begins of a run that began `began` seconds after 1000 s, in ms after that; its first frame was taken at 0.
    fn begins(began: i64, floor_ms: i64) -> i64 {
        let at = |ms: i64| Timestamp::from_seconds(1000).offset(ms * 1_000_000);
        let format = VideoFormat {
            codec: Codec::H264,
            width: 320,
            height: 180,
            fps: None,
        };
        let first = Unit {
            track: Track::Video,
            pts: 0,
            dts: 0,
            duration: None,
            keyframe: true,
            payload: bytes::Bytes::new(),
        };
        let origins = Origins {
            camera: CameraId::parse("door").unwrap_or_else(|_| unreachable!()),
            run: RunId(1),
            volume: VolumeId(uuid::Uuid::nil()),
            clock: ClockSource::Arrival,
            began: at(began * 1000),
        };
        let mut map = ClockMap::new(at(0), Instant(1_000_000_000));
        map.observe(0, Instant(1_000_000_000));
        let piece = Piece::new(origins.into(), 0, format, &first, None, Some(at(floor_ms)));
        piece.start(&map).nanos_since(at(0)) / 1_000_000
    }

    #[test]
    fn what_a_camera_sends_again_keeps_its_dates_but_for_a_moment() {
        assert_eq!(begins(7, 300), 300);
        assert_eq!(begins(7, 3000), 0);
        // The run before went on beside it.
        assert_eq!(begins(-1, 1500), 1500);
        assert_eq!(begins(-1, 12_000), 0);
        assert_eq!(begins(7, -500), 0, "nothing is repeated");
    }
}
