//! The group of pictures that is coming: how long it has become, because a segment can only be cut where one begins.

use crate::model::Unit;

/// A camera whose keyframes are farther apart is one that a person should set otherwise.
const LONG: i64 = 30_000_000_000;
/// What is written of a group lies in memory until the group ends, so it has to end.
const ENDLESS: i64 = 150_000_000_000;
/// The same for one that is large before it is long.
const LARGE: u64 = 128 * 1024 * 1024;

/// What is the matter with a group of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overrun {
    /// No keyframe for so many seconds: segments become as long. Told once a run.
    Long(u64),
    /// No keyframe for so long, or for so many bytes, that the run has to be ended.
    Endless(u64),
}

/// The group of pictures of one run that is coming.
#[derive(Debug, Default)]
pub(super) struct Group {
    starts: Option<i64>,
    bytes: u64,
    is_told: bool,
}

impl Group {
    /// A unit has come.
    pub(super) fn came(&mut self, unit: &Unit) -> Option<Overrun> {
        if unit.keyframe {
            (self.starts, self.bytes) = (Some(unit.pts), 0);
        }
        self.bytes = self.bytes.saturating_add(unit.payload.len() as u64);
        let age = unit.pts.saturating_sub(*self.starts.get_or_insert(unit.pts));
        let seconds = u64::try_from(age).unwrap_or_default() / 1_000_000_000;
        if age >= ENDLESS || self.bytes >= LARGE {
            return Some(Overrun::Endless(seconds));
        }
        (age >= LONG && !std::mem::replace(&mut self.is_told, true)).then_some(Overrun::Long(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Track;

    fn unit(seconds: i64, keyframe: bool, bytes: usize) -> Unit {
        Unit {
            track: Track::Video,
            pts: seconds * 1_000_000_000,
            dts: seconds * 1_000_000_000,
            duration: None,
            keyframe,
            payload: vec![0; bytes].into(),
        }
    }

    #[test]
    fn a_long_group_is_told_once_and_one_without_end_is_ended() {
        let mut group = Group::default();
        let mut told = Vec::new();
        for seconds in 0..=150 {
            told.extend(group.came(&unit(seconds, seconds == 0, 10)));
        }
        assert_eq!(told, [Overrun::Long(30), Overrun::Endless(150)]);
    }

    #[test]
    fn groups_that_end_are_no_trouble_and_the_next_long_one_is_not_told_again() {
        let mut group = Group::default();
        for seconds in 0..600 {
            assert_eq!(group.came(&unit(seconds, seconds % 20 == 0, 10)), None);
        }
        let told = |group: &mut Group, from: i64| {
            (from..from + 60)
                .filter_map(|at| group.came(&unit(at, at == from, 10)))
                .count()
        };
        assert_eq!((told(&mut group, 600), told(&mut group, 660)), (1, 0));
    }

    #[test]
    fn a_group_that_is_too_large_is_ended_before_it_is_long() {
        let mut group = Group::default();
        let large = usize::try_from(LARGE / 4).unwrap_or(usize::MAX);
        let told: Vec<_> = (0..5).map(|n| group.came(&unit(n, n == 0, large))).collect();
        assert_eq!(told[..3], [None; 3]);
        assert_eq!(told[3], Some(Overrun::Endless(3)));
    }
}
