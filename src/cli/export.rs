//! `camkeep export`: footage of a window as a file, and what there is of exports and clips.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Local;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::camera::{table, text};
use super::client::{Client, part};
use super::command::ServerArgs;
use super::entry::{say, unwritten};
use super::failure::Failure;
use super::fetch::{Bar, fetch, refuse_existing, save};
use super::{when, words};
use crate::model::Timestamp;
use crate::runtime::{Clock, SystemClock, pause};

/// How often it is asked how far a job is.
const ASK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  camkeep export front-door 10:30 10:31
  camkeep export front-door \"yesterday 22:00\" \"yesterday 23:30\" -o night.mp4
  camkeep export front-door -- -15m -5m
  camkeep export front-door 10:30 10:31 -o - | ffplay -

Times: 10:30, `yesterday 22:00`, 2026-11-20, `2026-11-20 10:30` (all local),
2026-11-20T10:30:00Z, -15m, -2h, -1d, now.

The manifest of a clip and its signature are saved beside it. Where the camera changed its codec or size in between, there is a
file of each. Ctrl-C ends only the waiting; `camkeep exports --cancel ID` ends the job.")]
pub(super) struct ExportArgs {
    /// The camera's id
    pub(super) camera: String,
    /// Begin here
    #[arg(value_name = "FROM", allow_hyphen_values = true)]
    pub(super) from: String,
    /// End here
    #[arg(value_name = "TO", allow_hyphen_values = true)]
    pub(super) to: String,
    /// Write to this file, `-` for standard output [default: CAMERA_FROM_TO.mp4]
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// How the clip begins where no keyframe lies
    #[arg(long, value_enum, default_value_t)]
    pub(super) mode: ModeWord,
    /// Add a text track that tells the time
    #[arg(long)]
    pub(super) captions: bool,
    /// Write over a file that is there
    #[arg(long)]
    pub(super) force: bool,
    /// Say how far it is, also where standard error is no terminal
    #[arg(long)]
    pub(super) progress: bool,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

/// How a clip begins, as people type it.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum ModeWord {
    /// To the frame, without encoding anything
    #[default]
    Exact,
    /// With the keyframe before, which is shown too
    Keyframe,
    /// To the frame, with its first pictures encoded anew, for players that pass over edit lists
    ReencodeHead,
}

impl ModeWord {
    const fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Keyframe => "keyframe",
            Self::ReencodeHead => "reencode_head",
        }
    }
}

/// What is done with exports that were ordered.
#[derive(Debug, Args)]
pub(super) struct ExportsArgs {
    /// Call this one off; one that is over is forgotten
    #[arg(long, value_name = "ID")]
    pub(super) cancel: Option<String>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print the rows as JSON, one a line
    #[arg(long)]
    pub(super) json: bool,
}

/// What is done with clips that are kept.
#[derive(Debug, Subcommand)]
pub(super) enum ClipsCommand {
    /// List the clips, the newest first
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this camera
        #[arg(long)]
        camera: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
        /// Print the rows as JSON, one a line
        #[arg(long)]
        json: bool,
    },
    /// Remove a clip
    #[command(visible_alias = "rm")]
    Remove {
        /// The clip's id
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub(super) fn export(args: &ExportArgs) -> Result<(), Failure> {
    let now = SystemClock.now();
    let read = |name: &str, text: &str| {
        when::parse(text, now, &Local).map_err(|error| Failure::usage(format!("{name}: {error}")))
    };
    let (from, to) = (read("FROM", &args.from)?, read("TO", &args.to)?);
    if to <= from {
        return Err(Failure::usage("TO must be after FROM"));
    }
    let to_pipe = args.output.as_deref() == Some(Path::new("-"));
    if to_pipe && std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "-o -: a clip cannot be shown on a terminal; send it into a pipe or a file",
        ));
    }
    if let Some(file) = args.output.as_deref().filter(|_| !to_pipe) {
        refuse_existing(file, args.force)?;
    }
    let client = Client::new(&args.server.server)?;
    let order = json!({
        "cameras": [args.camera], "from": from, "to": to, "mode": args.mode.word(), "captions": args.captions,
    });
    let job: Value = client.post("/api/v1/exports", &order)?;
    let bar = Bar::new(args.progress);
    let job = wait(&client, &text(&job, "id"), &bar)?;
    let clips = job["clips"].as_array().cloned().unwrap_or_default();
    if clips.is_empty() {
        let why = text(&job, "error");
        let why = why.strip_prefix(&format!("{}: ", args.camera)).unwrap_or(&why);
        return Err(Failure::other(match text(&job, "state").as_str() {
            "cancelled" => "the export was called off".to_owned(),
            _ => words::plain(why),
        }));
    }
    if to_pipe {
        let [clip] = clips.as_slice() else {
            return Err(Failure::other(
                "the camera changed its pictures in between, so there is more than one file; give -o FILE",
            ));
        };
        let mut out = std::io::stdout().lock();
        fetch(&client, clip, &mut out, &bar)?;
        return out.flush().map_err(unwritten);
    }
    let count = clips.len();
    for (number, clip) in (1..).zip(&clips) {
        let file = match &args.output {
            None => PathBuf::from(text(clip, "filename")),
            Some(file) if count == 1 => file.clone(),
            Some(file) => numbered(file, number),
        };
        save(&client, clip, &file, args.force, &bar)?;
        say(&told(clip, &file))?;
    }
    match job["error"].as_str() {
        Some(error) => Err(Failure::other(words::plain(error))),
        None => Ok(()),
    }
}

