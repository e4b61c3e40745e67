//! A few seconds of real H.264 and H.265, made once by ffmpeg and cut into RTP packets by hand: what a made-up RTSP
//! peer sends must not come from the library under test.

use std::process::Command;
use std::sync::OnceLock;

/// The largest payload of a packet.
const LARGEST: usize = 1400;
/// Frames a second of the footage.
pub(crate) const FPS: u32 = 25;
/// RTP ticks from one frame to the next.
pub(crate) const TICKS: u32 = 90_000 / FPS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    H264,
    H265,
}

/// A frame: its NAL units.
pub(crate) type Frame = Vec<Vec<u8>>;

/// The frames of the footage, each a list of NAL units; a keyframe each second, parameter sets before it.
pub(crate) fn frames(codec: Codec) -> &'static [Vec<Vec<u8>>] {
    static H264: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    static H265: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    match codec {
        Codec::H264 => H264.get_or_init(|| make(codec)),
        Codec::H265 => H265.get_or_init(|| make(codec)),
    }
}

fn make(codec: Codec) -> Vec<Frame> {
    encode(codec, 25, "")
}

/// The same pictures by two encoders, whose parameter sets differ under the same numbers: so many frames by the one, as many by
/// the other. What the one made cannot be decoded with the sets of the other.
pub(crate) fn by_two_encoders(codec: Codec, group: usize) -> Vec<Frame> {
    let [one, other] = match codec {
        Codec::H264 => [":8x8dct=1:cabac=0:ref=1:qp=22", ":8x8dct=1:cabac=1:ref=2:qp=30"],
        Codec::H265 => [":sao=0:signhide=0:qp=22", ":sao=1:signhide=1:qp=30"],
    };
    let both = [one, other].map(|settings| encode(codec, group, settings));
    (0..both[0].len())
        .map(|frame| both[frame / group % 2][frame].clone())
        .collect()
}

/// As a stream that a decoder reads from its beginning.
pub(crate) fn elementary(frames: &[Frame]) -> Vec<u8> {
    let units = frames.iter().flatten();
    units.flat_map(|unit| [&[0, 0, 0, 1], &unit[..]].concat()).collect()
}

/// Two seconds of pictures that are as one likes.
pub(crate) struct Stream {
    /// In the order in which they are sent.
    pub(crate) frames: Vec<Frame>,
    /// How many places later each is shown than it is sent.
    pub(crate) later: Vec<i64>,
}

/// Pictures of this format by ffmpeg's name for it, with these settings of the encoder.
pub(crate) fn stream(codec: Codec, pixels: &str, settings: &str) -> Stream {
    let settings = format!("{settings}:scenecut=0:repeat-headers=1");
    let frames = split_frames(codec, &run_encoder(codec, pixels, &settings, codec.format()));
    // What has no container has no times.
    let room = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(room.path(), run_encoder(codec, pixels, &settings, "matroska")).unwrap();
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(room.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let times: Vec<f64> = text
        .lines()
        .map(|line| line.trim_end_matches(',').parse().unwrap())
        .collect();
    assert_eq!(times.len(), frames.len());
    let shown = |time: &f64| times.iter().filter(|other| *other < time).count() as i64;
    let later = times.iter().enumerate().map(|(sent, time)| shown(time) - sent as i64);
    Stream {
        later: later.collect(),
        frames,
    }
}

fn encode(codec: Codec, group: usize, more: &str) -> Vec<Frame> {
    let settings = format!("keyint={group}:min-keyint={group}:scenecut=0:bframes=0:repeat-headers=1{more}");
    split_frames(codec, &run_encoder(codec, "yuv420p", &settings, codec.format()))
}

impl Codec {
    fn format(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "hevc",
        }
    }
}

fn run_encoder(codec: Codec, pixels: &str, settings: &str, format: &str) -> Vec<u8> {
    let (encoder, option, settings) = match codec {
        Codec::H264 => (
            "libx264",
            "-x264-params",
            format!("{settings}:threads=1:sliced-threads=0:aud=1"),
        ),
        Codec::H265 => ("libx265", "-x265-params", format!("{settings}:aud=1:log-level=none")),
    };
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i"])
        .args(["testsrc=size=320x240:rate=25:duration=2", "-pix_fmt", pixels])
        .args([
            "-c:v",
            encoder,
            "-preset",
            "ultrafast",
            option,
            &settings,
            "-f",
            format,
            "pipe:1",
        ])
        .output()
        .expect("ffmpeg has to be installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn split_frames(codec: Codec, stream: &[u8]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for unit in units(stream) {
        // An access unit delimiter opens each frame and is not sent itself.
        if is_delimiter(codec, unit) {
            frames.push(Vec::new());
        } else if let Some(frame) = frames.last_mut() {
            frame.push(unit.to_vec());
        }
    }
    assert_eq!(frames.len(), 50, "two seconds of frames");
    frames
}

