//! Whatever ticks and network do, a frame is dated within half a second of when it came: thousands of made-up cameras.

use super::*;
use crate::model::Timestamp;
use crate::record::clockmap::ClockMap;

const BEGAN: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// How a camera counts time.
#[derive(Debug, Clone, Copy)]
enum Counts {
    /// So many seconds in a second.
    Rate(f64),
    /// True ones with a step of so many ns now and then. Not in the first seconds, in which a step ahead says that what was before
    /// came late, and not of few frames a second or in a pause, which a step back makes longer.
    Steps(i64),
    /// Off by up to so many ns at each frame.
    Jitter(i64),
}

/// One frame, as it is and as it was recorded.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// When it was taken, and when it came, in ns since the run began.
    taken: i64,
    came: i64,
    /// Ticks, and the time that it got.
    raw: i64,
    pts: i64,
    /// Its date, in ns since the run began.
    date: i64,
    is_believed: bool,
}

/// A run that records, cut into segments as `Run` does it.
struct Recorded {
    map: ClockMap,
    ticks: Ticks,
    is_reordered: bool,
    segment: i64,
    first: Option<(i64, Option<Timestamp>)>,
    begun: usize,
    frames: Vec<Frame>,
    /// Spans of the segments that are closed.
    spans: Vec<(i64, i64)>,
    jumped: Option<i64>,
}

fn instant(came: i64) -> Instant {
    Instant((10 * SECOND + came) as u64)
}

fn since_began(at: Timestamp) -> i64 {
    at.nanos_since(BEGAN)
}

impl Recorded {
    fn new(segment: i64, is_believed: bool) -> Self {
        Self {
            map: ClockMap::new(BEGAN, instant(0)),
            ticks: Ticks::new(is_believed),
            is_reordered: false,
            segment,
            first: None,
            begun: 0,
            frames: Vec::new(),
            spans: Vec::new(),
            jumped: None,
        }
    }

    fn frame(&mut self, taken: i64, came: i64, raw: i64, is_keyframe: bool) {
        let at = instant(came);
        let pts = match self.ticks.place(raw, self.is_reordered, at, self.map.due(at)) {
            Placed::At(pts) => pts,
            Placed::Jumped(by) => {
                self.jumped = Some(by);
                return;
            }
        };
        self.map.observe(pts, at);
        let may_cut = self.map.may_cut(Duration::from_nanos(self.segment as u64));
        match self.first {
            Some((first, _)) if is_keyframe && may_cut && pts - first >= self.segment - 20 * MS => self.cut(pts, at),
            None => self.first = Some((pts, None)),
            _ => {}
        }
        let is_believed = self.ticks.are_believed();
        self.frames.push(Frame {
            taken,
            came,
            raw,
            pts,
            date: 0,
            is_believed,
        });
    }

    fn start(&self) -> Timestamp {
        let (first, start) = self.first.unwrap_or_default();
        start.unwrap_or_else(|| self.map.wall_at(first))
    }

    fn cut(&mut self, pts: i64, at: Instant) {
        let start = self.start();
        self.date(start);
        self.map.fix();
        self.map.follow(at, self.ticks.are_believed());
        let end = self.map.wall_at(pts).max(start);
        self.spans.push((since_began(start), since_began(end)));
        self.first = Some((pts, Some(end)));
        self.begun = self.frames.len();
    }

    /// Dates the frames of the segment that ends.
    fn date(&mut self, start: Timestamp) {
        let first = self.first.map_or(0, |(first, _)| first);
        for frame in self.frames.iter_mut().skip(self.begun) {
            frame.date = since_began(start.offset(frame.pts - first));
        }
    }

    fn end(mut self) -> Self {
        let start = self.start();
        self.date(start);
        self
    }
}

/// A camera and its network.
#[derive(Debug, Clone)]
struct Made {
    fps: f64,
    seconds: f64,
    segment: i64,
    group: usize,
    counts: Counts,
    /// What the network adds to each frame at most.
    jitter: i64,
    /// From when on it holds frames up, and until when.
    pauses: Vec<(i64, i64)>,
    /// How much the camera kept before the run began, and how fast it sends that.
    kept: i64,
    burst: f64,
}

