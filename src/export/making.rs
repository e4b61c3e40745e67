//! Making: from what was laid out to a file on the shelf, signed, with its row and its event.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;

use super::driver::Desk;
use super::error::ExportError;
use super::gathering::Held;
use super::laying::LaidOut;
use super::manifest::{ClipManifest, Retaken, Source, Stretch, seal};
use super::naming::{Named, Pattern};
use super::plan::{Extras, Part, the_one};
use super::stop::Stop;
use crate::index::IndexError;
use crate::model::{Camera, CameraId, Clip, ClipId, ClipMode, Event, EventKind, JobId, SegmentId, Span, Timestamp};
use crate::storage::{Draft, Durable};

/// What a clip leaves free on the disk, so that it never takes the last of what recording needs.
pub(super) const ROOM: u64 = 512 << 20;

/// What of the work is encoding, where all pictures are encoded anew.
const ENCODING: f64 = 0.95;

impl Part {
    /// The row of a stored clip that has this part alone, made by camkeep itself and kept for good.
    pub fn clip(
        &self,
        camera: &CameraId,
        window: Span,
        mode: ClipMode,
        (file, durable): (&str, Durable),
        created_at: Timestamp,
    ) -> Clip {
        Clip {
            id: ClipId(Uuid::new_v4()),
            camera: camera.clone(),
            file: file.to_owned(),
            window,
            requested_to: None,
            shown: self.shown,
            covered: self.covered,
            size_bytes: durable.size_bytes,
            sha256: durable.sha256,
            frames: self.frames,
            segment_count: self.segments.len() as u64,
            holes: self.holes.clone(),
            mode,
            asked_by: "camkeep".to_owned(),
            job: None,
            created_at,
            expires_at: None,
        }
    }
}

/// A clip that somebody wants.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) camera: CameraId,
    pub(super) window: Span,
    /// The end that was asked for, once the window is cut to now.
    pub(super) requested_to: Option<Timestamp>,
    pub(super) mode: ClipMode,
    pub(super) extras: Extras,
    pub(super) burn_in: bool,
    pub(super) asked_by: String,
    pub(super) job: Option<JobId>,
    pub(super) pattern: Pattern,
    /// Whether files of other cameras are made by the same order.
    pub(super) is_among_others: bool,
}

impl Wanted {
    /// The same, but for what has not come yet: that is no gap. What lies wholly in the future is left as it is, and is not
    /// there.
    pub(super) fn until(&self, now: Timestamp) -> Self {
        let Span { start, end } = self.window;
        let is_cut = start < now && now < end;
        Self {
            window: if is_cut { Span::new(start, now) } else { self.window },
            requested_to: is_cut.then_some(end),
            ..self.clone()
        }
    }

    /// What its file is called, without the ending.
    pub(super) fn stem(&self, camera: &Camera, part: Option<usize>) -> String {
        self.pattern.fill(&Named {
            camera: &self.camera,
            name: &camera.name,
            window: self.window,
            mode: self.mode,
            part,
            is_among_others: self.is_among_others,
        })
    }
}

impl Desk {
    /// Makes all files of a clip: one for each kind of pictures, or no more than one. What is done of all the work goes from
    /// `from` on by `share`.
    pub(super) fn make(
        &self,
        wanted: &Wanted,
        is_one: bool,
        (from, share): (f64, f64),
        stop: &Stop,
    ) -> Result<Vec<Clip>, ExportError> {
        let wanted = &wanted.until(self.means.clock.now());
        let encoding = if wanted.burn_in { share * ENCODING } else { 0.0 };
        let LaidOut {
            held,
            camera,
            mut parts,
            // Until everything is written.
            spool: _spool,
        } = self.lay_out(wanted, stop, &|part| stop.reach(from + encoding * part))?;
        let (from, share) = (from + encoding, share - encoding);
        if is_one {
            parts = vec![the_one(parts)?];
        }
        let all: u64 = parts.iter().map(|part| part.reel.size_bytes()).sum();
        self.check_room(all)?;
        let count = parts.len();
        let (mut clips, mut before) = (Vec::new(), from);
        for (number, part) in (1..).zip(parts) {
            let of_all = share * part.reel.size_bytes() as f64 / all.max(1) as f64;
            let draft = self
                .means
                .shelf
                .begin(&wanted.stem(&camera, (count > 1).then_some(number)))?;
            let durable = self.write(&part, &draft, of_all, stop)?;
            before += of_all;
            stop.reach(before);
            let sources = self.sources(&held, &part)?;
            let clip = self.clip_of_part(wanted, &part, &draft, durable);
            let mut manifest = manifest(wanted, &camera, &clip, (number, count), sources);
            manifest.shown.torn = part.torn.iter().copied().map(Stretch::from).collect();
            manifest.clip.encoded_anew = part.encoded_anew.map(|anew| Retaken {
                span: anew.span.into(),
                frames: anew.frames,
            });
            self.keep(&clip, manifest, draft)?;
            clips.push(clip);
        }
        Ok(clips)
    }

