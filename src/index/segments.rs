//! Segments: spans of video and their files.

use rusqlite::{Row, params};

use super::columns::{camera_id, count, segment_id, span, stored, time, word};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{
    CameraClock, CameraId, ClockSource, Codec, Container, Hole, Origin, RunId, Segment, SegmentId, SegmentState, Span,
    Timestamp, VideoFormat, VolumeId,
};

macro_rules! select_segments {
    ($rest:literal) => {
        concat!(
            "SELECT segments.id, camera_id, run_id, sequence, start_ns, end_ns, codec, width, height, fps, has_audio, ",
            "container, segments.state, origin, clock, frames, created_at_ns, clock_offset_ns, clock_drift_ppm, ",
            "lost_packets FROM segments ",
            $rest
        )
    };
}

/// Seeks to the first row that may overlap, and stops at the first that starts too late.
pub(super) const PAGE: &str = select_segments!(
    "WHERE camera_id = ?1 AND (start_ns, id) > (?2, ?3) AND start_ns < ?4 AND end_ns > ?5
     ORDER BY start_ns, id LIMIT ?6"
);
pub(super) const ONE: &str = select_segments!("WHERE id = ?1");
pub(super) const LAST: &str = select_segments!("WHERE camera_id = ?1 ORDER BY start_ns DESC, id DESC LIMIT 1");
pub(super) const OPEN: &str = select_segments!("WHERE state = 'open' ORDER BY camera_id, start_ns");
pub(super) const BY_PATH: &str =
    select_segments!("JOIN copies ON copies.segment_id = segments.id WHERE volume_id = ?1 AND path = ?2");
pub(super) const LONGEST: &str = "SELECT longest_segment_ns FROM cameras WHERE id = ?1";
/// Only rows that are damaged are in the index that this reads.
pub(super) const DAMAGE: &str = "
    SELECT count(*) AS segments, coalesce(sum(lost_packets), 0) AS lost FROM segments
    WHERE camera_id = ?1 AND start_ns > ?2 AND start_ns < ?3 AND end_ns > ?4 AND lost_packets > 0";
const FIRST: &str = "SELECT start_ns FROM segments WHERE camera_id = ?1 ORDER BY start_ns LIMIT 1";
const GROWING: &str = "SELECT 1 FROM segments WHERE camera_id = ?1 AND state = 'open' LIMIT 1";
const COUNT: &str = "SELECT count(*) FROM segments WHERE camera_id = ?1";
const NEWEST_ROW: &str = "SELECT coalesce(max(rowid), 0) AS newest FROM segments";
const UNSYNCED: &str = select_segments!(
    "WHERE segments.rowid > ?1 AND clock = 'unsynced' AND start_ns < ?2 AND end_ns > ?3 ORDER BY segments.rowid"
);
const COUNT_ALL: &str = "SELECT count(*) FROM segments";

/// What a person put on a row (locks, incident) and when it was made stay; a closed row is never opened again.
const PUT: &str = "
    INSERT INTO segments (id, camera_id, run_id, sequence, start_ns, end_ns, codec, width, height, fps, has_audio,
        container, state, origin, clock, frames, created_at_ns, clock_offset_ns, clock_drift_ppm, lost_packets)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
    ON CONFLICT (id) DO UPDATE SET camera_id = ?2, run_id = ?3, sequence = ?4, start_ns = ?5, end_ns = ?6, codec = ?7,
        width = ?8, height = ?9, fps = ?10, has_audio = ?11, container = ?12, state = ?13, origin = ?14, clock = ?15,
        frames = ?16, clock_offset_ns = ?18, clock_drift_ppm = ?19, lost_packets = ?20
    WHERE segments.state = 'open' OR ?13 = 'closed'";
const GROW: &str = "
    UPDATE segments SET start_ns = ?2, end_ns = ?3, frames = ?4, lost_packets = ?5
    WHERE id = ?1 AND state = 'open' RETURNING camera_id";
