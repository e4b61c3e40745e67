//! Figures in words.

pub(super) use crate::model::counted;

use std::time::Duration;

/// A length of time in its two largest units: `23 h 58 min`, `1 min 35 s`, `4.2 s`.
pub(super) fn duration(duration: Duration) -> String {
    // Rounded to what is said: 3.96 s are 4 s, and 59.9 s a minute.
    let fine = duration < Duration::from_millis(9_950);
    let duration = duration.saturating_add(Duration::from_millis(if fine { 50 } else { 500 }));
    let seconds = duration.as_secs();
    let pair = |large: u64, unit: &str, small: u64, smaller: &str| {
        if small == 0 {
            format!("{large} {unit}")
        } else {
            format!("{large} {unit} {small} {smaller}")
        }
    };
    match seconds {
        0..10 => {
            let tenths = duration.as_millis() / 100;
            if tenths.is_multiple_of(10) {
                format!("{} s", tenths / 10)
            } else {
                format!("{}.{} s", tenths / 10, tenths % 10)
            }
        }
        10..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        // A whole day of footage is called 24 h.
        3600..=86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A count of bytes: `3.2 MB`.
pub(super) fn bytes(bytes: f64) -> String {
    let mut value = bytes.max(0.0);
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if value < 10.0 && unit != "B" {
                format!("{value:.1} {unit}")
            } else {
                format!("{value:.0} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// A text of others, made harmless for a terminal: an escape sequence in a camera's name is shown, not obeyed.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_said_in_two_units() {
        for (millis, words) in [
            (0, "0 s"),
            (4_230, "4.2 s"),
            (3_960, "4 s"),
            (9_960, "10 s"),
            (59_900, "1 min"),
            (95_000, "1 min 35 s"),
            (3_600_000, "1 h"),
            (86_280_000, "23 h 58 min"),
            (86_400_000, "24 h"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn sizes_are_said_in_three_digits() {
        for (count, words) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (3_240_000.0, "3.2 MB"),
            (12e9, "12 GB"),
            (3e15, "3000.0 TB"),
        ] {
            assert_eq!(bytes(count), words);
        }
    }

    #[test]
    fn a_terminal_obeys_no_cameras_name() {
        assert_eq!(plain("door\u{1b}[2J\n"), "door\u{fffd}[2J\u{fffd}");
    }
}
