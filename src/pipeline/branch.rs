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
    /// The one before, which may still be closing its file.
    closing: Option<Branch>,
    /// What the pictures are like that it takes.
    caps: Option<gst::Caps>,
}

struct Branch {
    elements: Vec<gst::Element>,
    entry: gst::Pad,
    segments: gst::Element,
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
        };
        let state = State {
            on: Some(branch),
            closing: None,
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
        if let Some(gone) = state.closing.take() {
            remove(gone);
        }
        if let Some(branch) = state.on.take() {
            if let Some(peer) = branch.entry.peer() {
                // An error would mean that it is unlinked already.
                let _ = peer.unlink(&branch.entry);
            }
            // Queued behind what the branch still has to write.
            branch.entry.send_event(gst::event::Eos::new());
            state.closing = Some(branch);
        }
        true
    }

    /// A unit is about to enter the tap; sees to it that there is a branch for it. Called in the stream.
    pub(super) fn be_ready(&self, tap: &gst::Element) -> Result<(), PipelineError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.on.is_none() {
            state.on = Some(self.attach(tap)?);
        }
        Ok(())
    }

    fn attach(&self, tap: &gst::Element) -> Result<Branch, PipelineError> {
        let fail = |reason: &str| PipelineError::Failed {
            name: "segments".to_owned(),
            reason: reason.to_owned(),
        };
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
        exit.link(&entry).map_err(|error| fail(&error.to_string()))?;
        Ok(Branch {
            elements: vec![bin.upcast()],
            entry,
            segments,
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
