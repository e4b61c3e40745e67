//! The key that this box signs clips with, and its public half, which anybody may have.
//!
//! The file is PKCS#8 in PEM, as openssl writes and reads it, with a line above that says when it was made.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::durable::write_atomic_as;
use super::error::StorageError;
use crate::model::{Fingerprint, Timestamp};

/// What the line above the key begins with.
const MADE: &str = "camkeep signs clips with this key; made ";
/// A key file takes about two hundred bytes.
const LONGEST: u64 = 16 * 1024;

/// The private key of this box. It never prints.
#[derive(Clone)]
pub struct BoxKey {
    key: SigningKey,
    made_at: Option<Timestamp>,
    is_new: bool,
}

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxKey({}, ***)", self.public().id())
    }
}

impl BoxKey {
    /// Reads the key from a file that only its owner may read; makes one when there is none.
    ///
    /// Whatever is there and is no key is an error, never a reason for a new one.
    pub fn load_or_make(path: &Path, now: Timestamp) -> Result<Self, StorageError> {
        match File::open(path) {
            Ok(file) => Self::load(file, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::make(path, now),
            Err(error) => Err(StorageError::io("open the key", path, error)),
        }
    }

    fn load(file: File, path: &Path) -> Result<Self, StorageError> {
        let reading = |error| StorageError::io("read the key", path, error);
        let mode = file.metadata().map_err(reading)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StorageError::KeyTooOpen {
                path: path.to_owned(),
                mode,
            });
        }
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).map_err(reading)?;
        let damaged = |reason: &str| StorageError::BoxKeyDamaged {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        if bytes.is_empty() {
            return Err(damaged("it is empty"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is no text"))?;
        let pem = pem_of(text, "PRIVATE KEY").ok_or_else(|| damaged("it holds no `BEGIN PRIVATE KEY`"))?;
        let key = SigningKey::from_pkcs8_pem(pem)
            .map_err(|error| damaged(&format!("it is no Ed25519 key in PKCS#8: {error}")))?;
        Ok(Self {
            key,
            made_at: made_at(text),
            is_new: false,
        })
    }

    fn make(path: &Path, now: Timestamp) -> Result<Self, StorageError> {
        let no_random = |reason: String| StorageError::NoRandom {
            path: path.to_owned(),
            reason,
        };
        let mut secret = [0u8; 32];
        getrandom::fill(&mut secret).map_err(|error| no_random(error.to_string()))?;
        let key = SigningKey::from_bytes(&secret);
        // Without the public half in it, which OpenSSL 3.0 does not expect.
        let bytes = KeypairBytes {
            secret_key: secret,
            public_key: None,
        };
        let pem = bytes
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| StorageError::BoxKeyDamaged {
                path: path.to_owned(),
                reason: format!("a new one cannot be written down: {error}"),
            })?;
        write_atomic_as(path, format!("{MADE}{now}\n{}", pem.as_str()).as_bytes(), 0o600)?;
        Ok(Self {
            key,
            made_at: Some(now),
            is_new: true,
        })
    }

    /// Whether there was no key before, so that this one was made.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Signs bytes as they are (Ed25519 as in RFC 8032, without hashing them first).
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }

    /// What others need to check a signature.
    pub fn public(&self) -> PublicKey {
        PublicKey {
            key: self.key.verifying_key(),
            made_at: self.made_at,
        }
    }
}

/// The public half of a box's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    made_at: Option<Timestamp>,
}

impl PublicKey {
    /// Reads `-----BEGIN PUBLIC KEY-----`, with anything above it.
    pub fn from_pem(text: &str) -> Option<Self> {
        let key = VerifyingKey::from_public_key_pem(pem_of(text, "PUBLIC KEY")?).ok()?;
        Some(Self {
            key,
            made_at: made_at(text),
        })
    }

    /// The same key as PEM, as openssl reads it.
    pub fn to_pem(&self) -> String {
        // Thirty-two bytes always fit.
        self.key.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// Its name: SHA-256 of its DER form, what `openssl pkey -pubin -in box.pem -outform DER | sha256sum` prints.
    pub fn id(&self) -> Fingerprint {
        let der = self.key.to_public_key_der();
        Fingerprint::of(der.as_ref().map_or(&[], |der| der.as_bytes()))
    }

    /// When the key was made, where its file says so.
    pub fn made_at(&self) -> Option<Timestamp> {
        self.made_at
    }

    /// Whether a signature is this key's, for exactly these bytes.
    pub fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(bytes, &signature).is_ok())
    }
}

