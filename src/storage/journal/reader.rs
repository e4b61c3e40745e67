//! Reads a journal that somebody left, however it ends.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::record::{self, Anchor, HEAD, Head, JournalHeader, Kind};
use crate::model::{Track, TrackCaps, Unit};
use crate::storage::error::StorageError;

/// What a journal holds after its header.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A unit.
    Unit(Unit),
    /// A better anchor.
    Anchor(Anchor),
    /// How the units from here on are to be read.
    Caps(TrackCaps),
    /// So many units are missing here.
    Hole(u64),
    /// So many packets never came before the next unit.
    Lost(u64),
}

/// Reads records one after the other, holding one at a time.
///
/// It stops for good at the first record that is not whole: what follows a torn record was not ordered behind it, and
/// nothing that cannot be believed is ever given out.
#[derive(Debug)]
pub struct JournalReader<R = BufReader<File>> {
    bytes: R,
    path: PathBuf,
    seed: u32,
    at: u64,
    length: u64,
    stopped: bool,
}

impl JournalReader {
    /// Opens a journal and reads its header.
    pub fn open(path: &Path) -> Result<(JournalHeader, Self), StorageError> {
        let file = File::open(path).map_err(|error| StorageError::io("open", path, error))?;
        let length = file
            .metadata()
            .map_err(|error| StorageError::io("look at", path, error))?
            .len();
        Self::over(BufReader::with_capacity(64 * 1024, file), length, path)
    }
}

impl<R: Read> JournalReader<R> {
    fn over(bytes: R, length: u64, path: &Path) -> Result<(JournalHeader, Self), StorageError> {
        let mut reader = Self {
            bytes,
            path: path.to_owned(),
            seed: 0,
            at: 0,
            length,
            stopped: false,
        };
        let header = match reader.next_record()? {
            Some((head, payload)) if head.kind == Kind::Header => record::parse_header(&payload),
            _ => None,
        };
        let Some(header) = header else {
            return Err(StorageError::Damaged {
                path: reader.path,
                reason: "this is no tail journal of camkeep, or its first record was cut; nothing in it can be used"
                    .to_owned(),
            });
        };
        reader.seed = record::seed(header.segment);
        Ok((header, reader))
    }

    /// The next entry; nothing at the end of what is whole.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, StorageError> {
        let before = self.at;
        let Some((head, payload)) = self.next_record()? else {
            return Ok(None);
        };
        let entry = match head.kind {
            Kind::Unit => Some(Entry::Unit(head.unit(payload))),
            Kind::Anchor => record::parse_anchor(&payload).map(Entry::Anchor),
            Kind::Caps => record::parse_caps(&payload).map(Entry::Caps),
            Kind::Hole => record::parse_hole(&payload).map(Entry::Hole),
            Kind::Lost => record::parse_lost(&payload).map(Entry::Lost),
            // A journal has one header.
            Kind::Header => None,
        };
        if entry.is_none() {
            self.at = before;
            self.stopped = true;
        }
        Ok(entry)
    }

    /// How many bytes were whole so far.
    pub fn whole_bytes(&self) -> u64 {
        self.at
    }

    fn next_record(&mut self) -> Result<Option<(Head, Bytes)>, StorageError> {
        let found = if self.stopped { None } else { self.try_record()? };
        self.stopped = found.is_none();
        Ok(found)
    }

    fn try_record(&mut self) -> Result<Option<(Head, Bytes)>, StorageError> {
        let mut bytes = [0u8; HEAD];
        if !self.fill(&mut bytes)? {
            return Ok(None);
        }
        let Some(head) = Head::parse(&bytes) else {
            return Ok(None);
        };
        // Room is made only for bytes that are there.
        let size = (HEAD + head.length) as u64;
        if size > self.length.saturating_sub(self.at) {
            return Ok(None);
        }
        let mut payload = vec![0u8; head.length];
        if !self.fill(&mut payload)? || !head.is_whole(&bytes, &payload, self.seed) {
            return Ok(None);
        }
        self.at += size;
        Ok(Some((head, payload.into())))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool, StorageError> {
        match self.bytes.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(StorageError::io("read", &self.path, error)),
        }
    }
}

