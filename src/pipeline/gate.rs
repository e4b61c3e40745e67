//! The gate before the writing branch: while it is shut, what comes is held in memory, so that a recording can begin
//! before its cause.
//!
//! What is held begins with a keyframe, in front of which lie the caps that it needs. When the gate opens, everything from
//! the wanted group of pictures on goes down the branch in order, and what comes next follows: the writer sees one
//! unbroken stream.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;

use crate::model::{Loss, TrackCaps, Unit};

use super::error::PipelineError;
use super::event::PipelineEvent;
use super::record::{Cut, Feed, video_format};
use super::stream_time::now;
use super::writing::{Passing, Writing};

/// No camera holds more than this, whatever pre-roll is asked for: five minutes of 6 Mbit/s.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// For so long (ns) units are gathered before they go to the writer: waking it for each costs more than what it does with it. A
/// keyframe goes at once, so that a file that ends is closed at once. Who reads what is new reads the tail, and a kill finds
/// all in the journal.
const MOMENT: i64 = 200_000_000;

/// What becomes of a unit that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is written. When the gate was shut, what is held is written first, from the group of pictures on in which
    /// this time (running time, ns) lies.
    Write {
        /// From here on footage is wanted.
        from: i64,
    },
    /// It is written, but not at once: what came last is kept back for a moment, so that it can be taken back. What is
    /// shown before this time (running time, ns) goes to the writer now.
    WriteLate {
        /// From here on units are kept back.
        behind: i64,
    },
    /// It is not written, and what is kept back from this time (running time, ns) on is not either.
    End {
        /// The first time that is not written.
        at: i64,
    },
    /// It is held, in case that it is wanted later. When the gate was open, this unit is a keyframe, and the file ends
    /// before it.
    Hold {
        /// What is older than this (running time, ns) need not be held any longer.
        since: i64,
    },
    /// It is not wanted.
    Drop,
}

/// The gate of one recording.
pub(super) struct Gate {
    writing: Arc<Writing>,
    feed: Arc<dyn Feed>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    is_open: bool,
    /// The caps of what comes next.
    caps: Option<gst::Caps>,
    /// The caps that the writer was last told.
    written: Option<gst::Caps>,
    groups: VecDeque<Group>,
    bytes: usize,
    /// What the feed has taken as written and the branch does not have yet.
    late: VecDeque<Late>,
    /// What goes to the branch next, gathered since (running time, ns).
    next: Vec<gst::Buffer>,
    since: i64,
    /// The branch did not take it.
    refused: Option<gst::FlowError>,
}

/// A unit that is kept back.
struct Late {
    pts: i64,
    buffer: gst::Buffer,
}

/// A keyframe and what needs it.
struct Group {
    caps: gst::Caps,
    starts: i64,
    bytes: usize,
    units: Vec<(Unit, gst::Buffer)>,
}

impl Gate {
    pub(super) fn new(writing: Arc<Writing>, feed: Arc<dyn Feed>) -> Self {
        Self {
            writing,
            feed,
            held: Mutex::default(),
        }
    }

    /// What comes next is of this kind. Called in the stream.
    pub(super) fn hear_caps(&self, caps: gst::Caps, now: i64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // What is kept back is of the kind before, and `let_pass` has handed over what is gathered.
        self.complain(self.pass_on(&mut held, |_| true));
        if let Some((format, caps)) = kind(&caps) {
            self.feed.announced(format, caps);
        }
        // Told at once, the branch is unlinked before the tap hands these caps on to it.
        if held.groups.is_empty() {
            self.tell(&mut held, &caps, now);
        }
        held.caps = Some(caps);
    }

    /// What is written next is of this kind.
    fn tell(&self, held: &mut Held, caps: &gst::Caps, now: i64) {
        if held.written.as_ref() == Some(caps) {
            return;
        }
        if let Some(tracks) = self.writing.hear_caps(caps, now)
            && let Some(format) = video_format(caps)
        {
            self.feed.format(format, tracks);
        }
        held.written = Some(caps.clone());
    }

