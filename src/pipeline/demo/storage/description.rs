//! What a replay is described as: SDP.

use gstreamer::glib;

use crate::model::Span;

use super::super::options::VideoCodec;
use super::form::Asked;
use super::packets::split_units;
use super::vault::Vault;

/// Describes what an address asks for, to whoever asked for it as `target`. `pictures` is from the first that would be played
/// to the last.
pub(super) fn describe(vault: &Vault, asked: Asked, pictures: Option<Span>, target: &str) -> String {
    let range = vault.tell_range(asked.form, pictures);
    let (address, query) = match target.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (target, String::new()),
    };
    let name = match vault.codec {
        VideoCodec::H264 => "H264",
        VideoCodec::H265 => "H265",
    };
    [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        &format!("s={}", vault.title),
        "t=0 0",
        "a=control:*",
        &format!("a=range:{range}"),
        "m=video 0 RTP/AVP 96",
        "c=IN IP4 0.0.0.0",
        &format!("a=rtpmap:96 {name}/90000"),
        &format!("a=fmtp:96 {}", parameters(vault)),
        &format!("a=control:{}/trackID=1{query}", address.trim_end_matches('/')),
        "",
    ]
    .join("\r\n")
}

/// The parameter sets, from the first picture that is kept.
fn parameters(vault: &Vault) -> String {
    let kept = vault.shelf.first();
    let bytes = kept.as_ref().and_then(|unit| unit.buffer.map_readable().ok());
    let units = bytes.as_ref().map(|bytes| split_units(bytes)).unwrap_or_default();
    let find = |kind: u8| {
        let wanted = |unit: &&&[u8]| match vault.codec {
            VideoCodec::H264 => unit[0] & 0x1f == kind,
            VideoCodec::H265 => (unit[0] >> 1) & 0x3f == kind,
        };
        units.iter().find(wanted).map(|unit| glib::base64_encode(unit))
    };
    match vault.codec {
        VideoCodec::H264 => match (find(7), find(8)) {
            (Some(sps), Some(pps)) => format!("packetization-mode=1;sprop-parameter-sets={sps},{pps}"),
            _ => "packetization-mode=1".to_owned(),
        },
        VideoCodec::H265 => match (find(32), find(33), find(34)) {
            (Some(vps), Some(sps), Some(pps)) => format!("sprop-vps={vps};sprop-sps={sps};sprop-pps={pps}"),
            _ => "tx-mode=SRST".to_owned(),
        },
    }
}