/// What a journal holds as a whole. Its units are read again from the file, one at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalContents {
    /// The file.
    pub path: PathBuf,
    /// Whose journal it is.
    pub header: JournalHeader,
    /// The latest anchor.
    pub anchor: Anchor,
    /// The latest caps.
    pub caps: TrackCaps,
    /// Units in it.
    pub units: u64,
    /// Units of video in it.
    pub frames: u64,
    /// When its first picture is shown, on the run's running time.
    pub first_pts: Option<i64>,
    /// When its last picture ends, or begins if its duration is unknown.
    pub end_pts: Option<i64>,
    /// Units that came and could not be written. If there are any, the journal alone is not all that came.
    pub missed_units: u64,
    /// Packets that never came of what is in it.
    pub lost_packets: u64,
    /// Bytes of whole records.
    pub whole_bytes: u64,
    /// Bytes behind them: a torn record, or none.
    pub left_bytes: u64,
}

impl JournalContents {
    /// Whether every unit that came until the journal's end is in it.
    pub fn is_complete(&self) -> bool {
        self.missed_units == 0
    }

    /// Its units, in the order they came.
    pub fn units(&self) -> Result<Units, StorageError> {
        let (_, reader) = JournalReader::open(&self.path)?;
        Ok(Units { reader })
    }
}

/// The units of a journal, one at a time. An error of the disk ends it.
#[derive(Debug)]
pub struct Units {
    reader: JournalReader,
}

