//! `camkeep pipeline run`: one pipeline, played here and now for somebody who wants to see why it does not work.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Local;
use clap::Args;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::model::{Codec, Loss, counted};
use crate::pipeline::{Catalog, Filling, PipelineEvent, Playing, RecordSpec, Template, Told, Watch, play};
use crate::runtime::{Clock, Signals, SystemClock};

use super::failure::Failure;
use super::pipeline::{FileArgs, HoleArgs, failure, no_camera};
use super::pipeline_source::{SourceArgs, playable};
use super::words::{self, plain};

/// How long files may take to be closed in order.
const CLOSE: Duration = Duration::from_secs(5);
/// How long the pipeline may take to come down then.
const DOWN: Duration = Duration::from_secs(3);
/// How long segments are when neither flag nor camera says it.
const SEGMENT: Duration = Duration::from_secs(10);
/// How often a camera may send another codec than it was asked with.
const TRIES: u32 = 3;

#[derive(Debug, Args)]
#[command(
    after_help = "Ctrl-C closes the files in order; a second one forces. The daemon is not disturbed, but the camera has one more
client for as long.

Examples:
  camkeep pipeline run record --camera front-door
  camkeep pipeline run record --url rtsp://192.168.1.20/1 --username admin --password-stdin --to /tmp/try <pw.txt
  camkeep pipeline run record --url rtsp://192.168.1.20/1 --set transport=udp --set latency=1000"
)]
pub(super) struct RunArgs {
    /// The pipeline
    name: String,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    holes: HoleArgs,
    /// Write files into this directory [default: a new one in the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Begin a new file after so many seconds [default: what the camera says, or 10]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    segment: Option<u64>,
    #[command(flatten)]
    files: FileArgs,
}

/// One pipeline and all that it takes to play it.
struct Show {
    catalog: Catalog,
    name: String,
    spec: Option<RecordSpec>,
    filling: Filling,
    watch: Arc<Watch>,
    told: UnboundedReceiver<Told>,
}

/// Why playing stopped.
enum End {
    /// Somebody asked, or nobody reads any more.
    Asked,
    /// The pipeline came to its end.
    Over,
    /// It cannot go on.
    Lost(Loss, String),
    /// It has to be begun again for this codec.
    OtherCodec(Codec),
    /// It has to be begun again without sound.
    Mute,
}

pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let (config, catalog) = args.files.load()?;
    let template = catalog.get(&args.name).map_err(failure)?;
    refuse(&catalog, template)?;
    let set = args.holes.filling(&catalog, &args.name)?;
    let is_record = args.name == "record";
    if args.source.is_given() && !is_record {
        return Err(no_camera(&args.name));
    }
    if is_record && !args.source.is_given() {
        return Err(Failure::usage("which camera? Give --camera ID or --url URL"));
    }
    let (mut filling, mut spec, mut stem) = (set.clone(), None, args.name.clone());
    if is_record {
        let (given, name) = args.source.spec(&config, &set)?;
        playable(&given)?;
        (spec, stem) = (Some(given), name);
        // It follows the camera: what is in the hole must be what the source is asked for.
        filling.remove("codec");
    } else {
        let mut whole = catalog.sample(&args.name).map_err(failure)?;
        whole.extend(set);
        filling = whole;
    }
    let segment = match args.segment.map(Duration::from_secs) {
        Some(segment) => segment,
        None => args.source.segment()?.unwrap_or(SEGMENT),
    };
    let directory = directory(args.to.as_deref())?;
    let (tell, told) = unbounded_channel();
    // Fails when nobody listens any more, which is after the end.
    let watch = Arc::new(Watch::new(&directory, &stem, segment, move |one| drop(tell.send(one))));
    let name = args.name.clone();
    if is_record {
        line(&format!("files go into {}", plain(&directory.display().to_string())));
    }
    let show = Show {
        catalog,
        name,
        spec,
        filling,
        watch,
        told,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start threads: {error}")))?;
    let end = runtime.block_on(show.play());
    // What hangs in a camera is left to the end of the process.
    runtime.shutdown_background();
    end
}

fn refuse(catalog: &Catalog, template: &Template) -> Result<(), Failure> {
    let name = &template.name;
    match (&template.engine, catalog.whole_of(name)) {
        (None, Some((whole, _))) => Err(Failure::usage(format!(
            "{name} is a part of the pipeline {} and plays only within it",
            whole.name
        ))),
        _ if template.is_fed() => Err(Failure::usage(format!(
            "{name} takes its frames from camkeep and has nothing to play by itself"
        ))),
        _ => Ok(()),
    }
}

