//! The referee: reads the stamps out of a media file, through the `ffmpeg` binary only, so that nothing it says
//! comes from the code or the library it judges.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use camkeep::pipeline::demo::{LEVELS, STAMP_COLUMNS, STAMP_HEIGHT_DIVISOR, STAMP_ROWS};

/// Each block is scaled to so many pixels each way, of which only the inner ones are looked at.
const CELL: usize = 4;
const WIDTH: usize = STAMP_COLUMNS * CELL;
const HEIGHT: usize = STAMP_ROWS * CELL;

/// One decoded frame that carries a stamp.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stamp {
    /// The camera's frame counter.
    pub(crate) counter: u32,
    /// When the camera took it, in nanoseconds since the epoch.
    pub(crate) time_ns: i64,
    /// Where it stands in the file, in seconds.
    pub(crate) pts: f64,
    /// Whether it is a keyframe.
    pub(crate) keyframe: bool,
}

/// What a file shows.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) stamps: Vec<Stamp>,
    /// Positions (0 is the first) of decoded frames whose stamp could not be read.
    pub(crate) unreadable: Vec<usize>,
}

/// Decodes all of a file and reads every stamp.
#[track_caller]
pub(crate) fn look(file: &Path) -> Seen {
    let filter = format!(
        "showinfo=checksum=0,crop=iw:ih/{STAMP_HEIGHT_DIVISOR}:0:0:exact=1,scale={WIDTH}:{HEIGHT}:flags=area,format=gray"
    );
    let output = ffmpeg([
        "-hide_banner".as_ref(),
        "-v".as_ref(),
        "info".as_ref(),
        "-copyts".as_ref(),
        "-i".as_ref(),
        file.as_os_str(),
        "-map".as_ref(),
        "0:v:0".as_ref(),
        "-vf".as_ref(),
        OsStr::new(&filter),
        "-fps_mode".as_ref(),
        "passthrough".as_ref(),
        "-f".as_ref(),
        "rawvideo".as_ref(),
        "-pix_fmt".as_ref(),
        "gray".as_ref(),
        "pipe:1".as_ref(),
    ]);
    let log = String::from_utf8_lossy(&output.stderr);
    let places = places(&log);
    let pictures = output.stdout.chunks_exact(WIDTH * HEIGHT);
    assert_eq!(
        pictures.len(),
        places.len(),
        "ffmpeg announced another number of frames than it gave:\n{log}"
    );
    let mut seen = Seen::default();
    for (n, (picture, (pts, keyframe))) in pictures.zip(places).enumerate() {
        match camkeep::pipeline::demo::Stamp::read(&levels(picture)) {
            Some(stamp) => seen.stamps.push(Stamp {
                counter: stamp.counter,
                time_ns: stamp.time_us as i64 * 1000,
                pts,
                keyframe,
            }),
            None => seen.unreadable.push(n),
        }
    }
    seen
}

/// The stamps of a file in which every frame has to have one.
#[track_caller]
pub(crate) fn read_stamps(file: &Path) -> Vec<Stamp> {
    let seen = look(file);
    assert!(
        seen.unreadable.is_empty(),
        "{}: frames {:?} of {} have no readable stamp",
        file.display(),
        seen.unreadable,
        seen.stamps.len() + seen.unreadable.len(),
    );
    seen.stamps
}

/// The stamps of files that follow one another.
#[track_caller]
pub(crate) fn read_all<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> Vec<Stamp> {
    files.into_iter().flat_map(|file| read_stamps(file.as_ref())).collect()
}

fn levels(picture: &[u8]) -> [u8; LEVELS] {
    std::array::from_fn(|bit| {
        let (row, column) = (bit / STAMP_COLUMNS, bit % STAMP_COLUMNS);
        let inner = (1..CELL - 1).flat_map(|y| (1..CELL - 1).map(move |x| (y, x)));
        let sum: usize = inner
            .map(|(y, x)| usize::from(picture[(row * CELL + y) * WIDTH + column * CELL + x]))
            .sum();
        (sum / (CELL - 2).pow(2)) as u8
    })
}

