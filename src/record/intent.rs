//! How much of a camera is wanted at a moment, and since when: its mode, its schedules and its events together. Pure.
//!
//! ```text
//! scheduled        nothing | memory (10 s) | footage ........ window ........ | memory (10 s) | nothing
//! event            memory  | footage: pre-roll + event + post-roll | memory
//! scheduled_event  nothing | memory (10 s) | as event, in the window         | memory (10 s) | nothing
//! ```
//!
//! A camera is connected to a little before its window opens, so that the window's first frame is there, and left a
//! little after it, so that its last group of pictures ends on its own.

use std::time::Duration;

use crate::model::{Camera, RecordMode, Schedule, Timestamp};
use crate::runtime::Instant;

use super::calendar::Calendar;
use super::state::Wish;

/// How long before a window opens, and after it closes, a camera is connected.
const MARGIN: Duration = Duration::from_secs(10);
/// An edge of a window that is noticed within this time counts as it was; later, the box slept or its clock was set.
const PROMPT: Duration = Duration::from_secs(10);

/// What is wanted, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aim {
    pub(super) wish: Wish,
    /// Footage is wanted from here on, which may be in the past; or no longer from here on.
    pub(super) since: Instant,
}

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Event {
    /// The first frame that is wanted.
    from: Instant,
    /// The first that is not.
    until: Instant,
}

/// What triggers an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Why, in the words of whoever triggers it.
    pub reason: Option<String>,
    /// How long it lasts; pre-roll and post-roll come on top.
    pub lasts: Duration,
}

/// What became of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triggered {
    /// When footage of this event begins.
    pub from: Timestamp,
    /// When it ends, if nothing else happens.
    pub until: Timestamp,
    /// Whether an event lasted already, which is now longer.
    pub extended: bool,
}

/// Why a trigger is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody records this camera at the moment.
    #[error("the camera is switched off; switch on `enabled` and `record_enabled` first")]
    Off,
    /// Its mode has no events.
    #[error("the camera records in the mode {}, which has no events; set record_mode to event or scheduled_event", .0.as_str())]
    Mode(RecordMode),
    /// Its schedule is not on.
    #[error("the camera records events only within its schedules, {}", .0.map_or_else(|| "and no window of them ever opens; add a schedule".to_owned(), |at| format!("and the next window opens at {at}")))]
    Closed(Option<Timestamp>),
    /// The recorder does not know it.
    #[error("the camera is not recorded at the moment; try again in a second")]
    Unknown,
}

/// What people and events want of one camera.
#[derive(Debug)]
pub(super) struct Intent {
    on: bool,
    mode: RecordMode,
    pre_roll: Duration,
    post_roll: Duration,
    calendar: Calendar,
    event: Option<Event>,
    /// When the last event ended.
    ended: Option<Instant>,
    /// What the calendar said last, and when.
    page: Option<Page>,
}

/// What the calendar says, from one moment up to another.
#[derive(Debug, Clone, Copy)]
struct Page {
    wish: Wish,
    /// The last edge of a window that was passed.
    edge: Timestamp,
    from: Timestamp,
    /// The next moment at which a window opens or closes.
    next_edge: Option<Timestamp>,
    until: Timestamp,
}

impl Intent {
    pub(super) fn new(camera: &Camera, schedules: &[Schedule]) -> Self {
        let mut intent = Self {
            on: false,
            mode: camera.record_mode,
            pre_roll: Duration::ZERO,
            post_roll: Duration::ZERO,
            calendar: Calendar::new(schedules),
            event: None,
            ended: None,
            page: None,
        };
        intent.set_camera(camera);
        intent
    }

    /// These are the camera's settings now.
    pub(super) fn set_camera(&mut self, camera: &Camera) {
        self.on = camera.is_in_use() && camera.record_enabled;
        self.pre_roll = Duration::from_secs(camera.pre_roll_seconds.into());
        self.post_roll = Duration::from_secs(camera.post_roll_seconds.into());
        self.mode = camera.record_mode;
        self.page = None;
        if !(self.on && self.has_events()) {
            self.event = None;
        }
    }

    /// These are its schedules now.
    pub(super) fn set_schedules(&mut self, schedules: &[Schedule]) {
        self.calendar = Calendar::new(schedules);
        self.page = None;
    }

