//! Rows of clips made again after the index was lost, from the manifests that lie beside the clips.

use std::time::Duration;

use uuid::Uuid;

use super::driver::{Desk, Exporter, on_a_thread};
use super::error::ExportError;
use super::manifest::ClipManifest;
use super::stop::Stop;
use super::verify::{Outcome, Question, verify};
use crate::model::{Clip, ClipId, Event, EventKind, Span, Timestamp, counted};
use crate::runtime::Shutdown;

/// Rows read at a time.
const PAGE: u32 = 500;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Recovered {
    /// Clips that are known again.
    known: usize,
    /// Rows whose files are gone, which the index that was lost knew.
    gone: usize,
    /// Files that are no clip with a right manifest, and why.
    left: Vec<(String, String)>,
}

impl Exporter {
    /// After a loss of the index: what lies on the shelf is known again. Ends early when the end is asked for, and begins anew
    /// with the next start.
    pub(super) async fn recover(&self, shutdown: &Shutdown) {
        let (desk, stop) = (self.0.clone(), Stop::default());
        let work = {
            let stop = stop.clone();
            on_a_thread(move || desk.recover_clips(&stop))
        };
        let outcome = tokio::select! {
            () = shutdown.asked() => return stop.stop(),
            outcome = work => outcome,
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "clips could not be made known again; the next start tries it again");
        }
    }
}

impl Desk {
    fn recover_clips(&self, stop: &Stop) -> Result<(), ExportError> {
        let index = &self.means.index;
        if !index.read_blocking(|reader| reader.is_recovering_clips())? {
            return Ok(());
        }
        let files = self.means.shelf.files()?;
        let mut recovered = Recovered {
            gone: self.forget_removed(&files)?,
            ..Recovered::default()
        };
        for file in files {
            if stop.is_stopped() {
                return Ok(());
            }
            let asked = file.clone();
            if index
                .read_blocking(move |reader| reader.clip_by_file(&asked))?
                .is_some()
            {
                continue;
            }
            match self.known_by_manifest(&file) {
                Ok(clip) => {
                    index.write_blocking(move |writer| writer.insert_clip(&clip))?;
                    recovered.known += 1;
                }
                Err(why) => {
                    tracing::warn!(file, why, "a file beside the clips is left alone");
                    recovered.left.push((file, why));
                }
            }
        }
        let event = (recovered != Recovered::default()).then(|| told(&recovered, self.means.clock.now()));
        index.write_blocking(move |writer| {
            if let Some(event) = event {
                writer.add_event(&event)?;
            }
            writer.end_recovery_of_clips()
        })?;
        Ok(())
    }

    /// An old index knows clips that were removed since. Where no file at all lies, a disk may be missing.
    fn forget_removed(&self, files: &[String]) -> Result<usize, ExportError> {
        let (index, mut gone, mut before) = (&self.means.index, 0, None);
        while !files.is_empty() {
            let page = index.read_blocking(|reader| reader.clips(None, PAGE, before))?;
            let Some(last) = page.last() else { break };
            before = Some((last.created_at, last.id));
            for clip in page.into_iter().filter(|clip| files.binary_search(&clip.file).is_err()) {
                gone += usize::from(index.write_blocking(move |writer| writer.remove_clip(clip.id))?);
            }
        }
        Ok(gone)
    }

    /// The row of a clip as its manifest has it, or why there can be none.
    fn known_by_manifest(&self, file: &str) -> Result<Clip, String> {
        let place = self.means.shelf.place(file).ok_or("its name is no clip's")?;
        let verdict = verify(&Question {
            clip: &place,
            // It may be of a former key; whether it is one of this box is for whoever checks the clip.
            keys: &[],
            recordings: &[],
        });
        let verdict = verdict.map_err(|error| error.to_string())?;
        let wrong = verdict.checks.iter().find(|check| check.outcome == Outcome::Altered);
        if let Some(check) = wrong {
            return Err(check.said.clone());
        }
        let manifest = verdict.manifest.ok_or("its manifest is of another camkeep")?;
        if manifest.clip.file != file {
            return Err(format!("its manifest is of {}", manifest.clip.file));
        }
        let (now, keep) = (self.means.clock.now(), self.means.retention);
        // Nobody shall lose a clip by the same blow as the index: its time begins anew.
        Ok(clip_of(manifest, (keep > Duration::ZERO).then(|| now.plus(keep))))
    }
}

fn clip_of(manifest: ClipManifest, expires_at: Option<Timestamp>) -> Clip {
    let shown = manifest.shown;
    let asked = Span::from(shown.asked);
    Clip {
        id: manifest.clip.id.unwrap_or_else(|| ClipId(Uuid::new_v4())),
        camera: manifest.camera.id,
        file: manifest.clip.file,
        window: Span::new(asked.start, shown.cut_to.unwrap_or(asked.end)),
        requested_to: shown.cut_to.map(|_| asked.end),
        shown: shown.shown.into(),
        covered: Duration::try_from_secs_f64(shown.covered_seconds).unwrap_or_default(),
        size_bytes: manifest.clip.size_bytes,
        sha256: manifest.clip.sha256.0,
        frames: shown.frames,
        segment_count: manifest.sources.len() as u64,
        holes: shown.gaps.into_iter().map(Into::into).collect(),
        mode: manifest.mode,
        asked_by: manifest.asked_by,
        // Jobs went with the index.
        job: None,
        created_at: manifest.made_at,
        expires_at,
    }
}

fn told(recovered: &Recovered, now: Timestamp) -> Event {
    let mut message = counted(recovered.known, "clip is", "clips are") + " known again by the manifests";
    if recovered.gone > 0 {
        message.push_str(&format!(
            "; {} that an old index knew were removed since",
            recovered.gone
        ));
    }
    if let Some((file, why)) = recovered.left.first() {
        let more = match recovered.left.len() {
            1 => String::new(),
            count => format!(", and {} more, which the log names", count - 1),
        };
        message.push_str(&format!("; not known are {file} ({why}){more}"));
    }
    Event {
        at: now,
        kind: EventKind::IndexMended,
        camera: None,
        message,
    }
}
