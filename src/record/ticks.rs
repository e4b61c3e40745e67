//! The camera's ticks held against arrival: frames keep the times that the ticks give them for as long as that agrees with when
//! they come. Pure: no clock, no I/O.
//!
//! Ticks are exact from one frame to the next, and arrival is not, so ticks that can be believed are not touched. A frame is
//! early or late against its *due* time, the running time at which the least late frame of the run would come now:
//!
//! ```text
//!   late >  LATE,  not held up by a pause of the network    dated LATE before its arrival
//!   late < -EARLY, once the map is settled                  dated EARLY after it
//!   one or the other for OFF                                the ticks are not believed: times follow arrival
//!   arrival and ticks agree to 0.1 % for a minute           they are believed again
//! ```
//!
//! A pause of the network, behind which frames come that were held up, is no fault of the ticks: while those frames catch up
//! they keep their times. When they do not catch up, arrival decides.
//!
//! A B-frame comes behind the frame that is shown after it, and is not late for that. It is not judged: its place between the
//! two that it is shown between stays what it is. A camera that sends at one pace sends frames behind which no B-frames come
//! later by as many frames as it otherwise sends B-frames, and those are not late either.

use std::collections::VecDeque;
use std::time::Duration;

use crate::runtime::Instant;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;

/// A frame is dated at most so long before its arrival, unless it was held up.
const LATE: i64 = 400 * MS;
/// A frame is dated at most so long after its arrival.
const EARLY: i64 = 150 * MS;
/// Ticks that are off for so long are not believed.
const OFF: Duration = Duration::from_secs(1);
/// A frame that came so much later after the one before than its ticks say was held up.
const HELD_UP: i64 = 200 * MS;
/// A frame that is no later than this is on time.
const ON_TIME: i64 = 200 * MS;
/// Frames that were held up have to catch up by this much...
const CATCHES_UP: i64 = 100 * MS;
/// ...each time so long has passed,
const CATCH_UP: Duration = Duration::from_secs(2);
/// and may pause again and again for so long.
const HELD_FOR: Duration = Duration::from_secs(15);
/// Ticks of frames that are on time for so long have kept time.
const PROVED: Duration = Duration::from_secs(1);
/// Times that follow arrival are smoothed over so long.
const SMOOTH: i64 = 200 * MS;
/// B-frames make no frame late by more than this.
const MOST_SLACK: i64 = 4 * SECOND;
/// Frames are shown at least so long after each other: less is nothing in the ticks of a file...
const STEP: i64 = MS / 2;
/// ...but that hundreds that come at once may not be dated much later than they came.
const LEAST_STEP: i64 = STEP / 20;

/// The least late frame of so long...
const BUCKET: Duration = Duration::from_secs(10);
/// ...is the same in so many of them,
const BUCKETS: usize = 6;
/// but for this much, when the ticks keep time.
const AGREE: i64 = 60 * MS;

/// A frame whose ticks run ahead of arrival by more than this comes from a camera that set them anew.
const JUMP_AHEAD: i64 = 2 * SECOND;
/// Frames that go back further than this have ticks that were set anew.
const JUMP_BACK: i64 = SECOND;

/// When a frame should come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// The running time of a frame that comes now and is not late.
    pub(super) at: i64,
    /// Whether that does not move any more: until then, frames that come early say how late those before them were.
    pub(super) is_settled: bool,
}

/// What becomes of the time of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is shown at this running time.
    At(i64),
    /// The ticks jumped by so many nanoseconds against arrival: another run begins.
    Jumped(i64),
}

/// What is known of the ticks of one run.
#[derive(Debug, Clone)]
pub(super) struct Ticks {
    is_believed: bool,
    /// By how much times are moved.
    shift: i64,
    last: Option<Last>,
    /// How late frames may be because B-frames are sent before them.
    slack: i64,
    /// How far apart frames usually are by their ticks.
    step: Usual,
    /// When the first frame came, and whether the ticks kept time since.
    first: Option<Instant>,
    kept_time: bool,
    held: Option<Held>,
    /// Since when frames are dated by arrival.
    off_since: Option<Instant>,
    /// The smallest difference between arrival and ticks, a bucket each, and when each began.
    buckets: VecDeque<(Instant, i64)>,
}

/// The last frame that was judged.
#[derive(Debug, Clone, Copy)]
struct Last {
    /// As the camera said it, and as it was told.
    raw: i64,
    told: i64,
    arrival: Instant,
    /// How many B-frames came since, and how far the last of them is shown before it.
    between: i64,
    nearest: i64,
    /// The two times of the one that was judged before it.
    before: Option<(i64, i64)>,
}

impl Last {
    /// When a frame is shown that comes after this one and is shown before it; nothing for one that is not.
    fn between(&self, pts: i64) -> Option<i64> {
        let (raw, told) = self.before.filter(|(raw, _)| *raw < pts && pts < self.raw)?;
        let length = |from: i64, to: i64| i128::from(to) - i128::from(from);
        let ahead = length(told, self.told) * length(pts, self.raw) / length(raw, self.raw);
        Some(self.told.saturating_sub(i64::try_from(ahead).unwrap_or(0)))
    }
}

/// Frames that a pause has held up are catching up.
#[derive(Debug, Clone, Copy)]
struct Held {
    began: Instant,
    /// How late they still are, and since when they are no less.
    late: i64,
    since: Instant,
}

/// How far apart frames usually are; nothing before two have come.
#[derive(Debug, Clone, Copy, Default)]
struct Usual(Option<i64>);

impl Usual {
    fn learn(&mut self, length: i64) {
        let length = length.clamp(-10 * SECOND, 10 * SECOND);
        self.0 = Some(self.0.map_or(length, |usual| usual + (length - usual) / 8));
    }

