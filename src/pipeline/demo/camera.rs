//! The camera as its users hold it: switched on, told what to do, switched off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;

use super::options::{AudioCodec, CameraOptions, DemoError, Login, StreamOptions};
use super::server::Server;
use super::storage::Storage;
use super::stream::{SentFrame, Stream, lock};

/// How many there are, and how many there ever were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// At present.
    pub current: u64,
    /// Since the camera was switched on.
    pub total: u64,
}

/// A camera inside this process. It runs from [`FakeCamera::start`] until it is dropped, and leaves no thread.
pub struct FakeCamera {
    server: Server,
    streams: Vec<Arc<Stream>>,
    stalled: Arc<AtomicBool>,
    host: String,
    storage: Option<Arc<Storage>>,
}

impl FakeCamera {
    /// Switches a camera on. Takes [`CameraOptions`], or just one stream's options.
    pub fn start(options: impl Into<CameraOptions>) -> Result<Self, DemoError> {
        let options = options.into();
        gst::init().map_err(|error| DemoError::Gstreamer(error.to_string()))?;
        if options.streams.is_empty() {
            return Err(DemoError::Option("a camera has at least one stream"));
        }
        for (n, stream) in options.streams.iter().enumerate() {
            stream.check()?;
            if options.streams[..n].iter().any(|other| other.path == stream.path) {
                return Err(DemoError::Option("every stream has a path of its own"));
            }
            let missing = |(element, _): &(&str, &str)| gst::ElementFactory::find(element).is_none();
            if let Some((element, package)) = stream.elements().into_iter().find(missing) {
                return Err(DemoError::Missing { element, package });
            }
        }
        let storage = match &options.storage {
            Some(_) if options.streams[0].audio != AudioCodec::None => {
                return Err(DemoError::Option(
                    "a camera with storage keeps no sound, so it has none",
                ));
            }
            Some(_) if options.streams[0].bframes > 0 => {
                return Err(DemoError::Option(
                    "a camera with storage keeps no B-frames, so it makes none",
                ));
            }
            Some(storage) => Some(Arc::new(Storage::new(&options, storage)?)),
            None => None,
        };
        let stalled = Arc::new(AtomicBool::new(false));
        let new = |(n, stream): (usize, &StreamOptions)| {
            let shelf = storage.as_ref().filter(|_| n == 0).map(|storage| storage.shelf());
            let clock = storage.as_ref().map(|storage| storage.clock());
            Arc::new(Stream::new(stream.clone(), stalled.clone(), clock, shelf))
        };
        let streams: Vec<_> = options.streams.iter().enumerate().map(new).collect();
        let server = Server::start(&options, &streams, storage.clone())?;
        // Whatever fails from here on ends the server.
        let camera = Self {
            server,
            streams,
            stalled,
            host: options.address,
            storage,
        };
        for stream in &camera.streams {
            stream.begin_keeping()?;
        }
        Ok(camera)
    }

    /// The TCP port it listens on.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Where it listens, like `127.0.0.1:8554`.
    pub fn host(&self) -> String {
        format!("{}:{}", self.host, self.port())
    }

    /// The address of its first stream, without user and password.
    pub fn url(&self) -> String {
        self.streams
            .first()
            .map(|stream| self.url_of(&stream.options().path))
            .unwrap_or_default()
    }

    /// The address of a path, whether there is a stream or not.
    pub fn url_of(&self, path: &str) -> String {
        format!("rtsp://{}:{}{path}", self.host, self.port())
    }

    /// The stream behind a path.
    pub fn stream(&self, path: &str) -> Result<&Stream, DemoError> {
        let found = self.streams.iter().find(|stream| stream.options().path == path);
        found
            .map(Arc::as_ref)
            .ok_or_else(|| DemoError::NoStream(path.to_owned()))
    }

    /// All its streams.
    pub fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.iter().map(Arc::as_ref)
    }

    /// Every frame of the first stream that left the camera, in the order of leaving.
    pub fn sent_frames(&self) -> Vec<SentFrame> {
        self.streams
            .first()
            .map(|stream| stream.sent_frames())
            .unwrap_or_default()
    }

    /// Freezes: the connections stay, RTSP is answered, and no frame and no sound is made.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    /// Ends a freeze.
    pub fn resume(&self) {
        self.stalled.store(false, Ordering::SeqCst);
    }

    /// What it keeps.
    pub fn storage(&self) -> Result<&Storage, DemoError> {
        self.storage.as_deref().ok_or(DemoError::NoStorage)
    }

    /// Nothing of the live view leaves any more, though pictures are made and kept, and connections stay.
    pub fn freeze_live(&self, freeze: bool) -> Result<(), DemoError> {
        self.storage()?;
        self.streams.iter().for_each(|stream| stream.freeze_live(freeze));
        Ok(())
    }

    /// Closes the connections of those who watch the live view and turns them away at the door, or lets them in again.
    /// Pictures are made and kept, and the storage is served.
    pub fn cut_live(&self, cut: bool) -> Result<(), DemoError> {
        self.storage()?.cut_live(cut);
        if cut { self.server.drop_viewers() } else { Ok(()) }
    }

    /// Cuts the camera off from its network, or connects it again: every connection is closed and refused, the storage's
    /// too. Pictures are made and kept.
    pub fn cut_network(&self, cut: bool) -> Result<(), DemoError> {
        self.refuse(cut)?;
        if cut { self.drop_clients() } else { Ok(()) }
    }

    /// Closes every TCP connection and forgets every session; whoever comes again is served again.
    pub fn drop_clients(&self) -> Result<(), DemoError> {
        self.server.drop_clients()
    }

    /// Stops listening, so that new connections are refused, or listens again on the same port. Connections that
    /// stand are left alone: a reboot is `refuse(true)` and [`FakeCamera::drop_clients`].
    pub fn refuse(&self, refuse: bool) -> Result<(), DemoError> {
        if refuse {
            self.server.stop_listening();
            Ok(())
        } else {
            self.server.listen().map(|_| ())
        }
    }

    /// Gives the first stream another size inside the running session.
    pub fn change_resolution(&self, width: u32, height: u32) -> Result<(), DemoError> {
        self.streams
            .first()
            .map_or(Ok(()), |stream| stream.change_resolution(width, height))
    }

    /// Asks for another name and password from the next request on; `None` asks for none.
    pub fn set_password(&self, login: Option<&Login>) -> Result<(), DemoError> {
        self.server.set_login(login)
    }

    /// RTSP sessions of the live view.
    pub fn count_sessions(&self) -> Count {
        let total = self.server.visits.sessions_ever.load(Ordering::SeqCst);
        Count {
            current: self.server.sessions_now(),
            total,
        }
    }

    /// TCP connections of those who watch the live view.
    pub fn count_connections(&self) -> Count {
        let visits = &self.server.visits;
        Count {
            current: visits.connections_now.load(Ordering::SeqCst),
            total: visits.connections_ever.load(Ordering::SeqCst),
        }
    }

    /// Refuses further sessions while there are so many; connections are still accepted.
    pub fn allow_sessions(&self, most: u32) {
        self.server.allow_sessions(most);
    }

    /// What clients asked for and got, like `DESCRIBE /main`, in order.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.server.visits.requests).clone()
    }
}

impl Drop for FakeCamera {
    fn drop(&mut self) {
        self.resume();
        self.server.stop(&self.streams);
    }
}
