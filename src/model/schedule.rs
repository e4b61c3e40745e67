//! Schedules: when a camera is recorded, as a person says it. What they mean on a calendar is decided by `record`.

use chrono_tz::Tz;

use super::camera::{CameraId, FieldError};

/// Identifies a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ScheduleId(pub i64);

/// Days of the week, Monday 0 to Sunday 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Days(u8);

impl Days {
    /// No day.
    pub const NONE: Self = Self(0);
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// The days of a list. Twice the same is once; a number above 6 is no day and is given back.
    pub fn from_list(days: &[u8]) -> Result<Self, u8> {
        days.iter().try_fold(Self::NONE, |set, &day| match day {
            0..=6 => Ok(Self(set.0 | 1 << day)),
            _ => Err(day),
        })
    }

    /// The days of a mask, Monday the lowest bit; nothing when other bits are set.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits <= Self::ALL.0).then_some(Self(bits))
    }

    /// One bit a day, Monday the lowest.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether a day (Monday 0 to Sunday 6) is one of them.
    pub const fn contains(self, day: u8) -> bool {
        day <= 6 && self.0 & (1 << day) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The days in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=6).filter(move |&day| self.contains(day))
    }
}

/// A weekly time in which a camera is recorded, on the clock of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its identity; what it is before the index gave one does not matter.
    pub id: ScheduleId,
    /// Which camera.
    pub camera: CameraId,
    /// The days on which it begins.
    pub days: Days,
    /// When it begins: minutes after midnight, 0 to 1439.
    pub start_minute: u16,
    /// When it ends, exclusive: minutes after midnight, up to 1440 (24:00). Before the start: on the next day.
    pub end_minute: u16,
    /// IANA name of the place's time zone.
    pub zone: String,
    /// Whether it counts.
    pub enabled: bool,
}

impl Schedule {
    /// Minutes of a day.
    pub const DAY_MINUTES: u16 = 1440;

    /// Whether every field holds what it may hold; the first that does not is named.
    pub fn validate(&self) -> Result<(), FieldError> {
        let error = |field, message: String| Err(FieldError { field, message });
        if self.days.is_empty() {
            return error("days", "give at least one day, 0 (Monday) to 6 (Sunday)".into());
        }
        if self.start_minute >= Self::DAY_MINUTES {
            return error("time_start", "a start is 00:00 to 23:59".into());
        }
        if self.end_minute > Self::DAY_MINUTES {
            return error("time_end", "an end is 00:00 to 24:00".into());
        }
        if self.start_minute == self.end_minute {
            return error(
                "time_end",
                "it ends when it begins; for a whole day write 00:00 to 24:00".into(),
            );
        }
        if self.zone.parse::<Tz>().is_err() {
            let zone: String = self.zone.chars().take(64).collect();
            return error(
                "zone",
                format!("`{zone}` is no time zone; write its IANA name, like Europe/Berlin"),
            );
        }
        Ok(())
    }

    /// Whether it ends on the day after the one on which it begins.
    pub fn ends_next_day(&self) -> bool {
        self.end_minute <= self.start_minute
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn nights() -> Schedule {
        Schedule {
            id: ScheduleId(1),
            camera: CameraId::parse("door").unwrap(),
            days: Days::from_list(&[4, 5, 4]).unwrap(),
            start_minute: 22 * 60,
            end_minute: 6 * 60,
            zone: "Europe/Berlin".into(),
            enabled: true,
        }
    }

    #[test]
    fn days_are_a_set_that_survives_its_bits() {
        let days = nights().days;
        assert_eq!(days.iter().collect::<Vec<_>>(), [4, 5]);
        assert_eq!(Days::from_bits(days.bits()), Some(days));
        assert!(days.contains(4) && !days.contains(6) && !days.contains(200));
        assert_eq!(Days::from_list(&[0, 7]), Err(7));
        assert_eq!(Days::from_bits(128), None);
        assert_eq!(Days::ALL.iter().count(), 7);
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_field_named() {
        assert_eq!(nights().validate(), Ok(()));
        assert!(nights().ends_next_day());
        for (change, field) in [
            ((|s: &mut Schedule| s.days = Days::NONE) as fn(&mut Schedule), "days"),
            (|s| s.start_minute = 1440, "time_start"),
            (|s| s.end_minute = 1441, "time_end"),
            (|s| s.end_minute = s.start_minute, "time_end"),
            (|s| s.zone = "Mars/Olympus".into(), "zone"),
        ] {
            let mut schedule = nights();
            change(&mut schedule);
            assert_eq!(schedule.validate().unwrap_err().field, field);
        }
        let day = Schedule {
            start_minute: 0,
            end_minute: 1440,
            ..nights()
        };
        assert_eq!(day.validate(), Ok(()));
        assert!(!day.ends_next_day());
    }
}
