//! What is said and signed about a clip, so that anybody can check later that it is what this box made, and of what.
//!
//! The bytes of the JSON are what is signed, as they are. Nothing has to be brought into a canonical form to check them:
//! `openssl pkeyutl -verify -rawin` takes the file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{
    Camera, CameraClock, CameraId, ChainLink, Clip, ClipId, ClipMode, ClockSource, Codec, CopyState, Fingerprint,
    Origin, RunId, Segment, SegmentId, SegmentState, Span, Timestamp,
};
use crate::storage::{BoxKey, PublicKey, StorageError, read_small, write_atomic};

/// What a manifest says it is. Another number means that something means something else now.
pub const MANIFEST_FORMAT: &str = "camkeep.clip-manifest.1";
const MANIFEST: &str = ".manifest.json";
const SIGNATURE: &str = ".manifest.sig";
/// What lies beside a clip under its name.
pub(super) const BESIDE: [&str; 2] = [MANIFEST, SIGNATURE];
/// A manifest of a day in segments of two seconds takes about forty megabytes.
pub(super) const LONGEST_MANIFEST: u64 = 256 << 20;
/// The last field: SHA-256 of every byte above its line. It proves nothing, the signature does; but with it a changed
/// manifest can be told from a changed signature.
const ABOVE: &str = "lines_above_sha256";

/// Everything that is said about a clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipManifest {
    /// [`MANIFEST_FORMAT`].
    pub format: String,
    /// Which program made the clip, with its version.
    pub made_by: String,
    /// When, by this box's clock.
    pub made_at: Timestamp,
    /// Who asked for it.
    pub asked_by: String,
    /// The key that signs; set by [`seal`].
    pub key: Option<KeyNamed>,
    /// The clip's file.
    pub clip: ClipFile,
    /// Whose pictures they are.
    pub camera: CameraNamed,
    /// How the clip begins where no keyframe lies.
    pub mode: ClipMode,
    /// What was asked, and what is shown of it.
    pub shown: Shown,
    /// The segments it was made of, in the order of their pictures.
    pub sources: Vec<Source>,
}

impl ClipManifest {
    /// What is said about a stored clip. The caller adds what its row does not know: parts, burnt-in time, captions.
    pub fn of(clip: &Clip, camera: &Camera, sources: Vec<Source>, version: &str) -> Self {
        Self {
            format: MANIFEST_FORMAT.to_owned(),
            made_by: format!("camkeep {version}"),
            made_at: clip.created_at,
            asked_by: clip.asked_by.clone(),
            key: None,
            clip: ClipFile {
                id: Some(clip.id),
                file: clip.file.clone(),
                size_bytes: clip.size_bytes,
                sha256: Fingerprint(clip.sha256),
                part: 1,
                parts: 1,
                burnt_in_time: false,
                captions: false,
                encoded_anew: None,
            },
            camera: CameraNamed {
                id: camera.id.clone(),
                name: camera.name.clone(),
            },
            mode: clip.mode,
            shown: Shown {
                asked: clip.requested().into(),
                cut_to: clip.requested_to.map(|_| clip.window.end),
                shown: clip.shown.into(),
                covered_seconds: clip.covered.as_secs_f64(),
                frames: clip.frames,
                gaps: clip.holes.iter().copied().map(Stretch::from).collect(),
                torn: Vec::new(),
            },
            sources,
        }
    }
}

/// The camera, by id and by the name that it had then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraNamed {
    /// Its id.
    pub id: CameraId,
    /// Its name for people.
    pub name: String,
}

/// The key that signed, so that a stranger knows which one to ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyNamed {
    /// SHA-256 of the public key in DER.
    pub id: Fingerprint,
    /// The public key in PEM. To check with this one shows only that manifest and signature belong together.
    pub public_key: String,
}

impl From<&PublicKey> for KeyNamed {
    fn from(key: &PublicKey) -> Self {
        Self {
            id: key.id(),
            public_key: key.to_pem(),
        }
    }
}