impl Made {
    /// How long a segment may be at most: it ends at a keyframe, and a pause may come before that.
    fn longest_segment(&self) -> i64 {
        let pauses: i64 = self.pauses.iter().map(|(from, to)| to - from).sum();
        self.segment + (self.group as f64 / self.fps * 1e9) as i64 + pauses
    }

    fn any(random: &mut fastrand::Rng) -> Self {
        let fps = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 30.0, 60.0][random.usize(..9)];
        let seconds = 20.0 + random.f64() * 100.0;
        let counts = match random.u8(..8) {
            0 => Counts::Rate(0.5),
            1 => Counts::Rate(0.0),
            2 => Counts::Rate(-0.2),
            3 => Counts::Steps((random.f64() * 2.4e9) as i64 - 800 * MS),
            4 => Counts::Jitter(random.i64(1..450) * MS),
            _ => Counts::Rate(0.9 + random.f64() * 0.2),
        };
        let mut made = Self {
            fps,
            seconds,
            segment: [2, 4, 10, 60][random.usize(..4)] * SECOND,
            group: random.usize(1..(4.0 * fps) as usize + 2),
            counts,
            jitter: random.i64(1..80) * MS,
            pauses: Vec::new(),
            kept: 0,
            burst: 0.0,
        };
        match counts {
            Counts::Steps(_) => made.fps = made.fps.max(10.0),
            _ => made.pause(random),
        }
        made
    }

    fn pause(&mut self, random: &mut fastrand::Rng) {
        let mut at = 8.0 + random.f64() * 20.0;
        while at < self.seconds {
            let from = (at * 1e9) as i64;
            self.pauses.push((from, from + random.i64(300..8000) * MS));
            at += 16.0 + random.f64() * 30.0;
        }
    }

    fn came(&self, taken: i64, random: &mut fastrand::Rng) -> i64 {
        let came = taken + random.i64(0..=self.jitter);
        let held = self.pauses.iter().find(|(from, until)| (*from..*until).contains(&came));
        held.map_or(came, |(_, until)| *until)
    }

    fn record(&self, random: &mut fastrand::Rng) -> Recorded {
        let mut run = Recorded::new(self.segment, true);
        let (every, mut last, mut off) = ((1e9 / self.fps) as i64, 0, 0);
        let before = self.kept / every;
        for frame in 0..(self.seconds * self.fps) as i64 + before {
            let taken = (frame - before) * every;
            let mut came = self.came(taken, random).max(last);
            if taken <= 0 && before > 0 {
                // What was kept comes one after the other, and what is taken meanwhile behind it.
                came = (frame as f64 * every as f64 * self.burst) as i64;
            } else if before > 0 {
                came = came.max((frame as f64 * every as f64 * self.burst) as i64);
            }
            last = came;
            let ticks = frame * every;
            let raw = match self.counts {
                Counts::Rate(rate) => (ticks as f64 * rate) as i64,
                Counts::Steps(by) => {
                    off += if random.u32(..200) == 0 && taken > 5 * SECOND {
                        by
                    } else {
                        0
                    };
                    ticks + off
                }
                Counts::Jitter(most) => ticks + random.i64(0..=most),
            };
            run.frame(taken, came, raw, (frame as usize).is_multiple_of(self.group));
            if run.jumped.is_some() {
                break;
            }
        }
        run.end()
    }
}

/// Runs `test` for as many seeds, and says which failed.
fn for_seeds(count: u64, test: impl Fn(&mut fastrand::Rng)) {
    let base = fastrand::u64(..);
    for seed in (0..count).map(|number| base.wrapping_add(number)) {
        let run = || test(&mut fastrand::Rng::with_seed(seed));
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
            panic!("seed {seed}");
        }
    }
}

