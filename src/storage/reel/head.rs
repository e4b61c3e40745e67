//! The head of a reel: `ftyp` and `moov`, written when every sample is known, for media that follows them.

use bytes::Bytes;
use mp4_atom::{Encode, Ftyp, Mvhd};

use super::super::error::StorageError;
use super::roll::{Piece, Reel};
use super::track::{Laid, Line, Showing, TrackPlan};
use crate::model::Timestamp;

/// Ticks a second of the film itself. Pictures have the same, so that an edit ends with the tick of a frame.
pub(super) const MOVIE_SCALE: u32 = 90_000;

/// From the epoch of MP4, which is 1904, to that of Unix, in seconds.
const FROM_1904: i64 = 2_082_844_800;

/// A film that is being laid out: tracks, and their samples in the order in which they shall lie.
#[derive(Debug)]
pub struct HeadPlan {
    created: u64,
    lines: Vec<Line>,
    pieces: Vec<Piece>,
    bytes: u64,
}

impl HeadPlan {
    /// A film without tracks. It says of itself to be made at a moment, which is a fact about its footage and not about
    /// today: the same footage gives the same bytes on every day.
    pub fn new(created: Timestamp) -> Self {
        let seconds = created.as_nanos().div_euclid(1_000_000_000).saturating_add(FROM_1904);
        Self {
            created: u64::try_from(seconds).unwrap_or(0),
            lines: Vec::new(),
            pieces: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds a track and gives its number.
    pub fn track(&mut self, plan: TrackPlan) -> usize {
        self.lines.push(Line::new(plan));
        self.lines.len() - 1
    }

    /// Adds another sample entry to a track and gives its number; one that it has already is not added twice.
    pub fn entry(&mut self, track: usize, entry: Bytes) -> u32 {
        self.lines.get_mut(track).map_or(0, |line| line.add_entry(entry))
    }

    /// Lays a sample behind all that were laid before.
    pub fn put(&mut self, track: usize, sample: Laid, bytes: Piece) {
        self.put_both(track, sample, Piece::Bytes(Bytes::new()), bytes);
    }

    /// Lays a sample whose bytes begin in one place and end in another.
    pub fn put_both(&mut self, track: usize, sample: Laid, front: Piece, bytes: Piece) {
        let Some(line) = self.lines.get_mut(track) else { return };
        line.add(sample, self.bytes);
        for piece in [front, bytes] {
            if piece.length() > 0 {
                self.append(piece);
            }
        }
    }

    fn append(&mut self, bytes: Piece) {
        self.bytes += bytes.length();
        let left = match self.pieces.last_mut() {
            Some(last) => last.append(bytes),
            None => Err(bytes),
        };
        if let Err(bytes) = left {
            self.pieces.push(bytes);
        }
    }

    /// Says which part of a track is shown.
    pub fn show(&mut self, track: usize, showing: Showing) {
        if let Some(line) = self.lines.get_mut(track) {
            line.show(showing);
        }
    }

    /// The whole film. Tracks without a sample are left out.
    pub fn lay_out(self) -> Result<Reel, StorageError> {
        let broken = |error: mp4_atom::Error| StorageError::TooLong {
            what: format!("its index cannot be written ({error})"),
        };
        // Whether offsets need 64 bits depends on the length of the head, and that on the offsets.
        let mut long = self.bytes > u64::from(u32::MAX);
        loop {
            let size = self.moov(0, long).map_err(broken)?.len() as u64;
            let mut head = ftyp().map_err(broken)?;
            let header = if long { 16 } else { 8 };
            let base = head.len() as u64 + size + header;
            if !long && base + self.bytes > u64::from(u32::MAX) {
                long = true;
                continue;
            }
            head.extend(self.moov(base, long).map_err(broken)?);
            if long {
                head.extend_from_slice(&1u32.to_be_bytes());
                head.extend_from_slice(b"mdat");
                head.extend_from_slice(&(self.bytes + header).to_be_bytes());
            } else {
                let length = u32::try_from(self.bytes + header).unwrap_or(u32::MAX);
                head.extend_from_slice(&length.to_be_bytes());
                head.extend_from_slice(b"mdat");
            }
            let mut pieces = Vec::with_capacity(self.pieces.len() + 1);
            pieces.push(Piece::Bytes(head.into()));
            pieces.extend(self.pieces);
            return Ok(Reel::new(pieces));
        }
    }

    fn moov(&self, base: u64, long: bool) -> mp4_atom::Result<Vec<u8>> {
        let lines = || self.lines.iter().filter(|line| !line.is_empty());
        let mut out = Vec::new();
        boxed(&mut out, b"moov", |out| {
            Mvhd {
                creation_time: self.created,
                modification_time: self.created,
                timescale: MOVIE_SCALE,
                duration: lines().map(Line::length).max().unwrap_or(0),
                rate: 1.into(),
                volume: 1.into(),
                matrix: mp4_atom::Matrix::default(),
                next_track_id: u32::try_from(lines().count()).unwrap_or(0) + 1,
            }
            .encode(out)?;
            for (id, line) in (1u32..).zip(lines()) {
                line.write(out, id, self.created, base, long)?;
            }
            Ok(())
        })?;
        Ok(out)
    }
}

fn ftyp() -> mp4_atom::Result<Vec<u8>> {
    let mut out = Vec::new();
    Ftyp {
        major_brand: b"isom".into(),
        minor_version: 512,
        compatible_brands: vec![b"isom".into(), b"iso4".into(), b"mp41".into(), b"mp42".into()],
    }
    .encode(&mut out)?;
    Ok(out)
}

/// Writes a box around what is written inside.
pub(super) fn boxed(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    inside: impl FnOnce(&mut Vec<u8>) -> mp4_atom::Result<()>,
) -> mp4_atom::Result<()> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    inside(out)?;
    let length = u32::try_from(out.len() - at).map_err(|_| mp4_atom::Error::InvalidSize)?;
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::storage::{FileShape, Movie, TrackKind};
    use std::fs::File;
    use std::io::{Read, Write};
    use std::path::Path;
    use std::sync::Arc;

    /// A sample entry as files have it: 78 bytes of its own, and an `avcC`.
    fn entry() -> Bytes {
        let mut out = Vec::new();
        boxed(&mut out, b"avc1", |out| {
            out.extend_from_slice(&[0; 24]);
            out.extend_from_slice(&[1, 64, 0, 180]);
            out.extend_from_slice(&[0; 50]);
            boxed(out, b"avcC", |out| {
                out.extend_from_slice(&[1, 66, 0, 30]);
                Ok(())
            })
        })
        .unwrap();
        out.into()
    }

    fn film(samples: u32, size: u32, source: &Arc<Path>) -> Reel {
        let mut head = HeadPlan::new(Timestamp::from_seconds(1_790_000_000));
        let pictures = head.track(TrackPlan {
            kind: TrackKind::Pictures {
                width: 320,
                height: 180,
            },
            timescale: 90_000,
            entries: vec![entry()],
        });
        for number in 0..samples {
            let laid = Laid {
                size,
                at: i64::from(number) * 3600,
                keyframe: number == 0,
                entry: 0,
            };
            let (path, offset) = (source.clone(), u64::from(number) * u64::from(size));
            head.put(
                pictures,
                laid,
                Piece::File {
                    path,
                    offset,
                    length: u64::from(size),
                },
            );
        }
        let end = i64::from(samples) * 3600;
        head.show(
            pictures,
            Showing {
                from: 0,
                until: end,
                end,
            },
        );
        head.lay_out().unwrap()
    }

    #[test]
    fn a_film_may_be_longer_than_four_gigabytes() {
        let directory = tempfile::tempdir().unwrap();
        // Holes take no room on the disk.
        let source: Arc<Path> = directory.path().join("source").into();
        const SIZE: u32 = 1_500_000_000;
        File::create(&source).unwrap().set_len(4 * u64::from(SIZE)).unwrap();
        for samples in [2, 3, 4] {
            let reel = film(samples, SIZE, &source);
            let media = u64::from(samples) * u64::from(SIZE);
            let length = reel.size_bytes() - media;
            let mut head = Vec::new();
            reel.reader(0..length).read_to_end(&mut head).unwrap();
            assert_eq!(head.windows(4).any(|four| four == b"co64"), samples > 2);
            let written = directory.path().join("film.mp4");
            let mut file = File::create(&written).unwrap();
            file.write_all(&head).unwrap();
            file.set_len(reel.size_bytes()).unwrap();
            let movie = Movie::read(&written).unwrap();
            assert_eq!((movie.shape, movie.cut), (FileShape::Plain, false));
            let offsets: Vec<u64> = movie
                .video
                .unwrap()
                .samples
                .iter()
                .map(|sample| sample.offset)
                .collect();
            let expected = (0..samples).map(|number| length + u64::from(number) * u64::from(SIZE));
            assert_eq!(offsets, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_same_footage_is_the_same_film_and_what_follows_in_a_file_is_one_piece() {
        let source: Arc<Path> = Path::new("/nowhere").into();
        let films = [film(100, 1000, &source), film(100, 1000, &source)];
        assert_eq!(films[0].pieces(), films[1].pieces());
        assert_eq!(films[0].pieces().len(), 2);
    }

    #[test]
    fn a_film_of_a_day_has_a_head_of_a_few_bytes_a_frame() {
        let source: Arc<Path> = Path::new("/nowhere").into();
        let frames = 25 * 86_400;
        let reel = film(frames, 20_000, &source);
        let head = reel.size_bytes() - u64::from(frames) * 20_000;
        assert!(head < 6 * u64::from(frames), "{head} bytes");
    }
}
