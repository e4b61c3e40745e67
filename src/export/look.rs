//! What the pictures and the sound of a strip are like: how they are decoded, as a file or the caps of what is in memory say it.

use bytes::Bytes;

use crate::model::{Codec, Edge, Timestamp, VideoFormat};
use crate::pipeline::{SoundConfig, decoder_config, has_sets_in_band, sound_config};
use crate::storage::{TrackCoding, TrackTable, aac_entry, opus_entry, picture_entry};

use super::table::{Frame, of_file};

/// How pictures are to be decoded. Strips that are alike in this fit into one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) codec: Codec,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) config: Bytes,
    /// Keyframes have their parameter sets in front of them, which may be others than the configuration's.
    pub(super) in_band: bool,
}

/// The sound of a strip.
#[derive(Debug, Clone)]
pub(super) struct Sound {
    pub(super) entry: Bytes,
    pub(super) config: Bytes,
    pub(super) scale: u32,
    pub(super) frames: Vec<Frame>,
}

pub(super) fn look_of(table: &TrackTable) -> Option<(Look, Bytes)> {
    let TrackCoding::Video {
        codec,
        entry,
        width,
        height,
    } = table.coding
    else {
        return None;
    };
    let look = Look {
        codec,
        width,
        height,
        config: table.config.clone(),
        in_band: matches!(&entry, b"avc3" | b"hev1"),
    };
    Some((look, table.entry.clone()))
}

pub(super) fn look_of_memory(format: &VideoFormat, caps: &str) -> Option<(Look, Bytes)> {
    let (config, in_band) = (decoder_config(caps)?, has_sets_in_band(caps));
    let entry = picture_entry(format.codec, in_band, &config, format.width, format.height);
    let look = Look {
        codec: format.codec,
        width: format.width,
        height: format.height,
        config: config.into(),
        in_band,
    };
    Some((look, entry))
}

/// What sound in memory is like; it has no frames yet.
pub(super) fn sound_of_memory(edge: &Edge) -> Option<Sound> {
    let SoundConfig {
        is_opus,
        config,
        rate,
        channels,
    } = sound_config(edge.caps.audio.as_deref()?)?;
    let entry = match is_opus {
        true => opus_entry(&config, rate, channels),
        false => aac_entry(&config, rate, channels),
    };
    Some(Sound {
        entry,
        config: config.into(),
        scale: rate,
        frames: Vec::new(),
    })
}

/// Sound stands to the pictures as it does in the file.
pub(super) fn sound_of(audio: &TrackTable, video: &TrackTable, start: Timestamp) -> Sound {
    let began = |table: &TrackTable| table.samples.first().map_or(0, |first| table.pts(first));
    let start = start.offset(began(audio).saturating_sub(began(video)));
    Sound {
        entry: audio.entry.clone(),
        config: audio.config.clone(),
        scale: audio.timescale,
        frames: of_file(audio, start, audio.timescale),
    }
}
