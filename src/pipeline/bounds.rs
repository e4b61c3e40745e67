//! How much a camera may say at once, counted before `rtspsrc` has it. Pure.
//!
//! `rtspsrc` 1.22 reads a message of any length into memory and parses a description of any length, and cannot be stopped
//! meanwhile. It reads at most one message between two things that it says or two packets, so what is bounded is what comes
//! between them, however that is framed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::framing::{Framing, LONGEST_HEADER, Place};

/// A description is some kilobytes, and nothing else that is answered is larger.
const MOST_BODY: usize = 256 << 10;
const MOST_LINES: usize = 10_000;
/// Of a connection that cannot be looked into: what comes between two packets.
const MOST_ENCRYPTED: usize = 16 << 20;

/// More than a camera may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excess {
    /// A header, or something that is no message, does not end.
    Header,
    /// A body of so many bytes was announced.
    Announced(usize),
    /// A body does not end.
    Body,
    /// A body has too many lines.
    Lines,
    /// An encrypted answer does not end.
    Answer,
    /// No packet comes out of what is encrypted.
    NoPacket,
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (header, body) = (LONGEST_HEADER >> 10, MOST_BODY >> 10);
        match self {
            Self::Header => write!(
                f,
                "the camera sent a header of more than {header} kB, or something that is not RTSP"
            ),
            Self::Announced(bytes) => write!(
                f,
                "the camera announced a description of {} kB; {body} kB are read at most",
                bytes.div_ceil(1 << 10)
            ),
            Self::Body => write!(f, "the camera sent a description of more than {body} kB"),
            Self::Lines => write!(f, "the camera sent a description of more than {MOST_LINES} lines"),
            Self::Answer => write!(f, "the camera sent an answer of more than {} kB", header + body),
            Self::NoPacket => write!(
                f,
                "the camera sent {} MB without one packet of its stream among them",
                MOST_ENCRYPTED >> 20
            ),
        }?;
        f.write_str("; restart it, and check that its address is that of the camera")
    }
}

/// What `rtspsrc` makes of an encrypted connection, for whoever cannot see it there.
#[derive(Debug, Default)]
pub(super) struct Encrypted {
    plays: AtomicBool,
    goes_on: AtomicBool,
}

impl Encrypted {
    /// The camera is asked to play.
    pub(super) fn play(&self) {
        self.plays.store(true, Ordering::Relaxed);
    }

    /// All that came is read: a packet came out, or `rtspsrc` is about to say something.
    pub(super) fn go_on(&self) {
        self.goes_on.store(true, Ordering::Relaxed);
    }
}

/// Counts what a camera says.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    encrypted: Option<Arc<Encrypted>>,
    header: usize,
    body: usize,
    lines: usize,
}

