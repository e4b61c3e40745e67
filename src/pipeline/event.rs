//! What a pipeline says, as our own typed events; scrubbed of credentials.

use std::path::PathBuf;

use gst::prelude::*;
use gstreamer as gst;

use crate::model::{Loss, scrub};

/// One thing that a pipeline said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipelineEvent {
    /// splitmuxsink opened a file.
    FragmentOpened {
        /// The file.
        path: PathBuf,
        /// Running time of its first frame, ns.
        running_time: u64,
    },
    /// splitmuxsink closed a file: all of its bytes are written.
    FragmentClosed {
        /// The file.
        path: PathBuf,
        /// Running time of the start of its last frame, ns.
        running_time: u64,
    },
    /// It cannot go on.
    Error {
        /// Which loss this is.
        loss: Loss,
        /// Whether writing failed, so that the camera is not to blame.
        element: String,
        /// What happened, for a person.
        message: String,
    },
    /// Something is odd.
    Warning {
        /// Which element said so.
        element: String,
        /// What, for a person.
        message: String,
    },
    /// The stream ended.
    Ended,
    /// The pipeline as a whole changed its state.
    State(&'static str),
    /// How far the conversation with a camera is.
    Progress(String),
}

/// Reads a bus message; nothing for those that nobody needs.
pub(super) fn read(message: &gst::Message) -> Option<PipelineEvent> {
    use gst::MessageView;
    let element = || {
        message
            .src()
            .map(|source| source.name().to_string())
            .unwrap_or_default()
    };
    match message.view() {
        MessageView::Element(view) => fragment(view.structure()?),
        MessageView::Error(view) => {
            let (error, debug) = (view.error(), view.debug().unwrap_or_default());
            let message = scrub(&format!("{} ({})", error.message(), last_line(&debug)));
            Some(PipelineEvent::Error {
                loss: loss_of(&error, &debug),
                element: element(),
                message,
            })
        }
        MessageView::Warning(view) => {
            let debug = view.debug().unwrap_or_default();
            let message = scrub(&format!("{} ({})", view.error().message(), last_line(&debug)));
            Some(PipelineEvent::Warning {
                element: element(),
                message,
            })
        }
        MessageView::Eos(_) => Some(PipelineEvent::Ended),
        MessageView::StateChanged(view) if message.src().is_some_and(|source| source.is::<gst::Pipeline>()) => {
            Some(PipelineEvent::State(state_name(view.current())))
        }
        MessageView::Progress(view) => {
            let (_, code, text) = view.get();
            Some(PipelineEvent::Progress(scrub(&format!("{code}: {text}"))))
        }
        _ => None,
    }
}

/// The word for a state.
pub(super) fn state_name(state: gst::State) -> &'static str {
    match state {
        gst::State::Null => "null",
        gst::State::Ready => "ready",
        gst::State::Paused => "paused",
        gst::State::Playing => "playing",
        _ => "pending",
    }
}

fn last_line(debug: &str) -> &str {
    debug.lines().last().unwrap_or_default().trim()
}

fn fragment(structure: &gst::StructureRef) -> Option<PipelineEvent> {
    let path = || structure.get::<String>("location").ok().map(PathBuf::from);
    let running_time = || structure.get::<u64>("running-time").unwrap_or_default();
    match structure.name().as_str() {
        "splitmuxsink-fragment-opened" => Some(PipelineEvent::FragmentOpened {
            path: path()?,
            running_time: running_time(),
        }),
        "splitmuxsink-fragment-closed" => Some(PipelineEvent::FragmentClosed {
            path: path()?,
            running_time: running_time(),
        }),
        _ => None,
    }
}

/// Which loss an error is. GStreamer's own kinds are few, so the text of an RTSP answer decides between them.
fn loss_of(error: &gst::glib::Error, debug: &str) -> Loss {
    if let Some(kind) = error.kind::<gst::ResourceError>() {
        return match kind {
            gst::ResourceError::NotAuthorized => Loss::Unauthorised,
            gst::ResourceError::NoSpaceLeft => Loss::VolumeFull,
            gst::ResourceError::NotFound => Loss::Refused,
            gst::ResourceError::Write | gst::ResourceError::OpenWrite | gst::ResourceError::Sync => Loss::VolumeLost,
            _ => connection_loss(&format!("{} {debug}", error.message())),
        };
    }
    Loss::Broken
}

fn connection_loss(text: &str) -> Loss {
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["unauthorized", "(401)", "forbidden", "(403)"]) {
        Loss::Unauthorised
    } else if says(&["connection refused"]) {
        Loss::Refused
    } else if says(&[
        "timeout",
        "timed out",
        "no route",
        "unreachable",
        "could not resolve",
        "resolve host",
        "error resolving",
        "name or service",
    ]) {
        Loss::Unreachable
    } else if says(&["parse error", "invalid", "garbage"]) {
        Loss::Broken
    } else if says(&["not found", "(404)", "(4", "(5", "bad request", "unhandled error"]) {
        Loss::Refused
    } else {
        Loss::Unreachable
    }
}

impl std::fmt::Display for PipelineEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |nanos: &u64| format!("{:.3} s", std::time::Duration::from_nanos(*nanos).as_secs_f64());
        match self {
            Self::FragmentOpened { path, running_time } => {
                write!(f, "fragment-opened at {} {}", seconds(running_time), path.display())
            }
            Self::FragmentClosed { path, running_time } => {
                write!(f, "fragment-closed at {} {}", seconds(running_time), path.display())
            }
            Self::Error { loss, element, message } => write!(f, "error {loss} from {element}: {message}"),
            Self::Warning { element, message } => write!(f, "warning from {element}: {message}"),
            Self::Ended => f.write_str("ended"),
            Self::State(state) => write!(f, "state {state}"),
            Self::Progress(text) => write!(f, "progress {text}"),
        }
    }
}