const LENGTHEN: &str = "UPDATE cameras SET longest_segment_ns = ?2 WHERE id = ?1 AND longest_segment_ns < ?2";
const REMOVE_OPEN: &str = "DELETE FROM segments WHERE id = ?1 AND state = 'open'";
const REMOVE_FREE: &str = "
    DELETE FROM segments WHERE id = ?1 AND state = 'closed' AND locked = 0 AND evidence_locked = 0";

impl Reader<'_> {
    /// A camera's segments by start, with their copies: those that overlap a span, or all. For the next page give the
    /// start and id of the last one.
    pub fn segments(
        &self,
        camera: &CameraId,
        window: Option<Span>,
        limit: u32,
        after: Option<(Timestamp, SegmentId)>,
    ) -> Result<Vec<Segment>, IndexError> {
        let window = window.unwrap_or(Span {
            start: Timestamp::MIN,
            end: Timestamp::MAX,
        });
        let (start, id) = match after {
            Some((start, id)) => (start, id.0.as_bytes().to_vec()),
            // The empty id lies before every other.
            None => (self.first_start(camera, window.start)?, Vec::new()),
        };
        let page = params![
            camera.as_str(),
            start.as_nanos(),
            id,
            window.end.as_nanos(),
            window.start.as_nanos(),
            limit,
        ];
        self.with_copies(self.rows(PAGE, page, read)?)
    }

    /// One segment.
    pub fn segment(&self, id: SegmentId) -> Result<Option<Segment>, IndexError> {
        self.with_copy(self.row(ONE, [id.0.as_bytes()], read)?)
    }

    /// The segment that a file holds; the path is relative to the volume's root.
    pub fn segment_by_path(&self, volume: VolumeId, path: &str) -> Result<Option<Segment>, IndexError> {
        self.with_copy(self.row(BY_PATH, params![volume.0.as_bytes(), path], read)?)
    }

    /// The segment of a camera that starts last.
    pub fn last_segment(&self, camera: &CameraId) -> Result<Option<Segment>, IndexError> {
        self.with_copy(self.row(LAST, [camera.as_str()], read)?)
    }

    /// Every segment that grows, or that grew when camkeep last ended.
    pub fn open_segments(&self) -> Result<Vec<Segment>, IndexError> {
        self.with_copies(self.rows(OPEN, [], read)?)
    }

    /// Where the first segment of a camera begins, whether it can be played or not.
    pub fn first_start_of(&self, camera: &CameraId) -> Result<Option<Timestamp>, IndexError> {
        self.row(FIRST, [camera.as_str()], |row| time(row, "start_ns"))
    }

    /// Whether a segment of a camera grows.
    pub fn is_growing(&self, camera: &CameraId) -> Result<bool, IndexError> {
        Ok(self.row(GROWING, [camera.as_str()], |_| Ok(()))?.is_some())
    }

    /// The number of the row that became known last; 0 is none.
    pub fn newest_segment_row(&self) -> Result<i64, IndexError> {
        Ok(self.row(NEWEST_ROW, [], |row| row.get("newest"))?.unwrap_or(0))
    }

    /// Segments that overlap a span of a clock that did not know the time, and whose rows are newer than this one.
    pub fn unsynced_segments(&self, after_row: i64, window: Span) -> Result<Vec<Segment>, IndexError> {
        let (from, to) = (window.start.as_nanos(), window.end.as_nanos());
        self.with_copies(self.rows(UNSYNCED, params![after_row, to, from], read)?)
    }

    /// How many segments of a camera that overlap a span are damaged, and how many packets they lack together.
    pub fn damage(&self, camera: &CameraId, window: Span) -> Result<(u64, u64), IndexError> {
        let first = self.first_start(camera, window.start)?.as_nanos();
        let (start, end) = (window.start.as_nanos(), window.end.as_nanos());
        let found = self.row(DAMAGE, params![camera.as_str(), first, end, start], |row| {
            Ok((count(row, "segments")?, count(row, "lost")?))
        })?;
        Ok(found.unwrap_or_default())
    }

    /// How many segments there are, of one camera or of all.
    pub fn count_segments(&self, camera: Option<&CameraId>) -> Result<u64, IndexError> {
        let number = |row: &Row<'_>| row.get::<_, i64>(0);
        let found = match camera {
            Some(camera) => self.row(COUNT, [camera.as_str()], number)?,
            None => self.row(COUNT_ALL, [], number)?,
        };
        Ok(found.and_then(|number| u64::try_from(number).ok()).unwrap_or(0))
    }

    /// No segment of the camera that starts here or earlier reaches beyond `moment`.
    pub(super) fn first_start(&self, camera: &CameraId, moment: Timestamp) -> Result<Timestamp, IndexError> {
        let longest = self.row(LONGEST, [camera.as_str()], |row| row.get::<_, i64>(0))?;
        Ok(moment.offset(-longest.unwrap_or(0)).offset(-1))
    }

    fn with_copies(&self, segments: Vec<Segment>) -> Result<Vec<Segment>, IndexError> {
        segments
            .into_iter()
            .map(|segment| {
                let (copies, holes) = (self.copies_of(segment.id)?, self.holes_of(segment.id)?);
                Ok(Segment {
                    copies,
                    holes,
                    ..segment
                })
            })
            .collect()
    }

    fn with_copy(&self, segment: Option<Segment>) -> Result<Option<Segment>, IndexError> {
        Ok(self.with_copies(segment.into_iter().collect())?.pop())
    }
}

