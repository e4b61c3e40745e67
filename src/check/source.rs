//! Where the frames of a mended file come from: its old file, its journal, or both on one scale of time.

use std::fs::File;
use std::io;
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;

use crate::model::{Track, TrackCaps, Unit};
use crate::pipeline::{Mending, PipelineError, Units, opus_caps, sound_caps, video_caps};
use crate::storage::{JournalContents, Movie, Sample, StorageError, TrackCoding, TrackTable};

use super::error::CheckError;

/// Two units nearer than this are one: a file rounds times to its ticks, and no camera sends 400 frames a second.
const SAME_FRAME: i64 = 2_000_000;
/// The same for sound, whose packets are longer, and whose times a muxer smooths.
const SAME_PACKET: i64 = 8_000_000;

/// Everything that can be read of a file.
pub(super) fn from_file(path: &Path, movie: &Movie) -> Result<Mending, CheckError> {
    let file = Arc::new(File::open(path).map_err(|error| CheckError::reading(path, error))?);
    let video = movie
        .video
        .as_ref()
        .ok_or_else(|| CheckError::reading(path, "it holds no frame"))?;
    let audio = movie.audio.as_ref();
    let units = movie.units(Arc::clone(&file), Track::Video);
    Ok(Mending {
        caps: TrackCaps {
            video: caps_of(video)?,
            audio: audio.map(caps_of).transpose()?,
        },
        video: match lead_in(video) {
            // What is written anew hides nothing, so it begins with the first keyframe that is footage.
            Some(end) => Box::new(units.between(end..=video.samples.len())),
            None => Box::new(units),
        },
        audio: audio.map(|_| Box::new(movie.units(file, Track::Audio)) as Units),
    })
}

/// Where the footage of a file begins with a keyframe, when something is hidden in front of it.
pub(super) fn lead_in(video: &TrackTable) -> Option<usize> {
    video.samples.first().filter(|first| video.is_hidden(first))?;
    let is_start = |sample: &Sample| sample.keyframe && !video.is_hidden(sample);
    let first = video.samples.iter().position(is_start);
    Some(first.unwrap_or(video.samples.len()))
}

fn caps_of(track: &TrackTable) -> Result<String, PipelineError> {
    match &track.coding {
        TrackCoding::Video {
            codec,
            entry,
            width,
            height,
        } => video_caps(*codec, &String::from_utf8_lossy(entry), &track.config, *width, *height),
        TrackCoding::Aac { rate, channels } => sound_caps(&track.config, *rate, *channels),
        TrackCoding::Opus { rate, channels } => opus_caps(*rate, *channels),
    }
}

/// Everything in a journal.
pub(super) fn from_journal(journal: &JournalContents) -> Result<Mending, CheckError> {
    Ok(Mending {
        caps: journal.caps.clone(),
        video: track_of(journal, Track::Video)?,
        audio: match &journal.caps.audio {
            Some(_) => Some(track_of(journal, Track::Audio)?),
            None => None,
        },
    })
}

/// One track of a journal. It is read once for each, so that a pause in one never fills the memory with the other.
fn track_of(journal: &JournalContents, track: Track) -> Result<Units, StorageError> {
    let units = journal
        .units()?
        .filter(move |unit| unit.as_ref().map_or(true, |unit| unit.track == track))
        .map(|unit| unit.map_err(io::Error::other));
    Ok(Box::new(units))
}

/// What the file has and the journal lacks, and the other way round; nothing when no frame is in both, because then
/// nobody can say how their times lie to each other.
pub(super) fn from_both(path: &Path, movie: &Movie, journal: &JournalContents) -> Result<Option<Mending>, CheckError> {
    let Some(offset) = find_offset(path, movie, journal)? else {
        return Ok(None);
    };
    let of_file = from_file(path, movie)?;
    let of_journal = from_journal(journal)?;
    let shift = move |unit: io::Result<Unit>| {
        unit.map(|unit| Unit {
            pts: unit.pts.saturating_add(offset),
            dts: unit.dts.saturating_add(offset),
            ..unit
        })
    };
    let audio = match (of_file.audio, of_journal.audio) {
        (Some(file), Some(journal)) => Some(merge(Box::new(file.map(shift)), journal, SAME_PACKET)),
        (Some(file), None) => Some(Box::new(file.map(shift)) as Units),
        (None, journal) => journal,
    };
    Ok(Some(Mending {
        caps: TrackCaps {
            video: of_journal.caps.video,
            audio: of_journal.caps.audio.or(of_file.caps.audio),
        },
        video: merge(Box::new(of_file.video.map(shift)), of_journal.video, SAME_FRAME),
        audio,
    }))
}

