//! Which frames that came become which segments. Pure.
//!
//! ```text
//! here already  - - K - - |                                   | K - - -
//! came                K - - - - K - - - - K - - - - K - - - - K - -
//! segment                 |=========|=========|===============|
//! hidden              x x                                              decoded, so that the first one shown can be
//! ```
//!
//! What is kept begins where other footage ends and ends where other footage begins, each to the frame, so that nothing is
//! there twice. A file begins with a keyframe all the same.

use std::ops::Range;
use std::time::Duration;

use crate::model::coverage::holes;
use crate::model::{Span, Timestamp};

use super::placing::{Frame, PAUSE, usual_interval};

/// One segment to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cutting {
    /// Its frames in order of decoding, a keyframe first. Those that were taken before its span are hidden.
    pub(super) frames: Range<usize>,
    /// From the first frame shown to the end of the last.
    pub(super) span: Span,
    /// What is added to when its frames were taken: less than half of what lies between two of them.
    pub(super) shift_ns: i64,
    /// The kind of its pictures.
    pub(super) look: usize,
    /// Segments of one number follow one another without a seam.
    pub(super) run: u32,
    /// Its place among them.
    pub(super) sequence: u32,
}

/// Cuts what came, in order of decoding, to what is wanted, without the frames that are `here` already. Segments are as long as
/// `length`, to the next keyframe.
pub(super) fn cut(
    frames: &[Frame],
    walls: &[Timestamp],
    here: &[bool],
    wanted: &[Span],
    length: Duration,
) -> Vec<Cutting> {
    let interval = usual_interval(walls);
    let mut cuttings: Vec<Cutting> = Vec::new();
    let mut run = 0;
    for stretch in stretches(frames, walls, interval) {
        let taken: Vec<Span> = cuttings.iter().map(|cutting| cutting.span).collect();
        let left = wanted.iter().flat_map(|hole| {
            let tolerance = Duration::from_nanos(u64::try_from(interval / 2).unwrap_or(0));
            holes(*hole, taken.clone(), tolerance)
        });
        for hole in left {
            let knife = Knife {
                frames,
                walls,
                here,
                stretch: stretch.clone(),
                hole,
                interval,
            };
            let made = knife.cut(length, run);
            run += u32::from(!made.is_empty());
            cuttings.extend(made);
        }
    }
    cuttings
}

/// Parts of what came in which time goes on and pictures are of one kind.
fn stretches(frames: &[Frame], walls: &[Timestamp], interval: i64) -> Vec<Range<usize>> {
    let pause = PAUSE.max(interval.saturating_mul(3));
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut latest = Timestamp::MIN;
    for (number, (frame, wall)) in frames.iter().zip(walls).enumerate() {
        let step = wall.nanos_since(latest);
        let goes_on = step <= pause && step >= -pause;
        match parts.last_mut() {
            Some(part) if goes_on && frames.get(part.start).is_some_and(|first| first.look == frame.look) => {
                part.end = number + 1;
                latest = latest.max(*wall);
            }
            _ => {
                parts.push(number..number + 1);
                latest = *wall;
            }
        }
    }
    parts
}

/// Cuts one stretch to one hole.
struct Knife<'a> {
    frames: &'a [Frame],
    walls: &'a [Timestamp],
    here: &'a [bool],
    stretch: Range<usize>,
    hole: Span,
    interval: i64,
}

