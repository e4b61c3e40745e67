//! What ONVIF's answers say: where services are, and which recordings there are.

use chrono::{DateTime, NaiveDateTime};

use crate::model::{Span, Timestamp};

use super::profile_g::{REPLAY_SPACE, SEARCH_SPACE};
use super::xml::Element;

/// One recording, and of which time it has pictures, by the camera's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) token: String,
    pub(super) source: String,
    /// Its tracks with pictures, where it names tracks.
    pub(super) video: Vec<String>,
    pub(super) span: Span,
}

/// Search and replay in an answer to GetServices.
pub(super) fn by_services(answer: &Element) -> Option<(String, String)> {
    let of = |space: &str| {
        let mut services = answer.all("Service");
        let is_it = |service: &&Element| service.text_at(&["Namespace"]) == Some(space);
        services.find(is_it)?.text_at(&["XAddr"]).map(str::to_owned)
    };
    Some((of(SEARCH_SPACE)?, of(REPLAY_SPACE)?))
}

/// The same in an answer to GetCapabilities.
pub(super) fn by_capabilities(answer: &Element) -> Option<(String, String)> {
    let of = |name: &str| {
        let address = answer.text_at(&["Capabilities", "Extension", name, "XAddr"]);
        address.map(str::to_owned)
    };
    Some((of("Search")?, of("Replay")?))
}

/// What one of the things that were found is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    /// A recording with pictures.
    Recording(Recording),
    /// It does not say of which time it is.
    Undated(String),
    /// No recording, or one without pictures.
    Other,
}

/// Reads what a search found.
pub(super) fn read_recording(told: &Element, now: Timestamp) -> Read {
    let Some(token) = told.text_at(&["RecordingToken"]) else {
        return Read::Other;
    };
    let tracks: Vec<&Element> = told.all("Track").collect();
    let of_video = |track: &&&Element| track.text_at(&["TrackType"]) == Some("Video");
    if !tracks.is_empty() && !tracks.iter().any(|track| of_video(&track)) {
        return Read::Other;
    }
    let when = |element: &Element, name: &str| element.text_at(&[name]).and_then(read_moment);
    let of_track = |track: &&Element| Some((when(track, "DataFrom")?, when(track, "DataTo")?));
    let dated = tracks.iter().filter(of_video).filter_map(of_track);
    let dated = dated.reduce(|(from, to), (other, till)| (from.min(other), to.max(till)));
    let whole = || Some((when(told, "EarliestRecording")?, when(told, "LatestRecording")?));
    let Some((start, mut end)) = dated.or_else(whole) else {
        return Read::Undated(token.to_owned());
    };
    if told.text_at(&["RecordingStatus"]) == Some("Recording") {
        // It goes on; some name the time at which they looked last.
        end = end.max(now);
    }
    let source = told
        .text_at(&["Source", "SourceId"])
        .or(told.text_at(&["Source", "Name"]));
    let video = tracks
        .iter()
        .filter(of_video)
        .filter_map(|track| track.text_at(&["TrackToken"]));
    Read::Recording(Recording {
        token: token.to_owned(),
        source: source.unwrap_or_default().to_owned(),
        video: video.map(str::to_owned).collect(),
        span: Span::new(start, end),
    })
}

/// A moment as XML Schema writes it. One without a zone is UTC.
pub(super) fn read_moment(text: &str) -> Option<Timestamp> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.naive_utc());
    let time = zoned
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f"))
        .ok()?;
    time.and_utc().timestamp_nanos_opt().map(Timestamp::from_nanos)
}
