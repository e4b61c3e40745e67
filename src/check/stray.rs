//! What is to be done about a file on the mirror that no row names, decided from what was found of it. Pure: no disk, no
//! clock.
//!
//! ```text
//!                             whole, same bytes     whole, other bytes     not whole
//! segment known, open         Keep                  Keep                   Keep
//! segment known, whole        Adopt                 PutAside               RemoveLeftover
//!   on another volume
//! segment known, not whole    Adopt                 Keep                   Keep
//!   anywhere
//! segment unknown             AsOnThePrimary: indexed, mended, or put aside
//! not ours                    NotOurs
//! ```

/// What the index knows of the segment that a file says, or by its name, holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownFacts {
    /// It is being recorded, or was when camkeep ended.
    pub(super) is_open: bool,
    /// Another volume has a whole copy.
    pub(super) is_whole_elsewhere: bool,
    /// The mirror has a copy of it that is believed, under another name.
    pub(super) has_copy_here: bool,
}

/// What lies on the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StrayFacts {
    /// Whether its name, or what it says of itself, makes it a recording of this box.
    pub(super) is_ours: bool,
    /// Whether it plays from start to end and says whose it is, which a file learns last of all.
    pub(super) is_whole: bool,
    /// Whether its bytes are those that the index knows of the segment; nothing when it knows none.
    pub(super) same_bytes: Option<bool>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StrayAction {
    /// It is the segment's copy on the mirror.
    Adopt,
    /// A kill cut it while it was written, and its segment is whole elsewhere: remove it.
    RemoveLeftover,
    /// It plays, but is another file than was recorded, which is whole elsewhere: put it into the quarantine.
    PutAside,
    /// It may be all that there is of its segment: leave it where it is.
    Keep,
    /// The index does not know its segment: do as with such a file on the primary.
    AsOnThePrimary,
    /// Somebody else's file, or a second copy: leave it.
    NotOurs,
}

/// Decides.
pub(super) fn plan_stray(file: StrayFacts, known: Option<KnownFacts>) -> StrayAction {
    if !file.is_ours {
        return StrayAction::NotOurs;
    }
    let Some(known) = known else {
        return StrayAction::AsOnThePrimary;
    };
    if known.is_open {
        return StrayAction::Keep;
    }
    let is_the_file = file.is_whole && file.same_bytes != Some(false);
    match (is_the_file, known.has_copy_here, known.is_whole_elsewhere) {
        (true, false, _) => StrayAction::Adopt,
        (_, true, _) => StrayAction::NotOurs,
        (false, _, true) if file.is_whole => StrayAction::PutAside,
        (false, _, true) => StrayAction::RemoveLeftover,
        (false, _, false) => StrayAction::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known() -> impl Strategy<Value = Option<KnownFacts>> {
        proptest::option::of((any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(is_open, is_whole_elsewhere, has_copy_here)| KnownFacts {
                is_open,
                is_whole_elsewhere,
                has_copy_here,
            },
        ))
    }

    fn files() -> impl Strategy<Value = StrayFacts> {
        (any::<bool>(), any::<bool>(), any::<Option<bool>>()).prop_map(|(is_ours, is_whole, same_bytes)| StrayFacts {
            is_ours,
            is_whole,
            same_bytes,
        })
    }

    #[test]
    fn what_a_kill_left_of_a_branch_goes_only_where_its_segment_is_whole_elsewhere() {
        let cut = StrayFacts {
            is_ours: true,
            is_whole: false,
            same_bytes: None,
        };
        let known = |is_whole_elsewhere| {
            Some(KnownFacts {
                is_open: false,
                is_whole_elsewhere,
                has_copy_here: false,
            })
        };
        assert_eq!(plan_stray(cut, known(true)), StrayAction::RemoveLeftover);
        assert_eq!(plan_stray(cut, known(false)), StrayAction::Keep);
        assert_eq!(plan_stray(cut, None), StrayAction::AsOnThePrimary);
    }

    proptest! {
        #[test]
        fn nothing_is_removed_that_may_be_the_only_copy(file in files(), known in known()) {
            let action = plan_stray(file, known);
            if matches!(action, StrayAction::RemoveLeftover | StrayAction::PutAside) {
                prop_assert!(file.is_ours && known.is_some_and(|known| known.is_whole_elsewhere && !known.is_open));
            }
            if file.is_whole {
                prop_assert!(action != StrayAction::RemoveLeftover, "what plays is never removed");
            }
        }

        #[test]
        fn only_a_whole_file_with_the_bytes_that_are_known_becomes_a_copy(file in files(), known in known()) {
            if plan_stray(file, known) == StrayAction::Adopt {
                prop_assert!(file.is_ours && file.is_whole && file.same_bytes != Some(false));
                prop_assert!(known.is_some_and(|known| !known.has_copy_here));
            }
        }
    }
}
