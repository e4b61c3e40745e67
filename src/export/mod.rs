//! Clips: files that are made for people out of recordings, and what makes each of them checkable.

#[cfg(test)]
mod fixture;
mod manifest;

pub use manifest::{
    CameraNamed, ClipFile, ClipManifest, KeyNamed, MANIFEST_FORMAT, Sealed, Shown, Source, Stretch, manifest_path,
    seal, signature_path,
};
