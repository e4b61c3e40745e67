//! The identity box: what a closed file says of itself, so that the index can be rebuilt from the files alone.
//!
//! ```text
//! ftyp free mdat moov | size(4) "uuid" type(16) crc32(4) JSON
//! ```
//!
//! ISO 14496-12 gives everybody boxes of type `uuid`; players pass over those they do not know. It stands last, where
//! it can be added to a file that is whole without moving a byte of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::StorageError;
use crate::model::{
    CameraClock, CameraId, ClockSource, Codec, Container, Copy, GapCause, Hole, Origin, RunId, Segment, SegmentId,
    SegmentState, Span, Timestamp, VideoFormat,
};

/// The type of our box, drawn once at random.
const TYPE: [u8; 16] = [
    0x5d, 0x0e, 0x9b, 0x0c, 0xa1, 0x3f, 0x4b, 0x62, 0x8f, 0x57, 0x63, 0x6b, 0x65, 0x65, 0x70, 0x01,
];
/// What our reader understands.
const VERSION: u32 = 1;
/// Size, "uuid" and type.
const HEADER: u64 = 24;
/// The longest content that is read; ours has some 400 bytes, and 80 for each hole.
const CONTENT_LIMIT: u64 = 1024 * 1024;
/// More top-level boxes than an hour of half-second fragments has; a file with more is no recording of ours.
const BOX_LIMIT: u32 = 200_000;

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Whose video it is.
    pub camera: CameraId,
    /// Its segment.
    pub segment: SegmentId,
    /// The run.
    pub run: RunId,
    /// Its place in the run.
    pub sequence: u32,
    /// From the first frame to the end of the last.
    pub span: Span,
    /// Where inside it there is no footage; nothing when the file was written before files said so.
    pub holes: Option<Vec<Hole>>,
    /// Whose clock placed it.
    pub clock: ClockSource,
    /// How the camera's own clock stood, when the camera told.
    pub camera_clock: Option<CameraClock>,
    /// Live or refilled.
    pub origin: Origin,
    /// What its pictures look like.
    pub format: VideoFormat,
    /// Video frames in it.
    pub frames: u64,
    /// Packets of its pictures that were lost on the way.
    pub lost_packets: u64,
    /// Whether a sound track is inside.
    pub has_audio: bool,
}

/// The content of the box. Names are law: files live longer than programs.
#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    camera: CameraId,
    segment: SegmentId,
    run: String,
    sequence: u32,
    start_ns: i64,
    end_ns: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holes: Option<Vec<HoleContent>>,
    clock: ClockSource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    camera_clock: Option<CameraClock>,
    origin: Origin,
    codec: Codec,
    width: u32,
    height: u32,
    fps: Option<f64>,
    frames: u64,
    #[serde(default, skip_serializing_if = "is_none_lost")]
    lost_packets: u64,
    has_audio: bool,
}

/// A span inside the segment without footage.
#[derive(Serialize, Deserialize)]
struct HoleContent {
    start_ns: i64,
    end_ns: i64,
    cause: String,
}

impl HoleContent {
    fn of(hole: &Hole) -> Self {
        Self {
            start_ns: hole.span.start.as_nanos(),
            end_ns: hole.span.end.as_nanos(),
            cause: hole.cause.as_str().to_owned(),
        }
    }

    fn into_hole(self) -> Hole {
        Hole {
            span: Span::new(Timestamp::from_nanos(self.start_ns), Timestamp::from_nanos(self.end_ns)),
            cause: GapCause::parse(&self.cause).unwrap_or(GapCause::Unknown),
        }
    }
}

/// Most segments lack nothing, and their files say nothing of it.
const fn is_none_lost(lost: &u64) -> bool {
    *lost == 0
}

impl Identity {
    /// What a segment's file should say.
    pub fn of(segment: &Segment) -> Self {
        Self {
            camera: segment.camera.clone(),
            segment: segment.id,
            run: segment.run,
            sequence: segment.sequence,
            span: segment.span,
            holes: Some(segment.holes.clone()),
            clock: segment.clock,
            camera_clock: segment.camera_clock,
            origin: segment.origin,
            format: segment.format,
            frames: segment.frames,
            lost_packets: segment.lost_packets,
            has_audio: segment.has_audio,
        }
    }

    /// The closed segment that a file says it holds.
    pub fn into_segment(self, created_at: Timestamp, copies: Vec<Copy>) -> Segment {
        Segment {
            id: self.segment,
            camera: self.camera,
            run: self.run,
            sequence: self.sequence,
            span: self.span,
            holes: self.holes.unwrap_or_default(),
            format: self.format,
            has_audio: self.has_audio,
            container: Container::Mp4,
            state: SegmentState::Closed,
            origin: self.origin,
            clock: self.clock,
            camera_clock: self.camera_clock,
            frames: self.frames,
            lost_packets: self.lost_packets,
            created_at,
            copies,
        }
    }