/// A file as it was when it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipFile {
    /// Under which it is found; manifests of early versions have none.
    pub id: Option<ClipId>,
    /// Its name, without a directory.
    pub file: String,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub sha256: Fingerprint,
    /// Which part of its order it is, from 1; a clip of a camera that changed its format has several.
    pub part: u32,
    /// How many parts there are.
    pub parts: u32,
    /// Whether the time was drawn into the pictures, which were encoded anew for it.
    pub burnt_in_time: bool,
    /// Whether a track of subtitles tells the time.
    pub captions: bool,
    /// Which pictures were encoded anew: all others are as the camera sent them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded_anew: Option<Retaken>,
}

/// Pictures that were encoded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retaken {
    /// From the first of them to the end of the last.
    #[serde(flatten)]
    pub span: Stretch,
    /// How many they are.
    pub frames: u64,
}

/// What a viewer sees of what was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The window that was asked for.
    pub asked: Stretch,
    /// Where the window was cut, when its end lay in the future: the moment at which the clip was made. Nothing is said of what
    /// came after.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_exact")]
    pub cut_to: Option<Timestamp>,
    /// From the start of the first picture that is shown to the end of the last.
    pub shown: Stretch,
    /// How long there are pictures within it, in seconds: how long the clip plays.
    pub covered_seconds: f64,
    /// How many pictures are shown.
    pub frames: u64,
    /// Where nothing was recorded in the window.
    pub gaps: Vec<Stretch>,
    /// Where pictures were recorded that cannot be decoded, or not whole: the camera refreshes its pictures bit by bit, and what
    /// these need was not recorded before them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub torn: Vec<Stretch>,
}

/// A half-open stretch of time, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// Its first moment.
    #[serde(with = "exact")]
    pub start: Timestamp,
    /// The first moment after it.
    #[serde(with = "exact")]
    pub end: Timestamp,
}

impl From<Span> for Stretch {
    fn from(span: Span) -> Self {
        Self {
            start: span.start,
            end: span.end,
        }
    }
}

impl From<Stretch> for Span {
    fn from(stretch: Stretch) -> Self {
        Self::new(stretch.start, stretch.end)
    }
}

/// One recorded segment, as the index knew it when the clip was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The segment.
    pub id: SegmentId,
    /// The unbroken session it is of.
    pub run: RunId,
    /// Its place in that, from 0.
    pub sequence: u32,
    /// From its first picture to the end of its last.
    #[serde(flatten)]
    pub span: Stretch,
    /// Its pictures: codec and size.
    pub codec: Codec,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Recorded as it happened, or fetched later from the camera.
    pub origin: Origin,
    /// Whose clock dated it.
    pub clock: ClockSource,
    /// How the camera's own clock stood to this box's, when it told.
    pub camera_clock: Option<CameraClock>,
    /// Packets that were lost on the way from the camera: with any, the segment is damaged.
    pub lost_packets: u64,
    /// Whether it was still being recorded: then its file had no final size and hash.
    pub open: bool,
    /// Whether the disk took it without complaint; a `suspect` one may not hold what was received.
    pub state: CopyState,
    /// Its file, under the directory of recordings; empty when it had none yet, and its frames came from memory.
    pub file: String,
    /// The size of the file, when it was closed.
    pub size_bytes: Option<u64>,
    /// SHA-256 of the file, when it is known.
    pub sha256: Option<Fingerprint>,
    /// Its place in the chain of its run; none when it is not chained.
    pub chain: Option<ChainLink>,
}

