//! The journal's records, as bytes.
//!
//! ```text
//! 0      4    5     6      8       12    16   24   32        40
//! "CKT1" kind flags 0 0    length  crc32 pts  dts  duration  payload…      (little endian)
//! ```
//!
//! The checksum covers all but the magic and itself. It begins from a seed that is drawn from the segment's id, but
//! for the header's: what an older journal left in the same blocks of a disk can never pass for this one's.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::{CameraId, ClockSource, Codec, RunId, SegmentId, Timestamp, Track, TrackCaps, Unit, VideoFormat};

/// What every record begins with; the digit is the format's version.
pub(super) const MAGIC: [u8; 4] = *b"CKT1";
/// Bytes before the payload.
pub(super) const HEAD: usize = 40;
/// No camera sends a larger unit, and no reader makes room for one.
pub(super) const PAYLOAD_LIMIT: usize = 32 * 1024 * 1024;

const KEYFRAME: u8 = 1;
const HAS_DURATION: u8 = 2;
const AUDIO: u8 = 4;

/// When a run's running time 0 was on the wall clock, and by whose clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "AnchorText", into = "AnchorText")]
pub struct Anchor {
    /// The wall clock at running time 0.
    pub wall: Timestamp,
    /// Whose clock said so.
    pub clock: ClockSource,
}

#[derive(Serialize, Deserialize)]
struct AnchorText {
    /// A `Timestamp` is written in milliseconds; here every nanosecond counts.
    anchor_ns: i64,
    clock: ClockSource,
}

impl From<AnchorText> for Anchor {
    fn from(text: AnchorText) -> Self {
        Self {
            wall: Timestamp::from_nanos(text.anchor_ns),
            clock: text.clock,
        }
    }
}

impl From<Anchor> for AnchorText {
    fn from(anchor: Anchor) -> Self {
        Self {
            anchor_ns: anchor.wall.as_nanos(),
            clock: anchor.clock,
        }
    }
}

/// Whose journal it is, and all that is needed to make a file of its units.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalHeader {
    /// Whose video it is.
    pub camera: CameraId,
    /// The segment.
    pub segment: SegmentId,
    /// The run.
    pub run: RunId,
    /// The segment's place in the run.
    pub sequence: u32,
    /// What its pictures look like.
    pub format: VideoFormat,
    /// How its units are to be read.
    pub caps: TrackCaps,
    /// Where its running time lies on the wall clock, as far as was known when it began.
    pub anchor: Anchor,
    /// From which journal it takes over, where the run took over from another one.
    pub takes_over: Option<TakesOver>,
}

/// The journal of another run that ends where one begins. Until it is shortened both have the same while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakesOver {
    /// Whose journal it is.
    pub segment: SegmentId,
    /// What is shown at this time or later, on the running time of that journal, belongs to the one that takes over.
    pub at: i64,
}

/// A header as it is written. Names are law: journals may outlive the program that wrote them by one update.
#[derive(Serialize, Deserialize)]
struct HeaderText {
    camera: CameraId,
    segment: SegmentId,
    run: String,
    sequence: u32,
    codec: Codec,
    width: u32,
    height: u32,
    fps: Option<f64>,
    #[serde(flatten)]
    caps: CapsText,
    #[serde(flatten)]
    anchor: Anchor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    takes_over: Option<TakesOver>,
}

#[derive(Serialize, Deserialize)]
struct CapsText {
    video_caps: String,
    audio_caps: Option<String>,
}

impl CapsText {
    fn of(caps: &TrackCaps) -> Self {
        Self {
            video_caps: caps.video.clone(),
            audio_caps: caps.audio.clone(),
        }
    }

