//! Packets that never came, and which segment lacks them.

use std::collections::VecDeque;

use crate::model::{Track, Unit};
use crate::pipeline::Missing;

use super::run::Inner;

/// So many losses are remembered of units that are held and not written; older ones are forgotten with their units.
const MOST: usize = 4096;

/// Losses of one run that are not in a segment yet, in the order in which they were noticed.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Before which picture, by the stream's own times: it has not come.
    fresh: VecDeque<Missing>,
    /// The same by the times that pictures are given.
    noted: VecDeque<Missing>,
}

impl Damage {
    /// These are missing.
    pub(super) fn lose(&mut self, missing: Missing) {
        push(&mut self.fresh, missing);
    }

    /// The picture of this time of the stream's own is given another: so is what is missing up to it.
    pub(super) fn place(&mut self, pts: i64, shown: i64) {
        while let Some(missing) = self
            .fresh
            .pop_front_if(|missing| missing.before.is_none_or(|at| at <= pts))
        {
            let is_its_own = missing.before == Some(pts);
            // Of a picture that never came nobody knows which time it would have been given.
            let before = if is_its_own { shown } else { shown - 1 };
            push(
                &mut self.noted,
                Missing {
                    before: Some(before),
                    ..missing
                },
            );
        }
    }

    /// A unit is written: what is missing up to it that no segment has been told of.
    pub(super) fn take(&mut self, pts: i64) -> Lost {
        let mut lost = Lost::default();
        // Units come in the order of decoding, so those of one moment's losses lie together.
        while let Some(missing) = self
            .noted
            .pop_front_if(|missing| missing.before.is_none_or(|at| at <= pts))
        {
            // Of a picture that never came there is no more to tell than that it is not there.
            let own = if missing.before == Some(pts) { missing.own } else { 0 };
            lost.own += own;
            lost.before += missing.packets - own;
        }
        lost
    }

    /// How many packets are missing that no segment has been told of.
    pub(super) fn take_all(&mut self) -> u64 {
        self.fresh
            .drain(..)
            .chain(self.noted.drain(..))
            .map(|missing| missing.packets)
            .sum()
    }

    /// Writing begins with this unit: what was lost before it is in no segment.
    pub(super) fn begin(&mut self, pts: i64) {
        self.noted.retain(|missing| missing.before.is_some_and(|at| at >= pts));
    }
}

fn push(missing: &mut VecDeque<Missing>, another: Missing) {
    if missing.len() == MOST {
        missing.pop_front();
    }
    missing.push_back(another);
}

/// Packets that are missing up to a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Of the unit itself.
    own: u64,
    /// Of what comes before it.
    before: u64,
}

impl Lost {
    pub(super) fn packets(&self) -> u64 {
        self.own + self.before
    }
}

impl Inner {
    /// A unit is written, and its segment is told what is missing up to it. Where it is the first one, what lacks at the end of
    /// the segment before is told of that one. How many lack in the unit's own segment.
    pub(super) fn tell_lost(&mut self, unit: &Unit) -> u64 {
        if unit.track != Track::Video {
            return 0;
        }
        let lost = self.damage.take(unit.pts);
        let mut pieces = self.pieces.iter_mut().rev();
        let Some(piece) = pieces.next() else { return 0 };
        let own = match pieces.next().filter(|_| piece.frames == 1) {
            Some(last) => {
                last.lost_packets += lost.before;
                lost.own
            }
            None => lost.packets(),
        };
        piece.lost_packets += own;
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(packets: u64, before: i64, own: u64) -> Missing {
        Missing {
            packets,
            before: Some(before),
            own,
        }
    }

    #[test]
    fn a_loss_goes_where_the_unit_goes_of_which_a_packet_came_next() {
        let mut damage = Damage::default();
        let lost = |own, before| Lost { own, before };
        assert_eq!(damage.take(0), lost(0, 0));
        // Noticed before the unit that was complete already has come.
        damage.lose(missing(2, 80, 1));
        damage.lose(missing(3, 80, 3));
        damage.place(40, 1040);
        assert_eq!(damage.take(1040), lost(0, 0));
        damage.place(80, 1080);
        assert_eq!(damage.take(1080), lost(4, 1));
        damage.lose(missing(1, 120, 1));
        damage.place(160, 1160);
        assert_eq!(damage.take(1160), lost(0, 1), "the picture that they are of never came");
        damage.lose(Missing {
            before: None,
            ..missing(1, 0, 0)
        });
        damage.place(200, 1200);
        assert_eq!(damage.take(1200), lost(0, 1));
        damage.lose(missing(2, 240, 2));
        assert_eq!((damage.take_all(), damage.take_all()), (2, 0));
    }

    #[test]
    fn what_was_lost_before_writing_began_is_in_no_segment() {
        let mut damage = Damage::default();
        for pts in 0..10_000 {
            damage.lose(missing(1, pts, 1));
            damage.place(pts, pts);
        }
        assert_eq!(damage.noted.len(), MOST);
        damage.begin(9_990);
        assert_eq!(damage.take(9_999).packets(), 10);
    }
}
