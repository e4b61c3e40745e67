//! The time of RTP and of its reports: seconds since 1900, and a fraction of 32 bits.

use crate::model::Timestamp;

/// Seconds from 1900 to 1970.
pub(super) const TO_UNIX: i64 = 2_208_988_800;
const SECOND: i128 = 1_000_000_000;

/// Nanoseconds since 1900.
pub(super) fn nanos(seconds: u32, fraction: u32) -> u64 {
    u64::from(seconds) * 1_000_000_000 + ((u64::from(fraction) * 1_000_000_000) >> 32)
}

/// When that is, of nanoseconds since 1900; nothing of what we cannot count.
pub(super) fn timestamp(nanos: u64) -> Option<Timestamp> {
    let nanos = i128::from(nanos) - i128::from(TO_UNIX) * SECOND;
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_second_of_1970_and_half_of_it() {
        let first = TO_UNIX as u32;
        assert_eq!(timestamp(nanos(first, 0)), Some(Timestamp::from_nanos(0)));
        assert_eq!(
            timestamp(nanos(first, 1 << 31)),
            Some(Timestamp::from_nanos(500_000_000))
        );
        assert_eq!(timestamp(nanos(0, 0)), Some(Timestamp::from_seconds(-TO_UNIX)));
        assert_eq!(timestamp(u64::MAX), None);
    }
}
