//! What the daemon and the commands refuse: each with words that say what to do, and an exit code that scripts can tell
//! apart (2 the command line, 78 the configuration, 1 the rest).

use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use camkeep::pipeline::demo::{FakeCamera, StreamOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon_site::{Row, SOON, Site};
use crate::kit::daemon::Daemon;
use crate::kit::referee;

/// Starts the daemon, which has to end by itself; its exit code and the last line it said.
#[track_caller]
fn refused(data: &Path, change: impl FnOnce(&mut Command)) -> (Option<i32>, String) {
    let mut daemon = Daemon::launch(data, change);
    let ended = daemon.wait_for_end(SOON);
    let last = daemon.log().lines().next_back().unwrap_or_default().to_owned();
    (ended.code, last)
}

#[track_caller]
fn assert_refused((code, said): (Option<i32>, String), expected: i32, words: &[&str]) {
    assert_eq!(code, Some(expected), "{said}");
    assert!(said.starts_with("camkeep: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
}

/// A command of the program: exit code and what it said on standard error.
#[track_caller]
fn command(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_camkeep"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
    )
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused_and_the_first_goes_on() {
    let site = Site::start();
    let lines = site.daemon().log();
    assert_refused(
        refused(site.data(), |_| {}),
        1,
        &[&site.data().display().to_string(), "another"],
    );
    assert_eq!(site.daemon().get("/healthz").status, 200);
    assert_eq!(site.daemon().log(), lines, "the first noticed nothing");
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_recorded() {
    let room = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refusal = refused(&room.path().join("data"), |command| {
        // The last one counts neither for clap nor for people: the kit's own is taken away.
        let program = command.get_program().to_owned();
        let data = room.path().join("data");
        let mut other = Command::new(program);
        other.args(["run", "--listen", &address, "--data"]).arg(data);
        other.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null());
        other.stderr(std::fs::File::create(room.path().join("data.log.0")).unwrap());
        *command = other;
    });
    assert_refused(refusal, 1, &[&address, "--listen"]);
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let room = TempDir::new().unwrap();
    // Root may write anywhere but in places that are no place at all.
    std::fs::write(room.path().join("file"), "not a directory").unwrap();
    let data = room.path().join("file/data");
    let log = room.path().join("log");
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_camkeep"));
    daemon.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
    daemon.env("NO_COLOR", "1").stdin(Stdio::null());
    daemon.stderr(std::fs::File::create(&log).unwrap());
    let code = daemon.status().unwrap().code();
    let said = std::fs::read_to_string(&log).unwrap();
    let last = said.lines().next_back().unwrap_or_default().to_owned();
    assert_refused((code, last), 1, &[&data.display().to_string(), "--data"]);
    let read_only = Path::new("/proc/camkeep-data");
    let output = Command::new(env!("CARGO_BIN_EXE_camkeep"))
        .args(["run", "--listen", "127.0.0.1:0", "--data"])
        .arg(read_only)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().next_back().unwrap_or_default().to_owned();
    assert_refused((output.status.code(), last), 1, &["/proc/camkeep-data", "--data"]);
}

#[test]
fn an_index_of_a_newer_camkeep_is_left_alone() {
    let mut site = Site::start();
    site.stop();
    let index = site.data().join("index.db");
    let connection = rusqlite::Connection::open(&index).unwrap();
    connection.execute_batch("PRAGMA user_version = 9999").unwrap();
    connection.close().unwrap();
    let before = std::fs::read(&index).unwrap();
    assert_refused(refused(site.data(), |_| {}), 1, &["index.db", "newer"]);
    assert_eq!(std::fs::read(&index).unwrap(), before);
}

#[test]
fn a_missing_plugin_is_named_with_the_package_that_has_it() {
    let room = TempDir::new().unwrap();
    let query = Command::new("pkg-config")
        .args(["--variable=pluginsdir", "gstreamer-1.0"])
        .output()
        .expect("pkg-config has to be installed");
    let plugins = String::from_utf8_lossy(&query.stdout).trim().to_owned();
    let without = room.path().join("plugins");
    std::fs::create_dir(&without).unwrap();
    for plugin in std::fs::read_dir(&plugins).unwrap() {
        let plugin = plugin.unwrap();
        // The one that writes MP4.
        if plugin.file_name() != "libgstisomp4.so" {
            std::os::unix::fs::symlink(plugin.path(), without.join(plugin.file_name())).unwrap();
        }
    }
    let refusal = refused(&room.path().join("data"), |command| {
        command.env("GST_PLUGIN_SYSTEM_PATH_1_0", &without);
        command.env("GST_REGISTRY_1_0", room.path().join("registry.bin"));
    });
    assert_refused(refusal, 1, &["mp4mux", "gstreamer1.0-plugins-good"]);
}

#[test]
fn wrong_configuration_names_file_line_and_key() {
    let room = TempDir::new().unwrap();
    let file = room.path().join("camkeep.toml");
    let name = file.display().to_string();
    for (text, words) in [
        ("[http]\nlisten = 8080\n", vec![name.as_str(), "2", "listen"]),
        ("[record]\nstall_secnods = 5\n", vec![&name, "2", "stall_secnods"]),
        ("[record]\nstall_seconds = 1\n", vec![&name, "2", "stall_seconds"]),
        ("[record\n", vec![&name, "1"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let refusal = refused(&room.path().join("data"), |command| {
            command.arg("--config").arg(&file);
        });
        assert_eq!(refusal.0, Some(78), "{text:?}: {}", refusal.1);
        let daemon = Command::new(env!("CARGO_BIN_EXE_camkeep"))
            .args(["run", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&daemon.stderr).into_owned();
        for word in words {
            assert!(said.contains(word), "{word:?} is not said of {text:?}: {said}");
        }
    }
    let missing = room.path().join("nowhere.toml");
    let refusal = refused(&room.path().join("data"), |command| {
        command.arg("--config").arg(&missing);
    });
    assert_refused(refusal, 78, &["nowhere.toml"]);
    assert!(
        !room.path().join("data").exists(),
        "nothing was made before the configuration was read"
    );
}

#[test]
fn the_command_line_is_refused_with_two() {
    for arguments in [
        &["run", "--nonsense"][..],
        &["nonsense"],
        &["segments"],
        &["run", "--listen", "here"],
    ] {
        let (code, said) = command(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains("Usage") || said.contains("--help"), "{said}");
    }
}

#[test]
fn an_unknown_camera_and_a_bad_url_are_said_plainly() {
    let site = Site::start();
    let server = site.daemon().address().to_owned();
    let (code, said) = command(&["timeline", "nobody", "--server", &server]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("camkeep: ") && said.contains("nobody"), "{said}");
    let answer = site.daemon().get("/api/v1/cameras/nobody/segments");
    assert_eq!((answer.status, &answer.body["error"]), (404, &answer.body["detail"]));
    for url in ["http://10.0.0.1/main", "rtsp://", "rtsp://cam/a b", "main"] {
        let (code, said) = command(&["camera", "add", "Door", "--url", url, "--server", &server]);
        assert!(matches!(code, Some(1 | 2)), "{url}: {code:?} {said}");
        assert!(
            said.contains("main_stream_url") || said.contains("URL") || said.contains("rtsp"),
            "{said}"
        );
        let answer = site
            .daemon()
            .post("/api/v1/cameras", &json!({"name": "Door", "main_stream_url": url}));
        assert!(matches!(answer.status, 400 | 422), "{url}: {answer:?}");
    }
    assert_eq!(site.daemon().get("/api/v1/cameras").ok(), json!([]));
    let (code, said) = command(&["camera", "list", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("127.0.0.1:1"), "{said}");
}

/// What people see of a camera, without what is only true of one reading.
fn timeline(site: &Site, id: &str) -> (Value, Vec<(i64, i64, u64, String)>) {
    let window = "from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z";
    let timeline = site
        .daemon()
        .get(&format!("/api/v1/cameras/{id}/timeline?{window}"))
        .ok();
    let rows = site.rows(id).into_iter();
    let rows = rows
        .map(|row: Row| (row.start_ns, row.end_ns, row.frames, row.state))
        .collect();
    (timeline["ranges"].clone(), rows)
}

#[test]
fn a_damaged_index_is_rebuilt_from_the_files_with_the_same_timeline() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let mut site = Site::start();
    site.add_camera("door", &camera, 2);
    site.wait_closed("door", 3, SOON);
    site.stop();
    // Nobody records while it is compared.
    drop(camera);
    site.boot();
    let before = timeline(&site, "door");
    let known = site.daemon().get("/api/v1/cameras/door").ok();
    assert!(before.1.len() >= 3);
    site.stop();
    let index = site.data().join("index.db");
    let length = std::fs::metadata(&index).unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&index).unwrap();
    file.write_all_at(&vec![0x5a; usize::try_from(length - 4096).unwrap()], 4096)
        .unwrap();
    drop(file);
    site.boot();
    assert_eq!(
        site.daemon().get("/api/v1/cameras/door").ok(),
        known,
        "it comes back with its settings, which lie beside its footage"
    );
    let rows = crate::kit::wait::wait_for(Duration::from_secs(10), "the timeline to be as before", || {
        let now = timeline(&site, "door");
        if now == before {
            Ok(site.rows("door"))
        } else {
            Err(format!("{now:?}\nbefore: {before:?}"))
        }
    });
    assert!(referee::missing_or_doubled(&site.stamps("door", &rows)).is_nothing());
    let kept: Vec<_> = std::fs::read_dir(site.data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("index.db.") && !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    assert!(
        !kept.is_empty(),
        "the damaged index is kept for whoever wants to look at it"
    );
    assert!(!site.events("index_mended").is_empty(), "people are told");
}
