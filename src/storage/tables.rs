//! The index boxes of an MP4 file, read into one table of frames a track.

use bytes::Bytes;
use mp4_atom::{Atom, Co64, Ctts, Elst, Hdlr, Mdhd, Mvhd, Stco, Stsc, Stss, Stsz, StszSamples, Stts, Tkhd, Trex};

use crate::model::Codec;

use super::frames::{Sample, TrackCoding, TrackTable};

/// More frames than a segment can hold: an hour at 240 a second and its sound.
const MOST_SAMPLES: usize = 2_000_000;

/// The tracks of a file as far as they are read.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) tracks: Vec<TrackTable>,
    pub(super) defaults: Vec<Trex>,
    /// Whether fragments may follow.
    pub(super) fragmented: bool,
    /// Whether a frame is told of that is not in the file.
    pub(super) cut: bool,
}

impl Tables {
    /// The first track of pictures and the first of sound.
    pub(super) fn into_tracks(self) -> (Option<TrackTable>, Option<TrackTable>) {
        let (mut video, mut audio) = (None, None);
        for track in self.tracks {
            match track.coding {
                TrackCoding::Video { .. } if video.is_none() => video = Some(track),
                TrackCoding::Aac { .. } | TrackCoding::Opus { .. } if audio.is_none() => audio = Some(track),
                _ => {}
            }
        }
        (video, audio)
    }
}

/// The boxes inside a body, as far as they are whole.
pub(super) fn children(mut body: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = body.split_at_checked(8)?;
        let length = u32::from_be_bytes(head[..4].try_into().ok()?);
        let kind = head[4..].try_into().ok()?;
        let (inside, after) = rest.split_at_checked((length as usize).checked_sub(8)?)?;
        body = after;
        Some((kind, inside))
    })
}

fn child<'a>(body: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    children(body).find_map(|(found, inside)| (found == *kind).then_some(inside))
}

/// A leaf box, decoded from its body; nothing when it is missing or malformed.
pub(super) fn leaf<A: Atom>(body: &[u8]) -> Option<A> {
    let kind: [u8; 4] = A::KIND.into();
    let mut inside = child(body, &kind)?;
    A::decode_body(&mut inside).ok()
}

/// Reads the body of a `moov` (or `hoov`); nothing when there is no track in it that is known.
pub(super) fn read_tables(moov: &[u8], file_size: u64) -> Option<Tables> {
    let movie_scale = leaf::<Mvhd>(moov)?.timescale.max(1);
    let extends = child(moov, b"mvex");
    let mut tables = Tables {
        fragmented: extends.is_some(),
        ..Tables::default()
    };
    for (kind, inside) in children(extends.unwrap_or_default()) {
        let mut inside = inside;
        if kind == *b"trex"
            && let Ok(trex) = Trex::decode_body(&mut inside)
        {
            tables.defaults.push(trex);
        }
    }
    for (kind, trak) in children(moov) {
        if kind == *b"trak"
            && let Some(mut track) = read_track(trak, movie_scale)
        {
            let stbl = child(child(child(trak, b"mdia")?, b"minf")?, b"stbl")?;
            tables.cut |= !read_samples(stbl, file_size, &mut track);
            tables.tracks.push(track);
        }
    }
    (!tables.tracks.is_empty()).then_some(tables)
}

fn read_track(trak: &[u8], movie_scale: u32) -> Option<TrackTable> {
    let mdia = child(trak, b"mdia")?;
    let id = leaf::<Tkhd>(trak)?.track_id;
    let timescale = leaf::<Mdhd>(mdia)?.timescale.max(1);
    let handler: [u8; 4] = leaf::<Hdlr>(mdia)?.handler.into();
    let stsd = child(child(child(mdia, b"minf")?, b"stbl")?, b"stsd")?;
    // Version, flags and the count of entries stand before the first.
    let (entry, inside) = children(stsd.get(8..)?).next()?;
    let (coding, config, own) = match &handler {
        b"vide" => read_video_entry(entry, inside).map(|(coding, config)| (coding, config, VISUAL))?,
        b"soun" => read_sound_entry(entry, inside).map(|(coding, config)| (coding, config, AUDIO))?,
        _ => return None,
    };
    let edits = child(trak, b"edts").and_then(leaf::<Elst>);
    Some(TrackTable {
        id,
        coding,
        config: Bytes::copy_from_slice(config),
        entry: without_rate(entry, inside, own)?,
        timescale,
        shift: edits.map_or(0, |edits| shift_of(&edits, movie_scale, timescale)),
        samples: Vec::new(),
    })
}

