//! What a restore makes of the place where the primary volume lies, decided from what was found there. Pure.

use crate::model::VolumeId;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PrimaryFacts {
    /// The id of the volume that lies there.
    pub(super) there: Option<VolumeId>,
    /// Whether no file lies there that a person might miss.
    pub(super) is_empty: bool,
    /// The primary volumes that the index knows, the oldest first.
    pub(super) known: Vec<VolumeId>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PrimaryPlan {
    /// It is the one that the index expects: files may be missing on it.
    Same,
    /// Make a new volume there, in place of those that are known.
    MakeNew,
    /// A new volume was made there already, and whoever made it was ended before it was known.
    GoOn,
    /// Nothing may be done: why, and what to do.
    Refuse(&'static str),
}

/// Decides.
pub(super) fn plan_primary(facts: &PrimaryFacts) -> PrimaryPlan {
    match facts.there {
        Some(there) if facts.known.contains(&there) => PrimaryPlan::Same,
        Some(_) if facts.is_empty => PrimaryPlan::GoOn,
        None if facts.is_empty => PrimaryPlan::MakeNew,
        Some(_) if facts.known.is_empty() => PrimaryPlan::Refuse(
            "holds recordings that the index does not know; run `camkeep check --mend` first, and restore what is missing \
             after it",
        ),
        Some(_) => PrimaryPlan::Refuse(
            "holds the recordings of another box; mount the disk that was there before, or an empty one",
        ),
        None => PrimaryPlan::Refuse(
            "holds files and is no volume of camkeep; mount an empty disk there, or move the files away",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn id(number: u128) -> VolumeId {
        VolumeId(Uuid::from_u128(number))
    }

    #[test]
    fn a_new_disk_a_known_one_and_one_that_was_begun_are_told_apart() {
        let plan = |there: Option<u128>, is_empty, known: &[u128]| {
            plan_primary(&PrimaryFacts {
                there: there.map(id),
                is_empty,
                known: known.iter().copied().map(id).collect(),
            })
        };
        assert_eq!(plan(None, true, &[1]), PrimaryPlan::MakeNew);
        assert_eq!(plan(None, true, &[]), PrimaryPlan::MakeNew);
        assert_eq!(plan(Some(1), false, &[1]), PrimaryPlan::Same);
        assert_eq!(plan(Some(2), true, &[1]), PrimaryPlan::GoOn);
        assert!(matches!(plan(Some(2), false, &[1]), PrimaryPlan::Refuse(why) if why.contains("another box")));
        assert!(matches!(plan(Some(2), false, &[]), PrimaryPlan::Refuse(why) if why.contains("check --mend")));
        assert!(matches!(plan(None, false, &[1]), PrimaryPlan::Refuse(why) if why.contains("empty disk")));
    }

    proptest! {
        #[test]
        fn no_volume_is_made_where_files_lie(
            there in proptest::option::of(0u128..4), known in proptest::collection::vec(0u128..4, 0..3)
        ) {
            let facts = PrimaryFacts {
                there: there.map(id),
                is_empty: false,
                known: known.into_iter().map(id).collect(),
            };
            let plan = plan_primary(&facts);
            prop_assert!(!matches!(plan, PrimaryPlan::MakeNew | PrimaryPlan::GoOn), "{plan:?}");
        }
    }
}
