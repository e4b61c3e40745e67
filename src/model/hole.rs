//! Holes: spans inside a segment in which it has no footage. The camera sent nothing, or its file lost frames.
//!
//! What a segment covers is its span without its holes. Everything that speaks of footage (timeline, gaps, coverage,
//! clips, manifests) asks [`Segment::covered`](super::Segment::covered), so that no two of them can disagree.

use std::collections::VecDeque;

use super::coverage::holes;
use super::gap::GapCause;
use super::stretch::SEAM;
use super::time::{Span, Timestamp};

/// A span inside a segment without footage, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// From the end of the frame before it to the frame after it.
    pub span: Span,
    /// Why.
    pub cause: GapCause,
}

/// What of a span is footage: all but its holes, in order. A span of no length is one piece of no length.
pub fn covered_pieces(span: Span, inner: &[Hole]) -> Vec<Span> {
    if inner.is_empty() {
        return vec![span];
    }
    holes(
        span,
        inner.iter().map(|hole| hole.span).collect(),
        std::time::Duration::ZERO,
    )
}

/// A time in which a camera that is otherwise well sent no frame, on the scale of its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// The end of the frame before it.
    pub from: i64,
    /// The frame after it.
    pub until: i64,
}

/// Tells pauses from the usual time between two frames. A pause is longer than two seconds and than four usual intervals:
/// a camera that sends one frame in five seconds pauses when 20 s are over.
///
/// ```text
/// frames  | | | | | | |                 | | | | |
/// pause                 |===============|           from the end of one frame to the next
/// ```
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// When the latest frame so far is shown.
    latest: Option<i64>,
    /// When the last one is decoded.
    decoded: i64,
    /// The last intervals between frames.
    recent: VecDeque<i64>,
    /// Long intervals that came before the usual one was known.
    undecided: Vec<(i64, i64)>,
}

/// So many intervals have to be known before one is called unusual.
const KNOWN: usize = 4;
/// The usual interval is the median of so many: a camera that changes its rate has another one after four frames.
const RECENT: usize = 7;
/// No frame is taken to last longer than this when none follows it.
const LONGEST_FRAME: i64 = 1_000_000_000;
/// A frame's length when nothing says one.
const UNKNOWN_FRAME: i64 = 40_000_000;

impl Pace {
    /// A frame comes, in order of decoding. Gives the pauses that are known by it: the one in front of it, and at the
    /// fifth frame those in front of earlier ones.
    pub fn came(&mut self, pts: i64, dts: i64) -> Vec<Pause> {
        let Some(latest) = self.latest else {
            (self.latest, self.decoded) = (Some(pts), dts);
            return Vec::new();
        };
        let step = dts.saturating_sub(self.decoded);
        if step > 0 {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(step);
            self.decoded = dts;
        }
        self.latest = Some(latest.max(pts));
        if pts.saturating_sub(latest) > nanos(SEAM) {
            self.undecided.push((latest, pts));
        }
        let Some(usual) = self.usual().filter(|_| self.recent.len() >= KNOWN) else {
            return Vec::new();
        };
        let pause = |(last, until): (i64, i64)| {
            let from = last.saturating_add(usual.min(LONGEST_FRAME));
            let is_long =
                until.saturating_sub(last) > usual.saturating_mul(4) && until.saturating_sub(from) > nanos(SEAM);
            is_long.then_some(Pause { from, until })
        };
        std::mem::take(&mut self.undecided)
            .into_iter()
            .filter_map(pause)
            .collect()
    }

    /// How long the last frame lasts when none follows it.
    pub fn frame(&self) -> i64 {
        self.usual().unwrap_or(UNKNOWN_FRAME).min(LONGEST_FRAME)
    }

