//! Mending one segment: its file anew, checked and on the disk for certain, before anything of the old is let go.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{Copy, CopyState, Segment, SegmentState, Span, Timestamp, VideoFormat, VolumeId, counted};
use crate::pipeline::{Catalog, Mended, Mending, PipelineError, discover, mend};
use crate::storage::{
    Durable, Identity, JournalContents, Movie, StorageError, TrackCoding, Volume, holes_left, holes_of, make_durable,
    sync_directory,
};

use super::error::CheckError;
use super::plan::Action;
use super::source;

/// What a file is called while it is written anew.
pub(super) const BESIDE: &str = ".mending";

/// No frame moves for so long: the disk hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How far two readers may differ on how long a file plays.
const AGREEMENT: Duration = Duration::from_secs(1);
/// Slower than this a second, a disk is not worth waiting for.
const SLOWEST: u64 = 1 << 20;

/// Everything that is known of one segment and can be read of it.
#[derive(Debug)]
pub(super) struct Left {
    /// The segment, from its row, its journal, or from what the file says.
    pub(super) segment: Segment,
    /// Whether `segment.span.start` is the date of its first frame, as the recorder gave it.
    pub(super) start_is_known: bool,
    /// Where its file is, or would be, relative to the volume.
    pub(super) path: String,
    /// What can be read of the file.
    pub(super) movie: Option<Movie>,
    /// Its journal.
    pub(super) journal: Option<JournalContents>,
    /// What lies beside it of the same camera.
    pub(super) beside: Beside,
}

/// What lies beside a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// When the next segment of its run begins, if there is one.
    pub(super) next: Option<Timestamp>,
    /// Where other footage ends that began before it.
    pub(super) before: Option<Timestamp>,
    /// Where other footage begins that began after it.
    pub(super) after: Option<Timestamp>,
}

/// The tools for mending.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) volume: &'a Volume,
}

