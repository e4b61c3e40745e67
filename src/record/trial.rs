//! A trial: is this camera there, does it let us in, and what does it send? Nothing is written.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::model::{Camera, Codec, Loss, Timestamp, TrackCaps, Unit, VideoFormat};
use crate::pipeline::{Cut, Fate, Feed, PipelineEvent, RecordSpec, Recording, StillUp};
use crate::runtime::Instant;

use super::recorder::Recorder;
use super::setting::Setting;

/// A stream that is joined in the middle has its first keyframe within so long, with most cameras.
const KEYFRAME: Duration = Duration::from_secs(5);
/// How long taking it down may hold up the answer.
const DOWN: Duration = Duration::from_secs(1);

/// So many at once.
static TRIALS: Semaphore = Semaphore::const_new(3);

/// What became of a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Trial {
    /// Pictures came.
    Works {
        /// Of this kind.
        format: VideoFormat,
        /// So long after it was asked.
        after: Duration,
    },
    /// None came.
    Fails(Loss, String),
}

impl Recorder {
    /// Tries a camera, beside whatever is recorded of it. Answers within some seconds of the time a camera has to answer.
    pub async fn try_camera(&self, camera: Camera) -> Trial {
        // Each trial holds a thread and a session; the others wait their turn. It is never closed.
        let _turn = TRIALS.acquire().await;
        let setting = self.setting().clone();
        match tokio::task::spawn_blocking(move || attempt(&setting, &camera)).await {
            Ok(trial) => trial,
            Err(error) => Trial::Fails(Loss::Broken, format!("the trial died: {error}")),
        }
    }
}

fn attempt(setting: &Setting, camera: &Camera) -> Trial {
    let address = match camera.stream_address() {
        Ok(address) => address,
        Err(error) => return Trial::Fails(Loss::Broken, error.to_string()),
    };
    let began = setting.clock.instant();
    let mut spec = RecordSpec {
        address,
        transport: camera.transport,
        latency: setting.latency,
        connect: setting.connect,
        codec: Codec::H264,
        audio: false,
    };
    // The codec is a guess that the camera corrects, once.
    for _ in 0..2 {
        match one(setting, &spec, began) {
            Outcome::Other(codec) => spec.codec = codec,
            Outcome::Ended(trial) => return trial,
        }
    }
    Trial::Fails(
        Loss::Broken,
        "the camera changes its codec while it is asked for it".to_owned(),
    )
}

enum Outcome {
    Other(Codec),
    Ended(Trial),
}

fn one(setting: &Setting, spec: &RecordSpec, began: Instant) -> Outcome {
    let ear = Arc::new(Ear::default());
    let recording = match Recording::begin(&setting.catalog, spec, ear.clone()) {
        Ok(recording) => recording,
        Err(error) => return Outcome::Ended(Trial::Fails(Loss::Broken, error.to_string())),
    };
    let heard = ear.wait(setting.connect + KEYFRAME);
    // One that does not come down in time is left behind and counted, as any other.
    let _ = recording.take_down(DOWN, StillUp::default());
    Outcome::Ended(match heard {
        Some(Heard::Picture(format)) => Trial::Works {
            format,
            after: setting.clock.instant().since(began),
        },
        Some(Heard::Other(Some(codec))) => return Outcome::Other(codec),
        Some(Heard::Other(None)) => Trial::Fails(
            Loss::Broken,
            "the camera sends a codec that cannot be recorded; set it to H.264 or H.265".to_owned(),
        ),
        Some(Heard::Lost(loss, message)) => Trial::Fails(loss, message),
        None => {
            let seconds = (setting.connect + KEYFRAME).as_secs();
            Trial::Fails(Loss::Unreachable, format!("the camera sent no picture for {seconds} s"))
        }
    })
}

#[derive(Debug, Clone)]
enum Heard {
    Picture(VideoFormat),
    Other(Option<Codec>),
    Lost(Loss, String),
}

/// Hears the first thing that decides a trial.
#[derive(Debug, Default)]
struct Ear {
    format: Mutex<Option<VideoFormat>>,
    first: Mutex<Option<Heard>>,
    came: Condvar,
}

impl Ear {
    fn hear(&self, what: Heard) {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(what);
        self.came.notify_all();
    }

    fn wait(&self, time: Duration) -> Option<Heard> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, _) = self
            .came
            .wait_timeout_while(first, time, |first| first.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        first.clone()
    }
}

impl Feed for Ear {
    fn announced(&self, format: VideoFormat, _caps: TrackCaps) {
        *self.format.lock().unwrap_or_else(PoisonError::into_inner) = Some(format);
    }

    fn heard(&self) {}

    fn camera_time(&self, _pts: i64, _taken: Timestamp) {}

    fn arrived(&self, _unit: &Unit) -> Fate {
        let format = *self.format.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(format) = format {
            self.hear(Heard::Picture(format));
        }
        Fate::Drop
    }

    fn format(&self, _format: VideoFormat, _caps: TrackCaps) {}

    fn unit(&self, _unit: Unit) -> Cut {
        Cut::Drop
    }

    fn place(&self, _first_pts: i64) -> Option<PathBuf> {
        None
    }

    fn other_codec(&self, codec: Option<Codec>) {
        self.hear(Heard::Other(codec));
    }

    fn redirect_refused(&self, to: String) {
        self.hear(Heard::Lost(
            Loss::Refused,
            format!("the camera redirects to {to}, which is not followed"),
        ));
    }

    fn event(&self, event: PipelineEvent) {
        match event {
            PipelineEvent::Error { loss, message, .. } => self.hear(Heard::Lost(loss, message)),
            PipelineEvent::Ended => self.hear(Heard::Lost(Loss::Ended, "the camera ended the stream".to_owned())),
            _ => {}
        }
    }
}
