//! Where a camera's sound lies beside its pictures: sound is moved, pictures never are.
//!
//! Times of each stream count from its own first packet, and nobody but the camera knows how these lie to one another. It says so
//! in two ways. Its sender reports tell for both streams when something was taken by one clock, exactly, but after seconds or
//! never. Its answer to PLAY tells which ticks both streams have at one moment, before anything comes, and not all cameras are right
//! in that. Where neither is there, what comes together belongs together: the packets that were least late are compared.

/// So much may lie between sound and pictures that come together. More is no jitter but a wrong time.
const MOST_APART: i64 = 2_000_000_000;
/// The answer to PLAY may differ by so much from when things come: by what encoders keep of pictures and of sound.
const MOST_AMISS: i64 = 1_000_000_000;
/// Nearer than this is not worth a step.
const NEAR: i64 = 30_000_000;
/// A packet of sound is not longer.
const LONGEST: i64 = 500_000_000;

/// The moment that a camera's answer to PLAY names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// Running time of the stream at that moment.
    pub(super) at: i64,
    /// It is that of the first packet.
    pub(super) is_first: bool,
}

/// What is known of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Running time of what came last.
    latest: Option<i64>,
    /// By how much that came late which came least late, counted from when it begins.
    late: Option<i64>,
    /// From one packet to the next.
    step: Option<i64>,
    /// The camera's clock at running time zero, by its reports on this stream.
    pub(super) zero: Option<i64>,
    pub(super) begun: Option<Begun>,
}

impl Heard {
    /// Something of the running time `at` came when it was `now`.
    pub(super) fn came(&mut self, at: i64, now: i64) {
        let late = now.saturating_sub(at);
        self.late = Some(self.late.map_or(late, |least| least.min(late)));
        let step = self.latest.map(|latest| at.saturating_sub(latest));
        let step = step.filter(|step| (1..LONGEST).contains(step));
        self.step = step
            .map(|step| self.step.map_or(step, |least| least.min(step)))
            .or(self.step);
        // Pictures may come in another order than they are shown.
        let is_newer = self
            .latest
            .is_none_or(|latest| at > latest || latest.saturating_sub(at) > MOST_APART);
        if is_newer {
            self.latest = Some(at);
        }
    }
}

/// How far a camera's sound is moved.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    offset: i64,
    /// Pictures were there to compare with.
    compared: bool,
}

impl Alignment {
    /// Whether the camera itself has said how its sound lies to its pictures.
    pub(super) fn is_told(sound: &Heard, pictures: &Heard) -> bool {
        pictures.latest.is_some() && (reported(sound, pictures).is_some() || answered(sound, pictures).is_some())
    }

    /// When sound of the running time `at` is to be heard.
    pub(super) fn place(&mut self, at: i64, sound: &Heard, pictures: &Heard) -> i64 {
        let Some(latest) = pictures.latest else {
            return at.saturating_add(self.offset);
        };
        let apart = |offset: i64| at.saturating_add(offset).saturating_sub(latest).saturating_abs();
        // Cameras that run one clock for each stream exist; such reports are not believed.
        if let Some(said) = reported(sound, pictures).filter(|said| apart(*said) <= MOST_APART) {
            if said.saturating_sub(self.offset).saturating_abs() > NEAR {
                self.offset = said;
            }
        } else {
            if !self.compared {
                self.offset = answered(sound, pictures).unwrap_or_else(|| by_arrival(sound, pictures));
            }
            if apart(self.offset) > MOST_APART {
                self.offset = latest.saturating_sub(at);
            }
        }
        self.compared = true;
        at.saturating_add(self.offset)
    }
}

/// How far sound has to be moved by the camera's reports.
fn reported(sound: &Heard, pictures: &Heard) -> Option<i64> {
    let (sound, pictures) = sound.zero.zip(pictures.zero)?;
    Some(sound.saturating_sub(pictures))
}

/// By its answer to PLAY. One that names the first packets of both streams, whenever these were taken, says nothing.
fn answered(sound: &Heard, pictures: &Heard) -> Option<i64> {
    let (of_sound, of_pictures) = sound.begun.zip(pictures.begun)?;
    let said = of_pictures.at.saturating_sub(of_sound.at);
    let amiss = said.saturating_sub(by_arrival(sound, pictures)).saturating_abs();
    let is_said = !(of_sound.is_first && of_pictures.is_first);
    (is_said && amiss <= MOST_AMISS).then_some(said)
}

