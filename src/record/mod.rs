//! Recording: one camera, one RTSP session, segments that join, and a plain word for every loss.

mod clockmap;
mod closing;
mod driver;
mod feed;
mod piece;
mod recorder;
mod run;
mod session;
mod setting;
mod showing;
mod state;
mod telling;

pub use recorder::Recorder;
pub use setting::{Setting, Suspects};