impl Iterator for Units {
    type Item = Result<Unit, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.reader.next_entry() {
                Ok(Some(Entry::Unit(unit))) => return Some(Ok(unit)),
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => {
                    self.reader.stopped = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Reads through a journal and says what it holds, without keeping its units.
pub fn read_journal(path: &Path) -> Result<JournalContents, StorageError> {
    let (header, reader) = JournalReader::open(path)?;
    sum_up(header, reader)
}

fn sum_up<R: Read>(header: JournalHeader, mut reader: JournalReader<R>) -> Result<JournalContents, StorageError> {
    let mut contents = JournalContents {
        path: reader.path.clone(),
        anchor: header.anchor,
        caps: header.caps.clone(),
        header,
        units: 0,
        frames: 0,
        first_pts: None,
        end_pts: None,
        missed_units: 0,
        lost_packets: 0,
        whole_bytes: 0,
        left_bytes: 0,
    };
    while let Some(entry) = reader.next_entry()? {
        match entry {
            Entry::Unit(unit) => {
                contents.units += 1;
                if unit.track == Track::Video {
                    contents.frames += 1;
                    let lasts = i64::try_from(unit.duration.unwrap_or(0)).unwrap_or(i64::MAX);
                    let end = unit.pts.saturating_add(lasts);
                    contents.first_pts = Some(contents.first_pts.map_or(unit.pts, |first| first.min(unit.pts)));
                    contents.end_pts = Some(contents.end_pts.map_or(end, |last| last.max(end)));
                }
            }
            Entry::Anchor(anchor) => contents.anchor = anchor,
            Entry::Caps(caps) => contents.caps = caps,
            Entry::Hole(missed) => contents.missed_units = contents.missed_units.saturating_add(missed),
            Entry::Lost(packets) => contents.lost_packets = contents.lost_packets.saturating_add(packets),
        }
    }
    contents.whole_bytes = reader.whole_bytes();
    contents.left_bytes = reader.length.saturating_sub(contents.whole_bytes);
    Ok(contents)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::writer::JournalWriter;
    use super::*;
    use crate::model::{CameraId, ClockSource, Codec, Fault, RunId, SegmentId, Timestamp, VideoFormat};
    use proptest::prelude::*;
    use std::fs;
    use uuid::Uuid;

    pub(in crate::storage::journal) fn header() -> JournalHeader {
        JournalHeader {
            camera: CameraId::parse("yard").unwrap(),
            segment: SegmentId(Uuid::from_u128(7)),
            run: RunId(0x00c0_ffee),
            sequence: 42,
            format: VideoFormat {
                codec: Codec::H264,
                width: 1920,
                height: 1080,
                fps: Some(25.0),
            },
            caps: TrackCaps {
                video: "video/x-h264, codec_data=(buffer)0142".to_owned(),
                audio: None,
            },
            anchor: Anchor {
                wall: Timestamp::from_nanos(1_790_000_000_123_456_789),
                clock: ClockSource::Arrival,
            },
            takes_over: None,
        }
    }

    pub(in crate::storage::journal) fn unit(number: i64) -> Unit {
        Unit {
            track: Track::Video,
            pts: number * 40_000_000,
            dts: number * 40_000_000 - 1,
            duration: Some(40_000_000),
            keyframe: number == 0,
            payload: vec![number as u8; 100 + number as usize].into(),
        }
    }

    fn bytes_of(entries: &[Entry]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tail");
        let mut journal = JournalWriter::create(&path, &header()).unwrap();
        for entry in entries {
            match entry {
                Entry::Unit(unit) => journal.append(unit),
                Entry::Anchor(anchor) => journal.append_anchor(*anchor),
                Entry::Caps(caps) => journal.append_caps(caps),
                Entry::Hole(missed) => journal.append_hole(*missed),
                Entry::Lost(packets) => journal.append_lost(*packets),
            }
            .unwrap();
        }
        fs::read(path).unwrap()
    }

    /// The entries that bytes give, and how many bytes were left; nothing when they are no journal.
    fn entries_of(bytes: &[u8]) -> Option<(JournalHeader, Vec<Entry>, u64)> {
        let (header, mut reader) = JournalReader::over(bytes, bytes.len() as u64, Path::new("test")).ok()?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            entries.push(entry);
        }
        assert_eq!(reader.next_entry().unwrap(), None, "an end is an end");
        Some((header, entries, bytes.len() as u64 - reader.whole_bytes()))
    }

    #[test]
    fn what_was_written_is_summed_up_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tail");
        let mut journal = JournalWriter::create(&path, &header()).unwrap();
        let better = Anchor {
            wall: Timestamp::from_nanos(1_790_000_000_000_000_001),
            clock: ClockSource::Camera,
        };
        let sound = Unit {
            track: Track::Audio,
            duration: None,
            ..unit(900)
        };
        for number in 0..3 {
            journal.append(&unit(number)).unwrap();
        }
        journal.append_anchor(better).unwrap();
        journal.append(&sound).unwrap();
        let contents = read_journal(&path).unwrap();
        assert_eq!((&contents.header, contents.anchor), (&header(), better));
        assert_eq!((contents.units, contents.frames, contents.left_bytes), (4, 3, 0));
        assert_eq!((contents.first_pts, contents.end_pts), (Some(0), Some(120_000_000)));
        assert!(contents.is_complete());
        let units: Vec<Unit> = contents.units().unwrap().map(Result::unwrap).collect();
        assert_eq!(units, [unit(0), unit(1), unit(2), sound]);
    }

    #[test]
    fn a_torn_end_costs_the_torn_unit_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tail");
        let whole = bytes_of(&[Entry::Unit(unit(0)), Entry::Unit(unit(1))]);
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let contents = read_journal(&path).unwrap();
        assert_eq!((contents.units, contents.left_bytes), (1, 40 + 101 - 1));
        // What a power cut may leave: the length of a file, and zeros in it.
        fs::write(&path, [whole.as_slice(), &[0; 4096]].concat()).unwrap();
        let contents = read_journal(&path).unwrap();
        assert_eq!((contents.units, contents.left_bytes), (2, 4096));
    }

