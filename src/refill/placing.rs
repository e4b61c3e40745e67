//! When frames that came were taken, on this box's clock. Pure.
//!
//! The camera tells by its own clock, whose distance from this box's was measured. Better than any measurement is a frame that
//! is here already: the camera is asked for a little more than what lacks, and a frame that has the same bytes as one at the
//! edge of the gap is that one. What the two say of its time is the distance of the clocks, to the frame.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::{Span, Timestamp};
use crate::pipeline::TakenBy;

/// What is known of a frame that came, but for its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// When it came in the stream, on the stream's own scale, in nanoseconds.
    pub(super) pts: i64,
    /// When it was taken by the camera's clock, where that was told.
    pub(super) taken: Option<(Timestamp, TakenBy)>,
    /// Whether decoding can start here.
    pub(super) keyframe: bool,
    /// Packets that are missing before it.
    pub(super) lost: u64,
    /// Which of the kinds of pictures it is.
    pub(super) look: usize,
    /// How many bytes it has, and where they are.
    pub(super) size: u32,
    pub(super) offset: u64,
    /// What tells its bytes from others.
    pub(super) crc: u32,
}

/// A frame that is here already, at the edge of a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// When it was taken, by this box's clock.
    pub(super) wall: Timestamp,
    pub(super) keyframe: bool,
    pub(super) size: u32,
    pub(super) crc: u32,
}

/// What lies at the two edges of what is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Edges {
    /// The last frames before it.
    pub(super) before: Vec<Known>,
    /// The first frames after it.
    pub(super) after: Vec<Known>,
}

/// How frames found their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Some of them are here already.
    Neighbours,
    /// By the camera's clock as it was measured.
    Clock,
    /// Nobody told when they were taken: counted from the moment that was asked for.
    Request,
}

/// Frames in their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// When each was taken, by this box's clock.
    pub(super) walls: Vec<Timestamp>,
    /// How that is known.
    pub(super) by: By,
    /// How far the camera's clock is ahead, in nanoseconds.
    pub(super) ahead_ns: i64,
}

/// Reports that say another time than that of a replay are those of now: some cameras send them so.
const NEAR: Duration = Duration::from_secs(120);
/// From one report to the next the camera's clock moves less than this.
const STEP: i64 = 500_000_000;
/// Frames at one edge that agree within this are the same ones, each.
const AGREE: i64 = 100_000_000;
/// A frame of fewer bytes may be like another one by chance.
const TELLING: u32 = 64;
/// Clocks that move so far from each other over a gap were set in it, and nobody knows when.
const DRIFT: i64 = 2_000_000_000;

/// Places frames that were asked for by `asked`, on a camera's clock that is `ahead_ns` ahead.
pub(super) fn place(frames: &[Frame], asked: Span, ahead_ns: i64, edges: &Edges) -> Placed {
    let (camera, is_told) = camera_times(frames, asked);
    let before = distance(frames, &camera, &edges.before);
    let after = distance(frames, &camera, &edges.after);
    let (first, second) = match (before, after) {
        (Some(before), Some(after)) if (after.1 - before.1).abs() <= DRIFT && after.0 > before.0 => (before, after),
        (Some(only), _) | (None, Some(only)) => (only, only),
        (None, None) => {
            let walls = camera.iter().map(|taken| taken.offset(-ahead_ns)).collect();
            return Placed {
                walls,
                by: if is_told { By::Clock } else { By::Request },
                ahead_ns,
            };
        }
    };
    let between = second.0.nanos_since(first.0).max(1);
    let wall = |taken: &Timestamp| {
        let share = taken.nanos_since(first.0).clamp(0, between);
        let drift = i128::from(second.1 - first.1) * i128::from(share) / i128::from(between);
        taken.offset(first.1 + i64::try_from(drift).unwrap_or(0))
    };
    Placed {
        walls: camera.iter().map(wall).collect(),
        by: By::Neighbours,
        ahead_ns: if is_told { -first.1 } else { ahead_ns },
    }
}

