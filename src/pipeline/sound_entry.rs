//! The door through which sound comes into a branch: it never makes anybody wait who knocks.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::model::Unit;

use super::fragments;
use super::sound_track::Piece;

/// Sound that waits while the disk does: minutes of it. What does not fit is silence.
const ROOM_BYTES: u64 = 4 << 20;

/// A source in front of a splitmuxsink's track of sound.
#[derive(Debug)]
pub(super) struct SoundEntry {
    source: gst_app::AppSrc,
    at: Mutex<At>,
}

/// How far the sound is.
#[derive(Debug, Default)]
struct At {
    last_pts: Option<i64>,
    /// A file begins here whose first sound has not come yet.
    begins: Option<i64>,
    /// How much later than its file the sound begins.
    late: i64,
}

impl SoundEntry {
    /// Gives a splitmuxsink a track of sound; nothing when it takes none.
    pub(super) fn of(segments: &gst::Element, caps: &gst::Caps) -> Option<Self> {
        let parent = segments.parent().and_downcast::<gst::Bin>()?;
        let source = gst_app::AppSrc::builder()
            .name("sound")
            .caps(caps)
            .format(gst::Format::Time)
            .max_bytes(ROOM_BYTES)
            .leaky_type(gst_app::AppLeakyType::Downstream)
            .build();
        parent.add(&source).ok()?;
        let linked = segments
            .request_pad_simple("audio_%u")
            .zip(source.static_pad("src"))
            .is_some_and(|(entry, exit)| exit.link(&entry).is_ok());
        if !linked || source.sync_state_with_parent().is_err() {
            let _ = source.set_state(gst::State::Null);
            let _ = parent.remove(&source);
            return None;
        }
        fragments::hold_one_sample(segments);
        Some(Self {
            source,
            at: Mutex::default(),
        })
    }

    pub(super) fn element(&self) -> gst::Element {
        self.source.clone().upcast()
    }

    /// A file begins at this time.
    pub(super) fn file_begins(&self, pts: i64) {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).begins = Some(pts);
    }

    /// How much longer a packet is called than it is. mp4mux hides as much of a track's end as the track begins late, and
    /// goes by what is said of a packet's length for the last one of a file only.
    fn stretch(&self, pts: i64) -> u64 {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.last_pts = Some(pts);
        if let Some(begins) = at.begins.filter(|begins| pts >= *begins) {
            at.late = pts.saturating_sub(begins);
            at.begins = None;
        }
        u64::try_from(at.late).unwrap_or(0)
    }

    pub(super) fn push(&self, piece: &Piece) {
        let (mut buffer, pts, lasts) = match piece {
            Piece::Unit(unit) => (
                gst::Buffer::from_slice(unit.payload.clone()),
                unit.pts,
                unit.duration.map(|lasts| lasts.saturating_add(self.stretch(unit.pts))),
            ),
            Piece::Gap(from, lasts) => (gst::Buffer::new(), *from, u64::try_from(*lasts).ok()),
        };
        let time = |nanos: i64| gst::ClockTime::from_nseconds(u64::try_from(nanos).unwrap_or(0));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(time(pts));
            buffer.set_dts(time(pts));
            buffer.set_duration(lasts.map(gst::ClockTime::from_nseconds));
            if matches!(piece, Piece::Gap(..)) {
                // The muxer hears of the time and writes nothing.
                buffer.set_flags(gst::BufferFlags::GAP);
            }
        }
        // Refused only when the branch is on its way down.
        let _ = self.source.push_buffer(buffer);
    }

    /// Takes one of the last units of a branch that is over; `false` when it is none.
    pub(super) fn push_rest(&self, unit: &Unit) -> bool {
        let last = self.at.lock().unwrap_or_else(PoisonError::into_inner).last_pts;
        let is_next = last.is_none_or(|last| unit.pts > last);
        if is_next {
            self.push(&Piece::Unit(unit.clone()));
        }
        is_next
    }

    /// No more sound comes.
    pub(super) fn end(&self) {
        // Refused only when the branch is on its way down.
        let _ = self.source.end_of_stream();
    }
}