    #[test]
    fn a_journal_that_missed_units_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tail");
        fs::write(
            &path,
            bytes_of(&[Entry::Unit(unit(0)), Entry::Hole(3), Entry::Unit(unit(4))]),
        )
        .unwrap();
        let contents = read_journal(&path).unwrap();
        assert!(!contents.is_complete());
        assert_eq!((contents.missed_units, contents.units), (3, 2));
    }

    #[test]
    fn what_is_no_journal_is_refused_with_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.tail");
        let whole = bytes_of(&[]);
        for bytes in [
            &b""[..],
            b"CKT1",
            b"a text that is longer than one head of a record",
            &[0xff; 500],
            &whole[..whole.len() - 1],
        ] {
            fs::write(&path, bytes).unwrap();
            let error = read_journal(&path).unwrap_err();
            assert_eq!(error.fault(), Fault::Corrupt);
            assert!(error.to_string().contains("no tail journal"), "{error}");
        }
    }

    #[test]
    fn records_that_another_journal_left_in_the_blocks_are_not_taken_for_ours() {
        let ours = bytes_of(&[Entry::Unit(unit(0))]);
        let mut buffer = Vec::new();
        record::put_unit(&mut buffer, record::seed(SegmentId(Uuid::from_u128(8))), &unit(1)).unwrap();
        buffer.extend_from_slice(&unit(1).payload);
        let (_, entries, left) = entries_of(&[ours, buffer].concat()).unwrap();
        assert_eq!((entries, left), (vec![Entry::Unit(unit(0))], 141));
    }

    #[test]
    fn a_giant_length_makes_no_room() {
        let mut bytes = bytes_of(&[Entry::Unit(unit(0))]);
        let at = bytes.len() - 140 + 8;
        for length in [u32::MAX, 32 * 1024 * 1024] {
            bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(entries_of(&bytes).unwrap().1, []);
        }
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let unit = (
            any::<bool>(),
            any::<i64>(),
            any::<i64>(),
            any::<Option<u64>>(),
            any::<bool>(),
            proptest::collection::vec(any::<u8>(), 0..40),
        )
            .prop_map(|(audio, pts, dts, duration, keyframe, payload)| {
                let track = if audio { Track::Audio } else { Track::Video };
                Entry::Unit(Unit {
                    track,
                    pts,
                    dts,
                    duration,
                    keyframe,
                    payload: payload.into(),
                })
            });
        let anchor = any::<i64>().prop_map(|nanos| {
            Entry::Anchor(Anchor {
                wall: Timestamp::from_nanos(nanos),
                clock: ClockSource::Unsynced,
            })
        });
        let caps =
            (".{0,9}", any::<Option<String>>()).prop_map(|(video, audio)| Entry::Caps(TrackCaps { video, audio }));
        let hole = any::<u64>().prop_map(Entry::Hole);
        let lost = any::<u64>().prop_map(Entry::Lost);
        let entry = prop_oneof![8 => unit, 1 => anchor, 1 => caps, 1 => hole, 1 => lost];
        proptest::collection::vec(entry, 0..8)
    }

    proptest! {
        #[test]
        fn written_and_read_are_a_pair(entries in entries()) {
            prop_assert_eq!(entries_of(&bytes_of(&entries)), Some((header(), entries, 0)));
        }

        #[test]
        fn any_prefix_of_a_journal_reads_as_a_prefix_of_its_entries(entries in entries(), cut in any::<prop::sample::Index>()) {
            let bytes = bytes_of(&entries);
            let cut = cut.index(bytes.len());
            match entries_of(&bytes[..cut]) {
                Some((_, read, left)) => {
                    prop_assert!(read.len() < entries.len());
                    prop_assert!(entries.starts_with(&read));
                    // Exactly the records that fit, and no byte of them called torn.
                    prop_assert_eq!(bytes_of(&read).len() as u64 + left, cut as u64);
                }
                None => prop_assert!(cut < bytes_of(&[]).len()),
            }
        }

        #[test]
        fn no_flipped_byte_invents_an_entry(entries in entries(), at in any::<prop::sample::Index>(), flip in 1u8..=255) {
            let mut bytes = bytes_of(&entries);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            match entries_of(&bytes) {
                Some((read_header, read, _)) => {
                    prop_assert_eq!(read_header, header());
                    prop_assert!(read.len() < entries.len());
                    prop_assert!(entries.starts_with(&read));
                }
                None => prop_assert!(at < bytes_of(&[]).len()),
            }
        }

        #[test]
        fn any_bytes_at_all_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(entries_of(&bytes), None);
            let _ = entries_of(&[bytes_of(&[]), bytes].concat());
        }
    }
}