    /// A unit has come, and goes to the branch from here when that is due. Called in the stream, which hears when the branch takes
    /// nothing any more.
    pub(super) fn take(&self, tap: &gst::Element, unit: Unit, buffer: &gst::Buffer) -> Result<(), gst::FlowError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now(Some(tap));
        self.writing.picture_came(now);
        let fate = self.feed.arrived(&unit);
        // With a keyframe another branch may be put on, and what was before belongs to that which is on.
        if unit.keyframe || !matches!(fate, Fate::Write { .. }) {
            self.hand_over(&mut held);
        }
        let outcome = match fate {
            Fate::Drop => Ok(()),
            Fate::WriteLate { behind } if held.is_open => {
                let kept = self.keep_back(&mut held, tap, unit, buffer, now);
                kept.and_then(|()| self.pass_on(&mut held, |late| late.pts < behind))
            }
            Fate::End { at } => {
                while held.late.pop_back_if(|late| late.pts >= at).is_some() {}
                self.writing.picture_dropped(&Passing::from(&unit));
                self.pass_on(&mut held, |_| true)
            }
            Fate::Hold { since } => {
                self.complain(self.pass_on(&mut held, |_| true));
                self.shut(&mut held, &unit, now);
                held.push(unit, buffer);
                held.trim(since);
                if let Some(oldest) = held.groups.front() {
                    self.writing.hold_sound_from(oldest.starts);
                }
                Ok(())
            }
            Fate::Write { from } | Fate::WriteLate { behind: from } => self
                .pass_on(&mut held, |_| true)
                .and_then(|()| self.release(&mut held, tap, from, now))
                .and_then(|()| self.gather(&mut held, tap, unit, buffer, now)),
        };
        self.complain(outcome);
        held.refused.take().map_or(Ok(()), Err)
    }

    /// The stream is over: what is kept back is written.
    pub(super) fn end(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.complain(self.pass_on(&mut held, |_| true));
    }

    /// Something is said in the stream, which belongs behind what came before it.
    pub(super) fn let_pass(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.hand_over(&mut held);
    }

    /// Has a unit go to the writer, with those around it.
    fn gather(
        &self,
        held: &mut Held,
        tap: &gst::Element,
        unit: Unit,
        buffer: &gst::Buffer,
        now: i64,
    ) -> Result<(), PipelineError> {
        let Some(caps) = held.caps.clone() else { return Ok(()) };
        let is_key = unit.keyframe;
        // When nothing could be held there is nothing yet that this unit could be shown after.
        if !held.is_open && !is_key {
            return Ok(());
        }
        held.is_open = true;
        if let Some(buffer) = self.write(held, tap, &caps, unit, buffer.clone(), now)?
            && held.gather(buffer, is_key, now)
        {
            self.hand_over(held);
        }
        Ok(())
    }

    /// Gives the writer what is gathered.
    fn hand_over(&self, held: &mut Held) {
        for unit in held.next.drain(..) {
            // One that is refused is no reason to keep back those behind it.
            held.refused = self.writing.pass(unit).err().or(held.refused);
        }
    }

    fn complain(&self, outcome: Result<(), PipelineError>) {
        if let Err(error) = outcome {
            self.feed.event(PipelineEvent::Error {
                loss: Loss::Broken,
                element: "segments".to_owned(),
                message: error.to_string(),
            });
        }
    }

    /// Has a unit counted as written, but does not write it yet.
    fn keep_back(
        &self,
        held: &mut Held,
        tap: &gst::Element,
        unit: Unit,
        buffer: &gst::Buffer,
        now: i64,
    ) -> Result<(), PipelineError> {
        let Some(caps) = held.caps.clone() else { return Ok(()) };
        if self.writing.is_about_to_change(&unit, now) {
            // What is kept back belongs to the branch that is on.
            self.pass_on(held, |_| true)?;
        }
        let pts = unit.pts;
        if let Some(buffer) = self.write(held, tap, &caps, unit, buffer.clone(), now)? {
            held.late.push_back(Late { pts, buffer });
        }
        Ok(())
    }

    /// Writes what was kept back for long enough, in order.
    fn pass_on(&self, held: &mut Held, is_due: impl Fn(&Late) -> bool) -> Result<(), PipelineError> {
        if held.late.front().is_none_or(|late| !is_due(late)) {
            return Ok(());
        }
        // Those were before.
        self.hand_over(held);
        while let Some(late) = held.late.pop_front_if(|late| is_due(late)) {
            self.writing.push(late.buffer)?;
        }
        Ok(())
    }

    /// Ends the branch if there is one; nothing is left of it once its file is closed.
    fn shut(&self, held: &mut Held, unit: &Unit, now: i64) {
        held.is_open = false;
        self.writing.stop(unit.dts, now);
        if unit.keyframe && self.feed.is_settled() {
            self.writing.forget_closed();
        }
    }

    /// Writes what is held, as far as it is wanted.
    fn release(&self, held: &mut Held, tap: &gst::Element, from: i64, now: i64) -> Result<(), PipelineError> {
        if held.is_open {
            return Ok(());
        }
        held.trim(from);
        held.bytes = 0;
        for group in std::mem::take(&mut held.groups) {
            held.is_open = true;
            for (unit, buffer) in group.units {
                if let Some(buffer) = self.write(held, tap, &group.caps, unit, buffer, now)? {
                    self.writing.push(buffer)?;
                }
            }
        }
        Ok(())
    }

    /// Tells the feed of a unit that goes to the writer, and sees to it that there is a branch for it. Gives the unit as it is
    /// written.
    fn write(
        &self,
        held: &mut Held,
        tap: &gst::Element,
        caps: &gst::Caps,
        unit: Unit,
        mut buffer: gst::Buffer,
        now: i64,
    ) -> Result<Option<gst::Buffer>, PipelineError> {
        self.tell(held, caps, now);
        if let Some(tracks) = self.writing.be_ready(tap, caps, &unit, now)?
            && let Some(format) = video_format(caps)
        {
            self.feed.format(format, tracks);
        }
        let passing = Passing::from(&unit);
        match self.feed.unit(unit) {
            Cut::Drop => {
                self.writing.picture_dropped(&passing);
                return Ok(None);
            }
            Cut::Here => {
                self.pass_on(held, |_| true)?;
                self.hand_over(held);
                self.writing.cut(tap, caps, &passing, now)?;
            }
            Cut::Continue => {}
        }
        if let Some(length) = self.writing.picture_passes(&passing, now) {
            buffer.make_mut().set_duration(gst::ClockTime::from_nseconds(length));
        }
        Ok(Some(buffer))
    }
}

