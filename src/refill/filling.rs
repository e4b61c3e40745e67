//! One try to fill one gap, from what lacks to what is left. For a thread that may wait.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use super::cutting::cut;
use super::error::RefillError;
use super::means::Means;
use super::neighbours::{edges, footage};
use super::placing::{By, Edges, place};
use super::plan::{self, Settled, settle};
use super::receiving::{Received, receive};
use super::writing::Writing;
use crate::archive::{Archive, ArchiveError, ClockOffset, Holdings, LocalTime, archive_of};
use crate::index::IndexError;
use crate::model::{Camera, Codec, Event, EventKind, Gap, GapFate, GapId, News, RunId, Segment, Span};
use crate::runtime::{Shutdown, pause};

/// So far around a gap footage is looked at.
const AROUND: Duration = Duration::from_secs(5);
/// More segments than lie in a gap of the longest kind and around it.
const MOST: u32 = 20_000;
/// So much before a gap is asked for when nobody knows how long groups of pictures are, and the most that is.
const LEAD: Duration = Duration::from_secs(4);
const LONGEST_LEAD: Duration = Duration::from_secs(20);
/// Beside the keyframe that the first frame needs.
const SPARE: Duration = Duration::from_millis(500);
/// So much after a gap is asked for, so that frames come which are here already.
const TRAIL: Duration = Duration::from_millis(1500);
/// A segment that is written makes room for others so often.
const BREATH: Duration = Duration::from_millis(1);
/// The index writes what it is told within this; else the next round finds out.
const WRITTEN: Duration = Duration::from_secs(10);

/// How a try ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// What came of it is told, and why not all came.
    Told(Option<RefillError>),
    /// There is nothing to be tried any more.
    Nothing,
}

/// What is known when a try begins.
struct Scene {
    gap: Gap,
    camera: Camera,
    segments: Vec<Segment>,
}

/// Tries to fill a gap, and tells what came of it.
pub(super) fn fill(means: &Means, id: GapId, stop: &Shutdown) -> Result<Ended, RefillError> {
    let Some(scene) = Scene::look(means, id)? else {
        return Ok(Ended::Nothing);
    };
    tracing::info!(camera = %scene.gap.camera, gap = id.0, span = %scene.gap.span, "a gap is tried");
    let Fetched { came, error, is_all } = scene.fetch(means, stop);
    if stop.is_asked() && came.is_empty() {
        return Err(RefillError::Unwanted);
    }
    // A portion of a long gap that came wholly is no try in vain, though the rest of it lacks.
    let counts = error.as_ref().map_or(is_all || came.is_empty(), RefillError::counts);
    let now = means.clock.now();
    // What there is by now, and not what there was when the camera was asked.
    let mut there = footage(&segments(means, &scene.gap)?);
    there.extend(came.iter().map(|segment| segment.span));
    let settled = settle(&scene.gap, &there, counts, means.rules, now);
    scene.tell(means, settled, came, error.as_ref());
    scene.wait_until_written(means, stop);
    Ok(Ended::Told(error))
}

fn segments(means: &Means, gap: &Gap) -> Result<Vec<Segment>, IndexError> {
    let around = Span::new(gap.span.start.minus(AROUND), gap.span.end.plus(AROUND));
    means
        .index
        .read_blocking(|reader| reader.segments(&gap.camera, Some(around), MOST, None))
}

impl Scene {
    fn look(means: &Means, id: GapId) -> Result<Option<Self>, RefillError> {
        let found = means.index.read_blocking(|reader| {
            let Some(gap) = reader.gap(id)?.filter(|gap| gap.fate == GapFate::Pending && !gap.open) else {
                return Ok(None);
            };
            Ok(reader.camera(&gap.camera)?.map(|camera| (gap, camera)))
        })?;
        let Some((gap, camera)) = found else { return Ok(None) };
        let segments = segments(means, &gap)?;
        Ok(Some(Self { gap, camera, segments }))
    }

