//! Cameras whose parameter sets change under the same numbers, from frame to frame or from group to group: two encoders that take
//! turns. With the sets of the other what the one made is rubbish, so every picture says whether it was decoded with its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use camkeep::model::Timestamp;

use super::bench::Bench;
use crate::daemon_site::{Row, Site};
use crate::kit::footage::{self, Codec, Frame, by_two_encoders, elementary};
use crate::kit::referee;

const SEGMENT_SECONDS: u64 = 4;
/// Bytes of a picture of 320 by 240.
const PICTURE: usize = 320 * 240 * 3 / 2;
const FRAME_NS: i64 = 1_000_000_000 / footage::FPS as i64;

type Picture = Vec<u8>;

/// What ffmpeg shows of a file.
#[track_caller]
fn by_ffmpeg(file: &Path) -> Vec<Picture> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args([
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-pix_fmt",
            "yuv420p",
            "-f",
            "rawvideo",
            "pipe:1",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", file.display());
    output.stdout.chunks(PICTURE).map(<[u8]>::to_vec).collect()
}

/// What GStreamer shows of it.
#[track_caller]
fn by_gstreamer(file: &Path, codec: Codec) -> Vec<Picture> {
    let raw = tempfile::NamedTempFile::new().unwrap();
    let (parse, decode) = match codec {
        Codec::H264 => ("h264parse", "avdec_h264"),
        Codec::H265 => ("h265parse", "avdec_h265"),
    };
    let output = Command::new("gst-launch-1.0")
        .args(["-q", "filesrc", &format!("location={}", file.display())])
        .args([
            "!",
            "qtdemux",
            "!",
            parse,
            "!",
            decode,
            "!",
            "videoconvert",
            "!",
            "video/x-raw,format=I420",
        ])
        .args(["!", "filesink", &format!("location={}", raw.path().display())])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("ERROR"),
        "{}: {said}",
        file.display()
    );
    std::fs::read(raw.path())
        .unwrap()
        .chunks(PICTURE)
        .map(<[u8]>::to_vec)
        .collect()
}

/// A camera that two encoders feed, and the pictures that it sends over and over.
struct Camera {
    id: String,
    codec: Codec,
    group: usize,
    sent: Vec<Picture>,
}

impl Camera {
    /// Where these pictures stand among those that it sends, one after another.
    #[track_caller]
    fn place(&self, pictures: &[Picture], what: &str) -> usize {
        let is_here = |at: &usize| {
            let sent = self.sent.iter().cycle().skip(*at);
            pictures.iter().zip(sent).all(|(picture, sent)| picture == sent)
        };
        let place = (0..self.sent.len()).find(is_here);
        place.unwrap_or_else(|| panic!("{what} of {} has other pictures than were sent", self.id))
    }
}

/// How far two pictures differ, on average of their bytes.
fn apart(one: &[u8], other: &[u8]) -> f64 {
    let sum: u64 = one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / one.len() as f64
}

fn text(ns: i64) -> String {
    let utc = Timestamp::from_nanos(ns).to_utc();
    utc.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}

/// Fetches what a camera has of something.
#[track_caller]
fn fetch(site: &Site, camera: &Camera, what: &str, number: usize) -> PathBuf {
    let file = site.data().with_file_name(format!("{}-{number}", camera.id));
    let path = format!("/api/v1/cameras/{}/{what}", camera.id);
    assert_eq!(
        site.daemon().fetch(&path, &file),
        200,
        "{path}: {:?}",
        std::fs::read_to_string(&file)
    );
    file
}

