//! Pictures that are encoded anew on the way into a clip: the first ones, for players that know no edit lists, or all of
//! them, with the time in the picture.
//!
//! ```text
//! footage       K - - - - - - - K - - - - - - K - - -
//! from                  |
//! retaken               K'- - - K - - - - - - K - - -      the group that `from` lies in, from there to its end
//! burnt in              K'- - - - - - K'- - - - - - K'
//! ```
//!
//! Times stay those of the footage, and frames stay frames: what is encoded is what would have been shown.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::error::ExportError;
use super::heading::Group;
use super::look::Look;
use super::sets::{Avc, entry_with, hevc_sampling, hevc_sets};
use super::spool::Spool;
use super::strip::Strip;
use super::table::{Frame, Place};
use crate::model::{Codec, Span, Timestamp, Track, Unit};
use crate::pipeline::{Catalog, Encoding, Label, Patience, Retaking, Sampling, Units, retake, video_caps};
use crate::storage::{Reel, ReelReader, picture_entry};

/// Nothing comes out for so long: it is given up. A decoder that gets an hour of lead-in is still at work after less.
const PATIENCE: Patience = Patience {
    idle: Duration::from_secs(60),
    total: Duration::MAX,
};
/// How far the quality of a picture may suffer by being encoded twice: hardly to be seen.
const QUALITY: u32 = 20;
/// Where a player can begin in what is burnt in, in frames.
const DISTANCE: u32 = 50;

/// What is encoded anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anew {
    /// The pictures from the first that is shown to the next keyframe.
    Head,
    /// All of them, with the camera's name and the time of each in the picture.
    Burnt {
        /// The name.
        name: String,
    },
}

/// Encodes pictures anew while a clip is planned. What it makes lies in a file that has to stay until the clip is written.
pub struct Retaker<'a> {
    catalog: &'a Catalog,
    window: Span,
    anew: Anew,
    spool: Spool,
    is_wanted: &'a dyn Fn() -> bool,
    /// Hears how much of the window is done, from 0 to 1.
    tell: &'a dyn Fn(f64),
    /// The head is done, or needs nothing.
    is_done: bool,
    /// What came last was encoded, to its end.
    is_on: bool,
    /// The last group of pictures of the strip before, which the first ones of the next may be made from.
    before: Option<Strip>,
}

impl std::fmt::Debug for Retaker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retaker")
            .field("window", &self.window)
            .field("anew", &self.anew)
            .finish_non_exhaustive()
    }
}

impl<'a> Retaker<'a> {
    /// `spool` is an empty file of its own. `is_wanted` is asked several times a second.
    pub fn new(
        catalog: &'a Catalog,
        window: Span,
        anew: Anew,
        spool: &Path,
        is_wanted: &'a dyn Fn() -> bool,
        tell: &'a dyn Fn(f64),
    ) -> Result<Self, ExportError> {
        Ok(Self {
            catalog,
            window,
            anew,
            spool: Spool::over(spool)?,
            is_wanted,
            tell,
            is_done: false,
            is_on: false,
            before: None,
        })
    }

    /// What takes the place of a strip.
    pub(super) fn pass(&mut self, strip: Strip) -> Result<Vec<Strip>, ExportError> {
        match self.anew.clone() {
            Anew::Head => self.head(strip),
            Anew::Burnt { name } => Ok(self.burn(strip, name)?.into_iter().collect()),
        }
    }

    /// Encodes from the first picture of the window to the next keyframe, and what is shown before that though it is decoded
    /// after it; what follows needs nothing of it.
    fn head(&mut self, mut strip: Strip) -> Result<Vec<Strip>, ExportError> {
        if self.is_done {
            return Ok(vec![strip]);
        }
        let before = self.before.take();
        let before = before.filter(|before| !strip.begins_again && before.fits(&strip) && before.joins(&strip));
        if before.is_none() {
            strip.drop_early();
        }
        let inside = |frame: &&Frame| frame.wall >= self.window.start && frame.wall < self.window.end;
        let shown = strip.frames.iter().filter(inside).filter(|frame| strip.is_shown(frame));
        let Some(first) = shown.map(|frame| frame.wall).min() else {
            self.remember(strip.clone());
            return Ok(vec![strip]);
        };
        let group = Group::of(before.as_ref(), &strip);
        let Some(head) = group.head(first, self.is_on) else {
            // It begins with a keyframe, or nothing of it can be decoded.
            self.is_done = true;
            strip.leave_out_early(first);
            return Ok(vec![strip]);
        };
        let end = head.goes_on.unwrap_or(strip.end);
        let until = end.min(self.window.end);
        let (into, sampling, own) = head_encoding(&strip.look)?;
        let mut taken = self.encode(
            &strip,
            &group.lead(&head),
            Span::new(first, until),
            (into, sampling),
            None,
        )?;
        taken.end = end;
        self.describe(&mut taken, &strip, own)?;
        (self.tell)(1.0);
        (self.is_done, self.is_on) = (head.goes_on.is_some(), true);
        if head.goes_on.is_some() {
            strip.leave_out_before(end);
            return Ok(vec![taken, strip]);
        }
        self.remember(strip);
        Ok(vec![taken])
    }

