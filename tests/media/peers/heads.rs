//! Clips whose head is encoded anew, of pictures that are not as most cameras send them: deeper, with more colour, with pictures
//! that are shown before the keyframe that they are sent behind, and without keyframes at all.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use camkeep::export::{Anew, ExportError, Extras, Footage, Part, Retaker, plan, plan_anew, the_one};
use camkeep::model::{CameraId, ClipMode, Segment, Span, Timestamp};
use camkeep::pipeline::{Catalog, Progress, export};
use camkeep::storage::Movie;
use fastrand::Rng;

use super::bench::Bench;
use super::crowd::Crowd;
use crate::kit::footage::{Codec, elementary, stream};

const PATIENCE: Duration = Duration::from_secs(60);
/// Less than half a frame.
const BIT: i64 = 15_000_000;

type Picture = Vec<u16>;

/// A camera, and what was recorded of it.
struct Camera {
    id: CameraId,
    codec: Codec,
    /// How ffmpeg calls its pictures.
    pixels: &'static str,
    /// Pictures from one keyframe to the next at which a decoder forgets all before it.
    most_anew: u64,
    /// It refreshes its pictures bit by bit.
    is_torn: bool,
    /// What it sends over and over, as it is shown.
    sent: Vec<Picture>,
}

struct Recorded<'a> {
    camera: &'a Camera,
    crowd: &'a Crowd,
    segments: Vec<Segment>,
    /// When each picture was taken, in order.
    walls: Vec<i64>,
    /// The first picture of each segment, among these.
    begins: Vec<usize>,
}

/// What ffmpeg decodes of a file, and what it says of that.
fn decoded(file: &Path, pixels: &str) -> Output {
    Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args([
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-pix_fmt",
            pixels,
            "-f",
            "rawvideo",
            "pipe:1",
        ])
        .output()
        .unwrap()
}

/// What ffmpeg shows of a file, which it may not complain of.
#[track_caller]
fn pictures(file: &Path, pixels: &str) -> Vec<Picture> {
    let output = decoded(file, pixels);
    let said = String::from_utf8_lossy(&output.stderr);
    // A camera's own word to forget a picture that was before the first: it costs none of those that are there.
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.ends_with("mmco: unref short failure"))
        .collect();
    assert!(
        output.status.success() && said.iter().all(|line| line.trim().is_empty()),
        "{}: {said:?}",
        file.display()
    );
    apart(&output.stdout, pixels)
}

/// What GStreamer shows of it.
#[track_caller]
fn by_gstreamer(file: &Path, camera: &Camera) -> Vec<Picture> {
    let raw = tempfile::NamedTempFile::new().unwrap();
    let (parse, decode) = match camera.codec {
        Codec::H264 => ("h264parse", "avdec_h264"),
        Codec::H265 => ("h265parse", "avdec_h265"),
    };
    let output = Command::new("gst-launch-1.0")
        .args(["-q", "filesrc", &format!("location={}", file.display())])
        .args(["!", "qtdemux", "!", parse, "!", decode, "!", "filesink"])
        .arg(format!("location={}", raw.path().display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("ERROR"),
        "{}: {said}",
        file.display()
    );
    apart(&std::fs::read(raw.path()).unwrap(), camera.pixels)
}

fn apart(raw: &[u8], pixels: &str) -> Vec<Picture> {
    let samples: Vec<u16> = if pixels.ends_with("le") {
        raw.chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    } else {
        raw.iter().map(|byte| u16::from(*byte)).collect()
    };
    let of_colour = match pixels {
        "yuv420p" | "yuv420p10le" => 2,
        "yuv422p" | "yuv422p10le" => 4,
        _ => 8,
    };
    let size = 320 * 240 * (4 + of_colour) / 4;
    assert_eq!(samples.len() % size, 0, "{pixels}");
    samples.chunks_exact(size).map(<[u16]>::to_vec).collect()
}

/// ffprobe's name for a file's pictures.
fn pixels_of(file: &Path) -> String {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=pix_fmt",
            "-of",
            "csv=p=0",
        ])
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .trim_end_matches(',')
        .to_owned()
}