/// How much later the journal's scale has a frame than the file's: found by a keyframe that is the same, byte by byte,
/// in both.
fn find_offset(path: &Path, movie: &Movie, journal: &JournalContents) -> Result<Option<i64>, CheckError> {
    let Some(table) = &movie.video else {
        return Ok(None);
    };
    let file = File::open(path).map_err(|error| CheckError::reading(path, error))?;
    let mut bytes = Vec::new();
    for unit in track_of(journal, Track::Video)? {
        let Ok(unit) = unit else {
            return Ok(None);
        };
        if !unit.keyframe {
            continue;
        }
        let same_size = |size: u32| size as usize == unit.payload.len();
        for sample in table
            .samples
            .iter()
            .filter(|sample| sample.keyframe && same_size(sample.size))
        {
            bytes.resize(unit.payload.len(), 0);
            let read = std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, sample.offset);
            read.map_err(|error| CheckError::reading(path, error))?;
            if bytes == unit.payload {
                return Ok(Some(unit.dts.saturating_sub(table.dts(sample))));
            }
        }
    }
    Ok(None)
}

/// Two readings of one track as one, in decoding order, what is in both only once. The journal's times are the exact ones.
fn merge(file: Units, journal: Units, same: i64) -> Units {
    Box::new(Merge {
        file: file.peekable(),
        journal: journal.peekable(),
        same,
    })
}

struct Merge {
    file: Peekable<Units>,
    journal: Peekable<Units>,
    same: i64,
}

impl Iterator for Merge {
    type Item = io::Result<Unit>;

    fn next(&mut self) -> Option<Self::Item> {
        let (Some(Ok(file)), Some(Ok(journal))) = (self.file.peek(), self.journal.peek()) else {
            // One has ended, or broke: the other goes on alone, and an error comes last.
            return match self.file.peek() {
                Some(Ok(_)) => self.file.next(),
                broken => {
                    let broken = broken.is_some();
                    match self.journal.peek() {
                        Some(Ok(_)) => self.journal.next(),
                        _ if broken => self.file.next(),
                        _ => self.journal.next(),
                    }
                }
            };
        };
        let apart = journal.dts.saturating_sub(file.dts);
        if apart.abs() <= self.same {
            self.file.next();
            return self.journal.next();
        }
        if apart > 0 {
            self.file.next()
        } else {
            self.journal.next()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn unit(number: i64, rounded: i64) -> io::Result<Unit> {
        Ok(Unit {
            track: Track::Video,
            pts: number * 40_000_000 + rounded,
            dts: number * 40_000_000 + rounded,
            duration: None,
            keyframe: number % 25 == 0,
            payload: vec![number as u8].into(),
        })
    }

    fn merged(file: Vec<io::Result<Unit>>, journal: Vec<io::Result<Unit>>) -> Vec<Option<u8>> {
        merge(Box::new(file.into_iter()), Box::new(journal.into_iter()), SAME_FRAME)
            .take(1000)
            .map(|unit| unit.ok().map(|unit| unit.payload[0]))
            .collect()
    }

    #[test]
    fn a_reading_that_breaks_leaves_the_other_to_go_on() {
        let broken = || Err(io::Error::other("a bad sector"));
        let journal = vec![unit(1, 0), unit(2, 0), unit(3, 0)];
        assert_eq!(
            merged(vec![unit(0, 0), broken()], journal),
            [Some(0), Some(1), Some(2), Some(3), None]
        );
        assert_eq!(merged(vec![unit(0, 0)], vec![broken()]), [Some(0), None]);
    }

    proptest! {
        #[test]
        fn every_frame_of_either_comes_once_and_in_order(
            places in proptest::collection::vec((any::<bool>(), any::<bool>(), -400_000i64..400_000), 0..200)
        ) {
            let numbered = || (0i64..).zip(&places);
            let file = numbered().filter(|(_, place)| place.0).map(|(number, place)| unit(number, place.2)).collect();
            let journal = numbered().filter(|(_, place)| place.1).map(|(number, _)| unit(number, 0)).collect();
            let either: Vec<_> = numbered().filter(|(_, place)| place.0 || place.1).map(|(number, _)| Some(number as u8)).collect();
            prop_assert_eq!(merged(file, journal), either);
        }
    }
}
