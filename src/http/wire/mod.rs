//! Shapes on the wire: what clients send and see. Field names are promises.

mod camera;
mod footage;

pub use camera::CAMERA_FIELDS;
pub(super) use camera::{CameraShown, change_camera, ignore_answers};
pub(super) use footage::{
    CoverageShown, DayShown, EventShown, GapShown, KeptGapShown, LaneShown, SegmentShown, TimelineShown, is_readable,
};