impl Camera {
    /// Which of those that were sent a picture is like most.
    fn most_like(&self, picture: &Picture) -> usize {
        let off = |sent: &Picture| -> u64 { sent.iter().zip(picture).map(|(a, b)| u64::from(a.abs_diff(*b))).sum() };
        (0..self.sent.len())
            .min_by_key(|number| off(&self.sent[*number]))
            .unwrap()
    }

    /// Adds a camera to those that are recorded.
    fn start(
        crowd: &Crowd,
        name: &str,
        (codec, pixels): (Codec, &'static str),
        (group, settings): (usize, &str),
    ) -> (Self, crate::kit::mock::Mock) {
        let made = stream(codec, pixels, &format!("{settings}:keyint={group}:min-keyint={group}"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), elementary(&made.frames)).unwrap();
        let peer = Bench {
            codec: match codec {
                Codec::H264 => |_| Codec::H264,
                Codec::H265 => |_| Codec::H265,
            },
            footage: Some(made.frames.leak()),
            later: made.later.leak(),
            ..Bench::default()
        };
        let peer = peer.start();
        let camera = Self {
            id: crowd.record(name, &peer.url("/main")),
            codec,
            pixels,
            is_torn: settings.contains("intra-refresh"),
            most_anew: if settings.contains("open-gop") && codec == Codec::H264 {
                50
            } else {
                group as u64
            },
            sent: pictures(file.path(), pixels),
        };
        assert_eq!(camera.sent.len(), 50, "{name}");
        (camera, peer)
    }
}

impl<'a> Recorded<'a> {
    fn of(camera: &'a Camera, crowd: &'a Crowd, segments: Vec<Segment>) -> Self {
        let (mut walls, mut begins) = (Vec::new(), Vec::new());
        for segment in &segments {
            let video = Movie::read(&crowd.path(segment)).unwrap().video.unwrap();
            let first = video.pts(video.first_shown().unwrap());
            let start = segment.span.start.as_nanos();
            begins.push(start);
            walls.extend(video.samples.iter().map(|sample| start + video.pts(sample) - first));
        }
        walls.sort_unstable();
        let begins = begins
            .iter()
            .map(|start| walls.partition_point(|wall| wall + BIT < *start))
            .collect();
        Self {
            camera,
            crowd,
            segments,
            walls,
            begins,
        }
    }

    fn footage(&self) -> Vec<Footage> {
        let read = |segment: &Segment| {
            let (footage, trouble) = Footage::read(segment.clone(), self.crowd.path(segment), None);
            assert!(trouble.is_none(), "{trouble:?}");
            footage
        };
        self.segments.iter().map(read).collect()
    }

    /// A window in which these pictures were taken.
    fn window(&self, from: usize, to: usize) -> Span {
        let before = |number: usize| Timestamp::from_nanos(self.walls[number] - BIT);
        Span::new(before(from), before(to))
    }

    fn write(&self, part: &Part, room: &Path) -> Vec<Picture> {
        let file = room.join("clip.mp4");
        let reader = part.reel.reader(0..part.reel.size_bytes());
        export(
            &Catalog::built_in().unwrap(),
            reader,
            &file,
            &Progress::default(),
            PATIENCE,
        )
        .unwrap();
        assert_eq!(pixels_of(&file), self.camera.pixels, "{}", self.camera.id);
        // What lies before pictures that a camera refreshes bit by bit is torn, and hidden.
        let shown = if self.camera.is_torn {
            pictures_of_any(&file, self.camera.pixels)
        } else {
            pictures(&file, self.camera.pixels)
        };
        assert_eq!(shown.len() as u64, part.frames, "{}", self.camera.id);
        shown
    }

    fn with_head(&self, window: Span, room: &Path) -> Result<Part, ExportError> {
        let (catalog, spool) = (Catalog::built_in().unwrap(), room.join("spool"));
        std::fs::write(&spool, "").unwrap();
        let (wanted, tell) = (|| true, |_| ());
        let retaker = Retaker::new(&catalog, window, Anew::Head, &spool, &wanted, &tell).unwrap();
        the_one(plan_anew(
            self.footage(),
            window,
            ClipMode::ReencodeHead,
            Extras::default(),
            retaker,
        )?)
    }

