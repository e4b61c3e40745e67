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
                loss: loss_of(&error),
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
    let path = || {
        let said = structure.get::<Option<String>>("location").ok().flatten();
        said.or_else(|| location_in(structure)).map(PathBuf::from)
    };
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

/// Where the file lies that a sink of several elements writes: splitmuxsink asks the whole of them, which does not know. Heard
/// where it is said, it is the file that is meant.
fn location_in(structure: &gst::StructureRef) -> Option<String> {
    let sink = structure.get::<gst::Element>("sink").ok()?;
    let parts = sink.downcast::<gst::Bin>().ok()?.iterate_sinks();
    let mut files = parts.into_iter().flatten().filter(|part| part.has_property("location"));
    files.next()?.property::<Option<String>>("location")
}

/// Which loss an error behind the camera's is: the disk, or what came cannot be used.
fn loss_of(error: &gst::glib::Error) -> Loss {
    match error.kind::<gst::ResourceError>() {
        Some(gst::ResourceError::NoSpaceLeft) => Loss::VolumeFull,
        Some(_) => Loss::VolumeLost,
        None => Loss::Broken,
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

/// Packets of pictures that never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// How many.
    pub packets: u64,
    /// When the picture is shown of which a packet came next (running time, ns), where that is known.
    pub before: Option<i64>,
    /// How many of them count as that picture's; the others count as of what comes before it.
    pub own: u64,
}
