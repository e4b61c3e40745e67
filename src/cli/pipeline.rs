//! `camkeep pipeline`: the debug door. What the pipelines are, how they are filled, how they look, how they play.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Config, Flags};
use crate::model::Fault;
use crate::pipeline::{
    Catalog, Filling, Hole, LaunchLine, PipelineError, RecordSpec, Template, draw, record_filling, source_properties,
    spread,
};

use super::camera::table;
use super::entry::say;
use super::failure::Failure;
use super::pipeline_run::{self, RunArgs};
use super::pipeline_source::{SourceArgs, sample};
use super::words::plain;

/// See the pipelines that GStreamer plays, and try them out
#[derive(Debug, Subcommand)]
pub(super) enum PipelineCommand {
    /// List the pipelines and where each comes from
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        files: FileArgs,
    },
    /// Show a pipeline: its text, what is set on it, and a command that plays it without camkeep
    Show(ShowArgs),
    /// Play a pipeline here, without the daemon, and print all that it says
    Run(RunArgs),
    /// Draw a pipeline as Graphviz text
    #[command(after_help = "Example:
  camkeep pipeline dot record | dot -Tsvg >record.svg")]
    Dot {
        /// The pipeline
        name: String,
        #[command(flatten)]
        files: FileArgs,
        #[command(flatten)]
        holes: HoleArgs,
    },
}

/// Where pipeline files come from.
#[derive(Debug, Args)]
pub(super) struct FileArgs {
    /// Take pipelines from this directory in place of the built-in ones [default: what the configuration says]
    #[arg(long, value_name = "DIR")]
    pipelines: Option<PathBuf>,
    /// Read the configuration from this file [env: CAMKEEP_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl FileArgs {
    pub(super) fn load(&self) -> Result<(Config, Catalog), Failure> {
        let flags = Flags {
            config: self.config.clone(),
            ..Flags::default()
        };
        let config = Config::load(&flags, std::env::vars_os()).map_err(Failure::configuration)?;
        let catalog = match self.pipelines.as_ref().or(config.pipelines.directory.as_ref()) {
            Some(directory) => Catalog::with_overrides(directory).map_err(Failure::configuration)?,
            None => Catalog::built_in().map_err(Failure::other)?,
        };
        Ok((config, catalog))
    }
}

/// What a person puts into holes.
#[derive(Debug, Args)]
pub(super) struct HoleArgs {
    /// Fill a hole; `camkeep pipeline show` says which there are
    #[arg(long, value_name = "HOLE=VALUE")]
    pub(super) set: Vec<String>,
}

