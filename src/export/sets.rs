//! Parameter sets, as the configuration of a decoder holds them: what is needed so that pictures of two encoders stand in
//! one track.
//!
//! H.264 numbers its sets, so those of both can be known from the beginning, each under its own number. Encoders of H.265
//! use one number always; there the sets stand in the stream, in front of each keyframe whose decoder may know the others.

use bytes::Bytes;

use crate::model::{AvcConfig, Bits, HevcConfig, in_units};
use crate::pipeline::Sampling;

/// What `avcC` holds, to be held together with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Avc(AvcConfig);

impl Avc {
    /// Reads the body of `avcC`.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        AvcConfig::read(bytes).map(Self)
    }

    /// How many bytes tell how long a part of a unit is.
    pub(super) fn length(&self) -> u8 {
        self.0.length
    }

    /// The profile's number.
    pub(super) fn profile(&self) -> u8 {
        self.0.head[1]
    }

    /// How its pictures are sampled, as its first set says.
    pub(super) fn sampling(&self) -> Option<Sampling> {
        let set = self.0.sequence.first()?;
        // Profiles below these have one way only, and do not say it.
        const SAID_BY: [u8; 13] = [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244];
        if !SAID_BY.contains(set.get(1)?) {
            return Some(Sampling::USUAL);
        }
        let mut bits = Bits::of(set.get(4..)?);
        bits.golomb()?;
        let chroma = bits.golomb()?;
        if chroma == 3 {
            bits.skip(1)?;
        }
        let bits = [bits.golomb()? + 8, bits.golomb()? + 8];
        Some(Sampling { chroma, bits })
    }

    /// A number that none of its sets has; nothing when all are taken.
    pub(super) fn free_number(&self) -> Option<u32> {
        // Behind the unit's first byte stand three of profile and level in the one kind, nothing in the other.
        let sequence = self.0.sequence.iter().map(|set| set.get(4..).and_then(golomb));
        let picture = self.0.picture.iter().map(|set| set.get(1..).and_then(golomb));
        let taken: Vec<Option<u32>> = sequence.chain(picture).collect();
        (1..32).find(|number| !taken.contains(&Some(*number)))
    }

    /// Its own sets and those of another.
    pub(super) fn with(&self, other: &Self) -> Option<Vec<u8>> {
        let mut out = self.0.head.to_vec();
        out.push(0xfc | (self.0.length - 1));
        for (mark, most, lists) in [
            (0xe0u8, 31, [&self.0.sequence, &other.0.sequence]),
            (0, 255, [&self.0.picture, &other.0.picture]),
        ] {
            let sets: Vec<&Bytes> = lists.into_iter().flatten().collect();
            let count = u8::try_from(sets.len()).ok().filter(|count| *count <= most)?;
            out.push(mark | count);
            for set in sets {
                out.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
                out.extend_from_slice(set);
            }
        }
        out.extend_from_slice(&self.0.rest);
        Some(out)
    }
}

/// The first number of a bit string.
fn golomb(bytes: &[u8]) -> Option<u32> {
    Bits::of(bytes).golomb()
}

/// How pictures are sampled that these sets describe, in the body of `hvcC`.
pub(super) fn hevc_sampling(bytes: &[u8]) -> Option<Sampling> {
    let &[chroma, luma_bits, chroma_bits] = bytes.get(16..19)? else {
        return None;
    };
    Some(Sampling {
        chroma: u32::from(chroma & 3),
        bits: [luma_bits, chroma_bits].map(|bits| u32::from(bits & 7) + 8),
    })
}

/// The sets in the body of `hvcC`, as they stand in a stream whose units tell their length in four bytes. Nothing when the
/// units tell it otherwise.
pub(super) fn hevc_sets(bytes: &[u8]) -> Option<Bytes> {
    let config = HevcConfig::read(bytes).filter(|config| config.length == 4)?;
    in_units(&config.sets, config.length).map(Bytes::from)
}