    fn has_events(&self) -> bool {
        matches!(self.mode, RecordMode::Event | RecordMode::ScheduledEvent)
    }

    /// How much of the past has to be in memory.
    pub(super) fn memory(&self) -> Duration {
        // Between a cause and its hearing lies a moment, in which what is wanted must not be let go.
        let slack = Duration::from_secs(2);
        if self.has_events() {
            self.pre_roll + slack
        } else {
            slack
        }
    }

    /// Something happened at `at`, which lasts for `length`. The clocks show `wall` and `now`.
    pub(super) fn trigger(
        &mut self,
        at: Instant,
        length: Duration,
        wall: Timestamp,
        now: Instant,
    ) -> Result<Triggered, Refusal> {
        if !self.on {
            return Err(Refusal::Off);
        }
        if !self.has_events() {
            return Err(Refusal::Mode(self.mode));
        }
        self.look(wall, now);
        if self.mode == RecordMode::ScheduledEvent && self.event.is_none() && !self.calendar.contains(wall) {
            return Err(Refusal::Closed(self.calendar.next_change(wall)));
        }
        let from = Instant(at.0.saturating_sub(nanos(self.pre_roll)));
        let until = at.plus(length).plus(self.post_roll);
        let extended = self.event.is_some();
        let event = self.event.get_or_insert(Event { from, until });
        event.until = event.until.max(until);
        let moment = |instant: Instant| wall.plus(instant.since(now)).minus(now.since(instant));
        Ok(Triggered {
            from: moment(event.from),
            until: moment(event.until),
            extended,
        })
    }

    /// What is wanted when the clocks show this.
    pub(super) fn look(&mut self, wall: Timestamp, now: Instant) -> Aim {
        if let Some(event) = self.event.filter(|event| event.until <= now) {
            (self.event, self.ended) = (None, Some(event.until));
        }
        let aim = |wish, since| Aim { wish, since };
        if !self.on {
            return aim(Wish::Nothing, now);
        }
        if self.mode == RecordMode::Continuous {
            return aim(Wish::Footage, now);
        }
        // Also during an event the page is turned, else it would ask for ever to be looked at.
        let page = (self.mode != RecordMode::Event).then(|| self.turn_to(wall));
        if let Some(event) = self.event {
            return aim(Wish::Footage, event.from);
        }
        let ended = self.ended.filter(|ended| now.since(*ended) < MARGIN);
        let Some(page) = page else {
            return aim(Wish::Memory, ended.unwrap_or(now));
        };
        let edge = Instant(now.0.saturating_sub(nanos(wall.since(page.edge))));
        match (self.mode, page.wish) {
            (RecordMode::Scheduled, wish) => aim(wish, edge),
            (_, Wish::Nothing) if ended.is_none() => aim(Wish::Nothing, now),
            _ => aim(Wish::Memory, ended.unwrap_or(now)),
        }
    }

    /// When to look again, if nothing happens: so long after the clocks showed this.
    pub(super) fn wake(&self, wall: Timestamp, now: Instant) -> Option<Duration> {
        let event = self.event.map(|event| event.until.since(now));
        let ended = self
            .ended
            .map(|ended| ended.plus(MARGIN).since(now))
            .filter(|wait| !wait.is_zero());
        let page = self.page.as_ref().map(|page| page.until.since(wall));
        [event, ended, page].into_iter().flatten().min()
    }

