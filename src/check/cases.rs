//! What is known of one segment, gathered: its row, its file, its journal.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use crate::model::{
    ClockSource, Codec, Container, Copy, CopyState, Origin, Segment, SegmentId, SegmentState, Span, Timestamp,
    VideoFormat,
};
use crate::storage::{
    Identity, JournalContents, Movie, Place, StorageError, TailPlace, TrackCoding, measure, read_journal,
};

use super::driver::Check;
use super::error::CheckError;
use super::plan::{FileFacts, Inside, RowFacts};
use super::repair::{Beside, Left};

/// Everything found of one segment, and what its row says.
pub(super) struct Case {
    pub(super) row: Option<RowFacts>,
    pub(super) left: Left,
    pub(super) file: Option<FileFacts>,
    pub(super) journal_path: Option<PathBuf>,
}

/// What a file that no row names turned out to be.
pub(super) enum Unknown {
    /// A recording of this box.
    Ours(Box<Case>),
    /// A file of somebody else, or a second file of a segment that has one.
    Foreign,
    /// A row names it by now.
    Known,
}

/// Segments begin at most this far from where the row said, because a clock map settles.
const AROUND: Duration = Duration::from_secs(5);

impl Check {
    /// Where a segment's file lies: where its row says, or where its run and sequence are found, or where it would lie.
    /// A row is written before its file has a name, and a kill may come between.
    pub(super) fn path_of(&self, segment: &Segment) -> String {
        let volume = self.volume.id();
        if let Some(copy) = segment.copies.iter().find(|copy| copy.volume == volume) {
            return copy.path.clone();
        }
        self.find_file(segment).unwrap_or_else(|| {
            Place::new(
                segment.camera.clone(),
                segment.span.start,
                segment.run,
                segment.sequence,
            )
            .relative_path()
        })
    }

    fn find_file(&self, segment: &Segment) -> Option<String> {
        let days = [segment.span.start.minus(AROUND), segment.span.start.plus(AROUND)];
        let days: BTreeSet<String> = days
            .iter()
            .map(|moment| moment.to_utc().format("%Y-%m-%d").to_string())
            .collect();
        for day in days {
            let directory = format!("{}/{day}", segment.camera);
            // A day without a directory is a day without the file.
            let Ok(listing) = fs::read_dir(self.volume.absolute(&directory)) else {
                continue;
            };
            for entry in listing.flatten() {
                let relative = format!("{directory}/{}", entry.file_name().to_string_lossy());
                let place = Place::parse(&relative);
                if place.is_some_and(|place| place.run == segment.run && place.sequence == segment.sequence) {
                    return Some(relative);
                }
            }
        }
        None
    }

    pub(super) fn case_of_open(
        &self,
        segment: Segment,
        path: String,
        journal: Option<PathBuf>,
    ) -> Result<Option<Case>, CheckError> {
        let mut left = Left::new(segment, path);
        left.journal = journal.as_deref().and_then(|path| self.read_journal(path));
        left.beside = self.look_beside(&left.segment)?;
        let file = self.look_inside(&mut left)?;
        Ok(Some(Case {
            row: Some(RowFacts::Open),
            left,
            file,
            journal_path: journal,
        }))
    }

    /// A journal whose row was not open: its segment was closed meanwhile, or the index lost its row.
    pub(super) fn case_of_journal(
        &self,
        place: &TailPlace,
        path: &Path,
        handled: &mut BTreeSet<String>,
    ) -> Result<Option<Case>, CheckError> {
        let Some(journal) = self.read_journal(path) else {
            return Ok(None);
        };
        let header = &journal.header;
        if (&header.camera, header.run, header.sequence) != (&place.camera, place.run, place.sequence) {
            return Err(CheckError::reading(
                path,
                "its name and its content tell of different segments",
            ));
        }
        let id = header.segment;
        let known = self.index.read_blocking(move |reader| reader.segment(id))?;
        let has_row = known.is_some();
        let segment = known.unwrap_or_else(|| segment_of_journal(&journal, self.clock.now()));
        let relative = self.path_of(&segment);
        handled.insert(relative.clone());
        let mut left = Left::new(segment, relative);
        left.start_is_known = has_row;
        left.journal = Some(journal);
        left.beside = self.look_beside(&left.segment)?;
        let copy = self.own_copy(&left.segment);
        let row = match (&copy, left.segment.state) {
            _ if !has_row => None,
            (_, SegmentState::Open) => Some(RowFacts::Open),
            (Some(copy), SegmentState::Closed) => Some(row_of(&left.segment, copy)),
            // Its only copy is elsewhere: nothing of it is this volume's business.
            (None, SegmentState::Closed) => return Ok(None),
        };
        let file = match (&copy, row) {
            (Some(copy), Some(RowFacts::Closed { .. })) => self.look_at_copy(&mut left, copy)?,
            _ => self.look_inside(&mut left)?,
        };
        Ok(Some(Case {
            row,
            left,
            file,
            journal_path: Some(path.to_owned()),
        }))
    }

