//! `camkeep health`: how every camera is.

use serde_json::Value;

use super::camera::{say_json, table, text};
use super::client::Client;
use super::command::HealthArgs;
use super::entry::say;
use super::failure::Failure;
use super::words;

pub(super) fn health(args: &HealthArgs) -> Result<(), Failure> {
    let answer: Value = Client::new(&args.server.server)?.get("/api/v1/health/cameras")?;
    let cameras = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    if args.json {
        say_json(&answer)?;
    } else if cameras.is_empty() {
        say("no cameras yet; add one with `camkeep camera add NAME URL`")?;
    } else {
        let rows: Vec<[String; 5]> = cameras.iter().map(cells).collect();
        say(&table(&["ID", "STATE", "FRAMES", "RATE", "WHY"], &rows))?;
    }
    let unwell: Vec<String> = cameras
        .iter()
        .filter(|camera| !matches!(text(camera, "state").as_str(), "recording" | "idle" | "disabled"))
        .map(|camera| text(camera, "camera_id"))
        .collect();
    if unwell.is_empty() {
        Ok(())
    } else {
        Err(Failure::other(format!("not recording: {}", unwell.join(", "))))
    }
}

fn cells(camera: &Value) -> [String; 5] {
    let number = |field: &str| camera.get(field).and_then(Value::as_f64).unwrap_or_default();
    let why = match (text(camera, "message"), text(camera, "loss")) {
        (message, _) if !message.is_empty() => message,
        (_, loss) => loss,
    };
    [
        text(camera, "camera_id"),
        text(camera, "state"),
        format!("{:.1}/s", number("frames_per_second")),
        format!("{}/s", words::bytes(number("bytes_per_second"))),
        why,
    ]
}