    /// What the manifest says about each segment of a part.
    fn sources(&self, held: &Held, part: &Part) -> Result<Vec<Source>, ExportError> {
        let used: BTreeSet<SegmentId> = part.segments.iter().copied().collect();
        let sources = self.means.index.read_blocking(|reader| {
            let segments = held.segments.iter().filter(|segment| used.contains(&segment.id));
            segments
                .map(|segment| Ok(Source::of(segment, reader.chain_link(segment.id)?)))
                .collect::<Result<Vec<_>, IndexError>>()
        })?;
        Ok(sources.into_iter().flatten().collect())
    }

    fn check_room(&self, bytes: u64) -> Result<(), ExportError> {
        let space = self.means.shelf.free_space()?;
        if space.available_bytes < bytes.saturating_add(ROOM) {
            let path = self.means.shelf.root().to_owned();
            return Err(ExportError::Full { path });
        }
        Ok(())
    }

    fn clip_of_part(&self, wanted: &Wanted, part: &Part, draft: &Draft, durable: Durable) -> Clip {
        let now = self.means.clock.now();
        Clip {
            requested_to: wanted.requested_to,
            asked_by: wanted.asked_by.clone(),
            job: wanted.job,
            expires_at: (self.means.retention > Duration::ZERO).then(|| now.plus(self.means.retention)),
            ..part.clip(&wanted.camera, wanted.window, wanted.mode, (draft.file(), durable), now)
        }
    }

    /// Signs a clip, remembers it and gives it its name. The row comes before the name: whatever ends us between the two,
    /// the next start knows by the row that the file is whole.
    fn keep(&self, clip: &Clip, manifest: ClipManifest, draft: Draft) -> Result<(), ExportError> {
        seal(manifest, &self.means.key)?.write_beside(draft.place())?;
        let (row, event) = (clip.clone(), ready(clip));
        let kept = self.means.index.write_blocking(move |writer| {
            writer.insert_clip(&row)?;
            writer.add_event(&event)
        });
        let done = match kept {
            Ok(_) => draft.finish().map_err(ExportError::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done {
            let id = clip.id;
            self.means
                .index
                .write_later("forgetting a clip that has no file", move |writer| {
                    writer.remove_clip(id).map(|_| ())
                });
            self.throw_away(&clip.file)?;
            return Err(error);
        }
        tracing::info!(
            camera = %clip.camera, file = clip.file, bytes = clip.size_bytes, asked_by = clip.asked_by, "a clip is ready"
        );
        Ok(())
    }
}

fn ready(clip: &Clip) -> Event {
    let holes = match clip.holes.len() {
        0 => String::new(),
        1 => ", with one gap".to_owned(),
        more => format!(", with {more} gaps"),
    };
    Event {
        at: clip.created_at,
        kind: EventKind::ClipReady,
        camera: Some(clip.camera.clone()),
        message: format!(
            "the clip {} is ready: {:.1} s of {}{holes}",
            clip.file,
            clip.covered.as_secs_f64(),
            clip.window
        ),
    }
}

fn manifest(
    wanted: &Wanted,
    camera: &Camera,
    clip: &Clip,
    (part, parts): (usize, usize),
    sources: Vec<Source>,
) -> ClipManifest {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut manifest = ClipManifest::of(clip, camera, sources, env!("CARGO_PKG_VERSION"));
    manifest.clip.part = number(part);
    manifest.clip.parts = number(parts);
    manifest.clip.burnt_in_time = wanted.burn_in;
    manifest.clip.captions = wanted.extras.captions;
    manifest
}

/// A clip that could not be made, as it is told.
pub(super) fn failed(camera: &CameraId, window: Span, error: &ExportError, now: Timestamp) -> Event {
    Event {
        at: now,
        kind: EventKind::ClipFailed,
        camera: Some(camera.clone()),
        message: format!("the clip of {window} could not be made: {error}"),
    }
}
