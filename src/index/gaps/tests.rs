//! Tests of gaps in the index.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::index::fixture::{at, camera_id, index, span};
use crate::model::{Fault, Loss};

const KEPT: Duration = Duration::from_secs(3);

fn gap(start: i64, end: i64) -> Gap {
    Gap {
        id: GapId(0),
        camera: camera_id("door"),
        span: span(start, end),
        open: false,
        cause: GapCause::Killed,
        fate: GapFate::Failed,
        attempts: 3,
        last_attempt_at: Some(at(end + 1)),
        filled_at: None,
        recovered_seconds: 0.25,
    }
}

#[test]
fn every_cause_and_fate_comes_back_as_it_went_in() {
    let (_directory, index) = index();
    let causes = [
        GapCause::Stopped,
        GapCause::Killed,
        GapCause::Changed,
        GapCause::Unknown,
    ];
    for cause in causes.into_iter().chain(Loss::ALL.map(GapCause::Lost)) {
        for fate in [GapFate::Pending, GapFate::Filled, GapFate::Failed] {
            let sent = Gap {
                cause,
                fate,
                filled_at: Some(at(9)),
                ..gap(10, 20)
            };
            let expected = sent.clone();
            let id = index.write_blocking(move |w| w.insert_gap(&sent)).unwrap();
            let found = index.read_blocking(|r| r.gap(id)).unwrap();
            assert_eq!(found, Some(Gap { id, ..expected }));
        }
    }
}

#[test]
fn a_gap_begins_once_with_its_first_cause_and_ends_once() {
    let (_directory, index) = index();
    let door = camera_id("door");
    let begin = |second, cause| index.write_blocking(move |w| w.begin_gap(&camera_id("door"), at(second), cause));
    let end = |second| index.write_blocking(move |w| w.end_gap(&camera_id("door"), at(second), KEPT));
    let first = begin(100, GapCause::Lost(Loss::Stalled)).unwrap();
    assert_eq!(begin(105, GapCause::Lost(Loss::Refused)).unwrap(), first);
    assert_eq!(index.read_blocking(|r| r.open_gap(&door)).unwrap(), Some(first.clone()));
    let kept = end(110).unwrap().remove(0);
    assert_eq!(
        (kept.id, kept.span, kept.open, kept.cause),
        (first.id, span(100, 110), false, first.cause)
    );
    assert_eq!(index.read_blocking(|r| r.gap(kept.id)).unwrap(), Some(kept));
    assert_eq!(end(120).unwrap(), []);
    assert_eq!(index.read_blocking(|r| r.open_gap(&door)).unwrap(), None);
}

