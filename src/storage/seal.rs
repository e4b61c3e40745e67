//! The key that seals stored secrets. It lies beside the index, not in it: a stolen copy of the index opens nothing.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chacha20poly1305::aead::{Aead, Generate, Key, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::durable::write_atomic_as;
use super::error::StorageError;
use crate::model::Seal;

/// What sealed bytes begin with. It is authenticated too, so that bytes of another format cannot be passed off as these.
const VERSION: u8 = 1;
const NONCE: usize = 24;
const KEY: usize = 32;

/// The key, ready for use. It never prints.
#[derive(Clone)]
pub struct SealKey(XChaCha20Poly1305);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(***)")
    }
}

impl SealKey {
    /// Reads the key from a file that only its owner may read; makes one when there is none.
    ///
    /// An empty or short file is an error and not a reason for a new key: with a new one, every stored password would
    /// be lost without a word.
    pub fn load_or_make(path: &Path) -> Result<Self, StorageError> {
        match File::open(path) {
            Ok(file) => Self::load(file, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(StorageError::io("open the key", path, error)),
        }
    }

    fn load(file: File, path: &Path) -> Result<Self, StorageError> {
        let metadata = file
            .metadata()
            .map_err(|error| StorageError::io("read the key", path, error))?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StorageError::KeyTooOpen {
                path: path.to_owned(),
                mode,
            });
        }
        let mut bytes = Vec::with_capacity(KEY + 1);
        // One byte more than a key, to notice a file that is longer.
        file.take(KEY as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| StorageError::io("read the key", path, error))?;
        XChaCha20Poly1305::new_from_slice(&bytes)
            .map(Self)
            .map_err(|_| StorageError::KeyDamaged {
                path: path.to_owned(),
                size: metadata.len(),
            })
    }

    fn make(path: &Path) -> Result<Self, StorageError> {
        let key = Key::<XChaCha20Poly1305>::try_generate().map_err(|error| StorageError::NoRandom {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        write_atomic_as(path, key.as_slice(), 0o600)?;
        Ok(Self(XChaCha20Poly1305::new(&key)))
    }
}

impl Seal for SealKey {
    fn seal(&self, text: &str) -> Vec<u8> {
        let Ok(nonce) = XNonce::try_generate() else {
            // The same source made the key; should it ever fail, nothing is stored rather than something readable.
            tracing::error!("the system gave no random bytes: a password could not be sealed and is not stored");
            return Vec::new();
        };
        let payload = Payload {
            msg: text.as_bytes(),
            aad: &[VERSION],
        };
        let Ok(sealed) = self.0.encrypt(&nonce, payload) else {
            tracing::error!(
                size_bytes = text.len(),
                "a secret is too long to be sealed and is not stored"
            );
            return Vec::new();
        };
        let mut bytes = Vec::with_capacity(1 + NONCE + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        bytes
    }

    fn unseal(&self, sealed: &[u8]) -> Option<String> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, msg) = rest.split_at_checked(NONCE)?;
        let nonce = XNonce::try_from(nonce).ok()?;
        let payload = Payload { msg, aad: &[*version] };
        if *version != VERSION {
            return None;
        }
        String::from_utf8(self.0.decrypt(&nonce, payload).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Fault;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn key() -> (tempfile::TempDir, SealKey) {
        let directory = tempfile::tempdir().unwrap();
        let key = SealKey::load_or_make(&directory.path().join("key")).unwrap();
        (directory, key)
    }

    #[test]
    fn the_key_is_made_once_and_read_by_its_owner_only() {
        let (directory, first) = key();
        let path = directory.path().join("key");
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (32, 0o600));
        let again = SealKey::load_or_make(&path).unwrap();
        assert_eq!(again.unseal(&first.seal("pass")).as_deref(), Some("pass"));
        assert_eq!(format!("{first:?}"), "SealKey(***)");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_command_that_helps() {
        let (directory, _) = key();
        let path = directory.path().join("key");
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = SealKey::load_or_make(&path).unwrap_err();
            assert_eq!(error.fault(), Fault::Forbidden);
            let text = error.to_string();
            assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(SealKey::load_or_make(&path).is_ok());
    }

    #[test]
    fn a_damaged_key_is_an_error_and_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for size in [0usize, 31, 33, 4096] {
            fs::write(&path, vec![7; size]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = SealKey::load_or_make(&path).unwrap_err();
            assert_eq!(error.fault(), Fault::Corrupt);
            assert!(error.to_string().contains(&format!("{size} bytes")), "{error}");
            assert_eq!(fs::metadata(&path).unwrap().len(), size as u64);
        }
    }

    #[test]
    fn sealing_twice_differs_and_another_key_opens_nothing() {
        let (_one, key) = key();
        let (_other, stranger) = super::tests::key();
        let sealed = key.seal("hunter2");
        assert_ne!(sealed, key.seal("hunter2"));
        assert!(!sealed.windows(7).any(|bytes| bytes == b"hunter2"));
        assert_eq!(stranger.unseal(&sealed), None);
    }

    fn fixed() -> SealKey {
        SealKey(XChaCha20Poly1305::new(&[7; KEY].into()))
    }

    proptest! {
        #[test]
        fn seal_and_unseal_are_a_pair_and_no_changed_byte_passes(text in "\\PC{0,64}", at in any::<prop::sample::Index>(), flip in 1u8..=255) {
            let key = fixed();
            let mut sealed = key.seal(&text);
            prop_assert_eq!(key.unseal(&sealed), Some(text));
            let at = at.index(sealed.len());
            sealed[at] ^= flip;
            prop_assert_eq!(key.unseal(&sealed), None);
        }

        #[test]
        fn any_bytes_at_all_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(fixed().unseal(&bytes), None);
        }
    }
}
