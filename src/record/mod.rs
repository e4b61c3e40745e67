//! Recording: one camera, one RTSP session, segments that join, and a plain word for every loss.

mod clockmap;
mod recorder;
mod state;

pub use recorder::Recorder;