    /// Has pictures that were encoded anew stand in one track with those that follow.
    fn describe(&self, taken: &mut Strip, strip: &Strip, own: Option<Avc>) -> Result<(), ExportError> {
        match own {
            Some(avc) => {
                let wrong =
                    || ExportError::Broken("the encoder's parameter sets do not fit beside the camera's".to_owned());
                let merged = Avc::read(&taken.look.config)
                    .and_then(|new| avc.with(&new))
                    .ok_or_else(wrong)?;
                let kind = if strip.look.in_band { *b"avc3" } else { *b"avc1" };
                taken.entry = entry_with(&strip.entry, kind, *b"avcC", &merged).ok_or_else(wrong)?;
            }
            None => {
                let wrong = || ExportError::Broken("parameter sets of H.265 that cannot be read".to_owned());
                taken.sets = Some(hevc_sets(&taken.look.config).ok_or_else(wrong)?);
                taken.sets_after = Some(hevc_sets(&strip.look.config).ok_or_else(wrong)?);
                taken.entry = entry_with(&strip.entry, *b"hev1", *b"hvcC", &strip.look.config).ok_or_else(wrong)?;
            }
        }
        taken.look = strip.look.clone();
        Ok(())
    }

    fn burn(&mut self, strip: Strip, name: String) -> Result<Option<Strip>, ExportError> {
        let before = self
            .before
            .take()
            .filter(|before| before.joins(&strip) && before.look == strip.look);
        let is_early = strip.earliest() < strip.start();
        // What is shown before its first keyframe is made from what was before it.
        let before = before.filter(|_| is_early);
        let from = if before.is_some() {
            strip.earliest()
        } else {
            strip.start()
        };
        let span = Span::new(from.max(self.window.start), strip.end.min(self.window.end));
        let shown = |frame: &Frame| frame.wall >= span.start && frame.wall < span.end;
        if !strip.frames.iter().any(shown) {
            self.remember(strip);
            return Ok(None);
        }
        let mut lead: Vec<(&Strip, &[Frame])> = before.iter().map(|before| (before, &before.frames[..])).collect();
        lead.push((&strip, &strip.frames));
        let into = Encoding::H264 {
            sets: 0,
            profile: 100,
            distance: DISTANCE,
            quality: QUALITY + 1,
        };
        let taken = self.encode(&strip, &lead, span, (into, Sampling::USUAL), Some(Label { name }))?;
        self.remember(strip);
        Ok(Some(taken))
    }

    fn remember(&mut self, mut strip: Strip) {
        let last = strip.frames.len().saturating_sub(1);
        let begins = strip.beginning(last).map_or(0, |beginning| beginning.at);
        strip.frames.drain(..begins);
        strip.sound = None;
        self.before = Some(strip);
    }

