//! What comes over an RTSP connection, told apart: packets that are put between the messages, and everything else. Pure.

/// A header longer than this is nothing that anybody says.
pub(super) const LONGEST_HEADER: usize = 64 << 10;
/// What stands before the bytes of a packet: a dollar, the channel, and how many there are.
pub(super) const MARK: usize = 4;

/// A piece of what came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A packet.
    Packet {
        /// Of which channel.
        channel: u8,
        /// With the four bytes before it.
        whole: &'a [u8],
    },
    /// A part of something else.
    Other(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// The bytes that it is made of.
    pub(super) fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Packet { whole, .. } => whole,
            Self::Other(bytes) => bytes,
        }
    }
}

/// Where in a message a piece stands that is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In its body.
    Body,
    /// In its header, between two, or in none.
    Elsewhere,
}

/// A packet without the bytes before it.
pub(super) fn inside(whole: &[u8]) -> &[u8] {
    whole.get(MARK..).unwrap_or_default()
}

#[derive(Debug, Default)]
enum State {
    /// Between two things.
    #[default]
    Between,
    /// In the header of a message: what of it has come.
    Header(Vec<u8>),
    /// In the body of a message: how much of it is to come.
    Body(usize),
    /// Whatever this is, it is not RTSP, and nothing is made of it any more.
    Lost,
}

/// Where one direction of a connection stands.
#[derive(Debug, Default)]
pub(super) struct Framing(State);

impl Framing {
    /// Where the next piece stands.
    pub(super) fn place(&self) -> Place {
        match self.0 {
            State::Body(_) => Place::Body,
            _ => Place::Elsewhere,
        }
    }

    /// How much of a body is to come.
    pub(super) fn awaits(&self) -> usize {
        match self.0 {
            State::Body(left) => left,
            _ => 0,
        }
    }

    /// The first piece of these bytes, which follow those of the piece before. Nothing when more has to come.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> Option<Piece<'a>> {
        let first = *bytes.first()?;
        if matches!(self.0, State::Between) {
            match first {
                b'$' => return packet(bytes),
                b'A'..=b'Z' => self.0 = State::Header(Vec::new()),
                // Some say an empty line between messages.
                b'\r' | b'\n' => return Some(Piece::Other(&bytes[..1])),
                _ => self.0 = State::Lost,
            }
        }
        let take = match &mut self.0 {
            State::Header(header) => {
                let (end, length) = read_header(header, bytes);
                if let Some(length) = length {
                    self.0 = match length {
                        Some(0) => State::Between,
                        Some(length) => State::Body(length),
                        None => State::Lost,
                    };
                }
                end
            }
            State::Body(left) => {
                let take = bytes.len().min(*left);
                *left -= take;
                if *left == 0 {
                    self.0 = State::Between;
                }
                take
            }
            State::Between | State::Lost => bytes.len(),
        };
        Some(Piece::Other(&bytes[..take]))
    }
}

fn packet(bytes: &[u8]) -> Option<Piece<'_>> {
    let &[_, channel, high, low, ..] = bytes else {
        return None;
    };
    let length = MARK + usize::from(u16::from_be_bytes([high, low]));
    let whole = bytes.get(..length)?;
    Some(Piece::Packet { channel, whole })
}

/// Goes on with a header: how many of these bytes belong to it, and when it ends with them, how long the body behind it is.
fn read_header(header: &mut Vec<u8>, bytes: &[u8]) -> (usize, Option<Option<usize>>) {
    for (at, byte) in bytes.iter().enumerate() {
        header.push(*byte);
        if header.ends_with(b"\r\n\r\n") || header.ends_with(b"\n\n") {
            return (at + 1, Some(length_of_body(header)));
        }
        if header.len() > LONGEST_HEADER {
            return (at + 1, Some(None));
        }
    }
    (bytes.len(), None)
}

