//! Which copy of a segment is read: decided from what the index says of each. Pure: no disk, no clock.
//!
//! ```text
//! whole (or being written): the primary's, then the mirror's      -> checked, when there are two to choose from
//! suspect:                  the primary's, then the mirror's      -> better than nothing
//! missing, quarantined:     never
//! ```

use crate::model::{Copy, CopyState, Segment, SegmentState, VolumeId};

/// Whether a copy can be played, as far as is known.
pub const fn is_readable(state: CopyState) -> bool {
    matches!(state, CopyState::Open | CopyState::Whole | CopyState::Suspect)
}

const fn is_trusted(state: CopyState) -> bool {
    matches!(state, CopyState::Open | CopyState::Whole)
}

/// The copies that may be read, in the order in which they are tried. The index gives the primary's first, and one that
/// is trusted comes before one that is not.
pub fn reading_order(copies: &[Copy]) -> impl Iterator<Item = &Copy> {
    let trusted = copies.iter().filter(|copy| is_trusted(copy.state));
    trusted.chain(copies.iter().filter(|copy| copy.state == CopyState::Suspect))
}

/// One try at reading a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt<'a> {
    pub(super) copy: &'a Copy,
    /// Whether its bytes are held against its hash first.
    pub(super) is_checked: bool,
}

/// What to try, in order, with the volumes that are there. To hash a file costs as much as to read it, and without
/// another one to turn to nothing would follow from it.
pub(super) fn plan_reading(segment: &Segment, is_there: impl Fn(VolumeId) -> bool) -> Vec<Attempt<'_>> {
    let is_known = |copy: &Copy| copy.state == CopyState::Whole && copy.sha256.is_some();
    let copies: Vec<&Copy> = reading_order(&segment.copies)
        .filter(|copy| is_there(copy.volume))
        .collect();
    let choice = segment.state == SegmentState::Closed && copies.iter().filter(|copy| is_known(copy)).count() > 1;
    let attempts = copies.into_iter().map(|copy| Attempt {
        copy,
        is_checked: choice && is_known(copy),
    });
    attempts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Span, Timestamp, fixture};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn copy(volume: u128, state: CopyState) -> Copy {
        Copy {
            volume: VolumeId(Uuid::from_u128(volume)),
            path: "door/x.mp4".to_owned(),
            size_bytes: 10,
            sha256: (state != CopyState::Open).then_some([1; 32]),
            state,
        }
    }

    fn segment(copies: Vec<Copy>) -> Segment {
        Segment {
            copies,
            ..fixture::segment(1, Span::new(Timestamp::EPOCH, Timestamp::from_seconds(10)))
        }
    }

    fn volumes(segment: &Segment, is_there: impl Fn(VolumeId) -> bool) -> Vec<(u128, bool)> {
        let plan = plan_reading(segment, is_there).into_iter();
        plan.map(|attempt| (attempt.copy.volume.0.as_u128(), attempt.is_checked))
            .collect()
    }

    #[test]
    fn the_mirrors_copy_is_read_when_the_primarys_is_not_to_be_trusted() {
        use CopyState::{Missing, Quarantined, Suspect, Whole};
        for (primary, mirror, order) in [
            (Whole, Whole, vec![(1, true), (2, true)]),
            (Missing, Whole, vec![(2, false)]),
            (Quarantined, Whole, vec![(2, false)]),
            (Suspect, Whole, vec![(2, false), (1, false)]),
            (Whole, Suspect, vec![(1, false), (2, false)]),
            (Suspect, Suspect, vec![(1, false), (2, false)]),
            (Missing, Missing, vec![]),
        ] {
            let segment = segment(vec![copy(1, primary), copy(2, mirror)]);
            assert_eq!(volumes(&segment, |_| true), order, "{primary:?} {mirror:?}");
        }
    }

    #[test]
    fn without_another_copy_to_turn_to_nothing_is_hashed() {
        let both = segment(vec![copy(1, CopyState::Whole), copy(2, CopyState::Whole)]);
        assert_eq!(volumes(&both, |id| id.0.as_u128() == 1), [(1, false)]);
        let open = Segment {
            state: SegmentState::Open,
            ..both
        };
        assert_eq!(volumes(&open, |_| true), [(1, false), (2, false)]);
    }

    proptest! {
        #[test]
        fn every_copy_that_may_be_read_is_tried_once_and_no_other(
            states in proptest::collection::vec(proptest::sample::select(CopyState::ALL.to_vec()), 0..5)
        ) {
            let copies: Vec<Copy> = (0..).zip(&states).map(|(number, state)| copy(number, *state)).collect();
            let segment = segment(copies);
            let plan = plan_reading(&segment, |_| true);
            let mut tried: Vec<VolumeId> = plan.iter().map(|attempt| attempt.copy.volume).collect();
            let first_suspect = plan.iter().position(|attempt| attempt.copy.state == CopyState::Suspect);
            let last_trusted = plan.iter().rposition(|attempt| attempt.copy.state != CopyState::Suspect);
            if let (Some(suspect), Some(trusted)) = (first_suspect, last_trusted) {
                prop_assert!(trusted < suspect);
            }
            tried.sort_unstable();
            let readable = segment.copies.iter().filter(|copy| is_readable(copy.state));
            let readable: Vec<VolumeId> = readable.map(|copy| copy.volume).collect();
            prop_assert_eq!(tried, readable);
        }
    }
}
