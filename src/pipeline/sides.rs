//! The two sides between which a courier carries: what came from one and is not read yet, and what the other has not taken yet.

use std::io::{ErrorKind, Read, Write};

use super::framing::Framing;

/// So much room is kept for what waits.
const ROOM_KEPT: usize = 4 << 10;
/// Bytes that one side has not taken yet.
#[derive(Default)]
pub(super) struct Waiting {
    bytes: Vec<u8>,
    taken: usize,
    /// Nobody takes anything any more.
    is_over: bool,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        // What nobody takes is thrown away when it is to be given.
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives what can be taken now.
    pub(super) fn give(&mut self, to: &mut impl Write) {
        while !self.is_empty() && !self.is_over {
            match to.write(&self.bytes[self.taken..]) {
                Ok(0) => self.is_over = true,
                Ok(count) => self.taken += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.is_over = true,
            }
        }
        self.bytes.clear();
        // At the beginning all that comes waits here for a moment, and hardly anything ever after.
        self.bytes.shrink_to(ROOM_KEPT);
        self.taken = 0;
    }
}

/// What came from one side and is not read yet.
pub(super) struct Coming {
    pub(super) framing: Framing,
    pub(super) bytes: Vec<u8>,
    pub(super) from: usize,
    pub(super) until: usize,
}

impl Coming {
    pub(super) fn new(room: usize) -> Self {
        Self {
            framing: Framing::default(),
            bytes: vec![0; room],
            from: 0,
            until: 0,
        }
    }

    /// All of it, as it came.
    pub(super) fn take_all(&mut self) -> &[u8] {
        let from = std::mem::replace(&mut self.from, self.until);
        &self.bytes[from..self.until]
    }

    /// Reads what is there.
    pub(super) fn read(&mut self, side: &mut impl Read) -> Side {
        self.bytes.copy_within(self.from..self.until, 0);
        (self.from, self.until) = (0, self.until - self.from);
        if self.until == self.bytes.len() {
            // A packet that is larger; none is larger than its two bytes of length can say.
            self.bytes.resize(2 * self.until, 0);
        }
        match side.read(&mut self.bytes[self.until..]) {
            Ok(0) => Side::Over,
            Ok(count) => {
                self.until += count;
                Side::GoesOn
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Side::GoesOn,
            Err(_) => Side::Broke,
        }
    }
}

/// How a side is, when it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Side {
    GoesOn,
    /// It has said all.
    Over,
    /// It ended in the middle.
    Broke,
}
