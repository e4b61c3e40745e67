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
        (_, loss) if loss.is_empty() && camera.get("ticks_believed") == Some(&Value::Bool(false)) => {
            "its timestamps do not keep time: frames are dated by their arrival".to_owned()
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn timestamps_that_are_not_believed_are_told_unless_there_is_worse_to_tell() {
        let why = |ticks_believed: bool, message: Value| {
            let camera = json!({"ticks_believed": ticks_believed, "message": message, "loss": null});
            let [.., why] = cells(&camera);
            why
        };
        assert_eq!(why(true, Value::Null), "");
        assert!(why(false, Value::Null).contains("timestamps"));
        assert_eq!(why(false, json!("it is gone")), "it is gone");
    }
}
