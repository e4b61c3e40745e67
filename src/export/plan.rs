//! Which frames a clip is made of, and where each of them is. Tables of frames go in, reels come out; nothing else is read but
//! what the picture that a clip begins with says of itself.
//!
//! ```text
//! window                 |----------- from .. to -----------|
//! footage    K - - K - - - - K - -|      K - - K - - - K - - - K
//! shown                  |--------|      |------------------|       closed up, so that one follows the other
//! lead-in          |-----|                                          decoded and hidden by the edit list
//! ```
//!
//! Footage that came back later begins where other footage ends, in the middle of a group of pictures, with a lead-in of its
//! own. In the middle of a clip that is the end of what was laid before, so it is left out.
//!
//! Where a clock was set back, two recordings have the same time. They come one after the other, each with all that it has of the
//! window; time goes back between the two.
//!
//! The first frame shown is the first that was taken at or after `from`, the last is the last before `to`. Decoding begins at
//! the keyframe before it. Where footage lacks, the clip goes on with the next keyframe, and the hole is told.

use std::time::Duration;

use crate::model::{ClipMode, SegmentId, Span, Timestamp, VideoFormat};
use crate::storage::Reel;

use super::cut::{Chosen, Cut, EncodedAnew};
use super::error::ExportError;
use super::footage::Footage;
use super::recovering::torn_between;
use super::retake::Retaker;
use super::strip::Strip;
use super::table::Frame;

/// What lacks for no longer than this is a seam and no hole.
const TOLERANCE: Duration = Duration::from_secs(1);
/// Frames of two files that are so near in time, and have as many bytes each one after another, are the same ones.
const SAME: i64 = 5_000_000;

/// What a clip has beside pictures and sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// A track of text that says the time.
    pub captions: bool,
}

/// One file of a clip: one codec, one configuration of the decoder, one size.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its bytes.
    pub reel: Reel,
    /// From the first frame shown to the end of the last.
    pub shown: Span,
    /// How long the file plays: what is shown, without the holes.
    pub covered: Duration,
    /// Frames that are shown.
    pub frames: u64,
    /// Frames in front of them that are only decoded.
    pub lead_in: u64,
    /// Where pictures were recorded that cannot be decoded whole, because what they need was not recorded before them.
    pub torn: Vec<Span>,
    /// Which of those that are shown were encoded anew.
    pub encoded_anew: Option<EncodedAnew>,
    /// What lacks of the window from the end of the part before to the beginning of the next.
    pub holes: Vec<Span>,
    /// The segments whose frames it has.
    pub segments: Vec<SegmentId>,
    /// What its pictures are like.
    pub format: VideoFormat,
    /// Whether it has sound.
    pub has_audio: bool,
}

/// Lays a window out. Footage has to come in order of time, but where it begins again; it is taken one after another, and what was laid of it is kept in
/// a few bytes a frame.
///
/// Nothing shown is an error, and a change of the pictures begins another part.
pub fn plan(
    footage: impl IntoIterator<Item = Footage>,
    window: Span,
    mode: ClipMode,
    extras: Extras,
) -> Result<Vec<Part>, ExportError> {
    if window.is_empty() {
        return Err(ExportError::BackToFront);
    }
    plan_strips(InOrder::new(footage).map(Ok), window, mode, extras)
}

/// Lays a window out with pictures that are encoded anew on the way; what they are encoded into has to stay until the parts
/// are written.
pub fn plan_anew(
    footage: impl IntoIterator<Item = Footage>,
    window: Span,
    mode: ClipMode,
    extras: Extras,
    mut retaker: Retaker<'_>,
) -> Result<Vec<Part>, ExportError> {
    if window.is_empty() {
        return Err(ExportError::BackToFront);
    }
    let strips = InOrder::new(footage).flat_map(move |strip| match retaker.pass(strip) {
        Ok(strips) => strips.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error)],
    });
    plan_strips(strips, window, mode, extras)
}

/// The strips of footage that comes in order of time, in order of time: what came back later may lie in a hole of a segment.
/// Where footage begins again, all that is before it comes first.
struct InOrder<I> {
    footage: I,
    waiting: Vec<Strip>,
    again: Option<Footage>,
    /// No footage that comes yet begins before this.
    reached: Option<Timestamp>,
}

impl<I: Iterator<Item = Footage>> InOrder<I> {
    fn new(footage: impl IntoIterator<IntoIter = I>) -> Self {
        Self {
            footage: footage.into_iter(),
            waiting: Vec::new(),
            again: None,
            reached: Some(Timestamp::MIN),
        }
    }
}

impl<I: Iterator<Item = Footage>> Iterator for InOrder<I> {
    type Item = Strip;

