//! What to do next with the mirror, and what it lets go. Pure.
//!
//! ```text
//! first of these that there is              not while
//! 1  let go what is too old or too much     there is no mirror
//! 2  copy the oldest that is owed           there is no mirror, clips are being made
//! 3  heal a copy on the primary             "
//! 4  verify a segment's copies              "
//! ```
//!
//! A copy goes because of its age, or because room is wanted. Age is what a person promised about footage, so it takes the
//! last copy too. Want of room is nobody's wish: it takes the oldest, and only what the primary still has whole. What
//! somebody reads, or holds as evidence, stays in either case. And no copy goes for one that is older than it: what is owed
//! and older than all that the mirror holds is passed over when it does not fit, or the two would take turns for ever.

use std::time::Duration;

use crate::index::Lettable;
use crate::model::{SegmentId, Timestamp};
use crate::runtime::Instant;

/// What a person set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// How long the mirror keeps a copy; zero is until room is wanted.
    pub retention: Duration,
    /// How much the mirror holds at the most.
    pub max_bytes: Option<u64>,
    /// How much of its disk stays free.
    pub min_free_bytes: u64,
    /// How fast is copied and verified; zero is as fast as the disks are.
    pub bytes_per_second: u64,
}

/// How full the mirror is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Room {
    /// What our copies take.
    pub(super) held_bytes: u64,
    /// What its disk still takes.
    pub(super) available_bytes: u64,
}

impl Rules {
    /// What begins here or earlier is too old for the mirror.
    pub(super) fn cutoff(&self, now: Timestamp) -> Timestamp {
        if self.retention.is_zero() {
            Timestamp::MIN
        } else {
            now.minus(self.retention)
        }
    }

    /// How much more may be written.
    pub(super) fn left(&self, room: Room) -> u64 {
        let by_disk = room.available_bytes.saturating_sub(self.min_free_bytes);
        let by_cap = self.max_bytes.map(|most| most.saturating_sub(room.held_bytes));
        by_cap.map_or(by_disk, |by_cap| by_cap.min(by_disk))
    }

