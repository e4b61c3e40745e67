//! The storage as its users hold it: told how to behave, asked for its addresses and its books.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Span, Timestamp};

use super::super::camera::Count;
use super::super::options::{CameraOptions, DemoError, Login};
use super::super::stream::SentFrame;
use super::clock::CameraClock;
use super::conduct::Misbehaviour;
use super::crowd::Crowd;
use super::door::Door;
use super::form::{Form, write_path};
use super::options::{ReportTimes, Speed, StorageOptions};
use super::reception::first_path;
use super::shelf::Shelf;
use super::vault::Vault;
use super::{service, session};

/// What a camera kept of its first stream, and its servers.
pub struct Storage {
    vault: Arc<Vault>,
    host: String,
    /// Those who are served over RTSP, and those who are served over HTTP.
    replays: Arc<Crowd>,
    callers: Arc<Crowd>,
    rtsp: Mutex<Option<Door>>,
    onvif: Mutex<Option<Door>>,
    onvif_port: u16,
    live_paths: Vec<String>,
    is_live_cut: Arc<AtomicBool>,
}

impl Storage {
    pub(in super::super) fn new(camera: &CameraOptions, options: &StorageOptions) -> Result<Self, DemoError> {
        let first = camera
            .streams
            .first()
            .ok_or(DemoError::Option("a camera has at least one stream"))?;
        let vault = Vault::new(options, first, camera.login.clone());
        let mut storage = Self {
            vault: Arc::new(vault),
            host: camera.address.clone(),
            replays: Arc::default(),
            callers: Arc::default(),
            rtsp: Mutex::default(),
            onvif: Mutex::default(),
            onvif_port: options.onvif_port,
            live_paths: camera.streams.iter().map(|stream| stream.path.clone()).collect(),
            is_live_cut: Arc::default(),
        };
        storage.onvif_port = storage.listen_onvif()?;
        Ok(storage)
    }

    pub(in super::super) fn shelf(&self) -> Arc<Shelf> {
        self.vault.shelf.clone()
    }

    pub(in super::super) fn clock(&self) -> Arc<CameraClock> {
        self.vault.clock.clone()
    }

    pub(in super::super) fn count_watchers_with(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        self.vault.count_watchers_with(Box::new(count));
    }

