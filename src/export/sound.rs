//! The sound of a part: cut to the same window as the pictures, and kept together with them over every seam.

use bytes::Bytes;

use crate::model::Timestamp;
use crate::storage::{HeadPlan, Laid, Piece, Showing, TrackKind, TrackPlan};

use super::strip::Strip;
use super::table::{PICTURE_SCALE, Place, rescale, ticks};

/// A packet of sound: where it lies in the file of its pictures, and its bytes.
pub(super) type Packet = (Place, Laid, Piece);

/// A part's track of sound while strips are laid into it.
#[derive(Debug)]
pub(super) struct SoundLine {
    /// When the part begins.
    from: Timestamp,
    known: Option<Known>,
    waiting: Vec<Packet>,
}

#[derive(Debug)]
struct Known {
    track: usize,
    scale: u32,
    config: Bytes,
    first: Option<i64>,
    /// The last packet laid: when it begins, and how long it is by itself.
    last: Option<(i64, i64)>,
}

impl SoundLine {
    pub(super) fn new(from: Timestamp) -> Self {
        Self {
            from,
            known: None,
            waiting: Vec::new(),
        }
    }

    pub(super) fn track(&self) -> usize {
        self.known.as_ref().map_or(usize::MAX, |known| known.track)
    }

    /// Ticks a second of it.
    pub(super) fn scale(&self) -> u32 {
        self.known.as_ref().map_or(1, |known| known.scale)
    }

    /// What is to be laid with the strip that was added, in the order of its places.
    pub(super) fn waiting(&mut self) -> std::vec::IntoIter<Packet> {
        std::mem::take(&mut self.waiting).into_iter()
    }

    /// Takes from a strip the sound of the pictures that are shown of it. Times of the part are `closed` ticks of the
    /// pictures less than since it began.
    ///
    /// What goes on in the next strip has no end here: its last packet may be heard beyond its last picture.
    ///
    /// Sound that needs another decoder than that of the part is left out: no picture is worth less for it.
    pub(super) fn add(
        &mut self,
        head: &mut HeadPlan,
        strip: &Strip,
        shown: Timestamp,
        ends: Option<Timestamp>,
        closed: i64,
    ) {
        let Some(sound) = &strip.sound else { return };
        let known = self.known.get_or_insert_with(|| Known {
            track: head.track(TrackPlan {
                kind: TrackKind::Sound,
                timescale: sound.scale,
                entries: vec![sound.entry.clone()],
            }),
            scale: sound.scale,
            config: sound.config.clone(),
            first: None,
            last: None,
        });
        if known.config != sound.config || known.scale != sound.scale {
            return;
        }
        let scale = known.scale;
        let shift = ticks(self.from, scale) + rescale(closed, PICTURE_SCALE, scale);
        let (from, until) = (
            ticks(shown, scale) - shift,
            ends.map_or(i64::MAX, |ends| ticks(ends, scale) - shift),
        );
        let is_first = known.last.is_none();
        // A decoder needs the packet before the first to make that sound as it did.
        let lead = sound
            .frames
            .iter()
            .rposition(|frame| frame.tick - shift <= from)
            .unwrap_or(0);
        let lead = lead.saturating_sub(1);
        for (number, frame) in sound.frames.iter().enumerate() {
            let at = frame.tick - shift;
            let after = known.last.map_or(i64::MIN, |(last, lasts)| last + lasts.max(2) / 2);
            let begins = if is_first {
                number >= lead
            } else {
                at >= from.min(after)
            };
            if !begins || at < after || at + frame.lasts / 2 >= until {
                continue;
            }
            known.first.get_or_insert(at);
            known.last = Some((at, frame.lasts));
            let laid = Laid {
                size: frame.size,
                at,
                keyframe: true,
                entry: 0,
            };
            self.waiting.push((frame.place, laid, strip.sound_piece(frame)));
        }
    }

    /// Says what is shown of it when the pictures end at a tick of theirs; whether there is any.
    pub(super) fn finish(self, head: &mut HeadPlan, end: i64) -> bool {
        let Some(known) = self.known else { return false };
        let (Some(first), Some((last, lasts))) = (known.first, known.last) else {
            return false;
        };
        let end = rescale(end, PICTURE_SCALE, known.scale).min(last + lasts);
        head.show(
            known.track,
            Showing {
                from: first.max(0),
                until: end,
                end: last + lasts,
            },
        );
        true
    }
}
