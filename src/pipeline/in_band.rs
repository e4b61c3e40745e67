//! Parameter sets that change within a stream. A file has one description of its pictures, which holds the sets of its
//! beginning; where others come that this description serves as well, they stand in the stream, so that no file has to end.
//!
//! ```text
//! sets        A A A A A A A B B B B B B A A A A A A B B
//! pictures    K - - - K - - - - - K - - - K - - - K - -
//! in front                  B     B     A A       A B
//! file        avc1 ---------------|avc3 ---------------
//! ```
//!
//! In such a file each keyframe has its sets in front of it, so that whoever begins there, or comes back to it, has the right
//! ones. Keyframes that are written already lack them, so the first change begins a new file at the next keyframe, and no
//! later one does.

use gstreamer as gst;

use crate::model::{AvcConfig, Codec, HevcConfig, in_units};

use super::record::video_format;

/// What is known of the sets of one stream.
#[derive(Debug, Default)]
pub(super) struct InBand {
    /// What those behind were last told of the pictures.
    told: Option<gst::Caps>,
    /// What was last said of them.
    current: Option<gst::Caps>,
    /// The sets in there, as they stand in a unit; nothing when they cannot.
    sets: Vec<u8>,
    /// Those that a decoder has that read everything so far.
    known: Vec<u8>,
    /// There were others than the file's description has.
    has_changed: bool,
    /// Each keyframe has its sets in front of it.
    is_on: bool,
}

/// What comes before a unit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// What is to be told of the pictures from this one on.
    pub(super) told: Option<gst::Caps>,
    /// Bytes in front of it, within the same unit.
    pub(super) front: Vec<u8>,
}

impl InBand {
    /// Pictures are like this from the next unit on. Gives what those behind are to be told at once.
    pub(super) fn hear(&mut self, caps: gst::Caps) -> Option<gst::Caps> {
        let sets = sets(&caps);
        let is_served = match (&self.told, &sets) {
            (Some(told), Some(_)) => !self.sets.is_empty() && serves(told, &caps),
            _ => false,
        };
        let sets = sets.unwrap_or_default();
        if is_served && (self.is_on || self.has_changed || sets != self.sets) {
            (self.current, self.sets) = (Some(caps), sets);
            return None;
        }
        *self = Self {
            told: Some(caps.clone()),
            current: Some(caps.clone()),
            known: sets.clone(),
            sets,
            ..Self::default()
        };
        Some(caps)
    }

    /// A unit is next.
    pub(super) fn before(&mut self, is_keyframe: bool) -> Before {
        let is_new = self.sets != self.known;
        self.has_changed |= is_new;
        let mut told = None;
        if is_keyframe && let (Some(current), Some(known)) = (&self.current, &self.told) {
            let begins = !self.is_on && self.has_changed;
            // A decoder that is chosen by the description can no less than the pictures ask for.
            if begins || self.is_on && level(current) > level(known) {
                self.is_on = true;
                told = Some(described(current));
            }
        }
        self.told = told.clone().or(self.told.take());
        let is_wanted = is_new || self.is_on && is_keyframe;
        self.known.clone_from(&self.sets);
        Before {
            told,
            front: if is_wanted { self.sets.clone() } else { Vec::new() },
        }
    }
}

/// A unit with these bytes in front of its own.
pub(super) fn with_front(unit: &gst::Buffer, front: Vec<u8>) -> gst::Buffer {
    let mut unit = unit.clone();
    unit.make_mut().prepend_memory(gst::Memory::from_slice(front));
    unit
}

/// The sets that caps hold, as they stand in a unit.
fn sets(caps: &gst::CapsRef) -> Option<Vec<u8>> {
    let config = caps.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    let config = config.map_readable().ok()?;
    match video_format(caps)?.codec {
        Codec::H264 => {
            let config = AvcConfig::read(&config)?;
            in_units(config.sequence.iter().chain(&config.picture), config.length)
        }
        Codec::H265 => {
            let config = HevcConfig::read(&config)?;
            in_units(&config.sets, config.length)
        }
    }
}

/// Whether a description serves pictures like these too, once they have their sets in front of them: all that it says is so but
/// for the sets, how fast pictures come, and how much a decoder has to be able to do.
fn serves(told: &gst::CapsRef, caps: &gst::CapsRef) -> bool {
    let bare = |caps: &gst::CapsRef| {
        let mut bare = caps.structure(0)?.to_owned();
        bare.remove_fields(["codec_data", "framerate", "level", "stream-format"]);
        // Square pixels are not always told again.
        if bare.get("pixel-aspect-ratio") == Ok(gst::Fraction::new(1, 1)) {
            bare.remove_field("pixel-aspect-ratio");
        }
        Some(bare)
    };
    bare(told) == bare(caps)
}

/// The level that caps name, as a number.
fn level(caps: &gst::CapsRef) -> Option<f64> {
    let level = caps.structure(0)?.get::<&str>("level").ok()?;
    // Between 1 and 1.1.
    if level == "1b" { Some(1.05) } else { level.parse().ok() }
}

