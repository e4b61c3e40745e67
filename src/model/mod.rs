//! Nouns. Pure types that every other room speaks: time, cameras, segments, gaps, volumes, faults.
//!
//! Nothing here reads a clock, a file or a socket, and nothing here imports from another room.

mod address;
mod bits;
mod camera;
mod chain;
mod clip;
mod counted;
pub mod coverage;
mod edge;
mod event;
mod fault;
mod fingerprint;
#[cfg(test)]
pub(crate) mod fixture;
mod gap;
mod health;
mod hold;
mod hole;
mod news;
mod parameter_sets;
mod picture;
mod reordering;
mod schedule;
mod seal;
mod segment;
mod stretch;
mod time;
mod unit;
mod volume;

pub use address::{Address, AddressError, Secret, scrub};
pub use bits::Bits;
pub use camera::{
    Camera, CameraId, CameraIdError, FieldError, RecordMode, RecordStream, TimeSource, Transport, Vendor,
};
pub use chain::ChainLink;
pub use clip::{Clip, ClipId, ClipMode, Job, JobId, JobState, Order};
pub use counted::counted;
pub use edge::{Edge, Edges};
pub use event::{Event, EventKind};
pub use fault::Fault;
pub use fingerprint::{Fingerprint, Hasher};
pub use gap::{Gap, GapCause, GapFate, GapId, KEPT_FROM};
pub use health::{CameraHealth, CameraState, Loss};
pub use hold::{Hold, HoldId, Incident};
pub use hole::{Hole, Pace, Pause, Pauses, covered_pieces};
pub use news::News;
pub use parameter_sets::{AvcConfig, HevcConfig, in_units};
pub use picture::Still;
pub use schedule::{Days, Schedule, ScheduleId};
pub use seal::Seal;
pub use segment::{
    CameraClock, ClockSource, Codec, Container, Origin, RunId, Segment, SegmentId, SegmentState, VideoFormat,
};
pub use stretch::{SEAM, Stretch, join};
pub use time::{Span, TimeError, Timestamp};
pub use unit::{Track, TrackCaps, Unit};
pub use volume::{Copy, CopyState, VolumeId, VolumeRole};