impl Bench<'_> {
    /// Writes the segment's file anew and gives the closed segment.
    pub(super) fn write_anew(&self, left: &Left, action: &Action) -> Result<Segment, CheckError> {
        let target = self.volume.absolute(&left.path);
        let (mending, is_dated) = self.gather(left, &target, action)?;
        let beside_path = format!("{}{BESIDE}", left.path);
        // One that an earlier try left: what it was made of is still there.
        self.volume.remove(&beside_path)?;
        let beside = self.volume.create_new(&beside_path)?;
        let has_sound = mending.audio.is_some();
        let mut outcome = self.write_and_check(left, mending, is_dated, &beside);
        if let Err(error) = &outcome
            && has_sound
        {
            // Whatever is wrong with the sound, the pictures are to be had.
            tracing::warn!(path = left.path, %error, "cannot be mended with its sound; trying without");
            outcome = self.gather(left, &target, action).and_then(|(mending, is_dated)| {
                let mending = Mending { audio: None, ..mending };
                self.write_and_check(left, mending, is_dated, &beside)
            });
        }
        let (segment, trouble) = match outcome {
            Ok(done) => done,
            Err(error) => {
                // The try is worth nothing; what it was made of is untouched.
                if let Err(error) = self.volume.remove(&beside_path) {
                    tracing::warn!(path = beside_path, %error, "a try at mending stays behind");
                }
                return Err(error);
            }
        };
        if let Some(trouble) = trouble
            && left.movie.is_some()
        {
            // More may be in the old file than could be read today.
            let kept = self
                .volume
                .quarantine(&left.path, &format!("not all of it could be read: {trouble}"))?;
            tracing::warn!(
                path = left.path,
                kept,
                trouble,
                "mended what could be read; the old file is kept"
            );
        }
        fs::rename(&beside, &target).map_err(|error| CheckError::reading(&target, error))?;
        sync_directory(target.parent().unwrap_or(Path::new("/")))?;
        Ok(segment)
    }

    /// The units to write, and whether their times are the journal's, which have a date.
    fn gather(&self, left: &Left, target: &Path, action: &Action) -> Result<(Mending, bool), CheckError> {
        let movie = left.movie.as_ref().filter(|movie| movie.frames() > 0);
        let (journal, movie) = match (action, movie, &left.journal) {
            (Action::MendFromBoth, Some(movie), Some(journal)) => match source::from_both(target, movie, journal)? {
                Some(mending) => return Ok((mending, true)),
                None if journal.frames > movie.frames() => (Some(journal), None),
                None => (None, Some(movie)),
            },
            (Action::MendFromFile, Some(movie), _) => (None, Some(movie)),
            (_, movie, journal) => (journal.as_ref(), movie),
        };
        match (journal, movie) {
            (Some(journal), _) => Ok((source::from_journal(journal)?, true)),
            (None, Some(movie)) => Ok((source::from_file(target, movie)?, false)),
            (None, None) => Err(CheckError::reading(target, "nothing is left of it")),
        }
    }

    fn write_and_check(
        &self,
        left: &Left,
        mending: Mending,
        is_dated: bool,
        beside: &Path,
    ) -> Result<(Segment, Option<String>), CheckError> {
        let bytes = left.movie.as_ref().map_or(0, |movie| movie.size_bytes)
            + left.journal.as_ref().map_or(0, |journal| journal.whole_bytes);
        let deadline = PATIENCE + Duration::from_secs(bytes / SLOWEST);
        let mended = mend(self.catalog, mending, beside, PATIENCE, deadline)?;
        let wrong = |reason: String| CheckError::Wrong {
            path: self.volume.absolute(&left.path),
            reason,
        };
        if mended.frames == 0 {
            return Err(wrong("no keyframe was found".to_owned()));
        }
        let movie = Movie::read(beside).map_err(|error| CheckError::reading(beside, error))?;
        let packets = movie.audio.as_ref().map_or(0, |audio| audio.samples.len() as u64);
        if !movie.is_whole() || movie.frames() != mended.frames || packets != mended.packets {
            return Err(wrong(format!(
                "{} and {} of sound went in, {} and {packets} came out, shape {:?}",
                counted(mended.frames, "frame", "frames"),
                counted(mended.packets, "packet", "packets"),
                movie.frames(),
                movie.shape
            )));
        }
        let mut segment = left.closed(&movie, span_of(left, &mended, is_dated));
        segment.lost_packets = left.lost_packets(mended.frames, is_dated);
        Identity::append(beside, &segment)?;
        // Our own reader agrees; so must one that does not know how the file came about. A box that is too busy to ask it
        // is no reason to leave footage unmended.
        match discover(beside, PATIENCE) {
            Ok(found) => {
                let size = (segment.format.width, segment.format.height);
                let is_short = found.duration + AGREEMENT < Duration::from_nanos(movie.duration());
                if (found.width, found.height) != size || is_short {
                    return Err(wrong(format!("a player finds {found:?} in what was mended")));
                }
            }
            Err(PipelineError::Deadline { .. }) => {
                tracing::warn!(path = %beside.display(), "no time for a second opinion")
            }
            Err(error) => return Err(wrong(error.to_string())),
        }
        let durable = make_durable(beside)?;
        segment.copies = vec![copy(self.volume.id(), &left.path, durable)];
        Ok((segment, mended.trouble))
    }

    /// Measures a file that is whole, makes it durable and gives the closed segment. A file that does not say yet whose
    /// it is learns it.
    pub(super) fn close(&self, left: &Left, movie: &Movie, action: &Action) -> Result<Segment, CheckError> {
        let path = self.volume.absolute(&left.path);
        let length = i64::try_from(movie.duration()).unwrap_or(i64::MAX);
        let start = left.segment.span.start;
        let mut segment = left.closed(movie, left.join(Span::new(start, start.offset(length))));
        let row = &left.segment;
        let identity = Identity::read(&path)?;
        let says = identity.as_ref().map(|identity| identity.segment);
        // The recorder told the row and the file where the segment ends and what it lacks. The file knows best: a reader may
        // have told the row of damage that is mended by now.
        let own =
            identity.filter(|own| own.segment == row.id && own.frames == movie.frames() && own.span.start == start);
        match own.and_then(|own| Some((own.span, own.holes?))) {
            Some((span, holes)) => (segment.span, segment.holes) = (span, holes),
            None if row.state == SegmentState::Closed && row.frames == movie.frames() => {
                (segment.span, segment.holes) = (row.span, holes_of(movie, row.span, &row.holes));
            }
            None => {}
        }
        let copy = if *action == Action::IndexOrphan && says == Some(segment.id) {
            // The recorder writes this into a file last of all. Hashing a whole disk of them would take hours.
            Copy {
                volume: self.volume.id(),
                path: left.path.clone(),
                size_bytes: movie.size_bytes,
                sha256: None,
                state: CopyState::Whole,
            }
        } else {
            if says != Some(segment.id) {
                Identity::append(&path, &segment)?;
            }
            copy(self.volume.id(), &left.path, make_durable(&path)?)
        };
        segment.copies = vec![copy];
        Ok(segment)
    }
}