/// Where the frames stand and which are keyframes, from the lines of the filter `showinfo`.
fn places(log: &str) -> Vec<(f64, bool)> {
    let mut time_base = 0.0;
    let mut places = Vec::new();
    for line in log.lines().filter(|line| line.contains("showinfo")) {
        if let Some(base) = word_after(line, "config in time_base:") {
            let (numerator, denominator) = base.trim_end_matches(',').split_once('/').expect("a time base");
            time_base = numerator.parse::<f64>().unwrap() / denominator.parse::<f64>().unwrap();
        }
        if let (Some(pts), Some(key)) = (word_after(line, " pts:"), word_after(line, "iskey:")) {
            // Its own pts_time has six digits only, too few for a time since the epoch.
            let pts: f64 = pts.parse().unwrap_or_else(|_| panic!("a frame without a time: {line}"));
            places.push((pts * time_base, key == "1"));
        }
    }
    places
}

fn word_after<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    line.split_once(label)
        .and_then(|(_, rest)| rest.split_whitespace().next())
}

/// What the decoder complains about.
#[track_caller]
pub(crate) fn decode_errors(file: &Path) -> Vec<String> {
    let output = ffmpeg([
        "-v".as_ref(),
        "error".as_ref(),
        "-i".as_ref(),
        file.as_os_str(),
        // Frames of a camera that was held up lie closer than its frame rate says; ffmpeg's own clock must not round them
        // into one and complain.
        "-fps_mode".as_ref(),
        "passthrough".as_ref(),
        "-enc_time_base:v".as_ref(),
        "-1".as_ref(),
        "-f".as_ref(),
        "null".as_ref(),
        "-".as_ref(),
    ]);
    let mut errors: Vec<_> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .map(str::to_owned)
        .collect();
    if !output.status.success() {
        errors.push(format!("ffmpeg ended with {}", output.status));
    }
    errors
}

/// One stream of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// `video` or `audio`.
    pub(crate) kind: String,
    pub(crate) codec: String,
    /// The sample entry, like `avc1`.
    pub(crate) tag: String,
    pub(crate) width: u64,
    pub(crate) height: u64,
}

/// What a file says about itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probe {
    pub(crate) seconds: f64,
    pub(crate) tracks: Vec<Track>,
}

impl Probe {
    #[track_caller]
    pub(crate) fn video(&self) -> &Track {
        self.tracks
            .iter()
            .find(|track| track.kind == "video")
            .expect("a video track")
    }

    pub(crate) fn audio(&self) -> Option<&Track> {
        self.tracks.iter().find(|track| track.kind == "audio")
    }
}

/// Asks ffprobe about a file; `Err` is what it said when it cannot be read.
pub(crate) fn try_probe(file: &Path) -> Result<Probe, String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_streams", "-show_format", "-of", "json"])
        .arg(file)
        .output()
        .expect("ffprobe has to be installed");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let tracks = answer["streams"].as_array().into_iter().flatten().map(|stream| Track {
        kind: text(stream, "codec_type"),
        codec: text(stream, "codec_name"),
        tag: text(stream, "codec_tag_string"),
        width: stream["width"].as_u64().unwrap_or(0),
        height: stream["height"].as_u64().unwrap_or(0),
    });
    Ok(Probe {
        seconds: text(&answer["format"], "duration").parse().unwrap_or(0.0),
        tracks: tracks.collect(),
    })
}

/// Asks ffprobe about a file that has to be readable.
#[track_caller]
pub(crate) fn probe(file: &Path) -> Probe {
    try_probe(file).unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()))
}

/// Frame counters that are not there once, between the first and the last that are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) missing: Vec<u32>,
    pub(crate) doubled: Vec<u32>,
    /// Counters that stand behind a greater one.
    pub(crate) out_of_order: Vec<u32>,
}

impl Wrong {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Which frames are missing, doubled or out of order.
pub(crate) fn missing_or_doubled(stamps: &[Stamp]) -> Wrong {
    let mut wrong = Wrong::default();
    let mut times = BTreeMap::new();
    for stamp in stamps {
        *times.entry(stamp.counter).or_insert(0) += 1;
    }
    if let (Some((&first, _)), Some((&last, _))) = (times.first_key_value(), times.last_key_value()) {
        wrong.missing = (first..=last).filter(|counter| !times.contains_key(counter)).collect();
    }
    wrong.doubled = times
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(counter, _)| *counter)
        .collect();
    wrong.out_of_order = stamps
        .windows(2)
        .filter(|pair| pair[1].counter < pair[0].counter)
        .map(|pair| pair[1].counter)
        .collect();
    wrong
}

#[track_caller]
fn ffmpeg<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> Output {
    Command::new("ffmpeg")
        .arg("-nostdin")
        .args(arguments)
        .output()
        .expect("ffmpeg has to be installed")
}
