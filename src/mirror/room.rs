//! Room on the mirror: what retention leaves it, and asking for more.

use std::time::Duration;

use super::desk::Desk;
use super::plan::Wanted;
use crate::model::Timestamp;

/// How often room is asked for, while there is none.
const AGAIN: Duration = Duration::from_secs(2);

impl Desk {
    /// Follows what retention says.
    pub(super) fn follow(&mut self) {
        let Some(limits) = self.shared.take_limits() else {
            return;
        };
        let now = self.instant();
        if limits.is_changed {
            // What is held and owed is known of the index alone.
            (self.recount_at, self.count_at) = (now, now);
        }
        if let Some(start) = limits.let_go.filter(|start| *start > self.horizon) {
            self.horizon = start;
            self.keep_horizon();
        }
        self.standing.limit(self.setting.clock.now(), limits.problem.as_deref());
        self.limits = Some(limits);
    }

    /// What is due has no room: what is older is asked to give way.
    pub(super) fn want_room(&mut self, wanted: Wanted) {
        self.full_until = Some(self.instant().plus(AGAIN));
        (self.setting.make_room)(Some((wanted.start, wanted.size_bytes)));
        if self.limits.as_ref().is_some_and(|limits| limits.is_stuck) {
            let reason = "no room is left on it, and what it holds may not go: it is read, held as evidence, or the last copy; \
                          give it a larger disk, or raise max_gb";
            let told = self.standing.miss(self.now(), reason);
            self.tell(told);
        }
    }

    /// Where there is room again, nothing is too old for it: what was passed over is owed again.
    pub(super) fn forget_horizon_when_roomy(&mut self) {
        let room = self.room();
        if self.horizon > Timestamp::MIN && self.limits.as_ref().is_some_and(|limits| limits.is_roomy(room)) {
            self.horizon = Timestamp::MIN;
            self.keep_horizon();
        }
    }
}