impl Left {
    /// A row as it is before anything is done about it.
    pub(super) fn new(segment: Segment, path: String) -> Self {
        Self {
            segment,
            start_is_known: true,
            path,
            movie: None,
            journal: None,
            beside: Beside::default(),
        }
    }

    /// Segments of a run join: where the next one is known to begin, this one ends. It does not reach into one of another run
    /// either; one that lies far into it is of a clock that was set.
    fn join(&self, span: Span) -> Span {
        let is_near = |at: &Timestamp| !is_far(*at, span.end);
        let next = self.beside.next.filter(is_near);
        let after = self.beside.after.filter(|after| is_near(after) && *after < span.end);
        Span::new(span.start, next.or(after).unwrap_or(span.end).max(span.start))
    }

    /// Packets that never came, and what came and is in no file, where the journal had a part in the `frames` of the new one.
    fn lost_packets(&self, frames: u64, is_dated: bool) -> u64 {
        let known = self.segment.lost_packets;
        let Some(journal) = self.journal.as_ref().filter(|_| is_dated) else {
            return known;
        };
        let dropped = journal
            .frames
            .saturating_add(journal.missed_units)
            .saturating_sub(frames);
        known.max(journal.lost_packets) + dropped
    }

    /// The segment as it is with what this file holds.
    fn closed(&self, movie: &Movie, span: Span) -> Segment {
        let format = match movie.video.as_ref().map(|track| &track.coding) {
            Some(TrackCoding::Video {
                codec, width, height, ..
            }) => VideoFormat {
                codec: *codec,
                width: *width,
                height: *height,
                fps: self.segment.format.fps,
            },
            _ => self.segment.format,
        };
        // A closed segment keeps its span: what its file does not give any more is a hole in it.
        let row = &self.segment;
        let lost = row.state == SegmentState::Closed && movie.frames() < row.frames && span.start == row.span.start;
        let (span, holes) = match lost {
            true => (row.span, holes_left(movie, row)),
            false => (span, holes_of(movie, span, &row.holes)),
        };
        Segment {
            span,
            holes,
            format,
            has_audio: movie.audio.is_some(),
            state: SegmentState::Closed,
            frames: movie.frames(),
            copies: Vec::new(),
            ..self.segment.clone()
        }
    }
}

/// From the first frame that was kept to the end of the last.
fn span_of(left: &Left, mended: &Mended, is_dated: bool) -> Span {
    let (first, end) = (mended.start.unwrap_or(0), mended.end.unwrap_or(0));
    let known = left.segment.span.start;
    let journal = left.journal.as_ref().filter(|_| is_dated);
    let Some(journal) = journal else {
        // A file's times count from where its footage begins, and what was hidden in front could not be written again.
        let start = if has_lead_in(left) { known.offset(first) } else { known };
        return left.join(Span::new(start, start.offset(end.saturating_sub(first))));
    };
    let by_journal = |pts| journal.anchor.wall.offset(pts);
    let start = match by_journal(first) {
        // The first frames were lost with the file, or nobody else knows when it began.
        start if !left.start_is_known || (start > known && is_far(start, known)) => start,
        // The map has learnt since the row was written that frames came earlier, but not earlier than footage that was there.
        start if start < known => left.beside.before.map_or(start, |before| start.max(before)).min(known),
        _ => known,
    };
    // Whatever moved its start, it ends where its last frame does.
    left.join(Span::new(start, by_journal(end).max(start)))
}

fn has_lead_in(left: &Left) -> bool {
    let video = left.movie.as_ref().and_then(|movie| movie.video.as_ref());
    video.is_some_and(|video| source::lead_in(video).is_some())
}