impl Knife<'_> {
    fn wall(&self, number: usize) -> Timestamp {
        self.walls.get(number).copied().unwrap_or(Timestamp::MIN)
    }

    fn is_keyframe(&self, number: usize) -> bool {
        self.frames.get(number).is_some_and(|frame| frame.keyframe)
    }

    fn is_here(&self, number: usize) -> bool {
        self.here.get(number).is_some_and(|is_here| *is_here)
    }

    /// Whether a frame is not here yet, and nearer to the inside of the hole than to what lies outside.
    fn is_inside(&self, number: usize) -> bool {
        let half = self.interval / 2;
        let wall = self.wall(number).offset(half);
        !self.is_here(number) && wall >= self.hole.start && wall < self.hole.end
    }

    fn cut(&self, length: Duration, run: u32) -> Vec<Cutting> {
        let Some((begin, first)) = self.begin() else {
            return Vec::new();
        };
        let after = |number: &usize| {
            let is_next = self.is_here(*number) && self.wall(*number) > self.wall(first);
            is_next || self.wall(*number).offset(self.interval / 2) >= self.hole.end
        };
        let end = (first + 1..self.stretch.end).find(after).unwrap_or(self.stretch.end);
        let half = self.interval / 2;
        let off = self.hole.start.nanos_since(self.wall(first));
        let shift_ns = if off.abs() <= half { off } else { 0 };
        let length = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
        let (mut starts, mut since) = (vec![begin], self.wall(first));
        for number in first + 1..end {
            if self.is_keyframe(number) && self.wall(number).nanos_since(since).saturating_add(half) >= length {
                starts.push(number);
                since = self.wall(number);
            }
        }
        let ends = starts.iter().skip(1).copied().chain(std::iter::once(end));
        let mut cuttings: Vec<Cutting> = Vec::new();
        for ((sequence, start), end) in (0u32..).zip(starts.iter().copied()).zip(ends) {
            let from = if sequence == 0 { first } else { start };
            let until = match starts.contains(&end) {
                true => self.wall(end).offset(shift_ns),
                false => self.end_of(from, end, shift_ns),
            };
            let span = Span::new(self.wall(from).offset(shift_ns), until);
            if span.is_empty() {
                break;
            }
            cuttings.push(Cutting {
                frames: start..end,
                span,
                shift_ns,
                look: self.frames.get(start).map_or(0, |frame| frame.look),
                run,
                sequence,
            });
        }
        cuttings
    }

    /// The keyframe with which the file begins, and the first frame that is shown.
    fn begin(&self) -> Option<(usize, usize)> {
        let inside = || self.stretch.clone().filter(|number| self.is_inside(*number));
        let first = inside().min_by_key(|number| self.wall(*number))?;
        let before = (self.stretch.start..=first).rev();
        let keyframe = before
            .into_iter()
            .find(|number| self.is_keyframe(*number) && self.wall(*number) <= self.wall(first));
        match keyframe {
            Some(keyframe) => Some((keyframe, first)),
            None => inside()
                .find(|number| self.is_keyframe(*number))
                .map(|number| (number, number)),
        }
    }

    /// Where the last of some frames ends: where the next one begins, when there is one, and never in other footage.
    fn end_of(&self, from: usize, end: usize, shift_ns: i64) -> Timestamp {
        let last = (from..end).map(|number| self.wall(number)).max();
        let natural = last.map_or(self.hole.start, |last| last.offset(self.interval));
        let next = (end < self.stretch.end).then(|| self.wall(end));
        let until = next.unwrap_or(natural).max(natural).offset(shift_ns);
        match self.hole.end.nanos_since(until) {
            left if left <= self.interval / 2 => self.hole.end,
            _ => until,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const FRAME: i64 = 40;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + millis)
    }

    fn span(from: i64, to: i64) -> Span {
        Span::new(at(from), at(to))
    }

    fn frame(keyframe: bool, look: usize) -> Frame {
        Frame {
            pts: 0,
            taken: None,
            keyframe,
            lost: 0,
            look,
            size: 100,
            offset: 0,
            crc: 0,
        }
    }

    /// Frames by when they were taken, in frames from zero; a keyframe each 25.
    fn came(numbers: impl IntoIterator<Item = i64>) -> (Vec<Frame>, Vec<Timestamp>) {
        let frames = numbers.into_iter().map(|n| (frame(n % 25 == 0, 0), at(n * FRAME)));
        frames.unzip()
    }

    fn spans(cuttings: &[Cutting]) -> Vec<Span> {
        cuttings.iter().map(|cutting| cutting.span).collect()
    }

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_segment_fills_its_hole_to_the_frame_and_hides_what_it_needs_before() {
        let (frames, walls) = came(0..200);
        // The frame before the hole was taken at 1360, the first after it at 4400.
        for off in [-17, 0, 17] {
            let hole = span(1400 + off, 4400 + off);
            let cuttings = cut(&frames, &walls, &[], &[hole], LONG);
            assert_eq!(spans(&cuttings), [hole], "{off}");
            assert_eq!(cuttings[0].frames, 25..110, "{off}");
            assert_eq!(cuttings[0].shift_ns, off * 1_000_000);
        }
    }

    #[test]
    fn segments_are_as_long_as_they_should_be_and_join() {
        let (frames, walls) = came(0..200);
        let cuttings = cut(&frames, &walls, &[], &[span(400, 6400)], Duration::from_secs(2));
        assert_eq!(spans(&cuttings), [span(400, 3000), span(3000, 5000), span(5000, 6400)]);
        let places: Vec<_> = cuttings.iter().map(|cutting| (cutting.run, cutting.sequence)).collect();
        assert_eq!(places, [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(cuttings[1].frames, 75..125);
    }

    #[test]
    fn what_came_short_too_long_or_twice_is_taken_once() {
        let (frames, walls) = came(0..100);
        assert_eq!(
            spans(&cut(&frames, &walls, &[], &[span(2000, 9000)], LONG)),
            [span(2000, 4000)]
        );
        let (frames, walls) = came((0..100).chain(50..200));
        let cuttings = cut(&frames, &walls, &[], &[span(400, 6400)], LONG);
        assert_eq!(spans(&cuttings), [span(400, 4000), span(4000, 6400)]);
        assert_eq!((cuttings[0].run, cuttings[1].run), (0, 1));
        let (frames, walls) = came((100..200).chain(0..100));
        let mut both = spans(&cut(&frames, &walls, &[], &[span(400, 6400)], LONG));
        both.sort();
        assert_eq!(both, [span(400, 4000), span(4000, 6400)]);
    }

    #[test]
    fn what_begins_without_a_keyframe_begins_with_the_next() {
        let (frames, walls) = came(30..200);
        assert_eq!(
            spans(&cut(&frames, &walls, &[], &[span(400, 6400)], LONG)),
            [span(2000, 6400)]
        );
        let (frames, walls) = came(30..45);
        assert_eq!(cut(&frames, &walls, &[], &[span(400, 6400)], LONG), []);
    }

    #[test]
    fn a_hole_in_what_came_stays_one_and_other_pictures_begin_another_run() {
        let (frames, walls) = came((0..60).chain(90..200));
        let cuttings = cut(&frames, &walls, &[], &[span(400, 6400)], LONG);
        assert_eq!(spans(&cuttings), [span(400, 2400), span(4000, 6400)]);
        let (mut frames, walls) = came(0..200);
        frames.iter_mut().skip(100).for_each(|frame| frame.look = 1);
        let cuttings = cut(&frames, &walls, &[], &[span(400, 6400)], LONG);
        assert_eq!(spans(&cuttings), [span(400, 4000), span(4000, 6400)]);
        assert_eq!((cuttings[1].look, cuttings[1].run), (1, 1));
    }

    #[test]
    fn several_holes_are_filled_from_one_answer() {
        let (frames, walls) = came(0..200);
        let wanted = [span(400, 1200), span(2000, 3000)];
        assert_eq!(spans(&cut(&frames, &walls, &[], &wanted, LONG)), wanted);
    }

    proptest! {
        #[test]
        fn nothing_overlaps_nothing_is_invented_and_every_file_can_be_decoded(
            parts in prop::collection::vec((0i64..300, 1i64..120), 1..6), jitter in 0i64..12,
            holes in prop::collection::vec((0i64..16_000, 40i64..4000), 1..4), length in 1u64..5,
        ) {
            let numbers: Vec<i64> = parts.iter().flat_map(|(from, count)| *from..from + count).collect();
            let (frames, mut walls) = came(numbers.iter().copied());
            for (number, wall) in walls.iter_mut().enumerate() {
                *wall = wall.offset((number as i64 * 7919 % (jitter + 1)) * 1_000_000);
            }
            let wanted: Vec<Span> = holes.iter().map(|(from, long)| span(*from, from + long)).collect();
            let wanted = crate::model::coverage::merge(wanted, Duration::ZERO);
            let cuttings = cut(&frames, &walls, &[], &wanted, Duration::from_secs(length));
            let mut sorted = spans(&cuttings);
            sorted.sort();
            prop_assert!(sorted.windows(2).all(|pair| pair[0].end <= pair[1].start), "{sorted:?}");
            let half = usual_interval(&walls) / 2;
            for cutting in &cuttings {
                prop_assert!(wanted.iter().any(|hole| hole.start <= cutting.span.start && cutting.span.end <= hole.end));
                prop_assert!(frames[cutting.frames.start].keyframe && !cutting.span.is_empty());
                prop_assert!(cutting.shift_ns.abs() <= half);
                let shown: Vec<Timestamp> = walls[cutting.frames.clone()].iter().map(|wall| wall.offset(cutting.shift_ns))
                    .filter(|wall| *wall >= cutting.span.start).collect();
                prop_assert!(shown.contains(&cutting.span.start));
                // The last frame ends where the span does, but for a frame that was late.
                let last = *shown.iter().max().unwrap();
                prop_assert!(cutting.span.end.nanos_since(last) <= PAUSE.max(6 * half) + 2 * half);
            }
        }
    }
}