    fn length(&self) -> i64 {
        self.0.unwrap_or(0)
    }
}

impl Ticks {
    /// Ticks of a run that begins, believed or not.
    pub(super) fn new(is_believed: bool) -> Self {
        Self {
            is_believed,
            shift: 0,
            last: None,
            slack: 0,
            step: Usual::default(),
            first: None,
            kept_time: false,
            held: None,
            off_since: None,
            buckets: VecDeque::with_capacity(BUCKETS),
        }
    }

    /// Whether frames are dated by them.
    pub(super) fn are_believed(&self) -> bool {
        self.is_believed
    }

    /// A frame came with this time, in a stream whose frames may come in another order than they are shown in. Without `due`
    /// nothing is known yet that it could be compared with.
    pub(super) fn place(&mut self, pts: i64, is_reordered: bool, arrival: Instant, due: Option<Due>) -> Placed {
        let (mut once, mut earliest) = (0, i64::MIN);
        if let Some(last) = &mut self.last {
            if let Some(told) = last.between(pts).filter(|_| is_reordered) {
                last.between += 1;
                last.nearest = last.nearest.min(last.raw.saturating_sub(pts));
                let slack = last.nearest.saturating_mul(last.between).min(MOST_SLACK);
                self.slack = self.slack.max(slack);
                return Placed::At(told);
            }
            let last = *last;
            self.slack -= self.slack / 8;
            let (step, gap) = (pts.saturating_sub(last.raw), nanos(arrival.since(last.arrival)));
            let ahead = step.saturating_sub(gap);
            if self.is_believed && (step < -JUMP_BACK || ahead > JUMP_AHEAD + self.step.length() + self.slack) {
                return Placed::Jumped(ahead);
            }
            self.compare(pts, arrival);
            let mut least = STEP;
            if let Some(due) = due {
                let late = due.at.saturating_sub(pts.saturating_add(self.shift));
                let late = late.saturating_sub(late.clamp(0, self.slack));
                match self.is_believed {
                    true => once = self.corrected(late, (step, gap), arrival, due.is_settled),
                    false => self.shift = self.shift.saturating_add(followed(late, gap, due.is_settled)),
                }
                if last.told.saturating_sub(due.at) > EARLY {
                    least = LEAST_STEP;
                }
            }
            self.step.learn(step);
            earliest = last.told.saturating_add(least);
        }
        let told = pts.saturating_add(self.shift).saturating_add(once).max(earliest);
        self.last = Some(Last {
            raw: pts,
            told,
            arrival,
            between: 0,
            nearest: i64::MAX,
            before: self.last.map(|last| (last.raw, last.told)),
        });
        Placed::At(told)
    }

    /// By how much the time of a frame is moved this once, while ticks are believed.
    fn corrected(&mut self, late: i64, (step, gap): (i64, i64), arrival: Instant, is_settled: bool) -> i64 {
        self.hold_up(late, step, gap, arrival);
        let first = *self.first.get_or_insert(arrival);
        self.kept_time |= late <= ON_TIME && arrival.since(first) >= PROVED;
        let once = if late > LATE && self.held.is_none() {
            late - LATE
        } else if late < -EARLY && is_settled {
            late + EARLY
        } else {
            self.off_since = None;
            return 0;
        };
        let since = *self.off_since.get_or_insert(arrival);
        if arrival.since(since) >= OFF {
            self.is_believed = false;
            (self.held, self.off_since) = (None, None);
            self.buckets.clear();
        }
        once
    }

    /// Tells frames that a pause held up from ticks that lag: before the pause, the ticks had kept time for a while.
    fn hold_up(&mut self, late: i64, step: i64, gap: i64, arrival: Instant) {
        let is_pause = gap.saturating_sub(step.max(0)) > HELD_UP + self.slack;
        let was_on_time = late.saturating_add(step).saturating_sub(gap) <= ON_TIME && self.kept_time;
        self.held = match self.held {
            None if is_pause && was_on_time => Some(Held {
                began: arrival,
                late,
                since: arrival,
            }),
            Some(_) if late <= ON_TIME => None,
            Some(held) if is_pause && arrival.since(held.began) <= HELD_FOR => Some(Held {
                late,
                since: arrival,
                ..held
            }),
            Some(held) if late <= held.late - CATCHES_UP => Some(Held {
                late,
                since: arrival,
                ..held
            }),
            Some(held) if arrival.since(held.since) > CATCH_UP => None,
            held => held,
        };
    }

    /// Compares ticks with arrival over a minute, and believes them again when they agree.
    fn compare(&mut self, pts: i64, arrival: Instant) {
        let off = i64::try_from(arrival.0).unwrap_or(i64::MAX).saturating_sub(pts);
        match self.buckets.back_mut() {
            Some((began, least)) if arrival.since(*began) < BUCKET => {
                *least = (*least).min(off);
                return;
            }
            _ => {}
        }
        let all = || self.buckets.iter().map(|(_, least)| *least);
        if self.buckets.len() == BUCKETS {
            let spread = all().max().zip(all().min()).map(|(most, least)| most - least);
            if !self.is_believed && spread.is_some_and(|spread| spread <= AGREE) {
                self.is_believed = true;
            }
            self.buckets.pop_front();
        }
        self.buckets.push_back((arrival, off));
    }
}

/// By how much more times are moved that follow arrival. Before it is settled what is late, none is early.
fn followed(late: i64, gap: i64, is_settled: bool) -> i64 {
    let part = i128::from(late) * i128::from(gap) / i128::from(gap.saturating_add(SMOOTH).max(1));
    let left = late.saturating_sub(i64::try_from(part).unwrap_or(late));
    late.saturating_sub(left.clamp(if is_settled { -EARLY } else { 0 }, LATE))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
