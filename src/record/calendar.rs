//! What schedules mean on a calendar. Pure: moments come in, moments go out.
//!
//! A window is what the clock on the wall of its place shows. Where that clock is set back, a window lasts from the first
//! time it shows the start to the last time it shows less than the end, because half an hour too much is better than half
//! an hour missed; where it is set forward, a time that is never shown is the moment at which it jumps.

use std::time::Duration;

use chrono::{DateTime, Days as DayCount, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::model::coverage::merge;
use crate::model::{Days, Schedule, Span, Timestamp};

/// Windows that began so many days ago may still last: one day for those over midnight, one for zones that skip a day.
const BACK: u64 = 2;
/// How many days ahead a change is looked for. A weekly window can fall into the hour that is skipped, and then the next
/// is a fortnight away.
const AHEAD: u64 = 17;
/// A window that lasts so long never ends.
const NEVER: Duration = Duration::from_secs(15 * 24 * 3600);

/// The weekly windows of a camera.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Calendar {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    days: Days,
    zone: Tz,
    /// Minutes after the midnight that begins the day.
    start: i64,
    /// The same; above 1440 on the next day.
    end: i64,
}

impl Calendar {
    /// The windows of all schedules that count.
    pub(super) fn new(schedules: &[Schedule]) -> Self {
        let rules = schedules
            .iter()
            .filter(|schedule| schedule.enabled)
            .filter_map(|schedule| {
                // An index from elsewhere may hold a zone that nobody knows here; it was checked when it was stored.
                let zone = schedule.zone.parse().ok()?;
                let next_day = if schedule.ends_next_day() {
                    i64::from(Schedule::DAY_MINUTES)
                } else {
                    0
                };
                Some(Rule {
                    days: schedule.days,
                    zone,
                    start: i64::from(schedule.start_minute),
                    end: i64::from(schedule.end_minute) + next_day,
                })
            });
        Self { rules: rules.collect() }
    }

    /// Whether a moment lies in a window.
    pub(super) fn contains(&self, moment: Timestamp) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.windows(moment, BACK, 1).any(|window| window.contains(moment)))
    }

    /// The first moment after this one at which [`Self::contains`] changes; nothing if it never does.
    pub(super) fn next_change(&self, moment: Timestamp) -> Option<Timestamp> {
        let windows = self.rules.iter().flat_map(|rule| rule.windows(moment, BACK, AHEAD));
        let merged = merge(windows.collect(), Duration::ZERO);
        let window = merged.iter().find(|window| window.end > moment)?;
        if window.start > moment {
            return Some(window.start);
        }
        (window.end.since(moment) < NEVER).then_some(window.end)
    }
}

impl Rule {
    /// Its windows on the days around a moment.
    fn windows(&self, moment: Timestamp, back: u64, ahead: u64) -> impl Iterator<Item = Span> + '_ {
        let today = moment.to_utc().with_timezone(&self.zone).date_naive();
        let first = today.checked_sub_days(DayCount::new(back)).unwrap_or(NaiveDate::MIN);
        let days = first.iter_days().take(usize::try_from(back + 1 + ahead).unwrap_or(0));
        days.filter_map(|day| self.window(day))
            .filter(|window| !window.is_empty())
    }

    fn window(&self, day: NaiveDate) -> Option<Span> {
        let weekday = u8::try_from(chrono::Datelike::weekday(&day).num_days_from_monday()).ok()?;
        if !self.days.contains(weekday) {
            return None;
        }
        let shown = |minutes| {
            day.and_time(NaiveTime::MIN)
                .checked_add_signed(TimeDelta::minutes(minutes))
        };
        let start = first_shown(shown(self.start)?, self.zone)?;
        let end = last_below(shown(self.end)?, self.zone)?;
        Some(Span::new(start, end))
    }
}

/// The first moment at which a clock shows this time or a later one.
fn first_shown(shown: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    match zone.from_local_datetime(&shown) {
        MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => timestamp(&moment),
        MappedLocalTime::None => after_jump(shown, zone),
    }
}

/// The first moment from which on a clock never again shows an earlier time than this.
fn last_below(shown: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    match zone.from_local_datetime(&shown) {
        MappedLocalTime::Single(moment) => timestamp(&moment),
        MappedLocalTime::Ambiguous(first, second) => {
            // Set back to exactly this time, the clock never showed an earlier one in between.
            let just_before = second - TimeDelta::seconds(1);
            let earlier = just_before.naive_local() < shown;
            timestamp(if earlier { &second } else { &first })
        }
        MappedLocalTime::None => after_jump(shown, zone),
    }
}

/// The moment at which a clock jumped over a time. The longest jump there ever was skipped a day.
fn after_jump(shown: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    (1..=1500).find_map(|minutes| {
        let later = shown.checked_add_signed(TimeDelta::minutes(minutes))?;
        timestamp(&zone.from_local_datetime(&later).earliest()?)
    })
}