    fn next(&mut self) -> Option<Strip> {
        loop {
            let is_over = self.again.is_some();
            let is_next = |strip: &Strip| is_over || self.reached.is_none_or(|reached| strip.start() <= reached);
            if self.waiting.first().is_some_and(is_next) {
                return Some(self.waiting.remove(0));
            }
            self.reached?;
            let footage = self.again.take().or_else(|| self.footage.next());
            if footage.as_ref().is_some_and(|footage| footage.begins_again) && !self.waiting.is_empty() {
                self.again = footage;
                continue;
            }
            self.reached = footage.as_ref().map(|footage| footage.segment.span.start);
            self.waiting.extend(footage.into_iter().flat_map(Strip::of));
            self.waiting.sort_by_key(Strip::start);
        }
    }
}

fn plan_strips(
    strips: impl Iterator<Item = Result<Strip, ExportError>>,
    window: Span,
    mode: ClipMode,
    extras: Extras,
) -> Result<Vec<Part>, ExportError> {
    let mut strips = strips.peekable();
    let mut editing = Editing::new(window, mode, extras);
    while let Some(strip) = strips.next() {
        let strip = strip?;
        if strip.start() >= window.end && strip.earliest() >= window.end {
            break;
        }
        // An error is met when it is its turn.
        editing.add(strip, strips.peek().and_then(|next| next.as_ref().ok()))?;
    }
    editing.finish()
}

/// The only part, where one file is all that can be given.
pub fn the_one(parts: Vec<Part>) -> Result<Part, ExportError> {
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next()) {
        (Some(part), None) => Ok(part),
        (_, Some(next)) => Err(ExportError::Mixed { at: next.shown.start }),
        (None, None) => Err(ExportError::NothingThere),
    }
}

struct Editing {
    window: Span,
    mode: ClipMode,
    extras: Extras,
    done: Vec<Part>,
    on: Option<Cut>,
    /// The last strip of which something is shown, without its frames, and whether it was shown to its end.
    last: Option<(Strip, bool)>,
    /// Its pictures from the last keyframe on.
    group: Vec<Frame>,
    /// The window is dealt with up to here, and by a recording before the clock was set back, up to there.
    reached: Timestamp,
    reached_before: Timestamp,
    /// Until here frames last that were taken before the window.
    lasting: Timestamp,
    /// Holes that no part has told of yet.
    holes: Vec<Span>,
}

impl Editing {
    fn new(window: Span, mode: ClipMode, extras: Extras) -> Self {
        Self {
            window,
            mode,
            extras,
            done: Vec::new(),
            on: None,
            last: None,
            group: Vec::new(),
            reached: window.start,
            reached_before: window.start,
            lasting: Timestamp::MIN,
            holes: Vec::new(),
        }
    }

    fn add(&mut self, mut strip: Strip, next: Option<&Strip>) -> Result<(), ExportError> {
        // What begins again neither follows on what was before nor ends it.
        let next = next.filter(|next| !next.begins_again);
        if strip.begins_again {
            self.last = None;
            self.group.clear();
            self.reached_before = self.reached_before.max(self.reached);
            self.reached = self.window.start;
        }
        let is_joined = match &self.last {
            Some((last, to_its_end)) => *to_its_end && last.fits(&strip) && last.joins(&strip),
            None => false,
        };
        if !is_joined {
            strip.drop_early();
        }
        let follows = next.is_some_and(|next| strip.fits(next) && strip.joins(next));
        let limit = self.limit(next, follows);
        let Some(range) = self.choose(&strip, is_joined, limit) else {
            if strip.start() < self.window.start {
                self.lasting = self.lasting.max(strip.end);
            }
            return Ok(());
        };
        let wanted = strip
            .frames
            .iter()
            .map(|frame| frame.wall)
            .filter(|wall| *wall >= limit)
            .min();
        let ends = match (wanted, next) {
            (Some(_), _) => limit,
            (None, Some(next)) if follows => next.earliest().min(self.window.end),
            (None, _) => strip.end.min(limit),
        };
        // Whether all of it is shown, so that what comes next may join it.
        let goes_on = ends < self.window.end && wanted.is_none();
        if !is_joined {
            // A frame that was taken before the window lasts until the first in it: nothing lacks between them.
            let is_shown_before = |frame: &Frame| frame.wall < self.window.start && strip.is_shown(frame);
            if strip.frames.iter().any(is_shown_before) && self.is_earliest(&strip, range.first) {
                self.lasting = self.lasting.max(range.first);
            }
            self.hole(range.torn.map_or(range.first, |torn| torn.start.min(range.first)));
            if !self.on.as_ref().is_some_and(|cut| cut.strip_fits(&strip)) {
                self.end_part()?;
            }
        }
        let cut = self
            .on
            .get_or_insert_with(|| Cut::new(&strip, range.first, self.extras));
        cut.add(&strip, &range, is_joined, ends, goes_on && follows);
        self.reached = ends;
        strip.frames.truncate(range.end);
        let last = strip.frames.iter().rposition(|frame| frame.keyframe);
        if let Some(last) = last {
            self.group.clear();
            strip.frames.drain(..last);
        }
        self.group.append(&mut strip.frames);
        strip.sound = None;
        self.last = Some((strip, goes_on));
        Ok(())
    }

