//! From a run's running time to the wall clock.
//!
//! Frames carry the camera's own ticks as `pts`, exact to each other but without a date. Arrival has a date, but each frame
//! is late by what the network, and a camera that sends a backlog first, added. So the date of running time 0 is taken from
//! the frame that was least late: the smallest `arrival - pts`.
//!
//! ```text
//! arrival - pts
//!   |  x  backlog, all late
//!   |   x x
//!   |      x x    x  a hiccup
//!   |_________x_x__x_x_x__x_x_x_x   <- the map
//!       3 s: it only falls          then it follows the drift, a little at each new segment
//! ```
//!
//! Arrival is read from a clock that nobody sets, tied to the wall clock once, when the run begins: a wall clock that steps
//! never bends a segment.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Timestamp;
use crate::runtime::Instant;

/// For how long a new map may still move freely.
const SETTLING: Duration = Duration::from_secs(3);
/// The arrivals of one bucket share one smallest lateness.
const BUCKET: Duration = Duration::from_secs(10);
/// So many buckets are looked back on to find the drift.
const BUCKETS: usize = 6;
/// A map moves by at most so many parts per million of the time that has passed: crystals are ten times better, and
/// what moves faster is the network.
const FASTEST_DRIFT_PPM: i64 = 1000;
/// A frame whose own time runs ahead of arrival by more than this comes from a camera that set its ticks anew.
const JUMP_AHEAD: Duration = Duration::from_secs(2);
/// Frames may go back by what reordering of B-frames needs; beyond this the ticks were set anew.
const JUMP_BACK: Duration = Duration::from_secs(1);

/// What the map says of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observation {
    /// Its time fits.
    Fits,
    /// The camera's ticks jumped by this many nanoseconds against arrival: another run begins.
    Jumped(i64),
}

/// The clock map of one run.
#[derive(Debug, Clone)]
pub(super) struct ClockMap {
    wall: Timestamp,
    instant: Instant,
    first_arrival: Option<Instant>,
    last: Option<(i64, Instant)>,
    zero: Option<i64>,
    moved_at: Option<Instant>,
    buckets: VecDeque<(Instant, i64)>,
}

impl ClockMap {
    /// A map for a run that begins when the clocks show this.
    pub(super) fn new(wall: Timestamp, instant: Instant) -> Self {
        Self {
            wall,
            instant,
            first_arrival: None,
            last: None,
            zero: None,
            moved_at: None,
            buckets: VecDeque::with_capacity(BUCKETS),
        }
    }

    /// A video frame of time `pts` arrived.
    pub(super) fn observe(&mut self, pts: i64, arrival: Instant) -> Observation {
        if let Some((last_pts, last_arrival)) = self.last {
            let (step, passed) = (pts.saturating_sub(last_pts), nanos(arrival.since(last_arrival)));
            if step < -nanos(JUMP_BACK) || step.saturating_sub(passed) > nanos(JUMP_AHEAD) {
                return Observation::Jumped(step.saturating_sub(passed));
            }
        }
        self.last = Some((pts, arrival));
        let first = *self.first_arrival.get_or_insert(arrival);
        let zero = self.wall_of(arrival).offset(-pts).as_nanos();
        if arrival.since(first) <= SETTLING {
            self.zero = Some(self.zero.map_or(zero, |known| known.min(zero)));
            self.moved_at = Some(arrival);
        }
        match self.buckets.back_mut() {
            Some((began, least)) if arrival.since(*began) < BUCKET => *least = (*least).min(zero),
            _ => {
                if self.buckets.len() == BUCKETS {
                    self.buckets.pop_front();
                }
                self.buckets.push_back((arrival, zero));
            }
        }
        Observation::Fits
    }

    /// Lets the map follow the camera's drift. Called where a segment begins, so that no segment has two maps.
    pub(super) fn follow(&mut self, now: Instant) {
        let least = self.buckets.iter().map(|(_, least)| *least).min();
        if let (Some(zero), Some(moved_at), Some(least)) = (self.zero, self.moved_at, least) {
            let most = nanos(now.since(moved_at)) / 1_000_000 * FASTEST_DRIFT_PPM;
            self.zero = Some(zero.saturating_add(least.saturating_sub(zero).clamp(-most, most)));
            self.moved_at = Some(now);
        }
    }

