//! A second opinion on a file: what GStreamer's own discoverer, which knows nothing of how we wrote it, makes of it.

use std::path::Path;
use std::time::Duration;

use gstreamer as gst;
use gstreamer_pbutils::{Discoverer, DiscovererResult};

use super::error::PipelineError;
use super::launch::init;

/// What a player would find in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovery {
    /// Width of the pictures in pixels.
    pub width: u32,
    /// Height of the pictures in pixels.
    pub height: u32,
    /// How long it plays.
    pub duration: Duration,
    /// How many sound tracks it has.
    pub sounds: usize,
}

/// Looks into a file as a player would. Waits, for at most the deadline.
pub fn discover(path: &Path, deadline: Duration) -> Result<Discovery, PipelineError> {
    init()?;
    let failed = |reason: &str| PipelineError::Failed {
        name: "discover".to_owned(),
        reason: format!("{}: {reason}", path.display()),
    };
    let timeout = gst::ClockTime::try_from(deadline).map_err(|_| failed("no such deadline"))?;
    let discoverer = Discoverer::new(timeout).map_err(|error| failed(error.message()))?;
    // The directory of the recordings may be given from where camkeep was started, and a URI cannot.
    let whole = std::path::absolute(path).map_err(|error| failed(&error.to_string()))?;
    let uri = gst::glib::filename_to_uri(&whole, None).map_err(|error| failed(error.message()))?;
    let found = discoverer.discover_uri(&uri).map_err(|error| failed(error.message()))?;
    match found.result() {
        // What lacks is a decoder, which says nothing about the file.
        DiscovererResult::Ok | DiscovererResult::MissingPlugins => {}
        DiscovererResult::Timeout => {
            return Err(PipelineError::Deadline {
                name: "discover".to_owned(),
                after: deadline,
            });
        }
        other => return Err(failed(&format!("a player cannot read it ({other:?})"))),
    }
    let pictures = found.video_streams();
    let pictures = pictures
        .first()
        .ok_or_else(|| failed("a player finds no pictures in it"))?;
    Ok(Discovery {
        width: pictures.width(),
        height: pictures.height(),
        duration: found.duration().map_or(Duration::ZERO, Duration::from),
        sounds: found.audio_streams().len(),
    })
}
