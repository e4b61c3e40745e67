//! Which branch writes, and its exchange when the pictures change inside a run, or sound comes or goes.
//!
//! A muxer cannot take other parameter sets in the middle of a file: everything after them would be lost. Nor can it take
//! a track more. So when the tap hears of new ones, the branch is unlinked and told that its stream is over, and the next
//! unit, a keyframe by then, goes into a new branch. Nothing is dropped between the two.
//!
//! The first branch that a run writes to waits a moment for sound that the camera has promised, so that a run does not begin
//! with a segment without it. Pictures are kept meanwhile, and never longer than that moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use crate::model::{TrackCaps, Unit};

use super::branch::{self, Branch, Promise};
use super::branches::{Branches, Telling};
use super::catalog::Catalog;
use super::error::PipelineError;
use super::record::Feed;
use super::template::Filling;

/// The writing end of a recording: always the branch that is on.
pub(super) struct Writing {
    catalog: Catalog,
    filling: Filling,
    feed: Arc<dyn Feed>,
    state: Mutex<Branches>,
}

impl Writing {
    /// Takes over the branch that the pipeline's text has.
    pub(super) fn of(
        pipeline: &gst::Pipeline,
        catalog: &Catalog,
        filling: &Filling,
        feed: &Arc<dyn Feed>,
    ) -> Option<Arc<Self>> {
        let branch = Branch::of(pipeline, feed)?;
        let state = Branches {
            on: Some(branch),
            ..Branches::default()
        };
        let (catalog, filling, feed) = (catalog.clone(), filling.clone(), feed.clone());
        Some(Arc::new(Self {
            catalog,
            filling,
            feed,
            state: Mutex::new(state),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Branches> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The camera has promised sound: the first branch waits for it.
    pub(super) fn expect_sound(&self) {
        let mut state = self.lock();
        state.is_sound_promised = true;
        if let Some(branch) = &mut state.on {
            branch.hold();
        }
    }

    /// The pictures are like this from the next unit on. Gives the caps of the tracks when that is anything new to a file:
    /// the first caps are, and other parameter sets; another frame rate is not. Called in the stream.
    pub(super) fn hear_caps(&self, caps: &gst::Caps, now: i64) -> Option<TrackCaps> {
        let mut state = self.lock();
        let known = state.caps.replace(caps.clone());
        if known.as_ref().is_some_and(|known| reads_alike(known, caps)) {
            return None;
        }
        if known.is_some() {
            state.put_off(now);
            state.announced = state.sound_that_lives(now).map(|caps| caps.to_string());
        }
        Some(TrackCaps {
            video: caps.to_string(),
            audio: state.announced.clone(),
        })
    }

    /// Whether [`Self::be_ready`] would put another branch on for this unit.
    pub(super) fn is_about_to_change(&self, unit: &Unit, now: i64) -> bool {
        let state = self.lock();
        state.on.is_none() || unit.keyframe && state.sound_that_joins(now).is_some()
    }

    /// A unit is about to enter the tap; sees to it that there is a branch for it. Gives the caps of the tracks when they
    /// are others from this unit on. Called in the stream.
    pub(super) fn be_ready(
        &self,
        tap: &gst::Element,
        caps: &gst::Caps,
        unit: &Unit,
        now: i64,
    ) -> Result<Option<TrackCaps>, PipelineError> {
        let mut state = self.lock();
        let mut telling = Telling::default();
        let mut changed = None;
        if state.on.as_ref().is_some_and(|branch| branch.from.is_none()) {
            if let Some(branch) = &mut state.on {
                branch.from = Some(unit.pts);
                if let Some(held) = &mut branch.held {
                    held.since = Some(now);
                }
            }
            let pieces = state.track.begin(false, unit.pts, now);
            state.feed_sound(pieces, &mut telling);
        }
        state.decide(now, &mut telling);
        if unit.keyframe
            && let Some(caps) = state.sound_that_joins(now)
        {
            state.put_off(now);
            state.announced = Some(caps.to_string());
            changed = state.caps.as_ref().map(|video| TrackCaps {
                video: video.to_string(),
                audio: Some(caps.to_string()),
            });
        }
        if state.on.is_none() {
            let sound = state.sound_that_lives(now).map(|caps| caps.to_string());
            if state.announced != sound {
                state.announced.clone_from(&sound);
                changed = Some(TrackCaps {
                    video: caps.to_string(),
                    audio: sound,
                });
            }
            self.attach(tap, caps, &mut state, unit.pts, now, &mut telling)?;
        }
        state.untold.append(&mut telling.units);
        drop(state);
        self.tell(telling);
        Ok(changed)
    }

    /// Puts a new branch on whose first picture is shown at `from`, with the sound that is announced.
    fn attach(
        &self,
        tap: &gst::Element,
        caps: &gst::Caps,
        state: &mut Branches,
        from: i64,
        now: i64,
        telling: &mut Telling,
    ) -> Result<(), PipelineError> {
        let due_since = state.sound_is_due_since(now);
        let sound = match &state.sound_caps {
            Some(caps) if state.announced.is_some() => Promise::Kept(caps),
            None if due_since.is_some() => Promise::Open,
            _ => Promise::None,
        };
        let mut branch = Branch::attach(&self.catalog, &self.filling, &self.feed, tap, caps, &sound)?;
        branch.from = Some(from);
        if let Some(held) = &mut branch.held {
            held.since = due_since;
        }
        if let Some(sound) = &branch.sound {
            sound.file_begins(from);
        }
        state.stopped_at = None;
        let takes_sound = branch.sound.is_some();
        state.on = Some(branch);
        let pieces = state.track.begin(takes_sound, from, now);
        state.feed_sound(pieces, telling);
        Ok(())
    }

    /// A new segment begins with this unit. One without sound begins a new branch when sound has ended.
    pub(super) fn cut(
        &self,
        tap: &gst::Element,
        caps: &gst::Caps,
        unit: &Passing,
        now: i64,
    ) -> Result<(), PipelineError> {
        let mut state = self.lock();
        let mut telling = Telling::default();
        if state.announced.is_some() && state.track.is_dead(now) {
            state.put_off(now);
            state.announced = None;
            state.sound_caps = None;
            telling.caps = Some(None);
            self.attach(tap, caps, &mut state, unit.pts, now, &mut telling)?;
        } else if let Some(branch) = &mut state.on {
            // A file is full: there is no waiting for sound any more, which would belong to that one and to the next.
            branch.let_go();
            branch.cut(unit.pts);
        }
        drop(state);
        self.tell(telling);
        Ok(())
    }

    /// A picture goes into the branch: how long it has to last there, when that is not as long as the camera says.
    pub(super) fn picture_passes(&self, unit: &Passing, now: i64) -> Option<u64> {
        let mut state = self.lock();
        state.end_closing();
        let mut telling = Telling {
            units: std::mem::take(&mut state.untold),
            ..Telling::default()
        };
        let pieces = state.track.picture_passed(unit.pts, unit.dts, now);
        state.feed_sound(pieces, &mut telling);
        state.end_rests(now);
        let on = state.on.as_mut();
        let length = on.and_then(|branch| branch.pass(unit));
        drop(state);
        self.tell(telling);
        length
    }

    /// A picture is not wanted.
    pub(super) fn picture_dropped(&self, unit: &Passing) {
        let mut state = self.lock();
        state.end_closing();
        state.track.picture_dropped(unit.dts);
    }

    /// A picture came, whatever becomes of it.
    pub(super) fn picture_came(&self, now: i64) {
        self.lock().pictures_since.get_or_insert(now);
    }

    /// Nothing more is written for now. The branch closes its file and is forgotten then. Called in the stream.
    pub(super) fn stop(&self, dts: i64, now: i64) {
        let mut state = self.lock();
        if state.on.is_some() {
            state.stopped_at = Some(dts);
            state.put_off(now);
        }
        state.end_closing();
        state.end_rests(now);
        state.track.picture_dropped(dts);
    }

    /// Pictures are held from here on, and so is sound.
    pub(super) fn hold_sound_from(&self, pts: i64) {
        self.lock().track.forget_before(pts);
    }

    /// Every file is closed, so branches that only had that to do can go.
    pub(super) fn forget_closed(&self) {
        let mut state = self.lock();
        state.closing.drain(..).for_each(|(branch, _)| branch.remove());
    }

    /// Writes a unit that was held. Called in the stream, before the next unit.
    pub(super) fn push(&self, buffer: gst::Buffer) -> Result<(), PipelineError> {
        branch::push(self.exit(), buffer)
    }

    /// Writes a unit. Called in the stream, which hears when it is not taken; where nothing writes it is wanted by nobody.
    pub(super) fn pass(&self, buffer: gst::Buffer) -> Result<(), gst::FlowError> {
        self.exit().map_or(Ok(()), |exit| exit.push(buffer).map(|_| ()))
    }

    /// Where units go. Not while the lock is held: whoever takes them may wait for the disk.
    fn exit(&self) -> Option<gst::Pad> {
        self.lock().on.as_ref().and_then(Branch::exit)
    }

    /// Sound of this kind came. Called on the thread of the sound.
    pub(super) fn sound(&self, unit: Unit, caps: &gst::Caps, now: i64) {
        let mut state = self.lock();
        if state.over {
            return;
        }
        let mut telling = Telling::default();
        state.is_sound_promised = false;
        if state.sound_caps.as_ref() != Some(caps) {
            state.sound_caps = Some(caps.clone());
        }
        let ended_at = state.on.as_ref().map_or(state.stopped_at, |branch| branch.from);
        if ended_at.is_some_and(|from| unit.pts < from)
            && let Some(before) = state.closing.last().and_then(|(branch, _)| branch.sound.as_ref())
            && before.push_rest(&unit)
        {
            return;
        }
        if let Some(piece) = state.track.unit(unit, now) {
            state.feed_sound(vec![piece], &mut telling);
        }
        state.decide(now, &mut telling);
        drop(state);
        self.tell(telling);
    }

    /// Everything ends: nothing waits for sound any more, and every branch's sound is over.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        let Branches { on, closing, .. } = &mut *state;
        for branch in on.iter_mut().chain(closing.iter_mut().map(|(branch, _)| branch)) {
            branch.let_go();
            branch.end_sound();
        }
        closing.iter_mut().for_each(|(branch, _)| branch.end());
    }

    fn tell(&self, telling: Telling) {
        if let Some(caps) = telling.caps {
            self.feed.sound_format(caps);
        }
        for unit in telling.units {
            self.feed.sound(unit);
        }
    }
}

/// A picture on its way to the branch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passing {
    pub(super) pts: i64,
    pub(super) dts: i64,
    pub(super) is_keyframe: bool,
}

impl From<&Unit> for Passing {
    fn from(unit: &Unit) -> Self {
        Self {
            pts: unit.pts,
            dts: unit.dts,
            is_keyframe: unit.keyframe,
        }
    }
}

/// Whether a muxer can go on in the same file: the same codec, size and parameter sets.
fn reads_alike(one: &gst::CapsRef, other: &gst::CapsRef) -> bool {
    let (Some(one), Some(other)) = (one.structure(0), other.structure(0)) else {
        return false;
    };
    let same = |field: &str| match (one.value(field), other.value(field)) {
        (Ok(one), Ok(other)) => one.compare(other) == Some(std::cmp::Ordering::Equal),
        (Err(_), Err(_)) => true,
        _ => false,
    };
    one.name() == other.name() && ["width", "height", "codec_data", "stream-format"].into_iter().all(same)
}