fn kind(caps: &gst::Caps) -> Option<(crate::model::VideoFormat, TrackCaps)> {
    let text = TrackCaps {
        video: caps.to_string(),
        audio: None,
    };
    Some((video_format(caps)?, text))
}

impl Held {
    fn push(&mut self, unit: Unit, buffer: &gst::Buffer) {
        let bytes = unit.payload.len();
        if unit.keyframe {
            let Some(caps) = self.caps.clone() else { return };
            self.groups.push_back(Group {
                caps,
                starts: unit.pts,
                bytes: 0,
                units: Vec::new(),
            });
        }
        // What comes before any keyframe cannot be shown.
        if let Some(group) = self.groups.back_mut() {
            group.units.push((unit, buffer.clone()));
            group.bytes += bytes;
            self.bytes += bytes;
        }
    }

    /// Puts a unit to those that go to the writer next; whether they go now.
    fn gather(&mut self, unit: gst::Buffer, is_key: bool, now: i64) -> bool {
        if self.next.is_empty() {
            self.since = now;
        }
        self.next.push(unit);
        is_key || now - self.since >= MOMENT
    }

    /// Lets groups go that end before `since`, and more when they are too many bytes.
    fn trim(&mut self, since: i64) {
        while let Some(front) = self.groups.front() {
            let is_past = self.groups.get(1).is_some_and(|next| next.starts <= since);
            if !is_past && self.bytes <= MOST_BYTES {
                return;
            }
            self.bytes -= front.bytes;
            self.groups.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Track;
    use proptest::prelude::*;

    fn unit(pts: i64, keyframe: bool, bytes: usize) -> Unit {
        Unit {
            track: Track::Video,
            pts,
            dts: pts,
            duration: None,
            keyframe,
            payload: vec![0; bytes].into(),
        }
    }

    fn held() -> Held {
        super::super::launch::init().unwrap();
        Held {
            caps: Some(gst::Caps::new_any()),
            ..Held::default()
        }
    }

    #[test]
    fn what_cannot_be_shown_is_not_held() {
        let mut held = held();
        held.push(unit(1, false, 10), &gst::Buffer::new());
        assert_eq!((held.groups.len(), held.bytes), (0, 0));
    }

    #[test]
    fn too_many_bytes_are_not_held_even_if_all_of_them_are_wanted() {
        let mut held = held();
        for group in 0..5 {
            held.push(unit(group, true, MOST_BYTES / 3), &gst::Buffer::new());
            held.trim(0);
            assert!(held.bytes <= MOST_BYTES);
        }
        assert_eq!(held.groups.front().unwrap().starts, 2);
        held.push(unit(9, true, MOST_BYTES + 1), &gst::Buffer::new());
        held.trim(0);
        assert_eq!((held.groups.len(), held.bytes), (0, 0));
    }

    #[test]
    fn units_go_to_the_writer_a_handful_at_once_and_a_keyframe_goes_at_once() {
        let (mut held, unit) = (held(), gst::Buffer::new());
        let mut handfuls = Vec::new();
        for n in 0..22 {
            if held.gather(unit.clone(), n % 10 == 0, n * 40_000_000) {
                handfuls.push((n, std::mem::take(&mut held.next).len()));
            }
        }
        assert_eq!(handfuls, [(0, 1), (6, 6), (10, 4), (16, 6), (20, 4)]);
    }

    proptest! {
        #[test]
        fn the_group_in_which_the_wanted_time_lies_is_held_and_none_before_it(
            groups in proptest::collection::vec(1i64..50, 1..60), since in 0i64..800,
        ) {
            let mut held = held();
            let (mut pts, mut starts, mut bytes) = (0, Vec::new(), 0);
            for units in groups {
                starts.push(pts);
                for n in 0..units {
                    held.push(unit(pts, n == 0, 3), &gst::Buffer::new());
                    held.trim(since.min(pts));
                    pts += 1;
                }
            }
            let first = starts.iter().copied().filter(|start| *start <= since.min(pts - 1)).max().unwrap();
            prop_assert_eq!(held.groups.front().unwrap().starts, first);
            for group in &held.groups {
                prop_assert!(group.units[0].0.keyframe);
                bytes += group.bytes;
            }
            prop_assert_eq!(bytes, held.bytes);
            prop_assert_eq!(bytes as i64, 3 * (pts - first));
        }
    }
}
