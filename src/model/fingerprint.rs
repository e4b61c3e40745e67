//! SHA-256 of something, as people compare it: sixty-four hexadecimal digits.

use std::fmt;

use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A SHA-256. Printed and on the wire as `sha256sum` prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of bytes that are at hand.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(digest(&SHA256, bytes).as_ref())
    }

    fn from_digest(digest: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest);
        Self(bytes)
    }

    /// Reads the digits back; capital letters are taken too, because some tools print them.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0u8; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = digits else { return None };
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

/// Makes a fingerprint of what comes piece by piece.
#[derive(Clone)]
pub struct Hasher(Context);

impl Hasher {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// More of it.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes.as_ref());
    }

    /// Of all that came.
    pub fn finish(self) -> Fingerprint {
        Fingerprint::from_digest(self.0.finish().as_ref())
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a SHA-256 has 64 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_what_sha256sum_prints() {
        let empty = Fingerprint::of(b"");
        let printed = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.to_string(), printed);
        assert_eq!(Fingerprint::parse(printed), Some(empty));
        assert_eq!(Fingerprint::parse(&printed.to_uppercase()), Some(empty));
        let json = serde_json::to_string(&empty).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), empty);
    }

    #[test]
    fn whatever_the_pieces_it_is_that_of_the_whole_as_another_library_has_it() {
        use sha2::Digest;
        let bytes: Vec<u8> = (0..5000u32).map(|n| ((n * 7919) >> 3) as u8).collect();
        let expected = Fingerprint(sha2::Sha256::digest(&bytes).into());
        assert_eq!(Fingerprint::of(&bytes), expected);
        for length in [1, 63, 64, 65, 4096] {
            let mut hasher = Hasher::new();
            bytes.chunks(length).for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.finish(), expected, "{length}");
        }
    }

    #[test]
    fn what_is_no_sha256_is_refused() {
        for text in ["", "e3b0", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
