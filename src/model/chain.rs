//! The chain of a run: each segment's value is made from its file and from the value before it, so that a segment which is
//! changed or taken away shows in every later value.

use serde::{Deserialize, Serialize};

use super::camera::CameraId;
use super::fingerprint::Fingerprint;
use super::segment::RunId;

/// One segment's place in the chain of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// The value of the segment before it; [`ChainLink::BEGINNING`] for the first of a run.
    pub previous: Fingerprint,
    /// Its own.
    pub value: Fingerprint,
}

impl ChainLink {
    /// What stands before the first segment of a run.
    pub const BEGINNING: Fingerprint = Fingerprint([0; 32]);

    /// Links a segment's file to what came before it.
    ///
    /// The value is the SHA-256 of one line of text, so that anybody can make it again with `printf` and `sha256sum`:
    /// previous value, camera, run, sequence and SHA-256 of the file, with one space between them and a line feed at the
    /// end. None of them can hold a space, so no two segments share a line.
    pub fn new(previous: Fingerprint, camera: &CameraId, run: RunId, sequence: u32, file: Fingerprint) -> Self {
        let line = format!("{previous} {camera} {run} {sequence} {file}\n");
        Self {
            previous,
            value: Fingerprint::of(line.as_bytes()),
        }
    }

    /// Whether this is what the segment's own facts make of the value before it.
    pub fn fits(&self, camera: &CameraId, run: RunId, sequence: u32, file: Fingerprint) -> bool {
        *self == Self::new(self.previous, camera, run, sequence, file)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn door() -> CameraId {
        CameraId::parse("front-door").unwrap()
    }

    #[test]
    fn anybody_can_make_a_value_again_with_sha256sum() {
        let file = Fingerprint::of(b"a film");
        let link = ChainLink::new(ChainLink::BEGINNING, &door(), RunId(0xc0ffee), 0, file);
        let mut tool = Command::new("sha256sum")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let zeros = "0".repeat(64);
        let mut stdin = tool.stdin.take().unwrap();
        writeln!(stdin, "{zeros} front-door 00c0ffee 0 {file}").unwrap();
        drop(stdin);
        let said = String::from_utf8(tool.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(said.split_whitespace().next(), Some(link.value.to_string().as_str()));
    }

    proptest! {
        #[test]
        fn a_change_of_anything_shows(run in any::<u32>(), sequence in any::<u32>(), file in any::<[u8; 32]>(), previous in any::<[u8; 32]>(), which in 0..4) {
            let (file, previous) = (Fingerprint(file), Fingerprint(previous));
            let link = ChainLink::new(previous, &door(), RunId(run), sequence, file);
            prop_assert!(link.fits(&door(), RunId(run), sequence, file));
            let mut other = file;
            other.0[0] ^= 1;
            let fits = match which {
                0 => link.fits(&door(), RunId(run), sequence, other),
                1 => link.fits(&door(), RunId(run), sequence ^ 1, file),
                2 => link.fits(&door(), RunId(run ^ 1), sequence, file),
                _ => ChainLink { previous: other, ..link }.fits(&door(), RunId(run), sequence, file) && other != previous,
            };
            prop_assert!(!fits);
        }
    }
}
