//! Reads MP4 files that may have been left in the middle of being written, and says what can be played of them.
//!
//! A file goes through three shapes while mp4mux writes it: fragmented (`ftyp mdat moov {mdat moof}`) while open; for a
//! moment half finalised, when the first `moov` is already renamed to `hoov` and swallowed by the first `mdat` and the
//! final `moov` is not there yet; and plain (`ftyp free mdat moov`) once closed. A walk never changes a file, never
//! trusts a size, and takes memory in proportion to the number of frames, not to the bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::model::Track;

use super::fragments::read_fragment;
use super::frames::TrackTable;
use super::tables::{Tables, read_tables};
use super::unit_reader::UnitReader;

/// How a file was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileShape {
    /// Closed in order: one index at its end, or its front, for all frames.
    Plain,
    /// Left open: an index in pieces, and perhaps frames that no piece tells of.
    Fragmented,
    /// Left in the middle of being closed. What it holds is read as if it had been left a moment earlier.
    HalfFinalised,
    /// No frame was ever written.
    Empty,
    /// Bytes in which no frame can be found, and why.
    Garbage(String),
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Movie {
    /// How it was left.
    pub shape: FileShape,
    /// Its pictures, when there is a frame of them.
    pub video: Option<TrackTable>,
    /// Its sound, when there is any that can be kept.
    pub audio: Option<TrackTable>,
    /// How long the file is.
    pub size_bytes: u64,
    /// Whether the file's own index tells of frames that are not there: it was cut after it was written.
    pub cut: bool,
}

impl Movie {
    /// Walks a file. An error is one of reading; what is wrong with the bytes is told by the shape.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::walk(&File::open(path)?)
    }

    /// Walks an open file.
    pub fn walk(file: &File) -> io::Result<Self> {
        let size_bytes = file.metadata()?.len();
        let mut walk = Walk::new(file, size_bytes);
        walk.top_level(0, false)?;
        let mut shape = match (&walk.tables, walk.fragmented, walk.hidden) {
            (Some(_), _, true) => FileShape::HalfFinalised,
            (Some(_), true, _) => FileShape::Fragmented,
            (Some(_), false, _) => FileShape::Plain,
            (None, ..) => FileShape::Empty,
        };
        if walk.tables.is_none()
            && let Some(media) = walk.first_media
            && let Some(at) = walk.find_hidden_index(media)?
        {
            walk.top_level(at, true)?;
            shape = FileShape::HalfFinalised;
        }
        let tables = walk.tables.take().unwrap_or_default();
        let cut = tables.cut;
        let (video, audio) = tables.into_tracks();
        let video = video.filter(|track| !track.samples.is_empty());
        if video.is_none() {
            shape = if walk.media_bytes > 0 || walk.strange {
                FileShape::Garbage(walk.complaint())
            } else {
                FileShape::Empty
            };
        }
        Ok(Self {
            shape,
            video,
            audio: audio.filter(|track| !track.samples.is_empty()),
            size_bytes,
            cut,
        })
    }

    /// What a file holds that cannot be read.
    pub fn nothing() -> Self {
        Self {
            shape: FileShape::Empty,
            video: None,
            audio: None,
            size_bytes: 0,
            cut: false,
        }
    }

    /// Video frames that are wholly there and shown.
    pub fn frames(&self) -> u64 {
        self.video.as_ref().map_or(0, TrackTable::frames)
    }

    /// How long the pictures last, in nanoseconds.
    pub fn duration(&self) -> u64 {
        self.video.as_ref().map_or(0, TrackTable::duration)
    }

    /// Whether a player can take it as it is, from start to end.
    pub fn is_whole(&self) -> bool {
        self.shape == FileShape::Plain && !self.cut && self.video.is_some()
    }

    /// The frames of one track, read from the file one by one.
    pub fn units(&self, file: Arc<File>, track: Track) -> UnitReader {
        let table = match track {
            Track::Video => self.video.clone(),
            Track::Audio => self.audio.clone(),
        };
        UnitReader::new(file, track, table)
    }
}

