//! From what a camera kept to what is stored: every frame that lacks once, and none that is here already.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::cutting::cut;
use super::placing::{By, Edges, Frame, Known, place};
use crate::model::{Span, Timestamp};
use crate::pipeline::TakenBy;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;

/// Which frames of a camera have the same bytes as others.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    /// None.
    Moving,
    /// Those at the same place of another group of pictures.
    Still,
    /// All that are not keyframes.
    Skipped,
    /// All.
    Same,
}

/// A camera that was recorded twice with a while between, and kept everything itself.
#[derive(Debug, Clone)]
struct History {
    interval: i64,
    gop: i64,
    /// Which place in its group the first frame has.
    phase: i64,
    content: Content,
    /// The first frame that lacks, and the first that is here again: a keyframe.
    lost: i64,
    back: i64,
    /// How late frames are dated here, before and after.
    late: [i64; 2],
    /// How much the row before ends too late.
    overstated: i64,
    /// How far its own clock is ahead, and how wrong that was measured.
    ahead: i64,
    error: i64,
    by: Option<TakenBy>,
    /// How long its segments are.
    length: u64,
}

impl History {
    fn is_keyframe(&self, n: i64) -> bool {
        (n + self.phase) % self.gop == 0
    }

    fn bytes(&self, n: i64) -> (u32, u32) {
        let n = n + self.phase;
        let place = match self.content {
            Content::Moving => n + 1000,
            Content::Still => n % self.gop,
            Content::Skipped if n % self.gop == 0 => n + 1000,
            Content::Skipped | Content::Same => 1,
        };
        let least = if self.is_keyframe(n - self.phase) { 200 } else { 20 };
        (least + (place % 500) as u32, place as u32)
    }

    fn taken(&self, n: i64) -> Timestamp {
        Timestamp::from_seconds(1_790_000_000).offset(n * self.interval)
    }

    fn wall(&self, n: i64) -> Timestamp {
        self.taken(n).offset(self.late[usize::from(n >= self.back)])
    }

    fn known(&self, n: i64) -> Known {
        let (size, crc) = self.bytes(n);
        Known {
            wall: self.wall(n),
            keyframe: self.is_keyframe(n),
            size,
            crc,
        }
    }

    fn frame(&self, n: i64) -> Frame {
        let (size, crc) = self.bytes(n);
        Frame {
            pts: n * self.interval,
            taken: self.by.map(|by| (self.taken(n).offset(self.ahead), by)),
            keyframe: self.is_keyframe(n),
            lost: 0,
            look: 0,
            size,
            offset: 0,
            crc,
        }
    }

    fn hole(&self) -> Span {
        let end = self.wall(self.lost - 1).offset(self.interval + self.overstated);
        Span::new(end, self.wall(self.back))
    }

    /// What is stored of what the camera plays.
    fn refill(&self) -> Result<(), TestCaseError> {
        let first = (0..self.lost).rev().find(|n| self.is_keyframe(*n)).unwrap_or(0);
        let last = self.back + SECOND * 3 / 2 / self.interval;
        let numbers: Vec<i64> = (first..=last).collect();
        let frames: Vec<Frame> = numbers.iter().map(|n| self.frame(*n)).collect();
        let before = (self.lost - 250).max(0).min(first)..self.lost;
        let edges = Edges {
            before: before.map(|n| self.known(n)).collect(),
            after: (self.back..self.back + 250).map(|n| self.known(n)).collect(),
        };
        let asked = Span::new(self.taken(first), self.taken(last)).shifted(self.ahead);
        let placed = place(&frames, asked, self.ahead + self.error, &[edges]);
        let cuttings = cut(
            &frames,
            &placed.walls,
            &placed.here,
            &[self.hole()],
            Duration::from_secs(self.length),
        );
        let mut stored: Vec<i64> = Vec::new();
        for cutting in &cuttings {
            let shown = |n: &usize| placed.walls[*n].offset(cutting.shift_ns) >= cutting.span.start;
            stored.extend(cutting.frames.clone().filter(shown).map(|n| numbers[n]));
        }
        prop_assert_eq!(placed.by, By::Neighbours);
        prop_assert_eq!(&stored, &(self.lost..self.back).collect::<Vec<_>>());
        for n in [self.lost - 1, self.back] {
            let place = numbers.iter().position(|number| *number == n).unwrap();
            prop_assert_eq!(placed.walls[place], self.wall(n), "the map is exact at both edges");
        }
        let (begin, end) = (cuttings.first().unwrap().span.start, cuttings.last().unwrap().span.end);
        let off = begin.nanos_since(self.hole().start);
        prop_assert!(
            (0..=self.interval).contains(&off),
            "{} ns lie between what was here and what came",
            off
        );
        prop_assert_eq!(end, self.hole().end);
        prop_assert!(placed.walls.windows(2).all(|pair| pair[0] < pair[1]));
        Ok(())
    }
}

