//! How far pictures are shown in another order than they are decoded in, as parameter sets tell it.

use super::bits::Bits;
use super::parameter_sets::{AvcConfig, HevcConfig};

/// No decoder holds back more.
const MOST: u32 = 16;

impl AvcConfig {
    /// How many pictures at most are decoded before one and shown after it.
    pub fn reordering(&self) -> u32 {
        let each = self.sequence.iter().map(|set| of_h264(set).unwrap_or(0));
        each.max().unwrap_or(0).min(MOST)
    }
}

impl HevcConfig {
    /// How many pictures at most are decoded before one and shown after it.
    pub fn reordering(&self) -> u32 {
        let each = self.sets.iter().filter_map(|set| of_h265(set));
        each.max().unwrap_or(0).min(MOST)
    }
}

/// Of a sequence parameter set of H.264 (7.3.2.1.1, E.1.1).
fn of_h264(set: &[u8]) -> Option<u32> {
    let &[_, profile, constraints, level, ref rest @ ..] = set else {
        return None;
    };
    let bits = &mut Bits::of(rest);
    bits.golomb()?;
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 134 | 135 | 138 | 139
    ) {
        let chroma = bits.golomb()?;
        bits.skip(u32::from(chroma == 3))?;
        bits.skip_golombs(2)?;
        bits.bit()?;
        if bits.flag()? {
            skip_scaling(bits, if chroma == 3 { 12 } else { 8 })?;
        }
    }
    bits.golomb()?;
    let order_type = bits.golomb()?;
    match order_type {
        0 => bits.skip_golombs(1)?,
        1 => {
            bits.bit()?;
            bits.skip_golombs(2)?;
            let cycle = bits.golomb()?;
            bits.skip_golombs(cycle)?;
        }
        _ => {}
    }
    bits.golomb()?;
    bits.bit()?;
    let width = bits.golomb()?.checked_add(1)?;
    let height = bits.golomb()?.checked_add(1)?;
    let is_progressive = bits.flag()?;
    let size = width
        .checked_mul(height)?
        .checked_mul(if is_progressive { 1 } else { 2 })?;
    bits.skip(u32::from(!is_progressive))?;
    bits.bit()?;
    if bits.flag()? {
        bits.skip_golombs(4)?;
    }
    if let Some(told) = told_by_h264(bits) {
        return Some(told);
    }
    let constraint = |number: u8| constraints >> (7 - number) & 1 == 1;
    let is_intra = constraint(3) && matches!(profile, 44 | 86 | 100 | 110 | 122 | 244);
    if order_type == 2 || is_intra || matches!(profile, 66 | 83) {
        return Some(0);
    }
    Some(room_of_level(level, constraint(3) && profile == 77) / size.max(1))
}

/// What the description of a video's use tells, if there is one and it does.
fn told_by_h264(bits: &mut Bits<'_>) -> Option<u32> {
    bits.flag()?.then_some(())?;
    if bits.flag()? && bits.number(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.bit()?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.skip_golombs(2)?;
    }
    if bits.flag()? {
        bits.skip(65)?;
    }
    let mut has_buffer = false;
    for _ in 0..2 {
        if bits.flag()? {
            has_buffer = true;
            let count = bits.golomb()?.min(31);
            bits.skip(8)?;
            for _ in 0..=count {
                bits.skip_golombs(2)?;
                bits.bit()?;
            }
            bits.skip(20)?;
        }
    }
    bits.skip(u32::from(has_buffer))?;
    bits.bit()?;
    bits.flag()?.then_some(())?;
    bits.bit()?;
    bits.skip_golombs(4)?;
    bits.golomb()
}

fn skip_scaling(bits: &mut Bits<'_>, lists: u32) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let mut scale = 8;
        for _ in 0..if list < 6 { 16 } else { 64 } {
            scale = (scale + bits.signed_golomb()?).rem_euclid(256);
            if scale == 0 {
                break;
            }
        }
    }
    Some(())
}

