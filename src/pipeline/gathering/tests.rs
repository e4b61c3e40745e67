//! The same packets to a depayloader, and past it: what comes out has to be the same.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;
use gstreamer_app::AppSink;
use proptest::prelude::*;

use super::*;
use crate::model::Codec;
use crate::pipeline::straight::Straight;

const SOURCE: u32 = 0x1234;
const PAYLOAD: u8 = 96;

/// The element that takes packets, a depayloader behind it, and what comes out of that.
struct Road {
    pipeline: gst::Pipeline,
    straight: Straight,
    entry: gst::Pad,
    sink: AppSink,
    doors: Arc<Doors>,
    /// How many packets the depayloader gets.
    seen: Arc<AtomicU64>,
}

#[derive(PartialEq, Eq)]
struct Unit {
    bytes: Vec<u8>,
    at: u64,
    config: Vec<u8>,
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (begin, end) = (self.bytes.get(..12), self.config.last());
        write!(
            f,
            "{} bytes {begin:x?} at {}, set {end:x?}; ",
            self.bytes.len(),
            self.at / 1_000_000
        )
    }
}

impl Road {
    /// One whose camera described itself as having these parameter sets.
    fn new(codec: Codec, described: &[Vec<u8>]) -> Self {
        gst::init().unwrap();
        let doors = Arc::<Doors>::default();
        let straight = Straight::new(&doors);
        let make = |factory: &str| gst::ElementFactory::make(factory).build().unwrap();
        let name = codec.as_str();
        let (depay, filter) = (make(&format!("rtp{name}depay")), make("capsfilter"));
        let form = if codec == Codec::H264 { "avc" } else { "hvc1" };
        let caps = gst::Caps::builder(format!("video/x-{name}"))
            .field("stream-format", form)
            .field("alignment", "au")
            .build();
        filter.set_property("caps", &caps);
        let sink = AppSink::builder().sync(false).wait_on_eos(false).build();
        let pipeline = gst::Pipeline::new();
        pipeline
            .add_many([straight.upcast_ref(), &depay, &filter, sink.upcast_ref()])
            .unwrap();
        gst::Element::link_many([straight.upcast_ref(), &depay, &filter, sink.upcast_ref()]).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let entry = straight.static_pad("sink").unwrap();
        let mut caps = gst::Caps::builder("application/x-rtp")
            .field("media", "video")
            .field("clock-rate", 90_000)
            .field("payload", i32::from(PAYLOAD))
            .field("encoding-name", name.to_uppercase());
        let told: Vec<_> = described.iter().map(|set| gst::glib::base64_encode(set)).collect();
        if codec == Codec::H264 && !told.is_empty() {
            caps = caps.field("sprop-parameter-sets", told.join(","));
        }
        for (name, set) in ["sprop-vps", "sprop-sps", "sprop-pps"].into_iter().zip(&told) {
            if codec == Codec::H265 {
                caps = caps.field(name, set.as_str());
            }
        }
        let caps = caps.build();
        assert!(entry.send_event(gst::event::StreamStart::new("packets")));
        assert!(entry.send_event(gst::event::Caps::new(&caps)));
        // As the element that stands there in an rtspsrc does.
        let exit = straight.static_pad("src").unwrap();
        assert!(exit.push_event(gst::event::Caps::new(&caps)));
        assert!(entry.send_event(gst::event::Segment::new(&gst::FormattedSegment::<gst::ClockTime>::new())));
        let behind = Behind::of(&exit, &Arc::default(), &Arc::default());
        doors.stands_behind(SOURCE, PAYLOAD, behind.unwrap());
        let seen = Arc::<AtomicU64>::default();
        let sees = seen.clone();
        exit.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            sees.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        Self {
            pipeline,
            straight,
            entry,
            sink,
            doors,
            seen,
        }
    }

    /// All as it is without us.
    fn take(&self, packet: &[u8]) {
        self.entry.chain(buffer(packet).unwrap()).unwrap();
    }

    fn bring(&self, packet: &[u8]) {
        assert!(self.straight.bring(packet, &Header::of(packet).unwrap()));
    }

