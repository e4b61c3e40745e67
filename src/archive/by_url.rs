//! Archives whose replay is a URL with the span in it: Hikvision's, Dahua's, and those that a person describes.
//!
//! They cannot be asked what they have. What they are asked for is wider than what is wanted: by what is not known of the
//! camera's clock, and outward to whole seconds, which is all that these URLs can say.

use chrono_tz::Tz;

use crate::model::Span;

use super::error::ArchiveError;
use super::keeping::{Archive, Holdings, Replay};
use super::line::Line;
use super::offset::ClockOffset;
use super::telling;
use super::template::Template;

/// Hikvision's rule. The first stream of a channel is the one that is kept.
pub(super) const HIKVISION: &str = "/Streaming/tracks/{channel}01?starttime={start}&endtime={end}";
/// Dahua's rule, in the camera's local time.
pub(super) const DAHUA: &str =
    "/cam/playback?channel={channel}&starttime={start:local:%Y_%m_%d_%H_%M_%S}&endtime={end:local:%Y_%m_%d_%H_%M_%S}";

/// Such an archive.
#[derive(Debug)]
pub(super) struct UrlArchive {
    pub(super) line: Line,
    pub(super) template: Template,
    pub(super) channel: u32,
    pub(super) zone: Tz,
    pub(super) is_dahua: bool,
}

impl Archive for UrlArchive {
    fn find(&self, _span: Span, _clock: &ClockOffset) -> Result<Holdings, ArchiveError> {
        Ok(Holdings::Unknown)
    }

    fn replay(&self, span: Span, clock: &ClockOffset) -> Result<Replay, ArchiveError> {
        let asked = self.template.widened(clock.asking(span));
        let address = self
            .template
            .fill(asked, clock.local, self.channel)
            .map_err(|error| ArchiveError::Unsupported(format!("no replay can be asked for: {error}")))?;
        Ok(Replay {
            address: address.with_credentials(self.line.username.as_deref(), self.line.password.as_ref()),
            asked,
            range: false,
            onvif: false,
            faster: false,
            clock: *clock,
        })
    }

    fn clock(&self) -> Result<ClockOffset, ArchiveError> {
        telling::clock(&self.line, self.zone, self.is_dahua)
    }
}