/// How many macroblocks a decoder of a level holds (table A-1).
fn room_of_level(level: u8, is_1b: bool) -> u32 {
    match level {
        11 if is_1b => 396,
        9 | 10 => 396,
        11 => 900,
        12 | 13 | 20 => 2_376,
        21 => 4_752,
        22 | 30 => 8_100,
        31 => 18_000,
        32 => 20_480,
        40 | 41 => 32_768,
        42 => 34_816,
        50 => 110_400,
        51 | 52 => 184_320,
        _ => 696_320,
    }
}

/// Of a sequence parameter set of H.265 (7.3.2.2); nothing for other sets.
fn of_h265(set: &[u8]) -> Option<u32> {
    let &[kind, _, ref rest @ ..] = set else { return None };
    if kind >> 1 & 0x3f != 33 {
        return None;
    }
    let bits = &mut Bits::of(rest);
    bits.skip(4)?;
    let layers = bits.number(3)?;
    bits.bit()?;
    bits.skip(96)?;
    let mut told = Vec::new();
    for _ in 0..layers {
        told.push((bits.flag()?, bits.flag()?));
    }
    if layers > 0 {
        bits.skip(2 * (8 - layers))?;
    }
    for (profile, level) in told {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    bits.golomb()?;
    let chroma = bits.golomb()?;
    bits.skip(u32::from(chroma == 3))?;
    bits.skip_golombs(2)?;
    if bits.flag()? {
        bits.skip_golombs(4)?;
    }
    bits.skip_golombs(3)?;
    let is_told_of_each = bits.flag()?;
    let mut most = 0;
    for _ in 0..if is_told_of_each { layers + 1 } else { 1 } {
        bits.golomb()?;
        most = bits.golomb()?;
        bits.golomb()?;
    }
    Some(most)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn encoders_tell_how_far_they_reorder() {
        for (set, reordering) in [
            // Two B-frames; three, of which one makes others; none. All with a model of the decoder's buffer.
            (
                "67640014acd1028db01100000300010000030032604000f424001e84a4930078a14890",
                1,
            ),
            (
                "67640014acd9428db01100000300010000030032604000f424001e84a4930078a14cb0",
                2,
            ),
            (
                "67640014acb2051b602200000300020000030064c08001e848003d09492600f142a480",
                0,
            ),
            // 4:4:4 with scaling lists; 4:2:2 in ten bits and fields.
            ("67f40015919c814db011000003000100000300321f142912", 1),
            ("677a0015b6ce40a6d8088000000300800000190f8a1489", 1),
        ] {
            assert_eq!(of_h264(&bytes(set)), Some(reordering), "{set}");
        }
        for (set, reordering) in [
            (
                "42010101600000030090000003000003001ea01420616595964932bc05a02000000300200000030321",
                2,
            ),
            (
                "42010101600000030090000003000003001ea01420616592a4932bc05a020000030002000003003210",
                0,
            ),
            // Layers of time.
            (
                "42010201600000030090000003000003001e0000a014206165911088924995e02d010000030001000003001908",
                1,
            ),
        ] {
            assert_eq!(of_h265(&bytes(set)), Some(reordering), "{set}");
        }
    }

    #[test]
    fn of_cameras_that_do_not_tell_as_much_is_believed_as_their_level_allows() {
        // Baseline; main that counts pictures in the order in which they come; high at level 5.1 and 2560 by 1440.
        for (set, reordering) in [
            ("67420029963540f0044fcb37010101400000030040000007a1", 0),
            ("674d001f95a814016e40", 0),
            ("67640033ace802800b59", 12),
        ] {
            assert_eq!(of_h264(&bytes(set)), Some(reordering), "{set}");
        }
    }

    proptest! {
        #[test]
        fn what_is_no_set_is_read_without_a_panic(
            bytes in prop::collection::vec(prop_oneof![Just(0), Just(0xff), Just(0x64), any::<u8>()], 0..80),
        ) {
            let _ = (of_h264(&bytes), of_h265(&bytes));
        }
    }
}
