//! How a camera's clock stands to this box's.

use std::time::Duration;

use chrono::{NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::model::{CameraClock, Span, Timestamp};

/// Who told how a camera's clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBy {
    /// ONVIF's GetSystemDateAndTime.
    Onvif,
    /// A vendor's own request.
    Vendor,
    /// The `Date` of an HTTP answer.
    Http,
    /// The `Date` of an RTSP answer.
    Rtsp,
    /// RTCP sender reports of a live session.
    Reports,
    /// Nobody: the clocks are taken for equal.
    Nobody,
}

/// What a camera's local time is to its UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalTime {
    /// That of a zone, with its summer time.
    Zone(Tz),
    /// So many seconds east of UTC, whatever the day.
    East(i32),
}

impl LocalTime {
    /// What clocks on the wall show at a moment.
    pub fn at(self, moment: Timestamp) -> NaiveDateTime {
        let utc = moment.to_utc().naive_utc();
        utc + TimeDelta::seconds(i64::from(self.east(moment)))
    }

    /// Seconds east of UTC at a moment.
    pub fn east(self, moment: Timestamp) -> i32 {
        match self {
            Self::Zone(zone) => zone
                .offset_from_utc_datetime(&moment.to_utc().naive_utc())
                .fix()
                .local_minus_utc(),
            Self::East(seconds) => seconds,
        }
    }
}

/// How a camera's clock stands to this box's: camera minus box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// How far the camera is ahead, in nanoseconds; negative when it is behind.
    pub ahead_ns: i64,
    /// The truth is at most so far from that.
    pub within: Duration,
    /// Who told.
    pub told_by: ToldBy,
    /// The camera's local time.
    pub local: LocalTime,
}

impl ClockOffset {
    /// When nobody tells: the clocks are taken for equal, which may be wrong by half a minute.
    pub fn assumed(local: LocalTime) -> Self {
        Self {
            ahead_ns: 0,
            within: Duration::from_secs(30),
            told_by: ToldBy::Nobody,
            local,
        }
    }

    /// A moment of this box, on the camera's clock.
    pub fn to_camera(&self, moment: Timestamp) -> Timestamp {
        moment.offset(self.ahead_ns)
    }

    /// A moment of the camera, on this box's clock.
    pub fn to_box(&self, moment: Timestamp) -> Timestamp {
        moment.offset(self.ahead_ns.saturating_neg())
    }

    /// What has to be asked of the camera so that a span of this box is in it: moved, and wider by what is not known.
    pub fn asking(&self, span: Span) -> Span {
        Span::new(
            self.to_camera(span.start).minus(self.within),
            self.to_camera(span.end).plus(self.within),
        )
    }

    /// The better of this and what a live session's sender reports said: they are exact to milliseconds, but some cameras
    /// count in them from when they were switched on. So they are taken only where both agree.
    #[must_use]
    pub fn refined_by(self, reports: CameraClock) -> Self {
        /// How sure sender reports are, with their way through the network.
        const REPORTS: Duration = Duration::from_millis(50);
        /// Drift since, and an answer that was rounded.
        const SLACK: Duration = Duration::from_millis(500);
        let apart = Duration::from_nanos(reports.offset_ns.abs_diff(self.ahead_ns));
        if self.within <= REPORTS || apart > self.within + SLACK {
            return self;
        }
        Self {
            ahead_ns: reports.offset_ns,
            within: REPORTS,
            told_by: ToldBy::Reports,
            ..self
        }
    }
}
