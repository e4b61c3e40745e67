//! Recordings that were cut off, made for the tests of the check, and who judges what becomes of them.
#![allow(clippy::disallowed_methods)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use camkeep::model::{Track, TrackCaps, Unit};
use camkeep::pipeline::{Catalog, Mended, Mending, Units, mend};
use camkeep::storage::{JournalHeader, JournalWriter, Movie};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

/// A recording that was cut off: the file as it lay on the disk, and every unit that had come by then.
pub(crate) struct Left {
    _directory: tempfile::TempDir,
    pub(crate) open: PathBuf,
    pub(crate) closed: PathBuf,
    pub(crate) caps: TrackCaps,
    pub(crate) units: Vec<Unit>,
}

#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) encoder: &'static str,
    pub(crate) parser: &'static str,
    pub(crate) format: &'static str,
    pub(crate) sound: bool,
}

pub(crate) const H264: Kind = Kind {
    encoder: "x264enc bframes=0 key-int-max=25 speed-preset=ultrafast byte-stream=true bitrate=300",
    parser: "h264parse",
    format: "video/x-h264,stream-format=avc,alignment=au",
    sound: false,
};
pub(crate) const H264_B: Kind = Kind {
    encoder: "x264enc bframes=2 b-adapt=false key-int-max=25 speed-preset=veryfast byte-stream=true bitrate=300",
    ..H264
};
pub(crate) const H264_SOUND: Kind = Kind { sound: true, ..H264_B };
pub(crate) const H265: Kind = Kind {
    encoder: "x265enc key-int-max=25 speed-preset=ultrafast bitrate=300 option-string=bframes=0:scenecut=0:log-level=none",
    parser: "h265parse",
    format: "video/x-h265,stream-format=hvc1,alignment=au",
    sound: false,
};

pub(crate) const FRAMES: usize = 110;