fn timestamp(moment: &DateTime<Tz>) -> Option<Timestamp> {
    moment.timestamp_nanos_opt().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{CameraId, ScheduleId};
    use proptest::prelude::*;

    const BERLIN: &str = "Europe/Berlin";

    fn schedule(days: &[u8], start: u16, end: u16, zone: &str) -> Schedule {
        Schedule {
            id: ScheduleId(1),
            camera: CameraId::parse("door").unwrap(),
            days: Days::from_list(days).unwrap(),
            start_minute: start,
            end_minute: end,
            zone: zone.into(),
            enabled: true,
        }
    }

    fn calendar(days: &[u8], start: u16, end: u16) -> Calendar {
        Calendar::new(&[schedule(days, start, end, BERLIN)])
    }

    const EVERY: [u8; 7] = [0, 1, 2, 3, 4, 5, 6];

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    /// The next changes from a moment on.
    fn changes(calendar: &Calendar, from: &str, count: usize) -> Vec<String> {
        let mut moment = at(from);
        (0..count)
            .map_while(|_| {
                moment = calendar.next_change(moment)?;
                Some(moment.to_string().replace(":00.000Z", "Z"))
            })
            .collect()
    }

    #[test]
    fn a_day_is_as_long_as_the_calendar_makes_it() {
        // Sundays from 00:00 to 24:00: 24 h, then 23 h in spring, and 25 h in autumn.
        let sundays = calendar(&[6], 0, 1440);
        assert_eq!(
            changes(&sundays, "2026-03-20T00:00:00Z", 4),
            [
                "2026-03-21T23:00Z",
                "2026-03-22T23:00Z",
                "2026-03-28T23:00Z",
                "2026-03-29T22:00Z"
            ]
        );
        assert_eq!(
            changes(&sundays, "2026-10-24T12:00:00Z", 2),
            ["2026-10-24T22:00Z", "2026-10-25T23:00Z"]
        );
    }

    #[test]
    fn a_window_that_begins_in_the_skipped_hour_begins_when_the_clock_jumps() {
        let nights = calendar(&EVERY, 150, 210);
        // 02:30 to 03:30: on 29 March 02:00 becomes 03:00, at 01:00 UTC.
        assert_eq!(
            changes(&nights, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00Z", "2026-03-29T01:30Z"]
        );
        let inside = calendar(&EVERY, 130, 160);
        assert_eq!(
            changes(&inside, "2026-03-28T12:00:00Z", 1),
            ["2026-03-30T00:10Z"],
            "no clock showed 02:10 to 02:40 that night"
        );
        assert_eq!(
            changes(&calendar(&[6], 130, 160), "2026-03-24T12:00:00Z", 1),
            ["2026-04-05T00:10Z"]
        );
    }

    #[test]
    fn a_window_in_the_hour_that_comes_twice_lasts_until_it_is_over_for_good() {
        // On 25 October 03:00 becomes 02:00, at 01:00 UTC.
        for (start, end, from, to) in [
            (150, 210, "2026-10-25T00:30Z", "2026-10-25T02:30Z"),
            (60, 150, "2026-10-24T23:00Z", "2026-10-25T01:30Z"),
            (60, 120, "2026-10-24T23:00Z", "2026-10-25T00:00Z"),
            (120, 180, "2026-10-25T00:00Z", "2026-10-25T02:00Z"),
        ] {
            let nights = calendar(&EVERY, start, end);
            assert_eq!(
                changes(&nights, "2026-10-24T12:00:00Z", 2),
                [from, to],
                "{start} to {end}"
            );
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let fridays = calendar(&[4], 22 * 60, 6 * 60);
        assert_eq!(
            changes(&fridays, "2026-11-16T00:00:00Z", 2),
            ["2026-11-20T21:00Z", "2026-11-21T05:00Z"]
        );
        assert!(fridays.contains(at("2026-11-21T04:59:59.999Z")));
        assert!(!fridays.contains(at("2026-11-21T05:00:00Z")), "an end is exclusive");
        assert!(
            !fridays.contains(at("2026-11-20T04:00:00Z")),
            "the night before is Thursday's"
        );
    }

    #[test]
    fn windows_that_meet_are_one_and_a_full_week_never_ends() {
        let mut parts = vec![schedule(&[0], 0, 720, BERLIN), schedule(&[0], 720, 1440, BERLIN)];
        let mondays = Calendar::new(&parts);
        assert_eq!(
            changes(&mondays, "2026-11-14T12:00:00Z", 2),
            ["2026-11-15T23:00Z", "2026-11-16T23:00Z"]
        );
        parts.push(schedule(&[1, 2, 3, 4, 5, 6], 0, 1440, BERLIN));
        let week = Calendar::new(&parts);
        assert!(week.contains(at("2026-03-29T01:00:00Z")));
        assert_eq!(week.next_change(at("2026-03-20T00:00:00Z")), None);
        for schedule in &mut parts {
            schedule.enabled = false;
        }
        let never = Calendar::new(&parts);
        assert_eq!(
            (never.contains(at("2026-11-16T12:00:00Z")), &never),
            (false, &Calendar::default())
        );
        assert_eq!(never.next_change(at("2026-11-16T12:00:00Z")), None);
    }

    /// Zones whose clocks are set in every way there is, each with a moment near which that happened.
    const ZONES: [(&str, &str); 10] = [
        (BERLIN, "2026-03-29T01:00:00Z"),
        (BERLIN, "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("America/St_Johns", "2010-03-14T03:31:00Z"),
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
        ("Asia/Kathmandu", "2026-01-01T00:00:00Z"),
        ("UTC", "2026-06-30T23:59:00Z"),
    ];

    /// Minute by minute, from nothing but what the clock shows: a window of a day lasts while the clock has shown its
    /// start or more, and will yet show less than its end.
    fn walk(schedules: &[Schedule], from: Timestamp, minutes: usize, margin: usize) -> Vec<bool> {
        let mut inside = vec![false; minutes];
        for one in schedules.iter().filter(|one| one.enabled) {
            let zone: Tz = one.zone.parse().unwrap();
            let minute = |n: usize| from.offset((n as i64 - margin as i64) * 60_000_000_000);
            let shown: Vec<NaiveDateTime> = (0..minutes + 2 * margin)
                .map(|n| minute(n).to_utc().with_timezone(&zone).naive_local())
                .collect();
            let mut most = shown.clone();
            for n in 1..most.len() {
                most[n] = most[n].max(most[n - 1]);
            }
            let mut least = shown.clone();
            for n in (1..least.len()).rev() {
                least[n - 1] = least[n - 1].min(least[n]);
            }
            let days = (shown[0].date())
                .iter_days()
                .take_while(|day| *day <= shown[shown.len() - 1].date());
            for day in days.filter(|day| {
                one.days
                    .contains(chrono::Datelike::weekday(day).num_days_from_monday() as u8)
            }) {
                let midnight = day.and_time(NaiveTime::MIN);
                let start = midnight + TimeDelta::minutes(one.start_minute.into());
                let over = if one.ends_next_day() { 1440 } else { 0 };
                let end = midnight + TimeDelta::minutes(i64::from(one.end_minute) + over);
                for (n, slot) in inside.iter_mut().enumerate() {
                    *slot |= most[n + margin] >= start && least[n + margin] < end;
                }
            }
        }
        inside
    }

    fn schedules() -> impl Strategy<Value = (Vec<Schedule>, Timestamp)> {
        // Often around the hours in which clocks are set.
        let minute = prop_oneof![Just(0u16), 0u16..1440, (0u16..16).prop_map(|n| n * 15), Just(1440)];
        let one = (1u8..128, minute.clone(), minute, any::<bool>());
        (proptest::collection::vec(one, 1..4), 0..ZONES.len(), -4000i64..4000).prop_map(|(rules, zone, shift)| {
            let (name, near) = ZONES[zone];
            let rules = rules.into_iter().map(|(days, start, end, enabled)| Schedule {
                days: Days::from_bits(days).unwrap(),
                enabled,
                ..schedule(&[0], start % 1440, end, name)
            });
            let rules = rules.filter(|rule| rule.validate().is_ok()).collect();
            (rules, at(near).offset(shift * 60_000_000_000))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn the_calendar_says_what_a_clock_on_the_wall_says((schedules, from) in schedules()) {
            let calendar = Calendar::new(&schedules);
            let expected = walk(&schedules, from, 3 * 1440, 3 * 1440);
            for (n, inside) in expected.iter().enumerate().step_by(7) {
                let moment = from.offset(n as i64 * 60_000_000_000);
                prop_assert_eq!(calendar.contains(moment), *inside, "{}", moment);
            }
        }

        #[test]
        fn the_next_change_is_one_and_nothing_changes_before_it((schedules, from) in schedules()) {
            let calendar = Calendar::new(&schedules);
            let before = calendar.contains(from);
            let next = calendar.next_change(from);
            if let Some(next) = next {
                prop_assert!(next > from);
                prop_assert_eq!(calendar.contains(next), !before);
                prop_assert_eq!(calendar.contains(next.offset(-1)), before);
            }
            let until = next.unwrap_or(Timestamp::MAX).min(from.plus(NEVER));
            let minutes = (until.since(from).as_secs() / 60) as usize;
            for n in (0..minutes).step_by(1 + minutes / 50) {
                prop_assert_eq!(calendar.contains(from.offset(n as i64 * 60_000_000_000)), before);
            }
        }
    }
}