#[test]
fn sets_that_alternate_leave_segments_as_long_as_configured_and_every_picture_decodes() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    eprintln!("seed {seed}");
    let site = Site::start();
    let mut peers = Vec::new();
    let mut cameras = Vec::new();
    for (codec, name) in [(Codec::H264, "h264"), (Codec::H265, "h265")] {
        for group in [1, random.usize(3..40)] {
            let frames: &'static [Frame] = by_two_encoders(codec, group).leak();
            let stream = site.data().with_file_name(format!("{name}-{group}.{name}"));
            std::fs::write(&stream, elementary(frames)).unwrap();
            let peer = Bench {
                codec: match codec {
                    Codec::H264 => |_| Codec::H264,
                    Codec::H265 => |_| Codec::H265,
                },
                footage: Some(frames),
                ..Bench::default()
            };
            let peer = peer.start();
            let camera = Camera {
                id: format!("{name}-{group}"),
                codec,
                group,
                sent: by_ffmpeg(&stream),
            };
            assert_eq!(camera.sent.len(), frames.len());
            site.add(&camera.id, &peer.url("/main"), SEGMENT_SECONDS as u32);
            peers.push(peer);
            cameras.push(camera);
        }
    }
    for camera in &cameras {
        let rows = site.wait_closed(&camera.id, 4, Duration::from_secs(60));
        assert_segments(camera, &rows);
        let (first, files) = assert_files(&site, camera, &rows);
        // Clips and stills of what the file after the first change, and those behind it, have.
        let shown: Vec<(i64, usize)> = files.iter().flatten().copied().collect();
        let first = shown.iter().position(|(_, place)| *place == first).unwrap();
        for number in 0..8 {
            let from = random.usize(first..shown.len() - 2);
            let to = random.usize(from + 1..shown.len());
            assert_clip(&site, camera, &shown[from..to], number);
            assert_still(&site, camera, shown[from], 100 + number);
        }
    }
}

/// The first change makes a second file, and all others none.
#[track_caller]
fn assert_segments(camera: &Camera, rows: &[Row]) {
    let usual = SEGMENT_SECONDS * u64::from(footage::FPS);
    for row in rows.iter().skip(1) {
        let most = usual + camera.group as u64;
        assert!(
            (usual..=most).contains(&row.frames),
            "{}: {} frames",
            camera.id,
            row.frames
        );
    }
    assert!(
        rows[0].frames <= 2 * camera.group as u64,
        "{}: {} frames",
        camera.id,
        rows[0].frames
    );
    for pair in rows.windows(2) {
        assert!(
            (pair[1].start_ns - pair[0].end_ns).abs() <= 1_000_000,
            "{}: a gap",
            camera.id
        );
    }
}

/// Each file shows what was sent, in ffmpeg and in GStreamer. Gives which picture is the first behind the first change, and when
/// each picture of each file was taken, with its number since the first of all.
#[track_caller]
fn assert_files(site: &Site, camera: &Camera, rows: &[Row]) -> (usize, Vec<Vec<(i64, usize)>>) {
    let (mut next, mut begun, mut files) = (None, None, Vec::new());
    for (number, row) in rows.iter().enumerate() {
        let path = site.path(&camera.id, row);
        let pictures = by_ffmpeg(&path);
        assert_eq!(pictures.len() as u64, row.frames, "{}", path.display());
        assert_eq!(by_gstreamer(&path, camera.codec), pictures, "{}", path.display());
        let tag = referee::probe(&path).video().tag.clone();
        let place = camera.place(&pictures, &path.display().to_string());
        let place = next.map_or(place, |next: usize| {
            assert_eq!(next % camera.sent.len(), place, "{}", path.display());
            next
        });
        next = Some(place + pictures.len());
        if number > 0 {
            assert!(["avc3", "hev1"].contains(&tag.as_str()), "{tag}");
            begun = begun.or(Some(place));
        }
        let when = |frame: usize| (row.start_ns + frame as i64 * FRAME_NS, place + frame);
        files.push((0..pictures.len()).map(when).collect());
    }
    (begun.unwrap(), files)
}

#[track_caller]
fn assert_clip(site: &Site, camera: &Camera, wanted: &[(i64, usize)], number: usize) {
    let ((from, place), (to, _)) = (wanted[0], wanted[wanted.len() - 1]);
    let (from, to) = (text(from - FRAME_NS / 2), text(to + FRAME_NS / 2));
    let file = fetch(site, camera, &format!("clip.mp4?from={from}&to={to}"), number);
    let pictures = by_ffmpeg(&file);
    assert_eq!(pictures.len(), wanted.len(), "{} from {from} to {to}", camera.id);
    let sent = camera.sent.iter().cycle().skip(place % camera.sent.len());
    assert!(
        pictures.iter().zip(sent).all(|(picture, sent)| picture == sent),
        "{} from {from} to {to}",
        camera.id
    );
}

#[track_caller]
fn assert_still(site: &Site, camera: &Camera, (at, place): (i64, usize), number: usize) {
    let file = fetch(
        site,
        camera,
        &format!("snapshot?format=png&at={}", text(at + FRAME_NS / 2)),
        number,
    );
    let still = by_ffmpeg(&file);
    let off = apart(&still[0], &camera.sent[place % camera.sent.len()]);
    assert!(off < 2.0, "{}: a still that differs by {off}", camera.id);
}