    fn into_caps(self) -> TrackCaps {
        TrackCaps {
            video: self.video_caps,
            audio: self.audio_caps,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct HoleText {
    missed_units: u64,
}

#[derive(Serialize, Deserialize)]
struct LostText {
    lost_packets: u64,
}

/// What kinds of records there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Unit = 2,
    Anchor = 3,
    Caps = 4,
    Hole = 5,
    Lost = 6,
}

impl Kind {
    fn parse(byte: u8) -> Option<Self> {
        use Kind::{Anchor, Caps, Header, Hole, Lost, Unit};
        [Header, Unit, Anchor, Caps, Hole, Lost]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// What the checksums of a segment's records begin from.
pub(super) fn seed(segment: SegmentId) -> u32 {
    crc32fast::hash(segment.0.as_bytes())
}

/// The first 40 bytes of a record, read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: Kind,
    flags: u8,
    pub(super) length: usize,
    crc: u32,
    pts: i64,
    dts: i64,
    duration: u64,
}

impl Head {
    /// Reads a head; nothing when these bytes are none.
    pub(super) fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let mut rest = Take(bytes);
        let magic: [u8; 4] = rest.take();
        let [kind, flags, zero, nothing] = rest.take();
        let head = Self {
            kind: Kind::parse(kind)?,
            flags,
            length: u32::from_le_bytes(rest.take()) as usize,
            crc: u32::from_le_bytes(rest.take()),
            pts: i64::from_le_bytes(rest.take()),
            dts: i64::from_le_bytes(rest.take()),
            duration: u64::from_le_bytes(rest.take()),
        };
        let is_ours = magic == MAGIC && zero == 0 && nothing == 0 && head.length <= PAYLOAD_LIMIT;
        is_ours.then_some(head)
    }

    /// Whether head and payload are as they were written.
    pub(super) fn is_whole(&self, bytes: &[u8; HEAD], payload: &[u8], seed: u32) -> bool {
        let seed = if self.kind == Kind::Header { 0 } else { seed };
        checksum(bytes, payload, seed) == self.crc
    }

    /// The unit of a unit record.
    pub(super) fn unit(&self, payload: Bytes) -> Unit {
        let has = |flag| self.flags & flag != 0;
        Unit {
            track: if has(AUDIO) { Track::Audio } else { Track::Video },
            pts: self.pts,
            dts: self.dts,
            duration: has(HAS_DURATION).then_some(self.duration),
            keyframe: has(KEYFRAME),
            payload,
        }
    }
}

/// Takes arrays off the front of bytes; beyond the end they are zero, which the callers' lengths rule out.
struct Take<'a>(&'a [u8]);

impl Take<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.0 = rest;
                *taken
            }
            None => [0; N],
        }
    }
}

fn checksum(head: &[u8], payload: &[u8], seed: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(head.get(4..12).unwrap_or_default());
    hasher.update(head.get(16..HEAD).unwrap_or_default());
    hasher.update(payload);
    hasher.finalize()
}

fn put(into: &mut Vec<u8>, seed: u32, kind: Kind, flags: u8, times: (i64, i64, u64), payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut head = [0u8; HEAD];
    let (pts, dts, duration) = times;
    let fields: [&[u8]; 7] = [
        &MAGIC,
        &[kind as u8, flags, 0, 0],
        &length.to_le_bytes(),
        &[0; 4],
        &pts.to_le_bytes(),
        &dts.to_le_bytes(),
        &duration.to_le_bytes(),
    ];
    for (byte, value) in head.iter_mut().zip(fields.into_iter().flatten()) {
        *byte = *value;
    }
    let crc = checksum(&head, payload, seed);
    if let Some(place) = head.get_mut(12..16) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    into.clear();
    into.extend_from_slice(&head);
}

fn put_text(into: &mut Vec<u8>, seed: u32, kind: Kind, text: &impl Serialize) -> Result<(), String> {
    let json = serde_json::to_vec(text).map_err(|error| error.to_string())?;
    put(into, seed, kind, 0, (0, 0, 0), &json);
    into.extend_from_slice(&json);
    Ok(())
}

