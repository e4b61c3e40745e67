//! One replay, received from its beginning to its end, or to where no more of it is wanted.

use std::sync::Arc;
use std::time::Duration;

use super::error::RefillError;
use super::means::Means;
use super::plan::time_for;
use super::spool::{Came, Ending, Progress, Spool};
use crate::archive::{ArchiveError, Replay};
use crate::model::{Camera, Codec, GapId, Loss, Span, Transport};
use crate::pipeline::{RefillSpec, Refilling, Replayed};
use crate::runtime::{Shutdown, pause};

/// A replay of which nothing comes for so long is over.
const IDLE: Duration = Duration::from_secs(10);
/// What comes is enough when it is so near to the end of what was asked for. Many cameras take seconds to say goodbye.
const NEARLY: Duration = Duration::from_millis(200);
/// What begins later than this behind what was asked for may be told wrongly.
const LATE: Duration = Duration::from_secs(2);
/// The same where nobody told when frames were taken, or what comes ends by the camera's word, and nothing more comes for this.
const QUIET: Duration = Duration::from_secs(1);
/// How often it is looked.
const STEP: Duration = Duration::from_millis(50);
/// How long a pipeline may take to come down.
const DOWN: Duration = Duration::from_secs(2);

/// What a replay brought, and why it ended where that is not as it should be.
pub(super) struct Received {
    /// Where the bytes are. Its file goes with it.
    pub(super) spool: Arc<Spool>,
    pub(super) came: Came,
    pub(super) trouble: Option<RefillError>,
}

/// Receives a replay. For a thread that may wait.
pub(super) fn receive(
    means: &Means,
    camera: &Camera,
    gap: GapId,
    replay: &Replay,
    believed: Codec,
    stop: &Shutdown,
) -> Result<Received, RefillError> {
    let mut codec = believed;
    // Once more, when it is in the other codec.
    for _ in 0..2 {
        let spool = begin_spool(means, camera, gap)?;
        let spec = RefillSpec {
            address: replay.address.clone(),
            transport: match camera.transport {
                _ if replay.faster => Transport::Tcp,
                known => known,
            },
            latency: means.latency,
            connect: means.connect,
            codec,
            range: replay.range.then_some(replay.asked),
            onvif: replay.onvif,
        };
        let feed: Arc<dyn Replayed> = spool.clone();
        let refilling = Refilling::begin(&means.catalog, &spec, feed)?;
        let ending = wait_for_end(means, &spool, replay.asked, stop);
        if !refilling.take_down(DOWN) {
            tracing::warn!(camera = %camera.id, "a replay did not come down in time and was left behind");
        }
        match ending {
            Some(Ending::OtherCodec(other)) if codec == believed => codec = other,
            ending => {
                if stop.is_asked() {
                    return Err(RefillError::Unwanted);
                }
                let came = spool.take().map_err(|error| RefillError::Disk(error.to_string()))?;
                let trouble = trouble(ending, &came);
                return Ok(Received { spool, came, trouble });
            }
        }
    }
    let message = "the camera changes the codec of its replay each time it is asked".to_owned();
    Err(ArchiveError::Broken(message).into())
}

fn begin_spool(means: &Means, camera: &Camera, gap: GapId) -> Result<Arc<Spool>, RefillError> {
    let name = format!("{}-{}.part", camera.id, gap.0);
    let spool = Spool::begin(&means.data, &name, means.pace.clone(), means.clock.clone());
    spool
        .map(Arc::new)
        .map_err(|error| RefillError::Disk(error.to_string()))
}

/// Waits until no more comes or is wanted; nothing when it is we who had enough.
fn wait_for_end(means: &Means, spool: &Spool, asked: Span, stop: &Shutdown) -> Option<Ending> {
    let began = means.clock.instant();
    let most = time_for(asked.duration());
    loop {
        let progress = spool.progress();
        if progress.ending.is_some() {
            return progress.ending;
        }
        if stop.is_asked() || is_enough(&progress, asked) {
            return None;
        }
        if !means.has_room() {
            return Some(Ending::Full("there is too little room on the volume".to_owned()));
        }
        if progress.idle >= IDLE {
            let message = match progress.frames {
                0 => format!("the camera's replay brought no picture within {} s", IDLE.as_secs()),
                _ => format!("the camera's replay stood still for {} s", IDLE.as_secs()),
            };
            return Some(Ending::Trouble(Loss::Stalled, message));
        }
        if means.clock.instant().since(began) >= most {
            let message = format!("the camera's replay was not at its end after {} s", most.as_secs());
            return Some(Ending::Trouble(Loss::Stalled, message));
        }
        pause(STEP);
    }
}

fn is_enough(progress: &Progress, asked: Span) -> bool {
    let by_time = progress.taken.is_some_and(|taken| {
        // What tells another time altogether, as that of sending, is judged by its length: it did not begin where it should.
        let told = Span::new(asked.start, asked.end.plus(Duration::from_secs(60)));
        let began = taken.minus(progress.length);
        told.contains(taken) && began <= asked.start.plus(LATE) && taken.plus(NEARLY) >= asked.end
    });
    let is_long = progress.length + QUIET >= asked.duration();
    let is_quiet = progress.frames > 0 && progress.idle >= QUIET && (progress.ends || is_long);
    by_time || is_quiet || progress.length > asked.duration() + Duration::from_secs(60)
}

/// What to tell of an ending; nothing of one that is as it should be.
fn trouble(ending: Option<Ending>, came: &Came) -> Option<RefillError> {
    let error = match ending {
        None | Some(Ending::Ended) if came.frames.is_empty() => {
            ArchiveError::NoFootage("the camera played nothing of this time".to_owned())
        }
        None | Some(Ending::Ended) if came.ends => {
            ArchiveError::NoFootage("the camera says that it has no more of this time".to_owned())
        }
        None | Some(Ending::Ended) => return None,
        Some(Ending::OtherCodec(_)) => {
            ArchiveError::Broken("the camera changes the codec of its replay each time it is asked".to_owned())
        }
        Some(Ending::Busy) => ArchiveError::Busy("the camera plays to as many as it can".to_owned()),
        Some(Ending::Full(message)) => return Some(RefillError::Disk(message)),
        Some(Ending::Trouble(Loss::Unauthorised, message)) => ArchiveError::Unauthorised(message),
        Some(Ending::Trouble(Loss::Unreachable, message)) => ArchiveError::Unreachable(message),
        Some(Ending::Trouble(_, message)) => ArchiveError::Broken(message),
    };
    Some(error.into())
}
