//! Which frames have to be decoded so that one of them is seen.

/// One frame, in decoding order among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// When it is shown.
    pub(super) pts: i64,
    /// Whether decoding can start at it.
    pub(super) keyframe: bool,
}

/// A frame, and from where to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pick {
    /// Decode from here.
    pub(super) first: usize,
    /// To here: this is the frame.
    pub(super) last: usize,
    /// When it is shown.
    pub(super) pts: i64,
}

/// The last frame that is shown before `limit`.
///
/// Nothing after it in decoding order is needed. A keyframe that is shown only after it does not help: frames that are
/// decoded behind a keyframe and shown before it are made from frames before both.
pub(super) fn pick(frames: &[Frame], limit: i64) -> Option<Pick> {
    let earlier = frames.iter().enumerate().filter(|(_, frame)| frame.pts < limit);
    let (last, shown) = earlier.max_by_key(|(at, frame)| (frame.pts, *at))?;
    let keyframe = |most: i64| {
        frames
            .get(..=last)?
            .iter()
            .rposition(|frame| frame.keyframe && frame.pts <= most)
    };
    Some(Pick {
        // At the very beginning there is nothing before the keyframe, and its neighbours may do without.
        first: keyframe(shown.pts).or_else(|| keyframe(i64::MAX))?,
        last,
        pts: shown.pts,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn frames(text: &[(i64, bool)]) -> Vec<Frame> {
        text.iter().map(|&(pts, keyframe)| Frame { pts, keyframe }).collect()
    }

    #[test]
    fn a_frame_that_is_shown_before_the_keyframe_it_follows_is_decoded_from_the_one_before() {
        // I0 P3 B1 B2 | I6 B4 B5 P9 B7 B8
        let frames = frames(&[
            (0, true),
            (3, false),
            (1, false),
            (2, false),
            (6, true),
            (4, false),
            (5, false),
            (9, false),
            (7, false),
            (8, false),
        ]);
        let at = |limit| pick(&frames, limit).map(|pick| (pick.first, pick.last, pick.pts));
        assert_eq!(at(0), None);
        assert_eq!(at(1), Some((0, 0, 0)));
        assert_eq!(at(2), Some((0, 2, 1)));
        assert_eq!(at(4), Some((0, 1, 3)));
        assert_eq!(at(6), Some((0, 6, 5)));
        assert_eq!(at(7), Some((4, 4, 6)));
        assert_eq!(at(8), Some((4, 8, 7)));
        assert_eq!(at(100), Some((4, 7, 9)));
    }

    #[test]
    fn without_a_keyframe_there_is_nothing_to_see() {
        assert_eq!(pick(&frames(&[(0, false), (1, false)]), 10), None);
        assert_eq!(pick(&[], 10), None);
        // Leading frames of the very first keyframe.
        let first = pick(&frames(&[(2, true), (0, false), (1, false), (3, false)]), 2).unwrap();
        assert_eq!((first.first, first.last), (0, 2));
    }

    proptest! {
        #[test]
        fn what_is_picked_is_the_last_before_the_limit_and_begins_with_a_keyframe(
            text in prop::collection::vec((0i64..100, any::<bool>()), 0..40), limit in 0i64..120,
        ) {
            let frames = frames(&text);
            let Some(pick) = pick(&frames, limit) else {
                let possible = frames.iter().enumerate().filter(|(_, frame)| frame.pts < limit).max_by_key(|(at, frame)| (frame.pts, *at));
                prop_assert!(possible.is_none_or(|(last, _)| frames[..=last].iter().all(|frame| !frame.keyframe)));
                return Ok(());
            };
            prop_assert!(frames[pick.first].keyframe && pick.first <= pick.last);
            prop_assert!(pick.pts < limit && frames[pick.last].pts == pick.pts);
            prop_assert!(frames.iter().all(|frame| frame.pts >= limit || frame.pts <= pick.pts));
        }
    }
}
