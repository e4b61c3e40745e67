//! What goes next from a volume, and by which rule. Pure.
//!
//! ```text
//! 1  age     what ended before its camera's time
//! 2  quota   of a camera that holds more than its quota
//! 3  cap     while all together hold more than the cap: of the camera that holds the most (fair share)
//! 4  floor   while less is free than should be: the same
//! ```
//!
//! Always the oldest of a camera first, and what is younger than its camera's minimum only when nothing else is left. Each
//! rule counts what those before it free, and stops at the first segment that is enough. What is read or held never gets
//! here: the index leaves it out, and asks once more when the row goes.

use crate::index::Lettable;
use crate::model::Timestamp;

/// Footage that is kept by one set of rules: a camera's on the primary, all of it on a mirror.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane {
    /// How much room it takes, also what may not go.
    pub(super) held_bytes: u64,
    /// What ends here or earlier is too old.
    pub(super) cutoff: Option<Timestamp>,
    /// What ends after this is young.
    pub(super) young_after: Option<Timestamp>,
    /// Most that it may take.
    pub(super) quota_bytes: Option<u64>,
    /// What may go, the oldest first.
    pub(super) oldest: Vec<Lettable>,
    /// Whether that is all of it, and not only the first page.
    pub(super) is_all: bool,
}

/// What the volume as a whole wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Want {
    /// Most that all lanes together may take.
    pub(super) cap_bytes: Option<u64>,
    /// So much more should be free.
    pub(super) short_bytes: u64,
    /// Only what begins before this goes for it: nothing gives way to what is older than itself.
    pub(super) before: Option<Timestamp>,
}

/// Why a copy goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Its time is over.
    Age,
    /// Its camera holds more than its quota.
    Quota,
    /// The cameras hold more than they may together.
    Cap,
    /// Too little is free.
    Floor,
}

/// A copy that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Going {
    pub(super) lane: usize,
    pub(super) what: Lettable,
    pub(super) why: Why,
}

/// What goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// In this order.
    pub(super) going: Vec<Going>,
    /// Whether a page ended before it was enough: there is more to plan once these went.
    pub(super) is_cut_short: bool,
    /// What is still wanted, and nothing may go for it.
    pub(super) lacking_bytes: u64,
}

/// A lane, and how much of it is planned to go.
struct Rest<'a> {
    lane: &'a Lane,
    next: usize,
    held_bytes: u64,
}

impl Rest<'_> {
    fn oldest(&self) -> Option<Lettable> {
        self.lane.oldest.get(self.next).copied()
    }

    fn is_page_over(&self) -> bool {
        self.oldest().is_none() && !self.lane.is_all
    }

    fn is_young(&self, what: &Lettable) -> bool {
        self.lane.young_after.is_some_and(|after| what.end > after)
    }
}

struct Planner<'a> {
    rests: Vec<Rest<'a>>,
    freed_bytes: u64,
    plan: Plan,
}

/// Plans what goes, as far as the pages tell.
pub(super) fn plan(lanes: &[Lane], wants: &[Want]) -> Plan {
    let rests = lanes.iter().map(|lane| Rest {
        lane,
        next: 0,
        held_bytes: lane.held_bytes,
    });
    let mut planner = Planner {
        rests: rests.collect(),
        freed_bytes: 0,
        plan: Plan::default(),
    };
    for lane in 0..lanes.len() {
        planner.end_ages(lane);
        planner.keep_quota(lane);
    }
    // A page that is over hides what its camera holds next, so nothing can be said of shares before that is known.
    for want in wants {
        if !planner.plan.is_cut_short {
            planner.share(*want);
        }
    }
    planner.plan
}

