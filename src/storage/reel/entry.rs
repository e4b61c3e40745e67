//! Sample entries: how the frames of a track are to be decoded.

use bytes::Bytes;

use crate::model::Codec;

/// The sample entry of pictures for which no file has one yet: a whole box. `config` is the body of `avcC` or `hvcC`.
pub fn picture_entry(codec: Codec, config: &[u8], width: u32, height: u32) -> Bytes {
    let (kind, config_kind) = match codec {
        Codec::H264 => (*b"avc1", *b"avcC"),
        Codec::H265 => (*b"hvc1", *b"hvcC"),
    };
    let pixels = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX).to_be_bytes();
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
    body.extend_from_slice(&[0; 16]);
    body.extend_from_slice(&pixels(width));
    body.extend_from_slice(&pixels(height));
    // 72 points an inch each way, nothing, one frame a sample.
    body.extend_from_slice(&[0, 72, 0, 0, 0, 72, 0, 0, 0, 0, 0, 0, 0, 1]);
    // No name of an encoder; depth 24; no table of colours.
    body.extend_from_slice(&[0; 32]);
    body.extend_from_slice(&[0, 24, 0xff, 0xff]);
    body.extend_from_slice(&atom(config_kind, config));
    atom(kind, &body).into()
}

fn atom(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap_or(0).to_be_bytes();
    [&length[..], &kind, body].concat()
}
