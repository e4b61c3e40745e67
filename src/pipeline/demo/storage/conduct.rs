//! How the storage behaves: well, unless it is told otherwise.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One thing that cameras do wrong when they are asked for what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Only the first half of what is asked for is there.
    FirstHalf,
    /// Only the second half of what is asked for is there.
    SecondHalf,
    /// It plays so much more on both sides, which overlaps what others have already.
    TooMuch(Duration),
    /// It plays other footage than asked for: so many milliseconds later, or earlier when less than nothing.
    OtherTime(i64),
    /// There is no footage: nothing is found, a plain URL is not found, and an ONVIF replay ends at once.
    Nothing,
    /// It agrees to play and ends at once, whatever the form.
    EndsAtOnce,
    /// What stands in its packets is noise.
    Garbage,
    /// It agrees to play, and no packet comes. The connection stays.
    HangsAfterPlay,
    /// It stops in the middle. The connection stays.
    HangsHalfway,
    /// It closes the connection in the middle.
    BreaksOff,
    /// It closes the connection behind the last picture, without a farewell.
    HangsUp,
    /// No replay is begun while somebody watches the live view: `453 Not Enough Bandwidth`.
    OneSessionOnly,
    /// No replay is begun at all: `503 Service Unavailable`.
    Busy,
    /// It plays in real time whatever it is asked for.
    RealTimeOnly,
    /// It never marks the end of its footage: no end bit and no RTCP BYE.
    NoFarewell,
}

/// What it was told to do wrong.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    wrongs: Mutex<Vec<Misbehaviour>>,
}

impl Conduct {
    pub(super) fn set(&self, wrongs: &[Misbehaviour]) {
        *self.wrongs.lock().unwrap_or_else(PoisonError::into_inner) = wrongs.to_vec();
    }

    /// What is wrong from now on. Taken once for each replay, so that a change does not split one.
    pub(super) fn wrongs(&self) -> Vec<Misbehaviour> {
        self.wrongs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn does(&self, wrong: Misbehaviour) -> bool {
        self.wrongs().contains(&wrong)
    }
}