impl Planner<'_> {
    fn take(&mut self, lane: usize, what: Lettable, why: Why) {
        if let Some(rest) = self.rests.get_mut(lane) {
            rest.next += 1;
            rest.held_bytes = rest.held_bytes.saturating_sub(what.size_bytes);
        }
        self.freed_bytes = self.freed_bytes.saturating_add(what.size_bytes);
        self.plan.going.push(Going { lane, what, why });
    }

    fn end_ages(&mut self, lane: usize) {
        while let Some(rest) = self.rests.get(lane) {
            let Some(cutoff) = rest.lane.cutoff else { return };
            match rest.oldest() {
                Some(what) if what.end <= cutoff => self.take(lane, what, Why::Age),
                Some(_) => return,
                None => {
                    self.plan.is_cut_short |= rest.is_page_over();
                    return;
                }
            }
        }
    }

    fn keep_quota(&mut self, lane: usize) {
        while let Some(rest) = self.rests.get(lane) {
            match (rest.lane.quota_bytes, rest.oldest()) {
                (Some(quota), Some(what)) if rest.held_bytes > quota => self.take(lane, what, Why::Quota),
                (Some(quota), None) if rest.held_bytes > quota => {
                    self.plan.is_cut_short |= rest.is_page_over();
                    return;
                }
                _ => return,
            }
        }
    }

    fn share(&mut self, want: Want) {
        loop {
            let held = self
                .rests
                .iter()
                .map(|rest| rest.held_bytes)
                .fold(0, u64::saturating_add);
            let excess = want.cap_bytes.map_or(0, |cap| held.saturating_sub(cap));
            let short = want.short_bytes.saturating_sub(self.freed_bytes);
            let why = match (excess, short) {
                (0, 0) => return,
                (0, _) => Why::Floor,
                _ => Why::Cap,
            };
            match self.largest(false).or_else(|| self.largest(true)) {
                Some((_, None)) => {
                    self.plan.is_cut_short = true;
                    return;
                }
                Some((lane, Some(what))) if want.before.is_none_or(|before| what.start < before) => {
                    self.take(lane, what, why);
                }
                Some(_) | None => {
                    self.plan.lacking_bytes = self.plan.lacking_bytes.max(excess.max(short));
                    return;
                }
            }
        }
    }

    /// The lane that holds the most of those that have something to give, and what it gives: nothing where its page is over.
    fn largest(&self, even_young: bool) -> Option<(usize, Option<Lettable>)> {
        let givers = self
            .rests
            .iter()
            .enumerate()
            .filter_map(|(lane, rest)| match rest.oldest() {
                Some(what) if even_young || !rest.is_young(&what) => Some((rest.held_bytes, lane, Some(what))),
                Some(_) => None,
                None => rest.is_page_over().then_some((rest.held_bytes, lane, None)),
            });
        let older = |what: &Option<Lettable>| std::cmp::Reverse(what.map(|what| (what.start, what.segment)));
        let most = givers.max_by_key(|(held, _, what)| (*held, older(what)))?;
        Some((most.1, most.2))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::SegmentId;
    use proptest::prelude::*;
    use proptest::test_runner::Config;
    use uuid::Uuid;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_seconds(minutes * 60)
    }

    /// Minutes of a camera, each of so many bytes, the last one at `until`.
    fn lane(number: u128, until: i64, sizes: &[u64]) -> Lane {
        let first = until - sizes.len() as i64;
        let oldest = (first..).zip(sizes).map(|(minute, size)| Lettable {
            segment: SegmentId(Uuid::from_u128(number * 1_000_000 + minute as u128)),
            start: at(minute),
            end: at(minute + 1),
            size_bytes: *size,
        });
        Lane {
            held_bytes: sizes.iter().sum(),
            oldest: oldest.collect(),
            is_all: true,
            ..Lane::default()
        }
    }

    fn went(plan: &Plan, lane: usize) -> usize {
        plan.going.iter().filter(|going| going.lane == lane).count()
    }

    fn short(short_bytes: u64) -> Want {
        Want {
            short_bytes,
            ..Want::default()
        }
    }

    #[test]
    fn nothing_goes_for_what_is_older_than_itself() {
        let lanes = [lane(1, 1000, &[10; 10])];
        let for_one = |minute| Want {
            before: Some(at(minute)),
            ..short(45)
        };
        let old = plan(&lanes, &[short(20), for_one(993)]);
        assert_eq!((old.going.len(), old.lacking_bytes), (3, 15));
        assert_eq!(plan(&lanes, &[short(20), for_one(1000)]).going.len(), 5);
        assert_eq!(plan(&lanes, &[short(20), for_one(900)]).going.len(), 2);
    }

    #[test]
    fn age_goes_before_quota_and_both_count_for_the_cap_and_the_floor() {
        let mut lanes = vec![lane(1, 1000, &[10; 10]), lane(2, 1000, &[10; 10])];
        lanes[0].cutoff = Some(at(992));
        lanes[1].quota_bytes = Some(70);
        let want = Want {
            cap_bytes: Some(140),
            short_bytes: 60,
            before: None,
        };
        let plan = plan(&lanes, &[want]);
        let whys: Vec<Why> = plan.going.iter().map(|going| going.why).collect();
        assert_eq!(whys, [Why::Age, Why::Age, Why::Quota, Why::Quota, Why::Quota, Why::Cap]);
        assert_eq!((went(&plan, 0), went(&plan, 1), plan.lacking_bytes), (3, 3, 0));
    }

    #[test]
    fn the_camera_that_holds_the_most_gives_until_all_hold_the_same() {
        let lanes = vec![lane(1, 1000, &[10; 50]), lane(2, 1000, &[1; 50])];
        let before = plan(&lanes, &[short(400)]);
        assert_eq!((went(&before, 0), went(&before, 1)), (40, 0));
        let equal = plan(&lanes, &[short(470)]);
        assert_eq!((went(&equal, 0), went(&equal, 1)), (46, 10), "each is left with 40");
    }

    #[test]
    fn what_is_younger_than_the_minimum_goes_when_nothing_else_is_left() {
        let mut lanes = vec![lane(1, 1000, &[40; 10]), lane(2, 1000, &[1; 10])];
        lanes[0].young_after = Some(at(994));
        lanes[1].young_after = Some(at(995));
        let before = plan(&lanes, &[short(165)]);
        assert_eq!((went(&before, 0), went(&before, 1), before.lacking_bytes), (4, 5, 0));
        let all = plan(&lanes, &[short(1_000_000)]);
        assert_eq!((all.going.len(), all.lacking_bytes), (20, 1_000_000 - 410));
    }

    #[test]
    fn a_page_that_is_over_ends_the_plan_and_says_so() {
        let mut lanes = vec![lane(1, 1000, &[40; 10]), lane(2, 1000, &[1; 10])];
        lanes[0].held_bytes = 10_000;
        lanes[0].is_all = false;
        let plan = plan(&lanes, &[short(500)]);
        assert_eq!((went(&plan, 0), went(&plan, 1), plan.is_cut_short), (10, 0, true));
        lanes[0].oldest.clear();
        let empty = super::plan(&lanes, &[short(500)]);
        assert!(empty.going.is_empty() && empty.is_cut_short);
    }

    #[derive(Debug, Clone)]
    struct Fleet {
        lanes: Vec<Lane>,
        want: Want,
    }

    fn fleets() -> impl Strategy<Value = Fleet> {
        let camera = (
            proptest::collection::vec(0u64..100, 0..30),
            0u64..200,
            proptest::option::of(0i64..1100),
            proptest::option::of(900i64..1010),
            proptest::option::of(0u64..2000),
            any::<bool>(),
        );
        let want = (proptest::option::of(0u64..4000), 0u64..4000);
        (proptest::collection::vec(camera, 0..8), want).prop_map(|(cameras, (cap_bytes, short_bytes))| {
            let lanes = (1u128..)
                .zip(cameras)
                .map(|(number, (sizes, locked, cutoff, young, quota, is_all))| {
                    let own = lane(number, 1000, &sizes);
                    Lane {
                        held_bytes: own.held_bytes + locked + if is_all { 0 } else { 1000 },
                        cutoff: cutoff.map(at),
                        young_after: young.map(at),
                        quota_bytes: quota,
                        is_all,
                        ..own
                    }
                });
            Fleet {
                lanes: lanes.collect(),
                want: Want {
                    cap_bytes,
                    short_bytes,
                    before: None,
                },
            }
        })
    }

    proptest! {
        #![proptest_config(Config { cases: 5000, failure_persistence: None, ..Config::default() })]

        #[test]
        fn each_rule_takes_the_oldest_and_no_more_than_it_needs(fleet in fleets()) {
            let Fleet { lanes, want } = &fleet;
            let plan = plan(lanes, &[*want]);
            let freed: u64 = plan.going.iter().map(|going| going.what.size_bytes).sum();
            let held: u64 = lanes.iter().map(|lane| lane.held_bytes).sum();

            // The oldest of each camera, each once, in order.
            for (number, lane) in lanes.iter().enumerate() {
                let went: Vec<Lettable> = plan.going.iter().filter(|going| going.lane == number).map(|going| going.what).collect();
                prop_assert_eq!(&went[..], &lane.oldest[..went.len()]);
            }

            // Age and quota take what they should and nothing else.
            for (number, lane) in lanes.iter().enumerate() {
                let mut left = lane.held_bytes;
                for going in plan.going.iter().filter(|going| going.lane == number) {
                    let is_old = lane.cutoff.is_some_and(|cutoff| going.what.end <= cutoff);
                    let is_over = lane.quota_bytes.is_some_and(|quota| left > quota);
                    prop_assert_eq!(is_old, going.why == Why::Age);
                    prop_assert!(going.why != Why::Quota || is_over);
                    left -= going.what.size_bytes;
                }
                let is_all_gone = plan.going.iter().filter(|going| going.lane == number).count() == lane.oldest.len();
                prop_assert!(is_all_gone || lane.quota_bytes.is_none_or(|quota| left <= quota));
            }

            // Cap and floor stop at the first that is enough.
            let mut shared = plan.going.iter().filter(|going| going.why >= Why::Cap);
            if let Some(last) = shared.next_back() {
                let before = freed - last.what.size_bytes;
                let excess = want.cap_bytes.map_or(0, |cap| (held - before).saturating_sub(cap));
                prop_assert!(excess > 0 || before < want.short_bytes, "one more went than had to");
            }
            let excess = want.cap_bytes.map_or(0, |cap| (held - freed).saturating_sub(cap));
            let is_enough = excess == 0 && freed >= want.short_bytes;
            prop_assert!(is_enough || plan.is_cut_short || plan.lacking_bytes > 0);
            if plan.lacking_bytes > 0 {
                prop_assert!(lanes.iter().all(|lane| lane.is_all));
                prop_assert_eq!(plan.going.len(), lanes.iter().map(|lane| lane.oldest.len()).sum::<usize>());
            }

            // Fair shares: who gave held the most of those that could, and nobody gave what is young before the rest was gone.
            let mut left: Vec<u64> = lanes.iter().map(|lane| lane.held_bytes).collect();
            let mut next = vec![0; lanes.len()];
            for going in &plan.going {
                if going.why >= Why::Cap {
                    let is_young = |lane: usize| {
                        let what = lanes[lane].oldest[next[lane]];
                        lanes[lane].young_after.is_some_and(|after| what.end > after)
                    };
                    for other in (0..lanes.len()).filter(|other| next[*other] < lanes[*other].oldest.len()) {
                        prop_assert!(!is_young(going.lane) || is_young(other), "young before old");
                        if is_young(other) == is_young(going.lane) {
                            prop_assert!(left[other] <= left[going.lane], "another camera held more");
                        }
                    }
                }
                left[going.lane] -= going.what.size_bytes;
                next[going.lane] += 1;
            }
        }
    }
}
