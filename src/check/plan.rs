//! What is to be done about one segment, decided from what was found of it. Pure: no disk, no clock.
//!
//! ```text
//!               row open             row closed                no row
//! file whole    CloseRow             AlreadyWhole, CloseRow,   IndexOrphan
//!                                    Distrust
//! file partly   MendFrom…            MendFrom…                 MendFrom…
//! file useless  Quarantine, DropRow  Quarantine                Quarantine, DropRow
//! no file       DropRow              FileMissing
//! not ours                                                     NotOurs
//!
//! and where a journal has frames that the file lacks: MendFromJournal, MendFromBoth
//! ```
//!
//! A closed segment that is whole on another volume is never mended, because what is mended holds less: its file is
//! distrusted, or missing, and copied again from there.

use crate::model::CopyState;
use crate::storage::FileShape;

/// What the index says of a segment's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowFacts {
    /// It was being written when camkeep ended.
    Open,
    /// It was closed with so many frames, and believed so far.
    Closed {
        /// Video frames.
        frames: u64,
        /// How far the copy was believed.
        state: CopyState,
        /// Whether another volume has a whole copy.
        is_whole_elsewhere: bool,
    },
}

/// What lies on the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFacts {
    /// How long it is.
    pub(super) size_bytes: u64,
    /// What the walk says; nothing when size and row agree and nobody had to look inside.
    pub(super) inside: Option<Inside>,
    /// Whether its name, or what it says of itself, makes it a recording of this box.
    pub(super) is_ours: bool,
    /// Whether its bytes are those that were hashed when it was closed; nothing when nobody knows or looked.
    pub(super) same_bytes: Option<bool>,
}

/// What is inside a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inside {
    /// How it was left.
    pub(super) shape: FileShape,
    /// Whether a player can take it from start to end as it is.
    pub(super) whole: bool,
    /// Video frames that can be read.
    pub(super) frames: u64,
}

/// What the tail journal of the segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JournalFacts {
    /// Video frames from the first keyframe on.
    pub(super) frames: u64,
    /// Whether every frame that came is in it, up to its end.
    pub(super) complete: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing: row and file agree.
    AlreadyWhole,
    /// The file is whole: measure it, and write the row as closed.
    CloseRow,
    /// Write the file anew from the journal.
    MendFromJournal,
    /// Write the file anew from what can be read of it.
    MendFromFile,
    /// Write the file anew from both, each giving what the other lacks.
    MendFromBoth,
    /// Nothing of it can be played: move it aside, and say why.
    Quarantine(String),
    /// It plays, but is not the file that was closed: the row says so, nothing is changed.
    Distrust,
    /// The row stays, and says that its file is gone.
    FileMissing,
    /// The file is whole and unknown: write a row for it.
    IndexOrphan,
    /// No frame was ever kept: forget the row, and remove the file that was begun.
    DropRow,
    /// Somebody else's file: say so and leave it.
    NotOurs,
}

/// Decides.
pub(super) fn plan(row: Option<RowFacts>, file: Option<&FileFacts>, journal: Option<JournalFacts>) -> Action {
    // Where another volume has all of it, a journal has nothing to add.
    let is_whole_elsewhere = matches!(
        row,
        Some(RowFacts::Closed {
            is_whole_elsewhere: true,
            ..
        })
    );
    let journal = journal.filter(|journal| journal.frames > 0 && !is_whole_elsewhere);
    let Some(file) = file else {
        return match (row, journal) {
            (_, Some(_)) => Action::MendFromJournal,
            (Some(RowFacts::Closed { state, .. }), None) => match state {
                CopyState::Missing | CopyState::Quarantined => Action::AlreadyWhole,
                _ => Action::FileMissing,
            },
            (Some(RowFacts::Open) | None, None) => Action::DropRow,
        };
    };
    if row.is_none() && !file.is_ours {
        return Action::NotOurs;
    }
    let Some(inside) = &file.inside else {
        // Size and row agree and nobody looked inside: what the journal has more is the only reason to do anything.
        return match (row, journal) {
            (Some(RowFacts::Closed { frames, .. }), Some(journal)) if journal.frames > frames && journal.complete => {
                Action::MendFromJournal
            }
            _ => Action::AlreadyWhole,
        };
    };
    if is_whole_elsewhere && !inside.whole {
        return Action::Distrust;
    }
    match journal {
        Some(journal) if inside.frames == 0 || (journal.complete && journal.frames > inside.frames) => {
            Action::MendFromJournal
        }
        Some(journal) if journal.frames > inside.frames => Action::MendFromBoth,
        _ if inside.whole => match row {
            Some(RowFacts::Closed { .. }) if file.same_bytes == Some(false) => Action::Distrust,
            Some(_) => Action::CloseRow,
            None => Action::IndexOrphan,
        },
        Some(journal) if journal.complete && journal.frames == inside.frames => Action::MendFromJournal,
        // The two may hold different frames however many each has.
        Some(_) => Action::MendFromBoth,
        None if inside.frames > 0 => Action::MendFromFile,
        None if inside.shape == FileShape::Empty && !matches!(row, Some(RowFacts::Closed { .. })) => Action::DropRow,
        None => Action::Quarantine(why(&inside.shape)),
    }
}

