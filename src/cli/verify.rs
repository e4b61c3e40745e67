//! `camkeep verify`: is a clip what was signed, and are recordings what was closed?

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::check::{ChainCheck, ChainReport};
use crate::config::{Config, Flags};
use crate::export::{self, About, ClipManifest, Outcome, Question, Verdict};
use crate::index::Index;
use crate::model::{CameraId, counted};
use crate::storage::PublicKey;

use super::camera::say_json;
use super::client::Client;
use super::entry::say;
use super::failure::Failure;
use super::ticker::Ticker;

/// Something could not be checked, though nothing is known to be wrong.
const UNPROVEN: i32 = 3;

/// Check that a clip is what camkeep signed, or that recordings are what was recorded
#[derive(Debug, Args)]
#[command(
    after_help = "A clip's manifest (CLIP.manifest.json) and signature (CLIP.manifest.sig) lie beside it. No camkeep has to run.
With --chain, the recordings of a data directory are held against the chain of their hashes; a running camkeep is
not disturbed, and nothing is changed. What all this proves, and what not, is in docs/evidence.md.

Exit codes: 0 all is as it was signed or recorded; 1 something was altered, or could not be read; 2 the command line is
wrong; 3 nothing is known to be wrong, but not everything could be checked (no key was given, a segment is gone).

Examples:
  camkeep verify gate.mp4 --key box.pem
  camkeep verify gate.mp4 --from http://127.0.0.1:8080 --recordings /var/lib/camkeep/recordings
  camkeep verify --chain --data /var/lib/camkeep
  camkeep verify --chain=front-door --no-hash"
)]
pub(super) struct VerifyArgs {
    /// The clip's file
    #[arg(required_unless_present = "chain", conflicts_with = "chain")]
    clip: Option<PathBuf>,
    /// The public key that you trust, in PEM; again for another one
    #[arg(long, value_name = "FILE", conflicts_with = "chain")]
    key: Vec<PathBuf>,
    /// Ask this camkeep for its public keys
    #[arg(long, value_name = "URL", conflicts_with = "chain")]
    from: Option<String>,
    /// Check the segments too that the clip was made of: they lie here; again for the mirror
    #[arg(long, value_name = "DIR", conflicts_with = "chain")]
    recordings: Vec<PathBuf>,
    /// Check recordings, of one camera or of all, against the chain of their hashes
    #[arg(long, value_name = "CAMERA", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    chain: Option<String>,
    /// Look at sizes only, and do not read every file
    #[arg(long, requires = "chain")]
    no_hash: bool,
    /// The data directory
    #[arg(long, value_name = "DIR", requires = "chain")]
    data: Option<PathBuf>,
    /// Look here for files that are gone or changed on the primary volume: the mirror
    #[arg(long, value_name = "DIR", requires = "chain")]
    mirror: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "FILE", requires = "chain")]
    config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(super) fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    match (&args.chain, &args.clip) {
        (Some(camera), _) => chain(args, camera),
        (None, Some(path)) => clip(args, path),
        (None, None) => Err(Failure::usage("name a clip, or give --chain")),
    }
}

fn clip(args: &VerifyArgs, path: &Path) -> Result<(), Failure> {
    let mut keys = args
        .key
        .iter()
        .map(|path| read_key(path))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(url) = &args.from {
        keys.extend(ask_for_keys(url)?);
    }
    if let Some(directory) = args.recordings.iter().find(|path| !path.is_dir()) {
        let directory = directory.display();
        return Err(Failure::usage(format!("--recordings: {directory} is no directory")));
    }
    let question = Question {
        clip: path,
        keys: &keys,
        recordings: &args.recordings,
    };
    let verdict = export::verify(&question).map_err(Failure::other)?;
    if args.json {
        say_json(&verdict)?;
    } else {
        say(&table(&verdict))?;
    }
    match verdict.outcome {
        Outcome::Sound => Ok(()),
        Outcome::Altered => Err(Failure::other(format!("{} is not what was signed", path.display()))),
        Outcome::Unproven => Err(Failure {
            message: "nothing is known to be wrong, but not everything could be checked".to_owned(),
            code: UNPROVEN,
        }),
    }
}

fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let read = std::fs::read_to_string(path);
    let text = read.map_err(|error| Failure::usage(format!("--key: {}: {error}", path.display())))?;
    PublicKey::from_pem(&text).ok_or_else(|| {
        let path = path.display();
        Failure::usage(format!(
            "--key: {path} is no public key (`-----BEGIN PUBLIC KEY-----`) of Ed25519"
        ))
    })
}

/// What a camkeep says of its keys.
#[derive(Deserialize)]
struct KeysTold {
    public_key: String,
    #[serde(default)]
    earlier: Vec<KeyTold>,
}

#[derive(Deserialize)]
struct KeyTold {
    public_key: String,
}

fn ask_for_keys(url: &str) -> Result<Vec<PublicKey>, Failure> {
    let told: KeysTold = Client::new(url)?.get("/api/v1/system/public-key")?;
    let earlier = told.earlier.into_iter().map(|key| key.public_key);
    let keys = std::iter::once(told.public_key).chain(earlier);
    Ok(keys.filter_map(|pem| PublicKey::from_pem(&pem)).collect())
}

