//! What a stream is built of: its encoders, and how they are set.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::options::{AudioCodec, StreamOptions, VideoCodec};

/// Tells an encoder what it was asked to be.
pub(super) fn set_up_encoder(options: &StreamOptions, encoder: &gst::Element) {
    encoder.set_property("bitrate", options.bitrate_kbps);
    encoder.set_property_from_str("speed-preset", "ultrafast");
    match options.codec {
        VideoCodec::H264 => {
            encoder.set_property("key-int-max", options.gop_frames);
            encoder.set_property("threads", 1u32);
            encoder.set_property("option-string", "scenecut=0");
            if options.bframes == 0 {
                encoder.set_property_from_str("tune", "zerolatency");
            } else {
                encoder.set_property("bframes", options.bframes);
                encoder.set_property("b-adapt", false);
                encoder.set_property("rc-lookahead", 0i32);
                encoder.set_property("sync-lookahead", 0i32);
            }
        }
        VideoCodec::H265 => {
            encoder.set_property("key-int-max", options.gop_frames as i32);
            let tune = if options.bframes == 0 { "zerolatency" } else { "ssim" };
            encoder.set_property_from_str("tune", tune);
            let more = format!(
                "scenecut=0:bframes={}:b-adapt=0:log-level=none:pools=none:frame-threads=1",
                options.bframes
            );
            encoder.set_property("option-string", more);
        }
    }
}

/// A source that is fed as time passes.
pub(super) fn set_up_source(source: &gst_app::AppSrc, caps: &gst::Caps) {
    source.set_format(gst::Format::Time);
    source.set_is_live(true);
    source.set_max_bytes(0);
    source.set_caps(Some(caps));
}

/// What the microphone gives.
pub(super) fn sound_caps(rate: u32) -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", rate as i32)
        .field("channels", 1i32)
        .build()
}

/// The elements of a stream whose pictures come encoded.
pub(super) fn relay_text(options: &StreamOptions) -> &'static str {
    match options.codec {
        VideoCodec::H264 => "( appsrc name=video ! rtph264pay name=pay0 pt=96 config-interval=-1 )",
        VideoCodec::H265 => "( appsrc name=video ! rtph265pay name=pay0 pt=96 config-interval=-1 )",
    }
}

/// The elements of a stream. Nothing of it comes from a person: it is put together of these words only, and
/// everything else is set as a property afterwards.
pub(super) fn launch_text(options: &StreamOptions) -> String {
    let video = match options.codec {
        // Nobody asks the payloader for a profile, and then it asks the encoder for constrained baseline.
        VideoCodec::H264 if options.main_profile || options.bframes > 0 => {
            "appsrc name=video ! x264enc name=encoder ! video/x-h264,profile=main ! rtph264pay name=pay0 pt=96 config-interval=-1"
        }
        VideoCodec::H264 => "appsrc name=video ! x264enc name=encoder ! rtph264pay name=pay0 pt=96 config-interval=-1",
        VideoCodec::H265 => "appsrc name=video ! x265enc name=encoder ! rtph265pay name=pay0 pt=96 config-interval=-1",
    };
    let audio = match options.audio {
        AudioCodec::None => return format!("( {video} )"),
        AudioCodec::Aac => "voaacenc name=voice bitrate=32000 ! rtpmp4gpay name=pay1 pt=97",
        AudioCodec::Pcmu => "mulawenc ! rtppcmupay name=pay1 pt=0",
        AudioCodec::Pcma => "alawenc ! rtppcmapay name=pay1 pt=8",
        AudioCodec::L16 => "audioconvert ! rtpL16pay name=pay1 pt=99",
        AudioCodec::G726 => "avenc_g726 bitrate=32000 ! rtpg726pay name=pay1 pt=100",
        AudioCodec::Speex => "speexenc ! rtpspeexpay name=pay1 pt=101",
        AudioCodec::Opus => "opusenc frame-size=20 ! rtpopuspay name=pay1 pt=98",
    };
    format!("( {video} appsrc name=audio ! {audio} )")
}
