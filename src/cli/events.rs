//! `camkeep events`: what happened, in the order in which it did.

use clap::Args;
use serde_json::Value;

use super::camera::{table, text};
use super::client::{Client, part};
use super::command::{ServerArgs, TIMES, WindowArgs};
use super::entry::say;
use super::failure::Failure;
use super::gaps::local;
use super::timeline::{query, window};
use super::words::plain;
use crate::runtime::{Clock, SystemClock};

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  camkeep events                                what happened in the last 24 hours
  camkeep events --from -7d --type recording_gap
  camkeep events --camera front-door --json

{TIMES}"))]
pub(super) struct EventsArgs {
    /// Only those of this camera
    #[arg(long)]
    camera: Option<String>,
    /// Only those of this kind, like camera_offline or recording_gap
    #[arg(long, value_name = "KIND")]
    r#type: Option<String>,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the rows as JSON, one a line
    #[arg(long)]
    json: bool,
}

pub(super) fn events(args: &EventsArgs) -> Result<(), Failure> {
    let window = window(&args.window, SystemClock.now())?;
    let client = Client::new(&args.server.server)?;
    let mut place = format!("/api/v1/events?{}", query(window));
    for (name, value) in [("camera", &args.camera), ("type", &args.r#type)] {
        if let Some(value) = value {
            place.push_str(&format!("&{name}={}", part(value)));
        }
    }
    let (mut next, mut count) = (Some(place), 0);
    while let Some(place) = next {
        let page = client.page(&place)?;
        count += page.rows.len();
        if args.json {
            page.rows.iter().try_for_each(|row| say(&row.to_string()))?;
        } else if !page.rows.is_empty() {
            let rows: Vec<[String; 4]> = page.rows.iter().map(cells).collect();
            say(&table(&["WHEN", "CAMERA", "KIND", "WHAT"], &rows))?;
        }
        next = page.next;
    }
    match count {
        0 if !args.json => say("nothing happened in this time"),
        _ => Ok(()),
    }
}

fn cells(event: &Value) -> [String; 4] {
    [
        local(event, "at"),
        plain(&text(event, "camera_id")),
        text(event, "type"),
        plain(&text(event, "message")),
    ]
}
