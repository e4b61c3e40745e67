//! What every archive can be asked.

use std::fmt::Debug;

use crate::model::{Address, Span};

use super::error::ArchiveError;
use super::offset::ClockOffset;

/// What one camera kept itself.
///
/// Calls block until the camera has answered or its time is over (some seconds a request, and few requests). The camera's clock
/// is the caller's to hold: it is measured once ([`Archive::clock`]), made better by what is known besides, and handed in.
pub trait Archive: Send + Sync + Debug {
    /// What the camera has of a span (in this box's time), and what it has is in this box's time too,
    /// as sure as the clock is. A camera that tells of no holes is taken to have none.
    fn find(&self, span: Span, clock: &ClockOffset) -> Result<Holdings, ArchiveError>;

    /// How to have a span (in this box's time) played.
    fn replay(&self, span: Span, clock: &ClockOffset) -> Result<Replay, ArchiveError>;

    /// How the camera's clock stands to this box's. Takes several requests, and up to some seconds.
    fn clock(&self) -> Result<ClockOffset, ArchiveError>;
}

/// What a camera says that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holdings {
    /// It cannot be asked; only a replay tells.
    Unknown,
    /// These spans, in order and apart. None at all is an answer too.
    Spans(Vec<Span>),
}

/// How to have a span played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Where, and as whom.
    pub address: Address,
    /// What is asked for, by the camera's clock: wider than what is wanted by what is not known of that clock, and by what
    /// the form cannot say (most count whole seconds).
    pub asked: Span,
    /// Whether `asked` goes into PLAY as `Range: clock=`; else the address says it.
    pub range: bool,
    /// Whether it is an ONVIF replay: `Require: onvif-replay`, `Rate-Control: no`, and a header extension with the time of
    /// each frame.
    pub onvif: bool,
    /// Whether it may come faster than it happened.
    pub faster: bool,
    /// The clock by which what comes is placed.
    pub clock: ClockOffset,
}