/// The same pictures with their sets in the stream.
fn described(caps: &gst::CapsRef) -> gst::Caps {
    let mut described = caps.to_owned();
    let format = match video_format(caps).map(|format| format.codec) {
        Some(Codec::H265) => "hev1",
        _ => "avc3",
    };
    if let Some(structure) = described.make_mut().structure_mut(0) {
        structure.set("stream-format", format);
    }
    described
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::str::FromStr;

    /// Pictures whose sets end with this byte.
    fn caps(set: u8, rest: &str) -> gst::Caps {
        super::super::launch::init().unwrap();
        let config = format!("0164001fffe1000267{set:02x}0100{:02x}68{set:02x}", 2);
        let text = format!(
            "video/x-h264,stream-format=avc,alignment=au,width=320,height=240,profile=high,codec_data=(buffer){config},{rest}"
        );
        gst::Caps::from_str(&text).unwrap()
    }

    fn front(set: u8) -> Vec<u8> {
        vec![0, 0, 0, 2, 0x67, set, 0, 0, 0, 2, 0x68, set]
    }

    fn format(caps: &gst::Caps) -> &str {
        caps.structure(0).unwrap().get("stream-format").unwrap()
    }

    #[test]
    fn sets_that_never_change_stay_where_they_are() {
        let mut stream = InBand::default();
        let first = caps(7, "level=(string)3,framerate=25/1");
        assert_eq!(stream.hear(first.clone()), Some(first));
        for unit in 0..30 {
            assert_eq!(
                stream.before(unit % 10 == 0),
                Before {
                    told: None,
                    front: vec![]
                }
            );
        }
        let slower = caps(7, "level=(string)3,framerate=12/1");
        assert_eq!(stream.hear(slower.clone()), Some(slower));
        assert_eq!(stream.before(false).front, Vec::<u8>::new());
    }

    #[test]
    fn other_sets_go_into_the_stream_and_the_first_of_them_begin_a_file_at_the_next_keyframe() {
        let mut stream = InBand::default();
        stream.hear(caps(1, "level=(string)3"));
        stream.before(true);
        // In the middle of a group nothing can begin.
        assert_eq!(stream.hear(caps(2, "level=(string)3")), None);
        assert_eq!(
            stream.before(false),
            Before {
                told: None,
                front: front(2)
            }
        );
        assert_eq!(
            stream.before(false),
            Before {
                told: None,
                front: vec![]
            }
        );
        let Before { told, front: sets } = stream.before(true);
        assert_eq!((format(&told.unwrap()), sets), ("avc3", front(2)));
        for set in [1, 2, 2, 1] {
            let square = caps(set, "level=(string)3,pixel-aspect-ratio=(fraction)1/1");
            assert_eq!(stream.hear(square), None);
            assert_eq!(
                stream.before(true),
                Before {
                    told: None,
                    front: front(set)
                }
            );
        }
        assert_eq!(stream.before(false).front, Vec::<u8>::new());
        // A decoder has to do more for these, and can do these after it.
        assert_eq!(stream.hear(caps(3, "level=(string)4.1")), None);
        assert!(stream.before(true).told.is_some());
        for level in ["3", "4.1", "4", "1b"] {
            assert_eq!(stream.hear(caps(1, &format!("level=(string){level}"))), None);
            assert_eq!(
                stream.before(true),
                Before {
                    told: None,
                    front: front(1)
                }
            );
        }
    }

    #[test]
    fn what_the_description_cannot_serve_is_told_at_once() {
        let mut stream = InBand::default();
        stream.hear(caps(1, "chroma-format=4:2:0"));
        stream.before(true);
        stream.hear(caps(2, "chroma-format=4:2:0"));
        stream.before(true);
        let other = caps(3, "chroma-format=4:2:2");
        assert_eq!(stream.hear(other.clone()), Some(other));
        assert_eq!(
            stream.before(true),
            Before {
                told: None,
                front: vec![]
            }
        );
        let unreadable = gst::Caps::from_str("video/x-h264,stream-format=avc,codec_data=(buffer)01").unwrap();
        assert_eq!(stream.hear(unreadable.clone()), Some(unreadable.clone()));
        assert_eq!(
            stream.before(true),
            Before {
                told: None,
                front: vec![]
            }
        );
        assert_eq!(stream.hear(unreadable.clone()), Some(unreadable));
    }

    /// A unit of a file: whether it is a keyframe, the sets in front of it, those that it needs.
    type Written = (bool, Option<u8>, u8);

    proptest! {
        /// A decoder that knows the description of the file that is on, and reads from any keyframe on or goes back to one,
        /// has for each picture the sets that it was made with; and whatever changes, no more than two files are made.
        #[test]
        fn each_picture_has_its_sets_wherever_one_begins(
            units in prop::collection::vec((any::<bool>(), 1u8..4), 1..60),
        ) {
            let (mut stream, mut files) = (InBand::default(), 0);
            // Each with the sets of its description.
            let mut written: Vec<(u8, Vec<Written>)> = Vec::new();
            for (number, (is_key, set)) in units.into_iter().enumerate() {
                let is_key = is_key || number == 0;
                let mut begins = stream.hear(caps(set, "level=(string)3")).is_some() && files == 0;
                let Before { told, front } = stream.before(is_key);
                begins |= told.is_some();
                if begins {
                    files += 1;
                    written.push((set, Vec::new()));
                }
                prop_assert!(is_key || !begins);
                written.last_mut().unwrap().1.push((is_key, front.last().copied(), set));
            }
            prop_assert!(files <= 2);
            for (file, (own, units)) in written.iter().enumerate() {
                for begin in (0..units.len()).filter(|begin| units[*begin].0) {
                    // In the second file a decoder may come from anywhere.
                    let mut has = if file == 0 { *own } else { 0 };
                    for (number, (_, front, needed)) in units.iter().enumerate().skip(begin) {
                        has = front.unwrap_or(has);
                        prop_assert_eq!(has, *needed, "file {}, from {}, unit {}", file, begin, number);
                    }
                }
            }
        }
    }
}
