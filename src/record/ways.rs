//! Which transport a camera is asked for that may be asked for either. Pure.
//!
//! What worked last is tried first, and what did not work is followed by the other. While nobody is at the camera's port no
//! transport is to blame, so that a camera that was away is asked at once for what it is known to serve.

use crate::model::Transport;

/// What is known of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ways {
    /// What worked last was by datagrams.
    by_datagrams: bool,
    /// The next try is by the other one.
    is_other: bool,
}

impl Ways {
    /// By which it is asked now, when this is its setting.
    pub(super) fn next(self, setting: Transport) -> Transport {
        match setting {
            Transport::Auto if self.by_datagrams != self.is_other => Transport::Udp,
            Transport::Auto => Transport::Tcp,
            known => known,
        }
    }

    /// Frames came.
    pub(super) fn worked(&mut self) {
        self.by_datagrams ^= self.is_other;
        self.is_other = false;
    }

    /// Nothing came.
    pub(super) fn failed(&mut self) {
        self.is_other = !self.is_other;
    }

    /// Nobody is at the camera's port.
    pub(super) fn is_away(&mut self) {
        self.is_other = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(ways: &mut Ways, count: usize) -> Vec<Transport> {
        let fails = |_| {
            let tried = ways.next(Transport::Auto);
            ways.failed();
            tried
        };
        (0..count).map(fails).collect()
    }

    #[test]
    fn what_worked_is_tried_first_and_what_does_not_work_is_not_tried_twice_in_a_row() {
        use Transport::{Tcp, Udp};
        let mut ways = Ways::default();
        assert_eq!(tries(&mut ways, 3), [Tcp, Udp, Tcp]);
        assert_eq!(ways.next(Transport::Auto), Udp);
        ways.worked();
        assert_eq!(tries(&mut ways, 3), [Udp, Tcp, Udp]);
        // It was away for some tries, whichever of them was the last.
        ways.is_away();
        assert_eq!(tries(&mut ways, 2), [Udp, Tcp]);
        assert_eq!((ways.next(Tcp), ways.next(Udp)), (Tcp, Udp), "a setting is a setting");
    }
}
