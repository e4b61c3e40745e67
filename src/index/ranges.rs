//! Light looks at footage: what the timeline and the calendar are drawn from.

use rusqlite::{Row, params};
use uuid::Uuid;

use super::columns::span;
use super::error::IndexError;
use super::reader::Reader;
use crate::model::{CameraId, SegmentId, Span, Stretch, Timestamp, covered_pieces};

/// Answered from the index `segments_by_time` alone.
pub(super) const RANGES: &str = "
    SELECT start_ns, end_ns, id FROM segments
    WHERE camera_id = ?1 AND start_ns > ?2 AND start_ns < ?3 AND end_ns > ?4 AND playable = 1 ORDER BY start_ns, id";
pub(super) const REFILLED: &str = "
    SELECT start_ns, end_ns, id FROM segments
    WHERE camera_id = ?1 AND start_ns > ?2 AND start_ns < ?3 AND end_ns > ?4 AND playable = 1 AND origin = 'refill'
    ORDER BY start_ns";
pub(super) const NEXT: &str = "
    SELECT start_ns, end_ns FROM segments
    WHERE camera_id = ?1 AND start_ns > ?2 AND end_ns > ?3 AND playable = 1 ORDER BY start_ns, id LIMIT 1";
pub(super) const BEFORE: &str = "
    SELECT start_ns, end_ns FROM segments
    WHERE camera_id = ?1 AND start_ns < ?2 AND playable = 1 ORDER BY start_ns DESC, id DESC LIMIT 1";

const LATEST_END: &str = "SELECT max(end_ns) FROM segments WHERE camera_id = ?1 AND start_ns > ?2";

const DAY_NANOS: i64 = 86_400_000_000_000;

