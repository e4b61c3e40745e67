//! `camkeep gaps`: what is missing, and why; what is kept of it, and having it tried again.

use chrono::Local;
use clap::Args;
use serde_json::Value;

use super::camera::{path, say_json, table, text};
use super::client::Client;
use super::command::{ServerArgs, TIMES, WindowArgs};
use super::entry::say;
use super::failure::Failure;
use super::timeline::{query, window};
use super::when;
use super::words;
use crate::model::Timestamp;
use crate::runtime::{Clock, SystemClock};

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  camkeep gaps                                  what is missing of every camera in the last 24 hours
  camkeep gaps front-door --from yesterday
  camkeep gaps front-door --kept --state failed
  camkeep gaps front-door --retry 7             have a gap fetched again from the camera

{TIMES}"))]
pub(super) struct GapsArgs {
    /// The camera's id [default: every camera]
    camera: Option<String>,
    #[command(flatten)]
    window: WindowArgs,
    /// List the gaps of more than 3 s that are kept until they are filled, of any time, with what became of them
    #[arg(long, conflicts_with_all = ["from", "to"])]
    kept: bool,
    /// Of those that are kept, only these: pending, filled, failed
    #[arg(long, requires = "kept", value_parser = ["pending", "filled", "failed"])]
    state: Option<String>,
    /// Have a kept gap tried again, with all its attempts before it
    #[arg(long, value_name = "GAP", requires = "camera", conflicts_with_all = ["kept", "from", "to"])]
    retry: Option<i64>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the rows as JSON, one a line
    #[arg(long)]
    json: bool,
}

pub(super) fn gaps(args: &GapsArgs) -> Result<(), Failure> {
    let client = Client::new(&args.server.server)?;
    if let (Some(camera), Some(gap)) = (&args.camera, args.retry) {
        let kept: Value = client.post(&format!("{}/recording-gaps/{gap}/retry", path(camera)), &Value::Null)?;
        return match args.json {
            true => say_json(&kept),
            false => say(&format!("gap {gap} of {} will be tried again", words::plain(camera))),
        };
    }
    let cameras = match &args.camera {
        Some(camera) => vec![camera.clone()],
        None => all(&client)?,
    };
    match args.kept {
        true => kept(args, &client, &cameras),
        false => computed(args, &client, &cameras),
    }
}

/// The ids of all cameras.
pub(super) fn all(client: &Client) -> Result<Vec<String>, Failure> {
    let cameras: Value = client.get("/api/v1/cameras")?;
    let cameras = cameras.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(cameras.iter().map(|camera| text(camera, "id")).collect())
}

fn computed(args: &GapsArgs, client: &Client, cameras: &[String]) -> Result<(), Failure> {
    let window = window(&args.window, SystemClock.now())?;
    let query = query(window);
    let mut rows = Vec::new();
    for camera in cameras {
        let gaps: Value = client.get(&format!("{}/gaps?{query}", path(camera)))?;
        for gap in gaps.as_array().map(Vec::as_slice).unwrap_or_default() {
            if args.json {
                say(&of_camera(gap, camera).to_string())?;
            } else {
                rows.push([
                    words::plain(camera),
                    local(gap, "start"),
                    local(gap, "end"),
                    length(gap, "seconds"),
                    text(gap, "cause"),
                ]);
            }
        }
    }
    listed(
        args,
        &["CAMERA", "START", "END", "LENGTH", "CAUSE"],
        &rows,
        "nothing is missing in this time",
    )
}

/// A row that says whose it is, which an answer about one camera need not.
fn of_camera(row: &Value, camera: &str) -> Value {
    let mut row = row.clone();
    if let Some(fields) = row.as_object_mut() {
        fields.insert("camera_id".to_owned(), Value::String(camera.to_owned()));
    }
    row
}

fn kept(args: &GapsArgs, client: &Client, cameras: &[String]) -> Result<(), Failure> {
    let state = args
        .state
        .as_ref()
        .map_or(String::new(), |state| format!("?state={state}"));
    let mut rows = Vec::new();
    for camera in cameras {
        let mut next = Some(format!("{}/recording-gaps{state}", path(camera)));
        while let Some(place) = next {
            let page = client.page(&place)?;
            for gap in &page.rows {
                if args.json {
                    say(&gap.to_string())?;
                } else {
                    rows.push(kept_cells(gap));
                }
            }
            next = page.next;
        }
    }
    let head = [
        "ID",
        "CAMERA",
        "START",
        "END",
        "LENGTH",
        "CAUSE",
        "STATE",
        "TRIED",
        "RECOVERED",
    ];
    listed(args, &head, &rows, "no gap is kept")
}

fn kept_cells(gap: &Value) -> [String; 9] {
    let open = gap["open"].as_bool().unwrap_or_default();
    [
        text(gap, "id"),
        text(gap, "camera_id"),
        local(gap, "gap_start"),
        if open {
            "lasts".to_owned()
        } else {
            local(gap, "gap_end")
        },
        length(gap, "gap_seconds"),
        text(gap, "cause"),
        text(gap, "fill_state"),
        text(gap, "fill_attempts"),
        length(gap, "recovered_seconds"),
    ]
}

fn listed<const N: usize>(
    args: &GapsArgs,
    head: &[&str; N],
    rows: &[[String; N]],
    nothing: &str,
) -> Result<(), Failure> {
    match (args.json, rows.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => say(nothing),
        (false, false) => say(&table(head, rows)),
    }
}

pub(super) fn local(row: &Value, field: &str) -> String {
    Timestamp::parse(&text(row, field)).map_or_else(|_| String::new(), |moment| when::show(moment, &Local))
}

pub(super) fn length(row: &Value, field: &str) -> String {
    let seconds = row.get(field).and_then(Value::as_f64).unwrap_or_default();
    words::duration(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
