//! What is played when a span is asked for: by a camera that behaves, and by one that does not.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Span;

use super::conduct::Misbehaviour;
use super::shelf::{Shelf, Unit};

/// Pictures further apart than this have a hole between them.
const HOLE: Duration = Duration::from_millis(1500);

/// What becomes of the connection where it does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// It stays, in silence.
    Hang,
    /// It is closed.
    Close,
}

/// One picture to play, with what is said about its place.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) unit: Arc<Unit>,
    /// Nothing was kept just before it, or nothing is played before it.
    pub(super) is_beginning: bool,
    /// Nothing was kept just after it.
    pub(super) is_end: bool,
}

/// What is played, in its order.
#[derive(Debug)]
pub(super) struct Programme {
    pub(super) numbers: Vec<Number>,
    /// Before which picture it breaks, and how.
    pub(super) breaks: Option<(usize, Break)>,
    /// Whether every packet holds noise.
    pub(super) is_noise: bool,
    /// Whether its end is told.
    pub(super) says_farewell: bool,
}

impl Programme {
    /// Plans what is played of a true span.
    pub(super) fn plan(shelf: &Shelf, asked: Span, wrongs: &[Misbehaviour]) -> Self {
        let does = |wrong| wrongs.contains(&wrong);
        let units = if does(Misbehaviour::Nothing) || does(Misbehaviour::EndsAtOnce) {
            Vec::new()
        } else {
            shelf.find(bend(shelf, asked, wrongs))
        };
        let kept = shelf.extent().map(|extent| extent.end);
        let is_cut = does(Misbehaviour::FirstHalf);
        let apart = |a: &Arc<Unit>, b: &Arc<Unit>| b.taken().since(a.taken()) > HOLE;
        let number = |(n, unit): (usize, &Arc<Unit>)| Number {
            unit: unit.clone(),
            is_beginning: n == 0 || apart(&units[n - 1], unit),
            is_end: match units.get(n + 1) {
                Some(next) => apart(unit, next),
                // The last that is played: more may be kept behind it.
                None => is_cut || kept.is_none_or(|last| last <= unit.taken()) || !goes_on(shelf, unit),
            },
        };
        let numbers: Vec<_> = units.iter().enumerate().map(number).collect();
        let breaks = if does(Misbehaviour::HangsAfterPlay) {
            Some((0, Break::Hang))
        } else if does(Misbehaviour::HangsHalfway) {
            Some((numbers.len() / 2, Break::Hang))
        } else if does(Misbehaviour::BreaksOff) {
            Some((numbers.len() / 2, Break::Close))
        } else if does(Misbehaviour::HangsUp) {
            Some((numbers.len(), Break::Close))
        } else {
            None
        };
        Self {
            numbers,
            breaks,
            is_noise: does(Misbehaviour::Garbage),
            says_farewell: !does(Misbehaviour::NoFarewell),
        }
    }

    /// From its first picture to its last, in truth.
    pub(super) fn extent(&self) -> Option<Span> {
        let (first, last) = (self.numbers.first()?, self.numbers.last()?);
        Some(Span::new(first.unit.taken(), last.unit.taken()))
    }
}

/// Whether something was kept just after a picture.
fn goes_on(shelf: &Shelf, unit: &Unit) -> bool {
    let after = unit.taken().offset(1);
    let next = Span::new(after, after.plus(HOLE));
    shelf.find(next).iter().any(|unit| next.contains(unit.taken()))
}

/// The span that is played where another was asked for.
fn bend(shelf: &Shelf, asked: Span, wrongs: &[Misbehaviour]) -> Span {
    // Open ends have no middle.
    let bounded = match shelf.extent() {
        Some(extent) => Span::new(asked.start.max(extent.start), asked.end.min(extent.end.offset(1))),
        None => asked,
    };
    let middle = bounded.start.plus(bounded.duration() / 2);
    wrongs.iter().fold(asked, |span, wrong| match wrong {
        Misbehaviour::FirstHalf => Span::new(span.start, middle),
        Misbehaviour::SecondHalf => Span::new(middle, span.end),
        Misbehaviour::TooMuch(more) => Span::new(span.start.minus(*more), span.end.plus(*more)),
        Misbehaviour::OtherTime(ms) => {
            let by = ms.saturating_mul(1_000_000);
            Span::new(span.start.offset(by), span.end.offset(by))
        }
        _ => span,
    })
}

#[cfg(test)]
mod tests {
    use super::super::shelf::tests::{fill, tenths};
    use super::*;

    fn shelf() -> Shelf {
        gstreamer::init().unwrap();
        let shelf = Shelf::new(Duration::from_secs(600));
        fill(&shelf, (0..100).chain(150..200));
        shelf
    }

    fn played(asked: Span, wrongs: &[Misbehaviour]) -> (u32, u32, bool) {
        let programme = Programme::plan(&shelf(), asked, wrongs);
        let (first, last) = (programme.numbers.first().unwrap(), programme.numbers.last().unwrap());
        assert!(first.is_beginning);
        (first.unit.frame.counter, last.unit.frame.counter, last.is_end)
    }

    #[test]
    fn the_end_of_what_is_asked_for_is_not_the_end_of_what_is_kept() {
        assert_eq!(played(tenths(20, 40), &[]), (20, 39, false));
        assert_eq!(played(tenths(180, 300), &[]), (180, 199, true));
        assert_eq!(played(tenths(80, 140), &[]), (80, 99, true));
        assert_eq!(played(tenths(80, 100), &[]), (80, 99, true), "a hole begins there");
    }

    #[test]
    fn a_hole_inside_is_told_on_both_sides() {
        let programme = Programme::plan(&shelf(), tenths(90, 160), &[]);
        let ends: Vec<_> = programme.numbers.iter().filter(|it| it.is_end).collect();
        let begins: Vec<_> = programme.numbers.iter().filter(|it| it.is_beginning).collect();
        assert_eq!(ends.iter().map(|it| it.unit.frame.counter).collect::<Vec<_>>(), [99]);
        assert_eq!(
            begins.iter().map(|it| it.unit.frame.counter).collect::<Vec<_>>(),
            [90, 150]
        );
    }

    #[test]
    fn misbehaviour_bends_the_span() {
        let asked = tenths(20, 60);
        assert_eq!(played(asked, &[Misbehaviour::FirstHalf]), (20, 39, true));
        assert_eq!(played(asked, &[Misbehaviour::SecondHalf]), (40, 59, false));
        let more = Misbehaviour::TooMuch(Duration::from_secs(1));
        assert_eq!(played(asked, &[more]), (10, 69, false));
        assert_eq!(played(asked, &[Misbehaviour::OtherTime(3000)]), (50, 89, false));
        assert!(
            Programme::plan(&shelf(), asked, &[Misbehaviour::Nothing])
                .numbers
                .is_empty()
        );
        let breaks = |wrong| Programme::plan(&shelf(), asked, &[wrong]).breaks;
        assert_eq!(breaks(Misbehaviour::BreaksOff), Some((20, Break::Close)));
        assert_eq!(breaks(Misbehaviour::HangsHalfway), Some((20, Break::Hang)));
        assert_eq!(breaks(Misbehaviour::HangsAfterPlay), Some((0, Break::Hang)));
    }
}
