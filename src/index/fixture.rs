//! What the tests of this room share: a seal that is none, and rows to write.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;
use uuid::Uuid;

use super::{Index, KnownVolume};
use crate::model::{
    CameraId, Copy, CopyState, Hold, HoldId, Seal, Segment, SegmentState, Span, Timestamp, VolumeId, VolumeRole,
    fixture,
};

/// Turns bytes around with a byte that counts up: enough to see who sealed what, and that it was sealed.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicU8);

impl Seal for Turn {
    fn seal(&self, text: &str) -> Vec<u8> {
        let nonce = self.0.fetch_add(1, Ordering::Relaxed) | 0x80;
        let sealed = text.bytes().map(|byte| byte ^ nonce);
        [b's', nonce].into_iter().chain(sealed).collect()
    }

    fn unseal(&self, sealed: &[u8]) -> Option<String> {
        let (&[b's', nonce], rest) = sealed.split_first_chunk::<2>()? else {
            return None;
        };
        String::from_utf8(rest.iter().map(|byte| byte ^ nonce).collect()).ok()
    }
}

pub(super) fn seal() -> Arc<dyn Seal> {
    Arc::new(Turn::default())
}

/// An index in use, in a directory of its own, with one primary and one mirror volume.
pub(super) fn index() -> (TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    let index = Index::open(directory.path().join("index.db"), seal()).unwrap();
    index
        .write_blocking(|w| {
            w.put_volume(&volume(1, VolumeRole::Primary))?;
            w.put_volume(&volume(2, VolumeRole::Mirror))?;
            w.end_recovery()?;
            w.end_recovery_of_clips()
        })
        .unwrap();
    (directory, index)
}

pub(super) fn volume(number: u128, role: VolumeRole) -> KnownVolume {
    KnownVolume {
        id: VolumeId(Uuid::from_u128(number)),
        role,
        root: format!("/srv/{number}"),
        created_at: Timestamp::from_seconds(i64::try_from(number).unwrap()),
    }
}

pub(super) fn camera_id(text: &str) -> CameraId {
    CameraId::parse(text).unwrap()
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub(super) fn span(start: i64, end: i64) -> Span {
    Span::new(at(start), at(end))
}

/// An open segment of the camera `door` with one copy on the primary.
pub(super) fn segment(number: u128, start: i64, end: i64) -> Segment {
    Segment {
        state: SegmentState::Open,
        copies: vec![copy(1, number, CopyState::Open)],
        ..fixture::segment(number, span(start, end))
    }
}

pub(super) fn copy(volume: u128, number: u128, state: CopyState) -> Copy {
    Copy {
        volume: VolumeId(Uuid::from_u128(volume)),
        path: format!("door/{number:012}.mp4"),
        size_bytes: 1000,
        sha256: (state == CopyState::Whole).then_some([7; 32]),
        state,
    }
}

/// The same segment, closed, with a whole copy.
pub(super) fn closed(number: u128, start: i64, end: i64) -> Segment {
    Segment {
        state: SegmentState::Closed,
        copies: vec![copy(1, number, CopyState::Whole)],
        ..segment(number, start, end)
    }
}

/// A hold over seconds of cameras.
pub(super) fn hold(number: u128, cameras: &[&str], from: i64, to: i64) -> Hold {
    Hold {
        id: HoldId(Uuid::from_u128(number)),
        cameras: cameras.iter().map(|camera| camera_id(camera)).collect(),
        span: span(from, to),
        segment: None,
        reason: "theft".into(),
        owner: "somebody".into(),
        incident: Some("2026-17".into()),
        created_at: at(1),
        expires_at: None,
    }
}