    /// A file that no row named when the volume was gone through.
    pub(super) fn case_of_unknown(&self, path: &str) -> Result<Unknown, CheckError> {
        let (volume, relative) = (self.volume.id(), path.to_owned());
        if self
            .index
            .read_blocking(move |reader| reader.segment_by_path(volume, &relative))?
            .is_some()
        {
            return Ok(Unknown::Known);
        }
        let absolute = self.volume.absolute(path);
        let place = Place::parse(path);
        let identity = Identity::read(&absolute)?;
        if place.is_none() && identity.is_none() {
            return Ok(Unknown::Foreign);
        }
        let movie = Movie::read(&absolute).map_err(|error| CheckError::reading(&absolute, error))?;
        let now = self.clock.now();
        let segment = match (identity, place) {
            (Some(identity), _) => {
                let id = identity.segment;
                let known = self.index.read_blocking(move |reader| reader.segment(id))?;
                if known.is_some_and(|known| self.is_elsewhere(&known)) {
                    return Ok(Unknown::Foreign);
                }
                identity.into_segment(now, Vec::new())
            }
            (None, Some(place)) => segment_of_place(place, &movie, now),
            (None, None) => return Ok(Unknown::Foreign),
        };
        let mut left = Left::new(segment, path.to_owned());
        left.beside = self.look_beside(&left.segment)?;
        let file = Some(facts_of(&movie));
        left.movie = Some(movie);
        Ok(Unknown::Ours(Box::new(Case {
            row: None,
            left,
            file,
            journal_path: None,
        })))
    }

    /// A known, closed copy whose file is not as the row says.
    pub(super) fn case_of_copy(&self, id: SegmentId, copy: &Copy) -> Result<Option<Case>, CheckError> {
        let Some(segment) = self.index.read_blocking(move |reader| reader.segment(id))? else {
            return Ok(None);
        };
        if segment.state == SegmentState::Open {
            return Ok(None);
        }
        let row = Some(row_of(&segment, copy));
        let mut left = Left::new(segment, copy.path.clone());
        left.beside = self.look_beside(&left.segment)?;
        let file = self.look_at_copy(&mut left, copy)?;
        Ok(Some(Case {
            row,
            left,
            file,
            journal_path: None,
        }))
    }

    /// Looks inside a closed file only when its size or its row gives a reason to.
    fn look_at_copy(&self, left: &mut Left, copy: &Copy) -> Result<Option<FileFacts>, CheckError> {
        let path = self.volume.absolute(&copy.path);
        match fs::metadata(&path) {
            Ok(found) if copy.state == CopyState::Whole && found.len() == copy.size_bytes => Ok(Some(FileFacts {
                size_bytes: found.len(),
                inside: None,
                is_ours: true,
                same_bytes: None,
            })),
            _ => {
                let mut file = self.look_inside(left)?;
                if let (Some(file), Some(sha256)) = (&mut file, copy.sha256) {
                    file.same_bytes = Some(measure(&path)?.sha256 == sha256);
                }
                Ok(file)
            }
        }
    }

    fn look_inside(&self, left: &mut Left) -> Result<Option<FileFacts>, CheckError> {
        let path = self.volume.absolute(&left.path);
        match Movie::read(&path) {
            Ok(movie) => {
                let facts = facts_of(&movie);
                left.movie = Some(movie);
                Ok(Some(facts))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CheckError::reading(&path, error)),
        }
    }