    fn end(self) -> Vec<Unit> {
        assert!(self.entry.send_event(gst::event::Eos::new()));
        let samples = std::iter::from_fn(|| self.sink.pull_sample().ok());
        let units = samples.map(|sample| {
            let buffer = sample.buffer().unwrap();
            let structure = sample.caps().unwrap().structure(0).unwrap();
            // None comes of units before all sets.
            let config = structure.get::<gst::Buffer>("codec_data").ok();
            Unit {
                bytes: buffer.map_readable().unwrap().to_vec(),
                at: buffer.pts().unwrap().nseconds(),
                config: config.map_or_else(Vec::new, |config| config.map_readable().unwrap().to_vec()),
            }
        });
        let units = units.collect();
        self.pipeline.set_state(gst::State::Null).unwrap();
        drop(self.doors);
        units
    }
}

/// A part of a picture, and how it is packed.
#[derive(Debug, Clone)]
struct Part {
    bytes: Vec<u8>,
    /// Into fragments of so many bytes; all into one packet when it is not longer.
    most: usize,
    /// Into one packet with the next.
    joins: bool,
}

/// What a camera may do with a picture.
#[derive(Debug, Clone)]
struct Picture {
    parts: Vec<Part>,
    /// Its last packet says that it is that.
    is_marked: bool,
    ticks: u32,
    /// Which packets say that as well, which it loses, and which it sends twice.
    marks: Vec<usize>,
    loses: Vec<usize>,
    repeats: Vec<usize>,
    /// Its packets have an extension, and bytes behind them that mean nothing.
    is_padded: bool,
}

fn packed(codec: Codec, parts: &[Part]) -> Vec<Vec<u8>> {
    let mut packed = Vec::new();
    let mut joined: Vec<&[u8]> = Vec::new();
    for part in parts {
        if part.joins || (!joined.is_empty() && part.bytes.len() <= part.most) {
            joined.push(&part.bytes);
        }
        if part.joins {
            continue;
        }
        let is_in = joined.last().is_some_and(|last| std::ptr::eq(*last, &part.bytes[..]));
        if !joined.is_empty() {
            packed.push(together(codec, &std::mem::take(&mut joined)));
        }
        if !is_in {
            packed.append(&mut alone(codec, part));
        }
    }
    if !joined.is_empty() {
        packed.push(together(codec, &joined));
    }
    packed
}

