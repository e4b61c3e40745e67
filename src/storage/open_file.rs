//! One look at a file that is being written, as bytes that stay what they are while it grows and while it is closed.
//!
//! Closing a file changes three places of it, one after another: the first `moov` becomes `hoov`, the first `mdat` is made as long
//! as everything, and the `moov` of all frames is put behind it. Whoever reads the file slowly gets some of these bytes from
//! before and some from after, and no index. So these places are read at once, and given as they were while the file was open;
//! everything else of it is only ever added to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::boxes::Walk;
use super::error::StorageError;
use super::reel::{Piece, Reel};
use super::tables::children;

/// What can be played of a file that may be growing; nothing before its first fragment is whole. The reel reads the file itself.
pub fn look_at_open(path: &Path) -> Result<Option<Reel>, StorageError> {
    let failed = |error| StorageError::io("read", path, error);
    let file = File::open(path).map_err(failed)?;
    look(&file, &path.into()).map_err(failed)
}

/// No film of ours has its first frames behind this.
const LATEST: u64 = 4096;

fn look(file: &File, path: &Arc<Path>) -> io::Result<Option<Reel>> {
    let size = file.metadata()?.len();
    let walk = Walk::new(file, size);
    let piece = |offset: u64, end: u64| Piece::File {
        path: path.clone(),
        offset,
        length: end.saturating_sub(offset),
    };
    let (mut at, mut media, mut index) = (0, None, None);
    while let Some(header) = walk.header(at)? {
        let end = header.body.saturating_add(header.length);
        match &header.kind {
            b"mdat" if media.is_none() && header.body <= LATEST => media = Some((at, header.body)),
            b"moov" | b"hoov" if end <= size => {
                index = Some(at);
                break;
            }
            _ => {}
        }
        at = end;
    }
    let Some((media, first)) = media else {
        // No film of ours has its index first; whatever it is, nobody writes it.
        return Ok(index.map(|_| Reel::new(vec![piece(0, size)])));
    };
    let hidden = match index {
        None => walk.find_hidden_index(first)?,
        Some(_) => None,
    };
    let Some(index) = index.or(hidden) else {
        return Ok(None);
    };
    let Some(header) = walk.header(index)? else {
        return Ok(None);
    };
    let Some(tables) = walk.body(&header)? else {
        return Ok(None);
    };
    if header.kind == *b"moov" && !children(&tables).any(|(kind, _)| kind == *b"mvex") {
        return Ok(Some(Reel::new(vec![piece(0, size)])));
    }
    let mut start = vec![0; usize::try_from(first).unwrap_or(0)];
    file.read_exact_at(&mut start, 0)?;
    let opened = index - media;
    let length = start.len();
    match (first - media, u32::try_from(opened)) {
        (8, Ok(short)) => start[length - 8..length - 4].copy_from_slice(&short.to_be_bytes()),
        _ => start[length - 8..].copy_from_slice(&opened.to_be_bytes()),
    }
    let mut moov = vec![0; 8];
    file.read_exact_at(&mut moov, index)?;
    moov[4..].copy_from_slice(b"moov");
    moov.extend_from_slice(&tables);
    let behind = index + moov.len() as u64;
    let (mut at, mut end) = (behind, behind);
    while let Some(header) = walk.header(at)? {
        at = header.body.saturating_add(header.length);
        if header.kind == *b"moof" && at <= size {
            end = at;
        }
    }
    Ok(Some(Reel::new(vec![
        Piece::Bytes(start.into()),
        piece(first, index),
        Piece::Bytes(Bytes::from(moov)),
        piece(behind, end),
    ])))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read;

    fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 8).to_be_bytes();
        [&length[..], kind, body].concat()
    }

    fn moov(more: &[u8]) -> Vec<u8> {
        boxed(b"moov", &[boxed(b"mvhd", &[0; 100]), more.to_vec()].concat())
    }

    struct Film {
        _room: tempfile::TempDir,
        path: std::path::PathBuf,
        bytes: Vec<u8>,
    }

    impl Film {
        fn write(&mut self, at: usize, bytes: &[u8]) {
            self.bytes.resize(self.bytes.len().max(at + bytes.len()), 0);
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            std::fs::write(&self.path, &self.bytes).unwrap();
        }

        fn look(&self) -> Option<Vec<u8>> {
            look_at_open(&self.path).unwrap().map(|reel| read(&reel))
        }
    }

    fn read(reel: &Reel) -> Vec<u8> {
        let mut read = Vec::new();
        reel.reader(0..u64::MAX).read_to_end(&mut read).unwrap();
        read
    }

    #[test]
    fn whatever_of_closing_is_done_a_look_has_an_index_and_all_that_it_tells_of() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("a.mp4");
        let mut film = Film {
            path,
            _room: room,
            bytes: Vec::new(),
        };
        let start = [boxed(b"ftyp", b"iso4\0\0\0\0"), boxed(b"free", b"")].concat();
        film.write(0, &start);
        assert_eq!(film.look(), None, "nothing is there yet");
        let media = film.bytes.len();
        film.write(media, &boxed(b"mdat", &[7; 5000]));
        let index = film.bytes.len();
        let first = moov(&boxed(b"mvex", &[0; 20]));
        for length in 0..first.len() {
            film.write(index, &first[..length]);
            assert_eq!(film.look(), None, "{length} bytes of the index");
        }
        film.write(index, &first);
        assert_eq!(film.look().unwrap(), film.bytes);
        for number in 0..3 {
            let end = film.bytes.len();
            let whole = film.bytes.clone();
            film.write(end, &boxed(b"mdat", &[number; 900]));
            assert_eq!(film.look().unwrap(), whole, "frames that nothing tells of");
            film.write(end + 908, &boxed(b"moof", &[number; 80])[..50]);
            assert_eq!(film.look().unwrap(), whole);
            film.write(end + 908, &boxed(b"moof", &[number; 80]));
            assert_eq!(film.look().unwrap(), film.bytes);
        }
        let open = film.bytes.clone();
        let early = look_at_open(&film.path).unwrap().unwrap();
        // As the muxer closes it, step by step.
        film.write(index + 4, b"hoov");
        assert_eq!(film.look().unwrap(), open);
        let all = (open.len() - media) as u32;
        film.write(media, &all.to_be_bytes());
        assert_eq!(film.look().unwrap(), open);
        let last = moov(&boxed(b"trak", &[3; 700]));
        for length in (0..last.len()).step_by(9) {
            film.write(open.len(), &last[..length]);
            assert_eq!(film.look().unwrap(), open, "{length} bytes of the last index");
        }
        film.write(open.len(), &last);
        assert_eq!(film.look().unwrap(), film.bytes, "it is closed");
        let closed = look_at_open(&film.path).unwrap().unwrap();
        let before = film.bytes.clone();
        film.write(before.len(), &boxed(b"uuid", &[5; 60]));
        assert_eq!((read(&early), read(&closed)), (open, before), "what is read slowly");
    }

    #[test]
    fn a_header_of_sixteen_bytes_and_no_film_at_all_are_looked_at_too() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("a.mp4");
        let ftyp = boxed(b"ftyp", b"iso4\0\0\0\0");
        let index = moov(&boxed(b"mvex", &[0; 20]));
        let long = |length: u64| [&1u32.to_be_bytes()[..], b"mdat", &length.to_be_bytes()].concat();
        let open = [ftyp.clone(), long(16 + 500), vec![9; 500], index.clone()].concat();
        let mut half = [ftyp.clone(), long(16 + 500 + index.len() as u64), vec![9; 500], index].concat();
        let name = half.len() - 4 - moov(&boxed(b"mvex", &[0; 20])).len() + 8;
        half[name..name + 4].copy_from_slice(b"hoov");
        for bytes in [&open, &half] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read(&look_at_open(&path).unwrap().unwrap()), open);
        }
        for bytes in [&b""[..], b"a text", &ftyp, &[0; 4000]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(look_at_open(&path).unwrap().is_none());
        }
    }
}
