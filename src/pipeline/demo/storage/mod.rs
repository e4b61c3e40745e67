//! The storage of a demo camera: what it keeps of what it sees, and the ways in which others ask for it.
//!
//! It is made to judge a recorder that fetches what it missed, so it is exact about time, and it can be told to do wrong
//! what cameras do wrong. That is why its servers are written by hand on plain sockets: gst-rtsp-server, which serves the live
//! view, dates what it sends by its own clock and has no way to break off, to hang, or to play what was not asked for.

mod clock;
mod conduct;
mod crowd;
mod description;
mod door;
mod encoding;
mod form;
mod login;
mod message;
mod options;
mod packets;
mod player;
mod programme;
mod reception;
mod service;
mod session;
mod shelf;
mod soap;
mod vault;
mod warehouse;
mod xml;

pub(super) use clock::CameraClock;
pub(super) use encoding::{Encoding, encoded_caps};
pub(super) use shelf::{Shelf, Unit};

pub use conduct::Misbehaviour;
pub use options::{ReportTimes, Speed, StorageOptions};
pub use warehouse::Storage;
