//! Footage that an encoder made to order: B-frames, open groups of pictures, intra refresh, other depths. Made and decoded by
//! ffmpeg only, so that each picture is known by its content and what is missing or torn in a recording is seen.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use super::footage::{Codec, is_delimiter, units};

/// A picture as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Coded {
    /// Its NAL units.
    pub(crate) units: Vec<Vec<u8>>,
    /// Its place in the order in which pictures are shown.
    pub(crate) shown: usize,
    /// Whether a decoder may begin with it, maybe to show it right only some pictures later.
    pub(crate) is_key: bool,
}

/// Pictures in the order in which they are decoded.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) codec: Codec,
    pub(crate) fps: u32,
    pub(crate) pictures: Vec<Coded>,
    places: HashMap<String, usize>,
}

impl Encoded {
    /// Encodes so many seconds with these parameters of the encoder.
    pub(crate) fn new(codec: Codec, fps: u32, seconds: u32, pixels: &str, parameters: &str) -> Self {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("footage.ts");
        let (encoder, option, format) = match codec {
            Codec::H264 => ("libx264", "-x264-params", "h264"),
            Codec::H265 => ("libx265", "-x265-params", "hevc"),
        };
        let quiet = match codec {
            Codec::H264 => "",
            Codec::H265 => ":log-level=none:repeat-headers=1",
        };
        let source = format!("testsrc2=size=160x96:rate={fps}:duration={seconds}");
        let parameters = format!("{parameters}:scenecut=0{quiet}");
        run("ffmpeg", |it| {
            it.args([
                "-nostdin", "-v", "error", "-f", "lavfi", "-i", &source, "-pix_fmt", pixels,
            ])
            .args(["-c:v", encoder, "-preset", "ultrafast", option, &parameters])
            .args(["-muxdelay", "0", "-f", "mpegts"])
            .arg(&file)
        });
        let stream = run("ffmpeg", |it| {
            it.args(["-nostdin", "-v", "error", "-i"])
                .arg(&file)
                .args(["-c", "copy", "-f", format, "pipe:1"])
        });
        let mut pictures: Vec<Vec<Vec<u8>>> = Vec::new();
        for unit in units(&stream) {
            // A delimiter opens each picture and is not sent itself.
            if is_delimiter(codec, unit) {
                pictures.push(Vec::new());
            } else if let Some(picture) = pictures.last_mut() {
                picture.push(unit.to_vec());
            }
        }
        let times = packets(&file);
        assert_eq!(times.len(), pictures.len(), "packets and pictures");
        let mut in_order = times.clone();
        in_order.sort_unstable();
        let place = |time: &i64| in_order.binary_search(time).expect("a time of its own");
        let pictures = pictures
            .into_iter()
            .zip(&times)
            .map(|(units, time)| Coded {
                is_key: units.iter().any(|unit| begins(codec, unit)),
                units,
                shown: place(time),
            })
            .collect();
        let hashes = decoded(&file);
        assert_eq!(hashes.len(), times.len(), "all that was encoded is decoded");
        let places: HashMap<_, _> = hashes.into_iter().enumerate().map(|(n, hash)| (hash, n)).collect();
        assert_eq!(places.len(), times.len(), "no two pictures are alike");
        Self {
            codec,
            fps,
            pictures,
            places,
        }
    }

    /// Which pictures a player shows of a file, each by its place; nothing for one that is none of these: torn.
    pub(crate) fn shown_in(&self, file: &Path) -> Vec<Option<usize>> {
        let hashes = decoded(file);
        hashes.iter().map(|hash| self.places.get(hash).copied()).collect()
    }
}

fn begins(codec: Codec, unit: &[u8]) -> bool {
    match codec {
        // An instantaneous refresh, or a recovery point.
        Codec::H264 => unit[0] & 0x1f == 5 || unit[0] & 0x1f == 6 && unit[1] == 6,
        Codec::H265 => (16..=21).contains(&(unit[0] >> 1 & 0x3f)),
    }
}

/// When the packets of a file are shown, in the order in which they lie.
fn packets(file: &Path) -> Vec<i64> {
    let said = run("ffprobe", |it| {
        it.args([
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "packet=pts",
            "-of",
            "csv=p=0",
        ])
        .arg(file)
    });
    let said = String::from_utf8(said).unwrap();
    let times = said.lines().filter(|line| !line.trim().is_empty());
    times
        .map(|line| line.trim().trim_end_matches(',').parse().expect("a time"))
        .collect()
}

/// When each packet of pictures of a file is shown and decoded, hidden or not, in seconds, in order of decoding.
pub(crate) fn times(file: &Path) -> Vec<(f64, f64)> {
    let said = run("ffprobe", |it| {
        it.args(["-v", "error", "-select_streams", "v", "-ignore_editlist", "1"])
            .args(["-show_entries", "packet=pts_time,dts_time", "-of", "csv=p=0"])
            .arg(file)
    });
    let said = String::from_utf8(said).unwrap();
    let lines = said.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let mut times = line.trim().split(',').map(|time| time.parse().expect("a time"));
            (times.next().unwrap(), times.next().unwrap())
        })
        .collect()
}

/// What each picture of a file looks like that is not hidden, also one that a careful decoder would rather not show.
fn decoded(file: &Path) -> Vec<String> {
    let said = run("ffmpeg", |it| {
        it.args(["-nostdin", "-v", "error", "-flags", "output_corrupt", "-i"])
            .arg(file)
            .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-enc_time_base:v", "-1"])
            .args(["-f", "framemd5", "pipe:1"])
    });
    let said = String::from_utf8(said).unwrap();
    let lines = said.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

fn run(program: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Vec<u8> {
    let mut command = Command::new(program);
    let output = with(&mut command).output().expect("ffmpeg has to be installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