fn together(codec: Codec, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = if codec == Codec::H264 {
        vec![24]
    } else {
        vec![48 << 1, 1]
    };
    for part in parts {
        bytes.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn alone(codec: Codec, part: &Part) -> Vec<Vec<u8>> {
    let head = if codec == Codec::H264 { 1 } else { 2 };
    if part.bytes.len() <= part.most + head {
        return vec![part.bytes.clone()];
    }
    let (header, body) = part.bytes.split_at(head);
    let last = body.len().div_ceil(part.most) - 1;
    let fragment = |(n, piece): (usize, &[u8])| {
        let flags = if n == 0 { 0x80 } else { 0 } | if n == last { 0x40 } else { 0 };
        let begin = match codec {
            Codec::H264 => vec![header[0] & 0xe0 | 28, flags | header[0] & 0x1f],
            Codec::H265 => vec![49 << 1, header[1], flags | header[0] >> 1 & 0x3f],
        };
        [&begin, piece].concat()
    };
    body.chunks(part.most).enumerate().map(fragment).collect()
}

/// The packets of pictures, from this number on.
fn packets(codec: Codec, pictures: &[Picture], mut number: u16) -> Vec<Vec<u8>> {
    let (mut packets, mut ticks) = (Vec::new(), 900_000u32);
    for picture in pictures {
        ticks = ticks.wrapping_add(picture.ticks);
        let packed = packed(codec, &picture.parts);
        let last = packed.len().saturating_sub(1);
        for (n, carried) in packed.into_iter().enumerate() {
            let is_marked = picture.is_marked && n == last || picture.marks.contains(&n);
            let first = if picture.is_padded { 0xb0 } else { 0x80 };
            let mut packet = vec![first, PAYLOAD | if is_marked { 0x80 } else { 0 }];
            packet.extend_from_slice(&number.to_be_bytes());
            packet.extend_from_slice(&ticks.to_be_bytes());
            packet.extend_from_slice(&SOURCE.to_be_bytes());
            if picture.is_padded {
                packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
            }
            packet.extend_from_slice(&carried);
            if picture.is_padded {
                packet.extend_from_slice(&[0, 0, 3]);
            }
            number = number.wrapping_add(1);
            if !picture.loses.contains(&n) {
                packets.push(packet.clone());
            }
            if picture.repeats.contains(&n) {
                packets.push(packet);
            }
        }
    }
    packets
}

/// Parameter sets that a decoder can read, of a kind: two bits for those of a picture, two for those of a sequence.
fn sets(codec: Codec, kind: u8) -> Vec<Vec<u8>> {
    let hex = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    };
    let texts: &[&str] = match codec {
        Codec::H264 => &["6742c01fda014016ec05a808080a000003000200000300651e306540", "68ce3c80"],
        Codec::H265 => &[
            "40010c01ffff01600000030090000003000003005dba0240",
            "42010101600000030090000003000003005da00280802d165ba4a4c2fff000100016a0202020800000030080000\
             00c84",
            "4401c0718112",
        ],
    };
    let mut sets: Vec<Vec<u8>> = texts.iter().map(|text| hex(text)).collect();
    // What stands last in each is of no consequence to whoever does not decode.
    for (set, kind) in sets.iter_mut().rev().zip([kind & 3, kind >> 2 & 3]) {
        *set.last_mut().unwrap() ^= kind;
    }
    sets
}

/// A piece of a picture.
fn slice(codec: Codec, is_key: bool, is_first: bool, length: usize, fill: u8) -> Vec<u8> {
    let begin: &[u8] = match (codec, is_key) {
        (Codec::H264, true) => &[0x65],
        (Codec::H264, false) => &[0x41],
        (Codec::H265, true) => &[19 << 1, 1],
        (Codec::H265, false) => &[1 << 1, 1],
    };
    let head = if is_first { 0x88 } else { 0x18 };
    let body = (0..length).map(|n| fill.wrapping_mul(31).wrapping_add(n as u8) | 1);
    begin.iter().copied().chain([head]).chain(body).collect()
}

/// What stands before a picture: a delimiter or what somebody has to say about it.
fn before(codec: Codec, delimits: bool) -> Vec<u8> {
    match (codec, delimits) {
        (Codec::H264, true) => vec![9, 0x10],
        (Codec::H264, false) => vec![6, 5, 1, 0x77, 0x80],
        (Codec::H265, true) => vec![35 << 1, 1, 0x50],
        (Codec::H265, false) => vec![39 << 1, 1, 5, 1, 0x77, 0x80],
    }
}

/// What stands behind a picture, or anywhere.
fn behind(codec: Codec) -> Vec<u8> {
    match codec {
        Codec::H264 => vec![12, 0xff, 0xff, 0x80],
        Codec::H265 => vec![38 << 1, 1, 0xff, 0x80],
    }
}

/// Of what pictures are like: what is in them, of which sizes, what happens to them, and what else.
type Chances = (
    (bool, bool, bool, u8, usize),
    (usize, u8, usize, bool),
    (bool, bool, bool, bool, bool, usize),
    (u8, bool, bool, bool, u32),
);

fn pictures(codec: Codec) -> impl Strategy<Value = Vec<Picture>> {
    let rare = |most: u32| (0..most).prop_map(|n| n == 0);
    let usual = move || {
        (
            (rare(4), rare(3), rare(3), 0u8..40, 0usize..4),
            (1usize..400, any::<u8>(), 2usize..90, rare(3)),
            (rare(20), rare(12), rare(12), rare(12), rare(12), 0usize..6),
            (0u8..20, rare(30), rare(2), rare(8), 0u32..8),
        )
    };
    let picture = move |(kinds, sizes, troubles, other): Chances| {
        let (is_key, delimits, says, kind, slices) = kinds;
        let (length, fill, most, joins) = sizes;
        let (is_unmarked, marks, loses, repeats, is_padded, which) = troubles;
        let (lacks_sets, begins_late, repeats_sets, is_filled, ticks) = other;
        let part = |bytes: Vec<u8>, joins: bool| Part { bytes, most, joins };
        let mut parts = Vec::new();
        if delimits {
            parts.push(part(before(codec, true), joins));
        }
        if is_key {
            // Now and then others than before, and now and then not all of them.
            let sets = sets(codec, if kind < 16 { kind } else { 0 });
            let comes = |n: &usize| lacks_sets >> n & 1 == 0 || lacks_sets >= 8;
            let sets = sets.into_iter().enumerate().filter(|(n, _)| comes(n));
            parts.extend(sets.map(|(_, set)| part(set, joins)));
        }
        if says {
            parts.push(part(before(codec, false), false));
        }
        for n in 0..slices {
            if n > 0 && is_key && repeats_sets {
                parts.extend(self::sets(codec, 0).into_iter().map(|set| part(set, joins)));
            }
            let (is_first, fill) = (n == 0 && !begins_late, fill.wrapping_add(n as u8));
            parts.push(part(slice(codec, is_key, is_first, length, fill), false));
        }
        if is_filled {
            parts.push(part(behind(codec), joins));
        }
        let only = |is: bool| if is { vec![which] } else { Vec::new() };
        Picture {
            parts,
            is_marked: !is_unmarked,
            // Two pictures of one time happen too.
            ticks: if ticks == 0 { 0 } else { 3600 },
            marks: only(marks),
            loses: only(loses),
            repeats: only(repeats),
            is_padded,
        }
    };
    proptest::collection::vec(usual().prop_map(picture), 1..40)
}

/// A picture as each stream begins with one.
fn first(codec: Codec) -> Picture {
    // With all that a decoder has to know in front of each of its two pieces, as some send it.
    let piece = |n: u8| sets(codec, 0).into_iter().chain([slice(codec, true, n == 0, 300, n)]);
    let parts = piece(0).chain(piece(1));
    Picture {
        parts: parts
            .map(|bytes| Part {
                bytes,
                most: 80,
                joins: false,
            })
            .collect(),
        is_marked: true,
        ticks: 0,
        marks: Vec::new(),
        loses: Vec::new(),
        repeats: Vec::new(),
        is_padded: false,
    }
}

/// How a stream begins.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    /// The number of its first packet.
    number: u16,
    /// The camera has told beforehand what a decoder has to know.
    is_described: bool,
    /// With a keyframe and all that.
    with_a_keyframe: bool,
}

