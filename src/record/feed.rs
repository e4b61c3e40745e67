//! What the tap tells a run, unit by unit: the run's ears.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use crate::model::{Codec, Loss, Timestamp, TrackCaps, Unit, VideoFormat};
use crate::pipeline::{Cut, Fate, Feed, Missing, PipelineEvent};

use super::group::Overrun;
use super::run::{Run, RunNews};
use super::tail::Looks;
use super::ticks::Placed;

impl Feed for Run {
    fn announced(&self, format: VideoFormat, caps: TrackCaps) {
        let mut inner = self.lock();
        inner.is_announced = true;
        if let Some((_, line)) = &mut inner.gives {
            // The gate has passed on what it kept back of another kind.
            line.clear();
        }
        drop(inner);
        self.tail.announce(Looks { format, caps });
    }

    fn heard(&self) {
        self.pulse.heard.store(self.clock.instant().0, Ordering::Relaxed);
    }

    fn lost(&self, missing: Missing) {
        self.lock().damage.lose(missing);
    }

    fn shown(&self, pts: i64, is_reordered: bool) -> i64 {
        let arrival = self.clock.instant();
        let mut inner = self.lock();
        let (due, before) = (inner.map.due(arrival), inner.ticks.are_believed());
        let placed = inner.ticks.place(pts, is_reordered, arrival, due);
        let are_believed = inner.ticks.are_believed();
        if are_believed != before {
            self.tell(RunNews::Ticks(are_believed));
        }
        let shown = match placed {
            Placed::At(shown) => shown,
            Placed::Jumped(nanos) => {
                inner.jumped = Some(nanos);
                pts
            }
        };
        inner.damage.place(pts, shown);
        shown
    }

    fn arrived(&self, unit: &Unit) -> Fate {
        let arrival = self.clock.instant();
        self.pulse.frame(arrival, unit.payload.len());
        let mut inner = self.lock();
        if inner.over || !inner.is_announced {
            return Fate::Drop;
        }
        if let Some(nanos) = inner.jumped.take() {
            inner.over = true;
            drop(inner);
            let seconds = nanos / 1_000_000_000;
            self.tell(RunNews::Jumped(seconds));
            return Fate::Drop;
        }
        self.date(&mut inner, unit, arrival);
        if let Some(overrun) = inner.group.came(unit) {
            self.tell(RunNews::Overrun(overrun));
            if let Overrun::Endless(_) = overrun {
                inner.over = true;
                return Fate::Drop;
            }
        }
        self.tail.push(unit, inner.map.wall_at(unit.pts));
        if !std::mem::replace(&mut inner.has_begun, true) {
            self.tell(RunNews::Began);
        }
        self.pass(&mut inner, unit)
    }

    fn format(&self, format: VideoFormat, caps: TrackCaps) {
        let mut inner = self.lock();
        inner.is_new_branch = !inner.pieces.is_empty();
        if let Some((_, line)) = &mut inner.gives {
            line.clear();
        }
        inner.format = Some(format);
        inner.caps = caps;
    }

    fn camera_time(&self, pts: i64, taken: Timestamp) {
        let mut inner = self.lock();
        inner.map.hear_camera(pts, taken);
        inner.redate |= inner.map.wants_another_run() && inner.sequence > 1;
    }

