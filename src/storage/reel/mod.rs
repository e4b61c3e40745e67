//! Reels: films that are laid out and not yet written.
//!
//! A reel is a head, which says where every frame is and when it is shown, and pieces of files that hold the frames
//! already. Nothing is copied before somebody reads it, any part of it can be read, and who reads it twice reads the same
//! bytes. It plays from its first byte on, because its index stands in front.

mod entry;
mod head;
mod roll;
mod track;

pub use entry::{aac_entry, opus_entry, picture_entry};
pub use head::HeadPlan;
pub use roll::{Piece, Reel, ReelReader};
pub use track::{Laid, Showing, TrackKind, TrackPlan};
