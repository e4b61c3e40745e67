//! The pieces of a reel, one after another, and how they are read.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// Some bytes of a reel, wherever they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// They are here.
    Bytes(Bytes),
    /// They are in a file, which must not be changed there while the reel is used. One that grows at its end may be.
    File {
        /// The file.
        path: Arc<Path>,
        /// Where they begin in it.
        offset: u64,
        /// How many they are.
        length: u64,
    },
}

impl Piece {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Takes what follows in the same file; gives it back when it is anywhere else.
    pub(super) fn append(&mut self, next: Self) -> Result<(), Self> {
        match (&mut *self, &next) {
            (
                Self::File { path, offset, length },
                Self::File {
                    path: same,
                    offset: follows,
                    length: more,
                },
            ) if *offset + *length == *follows && (Arc::ptr_eq(path, same) || path == same) => {
                *length += more;
                Ok(())
            }
            _ => Err(next),
        }
    }
}

/// A film as its bytes would be. Clones share it.
#[derive(Debug, Clone)]
pub struct Reel {
    pieces: Arc<[Piece]>,
    /// Where each piece ends.
    ends: Arc<[u64]>,
}

impl Reel {
    /// A reel of these pieces, in this order.
    pub fn new(pieces: Vec<Piece>) -> Self {
        let pieces: Arc<[Piece]> = pieces.into_iter().filter(|piece| piece.length() > 0).collect();
        let ends = pieces.iter().scan(0u64, |end, piece| {
            *end += piece.length();
            Some(*end)
        });
        Self {
            ends: ends.collect(),
            pieces,
        }
    }

    /// How long it is.
    pub fn size_bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Its pieces in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Reads a range of it, cut to what there is.
    pub fn reader(&self, range: Range<u64>) -> ReelReader {
        ReelReader {
            reel: self.clone(),
            at: range.start,
            end: range.end.min(self.size_bytes()),
            open: None,
        }
    }

    /// Fills as much of the buffer as there is from an offset on, and says how much that was.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut reader = self.reader(offset..self.size_bytes());
        let mut filled = 0;
        while filled < buffer.len() {
            match reader.read(buffer.get_mut(filled..).unwrap_or_default())? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }
}

/// Reads a range of a reel from its start to its end. It holds one file open at a time.
#[derive(Debug)]
pub struct ReelReader {
    reel: Reel,
    at: u64,
    end: u64,
    open: Option<(Arc<Path>, File)>,
}

impl ReelReader {
    /// How many bytes are still to come.
    pub fn left(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }

    fn read_file(&mut self, path: &Arc<Path>, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let says = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = match &mut self.open {
            Some((open, file)) if Arc::ptr_eq(open, path) => file,
            open => {
                let file = File::open(path).map_err(says)?;
                &open.insert((path.clone(), file)).1
            }
        };
        match file.read_at(buffer, offset).map_err(says)? {
            // To go on would shift everything that follows.
            0 => Err(says(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it is shorter than it was when the clip was planned",
            ))),
            count => Ok(count),
        }
    }
}

impl Read for ReelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let index = self.reel.ends.partition_point(|end| *end <= self.at);
        let Some(piece) = self.reel.pieces.get(index).cloned() else {
            return Ok(0);
        };
        let begins = self.reel.ends.get(index).map_or(0, |end| end - piece.length());
        let inside = self.at - begins;
        let there = usize::try_from(piece.length() - inside).unwrap_or(usize::MAX).min(most);
        let buffer = buffer.get_mut(..there).unwrap_or_default();
        let count = match &piece {
            Piece::Bytes(bytes) => {
                let inside = usize::try_from(inside).unwrap_or(usize::MAX);
                let mut from: &[u8] = bytes.get(inside..).unwrap_or_default();
                from.read(buffer)?
            }
            Piece::File { path, offset, .. } => self.read_file(path, offset + inside, buffer)?,
        };
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, Arc<Path>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, bytes).unwrap();
        (directory, path.into())
    }

    proptest! {
        #[test]
        fn any_range_is_what_the_whole_has_there(
            cuts in proptest::collection::vec((0u64..90, 0u64..12, any::<bool>()), 0..12), from in 0u64..120, length in 0u64..120,
        ) {
            let bytes: Vec<u8> = (0..102).collect();
            let (_directory, path) = file(&bytes);
            let pieces = cuts.iter().map(|(offset, length, is_here)| {
                let here = *offset as usize..(*offset + *length) as usize;
                match is_here {
                    true => Piece::Bytes(Bytes::copy_from_slice(&bytes[here])),
                    false => Piece::File { path: path.clone(), offset: *offset, length: *length },
                }
            });
            let whole: Vec<u8> = cuts.iter().flat_map(|(offset, length, _)| *offset as u8..(*offset + *length) as u8).collect();
            let reel = Reel::new(pieces.collect());
            prop_assert_eq!(reel.size_bytes(), whole.len() as u64);
            let mut read = Vec::new();
            reel.reader(from..from + length).read_to_end(&mut read).unwrap();
            let (from, end) = (whole.len().min(from as usize), whole.len().min((from + length) as usize));
            prop_assert_eq!(&read, &whole[from..end]);
            let mut buffer = vec![0; length as usize];
            let count = reel.read_at(&mut buffer, from as u64).unwrap();
            prop_assert_eq!(&buffer[..count], &whole[from..end]);
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error_that_names_it() {
        let (_directory, path) = file(&[1; 50]);
        let reel = Reel::new(vec![Piece::File {
            path,
            offset: 0,
            length: 60,
        }]);
        let mut read = Vec::new();
        let error = reel.reader(0..60).read_to_end(&mut read).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("shorter"), "{error}");
        assert_eq!(read.len(), 50);
    }

    #[test]
    fn what_follows_in_the_same_file_is_one_piece() {
        let path: Arc<Path> = Path::new("/a").into();
        let piece = |offset, length| Piece::File {
            path: path.clone(),
            offset,
            length,
        };
        let mut first = piece(10, 5);
        assert_eq!(first.append(piece(15, 5)), Ok(()));
        assert_eq!(first, piece(10, 10));
        assert_eq!(first.append(piece(21, 5)), Err(piece(21, 5)));
        let other = Piece::File {
            path: Path::new("/b").into(),
            offset: 20,
            length: 5,
        };
        assert_eq!(first.append(other.clone()), Err(other));
    }
}
