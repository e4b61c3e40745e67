//! An index on a disk of its own, and footage to put into it.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use uuid::Uuid;

use crate::index::{Index, KnownVolume};
use crate::model::{
    Camera, CameraId, Copy, CopyState, GapCause, Hole, RunId, Seal, Segment, Span, Timestamp, VolumeId, VolumeRole,
    fixture,
};

/// Seals nothing; the index does not mind.
#[derive(Debug)]
pub(crate) struct Open;

impl Seal for Open {
    fn seal(&self, text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    fn unseal(&self, sealed: &[u8]) -> Option<String> {
        String::from_utf8(sealed.to_vec()).ok()
    }
}

/// An index in use with one camera, `door`, and one volume.
pub(crate) struct IndexBox {
    pub(crate) index: Index,
    pub(crate) root: tempfile::TempDir,
}

/// 2026-11-20 10:00:00 and so many seconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_168_800 + seconds)
}

pub(crate) fn door() -> CameraId {
    CameraId::parse("door").unwrap()
}

pub(crate) fn camera(id: &str) -> Camera {
    let mut camera = Camera::new(CameraId::parse(id).unwrap(), id.to_uppercase(), at(0));
    camera.main_stream_url = Some("rtsp://admin:hunter2@127.0.0.1:8554/main".into());
    camera
}

pub(crate) fn volume() -> VolumeId {
    VolumeId(Uuid::from_u128(7))
}

pub(crate) fn index() -> IndexBox {
    let root = tempfile::tempdir().unwrap();
    let index = Index::open(root.path().join("index.db"), Arc::new(Open)).unwrap();
    let known = KnownVolume {
        id: volume(),
        role: VolumeRole::Primary,
        root: "recordings".into(),
        created_at: at(0),
    };
    index
        .write_blocking(move |writer| {
            writer.put_volume(&known)?;
            writer.end_recovery()?;
            writer.end_recovery_of_clips()?;
            writer.insert_camera(&camera("door"))
        })
        .unwrap();
    IndexBox { index, root }
}

/// A span without footage.
pub(crate) fn hole(start: i64, end: i64, cause: GapCause) -> Hole {
    let span = Span::new(at(start), at(end));
    Hole { span, cause }
}

/// A closed segment of `door`.
pub(crate) fn segment(start: i64, end: i64, run: u32, sequence: u32) -> Segment {
    let place = crate::storage::Place::new(door(), at(start), RunId(run), sequence);
    let number = (u128::from(run) << 64) | u128::from(sequence);
    Segment {
        run: RunId(run),
        sequence,
        frames: 250,
        copies: vec![Copy {
            volume: volume(),
            path: place.relative_path(),
            size_bytes: 1000,
            sha256: Some([1; 32]),
            state: CopyState::Whole,
        }],
        ..fixture::segment(number, Span::new(at(start), at(end)))
    }
}
