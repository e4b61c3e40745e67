//! The fragments of an MP4 file that is still being written, read into the tables of its tracks.

use mp4_atom::{Tfdt, Tfhd};

use super::frames::Sample;
use super::tables::{Tables, children, leaf, push};

/// The flag of a frame that needs others before it.
const DEPENDS: u32 = 0x0001_0000;

/// The samples of a `trun`, read from its body.
///
/// Not by mp4-atom: mp4mux gives flags of the first sample and flags of every sample in one run, which the standard does not
/// have, and mp4-atom then reads the rest of the run from the wrong place.
struct Run<'a> {
    signed: bool,
    flags: u32,
    offset: Option<i32>,
    first_flags: Option<u32>,
    left: u32,
    rest: &'a [u8],
}

/// What a run says of a sample; what it leaves out is as the fragment has it.
struct RunSample {
    duration: Option<u32>,
    size: Option<u32>,
    flags: Option<u32>,
    shown_after: i64,
}

impl<'a> Run<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut run = Self {
            signed: *body.first()? > 0,
            flags: 0,
            offset: None,
            first_flags: None,
            left: 0,
            rest: body,
        };
        run.flags = run.word()? & 0x00ff_ffff;
        run.left = run.word()?;
        run.offset = run.field(0x1)?.map(u32::cast_signed);
        run.first_flags = run.field(0x4)?;
        Some(run)
    }

    fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*word))
    }

    /// A field that is there when a flag says so; nothing when it should be and the run is cut.
    fn field(&mut self, flag: u32) -> Option<Option<u32>> {
        match self.flags & flag {
            0 => Some(None),
            _ => self.word().map(Some),
        }
    }

    fn sample(&mut self) -> Option<RunSample> {
        let (duration, size, flags) = (self.field(0x100)?, self.field(0x200)?, self.field(0x400)?);
        let delay = self.field(0x800)?.unwrap_or(0);
        Some(RunSample {
            duration,
            size,
            flags: self.first_flags.take().or(flags),
            shown_after: match self.signed {
                true => i64::from(delay.cast_signed()),
                false => i64::from(delay),
            },
        })
    }
}

impl Iterator for Run<'_> {
    type Item = Option<RunSample>;

    /// The next sample; nothing in its place when the run is cut.
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let sample = self.sample();
        if sample.is_none() {
            self.left = 0;
        }
        Some(sample)
    }
}

/// Reads the body of a `moof` that begins at `at`, and adds its frames.
pub(super) fn read_fragment(moof: &[u8], at: u64, file_size: u64, tables: &mut Tables) {
    let mut end_of_data = at;
    for (kind, traf) in children(moof) {
        if kind == *b"traf" {
            read_track_fragment(traf, at, file_size, tables, &mut end_of_data);
        }
    }
}