/// Nothing when it is not to be understood.
fn length_of_body(header: &[u8]) -> Option<usize> {
    let header = String::from_utf8_lossy(header);
    let mut lengths = header.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    lengths.next().map_or(Some(0), |length| length.parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-length: 5\r\n\r\n$\x00\x00\x01!";
    const PACKET: &[u8] = b"$\x02\x00\x03abc";

    /// Feeds bytes in parts of these lengths, and gives the packets with their channels and all the rest.
    fn told_apart(bytes: &[u8], parts: &[usize]) -> (Vec<(u8, Vec<u8>)>, Vec<u8>) {
        let (mut framing, mut packets, mut other) = (Framing::default(), Vec::new(), Vec::new());
        let (mut at, mut until) = (0, 0);
        let mut parts = parts.iter().cycle();
        while until < bytes.len() {
            until = bytes.len().min(until + parts.next().copied().unwrap_or(1).max(1));
            while let Some(piece) = framing.next(&bytes[at..until]) {
                at += piece.bytes().len();
                match piece {
                    Piece::Packet { channel, whole } => packets.push((channel, inside(whole).to_vec())),
                    Piece::Other(bytes) => other.extend_from_slice(bytes),
                }
            }
        }
        other.extend_from_slice(&bytes[at..]);
        (packets, other)
    }

    #[test]
    fn a_packet_between_two_messages_is_found_and_a_body_that_looks_like_one_is_none() {
        let bytes = [ANSWER, PACKET, b"\r\n", ANSWER, PACKET].concat();
        let (packets, other) = told_apart(&bytes, &[bytes.len()]);
        assert_eq!(packets, [(2, b"abc".to_vec()), (2, b"abc".to_vec())]);
        assert_eq!(other, [ANSWER, b"\r\n", ANSWER].concat());
    }

    #[test]
    fn what_is_not_rtsp_is_handed_on_as_it_is_and_nothing_is_found_in_it() {
        let endless = [b"RTSP/1.0 200 OK\r\n".as_slice(), &[b'x'; LONGEST_HEADER], PACKET].concat();
        let length = [b"RTSP/1.0 200 OK\r\nContent-Length: many\r\n\r\n".as_slice(), PACKET].concat();
        let garbage = [b"\x00garbage".as_slice(), PACKET].concat();
        for bytes in [endless, length, garbage] {
            assert_eq!(told_apart(&bytes, &[1000]), (Vec::new(), bytes));
        }
    }

    #[derive(Debug, Clone)]
    enum Said {
        Packet(u8, Vec<u8>),
        Message(Vec<u8>),
    }

    fn said() -> impl Strategy<Value = Said> {
        let body = proptest::collection::vec(any::<u8>(), 0..40);
        prop_oneof![
            (any::<u8>(), body.clone()).prop_map(|(channel, body)| Said::Packet(channel, body)),
            body.prop_map(Said::Message),
        ]
    }

    proptest! {
        #[test]
        fn however_it_comes_in_parts_the_same_is_found(
            said in proptest::collection::vec(said(), 0..12),
            parts in proptest::collection::vec(1usize..50, 1..8),
        ) {
            let (mut bytes, mut packets, mut other) = (Vec::new(), Vec::new(), Vec::new());
            for said in said {
                match said {
                    Said::Packet(channel, body) => {
                        bytes.extend_from_slice(&[b'$', channel, 0, body.len() as u8]);
                        bytes.extend_from_slice(&body);
                        packets.push((channel, body));
                    }
                    Said::Message(body) => {
                        let header = format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                        let message = [header.as_bytes(), &body].concat();
                        bytes.extend_from_slice(&message);
                        other.extend_from_slice(&message);
                    }
                }
            }
            prop_assert_eq!(told_apart(&bytes, &parts), (packets, other));
        }

        #[test]
        fn nothing_that_comes_is_lost_or_doubled(
            bytes in proptest::collection::vec(prop_oneof![Just(b'$'), Just(b'\n'), Just(b'R'), any::<u8>()], 0..300),
            parts in proptest::collection::vec(1usize..50, 1..8),
        ) {
            let (packets, other) = told_apart(&bytes, &parts);
            let length = packets.iter().map(|(_, packet)| packet.len() + MARK).sum::<usize>() + other.len();
            prop_assert_eq!(length, bytes.len());
        }
    }
}