/// A clock map moves by milliseconds while it settles; a lost group of pictures is longer.
fn is_far(one: Timestamp, other: Timestamp) -> bool {
    one.nanos_since(other).abs() > 500_000_000
}

fn copy(volume: VolumeId, path: &str, durable: Durable) -> Copy {
    Copy {
        volume,
        path: path.to_owned(),
        size_bytes: durable.size_bytes,
        sha256: Some(durable.sha256),
        state: CopyState::Whole,
    }
}

/// Removes a journal whose segment is durable.
pub(super) fn remove_journal(path: &PathBuf) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a journal that is not needed any more stays behind");
        }
        _ => {}
    }
}

/// Whether a file's identity could not be added because its end is torn: writing it anew mends that.
pub(super) fn is_torn(error: &CheckError) -> bool {
    matches!(error, CheckError::Storage(StorageError::Damaged { .. }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::model::{ClockSource, TrackCaps, fixture};
    use crate::storage::{Anchor, JournalHeader};

    const MS: i64 = 1_000_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + millis)
    }

    /// What is left of a segment whose row says that it began at `row`, with a journal whose time 0 was at 0.
    fn left(row: i64, frames: u64, beside: Beside) -> Left {
        let segment = fixture::segment(1, Span::new(at(row), at(row + 1000)));
        let anchor = Anchor {
            wall: at(0),
            clock: ClockSource::Arrival,
        };
        let header = JournalHeader {
            camera: segment.camera.clone(),
            segment: segment.id,
            run: segment.run,
            sequence: 0,
            format: segment.format,
            caps: TrackCaps::default(),
            anchor,
            takes_over: None,
        };
        Left {
            journal: Some(JournalContents {
                path: PathBuf::new(),
                header,
                anchor,
                caps: TrackCaps::default(),
                units: frames,
                frames,
                first_pts: None,
                end_pts: None,
                missed_units: 0,
                lost_packets: 0,
                whole_bytes: 0,
                left_bytes: 0,
            }),
            beside,
            ..Left::new(segment, String::new())
        }
    }

    fn mended(first: i64, end: i64) -> Mended {
        Mended {
            frames: 1,
            packets: 0,
            start: Some(first * MS),
            end: Some(end * MS),
            trouble: None,
        }
    }

    proptest! {
        #[test]
        fn what_was_mended_ends_where_its_frames_end_and_reaches_into_nothing(
            first in 0i64..5000, length in 40i64..10_000, late in 0i64..3000, before in -400i64..3000, after in -400i64..2000
        ) {
            // The row was told that it begins later than its frames do: the map had not settled, or footage was there already.
            let (row, end) = (first + late, first + length);
            let before = (before < late).then_some(first + before);
            let next = (end + after > row).then_some(end + after);
            let beside = Beside { next: None, before: before.map(at), after: next.map(at) };
            let span = span_of(&left(row, 1, beside), &mended(first, end), true);
            prop_assert!(span.start >= at(first) && span.start <= at(row));
            prop_assert!(before.is_none_or(|before| span.start >= at(before)));
            prop_assert!(span.end <= at(end).max(span.start));
            let is_cut = next.is_some_and(|next| next < end && end - next <= 500);
            prop_assert!(!is_cut || next.is_some_and(|next| span.end <= at(next).max(span.start)));
            if !is_cut && end >= first.max(before.unwrap_or(first)) {
                prop_assert_eq!(span.end, at(end));
            }
        }
    }

    #[test]
    fn what_came_and_is_in_no_file_is_told() {
        let mut left = left(0, 50, Beside::default());
        assert_eq!(left.lost_packets(50, true), 0);
        assert_eq!(left.lost_packets(48, true), 2);
        left.journal.as_mut().unwrap().lost_packets = 7;
        left.segment.lost_packets = 5;
        assert_eq!(left.lost_packets(50, true), 7);
        left.journal.as_mut().unwrap().missed_units = 3;
        assert_eq!((left.lost_packets(50, true), left.lost_packets(53, true)), (10, 7));
        assert_eq!(
            left.lost_packets(1, false),
            5,
            "nothing is known of how many there were"
        );
    }
}