/// The units between start codes.
pub(super) fn units(stream: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<_> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, it)| *it == [0, 0, 1])
        .map(|(n, _)| n)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let unit = &stream[start + 3..end];
            let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            &unit[..length]
        })
        .collect()
}

pub(super) fn is_delimiter(codec: Codec, unit: &[u8]) -> bool {
    match codec {
        Codec::H264 => unit[0] & 0x1f == 9,
        Codec::H265 => (unit[0] >> 1) & 0x3f == 35,
    }
}

/// What a stream of packets is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels {
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

/// Turns frames into RTP packets, for as long as one likes: the footage is repeated.
pub(crate) struct Packets {
    codec: Codec,
    frames: &'static [Frame],
    labels: Labels,
    next: usize,
}

impl Packets {
    pub(crate) fn new(codec: Codec, labels: Labels) -> Self {
        Self::of(codec, frames(codec), labels)
    }

    /// Packets of other frames.
    pub(crate) fn of(codec: Codec, frames: &'static [Frame], labels: Labels) -> Self {
        let next = 0;
        Self {
            codec,
            frames,
            labels,
            next,
        }
    }

    /// The packets of the next frame.
    pub(crate) fn next_frame(&mut self) -> Vec<Vec<u8>> {
        let frame = &self.frames[self.next % self.frames.len()];
        self.next += 1;
        let payloads: Vec<_> = frame.iter().flat_map(|unit| split(self.codec, unit)).collect();
        let last = payloads.len() - 1;
        let packets = payloads
            .into_iter()
            .enumerate()
            .map(|(n, payload)| self.packet(&payload, n == last))
            .collect();
        self.labels.timestamp = self.labels.timestamp.wrapping_add(TICKS);
        packets
    }

    fn packet(&mut self, payload: &[u8], marker: bool) -> Vec<u8> {
        let labels = &mut self.labels;
        let mut packet = vec![0x80, labels.payload_type | if marker { 0x80 } else { 0 }];
        packet.extend(labels.sequence.to_be_bytes());
        packet.extend(labels.timestamp.to_be_bytes());
        packet.extend(labels.ssrc.to_be_bytes());
        packet.extend(payload);
        labels.sequence = labels.sequence.wrapping_add(1);
        packet
    }
}

/// A unit as it is, or in fragments (RFC 6184 FU-A, RFC 7798 FU) when it is too large for a packet.
pub(super) fn split(codec: Codec, unit: &[u8]) -> Vec<Vec<u8>> {
    if unit.len() <= LARGEST {
        return vec![unit.to_vec()];
    }
    let (header, kind, body) = match codec {
        Codec::H264 => (vec![(unit[0] & 0xe0) | 28], unit[0] & 0x1f, &unit[1..]),
        Codec::H265 => (
            vec![(unit[0] & 0x81) | (49 << 1), unit[1]],
            (unit[0] >> 1) & 0x3f,
            &unit[2..],
        ),
    };
    let pieces = body.chunks(LARGEST - 3);
    let last = pieces.len() - 1;
    let fragment = |(n, piece): (usize, &[u8])| {
        let edge = if n == 0 { 0x80 } else { 0 } | if n == last { 0x40 } else { 0 };
        [&header[..], &[edge | kind], piece].concat()
    };
    pieces.enumerate().map(fragment).collect()
}

#[test]
fn the_footage_has_a_keyframe_each_second() {
    for (codec, is_key) in [
        (
            Codec::H264,
            (|unit: &Vec<u8>| unit[0] & 0x1f == 5) as fn(&Vec<u8>) -> bool,
        ),
        (Codec::H265, |unit| (16..=21).contains(&((unit[0] >> 1) & 0x3f))),
    ] {
        let keys: Vec<_> = frames(codec).iter().map(|frame| frame.iter().any(is_key)).collect();
        let places: Vec<_> = keys
            .iter()
            .enumerate()
            .filter(|(_, key)| **key)
            .map(|(n, _)| n)
            .collect();
        assert_eq!(places, [0, 25]);
    }
}