impl Writer<'_> {
    /// Remembers a segment whose first frame was received, with the copies being written. Twice is once.
    pub fn open_segment(&self, segment: &Segment) -> Result<(), IndexError> {
        if self.put_segment(segment)? == 0 {
            return Err(IndexError::Conflict(format!(
                "segment {} is closed already",
                segment.id
            )));
        }
        self.put_copies(segment.id, &segment.copies)
    }

    /// Remembers how far an open segment reaches; `false` when there is none of this id.
    pub fn grow_segment(
        &self,
        id: SegmentId,
        span: Span,
        inner: &[Hole],
        (frames, lost_packets): (u64, u64),
        size_bytes: u64,
    ) -> Result<bool, IndexError> {
        let (start, end) = (span.start.as_nanos(), span.end.as_nanos());
        let row = params![id.0.as_bytes(), start, end, stored(frames), stored(lost_packets)];
        let Some(camera) = self.row(GROW, row, |row| camera_id(row, "camera_id"))? else {
            return Ok(false);
        };
        self.lengthen(&camera, span)?;
        self.grow_copies(id, size_bytes)?;
        // Most have none, and none is new.
        if self.holes_of(id)? != inner {
            self.accounted(id, || self.put_holes(id, &camera, inner))?;
        }
        Ok(true)
    }

    /// Remembers a segment whose file is whole: one that was open, or a mended or refilled one that was not known. Its
    /// copies are set to those that it brings, and its run's chain goes on. Twice is once.
    pub fn close_segment(&self, segment: &Segment) -> Result<(), IndexError> {
        let closed = Segment {
            state: SegmentState::Closed,
            copies: Vec::new(),
            ..segment.clone()
        };
        self.unlink_redated(segment)?;
        self.accounted(segment.id, || {
            self.put_segment(&closed)?;
            self.put_holes(segment.id, &segment.camera, &segment.holes)?;
            self.settle_copies(segment.id, &segment.copies)
        })?;
        self.link_run(&segment.camera, segment.run)
    }

    /// Forgets an open segment of which nothing reached a file; `false` when there is none of this id.
    pub fn remove_open_segment(&self, id: SegmentId) -> Result<bool, IndexError> {
        let place = self.place_in_run(id)?;
        let gone = self.execute(REMOVE_OPEN, [id.0.as_bytes()])? > 0;
        // Those after it may have waited for it.
        if let Some(place) = place.filter(|_| gone) {
            self.link_run(&place.camera, place.run)?;
        }
        Ok(gone)
    }

    /// Forgets a closed segment and its copies, unless somebody reads or holds it; `false` when it stays or is not there.
    /// The files go after the row, never before it.
    pub fn remove_segment(&self, id: SegmentId) -> Result<bool, IndexError> {
        let place = self.place_in_run(id)?;
        let gone = self.execute(REMOVE_FREE, [id.0.as_bytes()])? > 0;
        if let Some(place) = place.filter(|_| gone) {
            self.note_removal(&place)?;
        }
        Ok(gone)
    }

    fn put_segment(&self, segment: &Segment) -> Result<usize, IndexError> {
        self.remember_camera(&segment.camera, segment.created_at)?;
        self.lengthen(&segment.camera, segment.span)?;
        self.execute(
            PUT,
            params![
                segment.id.0.as_bytes(),
                segment.camera.as_str(),
                segment.run.0,
                segment.sequence,
                segment.span.start.as_nanos(),
                segment.span.end.as_nanos(),
                segment.format.codec.as_str(),
                segment.format.width,
                segment.format.height,
                segment.format.fps,
                segment.has_audio,
                segment.container.as_str(),
                state_word(segment.state),
                segment.origin.as_str(),
                segment.clock.as_str(),
                stored(segment.frames),
                segment.created_at.as_nanos(),
                segment.camera_clock.map(|clock| clock.offset_ns),
                segment.camera_clock.map(|clock| clock.drift_ppm),
                stored(segment.lost_packets),
            ],
        )
    }

    fn lengthen(&self, camera: &CameraId, span: Span) -> Result<(), IndexError> {
        let length = span.end.nanos_since(span.start);
        self.execute(LENGTHEN, params![camera.as_str(), length])?;
        Ok(())
    }
}

