#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::model::GapCause;
use crate::model::coverage::merge;

const RULES: Rules = Rules {
    max_age: Duration::from_secs(24 * 3600),
    attempts: 3,
    at_once: 2,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

fn span(from: i64, to: i64) -> Span {
    Span::new(at(from), at(to))
}

fn gap(id: i64, camera: &str, span: Span) -> Gap {
    Gap {
        id: GapId(id),
        camera: CameraId::parse(camera).unwrap(),
        span,
        open: false,
        cause: GapCause::Unknown,
        fate: GapFate::Pending,
        attempts: 0,
        last_attempt_at: None,
        filled_at: None,
        recovered_seconds: 0.0,
    }
}

fn chosen(pending: &[Gap], now: i64, running: usize, busy: &[&str]) -> Vec<i64> {
    let busy = busy.iter().map(|id| CameraId::parse(id).unwrap()).collect();
    let chosen = choose(pending, RULES, at(now), running, &busy, &BTreeSet::new());
    chosen.iter().map(|gap| gap.id.0).collect()
}

#[test]
fn the_newest_gaps_come_first_and_one_of_a_camera_at_a_time() {
    let pending = [
        gap(1, "door", span(0, 10)),
        gap(2, "door", span(100, 110)),
        gap(3, "yard", span(50, 60)),
        gap(4, "gate", span(20, 30)),
    ];
    assert_eq!(chosen(&pending, 200, 0, &[]), [2, 3]);
    assert_eq!(chosen(&pending, 200, 1, &["door"]), [3]);
    assert_eq!(chosen(&pending, 200, 2, &[]), [0i64; 0]);
    assert_eq!(chosen(&pending, 200, 0, &["door", "yard"]), [4]);
}

#[test]
fn what_is_old_tried_out_just_tried_or_still_lasts_is_left_alone() {
    let due = gap(1, "door", span(0, 10));
    let open = Gap {
        open: true,
        ..due.clone()
    };
    let tried = Gap {
        attempts: 3,
        ..due.clone()
    };
    let just = Gap {
        attempts: 1,
        last_attempt_at: Some(at(95)),
        ..due.clone()
    };
    assert_eq!(chosen(&[open], 100, 0, &[]), [0i64; 0]);
    assert_eq!(chosen(&[tried], 100, 0, &[]), [0i64; 0]);
    assert_eq!(chosen(std::slice::from_ref(&just), 100, 0, &[]), [0i64; 0]);
    assert_eq!(chosen(std::slice::from_ref(&just), 105, 0, &[]), [1]);
    let anew = Gap {
        attempts: 0,
        ..just.clone()
    };
    assert_eq!(chosen(&[just], 50, 0, &[]), [1], "the clock was set back");
    assert_eq!(chosen(&[anew], 96, 0, &[]), [1], "a person wants it now");
    let day = 24 * 3600;
    assert_eq!(chosen(std::slice::from_ref(&due), day + 10, 0, &[]), [1]);
    assert_eq!(chosen(std::slice::from_ref(&due), day + 11, 0, &[]), [0i64; 0]);
    let by_hand = choose(
        std::slice::from_ref(&due),
        RULES,
        at(9 * day),
        0,
        &BTreeSet::new(),
        &[GapId(1)].into(),
    );
    assert_eq!(by_hand.len(), 1);
}

#[test]
fn waits_grow_and_a_try_is_bounded() {
    let seconds: Vec<u64> = [1, 2, 3, 4, 5, 99]
        .map(|attempts| wait_after(attempts).as_secs())
        .to_vec();
    assert_eq!(seconds, [10, 40, 160, 640, 1800, 1800]);
    assert_eq!(time_for(Duration::from_secs(12)).as_secs(), 72);
    assert_eq!(time_for(Duration::from_secs(86_400)).as_secs(), 4 * 3600);
}

#[test]
fn a_long_gap_is_fetched_in_portions_from_its_end_on() {
    let wanted = [span(0, 3000), span(4000, 5000)];
    assert_eq!(portion(&wanted), [span(4000, 5000)]);
    assert_eq!(portion(&[span(0, 90_000)]), [span(88_200, 90_000)]);
    assert_eq!(portion(&[span(0, 12)]), [span(0, 12)]);
    assert_eq!(portion(&[]), []);
}

#[test]
fn a_gap_is_filled_when_it_is_covered_but_for_a_second() {
    let gap = gap(7, "door", span(0, 12));
    let footage = [span(0, 6), span(6, 11)];
    let settled = settle(&gap, &footage, true, RULES, at(20));
    assert_eq!(settled.rows.len(), 1);
    let row = &settled.rows[0];
    assert_eq!((row.id, row.fate, row.span), (GapId(7), GapFate::Filled, gap.span));
    assert_eq!((row.recovered_seconds, row.filled_at), (11.0, Some(at(20))));
    assert_eq!((settled.lacking, settled.is_given_up), (Duration::from_secs(1), false));
}

#[test]
fn a_gap_shorter_than_a_second_of_which_nothing_came_is_not_filled() {
    for millis in [60, 200, 900] {
        let gap = gap(7, "door", Span::new(at(0), at(0).plus(Duration::from_millis(millis))));
        let settled = settle(&gap, &[], true, RULES, at(20));
        assert_eq!(settled.rows.len(), 1);
        assert_eq!(
            (settled.rows[0].fate, settled.rows[0].span),
            (GapFate::Pending, gap.span)
        );
        let most = Span::new(gap.span.start, gap.span.end.minus(Duration::from_millis(millis / 3)));
        let settled = settle(&gap, &[most], true, RULES, at(20));
        assert_eq!(settled.rows.len(), 1);
        assert_eq!(settled.rows[0].fate, GapFate::Filled);
    }
}

#[test]
fn what_is_left_of_a_gap_is_pending_as_a_gap_of_its_own() {
    let gap = gap(7, "door", span(0, 12));
    let settled = settle(&gap, &[span(3, 8)], true, RULES, at(20));
    let rows: Vec<_> = settled
        .rows
        .iter()
        .map(|row| (row.id.0, row.fate, row.span, row.attempts))
        .collect();
    assert_eq!(
        rows,
        [
            (7, GapFate::Filled, span(3, 8), 1),
            (0, GapFate::Pending, span(0, 3), 1),
            (0, GapFate::Pending, span(8, 12), 1),
        ]
    );
    assert_eq!(settled.recovered, Duration::from_secs(5));
}

#[test]
fn three_tries_in_vain_are_the_end_until_a_person_wants_another() {
    let mut row = gap(7, "door", span(0, 12));
    for (attempts, fate) in [(1, GapFate::Pending), (2, GapFate::Pending), (3, GapFate::Failed)] {
        let settled = settle(&row, &[], true, RULES, at(20));
        assert_eq!(settled.rows.len(), 1);
        row = settled.rows[0].clone();
        assert_eq!((row.id.0, row.attempts, row.fate), (7, attempts, fate));
        assert_eq!((settled.is_given_up, row.recovered_seconds), (attempts == 3, 0.0));
    }
    let spared = settle(&gap(7, "door", span(0, 12)), &[], false, RULES, at(20));
    assert_eq!((spared.rows[0].attempts, spared.rows[0].fate), (0, GapFate::Pending));
}

proptest! {
    #[test]
    fn rows_take_the_place_of_a_gap_and_filled_is_only_said_of_footage(
        length in 2i64..4000, pieces in prop::collection::vec((-500i64..4500, 1i64..900), 0..12),
        attempts in 0u32..4, counts in any::<bool>(),
    ) {
        let moment = |tenths: i64| Timestamp::from_millis(1_790_000_000_000 + tenths * 100);
        let whole = Span::new(moment(0), moment(length));
        let gap = Gap { attempts, ..gap(7, "door", whole) };
        let footage: Vec<Span> = pieces.iter().map(|(from, long)| Span::new(moment(*from), moment(from + long))).collect();
        let settled = settle(&gap, &footage, counts, RULES, at(99_999));
        prop_assert_eq!(settled.rows[0].id, GapId(7));
        prop_assert!(settled.rows.iter().skip(1).all(|row| row.id == GapId(0)));
        let spans: Vec<Span> = settled.rows.iter().map(|row| row.span).collect();
        prop_assert!(spans.iter().all(|span| span.start >= whole.start && span.end <= whole.end && !span.is_empty()));
        let total: Duration = spans.iter().map(Span::duration).sum();
        prop_assert_eq!(covered(whole, spans.clone()), total, "no two rows overlap");
        // What no row tells of is no longer than what is no gap, each time.
        let untold: Duration = holes(whole, spans, Duration::ZERO).iter().map(Span::duration).max().unwrap_or_default();
        prop_assert!(untold <= SLIVER);
        let lacking = whole.duration() - covered(whole, footage.clone());
        for row in &settled.rows {
            let there = covered(row.span, footage.clone());
            match row.fate {
                GapFate::Filled => {
                    prop_assert!(!there.is_zero());
                    let holes = holes(row.span, footage.clone(), Duration::ZERO);
                    prop_assert!(lacking <= LACKING || holes.iter().all(|hole| hole.duration() <= SLIVER));
                    prop_assert!((row.recovered_seconds - there.as_secs_f64()).abs() < 1e-6);
                }
                GapFate::Pending => prop_assert!(there.is_zero() && row.attempts < RULES.attempts),
                GapFate::Failed => prop_assert!(there.is_zero() && row.attempts >= RULES.attempts),
            }
        }
        prop_assert_eq!(settled.recovered + settled.lacking, whole.duration());
        let left = wanted(whole, &footage);
        prop_assert!(left.iter().all(|span| covered(*span, footage.clone()).is_zero()));
        let known = merge([footage, left].concat(), SLIVER);
        prop_assert!(known.iter().any(|span| span.start <= whole.start.plus(SLIVER) && span.end.plus(SLIVER) >= whole.end));
    }
}
