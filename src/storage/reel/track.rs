//! One track of a reel: its samples in a few bytes each, and the box that tells of them.

use bytes::Bytes;
use mp4_atom::{
    Co64, Ctts, CttsEntry, Dinf, Dref, DrefEntry, Elst, ElstEntry, Encode, FourCC, Hdlr, Mdhd, Nmhd, Smhd, Stco, Stsc,
    StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Url, Vmhd,
};

use super::head::{MOVIE_SCALE, boxed};

/// What a track is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackKind {
    /// Pictures of this size.
    Pictures {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Sound.
    Sound,
    /// Text that is shown over the pictures.
    Text,
}

/// What is known of a track before its samples come.
#[derive(Debug, Clone)]
pub struct TrackPlan {
    /// What it is.
    pub kind: TrackKind,
    /// Ticks a second.
    pub timescale: u32,
    /// Its sample entries, whole boxes. A track has one, and another for each decoder that a part of it needs.
    pub entries: Vec<Bytes>,
}

/// One sample on its way into a track, in decoding order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Laid {
    /// How many bytes it has.
    pub size: u32,
    /// When it is shown, in ticks of its track. What lies before the start that is shown may be negative.
    pub at: i64,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// Which of the track's sample entries it is read by, counted from 0.
    pub entry: u32,
}

/// Which part of a track's time is shown, in its own ticks; 0 is the beginning of the film. What is before `from` and after
/// `until` is only decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Showing {
    /// The first tick shown. Above 0 the track begins later than the film.
    pub from: i64,
    /// The first that is not.
    pub until: i64,
    /// Where the last sample ends.
    pub end: i64,
}

/// Samples that lie one after another.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    offset: u64,
    samples: u32,
    entry: u32,
    /// When its first sample is shown.
    at: i64,
    bytes: u64,
}

/// No chunk lasts longer, so that who plays from a network need not read far ahead.
const CHUNK_SECONDS: i64 = 1;
const CHUNK_BYTES: u64 = 1 << 20;

/// A track while samples come. It keeps twelve bytes of each, and what is irregular.
#[derive(Debug)]
pub(super) struct Line {
    plan: TrackPlan,
    times: Vec<i64>,
    sizes: Vec<u32>,
    /// Numbers of the samples with which decoding can start, from 1.
    keyframes: Vec<u32>,
    chunks: Vec<Chunk>,
    showing: Option<Showing>,
}

impl Line {
    pub(super) fn new(plan: TrackPlan) -> Self {
        Self {
            plan,
            times: Vec::new(),
            sizes: Vec::new(),
            keyframes: Vec::new(),
            chunks: Vec::new(),
            showing: None,
        }
    }

    pub(super) fn show(&mut self, showing: Showing) {
        self.showing = Some(showing);
    }

