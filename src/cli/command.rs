//! The command line: every subcommand and every flag.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Records IP cameras and knows exactly what it has and what it lost.
#[derive(Debug, Parser)]
#[command(
    name = "camkeep",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  camkeep run                                               record, and serve http://127.0.0.1:8080
  camkeep camera add \"Front door\" rtsp://192.168.1.20/stream1
  camkeep timeline front-door --from yesterday
  camkeep segments front-door --from 10:30 --to 10:45

Exit codes: 0 done, 1 failed, 2 the command line is wrong, 78 the configuration is wrong."
)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Record: start the daemon and stay in the foreground
    Run(RunArgs),
    /// Add, list, show, change and remove cameras
    #[command(subcommand)]
    Camera(CameraCommand),
    /// Tell a camera that records around events that something happens now
    Trigger(TriggerArgs),
    /// List, add and remove the schedules of a camera
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Draw what is recorded of a camera, or of many, and what is missing
    #[command(after_help = TIMES)]
    Timeline(TimelineArgs),
    /// List a camera's segments
    #[command(after_help = TIMES)]
    Segments(SegmentsArgs),
    /// List what is missing, and why; have a gap tried again
    Gaps(super::gaps::GapsArgs),
    /// Fetch what is missing from the camera's own storage
    Refill(super::refill::RefillArgs),
    /// Say how much of a day is recorded, and what is missing by cause
    Coverage(super::coverage::CoverageArgs),
    /// List the days of which there is footage
    Days(super::coverage::DaysArgs),
    /// Save one frame of a camera as a still: the one that is shown at a moment, or the newest
    Snapshot(super::snapshot::SnapshotArgs),
    /// Save a window of footage as a clip, exact to the frame
    Export(super::export::ExportArgs),
    /// List export jobs, or call one off
    Exports(super::export::ExportsArgs),
    /// List and remove clips that are kept
    #[command(subcommand)]
    Clips(super::export::ClipsCommand),
    /// Hold footage as evidence, list what is held, end a hold
    #[command(subcommand)]
    Hold(super::hold::HoldCommand),
    /// List what happened: losses, gaps, refills, clips
    Events(super::events::EventsArgs),
    /// Say how the box is, on one screen
    Status(super::status::StatusArgs),
    /// Say how every camera is; the exit code is 1 when one that should record does not
    Health(HealthArgs),
    /// Say how full the disks are, and how long what is recorded fits
    Storage(super::storage::StorageArgs),
    /// Hold the recordings of a stopped camkeep against its index
    Check(super::check::CheckArgs),
    /// Say how the mirror is, have it verified, and have recordings restored from it
    #[command(subcommand)]
    Mirror(super::mirror::MirrorCommand),
    /// Check that a clip is what camkeep signed, or that recordings are what was recorded
    Verify(super::verify::VerifyArgs),
    /// See the pipelines that GStreamer plays, and try them out
    #[command(subcommand)]
    Pipeline(super::pipeline::PipelineCommand),
    /// Serve made-up cameras over RTSP, with the time in every picture
    #[cfg(feature = "demo-camera")]
    DemoCamera(super::demo_camera::DemoCamera),
}

pub(super) const TIMES: &str = "Times: 10:30, `yesterday 22:00`, 2026-11-20, `2026-11-20 10:30` (all local),
2026-11-20T10:30:00Z, -15m, -2h, -1d, now.";

#[derive(Debug, Args)]
#[command(
    after_help = "Flags beat CAMKEEP_… variables, which beat the file, which beats the defaults.

Examples:
  camkeep run
  camkeep run --data /var/lib/camkeep
  camkeep run --config /etc/camkeep.toml --listen 127.0.0.1:9000"
)]
pub(super) struct RunArgs {
    /// Read the configuration from this file [env: CAMKEEP_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Keep the index and the recordings here [default: ./camkeep-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Keep second copies of recordings here, on another disk [default: no mirror]
    #[arg(long, value_name = "DIR")]
    pub(super) mirror: Option<PathBuf>,
    /// Answer at this address [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen_address)]
    pub(super) listen: Option<SocketAddr>,
}