fn why(shape: &FileShape) -> String {
    match shape {
        FileShape::Garbage(reason) => format!("no frame of it can be played: {reason}"),
        FileShape::Empty => "no frame was written to it".to_owned(),
        _ => "no frame of it can be played".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shapes() -> impl Strategy<Value = Inside> {
        let shape = prop_oneof![
            Just(FileShape::Plain),
            Just(FileShape::Fragmented),
            Just(FileShape::HalfFinalised),
            Just(FileShape::Empty),
            Just(FileShape::Garbage("noise".to_owned())),
        ];
        (shape, any::<bool>(), 0u64..200).prop_map(|(shape, cut, frames)| {
            let frames = match shape {
                FileShape::Empty | FileShape::Garbage(_) => 0,
                _ => frames.max(1),
            };
            let whole = shape == FileShape::Plain && !cut;
            Inside { shape, whole, frames }
        })
    }

    fn files() -> impl Strategy<Value = Option<FileFacts>> {
        proptest::option::of((0u64..1000, shapes(), any::<bool>(), any::<Option<bool>>()).prop_map(
            |(size_bytes, inside, is_ours, same_bytes)| FileFacts {
                same_bytes,
                size_bytes,
                inside: Some(inside),
                is_ours,
            },
        ))
    }

    fn rows() -> impl Strategy<Value = Option<RowFacts>> {
        let closed = (
            0u64..200,
            proptest::sample::select(CopyState::ALL.to_vec()),
            any::<bool>(),
        )
            .prop_map(|(frames, state, is_whole_elsewhere)| RowFacts::Closed {
                frames,
                state,
                is_whole_elsewhere,
            });
        proptest::option::of(prop_oneof![Just(RowFacts::Open), closed])
    }

    fn journals() -> impl Strategy<Value = Option<JournalFacts>> {
        proptest::option::of(
            (0u64..200, any::<bool>()).prop_map(|(frames, complete)| JournalFacts { frames, complete }),
        )
    }

    fn inside(shape: FileShape, frames: u64) -> FileFacts {
        FileFacts {
            size_bytes: 100,
            inside: Some(Inside {
                whole: shape == FileShape::Plain,
                shape,
                frames,
            }),
            is_ours: true,
            same_bytes: None,
        }
    }

    #[test]
    fn the_ways_a_kill_leaves_a_segment_each_have_their_answer() {
        let journal = |frames, complete| Some(JournalFacts { frames, complete });
        let open = Some(RowFacts::Open);
        for (file, tail, action) in [
            // The usual kill: the journal has the group of pictures that the file still lacks.
            (
                Some(inside(FileShape::Fragmented, 50)),
                journal(99, true),
                Action::MendFromJournal,
            ),
            // Killed before the muxer had its first group of pictures, or before there was a file at all.
            (
                Some(inside(FileShape::Empty, 0)),
                journal(20, true),
                Action::MendFromJournal,
            ),
            (None, journal(20, true), Action::MendFromJournal),
            // A power cut that took more of the journal than of the file.
            (
                Some(inside(FileShape::Fragmented, 50)),
                journal(40, true),
                Action::MendFromBoth,
            ),
            (
                Some(inside(FileShape::Fragmented, 50)),
                journal(90, false),
                Action::MendFromBoth,
            ),
            // No journal.
            (Some(inside(FileShape::Fragmented, 50)), None, Action::MendFromFile),
            (Some(inside(FileShape::HalfFinalised, 50)), None, Action::MendFromFile),
            // Killed between the close of the file and that of its row.
            (Some(inside(FileShape::Plain, 50)), journal(50, true), Action::CloseRow),
            (Some(inside(FileShape::Plain, 50)), None, Action::CloseRow),
            // Nothing was kept.
            (Some(inside(FileShape::Empty, 0)), None, Action::DropRow),
            (None, None, Action::DropRow),
        ] {
            assert_eq!(plan(open, file.as_ref(), tail), action, "{file:?} {tail:?}");
        }
    }

    #[test]
    fn an_unknown_file_is_indexed_when_it_is_ours_and_left_alone_when_it_is_not() {
        let ours = inside(FileShape::Plain, 10);
        assert_eq!(plan(None, Some(&ours), None), Action::IndexOrphan);
        let foreign = FileFacts { is_ours: false, ..ours };
        assert_eq!(plan(None, Some(&foreign), None), Action::NotOurs);
    }

    proptest! {
        #[test]
        fn what_can_be_played_is_never_dropped_nor_put_aside(row in rows(), file in files(), journal in journals()) {
            let action = plan(row, file.as_ref(), journal);
            let frames = file.as_ref().and_then(|file| file.inside.as_ref()).map_or(0, |inside| inside.frames);
            if frames > 0 {
                prop_assert!(!matches!(action, Action::DropRow | Action::Quarantine(_) | Action::FileMissing));
            }
            let ours = row.is_some() || file.as_ref().is_none_or(|file| file.is_ours);
            if ours && journal.is_some_and(|journal| journal.frames > 0) {
                prop_assert!(!matches!(action, Action::DropRow | Action::Quarantine(_)));
            }
        }

        #[test]
        fn a_file_that_is_not_ours_is_never_touched(file in files(), journal in journals()) {
            if let Some(file) = file.filter(|file| !file.is_ours) {
                prop_assert_eq!(plan(None, Some(&file), journal), Action::NotOurs);
            }
        }

        #[test]
        fn nothing_is_mended_from_what_is_not_there(row in rows(), file in files(), journal in journals()) {
            let action = plan(row, file.as_ref(), journal);
            let frames = file.as_ref().and_then(|file| file.inside.as_ref()).map_or(0, |inside| inside.frames);
            let tail = journal.map_or(0, |journal| journal.frames);
            match action {
                Action::MendFromFile => prop_assert!(frames > 0),
                Action::MendFromJournal => prop_assert!(tail >= frames && tail > 0 && (journal.is_some_and(|journal| journal.complete) || frames == 0)),
                Action::MendFromBoth => prop_assert!(frames > 0 && tail > 0),
                Action::CloseRow => prop_assert!(row.is_some() && file.is_some()),
                Action::IndexOrphan => prop_assert!(row.is_none() && file.is_some()),
                Action::FileMissing => prop_assert!(file.is_none()),
                _ => {}
            }
        }

        #[test]
        fn what_is_whole_elsewhere_is_never_mended_to_less(
            frames in 0u64..200, state in proptest::sample::select(CopyState::ALL.to_vec()), file in files(), journal in journals()
        ) {
            let row = RowFacts::Closed { frames, state, is_whole_elsewhere: true };
            let action = plan(Some(row), file.as_ref(), journal);
            let is_left = matches!(
                action, Action::AlreadyWhole | Action::CloseRow | Action::Distrust | Action::FileMissing
            );
            prop_assert!(is_left, "{action:?}");
            if action == Action::CloseRow {
                prop_assert!(file.is_some_and(|file| file.inside.is_some_and(|inside| inside.whole)));
            }
        }

        #[test]
        fn an_open_row_is_always_settled(file in files(), journal in journals()) {
            let action = plan(Some(RowFacts::Open), file.as_ref(), journal);
            prop_assert!(!matches!(action, Action::AlreadyWhole | Action::NotOurs | Action::FileMissing | Action::IndexOrphan));
        }
    }
}
