//! From arguments to an exit code.

use std::ffi::OsString;
use std::io::Write;

use clap::FromArgMatches;

use super::command::{CameraCommand, Command, CommandLine, ScheduleCommand, command};
use super::failure::Failure;
use super::{
    apply, camera, check, coverage, events, export, gaps, health, help, hold, mirror, pipeline, refill, run as daemon,
    schedule, segments, snapshot, status, storage, timeline, trigger, verify,
};

/// Does what the arguments say and gives the exit code: 0 done, 1 failed, 2 the command line is wrong, 78 the
/// configuration is wrong.
pub fn run<I, T>(arguments: I) -> i32
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = help::tied(command()).try_get_matches_from(arguments);
    let line = match matches.and_then(|matches| CommandLine::from_arg_matches(&matches)) {
        Ok(line) => line,
        Err(error) => {
            // Help and the version come this way too, and go to standard output with code 0.
            help::print(&error);
            return error.exit_code();
        }
    };
    match dispatch(line.command) {
        Ok(()) => 0,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "camkeep: {}", failure.message);
            failure.code
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(args) => daemon::run(args),
        Command::Camera(CameraCommand::Add(args)) => camera::add(args),
        Command::Camera(CameraCommand::List { removed, server, json }) => camera::list(removed, &server, json),
        Command::Camera(CameraCommand::Show { camera, server, json }) => camera::show(&camera, &server, json),
        Command::Camera(CameraCommand::Set {
            camera,
            fields,
            password_stdin,
            server,
        }) => camera::set(&camera, &fields, password_stdin, &server),
        Command::Camera(CameraCommand::Test { camera, server, json }) => camera::test(&camera, &server, json),
        Command::Camera(CameraCommand::Remove { camera, purge, server }) => camera::remove(&camera, purge, &server),
        Command::Camera(CameraCommand::Apply { file, server }) => apply::apply(&file, &server),
        Command::Trigger(args) => trigger::trigger(&args),
        Command::Schedule(ScheduleCommand::List { camera, server, json }) => schedule::list(&camera, &server, json),
        Command::Schedule(ScheduleCommand::Add(args)) => schedule::add(&args),
        Command::Schedule(ScheduleCommand::Remove { id, server }) => schedule::remove(id, &server),
        Command::Timeline(args) => timeline::timeline(&args),
        Command::Segments(args) => segments::segments(&args),
        Command::Gaps(args) => gaps::gaps(&args),
        Command::Refill(args) => refill::refill(&args),
        Command::Coverage(args) => coverage::coverage(&args),
        Command::Days(args) => coverage::days(&args),
        Command::Snapshot(args) => snapshot::snapshot(&args),
        Command::Export(args) => export::export(&args),
        Command::Exports(args) => export::exports(&args),
        Command::Clips(command) => export::clips(&command),
        Command::Hold(command) => hold::hold(&command),
        Command::Events(args) => events::events(&args),
        Command::Status(args) => status::status(&args),
        Command::Health(args) => health::health(&args),
        Command::Pipeline(command) => pipeline::pipeline(&command),
        Command::Storage(args) => storage::storage(&args),
        Command::Check(args) => check::check(&args),
        Command::Mirror(command) => mirror::mirror(&command),
        Command::Verify(args) => verify::verify(&args),
        #[cfg(feature = "demo-camera")]
        Command::DemoCamera(args) => super::demo_camera::run(&args).map_err(Failure::other),
    }
}

/// Why the output cannot be written. A reader that has left ends the command quietly.
pub(super) fn unwritten(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        _ => Failure::other(format!("cannot write the output: {error}")),
    }
}

/// Prints a line. A reader that has left (`| head`) ends the command quietly.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(unwritten)
}
