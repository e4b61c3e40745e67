//! `camkeep demo-camera`: cameras for people who have none at hand.

use crate::model::counted;
use std::io::Write;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::pipeline::demo::{AudioCodec, CameraOptions, DemoError, FakeCamera, StreamOptions, VideoCodec};

use super::demo_storage::{Stored, announce};

/// What the cameras look at, in the order in which they are made.
const TITLES: [&str; 4] = ["STREET", "HARBOUR", "YARD", "STATION"];
/// How wide the small second picture of every camera is at the most; its height follows.
const SUB_WIDTH: u32 = 320;

/// Serve made-up cameras over RTSP, with the time in every picture.
#[derive(Debug, Args)]
pub(super) struct DemoCamera {
    /// The TCP port of the first camera; each further camera takes the next one. 0 takes free ones.
    #[arg(long, default_value_t = 8554)]
    port: u16,
    /// The address to listen on; 0.0.0.0 lets other machines look.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// How many cameras.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=32))]
    cameras: u16,
    /// How pictures are compressed; h265 costs several times the work.
    #[arg(long, value_enum, default_value_t = Video::H264)]
    codec: Video,
    /// Picture size, like 1280x720.
    #[arg(long, value_parser = parse_size, default_value = "1280x720")]
    size: (u32, u32),
    /// Frames a second.
    #[arg(long, default_value_t = 25)]
    fps: u32,
    /// From one keyframe to the next, like 2s or 500ms.
    #[arg(long, value_parser = parse_time, default_value = "2s")]
    gop: Duration,
    /// Kilobits a second of each camera's large picture.
    #[arg(long, default_value_t = 2000)]
    bitrate: u32,
    /// Sound: a tick each second.
    #[arg(long, value_enum, default_value_t = Audio::None)]
    audio: Audio,
    /// A user name to ask for; goes with --password.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// The password that goes with --user.
    #[arg(long, requires = "user")]
    password: Option<String>,
    #[command(flatten)]
    storage: Stored,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Video {
    H264,
    H265,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Audio {
    None,
    Aac,
    Pcmu,
    Pcma,
    Opus,
}

/// Why the demo cameras ended before Ctrl-C.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoCameraError {
    /// A camera could not be switched on.
    #[error(transparent)]
    Camera(#[from] DemoError),
    /// There are not so many ports above the first.
    #[error("port {first} and the {cameras} cameras on it go beyond 65535; choose a lower --port")]
    Ports {
        /// The first camera's port.
        first: u16,
        /// How many were wanted.
        cameras: u16,
    },
    /// The addresses could not be printed, or Ctrl-C could not be waited for.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl DemoCamera {
    fn camera(&self, number: u16) -> Result<CameraOptions, DemoCameraError> {
        let beyond = DemoCameraError::Ports {
            first: self.port,
            cameras: self.cameras,
        };
        let port = if self.port == 0 {
            0
        } else {
            self.port.checked_add(number).ok_or(beyond)?
        };
        let main = StreamOptions {
            path: "/main".into(),
            title: TITLES[usize::from(number) % TITLES.len()].into(),
            scene: number.into(),
            codec: match self.codec {
                Video::H264 => VideoCodec::H264,
                Video::H265 => VideoCodec::H265,
            },
            width: self.size.0,
            height: self.size.1,
            fps: self.fps,
            bitrate_kbps: self.bitrate,
            audio: match self.audio {
                Audio::None => AudioCodec::None,
                Audio::Aac => AudioCodec::Aac,
                Audio::Pcmu => AudioCodec::Pcmu,
                Audio::Pcma => AudioCodec::Pcma,
                Audio::Opus => AudioCodec::Opus,
            },
            ..StreamOptions::default()
        }
        .with_gop(self.gop);
        let mut streams = vec![main.clone()];
        if main.width > SUB_WIDTH {
            let height = (SUB_WIDTH * main.height / main.width).max(90) / 2 * 2;
            let sub = StreamOptions {
                path: "/sub".into(),
                width: SUB_WIDTH,
                height,
                bitrate_kbps: 300,
                ..main
            };
            streams.push(sub);
        }
        let options = CameraOptions {
            address: self.address.clone(),
            port,
            login: None,
            streams,
            storage: self.storage.options(number)?,
        };
        Ok(match (&self.user, &self.password) {
            (Some(user), Some(password)) => options.with_login(user, password),
            _ => options,
        })
    }
}

/// Serves until Ctrl-C.
pub(super) fn run(args: &DemoCamera) -> Result<(), DemoCameraError> {
    let mut cameras = Vec::new();
    for number in 0..args.cameras {
        cameras.push(FakeCamera::start(args.camera(number)?)?);
    }
    let mut out = std::io::stdout().lock();
    for camera in &cameras {
        for stream in camera.streams() {
            let options = stream.options();
            let (path, (width, height)) = (&options.path, stream.size());
            writeln!(
                out,
                "{}  {} {width}x{height}, {} a second",
                camera.url_of(path),
                options.title,
                counted(options.fps, "frame", "frames")
            )?;
        }
    }
    announce(&mut out, &cameras)?;
    if args.user.is_some() {
        writeln!(out, "Each asks for the user name and password you gave.")?;
    }
    writeln!(out, "Serving until Ctrl-C.")?;
    out.flush()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(args.storage.cut_until_ctrl_c(&cameras))
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let size = text
        .split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    size.ok_or_else(|| "a size is width x height, like 1280x720".into())
}

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 0.001),
        (None, Some(number)) => (number, 1.0),
        (None, None) => return Err("a time has a unit, like 2s or 500ms".into()),
    };
    let seconds = number.parse::<f64>().map(|number| number * unit).ok();
    let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds <= 3600.0);
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "a time is more than nothing and at most an hour".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_and_nonsense_is_refused() {
        assert_eq!(parse_size("1280x720"), Ok((1280, 720)));
        assert_eq!(parse_time("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["1280", "x", "1280x", "ax720"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["2", "s", "0s", "-1s", "2 hours", "NaNs", "infs"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