    /// The wall clock at a moment of the other clock, by the one tie of this run.
    pub(super) fn wall_of(&self, instant: Instant) -> Timestamp {
        if instant >= self.instant {
            self.wall.plus(instant.since(self.instant))
        } else {
            self.wall.minus(self.instant.since(instant))
        }
    }

    /// Whether the map no longer moves freely.
    pub(super) fn is_settled(&self) -> bool {
        matches!((self.first_arrival, self.last), (Some(first), Some((_, last))) if last.since(first) > SETTLING)
    }

    /// The wall clock at running time 0; nothing before the first frame.
    pub(super) fn zero(&self) -> Option<Timestamp> {
        self.zero.map(Timestamp::from_nanos)
    }

    /// The wall clock at a running time.
    pub(super) fn wall_at(&self, pts: i64) -> Timestamp {
        self.zero().unwrap_or(self.wall).offset(pts)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn at(ms: i64) -> Instant {
        Instant((10_000 + ms) as u64 * 1_000_000)
    }

    fn map() -> ClockMap {
        ClockMap::new(Timestamp::from_seconds(1000), at(0))
    }

    #[test]
    fn a_backlog_at_the_start_does_not_make_the_first_frame_late() {
        let mut map = map();
        // Five frames of the last 200 ms come at once, then one each 40 ms, 5 ms late.
        for frame in 0..5 {
            map.observe(frame * 40 * MS, at(200));
        }
        for frame in 5..50 {
            map.observe(frame * 40 * MS, at(40 * frame + 5));
        }
        assert_eq!(map.wall_at(0), Timestamp::from_seconds(1000).offset(5 * MS));
    }

    #[test]
    fn a_hiccup_moves_nothing() {
        let mut map = map();
        for frame in 0..1000 {
            let late = if frame % 100 == 50 { 900 } else { 5 };
            assert_eq!(map.observe(frame * 40 * MS, at(40 * frame + late)), Observation::Fits);
            if frame % 100 == 99 {
                map.follow(at(40 * frame + late));
            }
        }
        assert_eq!(map.wall_at(0), Timestamp::from_seconds(1000).offset(5 * MS));
    }

    #[test]
    fn a_camera_whose_clock_runs_slow_is_followed_within_milliseconds_for_a_day() {
        let mut map = map();
        let drift_ppm = 80;
        let mut worst = 0;
        for second in 0..86_400i64 {
            let true_ms = second * 1000;
            let pts = second * 1000 * MS / 1_000_000 * (1_000_000 - drift_ppm);
            map.observe(pts, at(true_ms));
            if second % 60 == 0 {
                map.follow(at(true_ms));
            }
            if second > 120 {
                let error = map.wall_at(pts).nanos_since(Timestamp::from_seconds(1000 + second));
                worst = worst.max(error.abs());
            }
        }
        assert!(worst < 20 * MS, "{worst} ns");
    }

    #[test]
    fn ticks_that_are_set_anew_are_noticed_and_a_stall_is_not_taken_for_it() {
        let mut map = map();
        map.observe(0, at(0));
        map.observe(40 * MS, at(40));
        assert_eq!(
            map.observe(60 * MS, at(20_060)),
            Observation::Fits,
            "frames held up for 20 s"
        );
        assert_eq!(map.observe(20_100 * MS, at(20_110)), Observation::Jumped(19_990 * MS));
        assert!(matches!(
            map.observe(-3_600_000 * MS, at(20_120)),
            Observation::Jumped(_)
        ));
    }

    proptest! {
        #[test]
        fn no_frame_is_placed_after_it_arrived_while_the_map_settles(lateness in proptest::collection::vec(0i64..500, 2..75)) {
            let mut map = map();
            for (frame, late) in lateness.iter().enumerate() {
                let frame = frame as i64;
                map.observe(frame * 40 * MS, at(40 * frame + late));
            }
            let least = lateness.iter().min().copied().unwrap_or(0);
            prop_assert_eq!(map.wall_at(0), Timestamp::from_seconds(1000).offset(least * MS));
        }
    }
}