impl Reader<'_> {
    /// The footage of segments of a camera that can be played, begin between two moments and end after the start of a
    /// window: its pieces cut to the window, by start.
    pub(super) fn pieces(
        &self,
        camera: &CameraId,
        from: Timestamp,
        to: Timestamp,
        window: Span,
    ) -> Result<Vec<Stretch>, IndexError> {
        let segments = self.pieces_of_segments(camera, RANGES, from, to, window.start)?;
        let cut = segments.into_iter().flat_map(|pieces| {
            let cut = pieces.into_iter().filter_map(|piece| match piece.is_empty() {
                true => Some(piece),
                false => piece.intersect(&window),
            });
            Stretch::of_segment(cut.collect::<Vec<_>>())
        });
        let mut cut: Vec<Stretch> = cut.collect();
        // In order already, but for what came back later and lies in a hole of another segment.
        cut.sort_by_key(|piece| piece.span.start);
        Ok(cut)
    }

    /// The pieces of footage of each segment that begins between two moments and ends after a third.
    fn pieces_of_segments(
        &self,
        camera: &CameraId,
        sql: &str,
        from: Timestamp,
        to: Timestamp,
        end_after: Timestamp,
    ) -> Result<Vec<Vec<Span>>, IndexError> {
        let (start, end) = (from.offset(-1).as_nanos(), end_after.as_nanos());
        let rows = self.rows(sql, params![camera.as_str(), start, to.as_nanos(), end], piece)?;
        let reach = rows.iter().map(|(_, span)| span.end).max();
        let inside = match (rows.first(), reach) {
            (Some((_, first)), Some(reach)) => self.holes_by_segment(camera, Span::new(first.start, reach))?,
            _ => return Ok(Vec::new()),
        };
        let pieces = rows
            .into_iter()
            .map(|(id, span)| covered_pieces(span, inside.get(&id).map_or(&[], Vec::as_slice)));
        Ok(pieces.collect())
    }

    /// What of a camera's footage can be played in a span, by start.
    pub(super) fn covered(&self, camera: &CameraId, window: Span) -> Result<Vec<Span>, IndexError> {
        let first = self.first_start(camera, window.start)?.offset(1);
        let pieces = self.pieces(camera, first, window.end, window)?;
        Ok(pieces.into_iter().map(|piece| piece.span).collect())
    }

    /// What of a camera's footage came back from its own storage and can be played: that which overlaps a span, by start.
    pub fn refilled(&self, camera: &CameraId, window: Span) -> Result<Vec<Span>, IndexError> {
        let first = self.first_start(camera, window.start)?.offset(1);
        let segments = self.pieces_of_segments(camera, REFILLED, first, window.end, window.start)?;
        let mut pieces: Vec<Span> = segments.into_iter().flatten().collect();
        pieces.retain(|piece| piece.overlaps(&window));
        Ok(pieces)
    }

    /// The first footage of a camera that ends after a moment: the one it lies in, or the next. Whoever lists days of a
    /// time zone asks again from the midnight after what it got.
    pub fn next_footage(&self, camera: &CameraId, moment: Timestamp) -> Result<Option<Span>, IndexError> {
        let mut after = moment;
        loop {
            let first = self.first_start(camera, after)?;
            let row = params![camera.as_str(), first.as_nanos(), after.as_nanos()];
            let Some(found) = self.row(NEXT, row, span)? else {
                return Ok(None);
            };
            // What began before it ends may lie in a hole of it.
            let from = first.offset(1);
            let near = self.pieces_of_segments(camera, RANGES, from, found.end.max(found.start.offset(1)), after)?;
            let pieces = near.into_iter().flatten().filter(|piece| piece.end > moment);
            if let Some(piece) = pieces.min_by_key(|piece| piece.start) {
                return Ok(Some(piece));
            }
            after = found.end.max(after);
        }
    }

    /// The last footage of a camera that begins before a moment and can be played.
    pub fn footage_before(&self, camera: &CameraId, moment: Timestamp) -> Result<Option<Span>, IndexError> {
        let mut before = moment;
        loop {
            let Some(found) = self.row(BEFORE, params![camera.as_str(), before.as_nanos()], span)? else {
                return Ok(None);
            };
            // It may lie in a hole of a segment that began before it.
            let from = self.first_start(camera, found.start)?.offset(1);
            let near = self.pieces_of_segments(camera, RANGES, from, before, Timestamp::MIN)?;
            let pieces = near.into_iter().flatten().filter(|piece| piece.start < moment);
            if let Some(piece) = pieces.max_by_key(|piece| piece.start) {
                return Ok(Some(piece));
            }
            before = from.min(found.start);
        }
    }

    /// The end of the newest segment of a camera, whether it can be played or not.
    pub fn covered_until(&self, camera: &CameraId) -> Result<Option<Timestamp>, IndexError> {
        let Some(last) = self.last_segment(camera)? else {
            return Ok(None);
        };
        // One that came back later and lies in a hole of another begins after that one, and ends before it.
        let near = params![camera.as_str(), self.first_start(camera, last.span.start)?.as_nanos()];
        self.row(LATEST_END, near, |row| {
            row.get::<_, Option<i64>>(0).map(|end| end.map(Timestamp::from_nanos))
        })
        .map(Option::flatten)
    }

    /// The midnights (UTC) of the days with footage of a camera, in order. It looks once a day, however much there is.
    pub fn days(&self, camera: &CameraId) -> Result<Vec<Timestamp>, IndexError> {
        let mut days = Vec::new();
        let mut at = Timestamp::MIN;
        while let Some(found) = self.next_footage(camera, at)? {
            // Footage over midnight is on both days; what was seen of it already is not seen again.
            let moment = found.start.max(at);
            let midnight = Timestamp::from_nanos(moment.as_nanos().div_euclid(DAY_NANOS).saturating_mul(DAY_NANOS));
            days.push(midnight);
            let next = midnight.offset(DAY_NANOS);
            if next <= at {
                break;
            }
            at = next;
        }
        Ok(days)
    }
}

