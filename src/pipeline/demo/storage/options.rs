//! What a camera's storage can be asked to be.

use std::time::Duration;

/// How fast footage is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speed {
    /// As fast as it was taken.
    #[default]
    RealTime,
    /// So many times as fast.
    Times(u32),
    /// As fast as the client reads.
    Unlimited,
}

/// What time the sender reports of a replay tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportTimes {
    /// When the footage was taken.
    #[default]
    Recorded,
    /// When it is sent, as some cameras do.
    Sent,
}

/// A camera's storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageOptions {
    /// How much of the latest footage is kept.
    pub keep: Duration,
    /// How fast the addresses other than ONVIF's are played. ONVIF's is played in real time, or as fast as can be when
    /// it is asked for with `Rate-Control: no`.
    pub speed: Speed,
    /// What time sender reports tell.
    pub reports: ReportTimes,
    /// How far the camera's clock is ahead, in milliseconds; less than nothing when it is behind.
    pub clock_ahead_ms: i64,
    /// How far its local time is ahead of UTC, in minutes; Dahua's addresses are in local time.
    pub zone_minutes: i32,
    /// The TCP port of the ONVIF service; 0 takes a free one.
    pub onvif_port: u16,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(600),
            speed: Speed::RealTime,
            reports: ReportTimes::Recorded,
            clock_ahead_ms: 0,
            zone_minutes: 0,
            onvif_port: 0,
        }
    }
}
