//! The API as a client meets it: over a real socket.

mod cameras;
mod clips;
mod desk;
mod footage;
mod holds;
mod media;
mod metrics;
mod mirror;
mod modes;
mod slow;
mod storage;
mod strangers;
mod system;
