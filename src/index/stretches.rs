//! Stretches: sums of segments, so that a month of many cameras is drawn from hundreds of rows and not from a million.
//!
//! A row is right whenever it is there: triggers of the schema take a slot's rows away with every change of its segments.
//! What has none is read from the segments themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Row, params};

use super::columns::{camera_id, stored};
use super::error::IndexError;
use super::reader::Reader;
use super::writer::Writer;
use crate::model::{CameraId, Span, Stretch, Timestamp, join};

/// Two hours: with segments of a minute, about as many segments at both edges of a month as there are slots between.
const SLOT_NS: i64 = 7_200_000_000_000;
const EVER: Span = Span {
    start: Timestamp::MIN,
    end: Timestamp::MAX,
};

pub(super) const SUMS: &str = "
    SELECT slot, start_ns, end_ns, recorded_ns, segments FROM stretches WHERE camera_id = ?1 AND slot >= ?2 AND slot < ?3 ORDER BY slot, place";
/// The slot of the newest footage changes every second; it is summed up when it is past.
const UNSUMMED: &str = "
    SELECT camera_id, slot FROM unsummed
    WHERE slot < (SELECT start_ns / 7200000000000 - (start_ns % 7200000000000 < 0) FROM segments
        WHERE segments.camera_id = unsummed.camera_id ORDER BY start_ns DESC LIMIT 1)
    LIMIT ?1";
const CLEAR: &str = "DELETE FROM stretches WHERE camera_id = ?1 AND slot = ?2";
const PUT: &str = "
    INSERT INTO stretches (camera_id, slot, place, start_ns, end_ns, recorded_ns, segments)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const DONE: &str = "DELETE FROM unsummed WHERE camera_id = ?1 AND slot = ?2";

/// A row: what joins of the footage of segments that begin in a slot.
struct Sum {
    slot: i64,
    stretch: Stretch,
}

impl Reader<'_> {
    /// Footage of a camera in a window that can be played, cut to it and joined, by start.
    pub fn stretches(&self, camera: &CameraId, window: Span) -> Result<Vec<Stretch>, IndexError> {
        let (first, end) = whole_slots(window);
        let sums = match first < end {
            true => self.rows(SUMS, params![camera.as_str(), first, end], sum)?,
            false => Vec::new(),
        };
        // What reaches out of the window has to be cut, and a sum cannot be.
        let out = sums.iter().filter(|sum| sum.stretch.span.end > window.end);
        let mut divided: BTreeSet<i64> = out.map(|sum| sum.slot).collect();
        loop {
            let found = self.with_sums(camera, window, &sums, &divided)?;
            let doubtful = overlapping(&found);
            if doubtful.is_empty() {
                return Ok(join(found.into_iter().map(|(_, stretch)| stretch)));
            }
            divided.extend(doubtful);
        }
    }

    /// The footage of a window by start: as sums where there are some that are not to be divided, else as segments.
    fn with_sums(
        &self,
        camera: &CameraId,
        window: Span,
        sums: &[Sum],
        divided: &BTreeSet<i64>,
    ) -> Result<Vec<(Option<i64>, Stretch)>, IndexError> {
        let mut found = Vec::new();
        let mut at = self.first_start(camera, window.start)?.offset(1);
        for slot in sums.chunk_by(|one, next| one.slot == next.slot) {
            let Some(number) = slot.first().map(|sum| sum.slot).filter(|slot| !divided.contains(slot)) else {
                continue;
            };
            let (from, last) = bounds(number);
            self.add_pieces(&mut found, camera, at, from, window)?;
            found.extend(slot.iter().map(|sum| (Some(number), sum.stretch)));
            at = last.offset(1);
        }
        self.add_pieces(&mut found, camera, at, window.end, window)?;
        // In order already, but for footage that exists twice because a clock was set back.
        found.sort_by_key(|(_, stretch)| stretch.span.start);
        Ok(found)
    }

    /// Adds the segments that begin between two moments and lie in the window, cut to it.
    fn add_pieces(
        &self,
        found: &mut Vec<(Option<i64>, Stretch)>,
        camera: &CameraId,
        from: Timestamp,
        to: Timestamp,
        window: Span,
    ) -> Result<(), IndexError> {
        if from < to {
            let pieces = self.pieces(camera, from, to, window)?;
            found.extend(pieces.into_iter().map(|piece| (None, piece)));
        }
        Ok(())
    }
}