    /// How much more is there than may be.
    pub(super) fn excess(&self, room: Room) -> u64 {
        let by_disk = self.min_free_bytes.saturating_sub(room.available_bytes);
        let by_cap = self.max_bytes.map_or(0, |most| room.held_bytes.saturating_sub(most));
        by_cap.max(by_disk)
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

/// A copy that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone {
    /// Of which segment.
    pub(super) segment: SegmentId,
    /// Whether it goes though it may be the last.
    pub(super) even_the_last: bool,
}

/// Which of the oldest copies go, given what is wanted. `held` is by start, the oldest first.
pub(super) fn let_go(
    rules: &Rules,
    room: Room,
    cutoff: Timestamp,
    wanted: Option<Wanted>,
    held: &[Lettable],
) -> Vec<Gone> {
    let more = wanted.map_or(0, |wanted| wanted.size_bytes.saturating_sub(rules.left(room)));
    let excess = rules.excess(room);
    let (mut freed, mut gone) = (0u64, Vec::new());
    for copy in held.iter().filter(|copy| !copy.is_locked) {
        let is_old = copy.start <= cutoff;
        let is_too_much = freed < excess;
        let is_in_the_way =
            freed < excess.saturating_add(more) && wanted.is_some_and(|wanted| copy.start < wanted.start);
        if is_old || (copy.is_elsewhere && (is_too_much || is_in_the_way)) {
            freed = freed.saturating_add(copy.size_bytes);
            gone.push(Gone {
                segment: copy.segment,
                even_the_last: is_old,
            });
        }
    }
    gone
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
pub(super) fn choose(rules: &Rules, view: &View) -> Next {
    if !view.is_present || view.is_busy {
        return Next::Wait;
    }
    if let Some(due) = view.due {
        let capacity = view.room.held_bytes.saturating_add(rules.left(view.room));
        let is_too_much = view.room.held_bytes.saturating_add(view.owed_bytes) > capacity;
        let is_oldest = view.oldest_held.is_some_and(|oldest| due.start < oldest);
        if is_too_much && is_oldest {
            return Next::PassOver(due.start);
        }
        if due.size_bytes <= rules.left(view.room) {
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

/// A wall clock that went this much farther than time did was set, and what it says of ages is not believed yet.
const LEAP: Duration = Duration::from_secs(600);
/// How long it is not believed.
const DOUBT: Duration = Duration::from_secs(3600);

/// Whether the wall clock can be believed about ages: one that is set forward by mistake shall not empty a mirror.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ages {
    wall: Timestamp,
    instant: Instant,
    doubt_until: Option<Instant>,
}

impl Ages {
    pub(super) fn new(wall: Timestamp, instant: Instant) -> Self {
        Self {
            wall,
            instant,
            doubt_until: None,
        }
    }

    /// Hears what the clocks say now, and says whether ages are known.
    pub(super) fn are_known(&mut self, wall: Timestamp, instant: Instant) -> bool {
        let expected = self.wall.plus(instant.since(self.instant));
        if wall.since(expected) > LEAP {
            self.doubt_until = Some(instant.plus(DOUBT));
        }
        (self.wall, self.instant) = (wall, instant);
        wall >= Timestamp::BUILT && self.doubt_until.is_none_or(|until| instant >= until)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn copy(number: i64, size_bytes: u64, is_locked: bool, is_elsewhere: bool) -> Lettable {
        Lettable {
            segment: SegmentId(Uuid::from_u128(number as u128)),
            start: at(number * 60),
            path: format!("door/{number}.mp4"),
            size_bytes,
            is_locked,
            is_elsewhere,
        }
    }

    fn numbers(gone: &[Gone]) -> Vec<u128> {
        gone.iter().map(|gone| gone.segment.0.as_u128()).collect()
    }

    #[test]
    fn age_takes_the_last_copy_and_want_of_room_does_not() {
        let rules = Rules {
            max_bytes: Some(100),
            ..Rules::default()
        };
        let room = Room {
            held_bytes: 150,
            available_bytes: 1000,
        };
        let held = [
            copy(1, 50, false, false),
            copy(2, 50, true, true),
            copy(3, 50, false, true),
        ];
        assert_eq!(numbers(&let_go(&rules, room, Timestamp::MIN, None, &held)), [3]);
        let gone = let_go(&rules, room, at(120), None, &held);
        assert_eq!((numbers(&gone), gone[0].even_the_last), (vec![1], true));
    }

    #[test]
    fn what_is_read_or_held_as_evidence_outlives_its_age() {
        let held = [copy(1, 50, true, true)];
        let rules = Rules {
            retention: Duration::from_secs(3600),
            ..Rules::default()
        };
        assert_eq!(rules.cutoff(at(7200)), at(3600));
        let gone = let_go(&rules, Room::default(), rules.cutoff(at(1_000_000)), None, &held);
        assert_eq!(gone, []);
    }

    #[test]
    fn room_is_counted_by_the_cap_and_by_what_stays_free() {
        let rules = Rules {
            max_bytes: Some(100),
            min_free_bytes: 40,
            ..Rules::default()
        };
        for (held_bytes, available_bytes, left, excess) in [
            (0, 1000, 100, 0),
            (90, 1000, 10, 0),
            (130, 1000, 0, 30),
            (10, 60, 20, 0),
            (10, 15, 0, 25),
        ] {
            let room = Room {
                held_bytes,
                available_bytes,
            };
            assert_eq!((rules.left(room), rules.excess(room)), (left, excess), "{room:?}");
        }
    }

    #[test]
    fn what_is_owed_comes_before_healing_and_healing_before_verifying() {
        let rules = Rules::default();
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
        assert_eq!(choose(&rules, &view), Next::Copy);
        assert_eq!(choose(&rules, &View { is_busy: true, ..view }), Next::Wait);
        view.due = None;
        assert_eq!(choose(&rules, &view), Next::Heal);
        view.may_heal = false;
        assert_eq!(choose(&rules, &view), Next::Verify);
        let absent = View {
            is_present: false,
            ..view
        };
        assert_eq!(choose(&rules, &absent), Next::Wait);
    }

    #[test]
    fn a_mirror_that_is_too_small_for_all_begins_with_what_will_stay() {
        let rules = Rules {
            max_bytes: Some(100),
            ..Rules::default()
        };
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
        assert_eq!(choose(&rules, &view), Next::PassOver(at(0)));
        let fits = View { owed_bytes: 80, ..view };
        assert_eq!(choose(&rules, &fits), Next::Copy);
        let full = View {
            owed_bytes: 10,
            due: Some(Wanted {
                start: at(9999),
                size_bytes: 90,
            }),
            ..view
        };
        assert_eq!(choose(&rules, &full), Next::MakeRoom(full.due.unwrap()));
        let stuck = View { is_full: true, ..full };
        assert_eq!(choose(&rules, &stuck), Next::Wait);
    }

    #[test]
    fn a_clock_that_is_set_forward_lets_no_copy_go_for_an_hour() {
        let (mut wall, mut instant) = (Timestamp::BUILT.plus(Duration::from_secs(1)), Instant(1));
        let mut ages = Ages::new(wall, instant);
        let mut minute = |leap: i64| {
            wall = wall.plus(Duration::from_secs(60)).offset(leap);
            instant = instant.plus(Duration::from_secs(60));
            ages.are_known(wall, instant)
        };
        assert!(minute(0));
        assert!(!minute(86_400_000_000_000));
        assert!((0..59).all(|_| !minute(0)));
        assert!(minute(0));
        assert!(
            !minute(-86_400_000_000_000 * 4000),
            "a box that does not know the time knows no ages"
        );
    }

    fn copies() -> impl Strategy<Value = Vec<Lettable>> {
        let one = (1u64..100, any::<bool>(), any::<bool>());
        proptest::collection::vec(one, 0..30).prop_map(|all| {
            let numbered = (1i64..).zip(all);
            numbered
                .map(|(number, (size, locked, elsewhere))| copy(number, size, locked, elsewhere))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn nothing_goes_that_must_stay_and_no_more_than_has_to(
            held in copies(), cap in 0u64..2000, free in 0u64..500, available in 0u64..500, old in 0i64..30,
            want in proptest::option::of((0i64..40, 1u64..200)),
        ) {
            let rules = Rules { max_bytes: Some(cap), min_free_bytes: free, ..Rules::default() };
            let total: u64 = held.iter().map(|copy| copy.size_bytes).sum();
            let room = Room { held_bytes: total, available_bytes: available };
            let wanted = want.map(|(at_minute, size_bytes)| Wanted { start: at(at_minute * 60), size_bytes });
            let cutoff = at(old * 60);
            let gone = let_go(&rules, room, cutoff, wanted, &held);
            let need = rules.excess(room) + wanted.map_or(0, |wanted| wanted.size_bytes.saturating_sub(rules.left(room)));
            let mut freed = 0;
            for one in &gone {
                let copy = held.iter().find(|copy| copy.segment == one.segment).unwrap();
                prop_assert!(!copy.is_locked, "it is read");
                let is_old = copy.start <= cutoff;
                prop_assert_eq!(one.even_the_last, is_old);
                prop_assert!(is_old || copy.is_elsewhere, "it was the last");
                prop_assert!(is_old || freed < need, "there was room enough");
                let is_newer = wanted.is_none_or(|wanted| copy.start >= wanted.start);
                prop_assert!(is_old || !is_newer || freed < rules.excess(room), "it went for one that is older");
                freed += copy.size_bytes;
            }
            // What stays though it is older than something that went had a reason.
            if let Some(last) = gone.last() {
                let last = held.iter().find(|copy| copy.segment == last.segment).unwrap();
                for copy in held.iter().filter(|copy| copy.start < last.start) {
                    let went = gone.iter().any(|gone| gone.segment == copy.segment);
                    prop_assert!(went || copy.is_locked || !copy.is_elsewhere);
                }
            }
        }

        #[test]
        fn nothing_is_written_to_a_mirror_that_is_not_there_or_has_no_room(
            is_present in any::<bool>(), is_busy in any::<bool>(), is_full in any::<bool>(), cap in 0u64..500, held in 0u64..500,
            available in 0u64..500, due in proptest::option::of((0i64..100, 1u64..200)), oldest in proptest::option::of(0i64..100),
            owed_bytes in 0u64..1000, may_heal in any::<bool>(), may_verify in any::<bool>(),
        ) {
            let rules = Rules { max_bytes: Some(cap), ..Rules::default() };
            let view = View {
                is_present, is_busy, is_full, owed_bytes, may_heal, may_verify,
                room: Room { held_bytes: held, available_bytes: available },
                due: due.map(|(start, size_bytes)| Wanted { start: at(start), size_bytes }),
                oldest_held: oldest.map(at),
            };
            match choose(&rules, &view) {
                Next::Copy => {
                    prop_assert!(is_present && !is_busy);
                    prop_assert!(view.due.unwrap().size_bytes <= rules.left(view.room));
                }
                Next::PassOver(start) => prop_assert!(start < view.oldest_held.unwrap() && held + owed_bytes > cap.min(held + available)),
                Next::MakeRoom(wanted) => prop_assert!(!is_full && wanted.size_bytes > rules.left(view.room)),
                Next::Heal => prop_assert!(may_heal && is_present && !is_busy),
                Next::Verify => prop_assert!(may_verify && is_present && !is_busy),
                Next::Wait => {}
            }
        }
    }
}