/// Reads an address as the configuration does, and refuses in the same words.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "it has to be an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// Which camkeep to ask
    #[arg(
        long,
        env = "CAMKEEP_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        hide_env_values = true
    )]
    pub(super) server: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum CameraCommand {
    /// Add a camera
    Add(AddArgs),
    /// List the cameras
    #[command(visible_alias = "ls")]
    List {
        /// List removed cameras of which there is footage instead
        #[arg(long)]
        removed: bool,
        #[command(flatten)]
        server: ServerArgs,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show everything about a camera; secrets stay hidden
    Show {
        /// The camera's id
        camera: String,
        #[command(flatten)]
        server: ServerArgs,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a camera
    #[command(after_help = "Examples:
  camkeep camera set front-door segment_seconds=30 record_audio=true
  camkeep camera set front-door site_id=          (an empty value clears a field)
  camkeep camera set front-door --password-stdin <pw.txt")]
    Set {
        /// The camera's id
        camera: String,
        /// What to change; the fields are those of `camkeep camera show`
        #[arg(value_name = "FIELD=VALUE", required_unless_present = "password_stdin")]
        fields: Vec<String>,
        /// Read a new password from standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Try a camera: is it there, does it let us in, and what does it send? The exit code is 1 when no picture came
    Test {
        /// The camera's id
        camera: String,
        #[command(flatten)]
        server: ServerArgs,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a camera; its footage stays, unless --purge says otherwise
    #[command(
        visible_alias = "rm",
        after_help = "What stays is named, and seen with `camkeep camera list --removed` and `camkeep timeline CAMERA --removed`. Adding a
camera under the same id takes it up again.

Examples:
  camkeep camera remove front-door
  camkeep camera remove front-door --purge        (also of a camera that was removed before)"
    )]
    Remove {
        /// The camera's id
        camera: String,
        /// Remove all its footage too, on the primary volume and the mirror; clips that were made of it stay
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Bring cameras to what a file says; again does no harm
    #[command(after_help = "The file has a [[camera]] table for each:

  [[camera]]
  id = \"front-door\"
  name = \"Front door\"
  main_stream_url = \"rtsp://192.168.1.20/stream1\"
  segment_seconds = 60

Cameras that the file does not name stay as they are.")]
    Apply {
        /// A TOML file with [[camera]] tables
        file: PathBuf,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  camkeep camera add \"Front door\" rtsp://192.168.1.20/stream1
  camkeep camera add Yard --vendor hikvision --address 192.168.1.21 --username admin --password-stdin <pw.txt
  camkeep camera add Gate rtsp://192.168.1.22/1 --set segment_seconds=30 --set record_audio=true

Everybody on this machine can see the arguments of a command while it runs: hand a password over by --password-stdin.")]
pub(super) struct AddArgs {
    /// Its name for people
    pub(super) name: String,
    /// URL of the stream to record; a known vendor's needs none
    pub(super) url: Option<String>,
    /// Its id in addresses and file names [default: made from the name]
    #[arg(long)]
    pub(super) id: Option<String>,
    /// Who made it: generic, hikvision, dahua, axis, onvif
    #[arg(long)]
    pub(super) vendor: Option<String>,
    /// Its host name or IP address, when the vendor's rule makes the URL
    #[arg(long, value_name = "HOST")]
    pub(super) address: Option<String>,
    /// User name at the camera
    #[arg(long, value_name = "USER")]
    pub(super) username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(super) password_stdin: bool,
    /// Any other field
    #[arg(long, value_name = "FIELD=VALUE")]
    pub(super) set: Vec<String>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  camkeep camera set front-door record_mode=event pre_roll_seconds=10 post_roll_seconds=30
  camkeep trigger front-door --reason \"door contact\"

The camera keeps footage from its pre-roll before this moment to its post-roll after it; another trigger makes that longer.")]
pub(super) struct TriggerArgs {
    /// The camera's id
    pub(super) camera: String,
    /// How long the event lasts; the post-roll comes after it
    #[arg(long, value_name = "SECONDS")]
    pub(super) seconds: Option<u32>,
    /// What happens, for the log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ScheduleCommand {
    /// List the schedules of a camera
    #[command(visible_alias = "ls")]
    List {
        /// The camera's id
        camera: String,
        #[command(flatten)]
        server: ServerArgs,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a schedule to a camera
    Add(ScheduleAddArgs),
    /// Remove a schedule
    #[command(visible_alias = "rm")]
    Remove {
        /// The schedule's id, as `camkeep schedule list` shows it
        id: u64,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  camkeep schedule add yard mon-fri 08:00 18:00
  camkeep schedule add yard fri-sun 22:00 06:00            (until the next morning)
  camkeep schedule add yard sat,sun 00:00 24:00 --zone Europe/Berlin

It counts for cameras whose record_mode is scheduled or scheduled_event.")]
pub(super) struct ScheduleAddArgs {
    /// The camera's id
    pub(super) camera: String,
    /// The days on which it begins: daily, mon-fri, sat,sun
    pub(super) days: String,
    /// When it begins, like 22:00
    pub(super) start: String,
    /// When it ends, exclusive; not after the start means on the next day, and 24:00 is midnight
    pub(super) end: String,
    /// The time zone of the clock that is meant [default: the recorder's]
    #[arg(long)]
    pub(super) zone: Option<chrono_tz::Tz>,
    #[command(flatten)]
    pub(super) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(super) struct WindowArgs {
    /// Begin here
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) from: Option<String>,
    /// End here
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) to: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct TimelineArgs {
    /// Camera ids; more than one, or none for all of them, draw a line each
    #[arg(value_name = "CAMERA")]
    pub(super) cameras: Vec<String>,
    /// Of removed cameras too
    #[arg(long)]
    pub(super) removed: bool,
    #[command(flatten)]
    pub(super) window: WindowArgs,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SegmentsArgs {
    /// The camera's id
    pub(super) camera: String,
    /// Also when it was removed
    #[arg(long)]
    pub(super) removed: bool,
    #[command(flatten)]
    pub(super) window: WindowArgs,
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print the rows as JSON, one a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The command line as a value, for documents that must not lie about it.
pub fn command() -> clap::Command {
    <CommandLine as clap::CommandFactory>::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