impl Source {
    /// What is to be said about a segment, by the copy it was read from; nothing of a closed one without a file.
    pub fn of(segment: &Segment, chain: Option<ChainLink>) -> Option<Self> {
        let readable = [CopyState::Whole, CopyState::Open, CopyState::Suspect];
        let copy = readable
            .iter()
            .find_map(|state| segment.copies.iter().find(|copy| copy.state == *state));
        let open = segment.state == SegmentState::Open;
        if copy.is_none() && !open {
            return None;
        }
        Some(Self {
            id: segment.id,
            run: segment.run,
            sequence: segment.sequence,
            span: segment.span.into(),
            codec: segment.format.codec,
            width: segment.format.width,
            height: segment.format.height,
            origin: segment.origin,
            clock: segment.clock,
            camera_clock: segment.camera_clock,
            lost_packets: segment.lost_packets,
            open,
            state: copy.map_or(CopyState::Open, |copy| copy.state),
            file: copy.map(|copy| copy.path.clone()).unwrap_or_default(),
            size_bytes: copy.filter(|_| !open).map(|copy| copy.size_bytes),
            sha256: copy.filter(|_| !open).and_then(|copy| copy.sha256).map(Fingerprint),
            chain: chain.filter(|_| !open),
        })
    }
}

/// A manifest as it lies beside its clip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The bytes that are signed.
    pub json: Vec<u8>,
    /// Their signature.
    pub signature: [u8; 64],
}

/// Puts a manifest into its bytes and signs them.
pub fn seal(manifest: ClipManifest, key: &BoxKey) -> Result<Sealed, StorageError> {
    let manifest = ClipManifest {
        key: Some(KeyNamed::from(&key.public())),
        ..manifest
    };
    let unwritable = |reason: String| StorageError::Damaged {
        path: PathBuf::from(&manifest.clip.file),
        reason: format!("its manifest cannot be written down: {reason}"),
    };
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| unwritable(error.to_string()))?;
    let open = text
        .strip_suffix("\n}")
        .ok_or_else(|| unwritable("it has no end".to_owned()))?;
    let above = format!("{open},\n");
    let json = format!("{above}  \"{ABOVE}\": \"{}\"\n}}\n", Fingerprint::of(above.as_bytes())).into_bytes();
    let signature = key.sign(&json);
    Ok(Sealed { json, signature })
}

impl Sealed {
    /// Writes both files beside a clip, on the disk for certain. The signature comes last: where it is, all of it is.
    pub fn write_beside(&self, clip: &Path) -> Result<(), StorageError> {
        write_atomic(&manifest_path(clip), &self.json)?;
        write_atomic(&signature_path(clip), &self.signature)
    }

    /// Reads what lies beside a clip, as it is. Whether it is right is another question: see [`super::verify()`].
    pub fn read_beside(clip: &Path) -> Result<Self, StorageError> {
        let path = signature_path(clip);
        let signature = read_small(&path, 65)?;
        Ok(Self {
            json: read_small(&manifest_path(clip), LONGEST_MANIFEST)?,
            signature: signature.try_into().map_err(|_| StorageError::Damaged {
                path,
                reason: "a signature has 64 bytes; check the disk".to_owned(),
            })?,
        })
    }
}

/// Whether the bytes of a manifest are what its own last line says of those above it; nothing when it has no such line.
pub(super) fn is_as_written(json: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(json).ok()?;
    let at = text.rfind(&format!("  \"{ABOVE}\": \""))?;
    let (above, last) = text.split_at_checked(at)?;
    let expected = format!("  \"{ABOVE}\": \"{}\"\n}}\n", Fingerprint::of(above.as_bytes()));
    Some(last == expected)
}

/// Where the manifest of a clip lies: `gate.mp4.manifest.json` beside `gate.mp4`.
pub fn manifest_path(clip: &Path) -> PathBuf {
    beside(clip, MANIFEST)
}

/// Where the signature of the manifest of a clip lies: `gate.mp4.manifest.sig` beside `gate.mp4`.
pub fn signature_path(clip: &Path) -> PathBuf {
    beside(clip, SIGNATURE)
}

fn beside(clip: &Path, ending: &str) -> PathBuf {
    let mut name = clip.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Times to the nanosecond: what is signed is what was computed with, not what was rounded for people.
mod exact {
    use chrono::SecondsFormat;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Timestamp;

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time.to_utc().to_rfc3339_opts(SecondsFormat::Nanos, true))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer)
    }
}