/// A sample entry of pictures with another name, and another configuration in place of its own.
pub(super) fn entry_with(entry: &[u8], kind: [u8; 4], config_kind: [u8; 4], config: &[u8]) -> Option<Bytes> {
    // The box's own eight bytes, and 78 of the entry before its boxes.
    const FIXED: usize = 86;
    let mut out = entry.get(..FIXED)?.to_vec();
    out.get_mut(4..8)?.copy_from_slice(&kind);
    let mut rest = entry.get(FIXED..)?;
    let mut found = false;
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let (one, after) = rest.split_at_checked(length.max(8))?;
        if one.get(4..8)? == config_kind {
            out.extend_from_slice(&u32::try_from(config.len() + 8).ok()?.to_be_bytes());
            out.extend_from_slice(&config_kind);
            out.extend_from_slice(config);
            found = true;
        } else {
            out.extend_from_slice(one);
        }
        rest = after;
    }
    let length = u32::try_from(out.len()).ok()?.to_be_bytes();
    out.get_mut(..4)?.copy_from_slice(&length);
    found.then(|| out.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// High profile, sets of the number 0, four bytes of what that profile has behind them.
    const ZERO: [u8; 23] = [
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, 0x1f, 0xac, 1, 0, 2, 0x68, 0xee, 0xfd, 0xf8, 0xf8, 0, 7,
    ];
    /// The same with sets of the number 3 (00100 in bits).
    const THREE: [u8; 19] = [
        1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 5, 0x67, 0x64, 0, 0x1f, 0x20, 1, 0, 2, 0x68, 0x20, 0,
    ];

    #[test]
    fn sets_of_two_encoders_stand_side_by_side_under_their_own_numbers() {
        let (zero, three) = (Avc::read(&ZERO).unwrap(), Avc::read(&THREE[..18]).unwrap());
        assert_eq!(zero.length(), 4);
        assert_eq!((zero.free_number(), zero.profile()), (Some(1), 100));
        let both = Avc::read(&zero.with(&three).unwrap()).unwrap();
        assert_eq!((both.0.sequence.len(), both.0.picture.len()), (2, 2));
        assert_eq!(both.0.rest, &ZERO[18..]);
        assert_eq!(both.0.sequence[1], three.0.sequence[0]);
        assert_eq!(golomb(&[0x20]), Some(3));
        assert_eq!(golomb(&[0xee]), Some(0));
        assert_eq!(golomb(&[0, 0, 0]), None);
    }

    #[test]
    fn depth_and_sampling_are_read_from_the_sets() {
        let avc = |set: &[u8]| {
            let mut config = vec![1, set[1], 0, 0x1f, 0xff, 0xe1, 0, set.len() as u8];
            config.extend_from_slice(set);
            config.push(0);
            Avc::read(&config).unwrap().sampling()
        };
        let sampling = |chroma, luma, of_chroma| {
            let bits = [luma, of_chroma];
            Some(Sampling { chroma, bits })
        };
        assert_eq!(avc(&[0x67, 66, 0, 30, 0xff]), Some(Sampling::USUAL));
        // Number 0, then 1 (4:2:0), 2 more bits each; 2 (4:2:2) and none; 3 (4:4:4) and a bit, 2 and 1.
        assert_eq!(avc(&[0x67, 110, 0, 30, 0b1010_0110, 0b1111_1111]), sampling(1, 10, 10));
        assert_eq!(avc(&[0x67, 122, 0, 30, 0b1011_1111]), sampling(2, 8, 8));
        assert_eq!(avc(&[0x67, 244, 0, 30, 0b1001_0000, 0b1101_0000]), sampling(3, 10, 9));
        assert_eq!(avc(&[0x67, 100, 0]), None);
        let mut hevc = vec![0; 19];
        hevc[16..].copy_from_slice(&[0xfe, 0xfa, 0xfa]);
        assert_eq!(hevc_sampling(&hevc), sampling(2, 10, 10));
        assert_eq!(hevc_sampling(&hevc[..18]), None);
    }

    #[test]
    fn an_entry_keeps_what_it_says_beside_its_configuration() {
        let mut entry = vec![0, 0, 0, 0];
        entry.extend_from_slice(b"avc1");
        entry.extend_from_slice(&[5; 78]);
        let fixed = entry.clone();
        for (kind, body) in [(b"pasp", &[1u8; 8][..]), (b"avcC", &[2; 3]), (b"colr", &[3; 7])] {
            entry.extend_from_slice(&(body.len() as u32 + 8).to_be_bytes());
            entry.extend_from_slice(kind);
            entry.extend_from_slice(body);
        }
        let made = entry_with(&entry, *b"avc3", *b"avcC", &[9; 30]).unwrap();
        assert_eq!(u32::from_be_bytes(made[..4].try_into().unwrap()) as usize, made.len());
        assert_eq!(&made[4..8], b"avc3");
        assert_eq!(&made[8..86], &fixed[8..]);
        let text = |wanted: &[u8]| made.windows(wanted.len()).any(|window| window == wanted);
        assert!(text(b"pasp") && text(b"colr") && text(&[9; 30]) && !text(&[2, 2, 2]));
        assert_eq!(entry_with(&fixed, *b"avc3", *b"avcC", &[9]), None);
    }

    proptest! {
        #[test]
        fn what_is_no_configuration_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Avc::read(&bytes).map(|avc| (avc.free_number(), avc.sampling(), avc.with(&avc)));
            let _ = hevc_sampling(&bytes);
            let _ = (hevc_sets(&bytes), entry_with(&bytes, *b"hev1", *b"hvcC", &[]), golomb(&bytes));
        }
    }
}
