//! Packets that never came, and which segment lacks them.

use std::collections::VecDeque;

use crate::model::{Track, Unit};

use super::run::Inner;

/// So many losses are remembered of units that are held and not written; older ones are forgotten with their units.
const MOST: usize = 4096;

/// Losses of one run that are not in a segment yet.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Lost since the last unit came.
    fresh: u64,
    /// Running time of the unit that came after each loss, and how many packets that was.
    noted: VecDeque<(i64, u64)>,
}

impl Damage {
    /// So many packets are missing before the next that comes.
    pub(super) fn lose(&mut self, packets: u64) {
        self.fresh = self.fresh.saturating_add(packets);
    }

    /// What came is kept nowhere, and neither is what was lost before it.
    pub(super) fn forget(&mut self) {
        self.fresh = 0;
    }

    /// A unit has come, and what was lost before it goes where it goes.
    pub(super) fn came(&mut self, pts: i64) {
        if self.fresh > 0 {
            if self.noted.len() == MOST {
                self.noted.pop_front();
            }
            self.noted.push_back((pts, std::mem::take(&mut self.fresh)));
        }
    }

    /// A unit is written: how many packets are missing up to it that no segment has been told of.
    pub(super) fn take(&mut self, pts: i64) -> u64 {
        let mut lost = 0;
        // Units come in the order of decoding, so those of one moment's losses lie together.
        while let Some((at, packets)) = self.noted.front().copied()
            && at <= pts
        {
            self.noted.pop_front();
            lost += packets;
        }
        lost
    }

    /// Writing begins with this unit: what was lost before it is in no segment.
    pub(super) fn begin(&mut self, pts: i64) {
        self.noted.retain(|(at, _)| *at >= pts);
    }
}

impl Inner {
    /// A unit is written, and the segment that it goes into is told what is missing before it.
    pub(super) fn tell_lost(&mut self, unit: &Unit) {
        if unit.track != Track::Video {
            return;
        }
        let lost = self.damage.take(unit.pts);
        if let Some(piece) = self.pieces.back_mut() {
            piece.lost_packets += lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_goes_where_the_unit_after_it_goes() {
        let mut damage = Damage::default();
        damage.came(0);
        damage.lose(2);
        damage.lose(3);
        damage.came(40);
        damage.came(80);
        assert_eq!((damage.take(0), damage.take(40), damage.take(80)), (0, 5, 0));
        damage.lose(1);
        assert_eq!(damage.take(120), 0, "the unit after it has not come");
        damage.came(160);
        assert_eq!(
            damage.take(200),
            1,
            "told with the next that is written if its own was not"
        );
    }

    #[test]
    fn what_was_lost_before_writing_began_is_in_no_segment() {
        let mut damage = Damage::default();
        for pts in 0..10_000 {
            damage.lose(1);
            damage.came(pts);
        }
        assert_eq!(damage.noted.len(), MOST);
        damage.begin(9_990);
        assert_eq!(damage.take(9_999), 10);
    }
}
