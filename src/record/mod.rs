//! Recording: one camera, one RTSP session, segments that join, and a plain word for every loss.

mod clockmap;
mod driver;
mod piece;
mod recorder;
mod run;
mod setting;
mod state;

pub use recorder::Recorder;
pub use setting::Setting;
