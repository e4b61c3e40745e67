//! The rules of a volume: what a person set, and what that means on a disk of this size. Pure.

use std::time::Duration;

use crate::storage::Space;

/// Least that stays free where nobody said so: this, or a share of the volume when that is less.
const MIN_FREE: u64 = 5_000_000_000;
const SHARE: u64 = 20;
/// A disk is worth writing to with so much room, or a share of it when that is less (`storage::Volume::check_back`); less
/// never stays free.
const WORKING: u64 = 64 << 20;
const WORKING_SHARE: u64 = 50;
/// How much more is made free than has to be, at the most, so that not every second has its deletion.
const MARGIN: u64 = 64 << 20;

/// What a person set for a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Most that recordings may take; nothing is as much as fits.
    pub max_bytes: Option<u64>,
    /// How much of the disk stays free; nothing is the smaller of 5 GB and a twentieth of it.
    pub min_free_bytes: Option<u64>,
    /// How long copies on a mirror are kept; nothing is as long as there is room. On the primary each camera says it.
    pub keep: Option<Duration>,
}

/// What the rules mean on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measure {
    /// Below this, room is made.
    pub(super) floor_bytes: u64,
    /// So much is free afterwards.
    pub(super) target_bytes: u64,
    /// Why the disk cannot keep the rules.
    pub(super) problem: Option<Problem>,
}

/// Why a disk cannot keep its rules, and what is done instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) trouble: Trouble,
    /// For a person.
    pub(super) text: String,
}

/// Which kind of problem it is: each is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// More is to stay free than the disk has.
    TooSmall,
    /// Other files leave less than the rules need.
    OtherFiles,
    /// Other files leave nothing worth writing to, whatever is let go.
    NoRoom,
}

impl Measure {
    /// `held_bytes` is what recordings take, where that is known.
    pub(super) fn new(rules: &Rules, space: Space, held_bytes: Option<u64>) -> Self {
        let total = space.total_bytes;
        let default = MIN_FREE.min(total / SHARE);
        let working = WORKING.min(total / WORKING_SHARE);
        let asked = rules.min_free_bytes.unwrap_or(default);
        // What is left for recordings would be nothing, or next to nothing.
        let is_too_small = asked > total / 10 * 9;
        let floor = (if is_too_small { default } else { asked }).max(working);
        let ours = held_bytes.map(|held| held.saturating_add(space.available_bytes));
        let (floor_bytes, trouble) = match ours {
            Some(ours) if ours < working * 2 => (0, Some(Trouble::NoRoom)),
            Some(ours) if ours / 2 < floor => (ours / 10, Some(Trouble::OtherFiles)),
            _ => (floor, is_too_small.then_some(Trouble::TooSmall)),
        };
        let problem = trouble.map(|trouble| {
            let (asked, total, kept) = (gigabytes(asked), gigabytes(total), gigabytes(floor_bytes));
            let ours = gigabytes(ours.unwrap_or_default());
            let text = match trouble {
                Trouble::TooSmall => format!(
                    "the disk is too small for its rules: {asked} of it are to stay free and it has {total}; {kept} stay free \
                     instead; lower that figure, or use a larger disk"
                ),
                Trouble::OtherFiles => format!(
                    "other files leave {ours} of it for recordings, so {kept} stay free and not {asked}; move them elsewhere, or \
                     use a larger disk"
                ),
                Trouble::NoRoom => format!(
                    "other files leave {ours} of it for recordings, which is not worth letting footage go; move them elsewhere"
                ),
            };
            Problem { trouble, text }
        });
        Self {
            floor_bytes,
            target_bytes: floor_bytes.saturating_add((floor_bytes / 4).min(MARGIN)),
            problem,
        }
    }

    /// Whether less stays free than the rules say, because of other files.
    pub(super) fn is_lowered(&self) -> bool {
        let trouble = self.problem.as_ref().map(|problem| problem.trouble);
        matches!(trouble, Some(Trouble::OtherFiles | Trouble::NoRoom))
    }

    /// How much more should be free.
    pub(super) fn short(&self, space: Space) -> u64 {
        if space.available_bytes >= self.floor_bytes {
            return 0;
        }
        self.target_bytes.saturating_sub(space.available_bytes)
    }
}

/// Bytes as people read them.
pub(super) fn gigabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn measure(min_free_bytes: Option<u64>, total_bytes: u64, available_bytes: u64) -> (Measure, u64) {
        let rules = Rules {
            min_free_bytes,
            ..Rules::default()
        };
        let space = Space {
            total_bytes,
            available_bytes,
        };
        let measure = Measure::new(&rules, space, None);
        let short = measure.short(space);
        (measure, short)
    }

    #[test]
    fn a_box_that_nobody_configured_keeps_five_gigabytes_or_a_twentieth_free() {
        assert_eq!(measure(None, 4000 * GB, 100 * GB).0.floor_bytes, 5 * GB);
        assert_eq!(measure(None, 20 * GB, 10 * GB).0.floor_bytes, GB);
        let (small, short) = measure(None, 60_000_000, 2_000_000);
        assert_eq!((small.floor_bytes, small.problem), (3_000_000, None));
        assert_eq!(short, 1_750_000, "a little more than has to be");
        assert_eq!(measure(None, 60_000_000, 3_000_000).1, 0);
    }

    #[test]
    fn a_disk_that_is_too_small_for_its_rules_says_so_and_keeps_footage_all_the_same() {
        let (mirror, short) = measure(Some(GB), 200_000_000, 150_000_000);
        assert_eq!((mirror.floor_bytes, short), (10_000_000, 0));
        let problem = mirror.problem.map(|problem| problem.text).unwrap_or_default();
        assert!(
            problem.contains("1.0 GB") && problem.contains("200.0 MB") && problem.contains("10.0 MB"),
            "{problem}"
        );
        assert_eq!(measure(Some(GB), 2 * GB, GB).0.problem, None);
    }

    #[test]
    fn other_files_that_take_the_disk_do_not_cost_all_footage() {
        let of = |held_bytes, available_bytes| {
            let space = Space {
                total_bytes: 100 * GB,
                available_bytes,
            };
            let measure = Measure::new(&Rules::default(), space, Some(held_bytes));
            let short = measure.short(space);
            (
                measure.floor_bytes,
                short,
                measure.problem.map(|problem| problem.trouble),
            )
        };
        assert_eq!(of(80 * GB, 10 * GB), (5 * GB, 0, None));
        assert_eq!(of(80 * GB, 0), (5 * GB, 5 * GB + MARGIN, None));
        assert_eq!(
            of(8 * GB, 0),
            (GB / 10 * 8, GB / 10 * 8 + MARGIN, Some(Trouble::OtherFiles))
        );
        assert_eq!(of(GB / 10, 0), (0, 0, Some(Trouble::NoRoom)));
    }

    #[test]
    fn a_disk_has_room_to_work_also_when_none_is_asked_for() {
        assert_eq!(measure(Some(0), 50_000_000, 0).0.floor_bytes, 1_000_000);
        assert_eq!(measure(Some(0), 4000 * GB, 0).0.floor_bytes, 64 << 20);
    }
}
