//! Numbers in a bit string, as both standards of video write them.

/// A bit string that is read from its beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        let bit = self.bytes.get(self.at / 8)? >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit.into())
    }

    /// A number: so many zeros, a one, and as many bits again.
    pub(super) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
        }
        if zeros > 24 {
            return None;
        }
        let value = (0..zeros).try_fold(1, |value, _| Some(value << 1 | self.bit()?))?;
        Some(value - 1)
    }

    /// Passes a bit over.
    pub(super) fn skip(&mut self) -> Option<()> {
        self.bit().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_one_after_another() {
        // 1, 010, 00100, a bit, 011
        let mut bits = Bits::of(&[0b1010_0010, 0b0101_1000]);
        assert_eq!(
            [bits.golomb(), bits.golomb(), bits.golomb()],
            [Some(0), Some(1), Some(3)]
        );
        bits.skip();
        assert_eq!((bits.golomb(), bits.golomb()), (Some(2), None));
        assert_eq!(Bits::of(&[0; 9]).golomb(), None);
    }
}