/// What is to be known about a clip in one line.
fn told(clip: &Value, file: &Path) -> String {
    let seconds = Duration::try_from_secs_f64(clip["covered_seconds"].as_f64().unwrap_or(0.0)).unwrap_or_default();
    let gaps = match clip["gaps"].as_array().map_or(0, Vec::len) {
        0 => "no gap".to_owned(),
        1 => "1 gap".to_owned(),
        more => format!("{more} gaps"),
    };
    let size = words::bytes(clip["size_bytes"].as_f64().unwrap_or(0.0));
    let cut = match clip["requested_to"].is_string() {
        true => format!("; it ends at {}, when it was made", local(clip, "to")),
        false => String::new(),
    };
    format!("{}: {}, {size}, {gaps}{cut}", file.display(), words::duration(seconds))
}

fn wait(client: &Client, id: &str, bar: &Bar) -> Result<Value, Failure> {
    loop {
        let job: Value = client.get(&format!("/api/v1/exports/{}", part(id)))?;
        if job["ended_at"].is_string() {
            return Ok(job);
        }
        let what = if job["state"] == "queued" { "waiting" } else { "making" };
        bar.show(what, job["progress"].as_f64().unwrap_or(0.0));
        pause(ASK);
    }
}

/// `clip-2.mp4` beside `clip.mp4`.
fn numbered(file: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return file.to_owned();
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = match file.extension() {
        Some(end) => format!("{stem}-{number}.{}", end.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    file.with_file_name(name)
}

pub(super) fn exports(args: &ExportsArgs) -> Result<(), Failure> {
    let client = Client::new(&args.server.server)?;
    if let Some(id) = &args.cancel {
        return client.delete(&format!("/api/v1/exports/{}", part(id)));
    }
    list(
        &client,
        "/api/v1/exports?limit=500",
        args.json,
        &["ORDERED", "CAMERAS", "FROM", "TO", "STATE", "ID"],
        |row| {
            let cameras = row["cameras"].as_array().cloned().unwrap_or_default();
            let cameras: Vec<&str> = cameras.iter().filter_map(Value::as_str).collect();
            let state = match text(row, "state").as_str() {
                "running" => format!("{:.0} %", row["progress"].as_f64().unwrap_or(0.0) * 100.0),
                state => state.to_owned(),
            };
            [
                local(row, "created_at"),
                cameras.join(", "),
                local(row, "from"),
                local(row, "to"),
                state,
                text(row, "id"),
            ]
        },
    )
}

pub(super) fn clips(command: &ClipsCommand) -> Result<(), Failure> {
    match command {
        ClipsCommand::Remove { id, server } => {
            Client::new(&server.server)?.delete(&format!("/api/v1/clips/{}", part(id)))
        }
        ClipsCommand::List { camera, server, json } => {
            let client = Client::new(&server.server)?;
            let of = camera.as_ref().map(|camera| format!("&camera={}", part(camera)));
            let place = format!("/api/v1/clips?limit=500{}", of.unwrap_or_default());
            list(
                &client,
                &place,
                *json,
                &["MADE", "LENGTH", "SIZE", "GOES", "FILE", "ID"],
                |row| {
                    let seconds = row["covered_seconds"].as_f64().unwrap_or(0.0);
                    let goes = row["expires_at"].is_string();
                    [
                        local(row, "created_at"),
                        words::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
                        words::bytes(row["size_bytes"].as_f64().unwrap_or(0.0)),
                        if goes {
                            local(row, "expires_at")
                        } else {
                            "stays".to_owned()
                        },
                        text(row, "filename"),
                        text(row, "id"),
                    ]
                },
            )
        }
    }
}

fn list(
    client: &Client,
    place: &str,
    json: bool,
    heads: &[&str; 6],
    cells: impl Fn(&Value) -> [String; 6],
) -> Result<(), Failure> {
    let mut next = Some(place.to_owned());
    while let Some(place) = next {
        let page = client.page(&place)?;
        if json {
            for row in &page.rows {
                say(&row.to_string())?;
            }
        } else {
            let rows: Vec<[String; 6]> = page
                .rows
                .iter()
                .map(|row| cells(row).map(|cell| words::plain(&cell)))
                .collect();
            say(&table(heads, &rows))?;
        }
        next = page.next;
    }
    Ok(())
}

/// A time of a row on the clock of whoever reads it.
fn local(row: &Value, name: &str) -> String {
    match Timestamp::parse(&text(row, name)) {
        Ok(time) => time
            .to_utc()
            .with_timezone(&Local)
            .format("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_clip_is_told_in_one_line_and_several_have_names_of_their_own() {
        let clip = json!({"covered_seconds": 57.0, "size_bytes": 4_120_313, "gaps": [{}]});
        assert_eq!(told(&clip, Path::new("a.mp4")), "a.mp4: 57 s, 4.1 MB, 1 gap");
        assert_eq!(numbered(Path::new("x/night.mp4"), 1), Path::new("x/night.mp4"));
        assert_eq!(numbered(Path::new("x/night.mp4"), 2), Path::new("x/night-2.mp4"));
        assert_eq!(numbered(Path::new("night"), 3), Path::new("night-3"));
    }
}
