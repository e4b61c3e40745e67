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
//! While a backlog comes in, faster than time passes, the map goes on falling beyond those 3 s; no segment is cut meanwhile.
//! What it takes for a frame's time has been held against arrival before (`ticks.rs`): what is more than a drift is not seen here.
//!
//! Arrival is read from a clock that nobody sets, tied to the wall clock once, when the run begins: a wall clock that steps
//! never bends a segment.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{CameraClock, TimeSource, Timestamp};
use crate::runtime::Instant;

use super::ticks::Due;

/// For how long a new map may still move freely.
const SETTLING: Duration = Duration::from_secs(3);
/// The arrivals of one bucket share one smallest lateness.
const BUCKET: Duration = Duration::from_secs(10);
/// So many buckets are looked back on to find the drift.
const BUCKETS: usize = 6;
/// A map moves by at most so many parts per million of the time that has passed: crystals are ten times better, and
/// what moves faster is the network.
const FASTEST_DRIFT_PPM: i64 = 1000;
/// A backlog that comes in is looked at so often...
const LOOK: Duration = Duration::from_millis(500);
/// ...and brings at least a third more than the time that passes.
const BACKLOG: i64 = 3;
/// No camera sends a backlog for longer.
const LONGEST_BACKLOG: Duration = Duration::from_secs(60);
/// A segment is cut so much before its time by arrival: the first frame may have been late.
const CUT_EARLY: Duration = Duration::from_millis(500);

/// A camera's clock that is off by more than this does not know the time, and is not followed.
const BELIEVABLE: Duration = Duration::from_secs(24 * 3600);
/// A map that is off by more than this is not bent: another run begins.
const TOO_FAR: Duration = Duration::from_millis(500);
/// Over less than this a drift is noise.
const DRIFT_BASE: Duration = Duration::from_secs(20);

/// The clock map of one run.
#[derive(Debug, Clone)]
pub(super) struct ClockMap {
    wall: Timestamp,
    instant: Instant,
    first_arrival: Option<Instant>,
    last: Option<(i64, Instant)>,
    /// The date of running time 0.
    zero: Option<i64>,
    /// The same by arrival alone.
    arrival_zero: Option<i64>,
    is_fixed: bool,
    /// When it was last looked how far the map falls, how it stood then, and whether it had fallen as for a backlog.
    fall: Option<(Instant, i64, bool)>,
    moved_at: Option<Instant>,
    buckets: VecDeque<(Instant, i64)>,
    source: TimeSource,
    /// The camera's own date of running time 0: as first told, and as last told.
    camera: Option<(Told, Told)>,
    /// Whether the map goes by the camera's clock.
    by_camera: bool,
}

