//! What a camera is told of how its packets arrive. The session of rtspsrc writes the reports and sees hardly a packet of those
//! that take the short way, so what it says of them is put right before it leaves. Pure.

/// Types of reports: a sender's and a receiver's.
pub(super) const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
/// Bytes of what a report says of one source.
const BLOCK: usize = 24;

/// What the header of a packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Whose it is.
    pub(super) source: u32,
    /// In which form.
    pub(super) payload: u8,
    /// Its number.
    pub(super) number: u16,
    /// When, by its clock.
    pub(super) ticks: u32,
    /// It is the last one of a picture.
    pub(super) is_last: bool,
    /// Where among the bytes that stands which it carries.
    pub(super) carries: (usize, usize),
}

impl Header {
    /// Reads a packet of media; nothing when it is something else, or does not hold together.
    pub(super) fn of(packet: &[u8]) -> Option<Self> {
        let &[first, kind, high, low, t, i, m, e, a, b, c, d, ..] = packet else {
            return None;
        };
        // Reports have types from 192 to 223 where media has its marker and payload type.
        if first >> 6 != 2 || (192..=223).contains(&kind) {
            return None;
        }
        let mut length = 12 + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let &[_, _, high, low] = packet.get(length..length + 4)? else {
                return None;
            };
            length += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        let padding = if first & 0x20 != 0 { *packet.last()? } else { 0 };
        let ends = packet.len().checked_sub(usize::from(padding))?;
        (length <= ends).then_some(Self {
            source: u32::from_be_bytes([a, b, c, d]),
            payload: kind & 0x7f,
            number: u16::from_be_bytes([high, low]),
            ticks: u32::from_be_bytes([t, i, m, e]),
            is_last: kind & 0x80 != 0,
            carries: (length, ends),
        })
    }
}

/// How the packets of one source arrive (RFC 3550, 6.4.1 and A.3).
#[derive(Debug, Clone, Copy)]
pub(super) struct Reception {
    first: u32,
    /// The highest number, which goes on where sixteen bits begin anew.
    highest: u32,
    came: u32,
    /// How many should have come, and did, when the last report was made.
    reported: (u32, u32),
}

impl Reception {
    /// Begins with a packet of this number, which is yet to be told.
    pub(super) fn from(number: u16) -> Self {
        let first = u32::from(number);
        Self {
            first,
            highest: first.wrapping_sub(1),
            came: 0,
            reported: (0, 0),
        }
    }

    /// A packet came.
    pub(super) fn came(&mut self, number: u16) {
        let ahead = number.wrapping_sub(self.highest as u16);
        // What is behind is late, and came all the same.
        if ahead <= u16::MAX / 2 {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        }
        self.came = self.came.wrapping_add(1);
    }

    /// Writes what there is to say into the block of a report.
    pub(super) fn write(&mut self, block: &mut [u8]) {
        let expected = self.highest.wrapping_sub(self.first).wrapping_add(1);
        let (expected_then, came_then) = std::mem::replace(&mut self.reported, (expected, self.came));
        let lost = i64::from(expected) - i64::from(self.came);
        let due = i64::from(expected.wrapping_sub(expected_then));
        let lost_since = due - i64::from(self.came.wrapping_sub(came_then));
        let share = match due {
            0 => 0,
            due => (lost_since.max(0) * 256 / due).min(255),
        };
        // Twenty-four bits with a sign.
        let lost = lost.clamp(-0x80_0000, 0x7f_ffff) as i32;
        block[4] = share as u8;
        block[5..8].copy_from_slice(&lost.to_be_bytes()[1..]);
        block[8..12].copy_from_slice(&self.highest.to_be_bytes());
    }
}

/// What stands first among reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: u8,
    /// How many sources it is about.
    blocks: usize,
    /// Where the next one begins.
    pub(super) length: usize,
}

impl Head {
    /// Reads it; nothing when there is no other report, or none that can be read.
    pub(super) fn of(reports: &[u8]) -> Option<Self> {
        let &[first, kind, high, low, ..] = reports else {
            return None;
        };
        (first >> 6 == 2).then_some(Self {
            kind,
            blocks: usize::from(first & 0x1f),
            length: 4 * (usize::from(u16::from_be_bytes([high, low])) + 1),
        })
    }
}

