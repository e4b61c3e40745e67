//! What everything around the storage shares: the footage, the clock, the manners, and the books.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::Span;

use super::super::options::{Login, StreamOptions, VideoCodec};
use super::clock::CameraClock;
use super::conduct::Conduct;
use super::form::{Form, write_clock};
use super::login::Doorkeeper;
use super::options::{ReportTimes, Speed, StorageOptions};
use super::shelf::Shelf;

/// Counts what is asked of the storage.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) sessions_now: AtomicU64,
    pub(super) sessions_ever: AtomicU64,
    pub(super) bytes: AtomicU64,
    requests: Mutex<Vec<String>>,
}

impl Books {
    pub(super) fn note(&self, request: String) {
        lock(&self.requests).push(request);
    }

    pub(super) fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }
}

/// How many watch the live view at present.
type Watchers = Box<dyn Fn() -> u64 + Send + Sync>;

/// The storage as its servers see it.
pub(super) struct Vault {
    pub(super) shelf: Arc<Shelf>,
    pub(super) codec: VideoCodec,
    pub(super) title: String,
    /// From one picture to the next.
    pub(super) period: Duration,
    pub(super) clock: Arc<CameraClock>,
    pub(super) conduct: Conduct,
    pub(super) keeper: Doorkeeper,
    pub(super) books: Books,
    pub(super) zone_minutes: i32,
    pub(super) is_over: AtomicBool,
    /// The port that is listened on for RTSP; nothing before the first time.
    pub(super) rtsp_port: AtomicU16,
    manners: Mutex<(Speed, ReportTimes)>,
    watchers: Mutex<Option<Watchers>>,
}

impl Vault {
    pub(super) fn new(options: &StorageOptions, stream: &StreamOptions, login: Option<Login>) -> Self {
        let clock = CameraClock::default();
        clock.set_ahead_ms(options.clock_ahead_ms);
        Self {
            shelf: Arc::new(Shelf::new(options.keep)),
            codec: stream.codec,
            title: stream.title.clone(),
            period: stream.frame_period(),
            clock: Arc::new(clock),
            conduct: Conduct::default(),
            keeper: Doorkeeper::new(login),
            books: Books::default(),
            zone_minutes: options.zone_minutes,
            is_over: AtomicBool::new(false),
            rtsp_port: AtomicU16::new(0),
            manners: Mutex::new((options.speed, options.reports)),
            watchers: Mutex::new(None),
        }
    }

    /// What is played, from a first picture to a last one, as `Range:` tells it. The last one lies inside, so the end is a
    /// picture later.
    pub(super) fn tell_range(&self, form: Form, pictures: Option<Span>) -> String {
        let Some(pictures) = pictures else {
            return "npt=0-".to_owned();
        };
        let end = pictures.end.plus(self.period);
        if form == Form::Onvif {
            let [start, end] = [pictures.start, end].map(|time| write_clock(self.clock.tell(time)));
            format!("clock={start}-{end}")
        } else {
            format!("npt=0-{:.3}", end.since(pictures.start).as_secs_f64())
        }
    }

    /// How it plays at present, and what its reports tell.
    pub(super) fn manners(&self) -> (Speed, ReportTimes) {
        *lock(&self.manners)
    }

    pub(super) fn set_manners(&self, speed: Speed, reports: ReportTimes) {
        *lock(&self.manners) = (speed, reports);
    }

    /// Learns how to count those who watch the live view.
    pub(super) fn count_watchers_with(&self, count: Watchers) {
        *lock(&self.watchers) = Some(count);
    }

    pub(super) fn watchers(&self) -> u64 {
        lock(&self.watchers).as_ref().map_or(0, |count| count())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
