//! What the tests of this room share: a key, segments, and a manifest of a clip made of them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use super::manifest::{ClipManifest, Source};
use crate::model::{
    Camera, CameraClock, CameraId, ChainLink, Clip, ClipId, ClipMode, Copy, CopyState, Fingerprint, RunId, Segment,
    Span, Timestamp, VolumeId, fixture,
};
use crate::storage::BoxKey;

/// When the window of the clip begins.
const FROM: i64 = 1_790_000_000;
/// How many segments it is made of, each of ten seconds.
pub(super) const SOURCES: u32 = 3;

pub(super) fn key(directory: &Path) -> BoxKey {
    BoxKey::load_or_make(&directory.join("box.key"), Timestamp::from_seconds(FROM)).unwrap()
}

fn door() -> CameraId {
    CameraId::parse("front-door").unwrap()
}

/// What the file of a segment holds.
pub(super) fn bytes(sequence: u32) -> Vec<u8> {
    format!("segment {sequence}").into_bytes()
}

pub(super) fn segment(sequence: u32) -> Segment {
    let start = Timestamp::from_nanos((FROM - 2 + 10 * i64::from(sequence)) * 1_000_000_000 + 7);
    let span = Span::new(start, start.offset(10_000_000_000));
    Segment {
        camera: door(),
        run: RunId(0xc0ffee),
        sequence,
        camera_clock: Some(CameraClock {
            offset_ns: -1_234_567,
            drift_ppm: 1.5,
        }),
        frames: 250,
        copies: vec![Copy {
            volume: VolumeId(Uuid::from_u128(1)),
            path: format!("front-door/2026-09-21/{sequence}.mp4"),
            size_bytes: bytes(sequence).len() as u64,
            sha256: Some(Fingerprint::of(&bytes(sequence)).0),
            state: CopyState::Whole,
        }],
        ..fixture::segment(u128::from(sequence) + 1, span)
    }
}

/// The links of the segments, from the first on.
pub(super) fn links() -> Vec<ChainLink> {
    let mut previous = ChainLink::BEGINNING;
    (0..SOURCES)
        .map(|sequence| {
            let file = Fingerprint::of(&bytes(sequence));
            let link = ChainLink::new(previous, &door(), RunId(0xc0ffee), sequence, file);
            previous = link.value;
            link
        })
        .collect()
}

/// What is to be said about a clip with these bytes.
pub(super) fn manifest(clip: &[u8]) -> ClipManifest {
    let at = |seconds| Timestamp::from_seconds(FROM + seconds);
    let span = Span::new(at(0), at(25));
    let clip = Clip {
        id: ClipId(Uuid::from_u128(77)),
        camera: door(),
        file: "gate.mp4".to_owned(),
        window: span,
        requested_to: None,
        shown: span,
        covered: Duration::from_secs(25),
        size_bytes: clip.len() as u64,
        sha256: Fingerprint::of(clip).0,
        frames: 625,
        segment_count: u64::from(SOURCES),
        holes: vec![],
        mode: ClipMode::Exact,
        asked_by: "127.0.0.1".to_owned(),
        job: None,
        created_at: at(100),
        expires_at: None,
    };
    let sources = links().into_iter().zip(0..);
    let sources = sources
        .map(|(link, sequence)| Source::of(&segment(sequence), Some(link)).unwrap())
        .collect();
    ClipManifest::of(
        &clip,
        &Camera::new(door(), "Front door".to_owned(), at(0)),
        sources,
        "0.1.0",
    )
}