    fn unit(&self, unit: Unit) -> Cut {
        let now = self.clock.instant();
        let mut inner = self.lock();
        let Some(format) = inner.format.filter(|_| !inner.over) else {
            return Cut::Drop;
        };
        if std::mem::take(&mut inner.is_fresh) {
            inner.is_new_branch = false;
            inner.damage.begin(unit.pts);
            self.begin_stretch(&mut inner, format, &unit, now);
            self.keep(&mut inner, unit);
            return Cut::Continue;
        }
        if inner.redated == Some(unit.pts) {
            let has_new_branch = std::mem::take(&mut inner.is_new_branch);
            self.begin_redated(&mut inner, format, &unit, now);
            self.keep(&mut inner, unit);
            return if has_new_branch { Cut::Continue } else { Cut::Here };
        }
        if let Some((_, line)) = &mut inner.gives {
            line.push(&unit);
        }
        Self::tell_pauses(&mut inner, &unit);
        // A segment in which one run may end goes on until that is decided.
        let may_cut = inner.gives.is_none() && inner.map.may_cut(inner.segment);
        let due = may_cut.then(|| nanos(inner.segment));
        if std::mem::take(&mut inner.is_new_branch) {
            self.begin_piece(&mut inner, format, &unit, None, now);
            self.keep(&mut inner, unit);
            return Cut::Continue;
        }
        let cut = match inner.pieces.back_mut() {
            Some(piece) if !(unit.keyframe && due.is_some_and(|due| piece.age_at(unit.pts) >= due)) => {
                piece.add(&unit);
                Cut::Continue
            }
            _ => {
                self.begin_piece(&mut inner, format, &unit, None, now);
                Cut::Here
            }
        };
        self.keep(&mut inner, unit);
        cut
    }

    fn sound_format(&self, caps: Option<String>) {
        let mut inner = self.lock();
        inner.caps.audio = caps;
        if let Some(lane) = &self.lane {
            lane.caps(inner.caps.clone());
        }
    }

    fn sound(&self, unit: Unit) {
        self.pulse.sound(unit.payload.len());
        let mut inner = self.lock();
        // Sound may come a moment after the pictures it goes with, when those of the next segment are there already.
        let newest = inner.pieces.len().saturating_sub(1);
        let found = inner.pieces.iter().rposition(|piece| piece.first_pts <= unit.pts);
        let Some(index) = found else { return };
        if let Some(piece) = inner.pieces.get_mut(index) {
            piece.add_sound(&unit);
        }
        self.tail.push(&unit, inner.map.wall_at(unit.pts));
        // The journal has only the newest.
        if index == newest && !inner.over {
            self.keep(&mut inner, unit);
        }
    }

    fn sound_trouble(&self, message: String) {
        self.tell(RunNews::SoundTrouble(message));
    }

    fn sound_refused(&self, message: String) {
        self.tell(RunNews::SoundRefused(message));
    }

    fn is_settled(&self) -> bool {
        Run::is_settled(self)
    }

    fn place(&self, first_pts: i64) -> Option<PathBuf> {
        self.try_place(first_pts).map_err(|error| self.is_refused(&error)).ok()
    }

    fn copy_as(&self, path: &Path) -> Option<Arc<str>> {
        let lane = self.mirror.as_ref().filter(|_| self.is_mirrored())?;
        let name: Arc<str> = path.strip_prefix(self.volume.root()).ok()?.to_str()?.into();
        lane.begin(&name);
        Some(name)
    }

    fn written(&self, name: &Arc<str>, offset: u64, bytes: Bytes) {
        if let Some(lane) = &self.mirror {
            lane.write(name, offset, bytes);
        }
    }

    fn other_codec(&self, codec: Option<Codec>) {
        self.tell(RunNews::OtherCodec(codec));
    }

    fn redirect_refused(&self, to: String) {
        self.tell(RunNews::Lost(
            Loss::Refused,
            format!("the camera redirects to {to}, which is not followed; give that URL if it is right"),
        ));
    }

    fn event(&self, event: PipelineEvent) {
        match event {
            PipelineEvent::FragmentClosed { path, .. } => self.close(&path),
            PipelineEvent::Error { loss, message, .. } => self.tell(RunNews::Lost(loss, message)),
            PipelineEvent::Ended => self.tell(RunNews::Lost(Loss::Ended, "the camera ended the stream".to_owned())),
            PipelineEvent::Warning { element, message } => self.tell(RunNews::Odd(format!("{element}: {message}"))),
            PipelineEvent::FragmentOpened { .. } | PipelineEvent::State(_) | PipelineEvent::Progress(_) => {}
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