fn read_track_fragment(traf: &[u8], at: u64, file_size: u64, tables: &mut Tables, end_of_data: &mut u64) {
    let Some(header) = leaf::<Tfhd>(traf) else {
        return;
    };
    let Some(track) = tables.tracks.iter_mut().find(|track| track.id == header.track_id) else {
        return;
    };
    let defaults = tables
        .defaults
        .iter()
        .find(|defaults| defaults.track_id == header.track_id);
    // mp4mux takes a default out of `tfhd` when one sample differs, and leaves it out of the runs behind that sample all the
    // same. For sizes and durations it was what the first sample of the fragment says.
    let first = children(traf).find_map(|(kind, inside)| {
        let first = (kind == *b"trun").then(|| Run::read(inside)?.sample())??;
        Some((first.duration, first.size))
    });
    let (first_duration, first_size) = first.unwrap_or_default();
    let known = |value: &u32| *value > 0;
    let duration = header
        .default_sample_duration
        .or(first_duration)
        .or(defaults.map(|defaults| defaults.default_sample_duration).filter(known))
        .unwrap_or(0);
    let size = header
        .default_sample_size
        .or(first_size)
        .or(defaults.map(|defaults| defaults.default_sample_size).filter(known))
        .unwrap_or(0);
    let mut flags = header
        .default_sample_flags
        .or(defaults.map(|defaults| defaults.default_sample_flags))
        .unwrap_or(0);
    let base = match header.base_data_offset {
        Some(base) => base,
        None if header.default_base_is_moof => at,
        None => *end_of_data,
    };
    let follows = track
        .samples
        .last()
        .map_or(0, |last| last.dts.saturating_add(i64::from(last.duration)));
    let mut dts = leaf::<Tfdt>(traf).map_or(follows, |start| {
        i64::try_from(start.base_media_decode_time).unwrap_or(follows)
    });
    let mut offset = base;
    for (kind, inside) in children(traf) {
        if kind != *b"trun" {
            continue;
        }
        let Some(run) = Run::read(inside) else {
            tables.cut = true;
            return;
        };
        if let Some(relative) = run.offset {
            offset = base.saturating_add_signed(i64::from(relative));
        }
        for told in run {
            if let (None, Some(told)) = (header.default_sample_flags, told.as_ref().and_then(|told| told.flags)) {
                // Here too: what is left out behind it is the same.
                flags = told;
            }
            let sample = told.map(|told| Sample {
                offset,
                size: told.size.unwrap_or(size),
                dts,
                shown_after: told.shown_after,
                duration: told.duration.unwrap_or(duration),
                keyframe: told.flags.unwrap_or(flags) & DEPENDS == 0,
            });
            let Some((sample, end)) = sample.and_then(|sample| Some((sample, push(sample, file_size, track)?))) else {
                tables.cut = true;
                return;
            };
            offset = end;
            dts = dts.saturating_add(i64::from(sample.duration));
        }
    }
    *end_of_data = offset;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::frames::{TrackCoding, TrackTable};
    use bytes::Bytes;

    fn boxed(kind: &[u8; 4], words: &[u32], inside: &[u8]) -> Vec<u8> {
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let length = (8 + body.len() + inside.len()) as u32;
        [&length.to_be_bytes()[..], kind, &body, inside].concat()
    }

    #[test]
    fn what_mp4mux_leaves_out_of_later_runs_is_what_the_first_sample_says() {
        let track = TrackTable {
            id: 2,
            coding: TrackCoding::Aac {
                rate: 8000,
                channels: 1,
            },
            config: Bytes::new(),
            entry: Bytes::new(),
            timescale: 8000,
            shift: 0,
            samples: Vec::new(),
        };
        let mut tables = Tables {
            tracks: vec![track],
            ..Tables::default()
        };
        // As mp4mux 1.22 writes a fragment whose fourth packet is shorter: no default in `tfhd`, and none in the last run.
        let runs = [
            boxed(b"trun", &[0x301, 1, 100, 1024, 384], &[]),
            boxed(b"trun", &[0x301, 2, 600, 1024, 384, 512, 200], &[]),
            boxed(b"trun", &[0x1, 2, 2000], &[]),
            // And flags of the first and of every sample in one.
            boxed(
                b"trun",
                &[0x705, 2, 4000, DEPENDS, 1024, 300, 0, 1024, 400, DEPENDS],
                &[],
            ),
            boxed(b"trun", &[0x301, 1, 6000, 1024, 500], &[]),
        ];
        let traf = [boxed(b"tfhd", &[0x1, 2, 0, 0], &[]), runs.concat()].concat();
        read_fragment(&boxed(b"traf", &[], &traf), 0, 10_000, &mut tables);
        assert!(!tables.cut);
        let samples = tables.tracks[0].samples.iter();
        let samples: Vec<_> = samples
            .map(|sample| (sample.offset, sample.size, sample.dts, sample.duration))
            .collect();
        let keys = tables.tracks[0].samples.iter().map(|sample| sample.keyframe);
        assert_eq!(
            keys.collect::<Vec<_>>(),
            [true, true, true, true, true, false, false, false]
        );
        assert_eq!(
            samples,
            [
                (100, 384, 0, 1024),
                (600, 384, 1024, 1024),
                (984, 200, 2048, 512),
                (2000, 384, 2560, 1024),
                (2384, 384, 3584, 1024),
                (4000, 300, 4608, 1024),
                (4300, 400, 5632, 1024),
                (6000, 500, 6656, 1024)
            ]
        );
    }
}
