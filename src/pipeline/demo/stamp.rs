//! The time stamp in the picture: three rows of forty black and white blocks along the top edge.
//!
//! ```text
//! sync 8 | capture time, µs since the epoch 56 | frame counter 32 | CRC-16 of both 16 | closing sync 8
//! ```
//!
//! Blocks are fractions of the picture (a fortieth wide, a thirtieth high), never a number of pixels, so that
//! the stamp survives scaling; the two sync words tell a reader what black and white became on the way.

/// How many blocks stand in one row.
pub const STAMP_COLUMNS: usize = 40;
/// How many rows of blocks a stamp has.
pub const STAMP_ROWS: usize = 3;
/// The stamp takes the uppermost `1 / STAMP_HEIGHT_DIVISOR` of the picture.
pub const STAMP_HEIGHT_DIVISOR: usize = 10;
/// How many blocks, and so how many brightness levels a reader has to bring.
pub const LEVELS: usize = STAMP_COLUMNS * STAMP_ROWS;

const SYNC: u8 = 0b1011_0010;
const CLOSING_SYNC: u8 = !SYNC;
const BLACK: u8 = 24;
const WHITE: u8 = 228;
/// Less contrast than this between the known black and white blocks is no stamp.
const LEAST_CONTRAST: i32 = 40;

/// What one frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The number of this frame since the camera was switched on; a hole in the row is a lost frame.
    pub counter: u32,
    /// When the frame was taken, in microseconds since the epoch.
    pub time_us: u64,
}

impl Stamp {
    fn to_bytes(self) -> [u8; LEVELS / 8] {
        let mut bytes = [0; LEVELS / 8];
        bytes[0] = SYNC;
        bytes[1..8].copy_from_slice(&self.time_us.to_be_bytes()[1..]);
        bytes[8..12].copy_from_slice(&self.counter.to_be_bytes());
        let crc = crc16(&bytes[1..12]);
        bytes[12..14].copy_from_slice(&crc.to_be_bytes());
        bytes[14] = CLOSING_SYNC;
        bytes
    }

    /// Draws the stamp into a plane of brightness.
    pub(super) fn draw(self, luma: &mut [u8], width: usize, height: usize) {
        let bytes = self.to_bytes();
        for row in 0..STAMP_ROWS {
            let (top, bottom) = (block_edge(row, height), block_edge(row + 1, height));
            let Some(first) = luma.get_mut(top * width..bottom * width) else {
                return;
            };
            let (line, others) = first.split_at_mut(width);
            for column in 0..STAMP_COLUMNS {
                let bit = row * STAMP_COLUMNS + column;
                let white = bytes[bit / 8] & (0x80 >> (bit % 8)) != 0;
                let from = column * width / STAMP_COLUMNS;
                let to = (column + 1) * width / STAMP_COLUMNS;
                line[from..to].fill(if white { WHITE } else { BLACK });
            }
            for other in others.chunks_exact_mut(width) {
                other.copy_from_slice(line);
            }
        }
    }

    /// Reads a stamp from the brightness of its blocks, row by row from the upper left. `None` when there is no
    /// stamp or when the picture is too far gone to be sure.
    pub fn read(levels: &[u8; LEVELS]) -> Option<Self> {
        let (mut black, mut white) = ((0, 0), (0, 0));
        for (word, start) in [(SYNC, 0), (CLOSING_SYNC, LEVELS - 8)] {
            for bit in 0..8 {
                let level = i32::from(levels[start + bit]);
                let sum = if word & (0x80 >> bit) == 0 {
                    &mut black
                } else {
                    &mut white
                };
                *sum = (sum.0 + level, sum.1 + 1);
            }
        }
        let (black, white) = (black.0 / black.1, white.0 / white.1);
        if white - black < LEAST_CONTRAST {
            return None;
        }
        let threshold = (black + white) / 2;
        let mut bytes = [0u8; LEVELS / 8];
        for (bit, &level) in levels.iter().enumerate() {
            if i32::from(level) > threshold {
                bytes[bit / 8] |= 0x80 >> (bit % 8);
            }
        }
        let mut time = [0; 8];
        time[1..].copy_from_slice(&bytes[1..8]);
        let mut counter = [0; 4];
        counter.copy_from_slice(&bytes[8..12]);
        let stamp = Self {
            counter: u32::from_be_bytes(counter),
            time_us: u64::from_be_bytes(time),
        };
        (stamp.to_bytes() == bytes).then_some(stamp)
    }
}

fn block_edge(row: usize, height: usize) -> usize {
    row * height / (STAMP_ROWS * STAMP_HEIGHT_DIVISOR)
}

/// CRC-16/CCITT, bit by bit: eleven bytes a frame are not worth a table.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn look(luma: &[u8], width: usize, height: usize) -> [u8; LEVELS] {
        std::array::from_fn(|bit| {
            let (row, column) = (bit / STAMP_COLUMNS, bit % STAMP_COLUMNS);
            let y = (2 * row + 1) * height / (2 * STAMP_ROWS * STAMP_HEIGHT_DIVISOR);
            let x = (2 * column + 1) * width / (2 * STAMP_COLUMNS);
            luma[y * width + x]
        })
    }

    proptest! {
        #[test]
        fn a_stamp_drawn_is_the_stamp_read(
            counter: u32, time_us in 0u64..(1 << 56),
            (width, height) in prop_oneof![Just((640, 360)), Just((320, 240)), Just((1280, 720)), Just((642, 362))],
        ) {
            let stamp = Stamp { counter, time_us };
            let mut luma = vec![128; width * height];
            stamp.draw(&mut luma, width, height);
            prop_assert_eq!(Stamp::read(&look(&luma, width, height)), Some(stamp));
        }

        #[test]
        fn one_wrong_block_is_never_taken_for_a_stamp(counter: u32, time_us in 0u64..(1 << 56), bit in 0..LEVELS) {
            let (width, height) = (320, 180);
            let mut luma = vec![128; width * height];
            Stamp { counter, time_us }.draw(&mut luma, width, height);
            let mut levels = look(&luma, width, height);
            levels[bit] = BLACK + WHITE - levels[bit];
            prop_assert_eq!(Stamp::read(&levels), None);
        }
    }

    #[test]
    fn a_picture_without_a_stamp_has_none() {
        assert_eq!(Stamp::read(&[128; LEVELS]), None);
        assert_eq!(Stamp::read(&[16; LEVELS]), None);
    }
}