#[test]
fn a_gap_of_three_seconds_is_not_kept_and_a_longer_one_is() {
    let (_directory, index) = index();
    for (start, nanos, kept) in [
        (100, 3_000_000_000, false),
        (200, 3_000_000_001, true),
        (300, -5, false),
    ] {
        let gap = index
            .write_blocking(move |w| {
                w.begin_gap(&camera_id("door"), at(start), GapCause::Unknown)?;
                w.end_gap(&camera_id("door"), at(start).offset(nanos), KEPT)
            })
            .unwrap();
        assert_eq!(gap.len(), usize::from(kept), "{nanos} ns");
    }
    assert_eq!(
        index
            .read_blocking(|r| r.gaps(&GapFilter::default(), 10))
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn gaps_are_listed_newest_first_page_by_page() {
    let (_directory, index) = index();
    index
        .write_blocking(|w| {
            for number in 0..10 {
                let fate = if number % 2 == 0 {
                    GapFate::Pending
                } else {
                    GapFate::Failed
                };
                w.insert_gap(&Gap {
                    fate,
                    ..gap(number / 3 * 100, number / 3 * 100 + 50)
                })?;
            }
            w.insert_gap(&Gap {
                camera: camera_id("yard"),
                ..gap(150, 160)
            })?;
            Ok(())
        })
        .unwrap();
    let list = |mut filter: GapFilter| {
        let mut ids = Vec::new();
        loop {
            let page = index.read_blocking(|r| r.gaps(&filter, 3)).unwrap();
            let Some(last) = page.last() else {
                return ids;
            };
            filter.after = Some((last.span.start, last.id));
            ids.extend(page.iter().map(|gap| gap.id.0));
        }
    };
    let door = Some(camera_id("door"));
    assert_eq!(list(GapFilter::default()), [10, 9, 8, 7, 11, 6, 5, 4, 3, 2, 1]);
    assert_eq!(
        list(GapFilter {
            camera: door.clone(),
            ..GapFilter::default()
        }),
        [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    );
    let pending = GapFilter {
        fate: Some(GapFate::Pending),
        ..GapFilter::default()
    };
    assert_eq!(list(pending.clone()), [9, 7, 5, 3, 1]);
    assert_eq!(
        list(GapFilter {
            camera: door,
            ..pending
        }),
        [9, 7, 5, 3, 1]
    );
}

#[test]
fn gaps_of_a_span_are_those_that_touch_it_and_the_one_that_lasts() {
    let (_directory, index) = index();
    index
        .write_blocking(|w| {
            w.insert_gap(&gap(0, 10_000))?;
            w.insert_gap(&gap(100, 200))?;
            w.insert_gap(&gap(500, 600))?;
            w.begin_gap(&camera_id("door"), at(20_000), GapCause::Unknown)?;
            Ok(())
        })
        .unwrap();
    let found = |start, end| {
        let gaps = index
            .read_blocking(|r| r.gaps_within(&camera_id("door"), span(start, end)))
            .unwrap();
        gaps.iter().map(|gap| gap.id.0).collect::<Vec<_>>()
    };
    assert_eq!(found(200, 500), [1]);
    assert_eq!(found(150, 501), [1, 2, 3]);
    assert_eq!(found(10_000, 20_000), [0; 0]);
    assert_eq!(found(90_000, 90_001), [4]);
}

#[test]
fn a_person_can_have_a_gap_tried_again_but_not_one_that_is_filled() {
    let (_directory, index) = index();
    let id = index.write_blocking(|w| w.insert_gap(&gap(0, 10))).unwrap();
    let retry = |camera: &str, id| {
        let camera = camera_id(camera);
        index.write_blocking(move |w| w.retry_gap(&camera, id))
    };
    let again = retry("door", id).unwrap();
    assert_eq!((again.fate, again.attempts), (GapFate::Pending, 0));
    assert_eq!(index.read_blocking(|r| r.gap(id)).unwrap(), Some(again.clone()));
    let filled = Gap {
        fate: GapFate::Filled,
        ..again
    };
    index.write_blocking(move |w| w.update_gap(&filled)).unwrap();
    assert_eq!(retry("door", id).unwrap_err().fault(), Fault::Conflict);
    assert_eq!(retry("door", GapId(99)).unwrap_err().fault(), Fault::NotFound);
    assert_eq!(
        retry("yard", id).unwrap_err().fault(),
        Fault::NotFound,
        "a gap of another camera"
    );
    let unknown = Gap {
        id: GapId(99),
        ..gap(0, 1)
    };
    assert_eq!(
        index
            .write_blocking(move |w| w.update_gap(&unknown))
            .unwrap_err()
            .fault(),
        Fault::NotFound
    );
}

#[test]
fn gaps_give_way_to_footage_that_turns_up() {
    let (_directory, index) = index();
    let put = |gap: Gap| index.write_blocking(move |w| w.insert_gap(&gap)).unwrap();
    let trim = |start, end| {
        index
            .write_blocking(move |w| w.trim_gaps(&camera_id("door"), span(start, end), KEPT))
            .unwrap();
    };
    let spans = || -> Vec<Span> {
        let mut spans: Vec<Span> = index
            .read_blocking(|r| r.gaps(&GapFilter::default(), 100))
            .unwrap()
            .into_iter()
            .map(|gap| gap.span)
            .collect();
        spans.sort();
        spans
    };
    put(gap(100, 120));
    put(gap(200, 210));
    // The tail of what was recorded before a kill, found at the next start.
    trim(60, 105);
    assert_eq!(spans(), [span(105, 120), span(200, 210)]);
    // Footage that begins before a gap was thought to end; what is left of it is too short to keep.
    trim(108, 130);
    assert_eq!(spans(), [span(200, 210)]);
    trim(195, 220);
    assert_eq!(spans(), []);
    put(gap(300, 400));
    trim(340, 350);
    assert_eq!(spans(), [span(300, 340), span(350, 400)]);
    let causes = || -> Vec<GapCause> {
        let mut gaps = index.read_blocking(|r| r.gaps(&GapFilter::default(), 100)).unwrap();
        gaps.sort_by_key(|gap| gap.span);
        gaps.into_iter().map(|gap| gap.cause).collect()
    };
    assert_eq!(causes(), [gap(300, 400).cause, GapCause::Unknown]);
    trim(298, 338);
    trim(352, 400);
    assert_eq!(spans(), []);
    // Of one that was filled nothing is taken away: it tells what came back.
    let filled = Gap {
        fate: GapFate::Filled,
        ..gap(420, 440)
    };
    put(filled);
    trim(425, 430);
    assert_eq!(spans(), [span(420, 440)]);
    // One that lasts only begins later.
    let begin = index
        .write_blocking(|w| w.begin_gap(&camera_id("door"), at(500), GapCause::Killed))
        .unwrap();
    trim(450, 501);
    let lasting = index
        .read_blocking(|r| r.open_gap(&camera_id("door")))
        .unwrap()
        .unwrap();
    assert_eq!(
        (lasting.id, lasting.span.start, lasting.open),
        (begin.id, at(501), true)
    );
    // And one that lasts is divided too: what came after the footage is missing still.
    trim(510, 520);
    let rest = index
        .read_blocking(|r| r.open_gap(&camera_id("door")))
        .unwrap()
        .unwrap();
    assert_eq!((rest.span.start, rest.cause), (at(520), GapCause::Unknown));
    assert_eq!(spans(), [span(420, 440), span(501, 510), span(520, 520)]);
}

#[test]
fn a_gap_begins_where_footage_ends_also_when_a_kill_left_less_of_it_than_its_row_said() {
    for (late_ms, begins) in [(40, 110_000), (499, 110_000), (600, 110_600)] {
        let (_directory, index) = index();
        let ms = |moment: i64| at(0).offset(moment * 1_000_000);
        let killed = Gap {
            span: Span::new(ms(110_000 + late_ms), at(120)),
            fate: GapFate::Pending,
            ..gap(110, 120)
        };
        let found = index
            .write_blocking(move |w| {
                let id = w.insert_gap(&killed)?;
                w.trim_gaps(&camera_id("door"), span(100, 110), KEPT)?;
                w.gap(id)
            })
            .unwrap()
            .unwrap();
        assert_eq!(found.span, Span::new(ms(begins), at(120)), "{late_ms} ms late");
    }
}
