//! Where a file ends. The muxer has it end when decoding does, and hides what is shown later: when pictures come in another
//! order than they are shown in, the last that comes has to last until all are shown.

/// A step longer than this is a pause and no picture's length.
const LONGEST: i64 = 1_000_000_000;
/// How long a picture is while nothing tells.
const USUAL: i64 = 40_000_000;

/// The file that is written, in running time (ns).
#[derive(Debug, Default)]
pub(super) struct Ending {
    on: Option<On>,
}

#[derive(Debug)]
struct On {
    /// How much earlier than shown the first picture is decoded.
    ahead: i64,
    last_dts: i64,
    length: i64,
    /// Where the last one that is shown ends.
    end: i64,
}

impl Ending {
    /// Another picture goes into the file: how long it has to last if none follows; nothing while all are decoded as they are
    /// shown. Who writes the file asks only of the last one.
    pub(super) fn add(&mut self, pts: i64, dts: i64) -> Option<u64> {
        let on = self.on.get_or_insert(On {
            ahead: pts.saturating_sub(dts),
            last_dts: dts,
            length: USUAL,
            end: pts,
        });
        let step = dts.saturating_sub(on.last_dts);
        if step > 0 && step <= LONGEST {
            on.length = step;
        }
        on.last_dts = dts;
        on.end = on.end.max(pts.saturating_add(on.length));
        if on.ahead == 0 && pts == dts {
            return None;
        }
        let lasts = on.end.saturating_sub(on.ahead).saturating_sub(dts);
        u64::try_from(lasts).ok().filter(|lasts| *lasts > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 200_000_000;

    /// How long in pictures each lasts if it is the last.
    fn lengths(pictures: &[(i64, i64)]) -> Vec<Option<u64>> {
        let mut ending = Ending::default();
        let add = |(pts, dts): &(i64, i64)| ending.add(pts * FRAME, dts * FRAME);
        let all: Vec<_> = pictures.iter().map(add).collect();
        all.into_iter()
            .map(|length| length.map(|nanos| nanos / FRAME.unsigned_abs()))
            .collect()
    }

    #[test]
    fn whichever_picture_is_the_last_all_that_came_is_shown() {
        // I0 P3 B1 B2 P4: decoding has taken 1, 2 … pictures by then, and is to take as long as showing.
        let last = lengths(&[(0, -1), (3, 0), (1, 1), (2, 2), (4, 3)]);
        assert_eq!(last[1..], [Some(3), Some(2), Some(1), Some(1)]);
        // A group that is open: what is shown before its keyframe is hidden here.
        let last = lengths(&[(3, 0), (1, 1), (2, 2), (6, 3)]);
        assert_eq!(last[1..], [None, None, Some(1)]);
        assert_eq!(lengths(&[(0, 0), (1, 1), (2, 2)]), [None, None, None]);
    }
}
