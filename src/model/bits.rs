//! Bits of a NAL unit, read one field after another as H.264 and H.265 write them.

/// The rest of a unit: the byte that stands after two zeros only so that they are no start code is left out.
#[derive(Debug, Clone)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    byte: u8,
    left: u32,
    zeros: u32,
}

impl<'a> Bits<'a> {
    /// From the first bit of these bytes on.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            byte: 0,
            left: 0,
            zeros: 0,
        }
    }

    pub(super) fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            self.byte = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(u32::from(self.byte >> self.left & 1))
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        self.bit().map(|bit| bit == 1)
    }

    /// A number of at most 32 bits.
    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0, |value, _| Some(value << 1 | self.bit()?))
    }

    /// Passes bits over.
    pub fn skip(&mut self, bits: u32) -> Option<()> {
        (0..bits).try_for_each(|_| self.bit().map(drop))
    }

    /// An Exp-Golomb number, `ue(v)`.
    pub fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.number(zeros)?)
    }

    /// The same with a sign, `se(v)`.
    pub(super) fn signed_golomb(&mut self) -> Option<i64> {
        let value = i64::from(self.golomb()?);
        Some(if value % 2 == 0 { -value / 2 } else { (value + 1) / 2 })
    }

    pub(super) fn skip_golombs(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.golomb().map(drop))
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (mut byte, mut rest) = self.bytes.split_first()?;
        if self.zeros >= 2 && *byte == 3 {
            self.zeros = 0;
            (byte, rest) = rest.split_first()?;
        }
        self.bytes = rest;
        self.zeros = if *byte == 0 { self.zeros + 1 } else { 0 };
        Some(*byte)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_read_past_the_bytes_that_keep_start_codes_away() {
        let mut bits = Bits::of(&[0b1010_0110, 0, 0, 3, 1]);
        assert_eq!((bits.golomb(), bits.golomb()), (Some(0), Some(1)));
        assert_eq!(bits.signed_golomb(), Some(-1));
        assert_eq!(bits.golomb(), None, "24 zeros and a one, and then nothing");
        let mut bits = Bits::of(&[0, 0, 3, 1, 0x80]);
        assert_eq!(
            (bits.number(24), bits.flag(), bits.number(8)),
            (Some(1), Some(true), None)
        );
        let mut bits = Bits::of(&[0b0100_1100, 0b1000_0000]);
        assert_eq!(
            (bits.signed_golomb(), bits.signed_golomb(), bits.signed_golomb()),
            (Some(1), Some(-1), Some(2))
        );
    }
}
