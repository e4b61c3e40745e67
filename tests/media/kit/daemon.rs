//! The real program, as a person runs it: started, spoken to over HTTP, ended in good and in bad ways.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::wait::{wait_for, wait_until};

/// How long a start or a stop may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer of the HTTP door.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body, or null when there was none or no JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// The body of an answer that has to be a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "the daemon said {}: {}",
            self.status,
            self.body
        );
        self.body
    }
}

/// How the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// From the request to the end.
    pub(crate) after: Duration,
}

/// A running `camkeep run`; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    address: String,
    log: PathBuf,
    agent: ureq::Agent,
}

impl Daemon {
    /// Starts on a data directory and a free port, and waits until `/healthz` says 200.
    #[track_caller]
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, |_| {})
    }

    /// As [`Daemon::start`], with more arguments or environment.
    #[track_caller]
    pub(crate) fn start_with(data: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut daemon = Self::launch(data, change);
        daemon.wait_for_address();
        wait_for(PATIENCE, "/healthz to say 200", || {
            assert!(
                daemon.child.try_wait().unwrap().is_none(),
                "the daemon ended:\n{}",
                daemon.log()
            );
            let status = daemon
                .agent
                .get(format!("{}/healthz", daemon.address))
                .call()
                .map(|it| it.status().as_u16());
            match status {
                Ok(200) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        daemon
    }

    /// Starts without waiting for anything: for starts that are meant to fail.
    #[track_caller]
    pub(crate) fn launch(data: &Path, change: impl FnOnce(&mut Command)) -> Self {
        std::fs::create_dir_all(data.parent().unwrap_or(data)).expect("a directory for the log");
        // Beside the data, never in it: what lies in there is the daemon's.
        let number = (0..).find(|n| !log_file(data, *n).exists()).unwrap();
        let log = log_file(data, number);
        let errors = std::fs::File::create(&log).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_camkeep"));
        command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command
            .env("NO_COLOR", "1")
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        change(&mut command);
        let child = command.spawn().expect("the camkeep binary");
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            child,
            address: String::new(),
            log,
            agent: config.into(),
        }
    }

    #[track_caller]
    fn wait_for_address(&mut self) {
        self.address = wait_for(PATIENCE, "the line that says where the daemon listens", || {
            let log = self.log();
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended with {status}:\n{log}");
            }
            address_in(&log).ok_or(log)
        });
    }

    /// The address it said it listens on, like `http://127.0.0.1:8080`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        answer(self.agent.get(self.url(path)).call())
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        answer(self.agent.post(self.url(path)).send_json(body))
    }

    /// One value of `/metrics`, by its name with its labels; 0 where there is none.
    #[track_caller]
    pub(crate) fn figure(&self, series: &str) -> f64 {
        let mut answer = self.agent.get(self.url("/metrics")).call().expect("the daemon answers");
        let text = answer.body_mut().read_to_string().expect("a text");
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines
            .find(|(name, _)| *name == series)
            .map_or(0.0, |(_, value)| value.parse().unwrap())
    }

    /// Has an answer's body written to a file, and gives its status.
    #[track_caller]
    pub(crate) fn fetch(&self, path: &str, file: &Path) -> u16 {
        let mut response = self.agent.get(self.url(path)).call().expect("the daemon answers");
        let mut file = std::fs::File::create(file).expect("a file for the body");
        std::io::copy(&mut response.body_mut().as_reader(), &mut file).expect("the whole body");
        response.status().as_u16()
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        answer(self.agent.put(self.url(path)).send_json(body))
    }

    #[track_caller]
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        answer(self.agent.patch(self.url(path)).send_json(body))
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        answer(self.agent.delete(self.url(path)).call())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the daemon runs");
    }

    /// The power cut: no chance to do anything.
    #[track_caller]
    pub(crate) fn kill_9(mut self) -> Ended {
        self.signal(rustix::process::Signal::KILL);
        self.wait_for_end(PATIENCE)
    }

    /// Asks it to stop and waits for its end.
    #[track_caller]
    pub(crate) fn terminate(mut self) -> Ended {
        self.signal(rustix::process::Signal::TERM);
        self.wait_for_end(PATIENCE)
    }

    /// Waits for an end that comes by itself.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self, within: Duration) -> Ended {
        let asked = Instant::now();
        let log = self.log.clone();
        let child = &mut self.child;
        let status = wait_until(within, &format!("the end of the daemon, see {}", log.display()), || {
            child.try_wait().unwrap()
        });
        Ended {
            code: status.code(),
            signal: status.signal(),
            after: asked.elapsed(),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the daemon ---\n{}", self.log());
        }
    }
}

fn log_file(data: &Path, number: u32) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(format!(".log.{number}"));
    data.with_file_name(name)
}

fn address_in(log: &str) -> Option<String> {
    let line = log
        .lines()
        .find(|line| line.contains("listening") && line.contains("address="))?;
    let word = line.split_once("address=")?.1.split_whitespace().next()?;
    Some(word.trim_matches('"').trim_end_matches('/').to_owned())
}

#[track_caller]
fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = result.unwrap_or_else(|error| panic!("the daemon does not answer: {error}"));
    let body = response.body_mut().read_json().unwrap_or(Value::Null);
    Answer {
        status: response.status().as_u16(),
        body,
    }
}