    /// Writes a segment's identity to the end of its closed file. One that is there already is replaced.
    ///
    /// To be called before the file is made durable and hashed.
    pub fn append(path: &Path, segment: &Segment) -> Result<(), StorageError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| StorageError::io("open", path, error))?;
        let length = length_of(&file, path)?;
        let mut at = length;
        let mut earlier = Vec::new();
        let end = walk(&file, path, length, |found| {
            if found.is_ours {
                earlier.push(found.offset);
                if found.offset + found.size == length {
                    at = found.offset;
                }
            }
        })?;
        if end != Some(length) {
            return Err(StorageError::Damaged {
                path: path.to_owned(),
                reason: "this is no whole MP4 file, so nothing was added to it; mend it first".to_owned(),
            });
        }
        let written = Self::of(segment).encode(path).and_then(|bytes| {
            file.write_all_at(&bytes, at)
                .and_then(|()| file.set_len(at + bytes.len() as u64))
                .map_err(|error| StorageError::io("write the identity to", path, error))
        });
        if let Err(error) = written {
            // The footage is worth more than its label: leave the file as playable as it was.
            let _ = file.set_len(at);
            return Err(error);
        }
        for offset in earlier.into_iter().filter(|offset| *offset != at) {
            file.write_all_at(b"free", offset + 4)
                .map_err(|error| StorageError::io("write to", path, error))?;
        }
        Ok(())
    }

    /// Reads what a file says of itself. Files of others, torn and foreign files say nothing.
    pub fn read(path: &Path) -> Result<Option<Self>, StorageError> {
        let file = File::open(path).map_err(|error| StorageError::io("open", path, error))?;
        let length = length_of(&file, path)?;
        let mut last = None;
        walk(&file, path, length, |found| {
            if found.is_ours {
                last = Some(found);
            }
        })?;
        let Some(found) = last.filter(|found| found.content_bytes() <= CONTENT_LIMIT) else {
            return Ok(None);
        };
        let mut content = vec![0; usize::try_from(found.content_bytes()).unwrap_or(0)];
        file.read_exact_at(&mut content, found.offset + HEADER)
            .map_err(|error| StorageError::io("read", path, error))?;
        Ok(Self::decode(&content))
    }

    fn encode(&self, path: &Path) -> Result<Vec<u8>, StorageError> {
        let content = Content {
            version: VERSION,
            camera: self.camera.clone(),
            segment: self.segment,
            run: self.run.to_string(),
            sequence: self.sequence,
            start_ns: self.span.start.as_nanos(),
            end_ns: self.span.end.as_nanos(),
            holes: self
                .holes
                .as_ref()
                .map(|holes| holes.iter().map(HoleContent::of).collect()),
            clock: self.clock,
            camera_clock: self.camera_clock,
            origin: self.origin,
            codec: self.format.codec,
            width: self.format.width,
            height: self.format.height,
            fps: self.format.fps,
            frames: self.frames,
            lost_packets: self.lost_packets,
            has_audio: self.has_audio,
        };
        let broken = |reason: String| StorageError::Damaged {
            path: path.to_owned(),
            reason: format!("its identity could not be written: {reason}"),
        };
        let json = serde_json::to_vec(&content).map_err(|error| broken(error.to_string()))?;
        let size = u32::try_from(HEADER as usize + 4 + json.len()).map_err(|error| broken(error.to_string()))?;
        let mut bytes = Vec::with_capacity(size as usize);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(b"uuid");
        bytes.extend_from_slice(&TYPE);
        bytes.extend_from_slice(&crc32fast::hash(&json).to_be_bytes());
        bytes.extend_from_slice(&json);
        Ok(bytes)
    }

    fn decode(content: &[u8]) -> Option<Self> {
        let (crc, json) = content.split_first_chunk::<4>()?;
        if crc32fast::hash(json) != u32::from_be_bytes(*crc) {
            return None;
        }
        let content: Content = serde_json::from_slice(json).ok()?;
        if content.version != VERSION {
            return None;
        }
        Some(Self {
            camera: content.camera,
            segment: content.segment,
            run: RunId::parse(&content.run)?,
            sequence: content.sequence,
            span: Span::new(
                Timestamp::from_nanos(content.start_ns),
                Timestamp::from_nanos(content.end_ns),
            ),
            holes: content
                .holes
                .map(|holes| holes.into_iter().map(HoleContent::into_hole).collect()),
            clock: content.clock,
            camera_clock: content.camera_clock,
            origin: content.origin,
            format: VideoFormat {
                codec: content.codec,
                width: content.width,
                height: content.height,
                fps: content.fps,
            },
            frames: content.frames,
            lost_packets: content.lost_packets,
            has_audio: content.has_audio,
        })
    }
}