    /// Encodes what is shown in a span of frames that are decoded one strip after another, in the place of a strip.
    fn encode(
        &mut self,
        strip: &Strip,
        lead: &[(&Strip, &[Frame])],
        span: Span,
        (into, sampling): (Encoding, Sampling),
        label: Option<Label>,
    ) -> Result<Strip, ExportError> {
        let Look {
            codec, width, height, ..
        } = strip.look;
        let label_is_written = label.is_some();
        let kind = entry_kind(&strip.entry).unwrap_or_default();
        let retaking = Retaking {
            codec,
            caps: video_caps(codec, &kind, &strip.look.config, width, height)?,
            units: units(lead),
            from: span.start,
            until: span.end,
            into,
            sampling,
            label,
        };
        // Of a head not much is to be told.
        let told = label_is_written.then_some((self.tell, self.window));
        let (mut frames, spool) = (Vec::new(), &mut self.spool);
        let config = retake(self.catalog, retaking, PATIENCE, self.is_wanted, &mut |encoded| {
            let offset = spool.add(encoded.bytes)?;
            if let Some((tell, window)) = told {
                let done = encoded.at.since(window.start).as_secs_f64() / window.seconds();
                tell(done.clamp(0.0, 1.0));
            }
            frames.push(Frame::anew(
                encoded.at,
                u32::try_from(encoded.bytes.len()).unwrap_or(u32::MAX),
                encoded.keyframe,
                Place::File(offset),
            ));
            Ok(())
        })?;
        let Some(begins) = frames.first().filter(|frame| frame.keyframe).map(|frame| frame.wall) else {
            return Err(ExportError::Broken(format!(
                "the pictures from {} on cannot be decoded, so they cannot be encoded anew",
                span.start
            )));
        };
        let new = Look {
            codec: match into {
                Encoding::H264 { .. } => Codec::H264,
                Encoding::H265 { .. } => Codec::H265,
            },
            config: config.into(),
            in_band: false,
            width,
            height,
        };
        let entry = picture_entry(Codec::H264, false, &new.config, width, height);
        let wanted = lead
            .iter()
            .flat_map(|(strip, frames)| frames.iter().filter(|frame| strip.is_shown(frame)));
        let wanted = wanted.map(|frame| frame.wall).filter(|wall| *wall >= span.start).min();
        let mut taken = strip.retaken(frames, new, entry, self.spool.path().clone(), span.end);
        // A decoder gives nothing before the first picture that is right.
        taken.torn = wanted
            .filter(|wanted| *wanted < begins)
            .map(|wanted| Span::new(wanted, begins));
        Ok(taken)
    }
}

/// How the first pictures are encoded, as near to what follows as can be; for H.264 also the sets that they stand beside.
fn head_encoding(look: &Look) -> Result<(Encoding, Sampling, Option<Avc>), ExportError> {
    let wrong = |what: &str| ExportError::Invalid(format!("{what}; ask for the clip with mode=exact"));
    let known = |sampling: Option<Sampling>| {
        let sampling = sampling.ok_or_else(|| wrong("the camera's parameter sets cannot be read"))?;
        let unknown = || {
            wrong(&format!(
                "pictures of {sampling} cannot be encoded anew as the camera sends them"
            ))
        };
        sampling.is_known().then_some(sampling).ok_or_else(unknown)
    };
    if look.codec == Codec::H265 {
        let sampling = known(hevc_sampling(&look.config))?;
        return Ok((Encoding::H265 { quality: QUALITY }, sampling, None));
    }
    let own = Avc::read(&look.config).ok_or_else(|| wrong("the camera's parameter sets cannot be read"))?;
    let sampling = known(own.sampling())?;
    if own.length() != 4 {
        return Err(wrong(
            "the camera's pictures tell lengths in a way that is not mixed with the encoder's",
        ));
    }
    let sets = own.free_number();
    let into = Encoding::H264 {
        sets: sets.ok_or_else(|| wrong("the camera's parameter sets take every number"))?,
        profile: own.profile(),
        distance: 100_000,
        quality: QUALITY,
    };
    Ok((into, sampling, Some(own)))
}

/// The four letters of a sample entry.
fn entry_kind(entry: &[u8]) -> Option<String> {
    Some(String::from_utf8_lossy(entry.get(4..8)?).into_owned())
}

/// Frames as the decoder takes them: read one after another, at the moments at which they were taken.
fn units(lead: &[(&Strip, &[Frame])]) -> Units {
    let all = || {
        lead.iter()
            .flat_map(|(strip, frames)| frames.iter().map(move |frame| (*strip, frame)))
    };
    let reel = Reel::new(all().map(|(strip, frame)| strip.piece(frame)).collect());
    let frames: Vec<Frame> = all().map(|(_, frame)| *frame).collect();
    let first = frames.iter().map(|frame| frame.wall).min().unwrap_or(Timestamp::EPOCH);
    Box::new(Reading {
        reader: reel.reader(0..reel.size_bytes()),
        frames: frames.into_iter(),
        next: first.as_nanos().saturating_sub(1_000_000_000),
    })
}

struct Reading {
    reader: ReelReader,
    frames: std::vec::IntoIter<Frame>,
    /// A time of decoding: all that counts is that it goes forward and lies before all that is shown.
    next: i64,
}

impl Iterator for Reading {
    type Item = std::io::Result<Unit>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self.frames.next()?;
        self.next = self.next.saturating_add(1000);
        let mut payload = vec![0; frame.size as usize];
        Some(self.reader.read_exact(&mut payload).map(|()| Unit {
            track: Track::Video,
            pts: frame.wall.as_nanos(),
            dts: self.next,
            duration: None,
            keyframe: frame.keyframe,
            payload: payload.into(),
        }))
    }
}
