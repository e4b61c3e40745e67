//! Sealing: what keeps stored secrets from whoever copies the index.

/// Encrypts and decrypts small secrets. The key file in `storage` does it; the index only holds sealed bytes.
pub trait Seal: Send + Sync + std::fmt::Debug {
    /// Seals a text. Sealing the same text twice gives different bytes.
    fn seal(&self, text: &str) -> Vec<u8>;
    /// Opens what was sealed; nothing when the bytes or the key are not the ones.
    fn unseal(&self, sealed: &[u8]) -> Option<String>;
}