fn directory(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let fail = |path: &Path, error: std::io::Error| {
        Failure::other(format!(
            "cannot write into {}: {error}",
            plain(&path.display().to_string())
        ))
    };
    if let Some(given) = given {
        std::fs::create_dir_all(given).map_err(|error| fail(given, error))?;
        return Ok(given.to_owned());
    }
    let temporary = std::env::temp_dir();
    for _ in 0..8 {
        let path = temporary.join(format!("camkeep-pipeline-{:08x}", fastrand::u32(..)));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(&temporary, error)),
        }
    }
    Err(Failure::other(
        "cannot make a directory for the files; name one with --to",
    ))
}

impl Show {
    async fn play(mut self) -> Result<(), Failure> {
        let mut signals = Signals::listen().map_err(|error| Failure::other(format!("cannot hear signals: {error}")))?;
        for _ in 0..TRIES {
            let playing = match self.begin(&mut signals).await? {
                Some(playing) => playing,
                None => return Ok(()),
            };
            let end = self.listen(&mut signals).await;
            self.end(playing, &mut signals).await?;
            match end {
                End::Asked | End::Over => return self.sum_up(),
                End::Lost(loss, message) => return Err(Failure::other(format!("{}: {message}", in_words(loss)))),
                End::Mute => {
                    line("beginning again without sound");
                    if let Some(spec) = &mut self.spec {
                        spec.audio = false;
                    }
                }
                End::OtherCodec(codec) => {
                    line(&format!("the camera sends {codec}; beginning again"));
                    if let Some(spec) = &mut self.spec {
                        spec.codec = codec;
                    }
                }
            }
        }
        Err(Failure::other("the camera sends another codec each time it is asked"))
    }

    /// Nothing when somebody asked to stop before it had begun.
    async fn begin(&mut self, signals: &mut Signals) -> Result<Option<Playing>, Failure> {
        let (catalog, name, filling) = (self.catalog.clone(), self.name.clone(), self.filling.clone());
        let (spec, watch) = (self.spec.clone(), self.watch.clone());
        let begin = tokio::task::spawn_blocking(move || play(&catalog, &name, spec.as_ref(), &filling, &watch));
        tokio::select! {
            begun = begin => begun.map_err(Failure::other)?.map(Some).map_err(|error| {
                self.say_all();
                failure(error)
            }),
            _ = signals.next() => Ok(None),
        }
    }

    async fn listen(&mut self, signals: &mut Signals) -> End {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        second.tick().await;
        let mut before = self.watch.totals();
        loop {
            tokio::select! {
                told = self.told.recv() => {
                    let Some(told) = told else { return End::Over };
                    if !line(&said(&told)) {
                        return End::Asked;
                    }
                    if let Some(end) = ends(told, self.spec.is_some()) {
                        return end;
                    }
                }
                _ = second.tick() => {
                    let now = self.watch.totals();
                    if !line(&flow(before, now)) {
                        return End::Asked;
                    }
                    before = now;
                }
                signal = signals.next() => {
                    line(&format!("{signal}: closing files; a second signal forces"));
                    return End::Asked;
                }
            }
        }
    }

