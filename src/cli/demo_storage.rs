//! The storage of `camkeep demo-camera`: what is said about it, and how a person cuts the live view.

use std::future::pending;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::pipeline::demo::{DemoError, FakeCamera, Speed, StorageOptions};

use super::demo_camera::{DemoCameraError, parse_time};

/// What a demo camera keeps.
#[derive(Debug, Args)]
pub(super) struct Stored {
    /// Keep the last ten minutes in memory, and replay them: ONVIF Profile G, Hikvision's, Dahua's and a template's
    /// addresses. SIGUSR1 cuts the live view, and the next one lets it go on.
    #[arg(long)]
    storage: bool,
    /// The TCP port of the first camera's ONVIF service; each further camera takes the next one. 0 takes free ones.
    #[arg(long, requires = "storage", default_value_t = 8580)]
    onvif_port: u16,
    /// Replay plain addresses as fast as they are read, not in real time.
    #[arg(long, requires = "storage")]
    replay_fast: bool,
    /// How many seconds the cameras' clocks are ahead; less than nothing is behind.
    #[arg(long, requires = "storage", default_value_t = 0, allow_negative_numbers = true)]
    clock_ahead: i64,
    /// Cut the live view every so often, like 60s.
    #[arg(long, requires = "storage", value_parser = parse_time)]
    cut_every: Option<Duration>,
    /// How long each cut lasts, like 12s.
    #[arg(long, requires = "cut_every", value_parser = parse_time, default_value = "12s")]
    cut_for: Duration,
}

impl Stored {
    /// What the camera of this number keeps, if anything.
    pub(super) fn options(&self, number: u16) -> Result<Option<StorageOptions>, DemoCameraError> {
        if !self.storage {
            return Ok(None);
        }
        let beyond = DemoCameraError::Ports {
            first: self.onvif_port,
            cameras: number + 1,
        };
        let onvif_port = match self.onvif_port {
            0 => 0,
            first => first.checked_add(number).ok_or(beyond)?,
        };
        Ok(Some(StorageOptions {
            onvif_port,
            clock_ahead_ms: self.clock_ahead.saturating_mul(1000),
            speed: if self.replay_fast {
                Speed::Unlimited
            } else {
                Speed::RealTime
            },
            ..StorageOptions::default()
        }))
    }

    /// Waits for Ctrl-C, and cuts the live views until then when it is told to.
    pub(super) async fn cut_until_ctrl_c(&self, cameras: &[FakeCamera]) -> Result<(), DemoCameraError> {
        let cut = async {
            if self.storage {
                self.cut_again_and_again(cameras).await
            } else {
                pending().await
            }
        };
        tokio::select! {
            ended = tokio::signal::ctrl_c() => Ok(ended?),
            failed = cut => failed,
        }
    }

    async fn cut_again_and_again(&self, cameras: &[FakeCamera]) -> Result<(), DemoCameraError> {
        let mut asked = signal(SignalKind::user_defined1())?;
        let mut is_cut = false;
        loop {
            let next = if is_cut { Some(self.cut_for) } else { self.cut_every };
            let timer = async {
                match next.filter(|_| self.cut_every.is_some()) {
                    Some(next) => tokio::time::sleep(next).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                _ = asked.recv() => {}
                () = timer => {}
            }
            is_cut = !is_cut;
            for camera in cameras {
                camera.cut_live(is_cut)?;
            }
            let mut out = std::io::stdout().lock();
            writeln!(out, "The live view {}.", if is_cut { "is cut" } else { "goes on" })?;
            out.flush()?;
        }
    }
}

/// Says where what is kept can be had.
pub(super) fn announce(out: &mut impl Write, cameras: &[FakeCamera]) -> Result<(), DemoCameraError> {
    let mut stored = 0;
    for camera in cameras {
        let storage = match camera.storage() {
            Ok(storage) => storage,
            Err(DemoError::NoStorage) => continue,
            Err(error) => return Err(error.into()),
        };
        stored += 1;
        let rtsp = format!("rtsp://{}", camera.host());
        writeln!(out, "Storage of {}:", camera.url())?;
        writeln!(out, "  ONVIF      {}", storage.onvif_url())?;
        writeln!(out, "  replay     {}", storage.replay_url())?;
        writeln!(
            out,
            "  Hikvision  {rtsp}/Streaming/tracks/101?starttime=YYYYMMDDTHHMMSSZ&endtime=YYYYMMDDTHHMMSSZ"
        )?;
        writeln!(
            out,
            "  Dahua      {rtsp}/cam/playback?channel=1&starttime=YYYY_MM_DD_HH_MM_SS&endtime=YYYY_MM_DD_HH_MM_SS"
        )?;
        writeln!(out, "  template   {}", storage.template())?;
    }
    if stored > 0 {
        let pid = std::process::id();
        writeln!(out, "`kill -USR1 {pid}` cuts the live view, and again lets it go on.")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(onvif_port: u16) -> Stored {
        Stored {
            storage: true,
            onvif_port,
            replay_fast: false,
            clock_ahead: -37,
            cut_every: None,
            cut_for: Duration::from_secs(12),
        }
    }

    #[test]
    fn each_camera_has_an_onvif_port_of_its_own() {
        let port = |first, number| {
            let options = stored(first).options(number).ok().flatten();
            options.map(|options| (options.onvif_port, options.clock_ahead_ms))
        };
        assert_eq!(port(8580, 3), Some((8583, -37_000)));
        assert_eq!(port(0, 3), Some((0, -37_000)));
        assert_eq!(port(65_534, 2), None);
        let none = Stored {
            storage: false,
            ..stored(8580)
        };
        assert!(matches!(none.options(0), Ok(None)));
    }
}
