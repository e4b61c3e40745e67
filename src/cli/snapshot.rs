//! `camkeep snapshot`: one frame as a still.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use chrono::Local;
use clap::Args;

use super::camera::path;
use super::client::{Client, part};
use super::command::ServerArgs;
use super::entry::{say, unwritten};
use super::failure::Failure;
use super::when;
use crate::model::Timestamp;
use crate::runtime::{Clock, SystemClock};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  camkeep snapshot front-door                            the newest frame
  camkeep snapshot front-door \"yesterday 22:00\" -o night.jpg
  camkeep snapshot front-door 10:30:05.250 --width 640 -o - | display

Times: 10:30, `yesterday 22:00`, 2026-11-20, `2026-11-20 10:30` (all local),
2026-11-20T10:30:00Z, -15m, -2h, -1d, now.")]
pub(super) struct SnapshotArgs {
    /// The camera's id
    pub(super) camera: String,
    /// The moment [default: now, the newest frame]
    #[arg(value_name = "TIME", allow_hyphen_values = true)]
    pub(super) at: Option<String>,
    /// Write to this file, `-` for standard output; a name that ends in .png makes a PNG [default: CAMERA_TIME.jpg]
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// At most so many pixels wide
    #[arg(long, value_name = "PIXELS")]
    pub(super) width: Option<u32>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

pub(super) fn snapshot(args: &SnapshotArgs) -> Result<(), Failure> {
    let now = SystemClock.now();
    let at = args.at.as_deref().filter(|at| *at != "now");
    let at = at
        .map(|at| when::parse(at, now, &Local).map_err(Failure::usage))
        .transpose()?;
    let to_pipe = args.output.as_deref() == Some(Path::new("-"));
    if to_pipe && std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "-o -: a picture cannot be shown on a terminal; send it into a pipe or a file",
        ));
    }
    let is_png = args
        .output
        .as_ref()
        .and_then(|file| file.extension())
        .is_some_and(|end| end.eq_ignore_ascii_case("png"));
    let mut query = vec![format!("format={}", if is_png { "png" } else { "jpeg" })];
    query.extend(at.map(|at| format!("at={}", part(&at.to_string()))));
    query.extend(args.width.map(|width| format!("width={width}")));
    let place = format!("{}/snapshot?{}", path(&args.camera), query.join("&"));
    let (picture, taken) = Client::new(&args.server.server)?.file(&place, "x-camkeep-frame-time")?;
    if to_pipe {
        let mut out = std::io::stdout().lock();
        return out.write_all(&picture).and_then(|()| out.flush()).map_err(unwritten);
    }
    let taken = Timestamp::parse(&taken).map_err(Failure::other)?;
    let local = taken.to_utc().with_timezone(&Local);
    let file = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}_{}.jpg", args.camera, local.format("%Y%m%d_%H%M%S%.3f"))));
    std::fs::write(&file, &picture)
        .map_err(|error| Failure::other(format!("cannot write {}: {error}", file.display())))?;
    say(&format!(
        "{}: {} at {}",
        file.display(),
        args.camera,
        local.format("%Y-%m-%d %H:%M:%S%.3f %:z")
    ))
}