/// When each frame was taken by the camera's clock, and whether the camera told.
fn camera_times(frames: &[Frame], asked: Span) -> (Vec<Timestamp>, bool) {
    let near = Span::new(asked.start.minus(NEAR), asked.end.plus(NEAR));
    let believed = |frame: &Frame| {
        frame
            .taken
            .filter(|(taken, by)| *by == TakenBy::Extension || near.contains(*taken))
    };
    let Some(told) = frames.iter().find_map(|frame| Some((frame.pts, believed(frame)?.0))) else {
        let first = frames.first().map_or(0, |frame| frame.pts);
        let counted = |frame: &Frame| asked.start.offset(frame.pts.saturating_sub(first));
        return (frames.iter().map(counted).collect(), false);
    };
    let mut tie = told;
    let times = frames.iter().map(|frame| {
        let counted = tie.1.offset(frame.pts.saturating_sub(tie.0));
        match believed(frame) {
            Some((taken, TakenBy::Extension)) => {
                tie = (frame.pts, taken);
                taken
            }
            // Frames keep their true distances: what a report says anew is taken only where it says that something is missing.
            Some((taken, TakenBy::Reports)) if taken.nanos_since(counted).abs() > STEP => {
                tie = (frame.pts, taken);
                taken
            }
            _ => counted,
        }
    });
    (times.collect(), true)
}