const fn state_word(state: SegmentState) -> &'static str {
    match state {
        SegmentState::Open => "open",
        SegmentState::Closed => "closed",
    }
}

fn state(text: &str) -> Option<SegmentState> {
    [SegmentState::Open, SegmentState::Closed]
        .into_iter()
        .find(|&state| state_word(state) == text)
}

fn container(text: &str) -> Option<Container> {
    (text == Container::Mp4.as_str()).then_some(Container::Mp4)
}

fn camera_clock(row: &Row<'_>) -> rusqlite::Result<Option<CameraClock>> {
    let (offset, drift): (Option<i64>, Option<f64>) = (row.get("clock_offset_ns")?, row.get("clock_drift_ppm")?);
    Ok(offset.map(|offset_ns| CameraClock {
        offset_ns,
        drift_ppm: drift.unwrap_or_default(),
    }))
}

/// A segment without its copies and holes.
fn read(row: &Row<'_>) -> rusqlite::Result<Segment> {
    Ok(Segment {
        id: segment_id(row, "id")?,
        camera: camera_id(row, "camera_id")?,
        run: RunId(row.get("run_id")?),
        sequence: row.get("sequence")?,
        span: span(row)?,
        holes: Vec::new(),
        format: VideoFormat {
            codec: word(row, "codec", Codec::parse)?,
            width: row.get("width")?,
            height: row.get("height")?,
            fps: row.get("fps")?,
        },
        has_audio: row.get("has_audio")?,
        container: word(row, "container", container)?,
        state: word(row, "state", state)?,
        origin: word(row, "origin", Origin::parse)?,
        clock: word(row, "clock", ClockSource::parse)?,
        camera_clock: camera_clock(row)?,
        frames: count(row, "frames")?,
        lost_packets: count(row, "lost_packets")?,
        created_at: time(row, "created_at_ns")?,
        copies: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, closed, index, segment, span};
    use super::*;
    use crate::model::CopyState;
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::{Config, TestRunner};
    use uuid::Uuid;

    #[test]
    fn a_segment_opens_grows_and_closes() {
        let (_directory, index) = index();
        let door = camera_id("door");
        let open = segment(1, 100, 101);
        let sent = open.clone();
        index.write_blocking(move |w| w.open_segment(&sent)).unwrap();
        assert_eq!(index.read_blocking(|r| r.open_segments()).unwrap(), vec![open.clone()]);
        let grown = index
            .write_blocking(move |w| w.grow_segment(open.id, span(99, 110), &[], (250, 3), 5000))
            .unwrap();
        assert!(grown);
        let row = index.read_blocking(|r| r.segment(open.id)).unwrap().unwrap();
        assert_eq!(
            (row.span, row.frames, row.lost_packets, row.copies[0].size_bytes),
            (span(99, 110), 250, 3, 5000)
        );
        let whole = Segment {
            created_at: at(100),
            ..closed(1, 99, 160)
        };
        for _ in 0..2 {
            let sent = whole.clone();
            index.write_blocking(move |w| w.close_segment(&sent)).unwrap();
            assert_eq!(
                index.read_blocking(|r| r.last_segment(&door)).unwrap(),
                Some(whole.clone())
            );
        }
        assert_eq!(index.read_blocking(|r| r.open_segments()).unwrap(), []);
        assert_eq!(index.read_blocking(|r| r.count_segments(None)).unwrap(), 1);
        let path = whole.copies[0].path.clone();
        let found = index.read_blocking(|r| r.segment_by_path(whole.copies[0].volume, &path));
        assert_eq!(found.unwrap().map(|segment| segment.id), Some(whole.id));
    }

    #[test]
    fn a_closed_segment_is_neither_opened_nor_grown_nor_taken_for_an_open_one() {
        let (_directory, index) = index();
        index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
        let error = index.write_blocking(|w| w.open_segment(&segment(1, 0, 1))).unwrap_err();
        assert_eq!(error.fault(), crate::model::Fault::Conflict);
        let id = SegmentId(Uuid::from_u128(1));
        assert!(
            !index
                .write_blocking(move |w| w.grow_segment(id, span(0, 70), &[], (9, 0), 9))
                .unwrap()
        );
        assert!(!index.write_blocking(move |w| w.remove_open_segment(id)).unwrap());
        assert_eq!(index.read_blocking(|r| r.segment(id)).unwrap(), Some(closed(1, 0, 60)));
    }

    #[test]
    fn any_segment_comes_back_as_it_went_in() {
        let fps = proptest::option::of(0.0f64..500.0);
        let words = (
            select(&[Codec::H264, Codec::H265][..]),
            select(&[Origin::Live, Origin::Refill][..]),
        );
        let clock = select(&ClockSource::ALL[..]);
        let copies = proptest::collection::vec(
            // All of them together are still less than SQLite can count.
            (select(&CopyState::ALL[..]), 0..=1u64 << 54, any::<[u8; 32]>()),
            0..3,
        );
        let numbers = (
            any::<u32>(),
            any::<u32>(),
            any::<[u32; 2]>(),
            0..=i64::MAX as u64,
            any::<u128>(),
        );
        let strategy = (numbers, any::<[i64; 3]>(), fps, words, clock, any::<bool>(), copies);
        let (_directory, index) = index();
        let config = Config {
            cases: 100,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(
                &strategy,
                |(numbers, times, fps, (codec, origin), clock, has_audio, copies)| {
                    let (run, sequence, [width, height], frames, id) = numbers;
                    let [start, end, created] = times.map(Timestamp::from_nanos);
                    let copies =
                        copies
                            .iter()
                            .enumerate()
                            .map(|(place, (state, size_bytes, hash))| crate::model::Copy {
                                volume: VolumeId(Uuid::from_u128(place as u128 + 1)),
                                path: format!("door/{id}-{place}.mp4"),
                                size_bytes: *size_bytes,
                                sha256: (hash[0] % 2 == 0).then_some(*hash),
                                state: *state,
                            });
                    let segment = Segment {
                        lost_packets: frames / 7,
                        id: SegmentId(Uuid::from_u128(id)),
                        camera: camera_id("door"),
                        run: RunId(run),
                        sequence,
                        span: Span::new(start, end),
                        holes: Vec::new(),
                        format: VideoFormat {
                            codec,
                            width,
                            height,
                            fps,
                        },
                        has_audio,
                        container: Container::Mp4,
                        state: SegmentState::Closed,
                        origin,
                        clock,
                        camera_clock: has_audio.then_some(CameraClock {
                            offset_ns: end.as_nanos(),
                            drift_ppm: -3.25,
                        }),
                        frames,
                        created_at: created,
                        copies: copies.collect(),
                    };
                    let sent = segment.clone();
                    index.write_blocking(move |w| w.close_segment(&sent)).unwrap();
                    prop_assert_eq!(index.read_blocking(|r| r.segment(segment.id)).unwrap(), Some(segment));
                    Ok(())
                },
            )
            .unwrap();
    }
}