/// Records 110 frames (4.4 s, keyframes each second) as the recorder does, takes the file as it lies there before it is
/// closed, then closes it.
pub(crate) fn record(kind: Kind) -> Left {
    gst::init().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let closed = directory.path().join("closed.mp4");
    let open = directory.path().join("open.mp4");
    let sound = if kind.sound {
        "audiotestsrc num-buffers=200 samplesperbuffer=1000 ! audio/x-raw,rate=44100,channels=1 ! avenc_aac ! aacparse \
         ! audio/mpeg,stream-format=raw ! tee name=soundtap soundtap. ! queue ! segments.audio_0 \
         soundtap. ! queue max-size-buffers=0 max-size-time=0 ! appsink name=sound sync=false async=false"
    } else {
        ""
    };
    let text = format!(
        "videotestsrc pattern=ball num-buffers={FRAMES} ! video/x-raw,width=192,height=128,framerate=25/1 ! {} ! {} ! {} \
         ! tee name=tap tap. ! queue name=room ! splitmuxsink name=segments max-size-time=0 \
         muxer=\"mp4mux fragment-duration=500 fragment-mode=first-moov-then-finalise\" \
         sink=\"filesink buffer-mode=unbuffered\" tap. ! queue max-size-buffers=0 max-size-time=0 ! appsink name=tail sync=false async=false {sound}",
        kind.encoder, kind.parser, kind.format,
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let segments = pipeline.by_name("segments").unwrap();
    segments.set_property("location", closed.to_str().unwrap());
    let collected = Arc::new(Mutex::new((Vec::new(), TrackCaps::default())));
    let pictures = Arc::clone(&collected);
    tap(&pipeline, "tail", Track::Video, move |unit, caps| {
        let mut collected = pictures.lock().unwrap();
        collected.0.push(unit);
        collected.1.video = caps;
    });
    if kind.sound {
        let packets = Arc::clone(&collected);
        tap(&pipeline, "sound", Track::Audio, move |unit, caps| {
            let mut collected = packets.lock().unwrap();
            collected.0.push(unit);
            collected.1.audio = Some(caps);
        });
    }
    // The end is held back at the door of the segments, so that the file stays open for as long as it is looked at.
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let video = segments.static_pad("video").unwrap();
    video.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(event) = info.event()
            && event.type_() == gst::EventType::Eos
        {
            let _ = held.lock().unwrap().recv_timeout(Duration::from_secs(30));
        }
        gst::PadProbeReturn::Ok
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    // Four whole groups of pictures reach the muxer; it holds back what has not filled half a second.
    let deadline = Instant::now() + Duration::from_secs(30);
    while Movie::read(&closed).map_or(0, |movie| movie.frames()) < 75 || collected.lock().unwrap().0.len() < FRAMES {
        assert!(Instant::now() < deadline, "the recording does not grow");
        std::thread::yield_now();
    }
    fs::copy(&closed, &open).unwrap();
    let_go.send(()).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(30),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    let (mut units, caps) = collected.lock().unwrap().clone();
    units.sort_by_key(|unit: &Unit| unit.dts);
    Left {
        _directory: directory,
        open,
        closed,
        caps,
        units,
    }
}

fn tap(pipeline: &gst::Pipeline, name: &str, track: Track, mut take: impl FnMut(Unit, String) + Send + 'static) {
    let sink = pipeline.by_name(name).unwrap().downcast::<gst_app::AppSink>().unwrap();
    sink.set_callbacks(
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let buffer = sample.buffer().unwrap();
                let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
                let running = |time: Option<gst::ClockTime>| match segment.to_running_time_full(time.unwrap()).unwrap()
                {
                    gst::Signed::Positive(time) => time.nseconds() as i64,
                    gst::Signed::Negative(time) => -(time.nseconds() as i64),
                };
                let pts = running(buffer.pts());
                let unit = Unit {
                    track,
                    pts,
                    dts: buffer.dts().map_or(pts, |dts| running(Some(dts))),
                    duration: buffer.duration().map(|duration| duration.nseconds()),
                    keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
                    payload: buffer.map_readable().unwrap().to_vec().into(),
                };
                take(unit, sample.caps().unwrap().to_string());
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
}

pub(crate) fn of(units: &[Unit], track: Track) -> Vec<Unit> {
    units.iter().filter(|unit| unit.track == track).cloned().collect()
}

pub(crate) fn read(path: &Path, track: Track) -> Vec<Unit> {
    let movie = Movie::read(path).unwrap();
    movie
        .units(Arc::new(File::open(path).unwrap()), track)
        .map(|unit| unit.unwrap())
        .collect()
}

/// Frames and packets as ffprobe counts them after decoding, and no complaint of ffmpeg's.
pub(crate) fn referee(path: &Path) -> u64 {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&decoded.stderr).into_owned();
    assert!(
        decoded.status.success() && complaint.is_empty(),
        "{}: {complaint}",
        path.display()
    );
    let counted = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=nb_read_frames",
        ])
        .args(["-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&counted.stdout).trim().parse().unwrap()
}

pub(crate) fn payloads(units: &[Unit]) -> Vec<&[u8]> {
    units.iter().map(|unit| &unit.payload[..]).collect()
}

pub(crate) fn units_of(units: Vec<Unit>) -> Units {
    Box::new(units.into_iter().map(Ok))
}

pub(crate) fn mend_units(caps: &TrackCaps, units: &[Unit], target: &Path) -> Mended {
    let sound = of(units, Track::Audio);
    let mending = Mending {
        caps: caps.clone(),
        video: units_of(of(units, Track::Video)),
        audio: (!sound.is_empty()).then(|| units_of(sound)),
    };
    let patience = Duration::from_secs(20);
    mend(&Catalog::built_in().unwrap(), mending, target, patience, patience).unwrap()
}

/// Records a live picture into `directory` for ever, as the recorder does: segments on one side, a journal on the other.
/// The time of each frame is said on standard output before anything is done with it.
pub(crate) fn record_until_killed(directory: &Path, header: JournalHeader, kind: Kind) {
    gst::init().unwrap();
    let text = format!(
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=192,height=128,framerate=25/1 ! {} ! {} ! {} \
         ! tee name=tap tap. ! queue ! splitmuxsink name=segments max-size-time=0 \
         muxer=\"mp4mux fragment-duration=500 fragment-mode=first-moov-then-finalise\" \
         sink=\"filesink buffer-mode=unbuffered\" tap. ! queue ! appsink name=tail sync=false async=false",
        kind.encoder, kind.parser, kind.format,
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let file = directory.join("killed.mp4");
    pipeline
        .by_name("segments")
        .unwrap()
        .set_property("location", file.to_str().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    tap(&pipeline, "tail", Track::Video, move |unit, caps| {
        tell.send((unit, caps)).unwrap()
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut journal = None;
    let mut out = std::io::stdout().lock();
    for (unit, caps) in told {
        writeln!(out, "frame {}", unit.pts).unwrap();
        let journal = journal.get_or_insert_with(|| {
            let caps = TrackCaps {
                video: caps,
                audio: None,
            };
            let header = JournalHeader { caps, ..header.clone() };
            JournalWriter::create(&directory.join("killed.tail"), &header).unwrap()
        });
        journal.append(&unit).unwrap();
    }
}