/// How far this box's clock is ahead of the camera's by frames that both know, and at which moment of the camera. Frames whose
/// bytes are there twice say nothing.
fn distance(frames: &[Frame], camera: &[Timestamp], known: &[Known]) -> Option<(Timestamp, i64)> {
    let mut came: HashMap<(u32, u32), Option<Timestamp>> = HashMap::new();
    for (frame, taken) in frames.iter().zip(camera) {
        came.entry((frame.size, frame.crc))
            .and_modify(|only| *only = None)
            .or_insert(Some(*taken));
    }
    let mut twice: HashMap<(u32, u32), usize> = HashMap::new();
    for frame in known {
        *twice.entry((frame.size, frame.crc)).or_default() += 1;
    }
    let mut matches: Vec<(i64, Timestamp)> = known
        .iter()
        .filter(|frame| frame.size >= TELLING && twice.get(&(frame.size, frame.crc)) == Some(&1))
        .filter_map(|frame| {
            let taken = (*came.get(&(frame.size, frame.crc))?)?;
            Some((frame.wall.nanos_since(taken), taken))
        })
        .collect();
    matches.sort_unstable();
    let (middle, _) = *matches.get(matches.len() / 2)?;
    let agreed: Vec<&(i64, Timestamp)> = matches
        .iter()
        .filter(|(apart, _)| (apart - middle).abs() <= AGREE)
        .collect();
    // One that disagrees with most was like another by chance.
    (agreed.len() * 2 > matches.len()).then_some(())?;
    let (_, at) = **agreed.get(agreed.len() / 2)?;
    Some((at, middle))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const FRAME: i64 = 40_000_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + millis)
    }

    /// Frame `n` of a camera, taken at `n` frames from zero by this box's clock.
    fn frame(n: i64, ahead_ns: i64, by: Option<TakenBy>) -> Frame {
        Frame {
            pts: 5_000_000 + n * FRAME,
            taken: by.map(|by| (at(n * 40).offset(ahead_ns), by)),
            keyframe: n % 25 == 0,
            lost: 0,
            look: 0,
            size: (100 + n) as u32,
            offset: 0,
            crc: n as u32,
        }
    }

    fn known(n: i64, late_ns: i64) -> Known {
        Known {
            wall: at(n * 40).offset(late_ns),
            keyframe: n % 25 == 0,
            size: (100 + n) as u32,
            crc: n as u32,
        }
    }

    fn asked() -> Span {
        Span::new(at(0), at(8000))
    }

    #[test]
    fn a_camera_s_own_times_are_taken_back_by_what_its_clock_is_ahead() {
        let ahead = 37_000_000_000;
        let frames: Vec<Frame> = (0..50).map(|n| frame(n, ahead, Some(TakenBy::Extension))).collect();
        let placed = place(&frames, asked(), ahead, &Edges::default());
        assert_eq!(placed.by, By::Clock);
        assert_eq!(placed.walls, (0..50).map(|n| at(n * 40)).collect::<Vec<_>>());
    }

    #[test]
    fn frames_that_are_here_already_know_better_than_any_clock() {
        // The measurement was 300 ms off, an hour off, or nothing was told at all.
        for (ahead, by) in [
            (300_000_000, Some(TakenBy::Extension)),
            (3_600_000_000_000, Some(TakenBy::Extension)),
            (-70_000_000, Some(TakenBy::Reports)),
            (0, None),
        ] {
            let frames: Vec<Frame> = (10..60).map(|n| frame(n, ahead, by)).collect();
            let edges = Edges {
                before: (0..20).map(|n| known(n, 0)).collect(),
                after: (50..80).map(|n| known(n, 0)).collect(),
            };
            let placed = place(&frames, asked(), 0, &edges);
            assert_eq!(placed.by, By::Neighbours, "{ahead}");
            assert_eq!(
                placed.walls,
                (10..60).map(|n| at(n * 40)).collect::<Vec<_>>(),
                "{ahead}"
            );
            if by.is_some() {
                assert_eq!(placed.ahead_ns, ahead);
            }
        }
    }

    #[test]
    fn reports_that_begin_late_hold_for_what_came_before_them() {
        let mut frames: Vec<Frame> = (0..50).map(|n| frame(n, 0, Some(TakenBy::Reports))).collect();
        frames.iter_mut().take(30).for_each(|frame| frame.taken = None);
        let placed = place(&frames, asked(), 0, &Edges::default());
        assert_eq!(
            (placed.walls[0], placed.walls[49], placed.by),
            (at(0), at(49 * 40), By::Clock)
        );
    }

    #[test]
    fn reports_that_tell_the_time_of_now_are_not_believed() {
        let later = 86_400_000_000_000;
        let frames: Vec<Frame> = (0..50).map(|n| frame(n, later, Some(TakenBy::Reports))).collect();
        let placed = place(&frames, asked(), 0, &Edges::default());
        assert_eq!((placed.walls[0], placed.by), (asked().start, By::Request));
    }

    #[test]
    fn a_clock_that_drifts_is_followed_from_edge_to_edge() {
        let frames: Vec<Frame> = (0..=100).map(|n| frame(n, 0, Some(TakenBy::Extension))).collect();
        let edges = Edges {
            before: vec![known(0, 0)],
            after: vec![known(100, 1_000_000)],
        };
        let placed = place(&frames, asked(), 0, &edges);
        assert_eq!(placed.walls[50], at(2000).offset(500_000));
        assert_eq!(placed.walls[100], at(4000).offset(1_000_000));
    }

    #[test]
    fn frames_that_look_alike_say_nothing() {
        let mut frames: Vec<Frame> = (0..50).map(|n| frame(n, 0, Some(TakenBy::Extension))).collect();
        for frame in &mut frames {
            (frame.size, frame.crc) = (200, 9);
        }
        let alike = Known {
            wall: at(99_000),
            keyframe: false,
            size: 200,
            crc: 9,
        };
        let edges = Edges {
            before: vec![alike],
            after: vec![alike],
        };
        assert_eq!(place(&frames, asked(), 0, &edges).by, By::Clock);
    }

    proptest! {
        #[test]
        fn frames_keep_their_order_and_their_distances(
            ahead in -3_700_000_000_000i64..3_700_000_000_000, error in -900_000_000i64..900_000_000,
            first in 0i64..30, count in 1i64..90, by in 0usize..3, overlap in 0i64..12,
        ) {
            let by = [None, Some(TakenBy::Extension), Some(TakenBy::Reports)][by];
            let frames: Vec<Frame> = (first..first + count).map(|n| frame(n, ahead, by)).collect();
            let edges = Edges { before: (first - 5..first + overlap).map(|n| known(n, 0)).collect(), after: vec![] };
            let asked = Span::new(at(first * 40).offset(ahead), at((first + count) * 40).offset(ahead));
            let placed = place(&frames, asked, ahead + error, &edges);
            prop_assert!(placed.walls.windows(2).all(|pair| pair[1].nanos_since(pair[0]) == FRAME));
            let off = placed.walls[0].nanos_since(at(first * 40));
            if overlap > 0 {
                prop_assert_eq!((placed.by, off), (By::Neighbours, 0));
            } else {
                prop_assert_eq!(off, -error);
            }
        }
    }
}