impl Bounds {
    /// Of a connection whose messages can be read, or of which this is known.
    pub(super) fn of(encrypted: Option<Arc<Encrypted>>) -> Self {
        Self {
            encrypted,
            ..Self::default()
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted.is_some()
    }

    /// Something else begins: `rtspsrc` said something, or a packet came.
    pub(super) fn begin(&mut self) {
        (self.header, self.body, self.lines) = (0, 0, 0);
    }

    /// These bytes came at this place in a message; the framing stands behind them.
    pub(super) fn take(&mut self, bytes: &[u8], place: Place, behind: &Framing) -> Result<(), Excess> {
        match place {
            Place::Body => {
                self.body += bytes.len();
                self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
            }
            Place::Elsewhere => self.header += bytes.len(),
        }
        match behind.awaits() {
            announced if place == Place::Elsewhere && announced > MOST_BODY => Err(Excess::Announced(announced)),
            _ if self.header > LONGEST_HEADER => Err(Excess::Header),
            _ if self.body > MOST_BODY => Err(Excess::Body),
            _ if self.lines > MOST_LINES => Err(Excess::Lines),
            _ => Ok(()),
        }
    }

    /// So many bytes came that only `rtspsrc` can read.
    pub(super) fn take_encrypted(&mut self, bytes: usize) -> Result<(), Excess> {
        let Some(encrypted) = &self.encrypted else {
            return Ok(());
        };
        let plays = encrypted.plays.load(Ordering::Relaxed);
        if encrypted.goes_on.swap(false, Ordering::Relaxed) {
            self.body = 0;
        }
        self.body += bytes;
        match plays {
            true if self.body > MOST_ENCRYPTED => Err(Excess::NoPacket),
            false if self.body > LONGEST_HEADER + MOST_BODY => Err(Excess::Answer),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of these bytes, in parts of this size.
    fn said(bounds: &mut Bounds, framing: &mut Framing, bytes: &[u8], part: usize) -> Result<(), Excess> {
        bytes.chunks(part).try_for_each(|mut part| {
            loop {
                let place = framing.place();
                let Some(piece) = framing.next(part) else { return Ok(()) };
                let length = piece.bytes().len();
                bounds.take(&part[..length], place, framing)?;
                part = &part[length..];
            }
        })
    }

    fn message(length: usize, body: &[u8]) -> Vec<u8> {
        let header = format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: {length}\r\n\r\n");
        [header.as_bytes(), body].concat()
    }

    fn once(bytes: &[u8], part: usize) -> Result<(), Excess> {
        said(&mut Bounds::default(), &mut Framing::default(), bytes, part)
    }

    #[test]
    fn what_is_too_much_is_found_before_it_has_come() {
        let two_gigabytes = message(2 << 30, b"v=0\r\n");
        assert_eq!(once(&two_gigabytes, 1000), Err(Excess::Announced(2 << 30)));
        let endless = [b"RTSP/1.0 200 OK\r\n".as_slice(), &[b'x'; LONGEST_HEADER]].concat();
        assert_eq!(once(&endless, 1000), Err(Excess::Header));
        assert_eq!(once(&[0x81; LONGEST_HEADER + 1], 1000), Err(Excess::Header));
        let lines = b"a=x\r\n".repeat(MOST_LINES + 1);
        assert_eq!(once(&message(lines.len(), &lines), 1000), Err(Excess::Lines));
        let text = Excess::Announced(2 << 30).to_string();
        assert!(text.contains("a description of 2097152 kB; 256 kB"), "{text}");
    }

    #[test]
    fn a_description_as_large_as_may_be_is_none_of_it() {
        let lines = b"a=x\r\n".repeat(MOST_LINES);
        assert_eq!(once(&message(lines.len(), &lines), 1000), Ok(()));
        let body = vec![b'x'; MOST_BODY];
        assert_eq!(once(&message(MOST_BODY, &body), 1000), Ok(()));
        assert_eq!(
            once(&message(MOST_BODY + 1, b""), 1000),
            Err(Excess::Announced(MOST_BODY + 1))
        );
    }

    #[test]
    fn of_what_is_encrypted_bytes_are_counted_between_packets() {
        let encrypted = Arc::<Encrypted>::default();
        let mut bounds = Bounds::of(Some(encrypted.clone()));
        assert_eq!(bounds.take_encrypted(LONGEST_HEADER + MOST_BODY), Ok(()));
        assert_eq!(bounds.take_encrypted(1), Err(Excess::Answer));
        encrypted.go_on();
        encrypted.play();
        for _ in 0..100 {
            assert_eq!(bounds.take_encrypted(MOST_ENCRYPTED / 2), Ok(()));
            encrypted.go_on();
        }
        assert_eq!(bounds.take_encrypted(MOST_ENCRYPTED), Ok(()));
        assert_eq!(bounds.take_encrypted(1), Err(Excess::NoPacket));
    }

    proptest! {
        #[test]
        fn however_it_is_framed_no_more_is_let_through_than_a_header_and_a_body(
            kinds in prop::collection::vec(0u8..5, 1..20), part in 1usize..70_000,
        ) {
            let (mut bounds, mut framing, mut sum) = (Bounds::default(), Framing::default(), 0);
            for kind in kinds.into_iter().cycle().take(200) {
                let bytes = match kind {
                    0 => message(0, b""),
                    1 => message(40_000, &[b'x'; 40_000]),
                    2 => message(100, &[b'x'; 40_000]),
                    3 => vec![b'A'; 5_000],
                    _ => vec![0x90; 3_000],
                };
                if said(&mut bounds, &mut framing, &bytes, part).is_err() {
                    return Ok(());
                }
                sum += bytes.len();
                prop_assert!(sum <= LONGEST_HEADER + MOST_BODY, "{} bytes", sum);
            }
        }
    }
}
