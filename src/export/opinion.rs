//! A second opinion on a clip that is written, from a reader that knows nothing of how it was made.

use std::path::Path;
use std::time::Duration;

use crate::pipeline::discover;

use super::plan::Part;

/// Longer clips are not looked at again: a player's first look at one takes as long as its index is.
const MOST_FRAMES: u64 = 60_000;
/// So long it may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Players count in steps of their own.
const NEARLY: Duration = Duration::from_millis(100);

/// What GStreamer's discoverer finds in a finished clip that is not as it was laid out; nothing when all is. Waits.
pub fn second_opinion(part: &Part, file: &Path) -> Option<String> {
    if part.frames + part.lead_in > MOST_FRAMES {
        return None;
    }
    let found = match discover(file, DEADLINE) {
        Ok(found) => found,
        Err(error) => return Some(error.to_string()),
    };
    let sounds = usize::from(part.has_audio);
    if (found.width, found.height) != (part.format.width, part.format.height) || found.sounds != sounds {
        return Some(format!(
            "{}x{} and {} tracks of sound instead of {}x{} and {sounds}",
            found.width, found.height, found.sounds, part.format.width, part.format.height
        ));
    }
    (found.duration.abs_diff(part.covered) > NEARLY).then(|| {
        let (found, laid) = (found.duration.as_secs_f64(), part.covered.as_secs_f64());
        format!("it plays for {found:.3} s instead of {laid:.3} s")
    })
}