    /// Adds another sample entry and gives its number.
    pub(super) fn add_entry(&mut self, entry: Bytes) -> u32 {
        let known = self.plan.entries.iter().position(|known| *known == entry);
        let at = known.unwrap_or_else(|| {
            self.plan.entries.push(entry);
            self.plan.entries.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// A sample comes that lies at this offset of the media.
    pub(super) fn add(&mut self, sample: Laid, offset: u64) {
        self.times.push(sample.at);
        self.sizes.push(sample.size);
        if sample.keyframe {
            self.keyframes.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
        }
        let longest = CHUNK_SECONDS * i64::from(self.plan.timescale);
        let size = u64::from(sample.size);
        match self.chunks.last_mut() {
            Some(chunk)
                if chunk.offset + chunk.bytes == offset
                    && chunk.entry == sample.entry
                    && chunk.bytes + size <= CHUNK_BYTES
                    && sample.at - chunk.at < longest =>
            {
                chunk.samples += 1;
                chunk.bytes += size;
            }
            _ => self.chunks.push(Chunk {
                offset,
                samples: 1,
                entry: sample.entry,
                at: sample.at,
                bytes: size,
            }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    fn showing(&self) -> Showing {
        self.showing.unwrap_or(Showing {
            from: 0,
            until: 0,
            end: 0,
        })
    }

    fn movie_ticks(&self, ticks: i64) -> u64 {
        let scale = i128::from(self.plan.timescale.max(1));
        let ticks = (i128::from(ticks) * i128::from(MOVIE_SCALE) + scale / 2) / scale;
        u64::try_from(ticks).unwrap_or(0)
    }

    /// How long the track makes the film, in ticks of the film.
    pub(super) fn length(&self) -> u64 {
        self.movie_ticks(self.showing().until)
    }

    /// The `trak` box; `base` is where the media begins in the file.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        id: u32,
        created: u64,
        base: u64,
        long: bool,
    ) -> mp4_atom::Result<()> {
        let decoding = Decoding::of(&self.times, self.showing().end);
        boxed(out, b"trak", |out| {
            self.tkhd(id, created).encode(out)?;
            boxed(out, b"edts", |out| self.elst(&decoding).encode(out))?;
            boxed(out, b"mdia", |out| {
                Mdhd {
                    creation_time: created,
                    modification_time: created,
                    timescale: self.plan.timescale,
                    duration: decoding.duration(),
                    language: "und".to_owned(),
                }
                .encode(out)?;
                let (handler, name) = match self.plan.kind {
                    TrackKind::Pictures { .. } => (b"vide", "pictures"),
                    TrackKind::Sound => (b"soun", "sound"),
                    TrackKind::Text => (b"sbtl", "text"),
                };
                Hdlr {
                    handler: FourCC::new(handler),
                    name: name.to_owned(),
                }
                .encode(out)?;
                boxed(out, b"minf", |out| {
                    match self.plan.kind {
                        TrackKind::Pictures { .. } => Vmhd::default().encode(out)?,
                        TrackKind::Sound => Smhd::default().encode(out)?,
                        TrackKind::Text => Nmhd::default().encode(out)?,
                    }
                    Dinf {
                        dref: Dref {
                            entries: vec![DrefEntry::Url(Url::default())],
                        },
                    }
                    .encode(out)?;
                    boxed(out, b"stbl", |out| self.tables(out, &decoding, base, long))
                })
            })
        })
    }

    fn tkhd(&self, id: u32, created: u64) -> Tkhd {
        let pixels = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX).into();
        let mut tkhd = Tkhd {
            creation_time: created,
            modification_time: created,
            track_id: id,
            duration: self.length(),
            enabled: true,
            in_movie: true,
            ..Tkhd::default()
        };
        match self.plan.kind {
            TrackKind::Pictures { width, height } => (tkhd.width, tkhd.height) = (pixels(width), pixels(height)),
            TrackKind::Sound => (tkhd.volume, tkhd.alternate_group) = (1.into(), 1),
            TrackKind::Text => tkhd.alternate_group = 2,
        }
        tkhd
    }

    fn elst(&self, decoding: &Decoding) -> Elst {
        let from = self.showing().from;
        let mut entries = Vec::new();
        let late = self.movie_ticks(from.max(0));
        if late > 0 {
            entries.push(ElstEntry {
                segment_duration: late,
                media_time: None,
                media_rate: 1.into(),
            });
        }
        entries.push(ElstEntry {
            segment_duration: self.length().saturating_sub(late),
            media_time: Some(u64::try_from(from - decoding.zero).unwrap_or(0)),
            media_rate: 1.into(),
        });
        Elst { entries }
    }

    fn tables(&self, out: &mut Vec<u8>, decoding: &Decoding, base: u64, long: bool) -> mp4_atom::Result<()> {
        boxed(out, b"stsd", |out| {
            out.extend_from_slice(&0u32.to_be_bytes());
            out.extend_from_slice(&u32::try_from(self.plan.entries.len()).unwrap_or(0).to_be_bytes());
            self.plan.entries.iter().for_each(|entry| out.extend_from_slice(entry));
            Ok(())
        })?;
        decoding.stts(self.times.len())?.encode(out)?;
        if let Some(delays) = decoding.ctts(&self.times)? {
            delays.encode(out)?;
        }
        // Without the box, decoding could start everywhere.
        if self.keyframes.len() < self.times.len() {
            Stss {
                entries: self.keyframes.clone(),
            }
            .encode(out)?;
        }
        self.stsc().encode(out)?;
        Stsz {
            samples: StszSamples::Different {
                sizes: self.sizes.clone(),
            },
        }
        .encode(out)?;
        let offsets = self.chunks.iter().map(|chunk| base + chunk.offset);
        if long {
            Co64 {
                entries: offsets.collect(),
            }
            .encode(out)
        } else {
            let offsets: Result<Vec<u32>, _> = offsets.map(u32::try_from).collect();
            Stco {
                entries: offsets.map_err(|_| mp4_atom::Error::InvalidSize)?,
            }
            .encode(out)
        }
    }

    fn stsc(&self) -> Stsc {
        let mut entries: Vec<StscEntry> = Vec::new();
        for (number, chunk) in (1u32..).zip(&self.chunks) {
            let is_like = |last: &StscEntry| {
                last.samples_per_chunk == chunk.samples && last.sample_description_index == chunk.entry + 1
            };
            if !entries.last().is_some_and(is_like) {
                entries.push(StscEntry {
                    first_chunk: number,
                    samples_per_chunk: chunk.samples,
                    sample_description_index: chunk.entry + 1,
                });
            }
        }
        Stsc { entries }
    }
}

/// When samples are decoded. Made anew from when they are shown: the n-th is decoded as long before the n-th that is shown
/// as the worst of them needs. So decoding always goes forward, whatever runs of whatever cameras were joined, and what was
/// shown in the order of decoding is decoded when it is shown.
struct Decoding {
    /// Times of showing in their order, each later than the one before.
    order: Vec<i64>,
    /// How much earlier than in this order is decoded.
    ahead: i64,
    /// When the first is decoded: where the track's own time begins.
    zero: i64,
    end: i64,
}

impl Decoding {
    fn of(times: &[i64], end: i64) -> Self {
        let mut order = times.to_vec();
        order.sort_unstable();
        let mut last = i64::MIN;
        for time in &mut order {
            *time = (*time).max(last.saturating_add(1));
            last = *time;
        }
        let ahead = order.iter().zip(times).map(|(order, shown)| order - shown).max();
        let ahead = ahead.unwrap_or(0).max(0);
        Self {
            zero: order.first().map_or(0, |first| first - ahead),
            end: end.max(last.saturating_add(1)),
            order,
            ahead,
        }
    }

    fn duration(&self) -> u64 {
        u64::try_from(self.end - self.ahead - self.zero).unwrap_or(0)
    }

    fn stts(&self, count: usize) -> mp4_atom::Result<Stts> {
        let nexts = self.order.iter().skip(1).chain(std::iter::once(&self.end));
        let mut entries: Vec<SttsEntry> = Vec::new();
        for (time, next) in self.order.iter().zip(nexts).take(count) {
            let delta = u32::try_from(next - time).map_err(|_| mp4_atom::Error::InvalidSize)?;
            match entries.last_mut() {
                Some(last) if last.sample_delta == delta => last.sample_count += 1,
                _ => entries.push(SttsEntry {
                    sample_count: 1,
                    sample_delta: delta,
                }),
            }
        }
        Ok(Stts { entries })
    }

    /// Nothing when everything is shown when it is decoded.
    fn ctts(&self, times: &[i64]) -> mp4_atom::Result<Option<Ctts>> {
        let mut entries: Vec<CttsEntry> = Vec::new();
        for (order, shown) in self.order.iter().zip(times) {
            let delay = shown - (order - self.ahead);
            if i32::try_from(delay).is_err() {
                return Err(mp4_atom::Error::InvalidSize);
            }
            match entries.last_mut() {
                Some(last) if last.sample_offset == delay => last.sample_count += 1,
                _ => entries.push(CttsEntry {
                    sample_count: 1,
                    sample_offset: delay,
                }),
            }
        }
        let is_needed = entries.iter().any(|entry| entry.sample_offset != 0);
        Ok(is_needed.then_some(Ctts { entries }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pictures_shown_as_they_come_are_decoded_when_they_are_shown() {
        let decoding = Decoding::of(&[-7200, -3600, 0, 3600], 7200);
        assert_eq!((decoding.zero, decoding.ahead, decoding.duration()), (-7200, 0, 14_400));
        assert_eq!(decoding.ctts(&[-7200, -3600, 0, 3600]).unwrap(), None);
        assert_eq!(decoding.stts(4).unwrap().entries.len(), 1);
    }

    proptest! {
        #[test]
        fn decoding_goes_forward_and_nothing_is_shown_before_it_is_decoded(
            times in proptest::collection::vec(-100_000i64..100_000, 1..200), more in 1i64..5000,
        ) {
            let end = times.iter().max().unwrap() + more;
            let decoding = Decoding::of(&times, end);
            let deltas = decoding.stts(times.len()).unwrap().entries;
            let deltas: Vec<u32> = deltas.iter().flat_map(|run| std::iter::repeat_n(run.sample_delta, run.sample_count as usize)).collect();
            prop_assert_eq!(deltas.len(), times.len());
            prop_assert!(deltas.iter().all(|delta| *delta > 0));
            prop_assert_eq!(deltas.iter().map(|delta| u64::from(*delta)).sum::<u64>(), decoding.duration());
            let delays = decoding.ctts(&times).unwrap().map_or(vec![], |delays| delays.entries);
            let mut delays: Vec<i64> = delays.iter().flat_map(|run| std::iter::repeat_n(run.sample_offset, run.sample_count as usize)).collect();
            delays.resize(times.len(), 0);
            let mut decoded = decoding.zero;
            for ((delta, delay), shown) in deltas.iter().zip(delays).zip(times) {
                prop_assert!(delay >= 0);
                prop_assert_eq!(decoded + delay, shown);
                decoded += i64::from(*delta);
            }
        }
    }
}
