//! A track of text that says when the pictures were taken, for players that can show it. Nothing is encoded anew for it.

use bytes::Bytes;
use chrono::SecondsFormat;
use mp4_atom::{Encode, Tx3g};

use crate::model::{Span, Timestamp};
use crate::storage::{HeadPlan, Laid, Piece, Showing, TrackKind, TrackPlan};

use super::strip::picture_ticks;
use super::table::PICTURE_SCALE;

/// The track of text while strips are laid.
#[derive(Debug)]
pub(super) struct Captions {
    track: usize,
    /// The second that was said last. One that goes on behind a seam is not said again.
    said: Option<i64>,
}

impl Captions {
    pub(super) fn new(head: &mut HeadPlan, width: u32, height: u32) -> Self {
        Self {
            track: head.track(TrackPlan {
                kind: TrackKind::Text,
                timescale: PICTURE_SCALE,
                entries: vec![entry(width, height)],
            }),
            said: None,
        }
    }

    /// Pictures of a span are shown from one tick of the part to another: a line for each second by the clock.
    pub(super) fn add(&mut self, head: &mut HeadPlan, span: Span, from: i64, until: i64) {
        const SECOND: i64 = 1_000_000_000;
        let mut second = span.start.as_nanos().div_euclid(SECOND);
        let mut at = from;
        while at < until {
            if self.said.replace(second) != Some(second) {
                let said = text(Timestamp::from_seconds(second));
                let laid = Laid {
                    size: u32::try_from(said.len()).unwrap_or(0),
                    at,
                    keyframe: true,
                    entry: 0,
                };
                head.put(self.track, laid, Piece::Bytes(said));
            }
            second += 1;
            let next = picture_ticks(Timestamp::from_seconds(second)) - picture_ticks(span.start) + from;
            at = next.max(at + 1);
        }
    }

    pub(super) fn finish(&self, head: &mut HeadPlan, end: i64) {
        head.show(
            self.track,
            Showing {
                from: 0,
                until: end,
                end,
            },
        );
    }
}

/// A line as the format has it: its length, and the text.
fn text(at: Timestamp) -> Bytes {
    let said = at
        .to_utc()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
        .replace('T', " ")
        .replace('Z', " UTC");
    let length = u16::try_from(said.len()).unwrap_or(0).to_be_bytes();
    [&length[..], said.as_bytes()].concat().into()
}

/// White on a translucent ground, in the middle of the bottom.
fn entry(width: u32, height: u32) -> Bytes {
    let pixels = |pixels: u32| i16::try_from(pixels).unwrap_or(i16::MAX);
    let entry = Tx3g {
        data_reference_index: 1,
        display_flags: 0,
        horizontal_justification: 1,
        vertical_justification: -1,
        bg_color_rgba: mp4_atom::RgbaColor {
            red: 0,
            green: 0,
            blue: 0,
            alpha: 128,
        },
        box_record: [0, 0, pixels(height), pixels(width)],
        style_record: [0, 0, 0, 0, 0, 1, 0, 18, 255, 255, 255, 255],
        ftab: None,
        disp: None,
    };
    let mut out = Vec::new();
    // Writing numbers into memory cannot fail; without an entry the track would be unreadable, not the film.
    if let Err(error) = entry.encode(&mut out) {
        tracing::error!(%error, "the entry of captions could not be written");
    }
    out.into()
}
