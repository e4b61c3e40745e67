//! Recording: one camera, one RTSP session, segments that join, and a plain word for every loss.

mod absence;
mod aiming;
mod calendar;
mod clockmap;
mod closing;
mod connecting;
mod damage;
mod door;
mod driver;
mod edge;
mod feed;
mod group;
mod handing;
mod intent;
mod orders;
mod piece;
mod placing;
mod recorder;
mod relay;
mod renewal;
mod run;
mod runs;
mod session;
mod setting;
mod showing;
mod state;
mod tail;
mod telling;
mod ticks;
mod trial;

pub use absence::{Left, divide_absence, explain_absence};
pub use intent::{Cause, Refusal, Triggered};
pub use recorder::Recorder;
pub use setting::{Setting, Suspects};
pub use tail::{Followed, Follower, Looks, Part, Tail};
pub use trial::Trial;
