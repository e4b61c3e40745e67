//! The branch that writes segments: a queue of its own, a splitmuxsink, and a way in for sound if there is any.

use gst::prelude::*;
use gstreamer as gst;

use std::sync::Arc;

use super::catalog::Catalog;
use super::ending::Ending;
use super::error::PipelineError;
use super::launch::launch_part;
use super::record::{Feed, bind_segments};
use super::sound_entry::SoundEntry;
use super::template::Filling;
use super::writing::Passing;

/// The part that a branch is made of.
const PART: &str = "segments";

/// One branch.
pub(super) struct Branch {
    /// The one that writes comes first.
    elements: Vec<gst::Element>,
    entry: gst::Pad,
    segments: gst::Element,
    pub(super) sound: Option<SoundEntry>,
    /// When its first picture is shown.
    pub(super) from: Option<i64>,
    pub(super) held: Option<Held>,
    /// Where the file that is written ends.
    ending: Ending,
    /// When the last keyframe is shown.
    key: i64,
    /// Whether it was told that its stream is over.
    is_ended: bool,
}

/// Holds a branch's pictures back while it is not decided whether it has sound.
pub(super) struct Held {
    exit: gst::Pad,
    hold: gst::PadProbeId,
    /// Since its first picture, in running time.
    pub(super) since: Option<i64>,
}

/// What is known of the sound that a new branch shall have.
pub(super) enum Promise<'a> {
    /// None comes.
    None,
    /// It shall come, and has not yet: pictures wait until [`Branch::let_go`].
    Open,
    /// It is like this.
    Kept(&'a gst::Caps),
}

fn hold(room: &gst::Element) -> Option<Held> {
    let exit = room.static_pad("src")?;
    let hold = exit.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| gst::PadProbeReturn::Ok)?;
    Some(Held {
        exit,
        hold,
        since: None,
    })
}

fn failed(reason: &str) -> PipelineError {
    PipelineError::Failed {
        name: PART.to_owned(),
        reason: reason.to_owned(),
    }
}

impl Branch {
    /// The branch that a pipeline's text has.
    pub(super) fn of(pipeline: &gst::Pipeline, feed: &Arc<dyn Feed>) -> Option<Self> {
        let (room, segments) = (pipeline.by_name("room")?, pipeline.by_name("segments")?);
        bind_segments(&segments, feed);
        let entry = room.static_pad("sink")?;
        Some(Self::new(vec![segments.clone(), room], entry, segments))
    }

    fn new(elements: Vec<gst::Element>, entry: gst::Pad, segments: gst::Element) -> Self {
        Self {
            elements,
            entry,
            segments,
            sound: None,
            from: None,
            held: None,
            ending: Ending::default(),
            key: 0,
            is_ended: false,
        }
    }

    /// Hangs a new branch on the tap, with sound as far as it takes it.
    pub(super) fn attach(
        catalog: &Catalog,
        filling: &Filling,
        feed: &Arc<dyn Feed>,
        tap: &gst::Element,
        caps: &gst::Caps,
        sound: &Promise<'_>,
    ) -> Result<Self, PipelineError> {
        let parent = tap.parent().and_downcast::<gst::Bin>();
        let parent = parent.ok_or_else(|| failed("the tap is in no pipeline"))?;
        let part = catalog.get(PART)?;
        let own = filling
            .iter()
            .filter(|(hole, _)| part.holes().any(|(name, _)| name == *hole))
            .map(|(hole, value)| (hole.clone(), value.clone()))
            .collect();
        let bin = launch_part(catalog, PART, &own, "room")?;
        let segments = bin
            .by_name("segments")
            .ok_or_else(|| failed("it has no splitmuxsink"))?;
        bind_segments(&segments, feed);
        let entry = bin.static_pad("sink").ok_or_else(|| failed("it has no open end"))?;
        // Without its entry the branch has no sound, which is not worth a picture.
        let entry_of_sound = match sound {
            Promise::Kept(caps) => SoundEntry::of(&segments, caps),
            Promise::Open | Promise::None => None,
        };
        let room = bin.by_name("room").filter(|_| matches!(sound, Promise::Open));
        let held = room.and_then(|room| hold(&room));
        parent.add(&bin).map_err(|error| failed(&error.to_string()))?;
        bin.sync_state_with_parent()
            .map_err(|error| failed(&error.to_string()))?;
        let exit = tap.request_pad_simple("src_%u");
        let exit = exit.ok_or_else(|| failed("the tap gives no pad"))?;
        // What was held may be of another kind than what comes now.
        if exit.current_caps().as_ref() != Some(caps) {
            exit.push_event(gst::event::Caps::new(caps));
        }
        exit.link(&entry).map_err(|error| failed(&error.to_string()))?;
        Ok(Self {
            sound: entry_of_sound,
            held,
            ..Self::new(vec![bin.upcast()], entry, segments)
        })
    }

    /// Holds its pictures back from the first on, until [`Self::let_go`].
    pub(super) fn hold(&mut self) {
        if let (Some(room), None, None) = (self.entry.parent_element(), &self.held, self.from) {
            self.held = hold(&room);
        }
    }

    /// What is held goes on.
    pub(super) fn let_go(&mut self) {
        if let Some(Held { exit, hold, .. }) = self.held.take() {
            exit.remove_probe(hold);
        }
    }

    /// Gives it sound, which is only possible before anything was written.
    pub(super) fn add_sound(&mut self, caps: &gst::Caps) -> bool {
        self.sound = SoundEntry::of(&self.segments, caps);
        self.elements.extend(self.sound.as_ref().map(SoundEntry::element));
        self.sound.is_some()
    }

