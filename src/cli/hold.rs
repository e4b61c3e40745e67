//! `camkeep hold`: footage that stays, whatever retention wants.

use chrono::Local;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::camera::{say_json, table, text};
use super::client::{Client, part};
use super::command::{ServerArgs, TIMES};
use super::entry::say;
use super::failure::Failure;
use super::gaps::local;
use super::when;
use super::words::plain;
use crate::runtime::{Clock, SystemClock};

const HOLDS: &str = "/api/v1/holds";

#[derive(Debug, Subcommand)]
pub(super) enum HoldCommand {
    /// Hold the footage of a time, also what is still to be recorded
    Add(HoldAddArgs),
    /// List what is held, and why
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        server: ServerArgs,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// End a hold: retention keeps its footage by the rules again
    #[command(visible_alias = "rm")]
    Remove {
        /// The hold's id, as `camkeep hold list` shows it
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  camkeep hold add front-door 10:30 11:00 --reason \"broken window\"
  camkeep hold add --reason theft --incident 2026-17 front-door,yard -- -1h now

{TIMES}"))]
pub(super) struct HoldAddArgs {
    /// The cameras' ids, with commas between them
    cameras: String,
    /// Begin here
    #[arg(value_name = "FROM", allow_hyphen_values = true)]
    from: String,
    /// End here; it may be in the future
    #[arg(value_name = "TO", allow_hyphen_values = true)]
    to: String,
    /// Why it is held
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The incident that it belongs to
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// When it ends by itself [default: when it is removed]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn hold(command: &HoldCommand) -> Result<(), Failure> {
    match command {
        HoldCommand::Add(args) => add(args),
        HoldCommand::List { server, json } => list(server, *json),
        HoldCommand::Remove { id, server } => remove(id, server),
    }
}

fn add(args: &HoldAddArgs) -> Result<(), Failure> {
    let now = SystemClock.now();
    let read = |name: &str, text: &str| {
        when::parse(text, now, &Local).map_err(|error| Failure::usage(format!("{name}: {error}")))
    };
    let (from, to) = (read("FROM", &args.from)?, read("TO", &args.to)?);
    if to <= from {
        return Err(Failure::usage("TO must be after FROM"));
    }
    let expires = args
        .expires
        .as_deref()
        .map(|text| read("--expires", text))
        .transpose()?;
    let cameras: Vec<&str> = args
        .cameras
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .collect();
    let body = json!({
        "cameras": cameras, "from": from, "to": to, "reason": args.reason, "incident_id": args.incident,
        "expires_at": expires,
    });
    let added: Value = Client::new(&args.server.server)?.post(HOLDS, &body)?;
    if args.json {
        return say_json(&added);
    }
    let id = text(&added, "id");
    say(&format!("held by {id}; end it with `camkeep hold remove {id}`"))
}

fn list(server: &ServerArgs, json: bool) -> Result<(), Failure> {
    let found: Value = Client::new(&server.server)?.get(HOLDS)?;
    if json {
        return say_json(&found);
    }
    let rows: Vec<[String; 7]> = found.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return say("nothing is held");
    }
    say(&table(
        &["ID", "CAMERAS", "FROM", "TO", "REASON", "INCIDENT", "EXPIRES"],
        &rows,
    ))
}

fn row(hold: &Value) -> [String; 7] {
    let cameras = hold["cameras"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let expires = match hold["expires_at"].is_string() {
        true => local(hold, "expires_at"),
        false => "never".to_owned(),
    };
    [
        text(hold, "id"),
        plain(&cameras.collect::<Vec<_>>().join(", ")),
        local(hold, "from"),
        local(hold, "to"),
        text(hold, "reason"),
        text(hold, "incident_id"),
        expires,
    ]
}

fn remove(id: &str, server: &ServerArgs) -> Result<(), Failure> {
    Client::new(&server.server)?.delete(&format!("{HOLDS}/{}", part(id)))?;
    say(&format!("removed hold {}", plain(id)))
}