/// The PEM block of a text that may have something above and below it.
fn pem_of<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let end = format!("-----END {label}-----");
    let from = text.find(&format!("-----BEGIN {label}-----"))?;
    let block = text.get(from..)?;
    block.get(..block.find(&end)? + end.len())
}

fn made_at(text: &str) -> Option<Timestamp> {
    let line = text.lines().find_map(|line| line.strip_prefix(MADE))?;
    Timestamp::parse(line).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::Fault;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::process::Command;

    fn made() -> (tempfile::TempDir, PathBuf, BoxKey) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("box.key");
        let key = BoxKey::load_or_make(&path, Timestamp::from_seconds(1_790_000_000)).unwrap();
        (directory, path, key)
    }

    #[test]
    fn the_key_is_made_once_says_when_and_is_its_owners_only() {
        let (directory, path, key) = made();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode, key.is_new()), (0o600, true));
        let again = BoxKey::load_or_make(&path, Timestamp::from_seconds(1_800_000_000)).unwrap();
        assert_eq!((again.public(), again.is_new()), (key.public(), false));
        assert_eq!(again.public().made_at(), Some(Timestamp::from_seconds(1_790_000_000)));
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
        let printed = format!("{key:?}");
        assert!(
            printed.contains("***") && printed.contains(&key.public().id().to_string()),
            "{printed}"
        );
    }

    #[test]
    fn only_the_bytes_that_were_signed_have_the_signature() {
        let (_one, _, key) = made();
        let (_other, _, stranger) = made();
        let signature = key.sign(b"what was signed");
        assert!(key.public().has_signed(b"what was signed", &signature));
        assert!(!key.public().has_signed(b"What was signed", &signature));
        assert!(!stranger.public().has_signed(b"what was signed", &signature));
        assert!(!key.public().has_signed(b"what was signed", &signature[..63]));
        for at in 0..64 {
            let mut changed = signature;
            changed[at] ^= 1;
            assert!(!key.public().has_signed(b"what was signed", &changed), "byte {at}");
        }
        let read = PublicKey::from_pem(&format!("# ours\n{}\n", key.public().to_pem())).unwrap();
        assert_eq!(read.id(), key.public().id());
        assert_ne!(read.id(), stranger.public().id());
    }

    fn openssl(directory: &Path, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(directory)
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    #[test]
    fn openssl_reads_both_halves_and_comes_to_the_same_name() {
        let (directory, path, key) = made();
        fs::write(directory.path().join("box.pem"), key.public().to_pem()).unwrap();
        let (ok, derived) = openssl(directory.path(), &["pkey", "-in", path.to_str().unwrap(), "-pubout"]);
        assert!(ok && derived == key.public().to_pem(), "{derived}");
        let der = directory.path().join("box.der");
        let (ok, _) = openssl(
            directory.path(),
            &["pkey", "-pubin", "-in", "box.pem", "-outform", "DER", "-out", "box.der"],
        );
        assert!(ok);
        assert_eq!(Fingerprint::of(&fs::read(der).unwrap()), key.public().id());
    }

    #[test]
    fn a_key_that_openssl_made_is_taken_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own.key");
        let (ok, _) = openssl(
            directory.path(),
            &["genpkey", "-algorithm", "ed25519", "-out", "own.key"],
        );
        assert!(ok);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let key = BoxKey::load_or_make(&path, Timestamp::from_seconds(1)).unwrap();
        assert_eq!(key.public().made_at(), None);
        assert!(key.public().has_signed(b"x", &key.sign(b"x")));
    }

    #[test]
    fn what_is_wrong_with_a_key_is_told_with_what_to_do_and_it_is_left_as_it_is() {
        let (_directory, path, _) = made();
        let whole = fs::read(&path).unwrap();
        for mode in [0o640, 0o604, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = BoxKey::load_or_make(&path, Timestamp::EPOCH).unwrap_err();
            assert_eq!(error.fault(), Fault::Forbidden);
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = String::from_utf8(whole.clone()).unwrap();
        for bytes in [
            vec![],
            vec![0xff; 100],
            whole[..whole.len() / 2].to_vec(),
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec(),
            text.replace("PRIVATE KEY", "PUBLIC KEY").into_bytes(),
        ] {
            fs::write(&path, &bytes).unwrap();
            let error = BoxKey::load_or_make(&path, Timestamp::EPOCH).unwrap_err();
            assert_eq!(error.fault(), Fault::Corrupt);
            assert!(error.to_string().contains("restore it from a backup"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "and it is left as it is");
        }
    }
}
