//! `camkeep refill`: what lacks is fetched from the camera itself.

use clap::Args;
use serde_json::{Value, json};

use super::camera::{path, say_json, text};
use super::client::Client;
use super::command::{ServerArgs, TIMES, WindowArgs};
use super::entry::say;
use super::failure::Failure;
use super::gaps::{all, length};
use super::timeline::times;
use super::words;
use crate::model::Timestamp;
use crate::runtime::{Clock, SystemClock};

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  camkeep refill 7                              fetch gap 7 again; `camkeep gaps --kept` lists them
  camkeep refill front-door --from 10:30 --to 10:45

The camera has to have storage of its own and a way to be asked for it: its vendor, or `anr_replay_url_template`. What came
of it is told by `camkeep gaps CAMERA --kept`.

{TIMES}"))]
pub(super) struct RefillArgs {
    /// The number of a kept gap, or a camera's id together with --from
    #[arg(value_name = "GAP|CAMERA")]
    what: String,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn refill(args: &RefillArgs) -> Result<(), Failure> {
    let now = SystemClock.now();
    let (from, to) = times(&args.window, now)?;
    let client = Client::new(&args.server.server)?;
    match (from, args.what.parse::<i64>()) {
        (Some(from), _) => span(args, &client, from, to.unwrap_or(now)),
        (None, Ok(gap)) => one(args, &client, gap),
        (None, Err(_)) => Err(Failure::usage(
            "say which span of the camera is wanted with --from, or give the number of a gap",
        )),
    }
}

fn span(args: &RefillArgs, client: &Client, from: Timestamp, to: Timestamp) -> Result<(), Failure> {
    let body = json!({ "from": from, "to": to });
    let ordered: Value = client.post(&format!("{}/refill", path(&args.what)), &body)?;
    if args.json {
        return say_json(&ordered);
    }
    let gaps = ordered["gaps"].as_array().map(Vec::as_slice).unwrap_or_default();
    for gap in gaps {
        let (id, length) = (text(gap, "id"), length(gap, "gap_seconds"));
        say(&format!(
            "gap {id} of {} is fetched: {length} from {}",
            words::plain(&args.what),
            text(gap, "gap_start")
        ))?;
    }
    Ok(())
}

/// A gap is known by its number alone, and its camera is looked for.
fn one(args: &RefillArgs, client: &Client, gap: i64) -> Result<(), Failure> {
    for camera in all(client)? {
        let mut next = Some(format!("{}/recording-gaps?limit=1000", path(&camera)));
        while let Some(place) = next {
            let page = client.page(&place)?;
            if page.rows.iter().any(|row| row["id"] == gap) {
                let place = format!("{}/recording-gaps/{gap}/retry", path(&camera));
                let kept: Value = client.post(&place, &Value::Null)?;
                return match args.json {
                    true => say_json(&kept),
                    false => say(&format!("gap {gap} of {} is fetched", words::plain(&camera))),
                };
            }
            next = page.next;
        }
    }
    Err(Failure::other(format!(
        "there is no gap {gap}; `camkeep gaps --kept` lists those that are kept"
    )))
}
