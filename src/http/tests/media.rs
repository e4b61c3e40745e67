#![allow(clippy::unwrap_used)]

use super::desk::Desk;
use crate::index::KnownVolume;
use crate::model::{Copy, Fingerprint, SegmentState, VolumeRole};
use crate::storage::Volume;
use crate::timeline::fixture::{at, segment};

const URL: &str = "/media/recordings/door/20261120_100000.000Z_00000001_000000.mp4";

fn with_file(desk: &Desk, content: &[u8]) {
    desk.add_segments(vec![segment(0, 10, 1, 0)]);
    let path = desk
        .recordings
        .join("door/2026-11-20/20261120_100000.000Z_00000001_000000.mp4");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_recording_is_served_whole_and_in_parts() {
    let desk = Desk::new();
    with_file(&desk, b"0123456789");
    let whole = desk.get(URL);
    assert_eq!((whole.status, whole.body.as_slice()), (200, b"0123456789".as_slice()));
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let part = desk.with_headers("GET", URL, "Range: bytes=2-4\r\n", "");
    assert_eq!((part.status, part.body.as_slice()), (206, b"234".as_slice()));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let tail = desk.with_headers("GET", URL, "Range: bytes=-2\r\n", "");
    assert_eq!((tail.status, tail.body.as_slice()), (206, b"89".as_slice()));
    let beyond = desk.with_headers("GET", URL, "Range: bytes=20-\r\n", "");
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */10"))
    );
    assert_eq!(beyond.json()["type"], "/problems/range");
    let several = desk.with_headers("GET", URL, "Range: bytes=0-1,4-5\r\n", "");
    assert_eq!(
        (several.status, &several.json()["type"]),
        (416, &"/problems/range".into())
    );
    let other_unit = desk.with_headers("GET", URL, "Range: frames=0-1\r\n", "");
    assert_eq!((other_unit.status, other_unit.body.len()), (200, 10));
    // A part only of what the client has already.
    let date = whole.header("last-modified").unwrap();
    for (known, status) in [(date, 206), ("Thu, 01 Jan 1970 00:00:00 GMT", 200), ("\"other\"", 200)] {
        let asked = format!("Range: bytes=2-4\r\nIf-Range: {known}\r\n");
        assert_eq!(desk.with_headers("GET", URL, &asked, "").status, status, "{known}");
    }
    let head = desk.with_headers("HEAD", URL, "", "");
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, Some("10"), 0)
    );
}

#[test]
fn a_segment_that_grows_is_served_as_it_is() {
    let desk = Desk::new();
    let mut open = segment(0, 10, 1, 0);
    open.state = SegmentState::Open;
    desk.app
        .index
        .write_blocking(move |writer| writer.open_segment(&open))
        .unwrap();
    let path = desk.recordings.join("door/2026-11-20");
    std::fs::create_dir_all(&path).unwrap();
    let path = path.join("20261120_100000.000Z_00000001_000000.mp4");
    std::fs::write(&path, b"012").unwrap();
    let answer = desk.get(URL);
    assert_eq!(answer.status, 503, "no frame is in it yet");
    assert!(answer.problem().contains("ask again"));
    // Frames, the index of a file that grows, and the beginning of what comes next.
    let film = b"\0\0\0\x0cftypiso4\0\0\0\x0cmdat0123\0\0\0\x10moov\0\0\0\x08mvex";
    std::fs::write(&path, [film.as_slice(), b"\0\0\0\x0cmdat4"].concat()).unwrap();
    let answer = desk.get(URL);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert_eq!(
        (answer.body.as_slice(), answer.header("content-type")),
        (film.as_slice(), Some("video/mp4"))
    );
    let part = desk.with_headers("GET", URL, "Range: bytes=4-7\r\n", "");
    assert_eq!((part.status, part.body.as_slice()), (206, b"ftyp".as_slice()));
}

#[test]
fn a_file_that_is_gone_is_said_to_be_gone() {
    let desk = Desk::new();
    desk.add_segments(vec![segment(0, 10, 1, 0)]);
    let answer = desk.get(URL);
    assert_eq!(answer.status, 404);
    assert_eq!(answer.problem(), "the file of this segment is no longer on the disk");
}

