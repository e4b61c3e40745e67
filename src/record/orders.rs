//! What a camera's recording is told, and what it orders.

use crate::model::Loss;

/// How much of a camera is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing: it is not even connected to.
    Nothing,
    /// The last while in memory, in case that something happens.
    Memory,
    /// Footage.
    Footage,
}

/// What may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// A person, a schedule or an event wants this much of it.
    Wanted(Wish),
    /// Settings changed in a way that needs a new run.
    Renew,
    /// Anything came from the camera.
    Heard,
    /// The first frame of the run came.
    FirstFrame,
    /// What was written is at its end: from here on frames are only held.
    Held,
    /// The run failed.
    Lost(Loss, String),
    /// The run ended for our own reasons and another shall begin at once, as when the codec was another.
    Again,
    /// The first frame of the run beside came.
    BesideCame,
    /// The run beside failed.
    BesideLost,
    /// The run beside has to be begun anew, as when the codec was another.
    BesideAgain,
    /// The two runs have agreed on the frame at which one takes over from the other.
    TakenOver,
    /// A run that was ended is down.
    Down,
    /// The camera's port was tried: whether it is open.
    Knocked(bool),
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Begin a run, which writes if footage is wanted and else only holds.
    Begin,
    /// The run writes from now on.
    Write,
    /// The run ends what it writes and only holds from now on.
    Hold,
    /// Take the run down, closing its files.
    End,
    /// Say that the camera is lost, and why.
    Report(Loss, String),
    /// Say that the camera is tried seldom, and why.
    HeldUp(String),
    /// Say that footage is missing from here on because settings changed.
    Break,
    /// Begin a run beside the one that is on, to take over from it.
    BeginBeside,
    /// Take the run beside down.
    DropBeside,
    /// The run beside is the one that is on; take the other down.
    TakeOver,
    /// Try the camera's port, and tell whether it is open.
    Knock,
}