fn table(verdict: &Verdict) -> String {
    let mut text = String::new();
    for check in &verdict.checks {
        let mark = match check.outcome {
            Outcome::Sound => "ok",
            Outcome::Unproven => "??",
            Outcome::Altered => "!!",
        };
        let about = match check.about {
            About::Key => "key",
            About::Signature => "signature",
            About::Manifest => "manifest",
            About::Clip => "clip",
            About::Segment => "segment",
        };
        text.push_str(&format!("{mark}  {about:<10} {}\n", check.said));
    }
    if let Some(manifest) = &verdict.manifest {
        text.push_str(&told(manifest));
    }
    text.push_str(match verdict.outcome {
        Outcome::Sound => "This is the clip that was signed.",
        Outcome::Unproven => "Nothing is known to be wrong, but not everything could be checked.",
        Outcome::Altered => "This is NOT what was signed.",
    });
    text
}

/// What the manifest says, for a person.
fn told(manifest: &ClipManifest) -> String {
    let (camera, shown) = (&manifest.camera, &manifest.shown);
    let gaps = match shown.gaps.len() {
        0 => "no gap".to_owned(),
        count => counted(count, "gap", "gaps"),
    };
    let cut = match shown.cut_to {
        Some(at) => format!(", cut to {at}, when it was made"),
        None => String::new(),
    };
    format!(
        "The manifest says: {} ({}), {} to {}{cut},\n  {:.3} s with {gaps}, cut from {} in mode {};\n  asked for by {}, made by {} at {}.\n",
        printable(&camera.name),
        camera.id,
        shown.shown.start,
        shown.shown.end,
        shown.covered_seconds,
        counted(manifest.sources.len(), "segment", "segments"),
        manifest.mode,
        printable(&manifest.asked_by),
        printable(&manifest.made_by),
        manifest.made_at,
    )
}

/// The manifest may be a stranger's: no text of it commands a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn chain(args: &VerifyArgs, camera: &str) -> Result<(), Failure> {
    let flags = Flags {
        config: args.config.clone(),
        data: args.data.clone(),
        mirror: args.mirror.clone(),
        ..Flags::default()
    };
    let config = Config::load(&flags, std::env::vars_os()).map_err(Failure::configuration)?;
    let camera = match camera {
        "" => None,
        id => Some(CameraId::parse(id).map_err(|error| Failure::usage(format!("--chain: {error}")))?),
    };
    let data = &config.storage.data;
    let index = Index::open_to_read(data.join("index.db")).map_err(Failure::other)?;
    let mut ticker = Ticker::new(args.json);
    let check = ChainCheck {
        index: &index,
        recordings: &data.join("recordings"),
        mirror: config.storage.mirror.as_deref(),
        hashes: !args.no_hash,
        progress: &mut |report| ticker.tell(|| progress(report)),
    };
    let report = check.run(camera.as_ref()).map_err(Failure::other)?;
    ticker.end();
    if let Some(camera) = camera.filter(|_| report.segments == 0) {
        return Err(Failure::other(format!("there is no recording of {camera}")));
    }
    if args.json {
        say_json(&report)?;
    } else {
        say(&chain_table(&report, !args.no_hash))?;
    }
    if report.is_unproven() {
        return Err(Failure {
            message: "no segment is chained, so nothing can be said of them".to_owned(),
            code: UNPROVEN,
        });
    }
    if report.is_sound() {
        Ok(())
    } else {
        Err(Failure::other("recordings are not what was closed"))
    }
}

fn chain_table(report: &ChainReport, hashed: bool) -> String {
    let mut text = String::new();
    for found in &report.findings {
        let (camera, run, sequence) = (&found.camera, found.run, found.sequence);
        text.push_str(&format!(
            "!!  {camera}, run {run}, number {sequence}\n      {}\n",
            found.said
        ));
    }
    for (count, name) in [
        (report.runs, "runs"),
        (report.segments, "segments"),
        (report.sound, "chained, and as they were closed"),
        (
            report.from_mirror,
            "of these on the mirror only: the primary's file is gone or changed",
        ),
        (report.open, "still being recorded"),
        (
            report.unchained,
            "closed and not chained: suspect, or found by a rebuild",
        ),
        (report.let_go, "let go by camkeep"),
        (report.broken, "places that are broken"),
    ] {
        text.push_str(&format!("{count:>9}  {name}\n"));
    }
    text.push_str(match (report.is_sound(), hashed) {
        (true, _) if report.is_unproven() => "Nothing is chained.",
        (true, true) => "All chains are whole.",
        (true, false) => "All chains are whole, as far as can be seen without reading the files.",
        (false, _) => "Chains are BROKEN.",
    });
    text
}

/// How far it is.
fn progress(report: &ChainReport) -> String {
    let megabytes = report.hashed_bytes / 1_000_000;
    format!("{}, {megabytes} MB", counted(report.segments, "segment", "segments"))
}