    fn turn_to(&mut self, wall: Timestamp) -> Page {
        if let Some(page) = self.page.filter(|page| page.from <= wall && wall < page.until) {
            return page;
        }
        let passed = self.page.and_then(|page| page.next_edge);
        let edge = passed.filter(|edge| *edge <= wall && wall.since(*edge) < PROMPT);
        let kept = self.page.map(|page| page.edge);
        let edge = edge.or(kept.filter(|edge| *edge <= wall && wall.since(*edge) < PROMPT));
        let (before, after) = (wall.plus(MARGIN), wall.minus(MARGIN));
        let calendar = &self.calendar;
        let wish = if calendar.contains(wall) {
            Wish::Footage
        } else if calendar.contains(before) || calendar.contains(after) {
            Wish::Memory
        } else {
            Wish::Nothing
        };
        let next_edge = calendar.next_change(wall);
        let changes = [
            next_edge,
            calendar.next_change(before).map(|edge| edge.minus(MARGIN)),
            calendar.next_change(after).map(|edge| edge.plus(MARGIN)),
        ];
        let page = Page {
            wish,
            edge: edge.unwrap_or(wall),
            from: wall,
            next_edge,
            until: changes.into_iter().flatten().min().unwrap_or(Timestamp::MAX),
        };
        self.page = Some(page);
        page
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{CameraId, Days, ScheduleId};
    use proptest::prelude::*;

    fn camera(mode: RecordMode) -> Camera {
        let id = CameraId::parse("door").unwrap();
        let mut camera = Camera::new(id, "Door".into(), Timestamp::EPOCH);
        (camera.record_mode, camera.pre_roll_seconds, camera.post_roll_seconds) = (mode, 5, 20);
        camera
    }

    /// 10:00 to 11:00 UTC each day.
    fn mornings() -> Vec<Schedule> {
        vec![Schedule {
            id: ScheduleId(1),
            camera: CameraId::parse("door").unwrap(),
            days: Days::ALL,
            start_minute: 600,
            end_minute: 660,
            zone: "UTC".into(),
            enabled: true,
        }]
    }

    /// Seconds after 10:00, on both clocks.
    fn wall(seconds: f64) -> Timestamp {
        Timestamp::parse("2026-11-20T10:00:00Z")
            .unwrap()
            .offset((seconds * 1e9) as i64)
    }

    fn now(seconds: f64) -> Instant {
        Instant(((100_000.0 + seconds) * 1e9) as u64)
    }

    fn look(intent: &mut Intent, seconds: f64) -> Aim {
        intent.look(wall(seconds), now(seconds))
    }

    fn trigger(intent: &mut Intent, seconds: f64, length: u64) -> Result<Triggered, Refusal> {
        intent.trigger(now(seconds), Duration::from_secs(length), wall(seconds), now(seconds))
    }

    #[test]
    fn a_window_is_footage_from_its_first_moment_to_its_last() {
        let mut intent = Intent::new(&camera(RecordMode::Scheduled), &mornings());
        for (seconds, wish) in [
            (-60.0, Wish::Nothing),
            (-10.1, Wish::Nothing),
            (-9.9, Wish::Memory),
            (-0.1, Wish::Memory),
        ] {
            assert_eq!(look(&mut intent, seconds).wish, wish, "{seconds}");
        }
        // Noticed 300 ms late, it still begins where it begins.
        let footage = Aim {
            wish: Wish::Footage,
            since: now(0.0),
        };
        assert_eq!(look(&mut intent, 0.3), footage);
        assert_eq!(
            intent.wake(wall(0.3), now(0.3)),
            Some(Duration::from_millis(9700)),
            "the margin after 10:00"
        );
        assert_eq!(look(&mut intent, 3599.9).wish, Wish::Footage);
        assert_eq!(
            look(&mut intent, 3600.2),
            Aim {
                wish: Wish::Memory,
                since: now(3600.0)
            }
        );
        assert_eq!(look(&mut intent, 3609.0).wish, Wish::Memory);
        assert_eq!(look(&mut intent, 3610.0).wish, Wish::Nothing);
    }

    #[test]
    fn a_window_that_was_open_before_anybody_looked_is_footage_from_now_on() {
        let mut intent = Intent::new(&camera(RecordMode::Scheduled), &mornings());
        assert_eq!(
            look(&mut intent, 600.0),
            Aim {
                wish: Wish::Footage,
                since: now(600.0)
            }
        );
        // The clock is set out of the window, and back into it.
        assert_eq!(intent.look(wall(7200.0), now(601.0)).wish, Wish::Nothing);
        assert_eq!(intent.look(wall(602.0), now(602.0)).wish, Wish::Footage);
        intent.set_schedules(&[]);
        assert_eq!(look(&mut intent, 603.0).wish, Wish::Nothing);
    }

    #[test]
    fn an_event_is_wanted_from_its_pre_roll_to_its_post_roll_and_triggers_extend() {
        let mut intent = Intent::new(&camera(RecordMode::Event), &[]);
        assert_eq!(look(&mut intent, 0.0).wish, Wish::Memory);
        let first = trigger(&mut intent, 10.0, 0).unwrap();
        assert_eq!(
            first,
            Triggered {
                from: wall(5.0),
                until: wall(30.0),
                extended: false
            }
        );
        assert_eq!(
            look(&mut intent, 10.0),
            Aim {
                wish: Wish::Footage,
                since: now(5.0)
            }
        );
        let second = trigger(&mut intent, 25.0, 60).unwrap();
        assert_eq!(
            second,
            Triggered {
                from: wall(5.0),
                until: wall(105.0),
                extended: true
            }
        );
        // A shorter one does not cut it.
        assert_eq!(trigger(&mut intent, 26.0, 0).unwrap().until, wall(105.0));
        assert_eq!(intent.wake(wall(30.0), now(30.0)), Some(Duration::from_secs(75)));
        assert_eq!(look(&mut intent, 104.9).wish, Wish::Footage);
        assert_eq!(
            look(&mut intent, 105.1),
            Aim {
                wish: Wish::Memory,
                since: now(105.0)
            }
        );
    }

    #[test]
    fn a_trigger_that_can_do_nothing_is_refused_with_what_to_do() {
        let mut intent = Intent::new(&camera(RecordMode::Continuous), &[]);
        assert!(
            trigger(&mut intent, 0.0, 0)
                .unwrap_err()
                .to_string()
                .contains("mode continuous")
        );
        let mut intent = Intent::new(&camera(RecordMode::ScheduledEvent), &mornings());
        let refused = trigger(&mut intent, -3600.0, 0).unwrap_err();
        assert_eq!(refused, Refusal::Closed(Some(wall(0.0))));
        assert!(
            refused.to_string().ends_with("opens at 2026-11-20T10:00:00.000Z"),
            "{refused}"
        );
        let mut off = camera(RecordMode::Event);
        off.enabled = false;
        assert_eq!(trigger(&mut Intent::new(&off, &[]), 0.0, 0), Err(Refusal::Off));
    }

    #[test]
    fn an_event_that_began_in_its_window_is_finished_after_it() {
        let mut intent = Intent::new(&camera(RecordMode::ScheduledEvent), &mornings());
        assert_eq!(look(&mut intent, -20.0).wish, Wish::Nothing);
        assert_eq!(look(&mut intent, 0.0).wish, Wish::Memory);
        trigger(&mut intent, 3590.0, 30).unwrap();
        assert_eq!(look(&mut intent, 3620.0).wish, Wish::Footage);
        assert!(trigger(&mut intent, 3620.0, 0).unwrap().extended);
        assert_eq!(
            look(&mut intent, 3641.0),
            Aim {
                wish: Wish::Memory,
                since: now(3640.0)
            }
        );
        assert_eq!(look(&mut intent, 3651.0).wish, Wish::Nothing);
    }

    #[test]
    fn another_mode_forgets_the_event() {
        let mut intent = Intent::new(&camera(RecordMode::Event), &[]);
        trigger(&mut intent, 0.0, 600).unwrap();
        intent.set_camera(&camera(RecordMode::Continuous));
        intent.set_camera(&camera(RecordMode::Event));
        assert_eq!(look(&mut intent, 1.0).wish, Wish::Memory);
    }

    proptest! {
        #[test]
        fn nothing_changes_before_the_time_to_look_again(
            mode in 0..4usize, steps in proptest::collection::vec((0u32..900_000, any::<bool>(), 0u64..90), 1..40)
        ) {
            let mut intent = Intent::new(&camera(RecordMode::ALL[mode]), &mornings());
            let mut seconds = -5000.0;
            for (wait, fires, length) in steps {
                seconds += f64::from(wait) / 1000.0;
                if fires {
                    let _ = trigger(&mut intent, seconds, length);
                }
                let wish = look(&mut intent, seconds).wish;
                let wake = intent.wake(wall(seconds), now(seconds)).map_or(1e6, |wake| wake.as_secs_f64());
                prop_assert!(wake > 0.0, "looking again at once would never end");
                for part in [0.3, 0.9] {
                    let later = seconds + (wake * part).min(100_000.0);
                    let mut other = Intent::new(&camera(RecordMode::ALL[mode]), &mornings());
                    (other.event, other.ended) = (intent.event, intent.ended);
                    prop_assert_eq!(look(&mut other, later).wish, wish);
                }
            }
        }
    }
}