/// An index larger than this is not one of ours: an hour at 60 frames a second takes under 8 MB.
const LONGEST_INDEX: u64 = 64 << 20;

pub(super) struct Walk<'a> {
    file: &'a File,
    size: u64,
    tables: Option<Tables>,
    fragmented: bool,
    hidden: bool,
    media_bytes: u64,
    first_media: Option<u64>,
    strange: bool,
}

/// A box: where its body begins, how long the body says it is, and its four letters.
pub(super) struct Header {
    pub(super) body: u64,
    pub(super) length: u64,
    pub(super) kind: [u8; 4],
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: &'a File, size: u64) -> Self {
        Self {
            file,
            size,
            tables: None,
            fragmented: false,
            hidden: false,
            media_bytes: 0,
            first_media: None,
            strange: false,
        }
    }

    /// The box at an offset; nothing at the end, or where no box can be.
    pub(super) fn header(&self, at: u64) -> io::Result<Option<Header>> {
        let left = self.size.saturating_sub(at);
        if left < 8 {
            return Ok(None);
        }
        let mut bytes = [0; 16];
        let known = left.min(16) as usize;
        self.file.read_exact_at(&mut bytes[..known], at)?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = bytes;
        let short = u64::from(u32::from_be_bytes([a, b, c, d]));
        let long = u64::from_be_bytes([
            bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15],
        ]);
        let (head, length) = match short {
            0 => (8, left),
            1 if known == 16 => (16, long),
            _ => (8, short),
        };
        if length < head || !kind.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            return Ok(None);
        }
        Ok(Some(Header {
            body: at + head,
            length: length - head,
            kind,
        }))
    }

    /// A whole body; nothing when it is cut or absurdly long.
    pub(super) fn body(&self, header: &Header) -> io::Result<Option<Vec<u8>>> {
        let there = self.size.saturating_sub(header.body);
        if header.length > there || header.length > LONGEST_INDEX {
            return Ok(None);
        }
        let mut body = vec![0; header.length as usize];
        self.file.read_exact_at(&mut body, header.body)?;
        Ok(Some(body))
    }

    fn top_level(&mut self, mut at: u64, from_hidden: bool) -> io::Result<()> {
        while let Some(header) = self.header(at)? {
            self.strange |= at == 0 && header.kind != *b"ftyp";
            match &header.kind {
                b"moov" | b"hoov" if self.tables.is_none() => {
                    if let Some(body) = self.body(&header)?
                        && let Some(tables) = read_tables(&body, self.size)
                    {
                        self.fragmented = tables.fragmented;
                        self.hidden = header.kind == *b"hoov" || from_hidden;
                        self.tables = Some(tables);
                    }
                }
                b"moof" => {
                    if let (Some(body), Some(tables)) = (self.body(&header)?, &mut self.tables) {
                        // The bytes of a fragment are counted from its own box, header and all.
                        read_fragment(&body, at, self.size, tables);
                    }
                }
                b"mdat" => {
                    self.first_media.get_or_insert(header.body);
                    self.media_bytes += header.length.min(self.size.saturating_sub(header.body));
                }
                _ => {}
            }
            match header.body.checked_add(header.length) {
                Some(next) if next <= self.size => at = next,
                _ => return Ok(()),
            }
        }
        self.strange |= at < self.size;
        Ok(())
    }

    /// Looks for the first index inside the media that begin here, where closing a file hides it.
    pub(super) fn find_hidden_index(&self, mut at: u64) -> io::Result<Option<u64>> {
        const STEP: usize = 1 << 20;
        let mut bytes = vec![0; STEP];
        while at + 16 <= self.size {
            let length = usize::try_from(self.size - at).unwrap_or(STEP).min(STEP);
            let window = &mut bytes[..length];
            self.file.read_exact_at(window, at)?;
            // `????hoov????mvhd`: eight letters in their places are not met by chance in a frame.
            for (place, found) in window.windows(16).enumerate() {
                if &found[4..8] == b"hoov" && &found[12..16] == b"mvhd" {
                    return Ok(Some(at + place as u64));
                }
            }
            at += (length - 15) as u64;
        }
        Ok(None)
    }

    fn complaint(&self) -> String {
        if self.tables.is_some() {
            "its index tells of no frame that is in the file".to_owned()
        } else if self.first_media.is_some() {
            format!(
                "{} bytes of media and no index that says where frames begin",
                self.media_bytes
            )
        } else {
            "it is no MP4 file".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn walk(bytes: &[u8]) -> Movie {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Movie::walk(&file).unwrap()
    }

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn what_holds_no_frame_is_told_apart_from_what_is_no_film() {
        assert_eq!(walk(b"").shape, FileShape::Empty);
        let begun = [
            boxed(b"ftyp", b"iso4\0\0\0\0"),
            boxed(b"free", b""),
            boxed(b"mdat", b""),
        ]
        .concat();
        assert_eq!(walk(&begun).shape, FileShape::Empty);
        assert!(matches!(walk(&[0; 4096]).shape, FileShape::Garbage(_)));
        assert!(matches!(
            walk(b"a text, and a rather long one at that").shape,
            FileShape::Garbage(_)
        ));
        let lost = [boxed(b"ftyp", b"iso4\0\0\0\0"), boxed(b"mdat", &[7; 5000])].concat();
        let FileShape::Garbage(why) = walk(&lost).shape else {
            panic!("frames were found in {lost:?}");
        };
        assert!(why.contains("5000 bytes"), "{why}");
    }

    #[test]
    fn an_index_that_closing_hid_is_found_wherever_it_lies() {
        // Around the seam of two windows of the search, too.
        for before in [0usize, 5, (1 << 20) - 70, (1 << 20) - 41, (1 << 20) - 40, (1 << 20) + 3] {
            let hidden = boxed(b"hoov", &boxed(b"mvhd", &[0; 100]));
            let media = [vec![9; before], hidden, vec![9; 100]].concat();
            let bytes = [boxed(b"ftyp", b"iso4\0\0\0\0"), boxed(b"mdat", &media)].concat();
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let mut walk = Walk::new(&file, bytes.len() as u64);
            walk.top_level(0, false).unwrap();
            assert_eq!(walk.find_hidden_index(16 + 8).unwrap(), Some(16 + 8 + before as u64));
        }
    }

    /// Bytes that look like boxes inside boxes, more often than chance has it.
    fn boxes() -> impl Strategy<Value = Vec<u8>> {
        let kinds = proptest::sample::select(vec![
            b"ftyp", b"moov", b"hoov", b"mdat", b"moof", b"traf", b"tfhd", b"tfdt", b"trun", b"trak", b"tkhd", b"mdia",
            b"mdhd", b"hdlr", b"minf", b"stbl", b"stsd", b"stts", b"stsz", b"stco", b"stsc", b"mvhd", b"mvex", b"trex",
        ]);
        let leaf = proptest::collection::vec(any::<u8>(), 0..120);
        let tree = (kinds.clone(), leaf).prop_map(|(kind, body)| boxed(kind, &body));
        tree.prop_recursive(6, 200, 8, move |inner| {
            (kinds.clone(), proptest::collection::vec(inner, 0..8))
                .prop_map(|(kind, inside)| boxed(kind, &inside.concat()))
        })
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_make_the_walk_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(walk(&bytes).frames(), 0);
        }

        #[test]
        fn no_boxes_at_all_make_the_walk_panic(trees in proptest::collection::vec(boxes(), 0..6)) {
            let _ = walk(&trees.concat());
        }
    }
}
