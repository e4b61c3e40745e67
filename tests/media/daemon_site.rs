//! A box with the real daemon on it, for the tests that judge the whole: what was sent, what lies on the disk, what the
//! API says of it.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use camkeep::model::Timestamp;
use camkeep::pipeline::demo::{FakeCamera, SentFrame, StreamOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::daemon::{Daemon, Ended};
use crate::kit::referee::{self, Stamp};
use crate::kit::wait::{wait_for, wait_until};

/// How long what has to come soon may take on a machine that does much else.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A small stream that sixteen of can be encoded beside everything else.
pub(crate) fn tiny() -> StreamOptions {
    StreamOptions {
        width: 160,
        height: 96,
        fps: 10,
        gop_frames: 10,
        bitrate_kbps: 64,
        ..StreamOptions::default()
    }
}

/// Now, by the clock that cameras stamp with.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_nanos()).unwrap()
}

/// A row of the API.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) open: bool,
    pub(crate) run: String,
    pub(crate) frames: u64,
    pub(crate) refilled: bool,
    /// Of its file, where it has one.
    pub(crate) url: Option<String>,
    /// How far its first copy can be believed.
    pub(crate) state: String,
}

impl Row {
    pub(crate) fn of(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let time = |key: &str| Timestamp::parse(&text(key)).expect("a time").as_nanos();
        Self {
            id: text("id"),
            start_ns: time("start_time"),
            end_ns: time("end_time"),
            open: value["open"].as_bool().unwrap(),
            run: text("run"),
            frames: value["frames"].as_u64().unwrap(),
            refilled: value["origin"] == "refill",
            url: value["url"]
                .as_str()
                .filter(|url| url.starts_with("/media/recordings/"))
                .map(str::to_owned),
            state: value["copies"][0]["state"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// A kept gap of the API.
#[derive(Debug, Clone)]
pub(crate) struct KeptGap {
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) open: bool,
    pub(crate) cause: String,
}

/// A data directory, and the daemon that runs on it, if one does.
pub(crate) struct Site {
    // The daemon goes before the directory it writes to.
    daemon: Option<Daemon>,
    data: PathBuf,
    _room: Option<TempDir>,
}

impl Site {
    /// A fresh one with the daemon running.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let mut site = Self::empty();
        site.boot();
        site
    }

    /// A fresh one, nothing running.
    pub(crate) fn empty() -> Self {
        let room = TempDir::new().unwrap();
        Self {
            daemon: None,
            data: room.path().join("data"),
            _room: Some(room),
        }
    }

    /// One whose data lies where the test says; the log lies beside it.
    pub(crate) fn at(data: &Path) -> Self {
        Self {
            daemon: None,
            data: data.to_owned(),
            _room: None,
        }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    #[track_caller]
    pub(crate) fn boot(&mut self) {
        self.boot_with(|_| {});
    }

    #[track_caller]
    pub(crate) fn boot_with(&mut self, change: impl FnOnce(&mut Command)) {
        assert!(self.daemon.is_none(), "it runs already");
        self.daemon = Some(Daemon::start_with(&self.data, change));
    }

    #[track_caller]
    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the daemon runs")
    }

    /// `kill -9`; gives the moment just before.
    #[track_caller]
    pub(crate) fn kill_9(&mut self) -> i64 {
        let daemon = self.daemon.take().expect("the daemon runs");
        let at = now_ns();
        daemon.kill_9();
        at
    }

    /// SIGTERM; the moment just before, and how it ended.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> (i64, Ended) {
        let daemon = self.daemon.take().expect("the daemon runs");
        let at = now_ns();
        (at, daemon.terminate())
    }

    /// Stops in order, which has to work.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let (_, ended) = self.terminate();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// Adds a camera over HTTP.
    #[track_caller]
    pub(crate) fn add(&self, id: &str, url: &str, segment_seconds: u32) {
        let body = json!({"id": id, "name": id, "main_stream_url": url, "segment_seconds": segment_seconds});
        self.daemon().post("/api/v1/cameras", &body).ok();
    }

    #[track_caller]
    pub(crate) fn add_camera(&self, id: &str, camera: &FakeCamera, segment_seconds: u32) {
        self.add(id, &camera.url(), segment_seconds);
    }

    /// Its segments, oldest first.
    #[track_caller]
    pub(crate) fn rows(&self, id: &str) -> Vec<Row> {
        let answer = self
            .daemon()
            .get(&format!(
                "/api/v1/cameras/{id}/segments?from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&limit=5000"
            ))
            .ok();
        let mut rows: Vec<Row> = answer.as_array().expect("a list").iter().map(Row::of).collect();
        rows.sort_by_key(|row| row.start_ns);
        rows
    }

    #[track_caller]
    pub(crate) fn closed(&self, id: &str) -> Vec<Row> {
        let mut rows = self.rows(id);
        rows.retain(|row| !row.open);
        rows
    }

    /// Waits until so many segments of a camera are closed.
    #[track_caller]
    pub(crate) fn wait_closed(&self, id: &str, count: usize, within: Duration) -> Vec<Row> {
        wait_for(within, &format!("{count} closed segments of {id}"), || {
            let closed = self.closed(id);
            if closed.len() >= count {
                Ok(closed)
            } else {
                Err(closed.len())
            }
        })
    }

    /// Waits until a camera is recorded: a row that grows.
    #[track_caller]
    pub(crate) fn wait_recording(&self, id: &str) {
        wait_for(SOON, &format!("{id} to be recorded"), || {
            let health = self.daemon().get(&format!("/api/v1/cameras/{id}/health")).ok();
            if health["state"] == "recording" && self.rows(id).iter().any(|row| row.open) {
                Ok(())
            } else {
                Err(health)
            }
        });
    }

    /// Its kept gaps, oldest first.
    #[track_caller]
    pub(crate) fn gaps(&self, id: &str) -> Vec<KeptGap> {
        let answer = self.daemon().get(&format!("/api/v1/cameras/{id}/recording-gaps")).ok();
        let time = |value: &Value| Timestamp::parse(value.as_str().unwrap()).unwrap().as_nanos();
        let mut gaps: Vec<KeptGap> = answer
            .as_array()
            .expect("a list")
            .iter()
            .map(|gap| KeptGap {
                start_ns: time(&gap["gap_start"]),
                end_ns: time(&gap["gap_end"]),
                open: gap["open"].as_bool().unwrap(),
                cause: gap["cause"].as_str().unwrap().to_owned(),
            })
            .collect();
        gaps.sort_by_key(|gap| gap.start_ns);
        gaps
    }

    /// Events of a kind: their messages.
    #[track_caller]
    pub(crate) fn events(&self, kind: &str) -> Vec<String> {
        let answer = self.daemon().get(&format!("/api/v1/events?type={kind}")).ok();
        let list = answer.as_array().expect("a list");
        list.iter()
            .map(|event| event["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Where the file of a row lies.
    #[track_caller]
    pub(crate) fn path(&self, camera: &str, row: &Row) -> PathBuf {
        let url = row.url.as_deref().unwrap_or_else(|| panic!("{row:?} has no file"));
        let name = url.rsplit('/').next().unwrap();
        let day = format!("{}-{}-{}", &name[..4], &name[4..6], &name[6..8]);
        self.data.join("recordings").join(camera).join(day).join(name)
    }

    /// What the referee reads in the files of rows, in order.
    #[track_caller]
    pub(crate) fn stamps(&self, camera: &str, rows: &[Row]) -> Vec<Stamp> {
        rows.iter()
            .flat_map(|row| referee::read_stamps(&self.path(camera, row)))
            .collect()
    }

    /// Every file of a camera, the newest last.
    pub(crate) fn files(&self, camera: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for day in std::fs::read_dir(self.data.join("recordings").join(camera))
            .into_iter()
            .flatten()
        {
            let entries = std::fs::read_dir(day.unwrap().path()).into_iter().flatten();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        }
        files.sort();
        files
    }

    /// Waits until no segment that was begun before `before_ns` is open any more.
    #[track_caller]
    pub(crate) fn wait_mended(&self, camera: &str, before_ns: i64, within: Duration) -> Vec<Row> {
        wait_for(within, "what was left open is closed", || {
            let rows = self.rows(camera);
            if rows.iter().any(|row| row.open && row.start_ns < before_ns) {
                Err(rows)
            } else {
                Ok(rows)
            }
        })
    }
}

/// Which frames of those sent in a window are not among the stamps.
pub(crate) fn lost_frames(sent: &[SentFrame], stamps: &[Stamp], from_ns: i64, to_ns: i64) -> Vec<u32> {
    let there: BTreeSet<u32> = stamps.iter().map(|stamp| stamp.counter).collect();
    sent.iter()
        .filter(|frame| (from_ns..to_ns).contains(&(frame.time_us as i64 * 1000)))
        .map(|frame| frame.counter)
        .filter(|counter| !there.contains(counter))
        .collect()
}

/// Every frame of another camera between its first and last stored one is there, once.
#[track_caller]
pub(crate) fn assert_none_lost(site: &Site, camera: &str) {
    let rows = site.rows(camera);
    let closed: Vec<Row> = rows.into_iter().filter(|row| !row.open).collect();
    assert!(!closed.is_empty(), "{camera} has no closed segment");
    let wrong = referee::missing_or_doubled(&site.stamps(camera, &closed));
    assert!(wrong.is_nothing(), "{camera}: {wrong:?}");
    let runs: BTreeSet<&String> = closed.iter().map(|row| &row.run).collect();
    assert_eq!(runs.len(), 1, "{camera} was recorded in one run");
}

/// Watches the system calls of a running daemon, or spoils them.
pub(crate) struct Strace {
    child: Child,
    log: PathBuf,
}

impl Strace {
    /// Attaches to every thread of a process; `what` is strace's own `-e` arguments.
    #[track_caller]
    pub(crate) fn attach(pid: u32, log: &Path, what: &[&str]) -> Self {
        Self::watch(pid, log, None, what)
    }

    /// The same, for calls that concern one file only.
    #[track_caller]
    pub(crate) fn attach_to_file(pid: u32, log: &Path, file: &Path, what: &[&str]) -> Self {
        Self::watch(pid, log, Some(file), what)
    }

    #[track_caller]
    fn watch(pid: u32, log: &Path, file: Option<&Path>, what: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-tt", "-p", &pid.to_string(), "-o"]).arg(log);
        if let Some(file) = file {
            command.arg("-P").arg(file);
        }
        for one in what {
            command.args(["-e", one]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace has to be installed");
        let mut strace = Self {
            child,
            log: log.to_owned(),
        };
        wait_until(SOON, "strace to hold the daemon", || {
            if strace.child.try_wait().unwrap().is_some() {
                let mut said = String::new();
                strace.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("strace cannot watch the daemon (it needs the right to trace): {said}");
            }
            is_traced(pid).then_some(())
        });
        strace
    }

    /// What it wrote so far.
    pub(crate) fn seen(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Lets go and gives all that it wrote.
    pub(crate) fn end(mut self) -> String {
        self.let_go();
        self.seen()
    }

    fn let_go(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let pid = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(pid, rustix::process::Signal::INT).ok();
            self.child.wait().ok();
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Whether every thread of a process has a tracer.
fn is_traced(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix("TracerPid:"))
            .is_some_and(|tracer| tracer.trim() != "0")
    })
}
