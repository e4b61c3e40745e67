//! Recording: one camera, one RTSP session, segments that join, and a plain word for every loss.

mod recorder;

pub use recorder::Recorder;
