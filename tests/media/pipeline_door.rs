//! The debug door, `camkeep pipeline`, as a person uses it at night: against a camera, a shell and a missing plugin.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use camkeep::pipeline::demo::{CameraOptions, FakeCamera, StreamOptions, VideoCodec};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::kit::daemon::Daemon;
use crate::kit::referee;
use crate::kit::wait::{wait_for, wait_until};

/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A password that may stand nowhere, and that neither a shell nor gst-launch reads as it is.
const CANARY: &str = "canary \"it's\" $HOME \\7";

fn camera(codec: VideoCodec) -> FakeCamera {
    FakeCamera::start(CameraOptions::from(StreamOptions {
        codec,
        ..StreamOptions::small()
    }))
    .unwrap()
}

fn locked_camera() -> FakeCamera {
    FakeCamera::start(CameraOptions::from(StreamOptions::small()).with_login("admin", CANARY)).unwrap()
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_camkeep"));
    command.arg("pipeline").args(words);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
fn ask(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

/// The same with the canary as what `--password-stdin` reads.
fn ask_with_password(words: &[&str]) -> Output {
    let mut child = command(words).stdin(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{CANARY}").unwrap();
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn both(output: &Output) -> String {
    out(output) + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, both(output));
    out(output)
}

fn launch_line(shown: &str) -> &str {
    shown
        .lines()
        .find(|line| line.starts_with("gst-launch-1.0 "))
        .expect("a line to run")
}

/// A process whose output goes to a file, so that it can be looked at while it grows; killed when dropped.
struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    fn start(mut command: Command, room: &Path) -> Self {
        let said = room.join("said");
        let file = std::fs::File::create(&said).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap();
        Self { child, said }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        wait_for(PATIENCE, what, || {
            Some(self.said())
                .filter(|said| is_there(said))
                .ok_or_else(|| self.said())
        });
    }

    /// Ctrl-C, and the exit code.
    #[track_caller]
    fn interrupt(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        wait_until(PATIENCE, "the end after Ctrl-C", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn recordings(room: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(room).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = listing
        .filter(|path| path.extension().is_some_and(|end| end == "mp4"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_pipeline_is_listed_shown_and_drawn() {
    let listed = ok(&ask(&["list"]));
    for name in ["record", "segments", "mend", "mend-sound"] {
        assert!(
            listed.lines().any(|line| line.starts_with(&format!("{name} "))),
            "{listed}"
        );
        let shown = ok(&ask(&["show", name]));
        assert!(
            shown.starts_with(&format!("{name}: ")) && shown.contains("bound by src/pipeline/"),
            "{shown}"
        );
        assert!(ok(&ask(&["dot", name])).starts_with("digraph pipeline {"));
    }
    let shown = ok(&ask(&["show", "record", "--set", "codec=h265", "--set", "latency=77"]));
    assert!(
        shown.contains("\n    ! h265parse name=parse\n") && launch_line(&shown).contains("latency=77"),
        "{shown}"
    );
    assert!(ok(&ask(&["dot", "record", "--set", "codec=h265"])).contains("GstH265Parse"));
}

#[test]
fn what_is_typed_wrong_is_said_with_what_would_be_right() {
    let cases: [(&[&str], i32, &str); 9] = [
        (
            &["show", "recrod"],
            2,
            "mend, mend-sound, record, refill, retake, segments",
        ),
        (&["run", "recrod"], 2, "there are decode-h264, "),
        (
            &["dot", "record", "--set", "codex=h264"],
            2,
            "there are codec, connect, latency",
        ),
        (&["show", "record", "--set", "codec=vp8"], 2, "it may be h264, h265"),
        (&["show", "record", "--set", "latency=10001"], 2, "it may be 0 to 10000"),
        (
            &["run", "record", "--url", "http://cam/1"],
            2,
            "the scheme must be rtsp",
        ),
        (&["run", "record"], 2, "--camera ID or --url URL"),
        (&["run", "segments"], 2, "part of the pipeline record"),
        (&["list", "--pipelines", "/nowhere/at/all"], 78, "/nowhere/at/all"),
    ];
    for (words, code, what) in cases {
        let said = ask(words);
        assert_eq!(said.status.code(), Some(code), "{words:?}");
        assert!(both(&said).contains(what), "{words:?}: {}", both(&said));
        assert_eq!(out(&said), "", "{words:?}");
    }
}

#[test]
fn a_directory_replaces_one_pipeline_and_leaves_the_others() {
    let room = TempDir::new().unwrap();
    let place = room.path().to_str().unwrap();
    let text = "#: purpose Tries.\n#: engine check\n#: element file fakesink eats\n\
        videotestsrc num-buffers=30 ! fakesink name=file sync=false\n";
    std::fs::write(room.path().join("mend.gst"), text).unwrap();
    let listed = ok(&ask(&["list", "--pipelines", place]));
    let from = |name: &str| {
        let line = listed
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name))
            .unwrap();
        line.contains(place)
    };
    assert!(from("mend") && !from("record"), "{listed}");
    let mut by_variable = command(&["list"]);
    let by_variable = by_variable.env("CAMKEEP_PIPELINES_DIRECTORY", place).output().unwrap();
    assert_eq!(ok(&by_variable), listed);
    let played = ok(&ask(&["run", "mend", "--pipelines", place]));
    assert!(
        played.contains("state playing") && played.contains("done: 30 frames"),
        "{played}"
    );
    std::fs::write(room.path().join("recrod.gst"), text).unwrap();
    let refused = ask(&["list", "--pipelines", place]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(
        both(&refused).contains("recrod.gst: there is no pipeline of that name"),
        "{}",
        both(&refused)
    );
}

#[test]
fn the_shown_command_records_a_camera_of_the_daemon_in_any_shell() {
    let (room, camera) = (TempDir::new().unwrap(), locked_camera());
    let daemon = Daemon::start(&room.path().join("data"));
    let body = json!({
        "id": "front-door", "name": "Front door", "main_stream_url": camera.url(), "username": "admin", "password": CANARY,
    });
    daemon.post("/api/v1/cameras", &body).ok();
    let words = ["show", "record", "--camera", "front-door", "--server", daemon.address()];
    let shown = ask(&words);
    assert!(
        ok(&shown).contains(&format!("source.location  {}\n", camera.url())),
        "{}",
        out(&shown)
    );
    let line = launch_line(&out(&shown)).to_owned();
    assert!(
        line.contains("'user-pw=***'") && line.contains("location=front-door-%05d.mp4"),
        "{line}"
    );
    assert!(!both(&shown).contains("canary"));
    // What the daemon does not give away is asked for before anything is played.
    let run = ask(&["run", "record", "--camera", "front-door", "--server", daemon.address()]);
    assert_eq!(run.status.code(), Some(2));
    assert!(both(&run).contains("--password-stdin"), "{}", both(&run));

    let revealed = ask_with_password(&[&words[..], &["--password-stdin", "--reveal"]].concat());
    let line = launch_line(&ok(&revealed)).to_owned();
    assert!(
        String::from_utf8_lossy(&revealed.stderr).contains("holds the password"),
        "{}",
        both(&revealed)
    );
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec {line}")).current_dir(room.path());
    let mut playing = Running::start(shell, room.path());
    let file = room.path().join("front-door-00000.mp4");
    wait_until(PATIENCE, "a file that grows", || {
        std::fs::metadata(&file)
            .ok()
            .filter(|file| file.len() > 20_000)
            .map(drop)
    });
    assert_eq!(playing.interrupt(), Some(0), "{}", playing.said());
    let probe = referee::probe(&file);
    assert!(probe.seconds > 0.4 && probe.video().codec == "h264", "{probe:?}");
    assert!(referee::missing_or_doubled(&referee::read_stamps(&file)).is_nothing());
}

#[test]
fn run_prints_what_happens_and_ctrl_c_leaves_whole_files() {
    let (room, camera) = (TempDir::new().unwrap(), locked_camera());
    let files = room.path().join("files");
    let words = [
        "run",
        "record",
        "--username",
        "admin",
        "--password-stdin",
        "--segment",
        "1",
        "--url",
    ];
    let mut playing = command(&[&words[..], &[&camera.url(), "--to", files.to_str().unwrap()]].concat());
    playing.stdin(Stdio::piped());
    let mut playing = Running::start(playing, room.path());
    writeln!(playing.child.stdin.take().unwrap(), "{CANARY}").unwrap();
    playing.wait_for("two files closed", |said| said.matches("fragment-closed").count() >= 2);
    assert_eq!(playing.interrupt(), Some(0), "{}", playing.said());
    let said = playing.said();
    for what in [
        "state playing",
        "format h264 320x180",
        "progress ",
        "short-way: packets of ",
        " frames, ",
        "SIGINT: closing files",
        "done: ",
    ] {
        assert!(said.contains(what), "{what} is not in {said}");
    }
    assert!(!said.contains("canary"), "{said}");
    let recorded = recordings(&files);
    assert_eq!(said.matches("fragment-opened").count(), recorded.len());
    assert_eq!(said.matches("fragment-closed").count(), recorded.len());
    let stamps = referee::read_all(&recorded);
    assert!(
        stamps.len() > 25 && referee::missing_or_doubled(&stamps).is_nothing(),
        "{said}"
    );
    for file in &recorded {
        assert_eq!(referee::decode_errors(file), Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn run_follows_a_camera_that_sends_another_codec() {
    let (room, camera) = (TempDir::new().unwrap(), camera(VideoCodec::H265));
    let words = [
        "run",
        "record",
        "--to",
        room.path().to_str().unwrap(),
        "--url",
        &camera.url(),
    ];
    let mut playing = Running::start(command(&words), room.path());
    playing.wait_for("a file", |said| said.contains("fragment-opened"));
    assert_eq!(playing.interrupt(), Some(0), "{}", playing.said());
    assert!(
        playing.said().contains("the camera sends h265; beginning again"),
        "{}",
        playing.said()
    );
    assert_eq!(referee::probe(&recordings(room.path())[0]).video().codec, "hevc");
}

#[test]
fn what_a_camera_refuses_ends_run_with_the_reason_and_no_password() {
    let camera = locked_camera();
    let url = camera.url().replace("rtsp://", "rtsp://admin:canary-in-a-url@");
    let refused = ask(&["run", "record", "--url", &url]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        both(&refused).contains("camkeep: the camera wants a user name and password, or others"),
        "{}",
        both(&refused)
    );
    assert!(!both(&refused).contains("canary"), "{}", both(&refused));
    let shown = ask(&["show", "record", "--url", &format!("{url}?token=canary2")]);
    assert!(
        ok(&shown).contains("token=***") && !both(&shown).contains("canary"),
        "{}",
        both(&shown)
    );
    drop(camera);
    let nobody = ask(&["run", "record", "--url", "rtsp://127.0.0.1:1/x"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(both(&nobody).contains("camkeep: the camera "), "{}", both(&nobody));
}

/// A directory with every installed plugin but one.
fn plugins_without(room: &Path, missing: &str) -> PathBuf {
    let installed = Command::new("pkg-config")
        .args(["--variable=pluginsdir", "gstreamer-1.0"])
        .output()
        .unwrap();
    let installed = PathBuf::from(String::from_utf8(installed.stdout).unwrap().trim());
    let directory = room.join(missing);
    std::fs::create_dir(&directory).unwrap();
    let mut found = false;
    for entry in std::fs::read_dir(&installed).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if name == missing {
            found = true;
        } else if path.is_file() {
            std::os::unix::fs::symlink(&path, directory.join(name)).unwrap();
        }
    }
    assert!(found, "{missing} is not in {}", installed.display());
    directory
}

#[test]
fn a_missing_plugin_is_named_with_the_package_that_has_it() {
    let room = TempDir::new().unwrap();
    for (plugin, element, package) in [
        ("libgstvideoparsersbad.so", "h264parse", "gstreamer1.0-plugins-bad"),
        ("libgstisomp4.so", "mp4mux", "gstreamer1.0-plugins-good"),
    ] {
        let directory = plugins_without(room.path(), plugin);
        let registry = room.path().join(format!("{plugin}.registry"));
        let mut daemon = Daemon::launch(&room.path().join("data"), |command| {
            command
                .env("GST_PLUGIN_SYSTEM_PATH_1_0", &directory)
                .env("GST_REGISTRY", &registry);
            command.env_remove("GST_PLUGIN_PATH").env_remove("GST_PLUGIN_PATH_1_0");
        });
        // All plugins are looked through anew, which takes its time.
        assert_eq!(
            daemon.wait_for_end(Duration::from_secs(60)).code,
            Some(1),
            "{}",
            daemon.log()
        );
        let wanted = format!("GStreamer's element `{element}` is missing; install Debian's package {package}");
        assert!(daemon.log().contains(&wanted), "{}", daemon.log());
    }
}