/// A top-level box, as far as it concerns us.
#[derive(Clone, Copy)]
struct Found {
    offset: u64,
    size: u64,
    is_ours: bool,
}

impl Found {
    fn content_bytes(&self) -> u64 {
        self.size.saturating_sub(HEADER)
    }
}

fn length_of(file: &File, path: &Path) -> Result<u64, StorageError> {
    file.metadata()
        .map(|metadata| metadata.len())
        .map_err(|error| StorageError::io("look at", path, error))
}

/// Walks the top-level boxes and gives where the last whole one ends; nothing when something may not be followed by a
/// box: it reaches to the end of the file by declaration, or is torn, or is no MP4 at all.
fn walk(file: &File, path: &Path, length: u64, mut visit: impl FnMut(Found)) -> Result<Option<u64>, StorageError> {
    let mut offset = 0u64;
    for _ in 0..BOX_LIMIT {
        if offset == length {
            return Ok((offset > 0).then_some(offset));
        }
        let remaining = length - offset;
        let mut header = [0u8; HEADER as usize];
        let there = usize::try_from(remaining.min(HEADER)).unwrap_or(header.len());
        let header_there = header.get_mut(..there).unwrap_or_default();
        file.read_exact_at(header_there, offset)
            .map_err(|error| StorageError::io("read", path, error))?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = header;
        let large: [u8; 8] = *header.get(8..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; 8]);
        let (least, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => return Ok(None),
            1 => (16, u64::from_be_bytes(large)),
            size => (8, u64::from(size)),
        };
        let is_mp4 = offset > 0 || &kind == b"ftyp";
        if !is_mp4 || there < 8 || size < least || size > remaining {
            return Ok(None);
        }
        // Ours is never written with a 64-bit size.
        let is_ours = &kind == b"uuid" && least == 8 && size > HEADER + 4 && header.ends_with(&TYPE);
        visit(Found { offset, size, is_ours });
        offset += size;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Fault;
    use proptest::prelude::*;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;
    use uuid::Uuid;

    fn segment(sequence: u32) -> Segment {
        Segment {
            id: SegmentId(Uuid::from_u128(0x1234_5678_9abc_def0)),
            camera: CameraId::parse("front-door").unwrap(),
            run: RunId(0x00c0_ffee),
            sequence,
            span: Span::new(
                Timestamp::from_nanos(1_790_000_000_123_456_789),
                Timestamp::from_nanos(1_790_000_060_000_000_001),
            ),
            holes: vec![Hole {
                span: Span::new(
                    Timestamp::from_nanos(1_790_000_020_000_000_002),
                    Timestamp::from_nanos(1_790_000_025_000_000_003),
                ),
                cause: GapCause::Silent,
            }],
            format: VideoFormat {
                codec: Codec::H265,
                width: 2560,
                height: 1440,
                fps: Some(29.97),
            },
            has_audio: true,
            container: Container::Mp4,
            state: SegmentState::Closed,
            origin: Origin::Refill,
            clock: ClockSource::Camera,
            camera_clock: Some(CameraClock {
                offset_ns: -1_234_567,
                drift_ppm: 12.5,
            }),
            frames: 1798,
            lost_packets: 12,
            created_at: Timestamp::from_seconds(1),
            copies: vec![],
        }
    }

    fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut bytes = (8 + payload.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn large(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut bytes = 1u32.to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(&(16 + payload.len() as u64).to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn plain() -> Vec<u8> {
        [
            boxed(b"ftyp", b"isom0000"),
            boxed(b"free", b""),
            large(b"mdat", &[7; 999]),
            boxed(b"moov", &[1; 50]),
        ]
        .concat()
    }

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.mp4");
        fs::write(&path, bytes).unwrap();
        (directory, path)
    }

    #[test]
    fn a_file_says_whose_it_is() {
        let (_directory, path) = file(&plain());
        assert_eq!(Identity::read(&path).unwrap(), None);
        Identity::append(&path, &segment(42)).unwrap();
        let identity = Identity::read(&path).unwrap().unwrap();
        assert_eq!(identity, Identity::of(&segment(42)));
        assert_eq!(identity.into_segment(Timestamp::from_seconds(1), vec![]), segment(42));
        assert!(fs::read(&path).unwrap().starts_with(&plain()), "not a byte of it moved");
    }

    #[test]
    fn a_second_identity_takes_the_place_of_the_first() {
        let (_directory, path) = file(&plain());
        Identity::append(&path, &segment(4_000_000)).unwrap();
        let long = fs::metadata(&path).unwrap().len();
        Identity::append(&path, &segment(1)).unwrap();
        Identity::append(&path, &segment(1)).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < long);
        assert_eq!(Identity::read(&path).unwrap().unwrap().sequence, 1);
        // Also when somebody put a box behind it.
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend(boxed(b"free", b"xyz"));
        fs::write(&path, &bytes).unwrap();
        Identity::append(&path, &segment(2)).unwrap();
        assert_eq!(Identity::read(&path).unwrap().unwrap().sequence, 2);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.windows(4).filter(|bytes| *bytes == b"uuid").count(), 1);
    }

    #[test]
    fn torn_and_foreign_files_say_nothing_and_get_nothing() {
        let open_ended = [
            boxed(b"ftyp", b"isom0000"),
            vec![0, 0, 0, 0],
            b"mdat".to_vec(),
            vec![9; 100],
        ]
        .concat();
        let mut giant = [boxed(b"ftyp", b"isom0000"), large(b"mdat", b"x")].concat();
        giant[24..32].copy_from_slice(&u64::MAX.to_be_bytes());
        let whole = plain();
        for bytes in [
            b"".to_vec(),
            b"x".to_vec(),
            b"not a film at all, just a text that is long enough".to_vec(),
            vec![0; 4096],
            vec![0xff; 4096],
            whole[..whole.len() - 1].to_vec(),
            [whole.clone(), vec![0, 0, 0]].concat(),
            [whole.clone(), vec![0, 0, 0, 7, b'f', b'r', b'e', b'e']].concat(),
            [whole.clone(), vec![0, 0, 0, 1, b'f', b'r', b'e', b'e']].concat(),
            open_ended,
            giant,
        ] {
            let (_directory, path) = file(&bytes);
            assert_eq!(Identity::read(&path).unwrap(), None);
            let error = Identity::append(&path, &segment(1)).unwrap_err();
            assert_eq!(error.fault(), Fault::Corrupt, "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "and stays as it was");
        }
    }

    #[test]
    fn an_identity_that_was_changed_or_is_too_long_is_not_believed() {
        let (_directory, path) = file(&plain());
        Identity::append(&path, &segment(42)).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in plain().len() + 24..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x01;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(Identity::read(&path).unwrap(), None, "byte {at}");
        }
        let long = [plain(), boxed(b"uuid", &[&TYPE[..], &vec![b' '; 70_000]].concat())].concat();
        fs::write(&path, long).unwrap();
        assert_eq!(Identity::read(&path).unwrap(), None);
    }

    fn ran(command: &mut Command) -> String {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert_eq!(said, "", "a player complained");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_labelled_file_plays_as_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("film.mp4");
        ran(Command::new("ffmpeg")
            .args([
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc=size=64x48:rate=10",
                "-t",
                "3",
                "-c:v",
                "mpeg4",
            ])
            .arg(&path));
        let packets = || {
            ran(Command::new("ffprobe")
                .args([
                    "-v",
                    "error",
                    "-count_packets",
                    "-show_entries",
                    "stream=nb_read_packets,duration",
                    "-of",
                    "csv",
                ])
                .arg(&path))
        };
        let before = packets();
        assert!(before.contains(",30"), "{before}");
        Identity::append(&path, &segment(42)).unwrap();
        Identity::append(&path, &segment(43)).unwrap();
        assert_eq!(packets(), before);
        ran(Command::new("ffmpeg")
            .args(["-v", "error", "-xerror", "-i"])
            .arg(&path)
            .args(["-f", "null", "-"]));
        assert_eq!(Identity::read(&path).unwrap().unwrap().sequence, 43);
    }

    proptest! {
        #[test]
        fn any_bytes_at_all_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (_directory, path) = file(&[boxed(b"ftyp", b"isom"), bytes].concat());
            let _ = Identity::read(&path).unwrap();
        }

        #[test]
        fn a_cut_file_never_says_a_wrong_name(cut in 0usize..2000) {
            let (_directory, path) = file(&plain());
            Identity::append(&path, &segment(42)).unwrap();
            let whole = fs::read(&path).unwrap();
            let cut = cut.min(whole.len());
            fs::write(&path, &whole[..cut]).unwrap();
            let expected = (cut == whole.len()).then(|| Identity::of(&segment(42)));
            prop_assert_eq!(Identity::read(&path).unwrap(), expected);
        }
    }
}