    /// Each picture of the window comes, in its place, as deep as it was; those behind the head are the camera's own.
    #[track_caller]
    fn judge_head(&self, from: usize, to: usize) {
        let room = tempfile::tempdir().unwrap();
        let window = self.window(from, to);
        let what = format!("{} from {from} to {to}, {:?}", self.camera.id, self.begins);
        let part = self
            .with_head(window, room.path())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((part.lead_in, part.torn.len(), part.holes.len()), (0, 0, 0), "{what}");
        let shown = self.write(&part, room.path());
        // GStreamer may show more behind the last, of what decoding it needed.
        let by_gstreamer = by_gstreamer(&room.path().join("clip.mp4"), self.camera);
        let counts = (by_gstreamer.len(), shown.len());
        let mut others = by_gstreamer.iter();
        let lacks = shown.iter().position(|picture| !others.any(|other| other == picture));
        // Nor does it always show the last, where others follow that are only decoded.
        let is_last = lacks.is_none_or(|lacks| lacks + 1 == shown.len());
        assert!(
            is_last,
            "{what}: GStreamer does not show picture {lacks:?} of {counts:?}"
        );
        self.assert_shown(&shown, from..to, &part, &what);
        if let Some(anew) = part.encoded_anew {
            assert_eq!(anew.span.start, part.shown.start, "{what}");
            assert!(
                anew.frames <= self.camera.most_anew,
                "{what}: {anew:?} is more than a head"
            );
        }
    }

    #[track_caller]
    fn assert_shown(&self, shown: &[Picture], expected: std::ops::Range<usize>, part: &Part, what: &str) {
        assert_eq!(shown.len(), expected.len(), "{what}");
        let first = self.first();
        let head = part.encoded_anew.map_or(0, |anew| {
            let end = anew.span.end.as_nanos();
            let is_encoded = |wall: &&i64| **wall + BIT < end;
            self.walls[expected.clone()].iter().filter(is_encoded).count()
        });
        assert_eq!(part.encoded_anew.map_or(0, |anew| anew.frames), head as u64, "{what}");
        for (number, (picture, taken)) in shown.iter().zip(expected).enumerate() {
            let sent = (first + taken) % self.camera.sent.len();
            if number < head {
                let like = self.camera.most_like(picture);
                assert_eq!(like, sent, "{what}: picture {number} of the head");
            } else {
                assert!(
                    *picture == self.camera.sent[sent],
                    "{what}: picture {number} is another"
                );
            }
        }
    }

