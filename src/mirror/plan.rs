//! What to do next with the mirror. Pure.
//!
//! ```text
//! first of these that there is              not while
//! 1  copy the oldest that is owed           there is no mirror, clips are being made
//! 2  heal a copy on the primary             "
//! 3  verify a segment's copies              "
//! ```
//!
//! What goes is decided elsewhere, by the rules of retention; here it is only known what they leave. And no copy goes for
//! one that is older than it: what is owed and older than all that the mirror holds is passed over when it does not fit, or
//! the two would take turns for ever.

use crate::model::Timestamp;

/// What retention leaves the mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How much of its disk stays free.
    pub floor_bytes: u64,
    /// How much the mirror holds at the most.
    pub max_bytes: Option<u64>,
    /// What ends here or earlier is too old for the mirror.
    pub cutoff: Timestamp,
    /// When the newest began that was let go for room since this was said last.
    pub let_go: Option<Timestamp>,
    /// Whether anything went since this was said last.
    pub is_changed: bool,
    /// Why the mirror's disk cannot keep the rules.
    pub problem: Option<String>,
    /// Whether room is wanted and nothing may go for it.
    pub is_stuck: bool,
}

/// How full the mirror is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Room {
    /// What our copies take.
    pub(super) held_bytes: u64,
    /// What its disk still takes.
    pub(super) available_bytes: u64,
}

impl Limits {
    /// How much more may be written.
    pub(super) fn left(&self, room: Room) -> u64 {
        let by_disk = room.available_bytes.saturating_sub(self.floor_bytes);
        let by_cap = self.max_bytes.map(|most| most.saturating_sub(room.held_bytes));
        by_cap.map_or(by_disk, |by_cap| by_cap.min(by_disk))
    }

    /// Whether a tenth of what fits is free, so that what was passed over for want of room has room again.
    pub(super) fn is_roomy(&self, room: Room) -> bool {
        let left = self.left(room);
        left > room.held_bytes.saturating_add(left) / 10
    }
}

/// Something that the mirror lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// When it begins.
    pub(super) start: Timestamp,
    /// How much room it needs.
    pub(super) size_bytes: u64,
}

/// All that decides what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct View {
    /// Whether the mirror is there.
    pub(super) is_present: bool,
    /// Whether clips are being made, which want the disks for themselves.
    pub(super) is_busy: bool,
    /// Whether no room could be made a moment ago.
    pub(super) is_full: bool,
    /// How full the mirror is.
    pub(super) room: Room,
    /// All that is owed, in bytes.
    pub(super) owed_bytes: u64,
    /// The oldest that is owed and may be copied now.
    pub(super) due: Option<Wanted>,
    /// When the oldest begins that the mirror holds.
    pub(super) oldest_held: Option<Timestamp>,
    /// Whether there is something to heal on the primary.
    pub(super) may_heal: bool,
    /// Whether copies are to be verified.
    pub(super) may_verify: bool,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Copy what is due.
    Copy,
    /// Make room for what is due.
    MakeRoom(Wanted),
    /// Never copy what begins here or earlier: the mirror is too small for it and for what it holds.
    PassOver(Timestamp),
    /// Heal a copy on the primary.
    Heal,
    /// Look at a segment's copies.
    Verify,
    /// Nothing for now.
    Wait,
}

/// Decides what is done next.
pub(super) fn choose(limits: &Limits, view: &View) -> Next {
    if !view.is_present || view.is_busy {
        return Next::Wait;
    }
    if let Some(due) = view.due {
        let capacity = view.room.held_bytes.saturating_add(limits.left(view.room));
        let is_too_much = view.room.held_bytes.saturating_add(view.owed_bytes) > capacity;
        let is_oldest = view.oldest_held.is_some_and(|oldest| due.start < oldest);
        if is_too_much && is_oldest {
            return Next::PassOver(due.start);
        }
        if due.size_bytes <= limits.left(view.room) {
            return Next::Copy;
        }
        if !view.is_full {
            return Next::MakeRoom(due);
        }
    }
    if view.may_heal {
        Next::Heal
    } else if view.may_verify {
        Next::Verify
    } else {
        Next::Wait
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn limits(max_bytes: Option<u64>, floor_bytes: u64) -> Limits {
        Limits {
            floor_bytes,
            max_bytes,
            cutoff: Timestamp::MIN,
            let_go: None,
            is_changed: false,
            problem: None,
            is_stuck: false,
        }
    }

    #[test]
    fn room_is_counted_by_the_cap_and_by_what_stays_free() {
        let limits = limits(Some(100), 40);
        for (held_bytes, available_bytes, left, is_roomy) in [
            (0, 1000, 100, true),
            (90, 1000, 10, false),
            (130, 1000, 0, false),
            (10, 60, 20, true),
            (10, 15, 0, false),
        ] {
            let room = Room {
                held_bytes,
                available_bytes,
            };
            assert_eq!((limits.left(room), limits.is_roomy(room)), (left, is_roomy), "{room:?}");
        }
    }

    #[test]
    fn what_is_owed_comes_before_healing_and_healing_before_verifying() {
        let limits = limits(None, 0);
        let mut view = View {
            is_present: true,
            room: Room {
                held_bytes: 0,
                available_bytes: 100,
            },
            due: Some(Wanted {
                start: at(0),
                size_bytes: 10,
            }),
            may_heal: true,
            may_verify: true,
            ..View::default()
        };
        assert_eq!(choose(&limits, &view), Next::Copy);
        assert_eq!(choose(&limits, &View { is_busy: true, ..view }), Next::Wait);
        view.due = None;
        assert_eq!(choose(&limits, &view), Next::Heal);
        view.may_heal = false;
        assert_eq!(choose(&limits, &view), Next::Verify);
        let absent = View {
            is_present: false,
            ..view
        };
        assert_eq!(choose(&limits, &absent), Next::Wait);
    }

    #[test]
    fn a_mirror_that_is_too_small_for_all_begins_with_what_will_stay() {
        let limits = limits(Some(100), 0);
        let view = View {
            is_present: true,
            room: Room {
                held_bytes: 20,
                available_bytes: 1000,
            },
            owed_bytes: 500,
            due: Some(Wanted {
                start: at(0),
                size_bytes: 10,
            }),
            oldest_held: Some(at(9000)),
            ..View::default()
        };
        assert_eq!(choose(&limits, &view), Next::PassOver(at(0)));
        let fits = View { owed_bytes: 80, ..view };
        assert_eq!(choose(&limits, &fits), Next::Copy);
        let full = View {
            owed_bytes: 10,
            due: Some(Wanted {
                start: at(9999),
                size_bytes: 90,
            }),
            ..view
        };
        assert_eq!(choose(&limits, &full), Next::MakeRoom(full.due.unwrap()));
        let stuck = View { is_full: true, ..full };
        assert_eq!(choose(&limits, &stuck), Next::Wait);
    }
}
