//! A client that is not ours: ffmpeg, which plays a camera and keeps what it gets.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::wait::{pause, wait_until};

/// How long a viewer may take beyond the time it was asked to watch.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running ffmpeg that watches one RTSP address; killed when dropped.
pub(crate) struct Viewer {
    child: Child,
    file: PathBuf,
    log: PathBuf,
}

impl Viewer {
    /// Watches `url` into `file` (its extension chooses the container), with more ffmpeg output options.
    pub(crate) fn start(url: &str, file: &Path, options: &[&str]) -> Self {
        Self::start_with(url, file, &[], options)
    }

    /// As [`Viewer::start`], with options for the input too.
    pub(crate) fn start_with(url: &str, file: &Path, input: &[&str], output: &[&str]) -> Self {
        let log = file.with_extension("log");
        let errors = std::fs::File::create(&log).expect("a log file");
        let child = Command::new("ffmpeg")
            .args([
                "-nostdin",
                "-y",
                "-v",
                "warning",
                "-rtsp_transport",
                "tcp",
                "-timeout",
                "5000000",
            ])
            .args(input)
            .args(["-i", url, "-c", "copy"])
            .args(output)
            .arg(file)
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("ffmpeg has to be installed");
        Self {
            child,
            file: file.to_owned(),
            log,
        }
    }

    /// Waits for its end, within `watch` and some patience, and gives the file.
    #[track_caller]
    pub(crate) fn finish(mut self, watch: Duration) -> PathBuf {
        let status = self.wait(watch + PATIENCE);
        assert!(status.success(), "ffmpeg ended with {status}: {}", self.said());
        self.file.clone()
    }

    /// Waits for its end, however it ends.
    #[track_caller]
    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        let log = self.log.clone();
        let child = &mut self.child;
        wait_until(within, &format!("the end of ffmpeg, see {}", log.display()), || {
            child.try_wait().unwrap()
        })
    }

    /// Ends it in an orderly way, so that the file is whole, and gives the file.
    #[track_caller]
    pub(crate) fn stop(mut self) -> PathBuf {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("ffmpeg runs");
        self.wait(PATIENCE);
        self.file.clone()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it complained about.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if self.is_running() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// Watches an address for a time and gives the file.
#[track_caller]
pub(crate) fn watch(url: &str, file: &Path, time: Duration) -> PathBuf {
    Viewer::start(url, file, &["-t", &time.as_secs_f64().to_string()]).finish(time)
}

/// Watches for a time by the clock on the wall, whatever comes, and gives the file.
#[track_caller]
pub(crate) fn watch_by_the_clock(url: &str, file: &Path, time: Duration) -> PathBuf {
    let viewer = Viewer::start(url, file, &[]);
    pause(time);
    viewer.stop()
}