trait Shifted {
    fn shifted(self, by: i64) -> Self;
}

impl Shifted for Span {
    fn shifted(self, by: i64) -> Self {
        Span::new(self.start.offset(by), self.end.offset(by))
    }
}

fn content() -> impl Strategy<Value = Content> {
    use Content::{Moving, Same, Skipped, Still};
    prop_oneof![Just(Moving), Just(Still), Just(Skipped), Just(Same)]
}

fn history() -> impl Strategy<Value = History> {
    let rate = prop_oneof![Just(5i64), Just(10), Just(25), Just(30)];
    let camera = (rate, 10i64..300, 0i64..300, content());
    let gap = (3i64..300, 1i64..6, 0i64..1000, 0i64..1000, -90i64..30);
    let clock = (-3_700_000i64..3_700_000, -400i64..400, 0usize..3, 2u64..20);
    (camera, gap, clock).prop_map(|(camera, gap, clock)| {
        let (rate, gop, phase, content) = camera;
        let (before, groups, late, later, overstated) = gap;
        let (ahead, error, by, length) = clock;
        let interval = SECOND / rate;
        // Of frames that all look alike only the time tells which is which, so that it has to be known as well as that.
        let (late, later, error) = match content {
            Content::Moving | Content::Skipped => (late, later, error),
            Content::Still if gop * interval > 4 * SECOND => (late, later, error),
            _ => (0, 0, 0),
        };
        let gop = if content == Content::Skipped { gop.max(20) } else { gop };
        let before = before.max(gop);
        let phase = phase % gop;
        // Long enough to be kept whatever the latencies are.
        let shortest = before + 4 * SECOND / interval;
        let back = (shortest..).find(|n| (n + phase) % gop == 0).unwrap() + (groups - 1) * gop;
        History {
            interval,
            gop,
            phase,
            content,
            lost: before,
            back,
            late: [late * MS, later * MS],
            overstated: interval * overstated / 100,
            ahead: ahead * MS,
            error: error * MS,
            by: [None, Some(TakenBy::Extension), Some(TakenBy::Reports)][by],
            length,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]
    #[test]
    fn every_frame_that_lacks_is_stored_once_and_none_that_is_here(history in history()) {
        history.refill()?;
    }
}

#[test]
fn a_latency_that_changed_over_the_gap_doubles_no_frame() {
    for phase in 0..50 {
        let history = History {
            interval: 40 * MS,
            gop: 50,
            phase,
            content: Content::Moving,
            lost: 200 + phase,
            back: (500..).find(|n| (n + phase) % 50 == 0).unwrap(),
            late: [20 * MS, 920 * MS],
            overstated: 0,
            ahead: 0,
            error: 0,
            by: Some(TakenBy::Reports),
            length: 4,
        };
        history
            .refill()
            .unwrap_or_else(|error| panic!("phase {phase}: {error}"));
    }
}
