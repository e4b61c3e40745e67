//! What a demo camera can be asked to be.

use std::time::Duration;

use super::storage::StorageOptions;

/// How a camera compresses its pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VideoCodec {
    /// H.264, what nearly every camera speaks.
    #[default]
    H264,
    /// H.265; its encoder costs several times as much, so keep the picture small.
    H265,
}

/// How a camera compresses its sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AudioCodec {
    /// A camera without a microphone.
    #[default]
    None,
    /// AAC, 16 kHz mono.
    Aac,
    /// G.711 µ-law, 8 kHz mono.
    Pcmu,
    /// G.711 A-law, 8 kHz mono.
    Pcma,
    /// Opus, 48 kHz mono.
    Opus,
    /// Samples as they are, 48 kHz mono.
    L16,
    /// G.726 at 32 kbit/s, 8 kHz mono.
    G726,
    /// Speex, 16 kHz mono: nothing that a file would hold.
    Speex,
}

impl AudioCodec {
    /// Samples a second, or none without sound.
    pub(super) fn rate(self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Aac | Self::Speex => Some(16_000),
            Self::Pcmu | Self::Pcma | Self::G726 => Some(8_000),
            Self::Opus | Self::L16 => Some(48_000),
        }
    }
}

/// What is wrong with a camera's microphone. Times count from the moment a client said PLAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Microphone {
    /// Nothing.
    #[default]
    Works,
    /// No packet leaves before this.
    Late(Duration),
    /// No packet leaves after this.
    Dies(Duration),
    /// No packet leaves between these.
    Pauses(Duration, Duration),
    /// Every packet holds noise where it should hold sound.
    Noise,
    /// Every packet is dated at random.
    Wild,
}

impl Microphone {
    /// Whether a packet taken so long after PLAY stays inside.
    pub(super) fn is_silent(self, at: Duration) -> bool {
        match self {
            Self::Works | Self::Noise | Self::Wild => false,
            Self::Late(from) => at < from,
            Self::Dies(at_last) => at >= at_last,
            Self::Pauses(from, until) => (from..until).contains(&at),
        }
    }
}

/// One stream of a camera: what is behind one RTSP path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// The RTSP path, with its slash.
    pub path: String,
    /// What stands in the picture beside the time. Letters, digits and spaces.
    pub title: String,
    /// Which of the painted scenes is shown.
    pub scene: u32,
    /// How pictures are compressed.
    pub codec: VideoCodec,
    /// Picture width in pixels, a multiple of 8.
    pub width: u32,
    /// Picture height in pixels, even.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// Frames from one keyframe to the next.
    pub gop_frames: u32,
    /// Bits a second of the video, in thousands.
    pub bitrate_kbps: u32,
    /// B-frames between two others. Any number but 0 delays what is sent by as many frames.
    pub bframes: u32,
    /// Whether H.264 is of the profile main also without B-frames, which need it. Otherwise it is of constrained baseline.
    pub main_profile: bool,
    /// Whether there is sound, and how it is compressed.
    pub audio: AudioCodec,
    /// What is wrong with the sound, if there is any.
    pub microphone: Microphone,
    /// Whether it sends the reports that tell how its sound lies to its pictures.
    pub sender_reports: bool,
    /// The RTP timestamp of the video at the start; at random without it. Near 2^32 it wraps soon.
    pub rtp_offset: Option<u32>,
    /// Whether a new client gets a keyframe at once. Without it a client waits for the end of the GOP, as with
    /// most real cameras.
    pub key_on_play: bool,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            path: "/main".into(),
            title: "DEMO".into(),
            scene: 0,
            codec: VideoCodec::H264,
            width: 640,
            height: 360,
            fps: 25,
            gop_frames: 50,
            bitrate_kbps: 1000,
            bframes: 0,
            main_profile: false,
            audio: AudioCodec::None,
            microphone: Microphone::Works,
            sender_reports: true,
            rtp_offset: None,
            key_on_play: true,
        }
    }
}

impl StreamOptions {
    /// A small H.264 stream that costs little: for tests that look at many frames.
    pub fn small() -> Self {
        Self {
            width: 320,
            height: 180,
            gop_frames: 25,
            bitrate_kbps: 300,
            ..Self::default()
        }
    }

    /// Sets the distance of keyframes as a time, to the nearest whole frame.
    #[must_use]
    pub fn with_gop(mut self, gop: Duration) -> Self {
        self.gop_frames = (gop.as_secs_f64() * f64::from(self.fps)).round().max(1.0) as u32;
        self
    }

    pub(super) fn frame_period(&self) -> Duration {
        Duration::from_secs(1) / self.fps.max(1)
    }

