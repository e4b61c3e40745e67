//! RTP by hand: pictures cut into packets, the ONVIF header extension, and the reports beside them.

use crate::model::Timestamp;
use crate::pipeline::ntp;

use super::super::options::VideoCodec;

/// What fits into a packet behind its headers.
const MOST_PAYLOAD: usize = 1360;
const PAYLOAD_TYPE: u8 = 96;

/// What the ONVIF header extension says about an access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extension {
    /// When it was taken, as the camera tells it.
    pub(super) time: Timestamp,
    /// Decoding can begin here.
    pub(super) clean: bool,
    /// The footage ends here.
    pub(super) end: bool,
    /// It does not follow what was sent before it.
    pub(super) discontinuity: bool,
    /// Nothing more is sent.
    pub(super) terminal: bool,
    /// The lower byte of the number of the PLAY request.
    pub(super) cseq: u8,
}

impl Extension {
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[0xab, 0xac, 0, 3]);
        bytes[4..12].copy_from_slice(&to_ntp(self.time).to_be_bytes());
        let bit = |set: bool, value: u8| if set { value } else { 0 };
        bytes[12] = bit(self.clean, 0x80) | bit(self.end, 0x40) | bit(self.discontinuity, 0x20);
        bytes[12] |= bit(self.terminal, 0x10);
        bytes[13] = self.cseq;
        bytes
    }
}

/// Makes the packets of one RTP stream.
#[derive(Debug)]
pub(super) struct Packets {
    codec: VideoCodec,
    sequence: u16,
    ssrc: u32,
    timestamp: u32,
    origin: Timestamp,
    sent: (u32, u32),
}

impl Packets {
    /// A stream whose RTP time stands for `origin` at its start.
    pub(super) fn new(codec: VideoCodec, origin: Timestamp) -> Self {
        Self {
            codec,
            sequence: fastrand::u16(..),
            ssrc: fastrand::u32(1..),
            timestamp: fastrand::u32(..),
            origin,
            sent: (0, 0),
        }
    }

    /// The number of the next packet and the RTP time of the start, for `RTP-Info`.
    pub(super) fn start(&self) -> (u16, u32) {
        (self.sequence, self.timestamp)
    }

    /// What its RTP time stands for at its start.
    pub(super) fn origin(&self) -> Timestamp {
        self.origin
    }

    fn rtp_time(&self, time: Timestamp) -> u32 {
        let ticks = i128::from(time.nanos_since(self.origin)) * 90_000 / 1_000_000_000;
        // RTP time wraps, and so may this.
        self.timestamp.wrapping_add(ticks as u32)
    }

    /// The packets of one access unit.
    pub(super) fn cut(&mut self, unit: &[u8], time: Timestamp, extension: Option<Extension>) -> Vec<Vec<u8>> {
        let payloads: Vec<_> = split_units(unit)
            .into_iter()
            .flat_map(|nal| fragment(self.codec, nal))
            .collect();
        let last = payloads.len().saturating_sub(1);
        let packets = payloads.into_iter().enumerate();
        packets
            .map(|(n, payload)| self.packet(&payload, time, n == last, extension))
            .collect()
    }

    /// A packet without a picture, which only carries the extension.
    pub(super) fn empty(&mut self, time: Timestamp, extension: Extension) -> Vec<u8> {
        self.packet(&[], time, true, Some(extension))
    }

    fn packet(&mut self, payload: &[u8], time: Timestamp, is_last: bool, extension: Option<Extension>) -> Vec<u8> {
        let mut packet = vec![
            if extension.is_some() { 0x90 } else { 0x80 },
            PAYLOAD_TYPE | if is_last { 0x80 } else { 0 },
        ];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.rtp_time(time).to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        if let Some(extension) = extension {
            packet.extend(extension.to_bytes());
        }
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.sent.0 = self.sent.0.wrapping_add(1);
        self.sent.1 = self.sent.1.wrapping_add(payload.len() as u32);
        packet
    }

    /// A sender report: what was taken at `time` stands for `told`. With a farewell when nothing follows.
    pub(super) fn report(&self, time: Timestamp, told: Timestamp, farewell: bool) -> Vec<u8> {
        let mut report = vec![0x80, 200, 0, 6];
        report.extend(self.ssrc.to_be_bytes());
        report.extend(to_ntp(told).to_be_bytes());
        report.extend(self.rtp_time(time).to_be_bytes());
        report.extend(self.sent.0.to_be_bytes());
        report.extend(self.sent.1.to_be_bytes());
        // Who speaks: one chunk, CNAME of four letters, closed and filled up to whole words.
        report.extend([0x81, 202, 0, 3]);
        report.extend(self.ssrc.to_be_bytes());
        report.extend([1, 4, b'd', b'e', b'm', b'o', 0, 0]);
        if farewell {
            report.extend([0x81, 203, 0, 1]);
            report.extend(self.ssrc.to_be_bytes());
        }
        report
    }
}

