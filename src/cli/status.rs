//! `camkeep status`: the box on one screen.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::camera::{say_json, text};
use super::client::Client;
use super::command::ServerArgs;
use super::entry::say;
use super::failure::Failure;
use super::words::{self, counted, plain};

#[derive(Debug, Args)]
#[command(after_help = "The exit code is 1 when a camera that should record does not, or when the mirror is away.")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(args: &StatusArgs) -> Result<(), Failure> {
    let client = Client::new(&args.server.server)?;
    let daemon: Value = client.get("/healthz")?;
    let cameras: Value = client.get("/api/v1/health/cameras")?;
    let mirror: Value = client.get("/api/v1/system/mirror")?;
    if args.json {
        say_json(&json!({ "daemon": daemon, "cameras": cameras, "mirror": mirror }))?;
    } else {
        lines(&daemon, &cameras, &mirror)
            .iter()
            .try_for_each(|line| say(line))?;
    }
    let away = text(&mirror, "state") == "absent";
    match unwell(&cameras).len() {
        0 if !away => Ok(()),
        0 => Err(Failure::other("the mirror is not there")),
        count => Err(Failure::other(format!(
            "{} not recording",
            counted(count, "camera is", "cameras are")
        ))),
    }
}

/// Cameras that should record and do not.
fn unwell(cameras: &Value) -> Vec<&Value> {
    let all = cameras.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_well = |camera: &&Value| matches!(camera["state"].as_str(), Some("recording" | "idle" | "disabled"));
    all.iter().filter(|camera| !is_well(camera)).collect()
}

fn lines(daemon: &Value, cameras: &Value, mirror: &Value) -> Vec<String> {
    let uptime = daemon["uptime_seconds"].as_f64().unwrap_or_default();
    let uptime = words::duration(Duration::try_from_secs_f64(uptime).unwrap_or_default());
    let all = cameras.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut states: Vec<(String, usize)> = Vec::new();
    for state in all.iter().map(|camera| text(camera, "state")) {
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => states.push((state, 1)),
        }
    }
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let mut lines = vec![format!("camkeep {}, running for {uptime}", text(daemon, "version"))];
    lines.push(match all.len() {
        0 => "no cameras yet; add one with `camkeep camera add NAME URL`".to_owned(),
        count => format!("{}: {}", counted(count, "camera", "cameras"), states.join(", ")),
    });
    for camera in unwell(cameras) {
        let why = [text(camera, "message"), text(camera, "loss"), text(camera, "state")];
        let why = why.into_iter().find(|why| !why.is_empty()).unwrap_or_default();
        lines.push(format!("  {}: {}", text(camera, "camera_id"), plain(&why)));
    }
    lines.push(match text(mirror, "state").as_str() {
        "off" => "no mirror".to_owned(),
        "caught_up" => "the mirror has everything".to_owned(),
        state => format!("the mirror is {}", state.replace('_', " ")),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_is_told_in_a_few_lines_and_who_does_not_record_by_name() {
        let daemon = json!({ "version": "0.1.0", "uptime_seconds": 7260.0 });
        let cameras = json!([
            { "camera_id": "yard", "state": "recording" },
            { "camera_id": "door", "state": "offline", "loss": "refused", "message": "the camera refuses the connection" },
            { "camera_id": "gate", "state": "recording" },
        ]);
        let told = lines(&daemon, &cameras, &json!({ "state": "behind" }));
        assert_eq!(
            told,
            [
                "camkeep 0.1.0, running for 2 h 1 min",
                "3 cameras: 2 recording, 1 offline",
                "  door: the camera refuses the connection",
                "the mirror is behind",
            ]
        );
        let told = lines(&daemon, &json!([]), &json!({ "state": "off" }));
        assert_eq!(
            told[1..],
            [
                "no cameras yet; add one with `camkeep camera add NAME URL`",
                "no mirror"
            ]
        );
    }
}
