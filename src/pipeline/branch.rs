//! The branch that writes segments, and its exchange when the pictures change inside a run.
//!
//! A muxer cannot take other parameter sets in the middle of a file: everything after them would be lost. So when the tap
//! hears of new ones, the branch is unlinked and told that its stream is over, and the next unit, a keyframe by then, goes
//! into a new branch. Nothing is dropped between the two.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;

use super::catalog::Catalog;
use super::error::PipelineError;
use super::launch::launch_part;
use super::record::{Feed, bind_segments};
use super::template::Filling;

/// The writing end of a recording: always the branch that is on.
pub(super) struct Writing {
    catalog: Catalog,
    filling: Filling,
    feed: Arc<dyn Feed>,
    state: Mutex<State>,
}

struct State {
    /// The branch that is on; nothing between two.
    on: Option<Branch>,
    /// Those before, which may still be closing their files.
    closing: Vec<Branch>,
    /// What the pictures are like that it takes.
    caps: Option<gst::Caps>,
}

struct Branch {
    elements: Vec<gst::Element>,
    entry: gst::Pad,
    segments: gst::Element,
    /// Whether anything went down it.
    used: bool,
}

impl Writing {
    /// Takes over the branch that the pipeline's text has.
    pub(super) fn of(
        pipeline: &gst::Pipeline,
        catalog: &Catalog,
        filling: &Filling,
        feed: &Arc<dyn Feed>,
    ) -> Option<Arc<Self>> {
        let (room, segments) = (pipeline.by_name("room")?, pipeline.by_name("segments")?);
        bind_segments(&segments, feed);
        let entry = room.static_pad("sink")?;
        let branch = Branch {
            elements: vec![room, segments.clone()],
            entry,
            segments,
            used: false,
        };
        let state = State {
            on: Some(branch),
            closing: Vec::new(),
            caps: None,
        };
        let (catalog, filling, feed) = (catalog.clone(), filling.clone(), feed.clone());
        Some(Arc::new(Self {
            catalog,
            filling,
            feed,
            state: Mutex::new(state),
        }))
    }

    /// The pictures are like this from the next unit on. Says whether that is anything new to a file: the first caps are,
    /// and other parameter sets; another frame rate is not. Called in the stream.
    pub(super) fn hear_caps(&self, caps: &gst::Caps) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.caps.replace(caps.clone());
        if known.as_ref().is_some_and(|known| reads_alike(known, caps)) {
            return false;
        }
        if known.is_none() {
            return true;
        }
        end(&mut state);
        true
    }

    /// Nothing more is written for now. The branch closes its file and is forgotten then. Called in the stream.
    pub(super) fn end(&self) {
        end(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Every file is closed, so branches that only had that to do can go.
    pub(super) fn forget_closed(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closing.drain(..).for_each(remove);
    }

    /// A unit of this kind is about to be written; sees to it that there is a branch for it. Called in the stream.
    pub(super) fn be_ready(&self, tap: &gst::Element, caps: &gst::Caps) -> Result<(), PipelineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.on.is_none() {
            state.on = Some(self.attach(tap, caps)?);
        }
        if let Some(branch) = &mut state.on {
            branch.used = true;
        }
        Ok(())
    }

    /// Writes a unit that was held: it goes down the branch past the tap. Called in the stream, before the next unit.
    pub(super) fn push(&self, buffer: gst::Buffer) -> Result<(), PipelineError> {
        let exit = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.on.as_ref().and_then(|branch| branch.entry.peer())
        };
        let exit = exit.ok_or_else(|| fail("it hangs on nothing"))?;
        exit.push(buffer)
            .map(|_| ())
            .map_err(|error| fail(&format!("it does not take what was held: {error}")))
    }

    fn attach(&self, tap: &gst::Element, caps: &gst::Caps) -> Result<Branch, PipelineError> {
        let parent = tap.parent().and_then(|parent| parent.downcast::<gst::Bin>().ok());
        let parent = parent.ok_or_else(|| fail("the tap is in no pipeline"))?;
        let own: Filling = self
            .filling
            .iter()
            .filter(|(hole, _)| self.declares(hole))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let bin = launch_part(&self.catalog, "segments", &own, "room")?;
        let segments = bin.by_name("segments").ok_or_else(|| fail("it has no splitmuxsink"))?;
        bind_segments(&segments, &self.feed);
        let entry = bin.static_pad("sink").ok_or_else(|| fail("it has no open end"))?;
        parent.add(&bin).map_err(|error| fail(&error.to_string()))?;
        bin.sync_state_with_parent().map_err(|error| fail(&error.to_string()))?;
        let exit = tap
            .request_pad_simple("src_%u")
            .ok_or_else(|| fail("the tap gives no pad"))?;
        // What was held may be of another kind than what comes now.
        if exit.current_caps().as_ref() != Some(caps) {
            exit.push_event(gst::event::Caps::new(caps));
        }
        exit.link(&entry).map_err(|error| fail(&error.to_string()))?;
        Ok(Branch {
            elements: vec![bin.upcast()],
            entry,
            segments,
            used: false,
        })
    }

    fn declares(&self, hole: &str) -> bool {
        self.catalog
            .get("segments")
            .is_ok_and(|part| part.holes().any(|(name, _)| name == hole))
    }

    /// A new segment begins with the unit of this decoding time.
    pub(super) fn cut(&self, dts: i64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(branch) = &state.on {
            // splitmuxsink cuts at the first group that begins after the time it is told.
            let just_before = u64::try_from(dts).unwrap_or(0).saturating_sub(1);
            branch
                .segments
                .emit_by_name::<()>("split-at-running-time", &[&just_before]);
        }
    }
}

/// Takes the branch that is on off the tap and lets it close its file.
fn end(state: &mut State) {
    let Some(branch) = state.on.take() else { return };
    if let Some(exit) = branch.entry.peer() {
        // An error would mean that it is unlinked already.
        let _ = exit.unlink(&branch.entry);
        if let Some(tap) = exit.parent_element().filter(|_| {
            exit.pad_template()
                .is_some_and(|of| of.presence() == gst::PadPresence::Request)
        }) {
            tap.release_request_pad(&exit);
        }
    }
    if !branch.used {
        return remove(branch);
    }
    // Queued behind what the branch still has to write.
    branch.entry.send_event(gst::event::Eos::new());
    state.closing.push(branch);
    // Whoever changes so fast that three files are being closed gives the oldest no more time.
    while state.closing.len() > 2 {
        remove(state.closing.remove(0));
    }
}

fn fail(reason: &str) -> PipelineError {
    PipelineError::Failed {
        name: "segments".to_owned(),
        reason: reason.to_owned(),
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

/// Takes a branch that has closed its file out of the pipeline, beside the stream.
fn remove(branch: Branch) {
    super::runner::on_the_side(move || {
        for element in branch.elements {
            let parent = element.parent().and_then(|parent| parent.downcast::<gst::Bin>().ok());
            // What fails here is taken down with the pipeline.
            let _ = element.set_state(gst::State::Null);
            if let Some(parent) = parent {
                let _ = parent.remove(&element);
            }
        }
        true
    });
}
