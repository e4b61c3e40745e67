//! Sample entries: how the frames of a track are to be decoded.

use bytes::Bytes;

use crate::model::Codec;

/// The sample entry of pictures for which no file has one yet: a whole box. `config` is the body of `avcC` or `hvcC`; parameter
/// sets may stand in the stream as well, `in_band`.
pub fn picture_entry(codec: Codec, in_band: bool, config: &[u8], width: u32, height: u32) -> Bytes {
    let (kind, config_kind) = match (codec, in_band) {
        (Codec::H264, false) => (*b"avc1", *b"avcC"),
        (Codec::H264, true) => (*b"avc3", *b"avcC"),
        (Codec::H265, false) => (*b"hvc1", *b"hvcC"),
        (Codec::H265, true) => (*b"hev1", *b"hvcC"),
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

/// The sample entry of AAC for which no file has one yet: a whole box. `config` is its AudioSpecificConfig.
pub fn aac_entry(config: &[u8], rate: u32, channels: u32) -> Bytes {
    // Streams of MPEG-4 sound (0x40, 0x15), of no told size and rate.
    let mut decoder = vec![0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    decoder.extend_from_slice(&descriptor(5, config));
    let mut stream = vec![0, 0, 0];
    stream.extend_from_slice(&descriptor(4, &decoder));
    stream.extend_from_slice(&descriptor(6, &[2]));
    let esds = [&[0; 4][..], &descriptor(3, &stream)].concat();
    sound_entry(*b"mp4a", rate, channels, &atom(*b"esds", &esds))
}

/// The sample entry of Opus for which no file has one yet: a whole box. `config` is the body of its `dOps`.
pub fn opus_entry(config: &[u8], rate: u32, channels: u32) -> Bytes {
    sound_entry(*b"Opus", rate, channels, &atom(*b"dOps", config))
}

fn sound_entry(kind: [u8; 4], rate: u32, channels: u32, config: &[u8]) -> Bytes {
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1];
    body.extend_from_slice(&[0; 8]);
    body.extend_from_slice(&short(channels));
    // 16 bits a sample.
    body.extend_from_slice(&[0, 16, 0, 0, 0, 0]);
    body.extend_from_slice(&short(rate));
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(config);
    atom(kind, &body).into()
}

/// A descriptor of MPEG-4 systems; its length in 7 bits a byte.
fn descriptor(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let part = |shift: usize| ((length >> shift) & 0x7f) as u8;
    let mut bytes = vec![tag, part(21) | 0x80, part(14) | 0x80, part(7) | 0x80, part(0)];
    bytes.extend_from_slice(body);
    bytes
}

fn atom(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap_or(0).to_be_bytes();
    [&length[..], &kind, body].concat()
}