impl Beginning {
    /// As a camera begins when all goes well.
    fn usual(number: u16) -> Self {
        Self {
            number,
            is_described: false,
            with_a_keyframe: true,
        }
    }
}

fn beginnings() -> impl Strategy<Value = Beginning> {
    (any::<u16>(), any::<bool>(), any::<bool>()).prop_map(|(number, is_described, with_a_keyframe)| Beginning {
        number,
        is_described,
        with_a_keyframe,
    })
}

fn comes_out_the_same(codec: Codec, pictures: &[Picture], begins: Beginning) -> Result<(u64, usize), TestCaseError> {
    let first = begins.with_a_keyframe.then(|| first(codec));
    let all: Vec<Picture> = first.into_iter().chain(pictures.iter().cloned()).collect();
    let packets = packets(codec, &all, begins.number);
    let described = if begins.is_described {
        sets(codec, 0)
    } else {
        Vec::new()
    };
    let (long, short) = (Road::new(codec, &described), Road::new(codec, &described));
    for packet in &packets {
        long.take(packet);
        short.bring(packet);
    }
    let seen = short.seen.clone();
    let (short, long) = (short.end(), long.end());
    let passed = packets.len() as u64 - seen.load(Ordering::Relaxed);
    let said = || {
        packets
            .iter()
            .map(|packet| format!("{packet:02x?}\n"))
            .collect::<String>()
    };
    prop_assert_eq!(short, long, "of\n{}", said());
    Ok((passed, packets.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pictures_of_h264_come_out_as_the_depayloader_makes_them(pictures in pictures(Codec::H264), begins in beginnings()) {
        comes_out_the_same(Codec::H264, &pictures, begins)?;
    }

    #[test]
    fn pictures_of_h265_come_out_as_the_depayloader_makes_them(pictures in pictures(Codec::H265), begins in beginnings()) {
        comes_out_the_same(Codec::H265, &pictures, begins)?;
    }
}

#[test]
fn nearly_all_pictures_of_a_usual_camera_go_past_the_depayloader() {
    for codec in [Codec::H264, Codec::H265] {
        let mut pictures = vec![first(codec)];
        for n in 1..50u8 {
            let mut picture = first(codec);
            if n % 10 != 0 {
                picture.parts = vec![Part {
                    bytes: slice(codec, false, true, 500, n),
                    most: 80,
                    joins: false,
                }];
            }
            picture.ticks = 3600;
            pictures.push(picture);
        }
        let (passed, packets) = comes_out_the_same(codec, &pictures, Beginning::usual(65_500)).unwrap();
        let begins = packed(codec, &first(codec).parts).len();
        // But for the first, which the depayloader has to see to know what comes.
        assert_eq!(passed as usize, packets - begins, "{codec:?}");
    }
}

#[test]
fn the_depayloader_still_takes_packets_when_it_has_not_had_any_for_whole_rounds_of_numbers() {
    let codec = Codec::H264;
    // How far numbers went around when it is asked again: it takes those that are a little behind for old ones.
    for missed in [40_000u32, 65_480, 65_530, 65_536, 131_000] {
        let small = Picture {
            parts: vec![Part {
                bytes: slice(codec, false, true, 5, 7),
                most: 80,
                joins: false,
            }],
            ticks: 3600,
            ..first(codec)
        };
        let mut pictures = vec![small.clone(); missed as usize];
        // The picture that does not say that it ends goes the long way, with that behind it.
        let unmarked = Picture {
            is_marked: false,
            ..small.clone()
        };
        pictures.extend([small.clone(), unmarked, small.clone(), small]);
        let (passed, packets) = comes_out_the_same(codec, &pictures, Beginning::usual(0)).unwrap();
        assert_eq!(passed as usize, packets - packed(codec, &first(codec).parts).len() - 2);
    }
}

/// A picture of these parts, each in as many packets of 80 bytes as it needs.
fn picture(parts: impl IntoIterator<Item = Vec<u8>>) -> Picture {
    let part = |bytes| Part {
        bytes,
        most: 80,
        joins: false,
    };
    Picture {
        parts: parts.into_iter().map(part).collect(),
        ticks: 3600,
        ..first(Codec::H264)
    }
}

#[test]
fn one_set_that_changes_is_heard_of_although_its_packet_says_that_it_ends_a_picture() {
    for codec in [Codec::H264, Codec::H265] {
        let small = |n: u8| picture([slice(codec, false, true, 300, n)]);
        let keyframe = picture([slice(codec, true, true, 300, 9)]);
        let changed = picture(sets(codec, 1).pop());
        // The last set says that it ends a picture, and so does one that is known already.
        let known = picture(sets(codec, 1).into_iter().take(1));
        let pictures = [small(1), changed, known, keyframe, small(2), small(3)];
        let (passed, packets) = comes_out_the_same(codec, &pictures, Beginning::usual(7)).unwrap();
        let long: usize = [&pictures[1..4], &[first(codec)]]
            .concat()
            .iter()
            .map(|picture| packed(codec, &picture.parts).len())
            .sum();
        assert_eq!(passed as usize, packets - long, "{codec:?}");
    }
}

#[test]
fn nothing_goes_past_the_depayloader_before_it_has_handed_on_anything() {
    for codec in [Codec::H264, Codec::H265] {
        let begins = Beginning {
            number: 1,
            is_described: true,
            with_a_keyframe: false,
        };
        // All that a decoder has to know has been told, and comes again in a packet of its own.
        let pictures = [
            picture(sets(codec, 0).pop()),
            picture([slice(codec, true, true, 300, 9)]),
            picture([slice(codec, false, true, 300, 9)]),
        ];
        let (passed, _) = comes_out_the_same(codec, &pictures, begins).unwrap();
        let last = packed(codec, &pictures[2].parts).len();
        assert_eq!(passed as usize, last, "{codec:?}");
    }
}

#[test]
fn a_picture_in_very_many_packets_goes_on_without_waiting_for_its_end() {
    let endless = Picture {
        parts: vec![Part {
            bytes: slice(Codec::H264, false, true, 2 * MOST_PACKETS, 1),
            most: 1,
            joins: false,
        }],
        ..picture([])
    };
    let after = picture([slice(Codec::H264, false, true, 70, 2)]);
    let (passed, _) = comes_out_the_same(Codec::H264, &[endless, after], Beginning::usual(3)).unwrap();
    assert_eq!(passed, 1);
}