#[test]
fn whatever_ticks_do_a_frame_is_dated_within_half_a_second_of_its_arrival() {
    for_seeds(3000, |random| {
        let made = Made::any(random);
        let run = made.record(random);
        let mut last: Option<Frame> = None;
        for frame in &run.frames {
            let is_held_up = frame.came - frame.taken > made.jitter;
            // One that the network held up was there when it was taken at the earliest.
            let earliest = if is_held_up { frame.taken } else { frame.came } - 500 * MS;
            assert!(
                (earliest..=frame.came + 300 * MS).contains(&frame.date),
                "{} ms after it came, {} after it was taken; {frame:?} of {made:?}",
                (frame.date - frame.came) / MS,
                (frame.date - frame.taken) / MS,
            );
            if let Some(last) = last {
                assert!(frame.pts > last.pts, "{last:?} {frame:?} of {made:?}");
                // Where a segment begins the map may follow a drift, by 0.1 % of the time since the one before began.
                assert!(
                    frame.date > last.date - MS - made.longest_segment() / 1000,
                    "{last:?} {frame:?} of {made:?}"
                );
            }
            last = Some(*frame);
        }
        for pair in run.spans.windows(2) {
            assert_eq!(pair[0].1, pair[1].0, "rows join: {made:?}");
        }
        let is_off = matches!(made.counts, Counts::Rate(rate) if (rate - 1.0).abs() > 0.02);
        if is_off && made.seconds > 60.0 && run.jumped.is_none() {
            assert!(!run.ticks.are_believed(), "{made:?}");
        }
    });
}

#[test]
fn true_ticks_are_never_touched_whatever_the_network_does() {
    for_seeds(3000, |random| {
        let mut made = Made::any(random);
        // A crystal, and not the worst.
        made.counts = Counts::Rate(1.0 + (random.f64() - 0.5) * 0.0002);
        let run = made.record(random);
        let is_late = |frame: &Frame| (frame.date - frame.taken).abs() > made.jitter + 50 * MS;
        for frame in &run.frames {
            assert!(frame.raw == frame.pts && frame.is_believed, "{frame:?} of {made:?}");
            assert!(!is_late(frame), "{frame:?} of {made:?}");
        }
        assert_eq!(run.jumped, None);
    });
}

#[test]
fn a_backlog_of_a_camera_that_keeps_some_seconds_is_dated_when_it_was_taken() {
    for_seeds(2000, |random| {
        let mut made = Made::any(random);
        made.counts = Counts::Rate(1.0);
        made.pauses.clear();
        made.fps = made.fps.max(5.0);
        made.group = random.usize(1..(2.0 * made.fps) as usize);
        made.kept = random.i64(1000..15_000) * MS;
        // All at once, or twice as fast as time.
        made.burst = random.f64() * 0.5;
        let run = made.record(random);
        for frame in &run.frames {
            let off = frame.date - frame.taken;
            assert!(off.abs() <= 500 * MS, "{} ms; {frame:?} of {made:?}", off / MS);
        }
        for (start, end) in &run.spans {
            assert!(end - start >= made.segment - 600 * MS, "{start} {end} of {made:?}");
        }
    });
}

#[test]
fn ticks_that_keep_time_again_are_believed_again() {
    let mut run = Recorded::new(10 * SECOND, true);
    let mut believed = Vec::new();
    for frame in 0..25 * 200i64 {
        let taken = frame * 40 * MS;
        // They stand still for three seconds.
        let raw = if frame < 250 {
            taken
        } else {
            (taken - 3 * SECOND).max(250 * 40 * MS)
        };
        run.frame(taken, taken, raw, frame % 25 == 0);
        believed.push(run.ticks.are_believed());
    }
    let from = believed.iter().position(|is_so| !is_so).map(|frame| frame / 25);
    assert_eq!(from, Some(11));
    let again = believed.iter().rposition(|is_so| !is_so).map(|frame| frame / 25);
    assert!(again.is_some_and(|again| (60..100).contains(&again)), "{again:?}");
}

#[test]
fn ticks_that_are_set_anew_are_noticed_and_a_stall_is_not_taken_for_it() {
    let mut ticks = Ticks::new(true);
    let due = |at: i64| Some(Due { at, is_settled: true });
    let mut place = |pts: i64, ms: i64| ticks.place(pts * MS, false, instant(ms * MS), due(ms * MS));
    let fits = |pts: i64| Placed::At(pts * MS);
    for frame in 0..50 {
        assert_eq!(place(frame * 40, frame * 40), fits(frame * 40));
    }
    assert_eq!(place(2000, 22_000), fits(2000), "frames held up for 20 s");
    assert_eq!(place(22_040, 22_050), Placed::Jumped(19_990 * MS));
    assert!(matches!(place(-3_600_000, 22_060), Placed::Jumped(_)));
}