/// Seconds since 1900 in the upper half, their fraction in the lower.
fn to_ntp(time: Timestamp) -> u64 {
    let nanos = time.as_nanos();
    let seconds = nanos.div_euclid(1_000_000_000) + ntp::TO_UNIX;
    let fraction = ((nanos.rem_euclid(1_000_000_000) as u128) << 32).div_ceil(1_000_000_000);
    ((seconds as u64) << 32) | fraction as u64
}

/// The NAL units of a byte stream, without their start codes.
pub(super) fn split_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).map(|start| start - 3).chain([stream.len()]);
    let units = starts.iter().zip(ends).map(|(start, end)| {
        let unit = &stream[*start..end];
        // A start code of four bytes begins with a zero that belongs to no unit.
        let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        &unit[..length]
    });
    units.filter(|unit| unit.len() > 1).collect()
}

/// One NAL unit as it is, or in fragments.
fn fragment(codec: VideoCodec, nal: &[u8]) -> Vec<Vec<u8>> {
    if nal.len() <= MOST_PAYLOAD {
        return vec![nal.to_vec()];
    }
    let (head, kind, body) = match codec {
        VideoCodec::H264 => (vec![(nal[0] & 0xe0) | 28], nal[0] & 0x1f, &nal[1..]),
        VideoCodec::H265 => (
            vec![(nal[0] & 0x81) | (49 << 1), nal[1]],
            (nal[0] >> 1) & 0x3f,
            &nal[2..],
        ),
    };
    let pieces = body.chunks(MOST_PAYLOAD - 3);
    let last = pieces.len() - 1;
    pieces
        .enumerate()
        .map(|(n, piece)| {
            let begins = if n == 0 { 0x80 } else { 0 };
            let ends = if n == last { 0x40 } else { 0 };
            [&head, &[begins | ends | kind][..], piece].concat()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_unit_is_cut_and_its_last_packet_is_marked() {
        let mut packets = Packets::new(VideoCodec::H264, Timestamp::from_seconds(10));
        let (sequence, timestamp) = packets.start();
        let mut unit = vec![0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 1, 0x65];
        unit.extend([7; 3000]);
        let cut = packets.cut(&unit, Timestamp::from_seconds(11), None);
        assert_eq!(cut.len(), 4, "a parameter set and three fragments");
        assert_eq!(cut[0][12..], [0x67, 1, 2, 3]);
        let heads: Vec<_> = cut[1..].iter().map(|packet| (packet[12], packet[13])).collect();
        assert_eq!(heads, [(0x7c, 0x85), (0x7c, 0x05), (0x7c, 0x45)]);
        let body: Vec<_> = cut[1..].iter().flat_map(|packet| packet[14..].to_vec()).collect();
        assert_eq!(body, [7; 3000]);
        for (n, packet) in cut.iter().enumerate() {
            assert_eq!(packet[1], if n == 3 { 0xe0 } else { 0x60 });
            assert_eq!(packet[2..4], sequence.wrapping_add(n as u16).to_be_bytes());
            assert_eq!(packet[4..8], timestamp.wrapping_add(90_000).to_be_bytes());
        }
    }

    #[test]
    fn the_extension_carries_time_and_bits() {
        let extension = Extension {
            time: Timestamp::from_millis(1500),
            clean: true,
            end: false,
            discontinuity: true,
            terminal: true,
            cseq: 7,
        };
        let bytes = extension.to_bytes();
        assert_eq!(bytes[..4], [0xab, 0xac, 0, 3]);
        assert_eq!(bytes[4..8], 2_208_988_801u32.to_be_bytes());
        assert_eq!(bytes[8..12], 0x8000_0000u32.to_be_bytes());
        assert_eq!(bytes[12..], [0xb0, 7, 0, 0]);
    }

    #[test]
    fn reports_are_whole_words_and_say_farewell_at_the_end() {
        let packets = Packets::new(VideoCodec::H265, Timestamp::EPOCH);
        let report = packets.report(Timestamp::EPOCH, Timestamp::EPOCH, true);
        assert_eq!(report.len(), 28 + 16 + 8);
        assert_eq!((report[1], report[29], report[45]), (200, 202, 203));
        assert_eq!(packets.report(Timestamp::EPOCH, Timestamp::EPOCH, false).len(), 28 + 16);
    }
}
