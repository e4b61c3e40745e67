//! What a decoder is told before the first picture, as `avcC` and `hvcC` hold it.

use bytes::Bytes;

/// What `avcC` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvcConfig {
    /// Version, profile, constraints, level.
    pub head: [u8; 4],
    /// How many bytes tell how long a part of a unit is.
    pub length: u8,
    /// Sets of a sequence.
    pub sequence: Vec<Bytes>,
    /// Sets of a picture.
    pub picture: Vec<Bytes>,
    /// What some profiles have behind them.
    pub rest: Bytes,
}

/// What `hvcC` holds, as far as anybody here asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HevcConfig {
    /// How many bytes tell how long a part of a unit is.
    pub length: u8,
    /// The sets, in their order.
    pub sets: Vec<Bytes>,
}

impl AvcConfig {
    /// Reads the body of `avcC`.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let head = take(bytes, 4)?.try_into().ok()?;
        let length = length(byte(bytes)?);
        let count = byte(bytes)? & 0x1f;
        let sequence = sets(bytes, count.into())?;
        let count = byte(bytes)?;
        let picture = sets(bytes, count.into())?;
        Some(Self {
            head,
            length,
            sequence,
            picture,
            rest: Bytes::copy_from_slice(bytes),
        })
    }
}

impl HevcConfig {
    /// Reads the body of `hvcC`.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        take(bytes, 21)?;
        let length = length(byte(bytes)?);
        let mut all = Vec::new();
        for _ in 0..byte(bytes)? {
            // Of which kind they are they say themselves.
            byte(bytes)?;
            let count = number(bytes)?;
            all.append(&mut sets(bytes, count)?);
        }
        Some(Self { length, sets: all })
    }
}

/// Sets as they stand in a unit of pictures, each with its length in so many bytes before it. Nothing when one is too long.
pub fn in_units<'a>(sets: impl IntoIterator<Item = &'a Bytes>, length: u8) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for set in sets {
        let bytes = u32::try_from(set.len()).ok()?.to_be_bytes();
        let (unsaid, said) = bytes.split_at_checked(bytes.len().checked_sub(length.into())?)?;
        if unsaid.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(said);
        out.extend_from_slice(set);
    }
    Some(out)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    take(bytes, 1)?.first().copied()
}

fn number(bytes: &mut &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(take(bytes, 2)?.try_into().ok()?)))
}

/// So many sets, each with its length before it.
fn sets(bytes: &mut &[u8], count: usize) -> Option<Vec<Bytes>> {
    let mut set = || {
        let size = number(bytes)?;
        take(bytes, size).map(Bytes::copy_from_slice)
    };
    (0..count).map(|_| set()).collect()
}

/// What stands in two bits.
fn length(byte: u8) -> u8 {
    (byte & 3) + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sets_are_read_in_their_order() {
        let bytes = [
            1, 0x64, 0, 0x1f, 0xfd, 0xe1, 0, 2, 0x67, 7, 2, 0, 1, 0x68, 0, 2, 0x68, 9, 3, 4,
        ];
        let config = AvcConfig::read(&bytes).unwrap();
        assert_eq!((config.head, config.length), ([1, 0x64, 0, 0x1f], 2));
        assert_eq!(config.sequence, [&[0x67, 7][..]]);
        assert_eq!(config.picture, [&[0x68][..], &[0x68, 9]]);
        assert_eq!(config.rest, &[3, 4][..]);
        assert_eq!(AvcConfig::read(&bytes[..17]), None);

        let mut bytes = vec![0; 21];
        bytes.extend_from_slice(&[3, 2, 0x20, 0, 1, 0, 2, 0x40, 1, 0x21, 0, 2, 0, 1, 0x42, 0, 1, 0x43]);
        let config = HevcConfig::read(&bytes).unwrap();
        assert_eq!(config.length, 4);
        assert_eq!(config.sets, [&[0x40, 1][..], &[0x42], &[0x43]]);
        assert_eq!(HevcConfig::read(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn sets_in_a_unit_have_their_lengths_before_them() {
        let sets = [Bytes::from_static(&[7, 8, 9]), Bytes::from_static(&[1])];
        assert_eq!(in_units(&sets, 4).unwrap(), [0, 0, 0, 3, 7, 8, 9, 0, 0, 0, 1, 1]);
        assert_eq!(in_units(&sets, 1).unwrap(), [3, 7, 8, 9, 1, 1]);
        let long = [Bytes::from(vec![0; 256])];
        assert_eq!(
            (in_units(&long, 1), in_units(&long, 2).map(|out| out.len())),
            (None, Some(258))
        );
    }

    proptest! {
        #[test]
        fn what_is_no_configuration_is_read_without_a_panic(
            bytes in prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..60),
        ) {
            let _ = (AvcConfig::read(&bytes), HevcConfig::read(&bytes));
        }
    }
}