    /// Which of those that are sent was recorded first.
    fn first(&self) -> usize {
        let file = self.crowd.path(&self.segments[0]);
        // Behind what a decoder does not show, and before it does not matter either.
        let output = pictures_of_any(&file, self.camera.pixels);
        let last = self.camera.most_like(output.last().unwrap());
        let video = Movie::read(&file).unwrap().video.unwrap();
        let count = video.samples.len();
        let all = self.camera.sent.len();
        (last + all - (self.begins[0] + count - 1) % all) % all
    }
}

/// The same of a file that may begin with pictures that cannot be decoded.
fn pictures_of_any(file: &Path, pixels: &str) -> Vec<Picture> {
    let output = decoded(file, pixels);
    apart(&output.stdout, pixels)
}

/// Records cameras until each has so many segments.
fn record(mut crowd: Crowd, cameras: &[Camera]) -> (Crowd, Vec<Vec<Segment>>) {
    for camera in cameras {
        crowd.wait_for_closed(&camera.id, 2, PATIENCE);
    }
    crowd.stop();
    let closed = cameras
        .iter()
        .map(|camera| crowd.closed(&camera.id)[..2].to_vec())
        .collect();
    (crowd, closed)
}

fn random() -> Rng {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    Rng::with_seed(seed)
}

#[test]
fn a_head_of_deep_pictures_and_of_full_colour_is_as_deep_and_only_the_head_is_encoded() {
    let mut random = random();
    let crowd = Crowd::new();
    let mut cameras = Vec::new();
    for (name, codec, pixels) in [
        ("h264-420-10", Codec::H264, "yuv420p10le"),
        ("h264-422-10", Codec::H264, "yuv422p10le"),
        ("h264-444", Codec::H264, "yuv444p"),
        ("h265-420-10", Codec::H265, "yuv420p10le"),
        ("h265-422-10", Codec::H265, "yuv422p10le"),
    ] {
        let group = random.usize(10..50);
        cameras.push(Camera::start(&crowd, name, (codec, pixels), (group, "bframes=0")));
    }
    let (cameras, _peers): (Vec<_>, Vec<_>) = cameras.into_iter().unzip();
    let (crowd, segments) = record(crowd, &cameras);
    for (camera, segments) in cameras.iter().zip(segments) {
        let recorded = Recorded::of(camera, &crowd, segments);
        for _ in 0..4 {
            let from = random.usize(0..recorded.walls.len() - 30);
            recorded.judge_head(from, random.usize(from + 5..recorded.walls.len() - 5));
        }
    }
}

#[test]
fn a_head_of_open_groups_has_every_picture_and_the_rest_is_the_cameras() {
    let mut random = random();
    let crowd = Crowd::new();
    let mut cameras = Vec::new();
    for (name, codec) in [("h264-open", Codec::H264), ("h265-open", Codec::H265)] {
        let group = random.usize(10..25);
        let settings = format!("open-gop=1:bframes={}:b-adapt=0", random.usize(1..4));
        cameras.push(Camera::start(&crowd, name, (codec, "yuv420p"), (group, &settings)));
    }
    let (cameras, _peers): (Vec<_>, Vec<_>) = cameras.into_iter().unzip();
    let (crowd, segments) = record(crowd, &cameras);
    for (camera, segments) in cameras.iter().zip(segments) {
        let recorded = Recorded::of(camera, &crowd, segments);
        let seam = recorded.begins[1];
        // Over the seam of two files as well, also from those pictures on that stand behind a file's first keyframe.
        let near = [seam - 20, seam - 3, seam - 2, seam - 1, seam, seam + 1];
        let any = [(); 6].map(|()| random.usize(30..recorded.walls.len() - 30));
        for from in near.into_iter().chain(any) {
            recorded.judge_head(from, random.usize(from + 5..recorded.walls.len() - 5));
        }
    }
}

#[test]
fn a_clip_of_a_stream_without_keyframes_begins_early_enough_or_says_what_is_torn() {
    let mut random = random();
    let crowd = Crowd::new();
    let group = random.usize(12..22);
    let (camera, _peer) = Camera::start(
        &crowd,
        "refresh",
        (Codec::H264, "yuv420p"),
        (group, "intra-refresh=1:bframes=0"),
    );
    let cameras = [camera];
    let (crowd, mut segments) = record(crowd, &cameras);
    let recorded = Recorded::of(&cameras[0], &crowd, segments.remove(0));
    let (seam, all) = (recorded.begins[1], recorded.walls.len());
    let near = [seam - 1, seam + 1, seam + random.usize(2..6), seam + group];
    let any = [(); 8].map(|()| random.usize(60..all - 30));
    for from in near.into_iter().chain(any) {
        let to = random.usize(from + 26..all);
        let (room, window) = (tempfile::tempdir().unwrap(), recorded.window(from, to));
        let what = format!("from {from} to {to}, {:?}", recorded.begins);
        let part = the_one(plan(recorded.footage(), window, ClipMode::Exact, Extras::default()).unwrap()).unwrap();
        let shown = recorded.write(&part, room.path());
        // Only where the file does not reach back far enough something lacks, and that is told.
        let lacks = to - from - shown.len();
        let is_early = (seam..seam + group).contains(&from);
        assert!(lacks == 0 || is_early && lacks < group, "{what}: {lacks} lack");
        let torn = (lacks > 0).then(|| (recorded.walls[from], recorded.walls[from + lacks]));
        let told = part
            .torn
            .iter()
            .map(|torn| (torn.start.as_nanos(), torn.end.as_nanos()));
        assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(torn), "{what}");
        assert_eq!(part.holes, [], "{what}");
        recorded.assert_shown(&shown, from + lacks..to, &part, &what);
        match recorded.with_head(window, room.path()) {
            Ok(part) => {
                let shown = recorded.write(&part, room.path());
                recorded.assert_shown(&shown, to - shown.len()..to, &part, &what);
                assert_eq!(part.torn.len(), usize::from(shown.len() < to - from), "{what}");
            }
            Err(error) => assert!(error.to_string().contains("mode=exact"), "{what}: {error}"),
        }
    }
}