/// By when things come: a packet of sound does once all of it was heard.
fn by_arrival(sound: &Heard, pictures: &Heard) -> i64 {
    let ended = sound.late.unwrap_or(0).saturating_sub(sound.step.unwrap_or(0));
    ended.saturating_sub(pictures.late.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    /// A stream of which things came at these times, in milliseconds: their own, and by the clock.
    fn heard(came: &[(i64, i64)]) -> Heard {
        let mut heard = Heard::default();
        came.iter().for_each(|(at, now)| heard.came(at * MS, now * MS));
        heard
    }

    fn begun(at: i64, is_first: bool) -> Option<Begun> {
        Some(Begun { at: at * MS, is_first })
    }

    #[test]
    fn sound_stays_where_it_came_while_nothing_else_is_known() {
        let mut alignment = Alignment::default();
        let placed = alignment.place(500 * MS, &heard(&[(500, 500)]), &Heard::default());
        assert_eq!(placed, 500 * MS);
    }

    #[test]
    fn what_was_least_late_of_both_belongs_together_and_sound_comes_when_it_has_ended() {
        let mut alignment = Alignment::default();
        // Both counted from their first packet; the first ones were held up on the way.
        let pictures = heard(&[(0, 400), (40, 401), (80, 402), (120, 440), (160, 480)]);
        let sound = heard(&[(0, 600), (20, 601), (40, 602), (60, 603)]);
        // Pictures are 320 ms before the clock; a packet of sound that ended at 80 ms came at 603 ms.
        let moved = 603 - 80 - 320;
        assert_eq!(alignment.place(60 * MS, &sound, &pictures), (60 + moved) * MS);
        let later = heard(&[(0, 400), (1_500, 1_600)]);
        assert_eq!(
            alignment.place(80 * MS, &sound, &later),
            (80 + moved) * MS,
            "it stays there, whatever the network does"
        );
    }

    #[test]
    fn the_answer_to_play_is_believed_where_it_is_near_to_what_is_seen() {
        let place = |of_sound, of_pictures| {
            let sound = Heard {
                begun: of_sound,
                ..heard(&[(0, 700), (64, 764)])
            };
            let pictures = Heard {
                begun: of_pictures,
                ..heard(&[(0, 400), (600, 1_000)])
            };
            let mut alignment = Alignment::default();
            (
                alignment.place(0, &sound, &pictures) / MS,
                Alignment::is_told(&sound, &pictures),
            )
        };
        assert_eq!(place(begun(-160, false), begun(-20, false)), (140, true));
        assert_eq!(place(begun(-160, false), None), (236, false), "one alone says nothing");
        assert_eq!(place(begun(0, true), begun(0, true)), (236, false), "the first packets");
        assert_eq!(place(begun(0, true), begun(100, false)), (100, true));
        assert_eq!(place(begun(0, false), begun(40_000, false)), (236, false), "made up");
    }

    #[test]
    fn the_cameras_own_reports_are_exact_and_small_differences_are_left() {
        let mut alignment = Alignment::default();
        let mut sound = heard(&[(100, 100)]);
        let mut pictures = heard(&[(120, 100)]);
        let first = alignment.place(100 * MS, &sound, &pictures);
        sound.zero = Some(1_080 * MS);
        assert_eq!(
            alignment.place(100 * MS, &sound, &pictures),
            first,
            "one report alone says nothing"
        );
        pictures.zero = Some(1_000 * MS);
        assert_eq!(alignment.place(200 * MS, &sound, &pictures), 280 * MS);
        sound.zero = Some(1_060 * MS);
        assert_eq!(
            alignment.place(300 * MS, &sound, &pictures),
            380 * MS,
            "20 ms are not worth a step"
        );
    }

    #[test]
    fn reports_of_two_clocks_are_not_believed() {
        let mut alignment = Alignment::default();
        let sound = Heard {
            zero: Some(3_600_000 * MS),
            ..heard(&[(200, 200)])
        };
        let pictures = Heard {
            zero: Some(0),
            ..heard(&[(220, 220)])
        };
        assert_eq!(alignment.place(200 * MS, &sound, &pictures), 200 * MS);
    }

    proptest! {
        #[test]
        fn sound_is_always_near_the_pictures_it_came_with(
            packets in proptest::collection::vec(
                (any::<i64>(), any::<i64>(), any::<Option<i64>>(), any::<Option<i64>>(), any::<Option<(i64, i64)>>()), 1..50)
        ) {
            let (mut alignment, mut sound, mut pictures) = (Alignment::default(), Heard::default(), Heard::default());
            for (step, (at, now, zero, video, begun)) in (0i64..).zip(packets) {
                let latest = step * 40 * MS;
                pictures.came(latest, now);
                sound.came(at, now);
                (sound.zero, pictures.zero) = (zero, video);
                sound.begun = begun.map(|(at, _)| Begun { at, is_first: at % 2 == 0 });
                pictures.begun = begun.map(|(_, at)| Begun { at, is_first: at % 2 == 0 });
                let placed = alignment.place(at, &sound, &pictures);
                prop_assert!(placed.abs_diff(latest) <= MOST_APART as u64);
            }
        }
    }
}
