//! Which pictures are encoded anew at the head of a clip, and where those go on that are as they were.
//!
//! ```text
//! decoded    K - - - - - k b b - - - - -
//! shown      K - - - - b b k - - - - -       those before `k` need the group before it, though they are decoded behind it
//! first            |
//! encoded          o - - o o                  up to `k`; for that, all up to the second b is decoded
//! goes on                    k - - - - -
//! ```

use super::recovering::{Beginning, Start, nearest};
use super::strip::Strip;
use super::table::Frame;
use crate::model::Timestamp;

/// A strip and the end of that which it joins, and their pictures in order of decoding.
pub(super) struct Group<'a> {
    before: Option<&'a Strip>,
    strip: &'a Strip,
}

/// What is encoded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The first that is decoded, and the first that is not.
    begin: usize,
    end: usize,
    /// The keyframe from which on pictures stay as they were; none of the strip do without one.
    pub(super) goes_on: Option<Timestamp>,
}

impl<'a> Group<'a> {
    pub(super) fn of(before: Option<&'a Strip>, strip: &'a Strip) -> Self {
        Self { before, strip }
    }

    fn strips(&self) -> impl Iterator<Item = &'a Strip> {
        self.before.into_iter().chain([self.strip])
    }

    /// All pictures, each with its strip and its number there.
    fn frames(&self) -> Vec<(&'a Strip, usize, Frame)> {
        let of = |strip: &'a Strip| {
            strip
                .frames
                .iter()
                .enumerate()
                .map(move |(at, frame)| (strip, at, *frame))
        };
        self.strips().flat_map(of).collect()
    }

    /// How many of them are before the strip's own.
    fn earlier(&self) -> usize {
        self.before.map_or(0, |before| before.frames.len())
    }

    /// What is encoded anew for a clip that begins with the strip's picture of this time, or goes on with it behind others that
    /// are. Nothing when that is a keyframe itself, or has none before it.
    pub(super) fn head(&self, first: Timestamp, goes_on: bool) -> Option<Head> {
        let frames = self.frames();
        let own = self.strip.frames.iter().position(|frame| frame.wall == first)?;
        let at = self.earlier() + own;
        let before = frames.iter().enumerate().take(at + 1).rev();
        let keyframes = before.filter(|(_, (_, _, frame))| frame.keyframe && frame.wall <= first);
        let beginnings = keyframes.map(|(at, (strip, number, _))| Beginning {
            at,
            right: strip.right_from(*number),
        });
        let beginning = nearest(first, beginnings)?;
        let is_fresh = |(strip, _, frame): &(&Strip, usize, Frame)| strip.start_at(frame) == Start::Fresh;
        let is_right = beginning.at == at && beginning.right == first;
        if is_right && (!goes_on || frames.get(at).is_some_and(is_fresh)) {
            return None;
        }
        let is_next = |entry: &(&Strip, usize, Frame)| entry.2.keyframe && entry.2.wall > first && is_fresh(entry);
        let begin = beginning.at;
        let next = frames
            .iter()
            .skip(begin + 1)
            .position(is_next)
            .map(|next| begin + 1 + next);
        let goes_on = next.and_then(|next| frames.get(next)).map(|(_, _, frame)| frame.wall);
        let end = match (next, goes_on) {
            (Some(next), Some(wall)) => {
                let early = frames
                    .iter()
                    .skip(next + 1)
                    .take_while(|(_, _, frame)| frame.wall < wall);
                next + 1 + early.count()
            }
            _ => frames.len(),
        };
        Some(Head { begin, end, goes_on })
    }

    /// The pictures that have to be decoded, strip by strip.
    pub(super) fn lead(&self, head: &Head) -> Vec<(&'a Strip, &'a [Frame])> {
        let mut earlier = 0;
        let mut lead = Vec::new();
        for strip in self.strips() {
            let count = strip.frames.len();
            let within = |number: usize| number.saturating_sub(earlier).min(count);
            let frames = strip
                .frames
                .get(within(head.begin)..within(head.end))
                .unwrap_or_default();
            if !frames.is_empty() {
                lead.push((strip, frames));
            }
            earlier += count;
        }
        lead
    }
}