    /// A new file begins with the keyframe of this time.
    pub(super) fn cut(&mut self, pts: i64) {
        self.ending = Ending::default();
        if let Some(sound) = &self.sound {
            sound.file_begins(pts);
        }
        // splitmuxsink cuts at the first group that begins after the time it is told. With B-frames a group begins before its
        // keyframe is shown, but never before the keyframe of the one before it.
        let behind = u64::try_from(self.key).unwrap_or(0).saturating_add(1);
        self.segments.emit_by_name::<()>("split-at-running-time", &[&behind]);
    }

    /// Another picture is written: how long it has to last if none follows it, when that is not as long as the camera says.
    pub(super) fn pass(&mut self, unit: &Passing) -> Option<u64> {
        if unit.is_keyframe {
            self.key = unit.pts;
        }
        self.ending.add(unit.pts, unit.dts)
    }

    /// Takes it off the tap: nothing more comes in.
    pub(super) fn take_off(&mut self) {
        self.let_go();
        if let Some(exit) = self.entry.peer() {
            // An error would mean that it is unlinked already.
            let _ = exit.unlink(&self.entry);
            let tap = exit.parent_element().filter(|_| {
                exit.pad_template()
                    .is_some_and(|of| of.presence() == gst::PadPresence::Request)
            });
            if let Some(tap) = tap {
                tap.release_request_pad(&exit);
            }
        }
    }

    /// The pad of the tap that feeds it.
    pub(super) fn exit(&self) -> Option<gst::Pad> {
        self.entry.peer()
    }

    /// Its pictures are over. Queued behind what it still has to write.
    pub(super) fn end(&mut self) {
        if !std::mem::replace(&mut self.is_ended, true) {
            self.entry.send_event(gst::event::Eos::new());
        }
    }

    /// So is its sound.
    pub(super) fn end_sound(&mut self) {
        if let Some(sound) = self.sound.take() {
            sound.end();
        }
    }

    /// Takes a branch that has closed its file out of the pipeline, beside the stream.
    pub(super) fn remove(self) {
        super::runner::on_the_side(move || take_out(&self.elements));
    }
}

/// Brings elements down and out of their pipeline. Whoever calls this holds them until they are down; nobody else lets go
/// of them before. `false` says that they would not come down: the pipeline keeps them, and takes them with it.
fn take_out(elements: &[gst::Element]) -> bool {
    // A pipeline that is about to play, as one does whenever a sink comes or goes, sets all that it has to playing. What
    // it took up again between here and there would be let go of while its threads run.
    elements.iter().for_each(|element| {
        element.set_locked_state(true);
    });
    // The one that writes first: what lies before it may wait for it in the middle of a push.
    let stuck = elements
        .iter()
        .filter(|element| !super::runner::bring_down(*element))
        .count();
    let is_down = stuck == 0;
    for element in elements {
        if is_down {
            let parent = element.parent().and_downcast::<gst::Bin>();
            // The pipeline may have gone meanwhile.
            parent.into_iter().for_each(|parent| drop(parent.remove(element)));
        } else {
            element.set_locked_state(false);
        }
    }
    is_down
}

/// Sends a unit that was held down a branch, past the tap.
pub(super) fn push(exit: Option<gst::Pad>, buffer: gst::Buffer) -> Result<(), PipelineError> {
    let exit = exit.ok_or_else(|| failed("it hangs on nothing"))?;
    exit.push(buffer)
        .map(|_| ())
        .map_err(|error| failed(&format!("it does not take what was held: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::{Duration, Instant};

    /// A pipeline whose branch goes while it begins to play, as happens when a camera's pictures are others than it
    /// described.
    #[test]
    fn a_branch_that_goes_while_its_pipeline_begins_to_play_is_down_for_good() {
        super::super::launch::init().unwrap();
        for round in 0..60 {
            let pipeline = gst::Pipeline::new();
            let make = |factory: &str| gst::ElementFactory::make(factory).build().unwrap();
            let (source, tap, other) = (make("fakesrc"), make("tee"), make("fakesink"));
            source.set_property("is-live", true);
            source.set_property_from_str("sizetype", "fixed");
            tap.set_property("allow-not-linked", true);
            let (room, segments) = (make("queue"), make("fakesink"));
            for sink in [&other, &segments] {
                // Nothing reaches it, so that it keeps the pipeline from being done.
                sink.set_property("async", true);
            }
            let all = [&source, &tap, &other, &room, &segments];
            pipeline.add_many(all).unwrap();
            gst::Element::link_many([&source, &tap]).unwrap();
            gst::Element::link_many([&room, &segments]).unwrap();
            let play = {
                let pipeline = pipeline.clone();
                std::thread::spawn(move || pipeline.set_state(gst::State::Playing))
            };
            let (begun, wait) = (Instant::now(), Duration::from_micros(round * 40));
            while begun.elapsed() < wait {
                std::hint::spin_loop();
            }
            assert!(take_out(&[segments.clone(), room.clone()]), "round {round}");
            play.join().unwrap().unwrap();
            // Another sink goes, upon which the pipeline is done with waiting, and sets to playing what it has.
            pipeline.remove(&other).unwrap();
            other.set_state(gst::State::Null).unwrap();
            for element in [&room, &segments] {
                assert_eq!(element.current_state(), gst::State::Null, "round {round}");
                assert_eq!(element.parent(), None, "round {round}");
            }
            pipeline.set_state(gst::State::Null).unwrap();
        }
    }
}