/// A segment as the timeline sees it, by position because there may be thousands.
pub(super) fn piece(row: &Row<'_>) -> rusqlite::Result<(SegmentId, Span)> {
    let time = |column: usize| row.get(column).map(Timestamp::from_nanos);
    let id: [u8; 16] = row.get(2)?;
    Ok((SegmentId(Uuid::from_bytes(id)), Span::new(time(0)?, time(1)?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fixture::{at, camera_id, closed, copy, index, segment, span};
    use super::super::{Index, Reader, events, gaps, holes, segments, stretches};
    use super::*;
    use crate::model::{CopyState, Segment, SegmentId};
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use rusqlite::StatementStatus;

    /// Minutes of footage of the camera `door` without end, with a copy each, and as many gaps and events; then some of
    /// another camera, so that no index has one camera only.
    fn filled(minutes: i64) -> (tempfile::TempDir, Index) {
        let (directory, index) = index();
        let fill = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {minutes})
             INSERT INTO segments (id, camera_id, run_id, sequence, start_ns, end_ns, codec, width, height, has_audio,
                 container, state, origin, clock, frames, created_at_ns)
             SELECT CAST(printf('%016d', i) AS BLOB), 'door', i / 100, i % 100, i * 60000000000, (i + 1) * 60000000000,
                 'h264', 1, 1, 0, 'mp4', 'closed', 'live', 'arrival', 1, 0 FROM n;
             INSERT INTO copies (segment_id, volume_id, path, size_bytes, state)
             SELECT segments.id, (SELECT id FROM volumes WHERE role = 'primary'), 'door/' || start_ns, 1, 'whole' FROM segments;
             INSERT INTO gaps (camera_id, start_ns, end_ns, open, cause, fate, attempts, recovered_seconds)
             SELECT camera_id, start_ns, start_ns + 5000000000, 0, 'ended', 'failed', 0, 0 FROM segments;
             INSERT INTO events (at_ns, kind, camera_id, message)
             SELECT start_ns, 'camera_offline', camera_id, '' FROM segments;
             UPDATE segments SET origin = 'refill' WHERE sequence % 50 = 0;
             INSERT INTO holes (segment_id, start_ns, end_ns, cause, camera_id)
             SELECT id, start_ns + 20000000000, start_ns + 25000000000, 'silent', camera_id FROM segments WHERE sequence % 4 = 1;
             UPDATE cameras SET longest_segment_ns = 60000000000, longest_gap_ns = 5000000000;"
        );
        index
            .write_blocking(move |w| {
                w.remember_camera(&camera_id("door"), at(0))?;
                w.connection().execute_batch(&fill)?;
                for number in 0..50 {
                    let mut other = closed(number + 1, number as i64 * 60, number as i64 * 60 + 60);
                    other.camera = camera_id("yard");
                    other.copies[0].path = format!("yard/{number}");
                    w.close_segment(&other)?;
                }
                while w.sum_up(1000)? > 0 {}
                Ok(())
            })
            .unwrap();
        (directory, index)
    }

    /// How many steps of SQLite's machine a read takes in one of its statements.
    fn steps<T>(index: &Index, sql: &'static str, read: impl Fn(&Reader<'_>) -> Result<T, IndexError>) -> i32 {
        index
            .read_blocking(|r| {
                let counted = |reset| -> Result<i32, IndexError> {
                    let statement = r.connection().prepare_cached(sql)?;
                    Ok(if reset {
                        statement.reset_status(StatementStatus::VmStep)
                    } else {
                        statement.get_status(StatementStatus::VmStep)
                    })
                };
                counted(true)?;
                read(r)?;
                counted(false)
            })
            .unwrap()
    }

    fn ranges(r: &Reader<'_>, camera: &CameraId, window: Span) -> Result<Vec<Stretch>, IndexError> {
        let first = r.first_start(camera, window.start)?.offset(1);
        r.pieces(camera, first, window.end, window)
    }

    type Look = (
        &'static str,
        &'static str,
        fn(&Reader<'_>, i64) -> Result<usize, IndexError>,
    );

    /// Each look at footage, asked for an hour in the middle of `minutes`.
    fn looks() -> Vec<Look> {
        fn hour(minutes: i64) -> Span {
            span(minutes / 2 * 60, minutes / 2 * 60 + 3600)
        }
        fn door() -> CameraId {
            camera_id("door")
        }
        vec![
            ("an hour of segments", segments::PAGE, |r, m| {
                Ok(r.segments(&door(), Some(hour(m)), 500, None)?.len())
            }),
            ("a page behind another", segments::PAGE, |r, m| {
                let last = (hour(m).start, SegmentId(uuid::Uuid::nil()));
                Ok(r.segments(&door(), None, 60, Some(last))?.len())
            }),
            ("an hour of ranges", RANGES, |r, m| {
                Ok(ranges(r, &door(), hour(m))?.len())
            }),
            ("six hours of sums", stretches::SUMS, |r, m| {
                let start = hour(m).start;
                let window = Span::new(start, start.offset(6 * 3_600_000_000_000));
                Ok(r.stretches(&door(), window)?.len())
            }),
            ("an hour of what came back", REFILLED, |r, m| {
                Ok(r.refilled(&door(), hour(m))?.len())
            }),
            ("the next footage", NEXT, |r, m| {
                Ok(usize::from(r.next_footage(&door(), hour(m).start)?.is_some()))
            }),
            ("an hour of what lacks", holes::WITHIN, |r, m| {
                Ok(r.lacking(&door(), hour(m))?.len())
            }),
            ("the footage before", BEFORE, |r, m| {
                Ok(usize::from(r.footage_before(&door(), hour(m).start)?.is_some()))
            }),
            ("the last segment", segments::LAST, |r, _| {
                Ok(usize::from(r.last_segment(&door())?.is_some()))
            }),
            ("open segments", segments::OPEN, |r, _| Ok(r.open_segments()?.len())),
            ("an hour of gaps", gaps::OVERLAPPING, |r, m| {
                Ok(r.gaps_within(&door(), hour(m))?.len())
            }),
            ("a page of events", events::SINCE, |r, m| {
                Ok(r.events(m / 2, &events::EventFilter::default(), 50)?.len())
            }),
        ]
    }

    #[test]
    fn a_look_costs_the_same_whether_a_thousand_or_a_hundred_thousand_segments_are_kept() {
        let (few, many) = (1_000, 100_000);
        let ((_small, small), (_large, large)) = (filled(few), filled(many));
        for (name, sql, look) in looks() {
            let found = |index: &Index, minutes| index.read_blocking(|r| look(r, minutes)).unwrap();
            assert_eq!(found(&small, few), found(&large, many), "{name}");
            let cheap = steps(&small, sql, |r| look(r, few));
            let dear = steps(&large, sql, |r| look(r, many));
            assert!(cheap > 0, "{name}: nothing was counted");
            assert!(
                f64::from(dear) <= 1.5 * f64::from(cheap),
                "{name}: {cheap} steps became {dear}"
            );
        }
    }

    #[test]
    fn every_look_seeks() {
        let (_directory, index) = filled(10);
        let by_time = "SEARCH segments USING INDEX segments_by_time (camera_id=? AND ";
        let covering = "SEARCH segments USING COVERING INDEX segments_by_time (camera_id=?";
        for (sql, plan) in [
            (segments::PAGE, format!("{by_time}(start_ns,id)>(?,?) AND start_ns<?)")),
            (
                segments::LAST,
                "SEARCH segments USING INDEX segments_by_time (camera_id=?)".into(),
            ),
            (segments::OPEN, "SCAN segments USING INDEX segments_open".into()),
            (segments::BY_PATH, "SEARCH copies USING".into()),
            (
                segments::DAMAGE,
                "SEARCH segments USING COVERING INDEX segments_damaged (camera_id=? AND start_ns>? AND start_ns<?)"
                    .into(),
            ),
            (RANGES, format!("{covering} AND start_ns>? AND start_ns<?)")),
            (
                REFILLED,
                "SEARCH segments USING COVERING INDEX segments_refilled (camera_id=? AND start_ns>? AND start_ns<?)"
                    .into(),
            ),
            (
                holes::WITHIN,
                "SEARCH holes USING COVERING INDEX holes_by_time (camera_id=? AND start_ns>? AND start_ns<?)".into(),
            ),
            (
                holes::UNPLAYABLE,
                "SEARCH segments USING COVERING INDEX segments_unplayable (camera_id=? AND start_ns>? AND start_ns<?)"
                    .into(),
            ),
            (
                stretches::SUMS,
                "SEARCH stretches USING PRIMARY KEY (camera_id=? AND slot>? AND slot<?)".into(),
            ),
            (NEXT, format!("{covering} AND start_ns>?)")),
            (BEFORE, format!("{covering} AND start_ns<?)")),
            (gaps::OPEN, "SEARCH gaps USING INDEX gaps_open (camera_id=?)".into()),
            (
                gaps::OF_CAMERA,
                "SEARCH gaps USING INDEX gaps_by_time (camera_id=? AND ".into(),
            ),
            (
                gaps::OF_FATE,
                "SEARCH gaps USING INDEX gaps_by_fate (fate=? AND ".into(),
            ),
            (
                gaps::COUNT_OF_FATE,
                "SEARCH gaps USING COVERING INDEX gaps_by_fate (fate=?)".into(),
            ),
            (
                gaps::OVERLAPPING,
                "SEARCH gaps USING INDEX gaps_by_time (camera_id=? AND start_ns>? AND start_ns<?)".into(),
            ),
            (
                events::OF_CAMERA,
                "SEARCH events USING INDEX events_of_camera (camera_id=? AND ".into(),
            ),
            (
                events::OF_KIND,
                "SEARCH events USING INDEX events_of_kind (kind=? AND ".into(),
            ),
            (
                events::SINCE,
                "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)".into(),
            ),
        ] {
            let found: Vec<String> = index
                .read_blocking(|r| {
                    let mut statement = r.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    let nothing = vec![rusqlite::types::Null; statement.parameter_count()];
                    let rows = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get("detail"))?;
                    Ok(rows.collect::<rusqlite::Result<_>>()?)
                })
                .unwrap();
            assert!(found[0].starts_with(&plan), "{found:?} is not {plan}");
            let sorted = found.iter().any(|step| step.contains("TEMP B-TREE"));
            assert!(!sorted, "{found:?} sorts what lies in order");
        }
    }

    #[test]
    fn what_overlaps_is_found_however_long_it_is_and_in_whatever_pages() {
        let rows = proptest::collection::vec((0i64..500, 0i64..120), 0..25);
        let strategy = (rows, 0i64..500, 0i64..200, 1u32..7);
        let config = Config {
            cases: 24,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&strategy, |(rows, from, length, page)| {
                let (_directory, index) = index();
                let all: Vec<Segment> = (1u128..)
                    .zip(&rows)
                    .map(|(number, &(start, length))| closed(number, start, start + length))
                    .collect();
                let sent = all.clone();
                index
                    .write_blocking(move |w| sent.iter().try_for_each(|segment| w.close_segment(segment)))
                    .unwrap();
                let window = span(from, from + length);
                let mut expected = all.clone();
                expected.retain(|segment| segment.span.start < window.end && segment.span.end > window.start);
                expected.sort_by_key(|segment| (segment.span.start, segment.id));
                let mut found: Vec<Segment> = Vec::new();
                loop {
                    let after = found.last().map(|segment| (segment.span.start, segment.id));
                    let door = camera_id("door");
                    let next = index
                        .read_blocking(|r| r.segments(&door, Some(window), page, after))
                        .unwrap();
                    if next.is_empty() {
                        break;
                    }
                    found.extend(next);
                }
                prop_assert_eq!(&found, &expected);
                let found = index.read_blocking(|r| ranges(r, &camera_id("door"), window)).unwrap();
                let cut = |span: Span| {
                    if span.is_empty() {
                        Some(span)
                    } else {
                        span.intersect(&window)
                    }
                };
                let mut spans: Vec<Span> = expected.iter().filter_map(|segment| cut(segment.span)).collect();
                spans.sort_by_key(|span| span.start);
                prop_assert_eq!(found.iter().map(|one| one.span).collect::<Vec<_>>(), spans);
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn footage_whose_files_are_gone_is_not_on_the_timeline_and_returns_with_a_file() {
        let (_directory, index) = index();
        let door = camera_id("door");
        index.write_blocking(|w| w.close_segment(&closed(1, 0, 60))).unwrap();
        let id = closed(1, 0, 60).id;
        let seen = || index.read_blocking(|r| ranges(r, &door, span(0, 100))).unwrap().len();
        for (state, there) in [
            (CopyState::Missing, 0),
            (CopyState::Suspect, 1),
            (CopyState::Quarantined, 0),
        ] {
            let volume = copy(1, 1, state).volume;
            assert!(
                index
                    .write_blocking(move |w| w.set_copy_state(id, volume, state))
                    .unwrap()
            );
            assert_eq!(seen(), there, "{state:?}");
        }
        index
            .write_blocking(move |w| w.put_copy(id, &copy(2, 1, CopyState::Whole)))
            .unwrap();
        assert_eq!(seen(), 1);
        assert_eq!(index.read_blocking(|r| r.segment(id)).unwrap().unwrap().copies.len(), 2);
    }

    #[test]
    fn days_are_those_on_which_something_was_seen() {
        let (_directory, index) = index();
        let door = camera_id("door");
        let day = 86_400;
        assert_eq!(index.read_blocking(|r| r.days(&door)).unwrap(), []);
        index
            .write_blocking(move |w| {
                w.close_segment(&closed(1, day + 10, day + 70))?;
                w.close_segment(&closed(2, day + 70, day + 130))?;
                // Over midnight, and one that ends with its day.
                w.close_segment(&closed(3, 4 * day - 30, 4 * day + 30))?;
                w.close_segment(&closed(4, 8 * day - 60, 8 * day))?;
                w.open_segment(&segment(5, 10 * day, 10 * day + 1))
            })
            .unwrap();
        let days: Vec<i64> = index
            .read_blocking(|r| r.days(&door))
            .unwrap()
            .iter()
            .map(|midnight| midnight.as_millis() / 86_400_000)
            .collect();
        assert_eq!(days, [1, 3, 4, 7, 10]);
    }
}
