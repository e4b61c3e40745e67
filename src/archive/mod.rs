//! What cameras keep themselves: whether they have footage of a span, how to have it played, and how their clocks stand.
//!
//! Four forms stand behind one trait: ONVIF Profile G, Hikvision, Dahua, and a template that a person wrote. Calls block, for
//! seconds at most, so they belong on a thread that may wait. What a camera answers is not trusted: answers are limited in
//! size, depth and time, and nothing in them leads to another host.

mod by_url;
mod choose;
mod digest;
mod error;
mod history;
mod keeping;
mod line;
mod narrowing;
mod offset;
mod profile_g;
mod recordings;
mod rtsp_date;
mod soap;
mod telling;
mod template;
#[cfg(test)]
mod tests;
mod xml;

pub use choose::{Surroundings, archive_of};
pub use error::{ArchiveError, NoArchive};
pub use keeping::{Archive, Holdings, Replay};
pub use offset::{ClockOffset, LocalTime, ToldBy};
pub use template::{Template, TemplateError};
