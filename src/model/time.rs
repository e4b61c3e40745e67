//! Typed time: nanoseconds since the Unix epoch, and half-open spans of it.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment: nanoseconds since the Unix epoch, UTC.
///
/// Sixty-four bits reach from 1677 to 2262, which outlives every camera. On the wire it is RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is not a moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time; write it like 2026-11-20T10:30:00Z")]
pub struct TimeError(pub String);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// camkeep did not exist before: a clock that shows less than this does not know the time.
    pub const BUILT: Self = Self(1_763_000_000_000_000_000);
    /// Later than anything recorded.
    pub const MAX: Self = Self(i64::MAX);
    /// Earlier than anything recorded.
    pub const MIN: Self = Self(i64::MIN);

    /// A moment from nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// A moment from milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// A moment from seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Signed nanoseconds from `earlier` to this moment; it stops at the ends of the range instead of wrapping.
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment moved by a signed count of nanoseconds.
    pub const fn offset(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// How long after `earlier` this moment is; nothing when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanos_since(earlier)).unwrap_or(0))
    }

    /// This moment moved forward.
    pub fn plus(self, duration: Duration) -> Self {
        self.offset(nanos(duration))
    }

    /// This moment moved back.
    pub fn minus(self, duration: Duration) -> Self {
        self.offset(-nanos(duration))
    }

    /// Reads RFC 3339; an offset is taken into account, the result is UTC.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        DateTime::parse_from_rfc3339(text.trim())
            .ok()
            .and_then(|time| time.timestamp_nanos_opt())
            .map(Self)
            .ok_or_else(|| TimeError(text.chars().take(64).collect()))
    }

    /// The same moment as a `chrono` value, for calendars and zones.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }
}

/// Nanoseconds of a duration, held at the end of the range.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded down to the millisecond, so that a printed start never lies after the true one.
        let floored = DateTime::<Utc>::from_timestamp_millis(self.as_millis()).unwrap_or_else(|| self.to_utc());
        f.write_str(&floored.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A half-open interval of time, `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The first moment inside.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Span {
    /// A span; one that would end before it starts is empty at its start.
    pub fn new(start: Timestamp, end: Timestamp) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// How long it is.
    pub fn duration(&self) -> Duration {
        self.end.since(self.start)
    }

    /// Its length in seconds, for the wire.
    pub fn seconds(&self) -> f64 {
        self.duration().as_secs_f64()
    }

    /// Whether nothing lies in it.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether a moment lies in it.
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.start <= moment && moment < self.end
    }

    /// Whether two spans share a moment: `start < other.end AND end > other.start`, the rule used everywhere.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && self.end > other.start
    }

    /// What two spans share, if anything.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let shared = Self {
            start: self.start.max(other.start),
            end: self.end.min(other.end),
        };
        (shared.start < shared.end).then_some(shared)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_moment_is_written_with_milliseconds_and_read_back() {
        let moment = Timestamp::parse("2026-11-20T10:30:00.125Z").unwrap();
        assert_eq!(moment.to_string(), "2026-11-20T10:30:00.125Z");
        assert_eq!(Timestamp::parse("2026-11-20T11:30:00.125+01:00").unwrap(), moment);
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-11-20T10:30:00.125Z\"");
    }

    #[test]
    fn a_printed_start_never_lies_after_the_true_one() {
        let moment = Timestamp::from_nanos(1_999_999_999);
        assert_eq!(moment.to_string(), "1970-01-01T00:00:01.999Z");
        assert_eq!(Timestamp::from_nanos(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_not_a_time_is_named() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-11-20",
            "9999999-01-01T00:00:00Z",
        ] {
            assert!(
                Timestamp::parse(text).unwrap_err().to_string().contains("like 2026-"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_ends_of_the_range_hold_instead_of_wrapping() {
        assert_eq!(Timestamp::MAX.plus(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.minus(Duration::from_secs(1)), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.nanos_since(Timestamp::MIN), i64::MAX);
    }

    #[test]
    fn spans_that_touch_do_not_overlap() {
        let at = |s| Timestamp::from_seconds(s);
        let first = Span::new(at(0), at(10));
        assert!(!first.overlaps(&Span::new(at(10), at(20))));
        assert!(first.overlaps(&Span::new(at(9), at(20))));
        assert_eq!(first.intersect(&Span::new(at(10), at(20))), None);
        assert!(first.contains(at(0)) && !first.contains(at(10)));
    }
}