impl HoleArgs {
    /// The values, checked against the holes of the pipeline and its parts.
    pub(super) fn filling(&self, catalog: &Catalog, name: &str) -> Result<Filling, Failure> {
        let known = catalog.sample(name).map_err(failure)?;
        let mut filling = Filling::new();
        for pair in &self.set {
            let (hole, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--set {}: write it like latency=500", plain(pair))))?;
            if !known.contains_key(hole) {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                return Err(Failure::usage(match known.as_slice() {
                    [] => format!("the pipeline {name} has no holes"),
                    known => format!(
                        "the pipeline {name} has no hole `{}`; there are {}",
                        plain(hole),
                        known.join(", ")
                    ),
                }));
            }
            filling.insert(hole.to_owned(), value.to_owned());
        }
        let mut whole = known;
        whole.extend(filling.clone());
        catalog.fill(name, &whole).map_err(failure)?;
        Ok(filling)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  camkeep pipeline show record
  camkeep pipeline show record --camera front-door
  camkeep pipeline show record --url rtsp://192.168.1.20/1 --username admin --password-stdin --reveal <pw.txt")]
pub(super) struct ShowArgs {
    /// The pipeline
    name: String,
    #[command(flatten)]
    source: SourceArgs,
    /// Write passwords into the command in place of `***`, as far as they were given here
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    holes: HoleArgs,
}

pub(super) fn pipeline(command: &PipelineCommand) -> Result<(), Failure> {
    match command {
        PipelineCommand::List { files } => list(files),
        PipelineCommand::Show(args) => show(args),
        PipelineCommand::Run(args) => pipeline_run::run(args),
        PipelineCommand::Dot { name, files, holes } => dot(name, files, holes),
    }
}

/// What is wrong with a pipeline, as a failure. What a person typed wrong is their command line.
pub(super) fn failure(error: PipelineError) -> Failure {
    match error.fault() {
        Fault::NotFound => Failure::usage(error),
        _ if matches!(error, PipelineError::Template(_)) => Failure::usage(error),
        _ => Failure::other(error),
    }
}

fn origin(template: &Template) -> String {
    template
        .file
        .as_ref()
        .map_or_else(|| "built in".to_owned(), |file| plain(&file.display().to_string()))
}

fn list(files: &FileArgs) -> Result<(), Failure> {
    let (_, catalog) = files.load()?;
    let rows: Vec<[String; 4]> = catalog
        .iter()
        .map(|template| {
            let played_by = match (&template.engine, catalog.whole_of(&template.name)) {
                (Some(engine), _) => engine.clone(),
                (None, Some((whole, _))) => format!("part of {}", whole.name),
                (None, None) => String::new(),
            };
            let name = template.name.clone();
            [name, played_by, origin(template), template.purpose.clone()]
        })
        .collect();
    say(&table(&["NAME", "ENGINE", "FROM", "PURPOSE"], &rows))
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let (config, catalog) = args.files.load()?;
    let template = catalog.get(&args.name).map_err(failure)?;
    let mut filling = catalog.sample(&args.name).map_err(failure)?;
    let set = args.holes.filling(&catalog, &args.name)?;
    let spec = match (template.name.as_str(), args.source.is_given()) {
        ("record", true) => Some(args.source.spec(&config, &set)?),
        ("record", false) => Some((sample(&config, &set)?, "camera".to_owned())),
        (name, true) => return Err(no_camera(name)),
        (_, false) => None,
    };
    if let Some((spec, _)) = &spec {
        filling.extend(record_filling(spec));
    }
    filling.extend(set);
    let text = catalog.fill(&args.name, &filling).map_err(failure)?;

    say(&format!("{}: {}", template.name, template.purpose))?;
    let engine = template.engine.as_deref().unwrap_or("none, it is a part");
    say(&format!(
        "engine {engine}; bound by src/pipeline/{}.rs; {}\n\n{}",
        template.binder,
        origin(template),
        spread(&text)
    ))?;
    show_holes(&catalog, template, &filling)?;
    show_elements(&catalog, template, &filling)?;
    let Some((spec, stem)) = spec else {
        return say(&format!("\n{}", why_no_line(&catalog, template)));
    };
    show_line(&text, &spec, &stem, args.reveal)
}

pub(super) fn no_camera(name: &str) -> Failure {
    Failure::usage(format!(
        "the pipeline {name} plays no camera; only `record` takes --camera and --url"
    ))
}

/// The parts that a filling puts into a pipeline, after the pipeline itself.
fn with_parts<'a>(catalog: &'a Catalog, template: &'a Template, filling: &'a Filling) -> Vec<&'a Template> {
    let parts = template.parts(filling).filter_map(|part| catalog.get(part).ok());
    std::iter::once(template).chain(parts).collect()
}

fn show_holes(catalog: &Catalog, template: &Template, filling: &Filling) -> Result<(), Failure> {
    let all = with_parts(catalog, template, filling);
    let rows: Vec<[String; 3]> = all
        .iter()
        .flat_map(|template| template.holes())
        .map(|(name, hole)| {
            let kind = if matches!(hole, Hole::Part(_)) { "part: " } else { "" };
            let value = filling.get(name).cloned().unwrap_or_default();
            [name.to_owned(), value, format!("{kind}{hole}")]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    say(&format!("\n{}", table(&["HOLE", "NOW", "MAY BE"], &rows)))
}

fn show_elements(catalog: &Catalog, template: &Template, filling: &Filling) -> Result<(), Failure> {
    let all = with_parts(catalog, template, filling);
    let rows: Vec<[String; 3]> = all
        .iter()
        .flat_map(|template| &template.elements)
        .map(|element| {
            let factory = filling.iter().fold(element.factory.clone(), |factory, (hole, value)| {
                factory.replace(&format!("{{{hole}}}"), value)
            });
            [element.name.clone(), factory, element.note.clone()]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    say(&format!("\n{}", table(&["ELEMENT", "KIND", "WHAT FOR"], &rows)))
}

fn show_line(text: &str, spec: &RecordSpec, stem: &str, reveal: bool) -> Result<(), Failure> {
    let properties = source_properties(spec);
    let rows: Vec<[String; 2]> = properties
        .iter()
        .map(|property| {
            let place = format!("{}.{}", property.element, property.name);
            [place, plain(&property.shown())]
        })
        .collect();
    say(&format!("\n{}", table(&["PROPERTY", "SET AFTER PARSING"], &rows)))?;
    let mut line = LaunchLine::new(text);
    line.set_all(&properties, reveal);
    let pattern = format!("{stem}-%05d.mp4");
    if !line.set("segments", "location", &pattern) {
        return Err(Failure::other(
            "the text has no element named segments to write files with",
        ));
    }
    if reveal {
        warn("the command below holds the password: keep it out of files, and out of your shell's history")?;
    }
    say(&format!(
        "\nThe same without camkeep, which cuts no segments: one file, {pattern}, until Ctrl-C.\n\n{line}"
    ))
}

fn why_no_line(catalog: &Catalog, template: &Template) -> String {
    match (&template.engine, catalog.whole_of(&template.name)) {
        (None, Some((whole, _))) => format!(
            "It is a part of {}, and plays within it: see `camkeep pipeline show {0}`.",
            whole.name
        ),
        _ if template.is_fed() => {
            "It takes its frames from camkeep, so there is no command that plays it without.".to_owned()
        }
        _ => {
            "What its binder sets depends on the work in hand, so there is no command that plays it without.".to_owned()
        }
    }
}

fn dot(name: &str, files: &FileArgs, holes: &HoleArgs) -> Result<(), Failure> {
    let (config, catalog) = files.load()?;
    let asked = catalog.get(name).map_err(failure)?;
    let set = holes.filling(&catalog, name)?;
    // A part is drawn where it stands.
    let (name, part) = match (&asked.engine, catalog.whole_of(name)) {
        (None, Some((whole, hole))) => (whole.name.as_str(), Some((hole.to_owned(), asked.name.clone()))),
        _ => (name, None),
    };
    let mut filling = catalog.sample(name).map_err(failure)?;
    if name == "record" {
        filling.extend(record_filling(&sample(&config, &set)?));
    }
    filling.extend(part);
    filling.extend(set);
    say(draw(&catalog, name, &filling).map_err(failure)?.trim_end())
}

/// Says something beside the output, for a person and not for a program that reads it.
pub(super) fn warn(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    writeln!(std::io::stderr(), "camkeep: {text}").map_err(|error| Failure::other(format!("cannot write: {error}")))
}
