//! Shapes on the wire: what clients send and see. Field names are promises.

mod camera;
mod clip;
mod footage;
mod hold;
mod removed;
mod schedule;

pub use camera::CAMERA_FIELDS;
pub(super) use camera::{CameraShown, change_camera, ignore_answers};
pub(super) use clip::{ClipShown, JobShown};
pub(super) use footage::{
    CoverageShown, DayShown, EventShown, GapShown, KeptGapShown, LaneShown, SegmentShown, TimelineShown,
};
pub(super) use hold::{HoldShown, IncidentShown};
pub(super) use removed::{RemovedCameraShown, RemovedShown};
pub(super) use schedule::{ScheduleShown, change_schedule, fresh_schedule};
