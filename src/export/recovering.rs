//! Streams without keyframes: the camera refreshes its pictures bit by bit, and says where that begins and how many pictures
//! it takes until all of it is right (the recovery point of H.264). A parser calls the first of these pictures a keyframe,
//! and a decoder shows nothing before the last.

use std::io::Read;

use super::strip::Strip;
use super::table::Frame;
use crate::model::{Bits, Codec, Span, Timestamp};
use crate::storage::Reel;

/// So much of a picture is looked at: what is said of it stands before it.
const LOOKED_AT: u64 = 4096;

/// Where decoding begins so that a picture is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning {
    /// The number of the picture that decoding begins with.
    pub(super) at: usize,
    /// Pictures are right from here on.
    pub(super) right: Timestamp,
}

impl Strip {
    /// Where decoding has to begin for the picture of this number. Where the strip does not reach back far enough, pictures are
    /// right only some time after it.
    pub(super) fn beginning(&self, number: usize) -> Option<Beginning> {
        let shown = self.frames.get(number)?.wall;
        let before = self.frames.iter().enumerate().take(number + 1).rev();
        let keyframes = before.filter(|(_, frame)| frame.keyframe && frame.wall <= shown);
        nearest(
            shown,
            keyframes.map(|(at, _)| Beginning {
                at,
                right: self.right_from(at),
            }),
        )
    }

    /// From when on pictures are right when decoding begins with a keyframe.
    pub(super) fn right_from(&self, keyframe: usize) -> Timestamp {
        let mut behind = self.frames.iter().skip(keyframe);
        let Some(first) = behind.next() else { return self.end };
        let mut newest = first.wall;
        let mut left = match self.start_at(first) {
            Start::Fresh => 0,
            Start::Recovers(pictures) => pictures,
        };
        while left > 0 {
            // The camera counts pictures that others refer to. Each that is shown behind all before it is one of them.
            let Some(next) = behind.find(|frame| frame.wall > newest) else {
                return self.end;
            };
            (newest, left) = (next.wall, left - 1);
        }
        newest
    }

    /// How decoding can begin with a keyframe.
    pub(super) fn start_at(&self, keyframe: &Frame) -> Start {
        if self.look.codec != Codec::H264 || self.retaken {
            return Start::Fresh;
        }
        let reel = Reel::new(vec![self.piece(keyframe)]);
        let mut head = Vec::new();
        let reader = reel.reader(0..reel.size_bytes().min(LOOKED_AT));
        // What could be read tells.
        let _ = reader.take(LOOKED_AT).read_to_end(&mut head);
        start(&head).unwrap_or(Start::Fresh)
    }
}

/// How decoding can begin with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// It needs nothing of before, and a decoder forgets all of that.
    Fresh,
    /// Pictures are right this many later. A decoder goes on to count from those before it.
    Recovers(u32),
}

/// Where pictures are torn that are right only later.
pub(super) fn torn_between(first: Timestamp, right: Timestamp) -> Option<Span> {
    (right > first).then(|| Span::new(first, right))
}

/// Of keyframes before a picture, the nearest one first, that with which decoding begins.
pub(super) fn nearest(shown: Timestamp, keyframes: impl Iterator<Item = Beginning>) -> Option<Beginning> {
    let mut found: Option<Beginning> = None;
    for keyframe in keyframes {
        if found.is_none_or(|found| keyframe.right < found.right) {
            found = Some(keyframe);
        }
        if keyframe.right <= shown {
            break;
        }
    }
    found
}

/// How decoding can begin with a picture whose parts have their lengths in four bytes.
fn start(mut unit: &[u8]) -> Option<Start> {
    let mut told = None;
    loop {
        let (length, rest) = unit.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let part = rest.get(..length.min(rest.len()))?;
        match part.first()? & 0x1f {
            1..=4 => return Some(Start::Recovers(told.unwrap_or(0))),
            5 => return Some(Start::Fresh),
            6 => told = told.or_else(|| recovery_of(&plain(part.get(1..)?))),
            _ => {}
        }
        unit = rest.get(length..)?;
    }
}

/// Among messages, each with its kind and its length before it.
fn recovery_of(mut messages: &[u8]) -> Option<u32> {
    const RECOVERY_POINT: usize = 6;
    loop {
        let kind = number(&mut messages)?;
        let length = number(&mut messages)?;
        if kind == RECOVERY_POINT {
            return Bits::of(messages).golomb();
        }
        messages = messages.get(length..)?;
    }
}

/// A number in bytes of which all but the last are 255.
fn number(bytes: &mut &[u8]) -> Option<usize> {
    let mut sum = 0;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        sum += usize::from(*byte);
        if *byte != 0xff {
            return Some(sum);
        }
    }
}

/// Bytes without those that only keep them from looking like the beginning of a part.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn unit(parts: &[&[u8]]) -> Vec<u8> {
        let with_length = |part: &&[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat();
        parts.iter().flat_map(with_length).collect()
    }

    #[test]
    fn what_a_picture_says_of_its_recovery_is_read_before_its_first_slice() {
        // Another message of three bytes, then a recovery point: 00100 is 3.
        let told: &[u8] = &[6, 5, 3, 1, 2, 3, 6, 1, 0b0010_0100, 0x80];
        let (sets, slice, keyframe): (&[u8], &[u8], &[u8]) = (&[0x67, 66], &[0x41, 1, 2, 3], &[0x65, 1]);
        assert_eq!(start(&unit(&[&[9, 0xf0], sets, told, slice])), Some(Start::Recovers(3)));
        assert_eq!(start(&unit(&[told, keyframe])), Some(Start::Fresh));
        assert_eq!(start(&unit(&[slice, told])), Some(Start::Recovers(0)));
        // A message that is longer than what is looked at.
        assert_eq!(start(&unit(&[&[6, 5, 0xff, 0xff, 1], slice])), Some(Start::Recovers(0)));
        assert_eq!(start(&unit(&[sets])), None);
        // 24 zeros are kept from looking like the beginning of a part.
        assert_eq!(plain(&[1, 0, 0, 3, 0, 0, 0, 3, 3]), [1, 0, 0, 0, 0, 0, 3]);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(bytes in prop::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..80)) {
            let _ = (start(&bytes), recovery_of(&bytes));
        }
    }
}