    fn usual(&self) -> Option<i64> {
        let mut sorted: Vec<i64> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

/// The pauses between some frames, in order.
#[derive(Debug, Clone, Default)]
pub struct Pauses(Vec<Pause>);

impl Pauses {
    /// The pauses between all frames of a file, by when they are shown and decoded, in order of decoding.
    pub fn between(frames: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let (mut pace, mut pauses) = (Pace::default(), Self::default());
        for (pts, dts) in frames {
            let found = pace.came(pts, dts);
            pauses.see(pts);
            found.into_iter().for_each(|pause| pauses.add(pause));
        }
        pauses
    }

    /// Another pause is known.
    pub fn add(&mut self, pause: Pause) {
        self.0.push(pause);
    }

    /// A frame that is shown at this time: a pause in which it lies ends with it. Pictures that are decoded behind the one
    /// they are shown before come after it.
    pub fn see(&mut self, pts: i64) {
        if let Some(last) = self.0.last_mut().filter(|last| pts < last.until) {
            last.until = last.until.min(pts.max(last.from));
        }
    }

    /// Where the first pause begins behind a frame, when there is one.
    pub fn first_after(&self, pts: i64) -> Option<i64> {
        self.0.iter().map(|pause| pause.from).find(|from| *from > pts)
    }

    /// Whether the last of them ends after this.
    pub fn reach_beyond(&self, pts: i64) -> bool {
        self.0.last().is_some_and(|last| last.until > pts)
    }

    /// What was paused inside a span, when the moments of frames are told by `wall`.
    pub fn holes(&self, span: Span, wall: impl Fn(i64) -> Timestamp) -> Vec<Hole> {
        let found = self.0.iter().filter_map(|pause| {
            let span = Span::new(wall(pause.from), wall(pause.until)).intersect(&span)?;
            (span.duration() > SEAM).then_some(Hole {
                span,
                cause: GapCause::Silent,
            })
        });
        let mut found: Vec<Hole> = found.collect();
        found.sort_by_key(|hole| hole.span);
        found
    }
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn found(frames: &[i64]) -> Vec<(i64, i64)> {
        let pauses = Pauses::between(frames.iter().map(|at| (*at * MS, *at * MS)));
        let whole = Span::new(Timestamp::from_millis(-1_000_000), Timestamp::from_millis(1_000_000));
        let holes = pauses.holes(whole, Timestamp::from_nanos);
        let millis = |hole: &Hole| (hole.span.start.as_millis(), hole.span.end.as_millis());
        holes.iter().map(millis).collect()
    }

    fn steady(from: i64, step: i64, count: i64) -> Vec<i64> {
        (0..count).map(|number| from + number * step).collect()
    }

    #[test]
    fn a_pause_is_longer_than_two_seconds_and_than_four_usual_intervals() {
        for (step, pause, is_hole) in [
            (40, 2_000, false),
            (40, 2_041, true),
            (100, 4_000, true),
            (1_000, 4_000, false),
            (1_000, 4_001, true),
            (5_000, 20_000, false),
            (5_000, 20_001, true),
        ] {
            let mut frames = steady(0, step, 10);
            let last = 9 * step;
            frames.extend(steady(last + pause, step, 10));
            let hole = (last + step.min(1_000), last + pause);
            assert_eq!(
                found(&frames),
                if is_hole { vec![hole] } else { vec![] },
                "{step} {pause}"
            );
        }
    }

    #[test]
    fn a_camera_of_few_frames_has_no_pause_from_its_first_frame_on_and_a_pause_among_the_first_is_found_later() {
        assert_eq!(found(&steady(0, 5_000, 30)), []);
        assert_eq!(found(&[0, 4_000, 4_040]), [], "too little is known");
        assert_eq!(found(&[0, 4_000, 4_040, 4_080, 4_120]), [(40, 4_000)]);
    }

    #[test]
    fn a_camera_that_goes_over_to_fewer_frames_has_another_usual_interval_after_four() {
        let mut frames = steady(0, 40, 100);
        frames.extend(steady(3_960 + 5_000, 5_000, 20));
        assert_eq!(found(&frames).len(), 3);
    }

    #[test]
    fn pictures_that_are_shown_before_the_one_they_are_decoded_behind_end_the_pause() {
        // In groups of three: P is decoded first and shown last.
        let order = |from: i64| [from + 200, from, from + 100];
        let mut frames: Vec<(i64, i64)> = Vec::new();
        for (number, from) in (0..10)
            .map(|n| n * 300)
            .chain((0..10).map(|n| 8_000 + n * 300))
            .enumerate()
        {
            for (place, pts) in (0i64..).zip(order(from)) {
                let decoded = if number < 10 {
                    number as i64 * 300
                } else {
                    8_000 + (number as i64 - 10) * 300
                };
                frames.push((pts * MS, (decoded + place * 100) * MS));
            }
        }
        let pauses = Pauses::between(frames);
        let whole = Span::new(Timestamp::EPOCH, Timestamp::from_millis(1_000_000));
        let holes = pauses.holes(whole, Timestamp::from_nanos);
        assert_eq!(holes.len(), 1);
        assert_eq!(
            holes[0].span,
            Span::new(Timestamp::from_millis(3_000), Timestamp::from_millis(8_000))
        );
    }

    proptest! {
        #[test]
        fn holes_are_the_pauses_of_a_steady_camera_and_nothing_else(
            step in 10i64..3_000, bursts in prop::collection::vec((8i64..40, 1i64..30_000), 1..8)
        ) {
            let (mut frames, mut at, mut expected) = (Vec::new(), 0, Vec::new());
            for (count, pause) in bursts {
                frames.extend(steady(at, step, count));
                let last = at + (count - 1) * step;
                at = last + step.max(pause);
                let from = last + step.min(1_000);
                if at - last > 4 * step && at - from > 2_000 {
                    expected.push((from, at));
                }
            }
            frames.extend(steady(at, step, 8));
            prop_assert_eq!(found(&frames), expected);
        }

        #[test]
        fn what_is_covered_and_the_holes_make_the_span(
            length in 0i64..10_000, inner in prop::collection::vec((0i64..10_000, 1i64..3_000), 0..5)
        ) {
            let at = Timestamp::from_millis;
            let span = Span::new(at(0), at(length));
            let inner: Vec<Hole> = inner.into_iter().map(|(from, long)| Hole {
                span: Span::new(at(from), at(from + long)), cause: GapCause::Silent,
            }).collect();
            let pieces = covered_pieces(span, &inner);
            let there: std::time::Duration = pieces.iter().map(Span::duration).sum();
            let gone = super::super::coverage::covered(span, inner.iter().map(|hole| hole.span).collect());
            prop_assert_eq!(there + gone, span.duration());
            prop_assert!(pieces.iter().all(|piece| inner.iter().all(|hole| !hole.span.overlaps(piece))));
        }
    }
}
