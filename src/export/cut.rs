//! One part of a clip while strips are laid into it: its tracks, and its own time.

use std::time::Duration;

use bytes::Bytes;

use crate::model::{SegmentId, Span, Timestamp, VideoFormat};
use crate::storage::{HeadPlan, Laid, Piece, Showing, TrackKind, TrackPlan};

use super::captions::Captions;
use super::error::ExportError;
use super::look::Look;
use super::plan::{Extras, Part};
use super::sound::{Packet, SoundLine};
use super::strip::{Strip, picture_ticks};
use super::table::{PICTURE_SCALE, nanos, rescale};

/// Pictures of a clip that are not as the camera sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedAnew {
    /// From the first of them to the end of the last.
    pub span: Span,
    /// How many they are.
    pub frames: u64,
}

/// Which frames of a strip are taken.
pub(super) struct Chosen {
    pub(super) begin: usize,
    pub(super) end: usize,
    /// The first that is shown.
    pub(super) first: Timestamp,
    /// From here on nothing is shown.
    pub(super) limit: Timestamp,
    /// Where pictures cannot be decoded whole.
    pub(super) torn: Option<Span>,
}

/// A part while strips are laid into it.
pub(super) struct Cut {
    head: HeadPlan,
    pictures: usize,
    look: Look,
    sound: SoundLine,
    captions: Option<Captions>,
    /// What stands in front of keyframes that are as they were, behind pictures that were encoded anew.
    sets: Option<Bytes>,
    /// When its first frame was taken, in ticks since the epoch.
    zero: i64,
    /// How many ticks less than since then have passed in the file: what was closed up.
    closed: i64,
    /// Where the file ends so far, in its own ticks.
    end: i64,
    from: Timestamp,
    pub(super) until: Timestamp,
    frames: u64,
    lead_in: u64,
    torn: Vec<Span>,
    encoded_anew: Option<EncodedAnew>,
    segments: Vec<SegmentId>,
}

impl Cut {
    pub(super) fn new(strip: &Strip, from: Timestamp, extras: Extras) -> Self {
        let mut head = HeadPlan::new(from);
        let look = strip.look.clone();
        let pictures = head.track(TrackPlan {
            kind: TrackKind::Pictures {
                width: look.width,
                height: look.height,
            },
            timescale: PICTURE_SCALE,
            entries: vec![strip.entry.clone()],
        });
        Self {
            sound: SoundLine::new(from),
            captions: extras
                .captions
                .then(|| Captions::new(&mut head, look.width, look.height)),
            sets: None,
            head,
            pictures,
            look,
            zero: picture_ticks(from),
            closed: 0,
            end: 0,
            from,
            until: from,
            frames: 0,
            lead_in: 0,
            torn: Vec::new(),
            encoded_anew: None,
            segments: Vec::new(),
        }
    }

    /// Whether a strip that does not join what was laid fits into the same file.
    pub(super) fn strip_fits(&self, strip: &Strip) -> bool {
        self.look == strip.look
    }

    pub(super) fn add(&mut self, strip: &Strip, chosen: &Chosen, is_joined: bool, ends: Timestamp, goes_on: bool) {
        if !is_joined {
            // What lacks is closed up: the first frame shown follows the last one at once.
            self.closed = picture_ticks(chosen.first) - self.zero - self.end;
        }
        let begins = self.end;
        let frames = strip.frames.get(chosen.begin..chosen.end).unwrap_or_default();
        self.sets = strip.sets_after.clone().or(self.sets.take());
        let sets = strip
            .sets
            .as_ref()
            .or(self.sets.as_ref().filter(|_| !strip.retaken))
            .cloned();
        let shown_before = self.frames;
        let heard = (!goes_on).then_some(ends);
        self.sound.add(&mut self.head, strip, chosen.first, heard, self.closed);
        let scale = self.sound.scale();
        let mut sound = self.sound.waiting();
        let mut packet = sound.next();
        for (number, frame) in frames.iter().enumerate() {
            // In the order in which they lie, or, when they lie in two files, in which they are shown.
            let is_due = |(place, laid, _): &mut Packet| match strip.retaken {
                false => *place < frame.place,
                true => rescale(laid.at, scale, PICTURE_SCALE) < frame.tick - self.zero - self.closed,
            };
            while let Some((_, laid, bytes)) = packet.take_if(is_due) {
                self.head.put(self.sound.track(), laid, bytes);
                packet = sound.next();
            }
            let at = frame.tick - self.zero - self.closed;
            match frame.wall {
                wall if wall < chosen.first => self.lead_in += 1,
                wall if wall < chosen.limit => {
                    self.frames += 1;
                    self.end = self.end.max(at + 1);
                }
                _ => {}
            }
            let front = sets.as_ref().filter(|_| frame.keyframe).cloned().unwrap_or_default();
            let laid = Laid {
                size: frame.size.saturating_add(u32::try_from(front.len()).unwrap_or(0)),
                at,
                // A player goes back to the nearest, which may be one that takes longer until its pictures are right.
                keyframe: frame.keyframe && (number == 0 || frame.wall > chosen.first),
                entry: 0,
            };
            self.head
                .put_both(self.pictures, laid, Piece::Bytes(front), strip.piece(frame));
        }
        while let Some((_, laid, bytes)) = packet {
            self.head.put(self.sound.track(), laid, bytes);
            packet = sound.next();
        }
        self.end = self.end.max(picture_ticks(ends) - self.zero - self.closed);
        self.until = ends;
        self.torn.extend(chosen.torn.or(strip.torn));
        if strip.retaken {
            let before = self
                .encoded_anew
                .map_or((chosen.first, 0), |before| (before.span.start, before.frames));
            self.encoded_anew = Some(EncodedAnew {
                span: Span::new(before.0, ends),
                frames: before.1 + self.frames - shown_before,
            });
        }
        if let Some(captions) = &mut self.captions {
            captions.add(&mut self.head, Span::new(chosen.first, ends), begins, self.end);
        }
        if !self.segments.contains(&strip.segment) {
            self.segments.push(strip.segment);
        }
    }

    pub(super) fn finish(mut self, holes: Vec<Span>) -> Result<Part, ExportError> {
        let end = self.end;
        self.head.show(
            self.pictures,
            Showing {
                from: 0,
                until: end,
                end,
            },
        );
        if let Some(captions) = &self.captions {
            captions.finish(&mut self.head, end);
        }
        let has_audio = self.sound.finish(&mut self.head, end);
        let covered = Duration::from_nanos(u64::try_from(nanos(end, PICTURE_SCALE)).unwrap_or(0));
        let seconds = covered.as_secs_f64();
        Ok(Part {
            reel: self.head.lay_out()?,
            shown: Span::new(self.from, self.until),
            covered,
            frames: self.frames,
            lead_in: self.lead_in,
            torn: self.torn,
            encoded_anew: self.encoded_anew,
            holes,
            segments: self.segments,
            format: VideoFormat {
                codec: self.look.codec,
                width: self.look.width,
                height: self.look.height,
                fps: (seconds > 0.0).then(|| self.frames as f64 / seconds),
            },
            has_audio,
        })
    }
}
