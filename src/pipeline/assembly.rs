//! Makes an access unit of the packets of one picture, as a depayloader does (RFC 6184, RFC 7798). Pure.
//!
//! Only of pictures with nothing out of the ordinary: what is not sure to come out as the depayloader would have it is left
//! to the depayloader.

use bytes::Bytes;

use crate::model::{AvcConfig, Codec, HevcConfig};

use super::reception::Header;
use super::room::Room;

/// For so many packets it is remembered without asking for memory where they stand: a keyframe of a usual picture.
const PLACES_KEPT: usize = 256;

/// Packets that follow one another, as they came.
#[derive(Debug, Default)]
pub(super) struct Packets {
    bytes: Room,
    places: Vec<Place>,
}

/// Where a packet stands among the bytes, and what it carries.
#[derive(Debug, Clone, Copy)]
struct Place {
    begins: usize,
    carries: (usize, usize),
}

impl Packets {
    pub(super) fn push(&mut self, packet: &[u8], header: &Header) {
        if self.is_empty() {
            self.bytes = Room::empty();
        }
        let begins = self.bytes.len();
        let (from, until) = header.carries;
        self.places.push(Place {
            begins,
            carries: (begins + from, begins + until),
        });
        self.bytes.extend_from_slice(packet);
    }

    /// Forgets them. Their room is left for the next picture, of whichever camera.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.places.shrink_to(PLACES_KEPT);
        self.bytes = Room::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Their bytes, all together.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.places.iter().skip(1).map(|next| next.begins);
        let places = self.places.iter().zip(ends.chain([self.bytes.len()]));
        places.filter_map(|(place, end)| self.bytes.get(place.begins..end))
    }

    fn carried(&self) -> impl Iterator<Item = &[u8]> {
        self.places
            .iter()
            .filter_map(|place| self.bytes.get(place.carries.0..place.carries.1))
    }
}

/// What an access unit is made for: how it is encoded, and what a decoder knows already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    codec: Codec,
    sets: Vec<Bytes>,
}

/// What packets of a picture come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// The access unit, in which each part has its length in four bytes before it; without parameter sets, which are known.
    /// Nothing is in it when there was nothing else.
    pub(super) unit: Room,
    /// It begins a group of pictures.
    pub(super) is_keyframe: bool,
}

impl Form {
    /// Reads what a decoder knows: the body of `avcC` or `hvcC`. Nothing when the parts of a unit have their lengths in another
    /// form.
    pub(super) fn read(codec: Codec, config: &[u8]) -> Option<Self> {
        let (length, sets) = match codec {
            Codec::H264 => {
                let AvcConfig {
                    length,
                    mut sequence,
                    mut picture,
                    ..
                } = AvcConfig::read(config)?;
                sequence.append(&mut picture);
                (length, sequence)
            }
            Codec::H265 => HevcConfig::read(config).map(|config| (config.length, config.sets))?,
        };
        (length == 4).then_some(Self { codec, sets })
    }

    /// Makes an access unit of packets that end with the last one of a picture; nothing when that is the depayloader's to do.
    pub(super) fn make(&self, packets: &Packets) -> Option<Made> {
        let mut bytes = Room::empty();
        bytes.reserve(packets.len() + 4 * packets.count());
        let mut making = Making {
            form: self,
            bytes,
            fragmented: None,
            has_picture: false,
            is_keyframe: false,
            ends_with_set: false,
        };
        packets.carried().try_for_each(|carried| making.take(carried))?;
        // Behind a set it waits for more of the picture, whatever the packet says.
        let is_whole = making.fragmented.is_none() && making.has_picture && !making.ends_with_set;
        (is_whole || making.bytes.is_empty()).then_some(Made {
            unit: making.bytes,
            is_keyframe: making.is_keyframe,
        })
    }
}

/// Of a packet that carries a fragment of a part: whether it is the first, and whether it is the last.
pub(super) fn fragment(codec: Codec, carried: &[u8]) -> Option<(bool, bool)> {
    let at = match (codec, kind(codec, carried)?) {
        (Codec::H264, 28 | 29) => 1,
        (Codec::H265, 49) => 2,
        _ => return None,
    };
    let head = carried.get(at)?;
    Some((head & 0x80 != 0, head & 0x40 != 0))
}

/// Whether a packet that is the last one of a picture has the depayloader hand on all that it has. One that ends with a
/// parameter set does not: what is said of units, and units that wait, follow with the next picture.
pub(super) fn completes(codec: Codec, carried: &[u8]) -> bool {
    let last = match (codec, kind(codec, carried)) {
        (Codec::H264, Some(28)) => carried.get(1).map(|head| head & 0x1f),
        (Codec::H265, Some(49)) => carried.get(2).map(|head| head & 0x3f),
        (Codec::H264, Some(24)) => carried.get(1..).and_then(last_of).and_then(|part| kind(codec, part)),
        (Codec::H265, Some(48)) => carried.get(2..).and_then(last_of).and_then(|part| kind(codec, part)),
        (_, kind) => kind,
    };
    match codec {
        Codec::H264 => matches!(last, Some(1 | 5)),
        Codec::H265 => matches!(last, Some(0..=9 | 16..=21)),
    }
}

/// The last of several parts in one packet.
fn last_of(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, after) = rest.split_first_chunk()?;
        let (part, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if after.is_empty() {
            return Some(part);
        }
        rest = after;
    }
}