    /// A journal, when anything in it can be used. One that cannot is set aside, so that it is told once.
    fn read_journal(&self, path: &Path) -> Option<JournalContents> {
        match read_journal(path) {
            Ok(journal) => Some(journal),
            Err(StorageError::Missing { .. }) => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a journal cannot be used");
                if self.mends() && matches!(error, StorageError::Damaged { .. }) {
                    let aside = path.with_extension("tail-unreadable");
                    if let Err(error) = fs::rename(path, &aside) {
                        tracing::warn!(path = %path.display(), %error, "it cannot be set aside either");
                    }
                }
                None
            }
        }
    }

    fn own_copy(&self, segment: &Segment) -> Option<Copy> {
        let volume = self.volume.id();
        segment.copies.iter().find(|copy| copy.volume == volume).cloned()
    }

    /// Whether a known segment has its file on this volume in another place.
    fn is_elsewhere(&self, segment: &Segment) -> bool {
        self.own_copy(segment)
            .is_some_and(|copy| self.volume.absolute(&copy.path).exists())
    }

    /// What lies beside a segment: the next one of its run, and footage of other runs.
    fn look_beside(&self, segment: &Segment) -> Result<Beside, CheckError> {
        let around = Span::new(segment.span.start.minus(AROUND), segment.span.end.plus(AROUND));
        let (camera, run) = (segment.camera.clone(), segment.run);
        let nearby = self
            .index
            .read_blocking(move |reader| reader.segments(&camera, Some(around), 64, None))?;
        let others = || nearby.iter().filter(|other| other.id != segment.id);
        let next = |other: &&Segment| other.run == run && other.sequence == segment.sequence.saturating_add(1);
        let starts = || others().map(|other| other.span.start);
        let began_before = others().filter(|other| other.span.start < segment.span.start);
        Ok(Beside {
            next: others().find(next).map(|other| other.span.start),
            before: began_before.map(|other| other.span.end).max(),
            after: starts().filter(|start| *start > segment.span.start).min(),
        })
    }
}

fn row_of(segment: &Segment, copy: &Copy) -> RowFacts {
    RowFacts::Closed {
        frames: segment.frames,
        state: copy.state,
        is_whole_elsewhere: is_whole_beside(segment, copy),
    }
}

/// Whether a segment has a whole copy on another volume than this one.
fn is_whole_beside(segment: &Segment, copy: &Copy) -> bool {
    let others = segment.copies.iter().filter(|other| other.volume != copy.volume);
    others.into_iter().any(|other| other.state == CopyState::Whole)
}

fn facts_of(movie: &Movie) -> FileFacts {
    FileFacts {
        size_bytes: movie.size_bytes,
        inside: Some(Inside {
            shape: movie.shape.clone(),
            whole: movie.is_whole(),
            frames: movie.frames(),
        }),
        is_ours: true,
        same_bytes: None,
    }
}

/// What a journal says of its segment when no row does.
fn segment_of_journal(journal: &JournalContents, now: Timestamp) -> Segment {
    let header = &journal.header;
    let wall = |pts: Option<i64>| journal.anchor.wall.offset(pts.unwrap_or(0));
    Segment {
        id: header.segment,
        camera: header.camera.clone(),
        run: header.run,
        sequence: header.sequence,
        span: Span::new(wall(journal.first_pts), wall(journal.end_pts)),
        holes: Vec::new(),
        format: header.format,
        has_audio: journal.caps.audio.is_some(),
        container: Container::Mp4,
        state: SegmentState::Open,
        origin: Origin::Live,
        clock: journal.anchor.clock,
        camera_clock: None,
        lost_packets: journal.lost_packets,
        frames: journal.frames,
        created_at: now,
        copies: Vec::new(),
    }
}

/// What a file's name says of its segment when the file itself says nothing.
fn segment_of_place(place: Place, movie: &Movie, now: Timestamp) -> Segment {
    let length = i64::try_from(movie.duration()).unwrap_or(i64::MAX);
    let (codec, width, height) = match movie.video.as_ref().map(|track| &track.coding) {
        Some(TrackCoding::Video {
            codec, width, height, ..
        }) => (*codec, *width, *height),
        _ => (Codec::H264, 0, 0),
    };
    Segment {
        id: SegmentId(Uuid::new_v4()),
        camera: place.camera,
        run: place.run,
        sequence: place.sequence,
        span: Span::new(place.start, place.start.offset(length)),
        holes: Vec::new(),
        format: VideoFormat {
            codec,
            width,
            height,
            fps: None,
        },
        has_audio: movie.audio.is_some(),
        container: Container::Mp4,
        state: SegmentState::Closed,
        origin: Origin::Live,
        clock: ClockSource::Arrival,
        camera_clock: None,
        lost_packets: 0,
        frames: movie.frames(),
        created_at: now,
        copies: Vec::new(),
    }
}