    /// Frames from here on are not of this strip: they are past the window, or the next strip has them.
    fn limit(&self, next: Option<&Strip>, follows: bool) -> Timestamp {
        let next = next.map(|next| if follows { next.earliest() } else { next.start() });
        next.map_or(self.window.end, |next| next.min(self.window.end))
    }

    /// Which frames of a strip are laid, in order of decoding, and from when on they are shown.
    fn choose(&self, strip: &Strip, is_joined: bool, limit: Timestamp) -> Option<Chosen> {
        let frames = &strip.frames;
        let from = self.window.start.max(self.reached);
        let inside = |frame: &Frame| frame.wall >= from && frame.wall < limit && strip.is_shown(frame);
        let walls = frames.iter().filter(|frame| inside(frame)).map(|frame| frame.wall);
        let (mut first, mut begin) = (walls.min()?, 0);
        let mut torn = None;
        if !is_joined {
            let at = frames.iter().position(|frame| frame.wall == first)?;
            let beginning = strip.beginning(at)?;
            begin = beginning.at;
            let is_within = self.on.as_ref().is_some_and(|cut| cut.strip_fits(strip));
            if is_within && frames.get(begin)?.wall < first {
                // Here nothing can be hidden: what this needs is what was laid before, or it goes on with its next keyframe.
                // The first of them in order of decoding may be shown behind others.
                let shown = frames.iter().position(inside)?;
                let needed = frames.get(begin..shown).unwrap_or_default();
                if self.ends_with(needed) {
                    begin = shown;
                } else {
                    // Or it begins a little early, where nothing of the window may lack.
                    if !strip.begins_again {
                        begin = frames
                            .iter()
                            .position(|frame| frame.keyframe && inside(frame) && frame.wall > first)?;
                    }
                    first = frames.get(begin)?.wall;
                    torn = torn_between(first, strip.right_from(begin));
                }
            } else {
                torn = torn_between(first, beginning.right);
                if torn.is_some() && !is_within {
                    let is_right = |frame: &&Frame| inside(frame) && frame.wall >= beginning.right;
                    first = frames.iter().filter(is_right).map(|frame| frame.wall).min()?;
                } else if !is_within && self.mode == ClipMode::Keyframe {
                    first = beginning.right.max(strip.start());
                }
            }
        }
        let mut end = frames.iter().rposition(|frame| frame.wall < limit)? + 1;
        if limit < self.window.end {
            // Something else follows, and in the middle nothing can be hidden.
            let hidden = frames.iter().skip(begin).position(|frame| frame.wall >= limit);
            end = end.min(hidden.map_or(end, |hidden| begin + hidden));
        }
        let chosen = frames.get(begin..end)?;
        chosen.iter().any(|frame| frame.wall >= first).then_some(Chosen {
            begin,
            end,
            first,
            limit,
            torn,
        })
    }

    /// Whether the pictures that were laid last are these, from a keyframe to the end.
    fn ends_with(&self, needed: &[Frame]) -> bool {
        let was_shown_to_its_end = self.last.as_ref().is_some_and(|(_, to_its_end)| *to_its_end);
        let is_same = |(one, other): (&Frame, &Frame)| {
            let apart = one.wall.nanos_since(other.wall).abs();
            one.size == other.size && one.keyframe == other.keyframe && apart <= SAME
        };
        was_shown_to_its_end && needed.len() == self.group.len() && needed.iter().zip(&self.group).all(is_same)
    }

    /// Whether no frame of a strip in the window is shown before this one.
    fn is_earliest(&self, strip: &Strip, first: Timestamp) -> bool {
        let mut walls = strip.frames.iter().map(|frame| frame.wall);
        walls.all(|wall| wall < self.window.start || wall >= first)
    }

    fn hole(&mut self, until: Timestamp) {
        // What one recording lacks and the other has is no hole.
        let hole = Span::new(self.reached.max(self.reached_before).max(self.lasting), until);
        if hole.duration() > TOLERANCE {
            self.holes.push(hole);
        }
    }

    fn end_part(&mut self) -> Result<(), ExportError> {
        if let Some(cut) = self.on.take() {
            // The hole in front of what follows belongs to what follows.
            let at = self.holes.iter().position(|hole| hole.start >= cut.until);
            let later = at.map(|at| self.holes.split_off(at)).unwrap_or_default();
            let holes = std::mem::replace(&mut self.holes, later);
            self.done.push(cut.finish(holes)?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Part>, ExportError> {
        if self.on.is_none() {
            return Err(ExportError::NothingThere);
        }
        let mut trailing = Vec::new();
        self.hole(self.window.end);
        if let Some(last) = self
            .holes
            .last()
            .filter(|hole| hole.end == self.window.end && hole.start == self.reached.max(self.reached_before))
        {
            trailing.push(*last);
            self.holes.pop();
        }
        self.end_part()?;
        if let Some(last) = self.done.last_mut() {
            last.holes.extend(trailing);
        }
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests;