    /// Fetches what lacks. What came counts whatever went wrong behind it.
    fn fetch(&self, means: &Means, stop: &Shutdown) -> Fetched {
        let wanted = plan::wanted(self.gap.span, &footage(&self.segments));
        let portion = plan::portion(&wanted);
        let mut fetched = Fetched {
            came: Vec::new(),
            error: None,
            is_all: portion == wanted,
        };
        if portion.is_empty() {
            return fetched;
        }
        fetched.error = match self.receive(means, &portion, stop) {
            Ok((received, clock)) => {
                let kept = self.keep(means, &received, &clock, &mut fetched.came, stop);
                kept.err().or(received.trouble)
            }
            Err(error) => Some(error),
        };
        fetched
    }

    fn receive(&self, means: &Means, wanted: &[Span], stop: &Shutdown) -> Result<(Received, Asked), RefillError> {
        if !means.has_room() {
            return Err(RefillError::Disk("there is too little room on the volume".to_owned()));
        }
        let archive = archive_of(&self.camera, &means.surroundings)?;
        let clock = self.clock(means, archive.as_ref())?;
        let edges = self.edges(means, wanted, &self.segments);
        let span = self.asking(means, wanted, &edges);
        match archive.find(span, &clock) {
            Ok(Holdings::Spans(spans)) if !spans.iter().any(|span| wanted.iter().any(|hole| hole.overlaps(span))) => {
                return Err(ArchiveError::NoFootage("the camera has nothing of this time".to_owned()).into());
            }
            Ok(_) | Err(ArchiveError::Unsupported(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let replay = archive.replay(span, &clock)?;
        tracing::info!(
            camera = %self.camera.id, gap = self.gap.id.0, span = %self.gap.span, asked = %replay.asked,
            from = replay.address.shown(), "fetching from the camera's own storage"
        );
        let lately = self.segments.last().map_or(Codec::H264, |segment| segment.format.codec);
        let received = receive(means, &self.camera, self.gap.id, &replay, lately, stop)?;
        let asked = Asked {
            span: replay.asked,
            ahead_ns: replay.clock.ahead_ns,
        };
        Ok((received, asked))
    }

    /// How the camera's clock stands: as it was measured, and finer where its live session told.
    fn clock(&self, means: &Means, archive: &dyn Archive) -> Result<ClockOffset, RefillError> {
        let measured = match archive.clock() {
            Ok(clock) => clock,
            Err(error @ ArchiveError::Unauthorised(_)) => return Err(error.into()),
            Err(error) => {
                tracing::debug!(camera = %self.camera.id, %error, "how the camera's clock stands is not known");
                ClockOffset::assumed(LocalTime::Zone(means.surroundings.zone))
            }
        };
        let reports = self.segments.iter().rev().find_map(|segment| segment.camera_clock);
        Ok(reports.map_or(measured, |reports| measured.refined_by(reports)))
    }

    /// The frames that are here at both edges of each hole.
    fn edges(&self, means: &Means, wanted: &[Span], segments: &[Segment]) -> Vec<Edges> {
        let live = means.edges.edges(&self.gap.camera);
        let root = means.volume.root();
        wanted.iter().map(|hole| edges(root, segments, *hole, &live)).collect()
    }

    /// What is asked for: from the keyframe that the first frame needs to some frames that are here already.
    fn asking(&self, means: &Means, wanted: &[Span], edges: &[Edges]) -> Span {
        let start = wanted.first().map_or(self.gap.span.start, |hole| hole.start);
        let end = wanted.last().map_or(self.gap.span.end, |hole| hole.end);
        let before = edges.first().into_iter().flat_map(|edge| &edge.before);
        let keyframes = before.filter(|frame| frame.keyframe);
        let lead = keyframes.map(|frame| frame.wall).max().map_or(LEAD, |keyframe| {
            start.since(keyframe).saturating_add(SPARE).min(LONGEST_LEAD)
        });
        Span::new(start.minus(lead), end.plus(TRAIL).min(means.clock.now()).max(end))
    }

    /// Places, cuts and writes what came.
    fn keep(
        &self,
        means: &Means,
        received: &Received,
        asked: &Asked,
        kept: &mut Vec<Segment>,
        stop: &Shutdown,
    ) -> Result<(), RefillError> {
        let came = &received.came;
        // Something else may have been found meanwhile, and the neighbours' files have grown.
        let segments = segments(means, &self.gap)?;
        let wanted = plan::portion(&plan::wanted(self.gap.span, &footage(&segments)));
        let edges = self.edges(means, &wanted, &segments);
        let placed = place(&came.frames, asked.span, asked.ahead_ns, &edges);
        let length = Duration::from_secs(u64::from(self.camera.segment_seconds));
        let cuttings = cut(&came.frames, &placed.walls, &placed.here, &wanted, length);
        tracing::debug!(
            camera = %self.camera.id, gap = self.gap.id.0, frames = came.frames.len(), segments = cuttings.len(),
            by = ?placed.by, ahead_ns = placed.ahead_ns, first = ?placed.walls.first(), "what came is placed"
        );
        if cuttings.is_empty() {
            let place = match placed.by {
                By::Request => "none of it can be decoded from a keyframe on",
                _ => "it is all of another time; check the camera's clock and its zone",
            };
            let count = came.frames.len();
            return match count {
                0 => Ok(()),
                _ => Err(ArchiveError::Broken(format!("the camera played {count} pictures, and {place}")).into()),
            };
        }
        let runs = RefCell::new(HashMap::new());
        let writing = Writing {
            camera: &self.gap.camera,
            came,
            bytes: received.spool.path().into(),
            placed: &placed,
            runs: &|number| {
                *runs
                    .borrow_mut()
                    .entry(number)
                    .or_insert_with(|| RunId(fastrand::u32(..)))
            },
            now: means.clock.now(),
        };
        for cutting in &cuttings {
            let goes_on = |_| {
                pause(BREATH);
                !stop.is_asked()
            };
            match writing.write(&means.volume, cutting, &goes_on)? {
                Some(segment) => kept.push(segment),
                None => return Err(RefillError::Unwanted),
            }
        }
        Ok(())
    }

    fn tell(&self, means: &Means, settled: Settled, segments: Vec<Segment>, error: Option<&RefillError>) {
        let (name, gap) = (&self.camera.name, &self.gap);
        let reason = error.map_or_else(
            || "the camera has no more of this time".to_owned(),
            |error| error.to_string(),
        );
        let (recovered, lacking) = (settled.recovered.as_secs_f64(), settled.lacking.as_secs_f64());
        let is_filled = settled.rows.iter().all(|row| row.fate == GapFate::Filled);
        let filled = match is_filled {
            true => Some(format!(
                "{recovered:.1} s of {name} came back from the camera's own storage: {}",
                gap.span
            )),
            false if !segments.is_empty() => Some(format!(
                "{recovered:.1} s of {name} came back from the camera's own storage, {lacking:.1} s still lack: {}; {reason}",
                gap.span
            )),
            false => None,
        };
        let failed = settled.is_given_up.then(|| {
            format!(
                "{lacking:.1} s of {name} did not come back and are not tried again by themselves: {}; {reason}",
                gap.span
            )
        });
        match error {
            _ if is_filled => {
                tracing::info!(camera = %gap.camera, gap = gap.id.0, recovered, "a gap is filled");
            }
            _ => {
                tracing::warn!(camera = %gap.camera, gap = gap.id.0, recovered, lacking, reason, "a gap is not filled")
            }
        }
        // Fails only when the timeline has ended, which it does after everybody who sends.
        let _ = means.news.send(News::Refilled {
            before: Box::new(gap.clone()),
            after: settled.rows,
            segments,
        });
        let told = [(EventKind::GapFilled, filled), (EventKind::GapFailed, failed)];
        for (kind, message) in told.into_iter().filter_map(|(kind, message)| Some((kind, message?))) {
            let _ = means.news.send(News::Happened(Event {
                at: means.clock.now(),
                kind,
                camera: Some(gap.camera.clone()),
                message,
            }));
        }
    }

    /// Waits until the index has what was told, so that nobody begins the same again.
    fn wait_until_written(&self, means: &Means, stop: &Shutdown) {
        let began = means.clock.instant();
        while !stop.is_asked() && means.clock.instant().since(began) < WRITTEN {
            let row = means.index.read_blocking(|reader| reader.gap(self.gap.id));
            if !matches!(row, Ok(Some(row)) if row == self.gap) {
                return;
            }
            pause(Duration::from_millis(20));
        }
    }
}

/// What a try brought.
struct Fetched {
    came: Vec<Segment>,
    error: Option<RefillError>,
    /// Whether all that lacks was asked for.
    is_all: bool,
}

/// What was asked of the camera, by its clock.
struct Asked {
    span: Span,
    ahead_ns: i64,
}