#[test]
fn ticks_that_jump_and_are_not_believed_are_followed_by_nobody() {
    let mut run = Recorded::new(4 * SECOND, false);
    let mut random = fastrand::Rng::with_seed(7);
    for frame in 0..1000i64 {
        let taken = frame * 40 * MS;
        run.frame(taken, taken, random.i64(-3_600_000..3_600_000) * MS, frame % 25 == 0);
    }
    let run = run.end();
    assert_eq!((run.frames.len(), run.jumped), (1000, None));
    for frame in &run.frames {
        assert!((frame.date - frame.came).abs() <= 500 * MS, "{frame:?}");
    }
}

/// Which frame comes at each place when as many B-frames lie between two others, maybe made from each other; groups are open or
/// not.
fn in_coded_order(frames: i64, between: i64, group: i64, is_open: bool, is_pyramid: bool) -> Vec<i64> {
    let (mut order, mut last) = (vec![0], 0);
    while last + 1 < frames {
        let key = (last / group + 1) * group;
        let next = (last + between + 1).min(frames - 1);
        // A group that is closed ends with a frame that is no B-frame, and one that is open goes on to the next keyframe.
        let next = if key > next {
            next
        } else if is_open || key == last + 1 {
            key
        } else {
            key - 1
        };
        order.push(next);
        let mut inner: Vec<i64> = (last + 1..next).collect();
        if is_pyramid && inner.len() > 2 {
            inner.swap(0, 1);
        }
        order.extend(inner);
        last = next;
    }
    order
}

#[test]
fn true_ticks_of_a_stream_with_b_frames_are_never_touched() {
    for_seeds(3000, |random| {
        let fps = [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 25.0, 30.0, 60.0][random.usize(..9)];
        let every = (1e9 / fps) as i64;
        let (between, group) = (random.i64(0..4), random.i64(1..(4.0 * fps) as i64 + 3));
        let order = in_coded_order((60.0 * fps) as i64, between, group, random.bool(), random.bool());
        let pause = (random.i64(5..40) * SECOND, random.i64(0..10) * SECOND);
        let jitter = random.i64(1..80) * MS;
        let mut run = Recorded::new(10 * SECOND, true);
        run.is_reordered = true;
        // It sends what it has as soon as that can be, or one frame after the other.
        let has_pace = fps >= 2.0 && random.bool();
        let (mut came, mut newest) = (0, 0);
        for (place, frame) in (0i64..).zip(&order) {
            // The camera is silent for a while and goes on counting.
            let silent = |at: i64| if at > pause.0 { pause.1 } else { 0 };
            newest = newest.max(frame * every + silent(frame * every));
            let at = if has_pace { (place + between) * every } else { 0 };
            let paused = silent(newest);
            came = newest.max(at + paused).max(came) + random.i64(0..=jitter) / 10;
            run.frame(
                *frame * every,
                came,
                frame * every + silent(frame * every),
                frame % group == 0,
            );
        }
        let run = run.end();
        assert_eq!(run.jumped, None);
        for frame in &run.frames {
            assert!(
                frame.raw == frame.pts && frame.is_believed,
                "{frame:?}: {fps} a second, {between} between, groups of {group}, {pause:?}, {has_pace}"
            );
        }
    });
}

#[test]
fn b_frames_keep_their_places_where_times_follow_arrival() {
    for_seeds(1000, |random| {
        let (fps, rate) = ([10, 15, 25, 30][random.usize(..4)], 0.9 + random.f64() * 0.2);
        let rate = if random.bool() { rate } else { 0.5 };
        let (every, between) = (SECOND / fps, random.i64(1..4));
        let order = in_coded_order(60 * fps, between, 2 * fps, random.bool(), random.bool());
        let mut run = Recorded::new(10 * SECOND, random.bool());
        run.is_reordered = true;
        for (place, frame) in (0i64..).zip(&order) {
            let raw = (frame * every) as f64 * rate;
            let came = (place + between) * every;
            run.frame(*frame * every, came, raw as i64, frame % (2 * fps) == 0);
        }
        let run = run.end();
        let mut frames = run.frames.clone();
        frames.sort_by_key(|frame| frame.raw);
        assert!(
            frames.is_sorted_by(|one, next| one.pts < next.pts),
            "{rate} {fps} {between}"
        );
        for frame in &run.frames {
            // Frames come up to as many frames after they were taken as there are B-frames.
            let due = frame.taken - 700 * MS - between * every..=frame.came + 300 * MS;
            assert!(due.contains(&frame.date), "{frame:?} {rate} {fps} {between}");
        }
    });
}
