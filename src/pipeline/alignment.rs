//! Where a camera's sound lies beside its pictures: sound is moved, pictures never are.
//!
//! Each stream begins where its first packet came, which is off by whatever delayed that packet: some cameras send a
//! whole group of pictures at once, and the first packet of sound much later. Better is what the camera itself says. Its
//! sender reports tell for both streams when something was taken by one clock; they come after a few seconds. Until then
//! what comes together belongs together.

/// So much may lie between sound and pictures that come together. More is no jitter but a wrong time.
const MOST_APART: i64 = 2_000_000_000;
/// The same for the first packet, when nothing is known yet.
const MOST_APART_AT_FIRST: i64 = 100_000_000;
/// Nearer than this is not worth a step.
const NEAR: i64 = 30_000_000;

/// What is known of the pictures when a packet of sound comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pictures {
    /// Running time of the latest.
    pub(super) latest: i64,
    /// The camera's clock at running time zero, by the reports on the pictures.
    pub(super) zero: Option<i64>,
}

/// How far a camera's sound is moved.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    offset: i64,
    /// Pictures were there to compare with.
    compared: bool,
}

impl Alignment {
    /// When sound that came at the running time `at` is to be heard. `zero` is the camera's clock at running time zero by
    /// the reports on the sound.
    pub(super) fn place(&mut self, at: i64, zero: Option<i64>, pictures: Option<Pictures>) -> i64 {
        let Some(pictures) = pictures else {
            return at.saturating_add(self.offset);
        };
        let apart = |offset: i64| {
            at.saturating_add(offset)
                .saturating_sub(pictures.latest)
                .saturating_abs()
        };
        let said = zero
            .zip(pictures.zero)
            .map(|(sound, video)| sound.saturating_sub(video));
        // Cameras that run one clock for each stream exist; such reports are not believed.
        if let Some(said) = said.filter(|said| apart(*said) <= MOST_APART) {
            if said.saturating_sub(self.offset).saturating_abs() > NEAR {
                self.offset = said;
            }
        } else {
            let most = if self.compared { MOST_APART } else { MOST_APART_AT_FIRST };
            if apart(self.offset) > most {
                self.offset = pictures.latest.saturating_sub(at);
            }
        }
        self.compared = true;
        at.saturating_add(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn pictures(latest: i64, zero: Option<i64>) -> Option<Pictures> {
        Some(Pictures {
            latest: latest * MS,
            zero: zero.map(|zero| zero * MS),
        })
    }

    #[test]
    fn sound_stays_where_it_came_while_nothing_else_is_known() {
        let mut alignment = Alignment::default();
        assert_eq!(alignment.place(500 * MS, None, None), 500 * MS);
        assert_eq!(alignment.place(600 * MS, None, pictures(680, None)), 600 * MS);
        assert_eq!(
            alignment.place(700 * MS, None, pictures(2_600, None)),
            700 * MS,
            "the network stood still"
        );
    }

    #[test]
    fn a_first_group_of_pictures_sent_at_once_takes_the_sound_along() {
        let mut alignment = Alignment::default();
        assert_eq!(alignment.place(100 * MS, None, pictures(1_900, None)), 1_900 * MS);
        assert_eq!(alignment.place(200 * MS, None, pictures(2_000, None)), 2_000 * MS);
    }

    #[test]
    fn the_cameras_own_reports_are_exact_and_small_differences_are_left() {
        let mut alignment = Alignment::default();
        assert_eq!(alignment.place(100 * MS, None, pictures(120, None)), 100 * MS);
        assert_eq!(
            alignment.place(200 * MS, Some(1_080), pictures(220, None)),
            200 * MS,
            "one report alone says nothing"
        );
        let placed = alignment.place(200 * MS, Some(1_080 * MS), pictures(220, Some(1_000)));
        assert_eq!(placed, 280 * MS);
        let placed = alignment.place(300 * MS, Some(1_060 * MS), pictures(320, Some(1_000)));
        assert_eq!(placed, 380 * MS, "20 ms are not worth a step");
    }

    #[test]
    fn reports_of_two_clocks_are_not_believed() {
        let mut alignment = Alignment::default();
        let placed = alignment.place(200 * MS, Some(3_600_000 * MS), pictures(220, Some(0)));
        assert_eq!(placed, 200 * MS);
    }

    proptest! {
        #[test]
        fn sound_is_always_near_the_pictures_it_came_with(
            packets in proptest::collection::vec((any::<i64>(), any::<Option<i64>>(), any::<Option<i64>>()), 1..50)
        ) {
            let mut alignment = Alignment::default();
            for (step, (at, zero, video)) in (0i64..).zip(packets) {
                let latest = step * 40 * MS;
                let placed = alignment.place(at, zero, Some(Pictures { latest, zero: video }));
                prop_assert!(placed.abs_diff(latest) <= MOST_APART as u64);
            }
        }
    }
}