#[test]
fn a_file_that_the_primary_lost_or_changed_is_served_from_the_mirror() {
    let desk = Desk::new();
    let root = desk.place.root.path().join("mirror");
    let mirror = Volume::open(&root, VolumeRole::Mirror, at(0)).unwrap();
    let mut known = segment(0, 10, 1, 0);
    known.copies[0].size_bytes = 10;
    known.copies[0].sha256 = Some(Fingerprint::of(b"0123456789").0);
    let second = Copy {
        volume: mirror.id(),
        ..known.copies[0].clone()
    };
    let path = second.path.clone();
    known.copies.push(second);
    let row = KnownVolume {
        id: mirror.id(),
        role: VolumeRole::Mirror,
        root: root.display().to_string(),
        created_at: at(0),
    };
    desk.app
        .index
        .write_blocking(move |writer| writer.put_volume(&row))
        .unwrap();
    desk.add_segments(vec![known]);
    std::fs::write(mirror.create_new(&path).unwrap(), b"0123456789").unwrap();
    let gone = desk.get(URL);
    assert_eq!(gone.status, 404, "the mirror is not there yet");
    desk.app.volumes.use_mirror(Some((mirror.id(), root)));
    for primary in [None, Some(b"0123X56789".as_slice()), Some(b"0123")] {
        let file = desk.recordings.join(&path);
        if let Some(bytes) = primary {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        let whole = desk.get(URL);
        assert_eq!((whole.status, whole.body.as_slice()), (200, b"0123456789".as_slice()));
        let part = desk.with_headers("GET", URL, "Range: bytes=2-4\r\n", "");
        assert_eq!((part.status, part.body.as_slice()), (206, b"234".as_slice()));
    }
}

#[test]
fn nothing_but_a_known_recording_is_ever_served() {
    let desk = Desk::new();
    with_file(&desk, b"0123456789");
    std::fs::write(desk.place.root.path().join("secret.mp4"), b"SECRET").unwrap();
    std::fs::write(desk.recordings.join("secret.mp4"), b"SECRET").unwrap();
    // A whole recording that the index does not know.
    let stranger = desk
        .recordings
        .join("door/2026-11-20/20261120_100000.000Z_00000001_000009.mp4");
    std::fs::write(stranger, b"SECRET").unwrap();
    let long = format!("/media/recordings/door/{}", "a".repeat(6000));
    let mut targets = vec![long.as_str()];
    targets.extend([
        "/media/recordings/door/20261120_100000.000Z_00000001_000009.mp4",
        "/media/recordings/door/..",
        "/media/recordings/door/../secret.mp4",
        "/media/recordings/door/../../secret.mp4",
        "/media/recordings/../index.db",
        "/media/recordings/%2e%2e/index.db",
        "/media/recordings/door/%2e%2e%2fsecret.mp4",
        "/media/recordings/door/..%2f..%2fsecret.mp4",
        "/media/recordings/door/%2e%2e%5csecret.mp4",
        "/media/recordings/door/..\\secret.mp4",
        "/media/recordings/door/%252e%252e%252fsecret.mp4",
        "/media/recordings/door/%00",
        "/media/recordings/door/20261120_100000.000Z_00000001_000000.mp4%00",
        "/media/recordings/door/20261120_100000.000Z_00000001_000000.mp4%00.txt",
        "/media/recordings/door/20261120_100000.000Z_00000001_000000.mp4/",
        "/media/recordings/door/2026-11-20/20261120_100000.000Z_00000001_000000.mp4",
        "/media/recordings/door/2026-11-20%2f20261120_100000.000Z_00000001_000000.mp4",
        "/media/recordings/door/%2fetc%2fpasswd",
        "/media/recordings//etc/passwd",
        "/media/recordings/%2fetc/passwd",
        "/media/recordings/door/%FF%FE.mp4",
        "/media/recordings/door/%E2%80%AEmp4.exe",
        "/media/recordings/door/%EF%BC%8E%EF%BC%8E%EF%BC%8Fsecret.mp4",
        "/media/recordings/DOOR/20261120_100000.000Z_00000001_000000.mp4",
        "/media/recordings/door/+20261120_100000.000Z_00000001_000000.mp4",
        "/media/recordings/door/20261120_100000.000Z_00000001_0000000.mp4",
        "/media/recordings/door/99999999_999999.999Z_00000001_000000.mp4",
        "/media/recordings/.quarantine/x.mp4",
        "/media/recordings/door/",
        "/media/recordings/door",
        "/media/recordings/",
        "/media/secret.mp4",
        "/web/../Cargo.toml",
        "/web/%2e%2e/Cargo.toml",
        "/web/..%2fCargo.toml",
    ]);
    for target in targets {
        let answer = desk.get(target);
        assert!(matches!(answer.status, 400 | 404 | 414), "{target}: {}", answer.head);
        assert!(!answer.body.windows(6).any(|six| six == b"SECRET"), "{target}");
    }
    assert_eq!(desk.get(URL).status, 200);
}

#[test]
fn the_page_comes_with_a_policy_and_is_not_sent_twice() {
    let desk = Desk::new();
    let page = desk.get("/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'self';")
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let tag = page.header("etag").unwrap();
    let again = desk.with_headers("GET", "/", &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let script = desk.get("/web/app.js");
    assert_eq!(
        (script.status, script.header("content-type")),
        (200, Some("text/javascript; charset=utf-8"))
    );
    assert_eq!(desk.get("/web/nothing.js").status, 404);
}
