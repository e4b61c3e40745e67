//! `camkeep storage`: how full the disks are, and how long what is recorded fits.

use clap::Args;
use serde_json::Value;

use super::camera::{say_json, text};
use super::client::Client;
use super::command::ServerArgs;
use super::entry::say;
use super::failure::Failure;
use super::words;

/// How wide a bar is.
const BAR: usize = 30;

#[derive(Debug, Args)]
pub(super) struct StorageArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Prints it.
pub(super) fn storage(args: &StorageArgs) -> Result<(), Failure> {
    let told: Value = Client::new(&args.server.server)?.get("/api/v1/system")?;
    if args.json {
        return say_json(&told);
    }
    lines(&told).iter().try_for_each(|line| say(line))
}

fn lines(told: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for name in ["primary", "mirror"] {
        if told[name].is_object() {
            lines.extend(disk(name, &told[name]));
        }
    }
    let cameras = told["cameras"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = number(&told["primary"], "recordings_bytes");
    let width = cameras
        .iter()
        .map(|camera| text(camera, "camera_id").len())
        .max()
        .unwrap_or(0);
    for camera in cameras {
        let (id, bytes) = (text(camera, "camera_id"), number(camera, "bytes"));
        lines.push(format!("  {id:width$}  {}  {}", bar(bytes, all), words::bytes(bytes)));
    }
    lines
}

fn disk(name: &str, disk: &Value) -> Vec<String> {
    let (total, free) = (number(disk, "total_bytes"), number(disk, "available_bytes"));
    let mut lines = vec![format!(
        "{name:<8} {}  {} of {} free, {} stay free",
        bar(total - free, total),
        words::bytes(free),
        words::bytes(total),
        words::bytes(number(disk, "min_free_bytes")),
    )];
    lines.push(match number(disk, "recordings_segments") {
        count if count >= 1.0 => format!(
            "  holds  {} in {}, from {} to {}",
            words::bytes(number(disk, "recordings_bytes")),
            words::counted(count as u64, "segment", "segments"),
            text(disk, "oldest"),
            text(disk, "newest"),
        ),
        _ => "  holds  nothing that was counted yet; that is done each minute".to_owned(),
    });
    let days = |key: &str| disk[key].as_f64();
    if let (Some(left), Some(fit)) = (days("projected_days_remaining"), days("days_that_fit")) {
        let rate = words::bytes(number(disk, "write_bytes_per_day"));
        lines.push(format!(
            "  writes {rate} a day: room for {left:.1} days more, {fit:.1} days fit"
        ));
    }
    let problem = text(disk, "problem");
    if !problem.is_empty() {
        lines.push(format!("  {problem}"));
    }
    lines
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_default()
}

/// A share of a whole as a bar.
fn bar(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 {
        (part / whole).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let full = (share * BAR as f64).round() as usize;
    format!(
        "[{}{}] {:3.0} %",
        "#".repeat(full),
        ".".repeat(BAR - full),
        share * 100.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn disks_and_cameras_are_a_table_with_bars() {
        let told = json!({
            "primary": {"total_bytes": 1000e9, "available_bytes": 250e9, "min_free_bytes": 5e9, "recordings_bytes": 700e9,
                "recordings_segments": 20_000, "oldest": "2026-11-01T00:00:00.000Z", "newest": "2026-11-20T00:00:00.000Z",
                "write_bytes_per_day": 35e9, "projected_days_remaining": 7.0, "days_that_fit": 27.0, "problem": null},
            "mirror": null,
            "cameras": [{"camera_id": "door", "bytes": 525e9}, {"camera_id": "yard", "bytes": 175e9}],
        });
        let lines = lines(&told);
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert!(
            lines[0].contains("[#######################.......]  75 %"),
            "{}",
            lines[0]
        );
        assert!(lines[2].contains("7.0 days more, 27.0 days fit"), "{}", lines[2]);
        assert!(
            lines[3].contains("door  [#######################.......]"),
            "{}",
            lines[3]
        );
    }
}
