//! Files on volumes: where they lie, whether they are there for certain, and how they say what they are.
//!
//! A volume is known by the id written on it, never by its path alone; a file counts only once it is durable; and every
//! segment's file says whose it is, so that the index can be rebuilt from the files. Nothing here deletes a file of a
//! person: what cannot be used is moved to the quarantine with a reason beside it.

mod arrival;
mod aside;
mod box_key;
mod boxes;
mod choosing;
mod copying;
mod durable;
mod emptying;
mod ending;
mod error;
mod fragments;
mod frames;
mod growing;
mod held;
mod holes;
mod identity;
mod inventory;
mod journal;
mod layout;
mod lock;
mod mirror_files;
mod mirror_writer;
mod open_file;
mod proofs;
mod reel;
mod reserve;
mod seal;
mod settings;
mod shelf;
mod space;
mod syncer;
mod tables;
mod tail_writer;
mod unit_reader;
mod volume;
mod volumes;

pub use arrival::UNFINISHED;
pub use box_key::{BoxKey, PublicKey};
pub use boxes::{FileShape, Movie};
pub use choosing::{is_readable, reading_order};
pub use copying::{CopyReader, NewCopy, Onto};
pub use durable::{Durable, make_durable, measure, read_small, sync_data, sync_directory, sync_whole, write_atomic};
pub use error::StorageError;
pub use frames::{Sample, TrackCoding, TrackTable};
pub use holes::{holes_left, holes_of};
pub use identity::Identity;
pub use inventory::{Files, FoundFile, find_tails};
pub use journal::{
    Anchor, Entry, JournalContents, JournalHeader, JournalReader, JournalWriter, TakesOver, Units, read_journal,
    shorten_journal,
};
pub use layout::{Place, QUARANTINE, TailPlace, quarantine_path, reason_path};
pub use lock::DaemonLock;
pub use mirror_writer::{MirrorLane, MirrorTold, MirrorWriter};
pub use open_file::look_at_open;
pub use reel::{
    HeadPlan, Laid, Piece, Reel, ReelReader, Showing, TrackKind, TrackPlan, aac_entry, opus_entry, picture_entry,
};
pub use reserve::Reserve;
pub use seal::SealKey;
pub use settings::{SavedCamera, Settings};
pub use shelf::{Draft, Shelf, plain_name};
pub use space::Space;
pub use syncer::{Complain, Syncer};
pub use tail_writer::{TailLane, TailWriter};
pub use unit_reader::UnitReader;
pub use volume::Volume;
pub use volumes::{BestOf, Finding, Unfound, Volumes};
