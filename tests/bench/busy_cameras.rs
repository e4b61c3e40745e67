//! Cameras for a benchmark: Full HD at 4 Mbit/s, as shops have them. What they send is encoded once, before anything is
//! measured, and sent again and again: an encoder a camera would take the processors that are measured.

use std::io::Write;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::prelude::*;

use super::wait::pause;

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
const FPS: u64 = 25;
const KBPS: u32 = 4000;
/// A keyframe every two seconds.
const GOP: u32 = 50;
/// So many are sent before the first one comes again: whole groups.
const PICTURES: usize = 200;

/// Serves so many cameras and prints their addresses and what each sends in kilobits a second, until it is killed.
pub(crate) fn serve(count: u64) {
    gst::init().unwrap();
    let pictures = encoded();
    let bytes: usize = pictures.iter().map(|picture| picture.size()).sum();
    let server = gst_rtsp_server::RTSPServer::new();
    server.set_address("127.0.0.1");
    server.set_service("0");
    let mounts = server.mount_points().unwrap();
    for number in 0..count as usize {
        let factory = gst_rtsp_server::RTSPMediaFactory::new();
        factory.set_shared(true);
        factory.set_launch(
            "( appsrc name=video is-live=true format=time ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )",
        );
        let pictures = pictures.clone();
        factory.connect_media_configure(move |_, media| {
            let bin = media.element().downcast::<gst::Bin>().unwrap();
            let source = bin.by_name("video").and_downcast::<gst_app::AppSrc>().unwrap();
            source.set_caps(Some(&caps("video/x-h264,stream-format=byte-stream,alignment=au")));
            let pictures = pictures.clone();
            // Keyframes of different cameras do not come at the same moment.
            std::thread::spawn(move || send(&pictures, number * 37, &source));
        });
        mounts.add_factory(&format!("/{number}"), factory);
    }
    let _attached = server.attach(None).unwrap();
    let mut out = std::io::stdout();
    for number in 0..count {
        writeln!(out, "rtsp://127.0.0.1:{}/{number}", server.bound_port()).unwrap();
    }
    writeln!(out, "{}", bytes as u64 * 8 * FPS / PICTURES as u64 / 1000).unwrap();
    out.flush().unwrap();
    gst::glib::MainLoop::new(None, false).run();
}

fn caps(text: &str) -> gst::Caps {
    text.parse().unwrap()
}

/// Sends a picture every fortieth of a second, as long as somebody takes them.
fn send(pictures: &[gst::Buffer], first: usize, source: &gst_app::AppSrc) {
    let begun = Instant::now();
    for turn in 0.. {
        let due = Duration::from_millis(1000 * turn / FPS);
        pause(due.saturating_sub(begun.elapsed()));
        let mut picture = pictures[(first + turn as usize) % PICTURES].copy();
        let shown = picture.get_mut().unwrap();
        let now = source.current_running_time();
        shown.set_pts(now);
        shown.set_dts(now);
        if source.push_buffer(picture).is_err() {
            return;
        }
    }
}

/// Pictures of a place with much in it, where some of it moves: keyframes cost many times what the others do.
fn encoded() -> Vec<gst::Buffer> {
    let text = format!(
        "appsrc name=raw format=time max-bytes=20000000 block=true caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1
         ! x264enc speed-preset=veryfast tune=zerolatency threads=2 bitrate={KBPS} vbv-buf-capacity=2000 key-int-max={GOP} option-string=scenecut=0
         ! video/x-h264,stream-format=byte-stream,alignment=au,profile=high ! appsink name=done sync=false max-buffers=0"
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let source = pipeline.by_name("raw").and_downcast::<gst_app::AppSrc>().unwrap();
    let sink = pipeline.by_name("done").and_downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let texture = noise(WIDTH * HEIGHT * 2);
    for turn in 0..PICTURES {
        let mut picture = vec![128; WIDTH * HEIGHT * 3 / 2];
        for (row, line) in picture.chunks_mut(WIDTH).take(HEIGHT).enumerate() {
            // A third of it moves past; the sensor's own noise is on all of it.
            let moved = if row % 360 < 120 { turn * 6 } else { 0 };
            let at = (row * WIDTH + moved) % texture.len();
            let grain = (row * 7919 + turn * 104_729) % (texture.len() - WIDTH);
            for (x, pixel) in line.iter_mut().enumerate() {
                let place = texture[(at + x) % texture.len()] / 2;
                *pixel = 40 + place + texture[grain + x] / 48;
            }
        }
        let mut buffer = gst::Buffer::from_mut_slice(picture);
        let at = gst::ClockTime::from_mseconds(1000 * turn as u64 / FPS);
        buffer.get_mut().unwrap().set_pts(at);
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let done: Vec<gst::Buffer> = std::iter::from_fn(|| sink.pull_sample().ok())
        .map(|sample| sample.buffer_owned().unwrap())
        .collect();
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(done.len(), PICTURES);
    done
}

/// Numbers that do not compress, and are the same each time; neighbours are alike, as in pictures.
fn noise(length: usize) -> Vec<u8> {
    let (mut state, mut last) = (0x2545_f491_4f6c_dd1d_u64, 128u64);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        last = (last * 3 + state % 256) / 4;
        last as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