/// A time to the nanosecond that may be missing.
mod maybe_exact {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::model::Timestamp;

    pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::exact::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<Timestamp>::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::export::fixture::{key, manifest};
    use std::process::Command;

    #[test]
    fn a_manifest_says_everything_and_is_read_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let key = key(directory.path());
        let written = manifest(b"a clip");
        let sealed = seal(written.clone(), &key).unwrap();
        let text = String::from_utf8(sealed.json.clone()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["format"], MANIFEST_FORMAT);
        assert_eq!(value["shown"]["asked"]["start"], "2026-09-21T14:13:20.000000000Z");
        assert_eq!(value["sources"][0]["start"], "2026-09-21T14:13:18.000000007Z");
        assert_eq!(value["sources"][0]["run"], "00c0ffee");
        assert_eq!(value["sources"][0]["sha256"], Fingerprint::of(b"segment 0").to_string());
        assert_eq!(value["sources"][0]["clock"], "arrival");
        assert_eq!(value["sources"][0]["camera_clock"]["offset_ns"], -1_234_567);
        assert_eq!(value["shown"].get("cut_to"), None);
        assert_eq!(value["key"]["id"], key.public().id().to_string());
        let read: ClipManifest = serde_json::from_str(&text).unwrap();
        let named = Some(KeyNamed::from(&key.public()));
        assert_eq!(read, ClipManifest { key: named, ..written });
        assert!(key.public().has_signed(&sealed.json, &sealed.signature));
        let clip = directory.path().join("gate.mp4");
        sealed.write_beside(&clip).unwrap();
        assert_eq!(Sealed::read_beside(&clip).unwrap(), sealed);
        std::fs::write(signature_path(&clip), b"short").unwrap();
        assert!(Sealed::read_beside(&clip).unwrap_err().to_string().contains("64 bytes"));
    }

    #[test]
    fn sha256sum_and_openssl_are_enough_to_check_a_clip() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let key = key(at);
        let clip = at.join("gate.mp4");
        std::fs::write(&clip, b"a clip").unwrap();
        seal(manifest(b"a clip"), &key).unwrap().write_beside(&clip).unwrap();
        std::fs::write(at.join("box.pem"), key.public().to_pem()).unwrap();
        // As docs/evidence.md has it.
        let verify = || {
            let verify = "openssl pkeyutl -verify -pubin -inkey box.pem -rawin \
                          -in gate.mp4.manifest.json -sigfile gate.mp4.manifest.sig";
            Command::new("sh")
                .arg("-ec")
                .arg(verify)
                .current_dir(at)
                .output()
                .unwrap()
        };
        let said = verify();
        assert!(said.status.success(), "{said:?}");
        assert!(String::from_utf8_lossy(&said.stdout).contains("Signature Verified Successfully"));
        let hashed = Command::new("sha256sum").arg(&clip).output().unwrap();
        let hash = String::from_utf8_lossy(&hashed.stdout)[..64].to_owned();
        let told = std::fs::read_to_string(manifest_path(&clip)).unwrap();
        assert!(told.contains(&hash), "{told}");

        std::fs::write(manifest_path(&clip), told.replace("Front door", "Front Door")).unwrap();
        assert!(!verify().status.success(), "a changed name is not what was signed");
    }

    #[test]
    fn of_a_segment_that_is_open_nothing_is_said_that_will_change() {
        let mut segment = crate::export::fixture::segment(0);
        segment.state = SegmentState::Open;
        segment.copies[0].state = CopyState::Open;
        let source = Source::of(&segment, None).unwrap();
        assert_eq!((source.open, source.size_bytes, source.sha256), (true, None, None));
        segment.copies.clear();
        let source = Source::of(&segment, None).unwrap();
        assert_eq!(
            (source.open, source.file.as_str(), source.state),
            (true, "", CopyState::Open)
        );
        segment.state = SegmentState::Closed;
        assert_eq!(Source::of(&segment, None), None);
    }
}