/// What a camera said of its clock: its date of running time 0, how far that was ahead of arrival, and when.
#[derive(Debug, Clone, Copy)]
struct Told {
    zero: i64,
    ahead: i64,
    at: Instant,
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
            arrival_zero: None,
            is_fixed: false,
            fall: None,
            moved_at: None,
            buckets: VecDeque::with_capacity(BUCKETS),
            source: TimeSource::Arrival,
            camera: None,
            by_camera: false,
        }
    }

    /// The same, by the clock that a person chose.
    pub(super) fn by(mut self, source: TimeSource) -> Self {
        self.source = source;
        self
    }

    /// The camera says when the frame of time `pts` was taken.
    pub(super) fn hear_camera(&mut self, pts: i64, taken: Timestamp) {
        let (Some(arrival), Some((_, at))) = (self.arrival_zero, self.last) else {
            return;
        };
        let zero = taken.offset(-pts).as_nanos();
        let told = Told {
            zero,
            ahead: zero.saturating_sub(arrival),
            at,
        };
        let first = self.camera.map_or(told, |(first, _)| first);
        self.camera = Some((first, told));
        // While nothing is fixed yet, the map may move to the camera's clock; later only a new run may.
        if self.source == TimeSource::Camera && !self.is_fixed && self.is_believable(&told) {
            (self.by_camera, self.zero) = (true, Some(zero));
        }
    }

    fn is_believable(&self, told: &Told) -> bool {
        u128::from(told.ahead.unsigned_abs()) <= BELIEVABLE.as_nanos()
    }

    /// A segment has taken its start from the map, so that from here on it only moves gently.
    pub(super) fn fix(&mut self) {
        self.is_fixed = true;
    }

    /// Whether the camera's clock, which was chosen, is so far from the map that only another run can follow it.
    pub(super) fn wants_another_run(&self) -> bool {
        let Some((_, told)) = self.camera.filter(|_| self.source == TimeSource::Camera) else {
            return false;
        };
        let off = self.zero.map_or(0, |zero| told.zero.saturating_sub(zero));
        self.is_believable(&told) && off.unsigned_abs() > TOO_FAR.as_nanos() as u64
    }

    /// A map for the run that follows at once on the same session: it knows what this one knew of the camera.
    pub(super) fn followed_by(&self, wall: Timestamp, instant: Instant) -> Self {
        let mut next = Self::new(wall, instant).by(self.source);
        if let Some((_, told)) = self.camera.filter(|_| self.source == TimeSource::Camera)
            && self.is_believable(&told)
        {
            (next.by_camera, next.zero) = (true, Some(told.zero));
        }
        next.camera = self.camera;
        next
    }

    /// Whether the map goes by the camera's clock.
    pub(super) fn is_by_camera(&self) -> bool {
        self.by_camera
    }

    /// How the camera's clock stands to this box's, when the camera has told.
    pub(super) fn camera_clock(&self) -> Option<CameraClock> {
        let (first, last) = self.camera?;
        let passed = last.at.since(first.at);
        let drift = last.ahead.saturating_sub(first.ahead) as f64 / passed.as_secs_f64() / 1000.0;
        let drift_ppm = if passed >= DRIFT_BASE { drift } else { 0.0 };
        Some(CameraClock {
            offset_ns: last.ahead,
            drift_ppm,
        })
    }

    /// A video frame of time `pts` arrived.
    pub(super) fn observe(&mut self, pts: i64, arrival: Instant) {
        self.last = Some((pts, arrival));
        self.first_arrival.get_or_insert(arrival);
        let zero = self.wall_of(arrival).offset(-pts).as_nanos();
        if self.is_free(arrival) {
            let least = self.arrival_zero.map_or(zero, |known| known.min(zero));
            self.arrival_zero = Some(least);
            if !self.by_camera {
                self.zero = Some(least);
            }
            self.moved_at = Some(arrival);
            self.look_for_a_backlog(least, arrival);
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
    }

    fn look_for_a_backlog(&mut self, least: i64, arrival: Instant) {
        let (then, before, _) = *self.fall.get_or_insert((arrival, least, false));
        let passed = arrival.since(then);
        if passed >= LOOK {
            let is_backlog = before.saturating_sub(least) > nanos(passed) / BACKLOG;
            self.fall = Some((arrival, least, is_backlog));
        }
    }

    fn is_backlog(&self) -> bool {
        self.fall.is_some_and(|(_, _, is_backlog)| is_backlog)
    }

    /// Whether the map still moves as frames come.
    fn is_free(&self, arrival: Instant) -> bool {
        let Some(first) = self.first_arrival else { return true };
        let passed = arrival.since(first);
        !self.is_fixed && (passed <= SETTLING || self.is_backlog() && passed <= LONGEST_BACKLOG)
    }

    /// When a frame that comes now should be shown, once there is anything to say of that.
    pub(super) fn due(&self, arrival: Instant) -> Option<Due> {
        self.arrival_zero.map(|_| Due {
            at: self.pts_at(arrival),
            is_settled: !self.is_free(arrival),
        })
    }

    /// Whether a segment of this length may end. Not while a backlog comes in: where the map still moves by more than a
    /// segment is long, rows would lie over each other.
    pub(super) fn may_cut(&self, segment: Duration) -> bool {
        self.is_settled() || !self.is_backlog() && self.observed().saturating_add(CUT_EARLY) >= segment
    }

    /// Lets the map follow the camera's drift. Called where a segment begins, so that no segment has two maps. Where times
    /// follow arrival there is no drift.
    pub(super) fn follow(&mut self, now: Instant, ticks_are_believed: bool) {
        let least = self.buckets.iter().map(|(_, least)| *least).min();
        if let (Some(zero), Some(arrival), Some(moved_at), Some(least)) =
            (self.zero, self.arrival_zero, self.moved_at, least)
        {
            let most = nanos(now.since(moved_at)) / 1_000_000 * FASTEST_DRIFT_PPM;
            let gently = |from: i64, to: i64| from.saturating_add(to.saturating_sub(from).clamp(-most, most));
            let arrival = if ticks_are_believed {
                gently(arrival, least)
            } else {
                arrival
            };
            self.arrival_zero = Some(arrival);
            self.zero = match &self.camera {
                Some((_, told)) if self.by_camera => Some(gently(zero, told.zero)),
                _ => Some(arrival),
            };
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
        self.last.is_some_and(|(_, last)| !self.is_free(last))
    }

    /// The wall clock at running time 0; nothing before the first frame.
    pub(super) fn zero(&self) -> Option<Timestamp> {
        self.zero.map(Timestamp::from_nanos)
    }

    /// The wall clock at a running time.
    pub(super) fn wall_at(&self, pts: i64) -> Timestamp {
        self.zero().unwrap_or(self.wall).offset(pts)
    }

    /// When the frame of a running time came, without what the network delayed it, and whatever clock dates footage.
    pub(super) fn came_at(&self, pts: i64) -> Timestamp {
        self.arrival_zero.map_or(self.wall, Timestamp::from_nanos).offset(pts)
    }

    /// The running time at a moment of the wall clock.
    pub(super) fn pts_of(&self, wall: Timestamp) -> i64 {
        wall.nanos_since(self.zero().unwrap_or(self.wall))
    }

    /// For how long frames have come.
    pub(super) fn observed(&self) -> Duration {
        match (self.first_arrival, self.last) {
            (Some(first), Some((_, last))) => last.since(first),
            _ => Duration::ZERO,
        }
    }

    /// The running time of what arrives at a moment of the other clock.
    pub(super) fn pts_at(&self, instant: Instant) -> i64 {
        let zero = self.arrival_zero.map_or(self.wall, Timestamp::from_nanos);
        self.wall_of(instant).nanos_since(zero)
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
            map.observe(frame * 40 * MS, at(40 * frame + late));
            if frame % 100 == 99 {
                map.follow(at(40 * frame + late), true);
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
                map.follow(at(true_ms), true);
            }
            if second > 120 {
                let error = map.wall_at(pts).nanos_since(Timestamp::from_seconds(1000 + second));
                worst = worst.max(error.abs());
            }
        }
        assert!(worst < 20 * MS, "{worst} ns");
    }

    /// Five minutes of a camera whose clock is `ahead` ms and runs `ppm` fast, with a report each five seconds.
    fn told_map(source: TimeSource, ahead: i64, ppm: i64) -> (ClockMap, bool) {
        let (mut map, mut another) = (map().by(source), false);
        for frame in 0..7500i64 {
            let true_ms = frame * 40;
            map.observe(true_ms * MS, at(true_ms + 5));
            let camera = Timestamp::from_seconds(1000).offset((true_ms + ahead) * MS + true_ms * ppm);
            if frame % 125 == 50 {
                map.hear_camera(true_ms * MS, camera);
            }
            if frame % 1500 == 1499 {
                map.fix();
                map.follow(at(true_ms + 5), true);
                another |= map.wants_another_run();
            }
        }
        (map, another)
    }

    #[test]
    fn the_cameras_clock_dates_footage_when_it_is_chosen_from_the_first_frame_on() {
        let (map, another) = told_map(TimeSource::Camera, 37_000, 0);
        assert!(map.is_by_camera() && !another);
        assert_eq!(map.wall_at(0), Timestamp::from_seconds(1037));
        assert_eq!(map.camera_clock().map(|clock| clock.offset_ns), Some(36_995 * MS));
    }

    #[test]
    fn the_cameras_clock_is_measured_when_it_is_not_chosen() {
        let (map, _) = told_map(TimeSource::Arrival, -2000, 100);
        assert!(!map.is_by_camera());
        assert_eq!(map.wall_at(0), Timestamp::from_seconds(1000).offset(5 * MS));
        let clock = map.camera_clock();
        assert!(
            clock.is_some_and(|clock| (clock.drift_ppm - 100.0).abs() < 1.0),
            "{clock:?}"
        );
        assert!(
            clock.is_some_and(|clock| (clock.offset_ns + 1_975 * MS).abs() < 5 * MS),
            "{clock:?}"
        );
    }

    #[test]
    fn a_camera_that_believes_in_1970_is_not_followed() {
        let (map, another) = told_map(TimeSource::Camera, -40 * 365 * 86_400_000, 0);
        assert!(!map.is_by_camera() && !another);
    }

    #[test]
    fn a_camera_whose_clock_is_set_gets_another_run_that_knows_it_at_once() {
        let (mut map, _) = told_map(TimeSource::Camera, 1000, 0);
        map.hear_camera(300_000 * MS, Timestamp::from_seconds(1300));
        assert!(map.wants_another_run());
        let next = map.followed_by(Timestamp::from_seconds(1300), at(300_000));
        assert!(next.is_by_camera() && !next.wants_another_run());
        assert_eq!(next.wall_at(300_000 * MS), Timestamp::from_seconds(1300));
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