impl Writer<'_> {
    /// Sums up slots that have changed, at most so many, and says how many they were. Those in which a camera's newest
    /// footage lies wait until they are past.
    pub fn sum_up(&self, most: u32) -> Result<usize, IndexError> {
        let slots = self.rows(UNSUMMED, [most], |row| {
            Ok((camera_id(row, "camera_id")?, row.get::<_, i64>("slot")?))
        })?;
        for (camera, slot) in &slots {
            self.sum_slot(camera, *slot)?;
        }
        Ok(slots.len())
    }

    fn sum_slot(&self, camera: &CameraId, slot: i64) -> Result<(), IndexError> {
        let (from, last) = bounds(slot);
        let stretches = join(self.pieces(camera, from, last.offset(1), EVER)?);
        self.execute(CLEAR, params![camera.as_str(), slot])?;
        for (place, stretch) in (0_i64..).zip(stretches) {
            self.execute(
                PUT,
                params![
                    camera.as_str(),
                    slot,
                    place,
                    stretch.span.start.as_nanos(),
                    stretch.span.end.as_nanos(),
                    stored(u64::try_from(stretch.recorded.as_nanos()).unwrap_or(u64::MAX)),
                    stored(stretch.segments),
                ],
            )?;
        }
        self.execute(DONE, params![camera.as_str(), slot])?;
        Ok(())
    }
}

/// The first slot that begins in a window, and the first that does not end in it.
fn whole_slots(window: Span) -> (i64, i64) {
    let (start, end) = (window.start.as_nanos(), window.end.as_nanos());
    let first = start.div_euclid(SLOT_NS) + i64::from(start.rem_euclid(SLOT_NS) > 0);
    (first, end.div_euclid(SLOT_NS))
}

/// The first and the last moment of a slot.
fn bounds(slot: i64) -> (Timestamp, Timestamp) {
    let first = slot.saturating_mul(SLOT_NS);
    let last = first.saturating_add(SLOT_NS - 1);
    (Timestamp::from_nanos(first), Timestamp::from_nanos(last))
}

/// The slots whose sums overlap something else, sorted by start: what was there twice is only known of segments.
fn overlapping(found: &[(Option<i64>, Stretch)]) -> BTreeSet<i64> {
    let mut slots = BTreeSet::new();
    // What reached farthest so far.
    let mut farthest: Option<&(Option<i64>, Stretch)> = None;
    for one in found.iter().filter(|(_, stretch)| !stretch.span.is_empty()) {
        if let Some(before) = farthest.filter(|before| one.1.span.start < before.1.span.end) {
            slots.extend(before.0);
            slots.extend(one.0);
        }
        if farthest.is_none_or(|before| before.1.span.end < one.1.span.end) {
            farthest = Some(one);
        }
    }
    slots
}