    /// Ends in order, or at once when a second signal comes.
    async fn end(&mut self, playing: Playing, signals: &mut Signals) -> Result<(), Failure> {
        let (is_bare, watch) = (self.spec.is_none(), self.watch.clone());
        let mut work = tokio::task::spawn_blocking(move || {
            // A pipeline of which no file is known has nothing to wait for that would take long.
            let deadline = if is_bare { Duration::from_secs(1) } else { CLOSE };
            let in_order = playing.end(deadline, &|| !is_bare && watch.is_settled());
            (in_order || is_bare, playing.take_down(DOWN))
        });
        loop {
            tokio::select! {
                Some(told) = self.told.recv() => drop(line(&said(&told))),
                _ = signals.next() => {
                    return Err(Failure::other("forced to end; the last file may stop early"));
                }
                done = &mut work => {
                    self.say_all();
                    let (in_order, is_down) = done.map_err(Failure::other)?;
                    if !in_order {
                        let seconds = CLOSE.as_secs();
                        return Err(Failure::other(format!("a file was not closed within {seconds} s")));
                    }
                    if !is_down {
                        line("the pipeline did not come down in time and is left behind");
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Prints what was said and not yet heard.
    fn say_all(&mut self) {
        while let Ok(told) = self.told.try_recv() {
            line(&said(&told));
        }
    }

    fn sum_up(&self) -> Result<(), Failure> {
        let (frames, bytes) = self.watch.totals();
        let files = match (self.spec.is_some(), self.watch.closed()) {
            (false, _) => String::new(),
            (true, closed) => format!(" in {}", counted(closed, "file", "files")),
        };
        let frames = counted(frames, "frame", "frames");
        line(&format!("done: {frames}, {}{files}", words::bytes(bytes as f64)));
        Ok(())
    }
}

/// Prints a line with its time; `false` when nobody reads any more. That is no reason to leave files open.
fn line(text: &str) -> bool {
    let time = SystemClock.now().to_utc().with_timezone(&Local).format("%H:%M:%S%.3f");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{time}  {text}").and_then(|()| out.flush()).is_ok()
}

fn flow((frames, bytes): (u64, u64), now: (u64, u64)) -> String {
    let rate = words::bytes(now.1.saturating_sub(bytes) as f64);
    let (new, all) = (now.0.saturating_sub(frames), words::bytes(now.1 as f64));
    let [new, of_all] = [new, now.0].map(|frames| counted(frames, "frame", "frames"));
    format!("+{new}, {rate}; {of_all}, {all} so far")
}

fn said(told: &Told) -> String {
    match told {
        Told::Event(event) => plain(&event.to_string()),
        Told::Format(format) => {
            let rate = format
                .fps
                .map_or_else(String::new, |fps| format!(", {fps:.2} frames a second declared"));
            format!("format {} {}x{}{rate}", format.codec, format.width, format.height)
        }
        Told::CameraTime { pts, taken } => {
            let at = Duration::from_nanos(u64::try_from(*pts).unwrap_or(0)).as_secs_f64();
            format!("camera-clock says {taken} of the frame at {at:.3} s")
        }
        Told::OtherCodec(Some(codec)) => format!("the camera offers {codec}"),
        Told::OtherCodec(None) => "the camera offers a codec that cannot be recorded".to_owned(),
        Told::Redirect(to) => format!("the camera redirects to {}, which is not followed", plain(to)),
        Told::Sound(Some(caps)) => format!("sound is recorded: {}", plain(caps)),
        Told::Sound(None) => "the sound has ended".to_owned(),
        Told::SoundTrouble(why) | Told::SoundRefused(why) => format!("sound is not recorded: {}", plain(why)),
        Told::NoPlace(why) => plain(why),
    }
}

fn ends(told: Told, is_camera: bool) -> Option<End> {
    match told {
        Told::Event(PipelineEvent::Error { loss, message, .. }) => Some(End::Lost(loss, plain(&message))),
        Told::Event(PipelineEvent::Ended) if is_camera => {
            Some(End::Lost(Loss::Ended, "it was not asked to".to_owned()))
        }
        Told::Event(PipelineEvent::Ended) => Some(End::Over),
        Told::OtherCodec(Some(codec)) => Some(End::OtherCodec(codec)),
        Told::OtherCodec(None) => {
            let what = "it sends a codec that cannot be recorded; set it to H.264 or H.265";
            Some(End::Lost(Loss::Broken, what.to_owned()))
        }
        Told::Redirect(to) => {
            let what = format!("it redirects to {}; give that URL if it is right", plain(&to));
            Some(End::Lost(Loss::Refused, what))
        }
        Told::SoundRefused(_) => Some(End::Mute),
        Told::NoPlace(why) => Some(End::Lost(Loss::VolumeLost, why)),
        Told::Event(_) | Told::Format(_) | Told::CameraTime { .. } | Told::Sound(_) | Told::SoundTrouble(_) => None,
    }
}

fn in_words(loss: Loss) -> &'static str {
    match loss {
        Loss::Refused => "the camera refused",
        Loss::Unauthorised => "the camera wants a user name and password, or others",
        Loss::Unreachable => "the camera does not answer",
        Loss::Ended => "the camera ended the stream",
        Loss::Stalled => "the camera sends nothing",
        Loss::Broken => "what came could not be used",
        Loss::VolumeFull => "there is no room for the files",
        Loss::VolumeLost => "the files cannot be written",
    }
}