/// Puts a header's record into a buffer, in place of what was there.
pub(super) fn put_header(into: &mut Vec<u8>, header: &JournalHeader) -> Result<(), String> {
    let text = HeaderText {
        camera: header.camera.clone(),
        segment: header.segment,
        run: header.run.to_string(),
        sequence: header.sequence,
        codec: header.format.codec,
        width: header.format.width,
        height: header.format.height,
        fps: header.format.fps,
        caps: CapsText::of(&header.caps),
        anchor: header.anchor,
        takes_over: header.takes_over,
    };
    put_text(into, 0, Kind::Header, &text)
}

/// Puts a unit's record into a buffer, but for the unit itself, which follows; one that is too large is refused.
pub(super) fn put_unit(into: &mut Vec<u8>, seed: u32, unit: &Unit) -> Result<(), String> {
    if unit.payload.len() > PAYLOAD_LIMIT {
        return Err(format!(
            "a unit of {} bytes is too large for a journal",
            unit.payload.len()
        ));
    }
    let mut flags = 0;
    for (is_set, flag) in [
        (unit.keyframe, KEYFRAME),
        (unit.duration.is_some(), HAS_DURATION),
        (unit.track == Track::Audio, AUDIO),
    ] {
        if is_set {
            flags |= flag;
        }
    }
    let times = (unit.pts, unit.dts, unit.duration.unwrap_or(0));
    put(into, seed, Kind::Unit, flags, times, &unit.payload);
    Ok(())
}

/// Puts an anchor's record into a buffer.
pub(super) fn put_anchor(into: &mut Vec<u8>, seed: u32, anchor: Anchor) -> Result<(), String> {
    put_text(into, seed, Kind::Anchor, &anchor)
}

/// Puts a record of new caps into a buffer.
pub(super) fn put_caps(into: &mut Vec<u8>, seed: u32, caps: &TrackCaps) -> Result<(), String> {
    put_text(into, seed, Kind::Caps, &CapsText::of(caps))
}

/// Puts a record into a buffer that says how many units are missing here.
pub(super) fn put_hole(into: &mut Vec<u8>, seed: u32, missed_units: u64) -> Result<(), String> {
    put_text(into, seed, Kind::Hole, &HoleText { missed_units })
}

/// Puts a record into a buffer that says how many packets never came before the next unit.
pub(super) fn put_lost(into: &mut Vec<u8>, seed: u32, lost_packets: u64) -> Result<(), String> {
    put_text(into, seed, Kind::Lost, &LostText { lost_packets })
}

/// Reads a header's payload.
pub(super) fn parse_header(payload: &[u8]) -> Option<JournalHeader> {
    let text: HeaderText = serde_json::from_slice(payload).ok()?;
    Some(JournalHeader {
        camera: text.camera,
        segment: text.segment,
        run: RunId::parse(&text.run)?,
        sequence: text.sequence,
        format: VideoFormat {
            codec: text.codec,
            width: text.width,
            height: text.height,
            fps: text.fps,
        },
        caps: text.caps.into_caps(),
        anchor: text.anchor,
        takes_over: text.takes_over,
    })
}

/// Reads an anchor's payload.
pub(super) fn parse_anchor(payload: &[u8]) -> Option<Anchor> {
    serde_json::from_slice(payload).ok()
}

/// Reads a payload of caps.
pub(super) fn parse_caps(payload: &[u8]) -> Option<TrackCaps> {
    serde_json::from_slice::<CapsText>(payload)
        .ok()
        .map(CapsText::into_caps)
}

/// Reads how many units are missing.
pub(super) fn parse_hole(payload: &[u8]) -> Option<u64> {
    serde_json::from_slice::<HoleText>(payload)
        .ok()
        .map(|text| text.missed_units)
}

/// Reads how many packets never came.
pub(super) fn parse_lost(payload: &[u8]) -> Option<u64> {
    serde_json::from_slice::<LostText>(payload)
        .ok()
        .map(|text| text.lost_packets)
}