    /// Listens for RTSP, and hands those who want the live view on.
    pub(in super::super) fn listen_rtsp(
        &self,
        address: &str,
        port: u16,
        to_live: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> std::io::Result<u16> {
        let (vault, paths, cut) = (self.vault.clone(), self.live_paths.clone(), self.is_live_cut.clone());
        let serve = move |socket: TcpStream| {
            let Some(path) = first_path(&socket) else {
                return;
            };
            let is_live = paths
                .iter()
                .any(|live| path.strip_prefix(live.as_str()).is_some_and(ends_a_name));
            if !is_live {
                if let Err(error) = session::serve(socket, &vault) {
                    tracing::debug!(%error, "the demo camera's storage lost a client");
                }
            } else if !cut.load(Ordering::SeqCst) {
                to_live(socket);
            }
        };
        let door = Door::open(address, port, &self.replays, Arc::new(serve))?;
        let port = door.port();
        *lock(&self.rtsp) = Some(door);
        self.vault.rtsp_port.store(port, Ordering::SeqCst);
        Ok(port)
    }

    fn rtsp_port(&self) -> u16 {
        self.vault.rtsp_port.load(Ordering::SeqCst)
    }

    fn listen_onvif(&self) -> Result<u16, DemoError> {
        let vault = self.vault.clone();
        let serve = move |socket: TcpStream| {
            if let Err(error) = service::serve(socket, &vault) {
                tracing::debug!(%error, "the demo camera's ONVIF service lost a client");
            }
        };
        let door = Door::open(&self.host, self.onvif_port, &self.callers, Arc::new(serve));
        let door = door.map_err(|error| DemoError::Listen {
            address: self.host.clone(),
            port: self.onvif_port,
            reason: error.to_string(),
        })?;
        let port = door.port();
        *lock(&self.onvif) = Some(door);
        Ok(port)
    }

    /// Stops listening, over RTSP and for ONVIF.
    pub(in super::super) fn stop_listening(&self) {
        drop(lock(&self.rtsp).take());
        drop(lock(&self.onvif).take());
    }

    /// Listens for ONVIF again, when it does not.
    pub(in super::super) fn listen_again(&self) -> Result<(), DemoError> {
        if lock(&self.onvif).is_none() {
            self.listen_onvif()?;
        }
        Ok(())
    }

    /// Closes every connection.
    pub(in super::super) fn drop_clients(&self) {
        self.replays.send_away();
        self.callers.send_away();
    }

    pub(in super::super) fn set_login(&self, login: Option<&Login>) {
        self.vault.keeper.set(login.cloned());
    }

    /// Who wants the live view is turned away at the door; the storage is served.
    pub(in super::super) fn cut_live(&self, cut: bool) {
        self.is_live_cut.store(cut, Ordering::SeqCst);
    }

    /// Ends everything; its threads are gone afterwards.
    pub(in super::super) fn end(&self) {
        self.vault.is_over.store(true, Ordering::SeqCst);
        self.stop_listening();
        self.replays.end();
        self.callers.end();
    }

    /// From now on it does these things wrong, and nothing else.
    pub fn misbehave(&self, wrongs: &[Misbehaviour]) {
        self.vault.conduct.set(wrongs);
    }

    /// From now on it behaves.
    pub fn behave(&self) {
        self.vault.conduct.set(&[]);
    }

    /// From now on the camera's clock is so many milliseconds ahead; less than nothing is behind. All that it says about
    /// time moves, the time of what it kept before too; the stamps in its pictures stay true.
    pub fn set_clock_ahead_ms(&self, ms: i64) {
        self.vault.clock.set_ahead_ms(ms);
    }

    /// How fast it plays addresses other than ONVIF's, and what time its sender reports tell.
    pub fn set_manners(&self, speed: Speed, reports: ReportTimes) {
        self.vault.set_manners(speed, reports);
    }

    /// Every frame it keeps, in the order in which they are decoded. `time_us` is the true time, as in the picture.
    pub fn kept_frames(&self) -> Vec<SentFrame> {
        self.vault.shelf.all().iter().map(|unit| unit.frame).collect()
    }

    /// From the first frame it keeps to the latest, in truth.
    pub fn extent(&self) -> Option<Span> {
        self.vault.shelf.extent()
    }

    /// The camera's own time for a true moment.
    pub fn tell(&self, truth: Timestamp) -> Timestamp {
        self.vault.clock.tell(truth)
    }

    fn url(&self, form: Form, truth: Span) -> String {
        let told = Span::new(self.vault.clock.tell(truth.start), self.vault.clock.tell(truth.end));
        let path = write_path(form, told, self.vault.zone_minutes);
        format!("rtsp://{}:{}{path}", self.host, self.rtsp_port())
    }

    /// The Hikvision address of a true span, without user and password. Rounded outwards to seconds.
    pub fn hikvision_url(&self, truth: Span) -> String {
        self.url(Form::Hikvision, truth)
    }

    /// The Dahua address of a true span, without user and password. Rounded outwards to seconds.
    pub fn dahua_url(&self, truth: Span) -> String {
        self.url(Form::Dahua, truth)
    }

    /// The address of a true span in the form of [`Storage::template`], to the millisecond.
    pub fn template_url(&self, truth: Span) -> String {
        self.url(Form::Template, truth)
    }

    /// The ONVIF replay address, as `GetReplayUri` gives it; the span goes into `Range: clock=`.
    pub fn replay_url(&self) -> String {
        self.url(Form::Onvif, Span::new(Timestamp::EPOCH, Timestamp::EPOCH))
    }

    /// An address with `{start}` and `{end}` in it.
    pub fn template(&self) -> String {
        let port = self.rtsp_port();
        format!("rtsp://{}:{port}/archive?from={{start}}&to={{end}}", self.host)
    }

    /// Where ONVIF clients begin.
    pub fn onvif_url(&self) -> String {
        format!("http://{}:{}{}", self.host, self.onvif_port, service::DEVICE_PATH)
    }

    /// The TCP port of the ONVIF service.
    pub fn onvif_port(&self) -> u16 {
        self.onvif_port
    }

    /// Replay sessions, which the sessions of the live view are not counted with.
    pub fn count_sessions(&self) -> Count {
        Count {
            current: self.vault.books.sessions_now.load(Ordering::SeqCst),
            total: self.vault.books.sessions_ever.load(Ordering::SeqCst),
        }
    }

    /// What was asked of the storage, in order: like `PLAY /onvif/replay/REC_1 clock=…- no onvif-replay` over RTSP, and
    /// like `POST FindRecordings` for ONVIF.
    pub fn requests(&self) -> Vec<String> {
        self.vault.books.requests()
    }

    /// How many bytes of footage were sent.
    pub fn count_bytes(&self) -> u64 {
        self.vault.books.bytes.load(Ordering::SeqCst)
    }
}

/// Whether what follows a path is the end of its last name.
fn ends_a_name(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['/', '?'])
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
