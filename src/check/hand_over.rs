//! What a kill left of hand-overs: for a moment the journals of both runs have the same while, and only one of them may keep it.
//!
//! ```text
//! gives   ... 97 98 99 | 100 101 102        its own until the other has gone further
//! takes                | 100 101 102 103    and then it keeps what is its own
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::model::Timestamp;
use crate::storage::{
    JournalContents, JournalReader, StorageError, TailPlace, TakesOver, read_journal, shorten_journal,
};

use super::repair::remove_journal;

/// Two runs of one camera place the same frame so near to one another, in ns.
const SAME: i64 = 8_000_000;

/// Has each frame in one journal only. A journal that goes with it is gone from `journals` too.
pub(super) fn settle(journals: &mut BTreeMap<TailPlace, PathBuf>) {
    for (taking, takes_over) in taking(journals) {
        match settle_one(journals, &taking, takes_over) {
            Ok(true) => {
                journals.remove(&taking);
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(camera = %taking.camera, %error, "two journals may have the same frames");
            }
        }
    }
}

/// Journals of runs that took over from another.
fn taking(journals: &BTreeMap<TailPlace, PathBuf>) -> Vec<(TailPlace, TakesOver)> {
    let taking = journals.iter().filter_map(|(place, path)| {
        // What cannot be read is told by whoever mends it.
        let (header, _) = JournalReader::open(path).ok()?;
        Some((place.clone(), header.takes_over?))
    });
    taking.collect()
}

/// Whether the journal of the run that takes over went: all of its time is in the other.
fn settle_one(
    journals: &BTreeMap<TailPlace, PathBuf>,
    taking: &TailPlace,
    takes_over: TakesOver,
) -> Result<bool, StorageError> {
    let is_giving = |(place, path): &(&TailPlace, &PathBuf)| {
        let header = JournalReader::open(path).map(|(header, _)| header);
        place.camera == taking.camera && header.is_ok_and(|header| header.segment == takes_over.segment)
    };
    let (Some((_, giving)), Some(path)) = (journals.iter().find(is_giving), journals.get(taking)) else {
        return Ok(false);
    };
    match has_gone_further(&read_journal(path)?, &read_journal(giving)?) {
        None => Ok(false),
        Some(true) => shorten_journal(giving, takes_over.at).map(|()| false),
        Some(false) => {
            remove_journal(path);
            Ok(true)
        }
    }
}

/// Whether one journal reaches as far as another. Nothing when one of them has no frame.
fn has_gone_further(taking: &JournalContents, giving: &JournalContents) -> Option<bool> {
    let end = |journal: &JournalContents| -> Option<Timestamp> { Some(journal.anchor.wall.offset(journal.end_pts?)) };
    Some(end(taking)?.nanos_since(end(giving)?) >= -SAME)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::model::{CameraId, ClockSource, Codec, RunId, SegmentId, Track, TrackCaps, Unit, VideoFormat};
    use crate::storage::{Anchor, JournalHeader, JournalWriter};

    const FRAME: i64 = 40_000_000;

    /// A journal of a run whose first frame `from` has running time 0, in this order of decoding.
    fn journal(
        data: &Path,
        run: u32,
        from: i64,
        frames: &[i64],
        takes_over: Option<TakesOver>,
    ) -> (TailPlace, PathBuf) {
        let header = JournalHeader {
            camera: CameraId::parse("door").unwrap(),
            segment: SegmentId(Uuid::from_u128(u128::from(run))),
            run: RunId(run),
            sequence: 0,
            format: VideoFormat {
                codec: Codec::H264,
                width: 320,
                height: 180,
                fps: None,
            },
            caps: TrackCaps::default(),
            anchor: Anchor {
                wall: Timestamp::from_seconds(1_790_000_000).offset(from * FRAME),
                clock: ClockSource::Arrival,
            },
            takes_over,
        };
        let place = TailPlace {
            camera: header.camera.clone(),
            run: header.run,
            sequence: 0,
        };
        let path = place.path(data);
        let mut writer = JournalWriter::create(&path, &header).unwrap();
        for frame in frames {
            writer
                .append(&Unit {
                    track: Track::Video,
                    pts: (frame - from) * FRAME,
                    dts: (frame - from) * FRAME,
                    duration: None,
                    keyframe: frame % 25 == 0,
                    payload: frame.to_le_bytes().to_vec().into(),
                })
                .unwrap();
        }
        (place, path)
    }

    fn frames_of(path: &Path) -> Vec<i64> {
        let journal = read_journal(path).unwrap();
        let frame = |unit: Unit| i64::from_le_bytes(unit.payload.as_ref().try_into().unwrap());
        journal.units().unwrap().map(|unit| frame(unit.unwrap())).collect()
    }

    proptest! {
        #[test]
        fn whenever_a_kill_comes_each_frame_is_kept_once(
            first in 0i64..50, at in 2i64..5, beyond in 0i64..30, has in 0i64..40, is_shortened: bool,
        ) {
            let data = tempfile::tempdir().unwrap();
            let at = at * 25;
            let (first, ends) = (first.min(at - 1), at + beyond);
            // What the run that takes over has written by now, frame by frame; the other has ended by itself at `ends`.
            let has = at + has;
            let is_shortened = is_shortened && has >= ends;
            let giving: Vec<i64> = (first..if is_shortened { at } else { ends }).collect();
            let taking: Vec<i64> = (at..has).collect();
            let takes_over = TakesOver { segment: SegmentId(Uuid::from_u128(1)), at: (at - first) * FRAME };
            let giving = journal(data.path(), 1, first, &giving, None);
            // Its journal counts from its own first frame, which was received earlier.
            let taking = journal(data.path(), 2, at - 7, &taking, Some(takes_over));
            let mut journals: BTreeMap<TailPlace, PathBuf> = [giving, taking].into();
            settle(&mut journals);
            let mut kept: Vec<i64> = journals.values().flat_map(|path| frames_of(path)).collect();
            kept.sort_unstable();
            prop_assert_eq!(kept, (first..ends.max(has)).collect::<Vec<_>>());
            settle(&mut journals);
            prop_assert!(journals.values().all(|path| path.exists()));
        }
    }

    #[test]
    fn journals_of_runs_that_have_nothing_to_do_with_each_other_stay_as_they_are() {
        let data = tempfile::tempdir().unwrap();
        let from = TakesOver {
            segment: SegmentId(Uuid::from_u128(7)),
            at: 0,
        };
        let one = journal(data.path(), 1, 0, &[0, 1, 2], None);
        let other = journal(data.path(), 2, 0, &[0, 1], Some(from));
        let mut journals: BTreeMap<TailPlace, PathBuf> = [one, other].into();
        settle(&mut journals);
        let kept: Vec<usize> = journals.values().map(|path| frames_of(path).len()).collect();
        assert_eq!(kept, [3, 2]);
    }
}
