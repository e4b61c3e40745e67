//! `camkeep mirror`: how the second volume is, and what is ordered of it.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::camera::{say_json, text};
use super::client::Client;
use super::command::ServerArgs;
use super::entry::say;
use super::failure::Failure;
use super::mirror_restore::{RestoreArgs, restore_offline};
use super::ticker::Ticker;
use super::words;
use crate::runtime::pause;

const MIRROR: &str = "/api/v1/system/mirror";
/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum MirrorCommand {
    /// Say how the mirror is: what it holds, and what it lacks
    Status {
        #[command(flatten)]
        server: ServerArgs,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Read every copy on the mirror and its first copy, and heal what differs; the exit code is 1 when something is not whole
    Verify {
        #[command(flatten)]
        server: ServerArgs,
        /// Print the outcome as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write recordings anew from the mirror that are missing or damaged; the exit code is 1 when something is not whole
    Restore {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        restore: RestoreArgs,
    },
    /// Take whatever disk is mounted at the mirror's place as the new mirror, because the one before it died
    Replace {
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Does it.
pub(super) fn mirror(command: &MirrorCommand) -> Result<(), Failure> {
    match command {
        MirrorCommand::Status { server, json } => status(server, *json),
        MirrorCommand::Verify { server, json } => tour(server, *json, "verify"),
        MirrorCommand::Restore { restore, .. } if restore.offline => restore_offline(restore),
        MirrorCommand::Restore { server, restore } => tour(server, restore.json, "restore"),
        MirrorCommand::Replace { server } => {
            let told: Value = Client::new(&server.server)?.post(&format!("{MIRROR}/replace"), &no_fields())?;
            say(&format!(
                "what lies at {} is the mirror as soon as it is there",
                text(&told, "root")
            ))
        }
    }
}

fn status(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let told: Value = Client::new(&server.server)?.get(MIRROR)?;
    if json {
        return say_json(&told);
    }
    lines(&told).iter().try_for_each(|line| say(line))
}

/// How a mirror is, for people.
fn lines(told: &Value) -> Vec<String> {
    let amount = |segments: &str, bytes: &str| {
        let (segments, bytes) = (number(told, segments), number(told, bytes));
        let segments = words::counted(segments, "segment", "segments");
        format!("{segments}, {}", words::bytes(bytes as f64))
    };
    let state = text(told, "state");
    let mut lines = vec![match state.as_str() {
        "off" => "no mirror: start camkeep with --mirror DIR".to_owned(),
        "absent" => format!("the mirror {} is not there", text(told, "root")),
        "behind" => format!("the mirror {} lacks something and is catching up", text(told, "root")),
        _ => format!("the mirror {} has everything", text(told, "root")),
    }];
    let reason = text(told, "reason");
    if !reason.is_empty() {
        lines.push(format!("  {reason}"));
    }
    if state == "off" {
        return lines;
    }
    lines.push(format!("  holds   {}", amount("held_segments", "held_bytes")));
    lines.push(format!("  lacks   {}", amount("owed_segments", "owed_bytes")));
    if number(told, "owed_segments") > 0 {
        let rate = told["copy_bytes_per_second"].as_f64().unwrap_or_default();
        lines.push(match told["paused"].as_bool() {
            Some(true) => "  waits   until the clips that are being made are done".to_owned(),
            _ => format!("  copies  {}/s", words::bytes(rate)),
        });
    }
    let (free, total) = (number(told, "available_bytes"), number(told, "total_bytes"));
    lines.push(format!(
        "  free    {} of {}",
        words::bytes(free as f64),
        words::bytes(total as f64)
    ));
    for (name, what) in [("verify", "verified"), ("restore", "restored")] {
        if told[name].is_object() {
            lines.push(format!("  {what}: {}", outcome(&told[name])));
        }
    }
    lines
}

/// How far a walk is, or what came of it.
fn outcome(tour: &Value) -> String {
    let of = |name: &str| number(tour, name);
    let all = of("segments").max(of("done"));
    let mut words = format!("{} of {}", of("done"), words::counted(all, "segment", "segments"));
    for (name, what) in [
        ("mirror_wrong", "differed on the mirror"),
        ("primary_wrong", "differed on the primary"),
        ("healed", "are whole again"),
        ("failed", "could not be made whole"),
        ("lost", "are whole nowhere"),
    ] {
        if of(name) > 0 {
            words = format!("{words}, {} {what}", of(name));
        }
    }
    words
}

/// Orders a walk and says how far it is until it is over.
fn tour(server: &ServerArgs, json: bool, name: &str) -> Result<(), Failure> {
    let client = Client::new(&server.server)?;
    let mut told: Value = client.post(&format!("{MIRROR}/{name}"), &no_fields())?;
    let mut ticker = Ticker::new(json);
    while told[name]["running"].as_bool().unwrap_or_default() {
        ticker.tell(|| outcome(&told[name]));
        pause(LOOK);
        told = client.get(MIRROR)?;
        if told["state"] == "absent" {
            return Err(Failure::other(format!(
                "the mirror was lost meanwhile: {}",
                text(&told, "reason")
            )));
        }
    }
    ticker.end();
    match json {
        true => say_json(&told[name])?,
        false => say(&outcome(&told[name]))?,
    }
    match number(&told[name], "lost") + number(&told[name], "failed") {
        0 => Ok(()),
        more => Err(Failure::other(format!(
            "{more} recordings are not whole; the log of camkeep names them"
        ))),
    }
}

fn no_fields() -> Value {
    Value::Object(serde_json::Map::new())
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mirror_is_described_by_what_it_holds_and_lacks() {
        let told = json!({
            "state": "behind", "root": "/mnt/mirror", "reason": "its disk does not keep up", "held_segments": 10,
            "held_bytes": 50_000_000, "owed_segments": 2, "owed_bytes": 4_000_000, "copy_bytes_per_second": 1.5e6,
            "paused": false, "available_bytes": 8e9 as u64, "total_bytes": 16e9 as u64,
            "verify": {"done": 4, "segments": 10, "running": true, "mirror_wrong": 1, "healed": 1}, "restore": null,
        });
        let lines = lines(&told);
        assert_eq!(
            lines,
            [
                "the mirror /mnt/mirror lacks something and is catching up",
                "  its disk does not keep up",
                "  holds   10 segments, 50 MB",
                "  lacks   2 segments, 4.0 MB",
                "  copies  1.5 MB/s",
                "  free    8.0 GB of 16 GB",
                "  verified: 4 of 10 segments, 1 differed on the mirror, 1 are whole again",
            ]
        );
    }

    #[test]
    fn a_box_without_a_mirror_is_told_how_to_get_one() {
        let told = json!({"state": "off", "reason": null});
        assert_eq!(lines(&told), ["no mirror: start camkeep with --mirror DIR"]);
    }
}
