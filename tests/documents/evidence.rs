//! What docs/evidence.md tells a stranger to type does what it says.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use camkeep::export::{ClipManifest, Source, seal};
use camkeep::model::{
    Camera, CameraId, ChainLink, Clip, ClipId, ClipMode, ClockSource, Codec, Container, Copy, CopyState, Fingerprint,
    Origin, RunId, Segment, SegmentId, SegmentState, Span, Timestamp, VideoFormat, VolumeId,
};
use camkeep::storage::BoxKey;

use super::root;

/// What the chapter's code blocks hold, without commands of ours and of other machines.
fn commands(text: &str, chapter: &str) -> Vec<String> {
    let (_, rest) = text.split_once(chapter).unwrap();
    let chapter = rest.split("\n## ").next().unwrap();
    let blocks = chapter
        .split("```sh\n")
        .skip(1)
        .filter_map(|block| block.split("```").next());
    blocks
        .filter(|block| !block.contains("camkeep "))
        .map(ToOwned::to_owned)
        .collect()
}

fn sh(at: &Path, script: &str) -> (bool, String) {
    let done = Command::new("sh")
        .args(["-ec", script])
        .current_dir(at)
        .output()
        .unwrap();
    (done.status.success(), String::from_utf8(done.stdout).unwrap())
}

fn door() -> CameraId {
    CameraId::parse("front-door").unwrap()
}

fn segment(span: Span) -> Segment {
    Segment {
        id: SegmentId(uuid::Uuid::from_u128(1)),
        camera: door(),
        run: RunId(0x00c0_ffee),
        sequence: 42,
        span,
        holes: Vec::new(),
        format: VideoFormat {
            codec: Codec::H264,
            width: 640,
            height: 360,
            fps: None,
        },
        has_audio: false,
        container: Container::Mp4,
        state: SegmentState::Closed,
        origin: Origin::Live,
        clock: ClockSource::Arrival,
        camera_clock: None,
        frames: 250,
        lost_packets: 0,
        created_at: span.start,
        copies: vec![Copy {
            volume: VolumeId(uuid::Uuid::from_u128(2)),
            path: "front-door/42.mp4".to_owned(),
            size_bytes: 9,
            sha256: Some(Fingerprint::of(b"a segment").0),
            state: CopyState::Whole,
        }],
    }
}

#[test]
fn a_stranger_can_do_what_the_page_about_evidence_says() {
    let text = std::fs::read_to_string(root().join("docs/evidence.md")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let now = Timestamp::from_seconds(1_790_000_000);
    let key = BoxKey::load_or_make(&at.join("box.key"), now).unwrap();
    std::fs::write(at.join("box.pem"), key.public().to_pem()).unwrap();
    std::fs::write(at.join("gate.mp4"), b"a clip").unwrap();
    let span = Span::new(now, now.plus(Duration::from_secs(10)));
    let file = Fingerprint::of(b"a segment");
    let link = ChainLink::new(Fingerprint::of(b"before"), &door(), RunId(0x00c0_ffee), 42, file);
    let clip = Clip {
        id: ClipId(uuid::Uuid::from_u128(3)),
        camera: door(),
        file: "gate.mp4".to_owned(),
        window: span,
        requested_to: None,
        shown: span,
        covered: span.duration(),
        size_bytes: 6,
        sha256: Fingerprint::of(b"a clip").0,
        frames: 250,
        segment_count: 1,
        holes: vec![],
        mode: ClipMode::Exact,
        asked_by: "somebody".to_owned(),
        job: None,
        created_at: now,
        expires_at: None,
    };
    let sources = vec![Source::of(&segment(span), Some(link)).unwrap()];
    let camera = Camera::new(door(), "Front door".to_owned(), now);
    let sealed = seal(ClipManifest::of(&clip, &camera, sources, "0.1.0"), &key).unwrap();
    sealed.write_beside(&at.join("gate.mp4")).unwrap();

    let told = commands(&text, "## How a stranger checks a clip\n");
    let [name, signature, hashes] = told.as_slice() else {
        panic!("not three steps any more: {told:?}");
    };
    let (done, said) = sh(at, name);
    assert!(done && said.starts_with(&key.public().id().to_string()), "{said}");
    let (done, said) = sh(at, signature);
    assert!(done && said.contains("Signature Verified Successfully"), "{said}");
    let (done, said) = sh(at, hashes);
    let hash = Fingerprint::of(b"a clip").to_string();
    assert!(
        done && said.lines().filter(|line| line.contains(&hash)).count() == 2,
        "{said}"
    );

    let told = commands(&text, "## The chain of recordings\n");
    let [value] = told.as_slice() else {
        panic!("one line makes a value: {told:?}");
    };
    let filled = value
        .replace("PREVIOUS", &link.previous.to_string())
        .replace("SHA256", &file.to_string());
    let (done, said) = sh(at, &filled);
    assert!(done && said.starts_with(&link.value.to_string()), "{said}");

    let (_, stamp) = text.split_once("`openssl ts ").unwrap();
    let stamp = stamp.split('`').next().unwrap();
    let (done, _) = sh(at, &format!("openssl ts {stamp}"));
    assert!(done && at.join("gate.tsq").exists());

    // And none of it says yes to anything.
    std::fs::write(at.join("gate.mp4"), b"A clip").unwrap();
    let (_, said) = sh(at, hashes);
    assert_eq!(said.lines().filter(|line| line.contains(&hash)).count(), 1);
    let mut json = sealed.json.clone();
    json[100] ^= 1;
    std::fs::write(at.join("gate.mp4.manifest.json"), json).unwrap();
    assert!(!sh(at, signature).0);
}

#[test]
fn every_field_of_a_manifest_is_explained() {
    let text = std::fs::read_to_string(root().join("docs/evidence.md")).unwrap();
    let source = std::fs::read_to_string(root().join("src/export/manifest.rs")).unwrap();
    let mut seen = 0;
    for name in ["ClipManifest", "Shown"] {
        let (_, fields) = source.split_once(&format!("pub struct {name} {{\n")).unwrap();
        for line in fields.split("\n}\n").next().unwrap().lines() {
            let Some((field, _)) = line.trim().strip_prefix("pub ").and_then(|line| line.split_once(':')) else {
                continue;
            };
            seen += 1;
            let shown = [format!("`{field}`"), format!("`shown.{field}`")];
            let is_told = field == "shown" || shown.iter().any(|word| text.contains(word));
            assert!(is_told, "docs/evidence.md does not say what {field} is");
        }
    }
    assert!(seen > 10, "{seen}");
}