/// What an edit list adds to the times of a track: an empty edit delays it, a media time cuts its lead-in.
fn shift_of(edits: &Elst, movie_scale: u32, timescale: u32) -> i64 {
    let nanos = |ticks: u64, scale: u32| {
        i64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(scale.max(1))).unwrap_or(0)
    };
    let mut shift = 0i64;
    for edit in &edits.entries {
        match edit.media_time {
            None => shift = shift.saturating_add(nanos(edit.segment_duration, movie_scale)),
            Some(start) => return shift.saturating_sub(nanos(start, timescale)),
        }
    }
    shift
}

fn read_video_entry(entry: [u8; 4], inside: &[u8]) -> Option<(TrackCoding, &[u8])> {
    let (codec, config_kind) = match &entry {
        b"avc1" | b"avc3" => (Codec::H264, b"avcC"),
        b"hvc1" | b"hev1" => (Codec::H265, b"hvcC"),
        _ => return None,
    };
    let pixels = |at: usize| Some(u32::from(u16::from_be_bytes(inside.get(at..at + 2)?.try_into().ok()?)));
    let coding = TrackCoding::Video {
        codec,
        entry,
        width: pixels(24)?,
        height: pixels(26)?,
    };
    Some((coding, child(inside.get(VISUAL..)?, config_kind)?))
}

/// So many bytes of its own has a visual sample entry before its boxes.
const VISUAL: usize = 78;
/// So many an audio sample entry.
const AUDIO: usize = 28;

/// A sample entry but for its bit rate, which is true of one file only.
fn without_rate(kind: [u8; 4], inside: &[u8], own: usize) -> Option<Bytes> {
    let mut entry = vec![0; 4];
    entry.extend_from_slice(&kind);
    entry.extend_from_slice(inside.get(..own)?);
    for (kind, body) in children(inside.get(own..)?).filter(|(kind, _)| kind != b"btrt") {
        entry.extend_from_slice(&u32::try_from(body.len() + 8).ok()?.to_be_bytes());
        entry.extend_from_slice(&kind);
        entry.extend_from_slice(body);
    }
    let length = u32::try_from(entry.len()).ok()?.to_be_bytes();
    entry.get_mut(..4)?.copy_from_slice(&length);
    Some(entry.into())
}

fn read_sound_entry(entry: [u8; 4], inside: &[u8]) -> Option<(TrackCoding, &[u8])> {
    let number = |at: usize| Some(u32::from(u16::from_be_bytes(inside.get(at..at + 2)?.try_into().ok()?)));
    let (channels, rate) = (number(16)?, number(24)?);
    let boxes = inside.get(AUDIO..)?;
    match &entry {
        b"mp4a" => {
            // `esds` begins with version and flags.
            let esds = child(boxes, b"esds")?.get(4..)?;
            Some((TrackCoding::Aac { rate, channels }, read_sound_config(esds)?))
        }
        b"Opus" => Some((TrackCoding::Opus { rate, channels }, child(boxes, b"dOps")?)),
        _ => None,
    }
}

/// A descriptor of MPEG-4 systems: a tag, a length in 7 bits a byte, a body.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, mut rest) = bytes.split_first()?;
    let mut length = 0usize;
    for _ in 0..4 {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((*tag, rest.get(..length)?));
        }
    }
    None
}