    /// The elements this stream is built of, each with the Debian package that brings it.
    pub(super) fn elements(&self) -> Vec<(&'static str, &'static str)> {
        let mut needed = vec![
            ("appsrc", "gstreamer1.0-plugins-base"),
            ("rtpbin", "gstreamer1.0-plugins-good"),
        ];
        match self.codec {
            VideoCodec::H264 => needed.push(("x264enc", "gstreamer1.0-plugins-ugly")),
            VideoCodec::H265 => needed.push(("x265enc", "gstreamer1.0-plugins-bad")),
        }
        match self.audio {
            AudioCodec::None | AudioCodec::Pcmu | AudioCodec::Pcma | AudioCodec::L16 => {}
            AudioCodec::G726 => needed.push(("avenc_g726", "gstreamer1.0-libav")),
            AudioCodec::Speex => needed.push(("speexenc", "gstreamer1.0-plugins-good")),
            AudioCodec::Aac => needed.push(("voaacenc", "gstreamer1.0-plugins-bad")),
            AudioCodec::Opus => needed.push(("opusenc", "gstreamer1.0-plugins-base")),
        }
        needed
    }

    pub(super) fn check(&self) -> Result<(), DemoError> {
        check_size(self.width, self.height)?;
        let wrong = if !self.path.starts_with('/') || self.path.len() < 2 {
            "the path of a stream begins with a slash and has a name, like /main"
        } else if !(1..=120).contains(&self.fps) {
            "fps is 1 to 120"
        } else if self.gop_frames == 0 {
            "a GOP has at least one frame"
        } else if !(16..=100_000).contains(&self.bitrate_kbps) {
            "the bitrate is 16 to 100000 kbit/s"
        } else if self.bframes > 16 {
            "there are at most 16 B-frames"
        } else {
            return Ok(());
        };
        Err(DemoError::Option(wrong))
    }
}

/// Refuses sizes that the stamp or the encoders cannot do.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), DemoError> {
    let fits = (160..=7680).contains(&width) && (90..=4320).contains(&height);
    if fits && width.is_multiple_of(8) && height.is_multiple_of(2) {
        Ok(())
    } else {
        Err(DemoError::Option(
            "the picture is 160x90 to 7680x4320, its width a multiple of 8 and its height even",
        ))
    }
}

/// Who may look, asked for by digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name to give.
    pub user: String,
    /// The password that goes with it.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("password", &"***")
            .finish()
    }
}

/// One camera: where it listens, who may look, and what streams it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraOptions {
    /// The address to listen on.
    pub address: String,
    /// The TCP port to listen on; 0 takes a free one.
    pub port: u16,
    /// Asked of every client when set.
    pub login: Option<Login>,
    /// The streams, at least one, each with its own path.
    pub streams: Vec<StreamOptions>,
    /// What it keeps of its first stream, when it keeps anything. That stream has neither sound nor B-frames then.
    pub storage: Option<StorageOptions>,
}

impl Default for CameraOptions {
    fn default() -> Self {
        Self::from(StreamOptions::default())
    }
}

impl From<StreamOptions> for CameraOptions {
    fn from(stream: StreamOptions) -> Self {
        Self {
            address: "127.0.0.1".into(),
            port: 0,
            login: None,
            streams: vec![stream],
            storage: None,
        }
    }
}

impl CameraOptions {
    /// Asks every client for this name and password.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        self.login = Some(Login {
            user: user.into(),
            password: password.into(),
        });
        self
    }
}

impl CameraOptions {
    /// Gives it storage.
    #[must_use]
    pub fn with_storage(mut self, storage: StorageOptions) -> Self {
        self.storage = Some(storage);
        self
    }
}

/// Why a demo camera could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// An option has a value that cannot work.
    #[error("the demo camera cannot be set up so: {0}")]
    Option(&'static str),
    /// GStreamer itself did not start.
    #[error("GStreamer does not start: {0}")]
    Gstreamer(String),
    /// A plugin is not installed.
    #[error("the GStreamer element {element} is missing; on Debian: apt install {package}")]
    Missing {
        /// The element that was looked for.
        element: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The port could not be had.
    #[error("the demo camera cannot listen on {address}:{port}: {reason}")]
    Listen {
        /// The address asked for.
        address: String,
        /// The port asked for.
        port: u16,
        /// What the system said.
        reason: String,
    },
    /// The thread of the camera did not do what was asked within its deadline.
    #[error("the demo camera did not {0} within its deadline")]
    Late(&'static str),
    /// The encoder that always runs did not start.
    #[error("the encoder of the demo camera does not start")]
    Encoder,
    /// The camera has no storage, so it cannot do what only storage can do.
    #[error("this demo camera has no storage")]
    NoStorage,
    /// There is no such stream.
    #[error("the demo camera has no stream {0}")]
    NoStream(String),
}