/// An access unit that is being made.
struct Making<'a> {
    form: &'a Form,
    bytes: Room,
    /// Where a part begins of which the rest is still to come.
    fragmented: Option<usize>,
    has_picture: bool,
    is_keyframe: bool,
    ends_with_set: bool,
}

/// What a part of a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A piece of a picture, maybe its first, maybe of one that begins a group.
    Slice { is_first: bool, is_key: bool },
    /// A parameter set.
    Set,
    /// What stands before a picture.
    Before,
    /// What stands anywhere, or behind a picture.
    Anywhere,
}

impl Making<'_> {
    /// Takes what a packet carries; nothing when it is out of the ordinary.
    fn take(&mut self, carried: &[u8]) -> Option<()> {
        let kind = kind(self.form.codec, carried)?;
        match (self.form.codec, kind) {
            (Codec::H264, 28) => {
                let &[indicator, head, ref rest @ ..] = carried else {
                    return None;
                };
                self.fragment(head, &[indicator & 0xe0 | head & 0x1f], rest)
            }
            (Codec::H265, 49) => {
                let &[first, second, head, ref rest @ ..] = carried else {
                    return None;
                };
                self.fragment(head, &[first & 0x81 | (head & 0x3f) << 1, second], rest)
            }
            (Codec::H264, 24) => self.several(carried.get(1..)?),
            (Codec::H265, 48) => self.several(carried.get(2..)?),
            (Codec::H264, 1..24) | (Codec::H265, 0..48) => {
                let begins = self.begin()?;
                self.bytes.extend_from_slice(carried);
                self.end(begins)
            }
            _ => None,
        }
    }

    /// Several parts in one packet, each with its length before it.
    fn several(&mut self, mut rest: &[u8]) -> Option<()> {
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk()?;
            let (part, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let begins = self.begin()?;
            self.bytes.extend_from_slice(part);
            self.end(begins)?;
            rest = after;
        }
        Some(())
    }

    /// A part in several packets. The first and the last of them say so.
    fn fragment(&mut self, head: u8, header: &[u8], rest: &[u8]) -> Option<()> {
        let (is_first, is_last) = (head & 0x80 != 0, head & 0x40 != 0);
        let begins = match self.fragmented {
            None if is_first && !is_last => {
                let begins = self.begin()?;
                self.bytes.extend_from_slice(header);
                begins
            }
            // Each says again what it is a fragment of.
            Some(begins) if !is_first && self.bytes.get(begins + 4..)?.starts_with(header) => begins,
            _ => return None,
        };
        self.bytes.extend_from_slice(rest);
        self.fragmented = Some(begins).filter(|_| !is_last);
        if is_last { self.end(begins) } else { Some(()) }
    }

    /// Makes room for a part's length.
    fn begin(&mut self) -> Option<usize> {
        let begins = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.fragmented.is_none().then_some(begins)
    }

    /// A part is whole: whether it belongs where it stands.
    fn end(&mut self, begins: usize) -> Option<()> {
        let (length, part) = self.bytes.get_mut(begins..)?.split_first_chunk_mut::<4>()?;
        *length = u32::try_from(part.len()).ok()?.to_be_bytes();
        let kind = self::part(self.form.codec, part)?;
        self.ends_with_set = kind == Part::Set;
        match kind {
            Part::Slice { is_first, .. } if is_first == self.has_picture => return None,
            Part::Slice { is_key, .. } => {
                self.has_picture = true;
                self.is_keyframe |= is_key;
            }
            // Some repeat them before each piece of a picture.
            Part::Set if self.form.sets.iter().any(|known| known == part) => self.bytes.truncate(begins),
            Part::Set => return None,
            // The next picture begins here, although nothing said that one ended.
            Part::Before if self.has_picture => return None,
            Part::Before | Part::Anywhere => {}
        }
        Some(())
    }
}

/// The number in a part's header, or in a packet's, which looks the same.
fn kind(codec: Codec, part: &[u8]) -> Option<u8> {
    match codec {
        Codec::H264 => part.first().map(|first| first & 0x1f),
        Codec::H265 => part.first().map(|first| first >> 1 & 0x3f),
    }
}

/// What a whole part is; nothing when it is out of the ordinary.
fn part(codec: Codec, part: &[u8]) -> Option<Part> {
    match codec {
        Codec::H264 => {
            let is_first = part.get(1)? & 0x80 != 0;
            Some(match kind(codec, part)? {
                1 => Part::Slice {
                    is_first,
                    is_key: false,
                },
                5 => Part::Slice { is_first, is_key: true },
                6 | 9 => Part::Before,
                7 | 8 => Part::Set,
                12 => Part::Anywhere,
                _ => return None,
            })
        }
        Codec::H265 => {
            let &[first, second, third, ..] = part else { return None };
            if first & 1 != 0 || second >> 3 != 0 {
                // A layer over the pictures that everybody sees.
                return None;
            }
            let is_first = third & 0x80 != 0;
            Some(match kind(codec, part)? {
                0..=9 => Part::Slice {
                    is_first,
                    is_key: false,
                },
                16..=21 => Part::Slice { is_first, is_key: true },
                32..=34 => Part::Set,
                35 | 39 => Part::Before,
                38 | 40 => Part::Anywhere,
                _ => return None,
            })
        }
    }
}

#[cfg(test)]
mod tests;