/// By position: looking a column up by its name costs more than reading it, and there may be thousands of rows.
fn sum(row: &Row<'_>) -> rusqlite::Result<Sum> {
    let time = |column: usize| row.get(column).map(Timestamp::from_nanos);
    let count = |column: usize| -> rusqlite::Result<u64> { Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0)) };
    Ok(Sum {
        slot: row.get(0)?,
        stretch: Stretch {
            span: Span::new(time(1)?, time(2)?),
            recorded: Duration::from_nanos(count(3)?),
            segments: count(4)?,
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Index;
    use super::super::fixture::{at, camera_id, closed, copy, index, span};
    use super::*;
    use crate::model::{CopyState, GapCause, Hole, RunId, Segment, SegmentId};
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use uuid::Uuid;

    /// What is on record of sums: how many rows, and how many slots wait.
    fn rows(index: &Index) -> (i64, i64) {
        let count = |sql: &'static str| {
            let ask = |r: &Reader<'_>| r.row(sql, [], |row| row.get::<_, i64>(0));
            index.read_blocking(ask).unwrap().unwrap()
        };
        (
            count("SELECT count(*) FROM stretches"),
            count("SELECT count(*) FROM unsummed"),
        )
    }

    fn sum_all(index: &Index) {
        while index.write_blocking(|w| w.sum_up(3)).unwrap() > 0 {}
    }

    #[test]
    fn the_schema_and_the_code_count_the_same_slots() {
        let (_directory, index) = index();
        let moments = [0, 1, 7_199, 7_200, -1, -7_200, -7_201, 1_795_168_800];
        for (number, seconds) in (1..).zip(moments) {
            index
                .write_blocking(move |w| w.close_segment(&closed(number, seconds, seconds + 1)))
                .unwrap();
        }
        let mut expected: Vec<i64> = moments.iter().map(|s| s.div_euclid(SLOT_NS / 1_000_000_000)).collect();
        expected.sort_unstable();
        expected.dedup();
        let slots = index
            .read_blocking(|r| {
                r.rows("SELECT slot FROM unsummed ORDER BY slot", [], |row| {
                    row.get::<_, i64>(0)
                })
            })
            .unwrap();
        assert_eq!(slots, expected);
    }

    #[test]
    fn a_slot_is_summed_up_when_it_is_past_and_anew_when_something_in_it_changes() {
        let (_directory, index) = index();
        index
            .write_blocking(|w| {
                (0..240).try_for_each(|n| {
                    let start = i64::try_from(n).unwrap() * 60;
                    w.close_segment(&Segment {
                        sequence: u32::try_from(n).unwrap(),
                        ..closed(n + 1, start, start + 60)
                    })
                })
            })
            .unwrap();
        assert_eq!(rows(&index), (0, 2));
        sum_all(&index);
        assert_eq!(rows(&index), (1, 1), "the newest slot is not over");
        let whole = |window| {
            let found = index
                .read_blocking(|r| r.stretches(&camera_id("door"), window))
                .unwrap();
            found
                .iter()
                .map(|one| (one.span, one.recorded.as_secs(), one.segments))
                .collect::<Vec<_>>()
        };
        assert_eq!(whole(span(0, 14_400)), [(span(0, 14_400), 14_400, 240)]);
        assert_eq!(whole(span(90, 7_230)), [(span(90, 7_230), 7_140, 120)]);
        // A file that is gone takes its minute with it, and a row that is removed as well.
        let id = |n| SegmentId(Uuid::from_u128(n));
        let volume = copy(1, 1, CopyState::Whole).volume;
        index
            .write_blocking(move |w| w.set_copy_state(id(11), volume, CopyState::Missing))
            .unwrap();
        assert_eq!(rows(&index), (0, 2));
        let holed = [(span(0, 600), 600, 10), (span(660, 14_400), 13_740, 229)];
        assert_eq!(whole(span(0, 14_400)), holed);
        sum_all(&index);
        assert_eq!((rows(&index), whole(span(0, 14_400))), ((2, 1), holed.to_vec()));
        assert!(index.write_blocking(move |w| w.remove_segment(id(1))).unwrap());
        sum_all(&index);
        assert_eq!(whole(span(0, 14_400))[0], (span(60, 600), 540, 9));
        // Nothing that does not change footage takes a sum away.
        index
            .write_blocking(move |w| w.set_copy_state(id(2), volume, CopyState::Suspect))
            .unwrap();
        assert_eq!(rows(&index), (2, 1));
    }

    #[test]
    fn an_index_from_before_there_were_sums_is_summed_up_by_and_by() {
        let (_directory, index) = index();
        index
            .write_blocking(|w| {
                (1..=20).try_for_each(|n| w.close_segment(&closed(n, n as i64 * 3600, n as i64 * 3600 + 60)))?;
                w.connection()
                    .execute_batch("DELETE FROM unsummed; DELETE FROM stretches;")?;
                let migration = include_str!("../../migrations/0004_stretches.sql");
                let fill = migration
                    .lines()
                    .find(|line| line.starts_with("INSERT INTO unsummed SELECT"));
                Ok(w.connection().execute_batch(fill.unwrap())?)
            })
            .unwrap();
        assert_eq!(rows(&index), (0, 11));
        sum_all(&index);
        assert_eq!(rows(&index), (19, 1));
    }

    /// One change: a segment that comes, changes, goes or becomes unreadable, or slots that are summed up.
    fn change(w: &Writer<'_>, kind: u8, number: u128, start: i64, length: i64, run: u32) -> Result<(), IndexError> {
        let id = SegmentId(Uuid::from_u128(number));
        match kind {
            0 | 1 => w.close_segment(&Segment {
                run: RunId(run),
                sequence: u32::try_from(number % 5).unwrap(),
                holes: match kind {
                    0 => Vec::new(),
                    _ => vec![Hole {
                        span: Span::new(at(start + length / 4), at(start + length / 2)),
                        cause: GapCause::Silent,
                    }],
                },
                ..closed(number, start, start + length)
            }),
            2 => w.remove_segment(id).map(|_| ()),
            3 => {
                let state = if run == 0 { CopyState::Whole } else { CopyState::Missing };
                w.set_copy_state(id, copy(1, 1, state).volume, state).map(|_| ())
            }
            _ => w.sum_up(run + 1).map(|_| ()),
        }
    }

    #[test]
    fn whatever_happened_sums_say_the_same_as_the_segments() {
        let change_of = (0u8..5, 1u128..40, -9_000i64..60_000, 0i64..4_000, 0u32..3);
        let windows = proptest::collection::vec((-9_000i64..60_000, 0i64..50_000), 1..6);
        let strategy = (proptest::collection::vec(change_of, 0..60), windows);
        let config = Config {
            cases: 48,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&strategy, |(changes, windows)| {
                let (_directory, index) = index();
                let door = camera_id("door");
                for (kind, number, start, length, run) in changes {
                    index
                        .write_blocking(move |w| change(w, kind, number, start, length, run))
                        .unwrap();
                }
                for (from, length) in windows {
                    let window = Span::new(at(from), at(from + length));
                    let (found, pieces) = index
                        .read_blocking(|r| {
                            let first = r.first_start(&door, window.start)?;
                            let pieces = r.pieces(&door, first.offset(1), window.end, window)?;
                            Ok((r.stretches(&door, window)?, pieces))
                        })
                        .unwrap();
                    prop_assert_eq!(found, join(pieces), "{}", window);
                }
                Ok(())
            })
            .unwrap();
    }
}