/// AAC's AudioSpecificConfig inside an `esds`: elementary stream 3, decoder 4, specific 5.
fn read_sound_config(esds: &[u8]) -> Option<&[u8]> {
    let (3, stream) = descriptor(esds)? else {
        return None;
    };
    // No optional fields: those are for transports, and writers of MP4 leave them out.
    let (4, decoder) = descriptor(stream.get(3..)?)? else {
        return None;
    };
    let (5, config) = descriptor(decoder.get(13..)?)? else {
        return None;
    };
    (decoder.first() == Some(&0x40) && !config.is_empty()).then_some(config)
}

/// Repeats values as run-length boxes write them, and the fallback for ever after.
fn runs<T: Clone>(entries: impl IntoIterator<Item = (u32, T)>, then: T) -> impl Iterator<Item = T> {
    entries
        .into_iter()
        .flat_map(|(count, value)| std::iter::repeat_n(value, count as usize))
        .chain(std::iter::repeat(then))
}

/// Reads the tables of a `stbl`; `false` when they tell of a frame that is not in the file.
fn read_samples(stbl: &[u8], file_size: u64, track: &mut TrackTable) -> bool {
    let sizes = leaf::<Stsz>(stbl).unwrap_or_default().samples;
    let count = match &sizes {
        StszSamples::Identical { count, .. } => *count as usize,
        StszSamples::Different { sizes } => sizes.len(),
    };
    if count == 0 {
        return true;
    }
    let size_of = |index: usize| match &sizes {
        StszSamples::Identical { size, .. } => *size,
        StszSamples::Different { sizes } => sizes.get(index).copied().unwrap_or(0),
    };
    let chunks: Vec<u64> = match leaf::<Stco>(stbl) {
        Some(chunks) => chunks.entries.into_iter().map(u64::from).collect(),
        None => leaf::<Co64>(stbl).map(|chunks| chunks.entries).unwrap_or_default(),
    };
    let durations = leaf::<Stts>(stbl).unwrap_or_default().entries;
    let mut durations = runs(durations.iter().map(|run| (run.sample_count, run.sample_delta)), 0);
    let delays = leaf::<Ctts>(stbl).unwrap_or_default().entries;
    let mut delays = runs(delays.iter().map(|run| (run.sample_count, run.sample_offset)), 0);
    let keyframes = leaf::<Stss>(stbl).map(|keyframes| keyframes.entries);
    let packing = leaf::<Stsc>(stbl).unwrap_or_default().entries;
    let mut packing = packing.iter().peekable();
    let (mut index, mut dts, mut in_chunk) = (0usize, 0i64, 0u32);
    for (chunk, start) in (1u32..).zip(chunks) {
        while let Some(entry) = packing.next_if(|entry| entry.first_chunk <= chunk) {
            in_chunk = entry.samples_per_chunk;
        }
        let mut offset = start;
        for _ in 0..in_chunk {
            if index == count {
                return true;
            }
            let (Some(duration), Some(shown_after)) = (durations.next(), delays.next()) else {
                return false;
            };
            let sample = Sample {
                offset,
                size: size_of(index),
                dts,
                shown_after,
                duration,
                keyframe: keyframes
                    .as_ref()
                    .is_none_or(|keyframes| keyframes.binary_search(&(index as u32 + 1)).is_ok()),
            };
            let Some(end) = push(sample, file_size, track) else {
                return false;
            };
            offset = end;
            index += 1;
            dts = dts.saturating_add(i64::from(duration));
        }
    }
    index == count
}

/// Takes a frame that is in the file and gives its end; nothing when it is not, or cannot be one.
pub(super) fn push(sample: Sample, file_size: u64, track: &mut TrackTable) -> Option<u64> {
    let end = sample.offset.checked_add(u64::from(sample.size))?;
    if sample.size == 0 || end > file_size || track.samples.len() >= MOST_SAMPLES {
        return None;
    }
    track.samples.push(sample);
    Some(end)
}