/// Has what reports say of a source be put right: `write` gets each block with the source that it is of.
pub(super) fn put_right(mut reports: &mut [u8], mut write: impl FnMut(u32, &mut [u8])) {
    while let Some(head) = Head::of(reports).filter(|head| head.length <= reports.len()) {
        let (report, rest) = std::mem::take(&mut reports).split_at_mut(head.length);
        reports = rest;
        let blocks_begin = match head.kind {
            SENDER_REPORT => 28,
            RECEIVER_REPORT => 8,
            _ => continue,
        };
        let blocks = report.get_mut(blocks_begin..).unwrap_or_default();
        for block in blocks.chunks_exact_mut(BLOCK).take(head.blocks) {
            let source = u32::from_be_bytes([block[0], block[1], block[2], block[3]]);
            write(source, block);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(source: u32) -> Vec<u8> {
        let mut report = vec![0x81, RECEIVER_REPORT, 0, 7, 9, 9, 9, 9];
        report.extend_from_slice(&source.to_be_bytes());
        report.extend_from_slice(&[255; 20]);
        // What the reporter is called, behind it.
        report.extend_from_slice(&[0x81, 202, 0, 1, 9, 9, 9, 9]);
        report
    }

    /// The share lost since the last report, how many are lost, and the highest number.
    fn told(reception: &mut Reception) -> (u8, i32, u32) {
        let mut bytes = report(7);
        put_right(&mut bytes, |source, block| {
            assert_eq!(source, 7);
            reception.write(block);
        });
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let [share, lost @ ..] = word(12);
        let lost = i32::from_be_bytes([if lost[0] > 127 { 255 } else { 0 }, lost[0], lost[1], lost[2]]);
        (share, lost, u32::from_be_bytes(word(16)))
    }

    #[test]
    fn what_is_told_is_what_came() {
        let mut reception = Reception::from(65_534);
        (0..4).for_each(|number: u16| reception.came(65_534u16.wrapping_add(number)));
        assert_eq!(told(&mut reception), (0, 0, 65_537));
        // Two of the next four are lost; one comes after all.
        [3, 5].into_iter().for_each(|number| reception.came(number));
        assert_eq!(told(&mut reception), (128, 2, 65_541));
        reception.came(4);
        assert_eq!(told(&mut reception), (0, 1, 65_541));
    }

    #[test]
    fn what_is_no_report_is_not_read_as_one() {
        for mut bytes in [vec![0x81], vec![0x81, RECEIVER_REPORT, 255, 255, 1], vec![0; 64]] {
            put_right(&mut bytes, |source, _| panic!("of {source}"));
        }
    }

    #[test]
    fn a_report_is_not_taken_for_a_packet() {
        let packet = [0x80, 0xe0, 1, 2, 0, 0, 0, 3, 0, 0, 0, 7];
        let header = Header {
            source: 7,
            payload: 96,
            number: 258,
            ticks: 3,
            is_last: true,
            carries: (12, 12),
        };
        assert_eq!(Header::of(&packet), Some(header));
        assert_eq!(Header::of(&[0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7]), None);
        assert_eq!(Header::of(&packet[..11]), None);
    }

    #[test]
    fn a_packet_that_does_not_hold_together_is_none() {
        let with = |first: u8, rest: &[u8]| {
            let mut packet = vec![first, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
            packet.extend_from_slice(rest);
            Header::of(&packet).is_some()
        };
        assert!(with(0x81, &[0; 4]) && !with(0x81, &[0; 3]), "sources that contributed");
        assert!(
            with(0x90, &[0, 0, 0, 1, 9, 9, 9, 9]) && !with(0x90, &[0, 0, 0, 1, 9, 9, 9]),
            "an extension"
        );
        assert!(with(0xa0, &[0, 2]) && !with(0xa0, &[0, 3]), "padding");
        let all = [
            0xb0, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 9, 9, 9, 9, 0x65, 0x88, 0, 2,
        ];
        assert_eq!(Header::of(&all).map(|header| header.carries), Some((20, 22)));
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_can_break_it(
            bytes in proptest::collection::vec(prop_oneof![Just(0x82), Just(RECEIVER_REPORT), Just(0), any::<u8>()], 0..200),
            numbers in proptest::collection::vec(any::<u16>(), 0..50),
        ) {
            let mut reception = Reception::from(numbers.first().copied().unwrap_or_default());
            numbers.into_iter().for_each(|number| reception.came(number));
            let mut bytes = bytes;
            put_right(&mut bytes, |_, block| reception.write(block));
        }
    }
}
