//! Credentials are where they are needed and nowhere else.

use std::time::Duration;

use camkeep::pipeline::demo::{FakeCamera, Login, StreamOptions};
use serde_json::json;
use tempfile::TempDir;

use crate::kit::daemon::Daemon;
use crate::kit::peer::{self, Mode};
use crate::kit::wait::wait_for;

/// Words that no other text has.
const WORD: &str = "kanarienvogel7";
const BASIC: &str = "a2FuYXJpZW52b2dlbDc";

#[test]
fn no_password_is_in_a_log_at_its_most_talkative_nor_in_any_answer() {
    let camera = FakeCamera::start(StreamOptions::small()).unwrap();
    let login = Login {
        user: "keeper".into(),
        password: WORD.into(),
    };
    camera.set_password(Some(&login)).unwrap();
    let locked = peer::start(Mode::UnauthorizedForEver);
    let target = format!("rtsp://keeper:{WORD}@127.0.0.1:9/elsewhere?password={WORD}");
    let pointing = peer::start(Mode::RedirectTo(target));
    let silent = peer::start(Mode::EmptySdp);
    let room = TempDir::new().unwrap();
    let daemon = Daemon::start_with(&room.path().join("data"), |command| {
        command.env("CAMKEEP_LOG_LEVEL", "trace");
        command.env("GST_DEBUG", "5").env("GST_DEBUG_NO_COLOR", "1");
    });
    let inside = |port: u16, path: &str| format!("rtsp://keeper:{WORD}@127.0.0.1:{port}{path}");
    for (id, camera) in [
        (
            "fields",
            json!({"main_stream_url": camera.url(), "username": "keeper", "password": WORD}),
        ),
        ("url", json!({"main_stream_url": inside(camera.port(), "/main")})),
        ("locked", json!({"main_stream_url": inside(locked.port(), "/main")})),
        (
            "query",
            json!({"main_stream_url": silent.url(&format!("/main?user=keeper&password={WORD}"))}),
        ),
        ("pointing", json!({"main_stream_url": inside(pointing.port(), "/main")})),
    ] {
        let mut body = camera;
        body["id"] = json!(id);
        body["name"] = json!(id);
        daemon.post("/api/v1/cameras", &body).ok();
    }
    let state = |id: &str| daemon.get(&format!("/api/v1/cameras/{id}/health")).ok()["state"].clone();
    for (id, wanted) in [
        ("fields", "recording"),
        ("url", "recording"),
        ("locked", "error"),
        ("query", "offline"),
        ("pointing", "offline"),
    ] {
        wait_for(Duration::from_secs(20), &format!("{id} is {wanted}"), || {
            let state = state(id);
            if state == wanted { Ok(()) } else { Err(state) }
        });
    }
    let mut said = vec![("log".to_owned(), daemon.log())];
    for path in [
        "/api/v1/cameras",
        "/api/v1/cameras/fields",
        "/api/v1/cameras/url",
        "/api/v1/cameras/query",
        "/api/v1/health/cameras",
        "/api/v1/events",
        "/readyz",
    ] {
        said.push((path.to_owned(), daemon.get(path).body.to_string()));
    }
    // The silence would prove nothing if nobody had talked.
    assert!(said[0].1.contains("rtspsrc"), "GStreamer's own log is in there");
    assert!(said[0].1.len() > 100_000, "{} bytes of log", said[0].1.len());
    daemon.terminate();
    for (place, text) in &said {
        for word in [WORD, BASIC] {
            let line = text.lines().find(|line| line.contains(word));
            assert!(line.is_none(), "{place}: {}", line.unwrap_or_default());
        }
    }
}
